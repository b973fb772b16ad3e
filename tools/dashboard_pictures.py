"""The pictures of the Grafana dashboards: their JSON, drawn by Grafana's own panel components from a real Prometheus.

``make pictures`` takes those of the documents again. Needs Node with npm, Chromium and Prometheus. There is no Grafana
server; `tools/panels/README.md` says what is drawn by Grafana's components and what is not.

    python tools/dashboard_pictures.py [--all] [NAME...]

``--all`` takes every situation in both themes and at two widths, into ``build/dashboards``, and prints what is cut off,
too small to read, or scrolls.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import httpx
from playwright.async_api import Browser

from browser import chromium, looking
from heard_figures import heard
from pictures import IMAGES, shrink
from prometheus import Prometheus, exposed, until
from receiver_figures import ReceiverFigures
from reconciler.simulator import Platform
from scenarios import account_text, credentials_folder, fleet, free_port, owned, site, write
from troubles import USERS, break_a_file, edit, following, grow, troubled

ROOT = Path(__file__).parent.parent
SOURCES = Path(__file__).parent / "panels"
BUILT = ROOT / "build" / "panels"
EVERYWHERE = ROOT / "build" / "dashboards"
WIDE, NARROW, HEIGHT = 1600, 1366, 1000
STEP_SECONDS = 45
"""How long each trouble lasts before the next one comes."""
FINDINGS = """() => {
  const titled = (one) => ({ one, title: one.querySelector('h2')?.innerText ?? '' });
  const all = [...document.querySelectorAll('section')].map(titled);
  const scrolls = (e) => /auto|scroll/.test(getComputedStyle(e).overflow) && e.clientHeight
    && (e.scrollWidth > e.clientWidth + 2 || e.scrollHeight > e.clientHeight + 2);
  return [
    ...all.map(({ one }) => one.querySelector('h2')).filter((h) => h && h.scrollWidth > h.clientWidth)
      .map((h) => `cut off: ${h.innerText}`),
    ...new Set(all.flatMap(({ one, title }) => [...one.querySelectorAll('div,span')]
      .filter((e) => e.childElementCount === 0 && e.innerText && parseFloat(getComputedStyle(e).fontSize) < 10
        && !e.closest('[data-drawn]'))
      .map((e) => `small: ${title}: ${e.innerText} ${getComputedStyle(e).fontSize}`))),
    ...all.flatMap(({ one, title }) => [...one.querySelectorAll('*')].filter(scrolls)
      .map((e) => `scrolls: ${title}: ${e.scrollWidth}x${e.scrollHeight} in ${e.clientWidth}x${e.clientHeight}`)),
  ];
}"""
DRAWN = "document.querySelectorAll('section').length > 5 && drawn() >= document.querySelectorAll('section').length"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: which dashboard, with which choices, and how."""

    dashboard: str
    job: str
    account: str = ""
    receiver: str = "pcc-receiver"
    theme: str = "dark"
    width: int = WIDE
    height: int | None = None
    """Pixels from the top that the picture has; None for all."""

    def query(self, span: tuple[float, float], prometheus: str) -> str:
        """Return how the page is asked for it."""
        begin, end = span
        asked = {
            "dashboard": f"{self.dashboard}.json",
            "job": self.job,
            "account": self.account,
            "receiver": self.receiver,
            "theme": self.theme,
            "from": str(begin),
            "to": str(end),
            "scrape": "1",
            "prometheus": prometheus,
        }
        return urlencode(asked)


DOCUMENTS: Mapping[str, Picture] = {
    "dashboard-overview": Picture("overview", "pcc", height=1020),
    "dashboard-overview-light": Picture(
        "overview", "calm", receiver="none", theme="light", height=1020
    ),
    "dashboard-account": Picture("account", "pcc", "busan"),
}
"""The pictures of the documents."""
SITUATIONS: Mapping[str, Picture] = {
    "troubled": Picture("overview", "pcc"),
    "healthy": Picture("overview", "calm", receiver="none"),
    "gone": Picture("overview", "gone", receiver="none"),
    "held": Picture("account", "pcc", "busan"),
    "stopped": Picture("account", "pcc", "incheon"),
    "abandoned": Picture("account", "pcc", "daegu"),
    "in-sync": Picture("account", "calm", "seoul"),
    "unknown": Picture("account", "gone", "seoul"),
}
"""What every change of the dashboards has to be looked at in."""


def every_picture() -> Iterator[tuple[str, Picture]]:
    """Give each situation in both themes and at two widths."""
    for name, one in SITUATIONS.items():
        for theme in ("dark", "light"):
            for width in (WIDE, NARROW):
                yield f"{name}-{theme}-{width}", replace(one, theme=theme, width=width)


async def run(*command: str, folder: Path) -> None:
    """Run a program to its end."""
    child = await asyncio.create_subprocess_exec(*command, cwd=folder)
    assert await child.wait() == 0, f"failed: {' '.join(command)}"


