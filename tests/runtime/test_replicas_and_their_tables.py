"""What replicas read of their tables and write to them, while something else happens at that very moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from reconciler.core.model import AccountName
from reconciler.core.replicas import SOURCE_WAIT_SECONDS
from reconciler.state.coordination import WEBHOOK, What
from simulation.replicas import Judge, Node, Sent, World
from simulation.test_replicas import all_owned_once, lived, reader, together, told

HOTEL = AccountName("hotel-2")


def owner_and_other(world: World) -> tuple[Node, Node]:
    """Return the replica that owns the hotel, and another one."""
    owner = next(node for node in world.nodes if HOTEL in node.owned())
    return owner, next(node for node in world.nodes if node is not owner)


def components(node: Node) -> Any:
    """Return what a running replica is made of."""
    assert node.daemon is not None
    assert node.daemon.process is not None
    return node.daemon.process.components


def edit(world: World) -> None:
    """Let people want one device of the hotel less, and all replicas see that."""
    world.wanted[HOTEL].pop()
    for node in world.nodes:
        world.deliver(node)


async def last_success(world: World, node: Node) -> str:
    """Return when the hotel's list was last trusted, as a replica shows it."""
    accounts = (await told(world, world.nodes.index(node)))["accounts"]
    (found,) = (one["last_success"] for one in accounts if one["account"] == HOTEL)
    return str(found)


def test_a_report_that_the_database_did_not_take_is_written_later(tmp_path: Path) -> None:
    """The others see what a pass came to once the database takes reports again, and not with the next pass."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        owner, other = owner_and_other(world)
        world.database.refuses.add("report")
        edit(world)
        await world.until(world.agrees, 30)
        await asyncio.sleep(5)
        assert await last_success(world, other) < await last_success(world, owner)
        world.database.refuses.clear()
        await asyncio.sleep(5)
        assert await last_success(world, other) == await last_success(world, owner)

    lived(tmp_path, story, replicas=2)


def test_news_during_a_report_is_in_the_next_one(tmp_path: Path) -> None:
    """What is heard of a registry while reports are being written is written as well."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        owner, _ = owner_and_other(world)
        registries, reports = components(owner).registries, world.database.tables.reports
        registries.changed(HOTEL)
        before = reports[HOTEL].at
        await world.until(lambda: reports[HOTEL].at > before, 5)
        world.database.after["report"] = lambda: registries.changed(HOTEL)
        registries.changed(HOTEL)
        await world.until(lambda: not world.database.after, 5)
        first = reports[HOTEL].at
        await world.until(lambda: reports[HOTEL].at > first, 5)

    lived(tmp_path, story, replicas=2)


async def paused(node: Node, pause: str) -> None:
    """Let somebody pause the hotel at a replica, or end that."""
    body = {"account": HOTEL, "pause": pause, "for": "2h", "reason": "stock-taking"}
    answer = await node.ask("POST", "/api/v1/pause", body)
    assert answer is not None
    assert answer.status_code == 200, answer.text


def plans_on_what_is_true(world: World) -> bool:
    """Say whether the owner of the hotel knows of all pauses and revisions of it."""
    (found,) = (
        node.replica.tenure.planned()[HOTEL] for node in world.nodes if HOTEL in node.owned()
    )
    return bool(found == world.database.tables.ownership[HOTEL].fence())


def test_what_happens_while_the_tables_are_read_is_read_again(tmp_path: Path) -> None:
    """With threads of seconds a reading lasts over several renewals; a pause in its middle is not missed."""

    async def story(world: World) -> None:
        await together(world)
        tables = world.database.tables

        def pause() -> None:
            tables.ownership[HOTEL].pause += 1
            tables.changes += 1

        world.loop.thread_seconds = 4.0
        for _ in range(8):
            world.database.after["ask"] = pause
            tables.changes += 1
            await world.until(lambda: not world.database.after, 30)
            await world.until(lambda: plans_on_what_is_true(world), 30)

    lived(tmp_path, story, replicas=1)


