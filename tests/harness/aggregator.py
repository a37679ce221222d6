"""Birthmark's aggregator as a camera sees it: the three addresses to submit to, written from Birthmark's interface.

It answers 202 with a receipt, `already_received` to an image hash that it knows, and 422 to a body of another form.
`misbehave` makes it answer as a server does that is restarted, overloaded, or no aggregator at all.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass
class Answer:
    status: int
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)


Misbehaviour = Callable[[], Answer | None]


@dataclass
class Aggregator:
    url: str = ""
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Address and body of each request, also of repeats and refused ones."""
    recorded: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Image hash → the body that was accepted first."""
    misbehave: list[Misbehaviour] = field(default_factory=list)
    """What to do with the next requests instead, one each: None hangs up without an answer."""

    def accept(self, path: str, body: dict[str, Any]) -> Answer:
        self.received.append((path, body))
        if self.misbehave:
            instead = self.misbehave.pop(0)()
            return instead or Answer(0)
        if path not in _FORMS or not _FORMS[path](body):
            return Answer(422, '{"detail": [{"type": "value_error", "loc": ["body"], "msg": "another form"}]}')
        image = _first_image(body)
        known = image in self.recorded
        self.recorded.setdefault(image, body)
        status = "already_received" if known else "pending_validation"
        return Answer(202, json.dumps({"receipt_id": str(uuid.uuid4()), "status": status, "message": "…"}))


def _first_image(body: dict[str, Any]) -> str:
    return str(body["image_hashes"][0]["image_hash"] if "image_hashes" in body else body["image_hash"]).lower()


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _is_time(body: dict[str, Any]) -> bool:
    return isinstance(body.get("timestamp"), int) and body["timestamp"] > 0


def _is_token_submission(body: dict[str, Any]) -> bool:
    images, token, maker = (body.get(name) for name in ("image_hashes", "camera_token", "manufacturer_cert"))
    return (
        body.get("submission_type") == "camera"
        and _is_time(body)
        and isinstance(images, list)
        and 1 <= len(images) <= 2
        and all(_is_hash(image["image_hash"]) for image in images)
        and isinstance(token, dict)
        and (len(token["auth_tag"]), len(token["nonce"])) == (32, 24)
        and 0 <= token["table_id"] < 250
        and 0 <= token["key_index"] < 1000
        and isinstance(maker, dict)
        and maker["validation_endpoint"].startswith("http")
    )


def _is_legacy_submission(body: dict[str, Any]) -> bool:
    tables, indices = body.get("table_references"), body.get("key_indices")
    return (
        _is_hash(body.get("image_hash"))
        and _is_time(body)
        and isinstance(body.get("encrypted_nuc_token"), str)
        and isinstance(body.get("device_signature"), str)
        and isinstance(tables, list)
        and isinstance(indices, list)
        and len(tables) == len(indices) == 3
        and all(0 <= table < 2500 for table in tables)
        and all(0 <= index < 1000 for index in indices)
    )


def _is_certificate_submission(body: dict[str, Any]) -> bool:
    texts = (body.get("camera_cert"), body.get("bundle_signature"))
    return _is_hash(body.get("image_hash")) and _is_time(body) and all(isinstance(text, str) for text in texts)


_FORMS = {
    "/api/v1/submit": _is_token_submission,
    "/api/v1/submit-legacy": _is_legacy_submission,
    "/api/v1/submit-cert": _is_certificate_submission,
}


@contextmanager
def aggregator() -> Iterator[Aggregator]:
    """Run one on a free port."""
    served = Aggregator()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                answer = served.accept(self.path, body)
            if not answer.status:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body.encode())), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body.encode())

        def do_GET(self) -> None:
            """Answer for any receipt, as Birthmark's does: it knows nothing of it."""
            answer = json.dumps({"receipt_id": self.path.rpartition("/")[2], "status": "unknown", "message": "…"})
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer.encode())))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
