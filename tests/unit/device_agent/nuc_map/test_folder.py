"""Frames from files: .npy, the DNGs of picamera2 and of rpicam-apps, and malformed files."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_agent.nuc_map.folder import FrameFolder
from device_agent.nuc_map.frames import Frame, Light
from shared.errors import BirthmarkError

PIDNG = Path(__file__).parents[3] / "data" / "nuc_map"
PIXELS = np.arange(96 * 98, dtype=np.uint16).reshape(96, 98) % 4096
DESCRIPTION = {"pattern": "RGGB", "bits": 12, "sensor": "imx477"}


def folder_with(tmp_path: Path, name: str, data: bytes, description: object = DESCRIPTION) -> FrameFolder:
    (tmp_path / "flat").mkdir(exist_ok=True)
    (tmp_path / "flat" / name).write_bytes(data)
    (tmp_path / "frames.json").write_text(json.dumps(description))
    return FrameFolder(tmp_path)


def the_frame(folder: FrameFolder) -> Frame:
    (frame,) = folder.frames(Light.FLAT, 10)
    return frame


def refused(folder: FrameFolder) -> str:
    with pytest.raises(BirthmarkError) as caught:
        list(folder.frames(Light.FLAT, 10))
    return caught.value.code


def npy(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def rpicam_dng(
    pixels: np.ndarray,
    bits: int = 12,
    *,
    rowsperstrip: int | None = None,
    compression: str | None = None,
    tile: tuple[int, int] | None = None,
) -> bytes:
    """Make a DNG as rpicam-still does: a small preview, and the raw page in it as a SubIFD of words in strips."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.zeros((8, 12, 3), np.uint8), photometric="rgb", subifds=1)
        extra: list[tuple[int, str, int, object, bool]] = [
            (33421, "H", 2, (2, 2), False),
            (33422, "B", 4, (2, 1, 1, 0), False),
            (50717, "I", 1, (1 << bits) - 1, False),
            (272, "s", 0, "imx708", False),
        ]
        writer.write(
            pixels,
            photometric="cfa",
            subfiletype=0,
            extratags=extra,
            rowsperstrip=rowsperstrip,
            compression=compression,
            tile=tile,
        )
    return file.getvalue()


@pytest.mark.parametrize("stored", [PIXELS, PIXELS.astype(">u2"), np.asfortranarray(PIXELS)])
def test_an_npy_frame_is_read_in_any_order(tmp_path: Path, stored: np.ndarray) -> None:
    frame = the_frame(folder_with(tmp_path, "a.npy", npy(stored)))
    assert (frame.pixels == PIXELS).all()
    assert (frame.format.width, frame.format.height, frame.format.pattern) == (98, 96, "RGGB")
    assert (frame.format.bits, frame.format.sensor) == (12, "imx477")


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_dng_of_picamera2_is_read(tmp_path: Path, bits: int) -> None:
    frame = the_frame(folder_with(tmp_path, "a.dng", (PIDNG / f"pidng-{bits}.dng").read_bytes()))
    y, x = np.mgrid[0:96, 0:96]
    assert (frame.pixels == (37 * x + 101 * y) % (1 << bits)).all()
    assert (frame.format.pattern, frame.format.bits) == ("BGGR", bits)


@pytest.mark.parametrize("rows", [1, 40, None])
def test_a_dng_of_rpicam_apps_is_read(tmp_path: Path, rows: int | None) -> None:
    frame = the_frame(folder_with(tmp_path, "a.DNG", rpicam_dng(PIXELS, rowsperstrip=rows)))
    assert (frame.pixels == PIXELS).all()
    assert (frame.format.pattern, frame.format.bits, frame.format.sensor) == ("BGGR", 12, "imx708")


def test_frames_come_in_the_order_of_their_names_and_no_more_than_asked(tmp_path: Path) -> None:
    for number in (3, 1, 2):
        folder = folder_with(tmp_path, f"{number}.npy", npy(PIXELS * 0 + number))
    folder_with(tmp_path, "notes.txt", b"not a frame")
    assert [int(frame.pixels[0, 0]) for frame in folder.frames(Light.FLAT, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.npy", b"", "nuc.frames-unreadable"),
        ("a.npy", npy(PIXELS)[:-1], "nuc.frames-unreadable"),
        ("a.npy", npy(np.array([{"a": 1}], dtype=object)), "nuc.frames-wrong-shape"),
        ("a.npy", npy(PIXELS.astype(np.float32)), "nuc.frames-wrong-shape"),
        ("a.npy", npy(PIXELS[0]), "nuc.frames-wrong-shape"),
        ("a.npy", npy(PIXELS[:, :97]), "nuc.frames-wrong-shape"),
        ("a.npy", npy(PIXELS).replace(b"(96, 98)", b"(9**9,9)"), "nuc.frames-unreadable"),
        ("a.dng", b"II*\0\x08\0\0\0", "nuc.frames-unreadable"),
        ("a.dng", rpicam_dng(PIXELS)[:-1000], "nuc.frames-unreadable"),
        ("a.dng", rpicam_dng(PIXELS, compression="zlib"), "nuc.frames-unreadable"),
        ("a.dng", rpicam_dng(PIXELS, tile=(16, 16)), "nuc.frames-unreadable"),
        ("a.dng", rpicam_dng(PIXELS.astype(np.float32)), "nuc.frames-unreadable"),
    ],
)
def test_a_file_that_is_no_good_frame_is_named(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    assert refused(folder_with(tmp_path, name, data)) == code


def test_a_huge_frame_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = npy(PIXELS).replace(b"(96, 98), }    ", b"(16384, 16384)}")
    assert refused(folder_with(tmp_path, "a.npy", huge)) == "nuc.frames-wrong-shape"


@pytest.mark.parametrize("description", [{}, {"pattern": "RGGB"}, {**DESCRIPTION, "bits": "12"}, [1], "x" * 9000])
def test_an_invalid_description_is_named(tmp_path: Path, description: object) -> None:
    assert refused(folder_with(tmp_path, "a.npy", npy(PIXELS), description)) == "nuc.frames-unreadable"


def test_no_description_and_no_folder_are_named(tmp_path: Path) -> None:
    assert refused(FrameFolder(tmp_path / "nowhere")) == "nuc.frames-unreadable"
    folder = folder_with(tmp_path, "a.npy", npy(PIXELS))
    (tmp_path / "frames.json").unlink()
    assert refused(folder) == "nuc.frames-unreadable"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["a.npy", "a.dng"]), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4))
def test_no_damage_to_a_file_raises_anything_but_our_error(
    tmp_path: Path, name: str, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(npy(PIXELS) if name == "a.npy" else rpicam_dng(PIXELS))
    for place, byte in damage:
        data[place] = byte
    shutil.rmtree(tmp_path / "flat", ignore_errors=True)
    try:
        frame = the_frame(folder_with(tmp_path, name, bytes(data)))
    except BirthmarkError as error:
        assert error.code in {"nuc.frames-unreadable", "nuc.frames-wrong-shape"}  # noqa: PT017 — it may also be read
    else:
        assert frame.pixels.shape == (frame.format.height, frame.format.width)
