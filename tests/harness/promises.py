"""Reads the tables of the documentation in which each row names the tests that keep it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.checkout import ROOT


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of each row of the table under a heading of the second level."""
    text = page.read_text(encoding="utf-8").split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def require_tests(cell: str) -> None:
    """Fail unless the cell names tests, and all that it names exist."""
    named = re.findall(r"`(tests/[^`]+)`", cell)
    assert named, cell
    for name in named:
        path, _, test = name.partition("::")
        file = ROOT / path
        assert file.exists(), name
        text = file.read_text(encoding="utf-8") if test else ""
        assert not test or re.search(rf"^(async )?def {re.escape(test)}\(", text, re.MULTILINE), name
