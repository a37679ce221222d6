"""Writes the parts of docs/ that are made from the code: the session's diagram and steps, the list of errors, and
the trials on hardware.

`make docs` runs it; a test compares its output with docs/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device_agent.doctor.checklist import TRIALS
from shared.errors.catalogue import CATALOGUE, ErrorKind
from shared.protocol.states import MILESTONES, SENDER, TRANSITIONS, UNDERWAY, State, Step

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
_BEGIN: Final = "<!-- from here on made by `make docs` -->"
_END: Final = "<!-- up to here made by `make docs` -->"


def session_diagram() -> str:
    """Return the transition table as a Mermaid diagram. Hello and Refusal are in words, or they would cover it."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.IDLE}"]
    for state, table in TRANSITIONS.items():
        for step, reached in table.items():
            if step is Step.REFUSAL or (step is Step.HELLO and state is not State.IDLE):
                continue
            (sender,) = SENDER[step]
            lines.append(f"    {state} --> {reached}: {step} ({sender})")
    lines += [f"    {State.DONE} --> [*]", "```", ""]
    hello = [state for state, table in TRANSITIONS.items() if table.get(Step.HELLO) is State.GREETED]
    refusal = [state for state, table in TRANSITIONS.items() if table.get(Step.REFUSAL) is State.REFUSED]
    lines.append(f"From {_listed(hello)}, a Hello leads to `{State.GREETED}`.  ")
    lines.append(f"From {_listed(refusal)}, a Refusal by either end leads to `{State.REFUSED}`.  ")
    lines.append(f"A session is under way in {_listed([state for state in State if state in UNDERWAY])}.")
    lines += ["", "## The six steps", "", "Counted alike on the Pi, at the station and on its page.", ""]
    lines += ["| | step | from now on |", "|---|---|---|"]
    lines += [f"| {number} | {step.name} | {step.means} |" for number, step in enumerate(MILESTONES.values(), 1)]
    return "\n".join(lines)


def _listed(states: list[State]) -> str:
    if len(states) == len(State):
        return "every state"
    *most, last = [f"`{state}`" for state in states]
    return f"{', '.join(most)} and {last}"


def error_list() -> str:
    """Return the whole catalogue, one table for each area."""
    return "\n".join(_error_lines())


def _error_lines() -> Iterator[str]:
    area = ""
    for code, kind in sorted(CATALOGUE.items()):
        if code.partition(".")[0] != area:
            area = code.partition(".")[0]
            yield from (
                "",
                f"## {area}",
                "",
                "| Code | What happened | What to do | Passes by itself |",
                "|---|---|---|---|",
            )
        yield f"| `{code}` | {_cell(kind.sentence)} | {_cell(_advice(kind))} | {'may' if kind.retry else 'no'} |"


def _advice(kind: ErrorKind) -> str:
    return " ".join((kind.advice, *(f"({case.capitalize()}: {advice})" for case, advice in kind.cases.items())))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def trials() -> str:
    """Return what only hardware shows, as a table."""
    lines = ["| | minutes | board | do | should be seen |", "|---|---|---|---|---|"]
    lines += [f"| {one.number} | {one.minutes} | {one.boards} | {one.do} | {one.see} |" for one in TRIALS]
    return "\n".join(lines)


PARTS: Final = {"session.md": session_diagram, "errors.md": error_list, "hardware-checklist.md": trials}


def renewed(page: str, part: str) -> str:
    """Return `page` with `part` between the two marks. Raises ValueError when a mark is missing."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page lacks the line {_BEGIN} or {_END}")
    return f"{before}{_BEGIN}\n\n{part.strip()}\n\n{_END}{after}"


def main() -> None:
    for name, make in PARTS.items():
        path = DOCS / name
        page = path.read_text(encoding="utf-8")
        new = renewed(page, make())
        if new != page:
            path.write_text(new, encoding="utf-8")
            print(f"docs/{name} is renewed")


if __name__ == "__main__":
    main()
