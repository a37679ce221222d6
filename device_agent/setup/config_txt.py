"""Edits the overlay lines of a Raspberry Pi's config.txt. Takes and returns bytes.

It follows these rules of the firmware (raspberrypi.com, "The config.txt file"): a line `[FILTER]` makes the lines after
it conditional, until `[all]`; `#` begins a comment line; the later of two contradicting lines wins. All other bytes
stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

USB_DEVICE: Final = "dwc2,dr_mode=peripheral"
"""The overlay that makes the board's USB controller a device; the package's udev rule acts on that controller."""

_COMMENT: Final = b"# For the Birthmark agent (birthmark-agent setup):"
_EVERYWHERE: Final = b"[all]"
_HOST_ONLY: Final = b"otg_mode=1"
"""Raspberry Pi OS has this line under [cm4]: it gives the port to a controller that can only be a host."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The result of an edit."""

    content: bytes
    added: tuple[str, ...]
    disabled: tuple[str, ...]
    """Lines that became comments, because they would undo a wanted one."""

    @property
    def changed(self) -> bool:
        return bool(self.added or self.disabled)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: bytes
    conditional: bool


def with_overlays(content: bytes, overlays: tuple[str, ...]) -> Edit:
    """Return `content` with an active `dtoverlay=` line, on every board, for each overlay.

    An overlay is `NAME` or `NAME,PARAMETER=…`. Adds no line that is active already; moves a line behind a later one of
    the same overlay that undoes it. Adds lines at the end, under `[all]`.
    """
    lines = content.split(b"\n")
    newline = b"\r\n" if lines[0].endswith(b"\r") else b"\n"
    active = tuple(_active(lines))
    missing, dropped = [], set()
    for overlay in overlays:
        same = [line for line in active if _says(line.text, overlay)]
        rivals = [line.number for line in active if _undoes(line.text, overlay)]
        in_force = [line for line in same if not line.conditional and line.number > max(rivals, default=-1)]
        if not in_force:
            missing.append(overlay)
            dropped |= {line.number for line in same if not line.conditional}
    host_only = {line.number for line in active if line.text.replace(b" ", b"") == _HOST_ONLY}
    if USB_DEVICE not in overlays:
        host_only = set()
    kept = [b"#" + line if number in host_only else line for number, line in enumerate(lines) if number not in dropped]
    added = tuple(f"dtoverlay={overlay}" for overlay in missing)
    return Edit(_ended(b"\n".join(kept), added, newline), added, tuple(_HOST_ONLY.decode() for _ in host_only))


def _ended(content: bytes, added: tuple[str, ...], newline: bytes) -> bytes:
    if not added:
        return content
    if content and not content.endswith(b"\n"):
        content += newline
    block = [b"", _COMMENT, _EVERYWHERE, *(line.encode("ascii") for line in added)]
    return content + b"".join(line + newline for line in (block if content else block[1:]))


def _active(lines: list[bytes]) -> Iterator[_Line]:
    """Yield the lines that are neither empty, nor comments, nor filters."""
    conditional = False
    for number, line in enumerate(lines):
        text = line.strip()
        if text.startswith(b"[") and text.endswith(b"]"):
            # Filters of different kinds add up; only [all] takes them all away.
            conditional = text.lower() != _EVERYWHERE
        elif text and not text.startswith(b"#"):
            yield _Line(number, text, conditional)


def _overlay(text: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
    """Return name and parameters of a `dtoverlay=` line. The name may also end in a colon, the older form."""
    key, _, value = text.partition(b"=")
    if key.strip() != b"dtoverlay":
        return None
    name, *parameters = (part.strip() for part in value.strip().replace(b":", b",", 1).split(b","))
    return name, tuple(parameters)


def _says(text: bytes, overlay: str) -> bool:
    name, *parameters = overlay.encode("ascii").split(b",")
    found = _overlay(text)
    return found is not None and found[0] == name and set(parameters) <= set(found[1])


def _undoes(text: bytes, overlay: str) -> bool:
    """Whether a line is for the same overlay without the wanted parameters, such as `dwc2,dr_mode=host`."""
    name = overlay.encode("ascii").partition(b",")[0]
    found = _overlay(text)
    return found is not None and found[0] == name and not _says(text, overlay)
