"""`make bench`: runs every benchmark and prints the figures. None fails for being slow."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

from tests.bench import bus_encryption, issuing, nuc_memory, nuc_sensors, sessions, slow_chip, validation


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a look and for CI")
    quick = parser.parse_args().quick
    benchmarks: dict[str, Callable[[], Mapping[str, object]]] = {
        "One session (swtpm, pseudo terminals)": lambda: sessions.measure(3 if quick else 15),
        "One session on a chip as slow as an SLB 9670": lambda: slow_chip.measure(unlucky=not quick),
        "Encryption on the TPM's bus (swtpm)": lambda: bus_encryption.measure(50 if quick else 400, 3 if quick else 15),
        "Certificates in the registry": lambda: issuing.measure(50 if quick else 300, 20_000 if quick else 100_000),
        "NUC maps of simulated sensors": lambda: nuc_sensors.measure(12 if quick else 200),
    }
    benchmarks["Validation over HTTP"] = lambda: validation.measure(
        (1000,) if quick else (1000, 10_000), 2000 if quick else 6000
    )
    if not quick:
        benchmarks["Memory of a NUC map of 12 megapixels"] = nuc_memory.measure
    for title, measure in benchmarks.items():
        print(f"\n{title} …", flush=True)
        begun = time.monotonic()
        for name, value in measure().items():
            print(f"  {name:58}{value}")
        print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
