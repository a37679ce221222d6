"""The chain of certificates in a chip's NV is read up to its bounds, whatever lies there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest
from tpm2_pytss import ESAPI

from device_agent.tpm import Simulator, Tpm
from device_agent.tpm.ek_chain import FIRST_INDEX, LAST_INDEX, NV_BYTES, read_ek_chain
from shared.errors import BirthmarkError, ErrorCode
from tests.harness.chip_nv import UNREADABLE, remove_nv, write_nv
from tests.harness.vendor_lab import Vendor

ROOT = Vendor("Chip Vendor Root CA")
MIDDLE = Vendor("Chip Vendor CA 1", ROOT)
ISSUING = Vendor("Chip Vendor CA 007", MIDDLE)


@pytest.fixture
def chip(simulator: Simulator) -> Iterator[Simulator]:
    yield simulator
    with ESAPI(simulator.tcti) as esapi:
        for index in range(FIRST_INDEX, LAST_INDEX + 1):
            if index < FIRST_INDEX + 16 or index > LAST_INDEX - 2:
                remove_nv(esapi, index)
        remove_nv(esapi, LAST_INDEX + 1)


def brought(chip: Simulator) -> tuple[bytes, ...]:
    tpm = Tpm.open(chip.tcti)
    try:
        return tpm.public_areas().ek_chain
    finally:
        tpm.close()


def test_a_chip_without_a_chain_brings_none(chip: Simulator) -> None:
    assert brought(chip) == ()


def test_certificates_in_one_index_or_in_several_are_read(chip: Simulator) -> None:
    write_nv(chip.tcti, {FIRST_INDEX: ISSUING.der + MIDDLE.der, LAST_INDEX: ROOT.der, LAST_INDEX + 1: Vendor().der})
    assert brought(chip) == (ISSUING.der, MIDDLE.der, ROOT.der)


def test_a_certificate_may_begin_in_one_index_and_end_in_the_next(chip: Simulator) -> None:
    both = ISSUING.der + MIDDLE.der
    write_nv(chip.tcti, {FIRST_INDEX: both[:300], FIRST_INDEX + 1: both[300:700], FIRST_INDEX + 2: both[700:]})
    assert brought(chip) == (ISSUING.der, MIDDLE.der)


def test_padding_after_each_certificate_is_passed_over(chip: Simulator) -> None:
    write_nv(chip.tcti, {FIRST_INDEX: ISSUING.der + b"\xff" * 400, FIRST_INDEX + 1: MIDDLE.der + bytes(400)})
    assert brought(chip) == (ISSUING.der, MIDDLE.der)


def test_no_more_is_read_than_the_bounds_allow(chip: Simulator) -> None:
    many = b"".join(Vendor(f"CA {number}").der for number in range(4))
    write_nv(chip.tcti, {FIRST_INDEX + number: many[:2000] for number in range(12)})
    assert 0 < len(brought(chip)) <= 4
    assert sum(map(len, brought(chip))) <= NV_BYTES


def test_an_index_that_nobody_may_read_costs_no_other(chip: Simulator) -> None:
    write_nv(chip.tcti, {FIRST_INDEX: ISSUING.der}, UNREADABLE)
    write_nv(chip.tcti, {FIRST_INDEX + 1: MIDDLE.der})
    assert brought(chip) == (MIDDLE.der,)


def test_garbage_is_no_chain_and_stops_no_unit(chip: Simulator) -> None:
    write_nv(chip.tcti, {FIRST_INDEX: b"\xff" * 1024, FIRST_INDEX + 1: b"\x30\x84\xff\xff\xff\xff" * 40})
    assert brought(chip) == ()


@pytest.mark.parametrize("code", ["tpm.gone", "tpm.hung", "tpm.busy"])
def test_a_tpm_that_does_not_answer_is_an_error_and_no_missing_chain(code: ErrorCode) -> None:
    def fails(what: str, command: object) -> NoReturn:
        raise BirthmarkError(code, what)

    with pytest.raises(BirthmarkError) as caught:
        read_ek_chain(fails)
    assert caught.value.code == code
