"""A revoked TPM cannot come back under its other endorsement key, which its vendor certifies as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tpm2_pytss import TPM2B_PUBLIC

from device_agent.board.device_tree import Board
from device_agent.session.agent_session import AgentContext, AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore
from device_agent.storage.sealed_map import NucMap
from device_agent.tpm import Simulator, Tpm, templates
from runtime.clock import SYSTEM_CLOCK, unix_time
from shared.protocol.messages import Hello, Identity
from shared.types import board_serial
from station.attestation.ek.templates import template_of
from station.attestation.tpm2.structures import read_public
from station.config import EkPolicy, EkTemplateName
from station.registry import revocation
from station.registry.revocation import RevocationCode
from tests.adversary.dishonest_agent import KNOWN_VENDOR, but
from tests.harness.recorded_station import (
    NUC_MAP,
    SERIAL,
    RecordedStation,
    SessionOutcome,
    open_recorded_station,
    private,
)
from tests.harness.vendor_lab import write_roots
from virtual.cable import End


class GenuineChip(AgentSession):
    """An agent whose TPM a known vendor has certified: each of its endorsement keys, as vendors do."""

    def identify(self, hello: Hello, transcript: bytes) -> Identity:
        honest = super().identify(hello, transcript)
        return but(honest, ek_certificate=KNOWN_VENDOR.ek(read_public(honest.ek_public).key()))


@pytest.fixture
def station(tmp_path: Path) -> Iterator[RecordedStation]:
    """A station whose units show their P-384 EK: swtpm has this and an RSA one, as a chip has P-256 and RSA."""
    roots = write_roots(tmp_path / "roots", KNOWN_VENDOR)
    with open_recorded_station(
        tmp_path, policy=EkPolicy.REQUIRE, ek_roots=roots, ek_template=EkTemplateName.H_3
    ) as recorded:
        yield recorded


def come(station: RecordedStation, simulator: Simulator, folder: Path, serial: str, nuc_map: NucMap) -> SessionOutcome:
    tpm = Tpm.open(simulator.tcti)
    try:
        context = AgentContext(Board(board_serial(serial), "Raspberry Pi 5"), "simulator", nuc_map, None)
        return station.meet(lambda: GenuineChip(tpm, IdentityStore(private(folder), Disk()), context))
    finally:
        tpm.close()


def shown(outcome: SessionOutcome) -> str:
    identity, *_ = [message for message in outcome.recording.messages(End.PI) if isinstance(message, Identity)]
    template = template_of(read_public(identity.ek_public))
    return template.name if template else ""


def revoke(station: RecordedStation, serial: str) -> None:
    async def write() -> None:
        async with station.station.database.write() as connection:
            now = unix_time(SYSTEM_CLOCK)
            await revocation.revoke(connection, serial, RevocationCode.KEY_COMPROMISE, "stolen", now)

    station.run(write())


def test_an_agent_shows_the_endorsement_key_that_the_station_asks_for(
    station: RecordedStation, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefers_rsa = {"L-1": "EK-RSA2048"} | templates.EK_TEMPLATES
    monkeypatch.setattr(templates, "EK_TEMPLATES", prefers_rsa)
    outcome = come(station, simulator, tmp_path / "unit", SERIAL, NUC_MAP)
    assert outcome.identity is not None, outcome
    assert shown(outcome) == "H-3"


def test_a_known_unit_is_refused_when_the_station_asks_for_another_key_than_before(
    station: RecordedStation, simulator: Simulator, tmp_path: Path
) -> None:
    """As docs/operator.md says: it must be released first."""
    honest = come(station, simulator, tmp_path / "unit", SERIAL, NUC_MAP)
    assert honest.identity is not None, honest
    config = station.station.config
    attestation = msgspec.structs.replace(config.attestation, ek_template=EkTemplateName.L_1)
    station.station.provisioner._config = msgspec.structs.replace(config, attestation=attestation)
    again = come(station, simulator, tmp_path / "again", SERIAL, NUC_MAP)
    assert shown(again) == "L-1"
    assert again.recording.refusals(End.STATION) == ["registry.serial-taken"]


@pytest.mark.attack("a revoked TPM comes back under its second endorsement key, with new keys, serial number and map")
def test_a_revoked_tpm_is_refused_under_its_other_endorsement_key(
    station: RecordedStation,
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    got: Callable[[str], None],
) -> None:
    honest = come(station, simulator, tmp_path / "unit", SERIAL, NUC_MAP)
    assert honest.identity is not None, honest
    revoke(station, SERIAL)
    again = come(station, simulator, tmp_path / "again", "10000000000000ff", NucMap(b"another sensor" * 64))
    assert again.recording.refusals(End.STATION) == ["registry.ek-taken"]

    made = templates.device_key

    def another() -> TPM2B_PUBLIC:
        public = made()
        public.publicArea.unique.ecc.x = b"another device key"
        return public

    monkeypatch.setattr(templates, "device_key", another)
    monkeypatch.setattr(templates, "EK_TEMPLATES", {"L-1": "EK-RSA2048"})
    other = come(station, simulator, tmp_path / "other", "10000000000000ff", NucMap(b"another sensor" * 64))
    assert shown(other) == "L-1"
    assert other.recording.refusals(End.STATION) == ["attestation.ek-other-template"], other
    assert len(station.listed()) == 1
    got("nothing: refused [attestation.ek-other-template]")
