"""Backs up a running station into one encrypted file, and restores a whole data directory from it, or none.

It is an age file with a tar file inside: `backup.json`, which says what it is, then the files of the data directory. It
holds the station secret, wherever it was kept, and never the root's key.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from runtime.clock import unix_time
from runtime.files import new_private_file, sync_directory, write_private
from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError
from station import config
from station.attestation.ek.bundle import FILE_BYTES_MAX
from station.attestation.ek.roots import FILES_MAX
from station.config import CONFIG_NAME, AttestationConfig
from station.registry import audit, audit_check, crl, queries
from station.registry.audit import Event
from station.registry.location import REGISTRY_NAME, registry_url
from station.registry.sqlite import snapshot
from station.secrets.station_secret import SECRET_NAME, StationSecret
from station.setup import data_dir
from station.setup.backup.age_file import Identities, Passphrase, Recipients, decrypt, encrypt
from station.setup.backup.tar_file import CHUNK, Member, pack, unpack
from station.setup.open import open_registry, open_station

_EK_ROOTS: Final = AttestationConfig().ek_roots
_NAME: Final = re.compile(
    rf"(?:{re.escape(CONFIG_NAME)}|{REGISTRY_NAME}|{SECRET_NAME}"
    rf"|authority/[a-z0-9-]{{1,64}}\.(?:pem|key)|{_EK_ROOTS}/[A-Za-z0-9][A-Za-z0-9 ._()+,=@-]{{0,90}})\Z"
)
"""Every name that a backup may hold: no entry can name a path outside the directory that is restored. None is longer
than the 100 characters of a plain tar header."""

_LABEL_NAME: Final = "backup.json"
_LABEL_BYTES: Final = 4096
_FORMAT: Final = "birthmark-station-backup"
_VERSION: Final = 1
_ENTRIES_MAX: Final = FILES_MAX + 64

Progress = Callable[[str, int, int], None]
"""Called with the step's name, the amount done and the amount to do."""


class _Kind(msgspec.Struct, frozen=True):
    """What every version of the label says."""

    format: str
    version: int


class _Label(_Kind, frozen=True, kw_only=True):
    """The first member, `backup.json`."""

    format: str = _FORMAT
    version: int = _VERSION
    made_at: int
    """Seconds since 1970."""
    station: str
    software: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made."""

    file: Path
    made_at: int
    size: int
    """Bytes."""
    sha256: str
    units: int


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A data directory restored from a backup; the station in it was opened once, as `serve` opens it."""

    data_dir: Path
    replaced: Path | None
    station: str
    made_at: int
    units: int
    audit_problems: tuple[str, ...]
    """Problems that the audit log had when the backup was made."""


def backup(directory: Path, file: Path, lock: Passphrase | Recipients, progress: Progress) -> Backup:
    """Write the station in `directory` to `file`, as it is at one moment. Sessions go on meanwhile.

    Root writes `file` itself, and reads the station as the user who owns it. Raises `data.*`, `config.invalid`,
    `registry.unavailable`, `backup.exists`, `backup.too-large` and `backup.file-unusable`; then leaves no `file`.
    """
    owner = owner_of(directory)
    with acting_as(owner):
        data_dir.check(directory, supplied=StationSecret.supplied())
        settings = config.load(directory / CONFIG_NAME)
    if os.path.lexists(file):
        raise BirthmarkError("backup.exists", str(file))
    made_at = unix_time()
    software = f"birthmark-provisioning {version('birthmark-provisioning')}"
    try:
        with (
            _whole(file) as out,
            acting_as(owner),
            snapshot(
                registry_url(directory), directory, lambda done, size: progress("Copying", done, size)
            ) as registry,
        ):
            label = _Label(made_at=made_at, station=settings.name, software=software)
            members = _members(directory, settings.ek_roots(directory), label, registry, progress)
            encrypt(pack(members, made_at), out, lock)
            out.flush()
            os.fsync(out.fileno())
            written = out.tell()
            out.seek(0)
            digest = hashlib.file_digest(out, "sha256").hexdigest()
            # Recorded before the file gets its name, so the log knows of every backup.
            known = asyncio.run(_record_backup(directory, made_at, digest))
    except OSError as error:
        raise BirthmarkError("backup.file-unusable", f"{error.filename or file}: {error.strerror}") from error
    return Backup(file, made_at, written, digest, known)


def restore(
    file: Path, directory: Path, key: Passphrase | Identities, progress: Progress, *, force: bool
) -> RestoreResult:
    """Restore the data directory `directory` from a backup, whole or not at all.

    `force` moves an existing directory aside. Raises `data.exists`, `data.unwritable`, `backup.*`, and every error with
    which the restored station would fail to open.
    """
    found: list[tuple[_Label, int, tuple[str, ...]]] = []
    try:
        with file.open("rb") as source:
            size = os.fstat(source.fileno()).st_size

            def fill(folder: Path) -> None:
                with tempfile.TemporaryFile(dir=folder) as tar:  # has no name: no crash can leave it
                    decrypt(source, tar, key, lambda done: progress("Decrypting", done, size))
                    tar.seek(0)
                    label = _unpack(tar, folder, progress)
                _bring_ek_roots_home(folder)
                found.append((label, *asyncio.run(_record_restoring(folder, label.made_at))))
                for path in (*(path for path in folder.iterdir() if path.is_dir()), folder):
                    sync_directory(path)

            replaced = data_dir.create(directory, fill, force=force)
    except OSError as error:
        raise BirthmarkError("backup.file-unusable", f"{error.filename or file}: {error.strerror}") from error
    [(label, units, problems)] = found
    return RestoreResult(directory, replaced, label.station, label.made_at, units, problems)


