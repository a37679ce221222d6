"""An arm64 Pi, as slow and small as a Zero 2 W, from first boot to provisioned.

Each test continues where the last ended. The agent's package is the real one. The station is a program on this machine;
`tests/system/board.py` says how TPM and cable come out of the Pi.
"""

from __future__ import annotations

import json

import pytest

from tests.system.arm64.conftest import Bench
from tests.system.guest import Guest
from tests.system.image import NUC_MAP, SERIAL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

AGENT_STATE = "/var/lib/birthmark-agent"
WAITING = "systemctl show -P StatusText birthmark-agent | grep -q 'Waiting for a station'"
LONG_SECONDS = 900


def identity(pi: Guest) -> str:
    """Return the identity, byte for byte."""
    return pi.good(f"cd {AGENT_STATE}/identity/ && sha256sum * && ls -lan --time-style=full-iso .")


def test_the_agent_waits_for_a_station_after_the_first_boot(pi: Guest) -> None:
    print(f"boot: {pi.start():.0f} s")
    pi.eventually(WAITING, LONG_SECONDS)
    assert pi.good("uname -m; dpkg --print-architecture").split() == ["aarch64", "arm64"]
    assert int(pi.good("awk '/MemTotal/ { print $2 }' /proc/meminfo")) < 512 * 1024
    assert pi.good("systemctl is-active birthmark-gadget birthmark-agent").split() == ["active", "active"]
    assert pi.good("stat -c '%U:%G %a' /dev/ttyGS0 /dev/tpmrm0").splitlines() == [
        "root:birthmark-agent 660",
        "tss:tss 660",
    ]
    told = json.loads(pi.good("birthmark-agent gadget status --json"))
    assert (told["bound_to"], told["serial"], told["tty"]) == ("dummy_udc.0", SERIAL, "/dev/ttyGS0")
    print("memory of the agent: " + pi.good("grep VmHWM /proc/$(systemctl show -P MainPID birthmark-agent)/status"))


def test_doctor_finds_nothing_in_the_way(pi: Guest) -> None:
    found = json.loads(pi.good("birthmark-agent doctor --json", LONG_SECONDS))["findings"]
    outcomes = {finding["what"]: finding["outcome"] for finding in found}
    print(f"doctor: {outcomes}")
    assert "problem" not in outcomes.values()
    for what in ("USB controller", "USB port", "TPM", "NUC map", "Identity's place", "Free space", "Memory"):
        assert outcomes[what] == "fine", found
    pi.good(f"mv {NUC_MAP} {NUC_MAP}.away")
    missing = pi.run("birthmark-agent doctor --json", LONG_SECONDS)
    pi.good(f"mv {NUC_MAP}.away {NUC_MAP}")
    assert missing.code == 1
    assert "nuc.map-missing" in missing.text


def test_its_service_is_confined(pi: Guest) -> None:
    """The kernel's own words for what the unit asks for."""
    status = pi.good("cat /proc/$(systemctl show -P MainPID birthmark-agent)/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (told["NoNewPrivs"], told["Seccomp"], told["CapBnd"]) == ("1", "2", "0000000000000000")
    assert "0" not in told["Uid"].split()


def test_a_power_cut_in_mid_store_leaves_no_half_identity(pi: Guest, bench: Bench) -> None:
    pi.slow_disk(5)
    bench.open()
    storing = f"cd {AGENT_STATE}; until ls -d .identity-* >/dev/null 2>&1; do sleep 0.02; done; ls -A . .identity-*"
    seen = pi.good(storing, LONG_SECONDS)
    pi.cut_power()
    bench.close()
    print(f"cut at: {seen.split()}")
    assert ".identity-" in seen
    assert "identity" not in seen.split()


def test_after_the_power_cut_it_is_provisioned_and_nothing_was_issued_twice(pi: Guest, bench: Bench) -> None:
    print(f"boot: {pi.start():.0f} s")
    bench.open()
    pi.eventually(f"test -e {AGENT_STATE}/identity/provisioned", LONG_SECONDS)
    pi.eventually("test $(systemctl show -P ActiveState birthmark-agent) = inactive", 60)
    assert f"Provisioned as {SERIAL}" in pi.good("systemctl show -P StatusText birthmark-agent")
    told = json.loads(pi.good("birthmark-agent status --json"))
    assert (told["state"], told["serial"]) == ("provisioned", SERIAL)
    (unit,) = bench.station.devices()
    assert (unit["device_serial"], unit["state"]) == (SERIAL, "provisioned")
    assert int(str(unit["certificate_serial"]), 16) == int(told["certificate_serial"], 16)
    assert pi.good(f"ls -A {AGENT_STATE} | grep -c '^.identity-'") == "1"
    assert pi.run(f"test -e {NUC_MAP}").code == 1
    print("power-on to provisioned: " + pi.good("systemctl show -P InactiveEnterTimestampMonotonic birthmark-agent"))


def test_a_further_boot_leaves_a_provisioned_pi_alone(pi: Guest, bench: Bench) -> None:
    before = identity(pi)
    bench.close()
    pi.power_off()
    print(f"boot: {pi.start():.0f} s")
    pi.eventually("systemctl is-system-running --wait | grep -q running", LONG_SECONDS)
    for unit in ("birthmark-agent.timer", "birthmark-agent.service", "birthmark-gadget.service"):
        assert pi.good(f"systemctl show -P ActiveState {unit}") == "inactive"
    pi.eventually("systemctl is-active -q birthmark-quiet-port", LONG_SECONDS)
    told = json.loads(pi.good("birthmark-agent gadget status --json"))
    assert (told["bound_to"], told["quiet"], told["tty"]) == ("dummy_udc.0", True, None)
    assert identity(pi) == before
    pi.power_off()
