"""Commands find their data directory."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from station.cli import data_directory
from station.cli.data_directory import ENVIRONMENT, NEW_DATA_DIR, OWN_DATA_DIR, find


@OWN_DATA_DIR
def _print_existing(data_dir: Path) -> None:
    click.echo(data_dir)


@NEW_DATA_DIR
def _print_new(data_dir: Path) -> None:
    click.echo(data_dir)


existing, new = click.command()(_print_existing), click.command()(_print_new)


@pytest.fixture(autouse=True)
def service_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    path = tmp_path / "service" / "data"
    monkeypatch.setattr(data_directory, "SERVICE_DATA_DIR", path)
    return path


class Hidden:
    """A path in a directory that this user may not read."""

    def lstat(self) -> None:
        raise PermissionError


def test_the_one_that_is_named_comes_first_even_if_it_is_not_there(service_data_dir: Path, tmp_path: Path) -> None:
    service_data_dir.mkdir(parents=True)
    assert find(tmp_path / "named") == tmp_path / "named"


def test_without_a_name_the_services_is_taken(service_data_dir: Path) -> None:
    service_data_dir.mkdir(parents=True)
    assert find(None) == service_data_dir


def test_one_that_only_its_user_can_see_is_taken_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = Hidden()
    monkeypatch.setattr(data_directory, "SERVICE_DATA_DIR", hidden)
    assert find(None) is hidden  # type: ignore[comparison-overlap]


def test_without_any_it_is_said_how_to_make_or_name_one() -> None:
    with pytest.raises(click.UsageError) as caught:
        find(None, instead="--roots DIR")
    for words in ("birthmark-station setup", "--data-dir DIR", ENVIRONMENT, "or give --roots DIR."):
        assert words in caught.value.message


def test_the_environment_names_one_and_the_option_goes_before_it(tmp_path: Path) -> None:
    environment = {ENVIRONMENT: str(tmp_path / "a")}
    for command in (existing, new):
        assert CliRunner().invoke(command, env=environment).stdout.strip() == str(tmp_path / "a")
        named = CliRunner().invoke(command, ["--data-dir", str(tmp_path / "b")], env=environment)
        assert named.stdout.strip() == str(tmp_path / "b")


def test_a_command_that_makes_one_never_takes_the_services(service_data_dir: Path) -> None:
    service_data_dir.mkdir(parents=True)
    assert CliRunner().invoke(existing).stdout.strip() == str(service_data_dir)
    result = CliRunner().invoke(new)
    assert (result.exit_code, "--data-dir" in result.stderr) == (2, True)
