"""A unit comes back after its certificate has expired, or after its authority got another intermediate."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from runtime.clock import unix_time
from station import config as configuration
from station.authority import files, profiles
from station.authority.certificates import AuthorityCertificates
from station.authority.files import ExistingAuthority
from station.config import CONFIG_NAME
from station.registry import certificates, queries
from station.registry.records import Certificate, CertificateState, Unit
from station.secrets.blind_index import key_fingerprint
from station.secrets.station_secret import StationSecret
from station.setup.root_key import ROOT_KEY_NAME
from tests.fault_injection import testbed as testbeds
from tests.fault_injection.testbed import new_testbed, run, station_of
from tests.fault_injection.unit import Ended, Pi


async def plugged(testbed: testbeds.Testbed, pi: Pi) -> tuple[Ended, Unit, list[Certificate]]:
    """Plug the unit in once. Returns how it ended, the unit's row and its certificates, the earliest first."""
    async with station_of(testbed) as station:
        ended = await testbed.plug(station, pi)
        async with station.database.read() as connection:
            unit = await queries.by_serial(connection, pi.serial)
            return ended, unit, await certificates.of_unit(connection, unit.id)


def test_an_expired_unit_gets_a_new_certificate_for_its_key_and_tables() -> None:
    async def live(testbed: testbeds.Testbed) -> None:
        pi = testbed.new_pi()
        ended, unit, [first] = await plugged(testbed, pi)
        assert ended.well, ended.told()
        with closing(sqlite3.connect(testbed.registry)) as registry, registry:
            registry.execute("UPDATE certificates SET not_after = ?", (unix_time() - 1,))
        ended, renewed, [old, new] = await plugged(testbed, pi)
        assert ended.well, ended.told()
        identity = pi.identity()
        assert identity is not None
        assert identity.chain[0].public_bytes(Encoding.DER) == new.der != first.der
        assert identity.provisioned
        assert tuple(identity.about.table_ids) == renewed.tables == unit.tables
        assert (old.state, new.state) == (CertificateState.SUPERSEDED, CertificateState.ACTIVE)
        assert old.key_fingerprint == new.key_fingerprint
        assert (renewed.id, renewed.provisioned_at) == (unit.id, unit.provisioned_at)
        ended, _, every = await plugged(testbed, pi)
        assert ended.well, ended.told()
        assert every == [old, new]

    with new_testbed() as testbed:
        run(testbed, live(testbed))


def test_a_unit_of_an_earlier_intermediate_gets_the_chain_that_its_certificate_has() -> None:
    async def live(testbed: testbeds.Testbed) -> None:
        earlier, later = testbed.new_pi(), testbed.new_pi()
        ended, _, [first] = await plugged(testbed, earlier)
        assert ended.well, ended.told()
        old, new = replace_intermediate(testbed.data_dir)
        for pi, issuer in ((earlier, old), (later, new)):
            ended, _, [certificate] = await plugged(testbed, pi)
            assert ended.well, ended.told()
            identity = pi.identity()
            assert identity is not None
            assert identity.chain[1] == issuer
            identity.chain[0].verify_directly_issued_by(issuer)
            assert certificate.issuer == key_fingerprint(issuer.public_key())
        assert first.issuer == key_fingerprint(old.public_key())

    with new_testbed() as testbed:
        run(testbed, live(testbed))


def replace_intermediate(data_dir: Path) -> tuple[x509.Certificate, x509.Certificate]:
    """Give the station another intermediate under its root, and keep the one before. Returns old and new."""
    config, secret = configuration.load(data_dir / CONFIG_NAME), StationSecret.load(data_dir)
    before = files.load(data_dir, config, secret).certificates
    root_key = load_pem_private_key((data_dir / ROOT_KEY_NAME).read_bytes(), b"for tests")
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    builder = profiles.intermediate(config.authority.organization, key.public_key(), now, before.root)
    intermediate = builder.sign(root_key, hashes.SHA256())
    (data_dir / "authority").rename(data_dir / "authority.before")
    after = ExistingAuthority(AuthorityCertificates(before.root, intermediate, (before.intermediate,)), key)
    files.write_existing(data_dir / "authority", config, secret, now, after)
    return before.intermediate, intermediate
