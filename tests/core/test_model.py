"""The values that all rooms share: what they tell of themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.model import (
    AccountName,
    Action,
    Approval,
    Change,
    Commit,
    Desired,
    Device,
    DeviceId,
    Held,
    Kind,
    Observed,
    Outcome,
    Plan,
    Reason,
    Result,
    Revision,
    Tripped,
    Unsettled,
)

ACCOUNT = AccountName("hotel")
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def desired(*devices: Device, plain: tuple[str, ...] = (), approvals: int = 0) -> Desired:
    """Return a desired state with these entries, and for each of these hours an approval that ends then."""
    ids = {device.id for device in devices} | {DeviceId(one) for one in plain}
    words = tuple(
        Approval(frozenset({DeviceId(f"gone-{hours}")}), NOW + hours * HOUR, "moved")
        for hours in range(1, approvals + 1)
    )
    return Desired(
        ACCOUNT, frozenset(ids), {device.id: device for device in devices}, approvals=words
    )


def dated(name: str, from_: int | None, until: int | None) -> Device:
    """Return a device whose dates are this number of hours from now."""
    begin = None if from_ is None else NOW + from_ * HOUR
    end = None if until is None else NOW + until * HOUR
    return Device(DeviceId(name), from_=begin, until=end)


@pytest.mark.parametrize(
    ("found", "hours"),
    [
        (desired(plain=("a",)), None),
        (desired(dated("a", None, None)), None),
        (desired(dated("a", 3, 5)), 3),
        (desired(dated("a", -1, 5)), 5),
        (desired(dated("a", 0, None)), None),
        (desired(dated("a", None, 0)), None),
        (desired(dated("a", 7, 9), dated("b", None, 4)), 4),
        (desired(dated("a", 3, None), approvals=2), 1),
        (desired(plain=("a",), approvals=2), 1),
    ],
)
def test_the_next_boundary(found: Desired, hours: int | None) -> None:
    """The first date after now counts, of entries that come or go and of approvals that end."""
    assert found.next_boundary(NOW) == (None if hours is None else NOW + hours * HOUR)


@pytest.mark.parametrize("ours", [-1, 0, 1])
@pytest.mark.parametrize("theirs", [None, -1, 0, 1])
def test_an_approval_needs_both_clocks(ours: int, theirs: int | None) -> None:
    """It is in force as long as it has ended by neither clock."""
    approval = Approval(frozenset({DeviceId("a")}), NOW, "moved")
    found = Desired(ACCOUNT, frozenset(), approvals=(approval,))
    other = None if theirs is None else NOW + theirs * HOUR
    in_force = ours < 0 and (theirs is None or theirs < 0)
    assert bool(found.approved_by(NOW + ours * HOUR, other)) is in_force


@pytest.mark.parametrize("ours", [0, 1, 2])
@pytest.mark.parametrize("theirs", [None, 0, 1, 2])
def test_a_device_needs_one_clock(ours: int, theirs: int | None) -> None:
    """It is wanted as soon and as long as either clock says so: from its date on, and no more at its end."""
    found = desired(dated("a", 1, 2))
    other = None if theirs is None else NOW + theirs * HOUR
    assert bool(found.wanted_by(NOW + ours * HOUR, other)) is (1 in {ours, theirs})


def test_names_are_those_that_were_given() -> None:
    """A device without a name has none, whatever else its entry says."""
    found = desired(Device(DeviceId("a"), name="Room 1"), dated("b", 1, 2), plain=("c",))
    assert found.names == {"a": "Room 1"}


def test_an_entry_is_what_the_file_says() -> None:
    """A plain id is a device without more, and what is not listed has no entry."""
    named = Device(DeviceId("a"), name="Room 1")
    found = desired(named, plain=("b",))
    assert found.entry(DeviceId("a")) == named
    assert found.entry(DeviceId("b")) == Device(DeviceId("b"))
    assert found.entry(DeviceId("c")) is None


def test_what_was_edited() -> None:
    """Entries that came, went, or say something else count; the rest, and the same object, do not."""
    before = desired(dated("a", 1, 2), dated("b", 1, 2), plain=("c", "d"))
    after = desired(
        dated("a", 1, 2), dated("b", 1, 3), Device(DeviceId("e"), name="x"), plain=("c",)
    )
    assert after.edited_since(before) == {"b", "d", "e"}
    assert before.edited_since(before) == frozenset()
    assert replace(before).edited_since(before) == frozenset()
    named = desired(Device(DeviceId("c"), name="x"), plain=("d",))
    assert named.edited_since(desired(plain=("c", "d"))) == {"c"}


def test_who_made_a_revision() -> None:
    """A commit answers for what is in it; of an edit that is not committed nobody knows the author."""
    commit = Commit("abc", "Kim", "Add", NOW)
    dirty = replace(commit, dirty=True)
    assert Revision("d1").made_by is None
    assert Revision("d1", commit).made_by is commit
    assert Revision("d1", dirty).made_by is None
    words = [str(Revision("d1", one)) for one in (None, commit, dirty)]
    assert words == ["sha256:d1", "abc", "abc-dirty"]


def test_what_a_plan_holds() -> None:
    """One held change of a kind is enough, and others do not hide it."""
    changes = [Change(ACCOUNT, Action.UNSUBSCRIBE, DeviceId(one)) for one in "ab"]
    plan = Plan(ACCOUNT, held=(Held(changes[0], Reason.TOO_MANY), Held(changes[1], Reason.RETRY)))
    assert plan.holds(Reason.TOO_MANY.kind)
    assert plan.holds(Reason.RETRY.kind)
    assert not plan.holds(Kind.POLICY)
    assert not Plan(ACCOUNT).holds(Kind.GUARD)


def test_results_that_lg_confirmed() -> None:
    """A success and what was so already are confirmed; a failure and a refusal are not."""
    assert [one for one in Result if one.confirmed] == [Result.SUCCESS, Result.NOOP]


@pytest.mark.parametrize("same", [True, False])
def test_a_list_shares_the_set_that_is_known(same: bool) -> None:  # noqa: FBT001 - the case
    """Where a list is equal to what is known there is only one set; else it keeps its own."""
    known = frozenset({DeviceId("a"), DeviceId("b")})
    own = frozenset([*known]) if same else known - {DeviceId("a")}
    own = frozenset(list(own))
    observed = Observed(own, NOW)
    assert (observed.sharing(known).devices is known) is same
    assert observed.sharing(None) is observed
    assert observed.sharing(own) is observed


def test_what_is_left_out_says_nothing() -> None:
    """A plan, a commit and an outcome of which nothing more is known claim nothing."""
    change = Change(ACCOUNT, Action.SUBSCRIBE, DeviceId("a"))
    assert (Plan(ACCOUNT).in_sync, Plan(ACCOUNT).changes) == (0, 0)
    assert not Commit("abc", "Kim", "Add", NOW).dirty
    assert not Outcome(change, Result.SUCCESS, NOW).approved


def test_an_error_is_no_part_of_what_tripped() -> None:
    """Two guards that failed with the same words are equal, whichever error it was."""
    assert Tripped(Reason.GUARD_FAILED, "a", ValueError()) == Tripped(Reason.GUARD_FAILED, "a")
    assert Tripped(Reason.GUARD_FAILED, "a") != Tripped(Reason.GUARD_FAILED, "b")


def test_words_are_no_part_of_what_is_unsettled() -> None:
    """Two readings that leave the same devices open are equal, whatever is said of them and since when."""
    one, other = Unsettled(frozenset(), "a", NOW), Unsettled(frozenset(), "b", None)
    assert one == other
    assert one != Unsettled(None, "a", NOW)
