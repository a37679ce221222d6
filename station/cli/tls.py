"""Loads the TLS certificate from files or systemd's credentials, and finds problems with it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from runtime.systemd import credential
from shared.errors import BirthmarkError
from shared.text import printable

CERTIFICATE: Final = "tls.pem"
KEY: Final = "tls.key"
"""The names of the systemd credentials: LoadCredential=tls.pem:PATH and LoadCredential=tls.key:PATH."""

RENEW_DAYS: Final = 14
"""Warn this many days before the end. ACME clients renew 30 days before, so by then they have failed."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A TLS certificate with its key."""

    context: ssl.SSLContext
    begin: dt.datetime
    end: dt.datetime
    names: list[str]
    """DNS names and IP addresses; not the subject's common name (RFC 6125)."""

    def problems(self, host: str, now: dt.datetime) -> list[str]:
        """Return why a client that asks for `host` would refuse it, now or soon: sentences; none without a problem."""
        told = []
        if now < self.begin:
            told.append(f"the TLS certificate is not valid before {self.begin:%Y-%m-%d %H:%M} UTC.")
        if now >= self.end - dt.timedelta(days=RENEW_DAYS):
            ends = "ended" if now >= self.end else "ends"
            told.append(f"the TLS certificate {ends} on {self.end:%Y-%m-%d}: renew it, then restart the station.")
        if not _is_named(host, self.names):
            names = printable(", ".join(self.names)) or "nobody"
            told.append(f"the TLS certificate is for {names}, but public_url in station.toml names {host}.")
        return told


def find_tls(certificate: Path | None, key: Path | None) -> Tls | None:
    """Load from these files, else from systemd's credentials; None without either. Raises `http.tls-unusable`."""
    where = "{}"
    if certificate is None and key is None:
        certificate, key, where = credential(CERTIFICATE), credential(KEY), "systemd hands over no credential {}"
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise BirthmarkError("http.tls-unusable", where.format(CERTIFICATE if certificate is None else KEY))
    return _load(certificate, key)


def _load(certificate: Path, key: Path) -> Tls:
    """Load certificate and key for TLS 1.2 or newer."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")  # never ask for a passphrase on the terminal
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        names = _names(first)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BirthmarkError("http.tls-unusable", f"{certificate}, {key}: {error}") from error
    return Tls(context, first.not_valid_before_utc, first.not_valid_after_utc, names)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _is_named(host: str, names: list[str]) -> bool:
    wanted = {host.lower()}
    try:
        wanted = {str(ipaddress.ip_address(host))}
    except ValueError:
        wanted.add("*." + host.lower().partition(".")[2])
    return any(name.lower() in wanted for name in names)
