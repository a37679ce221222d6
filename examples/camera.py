#!/usr/bin/env python3
"""A small camera: takes a picture from a file, and signs for it with this unit's keys.

    python examples/camera.py raw.dng --processed photo.jpg --output vouched.json

The JSON holds three values:

`submission` is the body for Birthmark's aggregator (POST /api/v1/submit): the picture's hashes, and a NUC token that
only this camera's sensor and TPM could have made. The aggregator asks the manufacturer's authority to validate the
token, and the authority never learns of the picture.

`legacy_submissions` are bodies for its older address (POST /api/v1/submit-legacy), one for each hash, with a token of
the same kind. They name all three tables, and two key indices are chance, so that the aggregator does not learn which
key was used. The public aggregator's newest version records only these. examples/submit.py sends either.

`certificate_bundle` is the body for the authority's /validate-cert: the hash, signed with the key that was made in this
camera's TPM.

Run it as the user who owns the state directory (on a Pi: sudo -u birthmark-agent); not even root opens another's.

A real camera differs in one thing: its picture comes from the sensor. Everything else is `device_agent.camera.Camera`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec

from device_agent.camera import Camera
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from shared import limits
from shared.errors import BirthmarkError, format_error

RAW, PROCESSED = 0, 1  # Birthmark's modification levels


def vouch(camera: Camera, raw: Path, processed: Path | None, timestamp: int) -> dict[str, Any]:
    """Make the submission and the certificate bundle for one picture, taken at `timestamp` (seconds since 1970)."""
    raw_hash = signed_hash = file_hash(raw)
    images: list[dict[str, Any]] = [{"image_hash": raw_hash, "modification_level": RAW, "parent_image_hash": None}]
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
        "legacy_submissions": [legacy_submission(camera, image, timestamp) for image in images],
        "certificate_bundle": camera.certificate_bundle(signed_hash, timestamp),
    }


def legacy_submission(camera: Camera, image: dict[str, Any], timestamp: int) -> dict[str, Any]:
    """Make the signed body of /api/v1/submit-legacy for one of the picture's hashes."""
    token = camera.token()
    packed = bytes.fromhex(token.ciphertext + token.nonce + token.auth_tag)
    indices = {table: secrets.randbelow(limits.KEYS_PER_TABLE) for table in camera.table_ids}
    indices |= {table: token.key_index for table in camera.table_ids if table == token.table_id}
    return camera.sign_bundle(
        {
            "image_hash": image["image_hash"],
            "encrypted_nuc_token": b64encode(packed).decode(),
            "table_references": list(indices),
            "key_indices": list(indices.values()),
            "timestamp": timestamp,
            "modification_level": image["modification_level"],
        }
        | ({"parent_image_hash": image["parent_image_hash"]} if image["parent_image_hash"] else {})
    )


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