# --- making one ---


@contextmanager
def _whole(file: Path) -> Iterator[BufferedRandom]:
    """Open a private file beside `file`. It takes `file`'s name when the block ends; on an error it is deleted."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w+b") as out:
            yield out
        os.rename(name, file)
    except BaseException:
        os.unlink(name)
        raise
    sync_directory(file.parent)


def _members(
    directory: Path, ek_roots: Path, label: _Label, registry: BinaryIO, progress: Progress
) -> Iterator[Member]:
    small = ((_LABEL_NAME, msgspec.json.encode(label) + b"\n"), *_small_files(directory, ek_roots))
    for name, content in small:
        if name != _LABEL_NAME and not _NAME.match(name):
            raise BirthmarkError("backup.file-unusable", f"{name!r} is no name for a file in a backup; rename it")
        yield Member(name, len(content), [content])
    size = os.fstat(registry.fileno()).st_size
    yield Member(REGISTRY_NAME, size, _watched(registry, size, progress))


def _watched(registry: BinaryIO, size: int, progress: Progress) -> Iterator[bytes]:
    for done in range(0, size, CHUNK):
        yield registry.read(CHUNK)
        progress("Encrypting", done, size)


def _small_files(directory: Path, ek_roots: Path) -> Iterator[tuple[str, bytes]]:
    yield CONFIG_NAME, (directory / CONFIG_NAME).read_bytes()
    yield SECRET_NAME, StationSecret.load(directory).value()
    for path in sorted((directory / "authority").iterdir()):
        if path.suffix in (".pem", ".key"):
            yield f"authority/{path.name}", path.read_bytes()
    if ek_roots.is_dir():
        used = [path for path in sorted(ek_roots.iterdir()) if path.is_file() and not path.name.startswith(".")]
        for path in used[:FILES_MAX]:
            if path.stat().st_size <= FILE_BYTES_MAX:  # as the station reads them
                yield f"{_EK_ROOTS}/{path.name}", path.read_bytes()


async def _record_backup(directory: Path, made_at: int, digest: str) -> int:
    """Add the audit row. Returns how many units the registry has."""
    async with open_registry(directory) as registry, registry.write() as connection:
        await audit.append(connection, unix_time(), Event.BACKED_UP, "", made_at=made_at, sha256=digest)
        return await queries.count_all(connection)


# --- the way back ---


def _unpack(tar: BinaryIO, folder: Path, progress: Progress) -> _Label:
    """Write every file of the backup to `folder`.

    Backups are not compressed, so it writes no more than the backup holds.
    """
    members = unpack(tar)
    label = _read_label(next(members, None))
    found: set[str] = set()
    for member in members:
        if not _NAME.match(member.name) or member.name in found:
            raise BirthmarkError("backup.malformed", "an entry is not one of a data directory")
        if len(found) == _ENTRIES_MAX or (member.name != REGISTRY_NAME and member.size > FILE_BYTES_MAX):
            raise BirthmarkError("backup.malformed", "it has too many files, or one that is too large")
        found.add(member.name)
        path = folder / member.name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with new_private_file(path) as out:
            for chunk in member.content:
                out.write(chunk)
                progress("Restoring", out.tell(), member.size)
    if missing := [name for name in data_dir.REQUIRED if name not in found]:
        raise BirthmarkError("backup.malformed", f"it lacks {', '.join(missing)}")
    return label


def _read_label(first: Member | None) -> _Label:
    if first is None or first.name != _LABEL_NAME or first.size > _LABEL_BYTES:
        raise BirthmarkError("backup.malformed", f"it does not begin with {_LABEL_NAME}")
    content = b"".join(first.content)
    try:
        kind = msgspec.json.decode(content, type=_Kind)
        if kind.format == _FORMAT and kind.version > _VERSION:
            raise BirthmarkError("backup.too-new", f"its format is version {kind.version}, this program's {_VERSION}")
        label = msgspec.json.decode(content, type=_Label)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BirthmarkError("backup.malformed", f"its {_LABEL_NAME} cannot be read") from None
    if (label.format, label.version) != (_FORMAT, _VERSION):
        raise BirthmarkError("backup.malformed", f"its {_LABEL_NAME} is of something else")
    return label


def _bring_ek_roots_home(folder: Path) -> None:
    """Set `ek_roots` to the data directory's own folder, where a backup always restores it."""
    settings = config.load(folder / CONFIG_NAME)
    (folder / _EK_ROOTS).mkdir(mode=0o700, exist_ok=True)
    if settings.attestation.ek_roots != _EK_ROOTS:
        (folder / CONFIG_NAME).unlink()
        attestation = msgspec.structs.replace(settings.attestation, ek_roots=_EK_ROOTS)
        write_private(folder / CONFIG_NAME, config.to_toml(msgspec.structs.replace(settings, attestation=attestation)))


async def _record_restoring(folder: Path, made_at: int) -> tuple[int, tuple[str, ...]]:
    """Open the station as `serve` does, which loads every key, certificate and table; then add the audit row."""
    async with open_station(folder) as station:
        async with station.database.read() as connection:
            found = await audit_check.verify(connection)
        async with station.database.write() as connection:
            await crl.skip_numbers(connection)
            await audit.append(
                connection, unix_time(), Event.RESTORED, "", made_at=made_at, audit_whole=not found.problems
            )
            known = await queries.count_all(connection)
    return known, tuple(problem.sentence for problem in found.problems)