async def build() -> None:
    """Bundle the page in ``build/``, with the locked packages, which are installed once."""
    lock = (SOURCES / "package-lock.json").read_bytes()
    installed = BUILT / "package-lock.json"
    fresh = installed.is_file() and installed.read_bytes() == lock
    shutil.copytree(SOURCES, BUILT, dirs_exist_ok=True)
    if not (fresh and (BUILT / "node_modules").is_dir()):
        await run("npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", folder=BUILT)
    await run("node", "build.mjs", folder=BUILT)


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """Give the address of the page, served on loopback."""
    port = free_port()
    folder = str(ROOT / "deploy" / "grafana" / "dashboards")
    child = await asyncio.create_subprocess_exec(
        *("node", "serve.mjs", str(port)), cwd=BUILT, env={**os.environ, "DASHBOARDS": folder}
    )
    address = f"http://127.0.0.1:{port}/"

    async def answers() -> bool:
        with suppress(httpx.TransportError):
            async with httpx.AsyncClient() as http:
                return (await http.get(address)).is_success
        return False

    try:
        await until(answers, "the page is served")
        yield address
    finally:
        child.terminate()
        await child.wait()


def calm_settings(folder: Path) -> tuple[Platform, dict[str, str]]:
    """Return a platform and the settings of a daemon on which all is well."""
    users = ("busan", "jeju", "seoul")
    platform = fleet(60, subscribed=0.5, users=users, seed=3)
    for user in users:
        wanted = owned(platform, user)[:50]
        write(folder / "fleet" / f"{user}.toml", account_text(user, wanted))
    credentials = credentials_folder(platform, folder / "credentials")
    return platform, {
        "PCC_DESIRED_STATE": str(folder / "fleet"),
        "PCC_CREDENTIALS_DIR": str(credentials),
        "PCC_INTERVAL": "2s",
    }


@asynccontextmanager
async def observed(folder: Path) -> AsyncIterator[tuple[Prometheus, tuple[float, float]]]:
    """Give a Prometheus that saw a troubled daemon, a calm one and a receiver, and the span in which it did."""
    ports = {name: free_port() for name in ("pcc", "heard", "calm", "receiver")}
    on = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    targets = {
        "pcc": [on["pcc"], on["heard"]],
        "calm": [on["calm"]],
        "pcc-receiver": [on["receiver"]],
    }
    prometheus, receiver = Prometheus(folder, targets), ReceiverFigures()
    async with prometheus.running(), AsyncExitStack() as stack:
        stack.enter_context(exposed(receiver.metrics.registry, ports["receiver"]))
        stack.enter_context(exposed(heard(USERS[:2]), ports["heard"]))
        begin = time.time()
        platform, remote = troubled(folder / "pcc", 0)
        given = following(platform, remote, folder / "pcc") | {"PCC_LISTEN": on["pcc"]}
        await stack.enter_async_context(site(folder / "pcc", platform, **given))
        calm, settings = calm_settings(folder / "calm")
        settings["PCC_LISTEN"] = on["calm"]
        await stack.enter_async_context(site(folder / "calm", calm, **settings))
        await asyncio.sleep(STEP_SECONDS)
        for push in (grow, edit, break_a_file):
            await asyncio.to_thread(push, platform, remote)
            receiver.trouble()
            await asyncio.sleep(STEP_SECONDS)
        yield prometheus, (begin, time.time())


async def draw(browser: Browser, address: str, one: Picture, into: Path) -> list[str]:
    """Take one picture, and return what on it is hard to read."""
    how = {"viewport": {"width": one.width, "height": HEIGHT}}
    async with looking(browser, address, **how) as (page, seen):
        await page.wait_for_function(DRAWN, timeout=60_000)
        await page.wait_for_timeout(1500)
        findings: list[str] = await page.evaluate(FINDINGS)
        height = one.height or await page.evaluate("document.documentElement.scrollHeight")
        await page.screenshot(
            path=into,
            full_page=True,
            clip={"x": 0, "y": 0, "width": one.width, "height": height},
        )
    shrink(into)
    return [*findings, *(f"console: {line}" for line in seen.complaints)]


async def take(arguments: Sequence[str]) -> None:
    """Take the pictures that are asked for."""
    names = [name for name in arguments if not name.startswith("--")]
    everything = "--all" in arguments
    found = dict(every_picture()) if everything else dict(DOCUMENTS)
    wanted = {name: one for name, one in found.items() if not names or name in names}
    if not wanted:
        return
    into = EVERYWHERE if everything else IMAGES
    into.mkdir(parents=True, exist_ok=True)
    await build()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            observed(Path(folder)) as (prometheus, span),
            served() as address,
            chromium() as browser,
        ):
            for name, one in wanted.items():
                page = f"{address}?{one.query(span, prometheus.url)}"
                findings = await draw(browser, page, one, into / f"{name}.png")
                print(into / f"{name}.png")
                if everything:
                    print(json.dumps(findings, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(take(sys.argv[1:]))
