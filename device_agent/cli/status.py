"""`birthmark-agent status` and `reset`: what this unit is, and making it nothing again."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from cryptography.hazmat.primitives import hashes

from device_agent.bootstrap import forget
from device_agent.cli.common import STATE_DIR
from device_agent.disk import Disk
from device_agent.identity import Identity, IdentityStore
from device_agent.state import check_state_dir, only_one
from shared.command import AS_JSON, print_json
from shared.errors import BirthmarkError


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a unit may tell of itself to anybody."""

    state: str
    """`unprovisioned`; `issued`: stored, but the station has not said that it knows; `provisioned`."""
    serial: str = ""
    model: str = ""
    station: str = ""
    authority_id: str = ""
    validation_endpoint: str = ""
    table_ids: tuple[int, ...] = ()
    tpm: str = ""
    tpm_manufacturer: str = ""
    tpm_firmware: str = ""
    certificate_serial: str = ""
    certificate_not_after: str = ""
    certificate_sha256: str = ""
    root_sha256: str = ""
    certificate_file: str = ""
    chain_file: str = ""


def summary(identity: Identity | None) -> Summary:
    if identity is None:
        return Summary("unprovisioned")
    about, leaf, root = identity.about, identity.chain[0], identity.chain[-1]
    return Summary(
        "provisioned" if identity.provisioned else "issued",
        serial=about.serial,
        model=about.model,
        station=about.station,
        authority_id=about.authority_id,
        validation_endpoint=about.validation_endpoint,
        table_ids=about.table_ids,
        tpm=about.tpm,
        tpm_manufacturer=about.tpm_manufacturer,
        tpm_firmware=about.tpm_firmware,
        certificate_serial=f"{leaf.serial_number:x}",
        certificate_not_after=leaf.not_valid_after_utc.isoformat(),
        certificate_sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        root_sha256=root.fingerprint(hashes.SHA256()).hex(),
        certificate_file=str(identity.path / "certificate.pem"),
        chain_file=str(identity.path / "chain.pem"),
    )


@click.command()
@STATE_DIR
@AS_JSON
def status(state_dir: Path, as_json: bool) -> None:
    """Say what this unit is. Exit status: 0 provisioned, 1 not, or not whole."""
    identity = None
    if state_dir.exists():
        check_state_dir(state_dir)
        identity = IdentityStore(state_dir, Disk()).load()
    told = summary(identity)
    if as_json:
        print_json(told)
    elif identity is None:
        click.echo("unprovisioned: plug it into a station while `birthmark-agent run` runs.")
    else:
        for name, value in msgspec.to_builtins(told).items():
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            click.echo(f"{name.replace('_', ' '):24}{text}")
    if not (identity and identity.provisioned):
        raise SystemExit(1)


@click.command()
@STATE_DIR
@click.option("--forget-root", is_flag=True, help="Also forget which authority this unit belongs to.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def reset(state_dir: Path, forget_root: bool, yes: bool, as_json: bool) -> None:
    """Remove this unit's identity. Its keys stay in the TPM: the same station gives it the same certificate back.

    The NUC map goes with it, and must be captured again.
    """
    check_state_dir(state_dir)
    if not yes:
        click.confirm(f"Remove the identity in {state_dir}, and the sealed NUC map with it?", abort=True, err=True)
    with only_one(state_dir):
        known = forget(state_dir, forget_root=forget_root)
    if known is None and not forget_root:
        raise BirthmarkError("identity.missing", str(state_dir))
    if as_json:
        print_json({"removed": known.about.serial if known else None, "root_forgotten": forget_root})
    else:
        click.echo(f"Removed the identity of {known.about.serial}." if known else "There was no identity to remove.")
