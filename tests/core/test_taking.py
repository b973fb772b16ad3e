"""What rules take of LG's registry, and what that means for a lock."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import AccountName, Desired, DeviceId
from reconciler.core.registry_news import news
from reconciler.core.rules import (
    LockHead,
    LockLine,
    Registered,
    Registry,
    Rule,
    Ruled,
    doubt,
    fingerprint,
    pending,
    resolved,
    taken,
)
from reconciler.core.wildcards import Wildcard

SEOUL = AccountName("seoul")
READ = datetime(2026, 11, 30, 9, tzinfo=UTC)
IDS = [DeviceId(f"d{number:02}") for number in range(13)]


def washer(device: str, alias: str | None = "Room 1", model: str | None = "F2X") -> Registered:
    """Return a washer as LG lists it."""
    return Registered(DeviceId(device), "DEVICE_WASHER", alias, model)


def ruled(
    *rules: Rule, made_of: tuple[Rule, ...] | None = None, **more: frozenset[DeviceId]
) -> Ruled:
    """Return rules with a lock that fits them, unless it was made of others."""
    head = LockHead(SEOUL, fingerprint(rules if made_of is None else made_of), 13, READ)
    return Ruled(rules, "locks/seoul.txt", head, **more)


WASHERS = Rule("washers", frozenset({"washer"}))


@pytest.mark.parametrize(
    ("rule", "device", "taken_too"),
    [
        (Rule("all"), Registered(DeviceId("a")), True),
        (Rule("all", except_=frozenset({DeviceId("a")})), Registered(DeviceId("a")), False),
        (WASHERS, washer("a"), True),
        (WASHERS, Registered(DeviceId("a"), "DEVICE_OVEN"), False),
        (WASHERS, Registered(DeviceId("a")), False),
        (Rule("r", alias="Room *"), washer("a", "Room 12"), True),
        (Rule("r", alias="Room *"), washer("a", " Room 12 "), True),
        (Rule("r", alias="Room *"), washer("a", "room 12"), False),
        (Rule("r", alias="Room *"), washer("a", "A Room 12"), False),
        (Rule("r", alias="*"), washer("a", None), False),
        (Rule("r", alias="Room 1?"), washer("a", "Room 1"), False),
        (Rule("r", alias="Room [12]"), washer("a", "Room 2"), True),
        (Rule("r", alias="Room [!12]"), washer("a", "Room 2"), False),
        (Rule("r", alias="B1/*"), washer("a", "B1/7"), True),
        (Rule("r", alias=".*"), washer("a", "x"), False),
        (Rule("r", alias="*"), washer("a", ".hidden"), True),
        (Rule("r", model="F2*"), washer("a"), True),
        (Rule("r", model="F2*"), washer("a", model=None), False),
        (Rule("r", frozenset({"washer"}), "Room *", "F3*"), washer("a"), False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(
    rule: Rule, device: Registered, *, taken_too: bool
) -> None:
    """A rule takes a device for which each condition that it gives holds; what LG does not say meets none."""
    assert rule.takes(device) is taken_too


def test_korean_letters_match_however_they_are_written() -> None:
    """A name that was typed on a Mac, with each letter in parts, is the same name."""
    rule = Rule("r", alias=unicodedata.normalize("NFD", "세탁기 *"))
    assert rule.takes(washer("a", unicodedata.normalize("NFC", "세탁기 1")))
    assert replace(rule, alias="세탁기 ?").takes(
        washer("a", unicodedata.normalize("NFD", "세탁기 각"))
    )


def test_neither_the_order_of_rules_nor_of_their_ids_matters() -> None:
    """A fingerprint changes with what rules say, and with nothing else."""
    one = Rule("a", frozenset({"washer", "oven"}), except_=frozenset(IDS))
    other = Rule("b", alias="x")
    assert fingerprint([one, other]) == fingerprint([other, one])
    changed = [
        replace(one, name="c"),
        replace(one, types=frozenset({"oven"})),
        replace(one, alias="*"),
        replace(one, model="*"),
        replace(one, except_=frozenset(IDS[1:])),
    ]
    assert len({fingerprint([each]) for each in (one, *changed)}) == len(changed) + 1


def test_of_several_rules_the_first_by_name_takes_a_device() -> None:
    """The lock names one rule for each device, whatever the order in the file."""
    found = taken([Rule("b"), Rule("a", frozenset({"oven"}))], [washer("x"), washer("w")])
    assert [(device, rule.name) for device, (_one, rule) in found.items()] == [
        ("w", "b"),
        ("x", "b"),
    ]


def lines(*devices: DeviceId) -> dict[DeviceId, LockLine]:
    """Return the lines of a lock as rules made them."""
    return {device: LockLine("Room 1", "washer", "washers") for device in devices}


def test_what_the_registry_lacks_or_what_was_renamed_stays_until_it_is_pruned() -> None:
    """A line stays while LG lists its device no more, or under a name that no rule takes; prune takes both out."""
    rules = ruled(Rule("r", alias="Room *"))
    registry = [washer("d01"), washer("d02", "Lobby")]
    kept = resolved(SEOUL, rules, lines(*IDS[:3]), registry)
    assert kept.lines.keys() == {"d00", "d01", "d02"}
    assert (kept.added, kept.removed, kept.gone) == ((), (), ("d00", "d02"))
    pruned = resolved(SEOUL, rules, lines(*IDS[:3]), registry, prune=True)
    assert (tuple(pruned.lines), pruned.removed) == (("d01",), ("d00", "d02"))


def test_after_an_edit_of_the_rules_what_no_rule_takes_falls_out() -> None:
    """Who narrows a rule wants fewer devices: those that LG lists go. One that it lacks now stays."""
    rules = ruled(Rule("r", alias="Room *"), made_of=(Rule("r", alias="*"),))
    found = resolved(SEOUL, rules, lines(*IDS[:3]), [washer("d01"), washer("d02", "Lobby")])
    assert (found.removed, found.gone) == (("d02",), ("d00",))


def test_a_lock_without_head_loses_nothing() -> None:
    """A device file that becomes a lock keeps its lines: nobody knows which rules it was made of."""
    rules = replace(ruled(Rule("r", alias="Room *")), head=None)
    found = resolved(SEOUL, rules, lines(*IDS[:3]), [washer("d01"), washer("d02", "Lobby")])
    assert found.lines.keys() == set(IDS[:3])


def test_what_is_excepted_or_listed_elsewhere_leaves_the_lock() -> None:
    """A person said so in the file itself, so it does not depend on LG's answer."""
    rules = ruled(Rule("r", except_=frozenset({IDS[0]})), listed=frozenset({IDS[1]}))
    found = resolved(SEOUL, rules, lines(*IDS[:3]), [washer("d01")])
    assert found.removed == ("d00", "d01")
    assert found.gone == ("d02",)


