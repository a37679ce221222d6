"""TPM structures are read to the last byte or refused, whatever the bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given

from shared.errors import BirthmarkError
from station.attestation.tpm2.structures import read_certified, read_public, read_signature
from tests.harness.damage import damaged, never_crashes
from tests.harness.soft_device import Device, certify

HONEST = Device()
ATTEST, SIGNATURE = certify(HONEST.device.name, HONEST.ak)


@given(damaged(HONEST.ek.public, HONEST.ak.public, HONEST.srk.public))
@example(bytes.fromhex("0001000b000300b20000001000100800ffffffff0000"))
def test_a_public_area_is_read_or_refused(octets: bytes) -> None:
    never_crashes(read_public, octets)


@given(damaged(ATTEST))
def test_a_statement_is_read_or_refused(octets: bytes) -> None:
    never_crashes(read_certified, octets)


@given(damaged(SIGNATURE))
def test_a_signature_is_read_or_refused(octets: bytes) -> None:
    never_crashes(read_signature, octets)


def test_a_structure_is_read_to_its_last_byte() -> None:
    for read, honest in (
        (read_public, HONEST.ak.public),
        (read_certified, ATTEST),
        (read_signature, SIGNATURE),
    ):
        read(honest)
        for wrong in (honest + b"\0", *(honest[:end] for end in range(len(honest)))):
            with pytest.raises(BirthmarkError):
                read(wrong)


def test_a_point_off_its_curve_is_refused() -> None:
    public = bytearray(HONEST.device.public)
    public[-1] ^= 1
    with pytest.raises(BirthmarkError, match="not on its curve"):
        read_public(bytes(public))
