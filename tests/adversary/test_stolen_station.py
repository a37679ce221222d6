"""Whoever has copied a station's disk greets units as that station: until it is revoked, or its certificate expires."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.session.agent import Agent, Options, forget
from device_agent.storage.identity import STATION_LIST
from device_agent.tpm import Simulator
from device_agent.tpm.source import TpmSource
from shared.types import board_serial
from station.authority import crl
from station.authority.profiles import STATION_DAYS
from station.authority.station_identity import StationIdentity
from station.provisioning.cable import Greeting
from station.registry import stations
from station.registry.records import CrlScope
from tests.adversary.dishonest_agent import but
from tests.adversary.dishonest_station import DishonestStation
from tests.harness.recorded_station import NUC_MAP, RecordedStation, SessionOutcome, open_recorded_station, private
from virtual.cable import End

DAY = 86_400
SERIAL = "10000000abcdef77"


class Thief(DishonestStation):
    """A station that goes on with the identity that its disk held when it was copied, and says what time suits it."""

    says: float | None = None

    @property
    def stolen(self) -> StationIdentity:
        return self.shown.identity

    @stolen.setter
    def stolen(self, identity: StationIdentity) -> None:
        self.shown = replace(self.shown, identity=identity)

    def greet(self) -> Greeting:
        message = but(super().greet().message, chain=self.stolen.chain, revoked_stations=self.stolen.revoked_stations)
        if self.says is not None:
            message = but(message, time=int(self.says))
        return Greeting(message, self.stolen)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RecordedStation]:
    with open_recorded_station(private(tmp_path / "station")) as opened:
        opened.run(opened.station.own.refresh())
        yield opened


@pytest.fixture
def thief(bench: RecordedStation, tmp_path: Path) -> Thief:
    copy = Thief(bench, private(tmp_path / "thief"))
    copy.stolen = bench.station.own.identity()
    return copy


class Unit:
    """A unit with one pinned root, as an image has it. Each `meet` is a start of its agent."""

    def __init__(self, bench: RecordedStation, simulator: Simulator, folder: Path, *, pinned: bool = True) -> None:
        self.state = private(folder)
        root = folder / "pinned.pem"
        root.write_bytes(bench.station.authority.certificates.root.public_bytes(Encoding.PEM))
        (folder / "map").write_bytes(NUC_MAP.data)
        self._options = Options(
            state_dir=self.state,
            tpm=simulator.tcti,
            nuc_map=folder / "map",
            keep_nuc_map=True,
            serial=board_serial(SERIAL),
            root_certificate=root if pinned else None,
            model="a Pi",
        )
        self._bench = bench

    def meet(self, dishonest: DishonestStation | None = None) -> SessionOutcome:
        source = TpmSource(self._options.tpm, self.state)
        try:
            agent = Agent(self._options, source)
            return self._bench.meet(agent.agent_session, provisioner=dishonest)
        finally:
            source.drop()


@pytest.fixture
def unit(bench: RecordedStation, simulator: Simulator, tmp_path: Path) -> Unit:
    return Unit(bench, simulator, tmp_path / "unit")


def revoke(bench: RecordedStation, stolen: StationIdentity) -> None:
    async def write() -> None:
        async with bench.station.database.write() as connection:
            serial = f"{stolen.certificate.serial_number:x}"
            await stations.revoke(connection, serial, "copied", int(time.time()))
        await bench.station.own.refresh()

    bench.run(write())


@pytest.mark.attack("greets units with a copied station's key, after it was revoked")
def test_a_revoked_station_is_refused_by_every_unit_that_met_another(
    bench: RecordedStation, thief: Thief, unit: Unit, got: Callable[[str], None]
) -> None:
    assert unit.meet(thief).identity is not None  # control: nobody knows yet
    revoke(bench, thief.stolen)
    assert unit.meet().identity is not None  # the honest station has another certificate already
    outcome = unit.meet(thief)
    assert outcome.code == "trust.station-revoked"
    assert "Proof" not in outcome.recording.kinds(End.PI)
    got(f"nothing: refused [{outcome.code}]; before the revocation, another provisioning")


@pytest.mark.attack("greets with a copied station's expired certificate, and says a time from back then")
def test_an_expired_stations_old_time_is_not_believed(
    bench: RecordedStation, thief: Thief, unit: Unit, got: Callable[[str], None]
) -> None:
    later = thief.stolen.certificate.not_valid_after_utc.timestamp() + DAY
    assert unit.meet(thief).identity is not None
    own = bench.station.own
    own._clock = own._list._clock = lambda: later  # the authority signs certificate and list 91 days on
    bench.run(bench.station.own.refresh())
    thief.says = time.time()
    honest = Thief(bench, thief.folder)
    honest.stolen, honest.says = bench.station.own.identity(), later
    assert unit.meet(honest).identity is not None
    outcome = unit.meet(thief)
    assert outcome.code == "trust.station-expired"
    got(f"nothing: refused [{outcome.code}], though its Hello said a day within the {STATION_DAYS} days")


@pytest.mark.attack("says the year 2099, or the last day of its certificate, to lock honest stations out")
def test_what_a_station_says_moves_no_clock(
    bench: RecordedStation, thief: Thief, unit: Unit, got: Callable[[str], None]
) -> None:
    thief.says = 4_070_908_800
    assert unit.meet(thief).code == "trust.station-expired"
    thief.says = thief.stolen.certificate.not_valid_after_utc.timestamp() - 60
    assert unit.meet(thief).identity is not None
    assert unit.meet().identity is not None
    got("nothing: 2099 refused [trust.station-expired], then the honest station provisioned")


@pytest.mark.attack("sends the authority's list of devices, or a list of its own, in place of that of stations")
def test_only_the_authoritys_list_of_stations_counts(
    bench: RecordedStation, thief: Thief, unit: Unit, got: Callable[[str], None]
) -> None:
    revoke(bench, thief.stolen)
    assert unit.meet().identity is not None
    authority, honest = bench.station.authority, bench.station.own.identity()
    own_key = ec.generate_private_key(ec.SECP256R1())
    forged = crl.revocation_list(
        authority.certificates.intermediate, [], 9_999, dt.datetime.now(dt.UTC), CrlScope.STATIONS
    )
    lists = {
        "of devices": bench.run(bench.station.revocation_list.current()),
        "its own": forged.sign(own_key, hashes.SHA256()).public_bytes(Encoding.DER),
        "older": thief.stolen.revoked_stations,
        "none": b"",
    }
    codes = {}
    for name, sent in lists.items():
        thief.stolen = thief.stolen.showing(sent)
        codes[name] = unit.meet(thief).code
    assert codes == {
        "of devices": "trust.station-list-forged",
        "its own": "trust.station-list-forged",
        "older": "trust.station-revoked",
        "none": "trust.station-revoked",
    }
    kept = x509.load_der_x509_crl((unit.state / STATION_LIST).read_bytes())
    assert kept == x509.load_der_x509_crl(honest.revoked_stations)
    got(", ".join(f"{name}: refused [{code}]" for name, code in codes.items()))


def test_a_first_station_of_another_authority_leaves_no_list_behind(
    bench: RecordedStation, simulator: Simulator, tmp_path: Path
) -> None:
    """Without a pinned root the first station is believed. `reset --forget-root` forgets its list with it."""
    unit = Unit(bench, simulator, tmp_path / "unit", pinned=False)
    assert unit.meet().identity is not None
    assert (unit.state / STATION_LIST).exists()
    forget(unit.state, forget_root=False, forget_map=True)
    assert (unit.state / STATION_LIST).exists()
    forget(unit.state, forget_root=True, forget_map=True)
    assert not (unit.state / STATION_LIST).exists()
