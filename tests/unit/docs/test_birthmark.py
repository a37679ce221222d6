"""docs/birthmark.md names a test for each difference from the public Birthmark."""

from __future__ import annotations

import pytest

from tests.harness.checkout import ROOT
from tests.harness.promises import require_tests, rows

PAGE = ROOT / "docs" / "birthmark.md"
ROWS = rows(PAGE, "Where we differ on purpose") + rows(PAGE, "The source documents' lines")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_each_difference_says_theirs_ours_why_and_the_test_that_keeps_it(row: list[str]) -> None:
    assert len(row) == 4, row
    assert all(row), row
    require_tests(row[3])


def test_a_difference_without_a_test_would_be_found() -> None:
    assert len(ROWS) >= 30