def test_what_was_read_for_a_life_is_not_in_force_after_it(tmp_path: Path) -> None:
    """A replica that is declared dead, or whose database is exchanged, while it reads owns nothing of that."""

    async def story(world: World) -> None:
        await together(world)
        (node,) = world.nodes
        tenure = node.replica.tenure

        def die() -> None:
            world.database.tables.members.pop(tenure.me, None)

        def exchange() -> None:
            world.database.fail_over(world.database.copy())

        world.loop.thread_seconds = 3.0
        for ending in (die, exchange) * 4:
            world.database.after["ask"] = ending
            before = tenure.me
            world.database.tables.changes += 1
            await world.until(lambda: not world.database.after, 30)
            await world.until(lambda: not node.replica.lives, 30)
            while tenure.me == before or not node.owned():
                if tenure.me == before:
                    assert not node.owned()
                    assert not node.replica.source.reads
                    assert not node.replica.lease.lasts(world.loop.time())
                await asyncio.sleep(0.1)
            assert {fence.owner for fence in tenure.planned().values()} == {tenure.me}

    lived(tmp_path, story, replicas=1)


def test_after_an_exchange_the_longest_lease_is_waited_for(tmp_path: Path) -> None:
    """A copy of the database may lack a member that still acts, and whose lease is longer than one's own."""

    async def story(world: World) -> None:
        first, second = world.nodes
        first.start()
        await world.until(world.agrees, 90)
        without = world.database.copy()
        world.lease = 120.0
        second.start()
        await world.until(lambda: len(second.owned()) == 4, 90)
        theirs, lease = second.owned(), second.replica.lease
        await asyncio.sleep(10)
        second.renewals_cut = True
        world.database.fail_over(without)
        while not theirs <= first.owned():
            await asyncio.sleep(0.5)
            allowed = lease.allows_call(world.loop.time())
            assert not allowed or theirs.isdisjoint(first.owned())
        assert not lease.allows_call(world.loop.time())

    lived(tmp_path, story, replicas=2)


def test_a_replica_reads_what_was_accepted_before_it_reads_the_source(tmp_path: Path) -> None:
    """One that starts with older files than those in force waits with them, though nobody else lives."""

    async def story(world: World) -> None:
        older = world.text()
        await together(world)
        (node,) = world.nodes
        world.wanted[HOTEL].append(world.devices[HOTEL][-1])
        world.deliver(node)
        await world.until(world.agrees, 30)
        for _ in range(5):
            await node.stop()
            world.deliver(node, older)
            node.start()
            await world.until(lambda: len(node.owned()) == len(world.wanted), 30)
            await world.until(lambda: bool(node.replica.source.waits), 30)
            await asyncio.sleep(30)
            assert world.agrees()

    lived(tmp_path, story, replicas=1)


def test_a_reading_that_failed_is_repeated(tmp_path: Path) -> None:
    """A pause that was set while the tables could be read by halves is in force once they can be read."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        _, other = owner_and_other(world)
        world.database.refuses.add("ask")
        await paused(other, "all")
        await asyncio.sleep(10)
        assert not plans_on_what_is_true(world)
        world.database.refuses.clear()
        await world.until(lambda: plans_on_what_is_true(world), 5)

    lived(tmp_path, story, replicas=2)


def test_a_revision_is_never_older_than_the_fence_of_its_plans(tmp_path: Path) -> None:
    """What is accepted while the tables are read counts from the next reading on, not with the revision before it."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        (owner,) = world.nodes
        before = owner.replica.tenure.planned()[HOTEL]
        row, tables = world.database.tables.ownership[HOTEL], world.database.tables
        seen: list[object] = []

        def accepted() -> None:
            row.generation += 1

        def read() -> None:
            seen.append(owner.replica.tenure.planned()[HOTEL])

        world.database.after["verdict"] = accepted
        world.database.after["report"] = read
        components(owner).registries.changed(HOTEL)
        tables.changes += 1
        await world.until(lambda: bool(seen), 5)
        assert row.generation == before.generation + 1
        assert seen == [before]

    lived(tmp_path, story, replicas=1)


class Disk(Judge):
    """A judge that lets the database write nothing more once LG has made a change."""

    def __init__(self, world: World) -> None:
        self._world = world

    def done(self, call: Sent, *, changed: bool) -> None:
        """Refuse what is written from now on."""
        del call
        if changed:
            self._world.database.refuses.add("write")


