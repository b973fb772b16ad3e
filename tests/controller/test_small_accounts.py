"""Accounts of fewer than ten devices whose token, or whose list, becomes another's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from reconciler.core.model import DEFAULT_ACCOUNT, Condition, DeviceId, Reason
from reconciler.core.status import PassReport, states
from reconciler.simulator import Match, Options, Route, Rule, sample_platform
from reconciler.simulator.faults import Error, Response
from reconciler.state import State
from simulated import YEAR, Fleet, SimulatedClock

TEN_MINUTES = timedelta(minutes=10)
SOON = timedelta(seconds=30)
EMPTY = Rule(effect=Response(form="[]"), match=Match(route=Route.LIST))


class Home(Fleet):
    """A small account whose token can become that of another user of the platform, who owns other devices."""

    def __init__(self, devices: int = 4, *, folder: Path | None = None) -> None:
        clock = SimulatedClock()
        platform = sample_platform(
            {"default": devices, "stranger": devices},
            only_pcc=True,
            options=Options(token_life=YEAR),
            now=lambda: clock.now().timestamp(),
        )
        state = State.open(folder, clock) if folder is not None else None
        super().__init__(platform=platform, clock=clock, state=state)
        self.theirs = sorted(DeviceId(one) for one in platform.world.user("stranger").devices)
        platform.subscribe("stranger", *self.theirs)

    def become(self, user: str) -> None:
        """Use a new token, of this user."""
        self.token = SecretStr(self.platform.issue_token(user))

    def deleted(self) -> list[str | None]:
        """Return the devices that an unsubscribe was sent for."""
        return [one.device for one in self.calls("DELETE")]


def tripped(ending: PassReport) -> set[Reason]:
    """Return the reasons that trip."""
    return {one.reason for one in ending.plan.tripped} if ending.plan is not None else set()


@pytest.mark.parametrize("devices", [1, 2, 4, 9])
async def test_another_users_token_unsubscribes_nobody_until_a_person_says_so(devices: int) -> None:
    """However often the other user's list is read, no device goes; a person's word, or the right token, ends it."""
    home = Home(devices)
    await home.reconcile()
    home.become("stranger")
    for _ in range(8):
        ending = await home.reconcile(after=TEN_MINUTES)
        assert Reason.SUSPECT_LIST in tripped(ending)
        assert ending.condition is Condition.HELD
    assert home.deleted() == []
    home.become("default")
    ending = await home.reconcile(after=TEN_MINUTES)
    assert (tripped(ending), ending.condition) == (set(), Condition.IN_SYNC)
    home.become("stranger")
    await home.reconcile(after=TEN_MINUTES)
    home.state.accounts.person_agrees(DEFAULT_ACCOUNT)
    for _ in range(3):
        await home.reconcile(after=TEN_MINUTES)
    assert set(home.deleted()) <= set(home.theirs)


async def test_a_home_that_gives_its_consent_again_is_subscribed_again_without_help() -> None:
    """A new token whose list is empty: all is subscribed in the first pass, and the next list ends the doubt."""
    home = Home(4)
    await home.reconcile()
    home.platform.unsubscribe("default", *home.owned)
    home.become("default")
    ending = await home.reconcile(after=TEN_MINUTES)
    assert home.live == frozenset(home.owned)
    assert tripped(ending) == {Reason.SUSPECT_LIST}
    ending = await home.reconcile(after=SOON)
    assert (tripped(ending), ending.condition) == (set(), Condition.IN_SYNC)


async def test_a_lost_device_is_subscribed_however_often_the_token_is_rotated() -> None:
    """Each pass has another token and an empty list, and each finds all devices lost: each subscribes them again."""
    home = Home(4)
    await home.reconcile()
    for _ in range(4):
        home.platform.unsubscribe("default", *home.owned)
        home.become("default")
        await home.reconcile(after=timedelta(hours=2))
        assert home.live == frozenset(home.owned)


async def test_what_was_refused_to_another_user_is_asked_again_with_the_next_token() -> None:
    """A refusal of the wrong user's keeps no lost device waiting once there is another token, doubted or not."""
    home = Home(4)
    await home.reconcile()
    home.platform.unsubscribe("default", *home.owned)
    home.become("stranger")
    for _ in range(5):
        await home.reconcile(after=timedelta(hours=3))
    assert home.live == frozenset()
    home.become("default")
    await home.reconcile(after=TEN_MINUTES)
    assert home.live == frozenset(home.owned)


async def test_a_refused_device_is_not_asked_at_every_doubted_list() -> None:
    """As long as the token is the same one, a refused device waits as it always does."""
    home = Home(4)
    await home.reconcile()
    home.become("stranger")
    for _ in range(6):
        await home.reconcile(after=TEN_MINUTES)
    asked = [one.device for one in home.calls("POST")]
    assert all(
        asked.count(device) <= 3 for device in home.owned
    )  # at first, once LG knows the devices, and now


async def test_what_lg_calls_done_while_its_list_stays_empty_is_asked_less_and_less() -> None:
    """A list that is doubted for ever costs no call for each device in each pass."""
    home = Home(4)
    await home.reconcile()
    home.become("default")
    home.platform.set_faults(EMPTY)
    before = len(home.calls("POST"))
    for _ in range(100):
        await home.reconcile(after=timedelta(minutes=2))
    assert len(home.calls("POST")) - before < 4 * 60
    assert home.deleted() == []


