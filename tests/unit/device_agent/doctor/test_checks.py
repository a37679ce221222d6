"""Each fault of a Pi is found by its code, and what is as it should be is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agent.build_date import BUILD_DATE
from device_agent.doctor import checks
from device_agent.doctor.checks import CHECKS, Finding, Outcome, codes, examine
from device_agent.doctor.machine import Machine
from shared import limits
from shared.errors.catalogue import CATALOGUE
from shared.errors.findings import FINDINGS

MIB = 1024 * 1024
NOW = BUILD_DATE.timestamp() + 86400
CARD = "25 1 179:2 / / rw - ext4 /dev/root rw\n"


class Pi:
    """A Pi as it should be, in a directory, on which a test breaks one thing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = NOW
        self.tpm = "device:/dev/tpmrm0"
        self.put("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\0")
        self.put("boot/firmware/config.txt", "[cm4]\n[all]\ndtoverlay=dwc2\ndtparam=dr_mode=peripheral\n")
        self.put("sys/class/udc/fe980000.usb/state", "configured\n")
        self.put("sys/kernel/config/usb_gadget/birthmark/UDC", "fe980000.usb\n")
        self.put("sys/kernel/config/usb_gadget/birthmark/functions/acm.usb0/port_num", "0\n")
        self.put("dev/tpmrm0")
        (root / "dev/tpmrm0").chmod(0o660)
        self.put("proc/cmdline", "console=serial0,115200 console=tty1 root=PARTUUID=1 rootwait\n")
        self.put("proc/meminfo", "MemAvailable: 400000 kB\n")
        self.put("proc/self/mountinfo", CARD)
        self.put("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
        self.put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
        self.put("var/lib/birthmark-agent/nuc.map", "a map")

    def put(self, path: str, text: str = "") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def provision(self) -> None:
        self.put("var/lib/birthmark-agent/identity/provisioned")
        self.remove("var/lib/birthmark-agent/nuc.map")

    @property
    def machine(self) -> Machine:
        return Machine(self.root, self.root / "var/lib/birthmark-agent", self.tpm, clock=lambda: self.now)

    def examined(self) -> dict[str, Finding]:
        return {finding.what: finding for finding in examine(self.machine)}


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


def test_a_pi_as_it_should_be_is_fine_in_everything(pi: Pi) -> None:
    found = pi.examined()
    assert list(found) == [what for what, _ in CHECKS]
    assert {finding.outcome for finding in found.values()} == {Outcome.FINE}, found
    assert codes(tuple(found.values())) == ()


def no_controller(pi: Pi) -> None:
    pi.remove("sys/class/udc/fe980000.usb/state")
    (pi.root / "sys/class/udc/fe980000.usb").rmdir()
    pi.put("sys/kernel/config/usb_gadget/birthmark/UDC", "\n")


def in_memory(pi: Pi) -> None:
    pi.put("proc/self/mountinfo", CARD.replace("ext4", "overlay"))


def in_a_slot(pi: Pi) -> None:
    pi.put("proc/self/mountinfo", f"{CARD}31 25 179:7 /slots/system_a/var {pi.root}/var rw - ext4 x rw\n")


def test_the_services_settings_say_where_the_map_is_and_that_an_identity_may_be_lost(pi: Pi) -> None:
    in_memory(pi)
    pi.remove("var/lib/birthmark-agent/nuc.map")
    assert {finding.what for finding in pi.examined().values() if finding.outcome is Outcome.PROBLEM} == {
        "Identity's place",
        "NUC map",
    }
    pi.put("etc/default/birthmark-agent", "BIRTHMARK_NUC_MAP=/srv/nuc.map\nBIRTHMARK_ALLOW_VOLATILE=1\n")
    pi.put("srv/nuc.map", "a map")
    found = pi.examined()
    assert (found["NUC map"].outcome, found["Identity's place"].outcome) == (Outcome.FINE, Outcome.NOTE)
    elsewhere = Machine(pi.root, pi.root / "trial", pi.tpm, clock=lambda: pi.now)
    assert (elsewhere.nuc_map, elsewhere.may_lose_identity) == (pi.root / "trial/nuc.map", False)


FAULTS: dict[str, tuple[str, str, Callable[[Pi], object]]] = {
    "without a config.txt": ("Boot settings", "setup.config-missing", lambda pi: pi.remove("boot/firmware/config.txt")),
    "overlay missing": (
        "Boot settings",
        "board.device-mode-off",
        lambda pi: pi.put("boot/firmware/config.txt", "[all]\n"),
    ),
    "CM4's otg_mode": (
        "Boot settings",
        "board.device-mode-off",
        lambda pi: pi.put(
            "boot/firmware/config.txt", "dtoverlay=dwc2\ndtparam=dr_mode=peripheral\n[cm4]\notg_mode=1\n"
        ),
    ),
    "a host's mode further down": (
        "Boot settings",
        "board.device-mode-off",
        lambda pi: pi.put(
            "boot/firmware/config.txt",
            "dtoverlay=dwc2\ndtparam=dr_mode=peripheral\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n",
        ),
    ),
    "no controller": ("USB controller", "gadget.no-controller", no_controller),
    "another gadget": (
        "Other gadget",
        "gadget.controller-busy",
        lambda pi: pi.put("sys/kernel/config/usb_gadget/webcam/UDC", "fe980000.usb\n"),
    ),
    "a module's gadget": ("Other gadget", "gadget.controller-busy", lambda pi: pi.put("sys/module/g_ether/initstate")),
    "rpi-usb-gadget on": (
        "Other gadget",
        "gadget.controller-busy",
        lambda pi: pi.put("etc/modules-load.d/usb-gadget.conf", "g_ether\n"),
    ),
    "gadget down": (
        "USB port",
        "gadget.down",
        lambda pi: pi.put("sys/kernel/config/usb_gadget/birthmark/UDC", "\n"),
    ),
    "getty enabled": (
        "Login prompt",
        "gadget.getty",
        lambda pi: pi.put("etc/systemd/system/getty.target.wants/serial-getty@ttyGS0.service"),
    ),
    "getty running": (
        "Login prompt",
        "gadget.getty",
        lambda pi: pi.put("sys/fs/cgroup/system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyGS0.service"),
    ),
    "console on the port": (
        "Login prompt",
        "gadget.getty",
        lambda pi: pi.put("proc/cmdline", "console=ttyGS0,115200 rootwait\n"),
    ),
    "no TPM": ("TPM", "tpm.no-device", lambda pi: pi.remove("dev/tpmrm0")),
    "TPM for root only": ("TPM", "tpm.permission", lambda pi: (pi.root / "dev/tpmrm0").chmod(0o600)),
    "clock of 1970": ("Clock", "board.clock-wrong", lambda pi: setattr(pi, "now", 0.0)),
    "clock of 2200": ("Clock", "board.clock-wrong", lambda pi: setattr(pi, "now", 7.3e9)),
    "no NUC map": ("NUC map", "nuc.map-missing", lambda pi: pi.remove("var/lib/birthmark-agent/nuc.map")),
    "overlay root": ("Identity's place", "identity.volatile", in_memory),
    "A/B slot": ("Identity's place", "identity.one-slot", in_a_slot),
    "little memory": ("Memory", "board.memory-low", lambda pi: pi.put("proc/meminfo", "MemAvailable: 30000 kB\n")),
    "undervoltage": ("Power", "board.undervoltage", lambda pi: pi.put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")),
}
NOTES = {"board.clock-wrong", "board.memory-low", "board.undervoltage"}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_nothing_else_is(pi: Pi, fault: str, request: pytest.FixtureRequest) -> None:
    what, code, broken = FAULTS[fault]
    if fault == "TPM for root only" and os.geteuid() != 0:
        pytest.skip("the owner may open it")
    broken(pi)
    found = pi.examined()
    assert found[what].code == code
    assert found[what].outcome is (Outcome.NOTE if code in NOTES else Outcome.PROBLEM)
    assert found[what].advice == CATALOGUE[code].advice
    assert [finding.code for finding in found.values() if finding.code] == [code]
    assert codes(tuple(found.values())) == (code,)


def test_a_full_disk_is_found(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type("Full", (), {"f_bavail": 3 * MIB // 4096, "f_frsize": 4096})()
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    assert pi.examined()["Free space"].code == "disk.nearly-full"


def test_every_code_that_a_check_can_give_is_a_finding_and_the_other_way_round() -> None:
    tried = {code for _, code, _ in FAULTS.values()} | {"disk.nearly-full"}
    assert tried == set(FINDINGS)


def test_the_lines_that_undo_device_mode_are_named_with_their_filter(pi: Pi) -> None:
    stock = "[cm4]\notg_mode=1\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n[all]\n"
    pi.put("boot/firmware/config.txt", stock)
    told = pi.examined()["Boot settings"].text
    assert "otg_mode=1 under [cm4]" in told
    assert "dtoverlay=dwc2,dr_mode=host under [cm5]" in told
    assert "has not dtparam=dr_mode=peripheral" in told


def test_a_provisioned_pi_needs_no_port_and_its_own_gadget_is_its_own_affair(pi: Pi) -> None:
    pi.provision()
    pi.put("sys/kernel/config/usb_gadget/birthmark/UDC", "\n")
    pi.put("sys/kernel/config/usb_gadget/webcam/UDC", "fe980000.usb\n")
    found = pi.examined()
    assert codes(tuple(found.values())) == ()
    assert "webcam" in found["Other gadget"].text


def test_elsewhere_than_on_a_pi_nothing_is_asked_of_its_boot(pi: Pi) -> None:
    pi.put("proc/device-tree/model", "QEMU\0")
    pi.remove("boot/firmware/config.txt")
    pi.tpm = "simulator"
    no_controller(pi)
    found = pi.examined()
    for what in ("Boot settings", "USB controller", "USB port", "TPM"):
        assert found[what].outcome is Outcome.UNKNOWN
    assert codes(tuple(found.values())) == ()


@pytest.mark.parametrize("tpm", ["device", "simulator", "swtpm:path=/run/tpm"])
def test_a_tpm_without_a_node_of_its_own_is_not_looked_for(pi: Pi, tpm: str) -> None:
    pi.tpm = tpm
    assert pi.examined()["TPM"].outcome is Outcome.UNKNOWN


def test_a_large_map_needs_memory_and_space_of_its_size(pi: Pi) -> None:
    with (pi.root / "var/lib/birthmark-agent/nuc.map").open("wb") as file:
        file.truncate(limits.NUC_MAP_BYTES * 4)
    found = pi.examined()
    assert "176 are needed" in found["Memory"].text
    assert "68 are needed" in found["Free space"].text


def test_what_cannot_be_looked_at_is_said_and_is_no_problem(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_what: str, _machine: Machine) -> Finding:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checks, "CHECKS", (("Disk", broken),))
    (finding,) = examine(pi.machine)
    assert (finding.outcome, finding.code) == (Outcome.UNKNOWN, "")
    assert "Input/output error" in finding.text
