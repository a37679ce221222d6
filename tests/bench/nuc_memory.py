"""Measures memory and time of a 12-megapixel capture and check: the real commands on synthetic frames in a folder.

`python -m tests.bench.nuc_memory` prints the figures of docs/nuc-map.md. It needs 0.6 GB of disk for a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

WIDTH, HEIGHT, FRAMES = 4056, 3040, 12
GOAL_MIB: Final = 160
"""Most resident memory of a capture at 12 megapixels. A Pi Zero 2 W has 512, of which libcamera takes some."""

_COMMAND: Final = """
import atexit, json, os, sys
def tell():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    times = os.times()
    used = {"peak_mib": int(status["VmHWM"].split()[0]) / 1024, "cpu_seconds": times.user + times.system}
    print("USED", json.dumps(used), file=sys.stderr)
atexit.register(tell)
from device_agent.cli import main
main()
"""
"""The agent, which says in the end what it used. `ru_maxrss` would count what its parent had before exec, too."""


@dataclass(frozen=True, slots=True)
class Used:
    peak_mib: float
    """The whole process's resident memory at its peak."""
    cpu_seconds: float


def write_frames(folder: Path, width: int, height: int, frames: int) -> None:
    """Write frames with one fixed pattern under both lights, and fresh noise in each frame."""
    rng = np.random.default_rng(1)
    gain = 1 + 0.012 * rng.standard_normal((height, width), np.float32)
    for light, level, noise in (("flat", 2000, 15), ("dark", 256, 2)):
        (folder / light).mkdir(parents=True)
        for number in range(frames):
            pixels = rng.standard_normal((height, width), np.float32)
            pixels *= noise
            pixels += level * gain if light == "flat" else level
            np.save(folder / light / f"{number:02}.npy", pixels.astype(np.uint16))
    (folder / "frames.json").write_text(json.dumps({"pattern": "RGGB", "bits": 12, "sensor": "synthetic"}))


def used(*arguments: str) -> Used:
    """Run one command of `birthmark-agent nuc` to its end, and return what it used."""
    told = subprocess.run(
        [sys.executable, "-c", _COMMAND, "nuc", *arguments], capture_output=True, text=True, check=True
    )
    [figures] = [line.removeprefix("USED") for line in told.stderr.splitlines() if line.startswith("USED")]
    return Used(**json.loads(figures))


def measure(width: int = WIDTH, height: int = HEIGHT, frames: int = FRAMES) -> dict[str, Used]:
    with tempfile.TemporaryDirectory() as directory:
        write_frames(Path(directory), width, height, frames)
        nuc_map, source = f"{directory}/map", ("--from", directory, "--frames", str(frames))
        return {
            "capture": used("capture", *source, "--output", nuc_map),
            "check": used("check", *source, "--nuc-map", nuc_map),
        }


if __name__ == "__main__":
    for name, figures in measure().items():
        print(f"{name:10}{figures.peak_mib:.0f} MiB, {figures.cpu_seconds:.1f} s of processor time")
