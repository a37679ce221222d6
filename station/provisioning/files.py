"""Writes a provisioning file for each unit, `provisioning_SERIAL.json`, with mode 0600 and atomically.

The file is on the disk before its unit is committed. So a crash may leave a file without a unit, which the next run
replaces, but never a unit whose only secrets are lost.
"""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from runtime.files import name_of_replaced, read_bounded, sync_directory, write_private
from shared import limits
from shared.birthmark.provisioning import Provisioning
from shared.errors import BirthmarkError
from shared.text import printable
from station.provisioning.offline import CSR_CHARACTERS, OfflineProvisioner, ProvisionedUnit, ProvisioningRequest
from station.registry import queries
from station.registry.database import Database
from station.registry.records import Unit, UnitState

ORIGIN: Final = "command line"
LIST_BYTES: Final = 64 * 1024 * 1024
"""The largest list of units that is read: 100,000 units with NUC hashes are 10 MB."""

_COLUMNS: Final = ("device_serial", "device_family", "nuc_hash", "csr_file")


class Outcome(StrEnum):
    PROVISIONED = "provisioned"
    ALREADY = "already"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one unit of a list."""

    serial: str
    outcome: Outcome
    file: Path | None = None
    error: BirthmarkError | None = None


class ProvisioningFiles:
    """Provisions units and writes their files to one directory, which it makes with mode 0700 if there is none."""

    def __init__(self, folder: Path, offline_provisioner: OfflineProvisioner, database: Database) -> None:
        self._folder = folder
        self._provisioner = offline_provisioner
        self._database = database
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BirthmarkError("provisioning.file-unusable", f"{folder}: {error.strerror}") from error

    def path(self, serial: str) -> Path:
        return self._folder / f"provisioning_{serial}.json"

    async def provision(self, request: ProvisioningRequest) -> ProvisionedUnit:
        """Provision one unit.

        Raises the errors of `OfflineProvisioner.provision` and `provisioning.file-unusable`; then makes no unit.
        """
        return await self._provisioner.provision(request, ORIGIN, self._write_file)

    async def provision_all(self, requests: list[ProvisioningRequest]) -> AsyncIterator[Result]:
        """Provision each unit independently. Skips a unit that an earlier run provisioned and whose file exists."""
        for request in requests:
            serial = request.device_serial
            try:
                if (known := await self._provisioned(serial)) is not None:
                    yield Result(serial, Outcome.ALREADY, self.path(known.serial))
                else:
                    await self.provision(request)
                    yield Result(serial, Outcome.PROVISIONED, self.path(serial))
            except BirthmarkError as error:
                yield Result(serial, Outcome.FAILED, error=error)

    async def _provisioned(self, serial: str) -> Unit | None:
        """Return the unit that an earlier run provisioned, if its file is there."""
        try:
            async with self._database.read() as connection:
                unit = await queries.by_serial(connection, serial)
        except BirthmarkError as error:
            if error.code == "registry.unknown-unit":
                return None
            raise
        return unit if unit.state is not UnitState.RELEASED and self._has_file_of(unit) else None

    def _has_file_of(self, unit: Unit) -> bool:
        if unit.certificate is None:
            return False
        certificate = x509.load_der_x509_certificate(unit.certificate.der).public_bytes(Encoding.PEM).decode()
        try:
            content = msgspec.json.decode(self.path(unit.serial).read_bytes(), type=Provisioning)
        except (OSError, msgspec.MsgspecError):
            return False
        return content.device_certificate == certificate

    def _write_file(self, provisioned: ProvisionedUnit) -> None:
        path = self.path(provisioned.serial)
        made = path.with_name(f".{path.name}.{os.getpid()}")
        content = msgspec.json.format(msgspec.json.encode(provisioned.provisioning())) + b"\n"
        try:
            made.unlink(missing_ok=True)
            write_private(made, content)
            if path.exists():
                path.rename(name_of_replaced(path))
            made.rename(path)
            sync_directory(self._folder)
        except OSError as error:
            raise BirthmarkError("provisioning.file-unusable", f"{path}: {error.strerror}") from error


def read_list(path: Path) -> list[ProvisioningRequest]:
    """Read the units of a CSV file whose heading has device_serial and optionally device_family, nuc_hash, csr_file.

    `csr_file` is relative to the list. Raises `provisioning.file-unusable`, which names the line.
    """
    text = _read(path, LIST_BYTES).decode("utf-8-sig", errors="replace")
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    requests: list[ProvisioningRequest] = []
    seen: set[str] = set()
    line = 0
    try:
        _check_heading(path, rows.fieldnames)
        line = rows.reader.line_num
        for row in rows:
            line = rows.reader.line_num  # DictReader's own number is too low after empty lines
            where = f"{path}, line {line}"
            if None in row or None in row.values():
                raise BirthmarkError("provisioning.file-unusable", f"{where} has more or fewer fields than the heading")
            values = {name: value.strip() for name, value in row.items()}
            serial = values["device_serial"]
            if serial in seen:
                raise BirthmarkError("provisioning.file-unusable", f"{where} repeats a serial number")
            seen.add(serial)
            csr = read_csr_file(path.parent / values["csr_file"]) if values.get("csr_file") else None
            family, nuc_hash = values.get("device_family") or None, values.get("nuc_hash") or None
            requests.append(ProvisioningRequest(serial, family, nuc_hash, csr))
    except csv.Error:
        raise BirthmarkError("provisioning.file-unusable", f"{path}, line {line + 1} is not CSV") from None
    return requests


def _check_heading(path: Path, heading: object) -> None:
    names = list(heading) if isinstance(heading, list) else []
    if "device_serial" not in names or len(set(names)) != len(names) or not set(names) <= set(_COLUMNS):
        told = printable(", ".join(map(str, names)), limits.SERIAL_CHARACTERS)
        raise BirthmarkError(
            "provisioning.file-unusable", f"{path}: its heading is not of {', '.join(_COLUMNS)}, but: {told}"
        )


def read_csr_file(path: Path) -> str:
    """Read a CSR file, PEM or DER, for `ProvisioningRequest.csr`."""
    data = _read(path, CSR_CHARACTERS)
    if data.startswith(b"\x30"):
        return base64.b64encode(data).decode()
    return data.decode("ascii", errors="replace")


def _read(path: Path, most: int) -> bytes:
    try:
        return read_bounded(path, most)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a path
        raise BirthmarkError("provisioning.file-unusable", f"{path}: {error}") from None
