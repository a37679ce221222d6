"""Damages honest bytes, for tests of parsers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from hypothesis import strategies as st

from shared.errors import BirthmarkError


def damaged(*honest: bytes) -> st.SearchStrategy[bytes]:
    """Generate honest bytes with a few changed, removed or inserted; and random bytes."""
    edits = st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 2), st.binary(min_size=1, max_size=3)), max_size=4)

    def edit(octets: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, removed, put in changes:
            at %= len(octets) + 1
            octets = octets[:at] + put + octets[at + removed :]
        return octets

    return st.binary(max_size=600) | st.builds(edit, st.sampled_from(honest), edits)


def never_crashes(read: Callable[[bytes], object], octets: bytes) -> None:
    with contextlib.suppress(BirthmarkError):
        read(octets)
