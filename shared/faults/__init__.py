"""The catalogue of everything that can go wrong, as data: one file for each place where it does.

Both ends of the cable know all of it: a code that crosses the wire is looked up here, so an operator reads our words
and never a stranger's. The documentation's list of errors is generated from it.
"""

from __future__ import annotations

from typing import Final

from shared.faults import attestation, cable, device, service, station, unit
from shared.faults.fault import Fault

__all__ = ["CATALOGUE", "Fault"]


def _catalogue(*groups: tuple[Fault, ...]) -> dict[str, Fault]:
    faults = [fault for group in groups for fault in group]
    by_code = {fault.code: fault for fault in faults}
    if len(by_code) != len(faults):
        raise ValueError("a code stands twice in the catalogue")
    return by_code


CATALOGUE: Final = _catalogue(
    cable.FAULTS, unit.FAULTS, attestation.FAULTS, device.FAULTS, station.FAULTS, service.FAULTS
)
