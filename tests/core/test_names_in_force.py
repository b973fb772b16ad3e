"""The names of an account's devices: what a new revision changes about them, and when they are written again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.memory import Names
from reconciler.core.memory.names import Entries, Renamed
from reconciler.core.model import Device, DeviceId

IDS = [DeviceId(one) for one in ("one", "two", "three")]
WORDS = st.sampled_from([None, "", "Room 1", "Room 2"])


@st.composite
def revisions(draw: st.DrawFn) -> Entries:
    """Return the entries of a revision: some devices, some of them with a name."""
    chosen = draw(st.lists(st.sampled_from(IDS), unique=True))
    return {device: Device(device, draw(WORDS)) for device in chosen}


def named(entries: Entries) -> dict[DeviceId, str]:
    """Return who has a name."""
    found = {}
    for device, entry in entries.items():
        if entry.name:
            found[device] = entry.name
    return found


@given(st.lists(revisions(), min_size=1))
def test_what_is_written_adds_up_to_what_is_in_force(history: list[Entries]) -> None:
    """Whoever writes down what each revision changes knows every name in force, and no name that has ended."""
    names, written = Names(), dict[DeviceId, str]()
    for entries in history:
        renamed = names.learn(entries)
        assert not renamed.ended & renamed.names.keys()
        assert renamed.ended <= written.keys()
        assert bool(renamed) == (dict(renamed.names) != {} or renamed.ended != frozenset())
        for device in renamed.ended:
            del written[device]
        changed = {
            device: name for device, name in renamed.names.items() if written.get(device) != name
        }
        assert changed == renamed.names
        written |= renamed.names
        assert written == named(entries) == dict(names.all())
        assert names.learn(entries) == Renamed()
        for device in IDS:
            entry = entries.get(device)
            assert names.of(device) == (entry.name if entry is not None else None)


@given(revisions(), revisions())
def test_names_that_were_written_are_not_written_again(first: Entries, second: Entries) -> None:
    """After a restart the names are written only if they are others than those of the mark that was kept."""
    before = Names()
    before.learn(first)
    after = Names()
    after.mark = before.mark
    renamed = after.learn(second)
    if list(named(first).items()) == list(named(second).items()):
        assert not renamed
    else:
        assert dict(renamed.names) == named(second)
    again = Names()
    again.mark = after.mark
    assert again.learn(second) == Renamed()


def test_the_mark_follows_each_change_of_a_name() -> None:
    """The mark is that of the names in force, however they came about, and stays while no name changes."""
    names, direct = Names(), Names()
    names.learn({IDS[0]: Device(IDS[0], "Room 1")})
    first = names.mark
    assert not names.learn({IDS[0]: Device(IDS[0], "Room 1"), IDS[1]: Device(IDS[1])})
    assert names.mark == first
    newest = {IDS[0]: Device(IDS[0], "Room 2")}
    assert names.learn(newest)
    direct.learn(newest)
    assert names.mark == direct.mark != first
    assert not names.learn(newest)


def test_before_the_first_revision_there_is_no_name() -> None:
    """Where no revision is in force, no device has a name."""
    names = Names()
    assert names.of(IDS[0]) is None
    assert dict(names.all()) == {}
