"""A unit as other programs see it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from station.provisioning.offline import ProvisioningRequest
from station.registry import queries, revocation
from station.registry.device import device_of
from station.registry.revocation import RevocationCode
from tests.harness.bare_station import NOW, open_bare_station


async def test_a_unit_is_shown_with_times_in_iso_8601_and_without_its_nuc_hash(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = await bare_station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
        async with bare_station.database.write() as connection:
            await revocation.revoke(connection, "CAM-1", RevocationCode.HOLD, "lost", NOW)
            shown = device_of(await queries.by_serial(connection, "CAM-1"))
    assert (shown.device_serial, shown.table_assignments, shown.revoked_code) == (
        "CAM-1",
        list(made.tables),
        "certificateHold",
    )
    assert shown.provisioned_at is not None
    assert shown.provisioned_at.endswith("+00:00")
    assert shown.closed_at is None
    assert shown.certificate_authority == "own"
    assert made.nuc_hash is not None
    assert made.nuc_hash.secret().hex() not in msgspec.json.encode(shown).decode()
