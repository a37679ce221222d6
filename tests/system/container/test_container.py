"""The station's image, made and run as docs/containers.md says, on a machine of the test's own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from scripts import container
from scripts.chroot import ROOT, this_machine
from tests.system.container.machine import AGGREGATOR, BRIDGE, STRANGER, Machine
from tests.system.image import packages
from tests.system.words import Words, type_words, words
from virtual.cable import End
from virtual.pi import VirtualPi
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE: Final = ROOT / "docs" / "containers.md"
NAME: Final = "birthmark-station"
ASKED: Final = "host.docker.internal:8001"
UP, LOOK, DOWN = range(3)
"""The commands below "Running it"."""

TOKEN: Final = json.dumps(
    {
        "camera_token": {
            "ciphertext": "b6cf15a3945b37df4168c978f14958952f5c9012c2c40877a374ebeda42fd523",
            "auth_tag": "5d57c67471ff18399dd9da205dfd31d3",
            "nonce": "000102030405060708090a0b",
            "table_id": 0,
            "key_index": 0,
        },
        "manufacturer_authority_id": "CANON_001",
    }
)


@pytest.fixture(autouse=True)
def nothing_failed() -> None:
    """No virtual Pi takes part."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the image, and no way to any other."""
    package, _ = packages()["station"], container.base_tar(this_machine()[1])
    with Machine(tmp_path_factory.mktemp("container")) as host:
        made = host.good(f".venv/bin/python -m scripts.container --package {package}", 600)
        assert made.strip() == container.IMAGE
        yield host


def type_one(host: Machine, one: Words) -> str:
    output = host.good(f"(set -e\n{one.commands}\n)", 300)
    assert one.fits(output), f"{PAGE.name}:{one.line} shows\n{output}\nand not\n{one.seen}"
    return output


def inspect(host: Machine, what: str, name: str) -> Any:
    return json.loads(host.good(f"podman {what} inspect {name}"))[0]


def status(host: Machine, url: str, *options: str) -> str:
    """Return the answer's HTTP status to this machine; 000 without a connection."""
    return host.good(f"curl -sS -m 60 -o /dev/null -w '%{{http_code}}' {' '.join(options)} {url} 2>/dev/null || true")


def from_container(host: Machine, path: str, *options: str, by: str = AGGREGATOR) -> str:
    """Return the answer's HTTP status to another container; 000 without a connection."""
    asked = f"curl -sS -m 60 --interface {by} -o /dev/null -w '%{{http_code}}' {' '.join(options)}"
    return host.good(f"ip netns exec aggregator {asked} http://{ASKED}{path} 2>/dev/null || true")


def wait_until_served(host: Machine) -> None:
    deadline = time.monotonic() + 120
    while status(host, "http://127.0.0.1:8001/health") != "200":
        assert time.monotonic() < deadline, host.good(f"podman logs {NAME} 2>&1; podman ps -a")
        time.sleep(0.5)


