"""Provisioning with the user's programs: a station process, an agent process with swtpm, and a pair of ttys."""

import json
import socket
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from virtual.cable import End
from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation, run_station
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

ONCE = ("--once", *WAIT_OPTIONS)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def station(workspace: Path) -> Iterator[VirtualStation]:
    with VirtualStation(workspace / "station", f"{workspace}/pi-*/station") as station:
        station.init("--organization", "Example Cameras")
        station.start()
        yield station


def pi_of(workspace: Path, number: int) -> VirtualPi:
    pi = VirtualPi(workspace / f"pi-{number}", number)
    if not pi.nuc_map.exists():
        pi.nuc_map.write_bytes(f"the map of sensor {number}".encode() * 99)
    return pi


def provisioned(pi: VirtualPi, *options: str) -> str:
    """Plug in, wait for the end, unplug. Returns the agent's output."""
    with pi.cable:
        agent = pi.start(*ONCE, *options)
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, said
    return said


def refused(pi: VirtualPi, *options: str) -> str:
    with pi.cable:
        agent = pi.start(*ONCE, *options)
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 1, said
    assert "Traceback" not in said
    return said


@pytest.fixture(scope="module")
def first(workspace: Path, station: VirtualStation) -> VirtualPi:
    pi = pi_of(workspace, 1)
    provisioned(pi)
    return pi


def unit(station: VirtualStation, serial: str) -> dict[str, object]:
    [found] = [unit for unit in station.devices() if unit["device_serial"] == serial]
    return found


def audit(station: VirtualStation) -> list[dict[str, object]]:
    told = run_station("audit", "--json", "--data-dir", str(station.data_dir))
    rows = json.loads(told.stdout)
    return list(rows["rows"] if isinstance(rows, dict) else rows)


def test_a_unit_that_is_plugged_in_stands_on_the_page(station: VirtualStation, first: VirtualPi) -> None:
    station.open_page()
    page = station.get("/")
    row = unit(station, first.serial)
    assert first.serial in page
    assert "simulator" in page.lower()
    assert row["state"] == "provisioned"
    assert row["ek_trust"] == "simulated"
    assert len(set(row["table_assignments"])) == 3  # type: ignore[call-overload]
    assert json.loads(station.get("/health", "application/json"))["status"] == "healthy"


def test_unit_and_registry_agree_and_openssl_accepts_the_chain(station: VirtualStation, first: VirtualPi) -> None:
    status, row = first.status(), unit(station, first.serial)
    assert status["state"] == "provisioned"
    assert status["certificate_serial"] == row["certificate_serial"]
    assert status["table_ids"] == row["table_assignments"]
    verify = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-purpose", "sslclient"),
            *("-CAfile", str(station.data_dir / "authority" / "root.pem")),
            *("-untrusted", status["chain_file"], status["certificate_file"]),
        ],
        capture_output=True,
        text=True,
    )
    assert verify.returncode == 0, verify.stderr


def test_a_unit_plugged_in_again_is_greeted_as_itself_and_gets_no_second_certificate(
    station: VirtualStation, first: VirtualPi
) -> None:
    before = first.status()
    provisioned(first)  # its NUC map was removed: it uses the sealed one
    after = first.status()
    assert (after["certificate_sha256"], after["table_ids"]) == (before["certificate_sha256"], before["table_ids"])
    assert unit(station, first.serial)["certificate_serial"] == before["certificate_serial"]
    events = [row["event"] for row in audit(station) if row["serial"] == first.serial]
    assert events.count("issued") == 1
    assert "resumed" in events


