"""Makes a data directory as the public SMA does, with its certificates' peculiarities, for tests of the import.

Names, key usages, fields and layouts follow Birthmark's packages/sma; keys and hashes are fresh each time.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from shared.birthmark.derivation import token_key
from shared.types import MasterKey, key_index

FOUNDATION = "Birthmark Standard Foundation"


@dataclass
class PublicSma:
    """The directory, and the secrets that its cameras hold."""

    data: Path
    keys: dict[str, ec.EllipticCurvePrivateKey]
    secrets: dict[str, str]
    """NUC hash, or device secret in "phase 2", by serial number."""
    master_keys: dict[int, str]
    devices: list[dict[str, Any]]

    def change_registry(self, change: Callable[[list[dict[str, Any]]], object]) -> None:
        self._change("device_registry.json", lambda content: change(content["devices"]))

    def change_tables(self, change: Callable[[dict[str, Any]], object]) -> None:
        self._change("key_tables.json", change)

    def _change(self, name: str, change: Callable[[Any], object]) -> None:
        path = self.data / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content, indent=2))


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _subject(common_name: str) -> x509.Name:
    fields = (
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.STATE_OR_PROVINCE_NAME, "California"),
        (NameOID.ORGANIZATION_NAME, FOUNDATION),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in fields])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int, *more: x509.ExtensionType
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=days))
    for extension in more:
        critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def build(folder: Path) -> PublicSma:
    """Make `folder/data` and `folder/certs`: three cameras, one of them blacklisted, and a "phase 2" telephone."""
    data, certs = folder / "data", folder / "certs"
    data.mkdir(parents=True)
    certs.mkdir()
    intermediate_key = _authorities(data)
    phase2_key = new_key()
    phase2_name = _subject("Birthmark SMA Root CA")
    phase2 = _certificate(
        phase2_name, phase2_name, phase2_key.public_key(), 3650, x509.BasicConstraints(True, None)
    ).sign(phase2_key, hashes.SHA256())
    (certs / "ca_certificate.pem").write_bytes(_pem(phase2))

    master_keys = {table: os.urandom(32).hex() for table in range(10)}
    sma = PublicSma(data, {}, {}, master_keys, [])
    # As the public code writes it, which is not the intermediate's subject.
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Birthmark Simulated Intermediate CA"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, FOUNDATION),
        ]
    )
    for number, tables in enumerate(((4, 5, 7), (0, 1, 9), (2, 3, 8)), 1):
        _add(sma, f"TEST-CAMERA-00{number}", tables, issuer, intermediate_key)
    sma.devices[1] |= {
        "is_blacklisted": True,
        "blacklisted_at": "2025-12-01T10:00:00.000001",
        "blacklist_reason": "10001 submissions",
    }
    _add(sma, "TEST-iOS-1763664889", (1, 4, 9), phase2_name, phase2_key, phase2=True)
    registry = {"devices": sma.devices, "total_devices": 4, "last_updated": "2025-12-01T10:00:00.000002"}
    (data / "device_registry.json").write_text(json.dumps(registry, indent=2))
    tables_file = {
        "total_tables": 10,
        "tables_per_device": 3,
        "key_tables": [{"table_id": table, "master_key": key} for table, key in master_keys.items()],
        "assigned_tables": {d["device_serial"]: d["table_assignments"] for d in sma.devices} | {"FAILED-1": [0, 1, 2]},
    }
    (data / "key_tables.json").write_text(json.dumps(tables_file, indent=2))
    (data / "submissions.json").write_text('{"total_submissions": 0, "last_updated": null, "submissions": []}')
    return sma


def _authorities(data: Path) -> ec.EllipticCurvePrivateKey:
    root_key, intermediate_key = new_key(), new_key()
    root_name, name = _subject("Birthmark Simulated Root CA"), _subject("Birthmark Simulated Intermediate CA")
    usage = _usage(authority=True)
    identifiers = [x509.SubjectKeyIdentifier.from_public_key(k.public_key()) for k in (root_key, intermediate_key)]
    root = _certificate(
        root_name, root_name, root_key.public_key(), 3650, x509.BasicConstraints(True, 1), usage, identifiers[0]
    )
    of_root = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifiers[0])
    intermediate = _certificate(
        name,
        root_name,
        intermediate_key.public_key(),
        1825,
        x509.BasicConstraints(True, 0),
        usage,
        identifiers[1],
        of_root,
    )
    (data / "root-ca.crt").write_bytes(_pem(root.sign(root_key, hashes.SHA256())))
    (data / "root-ca.key").write_bytes(_private(root_key))
    (data / "intermediate-ca.crt").write_bytes(_pem(intermediate.sign(root_key, hashes.SHA256())))
    (data / "intermediate-ca.key").write_bytes(_private(intermediate_key))
    return intermediate_key


def _add(
    sma: PublicSma,
    serial: str,
    tables: tuple[int, ...],
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    phase2: bool = False,
) -> None:
    key, secret = new_key(), os.urandom(32).hex()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    extensions: list[x509.ExtensionType] = [x509.BasicConstraints(False, None), _usage(authority=False)]
    if phase2:
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
        extensions.append(x509.UnrecognizedExtension(oid, secret.encode()))
    certificate = _certificate(subject, issuer, key.public_key(), 730, *extensions).sign(issuer_key, hashes.SHA256())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    sma.keys[serial], sma.secrets[serial] = key, secret
    sma.devices.append(
        {
            "device_serial": serial,
            "table_assignments": list(tables),
            "device_family": "iOS" if phase2 else "Raspberry Pi",
            "provisioned_at": "2025-11-15T20:24:41.201985",
            "device_secret": secret,
            "key_table_indices": list(tables) if phase2 else [],
            "device_certificate": _pem(certificate).decode(),
            "device_public_key": "" if phase2 else public,
            "is_blacklisted": False,
            "blacklisted_at": None,
            "blacklist_reason": None,
            "nuc_hash": None if phase2 else secret,
        }
    )


def replace_authority(sma: PublicSma) -> None:
    """Make a new root and intermediate in place of the old ones, and keep the registry, as `setup_sma.py --force`."""
    _authorities(sma.data)


def add_extensions(sma: PublicSma) -> None:
    """Give the cameras the certificates of the newer kind, with Birthmark's six extensions, under the same names."""
    key = load_pem_private_key((sma.data / "intermediate-ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    def renew(devices: list[dict[str, Any]]) -> None:
        for device in devices:
            if device["nuc_hash"] is None:
                continue
            old = x509.load_pem_x509_certificate(device["device_certificate"].encode())
            public = old.public_key()
            assert isinstance(public, ec.EllipticCurvePublicKey)
            builder = _certificate(
                old.subject, old.issuer, public, 730, x509.BasicConstraints(False, None), _usage(authority=False)
            )
            table = device["table_assignments"][0]
            nonce = os.urandom(12)
            hidden = AESGCM(bytes.fromhex(sma.master_keys[table])).encrypt(
                nonce, bytes.fromhex(device["nuc_hash"]), None
            )
            values = (
                b"birthmark_simulated_ma",
                b"http://localhost:8001/validate-cert",
                hidden + nonce,
                table.to_bytes(2, "big"),
                (7).to_bytes(2, "big"),
                device["device_family"].encode(),
            )
            for number, value in enumerate(values, 1):
                oid = x509.ObjectIdentifier(f"1.3.6.1.4.1.60000.1.{number}")
                builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
            device["device_certificate"] = _pem(builder.sign(key, hashes.SHA256())).decode()

    sma.change_registry(renew)


def with_derived_keys(content: dict[str, Any], tables: int = 2) -> None:
    """Add the derived keys that a "phase 2" key_tables.json has, for the first `tables` tables."""
    content["keys_per_table"] = 1000
    content["derived_keys"] = {
        str(row["table_id"]): {
            str(index): token_key(MasterKey(bytes.fromhex(row["master_key"])), key_index(index)).secret().hex()
            for index in range(1000)
        }
        for row in content["key_tables"][:tables]
    }
