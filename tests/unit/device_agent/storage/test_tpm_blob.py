"""A blob is read as it was stored, and refused when no TPM can have written it."""

from __future__ import annotations

import msgspec
import pytest

from device_agent.storage.tpm_blob import Blob
from shared import limits

LARGEST = bytes(limits.TPM_STRUCTURE_BYTES)


def test_a_blob_is_read_back_as_it_was_stored() -> None:
    blob = Blob(public=b"public", private=LARGEST)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(blob), type=Blob) == blob


@pytest.mark.parametrize(
    "stored",
    [
        {"public": LARGEST + b"\0", "private": b""},
        {"public": b"", "private": LARGEST + b"\0"},
        {"public": b""},
        {"public": b"", "private": 7},
    ],
)
def test_a_blob_that_no_tpm_has_written_is_not_read(stored: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=Blob)
