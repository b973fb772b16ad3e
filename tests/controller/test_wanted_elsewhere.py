"""A device that one account would unsubscribe while another one wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from reconciler.controller.dependencies import Dependencies
from reconciler.controller.reconciler import Reconciler
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.clock import TwoClocks
from reconciler.core.model import (
    AccountName,
    Approval,
    Condition,
    Desired,
    Device,
    DeviceId,
    Policy,
    Reason,
    Revision,
)
from reconciler.core.status import PassReport
from reconciler.pcc.client import Client
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.quota import Quota
from reconciler.reporting import account_report
from reconciler.simulator import Options, sample_platform
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics
from recording import credentials
from simulated import COMMIT, START, YEAR, SimulatedClock, SimulatedTransport, at_once

EAST, WEST = AccountName("east"), AccountName("west")
SOON = timedelta(minutes=2)
OPEN = Policy(max_unsubscribe=1000, allow_empty=True)


class Twins:
    """Two accounts that are one LG user, or two users of whom each owns all devices."""

    def __init__(
        self, devices: int, *, one_user: bool = True, wrong: timedelta = timedelta(0)
    ) -> None:
        self.clock = SimulatedClock(wrong)
        self.two_clocks = TwoClocks(self.clock)
        self.platform = sample_platform(
            {"east": devices, "west": 1},
            only_pcc=True,
            options=Options(token_life=YEAR),
            now=self.clock.steady,
        )
        self.users = {EAST: "east", WEST: "east" if one_user else "west"}
        world = self.platform.world
        world.user("west").devices.update(world.user("east").devices)
        self.owned = sorted(DeviceId(one) for one in world.user("east").devices)
        self.tokens = {
            name: SecretStr(self.platform.issue_token(user)) for name, user in self.users.items()
        }
        self.texts: dict[AccountName, AccountRevision] = {}
        self.claims = Claims()
        self.state = State.in_memory(self.clock)
        self.metrics = Metrics()
        self.transport = SimulatedTransport(self.platform, self.clock)
        means = Dependencies(
            state=self.state,
            metrics=self.metrics,
            interval=timedelta(minutes=10),
            concurrency=2,
            confirm_delay=timedelta(seconds=30),
            clock=self.clock,
            random=Random(0).random,  # noqa: S311 - repeatable, and no secret
            blocking=at_once,
            claims=self.claims,
            two_clocks=self.two_clocks,
        )
        self.clients = {name: self._client(name) for name in self.users}
        self.reconciler = Reconciler(self, self.clients.__getitem__, means)

    def current(self, account: AccountName) -> AccountRevision | None:
        """Return what is in force."""
        return self.texts.get(account)

    def want(
        self,
        devices: Mapping[AccountName, Iterable[DeviceId]],
        approved: Iterable[DeviceId] = (),
        *,
        from_: datetime | None = None,
    ) -> None:
        """Bring a text into force in which these accounts approve the same devices, unless they want them.

        ``from_`` is from when on devices are wanted.
        """
        for name, each in devices.items():
            approval = Approval(
                frozenset(approved) - frozenset(each), START + timedelta(days=365), "moved"
            )
            desired = Desired(
                name,
                frozenset(each),
                described={one: Device(one, from_=from_) for one in each} if from_ else {},
                policy=OPEN,
                approvals=(approval,) if approval.devices else (),
            )
            self.texts[name] = AccountRevision(desired, Revision(f"{len(self.texts):064x}", COMMIT))
            self.state.accounts.desire(desired, self.texts[name].revision, self.clock.now())
            self.metrics.enter(name)
        self.claims.follow(self.texts)
        self.claims.enforce(dict(self.texts))

    async def reconcile(
        self, *names: AccountName, after: timedelta = SOON
    ) -> dict[AccountName, PassReport]:
        """Let time pass, make a pass of each account, and return what they came to."""
        self.clock.pass_by(after)
        endings = {}
        for name in names or (EAST, WEST):
            await self.reconciler.reconcile(name)
            ending = self.reconciler.accounts.statuses[name].last
            assert ending is not None
            endings[name] = ending
        return endings

    def deleted(self) -> list[str | None]:
        """Return the devices that an unsubscribe was sent for."""
        return [one.device for one in self.platform.requests if one.method == "DELETE"]

    def _client(self, name: AccountName) -> Client:
        service = self.platform.world.service

        def own() -> Credentials:
            return credentials(
                account=name,
                service_id=service.id,
                service_key=service.key,
                access_token=self.tokens[name].get_secret_value(),
            )

        http = httpx.AsyncClient(transport=self.transport)
        return Client(
            name,
            http,
            own,
            metrics=self.metrics,
            timeout_seconds=15,
            quota=Quota(),
            clock=self.clock,
            two_clocks=self.two_clocks,
        )


def held(ending: PassReport) -> dict[str, Reason]:
    """Return the reason of each held change."""
    return {one.change.device: one.reason for one in ending.held}


async def test_two_accounts_that_are_one_user_unsubscribe_nothing_of_each_other() -> None:
    """Each holds what the other wants, says so, and subscribes its own; only what nobody wants goes."""
    twins = Twins(7)
    east, west, nobody = twins.owned[:3], twins.owned[3:6], twins.owned[6]
    twins.platform.subscribe("east", nobody)
    twins.want({EAST: east, WEST: west})
    for _ in range(3):
        await twins.reconcile()
    endings = await twins.reconcile()
    assert twins.platform.subscribed("east") == frozenset([*east, *west])
    assert twins.deleted() == [nobody]
    assert held(endings[EAST]) == dict.fromkeys(west, Reason.WANTED_ELSEWHERE)
    assert held(endings[WEST]) == dict.fromkeys(east, Reason.WANTED_ELSEWHERE)
    assert {one.condition for one in endings.values()} == {Condition.HELD}
    plan = endings[EAST].plan
    (message,) = [one.message for one in plan.tripped] if plan else [""]
    assert message == "3 devices that would go are wanted by another account now: west"


async def test_an_approval_lets_a_device_go_once_and_its_return_is_held() -> None:
    """What was approved goes; the other account brings it back, and then it is held, however often it is looked at."""
    twins = Twins(4)
    east, west = twins.owned[:2], twins.owned[2:]
    twins.want({EAST: east, WEST: west})
    await twins.reconcile()
    twins.want({EAST: east, WEST: west}, approved=twins.owned)
    for _ in range(19):
        await twins.reconcile()
    endings = await twins.reconcile()
    assert twins.deleted()
    assert max(twins.deleted().count(device) for device in twins.owned) == 1
    assert twins.platform.subscribed("east") >= frozenset(east)
    assert set(held(endings[WEST]).values()) <= {Reason.WANTED_ELSEWHERE}


async def test_a_device_that_moved_to_another_user_goes_from_the_first_with_an_approval() -> None:
    """It is subscribed for the second user at once; for the first it is held until the approval, and then goes."""
    twins = Twins(3, one_user=False)
    moved, stays = twins.owned[0], twins.owned[1:]
    twins.want({EAST: twins.owned, WEST: ()})
    await twins.reconcile()
    twins.want({EAST: stays, WEST: [moved]})
    endings = await twins.reconcile()
    assert held(endings[EAST]) == {moved: Reason.WANTED_ELSEWHERE}
    assert moved in endings[EAST].needs_approval
    assert moved in twins.platform.subscribed("west")
    twins.want({EAST: stays}, approved=[moved])
    endings = await twins.reconcile()
    assert endings[EAST].condition is Condition.IN_SYNC
    assert twins.platform.subscribed("east") == frozenset(stays)
    assert moved in twins.platform.subscribed("west")


async def test_a_text_that_comes_during_a_pass_stops_the_unsubscribes_it_speaks_of() -> None:
    """Another account's new text wants what is about to go: the calls that are left are not made."""
    twins = Twins(8)
    twins.want({EAST: twins.owned, WEST: ()})
    await twins.reconcile(EAST)
    twins.want({EAST: twins.owned[:1]})

    def edited(request: httpx.Request) -> None:
        if (
            request.method == "DELETE"
            and WEST in twins.texts
            and not twins.texts[WEST].desired.devices
        ):
            twins.want({WEST: twins.owned[1:]})

    twins.transport.on_request = edited
    await twins.reconcile(EAST)
    assert len(twins.deleted()) <= 3
    endings = await twins.reconcile(EAST)
    assert len(twins.deleted()) <= 3
    assert set(held(endings[EAST]).values()) == {Reason.WANTED_ELSEWHERE}


