"""The form: what the machine says of itself, and the trials that are left to a person."""

from __future__ import annotations

from pathlib import Path

from device_agent.doctor import report
from device_agent.doctor.checklist import TRIALS
from device_agent.doctor.checks import examine
from device_agent.doctor.machine import Machine
from device_agent.doctor.report import TpmTimes
from device_agent.tpm import Simulator
from shared.errors import BirthmarkError

SERIAL = "10000000abcdef01"
TIMES = TpmTimes("IFX", "7.85", (("seal 32 bytes", 0.2314),))


def pi(root: Path) -> Machine:
    for path, text in {
        "proc/device-tree/model": "Raspberry Pi 5 | Model B\0",
        "proc/device-tree/serial-number": SERIAL,
        "sys/class/udc/fe980000.usb/state": "not attached\n",
        "sys/kernel/config/usb_gadget/birthmark/UDC": "fe980000.usb\n",
        "sys/kernel/config/usb_gadget/birthmark/strings/0x409/serialnumber": SERIAL,
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n',
        "proc/version": "Linux version 6.12.34+rpt-rpi-2712 (gcc) #1 SMP\n",
        "proc/meminfo": "MemAvailable: 409600 kB\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Machine(root, root / "var/lib/birthmark-agent", clock=lambda: 1_800_000_000.0)


def test_the_form_is_filled_in_with_what_the_machine_knows(tmp_path: Path) -> None:
    machine = pi(tmp_path)
    form = report.write(machine, examine(machine), TIMES)
    for line in (
        "| board | Raspberry Pi 5 / Model B |",
        "| system | Debian GNU/Linux 13 (trixie) |",
        "| kernel | Linux version 6.12.34+rpt-rpi-2712 |",
        "| time | 2027-01-15T08:00:00+00:00 |",
        "| USB controller | fe980000.usb; host: not attached |",
        "| memory free | 400 MiB |",
        "| TPM | IFX, firmware 7.85 |",
        "| TPM: seal 32 bytes | 0.231 s |",
    ):
        assert line in form
    assert "`setup.config-missing`" in form
    assert form.count("☐") == len(TRIALS)


def test_it_names_no_serial_number(tmp_path: Path) -> None:
    machine = pi(tmp_path)
    assert SERIAL not in report.write(machine, examine(machine), TIMES)


def test_every_table_of_it_is_whole(tmp_path: Path) -> None:
    machine = pi(tmp_path)
    columns: set[int] = set()
    for line in report.write(machine, examine(machine), TIMES).splitlines():
        if line.startswith("|"):
            columns.add(line.count("|"))
        else:
            assert len(columns) <= 1, line
            columns = set()


def test_a_pi_without_a_tpm_gets_its_form_too(tmp_path: Path) -> None:
    machine = pi(tmp_path)
    assert "[tpm.no-device] |" in report.write(machine, examine(machine), BirthmarkError("tpm.no-device"))


def test_a_sessions_commands_are_measured_on_the_tpm(simulator: Simulator, tmp_path: Path) -> None:
    times = report.measure(Machine(tmp_path, tmp_path, simulator.tcti))
    assert len(times.rows) == 5
    assert all(seconds > 0 for _, seconds in times.rows)
    assert times.manufacturer


def test_the_trials_are_numbered_and_take_an_hour_at_most() -> None:
    assert [one.number for one in TRIALS] == list(range(1, len(TRIALS) + 1))
    assert sum(one.minutes for one in TRIALS) <= 60
