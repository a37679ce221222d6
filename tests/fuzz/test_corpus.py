"""What the fuzzer found once, and what reached most code, tried again without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import CORPUS, MAKER, TARGETS, ek_certificates

KEPT = [path for target in TARGETS for path in sorted((CORPUS / target).iterdir())]


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in KEPT} == set(TARGETS) == set(SEEDS)


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_once_breaks_nothing_now(target: str) -> None:
    for octets in (*SEEDS[target](), *(path.read_bytes() for path in KEPT if path.parent.name == target)):
        TARGETS[target](octets)


def test_the_claim_about_makers_is_one_that_can_be_false(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = (MAKER / "ek.der").read_bytes()
    ek_certificates(honest)
    monkeypatch.setattr("tests.fuzz.targets._ek", lambda: type("Other", (), {"key": None, "signed": b"of another"}))
    with pytest.raises(AssertionError):
        ek_certificates(honest)


def test_no_file_of_the_corpus_is_large() -> None:
    assert max(path.stat().st_size for path in KEPT) <= 8192
    assert sum(Path(path).stat().st_size for path in KEPT) < 512 * 1024
