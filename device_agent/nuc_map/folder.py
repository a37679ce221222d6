"""Reads frames from a folder: .npy or .dng files in its `flat/` and `dark/`, in the order of their names.

`frames.json` beside the two describes .npy files; a .dng file describes itself. Every file is hostile: a file too large
for a map is not read, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
import numpy as np
import tifffile
from msgspec import Meta
from numpy.lib import format as npy
from numpy.typing import NDArray

from device_agent.nuc_map.frames import Frame, FrameFormat, Light, Pixels, bands, frame_format
from runtime.files import read_bounded
from shared.errors import BirthmarkError

DESCRIPTION: Final = "frames.json"
_DESCRIPTION_BYTES: Final = 4096
_SUFFIXES: Final = (".npy", ".dng")

# Tags of DNG 1.6 and TIFF/EP, and their values.
_CFA: Final = 32803
_LINEAR_RAW: Final = 34892
_CFA_PATTERN: Final = 33422
_MODEL: Final = 272
_WHITE_LEVEL: Final = 50717
_UNCOMPRESSED: Final = 1
_PAGES_MAX: Final = 16


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`frames.json`."""

    pattern: str
    bits: int
    sensor: Annotated[str, Meta(max_length=64)] = ""


class FrameFolder:
    """A `FrameSource`. Raises `nuc.frames-unreadable`, which names the file and never quotes its content."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def frames(self, light: Light, count: int) -> Iterator[Frame]:
        folder = self._path / light.value
        try:
            names = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in _SUFFIXES)
        except OSError as error:
            raise BirthmarkError("nuc.frames-unreadable", f"{folder}: {error.strerror}") from error
        for path in names[:count]:
            yield self._read(path)

    def _read(self, path: Path) -> Frame:
        if path.suffix.lower() == ".npy":
            description = self._read_description()
            with _TranslateErrors(path), path.open("rb") as file:
                pixels = _read_npy_pixels(file)
                height, width = pixels.shape
            return Frame(frame_format(width, height, description.pattern, description.bits, description.sensor), pixels)
        with _TranslateErrors(path), path.open("rb") as file, tifffile.TiffFile(file) as tiff:
            page = _find_raw_page(tiff)
            format_, stored_bits = _read_dng_format(page)
            return Frame(format_, _read_dng_pixels(file, page, format_, stored_bits, tiff.byteorder))

    def _read_description(self) -> _Description:
        path = self._path / DESCRIPTION
        with _TranslateErrors(path):
            return msgspec.json.decode(read_bounded(path, _DESCRIPTION_BYTES), type=_Description)


class _TranslateErrors:
    """Turns every error except our own into `nuc.frames-unreadable`.

    tifffile and numpy document no error family for bad files: they raise KeyError, struct.error or MemoryError as well
    as ValueError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, BirthmarkError) or not isinstance(error, Exception):
            return
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise BirthmarkError("nuc.frames-unreadable", f"{self._path} ({reason})") from error


def _read_npy_pixels(file: BinaryIO) -> Pixels:
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, fortran, kind = read_header(file)
    if len(shape) != 2 or kind.kind != "u" or kind.itemsize > 2:
        raise BirthmarkError("nuc.frames-wrong-shape", "a .npy frame has two dimensions of uint8 or uint16")
    frame_format(shape[1], shape[0], "MONO", 16, "")  # bounds the size
    data = np.empty((shape[0], shape[1] * kind.itemsize), np.uint8)
    _read_exactly(file, data.data.cast("B"))
    pixels = data.reshape(-1).view(kind).reshape(shape, order="F" if fortran else "C")
    return pixels.astype(np.uint16, copy=False)


def _read_exactly(file: BinaryIO, into: memoryview) -> None:
    if file.readinto(into) != len(into):  # type: ignore[attr-defined]
        raise EOFError


def _find_raw_page(tiff: tifffile.TiffFile) -> Any:
    """Return the page with raw data: picamera2 writes one page, rpicam-apps nests it in a preview's page."""
    for page in islice(tiff.pages, _PAGES_MAX):
        inner = page.pages[:_PAGES_MAX] if isinstance(page, tifffile.TiffPage) and page.pages is not None else []
        for candidate in (page, *inner):
            if isinstance(candidate, tifffile.TiffPage) and int(candidate.photometric) in (_CFA, _LINEAR_RAW):
                return candidate
    raise ValueError("no page with raw data")


def _read_dng_format(page: Any) -> tuple[FrameFormat, int]:
    """Return the page's format, and the bits that each pixel takes in the file."""
    stored_bits = page.bitspersample
    if int(page.compression) != _UNCOMPRESSED or page.samplesperpixel != 1 or stored_bits not in (8, 10, 12, 14, 16):
        raise BirthmarkError("nuc.frames-unreadable", "a .dng frame has to be uncompressed, with one sample a pixel")
    pattern = "MONO"
    if int(page.photometric) == _CFA:
        pattern = "".join("RGB"[colour] for colour in bytes(page.tags.valueof(_CFA_PATTERN)))
    white = np.atleast_1d(page.tags.valueof(_WHITE_LEVEL, default=(1 << stored_bits) - 1))[0]
    model = page.tags.valueof(_MODEL, default="")
    return frame_format(page.imagewidth, page.imagelength, pattern, int(white).bit_length(), str(model)), stored_bits


def _read_dng_pixels(file: BinaryIO, page: Any, format_: FrameFormat, stored_bits: int, order: str) -> Pixels:
    """Read the pixels of consecutive strips, or of one tile that covers the picture."""
    row_bytes = format_.width * stored_bits // 8
    if page.is_tiled and (page.tilewidth, page.tilelength) != (format_.width, format_.height):
        raise BirthmarkError("nuc.frames-unreadable", "a .dng frame has to be in strips or one tile")
    if format_.width * stored_bits % 8 or sum(page.databytecounts) != row_bytes * format_.height:
        raise ValueError("its size is not what its tags say")
    data = np.empty((format_.height, row_bytes), np.uint8)
    left = data.data.cast("B")
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        _read_exactly(file, left[:size])
        left = left[size:]
    if stored_bits in (8, 16):
        return data.view("u1" if stored_bits == 8 else order + "u2").astype(np.uint16, copy=False)
    return from_bit_stream(data, stored_bits)


def from_bit_stream(rows: NDArray[np.uint8], bits: int) -> Pixels:
    """Unpack pixels of 10, 12 or 14 bits, packed without gaps, highest bit first (TIFF 6.0, FillOrder 1)."""
    group = {10: 4, 12: 2, 14: 4}[bits]
    group_bytes = group * bits // 8
    pixels = np.empty((rows.shape[0], rows.shape[1] // group_bytes * group), np.uint16)
    for band in bands(len(rows)):
        for place in range(group):
            first, end = place * bits // 8, -(-(place + 1) * bits // 8)
            word = np.zeros((len(rows[band]), rows.shape[1] // group_bytes), np.uint32)
            for byte in range(first, end):
                word = (word << 8) | rows[band, byte::group_bytes]
            pixels[band, place::group] = (word >> (end * 8 - (place + 1) * bits)) & ((1 << bits) - 1)
    return pixels
