"""`birthmark-agent doctor`: says what this Pi lacks before a station can provision it, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from device_agent.cli.common import STATE_DIR, TPM
from device_agent.doctor import report as form
from device_agent.doctor.checks import Finding, Outcome, examine
from device_agent.doctor.machine import Machine
from runtime.commands import AS_JSON, print_json
from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError

_MARKS = {Outcome.FINE: "ok", Outcome.NOTE: "note", Outcome.PROBLEM: "PROBLEM", Outcome.UNKNOWN: "-"}


@click.command()
@STATE_DIR
@TPM
@click.option(
    "--nuc-map",
    type=click.Path(path_type=Path),
    envvar="BIRTHMARK_NUC_MAP",
    help="Where the NUC map waits; otherwise as the service's settings say, or nuc.map in the state directory.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Also measure the TPM, and write the form of docs/hardware-checklist.md, filled in, to this new file (or -).",
)
@AS_JSON
def doctor(state_dir: Path, tpm: str, nuc_map: Path | None, report: Path | None, as_json: bool) -> None:
    """Look at all that this Pi needs to be provisioned, and say what to do about what is missing.

    Changes nothing. Root looks as the owner of the state directory, as whom the agent runs.

    Exit status: 0 nothing is in the way, 1 there is a problem.
    """
    owner = owner_of(state_dir)
    with acting_as(owner):
        machine = Machine(Path("/"), state_dir, tpm, nuc_map)
        if os.path.lexists(state_dir) and not os.access(state_dir, os.R_OK | os.X_OK, effective_ids=True):
            raise BirthmarkError(
                "identity.permission", f"{state_dir} belongs to {owner.name}; put `{owner.sudo}` before the command"
            )
        findings = examine(machine)
        written = form.write(machine, findings, _times(machine)) if report else ""
    if report and str(report) != "-":
        try:
            with report.open("x", encoding="utf-8") as file:
                file.write(written)
        except OSError as error:
            raise BirthmarkError("file.unwritable", f"{report}: {error.strerror}") from error
    if as_json:
        print_json({"findings": findings, "report": written})
    elif str(report) == "-":
        click.echo(written, nl=False)
    else:
        _tell(findings)
        if report:
            click.echo(f"\nWrote {report}. It names no serial number.")
    if any(finding.outcome is Outcome.PROBLEM for finding in findings):
        raise SystemExit(1)


def _times(machine: Machine) -> form.TpmTimes | BirthmarkError:
    try:
        return form.measure(machine)
    except BirthmarkError as error:
        return error


def _tell(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        code = f" [{finding.code}]" if finding.code else ""
        click.echo(f"{_MARKS[finding.outcome]:8}{finding.what}: {finding.text}{code}")
        if finding.advice:
            click.echo(f"{'':8}  {finding.advice}")
    problems = sum(finding.outcome is Outcome.PROBLEM for finding in findings)
    click.echo(f"\n{problems} problem{'s' * (problems != 1)}." if problems else "\nNothing is in the way.")
