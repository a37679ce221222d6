"""A real station refuses every dishonest agent with its code, over a pty, and writes only the refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from device_agent.session.agent_session import AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.tpm import Simulator, Tpm, templates
from shared.errors.catalogue import CATALOGUE
from shared.protocol.messages import Identity, Proof
from station.config import EkPolicy
from tests.adversary import identity_attacks, key_attacks, protocol_attacks  # noqa: F401 - importing registers them
from tests.adversary.dishonest_agent import (
    DISHONEST_AGENTS,
    KNOWN_VENDOR,
    AttackerTools,
    DishonestAgent,
    StubbornTpm,
    TamperingLine,
)
from tests.adversary.identity_attacks import EkCertificateOfUnknownRoot
from tests.harness.recorded_station import RecordedStation, SessionOutcome, context, open_recorded_station, private
from virtual.cable import End

ABOUT_EK = [dishonest for dishonest in DISHONEST_AGENTS if dishonest.code.startswith("attestation.ek-")]


@pytest.fixture
def roots(simulator: Simulator, other_simulator: Simulator, tmp_path: Path) -> Path:
    """Roots with the simulators' CAs, so that a station can require a vendor's chain of simulators."""
    folder = tmp_path / "roots"
    folder.mkdir()
    (folder / "known.pem").write_bytes(KNOWN_VENDOR.pem())
    for number, made in enumerate((simulator, other_simulator)):
        for path in (made._state / "ca").glob("*cert.pem"):
            (folder / f"{number}-{path.name}").write_bytes(path.read_bytes())
    return folder


@contextmanager
def lying(simulator: Simulator, dishonest: type[DishonestAgent], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tpm]:
    for name, template in dishonest.template.items():
        monkeypatch.setattr(templates, name, template)
    tpm = StubbornTpm.open(simulator.tcti)
    try:
        tpm.public_areas()
        yield tpm
    finally:
        tpm.close()


def meet(
    station_under_test: RecordedStation, dishonest: type[DishonestAgent], tpm: Tpm, tools: AttackerTools, folder: Path
) -> SessionOutcome:
    store = IdentityStore(private(folder), Disk())
    told = dishonest(tpm, store, context(), tools)
    return station_under_test.meet(
        lambda: told,
        line=lambda link: TamperingLine(link, told.frames),
        short_wait_after=(Proof if dishonest.earned else Identity) if dishonest.short_wait else None,
    )


def is_refused(
    dishonest: type[DishonestAgent], station_under_test: RecordedStation, tpm: Tpm, tools: AttackerTools, folder: Path
) -> None:
    before = station_under_test.contents()
    outcome = meet(station_under_test, dishonest, tpm, tools, folder)
    after = station_under_test.contents()
    assert outcome.recording.refusals(End.STATION) == [dishonest.code], outcome
    assert outcome.code == "session.refused-by-station", outcome
    assert [code for _, code in after.refusals_since(before)] == [dishonest.code], outcome
    if dishonest.earned:
        assert after.events_since(before) == ["reserved", "issued", "refused"]
        assert [unit.state.value for unit in station_under_test.listed()] == ["issued"]
    else:
        assert after.events_since(before) == ["refused"]
        assert (after.units, after.assignments) == (before.units, before.assignments) == ((), ())
        assert "Credentials" not in outcome.recording.kinds(End.STATION)
    assert not (folder / "identity" / "provisioned").exists()


@pytest.mark.parametrize("dishonest", DISHONEST_AGENTS, ids=lambda dishonest: dishonest.__name__)
def test_a_dishonest_agent_is_refused_by_its_code_and_nothing_else_is_written(
    dishonest: type[DishonestAgent],
    simulator: Simulator,
    other_tpm: Tpm,
    earlier: Proof,
    roots: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        lying(simulator, dishonest, monkeypatch) as tpm,
        open_recorded_station(tmp_path, ek_roots=roots) as station_under_test,
    ):
        is_refused(dishonest, station_under_test, tpm, AttackerTools(other_tpm, earlier), tmp_path / "agent")


@pytest.mark.parametrize("dishonest", ABOUT_EK, ids=lambda dishonest: dishonest.__name__)
def test_a_false_endorsement_key_is_refused_when_a_vendors_chain_is_required(
    dishonest: type[DishonestAgent],
    simulator: Simulator,
    other_tpm: Tpm,
    earlier: Proof,
    roots: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        lying(simulator, dishonest, monkeypatch) as tpm,
        open_recorded_station(tmp_path, policy=EkPolicy.REQUIRE, ek_roots=roots) as station_under_test,
    ):
        is_refused(dishonest, station_under_test, tpm, AttackerTools(other_tpm, earlier), tmp_path / "agent")


@pytest.mark.parametrize("policy", [EkPolicy.REQUIRE, EkPolicy.SIMULATOR], ids=str)
def test_an_honest_agent_is_provisioned_by_the_same_testbed(
    policy: EkPolicy, tpm: Tpm, other_tpm: Tpm, earlier: Proof, roots: Path, tmp_path: Path
) -> None:
    """Control for the refusals above: an honest agent passes."""
    with open_recorded_station(tmp_path, policy=policy, ek_roots=roots) as station_under_test:
        before = station_under_test.contents()
        outcome = meet(station_under_test, DishonestAgent, tpm, AttackerTools(other_tpm, earlier), tmp_path / "agent")
        assert station_under_test.contents().events_since(before) == ["reserved", "issued", "provisioned"], outcome
        assert outcome.identity is not None
        assert outcome.identity.provisioned


@pytest.mark.parametrize("known", [True, False], ids=["known vendor", "unknown vendor"])
def test_a_certificate_says_that_its_key_is_in_a_tpm_only_where_a_known_vendor_vouches_for_it(
    known: bool, tpm: Tpm, roots: Path, tmp_path: Path
) -> None:
    with open_recorded_station(tmp_path, ek_roots=roots if known else None) as station_under_test:
        store = IdentityStore(private(tmp_path / "agent"), Disk())
        outcome = station_under_test.meet(lambda: AgentSession(tpm, store, context()))
        assert outcome.identity is not None, outcome
        said = [
            policy.policy_identifier.dotted_string
            for extension in outcome.identity.chain[0].extensions
            if isinstance(extension.value, x509.CertificatePolicies)
            for policy in extension.value
        ]
        assert said == (["2.23.133.11.1.1", "2.23.133.11.1.2"] if known else [])
        [unit] = station_under_test.listed()
        assert unit.ek_trust == ("verified" if known else "simulated")


def test_a_simulator_is_refused_where_a_vendors_chain_is_required(tpm: Tpm, tmp_path: Path) -> None:
    with open_recorded_station(tmp_path, policy=EkPolicy.REQUIRE) as station_under_test:
        store = IdentityStore(private(tmp_path / "agent"), Disk())
        outcome = station_under_test.meet(lambda: AgentSession(tpm, store, context()))
        assert outcome.recording.refusals(End.STATION) == ["attestation.ek-untrusted"]
        assert station_under_test.listed() == []


def test_without_a_required_chain_the_unit_is_marked_unverified_with_the_reason(
    tpm: Tpm, other_tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    with open_recorded_station(tmp_path, policy=EkPolicy.RECORD) as station_under_test:
        meet(station_under_test, EkCertificateOfUnknownRoot, tpm, AttackerTools(other_tpm, earlier), tmp_path / "agent")
        [unit] = station_under_test.listed()
        assert unit.ek_trust == "unverified"
        assert "A Vendor Nobody Knows" in unit.ek_reason


def test_the_audit_log_holds_a_dishonest_agents_name_on_one_short_line(
    tpm: Tpm, other_tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    named = [dishonest for dishonest in DISHONEST_AGENTS if dishonest.__name__.startswith("Serial")]
    with open_recorded_station(tmp_path) as station_under_test:
        before = station_under_test.contents()
        for dishonest in named:
            meet(station_under_test, dishonest, tpm, AttackerTools(other_tpm, earlier), tmp_path / "agent")
        serials = [serial for serial, _ in station_under_test.contents().refusals_since(before)]
    assert len(serials) == len(named)
    for serial in serials:
        assert serial.isprintable()
        assert len(serial) <= 64


def test_every_refusal_says_what_happened_and_what_to_do() -> None:
    for dishonest in DISHONEST_AGENTS:
        fault = CATALOGUE[dishonest.code]
        assert re.search(r"\w+ \w+", fault.sentence)
        assert fault.advice.endswith(".")


def test_a_repeated_message_changes_nothing(tpm: Tpm, other_tpm: Tpm, earlier: Proof, tmp_path: Path) -> None:
    """An agent repeats its Identity when it receives the Hello twice or a terminal echoes it."""

    class SaysItTwice(DishonestAgent):
        def frames(self, payload: bytes) -> Iterator[bytes]:
            frame = b"".join(super().frames(payload))
            return iter([frame, frame] if b"identity" in payload[:16] else [frame])

    with open_recorded_station(tmp_path) as station_under_test:
        before = station_under_test.contents()
        outcome = meet(station_under_test, SaysItTwice, tpm, AttackerTools(other_tpm, earlier), tmp_path / "agent")
        assert sum(isinstance(said, Identity) for said in outcome.recording.messages(End.PI)) >= 2
        assert station_under_test.contents().events_since(before) == ["reserved", "issued", "provisioned"], outcome
