"""Stores a Pi's identity: writes it as a whole, checks it when it reads it, replaces it in one step.

`identity` in the state directory is a symbolic link to a directory `.identity-…`. A new identity is a new, synced
directory, to which the link is then moved in one step: at any instant there is the old identity, the new one, or none.
The file `provisioned` in it says that the station has recorded the receipt. When an identity is removed without its
sealed NUC map, the map waits in `kept-nuc-map` for the next identity.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Meta

from device_agent.storage.disk import Disk
from device_agent.storage.tpm_blob import Blob
from runtime.files import read_bounded
from shared import limits
from shared.errors import BirthmarkError
from shared.x509_profile import UNREADABLE

LINK: Final = "identity"
_PREFIX: Final = ".identity-"
_NEW_LINK: Final = ".identity.new"
PROVISIONED: Final = "provisioned"
CERTIFICATE: Final = "certificate.pem"
CHAIN: Final = "chain.pem"
_SECRETS: Final = "secrets.msgpack"
KEPT: Final = "kept-nuc-map"
STATION_LIST: Final = "revoked-stations.crl"
_KEPT_KEYS: Final = "keys.msgpack"
_MAP: Final = "nuc-map.sealed"
_READ_BYTES: Final = 256 * 1024


class StoredTable(msgspec.Struct, frozen=True):
    table_id: Annotated[int, Meta(ge=0, lt=limits.TABLE_COUNT_MAX)]
    key: Blob


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `secrets.msgpack`, which is useless without this Pi's TPM."""

    tables: Annotated[tuple[StoredTable, ...], Meta(min_length=1, max_length=16)]
    nuc_hash: Blob
    nuc_map_key: Blob


