"""Edits the overlay lines of a Raspberry Pi's config.txt. Takes and returns bytes.

It follows these rules of the firmware (raspberrypi.com, "The config.txt file"): a line `[FILTER]` makes the lines after
it conditional, until `[all]`; `#` begins a comment line; `dtparam=` after `dtoverlay=NAME` sets a parameter of that
overlay; the later of two contradicting lines wins. All other bytes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.text import printable

USB_DEVICE: Final = "dwc2,dr_mode=peripheral"
"""The overlay that makes the board's USB controller a device; the package's udev rule acts on that controller."""

_COMMENT: Final = b"# For the Birthmark agent (birthmark-agent setup):"
_EVERYWHERE: Final = b"[all]"
_HOST_ONLY: Final = b"otg_mode=1"
"""Raspberry Pi OS has this line under [cm4]: it gives the port to a controller that can only be a host."""
_OTHERS_LINE: Final = b"dtoverlay=" + USB_DEVICE.encode("ascii")
"""`rpi-usb-gadget off` deletes exactly this line, and `on` deletes and appends it. Ours must not look like it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The result of an edit."""

    content: bytes
    added: tuple[str, ...]
    disabled: tuple[str, ...]
    """Lines that became comments, because they would undo a wanted one, with their filter: `otg_mode=1 under [cm4]`."""
    outdone: tuple[str, ...]
    """Lines for another mode of the same overlays, such as `dtoverlay=dwc2,dr_mode=host under [cm5]`. They stay: the
    later line wins, which is ours."""

    @property
    def changed(self) -> bool:
        return bool(self.added or self.disabled)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: bytes
    filter: bytes
    """The line `[FILTER]` that it stands under; empty under none or `[all]`."""

    def __str__(self) -> str:
        shown = printable(self.text.decode("ascii", "replace"), 80)
        return f"{shown} under {printable(self.filter.decode('ascii', 'replace'), 40)}" if self.filter else shown


@dataclass(frozen=True, slots=True)
class _Setting:
    """One parameter of an overlay, and the line that sets it."""

    line: _Line
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class _Overlay:
    """A `dtoverlay=` line and the parameters that it and the `dtparam=` lines after it set."""

    line: _Line
    name: bytes
    settings: list[_Setting]

    def of(self, wanted: _Wanted) -> list[_Setting]:
        """Return the settings of the wanted parameters only."""
        return [setting for setting in self.settings if setting.name in wanted.parameters]

    def says(self, wanted: _Wanted) -> bool:
        return self.name == wanted.name and {one.name: one.value for one in self.of(wanted)} == wanted.parameters

    def undoes(self, wanted: _Wanted) -> bool:
        """Whether it is the same overlay without the wanted parameters, such as `dwc2,dr_mode=host`."""
        return self.name == wanted.name and not self.says(wanted)

    def lines(self, wanted: _Wanted) -> list[_Line]:
        return [self.line, *(one.line for one in self.of(wanted))]


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: bytes
    parameters: dict[bytes, bytes]


def overlay_lines(overlay: str) -> tuple[str, ...]:
    """Return the lines for an overlay `NAME` or `NAME,PARAMETER=…`: each parameter has its own."""
    name, *parameters = overlay.split(",")
    return (f"dtoverlay={name}", *(f"dtparam={parameter}" for parameter in parameters))


def with_overlays(content: bytes, overlays: tuple[str, ...]) -> Edit:
    """Return `content` with each overlay active on every board.

    Adds no overlay that is active already; moves one behind a later line that undoes it, and writes the line that
    `rpi-usb-gadget` deletes in another form. Adds lines at the end, under `[all]`.
    """
    lines = content.split(b"\n")
    newline = b"\r\n" if lines[0].endswith(b"\r") else b"\n"
    active = tuple(_active(lines))
    found = tuple(_overlays(active))
    missing: list[str] = []
    dropped: set[int] = set()
    outdone: list[str] = []
    for overlay in overlays:
        wanted = _wanted(overlay)
        rivals = [one for one in found if one.undoes(wanted)]
        last_rival = max((line.number for one in rivals for line in one.lines(wanted)), default=-1)
        same = [one for one in found if one.says(wanted) and not any(line.filter for line in one.lines(wanted))]
        if not any(one.line.number > last_rival and one.line.text != _OTHERS_LINE for one in same):
            missing.append(overlay)
            for one in same:
                here = one.lines(wanted)
                if len(one.settings) == len(one.of(wanted)):  # else what follows would become another overlay's
                    dropped |= {line.number for line in here}
        outdone += [
            str(one.line) for rival in rivals for one in rival.of(wanted) if one.value != wanted.parameters[one.name]
        ]
    host_only = [line for line in active if line.text.replace(b" ", b"") == _HOST_ONLY]
    if USB_DEVICE not in overlays:
        host_only = []
    comments = {line.number for line in host_only}
    kept = [b"#" + line if number in comments else line for number, line in enumerate(lines) if number not in dropped]
    added = tuple(line for overlay in missing for line in overlay_lines(overlay))
    disabled = tuple(str(line) for line in host_only)
    return Edit(_ended(b"\n".join(kept), added, newline), added, disabled, tuple(outdone))


def _ended(content: bytes, added: tuple[str, ...], newline: bytes) -> bytes:
    if not added:
        return content
    if content and not content.endswith(b"\n"):
        content += newline
    block = [b"", _COMMENT, _EVERYWHERE, *(line.encode("ascii") for line in added)]
    return content + b"".join(line + newline for line in (block if content else block[1:]))


def _active(lines: list[bytes]) -> Iterator[_Line]:
    """Yield the lines that are neither empty, nor comments, nor filters."""
    under = b""
    for number, line in enumerate(lines):
        text = line.strip()
        if text.startswith(b"[") and text.endswith(b"]"):
            # Filters of different kinds add up; only [all] takes them all away.
            under = b"" if text.lower() == _EVERYWHERE else text
        elif text and not text.startswith(b"#"):
            yield _Line(number, text, under)


def _overlays(active: tuple[_Line, ...]) -> Iterator[_Overlay]:
    """Yield each overlay with its parameters. The name may also end in a colon, the older form."""
    current: _Overlay | None = None
    for line in active:
        key, _, value = (part.strip() for part in line.text.partition(b"="))
        if key == b"dtoverlay":
            if current is not None:
                yield current
            name, *parameters = (part.strip() for part in value.replace(b":", b",", 1).split(b","))
            current = _Overlay(line, name, list(_settings(line, parameters)))
        elif key == b"dtparam" and current is not None:
            current.settings.extend(_settings(line, value.split(b",")))
    if current is not None:
        yield current


def _settings(line: _Line, parameters: list[bytes]) -> Iterator[_Setting]:
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition(b"="))
        yield _Setting(line, name, value)


def _wanted(overlay: str) -> _Wanted:
    name, *parameters = overlay.encode("ascii").split(b",")
    return _Wanted(name, {key: value for key, _, value in (one.partition(b"=") for one in parameters)})
