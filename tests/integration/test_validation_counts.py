"""Counts of validations over stops and kills of the running service: what is lost is what waited, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.harness.public_birthmark import Aggregator, Camera, request
from virtual.station import VirtualStation


def test_a_stop_stores_the_counts_and_a_kill_loses_only_what_waits(tmp_path: Path) -> None:
    with VirtualStation(tmp_path / "station", str(tmp_path / "no-port")) as station:
        station.init()
        token = station.make_token()
        station.start()
        made = request("POST", f"{station.address}api/v1/devices/provision", {"device_serial": "CAM-1"}, token)
        camera = Camera(made.json())

        def validate(times: int) -> None:
            aggregator = Aggregator(f"{station.address}validate")
            assert all(aggregator.validate_camera_token(camera.token()) for _ in range(times))

        def stored() -> int:
            [unit] = station.devices()
            return int(unit["validations_total"])

        validate(5)
        station.stop()
        assert stored() == 5
        station.start()
        validate(7)
        assert station.process is not None
        station.process.kill()
        station.process.wait()
        assert 5 <= stored() <= 12
        station.start()
        validate(1)
        station.stop()
        assert 6 <= stored() <= 13
