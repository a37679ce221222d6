"""The provisioning file, `provisioning.json`: what Birthmark's camera program reads, and what a new unit is given."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Provisioning(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a new unit gets: Birthmark's `provisioning.json`. The last three fields only if the station made the key."""

    device_serial: str
    device_family: str
    device_certificate: Annotated[str, Meta(description="PEM.")]
    certificate_chain: Annotated[str, Meta(description="PEM of the certificate that issued it; the root is at /ca.")]
    device_public_key: Annotated[str, Meta(description="PEM, SubjectPublicKeyInfo.")]
    table_assignments: list[int]
    key_holder: Annotated[
        str,
        Meta(
            description="`software` when a certificate request was sent, "
            "else `station`: this key was made by the station.",
        ),
    ]
    nuc_hash: Annotated[
        str,
        Meta(description="64 hexadecimal digits; left out when the request named it and the unit has its own key."),
    ] = ""
    device_private_key: Annotated[
        str,
        Meta(description="PEM, PKCS#8, not encrypted. The station returns it once and does not store it."),
    ] = ""
    master_keys: Annotated[dict[str, str], Meta(description="Table id → 64 hexadecimal digits.")] = {}

    def __repr__(self) -> str:
        return f"Provisioning({self.device_serial!r})"
