"""The error class: its text, and what crosses the cable."""

from __future__ import annotations

import pytest

from shared.errors import BirthmarkError, ExitCode, format_error


def test_an_error_tells_what_happened_what_to_do_and_its_code() -> None:
    error = BirthmarkError("link.no-port", "/dev/ttyGS0")
    assert str(error) == "there is no such serial port: /dev/ttyGS0 [link.no-port]"
    assert format_error(error) == (
        "error: there is no such serial port: /dev/ttyGS0\n"
        "  Check the path; on a Pi, /dev/ttyGS0 needs the USB gadget (`birthmark-agent doctor`).\n"
        "  [link.no-port]"
    )


def test_an_error_without_particulars_is_its_sentence_alone() -> None:
    assert str(BirthmarkError("nuc.map-empty")) == "the NUC map is empty [nuc.map-empty]"


def test_a_temporary_error_exits_with_another_status() -> None:
    assert int(BirthmarkError("link.busy").exit_code) == int(ExitCode.TRY_AGAIN) == 75
    assert int(BirthmarkError("nuc.map-empty").exit_code) == int(ExitCode.FAILED) == 1


def test_advice_fits_the_case_where_the_catalogue_tells_cases_apart() -> None:
    at_the_station = BirthmarkError("link.no-port", "/dev/ttyACM7", "station")
    assert at_the_station.code == BirthmarkError("link.no-port").code
    assert "--serial-port" in at_the_station.advice
    assert "dtoverlay" not in format_error(at_the_station)
    assert "--port" in BirthmarkError("link.not-a-port").advice
    assert "--serial-port" in BirthmarkError("link.not-a-port", "", "station").advice


def test_a_case_that_is_in_no_catalogue_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        BirthmarkError("link.no-port", "", "aggregator")
