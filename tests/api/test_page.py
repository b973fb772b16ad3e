"""The status page in a real Chromium: what it says, where it leads, and that it is harmless, whatever it shows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from browser import Seen, chromium, looking
from pictures import (
    DARK,
    DESKTOP,
    HOTELS,
    PHONE,
    all_conditions,
    empty,
    held,
    many_devices,
    outage,
    stopped,
    well,
)
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from repositories import git
from scenarios import Site, eventually_true, fleet, owned, site, write

pytestmark = pytest.mark.system

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnirts\u202c\u2066{{ 7 * 7 }}'\"><b>&amp;"
LONG = "W" * 10_000
TEXT = 'version = 1\ndevice_files = ["all.txt"]\n'


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Give a real Chromium."""
    async with chromium() as found:
        yield found


def url(one: Site) -> str:
    """Return where the page is."""
    return str(one.http.base_url).rstrip("/")


def at_home(seen: Seen, one: Site) -> None:
    """Make sure that nothing was asked of another host, nothing popped up, and the browser had no complaint."""
    home = urlsplit(url(one)).netloc
    assert seen.requests
    assert {urlsplit(asked).netloc for asked in seen.requests if not asked.startswith("data:")} == {
        home
    }
    assert seen.dialogs == []
    assert seen.complaints == []


async def fits(page: Page) -> None:
    """Make sure that nobody has to scroll sideways, but inside of what scrolls by itself."""
    wide = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255);
  };
  const light = ([red, green, blue]) => [red, green, blue]
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      if (color[3] === 1) return color;
    }
    return rgba("white");
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !one.checkVisibility()) continue;
    const [low, high] = [light(rgba(getComputedStyle(one).color)), light(behind(one))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push([texts.currentNode.data.trim(), ratio]);
  }
  return found;
}"""


async def test_all_is_well(tmp_path: Path, browser: Browser) -> None:
    """Where all is as wanted the page says so, with the commit, the accounts, what comes and what was done."""
    async with well(tmp_path) as one, looking(browser, url(one), **DESKTOP) as (page, seen):
        await expect(page).to_have_title("✓ All is well: 3 accounts as wanted · PCC reconciler")
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "All is well: 3 accounts as wanted."
        )
        text = page.get_by_role("region", name="Revision in force")
        await expect(text).to_contain_text("Room 1239 and 1240 are furnished, 1201 is closed")
        await expect(text).to_contain_text("by Jun Lee")
        await expect(text).to_contain_text("signature not checked")
        row = page.get_by_role("row", name=re.compile("^seoul-hotel"))
        await expect(row.get_by_role("cell").nth(2)).to_have_text("300")
        await expect(page.get_by_role("region", name="Upcoming")).to_contain_text(
            "48 would be held"
        )
        changes = page.get_by_role("region", name="Recent changes")
        await expect(changes).to_contain_text("+2 subscribed in busan-hotel")
        await expect(page.get_by_role("region", name="Recent changes")).to_contain_text(
            "Unsubscribed"
        )
        assert await page.get_by_role("main").count() == 1
        assert await page.evaluate("[...document.querySelectorAll('th')].every((one) => one.scope)")
        assert await page.evaluate(CONTRAST) == []
        await fits(page)
        at_home(seen, one)


UNFOLD = "for (const one of document.querySelectorAll('details')) one.open = true"


async def test_every_link_leads_somewhere(tmp_path: Path, browser: Browser) -> None:
    """Each link of the page, clicked, leads to an answer of the daemon, or to a place on the page."""
    async with held(tmp_path) as one, looking(browser, url(one), **DESKTOP) as (page, seen):
        links = await page.eval_on_selector_all(
            "a[href]", "found => [...new Set(found.map(a => a.getAttribute('href')))]"
        )
        assert {
            "/metrics",
            "/api/v1/status",
            "/api/v1/history",
            "/healthz",
            "/readyz",
            "#guards",
        } <= set(links)
        assert any("/devices/" in link for link in links)
        devices = [link for link in links if "/devices/" in link]
        for link in set(links) - set(devices[3:]):
            if link.startswith("#"):
                assert await page.locator(link).count() == 1, link
                continue
            found = page.locator(f'a[href="{link}"]').first
            await page.evaluate(
                "for (const one of document.querySelectorAll('details')) one.open = true"
            )
            async with page.expect_navigation() as navigation:
                await found.click()
            answer = await navigation.value
            assert answer is not None
            assert answer.status == 200, link
            await page.goto(url(one))
        at_home(seen, one)


async def test_a_guard_waits(tmp_path: Path, browser: Browser) -> None:
    """The page says that a person has to decide, why, and gives the block, whole and ready to copy; also by night."""
    async with held(tmp_path) as one, looking(browser, url(one), **DARK) as (page, seen):
        await expect(page).to_have_title(
            "! busan-hotel is held by a guard: a person has to decide · PCC reconciler"
        )
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "busan-hotel is held by a guard: a person has to decide."
        )
        guards = page.get_by_role("region", name="Waiting for approval", exact=True)
        await expect(guards).to_contain_text("16 unsubscribes held: too-many.")
        await expect(guards).to_contain_text("17 devices would be unsubscribed within 24 hours")
        (busan,) = (
            each
            for each in (await one.get("/api/v1/status")).json()["accounts"]
            if each["account"] == "busan-hotel"
        )
        assert await page.locator("#block-busan-hotel").text_content() == busan["approval"]
        await page.locator("#block-busan-hotel").click()
        assert (await page.evaluate("getSelection().toString()")).strip() == busan[
            "approval"
        ].strip()
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        copy = page.locator("#copy-busan-hotel")
        await copy.click()
        await expect(copy).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == busan["approval"]
        await expect(page.locator("#pauses")).to_contain_text("LG maintains its platform tonight")
        await expect(page.locator("#remarks")).to_contain_text("LG refused 1 device")
        assert (
            await page.evaluate("getComputedStyle(document.body).backgroundColor")
            == "rgb(18, 20, 23)"
        )
        assert await page.evaluate(CONTRAST) == []
        await fits(page)
        at_home(seen, one)
        async with looking(browser, url(one), **PHONE) as (phone, also_seen):
            await fits(phone)
            await expect(phone.get_by_role("row", name=re.compile("^busan-hotel"))).to_be_visible()
            at_home(also_seen, one)


async def test_an_account_is_stopped(tmp_path: Path, browser: Browser) -> None:
    """The page names the account that LG does not let in, with LG's words and what to do."""
    async with stopped(tmp_path) as one, looking(browser, url(one), **DESKTOP) as (page, seen):
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "jeju-resort is stopped: look at credentials and settings."
        )
        failing = page.locator("#failing")
        await expect(failing).to_contain_text("1302")
        await expect(failing).to_contain_text("fix what the message names")
        first = page.get_by_role("row").nth(1)
        await expect(first).to_contain_text("jeju-resort")
        at_home(seen, one)


