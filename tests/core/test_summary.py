"""The report of a pass, and when the next is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_runs import REVISION, aborted, judged, midpoint, running, state_of
from core_strategies import (
    ACCOUNT,
    HOUR,
    NOW,
    SECOND,
    desiring,
    fleet,
    nearby,
    perhaps,
    situated,
    situations,
    some,
    subscribes,
    unsubscribes,
)
from reconciler.core import backoff
from reconciler.core.acceptance import AccountRevision
from reconciler.core.account import Contact, ListRead, Stop
from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    NotYetAccepted,
    Outdated,
    PlatformError,
    SubscriptionsFull,
    Throttled,
    Unavailable,
)
from reconciler.core.evaluate import Verdict
from reconciler.core.guards import PauseOverride, Platform, Situation
from reconciler.core.model import (
    Action,
    Cause,
    Confirmed,
    Device,
    DeviceId,
    Held,
    Memory,
    Observed,
    Outcome,
    Pause,
    Plan,
    Policy,
    Reason,
    Result,
    Retry,
    Unsettled,
)
from reconciler.core.run import Work
from reconciler.core.schedule import due_while_stopped, next_due, read_again
from reconciler.core.summary import (
    ON_THE_LAST_LIST,
    Remainder,
    remainder,
    summarize,
    summarize_without_list,
)
from reconciler.core.windows import Opening

A, X = subscribes(some("a"))[0], unsubscribes(some("x"))[0]
DESIRED = desiring(fleet(3) | some("a"))
RUN = running(DESIRED)
CALM = judged(situated(DESIRED, fleet(3), Memory(inventory=fleet(3), expected=fleet(3))))
READ = Contact(ListRead.READ)
LATER, REGULAR = NOW + HOUR, NOW + timedelta(minutes=10)
FULL = SubscriptionsFull("the cap is reached")


def left_of(
    work: Work, run: Any = RUN, verdict: Verdict = CALM, opens: datetime | None = None
) -> Remainder:
    """Return what is left of work, a second after the pass began."""
    return remainder(run, verdict, work, now=NOW + SECOND, opens=opens, random=midpoint)


def reasons(left: Remainder) -> dict[str, tuple[Reason, datetime | None]]:
    """Return what is held, why, and until when."""
    return {one.change.device: (one.reason, one.until) for one in left.held}


WAITS = Memory(retries={A.device: Retry(Action.SUBSCRIBE, Reason.RETRY, 1, LATER)})
FAILED_CALL = replace(
    CALM,
    plan=Plan(ACCOUNT, held=(Held(A, Reason.RETRY, LATER),)),
    situation=replace(CALM.situation, memory=WAITS),
)
"""The verdict where a device waits after a failed call."""


# -- what the calls did not get to


def test_nothing_is_left_of_work_that_is_done() -> None:
    """LG took everything, so what it refused before is over."""
    assert left_of(Work()) == Remainder((), None, Contact(ListRead.READ, all_taken=True))


def test_a_plan_that_is_outdated_holds_nothing_and_comes_back_at_once() -> None:
    """What is left is planned anew, so no reason is given for it."""
    left = left_of(Work(left=[A, X], outdated=True))
    assert left == Remainder((), NOW + SECOND, Contact(ListRead.READ, all_taken=True))


@pytest.mark.parametrize(("opens", "until"), [(LATER, LATER), (None, NOW + SECOND)])
def test_a_throttled_account_waits_for_its_quota(opens: datetime | None, until: datetime) -> None:
    """Where the quota has room by now, it goes on at once."""
    left = left_of(Work(left=[A, X], ended=Throttled("too many")), opens=opens)
    assert (reasons(left), left.opens) == (
        {"a": (Reason.QUOTA, until), "x": (Reason.QUOTA, until)},
        until,
    )
    assert left.contact == READ


def test_calls_that_are_used_up_wait_until_there_are_more() -> None:
    """That is no failure of LG's: it took everything that it was asked."""
    left = left_of(Work(left=[X], opens_at=LATER))
    assert (reasons(left), left.opens) == ({"x": (Reason.QUOTA, LATER)}, LATER)
    assert left.contact == Contact(ListRead.READ, all_taken=True)


