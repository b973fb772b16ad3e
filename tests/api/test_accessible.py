"""Whether people who see little, or nothing, can use the pages: axe-core's rules, in a real Chromium."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from browser import chromium, looking
from markup import Markup
from pictures import DARK, DESKTOP, held
from scenarios import Site

pytestmark = pytest.mark.system

LOCKED = Path(__file__).parent.parent.parent / "tools" / "axe"
PAGES = (
    "/",
    "/accounts",
    "/accounts/busan-hotel",
    "/accounts/busan-hotel?state=held",
    "/history",
    "/history?since=nonsense",
    "/events",
    "/search",
    "/search?q=Room+1201",
)
VIOLATIONS = """async () => (await axe.run()).violations.flatMap(
  (one) => one.nodes.map((node) => `${one.id}: ${one.help}: ${node.html}`))"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Give a real Chromium."""
    async with chromium() as found:
        yield found


async def axe(folder: Path) -> str:
    """Return the source of axe-core in its locked version, which npm installs into a folder."""
    npm = shutil.which("npm")
    assert npm is not None, "npm is not installed (Debian: apt install npm)"
    shutil.copytree(LOCKED, folder)
    child = await asyncio.create_subprocess_exec(
        npm, "ci", "--ignore-scripts", "--no-audit", "--silent", cwd=folder
    )
    assert await child.wait() == 0
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def violations(browser: Browser, url: str, source: str, how: Mapping[str, Any]) -> list[str]:
    """Return what axe-core has against a page."""
    async with looking(browser, url, **how) as (page, _):
        await page.evaluate(source)
        found: list[str] = await page.evaluate(VIOLATIONS)
        return found


async def a_device(one: Site) -> str:
    """Return the path of the page of a device that is held."""
    page = (await one.get("/accounts/busan-hotel?state=held")).text
    links = Markup(page).links
    return next(link for link in sorted(links) if "/devices/" in link)


@pytest.mark.parametrize("how", [DESKTOP, DARK], ids=["light", "dark"])
async def test_no_page_violates_a_rule_of_axe(
    tmp_path: Path, browser: Browser, how: Mapping[str, Any]
) -> None:
    """Names, roles, contrast, order of headings and labels of every page are as axe-core wants them."""
    source = await axe(tmp_path / "axe")
    assert await violations(browser, "data:text/html,<img src=x>", source, how)  # it does look
    async with held(tmp_path) as one:
        home = str(one.http.base_url).rstrip("/")
        found = {
            path: await violations(browser, f"{home}{path}", source, how)
            for path in (*PAGES, await a_device(one), "/accounts/nobody")
        }
    assert {path: each for path, each in found.items() if each} == {}
