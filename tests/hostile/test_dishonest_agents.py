"""Every liar against a real station, over a pty: refused with its own code, and nothing written but that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from device_agent.disk import Disk
from device_agent.identity import IdentityStore
from device_agent.provision import Enrollee
from device_agent.tpm import Simulator, Tpm, templates
from shared.faults import CATALOGUE
from shared.messages import Identity, Proof
from station.config import EkPolicy
from tests.hostile import lies_about_keys, lies_about_names, lies_on_the_cable  # noqa: F401 - they register themselves
from tests.hostile.liar import KNOWN_MAKER, LIARS, Liar, LyingLine, Props, StubbornTpm
from tests.hostile.lies_about_names import EkCertificateOfUnknownRoot
from tests.hostile.stage import PATIENCE_SECONDS, Meeting, Stage, private, setting, staged
from virtual.cable import End

ABOUT_EK = [liar for liar in LIARS if liar.code.startswith("attestation.ek-")]


@pytest.fixture
def roots(simulator: Simulator, other_simulator: Simulator, tmp_path: Path) -> Path:
    """With the simulators' own CAs a station can require of them what it requires of chips."""
    folder = tmp_path / "roots"
    folder.mkdir()
    (folder / "known.pem").write_bytes(KNOWN_MAKER.pem())
    for number, made in enumerate((simulator, other_simulator)):
        for path in (made._state / "ca").glob("*cert.pem"):
            (folder / f"{number}-{path.name}").write_bytes(path.read_bytes())
    return folder


@contextmanager
def lying(simulator: Simulator, liar: type[Liar], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tpm]:
    for name, template in liar.template.items():
        monkeypatch.setattr(templates, name, template)
    tpm = StubbornTpm.open(simulator.tcti)
    try:
        tpm.publics()
        yield tpm
    finally:
        tpm.close()


def meet(stage: Stage, liar: type[Liar], tpm: Tpm, props: Props, folder: Path) -> Meeting:
    store = IdentityStore(private(folder), Disk())
    told = liar(tpm, store, setting(), props)
    return stage.meet(
        lambda: told,
        line=lambda link: LyingLine(link, told.frames),
        step_seconds=1.0 if liar.impatient else PATIENCE_SECONDS,
    )


