"""The parts of a running station, which `station.setup.open` puts together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from station.attestation.ek.vendor_directory import VendorsDirectory
from station.authority.files import Authority
from station.config import EkPolicy, StationConfig
from station.events import Bus
from station.provisioning.cable import CableProvisioner
from station.provisioning.offline import OfflineProvisioner
from station.registry.database import Database
from station.secrets.key_tables import KeyTables
from station.validation.certificates import CertificateValidator
from station.validation.revocation_list import CurrentRevocationList
from station.validation.tokens import TokenValidator


@dataclass(frozen=True, slots=True)
class Services:
    """A station that is ready to serve."""

    data_dir: Path
    config: StationConfig
    policy: EkPolicy
    vendors: VendorsDirectory
    authority: Authority
    tables: KeyTables
    database: Database
    bus: Bus
    provisioner: CableProvisioner
    offline_provisioner: OfflineProvisioner
    revocation_list: CurrentRevocationList
    tokens: TokenValidator
    certificates: CertificateValidator
