"""The digest over a session's frames."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.transcript import Transcript

frames = st.lists(st.binary(max_size=20), max_size=5)


def digest(payloads: list[bytes]) -> bytes:
    transcript = Transcript()
    for payload in payloads:
        transcript.absorb(payload)
    return transcript.digest()


def test_it_is_sha_256_over_a_label_and_each_frame_behind_its_length() -> None:
    expected = hashlib.sha256(b"birthmark session\0" + b"\0\0\0\2ab" + b"\0\0\0\0" + b"\0\0\0\1c").digest()
    assert digest([b"ab", b"", b"c"]) == expected


@given(frames, frames)
def test_two_conversations_have_one_digest_only_if_they_are_the_same(one: list[bytes], other: list[bytes]) -> None:
    assert (digest(one) == digest(other)) is (one == other)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_frames_do_not_run_into_one_another(a: bytes, b: bytes) -> None:
    assert digest([a, b]) != digest([a + b])
    assert digest([a, b]) != digest([a, b, b""])
