"""What the script of a page does in a real Chromium: it keeps the page fresh, and takes nothing away from a reader.

No daemon runs: each test hands out the pages itself, and the time of the browser is the test's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect
from playwright.async_api import Page as Tab

from account_reports import account_report
from browser import chromium
from reconciler.api.framing import STATIC
from reconciler.api.page import Page
from reconciler.core.model import Condition
from reconciler.reporting import AccountReport, StatusReport, TextReport
from reconciler.reporting.queries import Overview
from scenarios import eventually

pytestmark = pytest.mark.system

NOW = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
HOME = "http://localhost:9/?q=a"
"""Nobody is there; a browser trusts it as it does https."""
EVERY = 10_000
SPY = """() => {
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function () { window.waits = this.timeout; send.call(this); };
}"""
"""Keeps how long an answer is waited for."""
CARDS = {"well": (), "look": ("gone",)}


def html(tone: str = "well", *accounts: AccountReport) -> str:
    """Return a first page; where a person has to look, an account was abandoned."""
    text = TextReport("r", None, None, None, (), (), "file", NOW, "")
    shown = StatusReport(
        "9.9",
        NOW,
        "enforce",
        well=tone == "well",
        summary=f"It is {tone}.",
        text=text,
        accounts=accounts,
        abandoned=CARDS[tone],
    )
    return Page().render(Overview(shown))


def stopped() -> AccountReport:
    """Return an account with commands to copy."""
    return account_report("seoul", NOW, condition=Condition.STOPPED, error="no")


@dataclass
class Served:
    """What the daemon answers, and what it was asked. ``status`` 0: it is away; what it holds back is ``late``."""

    page: str
    status: int = 200
    asked: list[str] = field(default_factory=list)
    late: list[Route] = field(default_factory=list)
    holds_back: bool = False

    async def answer(self, route: Route) -> None:
        """Answer one request."""
        url = route.request.url
        name = url.rpartition("/")[2]
        if name in {"page.js", "style.css"}:
            await route.fulfill(path=STATIC / name)
            return
        self.asked.append(url)
        if self.holds_back:
            self.late.append(route)
        elif self.status:
            await route.fulfill(status=self.status, body=self.page, content_type="text/html")
        else:
            await route.abort()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Give a real Chromium."""
    async with chromium() as found:
        yield found


@asynccontextmanager
async def opened(
    browser: Browser, served: Served, url: str = HOME, **how: Any
) -> AsyncIterator[Tab]:
    """Give a page that was opened, at a time that only the test lets pass."""
    context = await browser.new_context(**how)
    try:
        await context.route("**/*", served.answer)
        tab = await context.new_page()
        await tab.clock.install(time=NOW)
        await tab.goto(url)
        yield tab
    finally:
        await context.close()


async def later(tab: Tab, served: Served) -> None:
    """Let the time pass after which the page asks again, until it has the answer."""
    before = len(served.asked)
    async with tab.expect_event("requestfinished"):
        await tab.clock.run_for(EVERY + 100)
    assert len(served.asked) == before + 1


async def test_a_fresh_page_takes_the_place_of_the_old_one(browser: Browser) -> None:
    """Its title, sign, tone and sections; what is over goes, what was open stays open, and so does the focus."""
    calm = [account_report(f"a{number:02}", NOW) for number in range(60)]
    served = Served(html("look", *calm))
    async with opened(browser, served) as tab:
        brief = tab.locator("#brief")
        await brief.locator("summary").click()
        await tab.evaluate("window.same = true")
        before = await tab.locator("#icon").get_attribute("href")
        await expect(tab.locator("#rejected")).to_be_visible()
        served.page = html("well", *calm, account_report("new", NOW))
        await later(tab, served)
        await expect(tab).to_have_title("✓ It is well · PCC reconciler")
        await expect(tab.locator("#rejected")).to_have_count(0)
        await expect(tab.locator("#changes")).to_have_count(1)
        await expect(tab.locator("html")).to_have_class("well")
        assert await tab.locator("#icon").get_attribute("href") != before
        await expect(brief).to_have_attribute("open", "")
        await expect(brief).to_contain_text("new")
        assert await tab.evaluate("window.same")
        assert set(served.asked) == {HOME}


async def test_a_button_keeps_the_focus_over_a_fresh_page(browser: Browser) -> None:
    """Who goes through the page with the keyboard goes on in the same place."""
    served = Served(html("look", stopped()).replace('id="failing"', 'id="failing" tabindex="0"'))
    async with opened(browser, served) as tab:
        await tab.locator("#failing").focus()
        served.page = served.page.replace("Stopped", "Still stopped")
        await later(tab, served)
        await expect(tab.locator("#failing")).to_contain_text("Still stopped")
        await expect(tab.locator("#failing")).to_be_focused()