@pytest.mark.parametrize("error", [CredentialsRefused("no"), ConfigurationRefused("no")])
def test_a_refused_account_is_stopped(error: PlatformError) -> None:
    """Everything left waits for the end of the stop, which the next list alone does not end."""
    left = left_of(Work(left=[A], ended=error))
    until = NOW + SECOND + timedelta(minutes=5)
    assert (reasons(left), left.opens) == ({"a": (Reason.ACCOUNT_STOPPED, until)}, until)
    assert left.contact == Contact(ListRead.READ, stop=Stop("no", 1, until, at_list=False))


@pytest.mark.parametrize(("at_list", "count"), [(True, 1), (False, 3)])
def test_a_list_that_was_read_ends_a_stop_by_the_list(count: int, *, at_list: bool) -> None:
    """So only refused changes count on from those before."""
    account = state_of(DESIRED, stop=Stop("before", 2, None, at_list=at_list))
    left = left_of(Work(left=[A], ended=CredentialsRefused("no")), running(DESIRED, account))
    assert left.contact.stop is not None
    assert left.contact.stop.count == count


@pytest.mark.parametrize(
    "error", [Unavailable("time-out"), NotYetAccepted("too new"), Outdated("another user")]
)
@pytest.mark.parametrize("broken", [0, 2])
def test_failures_of_lg_s_end_the_work_for_a_while(error: PlatformError, broken: int) -> None:
    """Longer with each pass in a row that was broken off."""
    left = left_of(
        Work(left=[A], ended=error), running(DESIRED, state_of(DESIRED, broken_passes=broken))
    )
    until = NOW + SECOND + backoff.LIST.after(broken + 1, midpoint)
    assert (reasons(left), left.opens) == ({"a": (Reason.RETRY, until)}, until)
    assert left.contact == Contact(ListRead.READ, broken_off=True)


def test_lg_s_cap_holds_subscribes_for_an_hour() -> None:
    """Unsubscribes that are left with it wait as long: one of them makes room."""
    left = left_of(Work(left=[A, X], full=FULL))
    until = NOW + SECOND + HOUR
    full = (Reason.SUBSCRIPTIONS_FULL, until)
    assert (reasons(left), left.opens) == ({"a": full, "x": full}, until)


def test_lg_s_cap_is_the_reason_of_subscribes_also_where_something_else_ended_the_work() -> None:
    """What is left besides has that other reason, and the account comes back for it."""
    full = (Reason.SUBSCRIPTIONS_FULL, NOW + SECOND + HOUR)
    no_calls = left_of(Work(left=[A, X], full=FULL, opens_at=LATER))
    assert (reasons(no_calls), no_calls.opens) == ({"a": full, "x": (Reason.QUOTA, LATER)}, LATER)
    throttled = left_of(Work(left=[A, X], full=FULL, ended=Throttled("too many")), opens=LATER)
    assert reasons(throttled) == {"a": full, "x": (Reason.QUOTA, LATER)}


@pytest.mark.parametrize(
    ("work", "verdict", "taken"),
    [
        (Work(), CALM, True),
        (Work(unexpected=True), CALM, False),
        (Work(), FAILED_CALL, False),
        (Work(ended=Throttled("too many")), CALM, False),
        (Work(left=[A], full=FULL), CALM, True),
    ],
    ids=["all made", "not agreed to", "a device waits", "throttled", "cap reached"],
)
def test_lg_took_everything(work: Work, verdict: Verdict, *, taken: bool) -> None:
    """Only a pass in which LG refused and failed nothing ends what was before."""
    assert left_of(work, verdict=verdict).contact.all_taken is taken


# -- when the next pass is due


def due(
    verdict: Verdict = CALM,
    work: Work | None = None,
    left: Remainder | None = None,
    run: Any = RUN,
    *waits: Retry,
) -> datetime:
    """Return when the next pass is due."""
    return next_due(
        run,
        verdict,
        work or Work(),
        left or Remainder(),
        now=NOW,
        regular=REGULAR,
        waits={DeviceId(f"{number}"): one for number, one in enumerate(waits)},
    )


def test_the_regular_time_is_the_latest() -> None:
    """Nothing that is later than it matters."""
    assert due() == REGULAR
    assert due(run=replace(RUN, boundary=LATER), left=Remainder(opens=LATER)) == REGULAR


