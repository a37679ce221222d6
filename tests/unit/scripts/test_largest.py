"""The list of the largest files and functions."""

from __future__ import annotations

from pathlib import Path

from scripts.largest import Piece, file_and_functions, largest

SOURCE = '''"""A module."""


class Outer:
    def method(self) -> int:
        def inner() -> int:
            return 1

        return inner()


async def alone() -> None:
    pass
'''


def test_a_file_is_counted_and_every_function_in_it_named_with_what_is_around_it(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert list(file_and_functions(path, "module.py")) == [
        Piece(13, "module.py"),
        Piece(5, "module.py:5", "Outer.method"),
        Piece(2, "module.py:6", "Outer.method.inner"),
        Piece(2, "module.py:12", "alone"),
    ]


def test_files_and_functions_are_apart_the_largest_ten_of_each_first() -> None:
    files = [Piece(lines, f"{lines}.py") for lines in range(15)]
    functions = [Piece(lines, "a.py", f"f{lines}") for lines in range(15)]
    assert largest(files + functions) == (files[:4:-1], functions[:4:-1])
