"""The legacy form of a NUC token: which three tokens it may be."""

from __future__ import annotations

import base64
import os

import pytest

from shared.birthmark.legacy_token import LegacyToken, candidates
from shared.birthmark.nuc_token import NucToken

SEALED = bytes(range(60))
PAIRS = ([4, 5, 2499], [0, 999, 7])


@pytest.mark.parametrize(
    "ciphertext",
    [SEALED.hex(), SEALED.hex().upper(), base64.b64encode(SEALED).hex()],
    ids=["hex", "HEX", "hex of base64"],
)
def test_ciphertext_nonce_and_tag_are_taken_apart_for_each_pair(ciphertext: str) -> None:
    parts = (SEALED[:32].hex(), SEALED[44:].hex(), SEALED[32:44].hex())
    assert candidates(LegacyToken(ciphertext, *PAIRS)) == tuple(
        NucToken(*parts, table, index) for table, index in zip(*PAIRS, strict=True)
    )


@pytest.mark.parametrize(
    "text",
    [b"!" * 80, b"A" * 79 + b"=", b"A" * 78 + b"==", b"A" * 76 + b"====", b"=" * 80, b"\xff" * 80, b"-_" * 40],
)
def test_what_is_no_base64_of_sixty_bytes_is_no_token(text: bytes) -> None:
    assert candidates(LegacyToken(text.hex(), *PAIRS)) is None


def test_whatever_the_eighty_bytes_are_there_is_no_error() -> None:
    for _ in range(2000):
        candidates(LegacyToken(os.urandom(80).hex(), *PAIRS))
