"""People and calls ask the spool: lists, replay, erasure, and what goes when."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from disks import START, StandingClock
from reconciler.events.message import read
from reconciler.events.model import Diagnosis, EventState, Message, Result, Stored, Wanted
from reconciler.events.port import Route
from reconciler.events.spool import Spool, open_beside
from reconciler.events.spool.erasing import Erase
from reconciler.events.spool.salvage import salvage
from reconciler.events.spool.tables import KIND, stamp
from reconciler.state.sqlite.session import Session
from spooled import Routes, To, arrived, due, kept_bodies, opened, outcome, sent, stored

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Kept:
    """How long things are kept."""

    bodies: timedelta = 7 * DAY
    keys: timedelta = 30 * DAY
    quarantine: timedelta = 30 * DAY


@dataclass(frozen=True)
class Table:
    """A Logic Table that knows some types, each of some device types."""

    known: dict[str, set[str]] = field(default_factory=dict)
    revision: str | None = "1"

    def diagnosis(self, diagnosis: str, device_type: str | None) -> Diagnosis:
        """Return whether the type is known of such devices."""
        return Diagnosis(diagnosis, matched=device_type in self.known.get(diagnosis, ()))


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


def seqs(spool: Spool, wanted: Wanted) -> list[int]:
    """Return the seqs of what is found."""
    return [event.seq for event in spool.events(wanted)]


async def a_bit_of_everything(spool: Spool, clock: StandingClock, routes: Routes) -> None:
    """Store events 1 to 6: pending, delivered, dead, unrouted, in quarantine, and delivered to one sink of two."""
    routes.of_devices = {
        "nowhere": To([], None, None),
        "both": To(["crm", "log"], "busan", "maintenance"),
    }
    await stored(spool, sent("a"), sent("b"), sent("c"), sent("nowhere"), b"x")
    clock.wait(hours=1)
    await stored(spool, sent("both", diagnosisType="OTHER"))
    await spool.record(
        [outcome(2, Result.DELIVERED), outcome(3, Result.DEAD), outcome(6, Result.DELIVERED)]
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [6, 5, 4, 3, 2, 1]),
        (Wanted(limit=2), [6, 5]),
        (Wanted(account="seoul"), [3, 2, 1]),
        (Wanted(account="busan"), [6]),
        (Wanted(device="b"), [2]),
        (Wanted(type="OTHER"), [6]),
        (Wanted(sink="log"), [6]),
        (Wanted(sink="crm"), [6, 3, 2, 1]),
        (Wanted(sink="crm", state=EventState.DELIVERED), [6, 2]),
        (Wanted(state=EventState.PENDING), [6, 1]),
        (Wanted(state=EventState.DELIVERED), [2]),
        (Wanted(state=EventState.DEAD), [3]),
        (Wanted(state=EventState.UNROUTED), [4]),
        (Wanted(state=EventState.QUARANTINED), [5]),
        (Wanted(state=EventState.ERASED), []),
        (Wanted(since=START + timedelta(minutes=1)), [6]),
        (Wanted(account="seoul", state=EventState.DEAD, since=START), [3]),
    ],
)
async def test_lists_show_what_is_wanted(
    spool: Spool, clock: StandingClock, routes: Routes, wanted: Wanted, found: list[int]
) -> None:
    """Each condition narrows the list, and the state that is shown is the one that was asked for."""
    await a_bit_of_everything(spool, clock, routes)
    assert seqs(spool, wanted) == found
    if wanted.state is not None and wanted.sink is None:
        assert all(event.state is wanted.state for event in spool.events(wanted))


async def test_the_deliveries_of_an_event_are_shown(spool: Spool) -> None:
    """Each sink has its state, its tries and the last answer."""
    await stored(spool, sent())
    later = START + timedelta(minutes=1)
    await spool.record([outcome(1, Result.RETRY, later)])
    ((row,),) = [event.deliveries for event in spool.events(Wanted())]
    assert (row.sink, row.state, row.attempts) == ("crm", EventState.PENDING, 1)
    assert (row.due, row.changed_at, row.status, row.words) == (later, START, 200, "so it went")


async def test_figures_count_by_sink_and_state(
    spool: Spool, clock: StandingClock, routes: Routes
) -> None:
    """The metrics know each sink's backlog and its age, and what has no sink."""
    await a_bit_of_everything(spool, clock, routes)
    figures = spool.figures()
    assert figures.events == {
        ("crm", EventState.PENDING): 1,
        ("crm", EventState.DELIVERED): 2,
        ("crm", EventState.DEAD): 1,
        ("log", EventState.PENDING): 1,
        ("", EventState.UNROUTED): 1,
        ("", EventState.QUARANTINED): 1,
    }
    assert figures.oldest == {"crm": START, "log": START + timedelta(hours=1)}
    assert figures.last_event == START + timedelta(hours=1)
    assert figures.last_self_test is None
    assert figures.bytes > 4096


