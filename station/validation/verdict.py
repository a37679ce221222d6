"""The result of a validation. The reason is only for metrics; the caller learns neither reason nor unit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PASS_MESSAGE: Final = "PASS"  # noqa: S105 - an answer, no password
FAIL_MESSAGE: Final = "FAIL"


class Reason(StrEnum):
    VALID = "valid"
    MALFORMED = "malformed"
    """Not a certificate, or one for another kind of key."""
    UNKNOWN_TABLE = "unknown-table"
    NOT_AUTHENTIC = "not-authentic"
    """The token cannot be decrypted with its key."""
    UNKNOWN_UNIT = "unknown-unit"
    OTHER_TABLE = "other-table"
    """The unit does not have this table."""
    NOT_PROVISIONED = "not-provisioned"
    REVOKED = "revoked"
    UNTRUSTED = "untrusted"
    """The certificate is not signed by this authority."""
    OUT_OF_DATE = "out-of-date"
    BAD_SIGNATURE = "bad-signature"
    OVER_LIMIT = "over-limit"
    """The unit was validated as often today as the settings allow."""


@dataclass(frozen=True, slots=True)
class Verdict:
    reason: Reason

    @property
    def valid(self) -> bool:
        return self.reason is Reason.VALID

    @property
    def message(self) -> str:
        """PASS or FAIL; the same for every reason to fail."""
        return PASS_MESSAGE if self.valid else FAIL_MESSAGE
