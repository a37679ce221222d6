"""What is packed can be unpacked, here and with `tar`; whatever is no plain tar file of regular files is refused."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BirthmarkError
from station.setup.backup.tar_file import CHUNK, Member, pack, unpack
from tests.harness.backup_files import entry

END: Final = bytes(1024)


def packed(files: dict[str, bytes]) -> bytes:
    return b"".join(pack((Member(name, len(content), [content]) for name, content in files.items()), 1_795_500_000))


def unpacked(octets: bytes) -> dict[str, bytes]:
    return {member.name: b"".join(member.content) for member in unpack(io.BytesIO(octets))}


FILES: Final = {"a": b"", "b/c": b"x", f"d/{'e' * 98}": bytes(512), "f": b"y" * (2 * CHUNK + 1)}


def test_files_are_unpacked_as_they_were_packed() -> None:
    assert unpacked(packed(FILES)) == FILES


def test_tar_unpacks_them_privately_and_we_unpack_what_tar_packs(tmp_path: Path) -> None:
    subprocess.run(["tar", "-x", "-C", tmp_path], input=packed(FILES), check=True)
    for name, content in FILES.items():
        assert (tmp_path / name).read_bytes() == content
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / name).stat().st_mtime == 1_795_500_000
    again = subprocess.run(["tar", "-c", "-C", tmp_path, *FILES], check=True, capture_output=True).stdout
    assert unpacked(again) == FILES


def test_a_file_may_have_more_than_eight_gigabytes() -> None:
    """The octal digits of a size end there."""
    size = 1 << 40
    start = next(pack([Member("registry.sqlite", size, [])], 0))
    member = next(unpack(io.BytesIO(start)))
    assert (member.name, member.size) == ("registry.sqlite", size)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        bytes(511),
        b"junk" * 128,
        entry("a", type=tarfile.SYMTYPE, linkname="/etc/passwd") + END,
        entry("a", type=tarfile.LNKTYPE, linkname="b") + END,
        entry("a", type=tarfile.DIRTYPE) + END,
        entry("a/", type=tarfile.AREGTYPE) + END,
        entry("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3) + END,
        entry("a", type=tarfile.BLKTYPE) + END,
        entry("a", type=tarfile.FIFOTYPE) + END,
        entry("a", type=tarfile.CONTTYPE) + END,
        entry("a", b"name", type=tarfile.GNUTYPE_LONGNAME) + entry("a") + END,
        entry("a", b"name", type=tarfile.GNUTYPE_LONGLINK) + entry("a") + END,
        entry("a", type=tarfile.GNUTYPE_SPARSE) + END,
        entry("a", b"11 path=../b\n", type=tarfile.XHDTYPE) + entry("a") + END,
        entry("a", b"11 path=../b\n", type=tarfile.XGLTYPE) + entry("a") + END,
        entry("a", b"x", type=b"?") + END,
        entry("ü") + END,
        entry("a", size=-1) + END,
        entry("a", b"x", size=1 << 80) + END,
        entry("a", b"x"),
        entry("a", b"x") + bytes(100),
        entry("a", b"x") + END + b"more",
        entry("a", b"x") + END + entry("b", b"x") + END,
        entry("a", b"x")[:600],
        entry("a", b"x").replace(b"ustar", b"xxxxx") + END,  # the check sum shows it
    ],
)
def test_what_is_no_plain_tar_file_of_regular_files_is_refused(octets: bytes) -> None:
    with pytest.raises(BirthmarkError, match=r"backup\.malformed"):
        unpacked(octets)


def test_a_header_of_any_size_takes_no_memory() -> None:
    """An extended header has a size of its own, which tarfile reads whole."""
    hostile = entry("a", bytes(32 << 20), type=tarfile.XHDTYPE) + END
    tracemalloc.start()
    try:
        with pytest.raises(BirthmarkError, match=r"backup\.malformed"):
            next(unpack(io.BytesIO(hostile)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@given(st.binary(max_size=2000), st.integers(0, 511), st.binary(max_size=20))
def test_any_octets_are_unpacked_or_refused(octets: bytes, at: int, change: bytes) -> None:
    start = packed({"a": b"x" * 600, "b": b"y"})
    for tried in (octets, start[:at] + change + start[at + len(change) :]):
        with suppress(BirthmarkError):
            unpacked(tried)
