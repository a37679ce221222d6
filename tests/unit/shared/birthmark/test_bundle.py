"""The text of a camera's bundle, line by line."""

from __future__ import annotations

import pytest

from shared.birthmark.bundle import legacy_signed_text, signed_text


@pytest.mark.parametrize(("gps_hash", "line"), [(None, ""), ("", ""), ("CD" * 32, "cd" * 32)])
def test_hashes_are_signed_in_lower_case_and_the_certificate_as_sent(gps_hash: str | None, line: str) -> None:
    signed = signed_text("AB" * 32, "MIIB+/Az==", 1_795_000_000, gps_hash)
    assert signed == f"{'ab' * 32}\nMIIB+/Az==\n1795000000\n{line}\n".encode()


def test_the_legacy_text_is_image_hash_and_timestamp_with_nothing_between_or_after() -> None:
    assert legacy_signed_text("AB" * 32, 1_795_000_000) == b"ab" * 32 + b"1795000000"