async def test_a_self_test_is_no_event_of_lg(spool: Spool, clock: StandingClock) -> None:
    """When the last event came is not when the last self-test came: silence of LG shows beside an hourly test."""
    await stored(spool, sent())
    for number in range(3):
        at = clock.wait(hours=1)
        await stored(spool, b'{"push": {"pushType": "PCC_SELF_TEST"}, "nonce": "%d"}' % number)
        figures = spool.figures()
        assert (figures.last_event, figures.last_self_test) == (START, at)
    clock.wait(hours=1)
    await stored(spool, b"garbage")
    assert spool.figures().last_event == clock.at


async def test_unknown_types_are_counted(spool: Spool) -> None:
    """A type counts as unknown where the table has no row for it and the device's type, most frequent first."""
    await stored(
        spool,
        *(sent(number=number, diagnosisType="NEW") for number in range(3)),
        *(sent(number=number, diagnosisType="NEWER") for number in range(5)),
        sent(number=20),
        sent(number=21, deviceType="DEVICE_OVEN"),
        b'{"event": {"pushType": "OTHER", "diagnosisType": "NONE"}}',
    )
    known = Table({"WASHER_DRAIN_SLOW": {"DEVICE_WASHER"}})
    assert list(spool.unknown(known).items()) == [
        ("NEWER", 5),
        ("NEW", 3),
        ("WASHER_DRAIN_SLOW", 1),
    ]


async def test_what_was_seen_is_read_page_by_page(spool: Spool) -> None:
    """A page has the events after a seq, in order; what has no device is left out."""
    await stored(spool, sent(number=1), b"x", sent(number=3), sent(number=4))
    last, page = spool.seen(0, 2)
    assert (last, [event.seq for event in page]) == (3, [1, 3])
    assert page[0].body is None
    last, page = spool.seen(last, 2)
    assert (last, [event.seq for event in page]) == (4, [4])
    assert spool.seen(4, 2) == (4, [])


async def test_dead_events_are_replayed(spool: Spool) -> None:
    """They are due again at once, as if for the first time, in the order of their device."""
    await stored(spool, *(sent("a", number) for number in range(3)), sent("b"))
    await spool.record([outcome(seq, Result.DEAD) for seq in (1, 2, 3, 4)])
    assert spool.replay("crm", START, states=[EventState.DEAD], dry_run=True) == 4
    assert due(spool) == []
    assert spool.replay("crm", START, states=[EventState.DEAD]) == 4
    assert due(spool) == [1, 4]
    (first, _) = spool.due("crm", START, 9, ordered=True, busy=())
    assert first.attempts == 0
    await spool.record([outcome(1, Result.DELIVERED)])
    assert due(spool) == [2, 4]
    assert spool.replay("crm", START, states=[EventState.DEAD]) == 0


