"""`birthmark-agent token`, `sign` and `export`: use the unit's identity from a shell."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_agent.cli.common import OTHER_TPM, STATE_DIR, open_camera
from runtime.commands import AS_JSON, print_json
from runtime.files import TooLargeError, read_bounded, write_private
from runtime.owner import acting_as, owner_of
from shared.birthmark.provisioning import Provisioning
from shared.errors import BirthmarkError

_CHUNK_BYTES: Final = 1 << 20
_BUNDLE_BYTES: Final = 4 << 20

CANNOT_EXPORT: Final = {
    "device_private_key": "it was born in the TPM and never leaves it; `device_agent.camera.Camera.sign` uses it there",
    "master_keys": "the TPM holds keys made from them, not the master keys; `Camera.token` uses those there",
}


class _Exported(Provisioning, frozen=True, omit_defaults=True):
    not_exported: dict[str, str] = msgspec.field(default_factory=dict)
    """The fields that are left out, and why."""


@click.command()
@STATE_DIR
@OTHER_TPM
@click.option("--table", type=int, help="One of the unit's three tables; chance unless given.")
@click.option("--index", type=int, help="0 to 999; chance unless given.")
def token(state_dir: Path, tpm: str | None, table: int | None, index: int | None) -> None:
    """Print a fresh NUC token: the JSON of Birthmark's `camera_token`."""
    with open_camera(state_dir, tpm) as camera:
        print_json(camera.token(table, index))


@click.command()
@STATE_DIR
@OTHER_TPM
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--bundle", type=click.Path(path_type=Path), help="A JSON object to sign as Birthmark's cameras do.")
@AS_JSON
def sign(state_dir: Path, tpm: str | None, file: Path | None, bundle: Path | None, as_json: bool) -> None:
    """Sign a FILE with the device key and print the DER ECDSA P-256 signature with SHA-256 in base64.

    With --bundle print the JSON object with its `device_signature`.
    """
    if (file is None) == (bundle is None):
        raise click.UsageError("give either a FILE or --bundle")
    if bundle is not None:
        content = _read_bundle(bundle)
        with open_camera(state_dir, tpm) as camera:
            print_json(camera.sign_bundle(content))
    elif file is not None:
        digest = _hash_file(file)
        with open_camera(state_dir, tpm) as camera:
            signature = b64encode(camera.sign_digest(digest)).decode()
        if as_json:
            print_json({"file": str(file), "sha256": digest.hex(), "signature": signature})
        else:
            click.echo(signature)


@click.command()
@STATE_DIR
@OTHER_TPM
@click.option(
    "--format",
    "kind",
    type=click.Choice(["provisioning-json"]),
    required=True,
    help="The only one: the JSON that Birthmark calls provisioning.json.",
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A new file; it holds the NUC hash.")
@AS_JSON
def export(state_dir: Path, tpm: str | None, kind: str, output: Path, as_json: bool) -> None:
    """Write Birthmark's `provisioning.json` without the keys that stay in the TPM.

    The file names them under `not_exported` with the reason, and so does stderr.
    """
    with open_camera(state_dir, tpm) as camera:
        public = camera.certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in camera.certificate_chain[1:])
        exported = _Exported(
            device_serial=camera.serial,
            device_family=camera.model,
            device_certificate=camera.certificate.public_bytes(Encoding.PEM).decode(),
            certificate_chain=chain.decode(),
            device_public_key=public.decode(),
            table_assignments=list(camera.table_ids),
            key_holder="tpm",
            nuc_hash=camera.nuc_hash().secret().hex(),
            not_exported=CANNOT_EXPORT,
        )
    _write_private(output, msgspec.json.format(msgspec.json.encode(exported)) + b"\n")
    for field, reason in CANNOT_EXPORT.items():
        click.echo(f"not exported: {field}: {reason}", err=True)
    if as_json:
        print_json({"output": str(output), "format": kind, "not_exported": CANNOT_EXPORT})
    else:
        click.echo(f"Wrote {output}. It holds the NUC hash, which is secret.")


def _read_bundle(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_bounded(path, _BUNDLE_BYTES))
    except TooLargeError:
        raise BirthmarkError("bundle.malformed", f"{path} is larger than {_BUNDLE_BYTES >> 20} MiB") from None
    except OSError as error:
        raise BirthmarkError("file.unreadable", f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise BirthmarkError("bundle.malformed", f"{path} is not JSON") from None
    if not isinstance(content, dict):
        raise BirthmarkError("bundle.malformed", f"{path} is not a JSON object")
    return content


def _hash_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise BirthmarkError("file.unreadable", f"{path}: {error.strerror}") from error
    return digest.digest()


def _write_private(path: Path, data: bytes) -> None:
    try:
        with acting_as(owner_of(path)):
            write_private(path, data)
    except OSError as error:
        raise BirthmarkError("file.unwritable", f"{path}: {error.strerror}") from error
