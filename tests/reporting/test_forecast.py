"""What changes by itself: the next moments, and whether the guards would hold what ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core_strategies import ACCOUNT, HOUR, NOW, desiring
from reconciler.core.acceptance import AccountRevision
from reconciler.core.model import (
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    Pause,
    Policy,
    Prune,
    Revision,
)
from reconciler.reporting.forecast import OF_ACCOUNT, OF_ALL, BoundaryReport, Calendar, boundaries

SOON, LATER = NOW + HOUR, NOW + 30 * HOUR


def ending(
    count: int, *, of: int, policy: Policy | None = None, approvals: Sequence[Approval] = ()
) -> Desired:
    """Return a text of so many devices, the first of which end soon."""
    devices = [
        Device(DeviceId(f"d{number:03}"), until=SOON if number < count else None)
        for number in range(of)
    ]
    return replace(desiring(devices), policy=policy or Policy(), approvals=tuple(approvals))


def only(desired: Desired) -> BoundaryReport:
    """Return the one moment that a text has."""
    (found,) = boundaries(desired, NOW)
    return found


def test_a_text_without_dates_has_no_moments() -> None:
    """Where nothing has a date, nothing comes by itself."""
    assert boundaries(ending(0, of=10), NOW) == ()


def test_few_devices_end_and_go() -> None:
    """What ends within the limit is not held."""
    found = only(ending(5, of=100))
    assert (found.at, found.account, found.begins, found.ends) == (SOON, ACCOUNT, 0, 5)
    assert (found.held, found.reason, found.message) == (0, None, "")


def test_too_many_devices_end_and_would_be_held() -> None:
    """What ends past the limit would be held, with the guard's own words and numbers."""
    found = only(ending(11, of=100))
    assert (found.ends, found.held, found.reason) == (11, 11, "too-many")
    assert found.message.startswith(
        "11 devices would be unsubscribed within 24 hours, 10 are allowed"
    )


def test_devices_that_begin_first_end_later_as_all_others() -> None:
    """What is live by then is judged, not what is live now."""
    devices = [
        Device(DeviceId(f"d{number:03}"), from_=SOON, until=LATER)
        if number < 11
        else Device(DeviceId(f"d{number:03}"))
        for number in range(100)
    ]
    begin, end = boundaries(desiring(devices), NOW)
    assert (begin.at, begin.begins, begin.ends, begin.held) == (SOON, 11, 0, 0)
    assert (end.at, end.begins, end.ends, end.held, end.reason) == (LATER, 0, 11, 11, "too-many")


def test_an_approval_in_force_then_lets_devices_end() -> None:
    """Approved devices are not held, unless the approval has expired by then."""
    devices = frozenset(DeviceId(f"d{number:03}") for number in range(11))
    lasting = Approval(devices, LATER, "the wing closes")
    assert boundaries(ending(11, of=100, approvals=[lasting]), NOW)[0].held == 0
    expiring = replace(lasting, expires=SOON)
    found = only(ending(11, of=100, approvals=[expiring]))
    assert (found.held, found.expires) == (11, ("the wing closes",))


