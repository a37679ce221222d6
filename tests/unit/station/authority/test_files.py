"""An authority's files are private, encrypted under the station secret, and load only when they belong together."""

from __future__ import annotations

import datetime as dt
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.authority import files
from station.authority.files import Authority, ExistingAuthority, RootKey
from station.authority.profiles import DeviceSubject
from station.config import AuthorityConfig, StationConfig
from station.secrets.station_secret import StationSecret
from tests.harness.bare_station import NOW

AT = dt.datetime.fromtimestamp(NOW, dt.UTC)
CONFIG = StationConfig(authority=AuthorityConfig(device_days=10, public_url="https://ma.example/"))
SECRET = StationSecret.generate()


def create(directory: Path, passphrase: str | None = "a passphrase for tests") -> RootKey:  # noqa: S107
    directory.mkdir(exist_ok=True)
    return files.create(directory / "authority", CONFIG, SECRET, AT, passphrase)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    create(tmp_path)
    return files.load(tmp_path, CONFIG, SECRET)


def refused(directory: Path, secret: StationSecret = SECRET) -> str:
    with pytest.raises(BirthmarkError) as caught:
        files.load(directory, CONFIG, secret)
    assert caught.value.code == "authority.unreadable"
    return caught.value.detail


def subject() -> DeviceSubject:
    return DeviceSubject(
        board_serial("10000000abcdef01"), ec.generate_private_key(ec.SECP256R1()).public_key(), b"t" * 32
    )


# --- files ---


def test_every_file_is_private_and_the_roots_key_is_not_among_them(tmp_path: Path) -> None:
    root_key = create(tmp_path)
    folder = tmp_path / "authority"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {
        "root.pem", "intermediate.pem", "station.pem", "intermediate.key", "station.key"
    }  # fmt: skip
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"BEGIN PRIVATE KEY" not in path.read_bytes()
    key = serialization.load_pem_private_key(root_key.pem, root_key.passphrase.encode())
    root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
    assert key.public_key() == root.public_key()


def test_without_a_passphrase_a_new_one_is_made_for_the_roots_key(tmp_path: Path) -> None:
    one, other = (create(tmp_path / name, None) for name in "ab")
    assert one.passphrase != other.passphrase
    assert len(one.passphrase.replace("-", "")) == 32  # 128 bits in hexadecimal
    serialization.load_pem_private_key(one.pem, one.passphrase.encode())
    with pytest.raises(ValueError):
        serialization.load_pem_private_key(one.pem, other.passphrase.encode())


def test_another_stations_secret_opens_nothing(authority: Authority, tmp_path: Path) -> None:
    assert "station secret" in refused(tmp_path, StationSecret.generate())


@pytest.mark.parametrize("name", ["root.pem", "intermediate.pem", "station.pem", "intermediate.key", "station.key"])
def test_a_file_that_is_missing_or_damaged_is_named(authority: Authority, tmp_path: Path, name: str) -> None:
    path = tmp_path / "authority" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert name in refused(tmp_path)
    path.unlink()
    assert name in refused(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("root.pem",),
        ("station.pem",),
        ("station.key",),
        ("station.pem", "station.key"),
        ("intermediate.key",),
        ("intermediate.pem", "intermediate.key"),
    ],
    ids=" ".join,
)
def test_files_of_another_authority_do_not_fit(authority: Authority, tmp_path: Path, names: tuple[str, ...]) -> None:
    create(tmp_path / "other")
    for name in names:
        (tmp_path / "authority" / name).write_bytes((tmp_path / "other" / "authority" / name).read_bytes())
    refused(tmp_path)


def test_an_imported_authority_keeps_its_key_and_its_earlier_issuers(tmp_path: Path) -> None:
    create(tmp_path / "old")
    old = files.load(tmp_path / "old", CONFIG, SECRET)
    earlier = files.load((create(tmp_path / "older"), tmp_path / "older")[1], CONFIG, SECRET).intermediate
    (tmp_path / "new").mkdir()
    existing = ExistingAuthority(old.root, old.intermediate, old._intermediate_key, (earlier,))
    files.write_existing(tmp_path / "new" / "authority", CONFIG, SECRET, AT, existing)
    new = files.load(tmp_path / "new", CONFIG, SECRET)
    assert new.issuers == (old.intermediate, earlier)
    assert (new.root, new.intermediate) == (old.root, old.intermediate)
    assert new.station.public_key() != old.station.public_key()
    new.issue(subject(), AT).verify_directly_issued_by(old.intermediate)


# --- what it signs ---


def test_a_certificate_is_valid_for_the_configured_days_and_names_where_its_list_is(authority: Authority) -> None:
    certificate = authority.issue(subject(), AT)
    certificate.verify_directly_issued_by(authority.certificates.intermediate)
    assert certificate.not_valid_before_utc <= AT
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(days=10)
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == ["https://ma.example/crl"]


def test_no_two_certificates_have_one_serial_number(authority: Authority) -> None:
    numbers = {authority.issue(subject(), AT).serial_number for _ in range(20)}
    assert len(numbers) == 20
    assert all(0 < number < 1 << 159 for number in numbers)  # RFC 5280 4.1.2.2: at most 20 octets


def test_a_clock_that_was_set_back_issues_nothing_older_than_the_station(authority: Authority) -> None:
    back = AT - dt.timedelta(days=4000)
    assert authority.identity.now(back) == authority.identity.certificate.not_valid_before_utc
    assert authority.identity.now(AT + dt.timedelta(days=1)) == AT + dt.timedelta(days=1)
    assert authority.issue(subject(), back).not_valid_after_utc > AT


def test_a_chain_is_leaf_intermediate_root(authority: Authority) -> None:
    leaf = authority.issue(subject(), AT).public_bytes(serialization.Encoding.DER)
    chain = [x509.load_der_x509_certificate(der) for der in authority.issuer.chain_of(leaf)]
    assert chain[1:] == [authority.certificates.intermediate, authority.certificates.root]
    for below, above in pairwise(chain):
        below.verify_directly_issued_by(above)
    assert authority.identity.chain[1:] == authority.issuer.chain_of(leaf)[1:]


def test_the_station_signs_with_the_key_of_its_certificate(authority: Authority) -> None:
    key = authority.identity.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(authority.identity.sign(b"said"), b"said", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(authority.identity.sign(b"said"), b"not said", ec.ECDSA(hashes.SHA256()))
