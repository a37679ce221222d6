"""Keeps what strangers send out of the log: aiohttp logs a request that is no HTTP with a traceback that quotes it."""

from __future__ import annotations

import logging

from aiohttp.http import HttpProcessingError


def not_of_the_peer(record: logging.LogRecord) -> bool:
    """A filter for `aiohttp.server`: errors of the peer's making become one debug line, without their text."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if not isinstance(error, HttpProcessingError):
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    record.msg, record.args = "a request was no HTTP: %s", (type(error).__name__,)
    record.exc_info = record.exc_text = None
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
