"""`make faults`: tries every fault at every point, and prints how the units recovered. Exit status 1 unless all do."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fault_injection.sweep import Outcome, Sweep, Tally, Verdict
from tests.fault_injection.sweeps import SWEEPS, attempt, quiet

_JOBS = 2
_SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults whose name contains this")
    parser.add_argument("--sample", action="store_true", help="as few points as `make test` tries")
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/reliability.md has it")
    arguments = parser.parse_args()
    sweeps = [sweep for sweep in SWEEPS if arguments.only in sweep.fault]
    if not sweeps:
        parser.error(f"no fault's name contains {arguments.only!r}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    begun = time.monotonic()
    tallies = _run(console, sweeps, sample=arguments.sample)
    _print(console, tallies, markdown=arguments.markdown)
    console.print(f"{sum(tally.points for tally in tallies):,} points in {time.monotonic() - begun:,.0f} s.")
    failures = [(tally.fault, failure) for tally in tallies for failure in tally.failures]
    for fault, failure in failures[: _SHOWN * len(sweeps)]:
        console.print(f"{failure.outcome}: {fault}, at {failure.point}: {failure.why}", markup=False, soft_wrap=True)
    return 1 if failures else 0


def _run(console: Console, sweeps: Sequence[Sweep], *, sample: bool) -> list[Tally]:
    tallies = {sweep.fault: Tally(sweep.fault) for sweep in sweeps}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    spawning = multiprocessing.get_context("spawn")
    with Progress(*columns, console=console) as progress, ProcessPoolExecutor(_JOBS, spawning, quiet) as pool:
        running: dict[Future[list[Verdict]], str] = {}
        tasks = {}
        for sweep in sweeps:
            points = sweep.sampled() if sample else list(sweep.points())
            tasks[sweep.fault] = progress.add_task(sweep.fault, total=len(points))
            for start in range(0, len(points), sweep.batch):
                running[pool.submit(attempt, sweep.fault, points[start : start + sweep.batch])] = sweep.fault
        for done in as_completed(running):
            fault = running[done]
            for verdict in done.result():
                tallies[fault].add(verdict)
                progress.advance(tasks[fault])
            if not progress.live.is_started or not console.is_terminal:
                tally = tallies[fault]
                print(f"{fault}: {tally.points}, not recovered {len(tally.failures)}", file=sys.stderr, flush=True)
    return list(tallies.values())


def _print(console: Console, tallies: Sequence[Tally], *, markdown: bool) -> None:
    rows = [(t.fault, [t.points, *(t.counts[outcome] for outcome in Outcome)]) for t in tallies]
    totals = ("all", [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)])
    heads = ("fault", "points tried", *(outcome.value for outcome in Outcome))
    if markdown:
        print(f"| {' | '.join(heads)} |\n|---|" + "---:|" * 4)
        for name, numbers in (*rows, totals):
            print(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
        return
    table = Table()
    table.add_column(heads[0])
    for head in heads[1:]:
        table.add_column(head, justify="right")
    for name, numbers in rows:
        table.add_row(name, *(f"{number:,}" for number in numbers))
    table.add_section()
    table.add_row(totals[0], *(f"{number:,}" for number in totals[1]))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