def test_an_account_is_not_freed_before_its_outcomes_are_written(tmp_path: Path) -> None:
    """A replica that cannot write them leaves its lease to run out, as if it were killed."""

    async def story(world: World) -> None:
        await together(world)
        owner, other = owner_and_other(world)
        me = owner.replica.tenure.me
        world.judge = Disk(world)
        edit(world)
        await world.until(lambda: "write" in world.database.refuses, 30)
        await owner.stop()
        tables = world.database.tables
        assert (tables.ownership[HOTEL].owner, me in tables.members) == (me, True)
        world.database.refuses.clear()
        await world.until(lambda: len(other.owned()) == len(world.wanted), 60)
        await world.until(world.agrees, 60)

    lived(tmp_path, story, replicas=2)


def test_passes_end_before_their_accounts_are_freed(tmp_path: Path) -> None:
    """A replica that ends while passes are under way leaves nothing behind that others would have to wait for."""

    async def story(world: World) -> None:
        await together(world)
        owner, other = owner_and_other(world)
        me, theirs = owner.replica.tenure.me, owner.owned()
        world.slow_seconds = 4.0
        await owner.ask("POST", "/api/v1/reconcile", {})
        await asyncio.sleep(1.5)
        await owner.stop()
        tables = world.database.tables
        assert me not in tables.members
        assert not [name for name, row in tables.ownership.items() if row.owner == me]
        world.slow_seconds = 0.0
        await world.until(lambda: theirs <= other.owned(), 5)

    lived(tmp_path, story, replicas=2)


def test_nothing_is_known_of_an_account_that_others_own(tmp_path: Path) -> None:
    """What its passes came to is forgotten, and its figures are gone, also where a pass was under way."""

    async def story(world: World) -> None:
        first, second = world.nodes
        first.start()
        await world.until(world.agrees, 90)
        world.slow_seconds = 3.0
        await first.ask("POST", "/api/v1/reconcile", {})
        second.start()
        await world.until(lambda: len(second.owned()) == 4, 90)
        await asyncio.sleep(20)
        statuses = components(first).reconciler.accounts.statuses
        assert statuses.keys() == first.owned()
        answer = await first.ask("GET", "/metrics")
        assert answer is not None
        shown = {name for name in world.wanted if f'account="{name}"' in answer.text}
        assert shown == first.owned()

    lived(tmp_path, story, replicas=2)


def test_a_pass_that_outlives_its_lease_leaves_no_figures(tmp_path: Path) -> None:
    """Where an account is lost in the middle of its pass, its replica shows nothing of it after that pass."""

    async def story(world: World) -> None:
        await together(world)
        (node,) = world.nodes
        world.slow_seconds = 6.0
        await node.ask("POST", "/api/v1/reconcile", {})
        await asyncio.sleep(2)
        world.database.fail_over(world.database.copy())
        await asyncio.sleep(30)
        assert not node.owned()
        answer = await node.ask("GET", "/metrics")
        assert answer is not None
        assert not [name for name in world.wanted if f'account="{name}"' in answer.text]

    lived(tmp_path, story, replicas=1)


def test_accounts_that_have_time_are_handed_over(tmp_path: Path) -> None:
    """Those whose next pass is furthest away change hands, so that the others are not late."""

    async def story(world: World) -> None:
        first, second = world.nodes
        first.start()
        await world.until(world.agrees, 90)
        await asyncio.sleep(200)
        rested = {AccountName(f"hotel-{number}") for number in (1, 3, 4, 6)}
        for name in sorted(rested):
            await first.ask("POST", f"/api/v1/reconcile?account={name}", {})
        await asyncio.sleep(5)
        second.start()
        await world.until(lambda: all_owned_once(world) and len(second.owned()) == 4, 90)
        assert second.owned() == rested

    lived(tmp_path, story, replicas=2)


