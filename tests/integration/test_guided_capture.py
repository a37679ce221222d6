"""`nuc capture --guided` as a program and a person at the Pi use it. The camera's library is the stand-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agent.nuc_map.format import decode
from virtual.pi import AGENT
from virtual.timeouts import TIMEOUT_SECONDS

ROOT = Path(__file__).parents[2]


class Bench:
    """A Pi with a camera, before which the test holds things."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nuc_map = directory / "out" / "nuc.map"
        self.nuc_map.parent.mkdir()
        self.scene = directory / "scene"
        library = directory / "library"
        library.mkdir()
        (library / "picamera2.py").write_text(
            "from tests.harness.picamera2_stand_in import SeenFromAFile as Picamera2\n"
        )
        paths = [str(library), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = os.environ | {"BIRTHMARK_SCENE": str(self.scene), "PYTHONPATH": os.pathsep.join(paths)}
        self.show("covered")

    def show(self, scene: str) -> None:
        self.scene.with_suffix(".new").write_text(scene)
        self.scene.with_suffix(".new").rename(self.scene)

    def start(self, *options: str, **more: Any) -> subprocess.Popen[str]:
        command = [*AGENT, "nuc", "capture", "--guided", "--frames", "8", "--output", str(self.nuc_map), *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | more
        return subprocess.Popen(command, env=self.environment, text=True, **pipes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def test_a_program_follows_each_step_and_moves_what_is_before_the_camera(bench: Bench) -> None:
    answers = {
        ("problem", "nuc.frames-too-dark"): "glaring",
        ("problem", "nuc.frames-saturated"): "window",
        ("problem", "nuc.frames-uneven"): "even",
        ("ask", "dark"): "covered",
    }
    process = bench.start("--json")
    told: list[tuple[str, str]] = []
    for event in events(process):
        told.append((event["event"], event.get("code", event.get("light", ""))))
        if scene := answers.get(told[-1]):
            bench.show(scene)
    _, said = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, said
    assert told == [
        ("ask", "flat"),
        ("problem", "nuc.frames-too-dark"),
        ("problem", "nuc.frames-saturated"),
        ("problem", "nuc.frames-uneven"),
        ("take", "flat"),
        ("ask", "dark"),
        ("take", "dark"),
        ("done", ""),
    ]
    assert event["map"]["bytes"] == bench.nuc_map.stat().st_size
    assert decode(bench.nuc_map.read_bytes()).header.sensor == "imx477"


def test_a_person_at_a_terminal_presses_no_key(bench: Bench) -> None:
    master, slave = os.openpty()
    bench.show("even")
    process = bench.start(stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = ""
    while "is written" not in shown:
        try:
            shown += os.read(master, 4096).decode()
        except OSError:  # it has ended
            break
        if "cover the lens" in shown:
            bench.show("covered")
    assert process.wait(TIMEOUT_SECONDS) == 0, shown
    os.close(master)
    assert "even, bright light" in shown
    assert bench.nuc_map.exists()


def test_who_never_comes_is_told_of_in_the_end_and_nothing_is_written(bench: Bench) -> None:
    process = bench.start("--json", "--patience", "1")
    out, said = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 75
    assert "[nuc.no-even-light]" in said
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["code"]) == ("failed", "nuc.no-even-light")
    assert list(bench.nuc_map.parent.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_cancelled_at_any_step_and_leaves_no_half_file(bench: Bench, number: signal.Signals) -> None:
    process = bench.start("--json")
    for event in events(process):
        if event["event"] == "problem":
            bench.show("even")
        if event["event"] == "ask" and event["light"] == "dark":
            process.send_signal(number)
            break
    _, said = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode in (1, 128 + number)
    assert "Traceback" not in said
    assert list(bench.nuc_map.parent.iterdir()) == []


def test_a_folder_of_frames_needs_no_guide(bench: Bench) -> None:
    process = bench.start("--from", str(bench.directory))
    assert "needs a camera" in process.communicate(timeout=TIMEOUT_SECONDS)[1]
    assert process.returncode == 2
