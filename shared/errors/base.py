"""The one error family. Every failure has a stable code, a sentence for people, and what to do about it.

The catalogue is data, in `shared.errors.catalogue`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from shared.errors.catalogue import CATALOGUE
from shared.errors.codes import ErrorCode


class ExitCode(IntEnum):
    """The exit codes of our commands. click uses 2 for a command line that does not parse."""

    OK = 0
    FAILED = 1
    TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later


class BirthmarkError(Exception):
    """A failure with a code from the catalogue.

    `detail` adds what is particular to this one failure. It is for the operator of the machine that raised the error:
    it may hold a path or a number, never a secret, and text of the peer only after `shared.text` cleaned it. `case`
    chooses among the kind's `cases` of advice.
    """

    def __init__(self, code: ErrorCode, detail: str = "", case: str = "") -> None:
        self.kind: Final = CATALOGUE[code]
        self.detail: Final = detail
        self.advice: Final = self.kind.cases[case] if case else self.kind.advice
        super().__init__(code, detail, case)

    @property
    def code(self) -> ErrorCode:
        return self.kind.code

    def is_any(self, *codes: ErrorCode) -> bool:
        """Say whether it is one of `codes`. Unlike `in`, the type checker knows each."""
        return self.code in codes

    @property
    def sentence(self) -> str:
        return f"{self.kind.sentence}: {self.detail}" if self.detail else self.kind.sentence

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.TRY_AGAIN if self.kind.retry else ExitCode.FAILED

    def __str__(self) -> str:
        return f"{self.sentence} [{self.code}]"


def format_error(error: BirthmarkError) -> str:
    """Return an error as a command prints it: what happened, what to do, and the code to look it up by."""
    return f"error: {error.sentence}\n  {error.advice}\n  [{error.code}]"
