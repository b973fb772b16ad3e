"""Several replicas share the accounts, and hand them over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import AccountName
from simulation.nemesis import SABOTAGES, Sabotage, run
from simulation.replicas import Node, World, living

Story = Callable[[World], Awaitable[None]]


def lived(folder: Path, story: Story, **chosen: Any) -> None:
    """Let a story happen."""
    with living(folder, **chosen) as (loop, world):
        loop.run_until_complete(story(world))


def shares(world: World) -> list[int]:
    """Return how many accounts each replica works on."""
    return sorted(len(node.owned()) for node in world.nodes)


def all_owned_once(world: World) -> bool:
    """Say whether every account has exactly one replica that works on it."""
    owned = [account for node in world.nodes if not node.gone for account in node.owned()]
    return sorted(owned) == sorted(map(AccountName, world.wanted))


def test_two_replicas_share_the_accounts_and_one_takes_over(tmp_path: Path) -> None:
    """Both work, on half of the accounts each; when one is killed the other has all within the lease and 5 seconds."""

    async def story(world: World) -> None:
        for node in world.nodes:
            node.start()
        await world.until(lambda: all_owned_once(world) and world.agrees(), 60)
        assert shares(world) == [4, 4]
        first = world.nodes[0]
        first.kill()
        world.wanted["hotel-3"].pop()
        world.deliver(world.nodes[1])
        assert await world.until(lambda: len(world.nodes[1].owned()) == 8, 60) <= 50.0
        await world.until(world.agrees, 60)
        first.start()
        await world.until(lambda: shares(world) == [4, 4], 60)

    lived(tmp_path, story, replicas=2)


def reader(world: World) -> Node:
    """Return the replica that reads the source."""
    return next(node for node in world.nodes if not node.gone and node.replica.source.reads)


async def told(world: World, number: int) -> dict[str, Any]:
    """Return the status as a replica shows it."""
    answer = await world.nodes[number].ask("GET", "/api/v1/status")
    assert answer is not None
    found: dict[str, Any] = answer.json()
    return found


async def shown(world: World, number: int, metric: str) -> float:
    """Return a metric as a replica shows it."""
    answer = await world.nodes[number].ask("GET", "/metrics")
    assert answer is not None
    values = [
        float(line.split()[-1]) for line in answer.text.splitlines() if line.startswith(metric)
    ]
    assert len(values) == 1
    return values[0]


async def together(world: World) -> None:
    """Start all replicas, and wait until all is as it should be."""
    for node in world.nodes:
        node.start()
    await world.until(lambda: all_owned_once(world) and world.agrees(), 90)


def test_every_replica_answers_for_the_fleet(tmp_path: Path) -> None:
    """The status of all accounts is the same wherever it is asked for, whoever owns them."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        for number in range(3):
            status = await told(world, number)
            assert [one["condition"] for one in status["accounts"]] == ["in_sync"] * 8
            assert status["well"], status["summary"]
            assert await shown(world, number, "pcc_accounts_unowned") == 0
            assert await shown(world, number, "pcc_account_overdue_seconds_max") == 0

    lived(tmp_path, story)


def test_a_planned_hand_over_takes_two_seconds(tmp_path: Path) -> None:
    """A replica that is stopped in good order frees its accounts and the source at once."""

    async def story(world: World) -> None:
        await together(world)
        leaving = reader(world)
        theirs, (one, other) = leaving.owned(), [each for each in world.nodes if each != leaving]
        ending = asyncio.ensure_future(leaving.stop())

        def taken() -> bool:
            return theirs <= one.owned() | other.owned()

        assert await world.until(taken, 20) <= 3.0
        await ending
        world.wanted["hotel-1"].pop()
        for node in (one, other):
            world.deliver(node)
        await world.until(world.agrees, 30)

    lived(tmp_path, story)


