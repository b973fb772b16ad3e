"""The diff: every row of its truth table, the overlay, dates, counts and the digest."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

import pytest

from core_strategies import ACCOUNT, FOREVER, NOW, desiring, fleet, some, subscribes, unsubscribes
from reconciler.core.model import (
    NOTHING,
    AccountName,
    Action,
    Change,
    Confirmed,
    Device,
    DeviceId,
    Memory,
    Observed,
    Plan,
    Policy,
    Prune,
    Result,
)
from reconciler.core.planner import OVERLAY, digest, overlaid, plan

X = DeviceId("x")
MICROSECOND = timedelta(microseconds=1)

# (in D, in O, in I, owned) -> what the device is under prune all, owned, none
TRUTH_TABLE = {
    (False, False, False, False): ("nothing", "nothing", "nothing"),
    (False, False, False, True): ("nothing", "nothing", "nothing"),
    (False, False, True, False): ("nothing", "nothing", "nothing"),
    (False, False, True, True): ("nothing", "nothing", "nothing"),
    (False, True, False, False): ("unsubscribe", "unmanaged", "unmanaged"),
    (False, True, False, True): ("unsubscribe", "unsubscribe", "unmanaged"),
    (False, True, True, False): ("ignored", "ignored", "ignored"),
    (False, True, True, True): ("ignored", "ignored", "ignored"),
    (True, False, False, False): ("subscribe", "subscribe", "subscribe"),
    (True, False, False, True): ("subscribe", "subscribe", "subscribe"),
    (True, False, True, False): ("ignored", "ignored", "ignored"),
    (True, False, True, True): ("ignored", "ignored", "ignored"),
    (True, True, False, False): ("in sync", "in sync", "in sync"),
    (True, True, False, True): ("in sync", "in sync", "in sync"),
    (True, True, True, False): ("ignored", "ignored", "ignored"),
    (True, True, True, True): ("ignored", "ignored", "ignored"),
}
CASES = [
    (prune, row, expected)
    for row, by_prune in TRUTH_TABLE.items()
    for prune, expected in zip((Prune.ALL, Prune.OWNED, Prune.NONE), by_prune, strict=True)
]


def what_is_x(result: Plan) -> str:
    """Return the one thing that a plan says of device x."""
    found = [
        *("subscribe" for change in result.subscribes if change.device == X),
        *("unsubscribe" for change in result.unsubscribes if change.device == X),
        *(["unmanaged"] if X in result.unmanaged else []),
        *(["ignored"] if X in result.ignored else []),
        *(["in sync"] if result.in_sync else []),
    ]
    assert len(found) <= 1
    return found[0] if found else "nothing"


@pytest.mark.parametrize(("prune", "row", "expected"), CASES)
def test_truth_table(prune: Prune, row: tuple[bool, bool, bool, bool], expected: str) -> None:
    """Each row of the table gives a device exactly one place, under each ``prune``."""
    in_desired, in_observed, in_ignored, owned = (
        frozenset({X}) if there else frozenset() for there in row
    )
    result = plan(
        desiring(in_desired, Policy(prune=prune, ignore=in_ignored)),
        Observed(in_observed, NOW),
        Memory(inventory=owned),
        NOW,
    )
    assert what_is_x(result) == expected


def confirmed(action: Action, age: timedelta, result: Result = Result.SUCCESS) -> Memory:
    """Return a memory in which LG confirmed one change of device x so long ago."""
    return Memory(confirmed=MappingProxyType({X: Confirmed(action, result, NOW - age)}))


@pytest.mark.parametrize(
    ("age", "counts"),
    [
        (timedelta(0), True),
        (OVERLAY - MICROSECOND, True),
        (OVERLAY, False),
        (OVERLAY + MICROSECOND, False),
        (-timedelta(seconds=1), True),
        (-timedelta(hours=3), False),
    ],
)
@pytest.mark.parametrize("result", [Result.SUCCESS, Result.NOOP])
def test_overlay(age: timedelta, result: Result, *, counts: bool) -> None:
    """A confirmed change counts as true for a minute, whatever the list says, and not for hours on a clock set back."""
    observed_without, observed_with = Observed(some("y"), NOW), Observed(some("x", "y"), NOW)
    subscribed = overlaid(observed_without, confirmed(Action.SUBSCRIBE, age, result))
    unsubscribed = overlaid(observed_with, confirmed(Action.UNSUBSCRIBE, age, result))
    assert subscribed == (some("x", "y") if counts else some("y"))
    assert unsubscribed == (some("y") if counts else some("x", "y"))


def test_overlay_lasts_a_minute() -> None:
    """The span of the overlay is the documented one."""
    assert timedelta(seconds=60) == OVERLAY


def test_overlay_agrees_with_the_list() -> None:
    """A confirmed change that the list shows already changes nothing, and the list is handed on as it is."""
    observed = Observed(some("x"), NOW)
    assert overlaid(observed, confirmed(Action.SUBSCRIBE, timedelta(0))) == observed.devices
    assert overlaid(observed, Memory()) is observed.devices


def test_overlay_counts_from_when_the_list_was_asked_for() -> None:
    """The age of a change is measured against the beginning of the GET, not against the present."""
    memory = confirmed(Action.SUBSCRIBE, timedelta(0))
    late = Observed(frozenset(), NOW + OVERLAY)
    assert plan(desiring([X]), late, memory, NOW).subscribes == subscribes([X])
    early = Observed(frozenset(), NOW)
    assert plan(desiring([X]), early, memory, NOW + OVERLAY).in_sync == 1


def test_lagging_list_does_not_repeat_a_change() -> None:
    """A change of a moment ago is not made again because the list does not show it yet."""
    assert (
        plan(
            desiring([X]),
            Observed(frozenset(), NOW),
            confirmed(Action.SUBSCRIBE, timedelta(0)),
            NOW,
        ).changes
        == 0
    )
    gone = confirmed(Action.UNSUBSCRIBE, timedelta(0))
    assert plan(desiring(()), Observed(some("x"), NOW), gone, NOW).changes == 0


def test_lagging_list_does_not_hide_an_edit() -> None:
    """A device that was subscribed a moment ago and is unwanted now is unsubscribed, though the list lacks it yet."""
    memory = confirmed(Action.SUBSCRIBE, timedelta(0))
    assert plan(desiring(()), Observed(frozenset(), NOW), memory, NOW).unsubscribes == unsubscribes(
        [X]
    )
    gone = confirmed(Action.UNSUBSCRIBE, timedelta(0))
    assert plan(desiring([X]), Observed(some("x"), NOW), gone, NOW).subscribes == subscribes([X])


@pytest.mark.parametrize(
    ("from_", "until", "wanted"),
    [
        (None, None, True),
        (NOW, None, True),
        (NOW + MICROSECOND, None, False),
        (None, NOW, False),
        (None, NOW + MICROSECOND, True),
        (NOW, NOW + MICROSECOND, True),
        (NOW - MICROSECOND, NOW, False),
    ],
)
def test_dates(from_: datetime | None, until: datetime | None, *, wanted: bool) -> None:
    """A device is wanted from ``from``, inclusive, to ``until``, exclusive."""
    text = desiring([Device(X, from_=from_, until=until)])
    absent, live = Observed(frozenset(), NOW), Observed(some("x"), NOW)
    assert plan(text, absent, Memory(), NOW).subscribes == (subscribes([X]) if wanted else ())
    assert plan(text, live, Memory(), NOW).unsubscribes == (() if wanted else unsubscribes([X]))


def test_counts_are_a_partition() -> None:
    """In sync, missing, extra, unmanaged and ignored add up to all that is wanted or live."""
    text = desiring(
        some("a", "b", "c", "i"), Policy(prune=Prune.OWNED, ignore=some("i", "j", "nowhere"))
    )
    live = some("b", "c", "i", "j", "owned", "strange")
    result = plan(text, Observed(live, NOW), Memory(inventory=some("owned", "gone")), NOW)
    assert result.in_sync == 2
    assert result.subscribes == subscribes(some("a"))
    assert result.unsubscribes == unsubscribes(some("owned"))
    assert result.unmanaged == some("strange")
    assert result.ignored == some("i", "j")
    assert result.account == ACCOUNT


def test_an_ignored_device_that_is_wanted_and_gone_is_not_in_sync() -> None:
    """An ignored device counts as ignored only, live or not."""
    text = desiring(some("a", "i"), Policy(ignore=some("i")))
    for live in (some("a"), some("a", "i")):
        result = plan(text, Observed(live, NOW), Memory(), NOW)
        assert (result.in_sync, result.ignored, result.changes) == (1, some("i"), 0)


def test_changes_are_sorted() -> None:
    """Changes are in the order of their ids, so equal plans are equal values."""
    result = plan(desiring(some("c", "a", "b")), Observed(some("z", "x", "y"), NOW), Memory(), NOW)
    assert [change.device for change in result.subscribes] == ["a", "b", "c"]
    assert [change.device for change in result.unsubscribes] == ["x", "y", "z"]


def test_approved_are_the_candidates_that_an_approval_in_force_names() -> None:
    """An approval says something only of devices that would go; an expired one says nothing."""
    live = Observed(some("a", "b", "stays"), NOW)
    in_force = desiring(some("stays"), approved=some("a", "elsewhere"))
    assert plan(in_force, live, Memory(), NOW).approved == some("a")
    expired = desiring(some("stays"), approved=some("a"), expires=NOW)
    assert plan(expired, live, Memory(), NOW).approved == frozenset()
    just_in_force = desiring(some("stays"), approved=some("a"), expires=NOW + MICROSECOND)
    assert plan(just_in_force, live, Memory(), NOW).approved == some("a")


def test_an_approval_makes_nothing_ours() -> None:
    """An approved device that ``prune`` leaves alone is left alone."""
    for policy in (Policy(prune=Prune.NONE), Policy(prune=Prune.OWNED), Policy(ignore=some("a"))):
        result = plan(
            desiring((), policy, approved=some("a")), Observed(some("a"), NOW), Memory(), NOW
        )
        assert (result.changes, result.approved) == (0, frozenset())


def losing(losses: int, last: Confirmed | None) -> Memory:
    """Return a memory in which LG took a subscribe of device x again so many times, and of what it confirmed last."""
    again = (
        {X: tuple(NOW - timedelta(hours=number + 2) for number in range(losses))} if losses else {}
    )
    return Memory(
        confirmed=MappingProxyType({} if last is None else {X: last}),
        resubscribed=MappingProxyType(again),
    )


TAKEN = Confirmed(Action.SUBSCRIBE, Result.SUCCESS, NOW - timedelta(minutes=10))


@pytest.mark.parametrize(
    ("losses", "last", "live", "flapping"),
    [
        (0, TAKEN, False, False),
        (3, TAKEN, False, False),
        (4, TAKEN, False, True),
        (4, TAKEN, True, False),
        (5, TAKEN, True, True),
        (5, TAKEN, False, True),
        (4, replace(TAKEN, result=Result.NOOP), False, False),
        (4, replace(TAKEN, action=Action.UNSUBSCRIBE), False, False),
        (4, None, False, False),
        (5, None, False, True),
    ],
)
def test_a_device_lost_five_times_is_flapping(
    losses: int, last: Confirmed | None, *, live: bool, flapping: bool
) -> None:
    """Each subscribe that LG took again tells of a loss, and so does now, if LG took the last one and lists it not."""
    result = plan(
        desiring([X]), Observed(some("x") if live else frozenset(), NOW), losing(losses, last), NOW
    )
    assert result.flapping == (some("x") if flapping else frozenset())
    assert what_is_x(result) == ("in sync" if live else "subscribe")


def test_only_what_is_wanted_is_flapping() -> None:
    """A device that is not wanted any more, or ignored, is nobody's signal, however often it was lost."""
    memory, observed = losing(9, TAKEN), Observed(frozenset(), NOW)
    assert plan(desiring([X]), observed, memory, NOW).flapping == some("x")
    assert plan(desiring(some("y")), observed, memory, NOW).flapping == frozenset()
    assert (
        plan(desiring([X], Policy(ignore=some("x"))), observed, memory, NOW).flapping == frozenset()
    )
    assert plan(desiring([Device(X, until=NOW)]), observed, memory, NOW).flapping == frozenset()


