"""Test vectors for software and TPM; the rows agree with Birthmark's public code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shared.types import MasterKey, TableKey, TokenKey

_KINDS: Final = {"master_key": MasterKey, "prk": TableKey, "derived_key": TokenKey}
_FOLDER: Final = Path(__file__).parents[1] / "data" / "vectors"


@dataclass(frozen=True, slots=True)
class Derivation:
    """`derived_key` of (`master_key`, `key_index`) and HKDF-Extract's output `prk`."""

    master_key: MasterKey
    key_index: int
    prk: TableKey
    derived_key: TokenKey


@dataclass(frozen=True, slots=True)
class Token:
    """The fields of a NUC token, and its inputs."""

    master_key: MasterKey
    table_id: int
    key_index: int
    nuc_hash: bytes
    nonce: bytes
    ciphertext: bytes
    auth_tag: bytes


def _rows(name: str) -> list[dict[str, Any]]:
    rows = json.loads((_FOLDER / name).read_text())["rows"]
    return [
        {name: _KINDS.get(name, bytes)(bytes.fromhex(v)) if isinstance(v, str) else v for name, v in row.items()}
        for row in rows
    ]


DERIVATIONS: Final = tuple(Derivation(**row) for row in _rows("key_derivation.json"))
TOKENS: Final = tuple(Token(**row) for row in _rows("nuc_tokens.json"))
