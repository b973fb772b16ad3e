"""The pictures of the pages in the documents: real daemons in the situations shown, in a real Chromium.

``make pictures`` takes them again, into ``docs/images``. The tests of the pages look at the same situations.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Browser

from browser import chromium, looking
from receivers import FakeReceiver
from reconciler.simulator import Match, Route, Rule, sample_platform
from reconciler.simulator.faults import Error
from repositories import git
from scenarios import (
    Site,
    credentials_folder,
    eventually,
    eventually_true,
    fault,
    fleet,
    owned,
    site,
    write,
)

IMAGES = Path(__file__).parent.parent / "docs" / "images"
HOTELS = {"busan-hotel": 40, "jeju-resort": 60, "seoul-hotel": 300}
ROOMS = ("fridge", "washer", "oven", "dish washer")
DESKTOP: Mapping[str, Any] = {"viewport": {"width": 1180, "height": 760}}
PHONE: Mapping[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "is_mobile": True,
}
DARK: Mapping[str, Any] = {**DESKTOP, "color_scheme": "dark"}
TALLEST = 1500

Scene = Callable[[Path], AbstractAsyncContextManager[Site]]


def hotel_text(account: str, devices: Sequence[str], *, ending: int = 0, policy: str = "") -> str:
    """Return the text of one hotel: each device with a name, the first few of them only until the spring."""
    until = (datetime.now(UTC) + timedelta(days=98)).date().replace(day=1)
    lines = [
        f'  {{ id = "{device}", name = "Room {1201 + number} {ROOMS[number % len(ROOMS)]}"'
        f"{f', until = {until}' if number < ending else ''} }},\n"
        for number, device in enumerate(devices)
    ]
    return f"version = 1\n\n[accounts.{account}]\n{policy}devices = [\n{''.join(lines)}]\n"


class Hotels:
    """Texts of several accounts in a Git working tree, one file each, and the platform that has their devices."""

    def __init__(self, folder: Path) -> None:
        self.platform = sample_platform(HOTELS, only_pcc=True, seed=3)
        self.devices = {account: owned(self.platform, account) for account in HOTELS}
        self.folder = folder
        self.texts = folder / "fleet"
        self.texts.mkdir()
        git(self.texts, "init", "--quiet", "--initial-branch=main")
        write(self.texts / "shared.toml", 'version = 1\ntimezone = "Asia/Seoul"\n')

    @property
    def given(self) -> dict[str, str]:
        """Return the settings of a daemon that looks after them."""
        credentials = credentials_folder(self.platform, self.folder / "credentials")
        return {
            "PCC_DESIRED_STATE": str(self.texts),
            "PCC_CREDENTIALS_DIR": str(credentials),
            "PCC_INTERVAL": "3s",
        }

    def write(self, account: str, take: slice = slice(None), **how: Any) -> None:
        """Write the text of one account with these of its devices."""
        write(
            self.texts / f"{account}.toml", hotel_text(account, self.devices[account][take], **how)
        )

    def commit(self, subject: str, author: str = "Mina Park") -> None:
        """Commit what was written."""
        git(self.texts, "add", "--all")
        git(
            self.texts,
            *("-c", f"user.name={author}", "-c", "user.email=fleet@example.com"),
            *("commit", "--quiet", "-m", subject),
        )

    @asynccontextmanager
    async def running(self, **more: str) -> AsyncIterator[Site]:
        """Give the daemon once every hotel is as its first text wants it. ``more`` are further settings."""
        self.write("seoul-hotel", ending=48)
        self.write("busan-hotel", slice(0, 38), ending=3)
        self.write("jeju-resort")
        self.commit("Take over all three hotels")
        async with site(self.folder, self.platform, **self.given, **more) as one:
            for account in HOTELS:
                await one.has(
                    self.devices[account][: 38 if account == "busan-hotel" else None], account
                )
            self.write("busan-hotel", slice(1, 40), ending=2)
            self.commit("Room 1239 and 1240 are furnished, 1201 is closed", "Jun Lee")
            await one.has(self.devices["busan-hotel"][1:], "busan-hotel")
            await all_conditions(one, *HOTELS, condition="in_sync")
            yield one


async def status(one: Site) -> dict[str, Any]:
    """Return the status of a daemon."""
    answer: dict[str, Any] = (await one.get("/api/v1/status")).json()
    return answer


async def all_conditions(one: Site, *accounts: str, condition: str) -> None:
    """Wait until these accounts are in this condition, after a pass of the text in force.

    An account whose token was renewed a moment ago is stopped after a minute only: LG may not know the token yet.
    """

    async def so() -> bool:
        found = {each["account"]: each for each in (await status(one))["accounts"]}
        return all(
            name in found and found[name]["condition"] == condition and found[name]["current"]
            for name in accounts
        )

    await eventually_true(so, f"{condition}: {accounts}", within=150)


@asynccontextmanager
async def well(folder: Path) -> AsyncIterator[Site]:
    """Give three hotels in which all is as wanted."""
    async with Hotels(folder).running() as one:
        yield one


@asynccontextmanager
async def held(folder: Path) -> AsyncIterator[Site]:
    """Give three hotels, of one of which the text was cut; another is paused, and LG refuses a device of the third."""
    hotels = Hotels(folder)
    async with hotels.running() as one:
        seoul = hotels.devices["seoul-hotel"]
        one.clock.go_ahead(
            timedelta(minutes=4)
        )  # a list may lag for a minute behind what LG confirmed
        refusal = Match(route=Route.SUBSCRIBE, devices=(seoul[-1],))
        hotels.platform.set_faults(Rule(Error(code="1214"), match=refusal))
        hotels.platform.unsubscribe("seoul-hotel", seoul[-1])
        pause = {
            "account": "jeju-resort",
            "for": "2h",
            "reason": "LG maintains its platform tonight",
            "set_by": "jun@desk",
        }
        (await one.http.post("/api/v1/pause", json=pause)).raise_for_status()
        hotels.write("busan-hotel", slice(1, 24), ending=2)
        hotels.commit("Sort the list")
        await all_conditions(one, "busan-hotel", condition="held")
        await all_conditions(one, "jeju-resort", condition="paused")

        async def refused() -> bool:
            reasons = {
                each["reason"]
                for account in (await status(one))["accounts"]
                for each in account["held"]
            }
            return {"too-many", "refused"} <= reasons

        await eventually_true(refused)
        yield one


@asynccontextmanager
async def stopped(folder: Path) -> AsyncIterator[Site]:
    """Give three hotels, one of which LG does not let in any more."""
    hotels = Hotels(folder)
    async with hotels.running() as one:
        hotels.platform.set_faults(fault(Error(code="1302"), Route.LIST, user="jeju-resort"))
        await all_conditions(one, "jeju-resort", condition="stopped")
        yield one


@asynccontextmanager
async def heard(folder: Path) -> AsyncIterator[Site]:
    """Give three hotels whose receiver has events of a few rooms, one of them stored twice."""
    hotels, receiver = Hotels(folder), FakeReceiver()
    with receiver.serving() as address:
        async with hotels.running(PCC_EVENTS_FROM=address) as one:
            diagnoses = (
                ("WATER_LEAK", "malfunction"),
                ("DOOR_LEFT_OPEN", "usage"),
                ("FILTER_DIRTY", "care"),
            )
            for number, device in enumerate(hotels.devices["busan-hotel"][1:13]):
                diagnosis, category = diagnoses[number % len(diagnoses)]
                attempts = 1 + number % 3 // 2
                way = {"sink": "desk", "state": "delivered", "attempts": attempts}
                receiver.hear(device, diagnosis=diagnosis, category=category, deliveries=[way])
            receiver.hear("f" * 64, diagnosis="WATER_LEAK", deliveries=[])

            async def known() -> bool:
                report = (await status(one))["heard"]
                return bool(report and report["devices_within_24h"])

            await eventually_true(known)
            yield one


@asynccontextmanager
async def outage(folder: Path) -> AsyncIterator[Site]:
    """Give three hotels, and a platform that no call reaches any more."""
    hotels = Hotels(folder)
    async with hotels.running() as one:
        await one.unplug()
        one.clock.go_ahead(timedelta(minutes=50))
        await one.http.post("/api/v1/reconcile", json={})

        async def without_answer() -> bool:
            return all(each["error"] for each in (await status(one))["accounts"])

        await eventually_true(without_answer)
        yield one


@asynccontextmanager
async def many_devices(folder: Path) -> AsyncIterator[Site]:
    """Give one account of 10,000 devices, a few of which were added, or are refused."""
    platform = sample_platform({"seoul-tower": 10_000}, only_pcc=True, subscribed=1.0, seed=7)
    devices = owned(platform, "seoul-tower")
    platform.unsubscribe("seoul-tower", *devices[:3])
    refusal = Match(route=Route.SUBSCRIBE, devices=tuple(devices[:3]))
    platform.set_faults(Rule(Error(code="1214"), match=refusal))
    write(folder / "fleet" / "seoul-tower.toml", hotel_text("seoul-tower", devices))
    given = {
        "PCC_DESIRED_STATE": str(folder / "fleet"),
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
    }
    async with site(folder, platform, **given) as one:

        async def refused() -> bool:
            return any(each["refused"] == 3 for each in (await status(one))["accounts"])

        await eventually_true(refused)
        yield one


@asynccontextmanager
async def empty(folder: Path) -> AsyncIterator[Site]:
    """Give a daemon whose file is not there yet."""
    async with site(folder, fleet(3)) as one:
        await eventually(lambda: one.told("desired.rejected"))
        yield one


@asynccontextmanager
async def large(folder: Path) -> AsyncIterator[Site]:
    """Give 300 accounts, in a few of which something is the matter."""
    cities = (
        "busan",
        "daegu",
        "daejeon",
        "gwangju",
        "incheon",
        "jeju",
        "sejong",
        "seoul",
        "suwon",
        "ulsan",
    )
    users = {
        f"{city}-{number:02}": 6 + (7 * number) % 23 for city in cities for number in range(1, 31)
    }
    platform = sample_platform(users, only_pcc=True, subscribed=1.0, seed=5)
    for user in users:
        wanted = owned(platform, user)
        cut = slice(0, 2) if user == "daegu-07" else slice(None)
        write(folder / "fleet" / f"{user}.toml", hotel_text(user, wanted[cut]))
    platform.set_faults(fault(Error(code="1302"), Route.LIST, user="sejong-12"))
    given = {
        "PCC_DESIRED_STATE": str(folder / "fleet"),
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
        "PCC_WORKERS": "16",
    }
    async with site(folder, platform, **given) as one:

        async def settled() -> bool:
            found = [each["condition"] for each in (await status(one))["accounts"]]
            return (found.count("in_sync"), found.count("held"), found.count("stopped")) == (
                298,
                1,
                1,
            )

        await eventually_true(settled)
        yield one


@dataclass(frozen=True)
class Shot:
    """One picture: in which browser, of which page, and which link of that page leads to what is shown.

    ``shown``: a document shows it. The others are for looking at.
    """

    how: Mapping[str, Any] = field(default_factory=lambda: DESKTOP)
    path: str = "/"
    link: str = ""
    shown: bool = True


ACCOUNT = "/accounts/busan-hotel"
HELD_DEVICES = f"{ACCOUNT}?state=held"
A_DEVICE = ".devices-table tbody th a"
PICTURES: Sequence[tuple[Scene, Mapping[str, Shot]]] = (
    (well, {"page-well": Shot()}),
    (
        held,
        {
            "page-guard": Shot(),
            "page-dark": Shot(DARK),
            "page-phone": Shot(PHONE),
            "page-account": Shot(path=ACCOUNT),
            "page-device": Shot(path=HELD_DEVICES, link=A_DEVICE),
            "page-history": Shot(path="/history"),
            "page-account-dark": Shot(DARK, ACCOUNT, shown=False),
            "page-account-phone": Shot(PHONE, ACCOUNT),
            "page-device-dark": Shot(DARK, HELD_DEVICES, A_DEVICE),
            "page-device-phone": Shot(PHONE, HELD_DEVICES, A_DEVICE, shown=False),
            "page-history-dark": Shot(DARK, "/history", shown=False),
            "page-history-phone": Shot(PHONE, "/history"),
        },
    ),
    (
        heard,
        {
            "page-events": Shot(path="/events"),
            "page-events-dark": Shot(DARK, "/events", shown=False),
            "page-events-phone": Shot(PHONE, "/events"),
            "page-heard-account": Shot(path=ACCOUNT, shown=False),
            "page-heard-account-phone": Shot(PHONE, ACCOUNT, shown=False),
        },
    ),
    (outage, {"page-outage": Shot(), "page-outage-phone": Shot(PHONE, shown=False)}),
    (
        stopped,
        {
            "page-stopped": Shot(),
            "page-stopped-account": Shot(path="/accounts/jeju-resort"),
        },
    ),
    (
        many_devices,
        {
            "page-10000-devices": Shot(path="/accounts/seoul-tower"),
            "page-10000-devices-phone": Shot(PHONE, "/accounts/seoul-tower", shown=False),
        },
    ),
    (empty, {"page-empty": Shot(), "page-empty-accounts": Shot(path="/accounts", shown=False)}),
    (large, {"page-300-accounts": Shot(), "page-300-accounts-phone": Shot(PHONE, shown=False)}),
)


def shrink(picture: Path) -> None:
    """Make a picture small, where the program for it is installed: 256 colours are more than the page has."""
    program = shutil.which("pngquant")
    if program is not None:
        command = [program, "--force", "--strip", "--output", str(picture), "256", str(picture)]
        subprocess.run(command, check=True)  # noqa: S603 - arguments are our own


async def take_one(browser: Browser, one: Site, shot: Shot, picture: Path) -> None:
    """Take one picture of a daemon's page, as high as the page is or as a picture may be."""
    url = f"{str(one.http.base_url).rstrip('/')}{shot.path}"
    async with looking(browser, url, **shot.how) as (page, _):
        if shot.link:
            async with page.expect_navigation():
                await page.locator(shot.link).first.click()
            await page.mouse.move(0, 0)
        assert await page.locator("main").count(), f"there is no page at {page.url}"
        height = await page.evaluate("document.documentElement.scrollHeight")
        width = shot.how["viewport"]["width"]
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, TALLEST)}
        await page.screenshot(path=picture, full_page=True, clip=clip)  # type: ignore[arg-type]


async def take(names: Sequence[str], into: Path = IMAGES, *, every: bool = False) -> None:
    """Take these pictures, or all that documents show, or every one."""
    async with chromium() as browser:
        for scene, shots in PICTURES:
            wanted = {
                name: shot
                for name, shot in shots.items()
                if name in names or (not names and (every or shot.shown))
            }
            if not wanted:
                continue
            with tempfile.TemporaryDirectory() as folder:
                async with scene(Path(folder)) as one:
                    for name, shot in wanted.items():
                        picture = into / f"{name}.png"
                        await take_one(browser, one, shot, picture)
                        shrink(picture)
                        print(picture)


def main(arguments: Sequence[str]) -> None:
    """Take the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--into", type=Path, default=IMAGES, metavar="FOLDER")
    parser.add_argument("--every", action="store_true", help="those too that no document shows")
    asked = parser.parse_args(arguments)
    asked.into.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(asked.names, asked.into, every=asked.every))


if __name__ == "__main__":
    main(sys.argv[1:])
