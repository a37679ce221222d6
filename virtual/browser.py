"""Starts a real Chromium: Debian's (`scripts/apt-packages` names it), or the one that BIRTHMARK_CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

_QUIET = ("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser without a window. Raises FileNotFoundError if none is installed."""
    path = os.environ.get("BIRTHMARK_CHROMIUM") or shutil.which("chromium")
    if path is None:
        raise FileNotFoundError("chromium is not installed: apt install chromium, or name one in BIRTHMARK_CHROMIUM")
    async with async_playwright() as playwright:
        # No sandbox: CI is often root in a container. The only page it opens is ours.
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", *_QUIET]
        )
        try:
            yield browser
        finally:
            await browser.close()
