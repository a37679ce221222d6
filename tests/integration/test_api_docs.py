"""The examples of docs/api.md work, run one after another as a reader would, against their own station."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from station.web.routes import ENDPOINTS
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLES = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[VirtualStation]:
    with VirtualStation(tmp_path / "station", str(tmp_path / "no-port")) as station:
        station.init()
        station.start()
        yield station


def test_every_example_does_what_it_says(station: VirtualStation, tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 8
    environment = {**os.environ, "STATION": station.address.rstrip("/"), "TOKEN": station.make_token()}
    for example in EXAMPLES:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", example],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, f"{example}\n{done.stdout}\n{done.stderr}"
        assert "urn:birthmark:error" not in done.stdout


def test_the_page_names_only_endpoints_that_there_are() -> None:
    there = {endpoint.path for endpoint in ENDPOINTS}
    for path in re.findall(r"\$STATION(/[a-z0-9/.-]*)", PAGE.read_text(encoding="utf-8")):
        assert re.sub(r"camera-\d+", "{serial}", path) in there
