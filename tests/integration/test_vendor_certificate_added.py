"""A TPM whose vendor the station does not know is refused; once the vendor's certificate is there, it is accepted."""

from __future__ import annotations

import html
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_agent.tpm import Simulator
from station.attestation.ek.bundle import read_bundle
from station.ports import udev_rule
from tests.harness.chip_nv import write_nv
from tests.integration.test_plug_in import audit, pi_of, provisioned, refused
from virtual.station import VirtualStation


@pytest.fixture
def station(tmp_path: Path) -> Iterator[VirtualStation]:
    with VirtualStation(tmp_path / "station", f"{tmp_path}/pi-*/station") as made:
        made.init("--ek-policy", "require")
        made.start()
        yield made


def health(station: VirtualStation) -> dict[str, object]:
    return dict(json.loads(station.get("/health", "application/json")))


def page(station: VirtualStation) -> str:
    station.open_page()
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", station.get("/"))).split())


def becomes(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_vendors_certificate_that_is_put_in_place_counts_without_a_restart(
    station: VirtualStation, tmp_path: Path
) -> None:
    vendors, pi = station.data_dir / "ek-roots", pi_of(tmp_path, 1)
    process = station.process

    said = refused(pi)
    assert "[attestation.ek-untrusted]" in said
    [row] = [row for row in audit(station) if row["event"] == "refused"]
    assert re.search(
        r"its issuer is CN=swtpm-localca \(authority key identifier ([0-9a-f]{2}:)+[0-9a-f]{2}\), "
        rf"which is not in {re.escape(str(vendors))}",
        str(row),
    )
    told = station.log.read_text()
    assert str(vendors) in told
    assert "`birthmark-station serve --ek-policy simulator` accepts one, for tests only" in told
    assert "genuine" not in told

    for certificate in pi.state_dir.rglob("*cert.pem"):
        shutil.copy(certificate, vendors)
    provisioned(pi)
    [unit] = station.devices()
    assert unit["ek_trust"] == "verified"

    (vendors / "notes.txt").write_text("ask the vendor for the others")
    becomes(lambda: health(station)["vendor_problems"] == 1)
    becomes(lambda: "TPM vendors' certificates: notes.txt: no certificate that can be read" in page(station))
    known = health(station)["vendor_certificates"]
    vendors.rename(tmp_path / "aside")
    becomes(lambda: f"the {known} vendors' certificates read before are still in use" in page(station))
    provisioned(pi)
    assert "No such file or directory; the" in station.log.read_text()

    vendors.mkdir()
    becomes(lambda: health(station)["vendor_certificates"] == 0)
    assert "TPM vendors' certificates" not in page(station)
    assert "[attestation.ek-untrusted]" in refused(pi)
    assert station.process is process
    assert process is not None
    assert process.poll() is None


def test_a_chip_that_brings_its_issuers_certificate_needs_only_its_vendors_root(
    station: VirtualStation, tmp_path: Path
) -> None:
    vendors, pi = station.data_dir / "ek-roots", pi_of(tmp_path, 1)
    refused(pi)
    [root] = pi.state_dir.rglob("swtpm-localca-rootca-cert.pem")
    [issuer] = pi.state_dir.rglob("issuercert.pem")
    shutil.copy(root, vendors)
    said = refused(pi)
    assert "[attestation.ek-untrusted]" in said

    [brought] = read_bundle(issuer.read_bytes()).certificates
    with Simulator(pi.state_dir) as chip:
        write_nv(chip.tcti, {0x01C00100: brought.der[:200], 0x01C00101: brought.der[200:] + b"\xff" * 100})
    provisioned(pi)
    [unit] = station.devices()
    assert (unit["ek_trust"], unit["ek_anchor"]) == ("verified", "CN=swtpm-localca-rootca")
    assert "the chip brought the certificate of its issuer, CN=swtpm-localca" in str(unit["ek_reason"])


@pytest.mark.skipif(udev_rule.is_installed(), reason="this machine is a station")
def test_a_station_without_the_udev_rule_says_so_at_start_and_where_the_ports_would_be(tmp_path: Path) -> None:
    with VirtualStation(tmp_path / "station") as station:
        station.init()
        station.start()
        becomes(lambda: "warning: No unit can appear: the udev rule" in station.log.read_text())
        assert f"udev/{udev_rule.RULE}" in page(station)
        assert "No port is served." in page(station)


def test_the_page_advises_on_a_wrong_port_in_words_for_a_station(tmp_path: Path) -> None:
    with VirtualStation(tmp_path / "station", "/dev/no-such-port") as station:
        station.init()
        station.start()
        becomes(lambda: "there is no such serial port" in station.log.read_text())
        assert "correct --serial-port" in page(station)
        assert "dtoverlay" not in page(station) + station.log.read_text()
