#!/usr/bin/env python3
"""A small camera: takes a picture from a file, and signs for it with this unit's keys.

    python examples/camera.py raw.dng --processed photo.jpg --output vouched.json

The JSON holds two values:

`submission` is the body for Birthmark's aggregator (POST /api/v1/submit): the picture's hashes, and a NUC token that
only this camera's sensor and TPM could have made. The aggregator asks the manufacturer's authority to validate the
token, and the authority never learns of the picture.

`certificate_bundle` is the body for the authority's /validate-cert: the hash, signed with the key that was made in this
camera's TPM.

Run it as the user who owns the state directory (on a Pi: sudo -u birthmark-agent); not even root opens another's.

A real camera differs in one thing: its picture comes from the sensor. Everything else is `device_agent.camera.Camera`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from device_agent.camera import Camera
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from shared.errors import BirthmarkError, format_error

RAW, PROCESSED = 0, 1  # Birthmark's modification levels


def vouch(camera: Camera, raw: Path, processed: Path | None, timestamp: int) -> dict[str, Any]:
    """Make the submission and the certificate bundle for one picture, taken at `timestamp` (seconds since 1970)."""
    raw_hash = signed_hash = file_hash(raw)
    images = [{"image_hash": raw_hash, "modification_level": RAW, "parent_image_hash": None}]
    if processed is not None:
        signed_hash = file_hash(processed)
        images.append({"image_hash": signed_hash, "modification_level": PROCESSED, "parent_image_hash": raw_hash})
    return {
        "submission": {
            "submission_type": "camera",
            "image_hashes": images,
            "camera_token": msgspec.to_builtins(camera.token()),
            "manufacturer_cert": {
                "authority_id": camera.authority_id,
                "validation_endpoint": camera.validation_endpoint,
            },
            "timestamp": timestamp,
        },
        "certificate_bundle": camera.certificate_bundle(signed_hash, timestamp),
    }


def file_hash(path: Path) -> str:
    """Return the SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description="Vouch for a picture with this camera's identity.")
    parser.add_argument("raw", type=Path, help="the picture as the sensor gave it")
    parser.add_argument("--processed", type=Path, help="the same picture, developed")
    parser.add_argument(
        "--state-dir", type=Path, default=DEFAULT_STATE_DIR, help="the directory of this unit's identity"
    )
    parser.add_argument("--output", type=Path, help="a file for the JSON, instead of stdout")
    options = parser.parse_args()
    try:
        with Camera.open(options.state_dir) as camera:
            vouched = vouch(camera, options.raw, options.processed, int(time.time()))
        text = json.dumps(vouched, indent=2) + "\n"
        if options.output:
            options.output.write_text(text)
        else:
            sys.stdout.write(text)
    except BirthmarkError as error:
        print(format_error(error), file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