def test_digest_is_a_sha256_in_hexadecimal() -> None:
    """A digest says how it was made, then 64 hexadecimal digits."""
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest(ACCOUNT, []))


def test_digest_of_known_input() -> None:
    """A digest never changes between releases: people keep it in pipelines."""
    # printf 'seoul-hotel\na\nb\n' | sha256sum
    assert digest(ACCOUNT, some("b", "a")) == (
        "sha256:8757088774159cb5b39b4b960aefc8a84af74adf72ad795aa010deb192a1789d"
    )


def test_digest_does_not_depend_on_order() -> None:
    """Equal sets of unsubscribes have equal digests, in whatever order they come."""
    ids = sorted(fleet(50))
    assert digest(ACCOUNT, ids) == digest(ACCOUNT, reversed(ids)) == digest(ACCOUNT, frozenset(ids))


def test_digest_tells_accounts_and_sets_apart() -> None:
    """Another account, one device more or less, or the same letters cut differently make another digest."""
    digests = [
        digest(ACCOUNT, some("a", "b")),
        digest(AccountName("busan-hotel"), some("a", "b")),
        digest(ACCOUNT, some("a")),
        digest(ACCOUNT, some("ab")),
        digest(ACCOUNT, ()),
    ]
    assert len(set(digests)) == len(digests)


