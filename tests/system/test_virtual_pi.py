"""One virtual Pi and its station, from first boot to removal: each test continues where the last ended.

Both are one machine: `dummy_hcd` joins its USB device controller to its USB host, so gadget, cdc_acm, udev and systemd
are the real ones, and so is the TPM driver. The cable is the gadget's UDC attribute.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.harness.releaser import APT_PAGE
from tests.system.archive import NEW_SETTING, SETTINGS, newer_agent, offer
from tests.system.conftest import Fill
from tests.system.guest import Guest
from tests.system.image import NUC_MAP, SERIAL, SUITE, install, packages
from tests.system.page import READ, open_page
from tests.system.words import type_words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

UDC = "/sys/kernel/config/usb_gadget/birthmark/UDC"
AGENT_STATE = "/var/lib/birthmark-agent"
UNPLUG = f"echo '' > {UDC}"
PLUG = f"ls /sys/class/udc > {UDC}"
PAGE = "curl -sS --fail --max-time 90 http://127.0.0.1:8001"
AS_STATION = "setpriv --reuid=birthmark-station --regid=birthmark-station --clear-groups"
WAITING = "systemctl show -P StatusText birthmark-agent | grep -q 'Waiting for a station'"
UNPACKED = "find /usr/lib/birthmark-agent -name '*.dpkg-new' 2>/dev/null"
"""Prints what dpkg has unpacked, and not yet put in place of what is there."""


@pytest.fixture(scope="module")
def fill() -> Fill:
    """Install all, and offer a newer agent by apt."""

    def fill(root: Path, ek_roots: Path) -> None:
        install(root, ek_roots)
        (root / "etc/apt/sources.list").write_text("")
        offer(root, [packages()["agent"], newer_agent()], SUITE)

    return fill


@pytest.fixture(scope="module")
def before_upgrade() -> dict[str, str]:
    """What one test sees before the upgrade, for those after it."""
    return {}


def units(pi: Guest) -> list[dict[str, object]]:
    told: object = json.loads(
        pi.good(f"{AS_STATION} birthmark-station devices --json --data-dir /var/lib/birthmark-station/data")
    )
    assert isinstance(told, list)
    return told


def kept(pi: Guest) -> str:
    """Return all that no upgrade may change, byte for byte: what the agent keeps, and what was set up."""
    found = f"find {AGENT_STATE} /etc/birthmark-agent /{SETTINGS} -not -name lock"
    return pi.good(
        f"{found} -not -type d -printf '%p %u:%g %m %s %T@ %l\\n' | sort; {found} -type f | sort | xargs sha256sum"
    )


def proves_itself(pi: Guest, tables: int = 1) -> None:
    """Check, at the station's HTTP interface and with openssl, that the unit's keys do what they are for."""
    told = json.loads(pi.good("birthmark-agent status --json"))
    assert (told["state"], told["serial"]) == ("provisioned", SERIAL)
    for table in told["table_ids"][:tables]:
        token = json.loads(pi.good(f"sudo -u birthmark-agent birthmark-agent token --table {table}"))
        asked = json.dumps({"camera_token": token, "manufacturer_authority_id": "any"})
        assert json.loads(pi.good(f"{PAGE}/validate -H 'Content-Type: application/json' -d '{asked}'"))["valid"] is True
    pi.good("echo photo > /run/photo && birthmark-agent sign /run/photo | base64 -d > /run/signature")
    pi.good(f"openssl x509 -in {AGENT_STATE}/identity/certificate.pem -noout -pubkey > /run/key.pem")
    pi.good("openssl dgst -sha256 -verify /run/key.pem -signature /run/signature /run/photo")


def port_is_quiet(pi: Guest) -> None:
    """Check that the port is held, and that its host sees nothing, nor logged that anything was there."""
    pi.eventually("systemctl is-active -q birthmark-quiet-port", 60)
    time.sleep(3)
    told = json.loads(pi.good("birthmark-agent gadget status --json"))
    assert (told["bound_to"], told["quiet"], told["tty"]) == ("dummy_udc.0", True, None)
    assert pi.good("cat /sys/class/udc/dummy_udc.0/state") == "not attached"
    assert pi.run("ls /dev/ttyACM0 /dev/birthmark/*-*").code == 2
    hub = pi.good("dirname $(grep -il dummy /sys/bus/usb/devices/usb*/product)")
    assert pi.run(f"ls -d {hub}/[0-9]*-[1-9]").code == 2  # nothing below the host's own root hub
    assert pi.run("dmesg | grep -E 'unable to enumerate|new .*-speed USB device'").code == 1


def test_the_gadget_is_up_at_first_boot_and_the_agent_waits_for_a_station(pi: Guest) -> None:
    print(f"boot: {pi.start():.0f} s")
    pi.eventually(WAITING, 120)
    told = json.loads(pi.good("birthmark-agent gadget status --json"))
    assert (told["bound_to"], told["serial"], told["tty"]) == ("dummy_udc.0", SERIAL, "/dev/ttyGS0")
    assert pi.good("systemctl is-active birthmark-gadget birthmark-agent").split() == ["active", "active"]
    assert pi.good("stat -c '%U:%G %a' /dev/ttyGS0 /dev/tpmrm0").splitlines() == [
        "root:birthmark-agent 660",
        "tss:tss 660",
    ]


def test_setup_finds_the_devices_pins_the_root_and_run_again_changes_nothing(pi: Guest) -> None:
    config = "/boot/firmware/config.txt"
    pi.good(f"mkdir -p /boot/firmware && printf '[cm4]\\notg_mode=1\\n[all]\\n' > {config}")
    setup = "birthmark-agent setup --json --root /var/lib/birthmark-station/data/authority/root.pem"
    told = json.loads(pi.good(setup, 60))
    outcomes = {step["what"]: step["outcome"] for step in told["steps"]}
    assert outcomes == {
        "Boot settings": "done",
        "TPM": "already so",
        "Root certificate": "done",
        "NUC map": "already so",
        "Service": "done",
    }
    assert (told["changed"], told["restart_needed"]) == (True, True)
    assert pi.good(f"tail -n 3 {config}").split() == [
        "dtoverlay=dwc2",
        "dtparam=dr_mode=peripheral",
        "dtoverlay=tpm-slb9670",
    ]
    again = json.loads(pi.good(setup, 60))
    assert (again["changed"], again["restart_needed"]) == (False, False)
    pi.eventually(WAITING, 60)


def test_a_pi_without_its_nuc_map_waits_for_it_and_goes_on_by_itself(pi: Guest) -> None:
    pi.good(f"mv {NUC_MAP} {NUC_MAP}.away && systemctl restart birthmark-agent", 60)
    pi.eventually("systemctl show -P StatusText birthmark-agent | grep -q 'Waiting for the NUC map'", 60)
    told = pi.run("birthmark-agent status --json")
    assert (told.code, json.loads(told.text)["lacks"]) == (1, "nuc.map-missing")
    pi.good(f"mv {NUC_MAP}.away {NUC_MAP}")
    pi.eventually(WAITING, 60)
    assert pi.good("systemctl show -P NRestarts birthmark-agent") == "0"


def test_plugging_in_raises_the_link_and_wakes_the_station(pi: Guest) -> None:
    pi.eventually("systemctl is-active -q birthmark-station", 60)
    assert pi.good("systemctl show -P TriggeredBy birthmark-station") == "birthmark-station.socket"
    port = pi.good("ls /dev/birthmark/ | grep -v udc")
    assert pi.good(f"readlink /dev/birthmark/{port}") == "../ttyACM0"
    assert pi.good("stat -c '%G %a' /dev/ttyACM0") == "birthmark-station 660"
    properties = pi.good("udevadm info /dev/ttyACM0")
    assert "ID_MM_DEVICE_IGNORE=1" in properties
    assert "SYSTEMD_WANTS=birthmark-station.service" in properties


def test_a_port_that_is_not_on_the_list_is_left_alone(pi: Guest) -> None:
    assert json.loads(pi.good(f"{PAGE}/health"))["ports"] == {}
    time.sleep(3)
    assert pi.run("ls -l /proc/$(systemctl show -P MainPID birthmark-station)/fd | grep ttyACM").code == 1
    pi.eventually(WAITING, 5)
    assert units(pi) == []


def test_a_unit_unplugged_in_mid_session_is_reported_and_waits_again(pi: Guest) -> None:
    pi.good(UNPLUG)
    pi.eventually("! test -e /dev/ttyACM0", 20)
    pi.good("rm /etc/birthmark-station/ports.d/bench.conf")
    pi.eventually(WAITING, 60)
    pi.tpm.hold()
    pi.good(PLUG)
    pi.eventually("systemctl show -P StatusText birthmark-agent | grep -q 'Step [1-3] of 6'", 60)
    pi.eventually(f"{PAGE}/health | grep -q '\"working\":1'", 30)
    pi.good(UNPLUG)
    pi.eventually("! ls /dev/birthmark/ | grep -v udc", 20)
    pi.tpm.release()
    pi.eventually("journalctl -b -u birthmark-station -o cat | grep -q link.lost", 30)
    pi.eventually(WAITING, 90)
    assert units(pi) == []


def test_a_power_cut_in_mid_store_leaves_no_half_identity(pi: Guest) -> None:
    pi.slow_disk(5)
    pi.good(PLUG)
    storing = f"cd {AGENT_STATE}; until ls -d .identity-* >/dev/null 2>&1; do sleep 0.02; done; ls -A . .identity-*"
    seen = pi.good(storing, 120)
    pi.cut_power()
    print(f"cut at: {seen.split()}")
    assert ".identity-" in seen
    assert "identity" not in seen.split()


def test_after_the_power_cut_it_is_provisioned_and_nothing_was_issued_twice(pi: Guest) -> None:
    print(f"boot: {pi.start():.0f} s")
    pi.eventually(f"test -e {AGENT_STATE}/identity/provisioned", 180)
    pi.eventually("test $(systemctl show -P ActiveState birthmark-agent) = inactive", 30)
    assert f"Provisioned as {SERIAL}" in pi.good("systemctl show -P StatusText birthmark-agent")
    told = json.loads(pi.good("birthmark-agent status --json"))
    assert (told["state"], told["serial"]) == ("provisioned", SERIAL)
    assert told["tpm"] == "device:/dev/tpmrm0"
    (unit,) = units(pi)
    assert (unit["device_serial"], unit["state"]) == (SERIAL, "provisioned")
    assert int(str(unit["certificate_serial"]), 16) == int(told["certificate_serial"], 16)
    assert pi.good(f"ls -A {AGENT_STATE} | grep -c '^.identity-'") == "1"
    assert pi.run(f"test -e {NUC_MAP}").code == 1


def test_the_unit_is_on_the_page(pi: Guest) -> None:
    open_page(pi)
    assert SERIAL in pi.good(READ)
    assert json.loads(pi.good(f"{PAGE}/health"))["units"]["provisioned"] == 1


def test_an_upgrade_that_loses_its_power_leaves_a_provisioned_pi(pi: Guest, before_upgrade: dict[str, str]) -> None:
    pi.good(UNPLUG)
    before_upgrade["kept"] = kept(pi)
    pi.good("apt-get update")
    pi.slow_disk(50)
    pi.good(
        "setsid apt-get -o Dpkg::Options::=--force-confold install --only-upgrade birthmark-agent "
        "</dev/null >/run/upgrade.log 2>&1 &"
    )
    pi.eventually(f"{UNPACKED} | grep -q .", 180)
    pi.cut_power()
    print(f"boot: {pi.start():.0f} s")
    pi.eventually("systemctl is-system-running --wait | grep -q running", 120)
    assert "half-installed" in pi.good("dpkg-query -W -f '${db:Status-Status}' birthmark-agent")
    assert kept(pi) == before_upgrade["kept"]
    port_is_quiet(pi)
    proves_itself(pi)


def test_the_guide_finishes_the_upgrade_without_a_station(pi: Guest, before_upgrade: dict[str, str]) -> None:
    pi.good("systemctl stop birthmark-station.socket birthmark-station.service")
    quiet_since = "systemctl show -P ActiveEnterTimestampMonotonic birthmark-quiet-port"
    before_upgrade["quiet since"] = pi.good(quiet_since)
    type_words(pi, APT_PAGE, "An upgrade that was interrupted")
    type_words(pi, APT_PAGE, "Upgrading")
    assert pi.good("dpkg-query -W -f '${db:Status-Abbrev}${Version}' birthmark-agent").startswith("ii ")
    assert "+newer+" in pi.good("dpkg-query -W -f '${Version}' birthmark-agent")
    assert pi.run(f"{UNPACKED} | grep .").code == 1
    assert kept(pi) == before_upgrade["kept"]
    assert NEW_SETTING in pi.good(f"cat /{SETTINGS}.dpkg-dist")
    assert pi.good(quiet_since) == before_upgrade["quiet since"]
    port_is_quiet(pi)
    pi.good("systemctl start birthmark-station.socket")
    proves_itself(pi, tables=3)


def test_a_second_boot_leaves_a_provisioned_pi_alone(pi: Guest, before_upgrade: dict[str, str]) -> None:
    pi.power_off()
    print(f"boot: {pi.start():.0f} s")
    pi.eventually("systemctl is-system-running --wait | grep -q running", 120)
    for unit in ("birthmark-agent.timer", "birthmark-agent.service", "birthmark-gadget.service"):
        assert pi.good(f"systemctl show -P ActiveState {unit}") == "inactive"
    assert pi.good("systemctl show -P ConditionResult birthmark-agent.timer") == "no"
    assert pi.good("systemctl list-jobs --no-legend") == ""
    assert kept(pi) == before_upgrade["kept"]


def test_the_port_of_a_provisioned_pi_is_held_and_its_host_sees_nothing(pi: Guest) -> None:
    port_is_quiet(pi)


def test_the_page_wakes_the_station_by_itself(pi: Guest) -> None:
    assert pi.run("systemctl is-active birthmark-station").text == "inactive"
    assert "is closed here" in pi.good(f"{PAGE}/login")
    pi.eventually("systemctl is-active birthmark-station")  # it answers some moments before it calls itself ready
    open_page(pi)
    assert SERIAL in pi.good(READ)


def test_an_upgraded_pi_proves_itself_after_a_restart(pi: Guest) -> None:
    assert "+newer+" in pi.good("dpkg-query -W -f '${Version}' birthmark-agent")
    proves_itself(pi)


def test_a_unit_that_was_reset_gets_the_same_certificate_again(pi: Guest) -> None:
    before = json.loads(pi.good("birthmark-agent status --json"))
    pi.good("systemctl stop birthmark-agent; birthmark-agent reset --yes")
    assert pi.run(f"test -e {NUC_MAP}").code == 1  # it uses the sealed one
    pi.good("systemctl start birthmark-agent", 120)
    assert pi.run("systemctl is-active birthmark-quiet-port").text == "inactive"
    pi.eventually(f"test -e {AGENT_STATE}/identity/provisioned", 120)
    after = json.loads(pi.good("birthmark-agent status --json"))
    for field in ("certificate_serial", "table_ids", "certificate_sha256"):
        assert after[field] == before[field]
    assert len(units(pi)) == 1


def test_removal_stops_everything_and_keeps_the_keys(pi: Guest) -> None:
    pi.good("test -e /dev/ttyGS0 && systemctl is-active birthmark-station birthmark-gadget")
    pi.good("DEBIAN_FRONTEND=noninteractive dpkg -r birthmark-agent birthmark-station", 180)
    assert (
        pi.run(
            "systemctl is-active birthmark-agent birthmark-gadget birthmark-quiet-port birthmark-station "
            "birthmark-station.socket"
        ).text.split()
        == ["inactive"] * 5
    )
    assert pi.run("pgrep -f birthmark-").text == ""
    assert pi.run("test -e /dev/ttyGS0 || ls /sys/kernel/config/usb_gadget | grep .").code == 1
    assert pi.run(f"{PAGE}/").code == 7
    assert pi.run("ls -d /usr/lib/birthmark-agent /usr/lib/birthmark-station").code == 2
    pi.good(f"test -e {AGENT_STATE}/identity/provisioned && test -e /var/lib/birthmark-station/data/registry.sqlite")


def test_a_purge_deletes_keys_only_when_told_to(pi: Guest) -> None:
    answer = "birthmark-agent birthmark-agent/purge-identity boolean true"
    pi.good(f"echo {answer} | debconf-set-selections")
    pi.good("DEBIAN_FRONTEND=noninteractive dpkg -P birthmark-agent birthmark-station", 120)
    assert pi.run(f"test -e {AGENT_STATE}").code == 1
    pi.good("test -e /var/lib/birthmark-station/data/registry.sqlite")
    pi.power_off()
