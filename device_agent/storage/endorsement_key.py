"""Which of a TPM's endorsement keys the station has verified, so that the agent finds and recognises it later."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class EndorsementKey(msgspec.Struct, frozen=True):
    template: Annotated[str, Meta(pattern="^[LH]-[0-9]{1,2}$")]
    """TCG's name of the template, as in `device_agent.tpm.templates`: the TPM makes the key again from it."""
    name: Annotated[str, Meta(pattern="^[0-9a-f]{8,136}$")]
    """The key's TPM Name in hexadecimal: the digest of its public area, after that digest's algorithm."""