class _KeptMap(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `keys.msgpack`: those secrets of a removed identity that belong to its NUC map."""

    nuc_hash: Blob
    nuc_map_key: Blob


@dataclass(frozen=True, slots=True)
class SealedMap:
    """A NUC map as stored, and its key and hash, which only its TPM can unseal."""

    file: Path
    """AES-256-GCM under the sealed key: nonce 12, ciphertext, tag 16."""
    hash: Blob
    key: Blob


class IdentityFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `identity.json`, which is not secret."""

    version: int = 1
    serial: str
    model: str
    authority_id: str
    validation_endpoint: str
    station: str
    table_ids: tuple[int, ...]
    tpm: str
    """How the TPM is found: `simulator`, or a TCTI such as `device:/dev/tpmrm0`."""
    tpm_manufacturer: str
    tpm_firmware: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A complete identity, read from `path`."""

    link: Path
    """The path of the current identity, which stays the same when another replaces this one."""
    path: Path
    about: IdentityFile
    secrets: Secrets
    chain: tuple[x509.Certificate, ...]
    """DER: the unit's certificate first, the root last."""
    provisioned: bool

    def is_for(self, device_key: ec.EllipticCurvePublicKey) -> bool:
        """Whether it was made with the TPM that has this device key. A copy beside another TPM is useless."""
        return self.chain[0].public_key() == device_key

    @property
    def sealed_map(self) -> SealedMap:
        return SealedMap(self.path / _MAP, self.secrets.nuc_hash, self.secrets.nuc_map_key)


class IdentityStore:
    """The identity of one state directory."""

    def __init__(self, state_dir: Path, disk: Disk) -> None:
        self._state_dir = state_dir
        self._disk = disk

    def load(self) -> Identity | None:
        """Return the identity, if any. Raises `identity.damaged` when it cannot be read."""
        link = self._state_dir / LINK
        try:
            path = link.resolve(strict=True)
        except FileNotFoundError:
            return None
        about = _decoded(path / "identity.json", msgspec.json.Decoder(IdentityFile).decode)
        kept = _decoded(path / _SECRETS, msgspec.msgpack.Decoder(Secrets).decode)
        chain = _decoded(path / CHAIN, x509.load_pem_x509_certificates)
        return Identity(link, path, about, kept, tuple(chain), (path / PROVISIONED).exists())

    def kept_map(self) -> SealedMap | None:
        """Return the kept NUC map of a removed identity, if any. Raises `identity.damaged`."""
        path = self._state_dir / KEPT
        if not path.exists():
            return None
        kept = _decoded(path / _KEPT_KEYS, msgspec.msgpack.Decoder(_KeptMap).decode)
        return SealedMap(path / _MAP, kept.nuc_hash, kept.nuc_map_key)

    def store(
        self,
        about: IdentityFile,
        kept: Secrets,
        chain: tuple[x509.Certificate, ...],
        nuc_map: bytes | Path,
        *,
        provisioned: bool,
    ) -> None:
        """Write a new identity and make it the current one.

        `nuc_map` is the sealed map, or the existing one; `provisioned` says whether the station has recorded it before.
        """
        path = self._state_dir / (_PREFIX + secrets.token_hex(8))
        try:
            self._write(path, about, kept, chain, nuc_map, provisioned=provisioned)
        except BirthmarkError:
            with suppress(BirthmarkError):  # the next start removes what cannot be removed now
                self.tidy()  # a full disk must not fill further with each try
            raise

    def _write(
        self,
        path: Path,
        about: IdentityFile,
        kept: Secrets,
        chain: tuple[x509.Certificate, ...],
        nuc_map: bytes | Path,
        *,
        provisioned: bool,
    ) -> None:
        disk = self._disk
        disk.make_directory(path)
        disk.write(path / "identity.json", msgspec.json.format(msgspec.json.encode(about)) + b"\n")
        disk.write(path / _SECRETS, msgspec.msgpack.encode(kept))
        disk.write(path / CERTIFICATE, chain[0].public_bytes(Encoding.PEM))
        disk.write(path / CHAIN, b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
        if isinstance(nuc_map, Path):
            disk.link(nuc_map, path / _MAP)
        else:
            disk.write(path / _MAP, nuc_map)
        if provisioned:
            disk.write(path / PROVISIONED, b"")
        disk.sync(path)
        disk.sync(self._state_dir)  # else a power cut may leave the link without its target
        new_link = self._state_dir / _NEW_LINK
        disk.remove(new_link)
        disk.point(new_link, path.name)
        disk.rename(new_link, self._state_dir / LINK)
        disk.sync(self._state_dir)

    def mark_provisioned(self) -> None:
        """Record that the station has the receipt."""
        path = (self._state_dir / LINK).resolve(strict=True)
        if not (path / PROVISIONED).exists():
            self._disk.write(path / PROVISIONED, b"")
            self._disk.sync(path)

    def station_list(self) -> bytes | None:
        """Return the list of revoked stations that is kept, DER, if any. Raises `identity.*`."""
        path = self._state_dir / STATION_LIST
        return _decoded(path, bytes) if path.exists() else None

    def keep_station_list(self, der: bytes) -> None:
        """Keep this list of revoked stations in place of the earlier one."""
        self._disk.replace(self._state_dir / STATION_LIST, der)

    def forget_station_list(self) -> None:
        self._disk.remove(self._state_dir / STATION_LIST)

    def tidy(self) -> None:
        """Remove what an interrupted `store` or `forget` left, and replaced identities."""
        link = self._state_dir / LINK
        current = link.readlink().name if link.is_symlink() else ""
        for path in self._state_dir.glob(_PREFIX + "*"):
            if path.name != current:
                self._disk.remove(path)
        if link.exists():  # the identity has a map of its own
            self._disk.remove(self._state_dir / KEPT)

    def forget(self, *, keep_map: bool) -> bool:
        """Remove the identity; `keep_map` keeps its sealed NUC map for the next one.

        Returns whether there was an identity. Raises `nuc.map-not-kept` when its map cannot be kept; then removes
        nothing.
        """
        link = self._state_dir / LINK
        found = link.is_symlink()
        if keep_map:
            if found:
                self._keep_map(link)
        else:
            found = found or (self._state_dir / KEPT).exists()
            self._disk.remove(self._state_dir / KEPT)
        self._disk.remove(link)
        self._disk.sync(self._state_dir)
        self.tidy()
        return found

    def _keep_map(self, identity: Path) -> None:
        try:
            held = _decoded(identity / _SECRETS, msgspec.msgpack.Decoder(Secrets).decode)
            kept = _KeptMap(nuc_hash=held.nuc_hash, nuc_map_key=held.nuc_map_key)
            sealed = (identity / _MAP).resolve(strict=True)
        except (BirthmarkError, OSError) as error:
            raise BirthmarkError("nuc.map-not-kept", str(self._state_dir)) from error
        new, disk = self._state_dir / (_PREFIX + secrets.token_hex(8)), self._disk
        disk.make_directory(new)
        disk.write(new / _KEPT_KEYS, msgspec.msgpack.encode(kept))
        disk.link(sealed, new / _MAP)
        disk.sync(new)
        disk.remove(self._state_dir / KEPT)  # left by an earlier try: the identity is still there
        disk.rename(new, self._state_dir / KEPT)
        disk.sync(self._state_dir)


Decoded = TypeVar("Decoded")


def _decoded(path: Path, decode: Callable[[bytes], Decoded]) -> Decoded:
    try:
        return decode(read_bounded(path, _READ_BYTES))
    except PermissionError as error:
        raise BirthmarkError("identity.permission", str(path)) from error
    except (OSError, *UNREADABLE, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise BirthmarkError("identity.damaged", str(path)) from error
