"""The registry refuses genuine TPMs under another unit's identity, until an operator releases the unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.session.agent_session import AgentSession, ProvenUnit
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.storage.sealed_map import NucMap
from device_agent.tpm import Simulator, Tpm, templates
from shared.protocol.messages import Credentials, Identity, Proof, Receipt
from shared.types import BoardSerial, board_serial
from station.registry import revocation
from station.registry.records import UnitState
from tests.adversary.dishonest_agent import AttackerTools, DishonestAgent, but
from tests.harness.recorded_station import (
    NUC_MAP,
    SERIAL,
    RecordedStation,
    RegistryContents,
    SessionOutcome,
    context,
    open_recorded_station,
    private,
)
from virtual.cable import End
from virtual.station import run_station

ANOTHER = board_serial("10000000abcdef02")
ANOTHER_MAP = NucMap(b"another sensor's map" * 64)


@pytest.fixture
def station_under_test(tpm: Tpm, tmp_path: Path) -> Iterator[RecordedStation]:
    """A station with one unit: `tpm`, SERIAL, NUC_MAP."""
    with open_recorded_station(tmp_path) as opened:
        assert come(opened, tpm, tmp_path / "first").identity is not None
        yield opened


def come(
    station_under_test: RecordedStation,
    tpm: Tpm,
    folder: Path,
    serial: BoardSerial = SERIAL,
    nuc_map: NucMap | None = NUC_MAP,
) -> SessionOutcome:
    store = IdentityStore(private(folder), Disk())
    return station_under_test.meet(lambda: AgentSession(tpm, store, context(serial, nuc_map)))


def is_refused(
    code: str, outcome: SessionOutcome, station_under_test: RecordedStation, before: RegistryContents
) -> None:
    after = station_under_test.contents()
    assert outcome.recording.refusals(End.STATION) == [code], outcome
    assert outcome.code == "session.refused-by-station"
    assert [found for _, found in after.refusals_since(before)] == [code]
    assert after.events_since(before) == ["refused"]
    assert (after.units, after.assignments) == (before.units, before.assignments)


def test_the_same_tpm_under_another_serial_number_is_refused(
    station_under_test: RecordedStation, tpm: Tpm, tmp_path: Path
) -> None:
    before = station_under_test.contents()
    is_refused(
        "registry.ek-taken",
        come(station_under_test, tpm, tmp_path / "new", ANOTHER, ANOTHER_MAP),
        station_under_test,
        before,
    )


def test_another_tpm_under_a_known_serial_number_is_refused(
    station_under_test: RecordedStation, other_tpm: Tpm, tmp_path: Path
) -> None:
    before = station_under_test.contents()
    is_refused(
        "registry.serial-taken",
        come(station_under_test, other_tpm, tmp_path / "new", SERIAL, ANOTHER_MAP),
        station_under_test,
        before,
    )


def test_another_unit_with_a_known_sensors_nuc_hash_is_refused(
    station_under_test: RecordedStation, other_tpm: Tpm, tmp_path: Path
) -> None:
    before = station_under_test.contents()
    is_refused(
        "registry.duplicate-nuc",
        come(station_under_test, other_tpm, tmp_path / "new", ANOTHER, NUC_MAP),
        station_under_test,
        before,
    )


def test_a_known_unit_with_another_sensors_nuc_hash_is_refused(
    station_under_test: RecordedStation, tpm: Tpm, tmp_path: Path
) -> None:
    before = station_under_test.contents()
    is_refused(
        "registry.nuc-changed",
        come(station_under_test, tpm, tmp_path / "new", SERIAL, ANOTHER_MAP),
        station_under_test,
        before,
    )


def test_one_device_key_behind_two_endorsement_keys_is_refused(
    station_under_test: RecordedStation, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TPM has several endorsement keys, each with a certificate, and proves the same device key with each."""
    monkeypatch.setattr(templates, "EK_TEMPLATES", {"L-1": "EK-RSA2048"})
    again = Tpm.open(simulator.tcti)
    try:
        before = station_under_test.contents()
        outcome = come(station_under_test, again, tmp_path / "new", ANOTHER, ANOTHER_MAP)
        is_refused("registry.device-key-taken", outcome, station_under_test, before)
    finally:
        again.close()


