"""Delivery on simulated time: order, retries, probes, restarts and changed files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from deliveries import BUSY, CRM, HANGS, LOG, NEVER, REFUSED, TAKEN, Bench, Got
from reconciler.core.errors import SpoolError
from reconciler.events.config import Order
from reconciler.events.model import Result
from reconciler.events.sinks.port import Handed


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return delivery on simulated time."""
    bench = Bench()
    yield bench
    bench.loop.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Return the lines of the log."""
    with capture_logs() as lines:
        yield lines


class Failing:
    """Answers the first attempts of some events with a failure, and then takes them."""

    def __init__(self, times: dict[str, int], failure: Handed | None = BUSY) -> None:
        self.times = dict(times)
        self.failure = failure

    def __call__(self, id: str) -> Handed | None:  # noqa: A002 - the interface's word
        """Answer one attempt."""
        left = self.times.get(id, 0)
        self.times[id] = left - 1
        return self.failure if left > 0 else TAKEN


def test_events_reach_each_of_their_sinks(bench: Bench) -> None:
    """What was stored before the start and what comes later is delivered once to each."""
    crm, log = bench.sink(Failing({})), bench.sink(Failing({}), "log")
    bench.store("a", sinks=("crm", "log"))
    bench.loop.call_later(60, bench.store, "b", "d2", ("log",))
    bench.run(1, CRM, LOG)
    assert (crm.ids, log.ids) == (["a"], ["a", "b"])
    assert log.got[1].at < 61
    assert bench.watch.results == {
        ("crm", Result.DELIVERED): 1,
        ("log", Result.DELIVERED): 2,
    }


def test_a_retry_holds_back_its_device_only(bench: Bench) -> None:
    """Events of one device go in their order; another device overtakes."""
    crm = bench.sink(Failing({"a1": 3}))
    for id_, device in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        bench.store(id_, device)
    bench.run(1, CRM)
    assert crm.ids == ["a1", "b1", "a1", "a1", "a1", "a2"]


def test_without_order_nothing_is_held_back(bench: Bench) -> None:
    """A sink with the order "none" lets the later events of a device pass."""
    crm = bench.sink(Failing({"a1": 3}))
    for id_ in ("a1", "a2"):
        bench.store(id_, "a")
    bench.run(1, replace(CRM, order=Order.NONE))
    assert crm.ids == ["a1", "a2", "a1", "a1", "a1"]


def test_events_without_a_device_hold_back_nothing(bench: Bench) -> None:
    """Other push types may name no device."""
    crm = bench.sink(Failing({"a": 2}))
    bench.store("a", None)
    bench.store("b", None)
    bench.run(1, CRM)
    assert crm.ids == ["a", "b", "a", "a"]


def test_no_more_attempts_at_once_than_allowed(bench: Bench) -> None:
    """Concurrency is used, and kept."""
    crm = bench.sink(Failing({}), seconds=1.0)
    for number in range(20):
        bench.store(f"e{number}", f"d{number}")
    bench.run(1, replace(CRM, concurrency=3))
    assert crm.most_open == 3
    assert len(crm.ids) == 20
    assert crm.got[-1].at < 9


def test_an_attempt_ends_after_fifteen_seconds(bench: Bench) -> None:
    """A sink that hangs has failed, and gets the event again."""
    crm = bench.sink(Failing({"a": 1}, HANGS))
    bench.store("a")
    bench.run(1, CRM)
    assert crm.ids == ["a", "a"]
    assert 15 <= crm.got[1].at < 21
    assert bench.outbox.rows["crm", 1].outcomes[0].words == "no answer within 15 seconds"


def test_a_sink_that_is_down_is_probed(bench: Bench) -> None:
    """After twenty failures one event at a time is tried, at most ten minutes apart, until it is taken."""
    crm = bench.sink(lambda _id: BUSY if bench.loop.time() < 4 * 3600 else TAKEN)
    for number in range(100):
        bench.store(f"e{number}", f"d{number}")
    bench.run(6, CRM)
    tried = [one.at for one in crm.got if one.at < 4 * 3600]
    assert tried[27] < 60  # 20 failures, with the 8 that were under way
    assert len(tried) < 100
    gaps = [later - earlier for earlier, later in pairwise(tried[28:])]
    assert all(0 < gap < 601 for gap in gaps)
    assert bench.outbox.states("crm") == [Result.DELIVERED] * 100
    assert crm.got[-1].at < 4 * 3600 + 1300


def test_one_refusal_stops_the_flood(bench: Bench) -> None:
    """A 401 says that no event is taken: what waits is not tried with the same credential."""
    crm = bench.sink(lambda _id: REFUSED)
    for number in range(50):
        bench.store(f"e{number}", f"d{number}")
    bench.run(0.01, replace(CRM, concurrency=1))
    assert len(crm.ids) < 12


def test_one_event_that_is_never_taken_keeps_no_sink_closed(bench: Bench) -> None:
    """Probes take the event that was tried least, so one that always fails delays no other."""
    crm = bench.sink(lambda id_: BUSY if id_ == "bad" or bench.loop.time() < 1800 else TAKEN)
    bench.store("bad", "d0")
    for number in range(30):
        bench.store(f"e{number}", f"d{number + 1}")
    bench.run(2, CRM)
    assert bench.outbox.states("crm") == [None] + [Result.DELIVERED] * 30
    assert crm.ids.count("bad") < 40


def test_a_changed_file_probes_at_once(bench: Bench) -> None:
    """Nobody waits ten minutes to see whether the new address works."""
    old = bench.sink(lambda _id: REFUSED)
    for number in range(3):
        bench.store(f"e{number}", f"d{number}")

    def change() -> None:
        new = bench.sink(Failing({}))
        bench.delivery.use({"crm": replace(CRM, url="https://new.example.com/")})
        assert new is bench.sinks["crm"]

    bench.loop.call_later(3600, change)
    bench.run(1.2, CRM)
    assert old.closed
    assert bench.sinks["crm"].got[0].at < 3601
    assert bench.outbox.states("crm") == [Result.DELIVERED] * 3


def test_an_unchanged_sink_stays_and_is_probed(bench: Bench) -> None:
    """A file that changed elsewhere builds no sink anew, and probes it all the same."""
    crm = bench.sink(lambda _id: REFUSED)
    bench.store("a")
    bench.loop.call_later(3600, lambda: bench.delivery.use({"crm": CRM}))
    bench.run(1.0002, CRM)
    assert bench.built == ["crm"]
    assert 0 <= crm.got[-1].at - 3600 < 1


@pytest.mark.parametrize("names", [("crm", "log"), ("log", "crm")])
def test_sinks_are_exchanged_all_or_none(bench: Bench, names: tuple[str, str]) -> None:
    """Where one of the new ones cannot be made, events go on to those of before, at their old addresses."""
    crm = bench.sink(Failing({}))
    moved = {"crm": replace(CRM, url="https://new.example.com/"), "log": LOG}

    def change() -> None:
        with pytest.raises(KeyError):
            bench.delivery.use({name: moved[name] for name in names})
        bench.store("b", "d2")

    bench.store("a")
    bench.loop.call_later(60, change)
    bench.run(1, CRM)
    assert (crm.ids, crm.closed) == (["a", "b"], True)
    assert bench.outbox.states("crm") == [Result.DELIVERED] * 2


def test_what_is_under_way_ends_before_the_new_sink_takes_over(bench: Bench) -> None:
    """No event is tried at the old and the new address side by side, and none is overtaken."""
    old = bench.sink(Failing({}), seconds=10.0)
    bench.store("a1", "a")
    bench.store("a2", "a")

    def change() -> None:
        bench.sink(Failing({}))
        bench.delivery.use({"crm": replace(CRM, url="https://new.example.com/")})

    bench.loop.call_later(5, change)
    bench.run(1, CRM)
    assert (old.ids, bench.sinks["crm"].ids) == (["a1"], ["a2"])
    assert old.closed


def test_rows_of_a_removed_sink_stay_pending(bench: Bench) -> None:
    """A sink that leaves the file gets nothing more; when it comes back, it gets what waited."""
    crm = bench.sink(Failing({}))
    bench.loop.call_later(10, lambda: bench.delivery.use({}))
    bench.loop.call_later(20, bench.store, "a")
    bench.run(1, CRM)
    assert (crm.ids, crm.closed) == ([], True)
    assert bench.outbox.states("crm") == [None]
    crm = bench.sink(Failing({}))
    bench.restart()
    bench.run(1, CRM)
    assert crm.ids == ["a"]


def test_what_was_under_way_at_the_end_is_due_at_the_start(bench: Bench) -> None:
    """A process that ends in the middle of an attempt makes it again."""
    crm = bench.sink(Failing({}), seconds=10.0)
    bench.store("a")
    bench.run(5 / 3600, CRM)
    bench.restart()
    crm = bench.sink(Failing({}))
    bench.run(1, CRM)
    assert crm.ids == ["a"]


def test_a_stop_lets_attempts_end(bench: Bench) -> None:
    """The end of the process waits for what is under way, begins nothing new, and closes the sinks."""
    crm = bench.sink(Failing({}), seconds=10.0)
    bench.store("a1", "a")
    bench.store("a2", "a")

    async def live() -> None:
        bench.delivery.use({"crm": CRM})
        running = asyncio.create_task(bench.delivery.run())
        await asyncio.sleep(5)
        bench.delivery.stop()
        await running

    bench.loop.run_until_complete(live())
    assert crm.ids == ["a1"]
    assert bench.outbox.states("crm") == [Result.DELIVERED, None]
    assert crm.closed


@pytest.mark.parametrize("change", ["another", "none", "stop"])
def test_what_changes_while_the_outbox_is_asked_counts(bench: Bench, change: str) -> None:
    """Nothing is begun with a sink that was replaced, removed or stopped meanwhile; what was found is not lost."""
    old, other = bench.sink(Failing({})), bench.sink(Failing({}), "log")
    bench.store("a", "a", ("crm", "log"))
    bench.store("b", "b", ("crm", "log"))

    def meanwhile(sink: str) -> None:
        if sink != "crm":
            return
        bench.outbox.meanwhile = None
        match change:
            case "another":
                bench.sink(Failing({}))
                moved = replace(CRM, url="https://new.example.com/")
                bench.delivery.use({"crm": moved, "log": LOG})
            case "none":
                bench.delivery.use({"log": LOG})
            case _:
                bench.delivery.stop()

    bench.outbox.meanwhile = meanwhile
    bench.run(1, CRM, LOG)
    assert bench.outbox.meanwhile is None
    assert (old.ids, old.closed) == ([], True)
    if change == "stop":
        assert bench.outbox.states("crm") == [None, None]
        return
    assert sorted(other.ids) == ["a", "b"]
    assert sorted(bench.sinks["crm"].ids) == (["a", "b"] if change == "another" else [])
    delivered = Result.DELIVERED if change == "another" else None
    assert bench.outbox.states("crm") == [delivered] * 2


def test_an_event_that_is_stored_while_the_outbox_is_asked_is_delivered_at_once(
    bench: Bench,
) -> None:
    """It is in no answer of the outbox, so its lane looks again without waiting for the next regular look."""
    crm = bench.sink(Failing({}))
    arrived: list[float] = []

    def meanwhile(_sink: str) -> None:
        bench.outbox.afterwards = None
        bench.store("a")
        arrived.append(bench.loop.time())

    bench.loop.call_later(90, setattr, bench.outbox, "afterwards", meanwhile)
    bench.run(1, CRM)
    assert crm.ids == ["a"]
    assert crm.got[0].at - arrived[0] < 1


def test_an_event_that_cannot_be_made_waits_alone(bench: Bench) -> None:
    """A fault of ours with one event says nothing about the sink, and gives nothing up."""
    crm = bench.sink(Failing({}))
    bench.envelopes.broken.add("a")
    bench.store("a", "a")
    bench.store("b", "b")
    bench.loop.call_later(2 * 3600, bench.envelopes.broken.clear)
    bench.run(3, replace(CRM, give_up_after=timedelta(hours=1)))
    assert crm.ids == ["b", "a"]


def test_events_that_cannot_be_made_close_no_sink(bench: Bench) -> None:
    """However many there are, and however often they were tried: the sink takes all others at once."""
    crm = bench.sink(Failing({}))
    for number in range(30):
        bench.envelopes.broken.add(f"broken-{number}")
        bench.store(f"broken-{number}", f"device-{number}")

    def arrive() -> None:
        for number in range(8):
            bench.store(f"good-{number}", f"good-device-{number}")

    bench.loop.call_later(2 * 3600, arrive)
    bench.run(3, CRM)
    assert crm.ids == [f"good-{number}" for number in range(8)]
    assert crm.most_open == 8
    assert crm.got[-1].at < 2 * 3600 + 1


@pytest.mark.parametrize("events", [1, 50])
def test_a_sink_that_raises_is_probed_and_gives_nothing_up(bench: Bench, events: int) -> None:
    """A defect in a sink of ours neither floods the other side nor loses an event, however often it was tried."""

    def answer(_id: str) -> Handed:
        if bench.loop.time() < 8 * 3600:
            raise RuntimeError("a defect")
        return TAKEN

    bench.sink(answer)
    for number in range(events):
        bench.store(f"e{number}", f"d{number}")
    bench.run(10, replace(CRM, give_up_after=timedelta(hours=1)))
    assert bench.outbox.states("crm") == [Result.DELIVERED] * events
    assert sum(bench.watch.results.values()) < 300


def test_an_outbox_that_cannot_be_read_is_asked_again(bench: Bench) -> None:
    """A disk that fails for a while delays, and loses nothing."""
    crm = bench.sink(Failing({}))
    bench.store("a")
    bench.outbox.fault = SpoolError("disk I/O error")
    bench.loop.call_later(60, setattr, bench.outbox, "fault", None)
    bench.run(1, CRM)
    assert crm.ids == ["a"]
    assert 60 < crm.got[0].at < 66


def test_an_outcome_that_cannot_be_recorded_floods_no_sink(bench: Bench) -> None:
    """What was delivered and could not be recorded is delivered again, but not again and again at once."""
    crm = bench.sink(Failing({}))
    bench.store("a")
    bench.outbox.closed = True
    bench.loop.call_later(60, bench.outbox.reopen)
    bench.run(1, CRM)
    assert 2 <= len(crm.ids) <= 14
    assert bench.outbox.states("crm") == [Result.DELIVERED]


def test_dead_events_let_the_later_ones_pass(bench: Bench) -> None:
    """An event that the sink never takes holds back its device no longer."""
    crm = bench.sink(lambda id_: NEVER if id_ == "a1" else TAKEN)
    bench.store("a1", "a")
    bench.store("a2", "a")
    bench.run(1, CRM)
    assert crm.ids == ["a1", "a2"]
    assert bench.outbox.states("crm") == [Result.DEAD, Result.DELIVERED]


def test_an_event_is_given_up_only_after_a_failure(bench: Bench) -> None:
    """A sink that works again after a week takes what a process that was down for a week had stored."""
    crm = bench.sink(Failing({"a": 4}))
    bench.store("a")
    bench.clock.set_by(timedelta(days=7))
    bench.run(1, CRM)
    assert crm.ids == ["a"] * 5
    assert bench.outbox.states("crm") == [Result.DELIVERED]


def test_a_sink_that_fails_for_longer_than_that_gets_its_event_no_more(bench: Bench) -> None:
    """After give_up_after an event is dead, and replay brings it back."""
    crm = bench.sink(lambda _id: BUSY if bench.loop.time() < 3 * 3600 else TAKEN)
    bench.store("a")
    bench.run(3, replace(CRM, give_up_after=timedelta(hours=1)))
    assert bench.outbox.states("crm") == [Result.DEAD]
    assert 3600 <= crm.got[-1].at < 3600 + 1200
    bench.outbox.replay("crm", 1, bench.clock.now())
    bench.sink(Failing({}))
    bench.restart()
    bench.run(1, replace(CRM, give_up_after=timedelta(hours=1)))
    assert bench.outbox.states("crm") == [Result.DELIVERED]


def test_a_clock_that_is_set_back_delays_no_retry(bench: Bench) -> None:
    """A retry that was to come in seconds does not wait for the day to come round again."""
    crm = bench.sink(Failing({"a": 1}))
    bench.clock.set_by(timedelta(days=1))
    bench.store("a")
    bench.loop.call_later(0.2, bench.clock.set_by, timedelta(days=-1))
    bench.run(1, CRM)
    assert _moments(crm.got)[1] < 61


def test_retry_after_holds_back_its_event(bench: Bench) -> None:
    """The sink said when it wants the event again."""
    asked = Handed(Result.RETRY, 503, wait=timedelta(minutes=30))
    crm = bench.sink(Failing({"a": 1}, asked))
    bench.store("a", "a")
    bench.store("b", "b")
    bench.run(1, CRM)
    assert crm.ids == ["a", "b", "a"]
    assert 1800 <= _moments(crm.got)[2] < 1801


def test_a_log_line_says_which_event_went_where(
    bench: Bench, logs: list[MutableMapping[str, Any]]
) -> None:
    """Each attempt has one line with what finds the event again, and without its body."""
    bench.sink(Failing({"a": 1}))
    bench.store("a")
    bench.run(1, CRM)
    assert [line["event"] for line in logs] == ["delivery.retry", "delivery.delivered"]
    assert logs[1] == {
        "event": "delivery.delivered",
        "log_level": "info",
        "sink": "crm",
        "seq": 1,
        "id": "a",
        "account": None,
        "device": "d1",
        "type": "E1",
        "tries": 2,
        "status": 200,
    }


def test_a_sink_that_is_probed_says_so_once(
    bench: Bench, logs: list[MutableMapping[str, Any]]
) -> None:
    """The log has one line for the begin, with the reason, and one for the end."""
    bench.sink(lambda _id: REFUSED if bench.loop.time() < 3600 else TAKEN)
    bench.store("a")
    bench.run(2, CRM)
    lines = [line for line in logs if line["event"].startswith("sink.")]
    assert [line["event"] for line in lines] == ["sink.probing", "sink.recovered"]
    assert (lines[0]["status"], lines[0]["words"]) == (401, "HTTP 401")


def _moments(got: list[Got]) -> list[float]:
    return [one.at for one in got]
