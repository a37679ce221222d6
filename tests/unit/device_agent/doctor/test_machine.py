"""What is read of a machine: a made tree in place of its `/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent.doctor.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, tmp_path / "var/lib/birthmark-agent")


def put(machine: Machine, path: str, data: str | bytes = b"") -> None:
    place = machine.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data.encode() if isinstance(data, str) else data)


def test_an_empty_machine_is_no_pi_and_has_nothing(machine: Machine) -> None:
    assert (machine.model, machine.is_pi, machine.provisioned, machine.has_map) == ("", False, False, False)
    assert (machine.map_bytes, machine.storage, machine.memory_bytes) == (None, None, None)
    assert machine.names("sys/class/hwmon") == ()
    assert machine.bytes("boot/config.txt") == b""


def test_a_board_is_known_by_its_device_tree(machine: Machine) -> None:
    put(machine, "proc/device-tree/model", b"Raspberry Pi Zero 2 W Rev 1.0\0")
    assert (machine.model, machine.is_pi) == ("Raspberry Pi Zero 2 W Rev 1.0", True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MemTotal: 1 kB\nMemAvailable:     2048 kB\n", 2 << 20),
        ("MemAvailable:\n", None),
        ("MemAvailable: ² kB\n", None),
    ],
)
def test_free_memory_is_what_the_kernel_says(machine: Machine, text: str, found: int | None) -> None:
    put(machine, "proc/meminfo", text)
    assert machine.memory_bytes == found


def test_a_file_is_read_up_to_a_bound(machine: Machine) -> None:
    put(machine, "large", b"x" * 1_000_000)
    assert len(machine.bytes("large")) == 256 * 1024


def test_the_state_tells_of_map_and_provisioning(machine: Machine) -> None:
    put(machine, "var/lib/birthmark-agent/nuc.map", b"12345")
    assert (machine.has_map, machine.map_bytes, machine.provisioned) == (True, 5, False)
    put(machine, "var/lib/birthmark-agent/identity/provisioned")
    assert machine.provisioned
    machine.nuc_map.unlink()
    assert machine.has_map


def test_the_free_space_of_a_directory_that_is_not_there_is_its_disks(machine: Machine) -> None:
    assert (machine.free_bytes or 0) > 0
