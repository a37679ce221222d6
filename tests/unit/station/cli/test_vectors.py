"""`birthmark-station derive-vectors`: known answers for another implementation."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from station.cli.vectors import derive_rows
from tests.harness.station_commands import run_station


def test_there_is_a_row_for_each_master_key_and_index() -> None:
    rows = derive_rows()
    pairs = {(row["master_key"], row["key_index"]) for row in rows}
    assert len(pairs) == len(rows) == len({key for key, _ in pairs}) * len({index for _, index in pairs})
    assert {0, 999} <= {index for _, index in pairs}
    assert len({row["derived_key"] for row in rows}) == len(rows)


def test_each_row_is_hkdf_as_another_implementation_has_it() -> None:
    for row in derive_rows():
        key, index = bytes.fromhex(str(row["master_key"])), int(str(row["key_index"]))
        info = index.to_bytes(4, "big") + b"Birthmark"
        assert HKDF(hashes.SHA256(), 32, None, info).derive(key).hex() == row["derived_key"]
        assert HKDFExpand(hashes.SHA256(), 32, info).derive(bytes.fromhex(str(row["prk"]))).hex() == row["derived_key"]


def test_people_and_programs_get_the_same_rows() -> None:
    rows = json.loads(run_station("derive-vectors", "--json").stdout)["rows"]
    assert rows == derive_rows()
    lines = [line.split() for line in run_station("derive-vectors").stdout.splitlines()]
    assert lines == [[row["master_key"], str(row["key_index"]), row["derived_key"]] for row in rows]
