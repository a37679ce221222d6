"""Reads and writes the kept inputs of a target: `corpus/TARGET.txt`, sorted, a line for each input.

A line is the reason for which the input is kept, a space, and its bytes in base64. `reached` means the code that it
reaches; an input that broke the target has the name that libFuzzer gave it (`crash-…`, `timeout-…`, `oom-…`) and is
kept forever.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
REACHED: Final = "reached"


@dataclass(frozen=True, order=True)
class Kept:
    why: str
    octets: bytes


def corpus_file(target: str) -> Path:
    return CORPUS / f"{target}.txt"


def read_corpus(path: Path) -> list[Kept]:
    """Return all inputs of a file; none without a file. Raises ValueError with the number of an invalid line."""
    if not path.exists():
        return []
    return [_input(line, f"{path}:{number}") for number, line in enumerate(path.read_text("ascii").splitlines(), 1)]


def write_corpus(path: Path, inputs: Iterable[Kept]) -> None:
    """Write each input once, in an order independent of when it was found, so that a change is a few lines."""
    lines = {f"{kept.why} {base64.b64encode(kept.octets).decode()}\n" for kept in inputs}
    path.write_text("".join(sorted(lines)), "ascii")


def unpack(inputs: Iterable[Kept], folder: Path) -> None:
    """Write the inputs as libFuzzer reads them: a file each, named by its SHA-1."""
    folder.mkdir(parents=True, exist_ok=True)
    for kept in inputs:
        (folder / hashlib.sha1(kept.octets, usedforsecurity=False).hexdigest()).write_bytes(kept.octets)


def pack(folder: Path, why: str = "") -> list[Kept]:
    """Return the files that libFuzzer wrote, each kept for `why`, or under its own name."""
    return [Kept(why or path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def _input(line: str, place: str) -> Kept:
    why, space, text = line.partition(" ")
    if not why or not space:
        raise ValueError(f"{place}: is not a word, a space and base64")
    try:
        return Kept(why, base64.b64decode(text, validate=True))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
