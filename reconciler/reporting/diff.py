"""What a change of the files adds and removes, account by account: what a reviewer wants to see first.

Owns: the comparison of two sets of accounts, and reading the earlier one from Git. Must not: know what is live.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from reconciler.core.acceptance import Claims
from reconciler.core.model import NOTHING, AccountName, Commit, Desired, DeviceId, Revision
from reconciler.desired import Loaded, MemoryTree, account_lines, load
from reconciler.source import load_fetched
from reconciler.source.revisions import documents_at


@dataclass(frozen=True, slots=True)
class Difference:
    """How one account differs. ``fate`` is a word where the account as a whole came or went.

    ``approved`` are those of the removed devices that an approval in force names, ``elsewhere`` those that another
    account wants, with that account: the guard ``wanted-elsewhere`` holds them. ``protected`` are removed devices that
    their entry protected, ``unprotected`` those that an entry releases now, ``silent`` those whose entry has lost the
    key and that are still protected. ``names`` are for people. ``keys`` are lines of the account's own keys, like
    ``policy.prune = "all"``, each as it was and as it is.
    """

    account: AccountName
    added: tuple[DeviceId, ...]
    removed: tuple[DeviceId, ...]
    edited: tuple[DeviceId, ...]
    approved: frozenset[DeviceId]
    keys: tuple[tuple[str, str], ...]
    names: Mapping[DeviceId, str]
    fate: str = ""
    path: str = ""
    elsewhere: Mapping[DeviceId, AccountName] = field(default_factory=lambda: MappingProxyType({}))
    protected: frozenset[DeviceId] = NOTHING
    unprotected: frozenset[DeviceId] = NOTHING
    silent: frozenset[DeviceId] = NOTHING

    @property
    def empty(self) -> bool:
        """Say whether nothing differs."""
        return not (self.added or self.removed or self.edited or self.keys or self.fate)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed since a revision, as a person named it, which is that commit. ``trouble``: why that is not known."""

    revision: str
    commit: Commit
    differences: tuple[Difference, ...] = ()
    trouble: str = ""


def since(revision: str, path: Path, after: Loaded, now: datetime) -> Comparison:
    """Return what changed since a revision of the repository that a path is in. Raises ``SourceError``."""
    commit, fetched = documents_at(path, revision)
    if fetched is None:
        return Comparison(revision, commit, compare(load([], MemoryTree({})), after, now))
    before = load_fetched(fetched)
    if before.faults:
        return Comparison(
            revision,
            commit,
            trouble=f"the files were not valid then, so they cannot be compared: {before.faults[0]}",
        )
    return Comparison(revision, commit, compare(before, after, now))


def compare(before: Loaded, after: Loaded, now: datetime) -> tuple[Difference, ...]:
    """Return how the accounts differ, sorted, leaving out those that do not."""
    names = sorted(before.accounts.keys() | after.accounts.keys())
    claims = Claims.of(after.accounts, Revision(after.sha256))
    found = [_difference(name, before.accounts.get(name), after, claims, now) for name in names]
    return tuple(one for one in found if not one.empty)


def _difference(
    name: AccountName, before: Desired | None, after: Loaded, claims: Claims, now: datetime
) -> Difference:
    new = after.accounts.get(name)
    old_devices, new_devices = (
        before.devices if before else frozenset(),
        new.devices if new else frozenset(),
    )
    removed = old_devices - new_devices
    edited = new.edited_since(before) & old_devices & new_devices if new and before else frozenset()
    gone = (
        "retired" if name in after.retired else "not in the files any more: it would be abandoned"
    )
    return Difference(
        account=name,
        added=tuple(sorted(new_devices - old_devices)),
        removed=tuple(sorted(removed)),
        edited=tuple(sorted(edited)),
        approved=new.approved_at(now) & removed if new else frozenset(),
        keys=_keys(before, new) if before and new else (),
        names={**(before.names if before else {}), **(new.names if new else {})},
        fate="new" if before is None else gone if new is None else "",
        path=new.path if new else "",
        elsewhere=claims.elsewhere(name, removed, now) if new else {},
        protected=_stating(before, protected=True) & removed,
        unprotected=_stating(before, protected=True) & _stating(new, protected=False),
        silent=(_stating(before, protected=True) & new_devices) - _stating(new),
    )


def _stating(desired: Desired | None, *, protected: bool | None = None) -> frozenset[DeviceId]:
    """Return the devices whose entry states this about protection, or anything at all."""
    found = set()
    for one in desired.described.values() if desired is not None else ():
        if one.protected is not None and protected in {None, one.protected}:
            found.add(one.id)
    return frozenset(found)


def _keys(before: Desired, after: Desired) -> tuple[tuple[str, str], ...]:
    old, new = account_lines(before), account_lines(after)
    return tuple(
        (old.get(key, ""), new.get(key, ""))
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    )