async def test_what_is_wanted_by_lgs_clock_stops_the_unsubscribes_of_a_pass_too() -> None:
    """A text that comes during a pass wants devices from a moment that has come by LG's clock, and not yet by ours."""
    twins = Twins(8, wrong=-timedelta(hours=9))
    twins.want({EAST: twins.owned, WEST: ()})
    await twins.reconcile(EAST)
    twins.want({EAST: twins.owned[:1]})

    def edited(request: httpx.Request) -> None:
        if request.method == "DELETE" and not twins.texts[WEST].desired.devices:
            twins.want({WEST: twins.owned[1:]}, from_=START)

    twins.transport.on_request = edited
    await twins.reconcile(EAST)
    assert 1 <= len(twins.deleted()) <= 3


async def test_two_accounts_with_the_same_list_are_named_and_nothing_is_held() -> None:
    """Log, status and page say of each which other account has the same two devices; a list of its own ends it."""
    twins = Twins(3)
    both = twins.owned[:2]
    twins.want({EAST: both, WEST: both})
    with capture_logs() as lines:
        for _ in range(3):
            endings = await twins.reconcile()
            assert {one.condition for one in endings.values()} == {Condition.IN_SYNC}
    told = [
        (line["accounts"], line["devices"]) for line in lines if line["event"] == "accounts.alike"
    ]
    assert told == [(["east", "west"], 2)]
    statuses = twins.reconciler.accounts.statuses
    assert (statuses[EAST].alike, statuses[WEST].alike) == ((WEST,), (EAST,))
    report = account_report(statuses[EAST], twins.texts[EAST], None)
    assert report.remarks == (
        "LG lists the same 2 devices for west: most likely the accounts are one LG user",
    )
    twins.reconciler.accounts.forget(WEST)
    assert twins.reconciler.accounts.statuses[EAST].alike == ()


