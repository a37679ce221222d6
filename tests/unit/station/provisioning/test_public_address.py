"""The check of `public_url` warns when real units get certificates with an address that nobody else can reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.config import AuthorityConfig, EkPolicy
from station.provisioning import public_address
from station.provisioning.offline import ProvisioningRequest
from station.registry.schema import units
from tests.harness.bare_station import open_bare_station

LOOPBACK = AuthorityConfig(public_url="http://127.0.0.1:8001")
PUBLIC = AuthorityConfig(public_url="https://ma.example")


def test_the_advice_names_the_address_and_the_setting() -> None:
    told = public_address.advice(LOOPBACK)
    assert "http://127.0.0.1:8001" in told
    assert "set public_url under [authority] in station.toml" in told


@pytest.mark.parametrize("policy", [EkPolicy.REQUIRE, EkPolicy.RECORD])
async def test_real_units_need_an_address_that_others_can_reach(tmp_path: Path, policy: EkPolicy) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        assert await public_address.unreachable(LOOPBACK, policy, bare_station.database)
        assert not await public_address.unreachable(PUBLIC, policy, bare_station.database)


async def test_simulators_need_no_public_address_until_a_real_unit_has_a_certificate(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await bare_station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
        assert not await public_address.unreachable(LOOPBACK, EkPolicy.SIMULATOR, bare_station.database)
        async with bare_station.database.write() as connection:
            await connection.execute(units.update().values(ek_trust="verified"))
        assert await public_address.unreachable(LOOPBACK, EkPolicy.SIMULATOR, bare_station.database)
        assert not await public_address.unreachable(PUBLIC, EkPolicy.SIMULATOR, bare_station.database)
