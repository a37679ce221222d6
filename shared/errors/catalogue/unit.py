"""Errors in what a unit states: its serial number, certificate, NUC hash and tokens."""

from __future__ import annotations

from typing import Final

from shared.errors.kind import ErrorKind

KINDS: Final[tuple[ErrorKind, ...]] = (
    ErrorKind(
        "identity.serial-invalid",
        "the board serial is not 1 to 64 letters, digits and . _ : - of ASCII",
        "Give the board's serial with --serial, as printed by `cat /proc/device-tree/serial-number`.",
    ),
    ErrorKind(
        "identity.unknown-certificate",
        "the unit says it holds a certificate that this authority did not give it",
        "It was provisioned elsewhere; remove its identity with `birthmark-agent reset` to provision it here.",
    ),
    ErrorKind(
        "nuc.hash-malformed",
        "the NUC hash is not a hash",
        "Capture the NUC map again with `birthmark-agent nuc capture`.",
    ),
    ErrorKind(
        "nuc.hash-zeros",
        "the NUC hash is all zeros, which no map has",
        "The unit was never calibrated, or is hostile; capture a NUC map with `birthmark-agent nuc capture`.",
    ),
    ErrorKind(
        "nuc.not-sealed-here",
        "the NUC hash was not encrypted for this session",
        "The unit is faulty or replays an old session; plug it in again.",
    ),
)
