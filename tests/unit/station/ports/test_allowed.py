"""The list of allowed ports, with a directory that looks like /sys/class/tty."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.ports.allowed import AllowedPorts, usb_path

BENCH, DEVELOPER, UART = Path("/dev/ttyACM0"), Path("/dev/ttyACM1"), Path("/dev/ttyS0")
ALL = {BENCH, DEVELOPER, UART}


@pytest.fixture
def ttys(tmp_path: Path) -> Path:
    devices = tmp_path / "devices/pci0000:00/0000:00:14.0/usb1"
    for name, device in {
        "ttyACM0": devices / "1-1/1-1.2/1-1.2:1.0",
        "ttyACM1": devices / "1-4/1-4:1.0",
        "ttyS0": tmp_path / "devices/platform/serial8250",
    }.items():
        device.mkdir(parents=True)
        (tmp_path / "ttys" / name).mkdir(parents=True)
        (tmp_path / "ttys" / name / "device").symlink_to(device)
    return tmp_path / "ttys"


@pytest.fixture
def allowed(tmp_path: Path, ttys: Path) -> AllowedPorts:
    (tmp_path / "ports.d").mkdir()
    return AllowedPorts(tmp_path / "ports.d", ttys)


def write(allowed: AllowedPorts, name: str, text: str) -> None:
    assert allowed.directory
    (allowed.directory / name).write_text(text)


def test_a_ttys_usb_path_is_the_devices_and_not_its_interfaces(ttys: Path) -> None:
    assert [usb_path(port, ttys) for port in (BENCH, DEVELOPER, UART)] == ["1-1.2", "1-4", None]
    assert usb_path(Path("/dev/ttyACM9"), ttys) is None


def test_an_empty_list_allows_every_port(allowed: AllowedPorts, ttys: Path) -> None:
    assert allowed.choose(ALL) == ALL
    write(allowed, "bench.conf", "# nothing yet\n\n")
    assert allowed.choose(ALL) == ALL
    assert AllowedPorts(None, ttys).choose(ALL) == ALL


@pytest.mark.parametrize("line", ["1-1.2", "1-1.*", "1-[12].?", "  1-1.2  # left of the bench"])
def test_only_listed_usb_ports_are_served_and_other_ports_are_not_filtered(allowed: AllowedPorts, line: str) -> None:
    write(allowed, "bench.conf", f"9-9\n{line}\n")
    assert allowed.choose(ALL) == {BENCH, UART}


def test_files_add_up_and_only_conf_counts(allowed: AllowedPorts) -> None:
    write(allowed, "a.conf", "1-4\n")
    write(allowed, "b.conf.disabled", "1-1.2\n")
    assert allowed.choose(ALL) == {DEVELOPER, UART}
    write(allowed, "b.conf", "1-1.2\n")
    assert allowed.choose(ALL) == ALL


@pytest.mark.parametrize("text", ["/dev/ttyACM0\n", "1-1.2, 1-4\n", "usb 1\n", "\x1b[2J\n"])
def test_a_line_that_is_no_usb_path_is_named_and_opens_no_usb_port(allowed: AllowedPorts, text: str) -> None:
    write(allowed, "bench.conf", "1-4\n" + text)
    with pytest.raises(BirthmarkError, match=r"bench\.conf, line 2") as caught:
        allowed.patterns()
    assert caught.value.code == "config.invalid"
    assert "\x1b" not in caught.value.sentence
    assert allowed.choose(ALL) == {UART}


def test_a_missing_directory_is_refused_rather_than_taken_for_empty(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError, match="no directory"):
        AllowedPorts(tmp_path / "none").patterns()