def test_a_person_ends_the_wait_of_a_source_that_is_behind(tmp_path: Path) -> None:
    """Whoever asks for a pass, at whichever replica, agrees to what the source shows; a forge agrees to nothing."""

    async def story(world: World) -> None:
        await together(world)
        first = reader(world)
        others = [node for node in world.nodes if node is not first]
        added = world.devices[HOTEL][-1]
        world.wanted[HOTEL].append(added)
        world.deliver(first)
        await world.until(world.agrees, 60)
        first.kill()
        await world.until(lambda: any(one.replica.source.waits for one in others), 120)
        await world.until(lambda: len(others[0].owned() | others[1].owned()) == 8, 60)
        asked = next(one for one in others if not one.replica.source.reads)
        ask, now = asked.replica.coordination.commands.ask, world.clock.now()
        ask(What.FETCH, [], WEBHOOK, now)
        await asyncio.sleep(10)
        assert added in world.live(HOTEL)
        await asked.ask("POST", f"/api/v1/reconcile?account={HOTEL}", {})
        await world.until(lambda: added not in world.live(HOTEL), 20)

    lived(tmp_path, story, replicas=3)


async def readings(world: World, node: Node, seconds: float) -> list[float]:
    """Return when a replica has read the source within some time."""
    informer, moments = components(node).informer, list[float]()
    ends, before = world.loop.time() + seconds, informer.fetched_at
    while world.loop.time() < ends:
        await asyncio.sleep(0.1)
        if informer.fetched_at != before:
            before = informer.fetched_at
            moments.append(world.loop.time())
    return moments


def test_a_source_that_is_behind_is_read_again_until_it_is_believed(tmp_path: Path) -> None:
    """It is read every five seconds although no file changes, and so it is in force soon after its five minutes."""

    async def story(world: World) -> None:
        older = world.text()
        await together(world)
        (node,) = world.nodes
        added = world.devices[HOTEL][-1]
        world.wanted[HOTEL].append(added)
        world.deliver(node)
        await world.until(world.agrees, 30)
        await node.stop()
        world.deliver(node, older)
        node.start()
        await world.until(lambda: node.replica is not None and node.replica.source.waits, 30)
        began = world.loop.time()
        await asyncio.sleep(30)
        moments = await readings(world, node, 60)
        pauses = [later - earlier for earlier, later in pairwise(moments)]
        assert len(pauses) >= 9
        assert min(pauses) > 4
        assert max(pauses) < 7
        await world.until(lambda: added not in world.live(HOTEL), SOURCE_WAIT_SECONDS)
        waited = world.loop.time() - began
        assert SOURCE_WAIT_SECONDS - 5 <= waited <= SOURCE_WAIT_SECONDS + 10

    lived(tmp_path, story, replicas=1)


def test_a_revision_that_the_others_could_not_get_is_read_again(tmp_path: Path) -> None:
    """An edit that the database did not take is in force some seconds after it takes edits again."""

    async def story(world: World) -> None:
        await together(world)
        world.database.refuses.add("accept")
        edit(world)
        await asyncio.sleep(60)
        assert not world.agrees()
        world.database.refuses.clear()
        await world.until(world.agrees, 15)

    lived(tmp_path, story, replicas=2)


class Lists(Judge):
    """A judge that counts the lists of the hotel."""

    count = 0

    def sent(self, call: Sent) -> None:
        """Hear of a call that leaves a replica."""
        self.count += (call.account, call.method) == (HOTEL, "GET")


def test_a_pause_is_shown_at_once_where_it_was_set(tmp_path: Path) -> None:
    """Whoever sets it sees it, at a replica that does not work on the account as well."""

    async def story(world: World) -> None:
        await together(world)
        await asyncio.sleep(5)
        _, other = owner_and_other(world)
        await paused(other, "all")
        assert len((await told(world, world.nodes.index(other)))["pauses"]) == 1
        await paused(other, "none")
        await asyncio.sleep(5)
        assert (await told(world, world.nodes.index(other)))["pauses"] == []

    lived(tmp_path, story, replicas=2)


def test_no_pass_begins_whose_call_could_outlive_the_lease(tmp_path: Path) -> None:
    """From the moment on at which a call might end after the lease, the tenure is not ready."""

    async def story(world: World) -> None:
        await together(world)
        (node,) = world.nodes
        tenure, lease = node.replica.tenure, node.replica.lease
        node.renewals_cut = True
        while lease.lasts(world.loop.time()):
            assert tenure.ready() is lease.allows_call(world.loop.time())
            await asyncio.sleep(1)
        assert not tenure.ready()

    lived(tmp_path, story, replicas=1)


