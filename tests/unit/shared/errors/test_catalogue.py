"""The catalogue of errors has every code that the sources raise, no unused one, and all well-formed."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.errors import catalogue
from shared.errors.catalogue import CATALOGUE, ErrorKind

ROOT = Path(__file__).parents[4]
GROUPS: dict[str, tuple[ErrorKind, ...]] = {
    found.name: importlib.import_module(f"{catalogue.__name__}.{found.name}").KINDS
    for found in pkgutil.iter_modules(catalogue.__path__)
}
"""The kinds of each module of the catalogue, by its name."""


@cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    """Return every module of the product but the catalogue."""
    packages = ("runtime", "shared", "device_agent", "station")
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert Path(catalogue.__file__) in paths
    return tuple(
        (path, ast.parse(path.read_text(), str(path)))
        for path in paths
        if path.parent != Path(catalogue.__file__).parent
    )


def strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def raised() -> Iterator[tuple[str, str]]:
    """Yield (code, place) of every literal code passed to BirthmarkError, or as `code=` to anything else."""
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


def test_every_module_of_the_catalogue_is_in_it_and_every_code_once() -> None:
    kinds = [kind for group in GROUPS.values() for kind in group]
    assert len(GROUPS) > 1
    assert sorted(kind.code for kind in kinds) == sorted(CATALOGUE)
    assert all(CATALOGUE[kind.code] is kind for kind in kinds)


def test_a_code_that_stands_twice_is_a_mistake_of_ours() -> None:
    kind = ErrorKind("nuc.map-empty", "it fails", "Try again.")
    with pytest.raises(ValueError, match="twice"):
        catalogue._build_catalogue((kind,), (kind,))


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, id=f"{name}:{kind.code}") for name, group in GROUPS.items() for kind in group],
)
def test_a_kind_has_a_code_a_sentence_and_advice_in_good_form(kind: ErrorKind) -> None:
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


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_each_module_of_the_catalogue_is_in_alphabetical_order(group: tuple[ErrorKind, ...]) -> None:
    codes = [kind.code for kind in group]
    assert codes == sorted(codes)
