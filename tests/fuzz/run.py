"""Runs one target under libFuzzer: `python -m tests.fuzz.run TARGET AGAIN DIRECTORY… -FLAG=…`. `tests.fuzz` starts it.

AGAIN is a program that does the same: libFuzzer starts it when it distils a corpus.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["shared", "station", "device_agent"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    _, target, again, *rest = sys.argv
    atheris.Setup([again, *rest], TARGETS[target])
    atheris.Fuzz()


main()
