"""The system tests read a document's commands and their expected output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.words import Words, type_words, words

PAGE = """# Guide

## One

```sh
cat <<'EOF'
# not a heading
EOF
```

```text
…heading
```

```ini
left = alone
```

```sh
true
```

Then something else.

```text
of no command
```

## Two

```sh
false
```

## Three
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


class Typist:
    def __init__(self, *says: str) -> None:
        self.typed: list[str] = []
        self._says = list(says)

    def good(self, command: str, seconds: float = 60) -> str:
        self.typed.append(command)
        return self._says.pop(0)


def test_a_section_gives_its_commands_in_order_with_their_outputs(page: Path) -> None:
    assert words(page, "One") == [
        Words("cat <<'EOF'\n# not a heading\nEOF", "…heading", 5),
        Words("true", "", 19),
    ]
    assert words(page, "Two") == [Words("false", "", 31)]


@pytest.mark.parametrize("heading", ["Three", "Four"])
def test_a_section_without_commands_is_a_mistake_of_the_tests(page: Path, heading: str) -> None:
    with pytest.raises(LookupError, match=heading):
        words(page, heading)


def test_commands_and_expected_outputs_come_from_the_page(page: Path) -> None:
    typist = Typist("# not a heading", "")
    type_words(typist, page, "One")
    assert [line.split("\n")[1] for line in typist.typed] == ["cat <<'EOF'", "true"]
    with pytest.raises(AssertionError, match=r"page\.md:5 shows"):
        type_words(Typist("something else", ""), page, "One")


@pytest.mark.parametrize(
    ("seen", "output", "fits"),
    [
        ("", "anything", True),
        ("…FAIL…", '{"valid": "FAIL"}', True),
        ("a…\nb", "a 1\nx\nb", True),
        ("a…\nb", "b\na", False),
        ("a.c", "abc", False),
    ],
)
def test_a_gap_stands_for_anything_and_all_else_for_itself(seen: str, output: str, fits: bool) -> None:
    assert Words("x", seen, 1).fits(output) is fits
