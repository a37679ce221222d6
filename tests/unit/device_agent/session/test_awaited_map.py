"""A file that comes late is noticed when it is still, and again when it is another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_agent.session.awaited_map import STILL_SECONDS, FileWatch


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_file_is_news_once_when_it_was_still_long_enough(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "nuc.map"
    watch = FileWatch(path, clock)
    assert not watch.changed()
    for size in range(1, 4):
        path.write_bytes(bytes(size))
        assert not watch.changed()
        clock.now += STILL_SECONDS * 0.9
        assert not watch.changed(), "it grows"
    clock.now += STILL_SECONDS * 0.2
    assert watch.changed()
    assert not watch.changed()


@pytest.mark.parametrize("change", ["content", "mode", "gone", "renamed into place"])
def test_a_changed_file_is_news_again(tmp_path: Path, clock: Clock, change: str) -> None:
    path = tmp_path / "nuc.map"
    path.write_bytes(b"a map")
    os.utime(path, (1, 1))
    watch = FileWatch(path, clock)
    clock.now += STILL_SECONDS
    assert not watch.changed(), "it was so in the beginning"
    match change:
        case "content":
            path.write_bytes(b"another")
        case "mode":
            path.chmod(0o400)
        case "gone":
            path.unlink()
        case "renamed into place":
            (tmp_path / "new").write_bytes(b"a map")
            (tmp_path / "new").rename(path)
    assert not watch.changed()
    clock.now += STILL_SECONDS
    assert watch.changed()
