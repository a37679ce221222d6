"""A stolen card of a provisioned unit holds no secret, and with another TPM no command works."""

from __future__ import annotations

import shutil
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.camera import Camera
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.tpm import Simulator, Tpm
from shared.birthmark.derivation import extract, token_key
from shared.errors import BirthmarkError
from shared.types import TableId, key_index
from tests.harness.recorded_station import RecordedStation, open_recorded_station, private
from virtual.cable import End
from virtual.pi import VirtualPi, run_agent


@pytest.fixture(scope="module")
def station_under_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedStation]:
    with open_recorded_station(tmp_path_factory.mktemp("station")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pi(
    station_under_test: RecordedStation, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> VirtualPi:
    """A Pi provisioned with the agent's command over a cable, as a user does it."""
    pi = VirtualPi(private(tmp_path_factory.mktemp("pi")), 1)
    pi.capture()
    shutil.copy(pi.nuc_map, pi.directory / "kept-for-the-test")
    shutil.copytree(simulator._state, private(pi.state_dir) / "simulator")
    with station_under_test.plugged() as served:
        served.begin()
        ended = run_agent(*run_on(served.port, pi.state_dir), "--nuc-map", str(pi.nuc_map), "--serial", pi.serial)
        served.end()
    assert ended.returncode == 0
    return pi


def run_on(port: Path, state_dir: Path) -> list[str]:
    return ["run", "--once", "--port", str(port), "--state-dir", str(state_dir), "--tpm", "simulator", "--wait", "20"]


@pytest.fixture
def moved(pi: VirtualPi, other_simulator: Simulator, tmp_path: Path) -> Path:
    """The card in another board: only the TPM differs."""
    copy = tmp_path / "card"
    shutil.copytree(pi.state_dir, copy, symlinks=True, ignore=shutil.ignore_patterns("simulator", "lock"))
    shutil.copytree(other_simulator._state, copy / "simulator")
    copy.chmod(0o700)
    return copy


COMMANDS = {
    "token": ["token"],
    "token of a table": ["token", "--index", "7"],
    "sign": ["sign", "{file}"],
    "sign a bundle": ["sign", "--bundle", "{file}"],
    "export": ["export", "--format", "provisioning-json", "--output", "{folder}/out.json"],
    "run with the sealed map": ["run", "--once", "--port", "{folder}/nowhere", "--tpm", "simulator"],
    "run with a map": ["run", "--once", "--port", "{folder}/nowhere", "--tpm", "simulator", "--nuc-map", "{map}"],
    "run for ever": ["run", "--port", "{folder}/nowhere", "--tpm", "simulator"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_an_identity_copied_to_another_tpm_makes_every_command_fail_and_say_why(
    command: list[str], moved: Path, pi: VirtualPi, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text('{"image": "x"}')
    words = {"file": tmp_path / "file", "folder": tmp_path, "map": pi.directory / "kept-for-the-test"}
    here = [word.format(**words) for word in command]
    serial = ["--serial", pi.serial] if "run" in command else []
    ended = run_agent(*here, *serial, "--state-dir", str(moved), check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "error: this identity belongs to another TPM" in ended.stderr
    assert "[tpm.not-this-one]" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out.json").exists()
    assert Path(words["map"]).exists()


def test_on_its_own_tpm_the_same_identity_works(pi: VirtualPi, tmp_path: Path) -> None:
    """Control for the failures above: the commands work with the right TPM."""
    copy = tmp_path / "card"
    shutil.copytree(pi.state_dir, copy, symlinks=True, ignore=shutil.ignore_patterns("lock"))
    copy.chmod(0o700)
    (tmp_path / "file").write_text('{"image": "x"}')
    for command in (["token"], ["sign", str(tmp_path / "file")], ["sign", "--bundle", str(tmp_path / "file")]):
        assert run_agent(*command, "--state-dir", str(copy)).stdout


def test_another_tpm_opens_nothing_even_without_the_agents_check(moved: Path, other_simulator: Simulator) -> None:
    """The TPM, and not the agent's check, protects the secrets."""
    identity = IdentityStore(moved, Disk()).load()
    assert identity is not None
    tpm = Tpm.open(other_simulator.tcti)
    try:
        camera = Camera(identity, tpm)
        for secret in (camera.nuc_hash, camera.nuc_map, camera.token):
            with pytest.raises(BirthmarkError) as caught:
                secret()
            assert caught.value.code == "tpm.not-this-one"
        camera.certificate.public_key()
        assert camera.private_key().public_key() != camera.certificate.public_key()
    finally:
        tpm.close()


def test_nothing_on_the_card_reveals_a_secret(pi: VirtualPi, station_under_test: RecordedStation) -> None:
    """Searches all files of the state directory except the simulator's, which stand for the chip."""
    with Camera.open(pi.state_dir) as camera:
        nuc_hash, nuc_map, tables = camera.nuc_hash().secret(), camera.nuc_map(), camera.table_ids
        certificate = camera.certificate.public_bytes(Encoding.DER)
    assert nuc_map == (pi.directory / "kept-for-the-test").read_bytes()
    assert not pi.nuc_map.exists()
    secrets = {"NUC hash": nuc_hash}
    secrets |= {f"NUC map at {at}": nuc_map[at : at + 24] for at in range(0, len(nuc_map), len(nuc_map) // 50)}
    for table in map(TableId, tables):
        master = station_under_test.station.tables.master_key(table)
        secrets |= {
            f"master key {table}": master.secret(),
            f"extracted {table}": extract(master).secret(),
            f"token key {table}": token_key(master, key_index(0)).secret(),
        }
    card = on_the_card(pi)
    assert any(spelled_in(certificate[:40], data) for data in card.values()), "what is public is found"
    for what, secret in secrets.items():
        for name, data in card.items():
            assert not spelled_in(secret, data), f"{what} in {name}"
    assert not any(b"PRIVATE KEY" in data for data in card.values())


def on_the_card(pi: VirtualPi) -> dict[str, bytes]:
    found = {}
    for path in pi.state_dir.rglob("*"):
        name = path.relative_to(pi.state_dir)
        if path.is_file() and name.parts[0] != "simulator":
            found[str(name)] = path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0, name
    assert len(found) >= 6
    return found


def spelled_in(secret: bytes, data: bytes) -> bool:
    return any(form in data for form in (secret, secret.hex().encode(), secret.hex().upper().encode())) or any(
        b64encode(b"x" * shift + secret)[4:-4] in data for shift in range(3)
    )


def test_the_search_would_find_a_secret_however_it_is_spelled() -> None:
    secret = bytes(range(100, 132))
    for data in (secret, secret.hex().encode(), b64encode(b"12" + secret + b"3"), b64encode(b"1" + secret)):
        assert spelled_in(secret, b"before" + data + b"behind")
    assert not spelled_in(secret, bytes(4096))


def test_a_station_hears_nothing_from_a_card_in_another_board(
    moved: Path, pi: VirtualPi, station_under_test: RecordedStation
) -> None:
    before = station_under_test.contents()
    with station_under_test.plugged() as served:
        served.begin()
        ended = run_agent(*run_on(served.port, moved), "--serial", pi.serial, check=False)
    assert "[tpm.not-this-one]" in ended.stderr
    assert served.recording.kinds(End.PI) == []
    assert station_under_test.contents() == before
