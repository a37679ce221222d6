"""The TPM vendors' certificates that we know of: whose, under what address, with which SHA-256.

The table (`vendor_table.csv`) holds facts, no certificates. It has the vendors of chips that a Pi can carry. Its facts
are from the community's list github.com/loicsikidi/tpm-ca-certificates of 2026-05-05.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class PinnedCertificate:
    """One certificate of a TPM vendor that we know by its fingerprint."""

    vendor: str
    is_root: bool
    name: str
    """Its subject's common name."""
    address: str
    """Where the vendor publishes it."""
    sha256: str
    """Of its DER, 64 hexadecimal digits."""


@cache
def pinned_certificates() -> tuple[PinnedCertificate, ...]:
    """Return the table, each vendor's roots before its intermediates."""
    text = files("station.attestation.ek").joinpath("vendor_table.csv").read_text("utf-8")
    return tuple(
        PinnedCertificate(row["vendor"], row["kind"] == "root", row["name"], row["address"], row["sha256"])
        for row in csv.DictReader(text.splitlines())
    )
