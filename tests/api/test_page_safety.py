"""All pages over HTTP: hostile words stay words on each of them, and each link leads where the operator wants it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest

from markup import Markup
from pictures import held
from receivers import FakeReceiver
from reconciler.api.pages import FIELDS
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Error
from repositories import git
from scenarios import Site, eventually_true, fleet, owned, site, write

pytestmark = pytest.mark.system

TURNED = "\u202egnirts\u202c\u2066\u200f"
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "'\"><svg onload=alert(3)>",
    "javascript:alert(4)",
    f"{TURNED} turned",
    "bell\x07 escape\x1b[31m line\r\nbreak \x85",
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;",
)
WHOLE = " ".join(HOSTILE)
ELEMENTS = set(
    re.findall(
        r"\w+",
        """
        html head meta title link script noscript body header main footer section article nav h1 h2 h3 p strong span
        div ul ol li dl dt dd table thead tbody tr th td details summary a bdi code pre time form label input button
        select option svg rect
        """,
    )
)
"""Every element that a page of ours is made of."""
FOREIGN = {
    "PCC_BASE_PATH": "/pcc",
    "PCC_DOCS_URL": "https://forge.test/pcc/docs",
    "PCC_COMMIT_URL": "https://forge.test/fleet/commit/{commit}",
    "PCC_GRAFANA_URL": "https://grafana.test/d/pcc",
}
BROWSER = {"accept": "text/html"}
MOST_PAGES = 1000


def asked_with(word: str) -> Sequence[str]:
    """Return addresses that a person can be sent to, with a hostile word wherever a page takes one."""
    part = quote(word, safe="")
    return (
        f"/accounts?q={part}",
        f"/accounts?condition={part}",
        f"/accounts?page={part}",
        f"/accounts?{part}=1",
        f"/accounts/{part}",
        f"/accounts/default?q={part}",
        f"/accounts/default?state={part}",
        f"/accounts/default?after={part}",
        f"/accounts/default/devices/{part}",
        f"/accounts/{part}/devices/{part}",
        *(f"/history?{key}={part}" for key in (*(key for key, *_ in FIELDS), "action", "before")),
        f"/history?{part}={part}",
        f"/events?{part}={part}",
        f"/search?q={part}",
        f"/nowhere/{part}",
    )


@asynccontextmanager
async def hostile_site(folder: Path) -> AsyncIterator[tuple[Site, Sequence[str]]]:
    """Give a daemon whose file, commit, pause, LG and receiver are all hostile, and its devices."""
    platform = fleet(len(HOSTILE) + 1)
    devices = owned(platform)
    refusal = Error(code="1214", message=WHOLE)
    platform.set_faults(Rule(refusal, match=Match(route=Route.SUBSCRIBE, devices=(devices[-1],))))
    names = [" ".join(name.split()) for name in (*HOSTILE, WHOLE)]
    entries = "".join(f"{device} # {name}\n" for device, name in zip(devices, names, strict=True))
    write(folder / "fleet" / "all.txt", entries)
    write(folder / "fleet" / "desired-state.toml", 'version = 1\ndevice_files = ["all.txt"]\n')
    git(folder / "fleet", "init", "--quiet")
    git(folder / "fleet", "add", "--all")
    who = ("-c", "user.name=<script>alert(1)</script>", "-c", "user.email=x@example.com")
    git(folder / "fleet", *who, "commit", "--quiet", "-m", WHOLE.replace("\n", " "))
    receiver = FakeReceiver()
    for device in (*devices, *HOSTILE):
        way = {"sink": WHOLE, "state": "delivered", "attempts": 2}
        receiver.hear(device, diagnosis=WHOLE, category=WHOLE, push_type=WHOLE, deliveries=[way])
    with receiver.serving() as address:
        given = {
            "PCC_DESIRED_STATE": str(folder / "fleet" / "desired-state.toml"),
            "PCC_INTERVAL": "2s",
            "PCC_EVENTS_FROM": address,
        }
        async with site(folder, platform, **given) as one:
            await one.has(devices[:-1])
            pause = {"for": "2h", "reason": WHOLE, "pause": "unsubscribe"}
            (await one.http.post("/api/v1/pause", json=pause)).raise_for_status()
            yield one, devices


def harmless(page: str, where: str) -> Markup:
    """Make sure that a page is made of our elements only, leads nowhere strange, and steers no writing."""
    found = Markup(page)
    assert found.elements <= ELEMENTS, where
    assert page.count("<script") == 1, where
    assert not {one for one in found.attributes if one.startswith("on")}, where
    assert {urlsplit(one).scheme for one in found.links} <= {"", "http", "https"}, where
    steering = {
        one
        for one in page + found.text
        if one != "\n" and unicodedata.category(one) in {"Cc", "Cf", "Cs"}
    }
    assert not steering, where
    return found


async def test_hostile_words_are_harmless_on_every_page(tmp_path: Path) -> None:
    """Whatever names, commits, LG, receivers and addresses say, each page shows it as words and nothing more."""
    async with hostile_site(tmp_path) as (one, devices):

        async def refused() -> bool:
            return "alert(1)" in (await one.get(f"/accounts/default/devices/{devices[-1]}")).text

        await eventually_true(refused)
        shown = {
            "/": "<script>alert(1)</script>",
            "/accounts": "default",
            "/accounts/default": "<img src=x onerror=alert(2)>",
            "/accounts/default?state=refused": "refused",
            f"/accounts/default/devices/{devices[0]}": "<script>alert(1)</script>",
            f"/accounts/default/devices/{devices[3]}": "javascript:alert(4)",
            f"/accounts/default/devices/{devices[-1]}": "<svg onload=alert(3)>",
            "/history": "<img src=x onerror=alert(2)>",
            "/events": "<svg onload=alert(3)>",
            "/search?q=alert": "<svg onload=alert(3)>",
        }
        for path, words in shown.items():
            answer = await one.http.get(path, headers=BROWSER)
            assert answer.status_code == 200, path
            assert words in harmless(answer.text, path).text, path
        for word in (*HOSTILE, WHOLE, "%00", "\x00"):
            for path in asked_with(word):
                answer = await one.http.get(path, headers=BROWSER)
                assert answer.status_code in {200, 400, 404}, path
                assert answer.headers["content-type"].startswith("text/html"), path
                harmless(answer.text, path)


async def walked(http: httpx.AsyncClient, begin: str) -> Mapping[str, Markup]:
    """Follow every internal link from here on, and return the pages. Raises for a link that is dead."""
    left, seen, pages = [begin], {begin}, dict[str, Markup]()
    while left:
        path = left.pop()
        answer = await http.get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        pages[path] = Markup(answer.text)
        for link in pages[path].links:
            there, _, place = urljoin(path, link).partition("#")
            if there == path:
                assert not place or place in pages[path].ids, (path, link)
            if not urlsplit(there).netloc and there not in seen:
                seen.add(there)
                left.append(there)
        assert len(seen) < MOST_PAGES
    return pages


async def test_every_link_leads_under_the_base_path_or_to_an_address_of_the_operator(
    tmp_path: Path,
) -> None:
    """With a base path and all addresses set, each link of each page leads there, and no internal one is dead."""
    async with held(tmp_path) as one:
        await one.stop()
        one.given |= FOREIGN
        await one.start()

        async def is_held() -> bool:
            return "#too-many" in (await one.get("/pcc/")).text

        await eventually_true(is_held)
        pages = await walked(one.http, "/pcc/")
        missing = await one.http.get("/pcc/nowhere", headers=BROWSER)
    assert missing.status_code == 404
    pages = {**pages, "/pcc/nowhere": Markup(missing.text)}
    assert {
        "/pcc/",
        "/pcc/accounts",
        "/pcc/history",
        "/pcc/events",
        "/pcc/search",
        "/pcc/accounts/busan-hotel",
    } <= set(pages)
    assert any("/devices/" in path for path in pages)
    links = set[str]().union(*(page.links for page in pages.values()))
    foreign = {link for link in links if not link.startswith(("/pcc/", "#"))}
    assert {link for link in foreign if not link.startswith("https://")} == set()
    docs, commits = f"{FOREIGN['PCC_DOCS_URL']}/", "https://forge.test/fleet/commit/"
    others = {link for link in foreign if not link.startswith((docs, commits))}
    assert others == {FOREIGN["PCC_DOCS_URL"], FOREIGN["PCC_GRAFANA_URL"]}
    assert f"{docs}guards.md#too-many" in foreign
    assert any(link.startswith(commits) for link in foreign)
