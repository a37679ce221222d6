"""A verdict passes for one reason only, and every failure has the same text."""

from __future__ import annotations

from station.validation.verdict import FAIL_MESSAGE, PASS_MESSAGE, Reason, Verdict


def test_only_a_valid_one_passes() -> None:
    assert [reason for reason in Reason if Verdict(reason).valid] == [Reason.VALID]
    assert Verdict(Reason.VALID).message == PASS_MESSAGE == "PASS"


def test_no_failure_tells_its_reason() -> None:
    failures = [Verdict(reason) for reason in Reason if reason is not Reason.VALID]
    assert {verdict.message for verdict in failures} == {FAIL_MESSAGE} == {"FAIL"}
