"""The Pi as a USB device: a gadget with one serial port, made and removed in configfs. Speaks to nobody.

Everything is in two kernel directories, so that a test can stand its own in their place. The layout is the kernel's:
Documentation/usb/gadget_configfs.rst. Our gadget is the directory `birthmark`; no other is ever changed.
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
"""What the station's udev rule looks for, with `PRODUCT`."""
PRODUCT: Final = "Camera"

_ENGLISH: Final = "strings/0x409"
_FUNCTION: Final = "functions/acm.usb0"
_CONFIG: Final = "configs/c.1"
_LINK: Final = _CONFIG + "/acm.usb0"
_ATTRIBUTES: Final = {
    "idVendor": "0x1d6b",  # Linux Foundation
    "idProduct": "0x0104",  # multifunction composite gadget
    "bcdDevice": "0x0100",
    "bcdUSB": "0x0200",
}
_READ_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class GadgetStatus:
    """What there is of the gadget now."""

    controllers: tuple[str, ...]
    """Every USB device controller of this board."""
    bound_to: str | None
    """The controller our gadget is on, if it is up."""
    serial: str | None
    """The serial number it shows to the host."""
    tty: str | None
    """The serial port at this end, such as `/dev/ttyGS0`."""
    host: str | None
    """What the controller says of the host: `configured`, `not attached`, …"""


class Gadget:
    """The gadget of this board. Every method may be called again, and finds what was left half done."""

    def __init__(self, configfs: Path = CONFIGFS, controllers: Path = CONTROLLERS) -> None:
        self._configfs = configfs
        self._controllers = controllers
        self._path = configfs / NAME

    def start(self, serial: BoardSerial) -> GadgetStatus:
        """Make the gadget and put it on the first controller; nothing happens when it is there already.

        Raises `gadget.unsupported`, `gadget.no-controller`, `gadget.controller-busy`, `gadget.permission` or
        `gadget.failed`; a controller in another gadget's use is left to it.
        """
        with _translated():
            if not self._configfs.is_dir():
                raise BirthmarkError("gadget.unsupported", str(self._configfs))
            controller = self._controller()
            bound_to = _text(self._path / "UDC")
            if bound_to != controller or _text(self._path / _ENGLISH / "serialnumber") != serial:
                if bound_to:
                    _write(self._path / "UDC", "")
                self._describe(serial)
                _write(self._path / "UDC", controller)
        return self.status()

    def stop(self) -> GadgetStatus:
        """Take the gadget from its controller and remove it. Raises `gadget.permission` or `gadget.failed`."""
        with _translated():
            if self._path.is_dir():
                if _text(self._path / "UDC"):
                    _write(self._path / "UDC", "")
                (self._path / _LINK).unlink(missing_ok=True)
                for name in (f"{_CONFIG}/{_ENGLISH}", _CONFIG, _FUNCTION, _ENGLISH, "."):
                    if (self._path / name).is_dir():
                        (self._path / name).rmdir()
        return self.status()

    def status(self) -> GadgetStatus:
        """Raises nothing: what cannot be read is not there."""
        bound_to = _text(self._path / "UDC") or None
        port = _text(self._path / _FUNCTION / "port_num")
        return GadgetStatus(
            controllers=self._names(),
            bound_to=bound_to,
            serial=_text(self._path / _ENGLISH / "serialnumber") or None,
            tty=f"/dev/ttyGS{int(port)}" if port.isascii() and port.isdigit() else None,
            host=printable(_text(self._controllers / bound_to / "state"), 32) or None if bound_to else None,
        )

    def _controller(self) -> str:
        """The first controller, which must be free or ours."""
        names = self._names()
        if not names:
            raise BirthmarkError("gadget.no-controller", str(self._controllers))
        for other in sorted(self._configfs.iterdir()):
            if other.name != NAME and _text(other / "UDC") == names[0]:
                raise BirthmarkError("gadget.controller-busy", f"{names[0]} by the gadget {printable(other.name)}")
        return names[0]

    def _names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(path.name for path in self._controllers.iterdir()))
        except OSError:
            return ()

    def _describe(self, serial: BoardSerial) -> None:
        for name in (".", _ENGLISH, _CONFIG, f"{_CONFIG}/{_ENGLISH}", _FUNCTION):
            (self._path / name).mkdir(exist_ok=True)
        for name, value in _ATTRIBUTES.items():
            _write(self._path / name, value)
        _write(self._path / _ENGLISH / "serialnumber", serial)
        _write(self._path / _ENGLISH / "manufacturer", MANUFACTURER)
        _write(self._path / _ENGLISH / "product", PRODUCT)
        _write(self._path / _CONFIG / _ENGLISH / "configuration", "Provisioning")
        if not (self._path / _LINK).is_symlink():
            (self._path / _LINK).symlink_to(self._path / _FUNCTION)


def _text(path: Path) -> str:
    """An attribute's value without its newline, or nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_READ_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _write(path: Path, value: str) -> None:
    # The kernel makes the attributes; a file that we had to create would be no attribute.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
    try:
        os.write(descriptor, value.encode() + b"\n")
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename or 'UDC'}: {error.strerror}"
        match error.errno:
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise BirthmarkError("gadget.permission", where) from error
            case errno.EBUSY:  # a gadget of the old kind (g_serial, g_ether), which configfs does not show
                raise BirthmarkError("gadget.controller-busy", where) from error
            case _:
                raise BirthmarkError("gadget.failed", where) from error
