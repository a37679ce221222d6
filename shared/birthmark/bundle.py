"""The text that a camera signs for Birthmark's `/validate-cert`."""

from __future__ import annotations


def signed_text(image_hash: str, certificate: str, timestamp: int, gps_hash: str | None) -> bytes:
    """Return the signed lines, each with a newline: image hash, certificate as sent, timestamp, GPS hash or nothing."""
    return f"{image_hash.lower()}\n{certificate}\n{timestamp}\n{(gps_hash or '').lower()}\n".encode()
