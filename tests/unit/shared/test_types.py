"""Values that must not be mistaken for one another, at their constructors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import limits
from shared.errors import BirthmarkError
from shared.types import MasterKey, NucHash, TableKey, TokenKey, board_serial, key_index, serial_key, table_id


def test_table_ids_go_from_0_to_2499_and_key_indices_from_0_to_999() -> None:
    assert [table_id(n) for n in (0, 2499)] == [0, 2499]
    assert [key_index(n) for n in (0, 999)] == [0, 999]
    for bad in (-1, 2500, 2**64):
        with pytest.raises(BirthmarkError, match=r"not in 0 to 2499 \[table.id-out-of-range\]"):
            table_id(bad)
    for bad in (-1, 1000, 2**64):
        with pytest.raises(BirthmarkError, match=r"not in 0 to 999 \[table.index-out-of-range\]"):
            key_index(bad)


@pytest.mark.parametrize("serial", ["1", "10000000abcdef01", "BM-7_a:b.c", "x" * 64])
def test_a_board_serial_is_taken(serial: str) -> None:
    assert board_serial(serial) == serial


@pytest.mark.parametrize(
    "serial",
    [
        "",
        " ",
        "a b",
        "a\n",
        "a\0",
        "-a",
        ".",
        "a/b",
        "<b>",
        "x" * 65,
        "x" * 10_000,
        "сериал",
        "１２３",
        "a\u200b",
        "a'",
        "$(x)",
    ],
    ids=lambda serial: ascii(serial[:9]),
)
def test_anything_else_is_refused_and_not_repeated(serial: str) -> None:
    with pytest.raises(BirthmarkError) as refused:
        board_serial(serial)
    assert refused.value.code == "identity.serial-invalid"
    assert refused.value.detail == ""


@pytest.mark.parametrize("serial", ["provision", "PROVISION", "Provision"])
def test_a_word_of_the_http_interface_is_no_serial_number(serial: str) -> None:
    with pytest.raises(BirthmarkError) as refused:
        board_serial(serial)
    assert (refused.value.code, refused.value.detail) == ("identity.serial-invalid", "it is a reserved word")
    assert board_serial(f"{serial}-1") == f"{serial}-1"


def test_spellings_of_a_serial_number_are_alike_in_ascii_only() -> None:
    assert serial_key("Cam-1") == serial_key("CAM-1")
    assert serial_key("\N{KELVIN SIGN}am-1") != serial_key("kam-1")


@given(st.text(max_size=70))
def test_a_serial_that_is_taken_is_plain_ascii_of_at_most_64_characters(text: str) -> None:
    try:
        serial = board_serial(text)
    except BirthmarkError:
        return
    assert serial == text
    assert serial.isascii()
    assert serial.isprintable()
    assert 1 <= len(serial) <= limits.SERIAL_CHARACTERS


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_nuc_hash_is_32_bytes(length: int) -> None:
    with pytest.raises(BirthmarkError, match=r"nuc\.hash-malformed"):
        NucHash(b"\1" * length)


def test_a_nuc_hash_of_zeros_is_the_hash_of_nothing_that_exists() -> None:
    with pytest.raises(BirthmarkError, match="all zeros"):
        NucHash(b"\0" * 32)


def test_a_nuc_hash_is_equal_by_value_and_shows_it_to_nobody() -> None:
    value = bytes(range(32))
    one, same, other = NucHash(value), NucHash(bytes(value)), NucHash(b"\1" * 32)
    assert one == same
    assert len({one, same, other}) == 2
    assert one != value
    assert one.secret() == value
    for told in (repr(one), str(one), f"{one}", repr([one]), repr(BirthmarkError("nuc.hash-malformed"))):
        assert value.hex() not in told
        assert repr(value) not in told
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("kind", [MasterKey, TableKey, TokenKey])
def test_a_key_of_one_kind_is_no_key_of_another_and_shows_itself_to_nobody(
    kind: type[MasterKey | TableKey | TokenKey],
) -> None:
    value = bytes(range(32))
    key = kind(value)
    assert key == kind(bytes(value))
    assert sum(key == other(value) for other in (MasterKey, TableKey, TokenKey, NucHash)) == 1
    assert key.secret() == value
    assert repr(key) == f"{kind.__name__}(hidden)"
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("kind", [TableKey, TokenKey])
@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_derived_key_is_32_bytes(kind: type[TableKey | TokenKey], length: int) -> None:
    with pytest.raises(ValueError, match="has 32 bytes"):
        kind(bytes(length))