def test_ignored_devices_are_never_taken() -> None:
    """What the policy ignores is managed elsewhere."""
    found = resolved(SEOUL, ruled(WASHERS), {}, [washer("d00"), washer("d01")], leave={IDS[0]})
    assert tuple(found.lines) == ("d01",)


@pytest.mark.parametrize(
    ("count", "before", "doubted"),
    [
        (0, None, "LG's registry is empty"),
        (0, 3, "LG's registry is empty"),
        (1, None, ""),
        (1, 9, ""),
        (5, 10, ""),
        (
            4,
            10,
            "LG's registry has 4 devices, fewer than half of the 10 that it had when the lock was written",
        ),
        (
            6,
            13,
            "LG's registry has 6 devices, fewer than half of the 13 that it had when the lock was written",
        ),
        (7, 13, ""),
    ],
)
def test_a_registry_that_lost_half_is_doubted(count: int, before: int | None, doubted: str) -> None:
    """An empty registry is never believed, and one of ten or more not with fewer than half."""
    head = None if before is None else LockHead(SEOUL, "0" * 64, before, READ)
    registry = [washer(f"d{number}") for number in range(count)]
    assert doubt(registry, head) == doubted


def test_a_registry_that_contradicts_itself_is_doubted() -> None:
    """One device under two names is no answer; the same item twice is one device."""
    assert doubt([washer("a"), washer("a", "other")], None).startswith(
        "LG's registry names a device twice"
    )
    assert doubt([washer("a"), washer("a")], None) == ""
    head = LockHead(SEOUL, "0" * 64, 13, READ)
    assert "6 devices" in doubt([washer(f"d{number}") for number in range(6)] * 2, head)


