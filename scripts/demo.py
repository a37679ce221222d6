"""`make demo`: provisions virtual Pis at a station, and shows it live.

Everything but the hardware is real: the station and the agents are the programs that you would install, the TPMs are
swtpm, the cables are pairs of ttys. With --once it then checks the result from outside, and ends.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from shared.protocol.states import STEPS
from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation, run_station

HOME: Final = Path("demo-data")
_PORT: Final = 8001
_STEP: Final = re.compile(r"step (\d) of (\d): (.*)")
_MOST_UNITS: Final = 64
_WIDTH: Final = 120  # when the output is no terminal


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--units", type=int, default=3, help="virtual Pis, 1 to 64 (default 3)")
    parser.add_argument("--once", action="store_true", help="check the result and end")
    arguments = parser.parse_args()
    if not 1 <= arguments.units <= _MOST_UNITS:
        parser.error(f"--units {arguments.units} is not in 1 to {_MOST_UNITS}")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    if HOME.exists():
        shutil.rmtree(HOME)
    HOME.mkdir(mode=0o700)
    pis = [VirtualPi(HOME / f"pi-{number}", number) for number in range(1, arguments.units + 1)]
    with VirtualStation(HOME / "station", f"{HOME.resolve()}/pi-*/station") as station:
        try:
            return _demonstrate(console, station, pis, once=arguments.once)
        finally:
            for pi in pis:
                pi.cable.unplug()


def _demonstrate(console: Console, station: VirtualStation, pis: list[VirtualPi], *, once: bool) -> int:
    console.print("[bold]Birthmark provisioning station[/]: a demonstration\n")
    console.print("Making an authority: root, intermediate, station certificate, 10 key tables …")
    station.init("--name", "demo station", "--organization", "Birthmark Demo")
    station.start(port=_PORT if _is_free(_PORT) else 0)
    console.print(f"The station serves its page at {station.address}\n")
    plural = "s" if len(pis) > 1 else ""
    console.print(f"Plugging in {len(pis)} virtual Pi{plural}; each makes a TPM, captures its sensor's map, and goes:")
    begun = time.monotonic()
    results = _provision(console, pis)
    seconds = time.monotonic() - begun
    failed = [f"{pi.serial}: {result}" for pi, result in zip(pis, results, strict=True) if result]
    _print_units(console, station)
    if failed:
        for line in failed:
            console.print(f"[red]not provisioned:[/] {line}", markup=True)
        return 1
    console.print(f"\n{len(pis)} unit{plural} provisioned in {seconds:.1f} s.")
    if once:
        return _check(console, station, pis)
    _print_way_in(console, station)
    console.print("Press Ctrl-C to end.")
    console.print(f"A token from the first camera's TPM: birthmark-agent token --state-dir {pis[0].state_dir}")
    try:
        while station.process and station.process.poll() is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("\nStopping.")
        return 0
    console.print(f"[red]The station ended by itself; see {station.log}.[/]")
    return 1


def _print_way_in(console: Console, station: VirtualStation) -> None:
    """Print a link to the page to a person at a terminal, and how to make another."""
    command = f"{Path(sys.executable).parent}/birthmark-station open --data-dir {station.data_dir}"
    if console.is_terminal:
        console.print("This link opens the page, once, within two minutes:")
        console.print(f"  [bold]{station.link()}[/]", soft_wrap=True)
        console.print(f"For another: {command}", soft_wrap=True)
    else:
        console.print(f"A link to the page: {command}", soft_wrap=True)


def _provision(console: Console, pis: list[VirtualPi]) -> list[str]:
    """Provision all Pis at once. Returns for each what went wrong, or nothing."""
    results = [""] * len(pis)
    columns = (
        TextColumn("  {task.fields[serial]}"),
        BarColumn(24),
        TextColumn("step {task.completed:.0f} of {task.total:.0f}"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = [progress.add_task("Capturing its sensor's map", total=STEPS, serial=pi.serial) for pi in pis]

        def one(index: int) -> None:
            results[index] = _provision_one(pis[index], progress, tasks[index])

        threads = [threading.Thread(target=one, args=(index,)) for index in range(len(pis))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def _provision_one(pi: VirtualPi, progress: Progress, task: TaskID) -> str:
    try:
        pi.capture()
        pi.cable.plug()
        progress.update(task, description="Making a TPM")
        agent = pi.start("--once", "--wait", "60")
        said = []
        assert agent.stderr is not None
        for line in agent.stderr:
            if step := _STEP.match(line):
                progress.update(task, completed=int(step[1]), description=step[3])
            else:
                said.append(line.strip())
        agent.communicate()
    except (OSError, subprocess.CalledProcessError) as error:
        return str(getattr(error, "stderr", "") or error)
    return " ".join(said) or "it ended without a word" if agent.returncode else ""


def _print_units(console: Console, station: VirtualStation) -> None:
    table = Table(title="Units in the registry", title_justify="left", header_style="bold")
    for heading in ("serial", "state", "certificate", "until", "tables", "TPM"):
        table.add_column(heading)
    for unit in sorted(station.devices(), key=lambda unit: str(unit["device_serial"])):
        until = unit["certificate_not_after"][:10]
        tables = ", ".join(map(str, unit["table_assignments"]))
        tpm = f"{unit['tpm_manufacturer']} ({unit['ek_trust']})"
        table.add_row(unit["device_serial"], unit["state"], unit["certificate_serial"][:16] + "…", until, tables, tpm)
    console.print()
    console.print(table)


def _check(console: Console, station: VirtualStation, pis: list[VirtualPi]) -> int:
    """Check the result from outside, with other programs where possible."""
    console.print("\nChecking from outside:")
    station.open_page()
    page = station.get("/")
    health = json.loads(station.get("/health", "application/json"))
    root = HOME / "root.pem"
    shutil.copyfile(station.data_dir / "authority" / "root.pem", root)
    wrong = []

    def expect(what: str, true: bool, detail: str = "") -> None:
        console.print(f"  {'[green]ok[/]' if true else '[red]WRONG[/]'}  {what}{'' if true else ': ' + detail}")
        if not true:
            wrong.append(what)

    expect("a link opens the page and the station says it is well", health["status"] == "healthy", str(health))
    registered = {str(unit["device_serial"]): unit for unit in station.devices()}
    for pi in pis:
        status = pi.status()
        unit = registered.get(pi.serial, {})
        expect(f"{pi.serial} is on the page", pi.serial in page)
        expect(f"{pi.serial} says itself that it is provisioned", status["state"] == "provisioned", str(status))
        same = [status.get("certificate_serial"), status.get("table_ids")] == [
            unit.get("certificate_serial"),
            unit.get("table_assignments"),
        ]
        expect(f"{pi.serial} and the registry agree on certificate and tables", same, f"{status} {unit}")
        verified = subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", str(root)),
                *("-untrusted", status["chain_file"], status["certificate_file"]),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        expect(f"{pi.serial}'s chain verifies in OpenSSL", verified.returncode == 0, verified.stderr)
        token = json.loads(run_agent("token", "--state-dir", str(pi.state_dir)).stdout)
        expect(
            f"{pi.serial}'s TPM makes a NUC token under its tables",
            token["table_id"] in unit.get("table_assignments", ()),
        )
        verdict = station.validate(token)
        expect(f"{pi.serial}'s token passes the station's /validate", verdict["valid"] is True, str(verdict))
    audit = run_station("audit", "verify", "--data-dir", str(station.data_dir), check=False)
    expect("the audit log is whole", audit.returncode == 0, audit.stderr)
    console.print("\n[green]All is as it should be.[/]" if not wrong else f"\n[red]{len(wrong)} checks failed.[/]")
    return 1 if wrong else 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
