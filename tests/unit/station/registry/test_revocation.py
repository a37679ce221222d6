"""Every operation on a unit in every state, and a session that returns meanwhile."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.registry import audit, revocation, units
from station.registry.records import Applicant, KeyHolder, Unit, UnitState
from station.registry.revocation import RevocationCode
from tests.harness import issuing
from tests.harness.bare_station import NOW, BareStation, open_bare_station

Verb = Callable[[AsyncConnection], Awaitable[Unit]]

VERBS: dict[str, Verb] = {
    "hold": lambda c: revocation.revoke(c, "CAM-1", RevocationCode.HOLD, "why", NOW),
    "revoke": lambda c: revocation.revoke(c, "CAM-1", RevocationCode.KEY_COMPROMISE, "why", NOW),
    "reinstate": lambda c: revocation.reinstate(c, "CAM-1", "why", NOW),
    "release": lambda c: revocation.release(c, "CAM-1", "why", NOW),
}

# From each state, what each verb leads to: a state, or the code of a refusal that changes nothing.
MATRIX = {
    "issued": ("revoked", "revoked", "registry.not-revoked", "released"),
    "provisioned": ("revoked", "revoked", "registry.not-revoked", "released"),
    "issued, on hold": ("registry.already-revoked", "revoked", "issued", "released"),
    "provisioned, on hold": ("registry.already-revoked", "revoked", "provisioned", "released"),
    "revoked for good": (*("registry.already-revoked",) * 2, "registry.revoked-for-good", "released"),
    "released": ("registry.unknown-unit",) * 4,
}


def applicant(ek: bytes = b"e" * 32) -> Applicant:
    return Applicant(
        serial=board_serial("CAM-1"),
        key_holder=KeyHolder.TPM,
        family="Raspberry Pi",
        station="station",
        port="/dev/ttyACM0",
        device_fingerprint=b"d" * 32,
        nuc_blind_index=b"n" * 32,
        ek_fingerprint=ek,
        ek_trust="trusted",
    )


async def issue(bare_station: BareStation) -> Unit:
    """Issue to a unit that came by cable and has not sent its receipt."""
    return (await issuing.issue(bare_station.issuance, applicant(), NOW)).unit


async def bring(bare_station: BareStation, state: str) -> None:
    unit = await issue(bare_station)
    async with bare_station.database.write() as connection:
        if state.startswith("provisioned"):
            await units.confirm(connection, unit.id, NOW, 800)
        if state.endswith("on hold"):
            await VERBS["hold"](connection)
        if state == "revoked for good":
            await VERBS["revoke"](connection)
        if state == "released":
            await VERBS["release"](connection)


@pytest.mark.parametrize("state", MATRIX)
@pytest.mark.parametrize("verb", VERBS)
async def test_every_operation_on_a_unit_in_every_state(tmp_path: Path, state: str, verb: str) -> None:
    wanted = MATRIX[state][list(VERBS).index(verb)]
    async with open_bare_station(tmp_path) as bare_station:
        await bring(bare_station, state)
        before = await _rows(bare_station)
        if "." in wanted:
            with pytest.raises(BirthmarkError) as raised:
                async with bare_station.database.write() as connection:
                    await VERBS[verb](connection)
            assert raised.value.code == wanted
            assert await _rows(bare_station) == before
        else:
            async with bare_station.database.write() as connection:
                assert (await VERBS[verb](connection)).state == wanted
            assert len(await _rows(bare_station)) == len(before) + 1


async def test_a_revoked_unit_that_is_plugged_in_again_is_refused(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await bring(bare_station, "provisioned, on hold")
        with pytest.raises(BirthmarkError) as raised:
            await issuing.issue(bare_station.issuance, applicant(), NOW)
        assert raised.value.code == "registry.unit-revoked"


async def test_a_unit_revoked_before_its_receipt_does_not_become_provisioned(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await bring(bare_station, "issued, on hold")
        async with bare_station.database.read() as connection:
            unit = await units.active(connection, "CAM-1")
        with pytest.raises(BirthmarkError) as raised:
            async with bare_station.database.write() as connection:
                await units.confirm(connection, unit.id, NOW)
        assert raised.value.code == "registry.unit-revoked"
        async with bare_station.database.read() as connection:
            assert (await units.active(connection, "CAM-1")).state is UnitState.REVOKED


async def test_a_reinstated_unit_forgets_why_it_was_revoked_and_the_audit_log_does_not(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await bring(bare_station, "provisioned, on hold")
        async with bare_station.database.write() as connection:
            unit = await VERBS["reinstate"](connection)
        assert (unit.revoked_at, unit.revoked_code, unit.revoked_reason) == (None, None, None)
        assert [event for event, _ in await _rows(bare_station)][-2:] == ["revoked", "reinstated"]


async def test_another_tpm_with_a_revoked_units_serial_is_refused_as_taken(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await bring(bare_station, "revoked for good")
        with pytest.raises(BirthmarkError) as raised:
            await issuing.issue(bare_station.issuance, applicant(ek=os.urandom(32)), NOW)
        assert raised.value.code == "registry.serial-taken"


async def _rows(bare_station: BareStation) -> list[tuple[str, str]]:
    async with bare_station.database.read() as connection:
        return [(row.event, row.detail) for row in await audit.read(connection)]
