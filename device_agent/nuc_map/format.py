"""Encodes and decodes the NUC map file, version 1, without numpy. `docs/nuc-map.md` defines it byte by byte.

The encoding is canonical: `decode` accepts only files that `encode` would have written. The NUC hash is the SHA-256 of
the whole file.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from shared import limits
from shared.errors import BirthmarkError

MAGIC: Final = b"\x89NUC\r\n\x1a\n"
"""As in PNG: a transfer that strips the eighth bit or changes line ends breaks it."""
VERSION: Final = 1
DEFECTIVE: Final = 0
"""The gain of a pixel that does not respond to light as its neighbours do."""
GAIN_ONE: Final = 1 << 14
"""1.0 in the gain plane."""
FULL_SCALE: Final = 1 << 16
"""White in the offset plane."""

_PREFIX: Final = struct.Struct(">8sHHI")
_CRC: Final = struct.Struct(">I")
_HEADER_BYTES: Final = 4096
_ALIGNMENT: Final = 64
_SAMPLE_BYTES: Final = 2

Side = Annotated[int, Meta(ge=2, le=16384)]
Frames = Annotated[int, Meta(ge=1, le=65535)]
Pattern = Literal["BGGR", "GBRG", "GRBG", "RGGB", "MONO"]
Buffer = bytes | bytearray | memoryview


class Plane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Describes one plane to a reader who has only the file."""

    name: str
    type: str
    one: int
    """The stored number that stands for 1.0."""


PLANES: Final = (Plane("offset", "uint16-le", FULL_SCALE), Plane("gain", "uint16-le", GAIN_ONE))


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describes the map. Limits are checked on decoding, not on construction."""

    width: Side
    height: Side
    """Pixels; both even for a Bayer pattern."""
    pattern: Pattern
    """Colours of the first two pixels of the first row and of the second; MONO for none."""
    bits: Annotated[int, Meta(ge=8, le=16)]
    """Significant bits of the frames: their white is 2**bits - 1."""
    sensor: Annotated[str, Meta(max_length=64)]
    """The sensor's model as the frame source names it."""
    dark_frames: Frames
    flat_frames: Frames
    reliability: Annotated[tuple[Annotated[float, Meta(ge=0, le=1)], ...], Meta(min_length=1, max_length=4)]
    """For each colour plane the share, 0 to 1, of the gain's variance that is the sensor's and not noise."""
    planes: tuple[Plane, ...] = PLANES

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class MapFile:
    """A NUC map. `offset` and `gain` are planes of `height` rows of `width` little-endian uint16; they are secret."""

    header: Header
    offset: Buffer
    gain: Buffer

    def __repr__(self) -> str:
        return f"MapFile({self.header}, planes hidden)"


def encode(nuc_map: MapFile) -> bytes:
    """Return the file's bytes. Raises `nuc.map-too-large` above `limits.NUC_MAP_BYTES`."""
    return b"".join(parts(nuc_map))


def parts(nuc_map: MapFile) -> tuple[Buffer, ...]:
    """Return the same as `encode`, in parts without copies of the planes."""
    head = _encode_header(nuc_map.header)
    plane_bytes = nuc_map.header.pixels * _SAMPLE_BYTES
    if len(head) + 2 * plane_bytes + _CRC.size > limits.NUC_MAP_BYTES:
        raise BirthmarkError("nuc.map-too-large", f"{nuc_map.header.width} x {nuc_map.header.height} pixels")
    for plane in (nuc_map.offset, nuc_map.gain):
        if memoryview(plane).nbytes != plane_bytes:
            raise ValueError("a plane is not of the size the header says")
    crc = zlib.crc32(nuc_map.gain, zlib.crc32(nuc_map.offset, zlib.crc32(head)))
    return head, nuc_map.offset, nuc_map.gain, _CRC.pack(crc)


def decode(data: bytes) -> MapFile:
    """Return the map in a whole file's bytes; its planes are views of `data`.

    Raises `nuc.map-not-one` for another kind of file, `nuc.map-too-large`, `nuc.map-too-new` for another version, and
    `nuc.map-damaged` for any changed, missing or added bit, and for a header that `encode` would not have written.
    """
    if len(data) < _PREFIX.size or not data.startswith(MAGIC):
        raise BirthmarkError("nuc.map-not-one")
    if len(data) > limits.NUC_MAP_BYTES:
        raise BirthmarkError("nuc.map-too-large")
    _, version, _, header_bytes = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise BirthmarkError("nuc.map-too-new", f"version {version}")
    start = _PREFIX.size + header_bytes
    if header_bytes > _HEADER_BYTES or len(data) < start + _CRC.size:
        raise BirthmarkError("nuc.map-damaged", "it ends early")
    if zlib.crc32(memoryview(data)[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
        raise BirthmarkError("nuc.map-damaged", "its check sum is wrong")
    header = _decode_header(data[:start])
    plane_bytes = header.pixels * _SAMPLE_BYTES
    if len(data) != start + 2 * plane_bytes + _CRC.size:
        raise BirthmarkError("nuc.map-damaged", "its size is not what its header says")
    planes = memoryview(data)[start : -_CRC.size]
    return MapFile(header, planes[:plane_bytes], planes[plane_bytes:])


def _encode_header(header: Header) -> bytes:
    """Return prefix and header, padded with spaces so that the planes begin at a multiple of 64 bytes."""
    text = msgspec.json.encode(header)
    text += b" " * (-(_PREFIX.size + len(text)) % _ALIGNMENT)
    return _PREFIX.pack(MAGIC, VERSION, 0, len(text)) + text


_header_decoder: Final = msgspec.json.Decoder(Header)


def _decode_header(head: bytes) -> Header:
    try:
        header = _header_decoder.decode(head[_PREFIX.size :])
    except (ValueError, RecursionError):  # not chained: msgspec quotes what it read
        raise BirthmarkError("nuc.map-damaged", "its header cannot be read") from None
    bayer = header.pattern != "MONO"
    if (
        _encode_header(header) != head
        or header.planes != PLANES
        or len(header.reliability) != (4 if bayer else 1)
        or (bayer and (header.width % 2 or header.height % 2))
    ):
        raise BirthmarkError("nuc.map-damaged", "its header is not one of version 1")
    return header
