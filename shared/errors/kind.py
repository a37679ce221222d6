"""What a kind of failure is: a stable code, a sentence, advice, and whether trying again can help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One kind of failure: what happened, what to do, and whether trying again by itself can help."""

    code: str
    sentence: str
    advice: str
    retry: bool = False
    cases: Mapping[str, str] = field(default_factory=dict)
    """Advice for cases that the place where it goes wrong can tell apart, such as `station`: it then takes the place of
    the general one. Only the code crosses the cable."""
