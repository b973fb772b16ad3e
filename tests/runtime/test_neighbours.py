"""Accounts that fare badly beside accounts that do well: the whole daemon, real HTTP, a server that never answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from reconciler.simulator import Platform, Route
from reconciler.simulator.faults import Error
from recording import RawServer, Seen, serving
from scenarios import (
    Site,
    account_text,
    credentials_folder,
    eventually,
    fault,
    fleet,
    idle_site,
    owned,
    write,
)

GOOD = tuple(f"well-{number:02}" for number in range(20))
DEVICES = 3


class Neighbourhood:
    """Twenty good accounts and some bad ones, each with a text of its own. ``silent`` is a server that never answers.

    The names of the bad ones sort first, so that they are the first in every queue.
    """

    def __init__(self, folder: Path, *, bad: Iterable[str]) -> None:
        self.bad = tuple(bad)
        self.platform: Platform = fleet(DEVICES, users=(*self.bad, *GOOD))
        self.folder = folder
        self.texts = folder / "texts"
        self.credentials = credentials_folder(self.platform, folder / "credentials")
        self.given_up = asyncio.Event()
        for user in (*self.bad, *GOOD):
            self.want(user, DEVICES)

    def want(self, user: str, count: int) -> None:
        """Let a user's text name so many of the devices."""
        write(self.texts / f"{user}.toml", account_text(user, owned(self.platform, user)[:count]))

    async def all_well(self, one: Site, count: int) -> None:
        """Let all good accounts want so many devices, and wait until they have them."""
        for user in GOOD:
            self.want(user, count)
        for user in GOOD:
            await one.has(owned(self.platform, user)[:count], user)

    @asynccontextmanager
    async def site(self, *silenced: str, workers: int) -> AsyncIterator[tuple[Site, RawServer]]:
        """Give a daemon for which the server of some accounts is the silent one; its own time-out never comes."""

        async def silence(_seen: Seen, _connection: int) -> None:
            await self.given_up.wait()

        given = {"PCC_DESIRED_STATE": str(self.texts), "PCC_CREDENTIALS_DIR": str(self.credentials)}
        more = {
            "PCC_WORKERS": str(workers),
            "PCC_REQUEST_TIMEOUT": "300s",
            "PCC_SHUTDOWN_GRACE": "5s",
        }
        async with (
            serving(silence) as silent,
            idle_site(self.folder, self.platform, **given, **more) as one,
        ):
            for user in silenced:
                write(self.credentials / f"{user}.base_url", silent.url)
            await one.start()
            yield one, silent
            self.given_up.set()
            await one.stop()


async def test_one_dead_one_throttled_and_one_silent_account_delay_no_other(tmp_path: Path) -> None:
    """All that twenty good accounts want, also after edits, is done while the first call of the silent one hangs."""
    place = Neighbourhood(tmp_path, bad=("a-dead", "a-silent", "a-throttled"))
    place.platform.world.revoke_refresh(place.platform.world.user("a-dead"))
    place.platform.set_faults(fault(Error("1314"), Route.LIST, user="a-throttled"))
    async with place.site("a-silent", workers=8) as (one, silent):
        await eventually(lambda: silent.open_now == 1)
        for count in (DEVICES, 1, 2):
            await place.all_well(one, count)
        assert (silent.open_now, len(silent.seen)) == (1, 1)
        assert [one.live(user) for user in place.bad] == [set()] * 3
        assert {str(line["account"]) for line in one.told("account.stopped")} == {"a-dead"}
        assert one.calls(Route.LIST, user="a-throttled")


async def test_more_silent_accounts_than_workers_leave_half_of_the_workers_to_the_others(
    tmp_path: Path,
) -> None:
    """Once ten accounts are known to get no answer, four calls at most wait for one, and all others are served."""
    ill = tuple(f"a-silent-{number}" for number in range(10))
    place = Neighbourhood(tmp_path, bad=ill)
    async with place.site(*ill, workers=8) as (one, silent):
        await eventually(lambda: silent.open_now == 8)
        assert not any(one.live(user) for user in GOOD)  # nobody can know yet whose call is in vain

        place.given_up.set()  # as the time-out of the calls would
        await eventually(
            lambda: len({line["account"] for line in one.told("list.failed")}) == len(ill)
        )
        await place.all_well(one, DEVICES)
        place.given_up.clear()

        for user in ill:
            place.want(user, 1)
        one.clock.go_ahead(timedelta(minutes=20))
        await eventually(lambda: silent.open_now == 4)
        for count in (1, 2, DEVICES):
            await place.all_well(one, count)
        assert silent.open_now == 4