def test_the_image_names_its_user_volume_health_check_and_no_secret(host: Machine) -> None:
    image = inspect(host, "image", container.IMAGE)
    config = image["Config"]
    assert config["User"] == "8001:8001"
    assert config["Volumes"] == {"/data": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert "/health" in image["Healthcheck"]["Test"][-1]
    assert {line.partition("=")[0] for line in config["Env"]} == {"PATH", "BIRTHMARK_DATA_DIR"}
    left = host.good(
        f"podman run --rm --user 0 --network host --entrypoint sh {container.IMAGE} -c "
        '\'find / -xdev -name "*.deb" -o -xdev -name "*.key" -o -xdev -name station.toml\''
    )
    assert left == "", "neither keys nor what it was made of"


def test_without_a_station_it_says_what_is_missing(host: Machine) -> None:
    said = host.good(f"podman run --rm --network host --read-only {container.IMAGE} 2>&1 && echo RAN || true")
    assert "RAN" not in said
    assert "/data/station" in said
    assert "Traceback" not in said


def test_a_station_is_made_in_the_volume(host: Machine) -> None:
    type_words(host, PAGE, "Making the station")
    assert host.good("stat -c '%u %a' /media/safe/root-key.pem").split() == ["8001", "600"]
    kept = host.good("podman volume inspect birthmark-station --format '{{.Mountpoint}}'").strip()
    assert host.good(f"stat -c '%u %a' {kept} {kept}/station {kept}/station/station.toml").splitlines() == [
        "8001 700",
        "8001 700",
        "8001 600",
    ]


def test_it_runs_read_only_as_its_own_user_on_loopback(host: Machine) -> None:
    guide = words(PAGE, "Running it")
    type_one(host, guide[UP])
    wait_until_served(host)
    type_one(host, guide[LOOK])
    assert host.good(f"podman exec {NAME} id -u").strip() == "8001"
    assert host.good(f"podman exec {NAME} grep CapEff /proc/1/status").split()[1] == "0" * 16
    for place in ("/", "/usr/lib/birthmark-station", "/etc", "/var/lib"):
        refused = host.good(f"podman exec {NAME} sh -c 'touch {place}/x 2>&1 || true'")
        assert "Read-only file system" in refused or "Permission denied" in refused, place
    listening = host.good("ss -Hltn").split()
    assert [place for place in listening if place.endswith(":8001")] == ["127.0.0.1:8001"]
    assert from_container(host, "/health") == "000", "containers have nobody to connect to"


def test_a_name_of_containers_is_answered_and_another_refused(host: Machine) -> None:
    post = f"curl -sS --fail-with-body -m 60 -H 'Host: {ASKED}' -H 'Content-Type: application/json' -d '{TOKEN}'"
    assert "FAIL" in host.good(f"{post} http://127.0.0.1:8001/validate")
    assert status(host, "http://127.0.0.1:8001/health", "-H 'Host: host.docker.internal.evil.example'") == "421"


def test_a_stop_is_clean_and_the_data_outlive_the_container(host: Machine) -> None:
    host.good(f"podman exec {NAME} birthmark-station tokens create kept --scope read")
    host.good(f"podman stop --time 75 {NAME}", 120)
    assert inspect(host, "container", NAME)["State"]["ExitCode"] == 0
    assert "Traceback" not in host.good(f"podman logs {NAME} 2>&1")
    written = inspect(host, "container", NAME)["GraphDriver"]["Data"]["UpperDir"]
    assert host.good(f"find {written} -type f -size +0") == "", "nothing is written but to the volume"
    type_one(host, words(PAGE, "Running it")[DOWN])
    assert NAME not in host.good("podman ps --all --format '{{.Names}}'")


def test_an_aggregators_container_gets_validation_and_no_more(host: Machine) -> None:
    (up, ask) = words(PAGE, "With an aggregator beside it")
    type_one(host, up)
    wait_until_served(host)
    assert "kept" in host.good(f"podman exec {NAME} birthmark-station tokens list")
    said = host.good(f"ip netns exec aggregator sh -c '{ask.commands}'")
    assert ask.fits(said)
    post = ("-H 'Content-Type: application/json'", f"-d '{TOKEN}'")
    assert from_container(host, "/validate", *post) == "200"
    token = host.good(f"podman exec {NAME} birthmark-station tokens create aggregator --scope read").split()[-1]
    bearer = f"-H 'Authorization: Bearer {token}'"
    assert status(host, "http://127.0.0.1:8001/api/v1/devices", bearer) == "200", "here the token is good"
    assert from_container(host, "/api/v1/devices", bearer) == "403"
    assert from_container(host, "/", "-H 'Accept: text/html'") == "403"
    assert from_container(host, "/health", "-H 'Host: evil.example'") == "421"
    assert from_container(host, "/health", by=STRANGER) == "000", "it is in no listed network"
    listening = host.good("ss -Hltn").split()
    assert {place for place in listening if place.endswith(":8001")} == {"127.0.0.1:8001", f"{BRIDGE}:8001"}
    assert "In the clear, to 172.16.0.0/12: only what needs no token." in host.good(f"podman logs {NAME}")


def test_a_unit_is_provisioned_through_a_port_that_is_passed_in(host: Machine, tmp_path: Path) -> None:
    """A pseudo terminal stands for the port; it is bound, because a node of it elsewhere than in /dev/pts is dead."""
    type_one(host, words(PAGE, "Running it")[DOWN])
    run = words(PAGE, "Running it")[UP].commands
    pi = VirtualPi(tmp_path / "pi", 7)
    pi.nuc_map.write_bytes(b"the map of sensor 7" * 99)
    with pi.cable:
        port = os.readlink(pi.cable.paths[End.STATION])
        os.chown(port, 8001, 8001)
        passed = run.replace(container.IMAGE, f"--volume {port}:/dev/birthmark/1-1:dev {container.IMAGE}")
        host.good(f"{passed} serve --ek-policy simulator")
        wait_until_served(host)
        agent = pi.start("--once", *WAIT_OPTIONS)
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, said + host.good(f"podman logs {NAME} 2>&1")
    assert pi.status()["state"] == "provisioned"
    units = json.loads(host.good(f"podman exec {NAME} birthmark-station devices --json"))
    assert pi.serial in json.dumps(units)
