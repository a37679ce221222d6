"""`birthmark-station init`: the settings that its options make, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.cli.init import settings
from station.config import CONFIG_NAME, EkPolicy, EkTemplateName, WebConfig, load
from tests.harness.station_commands import run_station


@pytest.mark.parametrize("count", [2, 2501, -1])
def test_a_number_of_tables_out_of_range_is_refused_by_the_options_name(count: int) -> None:
    with pytest.raises(BirthmarkError, match=rf"--tables {count} .*config\.invalid"):
        settings(
            "Bench 3", "Example", "SMA", "http://localhost", count, EkPolicy.REQUIRE, EkTemplateName.L_2, WebConfig()
        )


def test_every_option_reaches_the_settings() -> None:
    config = settings(
        "Bench 3",
        "Example",
        "SMA",
        "https://sma.example.org",
        2500,
        EkPolicy.RECORD,
        EkTemplateName.L_1,
        WebConfig(hosts=["a"]),
    )
    assert config.web.hosts == ["a"]
    assert config.attestation.ek_template is EkTemplateName.L_1
    authority = config.authority
    assert (config.name, config.tables.count, config.attestation.ek_policy) == ("Bench 3", 2500, EkPolicy.RECORD)
    assert (authority.organization, authority.authority_id) == ("Example", "SMA")
    assert authority.public_url == "https://sma.example.org"


def test_the_places_of_root_key_and_passphrase_are_printed(tmp_path: Path) -> None:
    told = run_station("init", "--data-dir", tmp_path / "a", "--tables", 3)
    assert told.exit_code == 0
    made = json.loads(run_station("init", "--data-dir", tmp_path / "b", "--tables", 3, "--json").stdout)
    assert (made["tables"], made["ek_policy"], made["ek_template"]) == (3, "require", "L-2")
    assert made["replaced"] is None
    for path in (made["root_key"], made["root_passphrase_file"]):
        assert Path(path).is_file()
        assert path.replace(str(tmp_path / "b"), str(tmp_path / "a")) in told.stdout
    assert Path(made["root_passphrase_file"]).read_text().strip() not in told.output


def test_names_and_networks_of_containers_are_written_into_the_settings(tmp_path: Path) -> None:
    asked = ("--web-host", "host.docker.internal", "--plain-http", "172.17.0.0/16", "--plain-http", "172.18.0.0/16")
    assert run_station("init", "--data-dir", tmp_path / "a", "--tables", 3, *asked).exit_code == 0
    web = load(tmp_path / "a" / CONFIG_NAME).web
    assert (web.hosts, web.plain_http) == (["host.docker.internal"], ["172.17.0.0/16", "172.18.0.0/16"])
    refused = run_station("init", "--data-dir", tmp_path / "b", "--tables", 3, "--plain-http", "0.0.0.0/0")
    assert "0.0.0.0/0 is not a private network" in refused.stderr
    assert not (tmp_path / "b").exists()


def test_a_passphrase_that_was_given_is_left_nowhere(tmp_path: Path) -> None:
    arguments = ("init", "--data-dir", tmp_path / "a", "--tables", 3, "--root-passphrase-file", "-", "--json")
    result = run_station(*arguments, stdin="correct horse battery\n")
    assert json.loads(result.stdout)["root_passphrase_file"] is None
    for file in (tmp_path / "a").rglob("*"):
        assert file.is_dir() or b"correct horse battery" not in file.read_bytes()


def test_only_an_address_of_this_machine_is_warned_of(tmp_path: Path) -> None:
    local = run_station("init", "--data-dir", tmp_path / "a", "--tables", 3)
    assert local.stderr.startswith("warning: ")
    public = run_station("init", "--data-dir", tmp_path / "b", "--tables", 3, "--public-url", "https://sma.example.org")
    assert (public.exit_code, public.stderr) == (0, "")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (("--public-url", "ftp://sma.example.org"), "config.invalid"),
        (("--root-passphrase-file", "-"), "config.passphrase-short"),
        (("--tables", "2"), "config.invalid"),
    ],
    ids=["address", "empty_passphrase", "tables"],
)
def test_init_with_invalid_options_leaves_nothing_behind(tmp_path: Path, wrong: tuple[str, str], code: str) -> None:
    result = run_station("init", "--data-dir", tmp_path / "a", *wrong, stdin="")
    assert (result.exit_code, f"[{code}]" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
