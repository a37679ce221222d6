"""A CSR must have the unit's key and serial number, and ask for nothing else."""

from __future__ import annotations

from hypothesis import given, settings

from shared.types import board_serial
from station.attestation.csr import examine_csr
from tests.harness.damage import damaged, never_crashes
from tests.harness.soft_device import SERIAL, Device, csr

HONEST = Device()


REQUEST = csr(HONEST.device.private)


@given(damaged(REQUEST))
@settings(max_examples=300)
def test_a_request_is_accepted_or_refused(octets: bytes) -> None:
    key = HONEST.device.private.public_key()
    never_crashes(lambda der: examine_csr(der, key, board_serial(SERIAL)), octets)
