"""The gadget in a directory that keeps configfs's rules: attributes come with a directory, and order matters."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from device_agent.board.gadget import Gadget, GadgetStatus
from shared.errors import BirthmarkError
from shared.types import BoardSerial
from tests.harness.configfs import CONTROLLER, Kernel

SERIAL = BoardSerial("10000000abcdef01")
RULE = "udev/70-birthmark-station.rules"


def text(path: Path) -> str:
    return path.read_text().strip()


def test_a_started_gadget_is_what_the_stations_rule_looks_for(kernel: Kernel) -> None:
    kernel.add_controller()
    status = Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    made = kernel.configfs / "birthmark"
    assert status == GadgetStatus((CONTROLLER,), CONTROLLER, SERIAL, "/dev/ttyGS0", "not attached", quiet=False)
    assert text(made / "UDC") == CONTROLLER
    rule = (Path(__file__).parents[4] / RULE).read_text()
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
        assert made.stop() == GadgetStatus((CONTROLLER,), None, None, None, None, quiet=False)
        assert list(kernel.configfs.iterdir()) == []


def test_stop_removes_a_gadget_that_was_left_half_made(kernel: Kernel) -> None:
    os.mkdir(kernel.configfs / "birthmark")
    os.mkdir(kernel.configfs / "birthmark/strings/0x409")
    Gadget(kernel.configfs, kernel.controllers).stop()
    assert list(kernel.configfs.iterdir()) == []


def test_without_device_mode_the_error_names_what_switches_it_on(kernel: Kernel) -> None:
    with pytest.raises(BirthmarkError) as caught:
        Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    assert caught.value.code == "gadget.no-controller"
    assert "birthmark-agent setup" in caught.value.advice
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


def test_an_unused_gadget_is_no_obstacle(kernel: Kernel) -> None:
    kernel.add_controller()
    os.mkdir(kernel.configfs / "ethernet")
    assert Gadget(kernel.configfs, kernel.controllers).start(SERIAL).bound_to == CONTROLLER


def test_a_quiet_gadget_holds_the_controller_and_is_none_that_a_station_looks_for(kernel: Kernel) -> None:
    kernel.add_controller()
    made = Gadget(kernel.configfs, kernel.controllers)
    for _ in range(2):
        assert made.quieten() == GadgetStatus((CONTROLLER,), CONTROLLER, None, None, "not attached", quiet=True)
    path = kernel.configfs / "birthmark"
    assert [link.name for link in (path / "configs/c.1").iterdir() if link.is_symlink()] == ["obex.usb0"]
    assert text(path / "strings/0x409/product") not in (Path(__file__).parents[4] / RULE).read_text()
    assert made.stop() == GadgetStatus((CONTROLLER,), None, None, None, None, quiet=False)
    assert list(kernel.configfs.iterdir()) == []


def test_port_and_quiet_take_each_others_place(kernel: Kernel) -> None:
    kernel.add_controller()
    made = Gadget(kernel.configfs, kernel.controllers)
    for _ in range(2):
        assert (made.start(SERIAL).quiet, made.status().tty) == (False, "/dev/ttyGS0")
        assert (made.quieten().quiet, made.status().tty) == (True, None)
        assert len(list((kernel.configfs / "birthmark/functions").iterdir())) == 1


def test_a_port_that_another_gadget_uses_is_quiet_enough(kernel: Kernel) -> None:
    kernel.add_controller()
    os.mkdir(kernel.configfs / "ethernet")
    (kernel.configfs / "ethernet/UDC").write_text(f"{CONTROLLER}\n")
    made = Gadget(kernel.configfs, kernel.controllers)
    assert (made.quieten().bound_to, made.other_user()) == (None, "ethernet")
    assert [path.name for path in kernel.configfs.iterdir()] == ["ethernet"]


def test_without_a_controller_there_is_nothing_to_quieten(kernel: Kernel) -> None:
    with pytest.raises(BirthmarkError) as caught:
        Gadget(kernel.configfs, kernel.controllers).quieten()
    assert caught.value.code == "gadget.no-controller"


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
def test_every_refusal_of_the_kernel_has_a_code(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    kernel.add_controller()

    def refuse(path: Path, flags: int) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("device_agent.board.gadget.os.open", refuse)
    with pytest.raises(BirthmarkError) as caught:
        Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    assert caught.value.code == code


def test_an_attribute_that_takes_a_part_of_its_value_fails_and_gets_no_rest(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.add_controller()
    real, written = os.write, []

    def short(descriptor: int, data: bytes) -> int:
        written.append(data)
        return real(descriptor, data[:3] if data.startswith(SERIAL.encode()) else data)

    monkeypatch.setattr("device_agent.board.gadget.os.write", short)
    with pytest.raises(BirthmarkError, match="serialnumber") as caught:
        Gadget(kernel.configfs, kernel.controllers).start(SERIAL)
    assert caught.value.code == "gadget.failed"
    assert written[-1] == f"{SERIAL}\n".encode()
    assert text(kernel.configfs / "birthmark/UDC") == ""
