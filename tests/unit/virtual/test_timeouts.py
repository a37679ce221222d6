"""The tests and the demo wait longer than the product's own limits."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from device_agent.tpm import connection, simulator
from shared import limits
from station.cli import serve
from station.ports import port
from station.registry import sqlite
from station.web.http import middleware
from virtual.timeouts import GREETING_SECONDS, TIMEOUT_SECONDS

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.mark.parametrize(
    "seconds",
    [
        simulator._SETUP_SECONDS + simulator._START_SECONDS + GREETING_SECONDS + 2 * limits.STEP_SECONDS,
        connection.COMMAND_SECONDS + limits.STEP_SECONDS,
        sqlite.BUSY_SECONDS + limits.STEP_SECONDS,
        serve.DRAIN_SECONDS,
        middleware.REQUEST_SECONDS,
        port._REFUSED_SECONDS_MAX,
    ],
)
def test_the_harness_waits_longer_than_the_product(seconds: float) -> None:
    assert seconds < TIMEOUT_SECONDS


def test_a_test_may_wait_that_long_more_than_once() -> None:
    settings = tomllib.loads(PYPROJECT.read_text())["tool"]["pytest"]["ini_options"]
    assert settings["timeout"] > 2 * TIMEOUT_SECONDS
