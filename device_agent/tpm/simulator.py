"""A TPM simulator of the agent's own: swtpm as a child process, its state under the state directory.

It stands for a chip where there is none: its keys are files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError

_SETUP_SECONDS: Final = 60.0
_START_SECONDS: Final = 10.0
_STATE: Final = "simulator"
_SOCKET: Final = "tpm"
_CONTROL: Final = "tpm.ctrl"  # where the TCTI looks for it


class Simulator:
    """Raises `tpm.simulator-missing` or `tpm.simulator-failed`.

    `state_dir` exists and is private; two simulators may not share one.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state = state_dir / _STATE
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = _socket_directory(state_dir)

    @property
    def tcti(self) -> str:
        return f"swtpm:path={self._sockets / _SOCKET}"

    def start(self) -> None:
        """Make a TPM, if there is none yet, and switch it on; an old one that still runs ends first."""
        self.stop()
        if not self._state.is_dir():
            _manufacture(self._state)
        for name in (_SOCKET, _CONTROL):
            (self._sockets / name).unlink(missing_ok=True)
        give_up = time.monotonic() + _START_SECONDS
        while not self._try_start(give_up):
            if time.monotonic() > give_up:
                raise BirthmarkError("tpm.simulator-failed", str(self._state))
            time.sleep(0.1)  # a predecessor may still be letting go of the state

    def _try_start(self, give_up: float) -> bool:
        with (self._state / "swtpm.log").open("wb") as output:  # never a pipe: it would fill
            self._process = _spawn(
                [
                    *("setpriv", "--pdeathsig", "TERM"),  # it ends with us, however we end
                    "swtpm",
                    "socket",
                    "--tpm2",
                    "--tpmstate",
                    f"dir={self._state},mode=0600",
                    "--server",
                    f"type=unixio,path={self._sockets / _SOCKET},mode=0600",
                    "--ctrl",
                    f"type=unixio,path={self._sockets / _CONTROL},mode=0600",
                    "--flags",
                    "not-need-init,startup-clear",
                ],
                output,
            )
        while self._process.poll() is None and time.monotonic() < give_up:
            if (self._sockets / _SOCKET).exists() and (self._sockets / _CONTROL).exists():
                return True
            time.sleep(0.005)
        return False

    def stop(self) -> None:
        """Switch it off; safe to call again."""
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
        shutil.rmtree(self._sockets, ignore_errors=True)

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _manufacture(state: Path) -> None:
    """What a factory does: endorsement keys, with certificates from a CA made on the spot. Whole or not at all.

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
    """A private directory with a short path, for a socket's may have 107 bytes and a state directory's may have more.

    The name is the same each time, so that a killed agent's is used again. Somebody else's is refused.
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