async def test_a_replay_takes_only_what_it_is_asked_for(spool: Spool, clock: StandingClock) -> None:
    """Sink, state, device and time narrow it."""
    await stored(spool, sent("a", 1), sent("b", 1))
    clock.wait(hours=1)
    await stored(spool, sent("a", 2), sent("b", 2))
    await spool.record(
        [outcome(seq, Result.DELIVERED) for seq in (1, 3, 4)] + [outcome(2, Result.DEAD)]
    )
    later = START + timedelta(minutes=1)
    assert spool.replay("log", START, states=[EventState.DEAD]) == 0
    assert spool.replay("crm", later, states=[EventState.DEAD]) == 0
    assert spool.replay("crm", START, states=[EventState.DELIVERED], device="b", dry_run=True) == 1
    assert spool.replay("crm", later, states=[EventState.DELIVERED]) == 2
    assert due(spool, clock.at) == [3, 4]


async def test_a_replay_before_an_event_that_waits_keeps_the_order(spool: Spool) -> None:
    """What is replayed was stored earlier, so it goes before what waits already."""
    await stored(spool, sent("a", 1), sent("a", 2))
    await spool.record([outcome(1, Result.DEAD)])
    assert due(spool) == [2]
    assert spool.replay("crm", START, states=[EventState.DEAD]) == 1
    assert due(spool) == [1]
    await spool.record([outcome(1, Result.DELIVERED)])
    assert due(spool) == [2]


async def test_events_reach_a_new_sink_by_replay(spool: Spool, routes: Routes) -> None:
    """What nobody took, or what only others took, goes there where its filters let it."""
    routes.otherwise = To([])
    routes.of_devices = {"b": To(["log"])}
    await stored(spool, sent("a"), sent("b"), sent("c"))
    routes.otherwise = To(["new"])
    routes.of_devices = {"b": To(["log", "new"]), "c": To(["log"])}
    assert due(spool, sink="new") == []
    assert spool.replay("new", START, states=[EventState.UNROUTED]) == 2
    assert due(spool, sink="new") == [1, 2]
    states = {event.seq: event.state for event in spool.events(Wanted())}
    assert states == {1: EventState.PENDING, 2: EventState.PENDING, 3: EventState.UNROUTED}


async def test_what_was_in_quarantine_is_read_again(spool: Spool, tmp_path: Path) -> None:
    """What a newer program understands becomes an event of its own, received when it came; the rest stays."""
    body = sent("a")
    arrival = read(b"[" + body + b", 5]")[0]
    assert arrival.quarantine == "shape"
    await spool.store([arrival])
    await spool.store([type(arrival)(arrival.key[::-1], body, quarantine="json")])
    await spool.store(arrived(b"broken"))
    beside = open_beside(tmp_path, StandingClock(START + DAY))
    try:
        again = [EventState.QUARANTINED]
        assert beside.replay("crm", START, states=again, device="b") == 0
        assert beside.replay("crm", START, states=again, dry_run=True) == 1
        assert beside.replay("crm", START, states=again) == 1
    finally:
        beside.close()
    states = {event.seq: event.state for event in spool.events(Wanted())}
    assert states == {1: EventState.QUARANTINED, 3: EventState.QUARANTINED, 4: EventState.PENDING}
    assert kept_bodies(tmp_path) == states.keys()
    (attempt,) = spool.due("crm", START + DAY, 9, ordered=True, busy=())
    assert (attempt.received_at, attempt.message.device) == (START, "a")
    (receipt,) = await spool.store(arrived(body))
    assert receipt.stored is Stored.DUPLICATE


async def test_many_events_are_replayed_in_steps(spool: Spool) -> None:
    """A replay of more than one transaction takes every event once."""
    for start in range(0, 1200, 300):
        await stored(spool, *(sent(f"d{n % 7}", n) for n in range(start, start + 300)))
    await spool.record([outcome(seq, Result.DEAD) for seq in range(1, 1201)])
    assert spool.replay("crm", START, states=[EventState.DEAD], dry_run=True) == 1200
    assert spool.replay("crm", START, states=[EventState.DEAD]) == 1200
    assert due(spool) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_replay_goes_on_behind_events_that_the_sink_does_not_want(
    spool: Spool, routes: Routes
) -> None:
    """A sink with filters gets all that it wants, however many others lie between."""
    routes.otherwise = To([])
    wanted = [n for n in range(1200) if n % 3 == 0]
    for start in range(0, 1200, 300):
        numbers = range(start, start + 300)
        await stored(spool, *(sent("w" if n % 3 == 0 else "other", n) for n in numbers))
    routes.of_devices = {"w": To(["new"])}
    assert spool.replay("new", START, states=[EventState.UNROUTED]) == len(wanted)