async def test_what_somebody_marks_stays_for_a_minute(browser: Browser) -> None:
    """Nobody loses a selection while copying; a forgotten one does not keep an old page for ever."""
    served = Served(html("look"))
    async with opened(browser, served) as tab:
        await tab.evaluate("getSelection().selectAllChildren(document.querySelector('#rejected'))")
        for _ in range(5):
            await tab.clock.run_for(EVERY)
        assert len(served.asked) == 1
        served.page = html("well")
        await tab.clock.run_for(EVERY)
        await later(tab, served)
        await expect(tab.locator("#rejected")).to_have_count(0)


@pytest.mark.parametrize("late", [False, True], ids=["before", "while-asked"])
async def test_what_somebody_types_stays(browser: Browser, *, late: bool) -> None:
    """Neither is a page asked for while somebody types, nor shown that was asked for before."""
    served = Served(html("look"))
    async with opened(browser, served) as tab:
        if late:
            served.holds_back = True
            await tab.clock.run_for(EVERY + 100)
            await eventually(lambda: served.late)
        await tab.locator("#search").press_sequentially("Room 12")
        served.page = html("well")
        for route in served.late:
            async with tab.expect_event("requestfinished"):
                await route.fulfill(body=served.page, content_type="text/html")
        await tab.clock.run_for(2 * EVERY)
        await expect(tab.locator("#search")).to_have_value("Room 12")
        await expect(tab.locator("#rejected")).to_have_count(1)
        assert len(served.asked) == 1 + late


async def test_a_daemon_that_is_gone_is_said_and_an_error_is_no_page(browser: Browser) -> None:
    """The last answer stays, with words above it; they go with the first answer, whatever its status."""
    served = Served(html("look"))
    async with opened(browser, served) as tab:
        stale = tab.locator("#stale")
        await expect(stale).to_be_hidden()
        served.status = 0
        async with tab.expect_event("requestfailed"):
            await tab.clock.run_for(EVERY + 100)
        await expect(stale).to_be_visible()
        served.status, served.page = 503, html("well")
        await later(tab, served)
        await expect(stale).to_be_hidden()
        await expect(tab.locator("#rejected")).to_have_count(1)
        served.status = 200
        await later(tab, served)
        await expect(tab.locator("#rejected")).to_have_count(0)
        await expect(stale).to_be_hidden()


async def test_no_answer_is_waited_for_longer_than_until_the_next_question(
    browser: Browser,
) -> None:
    """A daemon that takes calls and does not answer is one that is gone."""
    served = Served(html())
    async with opened(browser, served) as tab:
        await tab.evaluate(SPY)
        await later(tab, served)
        assert 0 < await tab.evaluate("window.waits") <= EVERY


async def test_a_page_in_the_background_asks_nothing_until_it_is_looked_at(
    browser: Browser,
) -> None:
    """Then it is fresh at once."""
    served = Served(html("look"))
    hidden = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    async with opened(browser, served) as tab:
        await tab.evaluate(hidden % "true")
        await tab.clock.run_for(3 * EVERY)
        assert len(served.asked) == 1
        served.page = html("well")
        await tab.evaluate(hidden % "false")
        await tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(tab.locator("#rejected")).to_have_count(0)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", []),
        ("Asia/Seoul", [" · Nov 23, 05:30 GMT+9"]),
        ("America/New_York", [" · 15:30 EST"]),
    ],
)
async def test_local_time_stands_beside_utc(browser: Browser, zone: str, shown: list[str]) -> None:
    """East and west of Greenwich, with the day where that is another one; also on a page that is fresh."""
    served = Served(html())
    async with opened(browser, served, timezone_id=zone, locale="en-US") as tab:
        local = tab.locator(".asof .local")
        assert await local.all_text_contents() == shown
        served.page = html("look")
        await later(tab, served)
        await expect(tab.locator("#rejected")).to_have_count(1)
        assert await local.all_text_contents() == shown


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "plain-http"])
async def test_copying_is_offered_where_the_browser_allows_it(
    browser: Browser, *, trusted: bool
) -> None:
    """A button copies the words beside it, also on a fresh page; where it could not, there is none."""
    url = HOME if trusted else "http://pcc.test/"
    served = Served(html("look", stopped()))
    async with opened(browser, served, url) as tab:
        served.page = served.page.replace("It is look", "It still is")
        await later(tab, served)
        button = tab.locator("[data-copy=failing-command-seoul-1]")
        if not trusted:
            await expect(button).to_be_hidden()
            return
        await tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await button.click()
        await expect(button).to_have_text("Copied")
        copied = await tab.evaluate("navigator.clipboard.readText()")
        assert copied == "pcc-reconciler doctor --account seoul"
