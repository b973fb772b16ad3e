"""LG's cap on subscribed devices, which is counted for each service key: who waits, and who lets them go on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.simulator import Platform, Route, create_app, sample_platform, serving
from scenarios import (
    Site,
    account_text,
    credentials_folder,
    eventually,
    fleet,
    idle_site,
    owned,
    write,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def capped(folder: Path, cap: int, *users: str) -> AsyncIterator[Site]:
    """Give a site whose accounts share a service key with room for so many devices, and are looked at hourly."""
    platform = fleet(4, users=users)
    platform.set_options(subscription_cap=cap)
    secrets = credentials_folder(platform, folder / "credentials")
    given = {
        "PCC_DESIRED_STATE": str(folder / "texts"),
        "PCC_CREDENTIALS_DIR": str(secrets),
        "PCC_INTERVAL": "1h",
    }
    async with idle_site(folder, platform, **given) as one:
        yield one


def want(one: Site, user: str, devices: list[str]) -> None:
    """Bring a text of one account into force."""
    write(one.folder / "texts" / f"{user}.toml", account_text(user, devices))


def waits(one: Site, user: str) -> int:
    """Return how many subscribes of an account were last said to wait for room."""
    told = one.told("pass.completed", account=user)
    return int(told[-1].get("reasons", {}).get("subscriptions-full", 0)) if told else 0


async def test_all_accounts_of_a_service_key_wait_for_room_and_no_other(tmp_path: Path) -> None:
    """One 1312 is enough for all of them; an account with another service key goes on."""
    other = sample_platform({"jeju": 3}, only_pcc=True, seed=2)
    async with (
        capped(tmp_path, 4, "seoul", "busan", "daegu") as one,
        serving(create_app(other)) as elsewhere,
    ):
        own(tmp_path / "credentials", other, elsewhere)
        want(one, "seoul", owned(one.platform, "seoul"))
        await one.start()
        await one.has(owned(one.platform, "seoul"), "seoul")
        want(one, "busan", owned(one.platform, "busan"))
        await eventually(lambda: waits(one, "busan") == 4)
        want(one, "daegu", owned(one.platform, "daegu"))
        want(one, "jeju", owned(other, "jeju"))
        await eventually(lambda: waits(one, "daegu") == 4)
        await eventually(lambda: other.subscribed("jeju") == set(owned(other, "jeju")))
        assert len(one.calls(Route.SUBSCRIBE, user="busan")) == 1
        assert not one.calls(Route.SUBSCRIBE, user="daegu")


def own(folder: Path, platform: Platform, url: str) -> None:
    """Give the users of another platform credentials that lead there."""
    credentials_folder(platform, folder)
    service = platform.world.service
    parts = {"base_url": url, "token_url": f"{url}/emp/v2/token", "client_id": service.client_id}
    for user in platform.world.users:
        for kind, value in {**parts, "service_id": service.id, "service_key": service.key}.items():
            write(folder / f"{user}.{kind}", value)


async def test_an_unsubscribe_lets_another_account_go_on_at_once(tmp_path: Path) -> None:
    """Who waits for room does not wait for the hour, nor for its next regular pass."""
    async with capped(tmp_path, 4, "seoul", "busan") as one:
        seoul, busan = owned(one.platform, "seoul"), owned(one.platform, "busan")
        want(one, "seoul", seoul)
        await one.start()
        await one.has(seoul, "seoul")
        want(one, "busan", busan)
        await eventually(lambda: waits(one, "busan") == 4)
        want(one, "seoul", seoul[:2])
        await eventually(lambda: len(one.live("busan")) == 2)
        await eventually(lambda: waits(one, "busan") == 2)
        assert one.live("seoul") == set(seoul[:2])


async def test_an_account_goes_on_in_the_room_that_its_own_later_unsubscribe_made(
    tmp_path: Path,
) -> None:
    """Subscribes that were held as full are made once an edit took another device out."""
    async with capped(tmp_path, 3, "seoul") as one:
        devices = owned(one.platform, "seoul")
        want(one, "seoul", devices)
        await one.start()
        await eventually(lambda: waits(one, "seoul") == 1)
        missing = set(devices) - one.live("seoul")
        (gone, *kept) = sorted(one.live("seoul"))
        want(one, "seoul", [*kept, *missing])
        await one.has({*kept, *missing}, "seoul")
        assert gone not in one.live("seoul")
