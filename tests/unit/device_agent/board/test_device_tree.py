"""Serial number and model from the device tree, and the options that replace them."""

from pathlib import Path

import pytest

from device_agent.board.device_tree import Board, read_board
from shared.errors import BirthmarkError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "serial-number").write_bytes(b"10000000abcdef01\0")
    (tmp_path / "model").write_bytes(b"Raspberry Pi Zero 2 W Rev 1.0\0")
    return tmp_path


def test_serial_and_model_come_from_the_device_tree(tree: Path) -> None:
    assert read_board(device_tree=tree) == Board("10000000abcdef01", "Raspberry Pi Zero 2 W Rev 1.0")  # type: ignore[arg-type]


def test_options_override_the_device_tree(tree: Path) -> None:
    assert read_board("abc", "Toy", device_tree=tree) == Board("abc", "Toy")  # type: ignore[arg-type]


def test_a_board_without_a_serial_number_has_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError) as caught:
        read_board(device_tree=tmp_path)
    assert caught.value.code == "board.no-serial"
    assert read_board("abc", device_tree=tmp_path).model == "unknown board"


@pytest.mark.parametrize("serial", ["", "a b", "<b>", "x" * 65, "naïve", "a\nb", "-a", "а1"])
def test_a_serial_number_out_of_the_alphabet_is_refused(tmp_path: Path, serial: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        read_board(serial, device_tree=tmp_path)
    assert caught.value.code == "identity.serial-invalid"


def test_a_model_is_cleaned_and_cut(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Pi\x1b[31m\r\n" + b"x" * 5000)
    model = read_board("a", device_tree=tmp_path).model
    assert len(model) <= 256
    assert model.isprintable()
