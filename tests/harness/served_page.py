"""A station's page on a loopback port, and a browser's page that looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web
from playwright.async_api import Page, expect

from station.web import app_keys
from tests.harness.page_testbed import PageTestbed


@dataclass
class Served:
    """A station's page that listens, and can be stopped and started again at the same address."""

    testbed: PageTestbed
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        runner = web.AppRunner(self.testbed.app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self, *, keep_sessions: bool = False) -> None:
        """Stop, as the station does; with `keep_sessions` as it looks when only the network fails."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
            sessions = self.testbed.app[app_keys.SESSIONS]
            self.testbed.new_app()
            if keep_sessions:
                self.testbed.app[app_keys.SESSIONS] = sessions

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@dataclass
class Seen:
    """A browser's page, and everything that its console printed."""

    page: Page
    console: list[str] = field(default_factory=list)

    async def open(self, served: Served) -> None:
        """Open the page by a link, as a person does, and wait until the stream has updated it."""
        await open_by_link(self.page, served)
        await expect(self.page.locator("#live")).to_contain_text("Live")

    async def mark(self) -> None:
        """Leave something in the page that a reload would remove."""
        await self.page.evaluate("document.documentElement.dataset.mark = 'here'")

    async def unreloaded(self) -> bool:
        return bool(await self.page.evaluate("document.documentElement.dataset.mark === 'here'"))


async def open_by_link(page: Page, served: Served) -> None:
    """Paste a new link and press the button."""
    await page.goto(f"{served.url}open#{await served.testbed.link()}")
    await page.get_by_role("button", name="Open the page").click()
    await expect(page).to_have_url(served.url)