def test_the_next_pass_is_at_the_next_date() -> None:
    """A date of a device, or the end of what ended the calls."""
    soon = NOW + SECOND
    assert due(run=replace(RUN, boundary=soon)) == soon
    assert due(left=Remainder(opens=soon)) == soon
    assert due(run=replace(RUN, boundary=soon), left=Remainder(opens=NOW)) == NOW


@pytest.mark.parametrize(
    ("reason", "counts"),
    [
        (Reason.UNSUBSCRIBE_AFTER, True),
        (Reason.PAUSED, True),
        (Reason.RETRY, False),
        (Reason.REFUSED, False),
    ],
)
def test_the_end_of_a_hold_is_waited_for(reason: Reason, *, counts: bool) -> None:
    """Waits of devices are in the memory after the pass, which knows more than the plan."""
    verdict = replace(
        CALM, plan=Plan(ACCOUNT, held=(Held(X, reason, NOW + SECOND), Held(A, Reason.TOO_MANY)))
    )
    assert due(verdict) == (NOW + SECOND if counts else REGULAR)


@pytest.mark.parametrize("reason", [Reason.UNSUBSCRIBE_AFTER, Reason.PAUSED, Reason.WINDOW])
@pytest.mark.parametrize(
    ("ends", "counts"), [(-SECOND, False), (0 * SECOND, False), (SECOND, True)]
)
def test_a_hold_that_did_not_end_at_its_time_is_not_waited_for(
    reason: Reason, ends: timedelta, *, counts: bool
) -> None:
    """It was over before the pass began, and held all the same; another pass at once would only cost a list."""
    plan = Plan(ACCOUNT, held=(Held(X, reason, NOW + ends), Held(A, Reason.TOO_MANY)))
    assert due(replace(CALM, plan=plan)) == (NOW + ends if counts else REGULAR)


def wait(span: timedelta, reason: Reason = Reason.RETRY) -> Retry:
    """Return a wait that ends after so long."""
    return Retry(Action.SUBSCRIBE, reason, 1, NOW + span)


def test_waits_are_gathered() -> None:
    """The first decides, but not before others had their time: each pass costs a list."""
    assert due(CALM, None, None, RUN, wait(SECOND), wait(2 * SECOND)) == NOW + backoff.GATHER
    assert due(CALM, None, None, RUN, wait(9 * SECOND), wait(2 * HOUR)) == NOW + 9 * SECOND
    assert due(CALM, None, None, RUN, wait(-SECOND)) == NOW + backoff.GATHER


def test_a_device_that_is_held_for_another_reason_is_not_waited_for() -> None:
    """Its wait is over, and another pass would only hold it again."""
    held = Held(unsubscribes(some("0"))[0], Reason.WANTED_ELSEWHERE)
    verdict = replace(CALM, plan=Plan(ACCOUNT, held=(held,)))
    assert due(verdict, None, None, RUN, wait(-SECOND)) == REGULAR
    assert due(verdict, None, None, RUN, wait(-SECOND), wait(9 * SECOND)) == NOW + 9 * SECOND


def test_no_device_is_waited_for_where_lg_ended_the_work() -> None:
    """The end of that is what counts."""
    assert (
        due(CALM, Work(ended=Unavailable("down")), Remainder(opens=None), RUN, wait(SECOND))
        == REGULAR
    )


def test_a_device_that_lg_loses_is_waited_for() -> None:
    """Its wait is in no memory: the plan has it."""
    plan = Plan(
        ACCOUNT,
        held=(Held(A, Reason.RETRY, NOW + 9 * SECOND), Held(X, Reason.RETRY, NOW + 6 * SECOND)),
    )
    assert due(replace(CALM, plan=plan)) == REGULAR
    assert due(replace(CALM, plan=replace(plan, flapping=some("a")))) == NOW + 9 * SECOND
    without = replace(plan, held=(Held(A, Reason.TOO_MANY),), flapping=some("a"))
    assert due(replace(CALM, plan=without)) == REGULAR


def doubting(count: int, readings: int = 0) -> Verdict:
    """Return the verdict on an empty list where so many devices are known."""
    memory = Memory(inventory=fleet(count), expected=fleet(count), suspect_readings=readings)
    return judged(situated(desiring(fleet(count) | some("a")), (), memory))


