"""What people and news make the daemon do, among several accounts: for whom it is done, and for whom it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_runs import REVISION
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import ReconcilerError
from reconciler.core.guards import PauseOverride
from reconciler.core.model import AccountName, Desired, Pause, Policy
from reconciler.runtime.dispatcher import Dispatcher
from reconciler.runtime.operations import DaemonOperations
from reconciler.runtime.wiring import Components
from reconciler.state import State
from simulated import SimulatedClock

BUSAN, DAEGU, SEOUL, GONE = ACCOUNTS = [
    AccountName(name) for name in ("busan", "daegu", "seoul", "gone")
]
MANAGED = ACCOUNTS[:3]
LIMITS = {BUSAN: 60, DAEGU: 70, SEOUL: 80}
HOUR = timedelta(hours=1)

some = st.lists(st.sampled_from(ACCOUNTS), unique=True)


class World:
    """A daemon in which three accounts are managed, and everything that it is made to do is noted."""

    def __init__(self, owned: Iterable[AccountName] = ACCOUNTS) -> None:
        self.ours = set(owned)
        self.done: list[tuple[object, ...]] = []
        self.clock = SimulatedClock()
        self.state = State.in_memory(self.clock)
        self.others: frozenset[AccountName] = frozenset()
        """Whose credentials are others when they are read."""
        self.followed: Mapping[AccountName, str | None] = {}
        self.countries = {BUSAN: "KR", DAEGU: "US", SEOUL: None}
        self.dispatcher = Dispatcher(asyncio.Event())
        components = Components(
            settings=cast("Any", SimpleNamespace(secrets=list)),
            clock=self.clock,
            clocks=cast("Any", None),
            state=self.state,
            metrics=cast(
                "Any", SimpleNamespace(enter=self.note("enter"), leave=self.note("leave"))
            ),
            source=cast("Any", None),
            informer=cast("Any", self),
            credentials=cast("Any", None),
            clients=cast("Any", self),
            reconciler=cast(
                "Any", SimpleNamespace(accounts=SimpleNamespace(resume=self.note("resume")))
            ),
            masking=cast("Any", SimpleNamespace(know=lambda _secrets: None)),
            tenure=cast("Any", self),
            environment=cast("Any", None),
        )
        self.dispatcher.connect(components, cast("Any", SimpleNamespace(wake=self.woken)))
        source = SimpleNamespace(pushed=lambda *, repeated: self.done.append(("pushed", repeated)))
        self.operations = DaemonOperations(components, self.dispatcher, cast("Any", source))

    def note(self, what: str) -> Any:
        """Return what notes that something was done for an account."""
        return lambda account: self.done.append((what, account))

    def woken(self, accounts: Iterable[AccountName], *, first: bool = False) -> None:
        """Take who is woken, and whether before all others."""
        self.done.append(("first" if first else "soon", *accounts))

    # -- what the daemon asks

    @property
    def accepted(self) -> Accepted:
        """Return what is in force."""
        accounts = {
            name: AccountRevision(
                Desired(
                    name,
                    frozenset(),
                    policy=Policy(calls_per_hour=LIMITS[name]),
                    country=self.countries[name],
                ),
                REVISION,
            )
            for name in self.countries
        }
        return Accepted(accounts)

    def current(self, account: AccountName) -> AccountRevision | None:
        """Return what is in force for an account."""
        return self.accepted.accounts.get(account)

    def owned(self, accounts: Iterable[AccountName]) -> list[AccountName]:
        """Return on which of these this process works."""
        return [name for name in accounts if name in self.ours]

    def serves(self, countries: Mapping[AccountName, str | None]) -> bool:
        """Say whether these accounts are followed."""
        return self.followed == countries

    def follow(self, countries: Mapping[AccountName, str | None]) -> frozenset[AccountName]:
        """Read the credentials of these accounts."""
        self.followed = countries
        self.done.append(("read",))
        return self.others

    def limit(self, account: AccountName, calls: int) -> None:
        """Take the limit of an account."""
        self.done.append(("limit", account, calls))

    def of(self, *what: str) -> list[tuple[object, ...]]:
        """Return what was done of these kinds, in order."""
        return [one for one in self.done if one[0] in what]


@settings(max_examples=30)
@given(st.none() | st.sampled_from(MANAGED), some)
def test_a_person_begins_passes_of_the_accounts_that_were_named(
    account: AccountName | None, ours: list[AccountName]
) -> None:
    """Of one or of all; what waits is forgotten for those alone, and of those, where this process works on them."""
    world = World(ours)
    agreed: list[AccountName] = []
    accounts = SimpleNamespace(person_agrees=agreed.append)
    object.__setattr__(world.dispatcher._components, "state", SimpleNamespace(accounts=accounts))
    named = [account] if account else MANAGED
    assert asyncio.run(world.operations.reconcile(account)) == named
    working = [name for name in named if name in ours]
    assert agreed == working
    assert world.done == [*(("resume", name) for name in working), ("first", *working)]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from(MANAGED),
            st.sampled_from(list(Pause)),
            st.sampled_from([HOUR, 3 * HOUR]),
            st.sampled_from([timedelta(0), 2 * HOUR]),
        ),
        max_size=5,
    )
)
def test_a_person_pauses_the_accounts_that_were_named(
    steps: list[tuple[AccountName | None, Pause, timedelta, timedelta]],
) -> None:
    """Each has its own end, reason and author; the end of the general pause ends all, that of one only its own."""
    world = World()
    pauses: dict[AccountName | None, PauseOverride] = {}
    for number, (account, pause, span, wait) in enumerate(steps):
        world.clock.pass_by(wait)
        world.done.clear()
        now = world.clock.now()
        told = asyncio.run(
            world.operations.pause(account, pause, span, f" why {number} ", f" who {number} ")
        )
        assert told == ([account] if account else MANAGED)
        assert world.done == [("first", *told)]
        if pause is not Pause.NONE:
            pauses[account] = PauseOverride(pause, now + span, f"why {number}", f"who {number}")
        elif account is None:
            pauses.clear()
        else:
            pauses.pop(account, None)
        pauses = {name: one for name, one in pauses.items() if _ends(one) > now}
        assert dict(world.state.pauses.all(now)) == pauses
    world.state.close()


def _ends(pause: PauseOverride) -> datetime:
    assert pause.until is not None
    return pause.until


@pytest.mark.parametrize(
    ("account", "pause", "span", "reason"),
    [
        (BUSAN, Pause.ALL, None, "why"),
        (BUSAN, Pause.ALL, timedelta(0), "why"),
        (None, Pause.UNSUBSCRIBE, HOUR, " "),
        (GONE, Pause.ALL, HOUR, "why"),
        (GONE, Pause.NONE, None, ""),
    ],
)
async def test_a_pause_that_is_refused_changes_nothing(
    account: AccountName | None, pause: Pause, span: timedelta | None, reason: str
) -> None:
    """Without an end or a reason, or for an account that nobody manages; what was paused before stays so."""
    world = World()
    await world.operations.pause(SEOUL, Pause.ALL, HOUR, "night")
    before, done = dict(world.state.pauses.all(world.clock.now())), list(world.done)
    with pytest.raises(ReconcilerError):
        await world.operations.pause(account, pause, span, reason)
    assert (dict(world.state.pauses.all(world.clock.now())), world.done) == (before, done)
    with pytest.raises(ReconcilerError):
        await world.operations.reconcile(GONE)
    assert world.done == done


async def test_a_push_is_passed_on() -> None:
    """And whether it was announced before."""
    world = World()
    await world.operations.pushed(repeated=True)
    await world.operations.pushed(repeated=False)
    assert world.done == [("pushed", True), ("pushed", False)]


@settings(max_examples=60)
@given(changed=some, others=some, ours=some, moved=st.booleans())
def test_news_of_accounts_reach_those_accounts(
    changed: list[AccountName],
    others: list[AccountName],
    ours: list[AccountName],
    *,
    moved: bool,
) -> None:
    """Counters begin or end, limits follow the policy, other credentials end a stop, and passes come before others."""
    world = World(ours)
    world.followed = dict(world.countries)
    if GONE in changed:
        world.followed = {**world.followed, GONE: None}
    if moved:
        world.countries[SEOUL] = "DE"
    world.others = frozenset(others)
    world.dispatcher.accounts_changed(iter(changed))
    here = [name for name in sorted(changed) if name != GONE]
    assert [name for _, name in world.of("enter")] == [name for name in here if name in ours]
    assert [name for _, name in world.of("leave")] == [GONE] * (GONE in changed)
    is_read = moved or GONE in changed
    assert len(world.of("read")) == is_read
    limited = MANAGED if is_read else here
    assert world.of("limit") == [("limit", name, LIMITS[name]) for name in limited]
    resumed = sorted(others) if is_read else []
    assert sorted(world.of("resume")) == [("resume", name) for name in resumed]
    assert world.of("first", "soon") == [
        ("first", *(name for name in resumed if name in ours)),
        ("first", *(name for name in sorted(changed) if name in ours)),
    ]


@given(some, some)
def test_other_credentials_let_those_accounts_try_at_once(
    others: list[AccountName], ours: list[AccountName]
) -> None:
    """No other one is let out of a stop, and no other one is woken."""
    world = World(ours)
    world.dispatcher.credentials_changed(frozenset(others))
    assert sorted(world.of("resume")) == sorted(("resume", name) for name in others)
    assert world.of("first", "soon") == [("first", *(n for n in sorted(others) if n in ours))]
    world.done.clear()
    world.dispatcher.wake(others)
    world.dispatcher.wake_all()
    assert world.done == [
        ("soon", *(name for name in others if name in ours)),
        ("soon", *(name for name in MANAGED if name in ours)),
    ]
