"""Two applicants with nothing in common, and what they are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from shared.types import TableId, board_serial
from station.registry.records import Applicant, KeyHolder, Signed

FIRST: Final = Applicant(
    serial=board_serial("10000000abcdef01"),
    key_holder=KeyHolder.TPM,
    family="Raspberry Pi",
    station="bench 3",
    port="/dev/ttyACM0",
    device_fingerprint=b"device 1",
    nuc_blind_index=b"sensor 1",
    ek_fingerprint=b"tpm 1",
    ek_trust="verified",
)
SECOND: Final = replace(
    FIRST,
    serial=board_serial("10000000abcdef02"),
    device_fingerprint=b"device 2",
    nuc_blind_index=b"sensor 2",
    ek_fingerprint=b"tpm 2",
)
TABLES: Final = (TableId(0), TableId(3), TableId(7))


def signed(serial: int, der: bytes = b"a certificate", not_after: int = 2**40) -> Signed:
    """What an issuer made; the registry does not look into it."""
    return Signed(der, serial, b"an issuer", not_after)
