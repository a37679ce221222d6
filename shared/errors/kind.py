"""The type of an entry in the error catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors.codes import ErrorCode


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One kind of failure: a stable code, what happened, what to do, and whether a retry without a change can help."""

    code: ErrorCode
    sentence: str
    advice: str
    retry: bool = False
    cases: Mapping[str, str] = field(default_factory=dict)
    """Advice for a case that the raising code distinguishes, such as `station`; replaces the general advice. Only the
    error's code crosses the cable."""
