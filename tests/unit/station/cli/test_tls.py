"""The TLS certificate: where it is loaded from, and the problems that a client would find."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import BirthmarkError
from station.cli.tls import RENEW_DAYS, Tls, find_tls

BEGIN = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
END = dt.datetime(2027, 2, 1, tzinfo=dt.UTC)
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
NAMES = ["sma.example.org", "*.bench.example.org", "192.0.2.1", "2001:db8::1"]


def tls(*names: str) -> Tls:
    return Tls(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), BEGIN, END, list(names or NAMES))


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty directory of systemd's credentials."""
    path = tmp_path / "credentials"
    path.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path))
    return path


def write_pair(folder: Path, *names: x509.GeneralName, passphrase: bytes | None = None) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common.example.org")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(BEGIN).not_valid_after(END)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    certificate_path, key_path = folder / "tls.pem", folder / "tls.key"
    certificate_path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return certificate_path, key_path


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("sma.example.org", True),
        ("SMA.Example.org", True),
        ("three.bench.example.org", True),
        ("a.three.bench.example.org", False),
        ("bench.example.org", False),
        ("192.0.2.1", True),
        ("2001:db8:0::1", True),
        ("192.0.2.2", False),
        ("other.example.org", False),
    ],
)
def test_a_host_is_found_among_the_names_as_clients_do(host: str, named: bool) -> None:
    problems = tls().problems(host, NOW)
    assert [f"names {host}." in problem for problem in problems] == ([] if named else [True])


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (BEGIN - dt.timedelta(seconds=1), ["is not valid before 2026-11-01 00:00 UTC"]),
        (BEGIN, []),
        (END - dt.timedelta(days=RENEW_DAYS, seconds=1), []),
        (END - dt.timedelta(days=RENEW_DAYS), ["ends on 2027-02-01"]),
        (END, ["ended on 2027-02-01"]),
    ],
)
def test_a_certificate_that_has_expired_or_soon_will_is_reported(now: dt.datetime, says: list[str]) -> None:
    problems = tls().problems("sma.example.org", now)
    assert len(problems) == len(says)
    for problem, words in zip(problems, says, strict=True):
        assert words in problem


def test_without_files_or_credentials_there_is_none() -> None:
    assert find_tls(None, None) is None


def test_a_pair_of_files_is_read_with_its_names_and_times(tmp_path: Path) -> None:
    address = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))
    found = find_tls(*write_pair(tmp_path, x509.DNSName("sma.example.org"), address))
    assert found is not None
    assert (found.begin, found.end) == (BEGIN, END)
    assert found.names == ["sma.example.org", "192.0.2.1"]
    assert found.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_common_name_is_no_name(tmp_path: Path) -> None:
    found = find_tls(*write_pair(tmp_path))
    assert found is not None
    assert found.names == []
    assert "is for nobody" in found.problems("common.example.org", NOW)[0]


def test_systemds_credentials_are_found_and_one_alone_is_reported(credentials: Path) -> None:
    _, key = write_pair(credentials, x509.DNSName("sma.example.org"))
    found = find_tls(None, None)
    assert found is not None
    assert found.names == ["sma.example.org"]
    key.unlink()
    with pytest.raises(BirthmarkError, match=r"no credential tls\.key.*http\.tls-unusable"):
        find_tls(None, None)


def test_tls_files_that_do_not_fit_or_need_a_passphrase_are_named(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    certificate, key = write_pair(tmp_path / "one")
    _, other = write_pair(tmp_path / "two")
    locked = write_pair(tmp_path / "three", passphrase=b"secret")
    for pair in ((certificate, other), (key, certificate), (certificate, tmp_path / "none"), locked):
        with pytest.raises(BirthmarkError) as caught:
            find_tls(*pair)
        assert caught.value.code == "http.tls-unusable"
        assert caught.value.detail.startswith(f"{pair[0]}, {pair[1]}: ")
