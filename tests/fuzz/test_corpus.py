"""The inputs that once broke a target or reach most code are tried again, without the fuzzer."""

from __future__ import annotations

import pytest

from tests.fuzz.corpus_file import CORPUS, corpus_file, read_corpus
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS, VENDOR, ChainLab, ek_certificates, ek_chains

KEPT = {target: read_corpus(corpus_file(target)) for target in TARGETS}


def test_every_target_has_a_corpus() -> None:
    assert {path.stem for path in CORPUS.iterdir()} == set(TARGETS) == set(SEEDS)
    assert all(KEPT.values())


# What cryptography says of certificates that it reads all the same.
@pytest.mark.filterwarnings("ignore:Attribute's length", "ignore:Parsed a serial number")
@pytest.mark.parametrize("target", TARGETS)
def test_inputs_that_once_broke_a_target_break_it_no_more(target: str) -> None:
    for octets in (*SEEDS[target](), *(kept.octets for kept in KEPT[target])):
        TARGETS[target](octets)


def test_the_claim_about_vendors_is_one_that_can_be_false(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = (VENDOR / "ek.der").read_bytes()
    ek_certificates(honest)
    monkeypatch.setattr("tests.fuzz.targets._ek", lambda: type("Other", (), {"key": None, "signed": b"of another"}))
    with pytest.raises(AssertionError):
        ek_certificates(honest)


def test_the_claim_about_chains_is_one_that_can_be_false(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = SEEDS["ek_chains"]()[0]
    ek_chains(honest)
    lab = ChainLab()
    lab.issuing_point = b"of another"
    monkeypatch.setattr("tests.fuzz.targets._chain_lab", lambda: lab)
    with pytest.raises(AssertionError):
        ek_chains(honest)


def test_nothing_in_the_corpus_is_large() -> None:
    sizes = [len(kept.octets) for inputs in KEPT.values() for kept in inputs]
    assert max(sizes) <= 8192
    assert sum(sizes) < 512 * 1024
