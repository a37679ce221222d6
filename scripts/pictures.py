"""`make pictures`: takes the README's pictures.

Chromium photographs the page of a real station with virtual Pis plugged in, in light and in dark. termtosvg records
`make demo ONCE=1` in a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import expect

from shared.protocol.states import State, steps_done
from virtual.browser import chromium
from virtual.pi import VirtualPi
from virtual.station import VirtualStation

PICTURES: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
SHOWN: Final = ("Done", "Working", "Failed")
"""The states of the cards in the picture, in the order of their ports."""

_DEMO: Final = "make --no-print-directory demo ONCE=1"
_COLUMNS_AND_ROWS: Final = "104x34"
_SHOWS_SECONDS: Final = 20
_PROVISION_SECONDS: Final = 120


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    record(PICTURES / "demo.svg")
    # In a directory of their own, the ports have short names.
    with tempfile.TemporaryDirectory() as bench, contextlib.chdir(bench), open_recorded_station() as station:
        asyncio.run(photograph(station.link, PICTURES))
    for scheme in SCHEMES:
        _run("pngquant", "--force", "--ext", ".png", "--speed", "1", "64", str(PICTURES / f"page-{scheme}.png"))
    for path in sorted(PICTURES.iterdir()):
        print(f"docs/pictures/{path.name}: {path.stat().st_size:,} bytes")


@contextlib.contextmanager
def open_recorded_station() -> Iterator[VirtualStation]:
    """Open a station in the working directory with units in every state of `SHOWN`.

    The third unit has the first one's NUC map. The second is stopped while it makes its proof; a station waits 30 s for
    it.
    """
    pis = [VirtualPi(Path(f"port-{number}"), number) for number in range(1, len(SHOWN) + 1)]
    agents: list[subprocess.Popen[str]] = []
    with VirtualStation(Path("data"), "port-*/station") as station:
        station.init("--name", "Bench 1", "--organization", "Example Cameras")
        station.start()
        try:
            first, slow, copy = pis
            for pi in pis:
                pi.capture()
            copy.nuc_map.write_bytes(first.nuc_map.read_bytes())
            for pi in (first, copy, slow):
                pi.cable.plug()
                agents.append(pi.start("--once", "--keep-nuc-map"))
                if pi is slow:
                    _stop_at(agents[-1], steps_done(State.CHALLENGED))
                else:
                    agents[-1].communicate(timeout=_PROVISION_SECONDS)
            yield station
        finally:
            for agent in agents:
                agent.kill()
                agent.communicate()
            for pi in pis:
                pi.cable.unplug()


def _stop_at(agent: subprocess.Popen[str], step: int) -> None:
    assert agent.stderr is not None
    for line in agent.stderr:
        if line.startswith(f"step {step} "):
            agent.send_signal(signal.SIGSTOP)
            return
    raise RuntimeError(f"the agent ended before step {step}")


async def photograph(link: Callable[[], str], folder: Path) -> None:
    """Write page-light.png and page-dark.png; `link` makes a one-time link.

    Raises AssertionError unless it shows the recorded station.
    """
    async with chromium() as browser:
        for scheme in SCHEMES:
            page = await browser.new_page(
                viewport={"width": 1180, "height": 1100}, device_scale_factor=1.5, color_scheme=scheme
            )
            await page.goto(link())
            await page.get_by_role("button", name="Open the page").click()
            await expect(page.locator("#live")).to_contain_text("Live")
            await expect(page.locator(".port .state")).to_have_text(list(SHOWN), timeout=_SHOWS_SECONDS * 1000)
            await page.screenshot(path=folder / f"page-{scheme}.png", animations="disabled")
            await page.close()


def record(path: Path) -> None:
    """Record the demo as an animated SVG. Raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        cast, script = Path(folder, "demo.cast"), Path(folder, "demo.sh")
        script.write_text(f"echo '$ make demo ONCE=1'\n{_DEMO} || echo FAILED\n")
        # termtosvg must run in a terminal; util-linux's script makes one.
        termtosvg = shlex.join([sys.executable, "-m", "termtosvg"])
        command = f"{termtosvg} record {shlex.quote(str(cast))} -g {_COLUMNS_AND_ROWS} -c 'sh {script}'"
        _run("script", "--quiet", "--return", "--command", command, "/dev/null")
        _run(
            *(sys.executable, "-m", "termtosvg", "render", str(cast), str(path), "--template", "window_frame"),
            *("--min-frame-duration", "250", "--max-frame-duration", "2000", "--loop-delay", "8000"),
        )
    if "All is as it should be" not in path.read_text():
        raise RuntimeError("the demo did not end well")


def _run(*command: str) -> None:
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True, env={**os.environ, "TERM": "xterm-256color"}
    )


if __name__ == "__main__":
    main()
