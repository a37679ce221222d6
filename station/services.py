"""The parts of a running station, put together from what its data directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runtime.clock import SYSTEM_CLOCK, Clock
from station.attestation.ek.vendor_directory import VendorsDirectory
from station.authority.files import Authority
from station.authority.revocation_list import CurrentRevocationList
from station.config import EkPolicy, StationConfig
from station.events import Bus
from station.provisioning.cable import CableProvisioner
from station.provisioning.issuance import Issuance
from station.provisioning.offline import OfflineProvisioner
from station.provisioning.own_certificate import OwnCertificate
from station.registry.database import Database
from station.secrets.key_tables import KeyTables
from station.secrets.station_secret import StationSecret
from station.validation.certificates import CertificateValidator
from station.validation.counts import ValidationCounts
from station.validation.tokens import TokenValidator


class Services:
    """A station that is ready to serve. All its parts use one clock, which returns seconds since 1970."""

    def __init__(
        self,
        data_dir: Path,
        config: StationConfig,
        policy: EkPolicy,
        *,
        vendors: VendorsDirectory,
        secret: StationSecret,
        authority: Authority,
        tables: KeyTables,
        database: Database,
        bus: Bus | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.data_dir: Final = data_dir
        self.config: Final = config
        self.policy: Final = policy
        self.vendors: Final = vendors
        self.secret: Final = secret
        self.authority: Final = authority
        self.tables: Final = tables
        self.database: Final = database
        self.bus: Final = bus or Bus()
        self.clock = clock
        self.issuance: Final = Issuance(config, tables, authority.issuer, database)
        self.own: Final = OwnCertificate(data_dir, config, secret, authority, database, self.bus, clock)
        self.provisioner: Final = CableProvisioner(
            config, policy, vendors, secret, self.own.identity, self.issuance, tables, database, self.bus, clock
        )
        self.offline_provisioner: Final = OfflineProvisioner(
            config, secret, self.issuance, tables, database, self.bus, clock
        )
        self.revocation_list: Final = CurrentRevocationList(authority.issuer, database, clock)
        self.counts: Final = ValidationCounts(config.validation, database, clock)
        self.tokens: Final = TokenValidator(secret, tables, database, self.counts)
        self.certificates: Final = CertificateValidator(authority.certificates, database, self.counts, clock)
