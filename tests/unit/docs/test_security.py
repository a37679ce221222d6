"""docs/security.md promises only what a test keeps: each row of "Who attacks" names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "security.md"


def rows() -> list[list[str]]:
    """The cells of each row of the table."""
    text = PAGE.read_text().split("## Who attacks", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_each_promise_names_the_test_that_keeps_it(row: list[str]) -> None:
    assert len(row) == 4, row
    named = re.findall(r"`(tests/[^`]+)`", row[3])
    assert named, row
    for name in named:
        path, _, test = name.partition("::")
        file = ROOT / path
        assert file.exists(), name
        assert not test or re.search(rf"^(async )?def {re.escape(test)}\(", file.read_text(), re.MULTILINE), name


def test_a_promise_without_a_test_would_be_found() -> None:
    assert len(rows()) >= 15
