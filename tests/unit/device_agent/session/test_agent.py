"""An agent put together from its options: the root and the map that it uses, and what a reset leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.nuc_map.calibrate import build, take_darks, take_flats
from device_agent.nuc_map.format import MAGIC, encode
from device_agent.nuc_map.sensor import SimulatedSensor
from device_agent.session import agent as agent_module
from device_agent.session.agent import Agent, Options, forget
from device_agent.session.awaited_map import FileWatch
from device_agent.session.trusted_authority import TrustedAuthority, load_authority
from device_agent.tpm import Simulator
from device_agent.tpm.source import TpmSource, open_tpm
from shared.errors import BirthmarkError
from tests.harness.certificates import SERIAL, chain_of_trust
from tests.harness.provisioned_unit import MAP, UnitIdentity


@pytest.fixture(scope="module")
def tpm(simulator: Simulator, unit_identity: UnitIdentity) -> Iterator[TpmSource]:
    with open_tpm(unit_identity.about.tpm, Path("unused")) as source:
        yield source


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def nuc_map(tmp_path: Path) -> Path:
    path = tmp_path / "nuc.map"
    path.write_bytes(MAP.data)
    return path


def options(state_dir: Path, nuc_map: Path | None = None, **more: object) -> Options:
    known = Options(state_dir, "a TPM", nuc_map, False, SERIAL, None, "a Pi")
    return replace(known, **more)  # type: ignore[arg-type]


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


def test_a_clear_map_stays_until_the_unit_is_provisioned_and_is_then_removed(
    tpm: TpmSource, state_dir: Path, nuc_map: Path
) -> None:
    said: list[str] = []
    agent = Agent(options(state_dir, nuc_map), tpm, say=said.append)
    agent.prepare()
    assert nuc_map.exists()
    agent.provisioned()
    agent.provisioned()
    assert not nuc_map.exists()
    [text] = said
    assert f"the clear file {nuc_map} was removed" in text


def test_a_map_that_is_to_be_kept_is_kept(tpm: TpmSource, state_dir: Path, nuc_map: Path) -> None:
    Agent(options(state_dir, nuc_map, keep_nuc_map=True), tpm).provisioned()
    assert nuc_map.read_bytes() == MAP.data


def test_a_unit_that_was_never_provisioned_needs_its_map(tpm: TpmSource, state_dir: Path, tmp_path: Path) -> None:
    assert code(lambda: Agent(options(state_dir), tpm)) == "nuc.map-missing"
    assert code(lambda: Agent(options(state_dir, tmp_path / "none"), tpm)) == "nuc.map-missing"


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, for a `FileWatch`; the last value counts."""
    now = [0.0]
    monkeypatch.setattr(agent_module, "FileWatch", partial(FileWatch, clock=lambda: now[-1]))
    return now


def test_a_unit_that_may_wait_for_its_map_says_what_it_lacks_until_the_map_is_there(
    tpm: TpmSource, state_dir: Path, tmp_path: Path, moments: list[float]
) -> None:
    nuc_map = tmp_path / "late.map"
    told: list[BirthmarkError | None] = []
    agent = Agent(options(state_dir, nuc_map, wait_for_map=True), tpm, lacking=told.append)
    assert [lack and lack.code for lack in told] == ["nuc.map-missing"]
    said = agent.not_ready(b"t" * 32)
    assert (said.hello, said.serial, said.model, said.code) == (b"t" * 32, SERIAL, "a Pi", "nuc.map-missing")

    sensor = SimulatedSensor(1, width=96, height=96)
    real = encode(build(take_flats(sensor, 16), take_darks(sensor, 8)))
    for number, content in enumerate((b"", real[:5000], real), 1):
        nuc_map.write_bytes(content)
        assert agent.lack() is not None, "whoever copies it may not be done"
        moments.append(number * 10.0)
        agent.lack()
    assert [lack and lack.code for lack in told] == ["nuc.map-missing", "nuc.map-empty", "nuc.map-damaged", None]
    assert agent.lack() is None
    agent.agent_session()
    agent.provisioned()
    assert not nuc_map.exists()


def test_half_a_map_is_never_taken(tpm: TpmSource, state_dir: Path, nuc_map: Path) -> None:
    nuc_map.write_bytes(MAGIC + bytes([0, 1, 0, 0, 0, 0, 1, 0]) + b"a header that ends ear")
    assert code(lambda: Agent(options(state_dir, nuc_map), tpm)) == "nuc.map-damaged"
    assert nuc_map.exists()


def test_a_provisioned_unit_needs_no_map_and_the_clear_one_left_behind_is_removed(
    tpm: TpmSource, state_dir: Path, nuc_map: Path, unit_identity: UnitIdentity
) -> None:
    unit_identity.store(state_dir)
    Agent(options(state_dir), tpm).prepare()
    Agent(options(state_dir, nuc_map), tpm)
    assert not nuc_map.exists()


def test_the_map_of_another_sensor_is_not_removed(
    tpm: TpmSource, state_dir: Path, nuc_map: Path, unit_identity: UnitIdentity
) -> None:
    unit_identity.store(state_dir)
    nuc_map.write_bytes(b"another sensor's map")
    Agent(options(state_dir, nuc_map), tpm)
    assert nuc_map.exists()


