"""The generated pages agree with the code."""

from __future__ import annotations

import re

import pytest

from scripts import docs
from shared.protocol.states import MILESTONES, TRANSITIONS, State, Step


@pytest.mark.parametrize("name", docs.PARTS)
def test_the_page_is_as_the_code_would_write_it(name: str) -> None:
    page = (docs.DOCS / name).read_text(encoding="utf-8")
    assert page == docs.renewed(page, docs.PARTS[name]()), "run `make docs`"


def test_the_diagram_shows_every_step_forward() -> None:
    diagram = docs.session_diagram()
    for state, table in TRANSITIONS.items():
        for step, reached in table.items():
            if step not in (Step.HELLO, Step.REFUSAL):
                assert f"{state} --> {reached}: {step} (" in diagram
    assert "From every state, a Hello leads to `greeted`." in diagram
    assert f"`{State.STORED}`, a Refusal" in diagram.replace("and ", "")


def test_a_page_without_its_marks_is_not_written_over() -> None:
    with pytest.raises(ValueError, match="lacks the line"):
        docs.renewed("# A page of somebody else", "part")


def test_readme_operator_and_session_count_the_same_steps() -> None:
    names = [milestone.name for milestone in MILESTONES.values()]
    readme = (docs.DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\d\. \*\*(\w+)\.\*\*", readme, re.MULTILINE) == names
    session = (docs.DOCS / "session.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \d \| (\w+) \|", session, re.MULTILINE) == names
    operator = " ".join((docs.DOCS / "operator.md").read_text(encoding="utf-8").split())
    assert f"The six steps are: {', '.join(names).lower()} (" in operator
    assert len(names) == 6
