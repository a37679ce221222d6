"""Genuine TPMs and honest proofs, by those who are not who they say: the registry knows its units. And: release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_agent.disk import Disk
from device_agent.identity import IdentityStore
from device_agent.nuc import NucMap
from device_agent.provision import Enrollee
from device_agent.tpm import Simulator, Tpm, templates
from shared.messages import Credentials, Identity, Proof, Receipt
from shared.types import BoardSerial, board_serial
from station.registry import units
from station.registry.records import UnitState
from tests.hostile.liar import Liar, Props, but
from tests.hostile.stage import NUC_MAP, SERIAL, Books, Meeting, Stage, private, setting, staged
from virtual.cable import End
from virtual.station import run_station

ANOTHER = board_serial("10000000abcdef02")
ANOTHER_MAP = NucMap(b"another sensor's map" * 64)


@pytest.fixture
def stage(tpm: Tpm, tmp_path: Path) -> Iterator[Stage]:
    """A station that knows one unit: `tpm`, SERIAL, NUC_MAP."""
    with staged(tmp_path) as opened:
        assert come(opened, tpm, tmp_path / "first").identity is not None
        yield opened


def come(
    stage: Stage, tpm: Tpm, folder: Path, serial: BoardSerial = SERIAL, nuc_map: NucMap | None = NUC_MAP
) -> Meeting:
    store = IdentityStore(private(folder), Disk())
    return stage.meet(lambda: Enrollee(tpm, store, setting(serial, nuc_map)))


def is_refused(code: str, meeting: Meeting, stage: Stage, before: Books) -> None:
    after = stage.books()
    assert meeting.recording.refusals(End.STATION) == [code], meeting
    assert meeting.code == "session.refused-by-station"
    assert [found for _, found in after.refusals_since(before)] == [code]
    assert after.events_since(before) == ["refused"]
    assert (after.units, after.assignments) == (before.units, before.assignments)


def test_the_same_tpm_under_another_serial_number_is_refused(stage: Stage, tpm: Tpm, tmp_path: Path) -> None:
    before = stage.books()
    is_refused("registry.ek-taken", come(stage, tpm, tmp_path / "new", ANOTHER, ANOTHER_MAP), stage, before)


def test_another_tpm_under_a_known_serial_number_is_refused(stage: Stage, other_tpm: Tpm, tmp_path: Path) -> None:
    before = stage.books()
    is_refused("registry.serial-taken", come(stage, other_tpm, tmp_path / "new", SERIAL, ANOTHER_MAP), stage, before)


def test_another_unit_with_a_known_sensors_nuc_hash_is_refused(stage: Stage, other_tpm: Tpm, tmp_path: Path) -> None:
    before = stage.books()
    is_refused("registry.duplicate-nuc", come(stage, other_tpm, tmp_path / "new", ANOTHER, NUC_MAP), stage, before)


def test_a_known_unit_with_another_sensors_nuc_hash_is_refused(stage: Stage, tpm: Tpm, tmp_path: Path) -> None:
    before = stage.books()
    is_refused("registry.nuc-changed", come(stage, tpm, tmp_path / "new", SERIAL, ANOTHER_MAP), stage, before)


def test_one_device_key_behind_two_endorsement_keys_is_refused(
    stage: Stage, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TPM has more than one endorsement key, each with its certificate; each proves the same device key."""
    monkeypatch.setattr(templates, "EK_TEMPLATES", ("EK-RSA2048",))
    again = Tpm.open(simulator.tcti)
    try:
        before = stage.books()
        meeting = come(stage, again, tmp_path / "new", ANOTHER, ANOTHER_MAP)
        is_refused("registry.device-key-taken", meeting, stage, before)
    finally:
        again.close()


def test_a_known_unit_with_another_device_key_is_refused(
    stage: Stage, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = templates.device_key

    def another() -> object:
        public = made()
        public.publicArea.unique.ecc.x = b"another device key"
        return public

    monkeypatch.setattr(templates, "device_key", another)
    again = Tpm.open(simulator.tcti)
    try:
        before = stage.books()
        is_refused("registry.device-key-changed", come(stage, again, tmp_path / "new"), stage, before)
    finally:
        again.close()


def test_a_unit_that_shows_another_units_certificate_is_refused(
    stage: Stage, other_tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    [known] = stage.listed()
    shown = x509.load_der_x509_certificate(known.certificate).fingerprint(hashes.SHA256())

    class Borrower(Liar):
        def claim(self, honest: Identity) -> Identity:
            return but(honest, certificate=shown)

    store = IdentityStore(private(tmp_path / "new"), Disk())
    before = stage.books()
    meeting = stage.meet(lambda: Borrower(other_tpm, store, setting(ANOTHER, ANOTHER_MAP), Props(other_tpm, earlier)))
    is_refused("identity.unknown-certificate", meeting, stage, before)


def test_a_unit_that_comes_back_gets_the_same_again_even_with_its_card_erased(
    stage: Stage, tpm: Tpm, tmp_path: Path
) -> None:
    """Without this the refusals above would show nothing."""
    before = stage.books()
    meeting = come(stage, tpm, tmp_path / "new")
    assert stage.books().events_since(before) == ["resumed"], meeting
    assert meeting.identity is not None
    first = IdentityStore(tmp_path / "first", Disk()).load()
    assert first is not None
    assert (meeting.identity.chain, meeting.identity.about.table_ids) == (first.chain, first.about.table_ids)


def test_what_an_operator_releases_may_be_provisioned_anew_and_the_audit_log_says_why(
    stage: Stage, tpm: Tpm, other_tpm: Tpm, tmp_path: Path
) -> None:
    data_dir = str(stage.station.data_dir)
    before = stage.books()
    run_station("release", SERIAL, "--reason", "its TPM hat was replaced", "--data-dir", data_dir)
    [released] = stage.books().audit[len(before.audit) :]
    assert (released.event, released.serial) == ("released", SERIAL)
    assert "its TPM hat was replaced" in released.detail
    assert stage.listed() == []

    assert come(stage, other_tpm, tmp_path / "other", SERIAL, ANOTHER_MAP).identity is not None
    assert come(stage, tpm, tmp_path / "same", ANOTHER, NUC_MAP).identity is not None
    assert {(unit.serial, unit.state) for unit in stage.listed()} == {
        (SERIAL, UnitState.PROVISIONED),
        (ANOTHER, UnitState.PROVISIONED),
    }
    unreleased = run_station("release", "10000000ffffffff", "--reason", "x", "--data-dir", data_dir, check=False)
    assert unreleased.returncode == 1
    assert "registry.unknown-unit" in unreleased.stderr


def test_a_unit_released_in_the_middle_of_its_session_is_not_provisioned(
    tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    with staged(tmp_path) as stage:

        class ReleasedMeanwhile(Liar):
            def accept(self, credentials: Credentials, before: bytes, after: bytes) -> Receipt:
                async def release() -> None:
                    async with stage.station.database.write() as connection:
                        await units.release(connection, SERIAL, "a test", 1)

                stage.run(release())
                return super().accept(credentials, before, after)

        store = IdentityStore(private(tmp_path / "agent"), Disk())
        before = stage.books()
        meeting = stage.meet(lambda: ReleasedMeanwhile(tpm, store, setting(), Props(tpm, earlier)))
        assert meeting.recording.refusals(End.STATION) == ["registry.released-meanwhile"]
        assert stage.books().events_since(before) == ["issued", "released", "refused"]
