"""A station serves other machines by TLS or a proxy, set by its options or by systemd's sockets and credentials."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from virtual.station import STATION, run_station

EVERYWHERE = "0.0.0.0"  # noqa: S104 - an address to be refused, or served by TLS
PUBLIC = "sma.example.org"
AS_SYSTEMD = """
import os, socket, stat, sys
given = []
for place in sys.argv[1].split(","):
    kind, _, where = place.partition(":")
    made = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    made.bind(where if kind == "unix" else (kind, int(where)))
    if kind == "unix":
        os.chmod(where, int(os.environ["SOCKET_MODE"], 8))
    made.listen()
    given.append(made)
for number, made in enumerate(given):
    os.dup2(made.fileno(), 100 + number)
for number, made in enumerate(given):
    os.dup2(100 + number, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "station"
    run_station("init", "--data-dir", str(path), "--public-url", f"https://{PUBLIC}")
    return path


@pytest.fixture
def open_on_loopback(data_dir: Path) -> Iterator[None]:
    """For one test, the setting that opens the page to this machine: it shows whose requests count as its own."""
    path = data_dir / "station.toml"
    closed = path.read_text()
    assert 'page = "closed"' in closed
    path.write_text(closed.replace('page = "closed"', 'page = "open-on-loopback"'))
    yield
    path.write_text(closed)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """systemd's credentials: a TLS certificate for the station's name, and its key."""
    folder = tmp_path_factory.mktemp("credentials")
    make_certificate(folder, PUBLIC, 90)
    return folder


def make_certificate(folder: Path, name: str, days: int) -> None:
    done = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", str(days), "-subj", "/CN=any", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"),
            *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem")),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Served:
    """A running station and its output: up to the line with its ports while it runs, all of it after its end."""

    said: str
    certificate: Path
    process: subprocess.Popen[str]

    def get(self, place: str, path: str = "/ready", *, tls: bool = False, **headers: str) -> Answer:
        """`place` is `HOST:PORT` or `unix:PATH`."""
        kind, _, where = place.partition(":")
        if kind == "unix":
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(10)
            connection.sock.connect(where)
        elif tls:
            context = ssl.create_default_context(cafile=str(self.certificate))
            connection = http.client.HTTPSConnection(kind, int(where), timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection(kind, int(where), timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()


def command(data_dir: Path, *options: str) -> list[str]:
    return [*STATION, "serve", "--data-dir", str(data_dir), "--serial-port", str(data_dir / "none"), *options]


@contextmanager
def served(
    command: list[str], credentials: Path | None, certificate: Path, sockets: str = "", mode: str = "0660"
) -> Iterator[Served]:
    """The station with those credentials, and with those sockets if any, until the block ends."""
    environment = {**os.environ, "SOCKET_MODE": mode, "CREDENTIALS_DIRECTORY": str(credentials or "")}
    handed = [sys.executable, "-c", AS_SYSTEMD, sockets] if sockets else []
    with tempfile.NamedTemporaryFile("w") as log:
        process = subprocess.Popen([*handed, *command], stdout=log, stderr=log, text=True, env=environment)
        station = Served("", certificate, process)
        try:
            while "Serial ports" not in station.said:
                assert process.poll() is None, f"it ended:\n{station.said}"
                time.sleep(0.05)
                station.said = Path(log.name).read_text()
            yield station
            process.terminate()
            process.wait(60)
            station.said = Path(log.name).read_text()
        finally:
            process.kill()
            process.wait()


def refused(command: list[str], credentials: Path | None, sockets: str, mode: str = "0660") -> str:
    """Return the output of a station that refuses to start."""
    environment = {**os.environ, "SOCKET_MODE": mode, "CREDENTIALS_DIRECTORY": str(credentials or "")}
    done = subprocess.run(
        [sys.executable, "-c", AS_SYSTEMD, sockets, *command],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


# --- by options ---


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1"])
def test_a_station_is_not_served_to_others_in_the_clear(data_dir: Path, host: str) -> None:
    done = run_station("serve", "--data-dir", str(data_dir), "--host", host, check=False)
    assert done.returncode == 1
    assert "[http.not-loopback]" in done.stderr
    assert "--tls-certificate" in done.stderr
    assert "--behind-proxy" in done.stderr


def test_tls_by_files_lets_others_in(pair: Path, data_dir: Path) -> None:
    port = free_port()
    options = ("--tls-certificate", str(pair / "tls.pem"), "--tls-key", str(pair / "tls.key"))
    with served(command(data_dir, "--host", EVERYWHERE, "--port", str(port), *options), None, pair / "tls.pem") as it:
        assert f"https://0.0.0.0:{port}/" in it.said
        answer = it.get(f"127.0.0.1:{port}", tls=True)
        assert answer.status == 200
        assert answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("swapped", [True, False])
def test_tls_files_that_do_not_fit_are_reported(pair: Path, data_dir: Path, swapped: bool) -> None:
    certificate, key = pair / "tls.pem", pair / "tls.key"
    files = (key, certificate) if swapped else (certificate, certificate)
    done = run_station(
        *("serve", "--data-dir", str(data_dir), "--host", EVERYWHERE),
        *("--tls-certificate", str(files[0]), "--tls-key", str(files[1])),
        check=False,
    )
    assert "[http.tls-unusable]" in done.stderr
    assert "Traceback" not in done.stderr


def test_behind_a_declared_proxy_only_the_proxy_is_served_in_the_clear(pair: Path, data_dir: Path) -> None:
    port = free_port()
    options = ("--host", EVERYWHERE, "--port", str(port), "--behind-proxy", "127.0.0.2,192.0.2.0/24")
    with served(command(data_dir, *options), None, pair / "tls.pem") as it:
        assert it.get(f"127.0.0.1:{port}").status == 200, "this machine is no other machine"
        proxy = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=("127.0.0.2", 0))
        proxy.request("GET", "/", headers={"Accept": "text/html"})
        assert proxy.getresponse().status == 303, "what a proxy sends is never local"
        proxy.close()


@pytest.mark.parametrize("proxy", ["proxy.example.org", "192.0.2.1/24", "192.0.2.1;192.0.2.2"])
def test_a_proxy_that_is_no_address_is_named(data_dir: Path, proxy: str) -> None:
    done = run_station("serve", "--data-dir", str(data_dir), "--behind-proxy", proxy, check=False)
    assert done.returncode == 2
    assert "Invalid value for '--behind-proxy'" in done.stderr
    assert proxy in done.stderr


# --- as systemd's service ---


@pytest.mark.usefixtures("open_on_loopback")
def test_loopback_is_served_in_the_clear_and_others_by_tls(pair: Path, data_dir: Path) -> None:
    here, out = free_port(), free_port()
    sockets = f"127.0.0.1:{here},{EVERYWHERE}:{out}"
    with served(command(data_dir), pair, pair / "tls.pem", sockets) as it:
        assert f"http://127.0.0.1:{here}/ and https://0.0.0.0:{out}/" in it.said
        assert it.get(f"127.0.0.1:{here}", "/", Accept="text/html").status == 200
        assert it.get(f"127.0.0.1:{out}", tls=True, Host=PUBLIC).status == 200
        answer = it.get(f"127.0.0.1:{out}", "/", tls=True, Host=PUBLIC, Accept="text/html")
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            it.get(f"127.0.0.1:{out}")
    assert "warning: the TLS" not in it.said


def test_a_client_accepted_before_a_stop_is_answered(pair: Path, data_dir: Path) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(pair / "tls.pem"))
    with served(command(data_dir), pair, pair / "tls.pem", f"{EVERYWHERE}:{port}") as it:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            assert it.get(f"127.0.0.1:{port}", tls=True).status == 200  # the first connection was accepted first
            it.process.terminate()
            time.sleep(0.3)
            with context.wrap_socket(connection, server_hostname=PUBLIC) as secured:
                secured.sendall(b"GET /ready HTTP/1.1\r\nHost: sma.example.org\r\nConnection: close\r\n\r\n")
                assert secured.recv(12) == b"HTTP/1.1 200"
        assert it.process.wait(30) == 0


def test_a_client_without_a_request_does_not_prevent_a_stop(pair: Path, data_dir: Path) -> None:
    port = free_port()
    with (
        served(command(data_dir), pair, pair / "tls.pem", f"{EVERYWHERE}:{port}") as it,
        socket.create_connection(("127.0.0.1", port), timeout=30),
    ):
        it.get(f"127.0.0.1:{port}", tls=True)
        it.process.terminate()
        assert it.process.wait(60) == 0


@pytest.mark.usefixtures("open_on_loopback")
def test_a_unix_socket_is_a_proxys_and_the_bench_stays_open(pair: Path, data_dir: Path, tmp_path: Path) -> None:
    here, path = free_port(), tmp_path / "proxy.sock"
    with served(command(data_dir), None, pair / "tls.pem", f"127.0.0.1:{here},unix:{path}") as it:
        assert f"http://127.0.0.1:{here}/ and unix:{path}" in it.said
        assert it.get(f"127.0.0.1:{here}", "/", Accept="text/html").status == 200
        assert it.get(f"unix:{path}").status == 200
        assert it.get(f"unix:{path}", "/", Accept="text/html").status == 303
        assert it.get(f"unix:{path}", "/metrics").status == 401


def test_a_unix_socket_that_everybody_may_open_is_refused(data_dir: Path, tmp_path: Path) -> None:
    said = refused(command(data_dir), None, f"unix:{tmp_path / 'proxy.sock'}", mode="0666")
    assert "[http.socket-open-to-all]" in said
    assert "SocketMode=0660" in said


def test_a_socket_to_others_without_a_certificate_is_refused(data_dir: Path) -> None:
    said = refused(command(data_dir), None, f"127.0.0.1:{free_port()},{EVERYWHERE}:{free_port()}")
    assert "[http.not-loopback]" in said


@pytest.mark.parametrize("missing", ["tls.pem", "tls.key"])
def test_one_credential_without_the_other_is_reported(pair: Path, data_dir: Path, tmp_path: Path, missing: str) -> None:
    for name in {"tls.pem", "tls.key"} - {missing}:
        (tmp_path / name).write_bytes((pair / name).read_bytes())
    said = refused(command(data_dir), tmp_path, f"127.0.0.1:{free_port()}")
    assert f"systemd hands over no credential {missing}" in said
    assert "[http.tls-unusable]" in said


def test_a_certificate_that_clients_will_refuse_is_reported_at_the_start(data_dir: Path, tmp_path: Path) -> None:
    make_certificate(tmp_path, "other.example.org", 3)
    port = free_port()
    with served(command(data_dir), tmp_path, tmp_path / "tls.pem", f"{EVERYWHERE}:{port}") as it:
        made = run_station("tokens", "create", "monitor", "--scope", "read", "--data-dir", str(data_dir))
        metrics = it.get(f"127.0.0.1:{port}", "/metrics", tls=True, Authorization=f"Bearer {made.stdout.strip()}").text
        ends = re.search(r'^birthmark_certificate_expiry_timestamp_seconds{certificate="tls"} (\S+)', metrics, re.M)
        assert ends
        assert 2 * 86400 < float(ends[1]) - time.time() < 4 * 86400
    assert "warning: the TLS certificate ends on " in it.said
    named = "for other.example.org, 127.0.0.1, but public_url in station.toml names sma.example.org."
    assert f"warning: the TLS certificate is {named}" in it.said
