"""A real Chromium for tests and pictures: the system's own, driven by playwright, which downloads nothing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # tests run as root in containers, where Chromium's own sandbox cannot be set up
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)


@dataclass
class Seen:
    """What a page did while it was looked at."""

    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note what this page does from now on."""

        async def dialog(one: Dialog) -> None:
            self.dialogs.append(one.message)
            await one.dismiss()

        def request(one: Request) -> None:
            self.requests.append(one.url)

        def message(one: ConsoleMessage) -> None:
            if one.type in {"error", "warning"}:
                self.complaints.append(one.text)

        page.on("dialog", dialog)
        page.on("request", request)
        page.on("console", message)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Give the system's Chromium."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program is not None, "Chromium is not installed (Debian: apt install chromium)"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(browser: Browser, url: str, **how: Any) -> AsyncIterator[tuple[Page, Seen]]:
    """Give a page at this address in a browser profile of its own, and what it does."""
    context = await browser.new_context(**how)
    try:
        page, seen = await context.new_page(), Seen()
        seen.watch(page)
        await page.goto(url)
        yield page, seen
    finally:
        await context.close()
