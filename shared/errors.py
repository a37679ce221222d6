"""The one error family. Every failure has a stable code, a sentence for people, and what to do about it.

The catalogue is data, known to both ends of the cable: a code that crosses the wire is looked up here, so an
operator reads our words and never a stranger's. The documentation's list of errors is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What our commands exit with. 2 is left to click, for a command line that does not parse."""

    OK = 0
    FAILED = 1
    TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure: what happened, what to do, and whether trying again by itself can help."""

    code: str
    sentence: str
    advice: str
    retry: bool = False


class BirthmarkError(Exception):
    """A failure with a code from the catalogue.

    `detail` adds the particulars of this one occurrence to the sentence. It is for the operator of the machine
    where the error was raised: it may hold a path or a number, never a secret, and never text from the peer that
    has not gone through `shared.text`.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.fault: Final = CATALOGUE[code]
        self.detail: Final = detail
        super().__init__(code, detail)

    @property
    def code(self) -> str:
        return self.fault.code

    @property
    def sentence(self) -> str:
        return f"{self.fault.sentence}: {self.detail}" if self.detail else self.fault.sentence

    @property
    def advice(self) -> str:
        return self.fault.advice

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.TRY_AGAIN if self.fault.retry else ExitCode.FAILED

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code}]"


def _catalogue(*faults: Fault) -> dict[str, Fault]:
    by_code = {fault.code: fault for fault in faults}
    if len(by_code) != len(faults):
        raise ValueError("a code stands twice in the catalogue")
    return by_code


CATALOGUE: Final[dict[str, Fault]] = _catalogue(
    # --- attestation: the station on a TPM's proofs ---
    Fault(
        "attestation.ek-malformed",
        "the endorsement key certificate cannot be read",
        "Look at the TPM's EK certificate with `birthmark-station ek verify FILE`; the TPM or its NV index may be damaged.",
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