def test_an_identity_of_another_tpm_is_reported_before_a_station_waits(
    tpm: TpmSource, state_dir: Path, unit_identity: UnitIdentity
) -> None:
    replace(unit_identity, chain=chain_of_trust()).store(state_dir)
    assert code(Agent(options(state_dir), tpm).prepare) == "tpm.not-this-one"


def test_another_endorsement_key_is_reported_before_a_station_waits(
    tpm: TpmSource, state_dir: Path, unit_identity: UnitIdentity
) -> None:
    known = unit_identity.about.ek
    other = msgspec.structs.replace(unit_identity.about, ek=msgspec.structs.replace(known, name="000b" + "00" * 32))
    replace(unit_identity, about=other).store(state_dir)
    assert code(Agent(options(state_dir), tpm).prepare) == "tpm.another-ek"
    tpm.drop()  # it is opened afresh, and expects none


def test_the_authority_it_trusts_is_the_named_one_then_the_remembered_then_that_of_its_identity(
    tpm: TpmSource, state_dir: Path, nuc_map: Path, tmp_path: Path, unit_identity: UnitIdentity
) -> None:
    named, other = chain_of_trust(), chain_of_trust(usages=None)
    remembered = TrustedAuthority(other.root, other.intermediate)

    def trusted(**more: object) -> object:
        return Agent(options(state_dir, nuc_map, keep_nuc_map=True, **more), tpm).agent_session()._context.authority

    assert trusted() is None
    unit_identity.store(state_dir)
    assert trusted() == TrustedAuthority(unit_identity.chain.root)
    (state_dir / "root.pem").write_bytes(remembered.pem())
    assert trusted() == remembered
    for name in ("root", "intermediate"):
        (tmp_path / f"{name}.pem").write_bytes(getattr(named, name).public_bytes(Encoding.PEM))
    root, intermediate = tmp_path / "root.pem", tmp_path / "intermediate.pem"
    assert trusted(root_certificate=root) == TrustedAuthority(named.root)
    both = trusted(root_certificate=root, intermediate_certificate=intermediate)
    assert both == TrustedAuthority(named.root, named.intermediate)


def test_an_intermediate_that_names_no_usages_is_remembered_with_the_root(
    tpm: TpmSource, state_dir: Path, nuc_map: Path, unit_identity: UnitIdentity
) -> None:
    """First in the identity, then, after a reset, beside the root."""
    other = chain_of_trust(usages=None)
    chain = replace(other, device=unit_identity.chain.device)
    replace(unit_identity, chain=chain).store(state_dir)
    agent = Agent(options(state_dir, nuc_map, keep_nuc_map=True), tpm)
    expected = TrustedAuthority(other.root, other.intermediate)
    assert agent._authority(agent.store.load()) == expected
    forget(state_dir, forget_root=False, forget_map=True)
    assert agent._authority(agent.store.load()) == expected
    forget(state_dir, forget_root=True, forget_map=True)
    assert agent._authority(agent.store.load()) is None


def test_only_a_tpm_that_failed_is_opened_afresh(state_dir: Path, nuc_map: Path) -> None:
    class Source(TpmSource):
        dropped = 0

        def drop(self) -> None:
            self.dropped += 1

    source = Source("a TPM", state_dir)
    agent = Agent(options(state_dir, nuc_map), source)
    agent.failed(BirthmarkError("link.lost"))
    assert source.dropped == 0
    agent.failed(BirthmarkError("tpm.gone"))
    assert source.dropped == 1


def test_forgetting_remembers_the_root_and_keeps_the_map_for_the_next_identity(
    tpm: TpmSource, state_dir: Path, nuc_map: Path, unit_identity: UnitIdentity
) -> None:
    unit_identity.store(state_dir)
    gone = forget(state_dir, forget_root=False, forget_map=False)
    assert gone.identity is not None
    assert (gone.identity.about.serial, gone.anything, gone.map_kept) == (SERIAL, True, True)
    assert load_authority(state_dir / "root.pem") == TrustedAuthority(unit_identity.chain.root)
    agent = Agent(options(state_dir, nuc_map), tpm)
    assert agent.store.load() is None
    assert agent.agent_session()._context.authority == TrustedAuthority(unit_identity.chain.root)
    assert Agent(options(state_dir), tpm).store.kept_map() is not None


def test_forgetting_does_not_change_the_root_that_is_remembered(state_dir: Path, unit_identity: UnitIdentity) -> None:
    other = chain_of_trust().root
    unit_identity.store(state_dir)
    (state_dir / "root.pem").write_bytes(other.public_bytes(Encoding.PEM))
    forget(state_dir, forget_root=False, forget_map=True)
    assert load_authority(state_dir / "root.pem") == TrustedAuthority(other)
    gone = forget(state_dir, forget_root=True, forget_map=True)
    assert (gone.identity, gone.anything, gone.map_kept) == (None, True, False)
    assert list(state_dir.iterdir()) == []
    assert not forget(state_dir, forget_root=True, forget_map=True).anything


def test_a_damaged_identity_is_forgotten_all_the_same(state_dir: Path, unit_identity: UnitIdentity) -> None:
    unit_identity.store(state_dir)
    (state_dir / "identity" / "identity.json").write_bytes(b"")
    gone = forget(state_dir, forget_root=False, forget_map=False)
    assert (gone.identity, gone.anything, gone.map_kept) == (None, True, True)
