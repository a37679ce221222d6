"""Measures the memory of a 12-megapixel capture and check: the real commands on synthetic frames in a folder.

`python -m tests.bench.nuc_memory` prints the figures of docs/nuc-map.md. It needs 0.6 GB of disk for a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FRAMES = 4056, 3040, 12


def _write_frames(folder: Path) -> None:
    """Write frames with one fixed pattern under both lights, and fresh noise in each frame."""
    rng = np.random.default_rng(1)
    gain = 1 + 0.012 * rng.standard_normal((HEIGHT, WIDTH), np.float32)
    for light, level, noise in (("flat", 2000, 15), ("dark", 256, 2)):
        (folder / light).mkdir()
        for number in range(FRAMES):
            pixels = rng.standard_normal((HEIGHT, WIDTH), np.float32)
            pixels *= noise
            pixels += level * gain if light == "flat" else level
            np.save(folder / light / f"{number:02}.npy", pixels.astype(np.uint16))
    (folder / "frames.json").write_text(json.dumps({"pattern": "RGGB", "bits": 12, "sensor": "synthetic"}))


def _measured(*arguments: str) -> dict[str, object]:
    """Return peak resident memory and time of one agent process."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "device_agent", "nuc", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed")
    return {"peak_mib": usage.ru_maxrss // 1024, "seconds": round(time.monotonic() - started, 1)}


def measure() -> dict[str, dict[str, object]]:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        _write_frames(folder)
        nuc_map, source = str(folder / "map"), ("--from", directory)
        return {
            "capture": _measured("capture", *source, "--output", nuc_map),
            "check": _measured("check", *source, "--nuc-map", nuc_map),
        }


if __name__ == "__main__":
    for name, figures in measure().items():
        print(f"{name:10}{figures}")
