"""A person's way through the pages, in a real Chromium: to a device and back, and what they look for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from browser import chromium, looking
from pictures import DARK, DESKTOP, held
from scenarios import Site

pytestmark = pytest.mark.system

OVERVIEW = re.compile(r"^busan-hotel is held by a guard")
HELD_DEVICES = 16
"""How many unsubscribes the guard of the situation holds."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Give a real Chromium."""
    async with chromium() as found:
        yield found


def url(one: Site) -> str:
    """Return where the pages are."""
    return str(one.http.base_url).rstrip("/")


def table(page: Page) -> Any:
    """Return the rows of devices on a page, without the head."""
    return page.locator("table.devices-table tbody tr")


async def walk_to_a_device_and_back(page: Page) -> None:
    """Click from the overview to the account that is held, on to one of its devices, and back by the places above."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(OVERVIEW)
    row = page.locator("#accounts").get_by_role("row", name=re.compile("^busan-hotel"))
    await row.get_by_role("link", name="busan-hotel").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("busan-hotel held")

    first = table(page).first.get_by_role("link").first
    name = await first.locator("bdi").inner_text()
    await first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    await expect(page.locator("#facts")).to_contain_text("Desired")

    places = page.get_by_role("navigation", name="Place")
    await places.get_by_role("link", name="busan-hotel").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("busan-hotel held")
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="Overview").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(OVERVIEW)


async def search(page: Page, words: str) -> None:
    """Type words into the search at the top of every page."""
    await page.get_by_label("Device or account").fill(words)
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Search: {words}")


async def search_by_name(page: Page) -> None:
    """Find a device by a part of its name in any case, and open it."""
    await search(page, "room 1500")
    await expect(table(page)).to_have_count(1)
    await table(page).get_by_role("link", name=re.compile("^Room 1500")).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Room 1500")


async def search_by_former_name(page: Page) -> None:
    """Find by a name that four devices have or had also the one that the file does not have any more."""
    await search(page, "Room 1201 fridge")
    await expect(table(page)).to_have_count(4)
    gone = table(page).filter(has=page.locator(".badge", has_text="absent"))
    await expect(gone).to_have_count(1)
    await expect(gone.locator("[data-label=Account]")).to_have_text("busan-hotel")
    await gone.get_by_role("link").first.click()
    await expect(page.locator("#facts")).to_contain_text("Went out")


async def filter_devices(page: Page, home: str) -> None:
    """Narrow the devices of an account to those that are held, and show all of them again."""
    await page.goto(f"{home}/accounts/busan-hotel")
    everything = await table(page).count()
    await page.get_by_label("State", exact=True).select_option("held")
    await page.get_by_role("button", name="Show").click()
    await expect(table(page)).to_have_count(HELD_DEVICES)
    assert everything > HELD_DEVICES
    for reason in await table(page).locator("[data-label='Held by']").all_inner_texts():
        assert reason.startswith("too-many")
    await page.get_by_role("link", name="show all").click()
    await expect(table(page)).to_have_count(everything)


async def filter_history(page: Page) -> None:
    """Narrow past changes to one account, and show all of them again."""
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="History").click()
    changes = page.locator("#changes")
    await expect(changes.get_by_role("link", name="seoul-hotel").first).to_be_visible()
    await page.get_by_label("Account", exact=True).fill("busan-hotel")
    await page.get_by_role("button", name="Show").click()
    await expect(changes.get_by_role("link", name="busan-hotel").first).to_be_visible()
    await expect(page.get_by_label("Account", exact=True)).to_have_value("busan-hotel")
    addresses = await changes.locator("a").evaluate_all(
        "found => found.map(one => one.getAttribute('href'))"
    )
    assert {each.split("/")[2] for each in addresses if each.startswith("/accounts/")} == {
        "busan-hotel"
    }
    await page.get_by_role("link", name="Show all").click()
    await expect(changes.get_by_role("link", name="seoul-hotel").first).to_be_visible()


@pytest.mark.parametrize("how", [DESKTOP, DARK], ids=["light", "dark"])
async def test_a_person_finds_the_way(
    tmp_path: Path, browser: Browser, how: Mapping[str, Any]
) -> None:
    """A person walks to a device and back, searches by two names, and narrows lists; the browser has no complaint."""
    async with held(tmp_path) as one, looking(browser, url(one), **how) as (page, seen):
        await walk_to_a_device_and_back(page)
        await search_by_name(page)
        await search_by_former_name(page)
        await filter_devices(page, url(one))
        await filter_history(page)
        assert seen.dialogs == []
        assert seen.complaints == []
