"""Addresses of the public authority: a unit's status, and the blacklist, through the one path of revocation."""

from __future__ import annotations

import json

import pytest

from station.registry.schema import audit
from station.registry.tokens import Scope
from tests.harness.api_client import DEVICES, Api, problem

BLACKLIST = "/api/admin/blacklist"
PASS, FAIL = {"valid": True, "message": "PASS"}, {"valid": False, "message": "FAIL"}


async def status(api: Api, serial: str = "CAM-1") -> dict[str, object]:
    answer = await api.get(f"/api/devices/{serial}/status")
    assert answer.status == 200
    return dict(await answer.json())


async def changes(api: Api) -> list[tuple[str, str, str | None, str]]:
    """Event, reason, code, and whose token made it, of each row of the audit log about a revocation."""
    async with api.testbed.station.database.read() as connection:
        query = audit.select().where(audit.c.event.in_(["revoked", "reinstated"])).order_by(audit.c.seq)
        rows = [(row.event, json.loads(row.detail)) for row in await connection.execute(query)]
    return [(event, detail["reason"], detail.get("code"), detail["by"]) for event, detail in rows]


async def test_a_units_status_has_what_the_public_authority_tells(api: Api) -> None:
    made = await api.provision("CAM-1")
    shown = await status(api)
    provisioned_at = shown.pop("provisioned_at")
    assert str(provisioned_at).endswith("+00:00")
    assert shown == {
        "device_serial": "CAM-1",
        "device_family": "Raspberry Pi",
        "is_blacklisted": False,
        "blacklisted_at": None,
        "blacklist_reason": None,
        "submissions_24h": 0,
        "submissions_total": 0,
        "key_table_indices": made["table_assignments"],
    }
    await problem(await api.get("/api/devices/CAM-9/status"), 404, "registry.unknown-unit")


async def test_validations_are_in_the_status_before_and_after_they_are_stored(api: Api) -> None:
    token = api.token(await api.provision("CAM-1"))
    for _ in range(3):
        assert await api.validate(token) == PASS
    assert await api.validate({**token, "key_index": 6}) == FAIL
    for _ in range(2):
        shown = await status(api)
        assert (shown["submissions_24h"], shown["submissions_total"]) == (3, 3)
        await api.testbed.station.counts.store()
    unit = await (await api.get(f"{DEVICES}/CAM-1")).json()
    assert (unit["validations_that_day"], unit["validations_total"]) == (3, 3)
    assert unit["validated_on"] == unit["provisioned_at"][:10]


async def test_a_blacklisted_unit_is_revoked_on_hold_and_comes_back(api: Api) -> None:
    token = api.token(await api.provision("CAM-1"))
    answer = await api.post(f"{BLACKLIST}/CAM-1?reason=replayed+tokens", None)
    told = await answer.json()
    assert (answer.status, told.pop("timestamp")[-6:]) == (200, "+00:00")
    assert told == {"device_serial": "CAM-1", "blacklisted": True, "reason": "replayed tokens"}
    assert await api.validate(token) == FAIL
    unit = await (await api.get(f"{DEVICES}/CAM-1")).json()
    assert (unit["state"], unit["revoked_code"]) == ("revoked", "certificateHold")
    shown = await status(api)
    assert (shown["is_blacklisted"], shown["blacklist_reason"]) == (True, "replayed tokens")
    assert shown["blacklisted_at"] == unit["revoked_at"]
    answer = await api.client.delete(f"{BLACKLIST}/CAM-1", headers=api.bearer)
    told = await answer.json()
    assert (answer.status, told["device_serial"], told["blacklisted"]) == (200, "CAM-1", False)
    assert await api.validate(token) == PASS
    assert await changes(api) == [
        ("revoked", "replayed tokens", "certificateHold", "for everything"),
        ("reinstated", "Taken from the blacklist via API", None, "for everything"),
    ]


