"""The image's recipe and the compose files: a user of its own, a root that is not written, nothing beyond loopback."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import Any

import yaml

from scripts import container
from scripts.packages import CONTROL
from station.cli.data_directory import ENVIRONMENT
from station.cli.serve import DRAIN_SECONDS, serve
from station.config import StationConfig, WebConfig, check
from tests.harness.checkout import ROOT
from tests.system.words import words

PAGE = ROOT / "docs" / "containers.md"
USER = "8001:8001"


def instructions() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions and their arguments, in order."""
    text = re.sub(r"^#.*\n", "", (container.FOLDER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines) if name]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def composed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((container.FOLDER / name).read_text())
    return found


def podman_line(heading: str) -> tuple[dict[str, str], list[str]]:
    """Return the options of the section's `podman run`, and the command in the container."""
    rest = shlex.split(words(PAGE, heading)[0].commands.replace("\\\n", " "))
    assert rest[:3] == ["sudo", "podman", "run"]
    options: dict[str, str] = {}
    rest = rest[3:]
    while rest[0].startswith("--"):
        name = rest.pop(0)
        options[name] = "" if name in ("--detach", "--read-only") else rest.pop(0)
    assert rest.pop(0) == container.IMAGE
    return options, rest


def test_the_image_runs_as_its_own_user_whose_numbers_are_fixed() -> None:
    assert arguments("USER") == [USER]
    (made,) = (run for run in arguments("RUN") if "useradd" in run)
    assert "--gid 8001 birthmark-station" in made
    assert "--uid 8001" in made
    assert "install --directory --mode 0700 --owner birthmark-station --group birthmark-station /data" in made
    names = [name for name, _ in instructions()]
    assert "RUN" not in names[names.index("USER") :], "root runs nothing after that"


def test_the_base_can_be_any_and_is_slim_debian_by_default() -> None:
    assert instructions()[:2] == [("ARG", "BASE=debian:bookworm-slim"), ("FROM", "${BASE}")]


def test_only_the_package_goes_into_the_image_and_no_secret() -> None:
    assert arguments("COPY") == ["birthmark-station_*.deb /tmp/"]
    assert arguments("ADD") == []
    assert arguments("ENV") == [f"{ENVIRONMENT}=/data/station"]
    assert len(arguments("ARG")) == 1


def test_it_says_where_the_data_are_how_it_is_stopped_and_whether_it_is_well() -> None:
    assert arguments("VOLUME") == ["/data"]
    assert arguments("STOPSIGNAL") == ["SIGTERM"]
    (health,) = arguments("HEALTHCHECK")
    assert "http://127.0.0.1:8001/health" in health
    assert "python3" in health
    (entry,), (command,) = arguments("ENTRYPOINT"), arguments("CMD")
    assert (entry, command) == ('["birthmark-station"]', '["serve"]')


def test_what_the_package_depends_on_is_in_the_base() -> None:
    station = CONTROL.read_text().split("\nPackage: birthmark-station\n")[1]
    named = re.findall(r"^ ([a-z0-9.+-]+)", station.split("Depends:\n")[-1].split("Description:")[0], re.MULTILINE)
    assert named
    assert set(named) <= set(container.DEPENDS)


def test_nothing_is_published_and_nothing_listens_beyond_loopback_by_default() -> None:
    (station,) = composed("compose.yaml")["services"].values()
    assert "ports" not in station
    assert "command" not in station
    assert "environment" not in station
    default = next(option for option in serve.params if option.name == "hosts").default
    assert default == ("127.0.0.1",)
    assert station["network_mode"] == "host"


def test_the_container_has_no_more_than_it_needs() -> None:
    (station,) = composed("compose.yaml")["services"].values()
    assert station["user"] == USER
    assert station["read_only"] is True
    assert station["cap_drop"] == ["ALL"]
    assert station["security_opt"] == ["no-new-privileges"]
    assert "privileged" not in station
    assert station["volumes"] == ["station:/data"]
    assert float(station["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS


def test_for_an_aggregator_it_listens_on_a_private_address_besides_loopback() -> None:
    (station,) = composed("aggregator.yaml")["services"].values()
    assert station.keys() == {"command"}
    name, *rest = station["command"]
    assert name == "serve"
    assert rest[0::2] == ["--host", "--host"]
    loopback, bridge = map(ipaddress.ip_address, rest[1::2])
    assert loopback.is_loopback
    setup = shlex.split(words(PAGE, "Making the station")[0].commands.replace("\\\n", " "))
    listed = setup[setup.index("--plain-http") + 1]
    settings = check(StationConfig(web=WebConfig(plain_http=[listed])))
    assert any(bridge in network for network in settings.web.plain_networks)


def test_the_guides_commands_and_the_compose_files_say_the_same() -> None:
    ((_, station),) = composed("compose.yaml")["services"].items()
    options, command = podman_line("Running it")
    assert command == []
    assert options == {
        "--detach": "",
        "--name": station["container_name"],
        "--network": station["network_mode"],
        "--read-only": "",
        "--tmpfs": station["tmpfs"][0],
        "--cap-drop": station["cap_drop"][0],
        "--security-opt": station["security_opt"][0],
        "--restart": station["restart"],
        "--stop-timeout": station["stop_grace_period"].removesuffix("s"),
        "--volume": f"{composed('compose.yaml')['volumes']['station']['name']}:/data",
    }
    assert station["image"] == container.IMAGE
    beside, command = podman_line("With an aggregator beside it")
    assert beside == options
    assert command == composed("aggregator.yaml")["services"]["station"]["command"]
