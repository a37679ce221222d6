"""`birthmark-agent status` shows this unit's identity; `reset` removes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec
from cryptography.hazmat.primitives import hashes

from device_agent.cli.common import STATE_DIR
from device_agent.doctor.machine import Machine
from device_agent.session.agent import forget
from device_agent.storage.disk import Disk
from device_agent.storage.identity import CERTIFICATE, CHAIN, Identity, IdentityStore
from device_agent.storage.sealed_map import missing_map
from device_agent.storage.state_dir import check_state_dir, lock_state_dir
from runtime.clock import iso_time
from runtime.commands import AS_JSON, print_json
from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError
from shared.text import printable

_SHOWN_CHARACTERS: Final = 1024


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a unit may tell anybody."""

    state: str
    """`unprovisioned`; `issued`: stored, but the station has not confirmed the receipt; `provisioned`."""
    serial: str = ""
    model: str = ""
    station: str = ""
    authority_id: str = ""
    validation_endpoint: str = ""
    table_ids: tuple[int, ...] = ()
    """Also in `identity.json` beside the two files below."""
    tpm: str = ""
    tpm_manufacturer: str = ""
    tpm_firmware: str = ""
    certificate_serial: str = ""
    certificate_not_after: str = ""
    certificate_sha256: str = ""
    root_sha256: str = ""
    certificate_file: str = ""
    """PEM; this path and the next stay the same when the identity is replaced."""
    chain_file: str = ""
    lacks: str = ""
    """The code of what a unit without an identity waits for; `text` and `advice` say it in words."""
    text: str = ""
    advice: str = ""


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
        certificate_not_after=iso_time(leaf.not_valid_after_utc.timestamp()),
        certificate_sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        root_sha256=root.fingerprint(hashes.SHA256()).hex(),
        certificate_file=str(identity.link / CERTIFICATE),
        chain_file=str(identity.link / CHAIN),
    )


@click.command()
@STATE_DIR
@click.option(
    "--nuc-map",
    type=click.Path(path_type=Path),
    envvar="BIRTHMARK_NUC_MAP",
    help="Where the agent looks for the NUC map; by default as its settings say, or nuc.map in the state directory.",
)
@AS_JSON
def status(state_dir: Path, nuc_map: Path | None, as_json: bool) -> None:
    """Show this unit's identity, or what it waits for. Exit status: 0 provisioned, 1 not, or not completely."""
    identity, lack = None, None
    place = Machine(state_dir=state_dir, nuc_map=nuc_map).nuc_map
    with acting_as(owner_of(state_dir)):
        try:
            check_state_dir(state_dir)
            store = IdentityStore(state_dir, Disk())
            identity = store.load()
            if identity is None and store.kept_map() is None:
                lack = missing_map(place)
        except BirthmarkError as error:
            if error.code != "identity.missing":
                raise
            lack = missing_map(place)
    told = summary(identity)
    if lack is not None:
        told = msgspec.structs.replace(told, lacks=lack.code, text=lack.sentence, advice=lack.advice)
    if as_json:
        print_json(told)
    elif lack is not None:
        click.echo(f"unprovisioned, waiting for the NUC map: {lack.sentence} [{lack.code}]\n{lack.advice}")
    elif identity is None:
        click.echo("unprovisioned: plug it into a station while `birthmark-agent run` runs.")
    else:
        for name, value in msgspec.to_builtins(told).items():
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            click.echo(
                f"{name.replace('_', ' '):24}{printable(text, _SHOWN_CHARACTERS)}"
            )  # a stolen card may say anything
    if not (identity and identity.provisioned):
        raise SystemExit(1)


@click.command()
@STATE_DIR
@click.option("--forget-root", is_flag=True, help="Also forget which authority this unit belongs to.")
@click.option("--forget-nuc-map", is_flag=True, help="Also remove the sealed NUC map.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def reset(state_dir: Path, forget_root: bool, forget_nuc_map: bool, yes: bool, as_json: bool) -> None:
    """Remove this unit's identity: its certificate and key tables.

    Its keys stay in the TPM and its NUC map stays sealed, so the same station gives it the same certificate back.

    With --forget-nuc-map the map goes too. The same station then takes the unit back only with a file of that same map;
    with a new one it refuses (registry.nuc-changed) until `birthmark-station release SERIAL`.
    """
    owner = owner_of(state_dir)
    with acting_as(owner):
        check_state_dir(state_dir)
    if not yes:
        what = "the identity and the sealed NUC map" if forget_nuc_map else "the identity, and keep the NUC map,"
        click.confirm(f"Remove {what} in {state_dir}?", abort=True, err=True)
    with acting_as(owner), lock_state_dir(state_dir):
        removed = forget(state_dir, forget_root=forget_root, forget_map=forget_nuc_map)
    if not removed.anything:
        raise BirthmarkError("identity.missing", str(state_dir))
    if as_json:
        serial = removed.identity.about.serial if removed.identity else None
        print_json({"removed": serial, "root_forgotten": forget_root, "nuc_map_kept": removed.map_kept})
        return
    what = (
        f"the identity of {printable(removed.identity.about.serial)}"
        if removed.identity
        else f"what was in {state_dir}"
    )
    click.echo(f"Removed {what}. {_AFTER_KEPT if removed.map_kept else _AFTER_FORGOTTEN}")


_AFTER_KEPT: Final = (
    "Its NUC map is kept, sealed: the station that provisioned it gives it the same certificate back.\n"
    "Next: restart, or `sudo systemctl start birthmark-agent`, and plug it in."
)
_AFTER_FORGOTTEN: Final = (
    "Its sealed NUC map is gone.\n"
    "Next: `sudo birthmark-agent setup --nuc-map FILE` with a copy of that map, restart and plug it in.\n"
    "With another map its station refuses it (registry.nuc-changed) until `birthmark-station release SERIAL`."
)