def test_a_known_unit_with_another_device_key_is_refused(
    station_under_test: RecordedStation, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = templates.device_key

    def another() -> object:
        public = made()
        public.publicArea.unique.ecc.x = b"another device key"
        return public

    monkeypatch.setattr(templates, "device_key", another)
    again = Tpm.open(simulator.tcti)
    try:
        before = station_under_test.contents()
        is_refused(
            "registry.device-key-changed", come(station_under_test, again, tmp_path / "new"), station_under_test, before
        )
    finally:
        again.close()


def test_a_unit_that_shows_another_units_certificate_is_refused(
    station_under_test: RecordedStation, other_tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    [known] = station_under_test.listed()
    assert known.certificate is not None
    shown = known.certificate.sha256

    class Borrower(DishonestAgent):
        def claim(self, honest: Identity) -> Identity:
            return but(honest, certificate=shown)

    store = IdentityStore(private(tmp_path / "new"), Disk())
    before = station_under_test.contents()
    outcome = station_under_test.meet(
        lambda: Borrower(other_tpm, store, context(ANOTHER, ANOTHER_MAP), AttackerTools(other_tpm, earlier))
    )
    is_refused("identity.unknown-certificate", outcome, station_under_test, before)


def test_a_unit_that_comes_back_gets_the_same_again_even_with_its_card_erased(
    station_under_test: RecordedStation, tpm: Tpm, tmp_path: Path
) -> None:
    """Control for the refusals above: the same unit passes."""
    before = station_under_test.contents()
    outcome = come(station_under_test, tpm, tmp_path / "new")
    assert station_under_test.contents().events_since(before) == ["resumed"], outcome
    assert outcome.identity is not None
    first = IdentityStore(tmp_path / "first", Disk()).load()
    assert first is not None
    assert (outcome.identity.chain, outcome.identity.about.table_ids) == (first.chain, first.about.table_ids)


def test_a_released_unit_may_be_provisioned_again_and_the_audit_log_says_why(
    station_under_test: RecordedStation, tpm: Tpm, other_tpm: Tpm, tmp_path: Path
) -> None:
    data_dir = str(station_under_test.station.data_dir)
    before = station_under_test.contents()
    run_station("release", SERIAL, "--reason", "its TPM hat was replaced", "--data-dir", data_dir)
    [released] = station_under_test.contents().audit[len(before.audit) :]
    assert (released.event, released.serial) == ("released", SERIAL)
    assert "its TPM hat was replaced" in released.detail
    assert station_under_test.listed() == []

    assert come(station_under_test, other_tpm, tmp_path / "other", SERIAL, ANOTHER_MAP).identity is not None
    assert come(station_under_test, tpm, tmp_path / "same", ANOTHER, NUC_MAP).identity is not None
    assert {(unit.serial, unit.state) for unit in station_under_test.listed()} == {
        (SERIAL, UnitState.PROVISIONED),
        (ANOTHER, UnitState.PROVISIONED),
    }
    unreleased = run_station("release", "10000000ffffffff", "--reason", "x", "--data-dir", data_dir, check=False)
    assert unreleased.returncode == 1
    assert "registry.unknown-unit" in unreleased.stderr


def test_a_unit_released_in_the_middle_of_its_session_is_not_provisioned(
    tpm: Tpm, earlier: Proof, tmp_path: Path
) -> None:
    with open_recorded_station(tmp_path) as station_under_test:

        class ReleasedMeanwhile(DishonestAgent):
            def accept(self, proven: ProvenUnit, credentials: Credentials, before: bytes, after: bytes) -> Receipt:
                async def release() -> None:
                    async with station_under_test.station.database.write() as connection:
                        await revocation.release(connection, SERIAL, "a test", 1)

                station_under_test.run(release())
                return super().accept(proven, credentials, before, after)

        store = IdentityStore(private(tmp_path / "agent"), Disk())
        before = station_under_test.contents()
        outcome = station_under_test.meet(lambda: ReleasedMeanwhile(tpm, store, context(), AttackerTools(tpm, earlier)))
        assert outcome.recording.refusals(End.STATION) == ["registry.released-meanwhile"]
        assert station_under_test.contents().events_since(before) == ["reserved", "issued", "released", "refused"]
