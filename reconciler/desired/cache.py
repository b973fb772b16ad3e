"""What one load keeps for the next: an edit changes one of a hundred documents.

Owns: what stays in memory, and when it is still valid. Must not: change what a load returns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import tzinfo
from itertools import chain

from reconciler.core.model import AccountName, Desired, DeviceId
from reconciler.desired.accounts import AccountPart, Contents
from reconciler.desired.diagnostics import Notes
from reconciler.desired.documents import Document
from reconciler.desired.parser import Reading, read
from reconciler.desired.schema import DocumentTable, PolicyTable

LONGEST_KEPT = 1024 * 1024
"""Bytes. Of a longer document only the accounts stay in memory from one load to the next."""
MANY = 10
"""If more than one account in this many changed, all are compared together, which costs less than one by one."""


class LoadCache:
    """What a load made of documents without a fault, for the next one.

    A document with the same content is not parsed again. Its accounts are not made again either, unless they name
    device files. Two kinds are not kept: a single document, because it is always the one that changed, and a long one,
    because it costs memory.
    """

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._parts: dict[str, tuple[tzinfo | None, tuple[AccountPart, ...]]] = {}
        self._accounts: dict[AccountName, tuple[AccountPart, PolicyTable | None, Desired]] = {}
        self._apart: dict[AccountName, AccountPart] = {}

    def reading(self, document: Document) -> Reading:
        """Read a document, or return the earlier result if its content is the same."""
        known = self._readings.get(document.path)
        if known is not None and known.content == document.content:
            return known
        new = read(document)
        if known is not None and known.table is not None and new.table is not None:
            _share(known.table, new.table)
        return new

    def parts(self, reading: Reading, zone: tzinfo | None) -> tuple[AccountPart, ...] | None:
        """Return the accounts of a document if they were made before, with bare dates in the same zone."""
        made_in, parts = self._parts.get(reading.path, (None, ()))
        return parts if parts and parts[0].reading is reading and made_in is zone else None

    def desired(self, part: AccountPart, general: PolicyTable | None) -> Desired | None:
        """Return what an account wants if it was made before from the same parts."""
        made_of, policy, desired = self._accounts.get(part.name, (None, None, None))
        return desired if made_of is part and policy is general else None

    def are_apart(self, parts: Collection[AccountPart]) -> bool:
        """Return whether no two accounts want one device, if that was so before and few accounts changed."""
        same: list[frozenset[DeviceId]] = []
        others: list[frozenset[DeviceId]] = []
        for part in parts:
            known = self._apart.get(part.name) is part
            (same if known else others).append(part.collected.ids)
        if MANY * len(others) > len(parts):
            return False
        theirs = frozenset[DeviceId]().union(*others)
        return len(theirs) == sum(map(len, others)) and all(map(theirs.isdisjoint, same))

    def keep(
        self,
        contents: Contents,
        notes: Mapping[str, Notes],
        accounts: Mapping[AccountName, Desired],
        *,
        apart: bool,
    ) -> None:
        """Keep what the next load may need. ``apart``: no two accounts want one device."""
        self._readings = {}
        made: dict[str, list[AccountPart]] = {}
        for reading in contents.readings if len(contents.readings) > 1 else ():
            noted = notes[reading.path]
            if noted.faults or noted.warnings or len(reading.content) > LONGEST_KEPT:
                continue
            self._readings[reading.path] = reading
            if not noted.device_files:
                made[reading.path] = []
        for part in contents.accounts:
            if part.reading.path in made:
                made[part.reading.path].append(part)
        self._parts = {path: (contents.zone, tuple(each)) for path, each in made.items()}
        self._apart, self._accounts = {}, {}
        general = contents.general_policy()
        for part in chain.from_iterable(made.values()):
            if apart:
                self._apart[part.name] = part
            desired = accounts.get(part.name)
            if desired is not None and not desired.approvals:
                self._accounts[part.name] = part, general, desired


def _share(before: DocumentTable, now: DocumentTable) -> None:
    """Let accounts with unchanged devices share the set that is in force.

    Only sets of devices are shared. Other equal tables may differ: a key with its default overrides a general one.
    """
    known, accounts = before.accounts or {}, now.accounts or {}
    for name, account in accounts.items():
        old = known.get(name)
        if old is not None and old.devices is not None and old.devices == account.devices:
            accounts[name] = account.model_copy(update={"devices": old.devices})
