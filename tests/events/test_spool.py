"""The spool takes what arrives, says what is due, and answers what is asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from disks import START, StandingClock
from reconciler.core.errors import SpoolError, SpoolFull
from reconciler.events.config import RetentionConfig
from reconciler.events.model import (
    EventState,
    KeptEvent,
    Result,
    Stored,
    Wanted,
)
from reconciler.events.spool import Spool, open_beside
from reconciler.state.sqlite.folder import Held
from spooled import Routes, To, arrived, due, opened, outcome, sent, stored


@pytest.fixture
def clock() -> StandingClock:
    """Return the clock of the spool."""
    return StandingClock()


@pytest.fixture
def routes() -> Routes:
    """Return what says where events go."""
    return Routes()


@pytest.fixture
def spool(tmp_path: Path, clock: StandingClock, routes: Routes) -> Iterator[Spool]:
    """Return an open spool."""
    with opened(tmp_path, clock, routes) as spool:
        yield spool


def only(spool: Spool) -> KeptEvent:
    """Return the only event."""
    (event,) = spool.events(Wanted())
    return event


async def test_an_event_is_kept_and_due_at_its_sinks(spool: Spool, routes: Routes) -> None:
    """What is stored is shown with all that is known, and due at once at each sink that takes it."""
    routes.otherwise = To(["crm", "log"])
    (receipt,) = await spool.store(arrived(sent()))
    assert (receipt.stored, receipt.id_reused) == (Stored.NEW, False)
    event = only(spool)
    assert (event.seq, event.id, event.state) == (receipt.seq, receipt.id, EventState.PENDING)
    assert (event.device, event.account, event.category) == ("washer-1", "seoul", "malfunction")
    assert (event.received_at, event.body) == (START, sent())
    assert event.message == arrived(sent())[0].message
    assert [row.sink for row in event.deliveries] == ["crm", "log"]
    for sink in ("crm", "log"):
        (attempt,) = spool.due(sink, START, 10, ordered=True, busy=())
        assert (attempt.seq, attempt.id, attempt.message) == (
            receipt.seq,
            receipt.id,
            event.message,
        )
        assert (attempt.attempts, attempt.received_at, attempt.account) == (0, START, "seoul")
    assert due(spool, sink="another") == []


async def test_a_duplicate_is_counted_and_not_kept_again(spool: Spool) -> None:
    """The same diagnosis comes once, however often it is sent, also within one request."""
    first, second = await spool.store(arrived(sent(), sent()))
    (third,) = await spool.store(arrived(sent(extra=1)))
    assert [one.stored for one in (first, second, third)] == [
        Stored.NEW,
        Stored.DUPLICATE,
        Stored.DUPLICATE,
    ]
    assert first.seq == second.seq == third.seq
    assert first.id == second.id == third.id
    assert only(spool).duplicates == 2


async def test_a_reused_message_id_is_another_event(spool: Spool) -> None:
    """Two diagnoses under one message id are both kept, and the second one is remarked upon."""
    await spool.store(arrived(sent(number=1)))
    body = sent(number=2).replace(b"message-washer-1-2", b"message-washer-1-1")
    (receipt,) = await spool.store(arrived(body))
    assert (receipt.stored, receipt.id_reused) == (Stored.NEW, True)
    assert len(spool.events(Wanted())) == 2


async def test_a_message_id_is_reused_also_within_one_request(spool: Spool) -> None:
    """Of diagnoses that come together under one id, all but the first are remarked upon; a duplicate is none."""
    bodies = [
        sent(number=number).replace(b"message-washer-1-3", b"message-washer-1-2")
        for number in range(1, 4)
    ]
    receipts = await spool.store(arrived(*bodies, bodies[1], b"[5]", b"[5]"))
    assert [receipt.id_reused for receipt in receipts] == [False, False, True, False, False, False]


async def test_what_is_not_understood_is_kept_in_quarantine(spool: Spool) -> None:
    """It is shown with its bytes and its reason, and is due nowhere."""
    (receipt,) = await spool.store(arrived(b"\xff"))
    assert receipt.stored is Stored.QUARANTINED
    event = only(spool)
    assert (event.state, event.quarantine, event.body) == (
        EventState.QUARANTINED,
        "encoding",
        b"\xff",
    )
    assert due(spool) == []


async def test_a_self_test_is_stored_and_shown_nowhere(spool: Spool) -> None:
    """A self-test reaches the disk, and no list, no sink and no other count."""
    body = b'{"event": {"pushType": "PCC_SELF_TEST", "nonce": "1"}}'
    (receipt,) = await spool.store(arrived(body))
    (again,) = await spool.store(arrived(body))
    assert receipt.stored is again.stored is Stored.SELF_TEST
    assert spool.events(Wanted()) == []
    assert spool.event(receipt.id) == []
    assert spool.seen(0, 10) == (0, [])
    figures = spool.figures()
    assert (figures.events, figures.last_event, figures.last_self_test) == ({}, None, START)


async def test_an_event_that_no_sink_takes_is_unrouted(spool: Spool, routes: Routes) -> None:
    """It is kept, and shown as such."""
    routes.otherwise = To([])
    await stored(spool, sent())
    assert only(spool).state is EventState.UNROUTED


async def test_requests_at_the_same_time_are_all_stored(spool: Spool) -> None:
    """Many requests share commits, and each has its own answer."""
    receipts = await asyncio.gather(
        *(spool.store(arrived(sent(f"device-{number}"))) for number in range(200))
    )
    seqs = [receipt.seq for (receipt,) in receipts]
    assert sorted(seqs) == list(range(1, 201))
    for number in (0, 99, 199):
        (event,) = spool.events(Wanted(device=f"device-{number}"))
        assert event.seq == seqs[number]


async def test_large_arrays_at_the_same_time_are_all_stored(spool: Spool) -> None:
    """Arrays share a commit only as far as that stays short, and each has its own answers."""
    arrays = [[sent(f"d{n}", n * 300 + k) for k in range(300)] for n in range(12)]
    found = await asyncio.gather(*(spool.store(arrived(*array)) for array in arrays))
    seqs = [receipt.seq for receipts in found for receipt in receipts]
    assert sorted(seqs) == list(range(1, 3601))
    assert len(due(spool)) == 12


async def test_what_was_stored_outlives_the_process(tmp_path: Path) -> None:
    """The next start finds every event, the same spool and later seqs."""
    with opened(tmp_path) as spool:
        uuid = spool.spool
        await stored(spool, sent(number=1))
    with opened(tmp_path) as spool:
        assert spool.spool == uuid
        assert due(spool) == [1]
        assert await stored(spool, sent(number=2)) == [2]


def test_one_receiver_holds_a_spool(tmp_path: Path) -> None:
    """A second receiver is refused, in words that say who has it."""
    other = Spool(tmp_path, StandingClock(), Routes(), limit=1)
    words = f"the spool in .* is held by process {os.getpid()}"
    with opened(tmp_path), pytest.raises(Held, match=words):
        other.open()


async def test_after_the_end_nothing_is_taken(tmp_path: Path) -> None:
    """A request that comes too late is refused, so its sender sends it again."""
    with opened(tmp_path) as spool:
        pass
    with pytest.raises(SpoolError, match="closed"):
        await spool.store(arrived(sent()))
    with pytest.raises(SpoolError, match="closed"):
        await spool.record([outcome(1, Result.DEAD)])


async def test_of_a_device_the_first_event_goes_first(spool: Spool) -> None:
    """Later events of a device wait for the first, and other devices do not; without an order nobody waits."""
    first, second, other = await stored(
        spool, sent("a", number=1), sent("a", number=2), sent("b", number=3)
    )
    assert due(spool) == [first, other]
    assert due(spool, ordered=False) == [first, second, other]


async def test_a_retry_holds_back_the_later_events_of_its_device(spool: Spool) -> None:
    """They become due when the first one is delivered, or given up."""
    first, second, third = await stored(spool, *(sent("a", number=n) for n in range(3)))
    later = START + timedelta(minutes=5)
    await spool.record([outcome(first, Result.RETRY, later)])
    assert due(spool) == []
    assert spool.next_due("crm", ordered=True, busy=()) == later
    assert due(spool, later) == [first]
    (attempt,) = spool.due("crm", later, 1, ordered=True, busy=())
    assert attempt.attempts == 1
    await spool.record([outcome(first, Result.DELIVERED)])
    assert due(spool) == [second]
    await spool.record([outcome(second, Result.DEAD)])
    assert due(spool) == [third]
    assert spool.next_due("crm", ordered=True, busy=()) == START
    await spool.record([outcome(third, Result.DELIVERED)])
    assert spool.next_due("crm", ordered=True, busy=()) is None
    states = [event.state for event in spool.events(Wanted())]
    assert states == [EventState.DELIVERED, EventState.DEAD, EventState.DELIVERED]


async def test_what_is_under_way_is_not_due_again(spool: Spool) -> None:
    """Neither the event nor, in order, the later ones of its device."""
    first, second, other = await stored(
        spool, sent("a", number=1), sent("a", number=2), sent("b", number=3)
    )
    busy = {first}
    assert [one.seq for one in spool.due("crm", START, 10, ordered=True, busy=busy)] == [other]
    unordered = spool.due("crm", START, 10, ordered=False, busy=busy)
    assert [one.seq for one in unordered] == [second, other]
    assert spool.next_due("crm", ordered=True, busy={first, other}) is None
    assert spool.next_due("crm", ordered=False, busy={first, other}) is not None


async def test_events_without_a_device_wait_for_none(spool: Spool) -> None:
    """What names no device has no order."""
    bodies = [b'{"push": {"pushType": "OTHER", "n": %d}}' % number for number in range(3)]
    seqs = await stored(spool, *bodies)
    assert due(spool) == seqs
    await spool.record([outcome(seqs[0], Result.RETRY, START + timedelta(hours=1))])
    assert due(spool) == seqs[1:]


async def test_news_are_not_missed(spool: Spool) -> None:
    """What was stored before anybody waited wakes whoever waits next."""
    await stored(spool, sent(number=1))
    async with asyncio.timeout(5):
        await spool.changed()
    waiting = asyncio.create_task(spool.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await stored(spool, sent(number=2))
    async with asyncio.timeout(5):
        await waiting


async def test_an_id_is_found_by_its_beginning(spool: Spool) -> None:
    """Any beginning of an id finds its event, and what begins no id finds none."""
    receipts = await spool.store(arrived(*(sent(number=number) for number in range(50))))
    for receipt in receipts:
        assert [one.id for one in spool.event(receipt.id)] == [receipt.id]
        assert receipt.id in [one.id for one in spool.event(receipt.id[:2])]
        for length in range(8, 22):
            assert [one.id for one in spool.event(receipt.id[:length])] == [receipt.id]
    assert spool.event("") == spool.event("é") == spool.event("a" * 23) == spool.event("$$") == []


async def test_what_was_accepted_is_kept(tmp_path: Path) -> None:
    """Content is kept under its name until other content takes its place."""
    with opened(tmp_path) as spool:
        assert spool.kept("config") is None
        await asyncio.to_thread(spool.keep, "config", b"one")
        await asyncio.to_thread(spool.keep, "config", b"two")
    with opened(tmp_path) as spool:
        assert (spool.kept("config"), spool.kept("names")) == (b"two", None)


async def test_a_full_spool_lets_delivered_bodies_go_first(tmp_path: Path) -> None:
    """Over the limit what was delivered goes; when none of it is left, nothing is taken, and nothing lost."""
    limit = 400_000
    with opened(tmp_path, limit=limit) as spool:
        refused = 0
        for number in range(2000):
            try:
                (seq,) = await stored(spool, sent(number=number, extra="x" * 2000))
            except SpoolFull:
                refused += 1
                break
            if number < 100:
                await spool.record([outcome(seq, Result.DELIVERED)])
        events = spool.events(Wanted(limit=5000))
        assert refused
        assert limit * 0.8 < spool.figures().bytes < limit * 1.2
        assert min(event.seq for event in events) == 101
        assert all(event.body is not None for event in events)


async def test_a_full_spool_knows_a_repeated_call_for_as_long_as_a_body_can_go(
    tmp_path: Path, clock: StandingClock
) -> None:
    """The keys of what lost its body long ago stay while there are delivered bodies, so nothing comes a second time."""
    with opened(tmp_path, clock=clock, limit=400_000) as spool:
        old = [sent(number=number) for number in range(20)]
        await spool.record([outcome(seq, Result.DELIVERED) for seq in await stored(spool, *old)])
        clock.wait(minutes=60)
        spool.expire(clock.at, RetentionConfig(timedelta(0), timedelta(days=9), timedelta(days=9)))
        assert all(event.body is None for event in spool.events(Wanted(limit=50)))
        for number in range(100, 400):
            (seq,) = await stored(spool, sent(number=number, extra="x" * 2000))
            await spool.record([outcome(seq, Result.DELIVERED)])
        assert any(
            event.body is None for event in spool.events(Wanted(limit=500)) if event.seq > 20
        )
        receipts = await spool.store(arrived(*old))
        assert {receipt.stored for receipt in receipts} == {Stored.DUPLICATE}


async def test_what_is_delivered_makes_room_for_what_comes_next(tmp_path: Path) -> None:
    """Also where the spool is far over a limit that was lowered: one event is taken for what went, and no more."""
    with opened(tmp_path) as spool:
        seqs = [*await stored(spool, *(sent(number=one, extra="x" * 2000) for one in range(200)))]
    with opened(tmp_path, limit=200_000) as spool:
        with pytest.raises(SpoolFull):
            await stored(spool, sent(number=201))
        for again in range(3):
            await spool.record([outcome(seqs.pop(0), Result.DELIVERED)])
            await stored(spool, sent(number=300 + again))
            with pytest.raises(SpoolFull):
                await stored(spool, sent(number=400 + again))
        assert len(spool.events(Wanted(limit=500))) == 200


async def test_what_no_sink_asks_for_does_not_keep_diagnoses_out(tmp_path: Path) -> None:
    """LG sends the state of every device in the same way: however much of it comes, a diagnosis finds room."""
    routes = Routes(of_devices={"status": To([])}, otherwise=To([]))
    with opened(tmp_path, router=routes, limit=400_000) as spool:
        for number in range(600):
            state = sent("status", number, pushType="DEVICE_STATUS", extra="x" * 2000)
            await stored(spool, state)
            if number % 100 == 0:
                await stored(spool, sent("washer-1", number))
        kept = spool.events(Wanted(device="washer-1"))
        assert len(kept) == 6
        assert all(event.body is not None for event in kept)


async def test_beside_the_receiver_the_same_events_are_seen(tmp_path: Path) -> None:
    """Another opening of the folder reads what the receiver wrote, and the receiver hears of what it changes."""
    with opened(tmp_path) as spool:
        (seq,) = await stored(spool, sent())
        await spool.record([outcome(seq, Result.DEAD)])
        await spool.changed()
        beside = open_beside(tmp_path, StandingClock())
        try:
            assert beside.spool == spool.spool
            assert beside.events(Wanted()) == spool.events(Wanted())
            waiting = asyncio.create_task(spool.changed())
            assert beside.replay("crm", START, states=[EventState.DEAD]) == 1
            async with asyncio.timeout(10):
                await waiting
            assert due(spool) == [seq]
        finally:
            beside.close()


def test_beside_nothing_there_is_nothing_to_open(tmp_path: Path) -> None:
    """A folder without a spool is said to have none."""
    with pytest.raises(SpoolError, match="there is no spool in"):
        open_beside(tmp_path, StandingClock())
