"""The public address is given, asked for at a terminal, or the default with a warning."""

from __future__ import annotations

from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from station.cli import public_url
from station.cli.public_url import ask_public_url, warn_unreachable
from station.config import AuthorityConfig, EkPolicy

DEFAULT = AuthorityConfig().public_url
PUBLIC = "https://sma.example.org"


def ask_at_terminal(
    monkeypatch: pytest.MonkeyPatch, given: str | None, policy: EkPolicy, *, ask: bool, typed: str
) -> tuple[str, str]:
    """Ask at a terminal. Returns the address, and the text on standard error."""
    monkeypatch.setattr(public_url, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))

    @click.command()
    def command() -> None:
        click.echo(ask_public_url(given, policy, ask=ask))

    result = CliRunner().invoke(command, input=typed)
    return result.stdout.strip(), result.stderr


def test_without_a_terminal_nobody_is_asked() -> None:
    assert ask_public_url(None, ask=True) == DEFAULT
    assert ask_public_url(PUBLIC, ask=True) == PUBLIC


def test_at_a_terminal_the_answer_counts_and_an_empty_one_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    address, said = ask_at_terminal(monkeypatch, None, EkPolicy.REQUIRE, ask=True, typed=f"{PUBLIC}\n")
    assert address == PUBLIC
    assert "Every certificate names the address" in said
    address, said = ask_at_terminal(monkeypatch, None, EkPolicy.REQUIRE, ask=True, typed="\n")
    assert address == DEFAULT


@pytest.mark.parametrize(
    ("given", "policy", "ask"),
    [(PUBLIC, EkPolicy.REQUIRE, True), (None, EkPolicy.REQUIRE, False), (None, EkPolicy.SIMULATOR, True)],
    ids=["given", "for_a_program", "a_station_of_simulators"],
)
def test_the_public_address_is_not_asked_for_when_known_or_irrelevant(
    monkeypatch: pytest.MonkeyPatch, given: str | None, policy: EkPolicy, ask: bool
) -> None:
    assert ask_at_terminal(monkeypatch, given, policy, ask=ask, typed="never read\n") == (given or DEFAULT, "")


@pytest.mark.parametrize(
    ("address", "policy", "warns"),
    [
        (DEFAULT, EkPolicy.REQUIRE, True),
        (DEFAULT, EkPolicy.RECORD, True),
        (DEFAULT, EkPolicy.SIMULATOR, False),
        (PUBLIC, EkPolicy.REQUIRE, False),
    ],
)
def test_an_address_that_only_this_machine_has_is_warned_of_where_units_are_real(
    address: str, policy: EkPolicy, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_unreachable(AuthorityConfig(public_url=address), policy)
    said = capsys.readouterr()
    assert said.out == ""
    assert (f"public_url is {address}" in said.err) == warns
    assert said.err.startswith("warning: ") == warns
