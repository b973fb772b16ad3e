"""Two things at once in the spool: what shares a commit, a full spool and outcomes, a replay and what waits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from disks import START, StandingClock
from reconciler.core.errors import SpoolError, SpoolFull, StateError
from reconciler.events.message import read
from reconciler.events.model import Diagnosis, EventState, Message, Result, Stored, Wanted
from reconciler.events.port import Route
from reconciler.events.spool import Spool
from reconciler.events.spool.file import SpoolFile
from reconciler.events.spool.outbox import LONGEST_WORDS
from reconciler.state.sqlite.folder import Held
from scenarios import eventually
from spooled import ROOMY, Routes, To, arrived, due, opened, outcome, sent, stored
from system_calls import system_calls

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BOTH = Routes(To(["crm", "log"]))


@dataclass(frozen=True)
class Kept:
    """How long things are kept."""

    bodies: timedelta = 7 * DAY
    keys: timedelta = 30 * DAY
    quarantine: timedelta = 30 * DAY


@contextmanager
def changed(folder: Path) -> Iterator[sqlite3.Connection]:
    """Let another program write to the file of a spool that is not open."""
    with closing(sqlite3.connect(folder / "events.db")) as file, file:
        yield file


@contextmanager
def written_by_another(folder: Path) -> Iterator[None]:
    """Hold SQLite's write lock, so that what comes meanwhile gathers for one commit."""
    with closing(sqlite3.connect(folder / "events.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_an_event_wakes_also_where_its_commit_has_other_work(tmp_path: Path) -> None:
    """An event that shares its commit with outcomes and files is delivered as soon as one that has it alone."""
    with opened(tmp_path) as spool:
        await stored(spool, sent("a"))
        await spool.changed()
        with written_by_another(tmp_path):
            blocking = asyncio.create_task(asyncio.to_thread(spool.keep, "names", b"1"))
            await eventually(lambda: spool._committer._in_hand)
            together = asyncio.gather(
                spool.record([outcome(1, Result.DELIVERED)]),
                stored(spool, sent("b")),
                asyncio.to_thread(spool.keep, "names", b"2"),
            )
            await asyncio.sleep(0)
        await blocking
        await together
        async with asyncio.timeout(20):
            await spool.changed()
        assert due(spool) == [2]


async def test_a_full_spool_takes_outcomes(tmp_path: Path) -> None:
    """They are what makes room: events that were delivered go, and others are taken again."""
    with opened(tmp_path, limit=300_000) as spool:
        seqs = await filled(spool)
        later = START + HOUR
        await spool.record([outcome(seqs[0], Result.RETRY, later)])
        await spool.record([outcome(seqs[1], Result.DEAD)])
        with pytest.raises(SpoolFull):
            await stored(spool, sent("another"))
        await spool.record([outcome(seq, Result.DELIVERED) for seq in seqs[2:20]])
        assert await stored(spool, sent("another"))
        kept = {event.seq: event.body is not None for event in spool.events(Wanted(limit=1000))}
        assert kept[seqs[0]]
        assert kept[seqs[1]]


async def filled(spool: Spool) -> list[int]:
    """Store events until there is no room; return their seqs."""
    seqs: list[int] = []
    with suppress(SpoolFull):
        for number in range(1000):
            seqs += await stored(spool, sent(number=number, extra="x" * 2000))
    return seqs


OUTCOMES = {
    None: EventState.PENDING,
    Result.DELIVERED: EventState.DELIVERED,
    Result.DEAD: EventState.DEAD,
}


@pytest.mark.parametrize("erased", [False, True])
async def test_a_list_by_state_has_the_events_that_are_shown_in_it(
    tmp_path: Path, *, erased: bool
) -> None:
    """Of every pair of ends at two sinks, and after an erasure: state, list and the sinks' rows agree."""
    pairs = list(product(OUTCOMES, OUTCOMES))
    with opened(tmp_path, router=BOTH) as spool:
        for seq, ends in enumerate(pairs, 1):
            await stored(spool, sent(f"device-{seq}"))
            for sink, end in zip(("crm", "log"), ends, strict=True):
                if end is not None:
                    await spool.record([outcome(seq, end, sink=sink)])
        if erased:
            for seq in range(1, len(pairs) + 1):
                spool.erase(f"device-{seq}")
        shown = {event.seq: event for event in spool.events(Wanted())}
        for state in EventState:
            listed = {event.seq for event in spool.events(Wanted(state=state))}
            assert listed == {seq for seq, event in shown.items() if event.state is state}
        for seq, ends in enumerate(pairs, 1):
            rows = [row.state for row in shown[seq].deliveries]
            delivered = [end is Result.DELIVERED for end in ends]
            if erased:
                assert rows == [
                    EventState.DELIVERED if one else EventState.ERASED for one in delivered
                ]
                whole = EventState.DELIVERED if all(delivered) else EventState.ERASED
            else:
                assert rows == [OUTCOMES[end] for end in ends]
                whole = next(state for state in OUTCOMES_BY_WEIGHT if state in rows)
            assert shown[seq].state is whole


OUTCOMES_BY_WEIGHT = (EventState.PENDING, EventState.DEAD, EventState.DELIVERED)


async def test_the_oldest_of_a_sink_is_its_oldest_that_waits(tmp_path: Path) -> None:
    """What was delivered, given up or waits for another sink is not what this one is behind with."""
    clock = StandingClock()
    with opened(tmp_path, clock, BOTH) as spool:
        for number in range(4):
            await stored(spool, sent(f"device-{number}"))
            clock.wait(hours=1)
        await spool.record([outcome(1, Result.DELIVERED), outcome(2, Result.DEAD)])
        assert spool.figures().oldest == {"crm": START + 2 * HOUR, "log": START}
        await spool.record([outcome(seq, Result.DELIVERED, sink="log") for seq in (1, 2, 3, 4)])
        assert spool.figures().oldest == {"crm": START + 2 * HOUR}


@dataclass(frozen=True)
class NoTable:
    """A Logic Table without a row."""

    revision: str | None = None

    def diagnosis(self, diagnosis: str, _device_type: str | None) -> Diagnosis:
        """Know no type."""
        return Diagnosis(diagnosis)


async def test_an_unknown_type_is_counted_for_all_types_of_device(tmp_path: Path) -> None:
    """The number beside a type is that of all its events."""
    with opened(tmp_path) as spool:
        kinds = ["DEVICE_OVEN", "DEVICE_WASHER", "DEVICE_DRYER", None]
        for number, kind in enumerate(kinds * 2):
            await stored(spool, sent(number=number, deviceType=kind))
        assert spool.unknown(NoTable()) == {"WASHER_DRAIN_SLOW": 8}


async def test_much_is_erased_and_removed_in_steps_to_the_end(tmp_path: Path) -> None:
    """More events than one transaction takes are all erased, and all removed when they are old."""
    with opened(tmp_path) as spool:
        for device in ("room-a", "room-b", "room-c"):
            await stored(spool, *(sent(device, number) for number in range(600)))
        await stored(spool, *(b"scrap %d" % number for number in range(600)))
        assert spool.erase("room-a") == 600
        assert spool.events(Wanted(device="room-a")) == []
        assert len(spool.events(Wanted(state=EventState.ERASED, limit=2000))) == 600
        await spool.record([outcome(seq, Result.DELIVERED) for seq in range(601, 1201)])
        spool.expire(START + 8 * DAY, Kept(quarantine=8 * DAY))
        with_body = [event.seq for event in spool.events(Wanted(limit=5000)) if event.body]
        assert sorted(with_body) == [*range(1201, 2401)]
        spool.expire(START + 40 * DAY, Kept())
        left = sorted(event.seq for event in spool.events(Wanted(limit=5000)))
        assert left == [*range(1201, 1801)]


async def test_what_was_in_quarantine_gets_what_is_known_now(tmp_path: Path) -> None:
    """A body that is understood now has the account and the category of today, and goes to the replay's sink only."""
    body = sent("a")
    routes = Routes(To(["crm", "log"], "busan", "misuse"))
    with opened(tmp_path, router=routes) as spool:
        (arrival,) = read(body)
        await spool.store([type(arrival)(arrival.key[::-1], body, quarantine="json")])
        assert spool.replay("lake", START, states=[EventState.QUARANTINED]) == 1
        (event,) = spool.events(Wanted())
        assert (event.account, event.category, event.device) == ("busan", "misuse", "a")
        assert [row.sink for row in event.deliveries] == ["lake"]
        assert due(spool, sink="lake") == [event.seq]
        assert due(spool) == []


async def test_a_replay_takes_what_was_stored_at_just_that_moment(tmp_path: Path) -> None:
    """``since`` is the first moment that counts, whatever state is asked for."""
    routes = Routes(To(["crm"]))
    for state in (EventState.DELIVERED, EventState.UNROUTED, EventState.QUARANTINED):
        with opened(tmp_path / state, router=routes) as spool:
            routes.otherwise = To([]) if state is EventState.UNROUTED else To(["crm"])
            (arrival,) = read(sent("a"))
            if state is EventState.QUARANTINED:
                arrival = type(arrival)(arrival.key, arrival.body, quarantine="json")
            await spool.store([arrival])
            await spool.record([outcome(1, Result.DELIVERED)])
            routes.otherwise = To(["crm"])
            later = START + timedelta(microseconds=1)
            assert spool.replay("crm", later, states=[state]) == 0
            assert spool.replay("crm", START, states=[state]) == 1


async def test_a_body_that_is_no_longer_understood_is_delivered_as_it_is_known(
    tmp_path: Path,
) -> None:
    """A newer program may refuse what an older one took: what that one knew of it goes to the sinks."""
    body = sent("a", 7)
    with opened(tmp_path) as spool:
        await stored(spool, body)
        before = spool.due("crm", START, 1, ordered=True, busy=())[0]
    with changed(tmp_path) as file:
        file.execute("UPDATE body SET content = ?", (b"no message",))
    with opened(tmp_path) as spool:
        (attempt,) = spool.due("crm", START, 1, ordered=True, busy=())
    message = before.message
    assert attempt == replace(
        before,
        message=replace(message, raw={}, sent_at=None, device_type=None, content_url=None),
    )
    assert message.diagnosed_at is not None


async def test_without_an_order_the_oldest_goes_first(tmp_path: Path) -> None:
    """Events that are parked behind others of their device do not wait for those that come later."""
    with opened(tmp_path) as spool:
        await stored(spool, *(sent("a", number) for number in range(4)))
        await spool.record([outcome(1, Result.RETRY, START + HOUR)])
        await stored(spool, sent("b"), sent("c"))
        assert due(spool, ordered=False) == [2, 3, 4, 5, 6]
        some = spool.due("crm", START, 2, ordered=False, busy=())
        assert [one.seq for one in some] == [2, 3]


async def test_words_of_a_sink_are_kept_in_part(tmp_path: Path) -> None:
    """However much a sink says, and whatever it is."""
    with opened(tmp_path) as spool:
        await stored(spool, sent())
        await spool.record([replace(outcome(1, Result.DEAD), words="\ud83d" + "x" * 10_000)])
        ((row,),) = [event.deliveries for event in spool.events(Wanted())]
        assert row.words == "?" + "x" * (LONGEST_WORDS - 1)


async def test_a_spool_that_was_brought_back_is_held(tmp_path: Path) -> None:
    """The lock went with the folder: nobody else may hold the new one either."""
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        await stored(spool, sent(number=1))
        for one in folder.iterdir():
            one.unlink()
        await stored(spool, sent(number=2))
        other = Spool(folder, StandingClock(), Routes(), limit=ROOMY)
        with pytest.raises(Held):
            other.open()


def test_what_is_brought_back_is_safe_under_its_name(tmp_path: Path) -> None:
    """The folder is made safe after the fresh file has its name, and before the old one is let go."""
    file = SpoolFile(tmp_path, StandingClock())
    file.open()
    try:
        (tmp_path / "events.db").unlink()
        with system_calls("replace", "fsync") as made:
            assert file.bring_back()
        assert made[made.index("replace") + 1 :].count("fsync") >= 1
        assert not file.bring_back()
    finally:
        file.close()


def a_folder(file: Path) -> None:
    """Put a folder in the place of the file."""
    file.mkdir()


def a_newer_file(file: Path) -> None:
    """Put the file of a newer program there."""
    with closing(sqlite3.connect(file)) as newer:
        newer.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        newer.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("put", [a_folder, a_newer_file])
def test_a_spool_that_could_not_be_opened_is_not_held(tmp_path: Path, put: object) -> None:
    """Once the reason is gone the next start opens it, also in the same process."""
    assert callable(put)
    file = tmp_path / "events.db"
    put(file)
    spool = Spool(tmp_path, StandingClock(), Routes(), limit=ROOMY)
    with pytest.raises((SpoolError, StateError)):
        spool.open()
    if file.is_dir():
        file.rmdir()
    else:
        file.unlink()
    with opened(tmp_path) as other:
        assert other.events(Wanted()) == []


async def test_an_event_and_a_duplicate_of_it_in_other_requests_of_one_commit(
    tmp_path: Path,
) -> None:
    """Requests that share a commit are judged one after the other, and each hears what became of its own."""
    with opened(tmp_path) as spool:
        with written_by_another(tmp_path):
            blocking = asyncio.create_task(asyncio.to_thread(spool.keep, "names", b"1"))
            await eventually(lambda: spool._committer._in_hand)
            together = asyncio.gather(
                spool.store(arrived(sent("a"), sent("b"))),
                spool.store(arrived(sent("b"), b"scrap")),
                spool.store(arrived(sent("c"))),
                spool.store(arrived(b"scrap", sent("a"))),
            )
            await asyncio.sleep(0)
        await blocking
        found = await together
    assert [[one.stored for one in receipts] for receipts in found] == [
        [Stored.NEW, Stored.NEW],
        [Stored.DUPLICATE, Stored.QUARANTINED],
        [Stored.NEW],
        [Stored.DUPLICATE, Stored.DUPLICATE],
    ]
    assert [[one.seq for one in receipts] for receipts in found] == [[1, 2], [2, 3], [4], [3, 1]]


@pytest.mark.parametrize("result", Result)
async def test_what_ended_while_its_device_was_erased_stays_erased(
    tmp_path: Path, result: Result
) -> None:
    """An attempt that was under way meanwhile brings nothing back, and is not tried again."""
    with opened(tmp_path, router=BOTH) as spool:
        await stored(spool, sent("a"), sent("b"))
        assert spool.erase("a") == 1
        await spool.record([outcome(1, result, START + HOUR)])
        (event,) = spool.events(Wanted(state=EventState.ERASED))
        assert [row.state for row in event.deliveries] == [EventState.ERASED] * 2
        assert [row.words for row in event.deliveries] == [""] * 2
        assert due(spool, START + 2 * HOUR) == [2]


@pytest.mark.parametrize("result", [Result.DELIVERED, Result.DEAD])
async def test_what_ended_twice_ended_as_it_did_first(tmp_path: Path, result: Result) -> None:
    """An outcome that comes late, of an attempt before a new start, changes nothing that is settled."""
    with opened(tmp_path) as spool:
        await stored(spool, sent("a", 1), sent("a", 2))
        await spool.record([outcome(1, result)])
        before = spool.events(Wanted())
        for late in Result:
            await spool.record([outcome(1, late, START + HOUR)])
        assert spool.events(Wanted()) == before
        assert due(spool) == [2]


class Defective(Routes):
    """A router that fails."""

    def route(self, message: Message) -> Route:
        """Fail."""
        raise ZeroDivisionError(message.device)


@pytest.mark.parametrize("push_type", ["PCC_EVENT", "DEVICE_STATUS"])
async def test_what_could_not_be_routed_is_kept_until_somebody_acts(
    tmp_path: Path, push_type: str
) -> None:
    """Nobody knows that no sink asks for it: it stays, also beyond every age, and can be replayed."""
    body = sent("a", pushType=push_type)
    with opened(tmp_path, router=Defective()) as spool:
        await stored(spool, body)
        spool.expire(START + 400 * DAY, Kept())
        (event,) = spool.events(Wanted(state=EventState.UNROUTED))
        assert event.body == body
    with opened(tmp_path) as spool:
        assert spool.replay("crm", START, states=[EventState.UNROUTED]) == 1
        assert due(spool) == [1]


async def test_a_replay_counts_each_event_once_however_far_apart_they_are(tmp_path: Path) -> None:
    """What a dry run announces is what is taken, also where most of what lies between goes elsewhere."""
    routes = Routes(To([]), {"room-a": To(["crm"]), "room-b": To(["log"])})
    with opened(tmp_path, router=routes) as spool:
        for start in range(0, 1800, 300):
            rooms = [(f"room-{'abc'[number % 3]}", number) for number in range(start, start + 300)]
            await stored(spool, *(sent(room, number) for room, number in rooms))
        await spool.record([outcome(seq, Result.DEAD) for seq in range(1, 1801, 3)])
        routes.of_devices = {"room-c": To(["lake"])}
        for sink, state in (("crm", EventState.DEAD), ("lake", EventState.UNROUTED)):
            assert spool.replay(sink, START, states=[state], dry_run=True) == 600
            assert spool.replay(sink, START, states=[state]) == 600
