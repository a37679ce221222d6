"""The gadget against a directory that keeps configfs's rules: attributes come with a directory, order matters."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from click.testing import CliRunner

from device_agent.board.gadget import Gadget, GadgetStatus
from device_agent.cli.gadget import gadget as command
from shared.errors import BirthmarkError
from shared.types import BoardSerial

SERIAL = BoardSerial("10000000abcdef01")
CONTROLLER = "3f980000.usb"


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
        if path.parent.name == "functions" and any((path.parent.parent / "configs").glob("*/acm*")):
            raise OSError(errno.EBUSY, "linked", str(path))
        if any(entry.is_symlink() for entry in path.iterdir()):
            raise OSError(errno.ENOTEMPTY, "has links", str(path))
        for group in ("configs", "functions", "strings"):
            if (path / group).is_dir() and any((path / group).iterdir()):
                raise OSError(errno.EBUSY, "has groups", str(path))
        shutil.rmtree(path)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(tmp_path)
    monkeypatch.setattr(os, "mkdir", kernel.mkdir)
    # shutil.rmtree inside the fake's rmdir needs the real one.
    real = os.rmdir

    def rmdir(path: str | Path, *, dir_fd: int | None = None) -> None:
        if dir_fd is None and Path(path).is_absolute() and Path(path).is_relative_to(kernel.configfs):
            monkeypatch.setattr(os, "rmdir", real)
            try:
                kernel.rmdir(path)
            finally:
                monkeypatch.setattr(os, "rmdir", rmdir)
        else:
            real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir)
    return kernel


def text(path: Path) -> str:
    return path.read_text().strip()


def test_a_started_gadget_is_what_the_stations_rule_looks_for(kernel: Kernel) -> None:
    kernel.add_controller()
    status = Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    made = kernel.configfs / "birthmark"
    assert status == GadgetStatus((CONTROLLER,), CONTROLLER, SERIAL, "/dev/ttyGS0", "not attached")
    assert text(made / "UDC") == CONTROLLER
    rule = (Path(__file__).parents[4] / "udev/70-birthmark-station.rules").read_text()
    for attribute, value in {
        "idVendor": text(made / "idVendor").removeprefix("0x"),
        "idProduct": text(made / "idProduct").removeprefix("0x"),
        "manufacturer": text(made / "strings/0x409/manufacturer"),
        "product": text(made / "strings/0x409/product"),
    }.items():
        assert f'ATTRS{{{attribute}}}=="{value}"' in rule
    assert text(made / "strings/0x409/serialnumber") == SERIAL
    assert (made / "configs/c.1/acm.usb0").resolve() == made / "functions/acm.usb0"


def test_starting_again_does_not_touch_a_gadget_that_is_up(kernel: Kernel) -> None:
    kernel.add_controller()
    made = Gadget(kernel.configfs, kernel.controllers)
    made.start(SERIAL)
    before = (kernel.configfs / "birthmark/UDC").stat().st_mtime_ns
    assert made.start(SERIAL).bound_to == CONTROLLER
    assert (kernel.configfs / "birthmark/UDC").stat().st_mtime_ns == before


def test_another_serial_number_takes_the_place_of_the_old(kernel: Kernel) -> None:
    kernel.add_controller()
    made = Gadget(kernel.configfs, kernel.controllers)
    made.start(SERIAL)
    assert made.start(BoardSerial("2")).serial == "2"


def test_a_start_that_was_cut_short_is_finished_by_the_next(kernel: Kernel) -> None:
    kernel.add_controller()
    os.mkdir(kernel.configfs / "birthmark")
    os.mkdir(kernel.configfs / "birthmark/functions/acm.usb0")
    assert Gadget(kernel.configfs, kernel.controllers).start(SERIAL).bound_to == CONTROLLER


def test_stop_leaves_nothing_behind_and_may_be_called_again(kernel: Kernel) -> None:
    kernel.add_controller()
    made = Gadget(kernel.configfs, kernel.controllers)
    made.start(SERIAL)
    for _ in range(2):
        assert made.stop() == GadgetStatus((CONTROLLER,), None, None, None, None)
        assert list(kernel.configfs.iterdir()) == []


def test_stop_removes_a_gadget_that_was_left_half_made(kernel: Kernel) -> None:
    os.mkdir(kernel.configfs / "birthmark")
    os.mkdir(kernel.configfs / "birthmark/strings/0x409")
    Gadget(kernel.configfs, kernel.controllers).stop()
    assert list(kernel.configfs.iterdir()) == []


def test_without_device_mode_the_error_names_the_line_of_config_txt(kernel: Kernel) -> None:
    with pytest.raises(BirthmarkError) as caught:
        Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    assert caught.value.code == "gadget.no-controller"
    assert "dtoverlay=dwc2,dr_mode=peripheral" in caught.value.advice
    assert list(kernel.configfs.iterdir()) == []


def test_a_controller_that_another_gadget_uses_is_left_to_it(kernel: Kernel) -> None:
    kernel.add_controller()
    os.mkdir(kernel.configfs / "ethernet")
    (kernel.configfs / "ethernet/UDC").write_text(f"{CONTROLLER}\n")
    with pytest.raises(BirthmarkError, match="ethernet") as caught:
        Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    assert caught.value.code == "gadget.controller-busy"
    assert [path.name for path in kernel.configfs.iterdir()] == ["ethernet"]
    assert text(kernel.configfs / "ethernet/UDC") == CONTROLLER


def test_a_gadget_that_is_there_but_not_in_use_is_no_obstacle(kernel: Kernel) -> None:
    kernel.add_controller()
    os.mkdir(kernel.configfs / "ethernet")
    assert Gadget(kernel.configfs, kernel.controllers).start(SERIAL).bound_to == CONTROLLER


def test_without_configfs_the_error_says_which_module(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError) as caught:
        Gadget(tmp_path / "none", tmp_path).start(SERIAL)
    assert caught.value.code == "gadget.unsupported"
    assert "libcomposite" in caught.value.advice


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "gadget.permission"),
        (errno.EROFS, "gadget.permission"),
        (errno.EBUSY, "gadget.controller-busy"),
        (errno.ENODEV, "gadget.failed"),
    ],
)
def test_what_the_kernel_refuses_has_a_code(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    kernel.add_controller()

    def refuse(path: Path, flags: int) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("device_agent.board.gadget.os.open", refuse)
    with pytest.raises(BirthmarkError) as caught:
        Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    assert caught.value.code == code


def test_the_command_starts_shows_and_stops_in_json(kernel: Kernel) -> None:
    kernel.add_controller()
    base = ["--configfs", str(kernel.configfs), "--controllers", str(kernel.controllers)]

    def run(*words: str) -> GadgetStatus:
        result = CliRunner().invoke(command, [*base, *words, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return msgspec.json.decode(result.output, type=GadgetStatus)

    assert run("status").bound_to is None
    assert run("start", "--serial", SERIAL).tty == "/dev/ttyGS0"
    assert run("status") == GadgetStatus((CONTROLLER,), CONTROLLER, SERIAL, "/dev/ttyGS0", "not attached")
    assert run("stop").bound_to is None


def test_the_command_says_in_words_that_device_mode_is_off(kernel: Kernel) -> None:
    base = ["--configfs", str(kernel.configfs), "--controllers", str(kernel.controllers)]
    result = CliRunner().invoke(command, [*base, "status"], catch_exceptions=False)
    assert "dtoverlay=dwc2,dr_mode=peripheral" in result.output
