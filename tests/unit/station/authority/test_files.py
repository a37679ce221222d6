"""An authority's files are private, encrypted under the station secret, and load only when they belong together."""

from __future__ import annotations

import datetime as dt
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.authority import files, profiles
from station.authority.certificates import AuthorityCertificates
from station.authority.files import Authority, ExistingAuthority, RootKey
from station.authority.issuer import CertificateRequest
from station.authority.key_file import KeyFileIssuer
from station.authority.profiles import DeviceSubject
from station.config import AuthorityConfig, StationConfig
from station.secrets.station_secret import StationSecret
from tests.harness.bare_station import NOW

AT = dt.datetime.fromtimestamp(NOW, dt.UTC)
CONFIG = StationConfig(authority=AuthorityConfig(device_days=10, public_url="https://ma.example/"))
SECRET = StationSecret.generate()
SUBJECT = DeviceSubject(
    board_serial("10000000abcdef01"), ec.generate_private_key(ec.SECP256R1()).public_key(), b"t" * 32
)


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


def test_every_file_is_private_and_the_roots_key_is_not_among_them(tmp_path: Path) -> None:
    root_key = create(tmp_path)
    folder = tmp_path / "authority"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {
        "root.pem", "intermediate.pem", "station.pem", "intermediate.key"
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


@pytest.mark.parametrize("name", ["root.pem", "intermediate.pem", "station.pem", "intermediate.key"])
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


@pytest.mark.parametrize("content", [b"damaged", b""])
def test_an_earlier_intermediate_that_cannot_be_read_is_named(
    authority: Authority, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "authority" / "earlier-1.pem").write_bytes(content)
    assert "earlier-1.pem" in refused(tmp_path)


async def test_an_imported_authority_keeps_its_key_and_its_earlier_issuers(tmp_path: Path) -> None:
    create(tmp_path / "older")
    earlier = files.load(tmp_path / "older", CONFIG, SECRET).certificates.intermediate
    root_key, intermediate_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = profiles.root("Old", root_key.public_key(), AT).sign(root_key, hashes.SHA256())
    intermediate = profiles.intermediate("Old", intermediate_key.public_key(), AT, root).sign(root_key, hashes.SHA256())
    existing = ExistingAuthority(AuthorityCertificates(root, intermediate, (earlier,)), intermediate_key)
    for name in ("new", "again"):
        (tmp_path / name).mkdir()
        files.write_existing(tmp_path / name / "authority", CONFIG, SECRET, AT, existing)
    new, again = (files.load(tmp_path / name, CONFIG, SECRET) for name in ("new", "again"))
    assert new.certificates == existing.certificates
    assert new.identity.certificate.public_key() != again.identity.certificate.public_key()
    new.identity.certificate.verify_directly_issued_by(intermediate)
    request = CertificateRequest(SUBJECT, 4711, AT)
    (await new.issuer.issue(request)).verify_directly_issued_by(intermediate)
    assert isinstance(new.issuer, KeyFileIssuer)
    assert new.issuer.certificates is new.certificates


def test_what_an_authority_holds_belongs_together(authority: Authority) -> None:
    certificates = authority.certificates
    chain = (authority.identity.certificate, certificates.intermediate, certificates.root)
    assert authority.identity.chain == tuple(c.public_bytes(serialization.Encoding.DER) for c in chain)
    for below, above in pairwise(chain):
        below.verify_directly_issued_by(above)
    assert certificates.earlier_intermediates == ()


def test_a_renewal_beside_a_load_leaves_certificate_and_key_that_belong_together(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may replace the station's certificate and key at any moment: here at each read of the file."""
    assert isinstance(authority.issuer, KeyFileIssuer)
    issuing = authority.issuer._key
    read = Path.read_bytes
    renewals = 0

    def renewed_afterwards(path: Path) -> bytes:
        nonlocal renewals
        content = read(path)
        if path.name == "station.pem":
            key = ec.generate_private_key(ec.SECP256R1())
            asked = profiles.station("Acme", "hall", key.public_key(), AT, authority.certificates.intermediate)
            files.store_station(tmp_path, SECRET, asked.sign(issuing, hashes.SHA256()), key)
            renewals += 1
        return content

    monkeypatch.setattr(Path, "read_bytes", renewed_afterwards)
    assert files.load(tmp_path, CONFIG, SECRET).identity.certificate == authority.identity.certificate
    assert renewals
