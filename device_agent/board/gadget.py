"""Makes the Pi a USB device: creates and removes a gadget in configfs, with one serial port or with none that is seen.

It touches two kernel directories only, which a test can replace. The kernel defines the layout:
Documentation/usb/gadget_configfs.rst. Our gadget is the directory `birthmark`; other gadgets are never changed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.errors import BirthmarkError
from shared.text import printable
from shared.types import BoardSerial

CONFIGFS: Final = Path("/sys/kernel/config/usb_gadget")
CONTROLLERS: Final = Path("/sys/class/udc")
NAME: Final = "birthmark"

MANUFACTURER: Final = "Birthmark"
"""The station's udev rule matches this and `PRODUCT`."""
PRODUCT: Final = "Camera"
QUIET_PRODUCT: Final = "Camera, provisioned"
"""No host sees it; it would not match the station's rule."""

_ENGLISH: Final = "strings/0x409"
_CONFIG: Final = "configs/c.1"
_SERIAL_PORT: Final = "acm.usb0"
_UNSEEN: Final = "obex.usb0"
"""The kernel shows a gadget with this function to no host before a program opens its tty, which none does."""
_ATTRIBUTES: Final = {
    "idVendor": "0x1d6b",  # Linux Foundation
    "idProduct": "0x0104",  # multifunction composite gadget
    "bcdDevice": "0x0100",
    "bcdUSB": "0x0200",
}
_READ_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class GadgetStatus:
    """The gadget's current state."""

    controllers: tuple[str, ...]
    """Every USB device controller of this board."""
    bound_to: str | None
    """The controller our gadget is bound to, if it is up."""
    serial: str | None
    """The serial number the host sees."""
    tty: str | None
    """The serial port at this end, such as `/dev/ttyGS0`."""
    host: str | None
    """The controller's state: `configured`, `not attached`, …"""
    quiet: bool
    """Whether our gadget holds the controller so that no host sees anything."""


