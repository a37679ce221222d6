"""docs/security.md promises only what a test keeps: each row of "Who attacks" names tests that exist."""

from __future__ import annotations

import pytest

from tests.harness.checkout import ROOT
from tests.harness.promises import require_tests, rows

ROWS = rows(ROOT / "docs" / "security.md", "Who attacks")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_each_promise_names_the_test_that_keeps_it(row: list[str]) -> None:
    assert len(row) == 4, row
    require_tests(row[3])


def test_a_promise_without_a_test_would_be_found() -> None:
    assert len(ROWS) >= 15
    for cell in ("", "`tests/nowhere.py`", "`tests/unit/docs/test_security.py::test_nothing`"):
        with pytest.raises(AssertionError):
            require_tests(cell)
