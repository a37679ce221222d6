"""Runs the agent's own TPM simulator: swtpm as a child process, its state under the state directory.

Its keys are files, so it protects nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError

_SETUP_SECONDS: Final = 60.0
_START_SECONDS: Final = 60.0
"""How long one swtpm may take to answer."""

_PREDECESSOR_SECONDS: Final = 10.0
"""How long an swtpm that ends at once is started again: a killed agent's swtpm may still hold the lock on the state."""

_AGAIN_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.005
_STATE: Final = "simulator"
_CONTROL_SUFFIX: Final = ".ctrl"  # the TCTI looks for it there
_GET_CAPABILITY: Final = bytes.fromhex("00000001")
"""A command for swtpm's control channel that changes nothing (swtpm's tpm_ioctl.h, CMD_GET_CAPABILITY)."""


class Simulator:
    """Raises `tpm.simulator-missing` or `tpm.simulator-failed`.

    `state_dir` exists and is private; two simulators may not share one.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state = state_dir / _STATE
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = _socket_directory(state_dir)
        self._socket = self._directory / "none"

    @property
    def tcti(self) -> str:
        """The TCTI string of the TPM that was started last; each start has another."""
        return f"swtpm:path={self._socket}"

    def start(self) -> None:
        """Make a TPM if there is none, and switch it on; end an old one that still runs.

        Returns when it answers.
        """
        self.stop()
        try:
            self._start()
        except OSError as error:
            raise BirthmarkError(
                "tpm.simulator-failed", f"{error.filename or self._state}: {error.strerror}"
            ) from error

    def _start(self) -> None:
        if not self._state.is_dir():
            _manufacture(self._state)
        for stale in self._directory.iterdir():
            stale.unlink(missing_ok=True)
        # swtpm removes its sockets by name when it ends, so a predecessor that ends late would remove this one's.
        self._socket = self._directory / secrets.token_hex(4)
        give_up = time.monotonic() + _PREDECESSOR_SECONDS
        while not self._try_start():
            if time.monotonic() > give_up:
                self.stop()
                raise BirthmarkError("tpm.simulator-failed", str(self._state))
            time.sleep(_AGAIN_SECONDS)

    def _try_start(self) -> bool:
        """Start an swtpm. Returns whether it answers; if not, it has ended or taken too long."""
        control = self._socket.with_name(self._socket.name + _CONTROL_SUFFIX)
        with (self._state / "swtpm.log").open("wb") as output:  # not a pipe, which would fill
            self._process = _spawn(
                [
                    *("setpriv", "--pdeathsig", "TERM"),  # it ends when this process ends, however that ends
                    "swtpm",
                    "socket",
                    "--tpm2",
                    "--tpmstate",
                    f"dir={self._state},mode=0600",
                    "--server",
                    f"type=unixio,path={self._socket},mode=0600",
                    "--ctrl",
                    f"type=unixio,path={control},mode=0600",
                    "--flags",
                    "not-need-init,startup-clear",
                ],
                output,
            )
        give_up = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and (left := give_up - time.monotonic()) > 0:
            if _answers(control, left):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def stop(self) -> None:
        """Switch it off. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Switch it off for good."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _answers(control: Path, seconds: float) -> bool:
    """Whether the swtpm with this control channel answers a command within `seconds`.

    The socket's file exists before swtpm listens, and swtpm listens before it has the lock on its state, so that it may
    still end. When it answers, both channels listen and the TPM is on. Does not try the data channel, which serves one
    client at a time.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        try:
            client.connect(str(control))
            client.sendall(_GET_CAPABILITY)
            return len(client.recv(64)) > 0
        except OSError:  # no file yet, nobody listens yet, or it has ended
            return False


def _manufacture(state: Path) -> None:
    """Make endorsement keys and their certificates, from a new CA, as a factory does; completely or not at all.

    EKs are RSA-2048 (template L-1) and ECC P-384 (H-3).
    """
    making = Path(tempfile.mkdtemp(prefix=f".{state.name}.", dir=state.parent))
    try:
        ca = making / "ca"
        ca.mkdir(mode=0o700)
        (making / "localca.conf").write_text(
            f"statedir={ca}\nsigningkey={ca}/signkey.pem\nissuercert={ca}/issuercert.pem\ncertserial={ca}/certserial\n"
        )
        (making / "localca.options").write_text(
            "--platform-manufacturer Birthmark\n--platform-version 1\n--platform-model Simulator\n"
        )
        (making / "setup.conf").write_text(
            f"create_certs_tool={shutil.which('swtpm_localca') or 'swtpm_localca'}\n"
            f"create_certs_tool_config={making}/localca.conf\ncreate_certs_tool_options={making}/localca.options\n"
        )
        with (making / "swtpm.log").open("wb") as output:
            setup = _spawn(
                [
                    "swtpm_setup",
                    "--tpm2",
                    "--tpmstate",
                    str(making),
                    "--config",
                    str(making / "setup.conf"),
                    "--create-ek-cert",
                    "--ecc",
                    "--lock-nvram",
                ],
                output,
            )
            try:
                result = setup.wait(_SETUP_SECONDS)
            except subprocess.TimeoutExpired:
                setup.kill()
                result = setup.wait()
        if result != 0:
            kept = state.parent / "swtpm.log"
            kept.write_bytes((making / "swtpm.log").read_bytes())
            raise BirthmarkError("tpm.simulator-failed", f"swtpm_setup ended with {result}, see {kept}")
        making.rename(state)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _spawn(command: list[str], output: object) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # type: ignore[call-overload, no-any-return]
    except FileNotFoundError:
        raise BirthmarkError("tpm.simulator-missing", command[0]) from None


def _socket_directory(state_dir: Path) -> Path:
    """Make a private directory with a short path: a socket's may have 107 bytes, a state directory's may be longer.

    The name is the same each time, so that a killed agent's directory is used again. Refuses another user's directory.
    """
    digest = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"birthmark-tpm-{os.getuid()}-{digest}"
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        status = path.lstat()
        private = not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or not private:
            raise BirthmarkError("tpm.simulator-failed", f"{path} is not ours") from None
    return path
