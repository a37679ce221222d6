"""Opening a station checks its data directory first and records changed settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from runtime.clock import unix_time
from shared.errors import BirthmarkError
from station import config
from station.config import AttestationConfig, EkPolicy, StationConfig
from station.events import UnitChanged
from station.provisioning.offline import ProvisioningRequest
from station.registry import audit
from station.services import Services
from station.setup.init import init_data_dir
from station.setup.open import open_registry, open_station
from tests.harness.vendor_lab import Vendor, write_roots

CONFIG = StationConfig(name="bench 3", attestation=AttestationConfig(ek_policy=EkPolicy.RECORD))


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """Made in a thread of its own, since `init` runs its own event loop."""
    roots = write_roots(tmp_path / "vendors", Vendor("Some Vendor"))
    made = await asyncio.to_thread(
        init_data_dir, tmp_path / "data", CONFIG, force=False, root_passphrase="for the test", ek_roots=roots
    )
    return made.data_dir


async def refused(directory: Path) -> str:
    with pytest.raises(BirthmarkError) as caught:
        async with open_station(directory):
            pass
    return caught.value.code


async def log(station: Services) -> list[audit.Row]:
    async with station.database.read() as connection:
        return await audit.read(connection)


async def test_an_opened_stations_parts_belong_together(directory: Path) -> None:
    async with open_station(directory) as station:
        assert (station.data_dir, station.config, station.policy) == (directory, CONFIG, EkPolicy.RECORD)
        assert len(station.tables) == CONFIG.tables.count
        assert [c.subject for c in station.vendors.current().issuers] == ["CN=Some Vendor"]
        with station.bus.listen() as events:
            made = await station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
            assert events.get_nowait() == UnitChanged("CAM-1")
        assert made.chain[1:] == station.authority.issuer.chain_of(made.chain[0])[1:]


async def test_a_station_goes_by_the_clock_that_it_is_given(directory: Path) -> None:
    async def last_row(serial: str, at: float) -> audit.Row:
        async with open_station(directory, clock=lambda: at) as station:
            await station.offline_provisioner.provision(ProvisioningRequest(serial), "test")
            return [row for row in await log(station) if row.serial == serial][-1]

    now = unix_time()
    assert (await last_row("CAM-1", now + 1000)).at == now + 1000
    assert (await last_row("CAM-2", now + 2000)).at == now + 2000


async def test_the_policy_given_counts_and_the_configured_one_stays_on_record(directory: Path) -> None:
    async with open_station(directory, EkPolicy.SIMULATOR) as station:
        assert station.policy is EkPolicy.SIMULATOR
        assert station.config.attestation.ek_policy is EkPolicy.RECORD
        assert [row.event for row in await log(station)] == ["initialised"]


async def test_settings_that_somebody_changed_are_recorded_once(directory: Path) -> None:
    changed = msgspec.structs.replace(CONFIG, name="bench 4")
    (directory / config.CONFIG_NAME).write_bytes(config.to_toml(changed))
    for _ in range(2):
        async with open_station(directory) as station:
            rows = await log(station)
    assert [row.event for row in rows] == ["initialised", "configured"]
    assert msgspec.json.decode(rows[1].detail)["settings"]["name"] == "bench 4"


async def test_a_provisioned_unit_is_there_after_the_next_open(directory: Path) -> None:
    async with open_station(directory) as station:
        await station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
    async with open_station(directory) as station:
        assert [row.serial for row in await log(station) if row.event == "provisioned"] == ["CAM-1"]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("registry.sqlite", None, "data.incomplete"),
        ("station.toml", "tables = 7", "config.invalid"),
        ("secrets/station.key", "short", "data.incomplete"),
        ("secrets/station.key", "k" * 32, "authority.unreadable"),
        ("authority/station.pem", "damaged", "authority.unreadable"),
    ],
    ids=["no registry", "wrong settings", "short secret", "another station's secret", "damaged key"],
)
async def test_files_that_do_not_belong_together_are_refused(
    directory: Path, name: str, content: str | None, code: str
) -> None:
    (directory / name).unlink()
    if content is not None:
        (directory / name).touch(mode=0o600)
        (directory / name).write_text(content)
    assert await refused(directory) == code


async def test_a_directory_that_others_may_read_is_not_opened(directory: Path) -> None:
    (directory / "secrets" / "station.key").chmod(0o644)
    assert await refused(directory) == "data.readable-by-others"
    with pytest.raises(BirthmarkError, match=r"data\.readable-by-others"):
        async with open_registry(directory):
            pass


async def test_the_registry_alone_opens_with_wrong_settings(directory: Path) -> None:
    (directory / config.CONFIG_NAME).write_text("name = 'bench 4'\ntables = 7")
    async with open_registry(directory) as registry, registry.write() as connection:
        await audit.append(connection, 0, audit.Event.REVOKED, "CAM-1")
        rows = await audit.read(connection)
    assert [(row.event, row.station) for row in rows] == [("initialised", "bench 3"), ("revoked", "bench 4")]