def test_digest_is_of_the_unsubscribes_alone() -> None:
    """Subscribes, unmanaged and ignored devices do not change the digest; approvals and pauses do not either."""
    live = Observed(some("out", "live"), NOW)
    plain = plan(desiring(some("live")), live, Memory(), NOW).digest
    assert plain == digest(ACCOUNT, some("out"))
    assert (
        plan(desiring(some("live", "new"), approved=some("out")), live, Memory(), NOW).digest
        == plain
    )
    assert plan(
        desiring(some("live"), Policy(prune=Prune.NONE)), live, Memory(), NOW
    ).digest == digest(ACCOUNT, ())


def test_a_change_without_an_id_cannot_be_built() -> None:
    """A server might take a call without an id for all devices, so there is no such change."""
    with pytest.raises(ValueError, match="needs a device id"):
        Change(ACCOUNT, Action.UNSUBSCRIBE, DeviceId(""))
    with pytest.raises(ValueError, match="needs a device id"):
        plan(desiring(()), Observed(some(""), NOW), Memory(), NOW)


def test_nothing_known_owns_nothing() -> None:
    """With an empty memory nothing is owned, so ``prune = "owned"`` removes nothing."""
    result = plan(desiring((), Policy(prune=Prune.OWNED)), Observed(fleet(30), NOW), Memory(), NOW)
    assert (result.unsubscribes, result.unmanaged) == ((), fleet(30))


def test_dates_do_not_change_what_an_approval_names() -> None:
    """A device that is desired and approved at once, having an ``until``, is approved only once it may go."""
    text = desiring([Device(X, until=NOW)], approved=[X], expires=FOREVER)
    live = Observed(some("x"), NOW)
    assert plan(text, live, Memory(), NOW - MICROSECOND).approved == frozenset()
    assert plan(text, live, Memory(), NOW).approved == some("x")


def test_a_list_that_says_what_is_known_is_kept_as_the_set_that_is_known() -> None:
    """Of a million devices there is one set, not two; another list stays what LG said."""
    known = frozenset({X})
    assert Observed(frozenset({X}), NOW).sharing(known).devices is known
    assert Observed(frozenset(), NOW).sharing(known) == Observed(frozenset(), NOW)
    assert Observed(known, NOW).sharing(None) == Observed(known, NOW)


def test_an_account_with_nothing_to_say_shares_the_one_empty_set() -> None:
    """Of thousands of accounts in sync none has empty sets of its own."""
    result = plan(desiring({X}), Observed(frozenset({X}), NOW), Memory(), NOW)
    sets = (result.unmanaged, result.ignored, result.flapping, result.approved)
    assert all(one is NOTHING for one in sets)
