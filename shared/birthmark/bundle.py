"""The texts that a camera may sign for Birthmark's `/validate-cert`."""

from __future__ import annotations


def signed_text(image_hash: str, certificate: str, timestamp: int, gps_hash: str | None) -> bytes:
    """Return the signed lines, each with a newline: image hash, certificate as sent, timestamp, GPS hash or nothing."""
    return f"{image_hash.lower()}\n{certificate}\n{timestamp}\n{(gps_hash or '').lower()}\n".encode()


def legacy_signed_text(image_hash: str, timestamp: int) -> bytes:
    """Return what cameras of the first generation sign: image hash and timestamp, with nothing between or after.

    It covers no GPS hash, so it may only stand for a bundle without one.
    """
    return f"{image_hash.lower()}{timestamp}".encode()
