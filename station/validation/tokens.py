"""Validates NUC tokens: derive the key, open the token, find the unit, check its state and that the table is its own.

PASS and FAIL do the same work: a token that does not open is looked up all the same, under an index that nobody has.
Nothing here logs.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.birthmark.derivation import expand_input, extract
from shared.birthmark.nuc_token import NucToken
from shared.types import key_index, table_id
from station.registry.database import Database
from station.registry.records import UnitState
from station.secrets.blind_index import BlindIndex
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret
from station.validation.lookup import Found, Lookup
from station.validation.verdict import Reason, Verdict


class TokenValidator:
    """For any number of tokens at once. HKDF-Extract of every table is done once, here."""

    def __init__(self, secret: StationSecret, tables: KeyTables, database: Database) -> None:
        self._nuc_index = BlindIndex(secret)
        self._lookup = Lookup(database)
        self._extracted = {table: extract(tables.master_key(table)) for table in tables.ids()}
        self._nobodys_table = os.urandom(32)
        self._nobody = os.urandom(32)

    async def validate(self, token: NucToken) -> Verdict:
        """`token` has been decoded, so its fields have their lengths and ranges. Raises `registry.unavailable`."""
        extracted = self._extracted.get(table_id(token.table_id))
        key = hmac.digest(extracted or self._nobodys_table, expand_input(key_index(token.key_index)), hashlib.sha256)
        opened = _open(key, token)
        found = await self._lookup.find(self._nuc_index.of_bytes(opened or self._nobody))
        if extracted is None:
            return Verdict(Reason.UNKNOWN_TABLE)
        if opened is None:
            return Verdict(Reason.NOT_AUTHENTIC)
        return Verdict(_judge(found, token.table_id))


def _open(key: bytes, token: NucToken) -> bytes | None:
    sealed = bytes.fromhex(token.ciphertext + token.auth_tag)
    try:
        return AESGCM(key).decrypt(bytes.fromhex(token.nonce), sealed, None)
    except InvalidTag:
        return None


def _judge(found: Found | None, table: int) -> Reason:
    if found is None:
        return Reason.UNKNOWN_UNIT
    state, tables = found
    if state is UnitState.REVOKED:
        return Reason.REVOKED
    if state is not UnitState.PROVISIONED:
        return Reason.NOT_PROVISIONED
    return Reason.VALID if table in tables else Reason.OTHER_TABLE
