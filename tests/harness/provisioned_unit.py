"""Makes a unit's identity as a station leaves it, in a temporary state directory, with its secrets in a real TPM."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes

from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityFile, IdentityStore, Secrets, StoredTable
from device_agent.storage.sealed_map import NucMap, seal_map
from device_agent.tpm import Tpm
from shared.birthmark.derivation import extract
from shared.types import MasterKey, TableId
from station.attestation.tpm2.structures import read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from station.authority import profiles
from tests.harness.certificates import NOW, SERIAL, AuthorityChain

MAP: Final = NucMap(b"a sensor's map" * 64)
MASTER_KEYS: Final = {TableId(number): MasterKey(hashlib.sha256(bytes([number])).digest()) for number in (0, 3, 7)}
MODEL: Final = "Raspberry Pi 5 Model B Rev 1.0"
ENDPOINT: Final = "https://ma.example/validate"


@dataclass(frozen=True)
class UnitIdentity:
    """The credentials that a station sends to the unit with this TPM, ready to be stored."""

    about: IdentityFile
    secrets: Secrets
    chain: AuthorityChain
    sealed_map: bytes

    def store(self, state_dir: Path, *, provisioned: bool = True) -> IdentityStore:
        state_dir.mkdir(mode=0o700, exist_ok=True)
        state_dir.chmod(0o700)
        store = IdentityStore(state_dir, Disk())
        certificates = (self.chain.device, self.chain.intermediate, self.chain.root)
        store.store(self.about, self.secrets, certificates, self.sealed_map, provisioned=provisioned)
        return store


def make_unit_identity(tpm: Tpm, authority: AuthorityChain, tcti: str) -> UnitIdentity:
    """Make it with the unit's `tpm`; `authority` signs a certificate for the TPM's device key."""
    srk = read_public(tpm.public_areas().srk)
    tables = []
    for table, master in MASTER_KEYS.items():
        key = wrap_table_key(srk, extract(master))
        tables.append(StoredTable(table_id=table, key=tpm.import_key(key.public, key.duplicate, key.seed)))
    map_key = os.urandom(32)
    subject = profiles.DeviceSubject(SERIAL, tpm.device_public_key(), b"t" * 32)
    builder = profiles.device("O", subject, 4711, NOW, 730, authority.intermediate, "http://127.0.0.1/crl")
    return UnitIdentity(
        about=IdentityFile(
            serial=SERIAL,
            model=MODEL,
            authority_id="MA",
            validation_endpoint=ENDPOINT,
            station="bench 3",
            table_ids=tuple(MASTER_KEYS),
            tpm=tcti,
            tpm_manufacturer=tpm.manufacturer,
            tpm_firmware=tpm.firmware,
            ek=tpm.endorsement_key(),
        ),
        secrets=Secrets(tables=tuple(tables), nuc_hash=tpm.seal(MAP.hash.secret()), nuc_map_key=tpm.seal(map_key)),
        chain=replace(authority, device=builder.sign(authority.intermediate_key, hashes.SHA256())),
        sealed_map=seal_map(MAP, map_key),
    )