def holding(folder: Path, word: str) -> list[str]:
    """Return the files of a folder whose bytes hold a word."""
    return [file.name for file in folder.iterdir() if word.encode() in file.read_bytes()]


async def test_a_device_is_erased(spool: Spool, tmp_path: Path) -> None:
    """No file holds its id any more; what was undelivered is shown as erased, and keys still tell duplicates."""
    secret = "device-to-be-forgotten"
    escaped = b'{"event": {"deviceId": "' + secret.replace("-", "\\u002d", 1).encode() + b'"}}'
    broken = b"[" + sent(secret, 90) + b", 5]"
    bodies = [sent(secret, number) for number in range(40)]
    others = [sent(f"other-{number % 9}", number) for number in range(400)]
    mixed = [body for pair in zip(others, bodies, strict=False) for body in pair]
    await stored(spool, *mixed, *others, broken, escaped)
    of_device = seqs(spool, Wanted(device=secret, limit=99))
    await spool.record([outcome(seq, Result.DELIVERED) for seq in of_device[:10]])
    await spool.record(
        [replace(outcome(seq, Result.DEAD), words=f"no {secret}") for seq in of_device[10:20]]
    )
    beside = open_beside(tmp_path, StandingClock())
    try:
        assert beside.erase(secret) == 41
        assert beside.erase(secret) == 0
    finally:
        beside.close()
    assert holding(tmp_path, secret) == []
    assert seqs(spool, Wanted(device=secret)) == []
    assert len(spool.events(Wanted(state=EventState.ERASED, limit=999))) == 31
    (receipt,) = await spool.store(arrived(bodies[0]))
    assert receipt.stored is Stored.DUPLICATE
    assert len(spool.due("crm", START, 999, ordered=False, busy=())) == 400
    assert len(due(spool)) == 9


STAYS = {"seq", "key", "received", "fate", "push_type", "reason", "duplicates"}
"""Columns of an erased event that say nothing of its device or its home."""


async def test_all_that_is_left_of_an_erased_event_is_that_there_was_one(
    spool: Spool, tmp_path: Path
) -> None:
    """Whatever else is kept of an event is empty after an erasure, also in its deliveries, however it had ended."""
    ends = [None, Result.RETRY, Result.DEAD, Result.DELIVERED]
    await stored(spool, *(sent("room", number) for number in range(len(ends))))
    for seq, end in enumerate(ends, 1):
        if end is not None:
            again = START + DAY if end is Result.RETRY else None
            await spool.record([outcome(seq, end, again)])
    assert spool.erase("room") == len(ends)
    with closing(sqlite3.connect(f"file:{tmp_path / 'events.db'}?mode=ro", uri=True)) as file:
        file.row_factory = sqlite3.Row
        left = [dict(row) for row in file.execute("SELECT * FROM event")]
        ways = [dict(row) for row in file.execute("SELECT * FROM delivery")]
        bodies = file.execute("SELECT count(*) FROM body").fetchone()[0]
    assert bodies == 0
    assert [set(row) - STAYS for row in left] == [
        {name for name, value in row.items() if value is None and name != "reason"} for row in left
    ]
    assert [(row["device"], row["words"], row["due"]) for row in ways] == [(None, "", None)] * 4


