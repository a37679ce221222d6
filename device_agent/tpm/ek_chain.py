"""Reads the certificates that a TPM vendor may leave in NV above the EK's: TCG EK Credential Profile 2.5.

They lie one after the other in the indices 0x01C00100 to 0x01C001FF; one certificate may begin in one index and end in
the next. A chip without them, or with something else there, has no chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol, TypeVar

from tpm2_pytss import ESAPI, ESYS_TR

from device_agent.tpm.connection import handles
from shared import limits
from shared.errors import BirthmarkError

FIRST_INDEX: Final = 0x01C00100
LAST_INDEX: Final = 0x01C001FF

NV_BYTES: Final = limits.EK_CHAIN_CERTIFICATES * limits.EK_CHAIN_CERTIFICATE_BYTES
"""How much of NV is read."""

_READ_BYTES: Final = 512
"""What every TPM reads at once: Part 2, TPM_PT_NV_BUFFER_MAX in the PC Client profile."""

_SEQUENCE: Final = 0x30

Result = TypeVar("Result")


class _Run(Protocol):
    def __call__(self, what: str, command: Callable[[ESAPI], Result]) -> Result: ...


def read_ek_chain(run: _Run) -> tuple[bytes, ...]:
    """Return the certificates, DER. `run` sends commands. Raises `tpm.*` where the TPM is busy, gone or hung."""
    indices = _run_optional(run, "look for a chain", lambda esapi: handles(esapi, FIRST_INDEX)) or []
    content = b""
    for index in sorted(index for index in indices if FIRST_INDEX <= index <= LAST_INDEX):
        room = NV_BYTES - len(content)
        if room <= 0:
            break
        content += _run_optional(run, "read the chain", partial(_read_index, index=index, most=room)) or b""
    return tuple(certificates_in(content))[: limits.EK_CHAIN_CERTIFICATES]


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


def _run_optional(run: _Run, what: str, command: Callable[[ESAPI], Result]) -> Result | None:
    """Send a command that the TPM may refuse: an index that nobody may read has no certificates for us."""
    try:
        return run(what, command)
    except BirthmarkError as error:
        if error.is_any("tpm.failed", "tpm.owned", "tpm.not-this-one"):
            return None
        raise


def _read_index(esapi: ESAPI, index: int, most: int) -> bytes:
    handle = esapi.tr_from_tpmpublic(index)
    public, _ = esapi.nv_read_public(handle)
    size = min(int(public.nvPublic.dataSize), most)
    content = b""
    while len(content) < size:
        wanted = min(_READ_BYTES, size - len(content))
        part = bytes(esapi.nv_read(handle, wanted, len(content), auth_handle=handle, session1=ESYS_TR.PASSWORD))
        if not part:
            break
        content += part
    return content
