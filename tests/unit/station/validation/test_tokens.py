"""NUC tokens: which pass, which fail and why, that a revocation counts at once, and that no result names the unit."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from shared.birthmark.derivation import token_key
from shared.birthmark.legacy_token import LegacyToken
from shared.birthmark.nuc_token import NucToken, seal_token
from shared.types import NucHash, TableId, key_index
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from station.registry import revocation
from station.registry.revocation import RevocationCode
from station.registry.schema import units as table
from station.validation import tokens
from station.validation.verdict import Reason
from tests.harness.bare_station import NOW, BareStation, open_bare_station


def token(
    bare_station: BareStation, provisioned: ProvisionedUnit, which: TableId | None = None, index: int = 5
) -> NucToken:
    """Make a token as the camera does, under one of its tables, or under another so that it fails."""
    assert provisioned.nuc_hash is not None
    which = provisioned.tables[0] if which is None else which
    key = token_key(bare_station.tables.master_key(which), key_index(index))
    return seal_token(key, os.urandom(12), provisioned.nuc_hash, which, key_index(index))


def legacy(made: NucToken, others: tuple[tuple[int, int], ...] = ((0, 0), (1, 1)), place: int = 0) -> LegacyToken:
    """Pack a token in the legacy form: its own pair of table and index at `place` among two others."""
    pairs = [*others[:place], (made.table_id, made.key_index), *others[place:]]
    tables, indices = ([pair[which] for pair in pairs] for which in (0, 1))
    return LegacyToken(made.ciphertext + made.nonce + made.auth_tag, tables, indices)


async def provision(bare_station: BareStation, serial: str = "CAM-1") -> ProvisionedUnit:
    return await bare_station.offline_provisioner.provision(ProvisioningRequest(serial), "test")


async def reason(bare_station: BareStation, made: NucToken | LegacyToken) -> Reason:
    validator = bare_station.tokens
    verdict = await (validator.validate(made) if isinstance(made, NucToken) else validator.validate_legacy(made))
    assert verdict.valid is (verdict.reason is Reason.VALID)
    return verdict.reason


@pytest.mark.parametrize("index", [0, 1, 500, 999])
async def test_a_units_token_passes_under_each_of_its_tables_and_at_every_index(tmp_path: Path, index: int) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        for which in provisioned.tables:
            assert await reason(bare_station, token(bare_station, provisioned, which, index)) is Reason.VALID


@pytest.mark.parametrize("field", ["ciphertext", "auth_tag", "nonce"])
@pytest.mark.parametrize("place", [0, -1])
async def test_one_changed_digit_anywhere_fails(tmp_path: Path, field: str, place: int) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station))
        text = list(getattr(good, field))
        text[place] = "0" if text[place] != "0" else "1"
        changed = msgspec.structs.replace(good, **{field: "".join(text)})
        assert await reason(bare_station, changed) is Reason.NOT_AUTHENTIC


async def test_another_index_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station), index=5)
        assert await reason(bare_station, msgspec.structs.replace(good, key_index=6)) is Reason.NOT_AUTHENTIC


async def test_the_name_of_another_table_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        good = token(bare_station, provisioned)
        other = msgspec.structs.replace(good, table_id=provisioned.tables[1])
        assert await reason(bare_station, other) is Reason.NOT_AUTHENTIC


async def test_a_token_made_under_a_table_that_is_not_the_units_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        foreign = next(which for which in bare_station.tables.ids() if which not in provisioned.tables)
        assert await reason(bare_station, token(bare_station, provisioned, foreign)) is Reason.OTHER_TABLE


async def test_a_table_that_does_not_exist_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station))
        for table_id in (10, 2499):
            assert await reason(bare_station, msgspec.structs.replace(good, table_id=table_id)) is Reason.UNKNOWN_TABLE


async def test_a_nuc_hash_that_nobody_has_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        which = provisioned.tables[0]
        key = token_key(bare_station.tables.master_key(which), key_index(5))
        stranger = seal_token(key, os.urandom(12), NucHash(os.urandom(32)), which, key_index(5))
        assert await reason(bare_station, stranger) is Reason.UNKNOWN_UNIT


async def test_a_revocation_and_a_reinstatement_count_from_the_next_token_on(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station))
        assert await reason(bare_station, good) is Reason.VALID
        async with bare_station.database.write() as connection:
            await revocation.revoke(connection, "CAM-1", RevocationCode.HOLD, "lost", NOW)
        assert await reason(bare_station, good) is Reason.REVOKED
        async with bare_station.database.write() as connection:
            await revocation.reinstate(connection, "CAM-1", "found", NOW)
        assert await reason(bare_station, good) is Reason.VALID


async def test_a_released_unit_is_unknown_and_the_one_after_it_passes(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        first = await provision(bare_station)
        async with bare_station.database.write() as connection:
            await revocation.release(connection, "CAM-1", "sold", NOW)
        assert await reason(bare_station, token(bare_station, first)) is Reason.UNKNOWN_UNIT
        assert first.nuc_hash is not None
        nuc = first.nuc_hash.secret().hex()
        second = await bare_station.offline_provisioner.provision(ProvisioningRequest("CAM-1", None, nuc), "test")
        assert await reason(bare_station, token(bare_station, second)) is Reason.VALID


async def test_a_unit_that_owes_its_receipt_fails(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        provisioned = await provision(bare_station)
        async with bare_station.database.write() as connection:
            await connection.execute(table.update().values(state="issued", provisioned_at=None))
        assert await reason(bare_station, token(bare_station, provisioned)) is Reason.NOT_PROVISIONED


async def test_every_failure_has_the_same_message_and_names_no_unit(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station))
        changed = [msgspec.structs.replace(good, **change) for change in ({"key_index": 6}, {"table_id": 2000})]
        verdicts = [await bare_station.tokens.validate(made) for made in changed]
        assert {verdict.message for verdict in verdicts} == {"FAIL"}
        assert (await bare_station.tokens.validate(good)).message == "PASS"


async def test_validation_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station))
        caplog.clear()
        with caplog.at_level(logging.INFO):
            await bare_station.tokens.validate(good)
            await bare_station.tokens.validate(msgspec.structs.replace(good, key_index=6))
    assert caplog.records == []


async def test_a_token_that_does_not_open_is_looked_up_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = token(bare_station, await provision(bare_station))
        asked: list[int] = []
        lookup = bare_station.tokens._lookup
        query = lookup._query

        async def counting(wanted: set[bytes]) -> object:
            asked.append(len(wanted))
            return await query(wanted)

        monkeypatch.setattr(lookup, "_query", counting)
        for made in (good, msgspec.structs.replace(good, key_index=6), msgspec.structs.replace(good, table_id=2000)):
            await bare_station.tokens.validate(made)
    assert asked == [1, 1, 1]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_legacy_token_passes_whichever_of_its_three_pairs_made_it(tmp_path: Path, place: int) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        good = legacy(token(bare_station, await provision(bare_station)), place=place)
        assert await reason(bare_station, good) is Reason.VALID
        base64_of_it = base64.b64encode(bytes.fromhex(good.ciphertext)).hex()
        assert await reason(bare_station, msgspec.structs.replace(good, ciphertext=base64_of_it)) is Reason.VALID


async def test_a_legacy_token_fails_for_all_that_a_token_fails_for(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=20) as bare_station:
        provisioned = await provision(bare_station)
        made = token(bare_station, provisioned)
        foreign, *others = [which for which in bare_station.tables.ids() if which not in provisioned.tables]
        pairs = ((others[0], 0), (others[1], 1))
        good = legacy(made, pairs)
        assert await reason(bare_station, good) is Reason.VALID
        flipped = f"{int(good.ciphertext[:2], 16) ^ 1:02x}{good.ciphertext[2:]}"
        for change, why in (
            ({"ciphertext": flipped}, Reason.NOT_AUTHENTIC),
            ({"ciphertext": "ab" * 60}, Reason.NOT_AUTHENTIC),
            ({"key_indices": [6, 0, 1]}, Reason.NOT_AUTHENTIC),
            ({"table_references": [2000, 2001, 2002]}, Reason.UNKNOWN_TABLE),
            ({"ciphertext": b"=AAA".hex() * 20}, Reason.MALFORMED),
        ):
            assert await reason(bare_station, msgspec.structs.replace(good, **change)) is why, change
        assert (
            await reason(bare_station, legacy(token(bare_station, provisioned, foreign), pairs)) is Reason.OTHER_TABLE
        )
        async with bare_station.database.write() as connection:
            await revocation.revoke(connection, "CAM-1", RevocationCode.HOLD, "lost", NOW)
        assert await reason(bare_station, good) is Reason.REVOKED


async def test_a_legacy_token_opens_three_and_looks_up_one_whether_it_passes_or_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = token(bare_station, await provision(bare_station))
        others = tuple((which, 7) for which in bare_station.tables.ids() if which != made.table_id)[:2]
        done: list[str] = []

        def counting(name: str, function: Callable[..., object]) -> Callable[..., object]:
            def count(*arguments: object) -> object:
                done.append(name)
                return function(*arguments)

            return count

        lookup = bare_station.tokens._lookup
        for name, module in (("expand", tokens), ("open_token", tokens), ("find", lookup)):
            monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
        for place in (0, 1, 2):
            await bare_station.tokens.validate_legacy(legacy(made, others, place))
        unknown = msgspec.structs.replace(legacy(made), table_references=[2000, 2001, 2002])
        for fails in (legacy(msgspec.structs.replace(made, key_index=6), others), unknown):
            await bare_station.tokens.validate_legacy(fails)
    assert done == ["expand", "open_token"] * 3 + ["find"] + (["expand", "open_token"] * 3 + ["find"]) * 4
