"""One connection to one TPM. Every command goes through `Connection.run`, which bounds its time and names its error.

The TPM library blocks as long as the TPM does, so commands run in a thread of their own. A command that times out keeps
that thread, and the connection cannot be used any more.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from shared.errors import BirthmarkError, ErrorCode
from shared.text import printable

os.environ.setdefault("TSS2_LOG", "all+none")  # the C library reads this once; without it, it writes to stderr

from tpm2_pytss import ESAPI, ESYS_TR, TPM2_CAP, TSS2_Exception

log = logging.getLogger(__name__)

Result = TypeVar("Result")

COMMAND_SECONDS: Final = 60.0
"""How long one command may take. An RSA key on a hardware chip takes 2 s on average, and may take ten times that."""

AGAIN_SECONDS: Final = 10.0
"""How long a command is repeated that the TPM asks to send again: a chip's self-test takes a second or two."""

AGAIN_PAUSE_SECONDS: Final = 0.05
AGAIN_PAUSE_SECONDS_MAX: Final = 1.0
"""The pauses between; each is twice the one before. tpm2-tss itself sends a command five times without any, for
RETRY, YIELDED and TESTING (Esys_*_Finish), so this is how often it does that."""

_TCTIS: Final = frozenset({"device", "swtpm", "mssim", "tabrmd"})
"""The TCTIs of tpm2-tss that only speak to a TPM, as Tss2_TctiLdr_Initialize(3) takes them: NAME or NAME:CONFIGURATION.

Not the others, though a person may have typed them: `cmd` runs a command, `pcap` leads to any other TCTI and writes a
file, `libtpms` makes a TPM inside this process, and what the library knows no TCTI by, it loads as a file of code."""

# TPM 2.0 Part 2, 6.6.3: response codes. Format-one codes are compared without parameter, handle or session number.
_RC_RETRIED: Final = frozenset({0x908, 0x90A, 0x920, 0x922, 0x923})
"""YIELDED, TESTING, NV_RATE, RETRY, NV_UNAVAILABLE: the same command may succeed a moment later."""
_RC_NO_ROOM: Final = frozenset({0x901, 0x902, 0x903, 0x904, 0x905, 0x906})
"""Out of context gaps, object memory, session memory, memory, session handles or object handles."""
_RC_LOCKOUT: Final = 0x921
_RC_INTEGRITY: Final = 0x09F
_RC_AUTH: Final = frozenset({0x08E, 0x0A2})
"""AUTH_FAIL, BAD_AUTH."""
_FMT1: Final = 0x080
_FMT1_CODE: Final = 0x0BF
_LAYER_TCTI: Final = 0xA

_PERMANENT: Final = 0x200  # TPM_PT_PERMANENT, a TPMA_PERMANENT: Part 2, 8.6
_LOCKOUT_AUTH_SET: Final = 1 << 2

_TRANSIENT_FIRST: Final = 0x80000000
_SESSIONS_FIRST: Final = (0x02000000, 0x03000000)


class Run(Protocol):
    """Sends commands as `Connection.run` does."""

    def __call__(self, what: str, command: Callable[[ESAPI], Result], /) -> Result: ...


class Connection:
    """Raises `tpm.name-unknown`, `tpm.no-device`, `tpm.permission`, `tpm.busy` or `tpm.not-ready` if it does not open.

    `make_room` is called when the TPM has no room for another object or session, before the command is tried once more.
    """

    def __init__(self, tcti: str, command_seconds: float = COMMAND_SECONDS) -> None:
        if tcti.partition(":")[0] not in _TCTIS:
            raise BirthmarkError("tpm.name-unknown", printable(tcti, 64))
        self._seconds = command_seconds
        self._commands: queue.SimpleQueue[tuple[Callable[[], object], Future[Any]] | None] = queue.SimpleQueue()
        self._hung = False
        self._closed = False
        self.make_room: Callable[[], None] | None = None
        threading.Thread(target=self._work, name="tpm", daemon=True).start()
        try:
            self._esapi: ESAPI = self._within(lambda: ESAPI(tcti))
        except TSS2_Exception as error:
            self._commands.put(None)
            raise _open_error(tcti, error) from error
        try:
            _flush_all(self.run)
        except BirthmarkError:
            self.close()
            raise

    def run(self, what: str, command: Callable[[ESAPI], Result]) -> Result:
        """Send one command, or a few that may be repeated together. `what` names it in an error.

        Raises `tpm.not-ready`, `tpm.busy`, `tpm.lockout`, `tpm.owned`, `tpm.not-this-one`, `tpm.gone`, `tpm.hung` or
        `tpm.failed`.
        """
        give_up = time.monotonic() + AGAIN_SECONDS
        pause = AGAIN_PAUSE_SECONDS
        room_made = unlocked = False
        while True:
            try:
                return self._run_once(what, command)
            except TSS2_Exception as error:
                if error.rc in _RC_RETRIED and time.monotonic() < give_up:
                    time.sleep(pause)
                    pause = min(pause * 2, AGAIN_PAUSE_SECONDS_MAX)
                elif error.rc in _RC_NO_ROOM and not room_made:
                    room_made = True
                    if self.make_room:
                        self.make_room()
                elif error.rc == _RC_LOCKOUT and not unlocked and self._unlocked():
                    unlocked = True
                else:
                    raise _error(what, error) from error

    def close(self) -> None:
        """Flush what is loaded and close. May be called twice, and after the TPM is gone."""
        if self._closed:
            return
        self._closed = True
        if not self._hung:
            for step in (lambda: _flush_all(self._run_once), lambda: self._run_once("close", ESAPI.close)):
                try:
                    step()
                except (TSS2_Exception, BirthmarkError) as error:
                    log.debug("closing the TPM: %s", error)
        self._commands.put(None)

    def _run_once(self, _what: str, command: Callable[[ESAPI], Result]) -> Result:
        return self._within(lambda: command(self._esapi))

    def _unlocked(self) -> bool:
        try:
            return self._within(lambda: _unlock(self._esapi))
        except TSS2_Exception as error:  # the lockout itself may be locked
            log.warning("the TPM does not let itself be unlocked: %s", error)
            return False

    def _within(self, command: Callable[[], Result]) -> Result:
        if self._hung:
            raise BirthmarkError("tpm.hung")
        answer: Future[Result] = Future()
        self._commands.put((command, answer))
        try:
            return answer.result(self._seconds)
        except TimeoutError:
            self._hung = True
            raise BirthmarkError("tpm.hung", f"for {self._seconds:g} s") from None

    def _work(self) -> None:
        while item := self._commands.get():
            command, answer = item
            try:
                answer.set_result(command())
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
                answer.set_exception(error)