def test_accounts_that_nobody_owns_come_first(tmp_path: Path) -> None:
    """Accounts that cannot be taken are in a metric and in the first sentence of every replica."""

    async def story(world: World) -> None:
        await together(world)
        gone = world.nodes[0]
        world.database.locked |= gone.owned()
        gone.kill()
        await asyncio.sleep(52)
        for number in (1, 2):
            assert await shown(world, number, "pcc_accounts_unowned") == len(world.database.locked)
            status = await told(world, number)
            assert status["summary"].startswith("3 accounts are owned by no replica")
            assert not status["well"]
        world.database.locked.clear()
        await world.until(lambda: all_owned_once(world), 5)
        await asyncio.sleep(2)
        assert await shown(world, 1, "pcc_accounts_unowned") == 0

    lived(tmp_path, story, accounts=9)


def test_a_pause_at_a_replica_that_owns_nothing_is_in_force_everywhere(tmp_path: Path) -> None:
    """A pause holds from its commit on, whoever owns the account, and its end lets the changes go on."""

    async def story(world: World) -> None:
        await together(world)
        owner = next(one for one in world.nodes if "hotel-2" in one.owned())
        other = next(one for one in world.nodes if one is not owner)
        body = {"account": "hotel-2", "pause": "all", "for": "2h", "reason": "stock-taking"}
        answer = await other.ask("POST", "/api/v1/pause", body)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        before = world.live("hotel-2")
        world.wanted["hotel-2"].pop()
        for node in world.nodes:
            world.deliver(node)
        await asyncio.sleep(60)
        assert world.live("hotel-2") == before
        answer = await other.ask("POST", "/api/v1/pause", {"account": "hotel-2", "pause": "none"})
        assert answer is not None
        await world.until(world.agrees, 30)

    lived(tmp_path, story)


def test_a_command_at_a_replica_that_owns_nothing_reaches_the_owner(tmp_path: Path) -> None:
    """A pass that somebody asks for is made by the owner, within seconds."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(60)
        owner = next(one for one in world.nodes if "hotel-2" in one.owned())
        other = next(one for one in world.nodes if one is not owner)
        lost = world.wanted["hotel-2"][0]
        world.platform.unsubscribe("hotel-2", lost)
        answer = await other.ask("POST", "/api/v1/reconcile?account=hotel-2", {})
        assert answer is not None
        assert answer.status_code == 200, answer.text
        await world.until(world.agrees, 10)

    lived(tmp_path, story)


def test_replicas_go_on_after_the_database_was_away(tmp_path: Path) -> None:
    """No call is made that might end after the lease; when the database is back, so is everything else."""

    async def story(world: World) -> None:
        await together(world)
        world.database.away = "it shuts down"
        world.wanted["hotel-1"].pop()
        for node in world.nodes:
            world.deliver(node)
        before = world.live("hotel-1")
        await asyncio.sleep(400)
        assert world.live("hotel-1") == before
        for node in world.nodes:
            answer = await node.ask("GET", "/healthz")
            assert answer is not None
            assert answer.status_code == 200
        world.database.away = ""
        await world.until(lambda: all_owned_once(world) and world.agrees(), 120)

    lived(tmp_path, story)


def test_a_source_that_is_behind_waits(tmp_path: Path) -> None:
    """A replica whose copy of the files is older than what was accepted brings nothing of it into force."""

    async def story(world: World) -> None:
        await together(world)
        first = reader(world)
        others = [node for node in world.nodes if node is not first]
        added = world.devices["hotel-1"][-1]
        world.wanted["hotel-1"].append(added)
        world.deliver(first)
        await world.until(world.agrees, 60)
        first.kill()
        await world.until(lambda: any(one.replica.source.waits for one in others), 120)
        await asyncio.sleep(30)
        assert added in world.live("hotel-1")
        for node in others:
            world.deliver(node)
        await asyncio.sleep(10)
        world.wanted["hotel-1"].remove(added)
        for node in others:
            world.deliver(node)
        await world.until(world.agrees, 60)

    lived(tmp_path, story)


def test_a_database_that_failed_over_is_left_and_joined_again(tmp_path: Path) -> None:
    """Every replica forgets what it owned, waits a lease, and works again with higher epochs."""

    async def story(world: World) -> None:
        await together(world)
        standby = world.database.copy()
        before = {one: node.epoch(one) for node in world.nodes for one in node.owned()}
        world.wanted["hotel-1"].pop()
        for node in world.nodes:
            world.deliver(node)
        await world.until(world.agrees, 60)
        world.database.fail_over(standby)
        await asyncio.sleep(5)
        assert shares(world) == [0, 0, 0]
        await world.until(lambda: all_owned_once(world) and world.agrees(), 200)
        after = {one: node.epoch(one) for node in world.nodes for one in node.owned()}
        assert all((after[one] or 0) >> 32 == 2 and (before[one] or 0) >> 32 == 1 for one in after)

    lived(tmp_path, story)


def test_what_another_replica_did_counts(tmp_path: Path) -> None:
    """A replica that knew an account before reads it anew when it takes it: the day's limit holds over a hand-over."""

    async def story(world: World) -> None:
        world.policy = {"max_unsubscribe": "1", "max_unsubscribe_floor": "1"}
        for node in world.nodes:
            world.deliver(node)
        await together(world)
        owner = next(one for one in world.nodes if "hotel-2" in one.owned())
        world.wanted["hotel-2"].pop()
        for node in world.nodes:
            world.deliver(node)
        await world.until(world.agrees, 60)
        before = world.live("hotel-2")
        owner.kill()
        world.wanted["hotel-2"].pop()
        for node in world.nodes:
            world.deliver(node)
        await world.until(lambda: all_owned_once(world), 90)
        await asyncio.sleep(60)
        assert world.live("hotel-2") == before

    lived(tmp_path, story, replicas=2)