def test_devices_that_end_with_an_approval_count_for_no_later_moment() -> None:
    """Eight devices go approved, and eight more within the same day are still within the limit."""
    devices = [
        Device(DeviceId(f"d{number:03}"), until=(SOON, SOON + HOUR, None)[min(number // 8, 2)])
        for number in range(100)
    ]
    leaving = frozenset(device.id for device in devices[:8])
    approval = Approval(leaving, LATER, "the wing is closed")
    first, second, *_ = boundaries(replace(desiring(devices), approvals=(approval,)), NOW)
    assert (first.ends, first.held) == (8, 0)
    assert (second.ends, second.held, second.reason) == (8, 0, None)
    _, without = boundaries(desiring(devices), NOW)
    assert (without.ends, without.held, without.reason) == (8, 8, "too-many")


def test_moments_of_one_day_are_counted_together() -> None:
    """Devices that end within a day of each other count as one removal, as they do for the guard."""
    hours = range(1, 4)
    devices = [
        Device(DeviceId(f"d{hour}{number}"), until=NOW + hour * HOUR)
        for hour in hours
        for number in range(4)
    ]
    devices += [Device(DeviceId(f"stays{number}")) for number in range(40)]
    assert [(one.ends, one.held) for one in boundaries(desiring(devices), NOW)] == [
        (4, 0),
        (4, 4),
        (4, 4),
    ]
    apart = [
        replace(one, until=NOW + (one.until - NOW) * 24) if one.until else one for one in devices
    ]
    assert [(one.ends, one.held) for one in boundaries(desiring(apart), NOW)] == [
        (4, 0),
        (4, 0),
        (4, 0),
    ]


def test_devices_begin() -> None:
    """A device whose date comes begins."""
    found = only(desiring([Device(DeviceId("a"), from_=SOON)]))
    assert (found.begins, found.ends) == (1, 0)


def test_policy_of_the_text_is_told() -> None:
    """Under a pause what ends would be held by it; where nothing is pruned it stays; an ignored device is nobody's."""
    paused = only(ending(2, of=10, policy=Policy(pause=Pause.UNSUBSCRIBE)))
    assert (paused.held, paused.reason) == (2, "paused")
    kept = only(ending(2, of=10, policy=Policy(prune=Prune.NONE)))
    assert (kept.ends, kept.held, kept.message) == (
        2,
        0,
        "they stay subscribed: policy.prune is none",
    )
    ignored = only(ending(2, of=10, policy=Policy(ignore=frozenset({DeviceId("d000")}))))
    assert ignored.ends == 1


dates = st.none() | st.integers(-5, 60).map(lambda hours: NOW + hours * HOUR)


@given(st.lists(st.tuples(dates, dates), max_size=8), st.integers(1, 6))
def test_moments_are_those_of_the_text(spans: Sequence[tuple[object, object]], most: int) -> None:
    """The moments are the text's next boundaries in order, and the counts follow what is wanted before and after."""
    devices = [
        Device(DeviceId(f"d{number}"), from_=from_, until=until)  # type: ignore[arg-type]  # drawn from one strategy
        for number, (from_, until) in enumerate(spans)
    ]
    desired = desiring(devices)
    expected: list[datetime] = []
    at = desired.next_boundary(NOW)
    while at is not None and len(expected) < most:
        expected.append(at)
        at = desired.next_boundary(at)
    found = boundaries(desired, NOW, most)
    assert [one.at for one in found] == expected
    wanted = desired.wanted_at(NOW)
    for one in found:
        after = desired.wanted_at(one.at)
        assert (one.begins, one.ends) == (len(after - wanted), len(wanted - after))
        assert 0 <= one.held <= one.ends
        wanted = after


def test_the_calendar_moves_on_without_an_edit() -> None:
    """When a date has passed it is not shown any more, and the next ones are, although the text is the same."""
    text = desiring(
        [
            Device(DeviceId(f"d{number:02}"), until=NOW + number * HOUR)
            for number in range(1, OF_ACCOUNT + 2)
        ]
    )
    texts = {ACCOUNT: AccountRevision(text, Revision("0"))}
    calendar = Calendar()

    def hours(now: datetime) -> list[float]:
        return [(one.at - NOW) / HOUR for one in calendar.coming(texts, now)]

    assert hours(NOW) == list(range(1, OF_ACCOUNT + 1))
    assert hours(SOON) == list(range(2, OF_ACCOUNT + 2))
    assert hours(LATER) == []


def test_the_calendar_of_all_accounts() -> None:
    """All accounts come in one order of time, so many at most, and follow a new text and the passing of moments."""
    calendar = Calendar()

    def texts(until: timedelta, accounts: int = 60) -> dict[AccountName, AccountRevision]:
        names = [AccountName(f"a{number:02}") for number in range(accounts)]
        made = desiring([Device(DeviceId("x"), until=NOW + until)])
        return {name: AccountRevision(replace(made, account=name), Revision("0")) for name in names}

    first = texts(HOUR)
    found = calendar.coming(first, NOW)
    assert len(found) == OF_ALL
    assert [one.account for one in found[:2]] == ["a00", "a01"]
    assert calendar.coming(first, NOW)[0] is found[0]
    assert {one.at for one in calendar.coming(texts(2 * HOUR), NOW)} == {NOW + 2 * HOUR}
    assert calendar.coming(first, SOON) == ()
    assert calendar.coming(first, NOW) == found
    assert calendar.coming({}, NOW) == ()
