"""What is written: whose it is, and which devices it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest

from disks import START
from reconciler.core.guards import PauseOverride
from reconciler.core.memory import Past
from reconciler.core.model import AccountName, Action, DeviceId, PassId, Result, Revision
from reconciler.core.windows import Opening
from reconciler.state import records
from reconciler.state.records import Group, Mark, Record

HOTEL, ONE = AccountName("seoul-hotel"), DeviceId("one")
DEVICES, NOBODY = frozenset({ONE}), frozenset[DeviceId]()
FIRST = Revision("a" * 64)
PAST = Past(HOTEL, ONE, Action.SUBSCRIBE, START, START, PassId("pass"))
MOVED = records.DevicesMoved(HOTEL, Mark(FIRST, START), DEVICES, NOBODY)
OF_ACCOUNT: tuple[Record, ...] = (
    records.AccountSaved(HOTEL, START, trusted=True, suspect_readings=0, credential=None),
    records.AccountRetired(HOTEL),
    MOVED,
    records.NamesSaved(HOTEL, START, {ONE: "oven"}),
    records.ListCleared(HOTEL),
    records.ListChanged(HOTEL, DEVICES, NOBODY),
    records.DevicesDisowned(HOTEL, DEVICES),
    records.DevicesSettled(HOTEL, DEVICES, NOBODY, NOBODY, {}, {}),
    records.RetriesSaved(HOTEL, {}),
    records.RetriesDropped(HOTEL, DEVICES),
    records.ChangesSaved(HOTEL, (PAST,), ()),
    records.ChangesDropped((PAST,)),
    records.RepeatedChangesDropped(HOTEL, PassId("pass")),
    records.QuotaSaved(HOTEL, (), None),
    records.ProtectionReleased(HOTEL, DEVICES),
)
OF_EVERYBODY: tuple[Record, ...] = (
    records.PauseSaved(HOTEL, PauseOverride()),
    records.ProtectionStated({ONE: HOTEL}),
    records.OpeningSaved(Opening("office", "mark", START, START, "why")),
    records.DocumentSaved("a.toml", FIRST, None, {}),
    records.DocumentDropped("a.toml"),
    records.UnusedContentsDropped(),
    records.OldDropped(START),
)
PLACED: Mapping[type[Record], frozenset[DeviceId]] = dict.fromkeys(
    (
        records.DevicesMoved,
        records.ListChanged,
        records.DevicesDisowned,
        records.DevicesSettled,
        records.RetriesDropped,
    ),
    DEVICES,
)


def kind(record: Record) -> str:
    """Return the name of the kind of a record."""
    return type(record).__name__


def test_every_kind_of_record_is_told_apart() -> None:
    """A record that a new version adds is an account's or everybody's."""
    assert {type(one) for one in OF_ACCOUNT + OF_EVERYBODY} == set(get_args(Record))


@pytest.mark.parametrize("record", OF_ACCOUNT, ids=kind)
def test_what_is_of_an_account_only_its_owner_may_write(record: Record) -> None:
    """Also beside what everybody may write, a group is about the account that it says something of."""
    assert Group((record,)).about == HOTEL
    assert Group((*OF_EVERYBODY, record)).about == HOTEL


@pytest.mark.parametrize("record", OF_EVERYBODY, ids=kind)
def test_what_is_of_everybody_is_fenced_by_no_account(record: Record) -> None:
    """A pause is a person's, and a document is all accounts'."""
    assert Group((record,)).about is None


@pytest.mark.parametrize("record", OF_ACCOUNT + OF_EVERYBODY, ids=kind)
def test_a_group_is_about_the_devices_whose_place_it_changes(record: Record) -> None:
    """Where each of them is has to be written when groups are folded into one."""
    assert Group((record,)).devices == PLACED.get(type(record), NOBODY)


@pytest.mark.parametrize(
    ("closed", "still_open", "intends"),
    [((), (PAST,), True), ((PAST,), (), False), ((), (), False)],
)
def test_only_a_call_that_is_still_to_be_made_is_an_intent(
    closed: tuple[Past, ...], still_open: tuple[Past, ...], *, intends: bool
) -> None:
    """A call whose outcome is not known yet is no intent once it has a result."""
    assert Group((records.ChangesSaved(HOTEL, closed, still_open),)).intends is intends
    failed = Past(HOTEL, ONE, Action.SUBSCRIBE, START, START, PassId("p"), result=Result.FAILED)
    assert not Group((records.ChangesSaved(HOTEL, (), (failed,)),)).intends
