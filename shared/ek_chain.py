"""Finds the certificates in what a TPM has in its NV: TCG EK Credential Profile 2.5, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shared import limits

_SEQUENCE: Final = 0x30


def certificates_in(content: bytes) -> Iterable[bytes]:
    """Yield each DER value of `content` that can be a certificate, whatever padding lies between.

    Leaves out what is larger than a station takes.
    """
    at = 0
    while at < len(content):
        if content[at] != _SEQUENCE:
            at += 1
            continue
        end = _end(content, at)
        if end is None:
            return
        if end - at <= limits.EK_CHAIN_CERTIFICATE_BYTES:
            yield content[at:end]
        at = end


def _end(content: bytes, at: int) -> int | None:
    """Return where the value that begins at `at` ends; None if it has no length or is cut off."""
    head = content[at + 1 : at + 4]
    if len(head) < 3:
        return None
    first = head[0]
    if first < 0x80:
        end = at + 2 + first
    elif first == 0x81:
        end = at + 3 + head[1]
    elif first == 0x82:
        end = at + 4 + int.from_bytes(head[1:3], "big")
    else:
        return None
    return end if end <= len(content) else None
