"""Text from outside, on its way to a person."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.text import printable


@given(st.text(max_size=600), st.integers(1, 300))
def test_any_text_becomes_one_line_of_bounded_length(text: str, characters: int) -> None:
    line = printable(text, characters)
    assert line.isprintable()
    assert len(line) <= characters
    assert line == " ".join(line.split())
    assert printable(line, characters) == line


@pytest.mark.parametrize(
    "unseen",
    [
        "\u202e",
        "\u2066",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u00ad",
        "\u3164",
        "\u2800",
        "\ufe0f",
        "\x1b",
        "\r\n",
        "\0",
        "\ud800",
    ],
    ids=lambda text: f"U+{ord(text[0]):04X}",
)
def test_invisible_and_direction_characters_are_removed(unseen: str) -> None:
    assert printable(f"Pi{unseen}Zero") == "Pi Zero"


def test_the_letters_of_the_world_stay() -> None:
    for text in ("Raspberry Pi 4 Model B Rev 1.5", "Gerät №7", "カメラ", "كاميرا", "a\u0301"):
        assert printable(text) == text


def test_what_is_cut_says_so() -> None:
    assert printable("x" * limits.TEXT_CHARACTERS) == "x" * limits.TEXT_CHARACTERS
    assert printable("x" * 10_000_000) == "x" * (limits.TEXT_CHARACTERS - 1) + "…"


def test_no_format_or_control_character_of_unicode_passes() -> None:
    banned = [
        chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]
    assert all(printable(character) == "" for character in banned)
