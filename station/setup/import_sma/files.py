"""Reads the files of the public SMA into types: registry, key tables, authority. Checks syntax only.

A device that cannot be read is a row with a problem, and spoils no other.

Source: Birthmark's public code (packages/sma: identity/device_registry.py, key_tables/table_manager.py,
provisioning/certificate.py), and its README for the place of each file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from runtime.files import read_bounded
from shared import limits
from shared.errors import BirthmarkError
from shared.text import printable
from shared.x509_profile import UNREADABLE

_JSON_BYTES: Final = 1024 * 1024 * 1024
"""The largest file read: a registry of 100,000 units is 250 MB, 2,500 tables with all their keys about 220 MB."""
_PEM_BYTES: Final = 64 * 1024

_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[a-z_]+)`")
"""A name of ours. That of an unknown field is the file's, and may be a secret."""

T = TypeVar("T")


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A unit of the public SMA's registry. Refuses unknown fields, which the import would lose."""

    device_serial: str
    table_assignments: list[int]
    device_family: str
    provisioned_at: str
    device_secret: str = ""
    key_table_indices: list[int] = []
    device_certificate: str = ""
    device_public_key: str = ""
    is_blacklisted: bool = False
    blacklisted_at: str | None = None
    blacklist_reason: str | None = None
    nuc_hash: str | None = None

    def __repr__(self) -> str:
        return f"Device({self.device_serial!r})"


@dataclass(frozen=True, slots=True)
class Row:
    """One device of the registry, or why it cannot be read."""

    name: str
    """Its serial number as far as it can be shown, else its number in the file."""
    device: Device | None
    problem: str = ""


class _Registry(msgspec.Struct, frozen=True):
    devices: list[msgspec.Raw]


class _Named(msgspec.Struct, frozen=True):
    device_serial: str


class Table(msgspec.Struct, frozen=True):
    table_id: int
    master_key: str

    def __repr__(self) -> str:
        return f"Table({self.table_id})"


class Tables(msgspec.Struct, frozen=True):
    total_tables: int
    key_tables: list[Table]
    assigned_tables: dict[str, list[int]] = {}
    derived_keys: dict[str, dict[str, str]] = {}
    """By table id and key index; only "phase 2" files have them."""

    def __repr__(self) -> str:
        return f"Tables({self.total_tables})"


@dataclass(frozen=True, slots=True, repr=False)
class Files:
    devices: list[Row]
    tables: Tables
    root: x509.Certificate
    intermediate: x509.Certificate
    intermediate_key: ec.EllipticCurvePrivateKey
    root_key: ec.EllipticCurvePrivateKey | None
    earlier_intermediates: tuple[x509.Certificate, ...]
    """The CA certificate of "phase 2", if there is one."""


def read(directory: Path) -> Files:
    """Read the `data` directory. Raises `import.unreadable`, which names the file and never quotes it."""
    devices = _read_json(directory / "device_registry.json", _Registry).devices
    return Files(
        [_row(number, raw) for number, raw in enumerate(devices, 1)],
        _read_json(directory / "key_tables.json", Tables),
        _read_certificate(directory / "root-ca.crt"),
        _read_certificate(directory / "intermediate-ca.crt"),
        _read_key(directory / "intermediate-ca.key"),
        _read_key(directory / "root-ca.key") if (directory / "root-ca.key").exists() else None,
        _read_earlier_intermediates(directory),
    )


def _row(number: int, raw: msgspec.Raw) -> Row:
    name = f"device {number}"
    try:
        name = printable(msgspec.json.decode(raw, type=_Named).device_serial, limits.SERIAL_CHARACTERS) or name
        return Row(name, msgspec.json.decode(raw, type=Device))
    except (msgspec.MsgspecError, RecursionError) as error:
        if missing := _MISSING.match(str(error)):
            return Row(name, None, f"it has no {missing['name']}")
        return Row(name, None, f"it has a wrong or unknown field{_place(error)}")


def _place(error: Exception) -> str:
    """Where the decoder failed; its message quotes secrets."""
    _, at, place = str(error).rpartition(" - at ")
    return f" at {place[:80]}" if at else ""


def _read_earlier_intermediates(directory: Path) -> tuple[x509.Certificate, ...]:
    places = (directory / "certs", directory, directory.parent / "certs")
    found = [place / "ca_certificate.pem" for place in places if (place / "ca_certificate.pem").exists()]
    return (_read_certificate(found[0]),) if found else ()


def _read_json(path: Path, form: type[T]) -> T:
    try:
        return msgspec.json.decode(_read_bytes(path, _JSON_BYTES), type=form)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BirthmarkError("import.unreadable", f"{path}{_place(error)}") from None


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read_bytes(path, _PEM_BYTES))
    except UNREADABLE:
        raise BirthmarkError("import.unreadable", f"{path} is no certificate") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(_read_bytes(path, _PEM_BYTES), None)
    except (ValueError, TypeError):
        raise BirthmarkError("import.unreadable", f"{path} is no private key, or an encrypted one") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BirthmarkError("import.unreadable", f"{path} is not an EC key")
    return key


def _read_bytes(path: Path, most: int) -> bytes:
    if path.exists() and not path.is_file():  # nobody may ever write into a pipe
        raise BirthmarkError("import.unreadable", f"{path} is no file")
    try:
        return read_bounded(path, most)
    except OSError as error:
        raise BirthmarkError("import.unreadable", f"{path}: {error.strerror}") from None
