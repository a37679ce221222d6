"""The options that the agent's commands share: by name, from the environment, or the packaged default."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from device_agent.cli.common import OTHER_TPM, STATE_DIR, TPM


@click.command()
@STATE_DIR
@TPM
def first(state_dir: Path, tpm: str) -> None:
    click.echo(f"{state_dir!r} {tpm}")


@click.command()
@OTHER_TPM
def other(tpm: str | None) -> None:
    click.echo(f"{tpm}")


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ([], {}, "PosixPath('/var/lib/birthmark-agent') device:/dev/tpmrm0\n"),
        ([], {"BIRTHMARK_STATE_DIR": "/e", "BIRTHMARK_TPM": "simulator"}, "PosixPath('/e') simulator\n"),
        (
            ["--state-dir", "/o", "--tpm", "swtpm:path=s"],
            {"BIRTHMARK_STATE_DIR": "/e", "BIRTHMARK_TPM": "simulator"},
            "PosixPath('/o') swtpm:path=s\n",
        ),
    ],
)
def test_an_option_goes_before_the_environment_and_that_before_the_default(
    options: list[str], environment: dict[str, str], expected: str
) -> None:
    assert CliRunner().invoke(first, options, env=environment).stdout == expected


def test_a_provisioned_units_tpm_is_that_of_its_identity_whatever_the_environment_says() -> None:
    environment = {"BIRTHMARK_TPM": "device:/dev/tpmrm0"}
    assert CliRunner().invoke(other, [], env=environment).stdout == "None\n"
    assert CliRunner().invoke(other, ["--tpm", "simulator"]).stdout == "simulator\n"