async def test_accounts_with_the_same_trouble_share_a_card(
    tmp_path: Path, browser: Browser
) -> None:
    """In an outage one card says how many accounts wait for LG, and which; so does one card of remarks."""
    async with outage(tmp_path) as one, looking(browser, url(one), **DESKTOP) as (page, seen):
        await expect(page.locator("#top h1")).to_contain_text("waiting for LG")
        failing = page.locator("#failing")
        await expect(failing.get_by_role("heading", level=2)).to_have_text(
            "Without an answer from LG"
        )
        await expect(failing.get_by_role("article")).to_have_count(1)
        await expect(failing.get_by_role("article")).to_contain_text("3 accounts")
        await expect(failing.get_by_role("link")).to_have_text([*sorted(HOTELS)])
        await expect(failing).to_contain_text("pcc-reconciler doctor")
        await expect(page.locator("#remarks").get_by_role("article")).to_have_count(1)
        await expect(page.locator("#figures")).to_contain_text(
            "of 399 wanted; all on a list of 1 hour ago"
        )
        assert not seen.complaints


async def test_an_account_of_many_devices(tmp_path: Path, browser: Browser) -> None:
    """The page of an account says what LG refuses, and leads through thousands of devices, those first."""
    async with many_devices(tmp_path) as one:
        address = f"{url(one)}/accounts/seoul-tower"
        async with looking(browser, address, **DESKTOP) as (page, seen):
            await expect(page.locator("#top")).to_contain_text("LG refuses 3 devices")
            rows = page.locator(".devices-table tbody tr")
            await expect(rows).to_have_count(50)
            await expect(rows.first).to_contain_text("refused, next try in")
            await expect(page.locator("#devices")).to_contain_text(
                "10,000 devices; 50 on this page"
            )
            await page.get_by_role("link", name="Next page").click()
            await expect(rows).to_have_count(50)
            await expect(page.locator(".devices-table .badge.missing")).to_have_count(0)
            await page.get_by_role("link", name="First page").click()
            await page.get_by_role("link", name="see which").click()
            await expect(rows).to_have_count(3)
            assert not seen.complaints