def test_where_the_whole_pass_is_held_only_the_regular_time_helps() -> None:
    """Of a small account subscribes go on, and have their dates."""
    soon = replace(RUN, boundary=NOW + SECOND)
    assert due(doubting(20), run=soon) == REGULAR
    assert due(doubting(3), run=soon) == NOW + SECOND


@pytest.mark.parametrize(("readings", "again"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_doubted_list_is_read_again_soon(readings: int, *, again: bool) -> None:
    """Until the one before the third in a row: that one would be believed."""
    doubted = doubting(20)
    memory = replace(doubted.situation.memory, suspect_readings=readings)
    verdict = replace(doubted, situation=replace(doubted.situation, memory=memory))
    assert read_again(verdict, NOW, 30 * SECOND) == (NOW + 30 * SECOND if again else None)
    assert read_again(CALM, NOW, 30 * SECOND) is None


@pytest.mark.parametrize(
    ("until", "at"),
    [(NOW + SECOND, NOW + SECOND), (LATER, REGULAR), (NOW, REGULAR), (NOW - SECOND, REGULAR)],
)
def test_a_stopped_account_is_tried_when_its_stop_ends(until: datetime, at: datetime) -> None:
    """And at the regular time at the latest, also where the stop has no end."""
    assert due_while_stopped(RUN, aborted(Reason.ACCOUNT_STOPPED, until), REGULAR) == at


@given(perhaps, perhaps, st.lists(nearby, max_size=3), situations)
def test_the_next_pass_is_never_later_than_the_regular_time(
    boundary: datetime | None, opens: datetime | None, ends: list[datetime], situation: Situation
) -> None:
    """And it is that, or one of the dates that is waited for."""
    verdict = judged(situation)
    retries = [Retry(Action.SUBSCRIBE, Reason.RETRY, 1, end) for end in ends]
    at = due(verdict, None, Remainder(opens=opens), replace(RUN, boundary=boundary), *retries)
    assert at <= REGULAR
    holds = {one.until for one in verdict.plan.held}
    assert at in {REGULAR, boundary, opens, *ends, *holds, NOW + backoff.GATHER}


# -- the report


@given(situations)
def test_a_report_says_what_was_judged(situation: Situation) -> None:
    """What is held is in the plan or left, and only a list that is believed is observed."""
    verdict = judged(situation)
    run = running(situation.desired, rejected=situation.rejected)
    report = summarize(run, verdict, Work(), Remainder(), situation.memory, due=LATER)
    assert (report.desired, report.plan, report.rejected) == (
        situation.desired,
        verdict.plan,
        situation.rejected,
    )
    assert (report.observed is None, report.known is not None) == (verdict.suspect, verdict.suspect)
    assert report.trusted is not verdict.suspect
    assert report.held == verdict.plan.held
    if not verdict.suspect:
        assert report.observed == len(situation.observed.devices)
        assert report.budget_remaining == verdict.budget


def test_a_report_has_what_became_of_the_changes() -> None:
    """Outcomes, what was left, and the error that ended it."""
    work = Work(
        outcomes=[Outcome(A, Result.SUCCESS, NOW)],
        left=[X],
        ended=Unavailable("time-out"),
        unexpected=True,
    )
    left = Remainder((Held(X, Reason.RETRY, LATER),), LATER, READ)
    run = replace(
        RUN, pause_override=PauseOverride(Pause.UNSUBSCRIBE), observing=True, theirs=LATER
    )
    report = summarize(run, CALM, work, left, Memory(), due=LATER)
    assert (report.outcomes, report.left, report.error) == (
        tuple(work.outcomes),
        left.held,
        "time-out",
    )
    assert (report.unexpected, report.due, report.began, report.theirs) == (True, LATER, NOW, LATER)
    assert (report.pause, report.observing) == (Pause.UNSUBSCRIBE, True)
    assert summarize(RUN, CALM, Work(), Remainder(), Memory(), due=LATER).error == ""


@pytest.mark.parametrize(
    ("contact", "stopped"),
    [
        (Contact(), True),
        (READ, False),
        (Contact(ListRead.READ, stop=Stop("no", 1, LATER, at_list=False)), True),
    ],
)
def test_a_report_says_whether_the_account_is_stopped_after_it(
    contact: Contact, *, stopped: bool
) -> None:
    """Not whether it was before: a list that was read may have ended that."""
    run = running(DESIRED, state_of(DESIRED, stop=Stop("before", 1, LATER, at_list=True)))
    assert (
        summarize(run, CALM, Work(), Remainder(contact=contact), Memory(), due=LATER).stopped
        is stopped
    )
    by_list = aborted(Reason.ACCOUNT_STOPPED, LATER, contact)
    assert summarize_without_list(run, None, by_list, due=LATER).stopped is stopped


def test_figures_rest_on_what_is_known_while_a_list_is_doubted() -> None:
    """Devices are counted as before, from the last trusted list with our changes since."""
    verdict = doubting(20)
    run = running(verdict.situation.desired)
    report = summarize(run, verdict, Work(), Remainder(), verdict.situation.memory, due=LATER)
    assert (report.observed, report.budget_remaining) == (None, 5)
    assert report.known is not None
    assert (report.known.in_sync, [one.device for one in report.known.subscribes]) == (20, ["a"])
    nothing = summarize(run, verdict, Work(), Remainder(), Memory(), due=LATER)
    assert nothing.known is not None
    assert nothing.known.in_sync == 0


def test_a_report_remarks_on_approvals_by_what_is_live() -> None:
    """One that names nothing live is remarked on, also where only our own change made it so."""
    desired = desiring(fleet(3), approved=some("x"))
    memory = Memory(inventory=fleet(3), expected=fleet(3))
    for live, count in ((fleet(3) | some("x"), 0), (fleet(3), 1)):
        verdict = judged(situated(desired, live, memory))
        assert (
            len(
                summarize(running(desired), verdict, Work(), Remainder(), memory, due=LATER).remarks
            )
            == count
        )


def test_an_approval_is_remarked_on_by_our_own_changes_that_a_list_lags_behind() -> None:
    """What we unsubscribed a moment ago is not live, whatever the list says."""
    desired = desiring(fleet(3), approved=some("x"))
    gone = Confirmed(Action.UNSUBSCRIBE, Result.SUCCESS, NOW - SECOND)
    memory = Memory(inventory=fleet(3), expected=fleet(3), confirmed={DeviceId("x"): gone})
    verdict = judged(situated(desired, fleet(3) | some("x"), memory))
    report = summarize(running(desired), verdict, Work(), Remainder(), memory, due=LATER)
    assert ["names no live device" in one for one in report.remarks] == [True]


def test_figures_in_doubt_are_by_both_clocks() -> None:
    """A device that LG's clock still wants is wanted in the figures, too."""
    verdict = doubting(20)
    ends = DeviceId("ends")
    desired = replace(
        desiring(fleet(20) | {ends}), described={ends: Device(ends, until=NOW - SECOND)}
    )
    for theirs, missing in ((None, []), (NOW - HOUR, ["ends"])):
        run = running(desired, theirs=theirs)
        report = summarize(run, verdict, Work(), Remainder(), verdict.situation.memory, due=LATER)
        assert report.known is not None
        assert [one.device for one in report.known.subscribes] == missing


def test_a_report_shows_how_its_pass_began_with_a_list_and_without() -> None:
    """Pause, observe mode, rejection, LG's clock and opened windows are reported either way, each as it was."""
    opened = (Opening("nights", "mark", NOW, LATER),)
    run = running(
        DESIRED,
        rejected=Cause.UNVERIFIED,
        pause_override=PauseOverride(Pause.ALL, LATER, "night"),
        observing=True,
        theirs=NOW - HOUR,
        openings=opened,
    )
    for report in (
        summarize(run, CALM, Work(), Remainder(), Memory(), due=LATER),
        summarize_without_list(run, CALM, aborted(Reason.RETRY, LATER), due=LATER),
        summarize_without_list(run, None, aborted(Reason.RETRY, LATER), due=LATER),
    ):
        assert (report.desired, report.began, report.due) == (DESIRED, NOW, LATER)
        assert (report.pause, report.observing, report.rejected) == (
            Pause.ALL,
            True,
            Cause.UNVERIFIED,
        )
        assert (report.theirs, report.openings) == (NOW - HOUR, opened)


def test_without_a_list_everything_known_is_held() -> None:
    """By the last trusted list; each change has the reason why there is no list, unless a guard has another."""
    policy = Policy(pause=Pause.UNSUBSCRIBE)
    desired = desiring(fleet(3) | some("a"), policy)
    memory = Memory(inventory=fleet(3), expected=fleet(3) | some("x"))
    verdict = judged(situated(desired, memory.expected or (), memory))
    report = summarize_without_list(
        running(desired), verdict, aborted(Reason.RETRY, LATER), due=LATER
    )
    assert {one.change.device: one.reason for one in report.held} == {
        "a": Reason.RETRY,
        "x": Reason.PAUSED,
    }
    assert (report.plan, report.observed, report.trusted) == (verdict.plan, None, False)
    assert (report.error, report.remarks, report.due) == ("no list", (ON_THE_LAST_LIST,), LATER)
    assert (report.budget_remaining, report.pause) == (verdict.budget, Pause.UNSUBSCRIBE)


def test_an_account_that_never_had_a_list_holds_nothing() -> None:
    """Nothing is known of what is live, so nothing can be said to be missing."""
    run = running(DESIRED, rejected=Cause.INVALID, observing=True, theirs=LATER)
    report = summarize_without_list(run, None, aborted(Reason.RETRY, LATER), due=LATER)
    assert (report.plan, report.held, report.budget_remaining, report.remarks) == (None, (), 0, ())
    assert (report.rejected, report.observing, report.theirs, report.began) == (
        Cause.INVALID,
        True,
        LATER,
        NOW,
    )


def test_calls_that_are_used_up_are_no_error() -> None:
    """They are remarked on, with the time of the next try."""
    report = summarize_without_list(RUN, CALM, aborted(Reason.QUOTA, LATER), due=LATER)
    assert report.error == ""
    assert report.remarks == (ON_THE_LAST_LIST, "no list; asked again at 2026-11-22T13:00:00Z")


# -- the pass itself


@pytest.mark.parametrize(
    ("in_file", "by_command", "pause"),
    [
        (Pause.NONE, Pause.NONE, Pause.NONE),
        (Pause.UNSUBSCRIBE, Pause.NONE, Pause.UNSUBSCRIBE),
        (Pause.UNSUBSCRIBE, Pause.ALL, Pause.ALL),
    ],
)
def test_the_stricter_pause_counts(in_file: Pause, by_command: Pause, pause: Pause) -> None:
    """That of the file and that by command are one."""
    desired = desiring((), Policy(pause=in_file))
    assert running(desired, pause_override=PauseOverride(by_command)).pause is pause


def test_a_pass_is_judged_by_all_that_it_began_with() -> None:
    """Nothing of it is left out of the question to the guards."""
    override, platform = PauseOverride(Pause.ALL, LATER, "night"), Platform(full_until=LATER)
    files, opened = Unsettled(fleet(1), "half written"), (Opening("nights", "mark", NOW, LATER),)
    run = running(
        DESIRED,
        accepted=AccountRevision(DESIRED, REVISION, Cause.INVALID, files),
        pause_override=override,
        observing=True,
        theirs=LATER,
        sure=NOW - HOUR,
        openings=opened,
    )
    observed, memory = Observed(fleet(3), NOW), Memory()
    assert run.situation(observed, memory, platform) == Situation(
        desired=DESIRED,
        observed=observed,
        memory=memory,
        now=NOW,
        observing=True,
        rejected=Cause.INVALID,
        pause_override=override,
        platform=platform,
        unsettled=files,
        elsewhere=MappingProxyType({}),
        theirs=LATER,
        sure=NOW - HOUR,
        openings=opened,
    )


@pytest.mark.parametrize(
    ("reason", "platform"),
    [
        (Reason.ACCOUNT_STOPPED, Platform(stopped="no list", stopped_until=LATER)),
        (Reason.QUOTA, Platform(throttled_until=LATER)),
        (Reason.RETRY, Platform()),
    ],
)
def test_why_there_is_no_list_is_what_lg_does_not_allow(reason: Reason, platform: Platform) -> None:
    """A stopped account and one without calls hold by their own guards; a failed list is no guard's."""
    assert aborted(reason, LATER).platform == platform


@pytest.mark.parametrize(
    ("work", "over"),
    [
        (Work(), False),
        (Work(full=FULL), False),
        (Work(outdated=True), True),
        (Work(ended=Unavailable("down")), True),
        (Work(opens_at=LATER), True),
    ],
)
def test_work_is_over(work: Work, *, over: bool) -> None:
    """LG's cap ends no work: an unsubscribe may make room."""
    assert work.over is over
