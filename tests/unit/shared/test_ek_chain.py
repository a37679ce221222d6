"""Certificates that lie one after the other are told apart, whatever lies between and after them."""

from __future__ import annotations

import os

import pytest
from cryptography import x509

from shared.ek_chain import certificates_in
from tests.harness.vendor_lab import Vendor, value

MIDDLE = Vendor("Chip Vendor CA 1")
ISSUING = Vendor("Chip Vendor CA 007", MIDDLE)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x30", b"\x30\x82\x10", b"\x30\x82\xff\xff", b"\x30\x80\x01\x02", b"\x30\x83\x01\x00\x00", bytes(5000)],
    ids=["nothing", "one byte", "no length", "cut off", "endless", "huge", "zeros"],
)
def test_what_has_no_length_or_is_cut_off_is_no_certificate(content: bytes) -> None:
    assert list(certificates_in(content)) == []
    assert list(certificates_in(MIDDLE.der + content)) == [MIDDLE.der]


def test_one_that_is_too_large_is_passed_over() -> None:
    large = value(0x30, bytes(4096))
    assert list(certificates_in(MIDDLE.der + large + ISSUING.der)) == [MIDDLE.der, ISSUING.der]


def test_any_bytes_give_values_that_they_hold() -> None:
    for _ in range(200):
        content = os.urandom(300) + b"\x30\x10" + os.urandom(60)
        assert all(found in content for found in certificates_in(content))
    assert x509.load_der_x509_certificate(next(iter(certificates_in(ISSUING.der)))) is not None
