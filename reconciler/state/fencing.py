"""Writes groups only while this process owns their accounts.

Owns: which fence each group is written under, and what becomes of a group whose fence failed.
Must not: know SQL, or decide who owns an account.

An intent is written under the revision and the pause that its plan was made on. All else only needs the owner, so it
is written under what was read last, and again under what is true now. One thing is written without owning the account:
how a call ended that LG answered. That closes the call's own intent, and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from reconciler.core.model import AccountName
from reconciler.state.coordination import Tenure
from reconciler.state.port import Storage
from reconciler.state.records import ChangesSaved, Fence, Group

NO_ACCOUNT: frozenset[AccountName] = frozenset()


class Writer(Protocol):
    """Writes groups to a storage."""

    def write(self, groups: Iterable[Group], *, more: bool) -> frozenset[AccountName]:
        """Write what may be written; return the accounts that another process owns now. Raises ``StateError``."""


class PlainWriter:
    """Writes everything: nobody else writes to this storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def write(self, groups: Iterable[Group], *, more: bool) -> frozenset[AccountName]:
        """Write all groups."""
        self._storage.write(groups, more=more)
        return NO_ACCOUNT


class FencedWriter:
    """Writes what this process owns."""

    def __init__(self, storage: Storage, tenure: Tenure) -> None:
        self._storage, self._tenure = storage, tenure

    def write(self, groups: Iterable[Group], *, more: bool) -> frozenset[AccountName]:
        """Write the groups of owned accounts. Of the others only the ends of answered calls are written."""
        groups = tuple(groups)
        known = self._tenure.known()
        lost = {group.about for group in groups if group.about is not None} - known.keys()
        owned = [group for group in groups if group.about not in lost]
        plain = [group for group in owned if not group.intends]
        # first, because what withdraws or ends an intent is a later group
        self._intend([group for group in owned if group.intends], more or bool(plain))
        if plain:
            lost |= self._written(plain, known, more=more)
        endings = [ending for group in groups if group.about in lost for ending in _ending(group)]
        if endings:
            self._storage.write(endings, more=more)
        return frozenset(lost)

    def _written(
        self, groups: list[Group], fences: Mapping[AccountName, Fence], *, more: bool
    ) -> frozenset[AccountName]:
        """Write groups for which owning the account is enough; return the accounts that are lost."""
        failed = self._storage.write(groups, more=more, fences=_of(groups, fences))
        if not failed:
            return NO_ACCOUNT
        owned = self._tenure.failed(failed)
        again = [group for group in groups if group.about in owned]
        if again:
            fenced = self._storage.write(again, more=more, fences=_of(again, self._tenure.known()))
            owned -= fenced
        return failed - owned

    def _intend(self, intents: list[Group], more: bool) -> None:  # noqa: FBT001 - as in ``write``
        """Write intents whose plan still counts; the others are dropped, and their calls are not made."""
        planned = self._tenure.planned()
        stale = {group.about for group in intents if group.about is not None} - planned.keys()
        current = [group for group in intents if group.about in planned]
        if current:
            stale |= self._storage.write(current, more=more, fences=_of(current, planned))
        if stale:
            self._tenure.failed(frozenset(stale))


def _of(
    groups: Iterable[Group], fences: Mapping[AccountName, Fence]
) -> Mapping[AccountName, Fence]:
    """Return the fences of the accounts that groups are about."""
    return {group.about: fences[group.about] for group in groups if group.about is not None}


def _ending(group: Group) -> Iterable[Group]:
    """Return the ends of calls that LG answered."""
    for record in group.records:
        if isinstance(record, ChangesSaved):
            answered = tuple(past for past in record.closed if past.status is not None)
            if answered:
                yield Group((ChangesSaved(record.account, answered, ()),), lasting=group.lasting)
