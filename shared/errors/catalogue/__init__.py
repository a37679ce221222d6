"""The catalogue of all errors: one module for each area.

Both ends of the cable have the whole catalogue. They look up the code that crosses the cable here, so an operator never
reads text from the other end. `docs/errors.md` is generated from it.
"""

from __future__ import annotations

from typing import Final

from shared.errors.catalogue import attestation, cable, device, service, station, unit
from shared.errors.kind import ErrorKind

__all__ = ["CATALOGUE", "ErrorKind"]


def _build_catalogue(*groups: tuple[ErrorKind, ...]) -> dict[str, ErrorKind]:
    kinds = [kind for group in groups for kind in group]
    by_code: dict[str, ErrorKind] = {kind.code: kind for kind in kinds}
    if len(by_code) != len(kinds):
        raise ValueError("a code stands twice in the catalogue")
    return by_code


CATALOGUE: Final = _build_catalogue(
    cable.KINDS, unit.KINDS, attestation.KINDS, device.KINDS, station.KINDS, service.KINDS
)
