"""`birthmark-station derive-vectors`: prints test vectors of the key derivation, for other implementations."""

from __future__ import annotations

import click

from shared.birthmark.derivation import extract, token_key
from shared.types import MasterKey, key_index
from station.cli.common import AS_JSON, print_json

_MASTER_KEYS = tuple(
    MasterKey(value) for value in (bytes(32), bytes.fromhex("0123456789abcdef" * 4), b"\xff" * 32, bytes(range(32)))
)
_INDICES = (0, 1, 42, 255, 256, 500, 999)


@click.command("derive-vectors")
@AS_JSON
def derive_vectors(as_json: bool) -> None:
    """Print derived keys for well-known master keys; no key of a station is among them."""
    found = derive_rows()
    if as_json:
        print_json({"rows": found})
        return
    for row in found:
        click.echo(f"{row['master_key']} {row['key_index']:>3} {row['derived_key']}")


def derive_rows() -> list[dict[str, object]]:
    """Return one row for each master key and index; `prk` is the output of HKDF-Extract."""
    return [
        {
            "master_key": master_key.secret().hex(),
            "key_index": index,
            "prk": extract(master_key).secret().hex(),
            "derived_key": token_key(master_key, key_index(index)).secret().hex(),
        }
        for master_key in _MASTER_KEYS
        for index in _INDICES
    ]
