"""Runs a program in its own process, and says which installed libraries it imported."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_LINE = "import time:"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program did."""

    code: int
    output: str
    libraries: frozenset[str]
    """The distributions, as on PyPI, beyond those that Python itself loads in this environment."""


def run(*arguments: str, env: dict[str, str] | None = None) -> Ran:
    """Run Python with `arguments`, such as `-m device_agent --help`."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        env={**os.environ, **(env or {})},
    )
    lines = ended.stderr.splitlines()
    said = [line for line in lines if not line.startswith(_LINE)]
    return Ran(ended.returncode, ended.stdout + "\n".join(said), _libraries(lines) - _before())


@cache
def _before() -> frozenset[str]:
    ended = subprocess.run([sys.executable, "-X", "importtime", "-c", ""], capture_output=True, text=True, check=True)
    return _libraries(ended.stderr.splitlines())


def _libraries(lines: list[str]) -> frozenset[str]:
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith(_LINE)}
    found = packages_distributions()
    return frozenset(library for package in packages for library in found.get(package, ()))
