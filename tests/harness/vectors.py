"""Test vectors for software and TPM; the rows agree with Birthmark's public code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parents[1] / "data" / "vectors"


@dataclass(frozen=True, slots=True)
class Derivation:
    """`derived_key` of (`master_key`, `key_index`) and HKDF-Extract's output `prk`; keys are 32 bytes each."""

    master_key: bytes
    key_index: int
    prk: bytes
    derived_key: bytes


@dataclass(frozen=True, slots=True)
class Token:
    """The fields of a NUC token, and its inputs."""

    master_key: bytes
    table_id: int
    key_index: int
    nuc_hash: bytes
    nonce: bytes
    ciphertext: bytes
    auth_tag: bytes


def _rows(name: str) -> list[dict[str, Any]]:
    rows = json.loads((_FOLDER / name).read_text())["rows"]
    return [{key: bytes.fromhex(v) if isinstance(v, str) else v for key, v in row.items()} for row in rows]


DERIVATIONS: Final = tuple(Derivation(**row) for row in _rows("key_derivation.json"))
TOKENS: Final = tuple(Token(**row) for row in _rows("nuc_tokens.json"))
