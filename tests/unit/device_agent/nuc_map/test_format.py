"""The NUC map file has one encoding, and the decoder refuses any other."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from device_agent.nuc_map.format import MAGIC, PLANES, Header, MapFile, Plane, decode, encode
from shared.errors import BirthmarkError

CODES = {"nuc.map-not-one", "nuc.map-too-new", "nuc.map-damaged"}


def header(**changes: object) -> Header:
    made = Header(
        width=4,
        height=2,
        pattern="BGGR",
        bits=12,
        sensor="imx477",
        dark_frames=32,
        flat_frames=32,
        reliability=(0.75, 0.8, 0.8, 0.7),
    )
    return msgspec.structs.replace(made, **changes)


SMALL = MapFile(header(), bytes(range(16)), bytes(range(100, 116)))
DATA = encode(SMALL)


def sealed(head: object, planes: bytes = bytes(32), version: int = 1, spaces: int | None = None) -> bytes:
    """Make a file with any header and a correct check sum."""
    text = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-(16 + len(text)) % 64 if spaces is None else spaces)
    whole = struct.pack(">8sHHI", MAGIC, version, 0, len(text)) + text + planes
    return whole + struct.pack(">I", zlib.crc32(whole))


def as_written() -> dict[str, object]:
    return msgspec.json.decode(msgspec.json.encode(header()), type=dict[str, object])


@st.composite
def maps(draw: st.DrawFn) -> MapFile:
    mono = draw(st.booleans())
    width, height = (draw(st.integers(1, 8)) * 2 for _ in range(2))
    share = st.floats(0, 1).map(lambda value: round(value, 4))
    colours = 1 if mono else 4
    plane = st.binary(min_size=width * height * 2, max_size=width * height * 2)
    return MapFile(
        Header(
            width=width,
            height=height,
            pattern="MONO" if mono else draw(st.sampled_from(("BGGR", "GBRG", "GRBG", "RGGB"))),
            bits=draw(st.integers(8, 16)),
            sensor=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=64)),
            dark_frames=draw(st.integers(1, 65535)),
            flat_frames=draw(st.integers(1, 65535)),
            reliability=tuple(draw(st.lists(share, min_size=colours, max_size=colours))),
        ),
        draw(plane),
        draw(plane),
    )


@given(maps())
def test_a_written_map_is_read_again_and_encoded_the_same(nuc_map: MapFile) -> None:
    data = encode(nuc_map)
    read = decode(data)
    assert read.header == nuc_map.header
    assert (bytes(read.offset), bytes(read.gain)) == (nuc_map.offset, nuc_map.gain)
    assert encode(read) == data


def test_the_file_is_as_the_documentation_says_byte_by_byte() -> None:
    assert DATA[:8] == b"\x89NUC\r\n\x1a\n"
    assert struct.unpack(">HH", DATA[8:12]) == (1, 0)
    (length,) = struct.unpack(">I", DATA[12:16])
    assert (16 + length) % 64 == 0
    told = json.loads(DATA[16 : 16 + length])
    assert list(told) == [
        "width", "height", "pattern", "bits", "sensor", "dark_frames", "flat_frames", "reliability", "planes",
    ]  # fmt: skip
    assert told["planes"] == [
        {"name": "offset", "type": "uint16-le", "one": 65536},
        {"name": "gain", "type": "uint16-le", "one": 16384},
    ]
    assert DATA[16 + length : -4] == bytes(range(16)) + bytes(range(100, 116))
    assert DATA[-4:] == struct.pack(">I", zlib.crc32(DATA[:-4]))


@given(st.binary(max_size=400))
@example(b"")
@example(MAGIC)
@example(MAGIC + b"\0\1\0\0\xff\xff\xff\xff")
def test_no_bytes_raise_anything_but_our_error(data: bytes) -> None:
    with pytest.raises(BirthmarkError) as caught:
        decode(data)
    assert caught.value.code in CODES


@given(st.one_of(st.binary(max_size=300), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr)))
def test_no_header_raises_anything_but_our_error_though_its_check_sum_is_right(head: bytes | str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        decode(sealed(head if isinstance(head, bytes) else head.encode(errors="replace")))
    assert caught.value.code == "nuc.map-damaged"


@given(
    st.sampled_from(sorted(as_written())),
    st.none() | st.integers() | st.floats() | st.text(max_size=80) | st.lists(st.integers(), max_size=5),
)
def test_a_field_of_another_kind_is_never_more_than_our_error(field: str, value: object) -> None:
    try:
        decode(sealed({**as_written(), field: value}))
    except BirthmarkError as error:
        assert error.code == "nuc.map-damaged"  # noqa: PT017 — a value may also happen to be a good one


@given(st.integers(0, len(DATA) * 8 - 1))
def test_every_flipped_bit_is_noticed_and_changes_the_hash(bit: int) -> None:
    changed = bytearray(DATA)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BirthmarkError) as caught:
        decode(bytes(changed))
    assert caught.value.code in CODES
    assert hashlib.sha256(changed).digest() != hashlib.sha256(DATA).digest()


@given(st.integers(0, len(DATA) - 1))
def test_a_file_that_ends_early_is_noticed(length: int) -> None:
    with pytest.raises(BirthmarkError):
        decode(DATA[:length])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(sealed({**as_written(), "more": 1}), id="a field that version 1 has not"),
        pytest.param(sealed(as_written(), bytes(34)), id="a plane too long"),
        pytest.param(sealed(as_written(), bytes(30)), id="a plane too short"),
        pytest.param(sealed(as_written(), spaces=0), id="no padding"),
        pytest.param(sealed(dict(reversed(as_written().items()))), id="another order"),
        pytest.param(sealed({**as_written(), "width": 5}, bytes(40)), id="half a colour cell"),
        pytest.param(sealed({**as_written(), "width": 10**9}), id="a size nobody could hold"),
        pytest.param(sealed({**as_written(), "reliability": [0.5]}), id="one colour for four"),
        pytest.param(sealed({**as_written(), "pattern": "MONO"}), id="four colours for one"),
        pytest.param(sealed({**as_written(), "bits": 17}), id="17 bits"),
        pytest.param(sealed(b"[" * 100_000), id="a nesting bomb"),
        pytest.param(sealed(json.dumps(as_written()).replace(": ", ":").encode()), id="spaces between"),
    ],
)
def test_a_header_that_the_writer_would_not_have_written_does_not_read(data: bytes) -> None:
    with pytest.raises(BirthmarkError) as caught:
        decode(data)
    assert caught.value.code == "nuc.map-damaged"


def test_planes_of_another_meaning_are_not_read_as_ours() -> None:
    with pytest.raises(BirthmarkError) as caught:
        decode(encode(MapFile(header(planes=(Plane("offset", "uint16-le", 4096), PLANES[1])), bytes(16), bytes(16))))
    assert caught.value.code == "nuc.map-damaged"


def test_a_newer_version_is_named() -> None:
    with pytest.raises(BirthmarkError, match="version 2") as caught:
        decode(sealed(as_written(), version=2))
    assert caught.value.code == "nuc.map-too-new"


def test_a_map_larger_than_any_reader_takes_is_not_written() -> None:
    with pytest.raises(BirthmarkError) as caught:
        encode(MapFile(header(width=8192, height=4096), b"", b""))
    assert caught.value.code == "nuc.map-too-large"


def test_a_map_does_not_show_its_planes() -> None:
    assert "hidden" in repr(SMALL)
    assert "\\x" not in repr(SMALL)
