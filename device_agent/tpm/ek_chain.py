"""Reads the certificates that a TPM vendor may leave in NV above the EK's: TCG EK Credential Profile 2.5.

They lie one after the other in the indices 0x01C00100 to 0x01C001FF; one certificate may begin in one index and end in
the next. A chip without them, or with something else there, has no chain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from device_agent.tpm.connection import Run, handles
from device_agent.tpm.nv import read_nv
from shared import limits
from shared.ek_chain import certificates_in
from shared.errors import BirthmarkError

FIRST_INDEX: Final = 0x01C00100
LAST_INDEX: Final = 0x01C001FF

NV_BYTES: Final = limits.EK_CHAIN_CERTIFICATES * limits.EK_CHAIN_CERTIFICATE_BYTES
"""How much of NV is read."""

Result = TypeVar("Result")


def read_ek_chain(run: Run) -> tuple[bytes, ...]:
    """Return the certificates, DER. `run` sends commands. Raises `tpm.*` where the TPM is busy, gone or hung."""
    indices = _unless_refused(lambda: run("look for a chain", lambda esapi: handles(esapi, FIRST_INDEX))) or []
    content = b""
    for index in sorted(index for index in indices if FIRST_INDEX <= index <= LAST_INDEX):
        room = NV_BYTES - len(content)
        if room <= 0:
            break
        part = _unless_refused(partial(read_nv, run, "read the chain", index, room))
        content += part or b""
    return tuple(certificates_in(content))[: limits.EK_CHAIN_CERTIFICATES]


def _unless_refused(read: Callable[[], Result]) -> Result | None:
    """Return what is read, or None if the TPM refuses it: an index that nobody may read has no certificates for us."""
    try:
        return read()
    except BirthmarkError as error:
        if error.is_any("tpm.failed", "tpm.owned", "tpm.not-this-one"):
            return None
        raise
