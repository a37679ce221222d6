"""Who only reaches the station's HTTP interface, without a token: floods of it, beside a bench that goes on working."""

from __future__ import annotations

import gzip
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from virtual.pi import VirtualPi
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

Got = Callable[[str], None]

CONNECTIONS = 1100
DESCRIPTORS = 1024
"""What systemd gives a service that asks for nothing."""

OPEN_MOST = 300
"""More than the station's bound on connections and its own few descriptors; far fewer than `DESCRIPTORS`."""

LOG_BYTES = 16 * 1024
ZEROS = gzip.compress(bytes(60_000_000))
TIMES = 10


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualStation]:
    folder = tmp_path_factory.mktemp("flooded")
    with VirtualStation(folder / "station", f"{folder}/pi-*/station") as station:
        station.init()
        station.start()
        assert station.process is not None
        resource.prlimit(station.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        yield station


def pid_of(station: VirtualStation) -> int:
    assert station.process is not None
    return station.process.pid


def processor_seconds(station: VirtualStation) -> float:
    fields = Path(f"/proc/{pid_of(station)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def place(station: VirtualStation) -> tuple[str, int]:
    parts = urlsplit(station.address)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def provision(station: VirtualStation, number: int) -> float:
    """Provision a new Pi, and return the seconds that its agent took."""
    pi = VirtualPi(station.data_dir.parent / f"pi-{number}", number)
    pi.nuc_map.write_bytes(number.to_bytes(4, "big") * 1000)
    begun = time.monotonic()
    with pi.cable:
        agent = pi.start("--once", *WAIT_OPTIONS)
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, said
    return time.monotonic() - begun


@pytest.mark.attack("opens 1,100 HTTP connections and finishes no request")
def test_unfinished_connections_leave_the_ports_their_descriptors(station: VirtualStation, got: Got) -> None:
    said = station.log.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as held:
            with suppress(TimeoutError):  # a station that accepts no more
                for _ in range(CONNECTIONS):
                    held.enter_context(socket.create_connection(place(station), timeout=2))
            beside = provision(station, 1)
            opened = len(list(Path(f"/proc/{pid_of(station)}/fd").iterdir()))
            assert '"healthy"' in station.get("/health", "application/json")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    said = station.log.stat().st_size - said
    assert opened < OPEN_MOST
    assert said < LOG_BYTES
    got(f"{opened} descriptors, {said} bytes of log; a unit beside it is provisioned in {beside:.1f} s")


def post(station: VirtualStation, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """Send a POST; return all that comes until the station closes, or has sent an answer's headers."""
    with socket.create_connection(place(station), timeout=TIMEOUT_SECONDS) as connection:
        lines = ["POST /validate HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
        lines.append(f"Content-Length: {len(body) if length is None else length}")
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return connection.recv(65536)


@pytest.mark.attack("posts 61 kB that unpack to 60 MB")
def test_a_compressed_body_costs_no_more_than_another(station: VirtualStation, got: Got) -> None:
    spent = []
    for body, headers in ((os.urandom(len(ZEROS)), ()), (ZEROS, ("Content-Encoding: gzip",))):
        begun = processor_seconds(station)
        answers = [post(station, body, *headers) for _ in range(TIMES)]
        spent.append(processor_seconds(station) - begun)
        assert all(answer.startswith(b"HTTP/1.1 4") for answer in answers), answers[0]
    plain, compressed = (seconds / TIMES * 1000 for seconds in spent)
    assert compressed < 3 * plain + 10
    assert b"http.compressed" in answers[0]
    got(f"nothing: refused [http.compressed], for {compressed:.0f} ms of processor; a plain one takes {plain:.0f} ms")


@pytest.mark.attack("announces a long body, and keeps the connection when it is refused")
def test_a_request_that_is_refused_before_its_body_ends_its_connection(station: VirtualStation, got: Got) -> None:
    with socket.create_connection(place(station), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{")
        answer = b""
        begun = time.monotonic()
        while part := connection.recv(65536):
            answer += part
        seconds = time.monotonic() - begun
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"Connection: close" in answer
    got(f"its refusal; the connection ends with it, after {seconds:.2f} s")


@pytest.mark.attack("asks the metrics why a token was refused")
def test_the_metrics_tell_nothing_without_a_token(station: VirtualStation, got: Got) -> None:
    with pytest.raises(HTTPError) as refused:
        station.get("/metrics")
    assert refused.value.code == 401
    assert b"birthmark_validations" not in refused.value.read()
    got("nothing: 401 [access.required]")
