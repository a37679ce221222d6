#!/usr/bin/env python3
"""Starts Birthmark's public camera program, unmodified, on a unit whose keys are in its TPM.

    PYTHONPATH=Birthmark/packages/camera-pi/src python examples/camera_pi.py capture --submission-server http://HOST:8545

Of `camera_pi.main`, which asks its own modules for three things, this replaces the three: the provisioning data, the
maker of tokens, and the holder of the private key. Everything else, also the command line, is that program's own;
`--state-dir` is for this launcher. There is no provisioning.json, and its `info` shows no NUC hash.

It signs in a second thread while it takes the next picture; `device_agent.camera.Camera` may be used so.

Run it as the user who owns the state directory (on a Pi: sudo -u birthmark-agent).
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_agent.camera import Camera
from device_agent.storage.state_dir import DEFAULT_STATE_DIR
from shared.errors import BirthmarkError, format_error


def provisioning_data(camera: Camera) -> SimpleNamespace:
    """What that program reads of provisioning.json, without the secrets."""
    own, intermediate, _root = camera.certificate_chain
    public = own.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SimpleNamespace(
        device_serial=camera.serial,
        device_family=camera.model,
        device_certificate=own.public_bytes(Encoding.PEM).decode(),
        certificate_chain=intermediate.public_bytes(Encoding.PEM).decode(),
        device_public_key=public.decode(),
        table_assignments=list(camera.table_ids),
        nuc_hash="in the TPM",
    )


def make_token(camera: Camera, table: int | None = None, index: int | None = None) -> SimpleNamespace:
    fields = msgspec.structs.asdict(camera.token(table, index))
    return SimpleNamespace(**fields, to_dict=lambda: dict(fields))


def run_camera_program(camera: Camera) -> None:
    here = Path(__file__).resolve().parent  # where this file, too, would be a `camera_pi`
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    program = import_module("camera_pi.main")
    data = provisioning_data(camera)
    tokens = SimpleNamespace(generate_token=lambda table=None, index=None: make_token(camera, table, index))
    signer = SimpleNamespace(_private_key=camera.private_key(), sign_data=camera.sign)
    vars(program).update(
        ProvisioningClient=lambda _path=None: SimpleNamespace(load_from_file=lambda: data),
        create_token_generator_from_provisioning=lambda _data: tokens,
        create_tpm_interface_from_provisioning=lambda _data: signer,
    )
    program.main()


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--state-dir", type=Path, default=DEFAULT_STATE_DIR)
    options, theirs = parser.parse_known_args()
    sys.argv[1:] = theirs
    try:
        with Camera.open(options.state_dir) as camera:
            run_camera_program(camera)
    except BirthmarkError as error:
        print(format_error(error), file=sys.stderr)
        return int(error.exit_code)
    except ModuleNotFoundError as error:
        print(
            f"error: {error}: name the camera program's src in PYTHONPATH, and install what it needs", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
