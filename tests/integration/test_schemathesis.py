"""Schemathesis tests the running service by its own OpenAPI document.

It makes all its checks on every endpoint, with the same requests each time. It runs as a separate program, as a user of
the HTTP interface would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from station.config import CONFIG_NAME
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS

HERE = Path(__file__).parent


def test_the_service_keeps_to_its_own_description(tmp_path: Path) -> None:
    with VirtualStation(tmp_path / "station", str(tmp_path / "no-port")) as station:
        station.init()
        allow_any_rate(station.data_dir / CONFIG_NAME)
        token = station.make_token()
        station.start()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
                *("run", f"{station.address}openapi.json", "--checks", "all", "--seed", "1", "--max-examples", "12"),
                *("--workers", "1", "--no-color", "--header", f"Authorization: Bearer {token}"),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
                "PYTHONPATH": str(HERE.parents[1]),
            },
        )
        log = station.log.read_text()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    selected = re.search(r"Tested: (\d+)", done.stdout)
    generated = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert selected is not None
    assert generated is not None
    assert int(selected[1]) >= 18
    assert int(generated[1]) == int(generated[2]) > 500
    assert "Traceback" not in log
    assert "a bug" not in log


def allow_any_rate(config: Path) -> None:
    """Allow any rate: this test sends a thousand requests in ten seconds, and there is no other client."""
    head, mark, rates = config.read_text().partition("[web.rates]\n")
    assert mark
    config.write_text(head + mark + re.sub(r"= [0-9.]+", "= 100000.0", rates))
