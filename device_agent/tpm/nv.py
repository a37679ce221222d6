"""Reads what lies in a TPM's NV: what its vendor left there, in indices that nobody needs a password for.

One command after another, so that a TPM that is not ready for one of them is asked for that one again.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from tpm2_pytss import ESAPI, ESYS_TR, TSS2_Exception

from device_agent.tpm.connection import Run

_READ_BYTES: Final = 512
"""What every TPM reads at once: Part 2, TPM_PT_NV_BUFFER_MAX in the PC Client profile."""

_NO_SUCH_INDEX: Final = 0x18B  # TPM_RC_HANDLE, handle 1


def read_nv(run: Run, what: str, index: int, most: int) -> bytes | None:
    """Return at most `most` bytes of an index; None if there is none. `what` names it in an error. Raises `tpm.*`."""

    def find(esapi: ESAPI) -> ESYS_TR | None:
        try:
            return esapi.tr_from_tpmpublic(index)
        except TSS2_Exception as error:
            if error.rc == _NO_SUCH_INDEX:
                return None
            raise

    handle = run(what, find)
    if handle is None:
        return None
    public, _ = run(what, lambda esapi: esapi.nv_read_public(handle))
    size = min(int(public.nvPublic.dataSize), most)
    content = b""
    while len(content) < size:
        part = run(what, partial(_read, handle=handle, size=min(_READ_BYTES, size - len(content)), at=len(content)))
        if not part:
            break
        content += part
    return content


def _read(esapi: ESAPI, handle: ESYS_TR, size: int, at: int) -> bytes:
    return bytes(esapi.nv_read(handle, size, at, auth_handle=handle, session1=ESYS_TR.PASSWORD))
