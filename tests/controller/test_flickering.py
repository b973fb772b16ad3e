"""Whatever LG's registry says, nothing is wanted, subscribed or unsubscribed because of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.controller.registries import Registries
from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import PlatformError
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, Desired, DeviceId, Revision
from reconciler.core.registry_news import RegistryNews
from reconciler.core.rules import LockHead, Pending, Registered, Registry, Rule, Ruled, fingerprint
from reconciler.core.status import AccountStatus
from reconciler.pcc import protocol
from reconciler.pcc.codes import Call
from reconciler.reporting import account_report
from reconciler.reporting.registry_reports import account_registry, registry_elsewhere
from reconciler.runtime.replicas import reports
from reconciler.simulator import Match, Route
from reconciler.simulator import Rule as Fault
from reconciler.simulator import faults as fault
from reconciler.state.coordination import StatusRow
from simulated import START, Fleet

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
LOCKED = frozenset(DeviceId(f"d{number:02}") for number in range(13))
RULES = (Rule("all"),)
DESIRED = Desired(
    DEFAULT_ACCOUNT,
    LOCKED,
    ruled=Ruled(
        RULES,
        "lock.txt",
        LockHead(DEFAULT_ACCOUNT, fingerprint(RULES), 13, NOW),
        LOCKED,
    ),
)
info = st.fixed_dictionaries(
    {},
    optional={
        "deviceType": st.sampled_from(["DEVICE_WASHER", "", None, 7]),
        "alias": st.none() | st.text(max_size=5) | st.integers(),
        "modelName": st.none() | st.text(max_size=5),
    },
)
items = st.fixed_dictionaries(
    {"deviceId": st.sampled_from([*sorted(LOCKED), "new", "", "a/b", None, 3])},
    optional={"deviceInfo": info | st.none()},
)
responses: st.SearchStrategy[Any] = st.lists(items, max_size=20) | st.sampled_from(
    [None, {}, [], "x", 7, [None], [[]]]
)
answers = (
    st.binary(max_size=60)
    | responses.map(lambda found: json.dumps({"response": found}).encode())
    | responses.map(lambda found: json.dumps({"response": found, "total": 99}).encode())
    | responses.map(lambda found: json.dumps(found).encode()[:-1])
)
statuses = st.sampled_from([200, 200, 200, 206, 401, 404, 500, 502])


def taken(registries: Registries, status: int, body: bytes) -> None:
    """Take an answer as the daemon does."""
    reply = protocol.Reply(Call.DEVICES, status, body, "m" * 22)
    try:
        registry = Registry(protocol.registered_devices(reply, NOW), NOW)
    except PlatformError as error:
        registries.failed(DESIRED, f"it cannot be read: {error}")
    else:
        registries.take(DESIRED, registry)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(statuses, answers), max_size=4))
def test_no_answer_makes_what_is_wanted_smaller_or_larger(
    given_answers: list[tuple[int, bytes]],
) -> None:
    """After any answers the account wants what its lock has, and what waits is what the lock lacks."""
    registries, before = Registries(), replace(DESIRED)
    for status, body in given_answers:
        taken(registries, status, body)
        assert before == DESIRED
        assert DESIRED.wanted_at(NOW) == LOCKED
        news = registries.news()[DEFAULT_ACCOUNT]
        waiting = {one.id for devices in news.pending.of_rule.values() for one in devices}
        assert waiting <= {"new"}
        assert all(words.isprintable() for words in news.remarks)


EFFECTS: list[fault.RequestEffect] = [
    fault.Response("[]"),
    fault.Response("null"),
    fault.Raw("{"),
    fault.Html(502),
    fault.Empty(503),
    fault.Short(keep=0.3),
    fault.Short(omit=1),
    fault.Mangle("twice"),
    fault.Error("1314"),
]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_answer_changes_a_plan(data: st.DataObject) -> None:
    """A plan says the same changes whatever LG's registry is at that moment; only its remarks differ."""
    fleet = Fleet(8)
    locked = frozenset(fleet.owned[:6])
    head = LockHead(DEFAULT_ACCOUNT, fingerprint(RULES), 12, START)
    fleet.want(locked, ruled=Ruled(RULES, "lock.txt", head, locked))
    effect = data.draw(st.sampled_from(EFFECTS))
    fleet.platform.add_fault(Fault(effect, match=Match(route=Route.DEVICES)))

    async def planned() -> Any:
        return await fleet.reconciler.previews.dry_run(DEFAULT_ACCOUNT)

    report = asyncio.run(planned())
    assert report is not None
    assert report.plan is not None
    assert {one.device for one in report.plan.subscribes} == locked
    assert not report.plan.unsubscribes
    remarks = " ".join(report.remarks)
    assert "registry doubted: " in remarks or "for pcc-reconciler resolve" in remarks
    assert fleet.calls("POST", "DELETE") == []