def test_the_identity_is_private_and_holds_no_private_key(station: VirtualStation, first: VirtualPi) -> None:
    identity = first.state_dir / "identity"
    assert stat.S_IMODE(first.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(identity.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in identity.iterdir()} == {0o600}
    outside = [path for path in first.directory.rglob("*") if path.is_file() and "simulator" not in path.parts]
    for path in (*outside, *(path for path in station.data_dir.rglob("*.sqlite*"))):
        content = path.read_bytes()
        assert b"PRIVATE KEY" not in content, path
        assert b"\x02\x01\x01\x04\x20" not in content, path  # an ECPrivateKey's version and 32-byte scalar (RFC 5915)


def test_the_clear_nuc_map_is_gone_and_the_camera_still_has_it(first: VirtualPi) -> None:
    assert not first.nuc_map.exists()
    from device_agent.camera import Camera

    with Camera.open(first.state_dir) as camera:
        assert camera.nuc_map() == b"the map of sensor 1" * 99


def test_many_units_at_once_each_get_their_own(workspace: Path, station: VirtualStation) -> None:
    pis = [pi_of(workspace, number) for number in range(10, 14)]
    agents = []
    for pi in pis:
        pi.cable.plug()
        agents.append(pi.start(*ONCE))
    try:
        for agent in agents:
            _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
            assert agent.returncode == 0, said
    finally:
        for pi in pis:
            pi.cable.unplug()
    certificates = {unit(station, pi.serial)["certificate_serial"] for pi in pis}
    assert len(certificates) == len(pis)


def test_a_pi_without_its_nuc_map_waits_for_it_and_is_provisioned_as_soon_as_it_is_there(
    workspace: Path, station: VirtualStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi = VirtualPi(workspace / "pi-40", 40)
    station.open_page()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(workspace / "notify"))
        systemd.settimeout(TIMEOUT_SECONDS)
        with monkeypatch.context() as environment:
            environment.setenv("NOTIFY_SOCKET", str(workspace / "notify"))
            pi.cable.plug()
            agent = pi.start("--until-provisioned")
        try:
            assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=Waiting for the NUC map: there is no NUC map")
            eventually(lambda: "No NUC map" in station.get("/"))
            page = station.get("/")
            assert pi.serial in page
            assert "nuc capture --guided" in page
            status = pi.status()
            assert (status["state"], status["lacks"]) == ("unprovisioned", "nuc.map-missing")
            time.sleep(4)  # some more Hellos
            events = [row["event"] for row in audit(station) if row["serial"] == pi.serial]
            assert events == ["not-ready"], "one row for one plug-in"
            assert agent.poll() is None

            pi.capture()
            _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            pi.cable.unplug()
            agent.kill()
            agent.communicate()
    assert agent.returncode == 0, said
    assert said.count("Waiting for the NUC map:") == 1, said
    assert pi.status()["state"] == "provisioned"
    assert not pi.nuc_map.exists(), "sealed, and the clear file removed"
    events = [row["event"] for row in audit(station) if row["serial"] == pi.serial]
    assert events == ["not-ready", "reserved", "issued", "provisioned"]


def eventually(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_two_pis_with_one_serial_number_are_distinguished(
    workspace: Path, station: VirtualStation, first: VirtualPi
) -> None:
    other = pi_of(workspace, 20)
    said = refused(other, "--serial", first.serial)
    assert "[registry.serial-taken]" in said
    assert other.status()["state"] == "unprovisioned"
    assert other.nuc_map.exists()


def test_a_second_unit_with_the_same_nuc_hash_is_refused(workspace: Path, station: VirtualStation) -> None:
    one, other = pi_of(workspace, 21), pi_of(workspace, 22)
    other.nuc_map.write_bytes(one.nuc_map.read_bytes())
    provisioned(one)
    assert "[registry.duplicate-nuc]" in refused(other)
    assert other.serial not in {unit["device_serial"] for unit in station.devices()}
    assert other.serial in {row["serial"] for row in audit(station) if row["event"] == "refused"}


def test_other_programs_writing_to_the_port_do_no_harm(workspace: Path, station: VirtualStation) -> None:
    pi = pi_of(workspace, 23)
    chatter = b"\r\nraspberrypi login: AT\r\nATE0\r\nAT+CGMI\r\n\x00\x00\x7f\xff"
    heard: set[End] = set()
    inside = dict.fromkeys(End, False)
    frames = dict.fromkeys(End, 0)

    def spoil(end: End, data: bytes) -> bytes:
        """Add noise before the first frame and between frames: inside a frame it would spoil that frame."""
        spoiled = bytearray(b"" if end in heard else chatter)
        heard.add(end)
        for octet in data:
            spoiled.append(octet)
            if octet:
                inside[end] = True
            elif inside[end]:
                inside[end] = False
                frames[end] += 1
                spoiled += chatter if frames[end] < 4 else b""
        return bytes(spoiled)

    pi.cable.spoil = spoil
    provisioned(pi)
    assert all(count >= 3 for count in frames.values())


def test_a_cable_pulled_in_the_middle_and_plugged_in_again_goes_on_where_it_was(
    workspace: Path, station: VirtualStation
) -> None:
    pi = pi_of(workspace, 24)
    pi.cable.plug()
    agent = pi.start(*WAIT_OPTIONS)  # without --once: it stays for the next plug-in
    try:
        assert agent.stderr is not None
        for line in agent.stderr:
            if line.startswith("step 3"):
                break
        pi.cable.unplug()
        time.sleep(1)
        pi.cable.plug()
        for line in agent.stderr:
            if line.startswith("step 6"):
                break
        give_up = time.monotonic() + TIMEOUT_SECONDS
        while unit(station, pi.serial)["state"] != "provisioned" and time.monotonic() < give_up:
            time.sleep(0.1)
        assert unit(station, pi.serial)["state"] == "provisioned"
    finally:
        pi.cable.unplug()
        agent.terminate()
        agent.communicate(timeout=TIMEOUT_SECONDS)
    with sqlite3.connect(f"file:{station.data_dir}/registry.sqlite?mode=ro", uri=True) as registry:
        [(units,)] = registry.execute("SELECT count(*) FROM units WHERE serial = ?", (pi.serial,))
    registry.close()
    assert units == 1


def test_a_station_of_another_authority_learns_nothing(
    workspace: Path, station: VirtualStation, first: VirtualPi
) -> None:
    del station
    before = first.status()
    root = workspace / "other-root.pem"
    with VirtualStation(workspace / "other") as other:
        other.init()
        root.write_bytes((other.data_dir / "authority" / "root.pem").read_bytes())
    said = refused(first, "--root-certificate", str(root))
    assert "[trust.station-untrusted]" in said
    assert first.status() == before


@pytest.mark.parametrize(
    ("options", "code", "status"),
    [
        (("--tpm", "device:/dev/no-such-tpm"), "tpm.no-device", 1),
        (("--tpm", "simulatr"), "tpm.name-unknown", 1),
        (("--port", "/dev/no-such-port"), "link.no-port", 75),
        (("--port", "/dev/null"), "link.not-a-port", 1),
        (("--nuc-map", "/no/such/map"), "nuc.map-missing", 1),
        (("--nuc-map", "/dev/null"), "nuc.map-empty", 1),
        (("--serial", "<b>bold</b>"), "identity.serial-invalid", 1),
        (("--root-certificate", "/dev/null"), "trust.root-unreadable", 1),
    ],
)
def test_bad_input_ends_with_a_sentence_a_code_and_a_status(
    workspace: Path, options: tuple[str, ...], code: str, status: int
) -> None:
    pi = pi_of(workspace, 30)
    agent = pi.start("--once", "--wait", "0.2", *options)
    _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == status, said
    assert f"[{code}]" in said
    assert "Traceback" not in said
    assert not (pi.state_dir / "identity").exists()


def test_a_port_in_use_is_named_as_such(tmp_path: Path) -> None:
    pi = pi_of(tmp_path, 31)  # there is no station, so the holder waits, however slow the others are
    with pi.cable:
        holder = pi.start(*WAIT_OPTIONS)
        try:
            assert holder.stderr is not None
            assert holder.stderr.readline().startswith("step 0")
            other = run_agent(
                *("run", "--once", "--tpm", "simulator", "--serial", "x", "--nuc-map", str(pi.nuc_map)),
                *("--port", str(pi.cable.paths[End.PI]), "--state-dir", str(pi.directory / "other")),
                check=False,
            )
            same = run_agent(
                *("run", "--once", "--tpm", "simulator", "--serial", "x", "--nuc-map", str(pi.nuc_map)),
                *("--port", str(pi.cable.paths[End.PI]), "--state-dir", str(pi.state_dir)),
                check=False,
            )
        finally:
            holder.terminate()
            holder.communicate(timeout=TIMEOUT_SECONDS)
    assert (other.returncode, "[link.busy]" in other.stderr) == (75, True), other.stderr
    assert (same.returncode, "[identity.state-dir-busy]" in same.stderr) == (75, True), same.stderr


def test_a_state_directory_that_others_can_read_is_refused(workspace: Path) -> None:
    pi = pi_of(workspace, 32)
    pi.state_dir.mkdir(mode=0o755)
    agent = pi.start(*ONCE)
    _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert (agent.returncode, "[identity.state-dir-open]" in said) == (1, True), said


def test_an_agent_that_is_killed_takes_its_simulator_with_it(workspace: Path) -> None:
    pi = pi_of(workspace, 33)
    with pi.cable:
        agent = pi.start(*WAIT_OPTIONS)
        assert agent.stderr is not None
        assert agent.stderr.readline().startswith("step 0")
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        assert children
        agent.kill()
        agent.communicate(timeout=TIMEOUT_SECONDS)
        give_up = time.monotonic() + TIMEOUT_SECONDS
        while any(Path(f"/proc/{child}/exe").exists() for child in children) and time.monotonic() < give_up:
            time.sleep(0.05)
        assert not any(Path(f"/proc/{child}/exe").exists() for child in children)


def test_the_device_certificate_follows_its_profile(first: VirtualPi) -> None:
    status = first.status()
    leaf, intermediate, root = x509.load_pem_x509_certificates(Path(status["chain_file"]).read_bytes())
    assert leaf.public_bytes(Encoding.PEM) == Path(status["certificate_file"]).read_bytes()
    assert leaf.issuer == intermediate.subject
    assert intermediate.issuer == root.subject == root.issuer
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 730