async def test_one_device_or_none_in_both_lists_is_no_sign_of_one_user() -> None:
    """Empty lists are alike everywhere, and one device may have two owners."""
    twins = Twins(2)
    twins.want({EAST: twins.owned[:1], WEST: twins.owned[:1]})
    for _ in range(2):
        await twins.reconcile()
    assert [one.alike for one in twins.reconciler.accounts.statuses.values()] == [(), ()]


POOL = tuple(DeviceId(f"device-{number}") for number in range(6))
NAMES = tuple(AccountName(name) for name in ("a", "b", "c"))
SOME = st.frozensets(st.integers(0, 3))
TEXTS = st.dictionaries(st.sampled_from(NAMES), st.frozensets(st.sampled_from(POOL)))


@given(st.lists(TEXTS, max_size=6))
def test_the_index_says_what_the_texts_say(
    history: Sequence[Mapping[AccountName, frozenset[DeviceId]]],
) -> None:
    """After any order of texts the index answers as if all texts were looked through."""
    claims = Claims()
    for texts in history:
        claims.follow(
            {
                name: AccountRevision(Desired(name, devices), Revision("0" * 64))
                for name, devices in texts.items()
            }
        )
        claims.enforce(
            {
                name: AccountRevision(Desired(name, devices), Revision("0" * 64))
                for name, devices in texts.items()
            }
        )
        for account in NAMES:
            others = frozenset[DeviceId]().union(
                *(each for name, each in texts.items() if name != account)
            )
            known = account in texts or len(texts) > 1
            found = claims.elsewhere(account, POOL, START)
            assert found.keys() == (others if known else frozenset())
            assert all(
                device in texts[other] and other != account for device, other in found.items()
            )


@pytest.mark.parametrize(
    ("from_", "until", "wanted"), [(None, START, False), (START, None, True), (None, None, True)]
)
def test_only_what_another_account_wants_at_that_moment_counts(
    from_: object, until: object, *, wanted: bool
) -> None:
    """An entry whose dates are over or have not begun wants nothing now."""
    entry = Device(POOL[0], from_=from_, until=until)  # type: ignore[arg-type]
    texts = {
        NAMES[0]: Desired(NAMES[0], frozenset(POOL[:1]), {POOL[0]: entry}),
        NAMES[1]: Desired(NAMES[1], frozenset()),
    }
    claims = Claims.of(texts, Revision("0" * 64))
    assert (POOL[0] in claims.elsewhere(NAMES[1], POOL, START)) is wanted


@given(
    edits=st.lists(st.tuples(SOME, SOME, SOME), min_size=1, max_size=5),
    one_user=st.booleans(),
)
@settings(max_examples=25, deadline=None)
async def test_at_most_one_unsubscribe_of_what_the_other_account_wants(
    edits: Sequence[tuple[frozenset[int], frozenset[int], frozenset[int]]], *, one_user: bool
) -> None:
    """Whatever is wanted and approved: no device goes twice from an account within a day while the other wants it."""
    twins = Twins(4, one_user=one_user)
    contested: Counter[tuple[AccountName, str | None]] = Counter()
    for east, west, approved in edits:
        wanted = {
            EAST: [twins.owned[one] for one in east],
            WEST: [twins.owned[one] for one in west],
        }
        twins.want(wanted, approved=[twins.owned[one] for one in approved])
        for name, other in ((EAST, WEST), (WEST, EAST)):
            for device in wanted[name]:
                contested.pop(
                    (name, device), None
                )  # it wants the device itself: what goes later is another removal
            before = len(twins.deleted())
            await twins.reconcile(name)
            gone = set(twins.deleted()[before:])
            contested.update((name, device) for device in gone & set(wanted[other]))
            unapproved = gone - {twins.owned[one] for one in approved}
            assert unapproved.isdisjoint(wanted[other])
            assert max(contested.values(), default=0) <= 1
        await twins.reconcile()
        await twins.reconcile(EAST)
        assert twins.platform.subscribed("east") >= frozenset(wanted[EAST])
