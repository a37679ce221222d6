"""The catalogue of faults against the sources: nothing missing, nothing idle, and all of it in good form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.errors.catalogue import CATALOGUE, ErrorKind, attestation, cable, device, station, unit

ROOT = Path(__file__).parents[3]


@cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    paths = [
        path for package in ("shared", "device_agent", "station") for path in sorted((ROOT / package).rglob("*.py"))
    ]
    return tuple((path, ast.parse(path.read_text(), str(path))) for path in paths if path.parent.name != "faults")


def strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def raised() -> Iterator[tuple[str, str]]:
    """(code, where) of every literal code given to BirthmarkError, or to anything else as `code=`."""
    for path, tree in sources():
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call):
                continue
            codes = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
            if isinstance(call.func, ast.Name) and call.func.id == "BirthmarkError":
                codes += call.args[:1]
            for node in codes:
                if not isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                    yield from ((code, f"{path.relative_to(ROOT)}:{call.lineno}") for code in strings(node) if code)


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    found = list(raised())
    assert len(found) > 50, "the walk finds what it is meant to find"
    assert [(code, where) for code, where in found if code not in CATALOGUE] == []


def test_every_code_of_the_catalogue_is_raised_somewhere() -> None:
    said = {string for _, tree in sources() for string in strings(tree)}
    assert sorted(CATALOGUE.keys() - said) == []


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.code)
def test_a_fault_has_a_code_a_sentence_and_advice_in_good_form(kind: ErrorKind) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+(-[a-z]+)*", kind.code)
    assert len(kind.code) <= 64, "a Refusal carries it"
    assert kind.sentence[0] not in " ABCDEFGHIJKLMNOPQRSTUVWXYZ", "it follows `error: `"
    assert kind.sentence[-1] not in " .,:;!", "a detail or a full stop may follow"
    for advice in (kind.advice, *kind.cases.values()):
        assert re.fullmatch(r"[A-Z`].*[^. ]\.", advice), "a sentence of its own"
    for text in (kind.sentence, kind.advice, *kind.cases.values()):
        assert text.isprintable()
        assert "  " not in text
        assert text.count("`") % 2 == 0
        assert text.count("(") == text.count(")")


@pytest.mark.parametrize("group", [attestation, cable, device, station, unit], ids=lambda group: group.__name__)
def test_each_file_of_the_catalogue_is_in_alphabetical_order(group: object) -> None:
    codes = [kind.code for kind in group.KINDS]  # type: ignore[attr-defined]
    assert codes == sorted(codes)
