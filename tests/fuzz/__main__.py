"""`make fuzz`: coverage-guided fuzzing of every reader of a device's bytes, two targets at a time.

Inputs that break a target are added to `tests/fuzz/corpus/TARGET.txt`, which `make test` tries from then on. Inputs
that only reach new code stay in `.fuzz`, from which the next run begins; `--keep` distils them into the corpus, too.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus_file import REACHED, Kept, corpus_file, pack, read_corpus, unpack, write_corpus
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import MOST_BYTES, TARGETS

WORK = Path(".fuzz")
AT_ONCE = 2
INPUT_SECONDS = 10
MEMORY_MIB = 1024
KEPT_MAX = 80
"""The most inputs that a target keeps: the smallest ones that together reach all or most of the reached code."""

_TRIED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_REACHED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True)
class Ran:
    target: str
    tried: int
    reached: int
    broke: list[Path]
    """The inputs as libFuzzer wrote them; they are in the corpus, too."""
    log: Path


def fuzz(target: str, seconds: int) -> Ran:
    """Fuzz one target for some time."""
    work, found, log = WORK / target, WORK / f"{target}.broke", WORK / f"{target}.log"
    unpack((Kept(REACHED, seed) for seed in SEEDS[target]()), work)
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir()
    kept = read_corpus(corpus_file(target))
    with tempfile.TemporaryDirectory() as begin:
        unpack(kept, Path(begin))
        _libfuzzer(target, log, [work, Path(begin)], f"-max_total_time={seconds}", f"-artifact_prefix={found}/")
    write_corpus(corpus_file(target), [*kept, *pack(found)])
    told = log.read_text(errors="replace")
    tried, reached = _TRIED.search(told), _REACHED.findall(told)
    return Ran(
        target, int(tried[1]) if tried else 0, int(reached[-1][1]) if reached else 0, sorted(found.iterdir()), log
    )


def keep(target: str) -> int:
    """Distil the found inputs into the corpus. Returns how many inputs it has now."""
    kept = read_corpus(corpus_file(target))
    with tempfile.TemporaryDirectory() as before, tempfile.TemporaryDirectory() as distilled:
        unpack(kept, Path(before))
        log = WORK / f"{target}.merge.log"
        _libfuzzer(target, log, [Path(distilled), Path(before), WORK / target], "-merge=1")
        reached = sorted(pack(Path(distilled), REACHED), key=lambda one: len(one.octets))[:KEPT_MAX]
    write_corpus(corpus_file(target), [*(one for one in kept if one.why != REACHED), *reached])
    return len(read_corpus(corpus_file(target)))


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
                print(f"  broke it: {path}, now in {corpus_file(ran.target)}; see {ran.log}")
            if not ran.tried:
                print(f"  it did not run to its end; see {ran.log}")
            bad += bool(ran.broke) or not ran.tried
    if chosen.keep:
        for target in targets:
            print(f"{target:18}{keep(target):>10} inputs kept")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
