"""`birthmark-agent nuc`: makes the NUC map of this unit's sensor, and checks whether the sensor is still the same.

The commands import numpy and what needs it: the rest of the agent must start without them.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from device_agent.board.led import find_led
from device_agent.cli.common import OTHER_TPM, STATE_DIR, ended_by_signals, open_camera
from device_agent.cli.guided import GuidedWords
from device_agent.nuc_map import format as map_file
from device_agent.storage.disk import Disk
from device_agent.storage.sealed_map import read_nuc_map
from runtime.commands import AS_JSON, print_json
from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError

if TYPE_CHECKING:
    from device_agent.nuc_map.calibrate import Progress
    from device_agent.nuc_map.fit import Fit
    from device_agent.nuc_map.frames import FrameSource
    from device_agent.nuc_map.guide import Guidance

CAMERA: Final = "camera"
SIMULATOR: Final = "simulator:"
_FRAMES_MAX: Final = 4096
_SEED_MAX: Final = 2**63 - 1

FROM: Final = click.option(
    "--from",
    "origin",
    default=CAMERA,
    show_default=True,
    metavar="SOURCE",
    help="camera, camera:N, a folder of frames, or simulator:SEED.",
)
FRAMES: Final = click.option(
    "--frames",
    type=click.IntRange(1, _FRAMES_MAX),
    default=32,
    show_default=True,
    help="Frames under each light.",
)
OUTPUT: Final = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where the map goes."
)
FORCE: Final = click.option("--force", is_flag=True, help="Replace a map that is there.")


class Captured(msgspec.Struct, frozen=True):
    """What the command prints of a map: not its hash, which is this unit's secret."""

    file: str
    bytes: int
    sensor: str
    width: int
    height: int
    pattern: str
    bits: int
    flat_frames: int
    dark_frames: int
    reliability: dict[str, float]
    defective_pixels: int


@click.group()
def nuc() -> None:
    """The sensor's NUC map: its hash is this unit's fingerprint."""


@nuc.command()
@FROM
@FRAMES
@OUTPUT
@FORCE
@click.option(
    "--guided",
    is_flag=True,
    help="Guide by LED and words, without a key press: notice the even light and the covered lens by themselves.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True, max=86400),
    default=600.0,
    show_default=True,
    help="With --guided: seconds to wait for each light.",
)
@AS_JSON
def capture(origin: str, frames: int, output: Path, force: bool, guided: bool, patience: float, as_json: bool) -> None:
    """Make the NUC map of this unit's sensor, from flat and dark frames.

    With --guided and --json each step is one line of JSON, the last one with the map.
    """
    if not guided:
        _told(_captured(origin, frames, output, force), as_json)
        return
    if origin.partition(":")[0] != CAMERA and not origin.startswith(SIMULATOR):
        raise click.UsageError("--guided needs a camera.")
    with ended_by_signals(), closing(find_led()) as led:
        words = GuidedWords(led, frames, patience, as_json)
        try:
            words.done(_captured(origin, frames, output, force, words, patience))
        except BirthmarkError as error:
            words.failed(error)
            raise


@nuc.command()
@click.option("--seed", type=click.IntRange(0, _SEED_MAX), required=True, help="Which simulated sensor.")
@OUTPUT
@FORCE
@AS_JSON
def simulate(seed: int, output: Path, force: bool, as_json: bool) -> None:
    """Make the NUC map of a simulated sensor. It is not secret: use it for demonstrations and tests only."""
    _told(_captured(f"{SIMULATOR}{seed}", 16, output, force), as_json)


@nuc.command()
@click.option(
    "--nuc-map",
    type=click.Path(path_type=Path),
    help="A clear NUC map; without it the one sealed in this unit's identity.",
)
@STATE_DIR
@OTHER_TPM
@FROM
@FRAMES
@AS_JSON
def check(nuc_map: Path | None, state_dir: Path, tpm: str | None, origin: str, frames: int, as_json: bool) -> None:
    """Take new flat frames, and check whether they are from the sensor that the NUC map was made of.

    Exit status: 0 they are, 1 they are not or it is unclear.
    """
    with _opened(origin, later=True) as source:
        from device_agent.nuc_map.calibrate import take_flats
        from device_agent.nuc_map.fit import Verdict, judge

        known = map_file.decode(_map_bytes(nuc_map, state_dir, tpm))
        _ready(origin, "Light the sensor evenly and brightly, with nothing in the picture.")
        with _progress("flat frames", frames) as step:
            flats = take_flats(source, frames, step)
        fit = judge(known, flats)
    _tell_fit(fit, as_json)
    if fit.verdict is Verdict.ANOTHER:
        raise BirthmarkError("nuc.another-sensor")
    if fit.verdict is Verdict.UNCLEAR:
        raise BirthmarkError("nuc.fit-unclear")


