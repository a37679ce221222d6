"""A real station in its own process, with its own data directory, on a free port of the loopback address."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

from virtual.timeouts import TIMEOUT_SECONDS

STATION: Final = (sys.executable, "-m", "station")
_ADDRESS: Final = re.compile(r"^Station .*: (http://\S+)$", re.MULTILINE)


class VirtualStation:
    """A station that serves the ports that match `ports`."""

    def __init__(self, data_dir: Path, *ports: str) -> None:
        self.data_dir: Final = data_dir
        self._ports = ports
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self._cookie = ""

    def init(self, *options: str) -> None:
        """Run `birthmark-station init` with the policy that accepts TPM simulators."""
        run_station("init", "--data-dir", str(self.data_dir), "--ek-policy", "simulator", *options)

    def start(self, *options: str, port: int = 0) -> None:
        """Start the station. Returns when it serves; `port` 0 takes a free one. Its output goes to `log`."""
        self._cookie = ""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *STATION,
                    *("serve", "--data-dir", str(self.data_dir), "--port", str(port)),
                    *(f"--serial-port={path}" for path in self._ports),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        give_up = time.monotonic() + TIMEOUT_SECONDS
        while (found := _ADDRESS.search(self.log.read_text()[before:])) is None:
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise RuntimeError(f"the station did not start:\n{self.log.read_text()[before:]}")
            time.sleep(0.05)
        self.address = found[1]

    @property
    def log(self) -> Path:
        """The output of all its runs."""
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def stop(self) -> None:
        """Stop the station in order. May be called twice."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> VirtualStation:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def devices(self) -> list[dict[str, Any]]:
        """Return the output of `birthmark-station devices --json`."""
        return list(json.loads(run_station("devices", "--json", "--data-dir", str(self.data_dir)).stdout))

    def make_token(self, scope: str = "admin") -> str:
        """Make an access token with that scope, as `birthmark-station tokens create` does."""
        made = run_station("tokens", "create", f"test-{scope}", "--scope", scope, "--data-dir", str(self.data_dir))
        return made.stdout.strip()

    def link(self) -> str:
        """Return a link that opens the page once, as `birthmark-station open` prints it."""
        return str(json.loads(run_station("open", "--json", "--data-dir", str(self.data_dir)).stdout)["link"])

    def open_page(self) -> None:
        """Open the page by a link, as its button does, if it is not open; `get` then reads it."""
        if self._cookie:
            return
        door, _, secret = self.link().partition("#")
        origin = self.address.rstrip("/")
        request = Request(door, data=f"link={secret}".encode(), headers={"Origin": origin})  # noqa: S310 - loopback
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as answer:
            self._cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def get(self, path: str, accept: str = "text/html") -> str:
        """Fetch a path of the station."""
        headers = {"Accept": accept, "Cookie": self._cookie}
        request = Request(self.address.rstrip("/") + path, headers=headers)  # noqa: S310 - loopback
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return str(answer.read().decode())

    def validate(self, token: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of `/validate` to a NUC token, asked as Birthmark's aggregator asks."""
        body = json.dumps({"camera_token": token, "manufacturer_authority_id": "BIRTHMARK_SMA"}).encode()
        request = Request(  # noqa: S310 - loopback
            f"{self.address.rstrip('/')}/validate", data=body, headers={"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return dict(json.loads(answer.read()))


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirection as the answer."""

    def http_error_303(self, req: Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp


def run_station(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the station to its end. Raises CalledProcessError unless `check` is off."""
    return subprocess.run([*STATION, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check)
