"""Several receivers are asked while a person waits: whose answer counts, and what is said where some give none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.errors import DaemonError
from reconciler.core.heard import Heard, HeardOfAccount
from reconciler.core.model import AccountName, DeviceId
from reconciler.reporting.explain.heard import LIST_IS_WRONG, LastEvent
from reconciler.reporting.explain.values import DeliveryReport, EventReport, Explanation
from reconciler.runtime.last_heard import LastHeard
from simulated import START, SimulatedClock

A, B = DEVICES = [DeviceId("a"), DeviceId("b")]
BUSAN, SEOUL = AccountName("busan"), AccountName("seoul")
TOKEN = "t" * 32

moments = st.integers(1, 5).map(lambda hours: START - timedelta(hours=hours))
deliveries = st.lists(
    st.builds(
        DeliveryReport,
        st.sampled_from(["crm", "lake"]),
        st.sampled_from(["due", "delivered"]),
        st.integers(1, 3),
    ),
    max_size=2,
    unique_by=lambda one: one.sink,
).map(tuple)
events = st.builds(
    LastEvent,
    st.builds(
        Heard,
        st.uuids().map(str),
        st.sampled_from([*DEVICES, DeviceId("")]),
        moments,
        st.none() | moments,
        st.sampled_from(["PCC_EVENT", "OTHER"]),
        st.none() | st.sampled_from(["E1", "E2"]),
        st.none() | st.sampled_from(["malfunction", "misuse"]),
    ),
    deliveries,
)


@dataclass(frozen=True)
class Receiver:
    """One receiver and what it has, newest first; None while it is down."""

    has: tuple[LastEvent, ...] | None

    def answer(self, path: str) -> dict[str, Any]:
        """Answer as a receiver does."""
        if self.has is None:
            raise DaemonError("nobody answers")
        parts = urlsplit(path)
        assert parts.path == "/api/v1/events"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = [one for one in self.has if asked.get("device") in {None, one.event.device}]
        return {"events": [_written(one) for one in found[: int(asked["limit"])]]}


receivers = st.lists(
    st.none() | st.lists(events, max_size=4, unique_by=lambda one: one.event.received), max_size=3
).map(
    lambda all_: [
        Receiver(
            None if one is None else tuple(sorted(one, key=lambda each: each.event.received))[::-1]
        )
        for one in all_
    ]
)


def _written(one: LastEvent) -> dict[str, Any]:
    event = one.event
    return {
        "seq": 1,
        "id": event.id,
        "received": event.received.isoformat(),
        "device": event.device or None,
        "push_type": event.push_type,
        "diagnosis": event.diagnosis,
        "category": event.category,
        "diagnosed": None if event.diagnosed is None else event.diagnosed.isoformat(),
        "deliveries": [
            {"sink": each.sink, "state": each.state, "attempts": each.attempts}
            for each in one.deliveries
        ],
    }


def asker(
    asked: Sequence[Receiver],
    known: Heard | None = None,
    wrong: frozenset[AccountName] = frozenset(),
) -> LastHeard:
    """Return what asks these receivers."""
    by_address = {f"http://receiver-{number}": one for number, one in enumerate(asked)}

    def ask(address: str, path: str, token: str | None, seconds: float) -> dict[str, Any]:
        assert token == TOKEN
        assert seconds > 0
        return by_address[address].answer(path)

    of_accounts: Mapping[AccountName, HeardOfAccount] = (
        {} if known is None else {SEOUL: HeardOfAccount(known, 1)}
    )
    hearing = SimpleNamespace(
        last=lambda device: known if known is not None and known.device == device else None,
        contradicts=lambda account, device: account in wrong and device == A,
        of_accounts=lambda: of_accounts,
    )
    clock = SimulatedClock()
    return LastHeard(list(by_address), lambda: TOKEN, cast("Any", hearing), clock, ask)


def story(account: AccountName) -> Explanation:
    """Return what is known of a device in an account, as far as it matters here."""
    facts: dict[str, Any] = dict.fromkeys(one.name for one in fields(Explanation))
    facts |= {"account": account, "device": A, "desired": True, "observed": True, "changes": ()}
    return Explanation(**facts)


@settings(max_examples=60)
@given(receivers, st.integers(1, 5))
def test_the_newest_events_of_all_receivers(asked: list[Receiver], limit: int) -> None:
    """Newest first, of each with its own facts; who gives no answer is named, and costs no other event."""
    found, troubles = asyncio.run(asker(asked).newest(limit))
    assert [str(one) for one in troubles] == ["nobody answers"] * sum(
        one.has is None for one in asked
    )
    there = [each for one in asked for each in (one.has or ())[:limit] if each.event.device]
    newest = sorted(there, key=lambda one: (one.event.received, len(one.deliveries)))[::-1]
    assert [_order(one) for one in found] == [_order(one) for one in newest[:limit]]
    for one in found:
        assert one in there
    assert len({one.event.id for one in found}) == len(found)


def _order(one: LastEvent) -> tuple[datetime, int]:
    return one.event.received, len(one.deliveries)


@settings(max_examples=60)
@given(
    receivers,
    st.none() | moments,
    st.frozensets(st.sampled_from([BUSAN, SEOUL])),
)
def test_the_last_event_of_a_device_is_the_newest_that_anybody_knows(
    asked: list[Receiver], known_at: datetime | None, wrong: frozenset[AccountName]
) -> None:
    """A receiver, or what was read of it before; each account hears whether its own list is contradicted."""
    known = None if known_at is None else Heard("known", A, known_at, None, "PCC_EVENT")
    stories = [story(BUSAN), story(SEOUL)]
    added = asyncio.run(asker(asked, known, wrong).added(stories))
    there = [each for one in asked for each in one.has or () if each.event.device == A]
    there += [] if known is None else [LastEvent(known)]
    answered = any(one.has is not None for one in asked)
    assert [(one.account, one.device) for one in added] == [(BUSAN, A), (SEOUL, A)]
    if not there:
        none_known = EventReport("no event of it is known to the receivers")
        assert [one.heard for one in added] == [none_known if answered else None] * 2
        return
    last = max(there, key=_order)
    for one in added:
        assert one.heard is not None
        shown = one.heard
        assert any(
            (
                each.event.id,
                each.event.received,
                each.event.diagnosed,
                each.event.push_type,
                each.event.diagnosis,
                each.event.category,
                each.deliveries,
            )
            == (
                shown.id,
                shown.received,
                shown.diagnosed,
                shown.push_type,
                shown.diagnosis,
                shown.category,
                shown.deliveries,
            )
            for each in there
            if _order(each) == _order(last)
        )
        assert shown.summary.endswith(LIST_IS_WRONG) is (one.account in wrong)


def test_what_is_known_without_asking() -> None:
    """The last event of an account is its own; where nobody is asked nothing is known, and stories stay as they are."""
    known = Heard("known", A, datetime(2026, 11, 1, tzinfo=UTC))
    one = asker([Receiver(()), Receiver(None)], known)
    assert (one.last_in(SEOUL), one.last_in(BUSAN), one.receivers) == (known, None, 2)
    nobody = LastHeard(["http://receiver"], lambda: TOKEN, None, SimulatedClock())
    assert (nobody.last_in(SEOUL), nobody.receivers) == (None, 0)
    assert asyncio.run(nobody.newest(3)) == ([], [])
    stories = (story(BUSAN),)
    assert asyncio.run(nobody.added(stories)) == stories
    assert asyncio.run(one.added([])) == ()
