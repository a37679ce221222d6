"""Whatever bytes come, a parser gives a value or one of our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.attestation.csr import examine_csr
from station.attestation.maker_certificate import MakerCertificate, pem_certificates
from station.attestation.rough_der import readable, trimmed
from station.attestation.structures import read_certified, read_public, read_signature
from tests.unit.station.attestation.makers_lab import Maker, value
from tests.unit.station.attestation.rough_makers import rough_makers
from tests.unit.station.attestation.soft_device import SERIAL, Device, certify, csr

HONEST = Device()
ATTEST, SIGNATURE = certify(HONEST.device.name, HONEST.ak)
REQUEST = csr(HONEST.device.private)
VENDORS = list(rough_makers().values())
LEAF = Maker().ek(HONEST.ek.private.public_key())


def damaged(*honest: bytes) -> st.SearchStrategy[bytes]:
    """Honest bytes with a few of them changed, taken out or put in; and bytes that were never honest."""
    edits = st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 2), st.binary(min_size=1, max_size=3)), max_size=4)

    def edit(octets: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, removed, put in changes:
            at %= len(octets) + 1
            octets = octets[:at] + put + octets[at + removed :]
        return octets

    return st.binary(max_size=600) | st.builds(edit, st.sampled_from(honest), edits)


def never_crashes(read: Callable[[bytes], object], octets: bytes) -> None:
    with contextlib.suppress(BirthmarkError):
        read(octets)


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


@given(damaged(REQUEST))
@settings(max_examples=300)
def test_a_request_is_accepted_or_refused(octets: bytes) -> None:
    key = HONEST.device.private.public_key()
    never_crashes(lambda der: examine_csr(der, key, board_serial(SERIAL)), octets)


@given(damaged(LEAF, *VENDORS))
@settings(max_examples=500)
def test_a_certificate_is_read_or_refused(octets: bytes) -> None:
    never_crashes(MakerCertificate.read, octets)


@given(damaged(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
def test_a_pem_file_is_read_or_refused(octets: bytes) -> None:
    never_crashes(pem_certificates, octets)


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


def test_mending_what_was_mended_changes_nothing() -> None:
    for der in (LEAF, *VENDORS):
        assert readable(readable(der)) == readable(der)
        assert trimmed(der + bytes(99)) == der


def test_values_nested_without_end_are_refused_and_exhaust_nothing() -> None:
    nested = b""
    while len(nested) < 14_000:
        nested = value(0x30, nested)
    with pytest.raises(BirthmarkError, match="nested too deeply"):
        readable(nested)
    alternative_name = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), nested)
    key = HONEST.ek.private.public_key()
    with pytest.raises(BirthmarkError, match="nested too deeply"):
        MakerCertificate.read(Maker().ek(key, tpm=None, extensions=[(alternative_name, False)]))
