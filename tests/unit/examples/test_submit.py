"""The example of submitting: what is in the queue reaches the aggregator, whatever fails in between."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from examples import submit
from examples.submit import ATTEMPTS, Queue, QueueInUseError, Submitter, path_of
from tests.harness.aggregator import Aggregator, Answer, aggregator
from virtual.timeouts import TIMEOUT_SECONDS

PROGRAM = Path(__file__).parents[3] / "examples" / "submit.py"


@pytest.fixture
def server() -> Iterator[Aggregator]:
    with aggregator() as running:
        yield running


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue")


def legacy(number: int) -> dict[str, Any]:
    return {
        "image_hash": f"{number:064x}",
        "encrypted_nuc_token": "AAAA",
        "table_references": [1, 2, 3],
        "key_indices": [0, 5, 999],
        "timestamp": 1_795_000_000 + number,
        "device_signature": "AAAA",
    }


def token(number: int) -> dict[str, Any]:
    return {
        "submission_type": "camera",
        "image_hashes": [{"image_hash": f"{number:064x}", "modification_level": 0, "parent_image_hash": None}],
        "camera_token": {
            "ciphertext": "0" * 64,
            "auth_tag": "0" * 32,
            "nonce": "0" * 24,
            "table_id": 3,
            "key_index": 7,
        },
        "manufacturer_cert": {"authority_id": "MA", "validation_endpoint": "http://ma.example/validate"},
        "timestamp": 1_795_000_000 + number,
    }


def submitter(queue: Queue, url: str) -> tuple[Submitter, list[str], list[float]]:
    said: list[str] = []
    waited: list[float] = []
    return Submitter(queue, url, said.append, waited.append), said, waited


# --- the queue on disk ---


def test_files_are_private_and_the_same_submission_is_there_once(queue: Queue) -> None:
    assert queue.add(legacy(1)) == queue.add(dict(reversed(legacy(1).items())))
    [path] = queue.waiting()
    assert json.loads(path.read_bytes()) == legacy(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (queue.folder, queue.folder / "refused")} == {0o700}


def test_a_directory_that_others_may_enter_is_no_queue_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="others may enter"):
        Queue(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755


def test_what_a_power_cut_left_half_written_is_not_submitted(queue: Queue, server: Aggregator) -> None:
    path = queue.add(legacy(1))
    path.with_name(f".{path.stem[:-1]}f.json.new").write_bytes(b'{"image_hash": "00')
    assert submitter(queue, server.url)[0].submit_all() == 0
    assert [body for _, body in server.received] == [legacy(1)]


@pytest.mark.parametrize(
    "wrong", [{}, {"timestamp": 1}, {**legacy(1), "camera_cert": ""}, {**legacy(1), "timestamp": 0}]
)
def test_what_is_no_submission_is_not_queued(queue: Queue, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no submission"):
        queue.add(wrong)
    with pytest.raises(ValueError, match="at most"):
        queue.add({**legacy(1), "isp_validation": "x" * 70_000})
    assert queue.waiting() == []


# --- submitting ---


def test_each_kind_goes_to_its_own_address_the_earliest_first(queue: Queue, server: Aggregator) -> None:
    certificate = {
        "image_hash": "ab" * 32,
        "camera_cert": "AAAA",
        "software_cert": None,
        "timestamp": 1_795_000_002,
        "bundle_signature": "AAAA",
    }
    for submission in (token(3), certificate, legacy(1)):
        queue.add(submission)
    run, said, waited = submitter(queue, server.url + "/")
    assert run.submit_all() == 0
    assert [path for path, _ in server.received] == ["/api/v1/submit-legacy", "/api/v1/submit-cert", "/api/v1/submit"]
    assert [path_of(body) for _, body in server.received] == [path for path, _ in server.received]
    assert len(said) == 3
    assert all(": pending_validation, " in line for line in said)
    assert waited == []
    assert run.submit_all() == 0
    assert len(server.received) == 3, "nothing is submitted twice on purpose"


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: Answer(500, "a traceback"),
        lambda: Answer(503),
        lambda: Answer(429),
        lambda: Answer(404),
        lambda: Answer(401),
        lambda: Answer(202, "[" * 16_000),
        lambda: Answer(202, "not JSON"),
        lambda: Answer(202, '{"status": "pending_validation"}'),
        lambda: Answer(302, "", {"Location": "/api/v1/submission/1"}),
        lambda: None,
    ],
    ids=[
        "fails",
        "away",
        "too many",
        "not there",
        "no right",
        "too deep",
        "no JSON",
        "no receipt",
        "elsewhere",
        "hangs up",
    ],
)
def test_what_passes_is_tried_again_with_longer_and_longer_pauses(
    queue: Queue, server: Aggregator, trouble: Any
) -> None:
    queue.add(legacy(1))
    server.misbehave = [trouble] * (ATTEMPTS - 1)
    run, _, waited = submitter(queue, server.url)
    assert run.submit_all() == 0
    assert [body for _, body in server.received] == [legacy(1)] * ATTEMPTS
    assert len(waited) == ATTEMPTS - 1
    assert all(2**number <= pause <= 1.5 * 2**number for number, pause in enumerate(waited))


def test_attempts_end_and_what_failed_waits_for_the_next_run(queue: Queue, server: Aggregator) -> None:
    for number in (1, 2):
        queue.add(legacy(number))
    server.misbehave = [lambda: Answer(500)] * ATTEMPTS
    run, said, _ = submitter(queue, server.url)
    assert run.submit_all() == 1, "the second one passes it by"
    assert list(server.recorded) == [legacy(2)["image_hash"]]
    assert "not yet: 500" in said[0]
    assert run.submit_all() == 0
    assert len(server.recorded) == 2


def test_without_an_aggregator_nothing_is_lost_and_the_others_are_not_tried(tmp_path: Path, queue: Queue) -> None:
    with aggregator() as gone:
        url = gone.url
    for number in (1, 2):
        queue.add(legacy(number))
    run, said, waited = submitter(queue, url)
    assert run.submit_all() == 2
    assert len(waited) == ATTEMPTS - 1
    [line] = said
    assert "cannot be reached" in line


@pytest.mark.parametrize(
    "begin", [b"HTTP/1.1 202 Accepted\r\nX: ", b"HTTP/1.1 202 Accepted\r\nContent-Length: 9999\r\n\r\n"]
)
def test_an_answer_that_never_ends_holds_nothing_up(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(submit, "ANSWER_SECONDS", 0.5)
    enough = threading.Event()

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(begin)
                for _ in range(600):
                    self.request.sendall(b" ")
                    if enough.wait(0.05):
                        return
                enough.set()

    queue.add(legacy(1))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run, said, _ = submitter(queue, f"http://127.0.0.1:{server.server_address[1]}")
        assert run.submit_all() == 1
        assert not enough.is_set(), "it waited for the end"
        enough.set()
        server.shutdown()
    assert "cannot be reached" in said[0]


def test_what_the_aggregator_refuses_is_put_aside_with_its_answer(queue: Queue, server: Aggregator) -> None:
    queue.add({**legacy(1), "key_indices": [0, 5, 1000]})
    queue.add(legacy(2))
    run, said, waited = submitter(queue, server.url)
    assert run.submit_all() == 0
    assert (run.refused, waited) == (1, [])
    kept, answer = sorted((queue.folder / "refused").iterdir(), key=lambda path: path.suffix)
    assert json.loads(kept.read_bytes())["key_indices"] == [0, 5, 1000]
    assert answer.read_text().startswith("422 ")
    assert "refused: 422" in said[0]
    assert list(server.recorded) == [legacy(2)["image_hash"]]


def test_a_strange_file_in_the_queue_blocks_nothing(queue: Queue, server: Aggregator, tmp_path: Path) -> None:
    (queue.folder / "000000000000001-a.json").write_text("[]")
    (queue.folder / "000000000000002-b.json").symlink_to(tmp_path / "elsewhere")
    (queue.folder / "000000000000003-c.json").write_text("[" * 60_000)
    queue.add(legacy(1))
    run, _, _ = submitter(queue, server.url)
    assert (run.submit_all(), run.refused) == (0, 3)
    assert [body for _, body in server.received] == [legacy(1)]


def test_an_answer_that_got_lost_costs_a_repeat_which_is_recorded_once(queue: Queue, server: Aggregator) -> None:
    queue.add(legacy(1))

    def record_and_hang_up() -> None:
        server.recorded[legacy(1)["image_hash"]] = legacy(1)

    server.misbehave = [record_and_hang_up]
    run, said, _ = submitter(queue, server.url)
    assert run.submit_all() == 0
    assert "already_received" in said[0]
    assert len(server.recorded) == 1


def test_two_programs_do_not_submit_from_one_queue_at_once(queue: Queue, server: Aggregator) -> None:
    queue.add(legacy(1))
    with queue.alone(), pytest.raises(QueueInUseError):
        submitter(Queue(queue.folder), server.url)[0].submit_all()
    assert server.received == []


def test_what_the_aggregator_says_is_told_in_one_harmless_line(queue: Queue, server: Aggregator) -> None:
    queue.add(legacy(1))
    server.misbehave = [lambda: Answer(400, "no\x1b[2J\n" + "x" * 5000)]
    run, said, _ = submitter(queue, server.url)
    run.submit_all()
    assert said[0].isprintable()
    assert len(said[0]) < 400


# --- the program ---


def vouched(path: Path, *numbers: int) -> Path:
    path.write_text(json.dumps({"submission": token(9), "legacy_submissions": [legacy(number) for number in numbers]}))
    return path


def run_program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, env=environment
    )


def test_the_program_submits_what_the_example_camera_wrote(server: Aggregator, tmp_path: Path) -> None:
    to = ("--queue", tmp_path / "queue", "--aggregator", server.url)
    ended = run_program(*to, vouched(tmp_path / "vouched.json", 1, 2))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [body for _, body in server.received] == [legacy(1), legacy(2)]
    assert run_program(*to, "--form", "token", tmp_path / "vouched.json").returncode == 0
    assert server.received[-1] == ("/api/v1/submit", token(9))
    server.misbehave = [lambda: Answer(422)]
    assert run_program(*to, vouched(tmp_path / "vouched.json", 3)).returncode == 1
    for wrong in ("{}", "[]", "{", "[" * 60_000):
        (tmp_path / "wrong.json").write_text(wrong)
        ended = run_program(*to, tmp_path / "wrong.json")
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr


def test_a_program_that_is_killed_while_it_submits_loses_nothing(server: Aggregator, tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def answer_late() -> Answer:
        asked.set()
        go_on.wait(TIMEOUT_SECONDS)
        return Answer(500)

    server.misbehave = [answer_late]
    to = ("--queue", tmp_path / "queue", "--aggregator", server.url)
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    command = [sys.executable, str(PROGRAM), *map(str, to), str(vouched(tmp_path / "vouched.json", 1, 2, 3))]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as program:
        assert asked.wait(TIMEOUT_SECONDS)
        program.send_signal(signal.SIGKILL)
    go_on.set()
    assert len(Queue(tmp_path / "queue").waiting()) == 3
    assert run_program(*to).returncode == 0
    assert list(server.recorded) == [legacy(number)["image_hash"] for number in (1, 2, 3)]