def test_a_doubted_registry_keeps_what_the_last_one_showed() -> None:
    """What waits stays visible while a newer answer is doubted, and goes with the account's rules."""
    registries = Registries()
    devices = [Registered(device) for device in (*sorted(LOCKED), DeviceId("new"))]
    assert registries.take(DESIRED, Registry(tuple(devices), NOW)) == ""
    assert registries.take(DESIRED, Registry((), NOW)) == "LG's registry is empty"
    (remark, waiting) = registries.news()[DEFAULT_ACCOUNT].remarks
    assert remark == (
        "registry doubted: LG's registry is empty; what waits is shown by the one of 2026-11-30 09:00:00 UTC"
    )
    assert waiting == "1 device waits for pcc-reconciler resolve: 1 by rule all"
    registries.judge(replace(DESIRED, ruled=None))
    assert not registries.news()
    assert registries.believed(DEFAULT_ACCOUNT) is None


def without_rules(registries: Registries) -> None:
    """Take the rules of the account out of its file."""
    registries.judge(replace(DESIRED, ruled=None))


def left(registries: Registries) -> None:
    """Take the account out of the file, or let another replica have it."""
    registries.forget(DEFAULT_ACCOUNT)


@pytest.mark.parametrize("goes", [without_rules, left])
@pytest.mark.parametrize("doubted", [False, True])
def test_an_account_that_has_rules_again_begins_without_a_registry(
    goes: Callable[[Registries], None], *, doubted: bool
) -> None:
    """What LG answered long ago is neither shown nor doubted, and other accounts keep what is known of them."""
    registries, heard = Registries(), list[AccountName]()
    other = replace(DESIRED, account=AccountName("other"))
    devices = tuple(Registered(device) for device in (*sorted(LOCKED), DeviceId("new")))
    for one in (DESIRED, other):
        assert registries.take(one, Registry(devices, NOW)) == ""
        if doubted:
            registries.failed(one, "LG did not answer")
    assert registries.believed(DEFAULT_ACCOUNT) is not None
    kept = registries.news()[other.account]
    goes(registries)
    assert registries.news() == {other.account: kept}
    assert registries.believed(other.account) is not None
    assert registries.doubted(other.account) == kept.doubted
    assert registries.doubted(DEFAULT_ACCOUNT) == ""
    assert registries.is_new(DESIRED)
    assert registries.of(DESIRED) == RegistryNews(Pending({"all": ()}))
    registries.changed = heard.append
    registries.judge(DESIRED)
    assert registries.news()[DEFAULT_ACCOUNT] == RegistryNews(Pending({"all": ()}))
    assert heard == [DEFAULT_ACCOUNT]


def test_many_rules_are_named_in_part() -> None:
    """A sentence names five rules at most."""
    found = {f"r{number}": (Registered(DeviceId(f"d{number}")),) for number in range(7)}
    (remark,) = RegistryNews(Pending(found), NOW).remarks
    assert remark.endswith("1 by rule r4, others by 2 more rules")


def test_a_replica_that_does_not_read_a_registry_says_who_does() -> None:
    """The report of an account names the host of its owner, and so does the answer of another replica."""
    news = RegistryNews(Pending({"all": ()}), NOW)
    text = AccountRevision(DESIRED, Revision("0" * 64))
    report = account_report(
        AccountStatus(DEFAULT_ACCOUNT), text, None, registry=news, replica="pod-1"
    )
    row = StatusRow(DEFAULT_ACCOUNT, report.condition, reports.written(report), NOW, NOW)
    found = reports.read([row], [])[DEFAULT_ACCOUNT]
    assert found.registry == report.registry
    elsewhere = registry_elsewhere(DEFAULT_ACCOUNT, found.registry)
    assert (elsewhere.replica, elsewhere.devices) == ("pod-1", ())
    assert registry_elsewhere(DEFAULT_ACCOUNT, None).replica == "another replica"
    mine = account_registry(AccountName("a"), Registry((Registered(DeviceId("x")),), NOW), "")
    (device,) = msgspec.to_builtins(mine)["devices"]
    assert device == {"id": "x", "type": None, "alias": None, "model": None}
    doubted = account_registry(
        AccountName("a"), Registry((Registered(DeviceId("x")),), NOW), "it shrank"
    )
    assert (doubted.read, doubted.trouble) == (NOW, "registry doubted: it shrank")
    assert doubted.devices == ()
