"""The registry's tables, for SQLAlchemy Core. The migrations beside this file create them."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from shared.types import serial_key

metadata: Final = sa.MetaData()

units: Final = sa.Table(
    "units",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("serial", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # who holds the private key: tpm, software (a CSR), station (made here and handed out)
    sa.Column("key_holder", sa.String(16), nullable=False),
    sa.Column("family", sa.String(64), nullable=False),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("station", sa.String(64), nullable=False),
    sa.Column("port", sa.String(256), nullable=False),
    sa.Column("agent", sa.String(256), nullable=False),
    # SHA-256 of SubjectPublicKeyInfo, 32 bytes each; a unit without a TPM has no endorsement key
    sa.Column("ek_fingerprint", sa.LargeBinary(32)),
    sa.Column("device_fingerprint", sa.LargeBinary(32), nullable=False),
    # HMAC-SHA256 of the NUC hash under a key of the station secret, 32 bytes
    sa.Column("nuc_blind_index", sa.LargeBinary(32), nullable=False),
    # seconds since 1970, UTC
    sa.Column("reserved_at", sa.BigInteger, nullable=False),
    sa.Column("issued_at", sa.BigInteger),
    sa.Column("provisioned_at", sa.BigInteger),
    # from the unit's first message, or the request, to `provisioned`
    sa.Column("duration_ms", sa.Integer),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("revoked_reason", sa.String(256)),
    # a CRLReason of RFC 5280 section 5.3.1, by its name there
    sa.Column("revoked_code", sa.String(32)),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("closed_reason", sa.String(256)),
    sa.Column("ek_trust", sa.String(16), nullable=False),
    sa.Column("ek_reason", sa.String(512), nullable=False),
    sa.Column("ek_anchor", sa.String(512), nullable=False),
    sa.Column("tpm_manufacturer", sa.String(64), nullable=False),
    sa.Column("tpm_model", sa.String(64), nullable=False),
    sa.Column("tpm_firmware", sa.String(64), nullable=False),
    # An id is never used again: a late certificate must not find another unit under it.
    sqlite_autoincrement=True,
)

ACTIVE: Final = sa.text("units.state != 'released'")
"""A unit, or a reservation, that is not released. A literal, not a bound value: SQLite uses a partial index only when
the query spells out its condition."""

_ACTIVE_INDEX: Final = sa.text("state != 'released'")


_SERIAL_KEY: Final[sa.ColumnElement[str]] = sa.func.lower(units.c.serial)
"""A unit's serial number as `shared.types.serial_key` has it: only ASCII is ever stored."""


def has_serial(serial: str) -> sa.ColumnElement[bool]:
    """The condition for units with this serial number, in whatever case."""
    key: sa.ColumnElement[str] = _SERIAL_KEY
    return key == serial_key(serial)


def _add_unique_active_index(column: str, expression: sa.ColumnElement[Any]) -> None:
    where = _ACTIVE_INDEX
    sa.Index(f"units_active_{column}", expression, unique=True, sqlite_where=where, postgresql_where=where)


_add_unique_active_index("serial", _SERIAL_KEY)
for _column in ("ek_fingerprint", "device_fingerprint", "nuc_blind_index"):
    _add_unique_active_index(_column, units.c[_column])
sa.Index("units_issued_at", units.c.issued_at)
sa.Index("units_serial", _SERIAL_KEY)
sa.Index("units_state", units.c.state)
sa.Index("units_provisioned_at", units.c.provisioned_at)

