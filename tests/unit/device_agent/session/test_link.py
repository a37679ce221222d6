"""The serial port on a real pseudo terminal is raw, exclusive and bounded in time, and every failure has its error."""

import errno
import os
import termios
import tty
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import serial

from device_agent.session.link import Link
from shared.errors import BirthmarkError


@pytest.fixture
def terminal() -> Iterator[tuple[int, Path]]:
    """Return the other end's descriptor and this end's path; cooked and echoing, as terminals begin."""
    other, mine = os.openpty()
    yield other, Path(os.ttyname(mine))
    os.close(other)
    os.close(mine)


def code(path: Path) -> str:
    with pytest.raises(BirthmarkError) as caught:
        Link(path)
    return caught.value.code


def test_bytes_cross_unchanged_in_both_directions(terminal: tuple[int, Path]) -> None:
    other, path = terminal
    every = bytes(range(256))
    with closing(Link(path)) as link:
        os.write(other, every)
        assert link.read(5) == every
        link.write(every, 5)
        assert os.read(other, 1024) == every


def test_opening_a_port_drops_earlier_input_and_echoes_nothing(terminal: tuple[int, Path]) -> None:
    other, path = terminal
    tty.setraw(other, termios.TCSANOW)
    os.write(other, b"raspberrypi login: \n")
    with closing(Link(path)) as link:
        assert link.read(0.05) == b""
        os.write(other, b"x\n")
        assert link.read(5) == b"x\n"


def test_a_quiet_line_gives_nothing_after_the_time(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    with closing(Link(path)) as link:
        assert link.read(0.01) == b""


def test_a_line_that_nobody_reads_is_given_up(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    with closing(Link(path)) as link, pytest.raises(BirthmarkError) as caught:
        link.write(bytes(1 << 20), 0.1)
    assert caught.value.code == "link.unread"


def test_a_hang_up_is_a_lost_link_for_whatever_is_done_next() -> None:
    other, mine = os.openpty()
    with closing(Link(Path(os.ttyname(mine)))) as link:
        os.close(mine)
        os.close(other)
        for call in (lambda: link.read(1), lambda: link.write(b"x", 1)):
            with pytest.raises(BirthmarkError) as caught:
                call()
            assert caught.value.code == "link.lost"
    # and closing it, above, raised nothing


def test_a_port_is_for_one_program(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    with closing(Link(path)):
        assert code(path) == "link.busy"
    Link(path).close()


def test_each_port_that_cannot_be_opened_has_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert code(tmp_path / "none") == "link.no-port"
    assert code(tmp_path / "file") == "link.not-a-port"
    assert code(tmp_path) == "link.not-a-port"
    assert code(Path("/dev/null")) == "link.not-a-port"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, "link.permission"),
        (errno.EPERM, "link.permission"),
        (errno.EBUSY, "link.busy"),
        (errno.ENXIO, "link.no-port"),
    ],
)
def test_the_systems_reason_is_kept(monkeypatch: pytest.MonkeyPatch, number: int, expected: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(number, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuse)
    assert code(Path("/dev/null")) == expected
