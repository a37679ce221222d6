"""Every limit that both ends of the cable keep, each with its unit and the reason for its size."""

from __future__ import annotations

from typing import Final

# --- the cable ---

FRAME_BYTES: Final = 64 * 1024
"""Longest frame in bytes after decoding. The largest honest message, Credentials with three tables, is under 8 KiB."""

NOISE_BYTES: Final = 256 * 1024
"""Bytes of noise in one session. ModemManager writes a few hundred; more than this is a broken or hostile peer."""

HELLO_SECONDS: Final = 1.0
"""Pause between two Hellos on an idle port: too short for an operator to notice, long enough for a line of 9,600
baud."""

STEP_SECONDS: Final = 30.0
"""How long a peer may take to answer one message. By published times, an Infineon SLB 9670 needs 3 s for its longest
step (docs/reliability.md)."""

GREETING_SECONDS: Final = 10.0
"""How long an agent waits for a first Hello before it advises what to check. A station sends one every second."""

WRITE_BYTES: Final = 256
"""Bytes that the line must accept within a step's time. A line that accepts this few in time is slow, not dead."""

SESSION_SECONDS: Final = 600.0
"""Longest session from Identity to Done: bounds how long a peer that sends byte by byte can occupy the port."""

# --- messages (bytes, unless said otherwise) ---

CERTIFICATE_BYTES: Final = 16 * 1024
"""A DER certificate. Device certificates are about 1 KiB, endorsement key certificates up to 2 KiB with padding."""

CHAIN_CERTIFICATES: Final = 4
"""Certificates in a chain, leaf to root. Ours has three."""

EK_CHAIN_CERTIFICATES: Final = 4
EK_CHAIN_CERTIFICATE_BYTES: Final = 4 * 1024
"""What a chip brings of its issuers' certificates: four of 4 KiB, 16 KiB together. Real ones have 0.6 to 2 KiB."""

TPM_STRUCTURE_BYTES: Final = 2048
"""A marshalled TPM structure. An RSA-2048 public area is 318 bytes, an RSA-4096 one under 600."""

FINDINGS: Final = 16
"""Codes of `birthmark-agent doctor` in an Identity. There are 15 (`shared.errors.findings`)."""

CODE_CHARACTERS: Final = 64
"""Characters of an error's code."""

CSR_BYTES: Final = 4096
"""A DER certificate request. Ours is about 300 bytes."""

SEALED_BYTES: Final = 256
"""An HPKE ciphertext of one NUC hash: 65 + 32 + 16 bytes."""

SIGNATURE_BYTES: Final = 256
"""A DER ECDSA P-256 signature is at most 72 bytes."""

TEXT_CHARACTERS: Final = 256
"""Characters in a text from the other end that is only displayed."""

# --- stations ---

REVOKED_STATIONS: Final = 64
"""Stations on the CRL that each Hello carries: those revoked in 90 days, after which their certificates expire."""

STATION_CRL_BYTES: Final = 8 * 1024
"""That CRL, DER. With 64 entries it has about 4 KiB."""

# --- identity ---

SERIAL_CHARACTERS: Final = 64
"""Characters in a board serial: the upper bound of an X.520 commonName and serialNumber."""

TABLE_COUNT_MIN: Final = 3
TABLE_COUNT_MAX: Final = 2500
"""Key tables of one authority. Three is one unit's share; 2,500 is Birthmark's number."""

TABLES_PER_UNIT: Final = 3
KEYS_PER_TABLE: Final = 1000
"""Birthmark: three tables a camera, key indices 0 to 999."""

NUC_MAP_BYTES: Final = 64 * 1024 * 1024
"""A NUC map file. Two planes of 16 bits for a 12-megapixel sensor are 49 MB."""
