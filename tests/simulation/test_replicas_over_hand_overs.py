"""What replicas keep, and what they say, while one of them has trouble of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from reconciler.core.model import AccountName
from simulation.replicas import World
from simulation.test_replicas import all_owned_once, lived, together, told

HOTEL = AccountName("hotel-2")


def test_a_replica_that_cannot_reach_lg_keeps_its_accounts_and_says_so(tmp_path: Path) -> None:
    """Its accounts fail on every page, nobody takes them, the others are looked after, and all goes on afterwards."""

    async def story(world: World) -> None:
        await together(world)
        cut, other = world.nodes
        kept = cut.owned()
        cut.lg_cut = True
        for name, wanted in world.wanted.items():
            world.platform.unsubscribe(name, wanted[0])
        await asyncio.sleep(30 * 60)
        assert cut.owned() == kept
        for node in (0, 1):
            accounts = (await told(world, node))["accounts"]
            failing = {one["account"]: one["error"] for one in accounts if one["error"]}
            assert failing == dict.fromkeys(kept, "list: no answer: no way to LG")
        lacking = {name for name, wanted in world.wanted.items() if world.live(name) != set(wanted)}
        assert lacking == set(kept)
        assert lacking.isdisjoint(other.owned())
        cut.lg_cut = False
        await world.until(world.agrees, 45 * 60)

    lived(tmp_path, story, replicas=2)


def test_a_token_that_lg_replaced_outlives_a_life_of_the_replica(tmp_path: Path) -> None:
    """All else is forgotten when a life is over; the file has the old token, with which nobody gets any further."""

    async def story(world: World) -> None:
        world.platform.set_options(rotate_refresh_tokens=True)
        await together(world)
        (node,) = world.nodes
        file = world.folder / "credentials" / f"{HOTEL}.refresh_token"
        user = next(one for one in world.platform.world.users.values() if one.name == HOTEL)
        assert file.read_text() != user.refresh_token
        before = node.epoch(HOTEL)
        world.database.fail_over(world.database.copy())
        await asyncio.sleep(5)
        assert not node.owned()
        await world.until(lambda: all_owned_once(world), 200)
        assert node.epoch(HOTEL) != before
        await asyncio.sleep(5 * 3600)  # longer than an access token is good for
        world.platform.unsubscribe(HOTEL, world.wanted[HOTEL][0])
        await world.until(world.agrees, 15 * 60)

    lived(tmp_path, story, replicas=1)


def test_another_credential_is_noticed_over_a_hand_over(tmp_path: Path) -> None:
    """The last trusted list was of another user: what the new one has is not changed on one list alone."""

    async def story(world: World) -> None:
        await together(world)
        owner = next(one for one in world.nodes if HOTEL in one.owned())
        other = next(one for one in world.nodes if one is not owner)
        owner.kill()
        stranger = world.platform.world.add_user("stranger")
        assert stranger.refresh_token is not None
        file = world.folder / "credentials" / f"{HOTEL}.refresh_token"
        world.disk.write(file, stranger.refresh_token.encode())
        await world.until(lambda: HOTEL in other.owned(), 90)
        await asyncio.sleep(60)
        accounts = (await told(world, world.nodes.index(other)))["accounts"]
        (guards,) = (one["guards"] for one in accounts if one["account"] == HOTEL)
        assert [one["reason"] for one in guards] == ["suspect-list"]
        assert "the credential changed since the last trusted list" in guards[0]["message"]
        assert not world.platform.subscribed("stranger")

    lived(tmp_path, story, replicas=2)
