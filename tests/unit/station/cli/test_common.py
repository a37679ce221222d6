"""Helpers of the station's commands: secrets from files, times and tables for people."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.table import Table

from shared.errors import BirthmarkError
from station.cli.common import format_time, print_replaced, print_table, read_root_passphrase, read_secret_line


def test_a_time_is_printed_to_the_minute_and_none_as_a_dash() -> None:
    assert format_time(None) == "–"
    assert len({format_time(seconds) for seconds in (1_795_500_000, 1_795_500_059, 1_795_500_060)}) == 2


def test_a_secret_is_the_first_line_without_its_space() -> None:
    assert read_secret_line(io.StringIO("  secret \nanother\n")) == "secret"
    assert read_secret_line(io.StringIO("")) == ""


def test_a_file_that_is_no_text_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfe\n")
    with path.open(encoding="utf-8") as file:
        assert read_secret_line(file) == ""


def test_no_more_of_a_file_is_read_than_a_secret_may_have() -> None:
    file = io.StringIO("x" * 100_000)
    assert read_secret_line(file) == "x" * file.tell()
    assert file.tell() < 2000


def test_a_root_passphrase_has_twelve_characters_or_none_is_given() -> None:
    assert read_root_passphrase(None) is None
    assert read_root_passphrase(io.StringIO("twelve chars\n")) == "twelve chars"
    with pytest.raises(BirthmarkError, match=r"12 characters.*config\.passphrase-short"):
        read_root_passphrase(io.StringIO("eleven char \n"))


def test_a_table_in_a_pipe_keeps_each_row_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_column("name")
    table.add_row("word " * 30)
    print_table(table)
    assert ("word " * 30).strip() in capsys.readouterr().out


def test_a_replaced_directory_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_replaced(Path("/station"), None)
    assert capsys.readouterr().out == ""
    print_replaced(Path("/station"), Path("/station.old"))
    assert capsys.readouterr().out == "Moved the station that was in /station to /station.old.\n"
