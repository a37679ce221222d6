"""Text that came from outside, made fit to be shown to a person. It stays text: a page still has to escape it."""

from __future__ import annotations

from shared import limits


def shown(text: str, characters: int = limits.TEXT_CHARACTERS) -> str:
    """`text` on one line, without control, direction-changing or invisible characters, cut to `characters`."""
    kept = "".join(c if c.isprintable() else " " for c in text[: characters * 4])
    line = " ".join(kept.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"
