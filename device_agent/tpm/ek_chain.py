"""Reads the certificates that a TPM vendor may leave in NV above the EK's: TCG EK Credential Profile 2.5.

They lie one after the other in the indices 0x01C00100 to 0x01C001FF; one certificate may begin in one index and end in
the next. A chip without them, or with something else there, has no chain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypeVar

from tpm2_pytss import ESAPI, ESYS_TR

from device_agent.tpm.connection import handles
from shared import limits
from shared.ek_chain import certificates_in
from shared.errors import BirthmarkError

FIRST_INDEX: Final = 0x01C00100
LAST_INDEX: Final = 0x01C001FF

NV_BYTES: Final = limits.EK_CHAIN_CERTIFICATES * limits.EK_CHAIN_CERTIFICATE_BYTES
"""How much of NV is read."""

_READ_BYTES: Final = 512
"""What every TPM reads at once: Part 2, TPM_PT_NV_BUFFER_MAX in the PC Client profile."""

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
