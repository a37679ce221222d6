"""Validates NUC tokens: derives the key, decrypts the token, finds the unit, checks its state and its tables.

PASS and FAIL take the same steps: a token that cannot be decrypted is looked up under a random blind index, and of a
legacy token all three pairs are tried, whichever fits. For the camera's privacy nothing here logs.
"""

from __future__ import annotations

import os

from shared.birthmark.derivation import expand, extract
from shared.birthmark.legacy_token import LegacyToken, candidates
from shared.birthmark.nuc_token import NucToken, open_token
from shared.types import SECRET_BYTES, TableKey, key_index, table_id
from station.registry.database import Database
from station.registry.records import Standing, UnitState
from station.secrets.blind_index import BlindIndex
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret
from station.validation.counts import ValidationCounts
from station.validation.lookup import Lookup
from station.validation.verdict import Reason, Verdict


class TokenValidator:
    """Validates any number of tokens at once. Computes HKDF-Extract of every table once, when it is made."""

    def __init__(self, secret: StationSecret, tables: KeyTables, database: Database, counts: ValidationCounts) -> None:
        self._counts = counts
        self._blind_index = BlindIndex(secret)
        self._lookup = Lookup(database)
        self._extracted = {table: extract(tables.master_key(table)) for table in tables.ids()}
        self._dummy_extracted = TableKey(os.urandom(SECRET_BYTES))
        self._dummy_nuc_hash = os.urandom(SECRET_BYTES)

    async def validate(self, token: NucToken) -> Verdict:
        """Check a decoded `token`, whose fields have valid lengths and ranges. Raises `registry.unavailable`."""
        return await self._validate((token,))

    async def validate_legacy(self, legacy: LegacyToken) -> Verdict:
        """Check a decoded legacy token, as `validate` does. Raises `registry.unavailable`."""
        tokens = candidates(legacy)
        return Verdict(Reason.MALFORMED) if tokens is None else await self._validate(tokens)

    async def _validate(self, tokens: tuple[NucToken, ...]) -> Verdict:
        """Check what may be any of `tokens`: opens all of them, and looks up once."""
        opened = [(token, self._open(token)) for token in tokens]
        token, nuc_hash = next((one for one in opened if one[1] is not None), opened[0])
        found = await self._lookup.find(self._blind_index.of_bytes(nuc_hash or self._dummy_nuc_hash))
        known = any(table_id(token.table_id) in self._extracted for token in tokens)
        reason = _judge(found, token.table_id)
        if nuc_hash is None:
            reason = Reason.NOT_AUTHENTIC if known else Reason.UNKNOWN_TABLE
        if reason is not Reason.VALID or found is None:
            self._counts.count_failure()
            return Verdict(reason)
        return Verdict(reason if self._counts.count(found.unit_id, found.validated) else Reason.OVER_LIMIT)

    def _open(self, token: NucToken) -> bytes | None:
        """Decrypt a token; None when it was made with another key, or its table is not of this authority."""
        extracted = self._extracted.get(table_id(token.table_id))
        opened = open_token(expand(extracted or self._dummy_extracted, key_index(token.key_index)), token)
        return None if extracted is None else opened


def _judge(found: Standing | None, table: int) -> Reason:
    if found is None:
        return Reason.UNKNOWN_UNIT
    if found.state is UnitState.REVOKED:
        return Reason.REVOKED
    if found.state is not UnitState.PROVISIONED:
        return Reason.NOT_PROVISIONED
    return Reason.VALID if table in found.tables else Reason.OTHER_TABLE
