"""`make lint` ends with it: the ten largest files and functions of the product, by lines. It judges nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_PACKAGES: Final = ("runtime", "shared", "device_agent", "station")
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, or a function with the classes and functions around it."""

    lines: int
    place: str
    name: str = ""


def file_and_functions(path: Path, place: str) -> Iterator[Piece]:
    """Yield a Python file and then every function in it; `place` is the path to name it by."""
    text = path.read_text(encoding="utf-8")
    yield Piece(len(text.splitlines()), place)
    yield from _functions(ast.parse(text), place, "")


def _functions(node: ast.AST, place: str, around: str) -> Iterator[Piece]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{around}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield Piece((child.end_lineno or child.lineno) - child.lineno + 1, f"{place}:{child.lineno}", name)
            yield from _functions(child, place, f"{name}.")
        else:
            yield from _functions(child, place, around)


def largest(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Return the largest files and the largest functions, the largest first."""
    ordered = sorted(pieces, key=lambda piece: (-piece.lines, piece.place))
    files = [piece for piece in ordered if not piece.name]
    functions = [piece for piece in ordered if piece.name]
    return files[:_SHOWN], functions[:_SHOWN]


def main() -> None:
    paths = [path for package in _PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    pieces = [piece for path in paths for piece in file_and_functions(path, str(path.relative_to(ROOT)))]
    for what, found in zip(("files", "functions"), largest(pieces), strict=True):
        print(f"The {_SHOWN} largest {what}, in lines:")
        for piece in found:
            print(f"  {piece.lines:4}  {piece.place}  {piece.name}".rstrip())


if __name__ == "__main__":
    main()
