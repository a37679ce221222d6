"""The station's configuration: `station.toml` in its data directory, typed and checked. It holds no secret."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
import tomli_w
from msgspec import Meta

from runtime.files import read_bounded
from shared import limits
from shared.errors import BirthmarkError

CONFIG_NAME: Final = "station.toml"
CONFIG_BYTES: Final = 64 * 1024

_NAME: Final = r"^[^\x00-\x1f\x7f]{1,64}\Z"
_ID: Final = r"^[A-Za-z0-9_.-]{1,64}\Z"
_URL: Final = r"^https?://[^\s]{1,200}\Z"
_HOST: Final = r"^[A-Za-z0-9.:_-]{1,253}\Z"
_NETWORK: Final = r"^[0-9A-Fa-f.:/]{1,64}\Z"
_ORIGIN: Final = r"^https?://[A-Za-z0-9.:\[\]_-]{1,253}\Z"
_WORDS: Final = {
    _NAME: "1 to 64 printable characters",
    _ID: "1 to 64 letters, digits and _.-",
    _URL: "an address such as https://station.example.org",
    _HOST: "a host name or an address without a port",
    _NETWORK: "a network such as 172.17.0.0/16, or an address",
    _ORIGIN: "an origin such as https://gallery.example.org",
}
"""What error messages say in place of each pattern."""

_PRIVATE: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"))
)
"""What no router of the internet forwards (RFC 1918, RFC 3927, RFC 4193)."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Name = Annotated[str, Meta(pattern=_NAME)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Rate = Annotated[float, Meta(gt=0, le=100_000)]


class EkPolicy(StrEnum):
    """Which EK certificates the station accepts (`station.attestation.ek.verification`)."""

    REQUIRE = "require"
    RECORD = "record"
    SIMULATOR = "simulator"


class EkTemplateName(StrEnum):
    """Templates of endorsement keys by TCG's names: those that a unit can show (`station.attestation.ek.templates`)."""

    L_1 = "L-1"
    """RSA-2048."""
    L_2 = "L-2"
    """ECC P-256."""
    H_1 = "H-1"
    """RSA-2048, in the high range of indices."""
    H_2 = "H-2"
    """ECC P-256, in the high range."""
    H_3 = "H-3"
    """ECC P-384."""
    H_6 = "H-6"
    """RSA-3072."""


class AuthorityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    organization: Name = "Birthmark"
    authority_id: Annotated[str, Meta(pattern=_ID)] = "BIRTHMARK_SMA"
    """The name that cameras send as `manufacturer_authority_id`."""
    public_url: Annotated[str, Meta(pattern=_URL)] = "http://127.0.0.1:8001"
    """The address at which aggregators and cameras reach this authority: the base of the endpoints in certificates."""
    device_days: Annotated[int, Meta(ge=1, le=3650)] = 730
    birthmark_extensions: bool = True
    """Whether device certificates carry Birthmark's six extensions (docs/decisions/0005)."""

    @property
    def public_host(self) -> str:
        """The host of `public_url`, in lower case; empty when it names none."""
        try:
            return urlsplit(self.public_url).hostname or ""
        except ValueError:  # brackets that hold no address
            return ""

    @property
    def local_only(self) -> bool:
        """Whether no other machine can reach `public_url`: its host is a loopback address or name, or no address."""
        if self.public_host == "localhost" or self.public_host.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(self.public_host)
        except ValueError:
            return False
        return address.is_loopback or address.is_unspecified


class TablesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    count: Annotated[int, Meta(ge=limits.TABLE_COUNT_MIN, le=limits.TABLE_COUNT_MAX)] = 10


class ProvisioningConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    device_family: Name = "Raspberry Pi"
    """The device family of units on the cable, and of requests that name none."""
    station_made_keys: bool = True
    """Whether a unit without a TPM and without a certificate request gets a private key made here, and with it the
    master keys of its three tables; off, no master key ever leaves the station in the clear."""


class ValidationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    daily_warning: Annotated[int, Meta(ge=1, le=10**9)] = 8000
    """The page and the metrics name a unit that is validated this often on one day (UTC)."""
    daily_limit: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """How often a unit passes on one day (UTC); 0 for as often as it likes. Whoever replays a unit's token can use the
    limit up, and then that camera fails until midnight."""


class AttestationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    ek_policy: EkPolicy = EkPolicy.REQUIRE
    ek_template: EkTemplateName = EkTemplateName.L_2
    """The template whose EK a genuine TPM must show: one for all units of an authority and for good, since a TPM has an
    EK of each template, and nothing shows that two are one TPM's."""
    ek_roots: str = "ek-roots"
    """Directory of TPM vendors' certificates; a relative path is relative to the data directory."""


class SessionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    hello_seconds: Seconds = limits.HELLO_SECONDS
    step_seconds: Seconds = limits.STEP_SECONDS


