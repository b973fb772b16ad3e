"""What revisions state about protection, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model import AccountName, Desired, Device, DeviceId
from reconciler.core.protection import NONE_PROTECTED, Protected, Stated, stated

A, B = AccountName("a"), AccountName("b")
X, Y = DeviceId("x"), DeviceId("y")
NAMES = st.sampled_from([A, B, AccountName("c")])
IDS = st.sampled_from([X, Y, DeviceId("z")])
ENTRIES = st.dictionaries(IDS, st.sampled_from([None, True, False]))
REVISIONS = st.lists(st.dictionaries(NAMES, ENTRIES), max_size=6)
Entries = Mapping[DeviceId, bool | None]


def desired(account: AccountName, entries: Entries) -> Desired:
    """Return an account with these entries."""
    described = {
        device: Device(device, protected=word)
        for device, word in entries.items()
        if word is not None
    }
    return Desired(account, frozenset(entries), described)


def wants(revision: Mapping[AccountName, Entries]) -> dict[AccountName, Desired]:
    """Return what all accounts want."""
    return {account: desired(account, entries) for account, entries in revision.items()}


@given(REVISIONS)
def test_what_was_stated_last_counts(revisions: list[dict[AccountName, Entries]]) -> None:
    """Any true protects, else any false releases, and silence changes nothing, whatever accounts come and go."""
    before: dict[AccountName, Desired] = {}
    known: Protected = NONE_PROTECTED
    expected: dict[DeviceId, bool] = {}
    for revision in revisions:
        after = wants(revision)
        for name in after.keys() & before.keys():
            if after[name] == before[name]:  # as the intake keeps the object of what did not change
                after[name] = before[name]
        change = stated(before, after)
        assert change.news(known).on(known) == change.on(known)
        assert change.protected.keys().isdisjoint(change.ended)
        known, before = change.on(known), after
        words: dict[DeviceId, set[bool | None]] = {}
        for entries in revision.values():
            for device, word in entries.items():
                words.setdefault(device, set()).add(word)
        for device, stated_words in words.items():
            if True in stated_words:
                expected[device] = True
            elif False in stated_words:
                expected[device] = False
        assert known.keys() == {device for device, word in expected.items() if word}


def test_a_device_has_the_account_that_stated_it_last() -> None:
    """A device that moves belongs to the new account; one whose entry left to the account of that entry."""
    first = wants({A: {X: True, Y: True}})
    assert stated({}, first).protected == {X: A, Y: A}
    second = {**wants({B: {X: True}}), A: desired(A, {})}
    assert stated(first, second) == Stated({X: B, Y: A})


def test_what_did_not_change_states_nothing() -> None:
    """A revision with the same accounts costs nothing, and changes nothing."""
    first = wants({A: {X: True, Y: False}})
    assert not stated(first, dict(first))
    assert stated({}, first).news({X: A}) == Stated({}, frozenset())
