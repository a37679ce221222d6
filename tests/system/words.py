"""Runs the commands of a document: the ```sh fences of a section, each with the output that its reader must see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

GAP: Final = "…"
"""In the expected output: any text, or none."""

_HEADING: Final = re.compile(r"^(#+) +(.+?) *$")
_FENCE: Final = re.compile(r"^```(\w*)$")


@dataclass(frozen=True, slots=True)
class Words:
    """One fence of commands. `seen` is the ```text fence that follows it, empty when none does."""

    commands: str
    seen: str
    line: int
    """Where the fence begins in the document, from 1."""

    def fits(self, output: str) -> bool:
        """Whether `output` contains the expected text, in which `GAP` stands for anything."""
        return re.search(".*?".join(map(re.escape, self.seen.split(GAP))), output, re.DOTALL) is not None


class Terminal(Protocol):
    """A place to run commands: a guest's root shell, or a namespace in it."""

    def good(self, command: str, seconds: float = 180) -> str:
        """Run a command that must succeed, and return what it prints."""
        ...


def words(page: Path, heading: str) -> list[Words]:
    """Return the fences below `heading`, down to the next heading of any level. Raises LookupError without any."""
    found: list[Words] = []
    here, kind, begun = False, "", 0
    fence: list[str] | None = None
    follows = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if fence is None:
            if title := _HEADING.match(line):
                here, follows = title[2] == heading, False
            elif opening := _FENCE.match(line):
                fence, kind, begun = [], opening[1], number
            elif line:
                follows = False
        elif line != "```":
            fence.append(line)
        else:
            text, fence = "\n".join(fence), None
            if here and kind == "sh":
                found.append(Words(text, "", begun))
            elif here and kind == "text" and follows:
                found[-1] = Words(found[-1].commands, text, found[-1].line)
            follows = here and kind == "sh"
    if not found:
        raise LookupError(f"{page.name} has no commands below the heading {heading!r}")
    return found


def type_words(terminal: Terminal, page: Path, heading: str, seconds: float = 600) -> None:
    """Run the section's commands one fence at a time; each must succeed, and print what the page says."""
    for each in words(page, heading):
        output = terminal.good(f"(set -e\n{each.commands}\n)", seconds)
        assert each.fits(output), f"{page.name}:{each.line} shows\n{output}\nand not\n{each.seen}"