class PageAccess(StrEnum):
    """Who may read the page without a link or a token (docs/decisions/0007)."""

    CLOSED = "closed"
    """Nobody."""
    LOOPBACK = "open-on-loopback"
    """Everybody whose connection comes from this machine, so also everybody behind a proxy or tunnel on it that does
    not say so."""


class RatesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Requests a second that one client may send; up to ten seconds' worth may come at once."""

    validation: Rate = 1000.0
    """An aggregator validates for all its cameras from one address."""
    changing: Rate = 50.0
    reading: Rate = 100.0
    public: Rate = 100.0
    """Health, revocation list, certificates, documentation."""
    page: Rate = 50.0
    refused_credentials: Rate = 1.0
    """Wrong tokens, in a header or at the sign-in."""


class WebConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    hosts: list[Annotated[str, Meta(pattern=_HOST)]] = msgspec.field(default_factory=list)
    """Names and addresses under which clients reach this station, besides loopback names and the host of
    `public_url`."""
    plain_http: list[Annotated[str, Meta(pattern=_NETWORK)]] = msgspec.field(default_factory=list)
    """Private networks, such as those of containers on this machine, that are served in the clear, without TLS and
    without a proxy. They get only what needs no token: validation, the lists, health (docs/decisions/0007)."""
    page: PageAccess = PageAccess.CLOSED
    cors_origins: list[Annotated[str, Meta(pattern=_ORIGIN)]] = msgspec.field(default_factory=list)
    """Sites whose scripts may call the HTTP interface from a browser, with a bearer token."""
    rates: RatesConfig = msgspec.field(default_factory=RatesConfig)

    @property
    def plain_networks(self) -> tuple[_Network, ...]:
        return tuple(map(ipaddress.ip_network, self.plain_http))


class StationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything in `station.toml`."""

    name: Name = "station"
    authority: AuthorityConfig = msgspec.field(default_factory=AuthorityConfig)
    tables: TablesConfig = msgspec.field(default_factory=TablesConfig)
    provisioning: ProvisioningConfig = msgspec.field(default_factory=ProvisioningConfig)
    validation: ValidationConfig = msgspec.field(default_factory=ValidationConfig)
    attestation: AttestationConfig = msgspec.field(default_factory=AttestationConfig)
    session: SessionConfig = msgspec.field(default_factory=SessionConfig)
    web: WebConfig = msgspec.field(default_factory=WebConfig)

    @property
    def validation_endpoint(self) -> str:
        return self.authority.public_url.rstrip("/") + "/validate"

    @property
    def certificate_endpoint(self) -> str:
        return self.authority.public_url.rstrip("/") + "/validate-cert"

    def ek_roots(self, data_dir: Path) -> Path:
        return data_dir / self.attestation.ek_roots


def to_builtins(config: StationConfig) -> dict[str, object]:
    """Return every setting by its name in the file."""
    settings: dict[str, object] = msgspec.to_builtins(config)
    return settings


def to_toml(config: StationConfig) -> bytes:
    """Return the content of `station.toml`."""
    return tomli_w.dumps(to_builtins(config)).encode()


def check(config: StationConfig) -> StationConfig:
    """Check `config`, and return it. msgspec checks limits only when it decodes. Raises `config.invalid`."""
    return _convert(to_builtins(config), "")


def load(path: Path) -> StationConfig:
    """Read `station.toml`. Raises `config.invalid`, naming the field."""
    return _convert(_read(path), f"{path}: ")


class _Named(msgspec.Struct):
    name: Name = "station"


def load_name(path: Path) -> str:
    """Read only the station's name, whatever the other settings are. Empty when even that cannot be read."""
    try:
        return msgspec.convert(_read(path), _Named, strict=True).name
    except (BirthmarkError, msgspec.ValidationError):
        return ""


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(read_bounded(path, CONFIG_BYTES).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BirthmarkError("config.invalid", f"{path}: {error}") from None


def _convert(values: object, where: str) -> StationConfig:
    try:
        config = msgspec.convert(values, StationConfig, strict=True)
    except msgspec.ValidationError as error:
        text = re.sub(r" - at `\$\.?(.*)`", r" at \1", str(error))
        for pattern, words in _WORDS.items():
            text = text.replace(f"Expected `str` matching regex {pattern!r}", f"Expected {words}")
        raise BirthmarkError("config.invalid", where + text) from None
    if not config.authority.public_host:
        raise BirthmarkError("config.invalid", f"{where}authority.public_url names no host")
    for host in config.web.hosts:
        if ":" in host and not _is_address(host):
            raise BirthmarkError("config.invalid", f"{where}web.hosts: {host} is not a name without a port")
    for network in config.web.plain_http:
        _require_private(network, f"{where}web.plain_http: ")
    return config


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _require_private(text: str, where: str) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise BirthmarkError("config.invalid", f"{where}{error}") from None
    if not any(network.version == of.version and network.subnet_of(of) for of in _PRIVATE):  # type: ignore[arg-type]
        known = ", ".join(map(str, _PRIVATE))
        raise BirthmarkError("config.invalid", f"{where}{text} is not a private network, a part of {known}")