def is_refused(liar: type[Liar], stage: Stage, tpm: Tpm, props: Props, folder: Path) -> None:
    before = stage.books()
    meeting = meet(stage, liar, tpm, props, folder)
    after = stage.books()
    assert meeting.recording.refusals(End.STATION) == [liar.code], meeting
    assert meeting.code == "session.refused-by-station", meeting
    assert [code for _, code in after.refusals_since(before)] == [liar.code], meeting
    if liar.earned:
        assert after.events_since(before) == ["issued", "refused"]
        assert [unit.state.value for unit in stage.listed()] == ["issued"]
    else:
        assert after.events_since(before) == ["refused"]
        assert (after.units, after.assignments) == (before.units, before.assignments) == ((), ())
        assert "Credentials" not in meeting.recording.kinds(End.STATION)
    assert not (folder / "identity" / "provisioned").exists()


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.__name__)
def test_a_dishonest_agent_is_refused_by_its_code_and_nothing_else_is_written(
    liar: type[Liar],
    simulator: Simulator,
    other_tpm: Tpm,
    earlier: Proof,
    roots: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with lying(simulator, liar, monkeypatch) as tpm, staged(tmp_path, ek_roots=roots) as stage:
        is_refused(liar, stage, tpm, Props(other_tpm, earlier), tmp_path / "agent")


@pytest.mark.parametrize("liar", ABOUT_EK, ids=lambda liar: liar.__name__)
def test_a_lie_about_the_endorsement_key_is_refused_where_a_makers_chain_is_required(
    liar: type[Liar],
    simulator: Simulator,
    other_tpm: Tpm,
    earlier: Proof,
    roots: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        lying(simulator, liar, monkeypatch) as tpm,
        staged(tmp_path, policy=EkPolicy.REQUIRE, ek_roots=roots) as stage,
    ):
        is_refused(liar, stage, tpm, Props(other_tpm, earlier), tmp_path / "agent")


@pytest.mark.parametrize("policy", [EkPolicy.REQUIRE, EkPolicy.SIMULATOR], ids=str)
def test_an_agent_that_tells_no_lie_is_provisioned_by_the_same_stage(
    policy: EkPolicy, tpm: Tpm, other_tpm: Tpm, earlier: Proof, roots: Path, tmp_path: Path
) -> None:
    """Without this the refusals above would show nothing."""
    with staged(tmp_path, policy=policy, ek_roots=roots) as stage:
        before = stage.books()
        meeting = meet(stage, Liar, tpm, Props(other_tpm, earlier), tmp_path / "agent")
        assert stage.books().events_since(before) == ["issued", "provisioned"], meeting
        assert meeting.identity is not None
        assert meeting.identity.provisioned


@pytest.mark.parametrize("known", [True, False], ids=["known maker", "unknown maker"])
def test_a_certificate_says_that_its_key_is_in_a_tpm_only_where_a_known_maker_vouches_for_it(
    known: bool, tpm: Tpm, roots: Path, tmp_path: Path
) -> None:
    with staged(tmp_path, ek_roots=roots if known else None) as stage:
        store = IdentityStore(private(tmp_path / "agent"), Disk())
        meeting = stage.meet(lambda: Enrollee(tpm, store, setting()))
        assert meeting.identity is not None, meeting
        said = [
            policy.policy_identifier.dotted_string
            for extension in meeting.identity.chain[0].extensions
            if isinstance(extension.value, x509.CertificatePolicies)
            for policy in extension.value
        ]
        assert said == (["2.23.133.11.1.1", "2.23.133.11.1.2"] if known else [])
        [unit] = stage.listed()
        assert unit.ek_trust == ("verified" if known else "simulated")


def test_a_simulator_is_refused_where_a_makers_chain_is_required(tpm: Tpm, tmp_path: Path) -> None:
    with staged(tmp_path, policy=EkPolicy.REQUIRE) as stage:
        store = IdentityStore(private(tmp_path / "agent"), Disk())
        meeting = stage.meet(lambda: Enrollee(tpm, store, setting()))
        assert meeting.recording.refusals(End.STATION) == ["attestation.ek-untrusted"]
        assert stage.listed() == []


def test_where_no_chain_is_required_the_unit_is_marked_unverified_with_the_reason(
    tpm: Tpm, other_tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    with staged(tmp_path, policy=EkPolicy.RECORD) as stage:
        meet(stage, EkCertificateOfUnknownRoot, tpm, Props(other_tpm, earlier), tmp_path / "agent")
        [unit] = stage.listed()
        assert unit.ek_trust == "unverified"
        assert "A Maker Nobody Knows" in unit.ek_reason


def test_what_a_liar_calls_itself_stands_in_the_audit_log_on_one_line_and_short(
    tpm: Tpm, other_tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    named = [liar for liar in LIARS if liar.__name__.startswith("Serial")]
    with staged(tmp_path) as stage:
        before = stage.books()
        for liar in named:
            meet(stage, liar, tpm, Props(other_tpm, earlier), tmp_path / "agent")
        serials = [serial for serial, _ in stage.books().refusals_since(before)]
    assert len(serials) == len(named)
    for serial in serials:
        assert serial.isprintable()
        assert len(serial) <= 64


def test_every_refusal_says_what_happened_and_what_to_do() -> None:
    for liar in LIARS:
        fault = CATALOGUE[liar.code]
        assert re.search(r"\w+ \w+", fault.sentence)
        assert fault.advice.endswith(".")


def test_the_same_words_said_twice_change_nothing(tpm: Tpm, other_tpm: Tpm, earlier: Proof, tmp_path: Path) -> None:
    """An Identity may be repeated: a terminal that echoes, or an agent that heard the Hello twice."""

    class SaysItTwice(Liar):
        def frames(self, payload: bytes) -> Iterator[bytes]:
            frame = b"".join(super().frames(payload))
            return iter([frame, frame] if b"identity" in payload[:16] else [frame])

    with staged(tmp_path) as stage:
        before = stage.books()
        meeting = meet(stage, SaysItTwice, tpm, Props(other_tpm, earlier), tmp_path / "agent")
        assert sum(isinstance(said, Identity) for said in meeting.recording.messages(End.PI)) >= 2
        assert stage.books().events_since(before) == ["issued", "provisioned"], meeting
