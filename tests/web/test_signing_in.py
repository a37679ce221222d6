"""An operator signs in with a token, makes a change and signs out, in a real Chromium: by typing and clicking."""

from __future__ import annotations

from playwright.async_api import expect

from station.registry.tokens import Scope
from tests.harness.served_page import Seen, Served, sign_in

UNIT = "10000000a3f29c41"


async def test_an_operator_signs_in_revokes_a_unit_and_signs_out(served: Served, seen: Seen) -> None:
    await served.testbed.provision(UNIT)
    await sign_in(seen.page, served, Scope.ADMIN)
    await expect(seen.page.locator("footer")).to_contain_text("Signed in with the token “bench”.")
    await seen.page.get_by_label("Serial number of the unit").fill(UNIT)
    await seen.page.get_by_label("Reason").fill("reported stolen")
    await seen.page.get_by_role("button", name="Revoke").click()
    await expect(seen.page.locator("tbody tr")).to_contain_text("Revoked reported stolen")
    await seen.page.get_by_label("Reason").fill("found again")
    await seen.page.get_by_role("button", name="Reinstate").click()
    await expect(seen.page.locator("tbody tr")).not_to_contain_text("Revoked")
    await seen.page.get_by_role("button", name="Sign out").click()
    await expect(seen.page).to_have_url(f"{served.url}login")
    assert await seen.page.context.cookies() == []
    assert await seen.page.evaluate("localStorage.length") == 0
    assert [line for line in seen.console if not line.startswith("verbose:")] == []
