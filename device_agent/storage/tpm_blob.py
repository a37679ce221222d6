"""An object that only the TPM that made it can load."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from shared import limits

_Octets = Annotated[bytes, Meta(max_length=limits.TPM_STRUCTURE_BYTES)]


class Blob(msgspec.Struct, frozen=True):
    """TPM2B_PUBLIC and TPM2B_PRIVATE, marshalled. Useless without its TPM."""

    public: _Octets
    private: _Octets