async def test_an_event_whose_way_was_damaged_is_not_shown_as_delivered(tmp_path: Path) -> None:
    """Nobody knows whether it was delivered: it is shown as taken by no sink, and can be replayed."""
    damaged, fresh = tmp_path / "damaged", tmp_path / "fresh"
    with opened(damaged) as spool:
        lost, delivered, waiting = await stored(spool, sent("a"), sent("b"), sent("c"))
        await spool.record([outcome(delivered, Result.DELIVERED)])
    with closing(sqlite3.connect(damaged / "events.db")) as file, file:
        file.execute("DELETE FROM delivery WHERE seq = ?", (lost,))
    with opened(fresh):
        pass
    session = Session.join(fresh / "events.db", KIND, 1.0)
    assert salvage(damaged / "events.db", session) == 3
    session.close()
    with opened(fresh) as spool:
        assert seqs(spool, Wanted(state=EventState.UNROUTED)) == [lost]
        assert seqs(spool, Wanted(state=EventState.DELIVERED)) == [delivered]
        assert seqs(spool, Wanted(state=EventState.PENDING)) == [waiting]
        assert spool.replay("crm", START, states=[EventState.UNROUTED]) == 1
        spool.expire(START + 8 * DAY, Kept())
        bodies = {event.seq: event.body is not None for event in spool.events(Wanted())}
        assert bodies == {lost: True, delivered: False, waiting: True}


@pytest.mark.parametrize("lost", ["delivery", "spent", "body", "body delivery", "delivery spent"])
async def test_what_was_left_of_a_damaged_spool_says_what_became_of_an_event(
    tmp_path: Path, lost: str
) -> None:
    """One note of two is enough to know that an event was delivered: nobody is to send it again."""
    damaged, fresh = tmp_path / "damaged", tmp_path / "fresh"
    routes = Routes(of_devices={"to-nobody": To([])})
    secret = "to-be-forgotten"
    with opened(damaged, router=routes) as spool:
        numbers = await stored(spool, *(sent(one) for one in ("w", "x", "y", secret, "to-nobody")))
        delivered, dead, waiting, erased, to_nobody = numbers
        await spool.record([outcome(delivered, Result.DELIVERED), outcome(dead, Result.DEAD)])
        (quarantined,) = await stored(spool, b"[")
        spool.erase(secret)
    with closing(sqlite3.connect(damaged / "events.db")) as file, file:
        for table in lost.split():
            file.execute(f"DELETE FROM {table}")  # noqa: S608 - a word of this file
    with opened(fresh, router=routes):
        pass
    session = Session.join(fresh / "events.db", KIND, 1.0)
    assert salvage(damaged / "events.db", session) == len(numbers) + 1
    session.close()
    gone = {
        "delivery": {dead, waiting},
        "body delivery": {dead, waiting},
        "delivery spent": {delivered, dead, waiting},
    }.get(lost, set())
    with opened(fresh, router=routes) as spool:
        states = {one.seq: one.state for one in spool.events(Wanted(limit=99))}
        kept = {
            delivered: EventState.DELIVERED,
            dead: EventState.DEAD,
            waiting: EventState.PENDING,
            erased: EventState.ERASED,
            to_nobody: EventState.UNROUTED,
            quarantined: EventState.QUARANTINED,
        }
        assert states == kept | dict.fromkeys(gone, EventState.UNROUTED)


async def test_an_erasing_that_is_broken_off_keeps_no_event_back(tmp_path: Path) -> None:
    """Many events go in several steps: what is left after one of them has its turn, as nothing is before it."""
    with opened(tmp_path) as spool:
        numbers = await stored(spool, *(sent("washer-1", number) for number in range(502)))
        assert due(spool) == numbers[:1]
        session = Session.join(tmp_path / "events.db", KIND, 1.0)
        with session.transaction():
            assert Erase("washer-1", stamp(START)).carry_out(session) == 500
        session.close()
        assert due(spool) == numbers[500:501]


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("device-방-of-the-café".encode("utf-16-le"), id="utf-16-le"),
        pytest.param("device-방-of-the-café".encode("utf-16-be"), id="utf-16-be"),
        pytest.param(b"device-\\ubc29-of-the-caf\\u00e9", id="small-digits"),
        pytest.param(b"device-\\uBC29-of-the-caf\\u00E9", id="large-digits"),
    ],
)
async def test_a_device_in_quarantine_is_erased_however_it_was_written(
    spool: Spool, written: bytes
) -> None:
    """What was not understood may be in another encoding, and goes all the same."""
    (receipt,) = await spool.store(arrived(b"[" + written + b"]"))
    assert receipt.stored is Stored.QUARANTINED
    spool.erase("device-방-of-the-café")
    (event,) = spool.events(Wanted())
    assert event.body is None