def test_a_replica_shows_what_the_owner_did_meanwhile(tmp_path: Path) -> None:
    """What a replica read of an account that it does not own, as for a page, is read anew a second later."""

    async def story(world: World) -> None:
        await together(world)
        other = next(node for node in world.nodes if "hotel-2" not in node.owned())
        accounts = other.accounts
        before = accounts.recall(AccountName("hotel-2"), world.clock.now()).expected
        world.wanted["hotel-2"].append(world.devices["hotel-2"][-1])
        for node in world.nodes:
            world.deliver(node)
        await world.until(world.agrees, 30)
        await asyncio.sleep(5)
        after = accounts.recall(AccountName("hotel-2"), world.clock.now()).expected
        assert len(before) == 6
        assert set(after) == set(world.wanted["hotel-2"])

    lived(tmp_path, story)


def test_more_accounts_than_are_taken_at_once_are_all_worked_on(tmp_path: Path) -> None:
    """A replica takes hundreds of accounts at a time, and goes on until it has its share."""

    async def story(world: World) -> None:
        world.nodes[0].start()
        await world.until(world.agrees, 120)
        assert len(world.nodes[0].owned()) == 510

    lived(tmp_path, story, replicas=1, accounts=510, devices=2)


def test_an_hour_of_calls_counts_once_after_many_hand_overs(tmp_path: Path) -> None:
    """The calls of an account are not counted again with each hand-over, and lists that were perhaps made count."""

    async def story(world: World) -> None:
        await together(world)
        for _ in range(4):
            for node in world.nodes:
                await node.stop()
                node.start()
                await world.until(lambda: all_owned_once(world), 60)
        now, storage = world.clock.now(), world.database.storage
        kept = [len(storage.account(AccountName(one), now).calls) for one in world.wanted]
        assert max(kept) <= 30

    lived(tmp_path, story, replicas=2)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_rule_is_broken_whatever_befalls_the_replicas(seed: int) -> None:
    """Stopped, killed, cut off and edited all the time, three replicas break no rule, and all comes true in the end."""
    outcome = run(seed, 0.3)
    assert outcome.violations == [], outcome.timeline[-20:]
    assert outcome.unsubscribes > 5


@pytest.mark.parametrize("sabotage", SABOTAGES.values(), ids=SABOTAGES)
def test_rules_are_broken_without_what_keeps_them(sabotage: Sabotage) -> None:
    """Without the fence, a part of it, or the deadline, the same trouble breaks a rule."""
    assert any(run(seed, 0.5, sabotage).violations for seed in (2, 4, 6, 3, 9, 10))
