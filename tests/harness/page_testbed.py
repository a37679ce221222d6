"""A station's page for tests, with a real registry and a real bus, but without ports."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.types import BoardSerial, TableId
from station.attestation.ek.verification import EkTrust
from station.config import EkPolicy, StationConfig
from station.events import UnitChanged
from station.registry import links, reservations, tokens, units
from station.registry.records import Applicant, KeyHolder, Signed, Unit
from station.registry.tokens import Scope
from station.secrets.blind_index import key_fingerprint
from station.services import Services
from station.web.app import create_app
from station.web.http.addresses import Proxies
from tests.harness.bare_station import open_bare_station

Client: TypeAlias = TestClient[web.Request, web.Application]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
"""The name of a hostile device. If a page ran it, it would change the page's title."""

APPLICANT = Applicant(
    serial=BoardSerial("10000000a3f29c41"),
    key_holder=KeyHolder.TPM,
    family="Raspberry Pi",
    model="Raspberry Pi Zero 2 W Rev 1.0",
    agent="birthmark-agent 0.1.0",
    station="bench",
    port="/dev/ttyACM0",
    ek_fingerprint=bytes(32),
    device_fingerprint=bytes(32),
    nuc_blind_index=bytes(32),
    certificate_sha256=b"",
    ek_trust=EkTrust.VERIFIED.value,
    ek_reason="",
    ek_anchor="",
    tpm_manufacturer="Infineon",
    tpm_model="SLB9672",
    tpm_firmware="15.23",
)

_KEY = ec.generate_private_key(ec.SECP256R1())


class PageTestbed:
    """The web application of a station."""

    def __init__(self, station: Services, *, behind_proxy: bool = False) -> None:
        self.station = station
        self._behind_proxy = behind_proxy
        self._numbers = itertools.count()
        self.new_app()

    def new_app(self) -> None:
        """Make the application again, as a restart of the station does."""
        proxies = Proxies.of("127.0.0.1") if self._behind_proxy else Proxies()
        self.app = create_app(self.station, proxies=proxies)

    def now(self) -> int:
        """The station's time, in seconds since 1970."""
        return int(self.station.clock())

    async def token(self, *scopes: Scope, name: str = "") -> str:
        """Create a bearer token and return its secret."""
        async with self.station.database.write() as connection:
            name = name or f"token {next(self._numbers)}"
            return await tokens.create(connection, name, frozenset(scopes), self.now())

    async def link(self) -> str:
        """Make a one-time link and return its secret."""
        async with self.station.database.write() as connection:
            return await links.create(connection, self.now())

    async def provision(
        self, serial: str, *, confirmed: bool = True, days: float = 730, now: int | None = None, **facts: str
    ) -> Unit:
        """Add a unit to the registry and notify the bus, as a session does. `serial` is not checked."""
        number = next(self._numbers)
        now = now or self.now()
        ek, key, nuc = (hashlib.sha256(f"{name} {number}".encode()).digest() for name in ("ek", "key", "nuc"))
        applicant = replace(
            APPLICANT,
            serial=BoardSerial(serial),
            ek_fingerprint=ek,
            device_fingerprint=key,
            nuc_blind_index=nuc,
            **facts,  # type: ignore[arg-type]
        )
        tables = (TableId(number % 8), TableId(8), TableId(9))
        async with self.station.database.write() as connection:
            made = certificate(days)
            reservation = await reservations.reserve_unit(connection, applicant, made.serial_number, tables, now)
            signed = Signed(
                made.public_bytes(Encoding.DER),
                made.serial_number,
                key_fingerprint(_KEY.public_key()),
                int(made.not_valid_after_utc.timestamp()),
            )
            unit = await reservations.record(connection, reservation, signed, applicant, now)
            if confirmed:
                unit = await units.confirm(connection, unit.id, now)
        self.station.bus.tell(UnitChanged(serial))
        return unit


@asynccontextmanager
async def open_page_testbed(
    folder: Path,
    *,
    policy: EkPolicy = EkPolicy.REQUIRE,
    config: StationConfig | None = None,
    behind_proxy: bool = False,
) -> AsyncIterator[PageTestbed]:
    """Open a testbed in an empty folder, at the time that the computer has."""
    config = config or StationConfig(name="Bench 3")
    async with open_bare_station(folder, config=config, policy=policy, now=time.time()) as station:
        yield PageTestbed(station, behind_proxy=behind_proxy)


def certificate(days: float) -> x509.Certificate:
    """Return a certificate that expires in `days` days; negative for an expired one."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "unit")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=3650))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(_KEY, hashes.SHA256())
    )


async def open_by_link(testbed: PageTestbed, client: Client) -> None:
    """Open the page for `client`, whose cookies then hold the session."""
    form, own = {"link": await testbed.link()}, {"Sec-Fetch-Site": "same-origin"}
    answer = await client.post("/open", data=form, headers=own, allow_redirects=False)
    assert answer.status == 303