def test_what_a_person_asks_for_is_done_once(tmp_path: Path) -> None:
    """A command that was carried out is gone from the tables, and no later reading carries it out again."""

    async def story(world: World) -> None:
        await together(world)
        _, other = owner_and_other(world)
        world.judge = lists = Lists()
        await other.ask("POST", f"/api/v1/reconcile?account={HOTEL}", {})
        await world.until(lambda: lists.count > 0, 10)
        for _ in range(3):
            world.database.tables.changes += 1
            await asyncio.sleep(5)
        assert (lists.count, world.database.tables.commands) == (1, {})

    lived(tmp_path, story, replicas=2)


def test_what_a_person_asks_for_is_done_once_where_that_cannot_be_written(tmp_path: Path) -> None:
    """A command that stays in the tables for a while agrees to nothing that comes after it was carried out."""

    async def story(world: World) -> None:
        await together(world)
        _, other = owner_and_other(world)
        world.judge = lists = Lists()
        world.database.refuses.add("done")
        await other.ask("POST", f"/api/v1/reconcile?account={HOTEL}", {})
        await world.until(lambda: lists.count > 0, 10)
        await asyncio.sleep(10)
        assert world.database.tables.commands
        world.database.refuses.clear()
        await world.until(lambda: not world.database.tables.commands, 10)
        assert lists.count == 1
        await other.ask("POST", f"/api/v1/reconcile?account={HOTEL}", {})
        await world.until(lambda: lists.count == 2, 10)

    lived(tmp_path, story, replicas=2)


def test_what_a_person_asked_for_long_ago_is_not_done(tmp_path: Path) -> None:
    """Nobody could carry it out for ten minutes, and who asked did not see what is there now; the log says so once."""

    async def story(world: World) -> None:
        await together(world)
        world.judge = lists = Lists()
        _, other = owner_and_other(world)
        ask, now = other.replica.coordination.commands.ask, world.clock.now()
        world.database.refuses.add("done")
        with capture_logs() as logged:
            ask(What.RECONCILE, [HOTEL], "kim", now - timedelta(minutes=10, seconds=1))
            await asyncio.sleep(10)
            world.database.refuses.clear()
            await world.until(lambda: not world.database.tables.commands, 10)
            await asyncio.sleep(5)
        assert lists.count == 0
        (said,) = (one for one in logged if one["event"] == "command.expired")
        assert (said["account"], said["by"]) == (HOTEL, "kim")
        ask(What.RECONCILE, [HOTEL], "kim", world.clock.now() - timedelta(minutes=9))
        await world.until(lambda: lists.count == 1, 10)

    lived(tmp_path, story, replicas=2)


OFFICE = '{ name = "office", kind = "allow", from = "06:00", to = "07:00" }'


def guard_with_a_window(world: World) -> None:
    """Let changes of all accounts wait for a window, and all replicas see that."""
    head = f'version = 1\ntimezone = "UTC"\nwindows = [{OFFICE}]\n'
    for node in world.nodes:
        world.deliver(node, world.text().replace(b"version = 1\n", head.encode(), 1))


def test_a_window_that_is_opened_anywhere_is_open_everywhere(tmp_path: Path) -> None:
    """The owner makes what waited for the window, and holds again what comes after somebody closed it elsewhere."""

    async def story(world: World) -> None:
        await together(world)
        _, other = owner_and_other(world)

        def one_less() -> None:
            world.wanted[HOTEL].pop()
            guard_with_a_window(world)

        one_less()
        await asyncio.sleep(30)
        assert not world.agrees()
        body = {"window": "office", "for": "1h", "reason": "the broken oven"}
        await other.ask("POST", "/api/v1/open", body)
        await world.until(world.agrees, 15)
        await other.ask("POST", "/api/v1/close", {"window": "office"})
        await asyncio.sleep(5)
        one_less()
        await asyncio.sleep(30)
        assert not world.agrees()

    lived(tmp_path, story, replicas=2)


