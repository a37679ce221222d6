"""A sealed backup opens again, and a changed one does not."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from shared.errors import BirthmarkError
from station.setup.backup.sealed_file import CHUNK, Opener
from tests.harness.sealed import PASSPHRASE, sealed


def opened(octets: bytes, size: int, passphrase: str = PASSPHRASE) -> bytes:
    opener = Opener(io.BytesIO(octets), passphrase)
    content = opener.read(size)
    opener.end()
    return content


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_sealed_file_opens_again(size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    assert opened(sealed(content), size) == content


@pytest.mark.usefixtures("quick")
def test_no_byte_can_be_changed_or_left_out() -> None:
    content = b"a station's secrets" * 9
    whole = sealed(content)
    for at in range(len(whole)):
        for changed in (
            whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :],
            whole[:at] + whole[at + 1 :],
            whole[:at],
        ):
            with pytest.raises(BirthmarkError, match=r"backup\."):
                opened(changed, len(content))


@pytest.mark.usefixtures("quick")
def test_no_chunk_can_be_moved_repeated_left_out_or_added() -> None:
    content = bytes(3 * CHUNK) + b"end"
    whole = sealed(content)
    line, rest = whole.split(b"\n", 1)
    step = CHUNK + 16
    chunks = [rest[at : at + step] for at in range(0, len(rest), step)]
    for order in ([1, 0, 2, 3], [0, 0, 1, 2, 3], [0, 2, 3], [0, 1, 2], [3], [0, 1, 2, 3, 3]):
        with pytest.raises(BirthmarkError, match=r"backup\."):
            opened(line + b"\n" + b"".join(chunks[number] for number in order), len(content))


@pytest.mark.usefixtures("quick")
def test_a_file_cut_between_two_chunks_is_damaged_and_never_a_shorter_one() -> None:
    whole = sealed(bytes(2 * CHUNK) + b"end")
    cut = whole[: -len(b"end") - 16]
    with pytest.raises(BirthmarkError) as raised:
        opened(cut, 2 * CHUNK)
    assert raised.value.code == "backup.damaged"


def test_another_passphrase_opens_nothing() -> None:
    with pytest.raises(BirthmarkError, match=r"backup\.not-opened"):
        opened(sealed(b"x"), 1, "correct horse batterz")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 2}, "backup.too-new"),
        ({"version": 2, "cipher": "one of the future"}, "backup.too-new"),
        ({"version": 0}, "backup.malformed"),
        ({"cipher": "AES-128-GCM"}, "backup.malformed"),
        ({"chunk": 1 << 40}, "backup.malformed"),
        ({"key": {"name": "scrypt", "n": 1 << 30, "r": 8, "p": 1, "salt": "00" * 16}}, "backup.malformed"),
        ({"key": {"name": "scrypt", "n": 1 << 17, "r": 8, "p": 1, "salt": "00" * 99}}, "backup.malformed"),
        ({"format": "another"}, "backup.malformed"),
    ],
)
def test_a_label_with_unknown_values_is_refused(change: dict[str, Any], code: str) -> None:
    line, rest = sealed(b"x").split(b"\n", 1)
    label = msgspec.json.encode(msgspec.json.decode(line) | change)
    with pytest.raises(BirthmarkError) as raised:
        opened(label + b"\n" + rest, 1)
    assert raised.value.code == code
