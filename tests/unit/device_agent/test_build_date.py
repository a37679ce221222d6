"""The build date is in the past, and a release writes its own day into the module."""

import datetime as dt
from pathlib import Path

from device_agent import build_date
from device_agent.build_date import BUILD_DATE
from runtime.clock import utc_now
from scripts.release import with_build_date


def test_an_agent_was_built_before_now() -> None:
    assert utc_now() >= BUILD_DATE


def test_a_release_writes_its_day() -> None:
    module = Path(build_date.__file__).read_text()
    made: dict[str, object] = {}
    exec(with_build_date(module, dt.datetime(2031, 5, 7, 13, tzinfo=dt.UTC)), made)  # noqa: S102 - our own module
    assert made["BUILD_DATE"] == dt.datetime(2031, 5, 7, tzinfo=dt.UTC)
