"""What a replica has to know of what others accepted and began before it acts on it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.model import AccountName, Revision
from reconciler.runtime.replicas import marks
from reconciler.state.coordination import Acceptance
from simulation.replicas import Node, World
from simulation.test_replicas import lived, together

HOTEL = AccountName("hotel-1")
READ = ("account", "sent_after", "documents", "contents", "pauses", "protected", "opened")


def components(node: Node) -> Any:
    """Return what a running replica is made of."""
    assert node.daemon is not None
    assert node.daemon.process is not None
    return node.daemon.process.components


def test_a_replica_works_on_nothing_before_it_could_read_all_of_it(tmp_path: Path) -> None:
    """Else it would not know of earlier calls, pauses, protection or open windows; once it reads all, it goes on."""

    async def story(world: World) -> None:
        await together(world)
        (node,) = world.nodes
        tables, tenure = world.database.tables, node.replica.tenure
        for reading in READ:
            world.database.refuses.add(reading)
            del tables.members[tenure.me]  # it is declared dead, and joins anew
            await world.until(lambda: tenure.me in tables.members, 30)
            await asyncio.sleep(10)
            assert not node.owned(), reading
            world.database.refuses.clear()
            await world.until(lambda: len(node.owned()) == len(world.wanted), 150)

    lived(tmp_path, story, replicas=1, accounts=2)


@pytest.mark.parametrize("reading", ["documents", "contents"])
def test_a_revision_that_cannot_be_read_takes_no_account_out_of_force(
    tmp_path: Path, reading: str
) -> None:
    """What was in force stays so at every replica, and each keeps its accounts, until the documents can be read."""

    async def story(world: World) -> None:
        world.loop.busy = lambda: True  # no tick is left out
        await together(world)
        await asyncio.sleep(5)
        tables = world.database.tables
        before, serial = [node.owned() for node in world.nodes], tables.verdict.serial
        world.database.refuses.add(reading)
        world.wanted[HOTEL].pop()
        for node in world.nodes:
            world.deliver(node)
        await world.until(lambda: tables.verdict.serial > serial, 30)
        for _ in range(20):
            await asyncio.sleep(0.5)
            for node in world.nodes:
                assert components(node).informer.accepted.accounts.keys() == world.wanted.keys()
            assert [node.owned() for node in world.nodes] == before
        world.database.refuses.clear()
        await world.until(world.agrees, 30)

    lived(tmp_path, story, replicas=2, accounts=2)


def test_documents_are_never_older_than_the_number_under_which_they_are_known(
    tmp_path: Path,
) -> None:
    """What is accepted after the documents were read is read as well, and is not taken for what is known already."""

    async def story(world: World) -> None:
        await together(world)
        (node,) = world.nodes
        parts, tables = components(node), world.database.tables
        (kept,) = parts.state.revisions.kept()
        world.wanted[HOTEL].pop()
        revision = Revision("e" * 64)
        newer = replace(kept, revision=revision, files={kept.document: world.text()})
        accepted = replace(parts.informer.accepted, revision=revision, newest=revision)
        acceptance = Acceptance(
            frozenset(tables.ownership),
            frozenset({HOTEL}),
            marks.written(accepted),
            world.clock.now(),
            groups=parts.state.revisions.groups([newer]),
        )
        source = node.replica.coordination.source

        def accept() -> None:
            assert source.accept(tables.reader, tables.reader_epoch, acceptance)

        tables.verdict = replace(tables.verdict, serial=tables.verdict.serial + 1)
        world.database.after["contents"] = accept
        tables.changes += 1
        await world.until(lambda: not world.database.after, 10)
        await world.until(world.agrees, 30)

    lived(tmp_path, story, replicas=1, accounts=2)


def test_a_call_of_a_lost_owner_may_have_been_under_way_for_as_long_as_one_may_take(
    tmp_path: Path,
) -> None:
    """Nobody knows when it was sent, so a list shows only that much later that it was not made."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        owner = next(node for node in world.nodes if HOTEL in node.owned())
        other = next(node for node in world.nodes if node is not owner)
        database, intended = world.database, list[float]()

        def still_open() -> bool:
            return bool(database.storage.account(HOTEL, world.clock.now()).open)

        def written() -> None:
            if still_open():
                intended.append(world.loop.time())
                owner.kill()
            else:
                database.after["write"] = written

        async def listed(seconds: float) -> None:
            await asyncio.sleep(intended[0] + seconds - world.loop.time())
            await other.ask("POST", f"/api/v1/reconcile?account={HOTEL}", {})
            await asyncio.sleep(4)

        database.after["write"] = written
        world.wanted[HOTEL].pop()
        for node in world.nodes:
            world.deliver(node)
        await world.until(lambda: bool(intended), 30)
        body = {"account": HOTEL, "pause": "all", "for": "2h", "reason": "stock-taking"}
        await other.ask("POST", "/api/v1/pause", body)
        await world.until(lambda: HOTEL in other.owned(), 58)
        await listed(66)
        assert still_open()
        await listed(80)
        assert not still_open()

    lived(tmp_path, story, replicas=2, accounts=2)
