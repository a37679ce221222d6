"""The key tables of a station, and keys derived from them: the source documents' list of derivation tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.birthmark.derivation import extract, token_key
from shared.errors import BirthmarkError
from shared.types import MasterKey, TableId, key_index, table_id
from station.cli.vectors import derive_rows
from station.registry.schema import key_tables
from station.secrets import key_tables as keytables
from station.secrets.station_secret import StationSecret
from tests.harness.bare_station import open_bare_station
from tests.harness.vectors import DERIVATIONS

MASTER = MasterKey(bytes(range(32)))
OTHER = MasterKey(bytes(32))


def test_derivation_basic_it_is_thirty_two_bytes_and_not_the_master_key() -> None:
    key = token_key(MASTER, key_index(0)).secret()
    assert len(key) == 32
    assert key not in (MASTER.secret(), extract(MASTER).secret())


def test_derivation_deterministic_the_same_question_has_the_same_answer() -> None:
    assert {token_key(MASTER, key_index(7)) for _ in range(10)} == {token_key(MASTER, key_index(7))}


def test_derivation_of_all_thousand_indices_gives_a_thousand_keys() -> None:
    assert len({token_key(MASTER, key_index(index)) for index in range(1000)}) == 1000


def test_derivation_of_different_master_keys_differs_at_every_index_tried() -> None:
    assert all(token_key(MASTER, key_index(i)) != token_key(OTHER, key_index(i)) for i in (0, 1, 500, 999))


@pytest.mark.parametrize("index", [0, 999])
def test_derivation_at_the_boundaries_is_hkdf_as_another_library_makes_it(index: int) -> None:
    info = index.to_bytes(4, "big") + b"Birthmark"
    theirs = HKDF(hashes.SHA256(), 32, None, info).derive(MASTER.secret())
    assert token_key(MASTER, key_index(index)).secret() == theirs


@pytest.mark.parametrize("index", [-1, 1000, 2**32])
def test_derivation_beyond_the_boundaries_is_refused(index: int) -> None:
    with pytest.raises(BirthmarkError) as raised:
        key_index(index)
    assert raised.value.code == "table.index-out-of-range"


def test_the_printed_vectors_are_right_and_begin_and_end_at_the_boundaries() -> None:
    printed = {(str(row["master_key"]), row["key_index"]): row for row in derive_rows()}
    known = [row for row in DERIVATIONS if (row.master_key.secret().hex(), row.key_index) in printed]
    assert len(known) >= 9
    for row in known:
        found = printed[row.master_key.secret().hex(), row.key_index]
        assert (found["prk"], found["derived_key"]) == (row.prk.secret().hex(), row.derived_key.secret().hex())
    assert {0, 999} <= {index for _, index in printed}


async def test_several_tables_have_different_keys(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=250) as bare_station:
        assert bare_station.tables.ids() == list(range(250))
        assert len({bare_station.tables.master_key(table) for table in bare_station.tables.ids()}) == 250
        with pytest.raises(BirthmarkError) as raised:
            bare_station.tables.master_key(table_id(250))
        assert raised.value.code == "table.unknown"


async def test_the_tables_are_the_same_after_a_restart(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        async with bare_station.database.read() as connection:
            again = await keytables.load(connection, bare_station.secret)
        assert [again.master_key(t) for t in again.ids()] == [
            bare_station.tables.master_key(t) for t in bare_station.tables.ids()
        ]


async def test_no_master_key_lies_in_the_registry_and_none_opens_under_another_secret(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("registry.sqlite*"))
        assert all(bare_station.tables.master_key(table).secret() not in stored for table in bare_station.tables.ids())
        async with bare_station.database.read() as connection:
            with pytest.raises(BirthmarkError) as raised:
                await keytables.load(connection, StationSecret.generate())
        assert raised.value.code == "table.unsealable"


async def test_exchanged_tables_do_not_open(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        async with bare_station.database.write() as connection:
            sealed = (await connection.execute(sa.select(key_tables.c.sealed).where(key_tables.c.id == 1))).scalar_one()
            await connection.execute(key_tables.update().where(key_tables.c.id == 2).values(sealed=sealed))
        async with bare_station.database.read() as connection:
            with pytest.raises(BirthmarkError) as raised:
                await keytables.load(connection, bare_station.secret)
        assert raised.value.code == "table.unsealable"


async def test_three_different_tables_are_chosen_and_every_table_gets_its_turn(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=5) as bare_station:
        chosen = [bare_station.tables.choose() for _ in range(200)]
    assert all(len(set(tables)) == 3 and list(tables) == sorted(tables) for tables in chosen)
    assert {table for tables in chosen for table in tables} == {TableId(number) for number in range(5)}
