"""A directory that keeps configfs's rules: attributes come with a directory, and the order of removal matters."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import ClassVar, Final

CONTROLLER: Final = "3f980000.usb"


class Kernel:
    """What the kernel does when directories are made and removed in configfs."""

    MADE: ClassVar = {
        "gadget": (("UDC", "idVendor", "idProduct", "bcdDevice", "bcdUSB"), ("configs", "functions", "strings")),
        "configs": (("bmAttributes", "MaxPower"), ("strings",)),
        "functions": (("port_num",), ()),
        "strings": (("serialnumber", "manufacturer", "product", "configuration"), ()),
    }

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configfs = root / "usb_gadget"
        self.controllers = root / "udc"
        self._mkdir, self._rmdir = os.mkdir, os.rmdir
        self._mkdir(self.configfs)
        self._mkdir(self.controllers)

    def add_controller(self, name: str = CONTROLLER) -> None:
        self._mkdir(self.controllers / name)
        (self.controllers / name / "state").write_text("not attached\n")

    def mkdir(self, path: str | Path, mode: int = 0o777) -> None:
        path = Path(path)
        if not path.is_relative_to(self.configfs):
            self._mkdir(path, mode)
            return
        kind = "gadget" if path.parent == self.configfs else path.parent.name
        if kind not in self.MADE:
            raise PermissionError(errno.EPERM, "not here", str(path))
        self._mkdir(path)
        files, directories = self.MADE[kind]
        for name in files:
            (path / name).write_text("0\n" if name == "port_num" else "")
        for name in directories:
            self._mkdir(path / name)

    def rmdir(self, path: str | Path) -> None:
        path = Path(path)
        if path.parent.name == "functions" and any(
            link.name == path.name for link in (path.parent.parent / "configs").glob("*/*.usb0")
        ):
            raise OSError(errno.EBUSY, "linked", str(path))
        if any(entry.is_symlink() for entry in path.iterdir()):
            raise OSError(errno.ENOTEMPTY, "has links", str(path))
        for group in ("configs", "functions", "strings"):
            if (path / group).is_dir() and any((path / group).iterdir()):
                raise OSError(errno.EBUSY, "has groups", str(path))
        shutil.rmtree(path)
