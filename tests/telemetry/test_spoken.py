"""The facts of a log line in the words of people: each kind of value, and what a terminal does without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from reconciler.core.model import Action, Reason
from reconciler.telemetry.spoken import spoken

SEOUL = timezone(timedelta(hours=9))
DEVICE = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("words", "words"),
        (7, 7),
        (0, 0),
        (True, "yes"),
        (False, "no"),
        (1.5, "1.5"),
        (2.0, "2"),
        (0.12345, "0.123"),
        (0.0, "0"),
        (Reason.TOO_MANY, "too-many"),
        (timedelta(minutes=90), "1h30m"),
        (datetime(2026, 11, 22, 1, tzinfo=UTC), "2026-11-22 01:00:00 UTC"),
        (datetime(2026, 11, 22, 1, tzinfo=SEOUL), "2026-11-21 16:00:00 UTC"),
        (["b", "a"], "b, a"),
        (("b", Action.SUBSCRIBE, 1), "b, subscribe, 1"),
        ({"b", "a", "c"}, "a, b, c"),
        (frozenset({Reason.TOO_MANY}), "too-many"),
        ({"b": 2, "a": 0, Reason.TOO_MANY: 1}, "b 2, too-many 1"),
        ([datetime(2026, 11, 22, 1, tzinfo=SEOUL)], "2026-11-21 16:00:00 UTC"),
    ],
)
def test_each_kind_of_value_has_its_words(value: Any, words: Any) -> None:
    """Nothing that only Python understands; moments are in UTC wherever they come from."""
    assert spoken({"event": "x", "fact": value}) == {"event": "x", "fact": words}


@pytest.mark.parametrize("value", [None, "", [], (), set(), {}, {"a": 0}])
def test_what_says_nothing_is_left_out(value: Any) -> None:
    """Where a fact is not known or empty, a person reads on sooner without it."""
    assert spoken({"event": "x", "fact": value}) == {"event": "x"}


def test_only_in_the_counts_of_a_pass_a_zero_says_nothing() -> None:
    """Elsewhere none is a number that somebody may look for."""
    facts = {"subscribed": 0, "seconds": 0.0, "held": 2}
    assert spoken({"event": "pass.completed", **facts}) == {"event": "pass.completed", "held": 2}
    assert spoken({"event": "other", **facts}) == {
        "event": "other",
        "subscribed": 0,
        "seconds": "0",
        "held": 2,
    }


def test_what_people_look_for_comes_first() -> None:
    """Whatever the order in which a line was put together; all else keeps its order."""
    given = {
        "event": "x",
        "z": 1,
        "result": "ok",
        "y": 2,
        "device": "d",
        "account": "a",
        "level": "info",
    }
    assert [*spoken(given)] == ["event", "level", "account", "device", "result", "z", "y"]


def test_an_id_of_lg_is_shown_where_it_is_another() -> None:
    """The same id twice would be no news; only one of the two is shown then."""
    same, other = ({"message_id": "m", "lg_message_id": one} for one in ("m", "n"))
    assert spoken(same) == {"message_id": "m"}
    assert spoken(other) == {"message_id": "m", "lg_message_id": "n"}
    assert spoken({"lg_message_id": "n"}) == {"lg_message_id": "n"}


def test_long_ids_are_cut_and_other_words_are_not() -> None:
    """Of a device and of a revision the beginning is enough to recognise it."""
    facts = {
        "device": DEVICE,
        "words": DEVICE,
        "revision": f"sha256:{DEVICE}",
        "commit": DEVICE[:40],
    }
    shown = spoken(facts)
    assert shown["words"] == DEVICE
    assert shown["device"] == f"{DEVICE[:12]}…"
    assert DEVICE[:7] in shown["revision"]
    assert len(shown["revision"]) < 30
    assert len(shown["commit"]) < 20
    assert spoken({"device": DEVICE[:13]}) == {"device": DEVICE[:13]}


def test_a_stamp_has_no_part_of_a_second() -> None:
    """It stays in UTC, and says so."""
    assert spoken({"ts": "2026-11-29T20:10:03.123456Z"}) == {"ts": "2026-11-29T20:10:03Z"}
    assert spoken({"ts": "2026-11-29T20:10:03Z"}) == {"ts": "2026-11-29T20:10:03Z"}
