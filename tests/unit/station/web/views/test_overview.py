"""The page's texts about ports and units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import ErrorCode
from shared.errors.catalogue import CATALOGUE
from shared.types import TableId
from station.attestation.ek.verification import EkTrust
from station.events import PortChanged, PortState
from station.registry.records import (
    NEVER_VALIDATED,
    Certificate,
    CertificateKind,
    CertificateState,
    KeyHolder,
    Unit,
    UnitState,
    Validated,
)
from station.web.views.overview import EXPIRES_SOON, often_validated, port_view, summary, unit_view

NOW = 1_795_500_000
DAY = 86_400
CERTIFICATE = Certificate(
    id=1,
    unit_id=7,
    kind=CertificateKind.DEVICE,
    state=CertificateState.ACTIVE,
    serial="1",
    key_fingerprint=bytes(32),
    issuer=bytes(32),
    der=b"",
    sha256=bytes(32),
    not_after=NOW + 730 * DAY,
    requested_at=NOW - 100,
    issued_at=NOW - 100,
    activated_at=NOW - 40,
    superseded_at=None,
    revoked_at=None,
    revoked_code=None,
)
UNIT = Unit(
    id=7,
    serial="10000000a3f29c41",
    state=UnitState.PROVISIONED,
    key_holder=KeyHolder.TPM,
    family="Raspberry Pi",
    model="Raspberry Pi Zero 2 W",
    station="Bench 3",
    port="/dev/ttyACM0",
    agent="birthmark-agent 0.1.0",
    certificate=CERTIFICATE,
    reserved_at=NOW - 100,
    issued_at=NOW - 100,
    provisioned_at=NOW - 40,
    duration_ms=3000,
    revoked_at=None,
    revoked_reason=None,
    revoked_code=None,
    closed_at=None,
    closed_reason=None,
    ek_trust=EkTrust.VERIFIED.value,
    ek_reason="",
    ek_anchor="",
    tpm_manufacturer="Infineon",
    tpm_model="SLB9672",
    tpm_firmware="15.23",
    tables=(TableId(1), TableId(2), TableId(3)),
)


def port(state: PortState, step: int = 0, **fields: Any) -> PortChanged:
    return PortChanged("/dev/ttyACM0", state, step, **fields)


def test_what_a_unit_finds_amiss_on_itself_is_shown_where_it_failed_in_our_words_and_not_twice() -> None:
    findings: tuple[ErrorCode, ...] = ("nuc.map-missing", "board.undervoltage")
    failed = replace(port(PortState.FAILED, 2, code="nuc.map-missing"), findings=findings)
    [shown] = port_view(failed).findings
    assert (shown.text, shown.code) == ("The supply voltage is too low.", "board.undervoltage")
    assert shown.advice == CATALOGUE["board.undervoltage"].advice
    for state in (PortState.WORKING, PortState.DONE):
        assert port_view(replace(failed, state=state)).findings == ()


def test_a_unit_that_is_not_ready_is_shown_with_what_it_lacks() -> None:
    note = "there is no NUC map. Capture"
    lacking = port_view(port(PortState.NOT_READY, serial="CAM-1", note=note, code="nuc.map-missing"))
    assert (lacking.word, lacking.steps, lacking.findings) == ("No NUC map", (), ())
    assert lacking.announcement == "CAM-1: No NUC map. There is no NUC map. Capture"
    assert port_view(port(PortState.NOT_READY, code="session.unit-not-ready")).word == "Not ready"
    assert summary([port(PortState.NOT_READY)]) == "1 not ready"


def test_the_summary_begins_with_the_most_urgent_state_and_leaves_out_empty_ones() -> None:
    states = (PortState.WAITING, PortState.WORKING, PortState.FAILED, PortState.WORKING)
    assert summary([port(state) for state in states]) == "1 failed, 2 working, 1 ready"
    assert summary([]) == ""


@pytest.mark.parametrize(
    ("state", "step", "progress"),
    [
        (PortState.WORKING, 2, ["done", "done", "now", "ahead", "ahead", "ahead"]),
        (PortState.FAILED, 1, ["done", "failed", "ahead", "ahead", "ahead", "ahead"]),
        (PortState.DONE, 6, ["done"] * 6),
        (PortState.WAITING, 0, []),
        (PortState.ABSENT, 0, []),
    ],
)
def test_the_steps_show_where_a_session_is_and_none_where_there_is_no_session(
    state: PortState, step: int, progress: list[str]
) -> None:
    view = port_view(port(state, step))
    assert [shown.progress for shown in view.steps] == progress
    assert len({shown.name for shown in view.steps}) == len(progress)


def test_a_screen_reader_says_the_unit_or_else_the_port() -> None:
    assert port_view(port(PortState.FAILED, note="unplug it")).announcement == "/dev/ttyACM0: Failed. Unplug it"
    assert port_view(port(PortState.DONE, serial="CAM-1", note="x")).announcement == "CAM-1: Done. X"


@pytest.mark.parametrize(
    ("left", "warning", "expired"),
    [
        (EXPIRES_SOON + 1, "", False),
        (EXPIRES_SOON, "Expires in 60 days", False),
        (2 * DAY - 1, "Expires in 1 day", False),
        (DAY - 1, "Expires today", False),
        (0, "Expired", True),
        (-DAY, "Expired", True),
    ],
)
def test_an_end_is_pointed_to_from_sixty_days_before(left: int, warning: str, expired: bool) -> None:
    view = unit_view(replace(UNIT, certificate=replace(CERTIFICATE, not_after=NOW + left)), NOW, 8000)
    assert (view.expiry_warning, view.expired) == (warning, expired)


def test_a_unit_without_a_certificate_has_no_end_and_has_not_expired() -> None:
    reserved = replace(UNIT, state=UnitState.RESERVED, certificate=None, issued_at=None, provisioned_at=None)
    view = unit_view(reserved, NOW, 8000)
    assert (view.expiry, view.expiry_warning, view.expired) == (None, "", False)
    assert view.when.iso == "2026-11-24T05:58:20+00:00"


def test_a_unit_is_dated_by_its_receipt_and_before_that_by_its_certificate() -> None:
    receipt = unit_view(UNIT, NOW, 8000).when.iso
    issued = unit_view(replace(UNIT, provisioned_at=None), NOW, 8000).when.iso
    assert (issued, receipt) == ("2026-11-24T05:58:20+00:00", "2026-11-24T05:59:20+00:00")


@pytest.mark.parametrize(
    ("fields", "kind", "detail"),
    [
        ({}, "genuine", "Infineon SLB9672"),
        ({"tpm_manufacturer": "", "tpm_model": ""}, "genuine", "Vendor not named"),
        ({"ek_trust": "simulated"}, "simulator", "Software, not a real TPM. Not for production."),
        ({"ek_trust": "unverified", "ek_reason": "no vendor is known"}, "unverified", "No vendor is known"),
        ({"ek_trust": "of-a-later-version"}, "unverified", "No reason was recorded."),
        ({"key_holder": KeyHolder.STATION}, "none", "This station made its private key."),
        ({"key_holder": KeyHolder.SOFTWARE}, "none", "Its private key was made in software."),
    ],
)
def test_a_tpm_is_called_genuine_only_when_it_was_verified(fields: dict[str, object], kind: str, detail: str) -> None:
    view = unit_view(replace(UNIT, **fields), NOW, 8000).tpm  # type: ignore[arg-type]
    assert (view.kind, view.detail) == (kind, detail)


TODAY = NOW // DAY


@pytest.mark.parametrize(
    ("validated", "text", "often"),
    [
        (NEVER_VALIDATED, "", False),
        (Validated(TODAY, 1, 900_000), "1 validation today", False),
        (Validated(TODAY, 7999, 7999), "7,999 validations today", False),
        (Validated(TODAY, 8000, 8000), "8,000 validations today", True),
        (Validated(TODAY - 1, 90_000, 90_000), "", False),
    ],
)
def test_the_validations_of_this_day_are_shown_and_8000_of_them_are_many(
    validated: Validated, text: str, often: bool
) -> None:
    view = unit_view(replace(UNIT, validated=validated), NOW, 8000)
    assert (view.validated, view.validated_often) == (text, often)


def test_the_notice_names_some_of_the_units_and_counts_the_others() -> None:
    assert often_validated([], 0, 8000) == ""
    assert often_validated(["CAM-1"], 1, 8000).startswith("CAM-1 was validated at least 8,000 times today.")
    assert often_validated(["CAM-1", "CAM-2"], 12, 8000).startswith("CAM-1, CAM-2 and 10 more were validated")
