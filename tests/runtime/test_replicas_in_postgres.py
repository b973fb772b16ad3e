"""Three real processes over a real PostgreSQL: they share the accounts, take over, and write down every change."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from judges import RULES, History, gone, most_in_an_hour
from postgres import Postgres
from replicated import unwritten
from scenarios import eventually
from troubled_replicas import (
    ACCOUNTS,
    CALL,
    CALLS,
    CONCURRENCY,
    COUNTED,
    LIMIT,
    LIMITED,
    PATIENCE,
    SECONDS,
    WORKERS,
    Fleet,
    Nemesis,
    replicas,
    shares,
)


async def test_the_others_take_over_from_a_killed_replica(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """After kill -9 of the reader of the source somebody declares it dead, and an edit is in force everywhere."""
    async with replicas(tmp_path, postgresql) as one:
        (reader,) = one.notes.ask("SELECT owner FROM informer")[0]
        victim = next(child for child in one.children if str(reader) in one.log(child))
        victim.kill()
        await victim.wait()
        for wanted in one.wanted.values():
            wanted.pop()
        one.publish()
        await eventually(lambda: not one.differing(), "the edit is in force")
        assert one.shares() == shares(2)
        assert any("replica.dead" in one.log(child) for child in one.children)


async def test_a_planned_hand_over_is_quick(tmp_path: Path, postgresql: Postgres) -> None:
    """A replica that gets SIGTERM frees everything, and the others have it without waiting for its lease."""
    async with replicas(tmp_path, postgresql) as one:
        leaving = one.children[0]
        leaving.send_signal(signal.SIGTERM)
        await eventually(lambda: one.shares() == shares(2), "even shares")
        assert not any("replica.dead" in one.log(child) for child in one.children)
        assert await leaving.wait() == 0
        assert "Traceback" not in one.log(leaving)


@pytest.mark.timeout(SECONDS + 4 * PATIENCE)
async def test_no_rule_is_broken_whatever_befalls_the_replicas(
    tmp_path: Path, postgresql: Postgres
) -> None:
    """Stopped, killed, cut off, with files of several ages, they keep to every rule, and do what people want."""
    async with replicas(tmp_path, postgresql, limited=True) as one:
        nemesis = Nemesis(one, postgresql)
        await nemesis.live()
        free = set(ACCOUNTS) - set(LIMITED) - set(COUNTED)
        await one.settles(free)
        told(one, nemesis)
        assert over_the_limits(one) == []
        assert all(len(gone(one.door.calls(), name)) == LIMIT for name in LIMITED[::2])
        one.limited = False
        one.publish()
        await one.settles()
        assert unwritten(one.platform, one.notes.ask) == []
        history = seen(one, nemesis)
        for rule in RULES:
            rule(history)
        assert history.broken == []


def seen(one: Fleet, nemesis: Nemesis) -> History:
    """Return what witnesses saw until now."""
    notes = one.notes
    return History(
        calls=one.door.calls(),
        terms=notes.terms(),
        files=notes.files(),
        intents=notes.intents(),
        wanted=one.files,
        stops=nemesis.stops,
        call_seconds=CALL,
        late_calls=WORKERS * CONCURRENCY,
    )


def over_the_limits(one: Fleet) -> list[str]:
    """Return the accounts of which more devices went than may go in 24 hours, or that made too many calls."""
    calls = one.door.calls()
    went = {name: len(gone(calls, name)) for name in LIMITED}
    made = {name: most_in_an_hour(calls, name) for name in COUNTED}
    found = [f"{name}: {number} devices went" for name, number in went.items() if number > LIMIT]
    for name, number in made.items():
        if number > CALLS:
            found.append(f"{name}: {number} calls in an hour")
            found += [str(call) for call in calls if call.account == name]
            found += [str(term) for term in one.notes.terms() if term.account == name]
    return found


def told(one: Fleet, nemesis: Nemesis) -> None:
    """Say what happened, for whoever runs this by hand."""
    calls, terms = one.door.calls(), one.notes.terms()
    most = max(most_in_an_hour(calls, name) for name in COUNTED)
    at_limit = [name for name in LIMITED if len(gone(calls, name)) == LIMIT]
    longest = max((stop.end - stop.begin for stop in nemesis.stops), default=0.0)
    sys.stdout.write(
        f"{time.strftime('%H:%M:%S')}: {len(calls)} calls, {len(one.notes.intents())} intents, {dict(nemesis.count)},"
        f" {len(terms)} terms of accounts, longest stop {longest:.0f} s, limit reached by {len(at_limit)} of"
        f" {len(LIMITED)} accounts, {most} of {CALLS} calls in an hour\n"
    )
