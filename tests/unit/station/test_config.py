"""`station.toml`: what is written is read again, and what is wrong in it is named by its place in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station import config
from station.config import (
    AttestationConfig,
    AuthorityConfig,
    EkPolicy,
    RatesConfig,
    SessionConfig,
    StationConfig,
    TablesConfig,
    WebConfig,
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / config.CONFIG_NAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path) -> str:
    with pytest.raises(BirthmarkError) as caught:
        config.load(path)
    assert caught.value.code == "config.invalid"
    return caught.value.detail


def test_an_empty_file_is_all_defaults_and_asks_for_genuine_tpms(tmp_path: Path) -> None:
    read = config.load(written(tmp_path, ""))
    assert read == StationConfig()
    assert read.attestation.ek_policy is EkPolicy.REQUIRE


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "station"),
        ("name = 'bench 3'\ntables = 7\nnmae = 'x'", "bench 3"),
        ("name = 3", ""),
        ("name = 'bench\\t3'", "bench\\t3"),
        ('name = "bench\\t3"', ""),
        ("name = ", ""),
        (b"name = '\xff'", ""),
        ("name = 'bench 3' #" + "x" * config.CONFIG_BYTES, ""),
    ],
    ids=["no name", "other settings wrong", "a number", "a literal", "a tab", "not TOML", "not UTF-8", "too long"],
)
def test_the_name_is_read_whatever_else_is_wrong_and_is_empty_when_it_cannot_be(
    tmp_path: Path, text: str | bytes, name: str
) -> None:
    assert config.load_name(written(tmp_path, text)) == name
    assert config.load_name(tmp_path / "missing") == ""


def test_a_written_configuration_is_read_again(tmp_path: Path) -> None:
    made = StationConfig(
        name='bench "3"',
        authority=AuthorityConfig(public_url="https://ma.example/", device_days=30),
        tables=TablesConfig(count=250),
        attestation=AttestationConfig(ek_policy=EkPolicy.RECORD),
        session=SessionConfig(hello_seconds=0.5),
        web=WebConfig(
            hosts=["station-3.local", "fd00::1"],
            plain_http=["172.17.0.0/16", "10.0.0.9", "fd00::/64"],
            rates=RatesConfig(page=1.5),
        ),
    )
    assert config.load(written(tmp_path, config.to_toml(made))) == made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae = 'x'", "nmae"),
        ("name = ''", "Expected 1 to 64 printable characters at name"),
        ("[authority]\nauthority_id = 'a b'", "Expected 1 to 64 letters, digits and _.- at authority.authority_id"),
        ("[authority]\npublic_url = 'x'", "Expected an address such as https://station.example.org at authority"),
        ("[web]\nhosts = ['a b']", "Expected a host name or an address without a port at web.hosts"),
        ("[web]\nhosts = ['station.local:8001']", "web.hosts: station.local:8001 is not a name without a port"),
        ("[web]\nplain_http = ['containers']", "Expected a network such as 172.17.0.0/16, or an address at web.plain"),
        ("[web]\nplain_http = ['172.17.0.1/16']", "web.plain_http: 172.17.0.1/16 has host bits set"),
        ("[web]\nplain_http = ['0.0.0.0/0']", "web.plain_http: 0.0.0.0/0 is not a private network, a part of 10.0"),
        ("[web]\nplain_http = ['::/0']", "web.plain_http: ::/0 is not a private network"),
        ("[web]\nplain_http = ['172.16.0.0/11']", "has host bits set"),
        ("[web]\nplain_http = ['172.0.0.0/8']", "web.plain_http: 172.0.0.0/8 is not a private network"),
        ("[web]\nplain_http = ['203.0.113.7']", "web.plain_http: 203.0.113.7 is not a private network"),
        ("[web]\ncors_origins = ['x']", "Expected an origin such as https://gallery.example.org at web.cors"),
        ("[authority]\nroot_key = 'x'", "root_key"),
        ("[tables]\ncount = 2", "tables.count"),
        ("[tables]\ncount = '10'", "tables.count"),
        ("[validation]\ndaily_limit = -1", "validation.daily_limit"),
        ("[validation]\ndaily_warning = 0", "validation.daily_warning"),
        ("[attestation]\nek_policy = 'trust-me'", "attestation.ek_policy"),
        ("[session]\nstep_seconds = 0.0", "session.step_seconds"),
        ("[session]\nstep_seconds = nan", "session.step_seconds"),
        ("[authority]\npublic_url = 'ftp://x'", "authority.public_url"),
        ('[authority]\npublic_url = "https://x\\n"', "authority.public_url"),
        ("[web]\ncors_origins = ['*']", "web.cors_origins"),
        ('name = "a\\nb"', "name"),
        ("name = ''", "name"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    detail = refused(written(tmp_path, text))
    assert says in detail
    assert config.CONFIG_NAME in detail


@pytest.mark.parametrize(
    "text",
    [b"name = ", b"\xff\xfe", b"x = " + b"[" * 5000, b"# " + b"x" * config.CONFIG_BYTES],
    ids=["no TOML", "no UTF-8", "nested without end", "too large"],
)
def test_an_invalid_file_is_named(tmp_path: Path, text: bytes) -> None:
    assert config.CONFIG_NAME in refused(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none.toml") in refused(tmp_path / "none.toml")


def test_a_value_that_was_never_read_is_checked_all_the_same() -> None:
    good = StationConfig(name="bench 3")
    assert config.check(good) == good
    with pytest.raises(BirthmarkError, match=r"tables\.count"):
        config.check(StationConfig(tables=TablesConfig(count=1)))


@pytest.mark.parametrize("url", ["https://ma.example", "https://ma.example/"])
def test_the_endpoints_are_below_the_public_address(url: str) -> None:
    made = StationConfig(authority=AuthorityConfig(public_url=url))
    assert made.validation_endpoint == "https://ma.example/validate"
    assert made.certificate_endpoint == "https://ma.example/validate-cert"


def test_a_relative_directory_of_roots_is_in_the_data_directory() -> None:
    assert StationConfig().ek_roots(Path("/data")) == Path("/data/ek-roots")
    absolute = StationConfig(attestation=AttestationConfig(ek_roots="/etc/roots"))
    assert absolute.ek_roots(Path("/data")) == Path("/etc/roots")


# --- the public address ---


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8001", True),
        ("http://127.8.9.1", True),
        ("http://LOCALHOST:80/x", True),
        ("http://station.localhost", True),
        ("http://[::1]:8001", True),
        ("http://0.0.0.0:8001", True),
        ("http://[::]", True),
        ("http://10.0.0.5", False),
        ("https://station.example.org/sma", False),
        ("https://localhost.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("https://127.0.0.1@station.example.org", False),
    ],
)
def test_a_loopback_address_is_known_by_its_host(url: str, local: bool) -> None:
    authority = config.check(StationConfig(authority=AuthorityConfig(public_url=url))).authority
    assert authority.local_only == local


@pytest.mark.parametrize("url", ["http://[1", "http://:8001", "https:///x", "http://[::1", "ftp://x", "http://a b"])
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(BirthmarkError, match=r"public_url.*config\.invalid"):
        config.check(StationConfig(authority=AuthorityConfig(public_url=url)))
