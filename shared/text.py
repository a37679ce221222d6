"""Cleans text from outside for display. It does not escape HTML: a page still has to."""

from __future__ import annotations

import re
from typing import Final

from shared import limits

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Invisible characters that `str.isprintable` accepts: Unicode's Default_Ignorable letters and marks, and the blank
Braille pattern."""


def printable(text: str, characters: int = limits.TEXT_CHARACTERS) -> str:
    """Return `text` on one line without control, direction or invisible characters, cut to `characters`."""
    kept = "".join(c if c.isprintable() else " " for c in _INVISIBLE.sub(" ", text[: characters * 4]))
    line = " ".join(kept.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"
