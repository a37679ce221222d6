"""The codes that the type checker knows are those of the catalogue."""

from __future__ import annotations

from typing import get_args

from shared.errors.catalogue import CATALOGUE
from shared.errors.codes import ErrorCode


def test_the_type_checker_knows_the_catalogues_codes_and_no_others_in_alphabetical_order() -> None:
    assert list(get_args(ErrorCode)) == sorted(CATALOGUE)