def handles(esapi: ESAPI, first: int) -> list[int]:
    """Return the handles of one kind that are in use: transient objects from 0x80000000, sessions from 0x02000000."""
    _, capability = esapi.get_capability(TPM2_CAP.HANDLES, first, 64)
    return [int(handle) for handle in capability.data.handles]


def _unlock(esapi: ESAPI) -> bool:
    """End a lockout, which power cuts alone can cause, unless the TPM's owner has set a lockout password.

    TPM 2.0 Part 1, 19.8.6: a key without noDA that was used before an unorderly shutdown counts as a wrong guess, and a
    TPM vendor's endorsement key is such a key. A wrong password would lock the owner out, so this tries none.
    """
    _, capability = esapi.get_capability(TPM2_CAP.TPM_PROPERTIES, _PERMANENT)
    permanent = int(capability.data.tpmProperties[0].value)
    if permanent & _LOCKOUT_AUTH_SET:
        return False
    esapi.dictionary_attack_lock_reset(ESYS_TR.LOCKOUT)
    log.warning("the TPM was locked by power cuts, and is unlocked again")
    return True


def _flush_all(run: Run) -> None:
    """Flush all objects and sessions: they outlive the program that made them, and there is room for three.

    Behind a resource manager a program sees, and flushes, only its own.
    """
    for first in (_TRANSIENT_FIRST, *_SESSIONS_FIRST):
        for handle in run("look for what a killed program left", partial(handles, first=first)):
            run("flush what a killed program left", partial(_flush, handle=handle))


def _flush(esapi: ESAPI, handle: int) -> None:
    try:
        esapi.flush_context(esapi.tr_from_tpmpublic(handle))
    except TSS2_Exception as error:
        if error.rc in _RC_RETRIED:
            raise
        log.debug("handle %#x stays: %s", handle, error)


def _error(what: str, error: TSS2_Exception) -> BirthmarkError:
    detail = f"{what}: {error} ({error.rc:#x})"
    if error.rc >> 16 == _LAYER_TCTI:
        return BirthmarkError("tpm.gone", detail)
    if error.rc in _RC_RETRIED:
        return BirthmarkError("tpm.not-ready", detail)
    if error.rc in _RC_NO_ROOM:
        return BirthmarkError("tpm.busy", detail)
    if error.rc == _RC_LOCKOUT:
        return BirthmarkError("tpm.lockout", detail)
    if error.rc & _FMT1 and error.rc & _FMT1_CODE == _RC_INTEGRITY:
        return BirthmarkError("tpm.not-this-one", detail)
    if error.rc & _FMT1 and error.rc & _FMT1_CODE in _RC_AUTH:
        return BirthmarkError("tpm.owned", detail)
    return BirthmarkError("tpm.failed", detail)


def _open_error(tcti: str, error: TSS2_Exception) -> BirthmarkError:
    """Find out why the library could not open a device, which it does not say."""
    kind, _, path = tcti.partition(":")
    if kind != "device":
        return BirthmarkError("tpm.no-device", f"{tcti}: {error}")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except FileNotFoundError:
        return BirthmarkError("tpm.no-device", path)
    except PermissionError:
        return BirthmarkError("tpm.permission", path)
    except OSError as reason:  # the kernel makes the node before its driver has found the chip
        code: ErrorCode = "tpm.busy" if reason.errno == errno.EBUSY else "tpm.not-ready"
        return BirthmarkError(code, f"{path}: {reason.strerror}")
    return BirthmarkError("tpm.not-ready", f"{path}: {error}")