async def test_an_empty_list_of_a_small_account_is_believed_at_the_third_reading() -> None:
    """Without a changed credential the unsubscribes of a list that shows no known device wait for two more readings."""
    home = Home(4)
    home.want(home.owned[:2])
    await home.reconcile()
    home.platform.unsubscribe("default", *home.owned)
    home.platform.subscribe("default", *home.owned[2:])
    home.platform.set_faults(Rule(effect=Error(code="1214"), match=Match(method="POST")))
    for reading in (1, 2, 3):
        assert home.deleted() == [], reading
        ending = await home.reconcile(after=SOON)
        assert (Reason.SUSPECT_LIST in tripped(ending)) is (reading < 3)
        assert home.due == SOON or reading == 3
    assert set(home.deleted()) == set(home.owned[2:])


async def test_readings_with_another_token_are_no_reason_to_believe_a_list_of_the_right_one(
    tmp_path: Path,
) -> None:
    """Back with the right token, and after a restart, the first list that shows nothing is doubted like any first."""
    home = Home(4, folder=tmp_path)
    await home.reconcile()
    right = home.token
    home.become("stranger")
    for _ in range(5):
        await home.reconcile(after=TEN_MINUTES)
    home.state.close()
    state = State.open(tmp_path, home.clock)
    home = _restarted(home, state)
    home.token = right
    home.platform.subscribe("default", *home.owned)
    home.platform.set_faults(EMPTY)
    for _ in range(2):
        assert Reason.SUSPECT_LIST in tripped(await home.reconcile(after=SOON))
    state.close()


def _restarted(home: Home, state: State) -> Home:
    """Return the same home under a new process."""
    again = Home.__new__(Home)
    Fleet.__init__(again, platform=home.platform, clock=home.clock, state=state)
    again.theirs = home.theirs
    return again


async def test_status_counts_from_the_last_trusted_list_while_a_list_is_doubted() -> None:
    """Neither a large nor a small account's figures follow a list that is not believed, whatever it shows."""
    for devices in (4, 12):
        home = Home(devices)
        await home.reconcile()
        figures = {
            state: home.sample("pcc_devices", state=state)
            for state in ("in_sync", "missing", "extra")
        }
        observed, budget = (
            home.sample("pcc_observed_devices"),
            home.sample("pcc_unsubscribe_budget_remaining"),
        )
        home.become("stranger")
        ending = await home.reconcile(after=TEN_MINUTES)
        assert states(ending)["in_sync"] == devices
        assert figures == {state: home.sample("pcc_devices", state=state) for state in figures}
        assert home.sample("pcc_observed_devices") == observed
        assert home.sample("pcc_unsubscribe_budget_remaining") == budget
        assert home.sample("pcc_guard_tripped", reason="suspect-list") == 1


async def test_a_doubted_list_is_told_once_and_its_end_too() -> None:
    """The log names the guard when it trips and when it is over, also where nothing is held."""
    home = Home(3)
    await home.reconcile()
    home.platform.set_faults(Rule(effect=EMPTY.effect, match=EMPTY.match, count=2))
    with capture_logs() as lines:
        for _ in range(3):
            await home.reconcile(after=timedelta(minutes=2))
    told = [(line["event"], line["reason"]) for line in lines if line["event"].startswith("guard.")]
    assert told == [("guard.tripped", "suspect-list"), ("guard.cleared", "suspect-list")]


STEPS = st.lists(
    st.sampled_from(["swap", "back", "look", "look", "lose", "restart"]), min_size=2, max_size=9
)


@given(st.integers(2, 9), STEPS)
@example(4, ["lose"] * 6)
@settings(max_examples=40, deadline=None)
async def test_no_order_of_swaps_losses_and_restarts_unsubscribes_a_wanted_device(
    devices: int, steps: Sequence[str]
) -> None:
    """Whatever becomes of the token, nothing is unsubscribed of either user, and at last all of ours is subscribed."""
    home = Home(devices)
    await home.reconcile()
    for step in steps:
        if step == "swap":
            home.become("stranger")
        elif step == "back":
            home.become("default")
        elif step == "lose":
            home.platform.lose("default", count=1)
        elif step == "restart":
            home = _restarted(home, home.state)
        await home.reconcile(after=TEN_MINUTES)
        assert home.deleted() == []
    home.become("default")
    for _ in range(7):  # a device that LG loses again and again waits for an hour
        await home.reconcile(after=TEN_MINUTES)
    assert home.live == frozenset(home.owned)
    assert home.platform.subscribed("stranger") == frozenset(home.theirs)


async def test_a_restart_with_the_same_token_is_no_reason_to_ask_again_what_lg_refused(
    tmp_path: Path,
) -> None:
    """A new process does not know the token from before; the state says that it is the same one."""
    home = Home(4, folder=tmp_path)
    poor = home.owned[0]
    home.platform.set_faults(Rule(Error(code="1214"), match=Match(devices=(poor,))))
    await home.reconcile()
    assert [one.device for one in home.calls("POST")].count(poor) == 1
    home.state.close()
    state = State.open(tmp_path, home.clock)
    again = _restarted(home, state)
    again.token = home.token
    again.platform.set_faults(EMPTY)
    assert Reason.SUSPECT_LIST in tripped(await again.reconcile(after=SOON))
    assert [one.device for one in again.calls("POST")].count(poor) == 1
    state.close()