async def test_bodies_go_some_time_after_delivery(spool: Spool, clock: StandingClock) -> None:
    """A delivered body is kept for its time, an undelivered one until somebody acts; the keys stay longer."""
    await stored(spool, sent("a"), sent("b"), sent("c"))
    await spool.record([outcome(1, Result.DELIVERED), outcome(2, Result.DEAD)])
    spool.expire(START + 7 * DAY, Kept())
    assert all(event.body is not None for event in spool.events(Wanted()))
    spool.expire(START + 7 * DAY + timedelta(seconds=1), Kept())
    bodies = {event.seq: event.body is not None for event in spool.events(Wanted())}
    assert bodies == {1: False, 2: True, 3: True}
    (receipt,) = await spool.store(arrived(sent("a")))
    assert receipt.stored is Stored.DUPLICATE
    assert spool.replay("crm", START, states=[EventState.DELIVERED]) == 0
    spool.expire(START + 31 * DAY, Kept())
    assert seqs(spool, Wanted()) == [3, 2]
    clock.at = START + 31 * DAY
    (receipt,) = await spool.store(arrived(sent("a")))
    assert (receipt.stored, receipt.seq) == (Stored.NEW, 4)


async def test_what_no_sink_asks_for_goes_like_what_was_delivered(
    spool: Spool, routes: Routes
) -> None:
    """Other push types that no sink takes are kept as long as delivered bodies; a diagnosis, or a replay, stays."""
    routes.otherwise = To([])
    await stored(spool, sent("a"), sent("b", pushType="DEVICE_STATUS"))
    await stored(spool, sent("c", pushType="DEVICE_STATUS"))
    routes.otherwise = To(["crm"])
    assert spool.replay("crm", START, states=[EventState.UNROUTED], device="c") == 1
    spool.expire(START + 7 * DAY, Kept())
    assert all(event.body is not None for event in spool.events(Wanted()))
    spool.expire(START + 7 * DAY + timedelta(seconds=1), Kept())
    bodies = {event.seq: event.body is not None for event in spool.events(Wanted())}
    assert bodies == {1: True, 2: False, 3: True}


async def test_an_event_is_delivered_when_all_its_sinks_have_it(
    spool: Spool, routes: Routes
) -> None:
    """A body stays as long as one sink has not taken it, and as long as a replay makes it due."""
    routes.otherwise = To(["crm", "log"])
    await stored(spool, sent())
    await spool.record([outcome(1, Result.DELIVERED)])
    spool.expire(START + 8 * DAY, Kept())
    assert due(spool, sink="log") == [1]
    await spool.record([outcome(1, Result.DELIVERED, sink="log")])
    assert spool.replay("log", START, states=[EventState.DELIVERED]) == 1
    spool.expire(START + 8 * DAY, Kept())
    (event,) = spool.events(Wanted())
    assert event.body == sent()


@pytest.mark.parametrize("first", ["crm", "log"])
async def test_an_event_that_one_sink_never_took_keeps_its_body(
    spool: Spool, routes: Routes, first: str
) -> None:
    """Dead at one sink and delivered at the other, in either order: a person can still send it again."""
    routes.otherwise = To(["crm", "log"])
    await stored(spool, sent())
    results = {"crm": Result.DEAD, "log": Result.DELIVERED}
    for sink in sorted(results, key=lambda one: one != first):
        await spool.record([outcome(1, results[sink], sink=sink)])
    spool.expire(START + 60 * DAY, Kept())
    (event,) = spool.events(Wanted())
    assert (event.state, event.body) == (EventState.DEAD, sent())
    assert spool.replay("crm", START, states=[EventState.DEAD]) == 1
    await spool.record([outcome(1, Result.DELIVERED)])
    spool.expire(START + 60 * DAY, Kept())
    assert kept_bodies_of(spool) == []


def kept_bodies_of(spool: Spool) -> list[int]:
    """Return the seqs of the events that have a body."""
    return [event.seq for event in spool.events(Wanted()) if event.body is not None]


