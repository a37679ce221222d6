"""What a Pi may say of itself on a station's page: our own codes, each once, and no more than a message holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors.catalogue import CATALOGUE
from shared.errors.findings import FINDINGS, known_findings


def test_every_finding_is_in_the_catalogue_and_all_fit_into_a_message() -> None:
    assert set(FINDINGS) <= set(CATALOGUE)
    assert len(set(FINDINGS)) == len(FINDINGS) <= limits.FINDINGS
    assert max(map(len, CATALOGUE)) <= limits.CODE_CHARACTERS


@given(st.lists(st.one_of(st.sampled_from(FINDINGS), st.sampled_from(sorted(CATALOGUE)), st.text())))
def test_whatever_is_said_only_findings_are_known(said: list[str]) -> None:
    found = known_findings(said)
    assert set(found) == set(said) & set(FINDINGS)
    assert list(found) == [code for code in FINDINGS if code in found]
