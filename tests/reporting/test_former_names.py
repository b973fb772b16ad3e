"""Removed devices, asked for by the name that their entry had: the question of an audit."""

from __future__ import annotations

import pytest

from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.errors import Unknown
from reconciler.core.model import DEFAULT_ACCOUNT, Desired, Device, DeviceId, Revision
from reconciler.reporting import queries
from reconciler.reporting.formats import changes
from reconciler.reporting.formats import explanations as shown
from reconciler.reporting.knowledge import Knowledge
from reconciler.state import State
from simulated import SimulatedClock
from stories import World, world

ASKED_BY = "the daemon at http://127.0.0.1:8080"


def name_of(world: World, example: str) -> str:
    """Return what the entry of an example called the device."""
    device = world.examples[example]
    names = world.known.state.names.of(DEFAULT_ACCOUNT, [device])
    return names[device]


def test_a_removed_device_is_explained_by_its_former_name() -> None:
    """One question by name tells who removed it, when, by which commit, and LG's message id."""
    told = world()
    name = name_of(told, "unsubscribed")
    explanation = told.explain(name)
    assert (explanation.device, explanation.taken_by) == (
        told.examples["unsubscribed"],
        "former name",
    )
    (story,) = explanation.accounts
    assert story.name == name
    assert story.went is not None
    assert story.went.author == "Lee Jun <jun@hotel.example>"
    change = story.changes[0]
    assert (change.action, change.name, change.commit) == ("unsubscribe", name, story.went.commit)
    assert change.lg_message_id
    text = shown.explanation_text(explanation, ASKED_BY)
    assert f"called     {name}" in text
    assert "taken by its former name" in text


def test_the_history_of_a_removed_device_is_found_by_its_former_name() -> None:
    """``history --device NAME`` answers for a device whose entry is gone, in text and as a value."""
    told = world()
    name = name_of(told, "unsubscribed")
    page = queries.history(told.known, queries.wanted({"device": name}, told.known.now))
    assert [(one.action, one.name) for one in page.changes] == [
        ("unsubscribe", name),
        ("subscribe", name),
    ]
    assert name in changes.history_text(page)


def test_another_room_is_no_near_miss() -> None:
    """A name that differs in its number is another device, so it is not suggested."""
    told = world()
    with pytest.raises(Unknown) as missed:
        told.explain("Room 9999 fridge")
    assert "did you mean" not in str(missed.value)


@pytest.mark.parametrize(
    ("asked", "meant"), [("Room 7 ovn", "Room 07 oven"), ("Rom 12 oven", "Room 12 oven")]
)
def test_a_slip_in_the_words_of_a_name_is_still_a_near_miss(asked: str, meant: str) -> None:
    """The same number with a slip beside it is suggested, also for a device that is gone."""
    state, (one, two) = State.in_memory(SimulatedClock()), (DeviceId("a" * 64), DeviceId("b" * 64))
    known = knowing(state, {one: "Room 07 oven", two: "Room 12 oven"})
    gone = knowing(state, {one: "Room 07 oven"})
    for each in (known, gone):
        with pytest.raises(Unknown, match=f"did you mean '{meant}'"):
            queries.explain(each, asked)


def knowing(state: State, names: dict[DeviceId, str]) -> Knowledge:
    """Bring these devices into force, and return what is known then."""
    described = {device: Device(device, name) for device, name in names.items()}
    desired = Desired(DEFAULT_ACCOUNT, frozenset(names), described)
    revision, now = Revision("0" * 64), SimulatedClock().now()
    state.accounts.desire(desired, revision, now)
    accepted = Accepted({DEFAULT_ACCOUNT: AccountRevision(desired, revision)}, revision=revision)
    return Knowledge(now, accepted, state, state.revisions.kept)


def test_a_new_device_of_the_same_name_does_not_hide_the_old_one() -> None:
    """The new fridge of a room is called like the old one: the answer is about the new one, and names the old."""
    state, (one, two) = State.in_memory(SimulatedClock()), (DeviceId("a" * 64), DeviceId("b" * 64))
    knowing(state, {one: "Room 202 fridge"})
    explanation = queries.explain(knowing(state, {two: "Room 202 fridge"}), "Room 202 fridge")
    assert (explanation.device, explanation.taken_by, explanation.others) == (two, "name", (one,))
    assert shown.explanation_text(explanation, ASKED_BY).count(f"also once the name of {one}") == 1
    assert one in shown.explanation_markdown(explanation, ASKED_BY)