PAUSED = {"account": HOTEL, "pause": "all", "for": "2h", "reason": "stock-taking"}
GOES_ON = {**PAUSED, "pause": "none"}
OPENED = {"window": "office", "for": "1h", "reason": "the broken oven"}
CLOSED = {"window": "office"}


async def asked(node: Node, path: str, body: dict[str, str]) -> None:
    """Let somebody ask a replica for something that it does."""
    answer = await node.ask("POST", f"/api/v1/{path}", body)
    assert answer is not None
    assert answer.is_success, answer.text


def test_what_is_set_and_taken_back_counts_where_it_was_done_before_that_is_answered(
    tmp_path: Path,
) -> None:
    """A person sees it, and no pass of that replica goes by what was there before, however often it is changed."""

    async def story(world: World) -> None:
        await together(world)
        guard_with_a_window(world)
        await asyncio.sleep(20)
        for node in world.nodes:
            state = components(node).state
            for _ in range(2):
                await asked(node, "pause", PAUSED)
                assert state.pauses.all(world.clock.now()).keys() == {HOTEL}
                await asked(node, "pause", GOES_ON)
                assert not state.pauses.all(world.clock.now())
                await asked(node, "open", OPENED)
                assert [one.window for one in state.opened_windows.in_force(world.clock.now())]
                await asked(node, "close", CLOSED)
                assert not state.opened_windows.in_force(world.clock.now())
            await asyncio.sleep(5)

    lived(tmp_path, story, replicas=2)


def test_what_is_asked_for_is_read_at_once_where_the_database_tells_nothing(tmp_path: Path) -> None:
    """A replica whose renewals are not answered hears of no change, and still obeys whoever asks it itself."""

    async def story(world: World) -> None:
        await together(world)
        guard_with_a_window(world)
        await asyncio.sleep(20)
        owner, _ = owner_and_other(world)
        owner.renewals_cut = True
        await asyncio.sleep(3)
        for path, body in (
            ("pause", PAUSED),
            ("pause", GOES_ON),
            ("open", OPENED),
            ("close", CLOSED),
        ):
            await asked(owner, path, body)
            await world.until(lambda: plans_on_what_is_true(world), 3)
        world.judge = lists = Lists()
        await asked(owner, f"reconcile?account={HOTEL}", {})
        await world.until(lambda: lists.count > 0, 3)

    lived(tmp_path, story, replicas=2)


def test_lists_that_were_perhaps_made_count_for_the_next_owner(tmp_path: Path) -> None:
    """A replica that was killed may have made lists that it never wrote down, so its successor counts some."""

    async def story(world: World) -> None:
        world.policy = {"calls_per_hour": "60"}
        for node in world.nodes:
            world.deliver(node)
        await together(world)
        await asyncio.sleep(90)
        owner, other = owner_and_other(world)
        known = len(world.database.storage.account(HOTEL, world.clock.now()).calls)
        owner.kill()
        await world.until(lambda: HOTEL in other.owned(), 90)
        now = world.clock.now().timestamp()
        left = components(other).clients.quota(HOTEL).remaining(now)
        assert left <= 60 - known - 6

    lived(tmp_path, story, replicas=2)


def test_a_replica_that_lost_touch_says_nothing_outside(tmp_path: Path) -> None:
    """It does not know how the accounts are; where it knows that they are late by their interval, it says so."""

    async def story(world: World) -> None:
        (node,) = world.nodes
        with capture_logs() as lines:

            def late() -> list[Any]:
                return [line for line in lines if line["event"] == "heartbeat.late"]

            await together(world)
            await asyncio.sleep(30 * 60)
            assert not late()
            world.database.away = "it shuts down"
            await asyncio.sleep(70 * 60)
            assert not late()
            world.database.away, node.lg_cut = "", True
            await world.until(lambda: bool(late()), 70 * 60)

    extra = {"PCC_HEARTBEAT_URL": "http://127.0.0.1:9/a-long-key-9", "PCC_INTERVAL": "20m"}
    lived(tmp_path, story, replicas=1, accounts=1, extra=extra)
