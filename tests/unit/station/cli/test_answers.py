"""The answers for `setup` come from options, or from a terminal, which asks until an answer is valid."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from shared.errors import BirthmarkError
from station.cli import answers, tpm_vendors
from station.cli.answers import Answers, Options
from station.config import EkPolicy, EkTemplateName, WebConfig

NOTHING = Options(
    None,
    None,
    None,
    None,
    False,
    None,
    None,
    "BIRTHMARK_SMA",
    3,
    EkPolicy.REQUIRE,
    EkTemplateName.L_2,
    WebConfig(),
    False,
)
PASSPHRASE = "correct horse battery"


def everything() -> Options:
    return replace(
        NOTHING,
        name="Bench 3",
        organization="Example",
        public_url="https://sma.example.org",
        web=WebConfig(hosts=["host.docker.internal"], plain_http=["172.17.0.0/16"]),
        root_passphrase_file=io.StringIO(f"{PASSPHRASE}\n"),
        yes=True,
    )


def collect_at_terminal(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *typed: str
) -> tuple[Result, list[Answers]]:
    for module in (answers, tpm_vendors):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    found: list[Answers] = []

    @click.command()
    def ask() -> None:
        found.append(answers.collect(options, tmp_path / "station"))

    return CliRunner().invoke(ask, input="\n".join(typed) + "\n"), found


def test_without_a_terminal_every_missing_option_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError) as caught:
        answers.collect(NOTHING, tmp_path)
    assert caught.value.code == "setup.answer-missing"
    assert caught.value.detail == (
        "--name, --organization, --public-url, --root-passphrase-file, --update-vendors or --ek-roots (or --yes), "
        "--root-key-to (or --yes)"
    )


def test_yes_skips_only_optional_answers(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError) as caught:
        answers.collect(replace(NOTHING, yes=True, name="Bench 3"), tmp_path)
    assert caught.value.detail == "--organization, --public-url, --root-passphrase-file"


def test_options_that_say_everything_are_the_answers(tmp_path: Path) -> None:
    found = answers.collect(everything(), tmp_path)
    assert (found.config.name, found.config.authority.organization) == ("Bench 3", "Example")
    assert found.config.authority.public_url == "https://sma.example.org"
    assert found.config.web == WebConfig(hosts=["host.docker.internal"], plain_http=["172.17.0.0/16"])
    assert (found.passphrase, found.ek_roots, found.root_key_to) == (PASSPHRASE, None, None)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"public_url": "ftp://sma.example.org"}, "config.invalid"),
        ({"table_count": 2}, "config.invalid"),
        ({"root_passphrase_file": io.StringIO("short\n")}, "config.passphrase-short"),
    ],
    ids=["address", "tables", "passphrase"],
)
def test_an_option_that_will_not_do_is_refused(tmp_path: Path, wrong: dict[str, object], code: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        answers.collect(replace(everything(), **wrong), tmp_path)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_at_a_terminal_missing_options_are_asked_for_and_again_after_a_bad_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(everything(), public_url=None, root_passphrase_file=None)
    typed = ("ftp://x", "https://sma.example.org", "short", "short", PASSPHRASE, PASSPHRASE)
    result, [found] = collect_at_terminal(options, tmp_path, monkeypatch, *typed)
    assert result.stderr.count("Public address") == 2
    assert "public_url" in result.stderr
    assert "12 characters or more" in result.stderr
    assert PASSPHRASE not in result.output
    assert found.config.authority.public_url == "https://sma.example.org"
    assert found.config.web == WebConfig(hosts=["host.docker.internal"], plain_http=["172.17.0.0/16"])
    assert found.passphrase == PASSPHRASE


def test_an_empty_answer_leaves_vendors_and_root_key_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, [found] = collect_at_terminal(replace(everything(), yes=False), tmp_path, monkeypatch, "n", "", "")
    assert "from the vendors' own servers now?" in result.stderr
    assert "TPM vendors' certificates, a directory or a file" in result.stderr
    assert not found.update_vendors
    assert "Where the root key goes" in result.stderr
    assert (found.ek_roots, found.root_key_to) == (None, None)


def test_the_root_key_may_not_stay_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = tmp_path / "station" / "root.key", tmp_path / "root.key"
    result, [found] = collect_at_terminal(
        replace(everything(), yes=False), tmp_path, monkeypatch, "n", "", str(inside), str(outside)
    )
    assert result.stderr.count("Where the root key goes") == 2
    assert found.root_key_to == outside


def test_yes_to_fetching_vendors_certificates_leaves_out_the_question_for_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, [found] = collect_at_terminal(replace(everything(), yes=False), tmp_path, monkeypatch, "", "")
    assert (found.update_vendors, found.ek_roots) == (True, None)
    assert "a directory or a file" not in result.stderr


def test_nothing_is_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not answers.collect(everything(), tmp_path).update_vendors
    simulators = replace(everything(), yes=False, policy=EkPolicy.SIMULATOR)
    result, [found] = collect_at_terminal(simulators, tmp_path, monkeypatch, "", "")
    assert not found.update_vendors
    assert "servers" not in result.stderr


def test_where_the_root_key_goes_is_not_asked_without_a_terminal(tmp_path: Path) -> None:
    assert answers.ask_root_key_to(NOTHING, tmp_path) is None
    assert answers.ask_root_key_to(replace(NOTHING, root_key_to=tmp_path / "key"), tmp_path) == tmp_path / "key"
