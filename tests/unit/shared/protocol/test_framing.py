"""Frames found in streams that are cut, noisy and damaged."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder, encode_frame

payloads = st.lists(st.binary(max_size=600), max_size=6)
noise = st.one_of(
    st.binary(max_size=80), st.sampled_from([b"", b"\0", b"\0\0\0", b"AT+GCAP\r", b"raspberrypi login: ", b"\0half"])
)


def decoded(stream: bytes, cuts: Iterable[int] = ()) -> list[bytes]:
    decoder = FrameDecoder()
    found, begin = [], 0
    for end in (*sorted(cuts), len(stream)):
        found += decoder.receive(stream[begin:end])
        begin = end
    return found


def test_a_frame_has_these_bytes_on_the_wire() -> None:
    assert encode_frame(b"hello") == bytes.fromhex("00 0a 68656c6c6f 3610a686 00")


@given(payloads, st.data())
def test_any_split_and_any_noise_between_frames_give_the_same_payloads(sent: list[bytes], data: st.DataObject) -> None:
    stream = data.draw(noise)
    for payload in sent:
        stream += encode_frame(payload) + data.draw(noise)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    assert decoded(stream, cuts) == sent
    assert decoded(stream, range(len(stream))) == sent


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4), st.data())
def test_one_damaged_byte_costs_at_most_the_frame_it_is_in(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(payload) for payload in sent)
    at = data.draw(st.integers(0, len(stream) - 1))
    flipped = bytes([stream[at] ^ data.draw(st.integers(1, 255))])
    for damaged in (flipped, b"", stream[at : at + 1] * 2):
        found = decoded(stream[:at] + damaged + stream[at + 1 :])
        spared = [[*sent[:lost], *sent[lost + 1 :]] for lost in range(len(sent))]
        assert found in (sent, *spared)


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(1, 400))
def test_a_frame_that_lost_a_stretch_is_never_another_frame(payload: bytes, begin: int, length: int) -> None:
    stream = encode_frame(payload)
    assert decoded(stream[:begin] + stream[begin + length :]) in ([], [payload])


@pytest.mark.parametrize("octet", [b"\0", b"\1", b"\xff"])
def test_the_largest_frame_passes_and_one_byte_more_is_refused(octet: bytes) -> None:
    largest = octet * limits.FRAME_BYTES
    assert decoded(encode_frame(largest)) == [largest]
    with pytest.raises(BirthmarkError) as refused:
        encode_frame(largest + octet)
    assert refused.value.code == "link.frame-too-large"


def test_a_stream_without_an_end_is_not_kept() -> None:
    decoder = FrameDecoder()
    chunk = b"x" * 4096
    tracemalloc.start()
    try:
        for _ in range(500):
            assert decoder.receive(chunk) == []
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < limits.FRAME_BYTES
    assert peak < 3 * limits.FRAME_BYTES
    assert decoder.oversized == 1
    assert decoder.noise_bytes == 500 * len(chunk)


def test_the_frame_after_an_oversized_stretch_is_found() -> None:
    decoder = FrameDecoder()
    assert decoder.receive(b"x" * 100_000 + encode_frame(b"after")) == [b"after"]
    assert decoder.oversized == 1


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_every_byte_is_payload_or_noise_or_delimiter(chunks: list[bytes]) -> None:
    decoder = FrameDecoder()
    assert [payload for chunk in (*chunks, b"\0") for payload in decoder.receive(chunk)] == []
    stream = b"".join(chunks)
    assert decoder.noise_bytes == len(stream) - stream.count(b"\0")