def _captured(
    origin: str,
    frames: int,
    output: Path,
    force: bool,
    guidance: Guidance | None = None,
    patience: float = 0.0,
) -> Captured:
    writer = owner_of(output)
    with acting_as(writer):
        if os.path.lexists(output) and not force:
            raise BirthmarkError("nuc.map-exists", str(output))
    with _opened(origin) as source:
        from device_agent.nuc_map import calibrate, guide
        from device_agent.nuc_map.frames import colour_planes

        if guidance is not None:
            made = guide.capture(source, frames, patience, guidance)
        else:
            made = _taken(source, origin, frames)
    header = made.header
    parts = map_file.parts(made)
    with acting_as(writer):
        Disk().replace(output, *parts)
    return Captured(
        file=str(output),
        bytes=sum(memoryview(part).nbytes for part in parts),
        sensor=header.sensor,
        width=header.width,
        height=header.height,
        pattern=header.pattern,
        bits=header.bits,
        flat_frames=header.flat_frames,
        dark_frames=header.dark_frames,
        reliability={
            plane.name: value for plane, value in zip(colour_planes(header.pattern), header.reliability, strict=True)
        },
        defective_pixels=calibrate.defective_pixels(made),
    )


def _taken(source: FrameSource, origin: str, frames: int) -> map_file.MapFile:
    from device_agent.nuc_map import calibrate

    # Flat first: a camera chooses the exposure for both under this light.
    _ready(origin, "Light the sensor evenly and brightly, with nothing in the picture.")
    with _progress("flat frames", frames) as step:
        flats = calibrate.take_flats(source, frames, step)
    _ready(origin, "Now cover the sensor so that no light comes in.")
    with _progress("dark frames", frames) as step:
        darks = calibrate.take_darks(source, frames, step)
    return calibrate.build(flats, darks)


@contextmanager
def _opened(origin: str, later: bool = False) -> Iterator[FrameSource]:
    """Open the source that --from names. Raises `nuc.no-numpy` where the libraries for it are missing."""
    _require("numpy")
    from device_agent.nuc_map.frames import return_large_memory

    return_large_memory()
    kind, _, number = origin.partition(":")
    if kind == CAMERA:
        from device_agent.nuc_map.camera import PiCamera

        with PiCamera(_number(number or "0", 64)) as camera:
            yield camera
    elif origin.startswith(SIMULATOR):
        from device_agent.nuc_map.sensor import FACTORY, LATER, SimulatedSensor

        yield SimulatedSensor(_number(number, _SEED_MAX), LATER if later else FACTORY)
    else:
        _require("tifffile")
        from device_agent.nuc_map.folder import FrameFolder

        yield FrameFolder(Path(origin))


def _require(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        raise BirthmarkError("nuc.no-numpy", library)


def _number(text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= largest):
        raise click.BadParameter(f"not a number from 0 to {largest}", param_hint="--from")
    return int(text)


def _ready(origin: str, what: str) -> None:
    """Wait until the person at the terminal has set up the light.

    Without one, the checks of the frames find what is wrong.
    """
    if origin.partition(":")[0] == CAMERA and sys.stdin.isatty():
        click.pause(f"{what} Then press any key.", err=True)


@contextmanager
def _progress(label: str, frames: int) -> Iterator[Progress]:
    with click.progressbar(length=frames, label=label, file=sys.stderr) as bar:
        yield _advance(bar.update)


def _advance(update: Callable[[int], None]) -> Progress:
    return lambda: update(1)


def _map_bytes(nuc_map: Path | None, state_dir: Path, tpm: str | None) -> bytes:
    if nuc_map is not None:
        return read_nuc_map(nuc_map).data
    with open_camera(state_dir, tpm) as camera:
        return camera.nuc_map()


def _told(captured: Captured, as_json: bool) -> None:
    if as_json:
        print_json(captured)
        return
    click.echo(
        f"Wrote {captured.file}: {captured.width} x {captured.height} pixels of {captured.sensor or 'a sensor'},"
        f" {captured.bytes:,} bytes, {captured.defective_pixels} pixels defective."
    )
    shares = ", ".join(f"{colour} {value:.0%}" for colour, value in captured.reliability.items())
    click.echo(f"Share of the pattern that is the sensor's: {shares}.")
    click.echo("Keep it private: its SHA-256 is this unit's fingerprint.")


def _tell_fit(fit: Fit, as_json: bool) -> None:
    if as_json:
        colours = [
            {
                "colour": each.colour,
                "correlation": round(each.correlation, 4),
                "expected": round(each.expected, 4),
                "agreement": round(each.agreement, 4),
            }
            for each in fit.colours
        ]
        print_json({"verdict": fit.verdict.value, "colours": colours})
        return
    click.echo(f"{'colour':8}{'correlation':>12}{'expected':>10}{'agreement':>11}")
    for each in fit.colours:
        click.echo(f"{each.colour:8}{each.correlation:12.3f}{each.expected:10.3f}{each.agreement:11.0%}")
    click.echo(f"Verdict: {fit.verdict.value}")