async def test_the_page_keeps_itself_fresh_and_says_when_nobody_answers(
    tmp_path: Path, browser: Browser
) -> None:
    """What changes shows without a reload and without losing the place; a daemon that is gone is told as such."""
    async with empty(tmp_path) as one, looking(browser, "about:blank", **DESKTOP) as (page, seen):
        await page.clock.install()
        await page.goto(url(one))
        await expect(page.locator("#accounts")).to_contain_text("No account yet.")
        await page.evaluate("window.same = true")
        write(one.file, f'version = 1\ndevices = ["{owned(one.platform)[0]}"]\n')
        await all_conditions(one, "default", condition="in_sync")

        async def all_is_well() -> bool:
            await page.clock.run_for(11_000)
            words = await page.get_by_role("heading", level=1).inner_text()
            return words == "All is well: 1 account as wanted."

        await eventually_true(all_is_well)  # an answer may be reused for two seconds
        assert await page.evaluate("window.same")
        await expect(page.locator("#stale")).to_be_hidden()
        await one.stop()
        await page.clock.run_for(11_000)
        await expect(page.locator("#stale")).to_be_visible()
        assert seen.dialogs == []


async def test_without_javascript(tmp_path: Path, browser: Browser) -> None:
    """The page is whole without any script, and then reloads itself."""
    async with well(tmp_path) as one:
        async with looking(browser, url(one), java_script_enabled=False, **DESKTOP) as (page, seen):
            await expect(page.get_by_role("heading", level=1)).to_have_text(
                "All is well: 3 accounts as wanted."
            )
            await expect(page.get_by_role("region", name="Recent changes")).to_contain_text(
                "+2 subscribed in busan-hotel"
            )
            assert await page.locator("noscript meta[http-equiv=refresh]").count() == 1
            assert not [asked for asked in seen.requests if asked.endswith(".js")]
        (policy,) = [
            value
            for name, value in (await one.get("/")).headers.items()
            if name == "content-security-policy"
        ]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


async def test_hostile_words_are_harmless(tmp_path: Path, browser: Browser) -> None:
    """Names, reasons and LG's words with markup, turned writing or ten thousand letters do no harm."""
    platform = fleet(6)
    devices = owned(platform)
    refusal = Error(code="1214", message=f"{HOSTILE}{LONG}")
    platform.set_faults(Rule(refusal, match=Match(route=Route.SUBSCRIBE, devices=(devices[0],))))
    folder = tmp_path / "fleet"
    names = [HOSTILE, LONG, f"\u202e{LONG}", "\u202e" * 50, "<b>مرحبا", "<script>alert(3)</script>"]
    write(
        folder / "all.txt",
        "".join(f"{one} # {name}\n" for one, name in zip(devices, names, strict=True)),
    )
    write(folder / "desired-state.toml", TEXT)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    who = ("-c", f"user.name={HOSTILE}", "-c", "user.email=x@example.com")
    git(folder, *who, "commit", "--quiet", "-m", f"{HOSTILE}{LONG}")
    async with site(
        tmp_path, platform, PCC_INTERVAL="2s", PCC_DESIRED_STATE=str(folder / "desired-state.toml")
    ) as one:
        await one.has(devices[1:])
        pause = {"for": "2h", "reason": f"{HOSTILE}{LONG}"[:1000], "pause": "unsubscribe"}
        (await one.http.post("/api/v1/pause", json=pause)).raise_for_status()
        write(folder / "desired-state.toml", f"{TEXT}{toml(HOSTILE)} = 1\n{toml(LONG)} = 2\n")

        async def rejected() -> bool:
            return "Rejected revision" in (await one.get("/")).text

        await eventually_true(rejected)
        for how in (DESKTOP, PHONE):
            async with looking(browser, url(one), **how) as (page, seen):
                await expect(page.locator("#changes")).to_contain_text("<script>alert(3)</script>")
                await expect(page.locator("#revision")).to_contain_text("<img src=x")
                await expect(page.locator("#rejected")).to_contain_text("<script>alert(1)")
                await expect(page.locator("#pauses")).to_contain_text("{{ 7 * 7 }}")
                await harmless(page)
                async with page.expect_response("**/"):
                    await page.evaluate("refresh()")
                await harmless(page)
                at_home(seen, one)


async def harmless(page: Page) -> None:
    """Make sure that nothing on the page became markup, turned the writing, or made it wider than the screen."""
    assert await page.locator("script").count() == 1
    assert await page.locator("main img, main b, main script").count() == 0
    assert not set("\u202d\u202e\u2066\u2067") & set(await page.inner_text("body"))
    assert len(await page.inner_text("body")) < 15_000
    await fits(page)


def toml(word: str) -> str:
    """Return a word as a TOML string."""
    escaped = "".join(
        one if one.isprintable() and one not in '"\\' else f"\\u{ord(one):04x}" for one in word
    )
    return f'"{escaped}"'