async def test_quarantine_and_self_tests_go_in_their_time(spool: Spool) -> None:
    """Bytes stay in quarantine for their time, and self-tests for a day."""
    await stored(spool, b"x", b'{"event": {"pushType": "PCC_SELF_TEST", "nonce": "1"}}')
    spool.expire(START + 2 * DAY, Kept())
    assert spool.figures().last_self_test is None
    assert [event.body for event in spool.events(Wanted())] == [b"x"]
    spool.expire(START + 30 * DAY + timedelta(seconds=1), Kept(keys=60 * DAY))
    assert [event.body for event in spool.events(Wanted())] == [None]
    spool.expire(START + 61 * DAY, Kept(keys=60 * DAY))
    assert spool.events(Wanted()) == []


async def test_what_is_left_of_quarantine_goes_by_when_it_came(spool: Spool) -> None:
    """A receiver that was down for months removes bytes and key at once: both count from when the bytes came."""
    await stored(spool, b"x")
    spool.expire(START + 90 * DAY, Kept(keys=60 * DAY))
    assert spool.events(Wanted()) == []


async def test_no_number_is_given_twice(tmp_path: Path, clock: StandingClock) -> None:
    """Also after the newest event went with its key, and after a new start: the daemon asks what came after it."""
    with opened(tmp_path, clock) as spool:
        assert await stored(spool, sent("a"), sent("b")) == [1, 2]
        await spool.record([outcome(seq, Result.DELIVERED) for seq in (1, 2)])
        clock.wait(days=31)
        spool.expire(clock.at, Kept())
        assert spool.events(Wanted()) == []
        assert await stored(spool, sent("c")) == [3]
        await spool.record([outcome(3, Result.DELIVERED)])
        spool.expire(clock.wait(days=31), Kept())
    with opened(tmp_path, clock) as spool:
        assert await stored(spool, sent("d")) == [4]


class Broken:
    """A router with a defect."""

    def route(self, message: Message) -> Route:
        """Fail."""
        raise KeyError(message.device)


async def test_a_defect_of_the_router_costs_no_event(tmp_path: Path) -> None:
    """An event that cannot be routed is kept, and shown as unrouted."""
    spool = Spool(tmp_path, StandingClock(), Broken(), limit=1 << 30)
    spool.open()
    try:
        (receipt,) = await spool.store(arrived(sent()))
        assert receipt.stored is Stored.NEW
        assert [event.state for event in spool.events(Wanted())] == [EventState.UNROUTED]
    finally:
        spool.close()


async def test_moments_are_kept_to_the_microsecond(spool: Spool, clock: StandingClock) -> None:
    """When an event came and when it was diagnosed are as exact as they were."""
    clock.at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    await stored(spool, sent(diagnosisTimestamp="1969-12-31T23:59:59.999999"))
    (event,) = spool.events(Wanted())
    assert event.received_at == clock.at
    assert event.diagnosed_at == datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)


@pytest.mark.parametrize("seed", [0, 3])
async def test_no_copy_of_an_erased_device_is_left_between_rows(tmp_path: Path, seed: int) -> None:
    """Whatever was stored, delivered and expired before: SQLite's copies of moved rows go, too."""
    chance = random.Random(seed)  # noqa: S311 - any will do
    at_once = Kept(bodies=timedelta(0), keys=timedelta(0))
    devices = [f"device-{number:03}" for number in range(40)]
    with opened(tmp_path) as spool:
        for start in range(0, 1000, 100):
            bodies = [
                sent(chance.choice(devices), number, extra="x" * chance.choice([0, 300, 5000]))
                for number in range(start, start + 100)
            ]
            taken = [seq for seq in await stored(spool, *bodies) if chance.random() < 0.7]
            await spool.record([outcome(seq, Result.DELIVERED) for seq in taken])
            if chance.random() < 0.3:
                spool.expire(START + timedelta(seconds=1), at_once)
        for device in devices[:3]:
            spool.erase(device)
            assert holding(tmp_path, device) == []
