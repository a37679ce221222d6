"""A station's page on a loopback port, and a browser's page that looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, expect

from station.registry.tokens import Scope
from station.web import app_keys
from tests.harness.page_testbed import PageTestbed
from virtual.timeouts import TIMEOUT_SECONDS

DESKTOP: ViewportSize = {"width": 1280, "height": 900}

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


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


async def sign_in(page: Page, served: Served, *scopes: Scope) -> None:
    """Sign in as a person does, with a new token `bench` of these scopes."""
    token = await served.testbed.token(*scopes, name="bench")
    await page.goto(f"{served.url}login")
    await page.get_by_label("Bearer token").click()
    await page.keyboard.type(token)
    await page.get_by_role("button", name="Sign in").click()


async def new_page(browser: Browser) -> Seen:
    """Open a window of its own: no other has its cookies and storage."""
    context = await browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(TIMEOUT_SECONDS * 1000)
    made = Seen(await context.new_page())
    made.page.on("console", lambda message: made.console.append(_line(message)))
    made.page.on("pageerror", lambda error: made.console.append(f"error: {error}"))
    return made


def _line(message: ConsoleMessage) -> str:
    return f"{message.type}: {message.text}"
