"""Turns the state of ports and units into the texts of the page.

Does not escape a device's texts: the templates escape everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runtime.clock import iso_time, local_time
from shared.errors.catalogue import CATALOGUE
from shared.protocol.states import MILESTONES
from station.attestation.ek.verification import EkTrust
from station.events import PortChanged, PortState
from station.registry.records import KeyHolder, Unit
from station.registry.validations import day_of

EXPIRES_SOON: Final = 60 * 86400
"""The page warns of a certificate this many seconds before its end."""

_PORT_WORDS: Final = {
    PortState.ABSENT: "Closed",
    PortState.WAITING: "Ready",
    PortState.NOT_READY: "Not ready",
    PortState.WORKING: "Working",
    PortState.DONE: "Done",
    PortState.FAILED: "Failed",
}
_LACKS: Final = {"nuc.map-missing": "No NUC map"}
"""Words for a unit that is not ready, by what it lacks."""

_URGENCY: Final = (
    PortState.FAILED,
    PortState.ABSENT,
    PortState.NOT_READY,
    PortState.WORKING,
    PortState.DONE,
    PortState.WAITING,
)


@dataclass(frozen=True, slots=True)
class StepView:
    name: str
    progress: str
    """`done`, `now`, `failed` or `ahead`."""


@dataclass(frozen=True, slots=True)
class FindingView:
    text: str
    advice: str
    code: str


@dataclass(frozen=True, slots=True)
class PortView:
    port: str
    state: str
    word: str
    serial: str
    model: str
    note: str
    code: str
    done: int
    steps: tuple[StepView, ...]
    """Empty without a session."""
    findings: tuple[FindingView, ...]
    """What a unit that failed finds amiss on itself, in this station's own words."""

    @property
    def announcement(self) -> str:
        """The text that a screen reader reads when the state has changed."""
        return f"{self.serial or self.port}: {self.word}. {self.note}"


@dataclass(frozen=True, slots=True)
class Moment:
    iso: str
    text: str
    """In the station's own time zone."""


@dataclass(frozen=True, slots=True)
class TpmView:
    kind: str
    """`genuine`, `simulator`, `unverified` or `none`."""
    word: str
    detail: str


@dataclass(frozen=True, slots=True)
class UnitView:
    id: int
    serial: str
    model: str
    state: str
    reason: str
    """Why it was revoked."""
    when: Moment
    expiry: Moment | None
    """None when it has no certificate yet."""
    expiry_warning: str
    expired: bool
    tables: tuple[int, ...]
    tpm: TpmView
    validated: str
    """How often today; empty for not yet."""
    validated_often: bool


def port_view(port: PortChanged) -> PortView:
    return PortView(
        port=port.port,
        state=port.state.value,
        word=_word(port),
        serial=port.serial,
        model=port.model,
        note=_capital(port.note),
        code=port.code,
        done=port.step,
        steps=_steps(port),
        findings=_findings(port),
    )


def _word(port: PortChanged) -> str:
    word = _PORT_WORDS[port.state]
    return _LACKS.get(port.code, word) if port.state is PortState.NOT_READY else word


def summary(ports: Sequence[PortChanged]) -> str:
    """Count the ports in each state, the most urgent first: "1 failed, 2 working"."""
    counts = Counter(port.state for port in ports)
    return ", ".join(f"{counts[state]} {_PORT_WORDS[state].lower()}" for state in _URGENCY if counts[state])


def unit_view(unit: Unit, now: float, daily_warning: int) -> UnitView:
    """Make the view of a unit. `now` is in seconds since 1970; `daily_warning` validations a day are many."""
    validated = unit.validated.on(day_of(now))
    not_after = unit.certificate.not_after if unit.certificate else None
    return UnitView(
        id=unit.id,
        serial=unit.serial,
        model=unit.model,
        state=unit.state.value,
        reason=unit.revoked_reason or "",
        when=_moment(unit.provisioned_at or unit.issued_at or unit.reserved_at),
        expiry=None if not_after is None else _moment(not_after),
        expiry_warning="" if not_after is None else _expiry_warning(not_after - now),
        expired=not_after is not None and not_after <= now,
        tables=unit.tables,
        tpm=_tpm(unit),
        validated=f"{validated:,} validation{'s' if validated > 1 else ''} today" if validated else "",
        validated_often=validated >= daily_warning,
    )


def often_validated(serials: Sequence[str], number: int, daily_warning: int) -> str:
    """The notice of `number` units, of which it names `serials`; empty for none."""
    if not number:
        return ""
    more = f" and {number - len(serials):,} more" if number > len(serials) else ""
    verb = "was" if number == 1 else "were"
    return (
        f"{', '.join(serials)}{more} {verb} validated at least {daily_warning:,} times today. "
        "That is more than a camera takes photos: somebody may be replaying its tokens."
    )


def _steps(port: PortChanged) -> tuple[StepView, ...]:
    if port.state in (PortState.ABSENT, PortState.WAITING, PortState.NOT_READY):
        return ()
    next_one = {PortState.WORKING: "now", PortState.FAILED: "failed"}.get(port.state, "ahead")
    return tuple(
        StepView(milestone.name, "done" if index < port.step else next_one if index == port.step else "ahead")
        for index, milestone in enumerate(MILESTONES.values())
    )


def _findings(port: PortChanged) -> tuple[FindingView, ...]:
    if port.state is not PortState.FAILED:
        return ()
    kinds = (CATALOGUE[code] for code in port.findings if code != port.code)
    return tuple(FindingView(_capital(kind.sentence) + ".", kind.advice, kind.code) for kind in kinds)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _moment(seconds: int) -> Moment:
    return Moment(iso_time(seconds), local_time(seconds))


def _expiry_warning(left: float) -> str:
    if left <= 0:
        return "Expired"
    if left > EXPIRES_SOON:
        return ""
    days = int(left // 86400)
    return "Expires today" if days == 0 else f"Expires in {days} day{'s' if days > 1 else ''}"


def _tpm(unit: Unit) -> TpmView:
    if unit.key_holder is KeyHolder.STATION:
        return TpmView("none", "No TPM", "This station made its private key.")
    if unit.key_holder is KeyHolder.SOFTWARE:
        return TpmView("none", "No TPM", "Its private key was made in software.")
    match unit.ek_trust:
        case EkTrust.VERIFIED:
            made = f"{unit.tpm_manufacturer} {unit.tpm_model}".strip()
            return TpmView("genuine", "Genuine", made or "Vendor not named")
        case EkTrust.SIMULATED:
            return TpmView("simulator", "Simulator", "Software, not a real TPM. Not for production.")
        case _:
            return TpmView("unverified", "Unverified", _capital(unit.ek_reason) or "No reason was recorded.")
