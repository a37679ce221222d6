"""The catalogue of everything that can go wrong, as data: one file for each place where it does.

Both ends of the cable know all of it: a code that crosses the wire is looked up here, so an operator reads our words
and never a stranger's. The documentation's list of errors is generated from it.
"""

from __future__ import annotations

from typing import Final

from shared.errors.catalogue import attestation, cable, device, service, station, unit
from shared.errors.kind import ErrorKind

__all__ = ["CATALOGUE", "ErrorKind"]


def _catalogue(*groups: tuple[ErrorKind, ...]) -> dict[str, ErrorKind]:
    kinds = [kind for group in groups for kind in group]
    by_code = {kind.code: kind for kind in kinds}
    if len(by_code) != len(kinds):
        raise ValueError("a code stands twice in the catalogue")
    return by_code


CATALOGUE: Final = _catalogue(cable.KINDS, unit.KINDS, attestation.KINDS, device.KINDS, station.KINDS, service.KINDS)