class Gadget:
    """The gadget of this board. Every method may be called again and completes what was left half done."""

    def __init__(self, configfs: Path = CONFIGFS, controllers: Path = CONTROLLERS) -> None:
        self._configfs = configfs
        self._controllers = controllers
        self._path = configfs / NAME

    def start(self, serial: BoardSerial) -> GadgetStatus:
        """Make the gadget and bind it to the first controller; do nothing if it is bound already.

        Raises `gadget.unsupported`, `gadget.no-controller`, `gadget.controller-busy`, `gadget.permission` or
        `gadget.failed`. A controller that another gadget uses stays bound to that gadget.
        """
        with _translate_errors():
            controller = self._find_controller()
            status = self.status()
            if status.quiet:
                self._remove()
            if status.quiet or (status.bound_to, status.serial) != (controller, serial):
                self._bind(controller, PRODUCT, serial, _SERIAL_PORT)
        return self.status()

    def quieten(self) -> GadgetStatus:
        """Hold the first controller so that no host sees anything: without a gadget, its host would log errors for a
        minute (docs/decisions/0011-quiet-port.md). Leaves a controller that another gadget uses to it.

        Raises `gadget.unsupported`, `gadget.no-controller`, `gadget.permission` or `gadget.failed`.
        """
        try:
            with _translate_errors():
                controller = self._find_controller()
                status = self.status()
                if not status.quiet or status.bound_to != controller:
                    self._remove()
                    self._bind(controller, QUIET_PRODUCT, "", _UNSEEN)
        except BirthmarkError as error:
            if error.code != "gadget.controller-busy":
                raise
            self.stop()
        return self.status()

    def stop(self) -> GadgetStatus:
        """Unbind the gadget from its controller and remove it. Raises `gadget.permission` or `gadget.failed`."""
        with _translate_errors():
            self._remove()
        return self.status()

    def status(self) -> GadgetStatus:
        """Return the current state. Raises nothing: an attribute that cannot be read counts as absent."""
        bound_to = _read_attribute(self._path / "UDC") or None
        port = _read_attribute(self._path / "functions" / _SERIAL_PORT / "port_num")
        return GadgetStatus(
            controllers=self._list_controllers(),
            bound_to=bound_to,
            serial=_read_attribute(self._path / _ENGLISH / "serialnumber") or None,
            tty=f"/dev/ttyGS{int(port)}" if port.isascii() and port.isdigit() else None,
            host=printable(_read_attribute(self._controllers / bound_to / "state"), 32) or None if bound_to else None,
            quiet=bound_to is not None and (self._path / _CONFIG / _UNSEEN).is_symlink(),
        )

    def other_user(self) -> str:
        """Return the name of another gadget that uses the first controller; empty if there is none."""
        names = self._list_controllers()
        try:
            others = sorted(self._configfs.iterdir())
        except OSError:
            return ""
        found = (one.name for one in others if one.name != NAME and _read_attribute(one / "UDC") in names[:1])
        return printable(next(found, ""), 64)

    def _find_controller(self) -> str:
        """Return the first controller, which must be free or ours."""
        if not self._configfs.is_dir():
            raise BirthmarkError("gadget.unsupported", str(self._configfs))
        names = self._list_controllers()
        if not names:
            raise BirthmarkError("gadget.no-controller", str(self._controllers))
        if other := self.other_user():
            raise BirthmarkError("gadget.controller-busy", f"{names[0]} by the gadget {other}")
        return names[0]

    def _list_controllers(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(path.name for path in self._controllers.iterdir()))
        except OSError:
            return ()

    def _bind(self, controller: str, product: str, serial: str, function: str) -> None:
        if _read_attribute(self._path / "UDC"):
            _write_attribute(self._path / "UDC", "")
        made = f"functions/{function}"
        for name in (".", _ENGLISH, _CONFIG, f"{_CONFIG}/{_ENGLISH}", made):
            (self._path / name).mkdir(exist_ok=True)
        for name, value in _ATTRIBUTES.items():
            _write_attribute(self._path / name, value)
        if serial:
            _write_attribute(self._path / _ENGLISH / "serialnumber", serial)
        _write_attribute(self._path / _ENGLISH / "manufacturer", MANUFACTURER)
        _write_attribute(self._path / _ENGLISH / "product", product)
        _write_attribute(self._path / _CONFIG / _ENGLISH / "configuration", "Provisioning")
        link = self._path / _CONFIG / function
        if not link.is_symlink():
            link.symlink_to(self._path / made)
        _write_attribute(self._path / "UDC", controller)

    def _remove(self) -> None:
        if not self._path.is_dir():
            return
        if _read_attribute(self._path / "UDC"):
            _write_attribute(self._path / "UDC", "")
        functions = (_SERIAL_PORT, _UNSEEN)
        for function in functions:
            (self._path / _CONFIG / function).unlink(missing_ok=True)
        made = (f"functions/{function}" for function in functions)
        for name in (f"{_CONFIG}/{_ENGLISH}", _CONFIG, *made, _ENGLISH, "."):
            if (self._path / name).is_dir():
                (self._path / name).rmdir()


def _read_attribute(path: Path) -> str:
    """Return an attribute's value without its newline, or an empty string where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _write_attribute(path: Path, value: str) -> None:
    line = value.encode() + b"\n"
    # No O_CREAT: the kernel creates the attributes.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
    try:
        # The kernel takes each write as a whole value: the rest of a short one, written after it, would be another.
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.EIO, "the kernel took a part of the value only", str(path))
    finally:
        os.close(descriptor)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename or 'UDC'}: {error.strerror}"
        match error.errno:
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise BirthmarkError("gadget.permission", where) from error
            case errno.EBUSY:  # a legacy gadget module (g_serial, g_ether), which configfs does not show
                raise BirthmarkError("gadget.controller-busy", where) from error
            case _:
                raise BirthmarkError("gadget.failed", where) from error
