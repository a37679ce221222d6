"""What a kind of failure is: a stable code, a sentence, advice, and whether trying again can help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure: what happened, what to do, and whether trying again by itself can help."""

    code: str
    sentence: str
    advice: str
    retry: bool = False
