"""What is written down of each change, beside plain rules: whose, by which revision, and how long its device waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from core_runs import judged
from reconciler.controller.recorder import Recorder
from reconciler.core.account import AccountState, Stop
from reconciler.core.guards import Platform
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Change,
    Commit,
    Device,
    DeviceId,
    Memory,
    MessageId,
    Observed,
    Outcome,
    PassResult,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.core.status import AccountStatus
from reconciler.simulator import Match, Route, Rule
from reconciler.simulator.faults import Short
from simulated import COMMIT, START, Fleet

A, B, C = DEVICES = [DeviceId(name) for name in "abc"]
OTHER = Commit("f" * 40, "Lee <lee@example.invalid>", "Close a wing", START)
REVISIONS = [
    Revision("1" * 64),
    Revision("2" * 64, OTHER),
    Revision("3" * 64, replace(OTHER, dirty=True)),
]
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)

ids = st.none() | st.sampled_from(["1", "2"])
outcomes = st.builds(
    Outcome,
    st.builds(Change, st.just(DEFAULT_ACCOUNT), st.sampled_from(Action), st.sampled_from(DEVICES)),
    st.sampled_from(Result),
    st.sampled_from([START, START + HOUR]),
    approved=st.booleans(),
    message_id=ids.map(lambda one: None if one is None else MessageId(f"ours-{one}")),
    lg_message_id=ids.map(lambda one: None if one is None else f"theirs-{one}"),
    status=st.none() | st.sampled_from([200, 404]),
    code=st.none() | st.sampled_from(["1207", "1213"]),
    words=st.sampled_from(["", "no such device"]),
    confirmed_by=st.none() | st.just("list"),
    revision=st.none() | st.sampled_from(REVISIONS),
    name=st.none() | st.sampled_from(["", "Old name"]),
)
retries = st.builds(
    Retry,
    st.sampled_from(Action),
    st.sampled_from([Reason.RETRY, Reason.REFUSED]),
    st.integers(1, 3),
    st.just(START),
)


def one_fleet() -> Fleet:
    """Return a fleet whose text names one of its devices."""
    fleet = Fleet(1)
    fleet.want([A, B], described={A: Device(A, "Kitchen"), B: Device(B)})
    return fleet


@settings(max_examples=60)
@given(outcomes)
def test_the_line_of_a_change_has_its_own_facts(outcome: Outcome) -> None:
    """Those that are known, each under its own name; the commit of the revision that caused it, if it is committed."""
    fleet = one_fleet()
    text = fleet.text
    assert text is not None
    with capture_logs() as lines:
        fleet.reconciler._recorder.tell(fleet.reconciler._runs.begin(text), outcome)
    change, revision = outcome.change, outcome.revision or text.revision
    facts = {
        "device": change.device,
        "action": change.action,
        "result": outcome.result,
        "name": outcome.name or {A: "Kitchen"}.get(change.device),
        "message_id": outcome.message_id,
        "lg_message_id": outcome.lg_message_id,
        "status": outcome.status,
        "code": outcome.code,
        "words": outcome.words or None,
        "confirmed_by": outcome.confirmed_by,
        "approved": outcome.approved or None,
    }
    commit = COMMIT if outcome.revision is None else revision.commit
    if commit is not None and not commit.dirty:
        facts |= {"commit": commit.id, "author": commit.author}
    event, level = {
        Result.SUCCESS: ("change.applied", "info"),
        Result.NOOP: ("change.applied", "info"),
        Result.FAILED: ("change.failed", "warning"),
        Result.REFUSED: ("change.refused", "warning"),
    }[outcome.result]
    given = {name: fact for name, fact in facts.items() if fact is not None}
    assert lines == [{"event": event, "log_level": level, **given}]
    counted = {
        (action, result): fleet.metrics.registry.get_sample_value(
            "pcc_changes_total",
            {"account": DEFAULT_ACCOUNT, "action": action, "result": result},
        )
        for action in Action
        for result in Result
    }
    assert {key for key, number in counted.items() if number} == {(change.action, outcome.result)}


@settings(max_examples=60)
@given(
    st.lists(outcomes, min_size=1, max_size=3, unique_by=lambda one: one.change.device),
    st.dictionaries(st.sampled_from(DEVICES), retries),
)
def test_each_device_waits_for_its_own_failures(
    met: Sequence[Outcome], waiting: Mapping[DeviceId, Retry]
) -> None:
    """Longer with each of a kind in a row, for the same action; a success ends that. The revision is kept with it."""
    fleet = one_fleet()
    assert fleet.text is not None
    run = fleet.reconciler._runs.begin(fleet.text)
    fleet.clock.pass_by(HOUR)
    memory = Memory(retries=waiting)
    known = run.situation(Observed(frozenset(), START), memory, Platform())
    verdict = replace(judged(known), situation=known)
    journal = fleet.reconciler._recorder.journal(run, verdict)
    recorded: list[tuple[Any, ...]] = []
    journal._changes = cast("Any", SimpleNamespace(record=lambda *given: recorded.append(given)))
    journal._random = lambda: 0.5
    asyncio.run(journal.record(met))
    assert recorded == [
        (
            DEFAULT_ACCOUNT,
            run.id,
            [replace(one, revision=one.revision or fleet.text.revision) for one in met],
            {one.change.device: _wait(one, waiting.get(one.change.device)) for one in met},
            START + HOUR,
        )
    ]


def test_a_call_is_written_down_with_what_it_is_for() -> None:
    """Whose it is, in which pass, of which revision, what an approval releases, and when by the clock of the pass."""
    fleet = one_fleet()
    assert fleet.text is not None
    run = fleet.reconciler._runs.begin(fleet.text)
    fleet.clock.pass_by(HOUR)
    fleet.clock.set_by(-3 * HOUR)
    known = run.situation(Observed(frozenset(), START), Memory(), Platform())
    verdict = judged(known)
    verdict = replace(verdict, plan=replace(verdict.plan, approved=frozenset({C})))
    journal = fleet.reconciler._recorder.journal(run, verdict)
    written: list[tuple[Any, ...]] = []

    def intend(*given: Any) -> Mapping[DeviceId, str]:
        written.append(given)
        return {C: "Last name"}

    def withdraw(*given: Any) -> None:
        written.append(given)

    journal._changes = cast("Any", SimpleNamespace(intend=intend, withdraw=withdraw))
    goes = Change(DEFAULT_ACCOUNT, Action.UNSUBSCRIBE, C)
    asyncio.run(journal.intend([goes]))
    with capture_logs() as lines:
        journal.tell(Outcome(goes, Result.SUCCESS, START))
    asyncio.run(journal.withdraw([goes]))
    assert written == [
        (DEFAULT_ACCOUNT, run.id, [goes], {C}, fleet.text.revision, START + HOUR),
        (DEFAULT_ACCOUNT, run.id, [C]),
    ]
    assert [line["name"] for line in lines] == ["Last name"]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (None, None, []),
        (None, "refused", [("account.stopped", "refused")]),
        ("refused", "refused", []),
        ("refused", "a setting", [("account.stopped", "a setting")]),
        ("refused", None, [("account.resumed", None)]),
    ],
)
def test_a_stop_is_told_once_for_each_reason(
    before: str | None, after: str | None, lines: list[tuple[str, str | None]]
) -> None:
    """A person who corrected one thing reads what else LG refuses, and when it refuses nothing any more."""
    with capture_logs() as told:
        Recorder._log_stop(_stopped(before), _stopped(after))
    assert [(line["event"], line.get("error")) for line in told] == lines


def _stopped(why: str | None) -> AccountState:
    stop = None if why is None else Stop(why, 1, START, at_list=True)
    return AccountState(AccountStatus(DEFAULT_ACCOUNT), stop=stop)


async def test_a_doubted_list_makes_no_twins() -> None:
    """Accounts look alike by the lists that were believed: one that is cut short says nothing about its user."""
    fleet = Fleet(20)
    fleet.platform.subscribe("default", *fleet.owned)
    other, accounts = AccountName("other"), fleet.reconciler.accounts
    accounts.twins.listed(other, frozenset(fleet.owned))
    await fleet.reconcile()
    assert accounts.statuses[DEFAULT_ACCOUNT].alike == (other,)
    fleet.platform.set_faults(Rule(effect=Short(omit=18), match=Match(route=Route.LIST)))
    report = await fleet.reconcile(after=HOUR)
    assert not report.trusted
    assert accounts.statuses[DEFAULT_ACCOUNT].alike == (other,)


def _wait(outcome: Outcome, before: Retry | None) -> Retry | None:
    """Return how a device waits: half of what it may be after failures, a whole hour and more after refusals."""
    action = outcome.change.action
    match outcome.result:
        case Result.SUCCESS:
            return None
        case Result.NOOP:
            return before
        case Result.REFUSED:
            reason, waits = Reason.REFUSED, [HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR]
        case _:
            reason = Reason.RETRY
            waits = [seconds * SECOND for seconds in (2.5, 5, 10, 20)]
    attempts = 1
    if before is not None and (before.action, before.reason) == (action, reason):
        attempts = before.attempts + 1
    until = outcome.at + waits[attempts - 1]
    return Retry(action, reason, attempts, until, outcome.code, outcome.words)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_pass_that_an_error_of_ours_ended_counts_as_failed(method: str) -> None:
    """Once, whether it had its list or not: an alert on passes that fail must not miss the worst of them."""
    fleet = Fleet(3)

    def broken(request: httpx.Request) -> None:
        if request.method == method:
            raise RuntimeError("a defect")

    def counted() -> dict[str, float | None]:
        return {one: fleet.sample("pcc_passes_total", result=one) for one in PassResult}

    none = dict.fromkeys(PassResult, 0.0)
    fleet.transport.on_request = broken
    with pytest.raises(RuntimeError, match="a defect"):
        await fleet.reconcile()
    assert counted() == {**none, PassResult.FAILED: 1.0}
    fleet.transport.on_request = lambda _request: None
    await fleet.reconcile()
    assert counted() == {**none, PassResult.FAILED: 1.0, PassResult.CHANGED: 1.0}