# A unit's certificates: one when it is provisioned, another with each renewal. Never deleted once signed.
certificates: Final = sa.Table(
    "certificates",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("unit_id", sa.Integer, sa.ForeignKey("units.id"), nullable=False),
    # what it is for: device
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # hexadecimal; chosen when it is reserved
    sa.Column("serial", sa.String(40), nullable=False),
    # SHA-256 of SubjectPublicKeyInfo, 32 bytes each; the issuer's is known once it has signed, and empty if another
    # authority did
    sa.Column("key_fingerprint", sa.LargeBinary(32), nullable=False),
    sa.Column("issuer", sa.LargeBinary(32)),
    # NULL until signed
    sa.Column("der", sa.LargeBinary),
    sa.Column("sha256", sa.LargeBinary(32)),
    sa.Column("not_after", sa.BigInteger),
    # seconds since 1970, UTC
    sa.Column("requested_at", sa.BigInteger, nullable=False),
    sa.Column("issued_at", sa.BigInteger),
    sa.Column("activated_at", sa.BigInteger),
    sa.Column("superseded_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    # a CRLReason of RFC 5280 section 5.3.1, by its name there
    sa.Column("revoked_code", sa.String(32)),
    sqlite_autoincrement=True,
)
sa.Index("certificates_serial", certificates.c.serial, unique=True)
sa.Index("certificates_sha256", certificates.c.sha256, unique=True)
sa.Index("certificates_unit_id", certificates.c.unit_id)
sa.Index("certificates_state_not_after", certificates.c.state, certificates.c.not_after)
_REQUESTED: Final = sa.text("state = 'requested'")
sa.Index(
    "certificates_requested_unit_id",
    certificates.c.unit_id,
    unique=True,
    sqlite_where=_REQUESTED,
    postgresql_where=_REQUESTED,
)

assignments: Final = sa.Table(
    "assignments",
    metadata,
    sa.Column("unit_id", sa.Integer, sa.ForeignKey("units.id"), primary_key=True),
    sa.Column("table_id", sa.Integer, sa.ForeignKey("key_tables.id"), primary_key=True),
)
sa.Index("assignments_table_id", assignments.c.table_id)

# How often a unit was validated: on the latest day on which it was, and in all.
validations: Final = sa.Table(
    "validations",
    metadata,
    sa.Column("unit_id", sa.Integer, sa.ForeignKey("units.id"), primary_key=True),
    # days since 1970, UTC
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("on_day", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
)
sa.Index("validations_day_on_day", validations.c.day, validations.c.on_day)

key_tables: Final = sa.Table(
    "key_tables",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    # nonce 12, ciphertext 32, tag 16
    sa.Column("sealed", sa.LargeBinary(60), nullable=False),
)

audit: Final = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    # the name of the station that wrote it
    sa.Column("station", sa.String(64), nullable=False),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("serial", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("previous", sa.LargeBinary(32), nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
)

# One row: where the audit log ends. It shows when rows are cut off at the end.
audit_head: Final = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
)

# The certificates with which stations of this authority have greeted units.
stations: Final = sa.Table(
    "stations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # the station's, from its settings; several stations may bear one name
    sa.Column("name", sa.String(64), nullable=False),
    # of the certificate, hexadecimal
    sa.Column("certificate_serial", sa.String(40), nullable=False),
    # seconds since 1970, UTC
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("revoked_reason", sa.String(256)),
)
sa.Index("stations_certificate_serial", stations.c.certificate_serial, unique=True)
sa.Index("stations_name", stations.c.name)

# One row for each scope: the CRL signed last.
crl: Final = sa.Table(
    "crl",
    metadata,
    # whose certificates it lists: devices, stations
    sa.Column("scope", sa.String(16), primary_key=True),
    # grows with every change that a CRL must show
    sa.Column("changes", sa.BigInteger, nullable=False),
    # the highest number that a CRL was given
    sa.Column("last_number", sa.BigInteger, nullable=False),
    # of the CRL in `der`: its number, when it was signed, and the changes that it shows
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("signed_at", sa.BigInteger, nullable=False),
    sa.Column("shows", sa.BigInteger, nullable=False),
    sa.Column("der", sa.LargeBinary),
)

tokens: Final = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    # SHA-256 of a token of 256 random bits, which needs no slow hash against guessing
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
    # names of scopes, sorted, separated by spaces
    sa.Column("scopes", sa.String(64), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("last_used_at", sa.BigInteger),
)
_UNREVOKED: Final = sa.text("revoked_at IS NULL")
sa.Index("tokens_hash", tokens.c.hash, unique=True)
sa.Index("tokens_active_name", tokens.c.name, unique=True, sqlite_where=_UNREVOKED, postgresql_where=_UNREVOKED)

# The one-time links that open the page.
links: Final = sa.Table(
    "links",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # SHA-256 of a link's 128 random bits
    sa.Column("hash", sa.LargeBinary(32), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
sa.Index("links_hash", links.c.hash, unique=True)
