"""`make fuzz`: coverage-guided fuzzing of every reader of a device's bytes, two targets at a time.

What breaks a target is put into `tests/fuzz/corpus/TARGET`, where `make test` tries it from then on. What only reached
new code goes on in `.fuzz`, for the next run to begin from; `--keep` distils it into the corpus, too.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import CORPUS, MOST_BYTES, TARGETS

WORK = Path(".fuzz")
AT_ONCE = 2
INPUT_SECONDS = 10
MEMORY_MIB = 1024
KEPT_MAX = 80
"""Inputs a target keeps: the smallest that together reach all that was reached, or most of it."""

_TRIED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_REACHED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True)
class Ran:
    target: str
    tried: int
    reached: int
    broke: list[Path]
    log: Path


def fuzz(target: str, seconds: int) -> Ran:
    """One target for a time."""
    work = WORK / target
    work.mkdir(parents=True, exist_ok=True)
    kept = CORPUS / target
    kept.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS[target]():
        (work / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    before = set(kept.iterdir())
    log = WORK / f"{target}.log"
    _libfuzzer(target, log, [work, kept], f"-max_total_time={seconds}", f"-artifact_prefix={kept}/")
    told = log.read_text(errors="replace")
    tried, reached = _TRIED.search(told), _REACHED.findall(told)
    broke = sorted(set(kept.iterdir()) - before)
    return Ran(target, int(tried[1]) if tried else 0, int(reached[-1][1]) if reached else 0, broke, log)


def keep(target: str) -> int:
    """Distil what was found into the corpus; gives how many inputs it now has."""
    kept, distilled = CORPUS / target, WORK / f"{target}.distilled"
    shutil.rmtree(distilled, ignore_errors=True)
    distilled.mkdir()
    _libfuzzer(target, WORK / f"{target}.merge.log", [distilled, kept, WORK / target], "-merge=1")
    for path in kept.iterdir():
        if not path.name.startswith(("crash-", "timeout-", "oom-")):
            path.unlink()
    for path in sorted(distilled.iterdir(), key=lambda path: path.stat().st_size)[:KEPT_MAX]:
        shutil.copyfile(path, kept / path.name)
    return len(list(kept.iterdir()))


def _libfuzzer(target: str, log: Path, directories: list[Path], *flags: str) -> None:
    again = (WORK / f"{target}.sh").resolve()
    again.write_text(
        f'#!/bin/sh\nexec {shlex.join([sys.executable, "-m", "tests.fuzz.run", target, str(again)])} "$@"\n'
    )
    again.chmod(0o700)
    with log.open("wb") as out:
        subprocess.run(
            [
                str(again),
                *map(str, directories),
                *flags,
                f"-max_len={MOST_BYTES.get(target, 4096)}",
                f"-timeout={INPUT_SECONDS}",
                f"-rss_limit_mb={MEMORY_MIB}",
                "-print_final_stats=1",
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,  # what it found, or that it tried nothing, says more
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="distil what was found into the corpus")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    chosen = parser.parse_args()
    targets = chosen.targets or list(TARGETS)
    bad = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for ran in pool.map(lambda target: fuzz(target, chosen.seconds), targets):
            print(f"{ran.target:18}{ran.tried:>10} inputs tried, {ran.reached:>6} features reached", flush=True)
            for path in ran.broke:
                print(f"  broke it: {path}; see {ran.log}")
            if not ran.tried:
                print(f"  it did not run to its end; see {ran.log}")
            bad += bool(ran.broke) or not ran.tried
    if chosen.keep:
        for target in targets:
            print(f"{target:18}{keep(target):>10} inputs kept")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