async def test_what_is_so_already_stays_so_without_another_row_in_the_audit_log(api: Api) -> None:
    await api.provision("CAM-1")
    for reason in ("Manual blacklist via API", "first"):
        answer = await api.post(f"{BLACKLIST}/CAM-1{'' if 'Manual' in reason else '?reason=second'}", None)
        assert (await answer.json())["reason"] == "Manual blacklist via API"
    for _ in range(2):
        answer = await api.client.delete(f"{BLACKLIST}/CAM-1", headers=api.bearer)
        assert (answer.status, (await answer.json())["blacklisted"]) == (200, False)
    assert len(await changes(api)) == 2


async def test_a_unit_revoked_for_good_is_not_taken_from_the_blacklist(api: Api) -> None:
    await api.provision("CAM-1")
    await api.post(f"{DEVICES}/CAM-1/revoke", {"reason": "stolen", "code": "keyCompromise"})
    assert (await (await api.post(f"{BLACKLIST}/CAM-1", None)).json())["reason"] == "stolen"
    answer = await api.client.delete(f"{BLACKLIST}/CAM-1", headers=api.bearer)
    await problem(answer, 409, "registry.revoked-for-good")
    assert (await status(api))["is_blacklisted"] is True


async def test_the_blacklist_has_every_revoked_unit_on_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.web.api.public_authority.PAGE_UNITS", 2)
    for number in range(4):
        await api.provision(f"CAM-{number}")
        if number:
            await api.post(f"{BLACKLIST}/CAM-{number}?reason=because+of+{number}", None)
    first = await (await api.get(BLACKLIST)).json()
    second = await (await api.get(BLACKLIST, params={"cursor": first["cursor"]})).json()
    assert (first["total_blacklisted"], second["total_blacklisted"], second["cursor"]) == (3, 3, None)
    listed = [(one["device_serial"], one["blacklist_reason"]) for one in (*first["devices"], *second["devices"])]
    assert listed == [(f"CAM-{number}", f"because of {number}") for number in (3, 2, 1)]
    assert first["devices"][0].keys() == {"device_serial", "device_family", "blacklisted_at", "blacklist_reason"}


@pytest.mark.parametrize("query", ["reason=", "reason=%20", "reason=" + "a" * 201, "reason=a&force=1"])
async def test_a_reason_that_is_none_changes_nothing(api: Api, query: str) -> None:
    await api.provision("CAM-1")
    await problem(await api.post(f"{BLACKLIST}/CAM-1?{query}", None), 400, "http.parameter-invalid")
    assert (await status(api))["is_blacklisted"] is False


async def test_nobody_blacklists_with_a_token_that_only_reads_or_from_another_site(api: Api) -> None:
    await api.provision("CAM-1")
    read = {"Authorization": f"Bearer {await api.testbed.token(Scope.READ)}"}
    for method in ("POST", "DELETE"):
        answer = await api.client.request(method, f"{BLACKLIST}/CAM-1", headers=read)
        await problem(answer, 403, "access.scope-missing")
        answer = await api.client.request(method, f"{BLACKLIST}/CAM-1")
        await problem(answer, 401, "access.required")
        foreign = {**api.bearer, "Origin": "https://evil.example"}
        answer = await api.client.request(method, f"{BLACKLIST}/CAM-1", headers=foreign)
        await problem(answer, 403, "http.cross-site")
    assert (await status(api))["is_blacklisted"] is False


async def test_a_page_of_a_signed_in_operator_needs_its_key_to_blacklist(api: Api) -> None:
    await api.provision("CAM-1")
    cookie = {"Cookie": f"birthmark-session={await api.sign_in(Scope.ADMIN)}", "Sec-Fetch-Site": "same-origin"}
    for method in ("POST", "DELETE"):
        answer = await api.client.request(method, f"{BLACKLIST}/CAM-1", headers=cookie)
        await problem(answer, 403, "access.page-key-missing")


async def test_no_status_tells_whoever_has_no_token_whether_there_is_such_a_unit(api: Api) -> None:
    await api.provision("CAM-1")
    answers = [await api.client.get(f"/api/devices/{serial}/status") for serial in ("CAM-1", "CAM-9")]
    one, other = [(answer.status, await answer.text()) for answer in answers]
    assert one == other
    assert one[0] == 401
