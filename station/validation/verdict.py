"""What a validation answers. The reason is for a counter; neither it nor the unit is ever told to whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PASS_MESSAGE: Final = "PASS"  # noqa: S105 - what is said, no password
FAIL_MESSAGE: Final = "FAIL"


class Reason(StrEnum):
    VALID = "valid"
    MALFORMED = "malformed"
    """The certificate is none, or for a key of another kind."""
    UNKNOWN_TABLE = "unknown-table"
    NOT_AUTHENTIC = "not-authentic"
    """The token does not open under its key."""
    UNKNOWN_UNIT = "unknown-unit"
    OTHER_TABLE = "other-table"
    """The unit has no such table."""
    NOT_PROVISIONED = "not-provisioned"
    REVOKED = "revoked"
    UNTRUSTED = "untrusted"
    """The certificate is not signed by this authority."""
    OUT_OF_DATE = "out-of-date"
    BAD_SIGNATURE = "bad-signature"


@dataclass(frozen=True, slots=True)
class Verdict:
    reason: Reason

    @property
    def valid(self) -> bool:
        return self.reason is Reason.VALID

    @property
    def message(self) -> str:
        """The same for every FAIL."""
        return PASS_MESSAGE if self.valid else FAIL_MESSAGE
