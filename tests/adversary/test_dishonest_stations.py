"""The real agent, a process with its own TPM, refuses every dishonest station over a pty.

It ends with the station's code and stores nothing; its state directory is unchanged to the byte.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.session.agent_session import AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.storage.sealed_map import NucMap
from device_agent.tpm import Simulator, Tpm
from shared.birthmark.derivation import extract
from shared.protocol.framing import encode_frame
from shared.protocol.messages import Receipt
from station.authority import profiles
from station.authority.files import Authority
from station.provisioning.cable import IssuedUnit
from station.registry.records import Unit
from tests.adversary.dishonest_station import (
    FALSE_FROM_THE_START,
    FALSE_IN_THE_END,
    NOW,
    ChainThatEndsInAnotherRoot,
    DishonestStation,
    intermediate_key,
    with_station_key,
)
from tests.harness import soft_device as soft
from tests.harness.certificates import signed_octets
from tests.harness.recorded_station import (
    NUC_MAP,
    SERIAL,
    BegunAnew,
    RecordedStation,
    Recording,
    context,
    open_recorded_station,
    private,
)
from virtual.cable import End
from virtual.pi import AGENT
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

SIMULATOR = "simulator"


@dataclass(frozen=True)
class Pi:
    """A state directory that contains a simulated TPM."""

    state_dir: Path
    nuc_map: Path | None
    root: Path | None

    def meet(
        self, station_under_test: RecordedStation, dishonest: DishonestStation | None
    ) -> tuple[subprocess.CompletedProcess[str], Recording]:
        options = ["--serial", SERIAL, "--tpm", SIMULATOR, "--keep-nuc-map", "--once", *WAIT_OPTIONS]
        options += ["--nuc-map", str(self.nuc_map)] if self.nuc_map else []
        options += ["--root-certificate", str(self.root)] if self.root else []
        with station_under_test.plugged(dishonest) as served:
            served.begin()
            command = [*AGENT, "run", "--port", str(served.port), "--state-dir", str(self.state_dir), *options]
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
            )
            served.end()
        return ended, served.recording

    def kept(self) -> dict[str, tuple[int, bytes]]:
        """Return all files on the card with their modes, except the simulated TPM and the empty lock file."""
        found = {}
        for path in sorted(self.state_dir.rglob("*")):
            name = str(path.relative_to(self.state_dir))
            if name.split("/")[0] in (SIMULATOR, "lock"):
                continue
            link = path.is_symlink()
            content = str(path.readlink()).encode() if link else path.read_bytes() if path.is_file() else b""
            found[name] = (path.lstat().st_mode, content)
        return found


@pytest.fixture(scope="module")
def station_under_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedStation]:
    with open_recorded_station(tmp_path_factory.mktemp("station")) as opened:
        yield opened


@pytest.fixture(scope="module")
def new(station_under_test: RecordedStation, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Pi:
    """A Pi that was never provisioned, with a pinned root."""
    folder = private(tmp_path_factory.mktemp("new"))
    (folder / "nuc-map").write_bytes(NUC_MAP.data)
    (folder / "root.pem").write_bytes(station_under_test.station.authority.certificates.root.public_bytes(Encoding.PEM))
    shutil.copytree(simulator._state, private(folder / "state") / SIMULATOR)
    return Pi(folder / "state", folder / "nuc-map", folder / "root.pem")


@pytest.fixture(scope="module")
def provisioned(station_under_test: RecordedStation, new: Pi, tmp_path_factory: pytest.TempPathFactory) -> Pi:
    """A Pi that the genuine station has provisioned; it knows the root, and its map is sealed."""
    folder = private(tmp_path_factory.mktemp("provisioned"))
    shutil.copytree(new.state_dir / SIMULATOR, private(folder / "state") / SIMULATOR)
    ended, recording = Pi(folder / "state", new.nuc_map, new.root).meet(station_under_test, None)
    assert ended.returncode == 0, ended.stderr
    assert recording.kinds(End.PI) == ["Identity", "Proof", "Receipt"]
    return Pi(folder / "state", None, None)


@pytest.fixture(params=["new", "provisioned"])
def pi(request: pytest.FixtureRequest) -> Pi:
    found: Pi = request.getfixturevalue(request.param)
    return found


def keeps_nothing(pi: Pi, station_under_test: RecordedStation, dishonest: DishonestStation) -> Recording:
    before = pi.kept()
    ended, recording = pi.meet(station_under_test, dishonest)
    assert ended.returncode == 1, ended.stderr
    assert f"[{dishonest.code}]" in ended.stderr
    assert recording.refusals(End.PI) == [dishonest.code]
    assert pi.kept() == before
    assert "Receipt" not in recording.kinds(End.PI)
    nothing_secret_crossed(recording, station_under_test)
    return recording


def nothing_secret_crossed(recording: Recording, station_under_test: RecordedStation) -> None:
    assert not recording.holds(NUC_MAP.hash.secret())
    tables = station_under_test.station.tables
    for table in tables.ids():
        assert not recording.holds(tables.master_key(table).secret())
        assert not recording.holds(extract(tables.master_key(table)).secret())


@pytest.mark.parametrize("dishonest", FALSE_FROM_THE_START, ids=lambda dishonest: dishonest.__name__)
def test_a_false_station_learns_nothing_and_the_agent_keeps_nothing(
    dishonest: type[DishonestStation], pi: Pi, station_under_test: RecordedStation, tmp_path: Path
) -> None:
    recording = keeps_nothing(pi, station_under_test, dishonest(station_under_test, tmp_path))
    assert recording.kinds(End.PI) == ["Identity", "Refusal"]


@pytest.mark.parametrize("dishonest", FALSE_IN_THE_END, ids=lambda dishonest: dishonest.__name__)
def test_credentials_of_another_unit_are_not_stored_though_signed(
    dishonest: type[DishonestStation], pi: Pi, station_under_test: RecordedStation, tmp_path: Path
) -> None:
    recording = keeps_nothing(pi, station_under_test, dishonest(station_under_test, tmp_path))
    assert recording.kinds(End.PI) == ["Identity", "Proof", "Refusal"]


@pytest.mark.attack("a station of the authority ends its chain in another root, to be the one remembered")
@pytest.mark.parametrize("known", [False, True])
def test_a_station_cannot_swap_the_root_that_a_unit_remembers(
    new: Pi,
    provisioned: Pi,
    station_under_test: RecordedStation,
    tmp_path: Path,
    known: bool,
    got: Callable[[str], None],
) -> None:
    """No root is pinned: the unit goes by that of its identity, or takes that of the first station that it meets."""
    state = tmp_path / "state"
    shutil.copytree((provisioned if known else new).state_dir, state, symlinks=True)
    state.chmod(0o700)
    pi = Pi(state, None if known else new.nuc_map, None)
    keeps_nothing(pi, station_under_test, ChainThatEndsInAnotherRoot(station_under_test, tmp_path))
    for _ in range(2):  # the second time by the root of its new identity
        ended, _recording = pi.meet(station_under_test, None)
        assert ended.returncode == 0, ended.stderr
    whose = "a provisioned unit" if known else "a new unit"
    got(f"nothing: {whose} refused it [{ChainThatEndsInAnotherRoot.code}] and took the honest station's twice")


class _NamedByAMalformedTag(DishonestStation):
    """Its certificate, which its intermediate has signed, has a subject that no parser can read."""

    code = "trust.station-untrusted"

    def authority(self, honest: Authority, folder: Path) -> Authority:
        key = soft.new_key()
        station = profiles.station("Birthmark", "bench", key.public_key(), NOW, honest.certificates.intermediate)
        signed = station.sign(intermediate_key(honest), hashes.SHA256()).tbs_certificate_bytes
        named = b"\x0c\x05bench"
        assert signed.count(named) == 1
        malformed = signed_octets(signed.replace(named, b"\x1d\x05bench"), intermediate_key(honest))
        return with_station_key(honest, x509.load_der_x509_certificate(malformed), key)


@pytest.mark.attack("a station of the authority shows a certificate whose subject has a malformed tag, in Hello")
def test_a_certificate_that_cannot_be_read_is_refused_and_ends_no_agent(
    pi: Pi, station_under_test: RecordedStation, tmp_path: Path, got: Callable[[str], None]
) -> None:
    dishonest = _NamedByAMalformedTag(station_under_test, tmp_path)
    with pytest.raises(ValueError, match="parsing"):
        _ = dishonest.shown.identity.certificate.subject
    recording = keeps_nothing(pi, station_under_test, dishonest)
    assert recording.kinds(End.PI) == ["Identity", "Refusal"]
    got(f"nothing: refused [{dishonest.code}]")


class _HelloAfterEachReceipt(DishonestStation):
    """It never says Done before the last of its sessions; the unit stores what each gives it."""

    sessions = 25

    async def confirm(self, issued: IssuedUnit, receipt: Receipt, before: bytes) -> Unit:
        self.sessions -= 1
        if self.sessions:
            raise BegunAnew
        return await super().confirm(issued, receipt, before)


class _WatchedDisk(Disk):
    """Counts the identities in the state directory after each change that can add one."""

    most = 0

    def make_directory(self, path: Path) -> None:
        super().make_directory(path)
        self.most = max(self.most, len(list(path.parent.glob(".identity-*"))))


@pytest.mark.attack("a trusted station says Hello again after each Receipt, to fill the unit's card")
def test_a_station_cannot_fill_the_card_with_identities(
    station_under_test: RecordedStation, tpm: Tpm, tmp_path: Path, got: Callable[[str], None]
) -> None:
    state, disk = private(tmp_path / "state"), _WatchedDisk()
    dishonest = _HelloAfterEachReceipt(station_under_test, tmp_path)
    outcome = station_under_test.meet(
        lambda: AgentSession(tpm, IdentityStore(state, disk), context()), provisioner=dishonest
    )
    assert outcome.error is None, outcome
    stored = outcome.recording.messages(End.PI)
    receipts = sum(isinstance(message, Receipt) for message in stored)
    assert receipts == _HelloAfterEachReceipt.sessions
    assert disk.most == 2
    assert len(list(state.glob(".identity-*"))) == 1
    got(f"{disk.most} identities on the card at most, in {receipts} sessions that each stored one")


def test_a_station_that_tells_no_lie_is_believed_by_the_same_agents_and_no_secret_crosses(
    pi: Pi, station_under_test: RecordedStation, tmp_path: Path
) -> None:
    """Control for the refusals above: an honest station passes. It runs last, because it provisions the new unit."""
    copy = Pi(tmp_path / "state", pi.nuc_map, pi.root)
    shutil.copytree(pi.state_dir, copy.state_dir, symlinks=True)
    copy.state_dir.chmod(0o700)
    ended, recording = copy.meet(station_under_test, DishonestStation(station_under_test, tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert recording.kinds(End.PI) == ["Identity", "Proof", "Receipt"]
    assert (copy.state_dir / "identity" / "provisioned").exists()
    nothing_secret_crossed(recording, station_under_test)


def test_the_recording_would_show_a_secret_that_crossed() -> None:
    """COBS replaces the secret's zero bytes, so a search in the raw bytes alone would miss it."""
    secret = NucMap(b"x").hash.secret()[:16] + b"\0" * 16
    for spelled in (secret, secret.hex().encode(), secret.hex().upper().encode()):
        recording = Recording()
        recording(End.PI, encode_frame(b"before " + spelled + b" behind"))
        assert recording.holds(secret)
    assert not Recording().holds(secret)
