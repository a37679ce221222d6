"""What the station finds wrong with a TPM and what it says. Data only."""

from __future__ import annotations

from typing import Final

from shared.faults.fault import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "attestation.ek-malformed",
        "the endorsement key certificate cannot be read",
        "Try it with `birthmark-station ek verify FILE`; the TPM or its NV index may be damaged.",
    ),
    Fault(
        "attestation.ek-missing",
        "the TPM has no endorsement key certificate",
        "Use a TPM with its maker's certificate, or provision with `--ek-policy record`.",
    ),
    Fault(
        "attestation.ek-untrusted",
        "the endorsement key certificate leads to no known manufacturer",
        "Put the TPM maker's root and intermediate certificates into the station's ek_roots directory; "
        "if it is there already, this TPM is not genuine.",
    ),
)
