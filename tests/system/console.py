"""A person at a terminal of the virtual Pi: types lines, answers questions, reads the screen."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

PROMPT: Final = re.compile(r"\w+@\w+:[^\n$]*\$ \Z")
_LOGIN_SECONDS: Final = 300.0
_MOMENT_SECONDS: Final = 2.0
"""How long a person takes to answer. A program that waits for a key drops what was typed before it listens."""

Answer = str | Callable[[], str]
"""What to type, without its end of line; or a function that does something first and returns it."""


class Console:
    """A login shell on a serial port, from its first prompt on."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._screen = ""
        deadline = time.monotonic() + _LOGIN_SECONDS
        while not PROMPT.search(self._screen):  # the first one may have come before we connected
            assert time.monotonic() < deadline, self._screen
            self._send("\n")
            while self._read(2):
                pass

    def close(self) -> None:
        self._connection.close()

    def types(self, line: str, answers: Mapping[str, Answer] | None = None, seconds: float = 600) -> str:
        """Type a line, which must succeed, and read to the next prompt. Returns what the screen showed meanwhile.

        `answers` maps a regular expression for each question's end to the answer; each question may come once.
        """
        screen = self._until_prompt(line, dict(answers or {}), seconds)
        status = self._until_prompt("echo status: $?", {}, seconds)
        assert status.startswith("status: 0\n"), f"{line}: {status}\n{screen}"
        return screen

    def leaves(self, line: str) -> None:
        """Type a line that ends the shell, such as a restart."""
        self._send(f"{line}\n")

    def _until_prompt(self, line: str, answers: dict[str, Answer], seconds: float) -> str:
        self._screen = ""
        self._send(f"{line}\n")
        deadline = time.monotonic() + seconds
        begin = 0
        while not (begin and PROMPT.search(self._screen, begin)):
            assert time.monotonic() < deadline, f"{line}: no end within {seconds:.0f} s\n{self._screen}"
            self._read(1)
            if not begin:  # the line itself comes first
                at = self._screen.find(f"{line}\n")
                begin = 0 if at < 0 else at + len(line) + 1
            for question, answer in answers.items():
                if re.compile(f"(?:{question})\\s*\\Z").search(self._screen, begin):
                    begin = len(self._screen)
                    time.sleep(_MOMENT_SECONDS)
                    self._send((answer if isinstance(answer, str) else answer()) + "\n")
                    del answers[question]
                    break
        return self._screen[self._screen.index("\n") + 1 :]

    def _send(self, text: str) -> None:
        self._connection.settimeout(30)
        self._connection.sendall(text.encode())

    def _read(self, seconds: float) -> bool:
        """Read what comes first within that time. Returns whether something came."""
        self._connection.settimeout(seconds)
        try:
            data = self._connection.recv(65536)
        except TimeoutError:
            return False
        assert data, self._screen
        self._screen += data.decode(errors="replace").replace("\r", "")
        return True
