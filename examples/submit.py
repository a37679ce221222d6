#!/usr/bin/env python3
"""Submits what examples/camera.py vouched for to Birthmark's aggregator, from a queue on disk.

    python examples/camera.py raw.dng --output vouched.json
    python examples/submit.py --queue /var/lib/my-camera/queue --aggregator http://HOST:8545 vouched.json

Puts the submissions of each FILE into the queue, then submits all that is in it, the earliest first; without a FILE
only the latter, for a timer. Ends with 0 when the queue is empty, with 75 when some must wait for another try, with 1
when the aggregator refused some: those lie in `QUEUE/refused`, each with its answer, and are not tried again.

Nothing is lost: a submission leaves the queue after the aggregator's answer, so a crash or power cut costs a repeat at
most. Nothing is submitted twice on purpose: the name of a file in the queue is made of the time and SHA-256 of what is
in it, so the same submission is there once; and one program at a time works on a queue. A repeat that does happen, as
after an answer that got lost, does no harm: the aggregator knows the image hash, answers `already_received`, and
records it once.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Final

from runtime.files import NotRegularError, TooLargeError, read_bounded, read_regular, replace_private, sync_directory

ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 1.0
"""The pause before the second attempt. Each later one is twice as long, with up to half as much again by chance, so
that the cameras that one outage stopped do not all come back at once."""
LONGEST_PAUSE_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 15.0
SUBMISSION_BYTES: Final = 64 * 1024
ANSWER_BYTES: Final = 16 * 1024
TRY_AGAIN: Final = 75  # EX_TEMPFAIL of sysexits.h

_REFUSING: Final = frozenset({400, 413, 422})
"""Answers that speak of what was submitted. Others, such as 404, may come of a wrong address or a proxy on the way, and
must not empty the queue."""

_PATHS: Final = {
    "camera_token": "/api/v1/submit",
    "encrypted_nuc_token": "/api/v1/submit-legacy",
    "camera_cert": "/api/v1/submit-cert",
}
"""Which field of a submission tells where it goes."""


_STRANGE: Final = (ValueError, AttributeError, RecursionError, NotRegularError, TooLargeError)
"""What a file in the queue raises that `Queue.add` has not written."""


class QueueInUseError(Exception):
    """Another program submits from this queue."""


class RefusedError(Exception):
    """The aggregator will not take this submission, however often it is sent."""


class FailedError(Exception):
    """This submission failed, and may succeed later."""


class UnreachableError(FailedError):
    """No answer: the next submission would get none either."""


@dataclass
class Queue:
    """A directory, 0700, with one file for each submission, 0600 and always whole."""

    folder: Path

    def __post_init__(self) -> None:
        for folder in (self.folder, self.folder / "refused"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_mode & 0o077:
                raise ValueError(f"others may enter {folder}: chmod 700 it, or name another queue")

    def add(self, submission: dict[str, Any]) -> Path:
        """Store a submission; it is on the disk when this returns. The same one again changes nothing."""
        path_of(submission)
        data = json.dumps(submission, sort_keys=True).encode()
        if len(data) > SUBMISSION_BYTES:
            raise ValueError(f"a submission has at most {SUBMISSION_BYTES} bytes")
        path = self.folder / f"{int(submission['timestamp']):015d}-{hashlib.sha256(data).hexdigest()}.json"
        replace_private(path, data)
        return path

    def waiting(self) -> list[Path]:
        """The submissions' files, the earliest first."""
        return sorted(self.folder.glob("[0-9]*.json"))

    def remove(self, path: Path) -> None:
        path.unlink()
        sync_directory(self.folder)

    def refuse(self, path: Path, answer: str) -> None:
        """Put a submission aside, with what the aggregator said to it."""
        refused = self.folder / "refused"
        replace_private(refused / f"{path.stem}.answer.txt", answer.encode())
        path.replace(refused / path.name)
        sync_directory(refused)
        sync_directory(self.folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other programs from submitting from this queue; they may still add to it. Raises QueueInUseError."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise QueueInUseError(f"another program submits from {self.folder}") from None
            yield
        finally:
            os.close(descriptor)


def path_of(submission: dict[str, Any]) -> str:
    """The aggregator's address for this kind of submission. Raises ValueError when it is of none."""
    timestamp = submission.get("timestamp")
    found = [path for name, path in _PATHS.items() if name in submission]
    if len(found) != 1 or not isinstance(timestamp, int) or timestamp <= 0:
        raise ValueError(f"no submission: it has a timestamp, and one of {', '.join(_PATHS)}")
    return found[0]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would follow a POST's redirect by a GET, and lose what was submitted."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def post(url: str, data: bytes) -> dict[str, Any]:
    """Submit once, in `ANSWER_SECONDS`. Returns the receipt. Raises RefusedError or FailedError."""
    ended: SimpleQueue[dict[str, Any] | Exception] = SimpleQueue()

    def work() -> None:
        try:
            ended.put(_post(url, data))
        except Exception as error:  # noqa: BLE001 - raised again below
            ended.put(error)

    # urllib bounds each wait, not all of them: whoever sends a byte now and then could hold it for ever.
    threading.Thread(target=work, daemon=True).start()
    try:
        result = ended.get(timeout=ANSWER_SECONDS)
    except Empty:
        raise UnreachableError(f"no whole answer in {ANSWER_SECONDS:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _post(url: str, data: bytes) -> dict[str, Any]:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - see `Submitter`
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=ANSWER_SECONDS) as answer:
            receipt = json.loads(answer.read(ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            told = f"{error.code} {error.read(ANSWER_BYTES).decode(errors='replace')}"
        if error.code in _REFUSING:
            raise RefusedError(told) from error
        raise FailedError(told) from error
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise UnreachableError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise FailedError("its answer is no JSON") from error
    if not isinstance(receipt, dict) or not isinstance(receipt.get("receipt_id"), str):
        raise FailedError("its answer is no receipt")
    return receipt


@dataclass
class Submitter:
    """Submits what a queue holds, with a bounded number of attempts for each."""

    queue: Queue
    aggregator: str
    say: Callable[[str], None] = print
    wait: Callable[[float], None] = time.sleep
    refused: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.aggregator.startswith(("http://", "https://")):
            raise ValueError("the aggregator's address begins with http:// or https://")

    def submit_all(self) -> int:
        """Submit everything. Returns how many submissions still wait."""
        with self.queue.alone():
            for path in self.queue.waiting():
                try:
                    self._submit(path)
                except RefusedError as error:
                    self.refused += 1
                    self.queue.refuse(path, str(error))
                    self.say(f"{path.name}: refused: {_line(str(error))}")
                except UnreachableError as error:
                    self.say(f"{self.aggregator} cannot be reached: {_line(str(error))}")
                    break
                except FailedError as error:
                    self.say(f"{path.name}: not yet: {_line(str(error))}")
        return len(self.queue.waiting())

    def _submit(self, path: Path) -> None:
        try:
            data = read_regular(path, SUBMISSION_BYTES)
            url = self.aggregator.rstrip("/") + path_of(json.loads(data))
        except _STRANGE as error:
            raise RefusedError(f"not sent: {error}") from error
        for attempt in range(ATTEMPTS):
            try:
                receipt = post(url, data)
            except FailedError:
                if attempt == ATTEMPTS - 1:
                    raise
                self.wait(_pause(attempt))
            else:
                self.queue.remove(path)
                self.say(f"{path.name}: {_line(str(receipt.get('status')))}, {_line(receipt['receipt_id'])}")
                return


def _pause(attempt: int) -> float:
    return min(FIRST_PAUSE_SECONDS * 2.0**attempt, LONGEST_PAUSE_SECONDS) * random.uniform(1.0, 1.5)  # noqa: S311


def _line(text: str) -> str:
    """What the aggregator said, as one line that a terminal takes."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]


def submissions_of(vouched: dict[str, Any], form: str) -> list[dict[str, Any]]:
    """What to submit of the JSON that examples/camera.py wrote. Raises KeyError, ValueError."""
    found = vouched["legacy_submissions"] if form == "legacy" else [vouched["submission"]]
    for submission in found:
        path_of(submission)
    return list(found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Submit vouched pictures to an aggregator, from a queue on disk.")
    parser.add_argument("vouched", nargs="*", type=Path, help="what examples/camera.py wrote")
    parser.add_argument("--queue", type=Path, required=True, help="the directory that holds what is to be submitted")
    parser.add_argument("--aggregator", required=True, help="its URL, such as http://192.168.1.5:8545")
    parser.add_argument(
        "--form",
        choices=("legacy", "token"),
        default="legacy",
        help="which of the two submissions; the public aggregator's newest version records only the legacy one",
    )
    options = parser.parse_args()
    try:
        queue = Queue(options.queue)
        submitter = Submitter(queue, options.aggregator)
        for path in options.vouched:
            for submission in submissions_of(json.loads(read_bounded(path, SUBMISSION_BYTES)), options.form):
                queue.add(submission)
        waiting = submitter.submit_all()
    except QueueInUseError as error:
        print(f"error: {error}", file=sys.stderr)
        return TRY_AGAIN
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if submitter.refused else TRY_AGAIN if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