def test_what_waits_for_resolve_is_counted_for_each_rule() -> None:
    """Every rule has its number, also 0; devices that are wanted or ignored already do not count."""
    rules = ruled(Rule("r", alias="Room *"), Rule("ovens", frozenset({"oven"})))
    found = pending(rules, {IDS[0]}, {IDS[1]}, [washer(device) for device in IDS[:4]])
    assert {name: [one.id for one in devices] for name, devices in found.of_rule.items()} == {
        "ovens": [],
        "r": ["d02", "d03"],
    }
    assert (found.total, found.rule_of(IDS[2]), found.rule_of(IDS[0])) == (2, "r", None)


registries = st.lists(
    st.builds(
        Registered,
        st.sampled_from(IDS),
        st.sampled_from([None, "DEVICE_WASHER", "DEVICE_OVEN", "", "SIGNAGE"]),
        st.none() | st.sampled_from(["Room 1", "Lobby", " ", "세탁기"]),
        st.none() | st.sampled_from(["F2X", "K"]),
    ),
    max_size=20,
)
rules_of_all_kinds = st.lists(
    st.builds(
        Rule,
        st.sampled_from(["a", "b", "c"]),
        st.frozensets(st.sampled_from(["washer", "oven"])),
        st.none() | st.sampled_from(["*", "Room *", "[L]obby"]),
        st.none() | st.just("F?*"),
        st.frozensets(st.sampled_from(IDS), max_size=2),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda rule: rule.name,
)


@given(rules_of_all_kinds, registries, st.sets(st.sampled_from(IDS)))
def test_no_registry_takes_a_line_out_of_a_lock_that_fits(
    rules: list[Rule], registry: list[Registered], locked: set[DeviceId]
) -> None:
    """Whatever LG answers, a lock whose rules did not change only grows, unless a rule excepts a device."""
    fitting = ruled(*rules)
    found = resolved(SEOUL, fitting, lines(*locked), registry)
    excepted = frozenset(IDS).intersection(*(rule.except_ for rule in rules))
    assert found.lines.keys() >= locked - excepted
    assert set(found.added) <= {device.id for device in registry}


@given(rules_of_all_kinds, registries, st.sets(st.sampled_from(IDS)), st.data())
def test_the_order_of_the_answer_does_not_matter(
    rules: list[Rule], registry: list[Registered], locked: set[DeviceId], data: st.DataObject
) -> None:
    """Any order of a registry that is believed makes the same lock and the same pending devices."""
    unique = list({device.id: device for device in registry}.values())
    shuffled = data.draw(st.permutations(unique))
    fitting = ruled(*rules)
    assert resolved(SEOUL, fitting, lines(*locked), shuffled) == resolved(
        SEOUL, fitting, lines(*locked), unique
    )
    assert pending(fitting, locked, (), shuffled) == pending(fitting, locked, (), unique)


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("a*a", ["aa", "aba"], ["a", "ab"]),
        ("Room *", ["Room ", "Room 7"], ["Room", "a Room 7"]),
        ("*a*b*", ["ab", "xaxbx"], ["ba", "a"]),
        ("ab*bc", ["abbc"], ["abc"]),
        ("[!ab]?", ["cd"], ["ad", "c"]),
    ],
)
def test_a_pattern_of_an_alias_takes_no_character_twice(
    pattern: str, fits: list[str], fits_not: list[str]
) -> None:
    """Its beginning and its end are different parts of the name, however short that is."""
    wildcard = Wildcard(pattern)
    assert [wildcard.matches(one) for one in fits] == [True] * len(fits)
    assert [wildcard.matches(one) for one in fits_not] == [False] * len(fits_not)


@pytest.mark.parametrize("doubted", ["", "LG's registry is empty"])
def test_the_news_of_a_registry_say_why_a_newer_one_is_not_believed(doubted: str) -> None:
    """Beside what waits by the one that was believed, with its date; without one, only that."""
    rules = ruled(Rule("r", alias="Room *"))
    desired = Desired(SEOUL, frozenset(), ruled=rules)
    believed = Registry((washer(IDS[0]),), READ)
    for registry, total in ((believed, 1), (None, 0)):
        found = news(desired, registry, doubted)
        assert found is not None
        assert (found.doubted, found.pending.total) == (doubted, total)
        assert found.read == (READ if registry is not None else None)
        assert any("doubted" in one for one in found.remarks) is bool(doubted)
    assert news(replace(desired, ruled=None), believed, doubted) is None
