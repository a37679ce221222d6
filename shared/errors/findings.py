"""What `birthmark-agent doctor` may find: the only codes that a Pi can show on a station's page.

A Pi says these codes of itself, and nothing proves them. So a station looks each up in its own list, shows its own
words for it, and passes over all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shared.errors.codes import ErrorCode

FINDINGS: Final[tuple[ErrorCode, ...]] = (
    "setup.config-missing",
    "board.device-mode-off",
    "gadget.no-controller",
    "gadget.controller-busy",
    "gadget.down",
    "gadget.getty",
    "tpm.no-device",
    "tpm.permission",
    "board.clock-wrong",
    "nuc.map-missing",
    "identity.volatile",
    "identity.one-slot",
    "disk.nearly-full",
    "board.memory-low",
    "board.undervoltage",
)
"""In the order in which they are looked for."""


def known_findings(codes: Iterable[str]) -> tuple[ErrorCode, ...]:
    """Return the findings among `codes`, each once, in our order."""
    said = frozenset(codes)
    return tuple(code for code in FINDINGS if code in said)
