"""Statements in two places of the documents that exclude each other.

Owns: keys, accounts and devices that are in two places, and approvals for devices that are desired.
Must not: change anything. Each rule returns its findings, each with its document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, DeviceId
from reconciler.desired.accounts import AccountPart, Contents
from reconciler.desired.cache import LoadCache
from reconciler.desired.diagnostics import Finding
from reconciler.desired.parser import SHARED, Reading, stated

Found = Iterator[tuple[Reading, Finding]]
"""Faults, each with the document that it belongs to."""


def shared_twice(readings: Sequence[Reading]) -> Found:
    """Find keys that concern all accounts and are in two documents."""
    for key in SHARED:
        holders = [reading for reading in readings if reading.has(key)]
        if len(holders) < 2:  # noqa: PLR2004 - one is what is allowed
            continue
        for reading in holders:
            other = holders[1] if reading is holders[0] else holders[0]
            message = f"{key} may be in one file only; it is also at"
            yield reading, Finding(reading.at(key, key=True), message, other.at(key, key=True))


def faults(contents: Contents) -> Found:
    """Find accounts that are in two places, and contradictions between two places."""
    yield from _defined_twice(contents.accounts)
    yield from _locked_twice(contents.accounts)
    yield from _retired_and_present(contents)
    yield from _desired_and_approved(contents)


def _defined_twice(parts: Sequence[AccountPart]) -> Found:
    """Find accounts that are in two places: in two documents, or in the short and the long form."""
    places: dict[AccountName, list[AccountPart]] = {}
    for part in parts:
        places.setdefault(part.name, []).append(part)
    for name, same in places.items():
        if len(same) < 2:  # noqa: PLR2004 - one is what is allowed
            continue
        short = (
            "; top-level devices and device_files mean this account"
            if name == DEFAULT_ACCOUNT
            else ""
        )
        for part in same:
            other = same[1] if part is same[0] else same[0]
            message = f"account {name} may be defined in one place only{short}; it is also at"
            yield part.reading, Finding(part.where, message, other.where)


def _locked_twice(parts: Sequence[AccountPart]) -> Found:
    """Find locks of two accounts: ``resolve`` would write one over the other."""
    first: dict[str, AccountPart] = {}
    for part in parts:
        if part.ruled is None:
            continue
        other = first.setdefault(part.ruled.path, part)
        if other is not part:
            message = "two accounts cannot have one lock; it is also that of the account at"
            here = part.reading.at(*part.collected.loc, "locked")
            yield part.reading, Finding(here, message, other.where)


def _retired_and_present(contents: Contents) -> Found:
    """Find accounts that are retired and have devices."""
    retired = stated(contents.readings, "retired_accounts")
    if retired is None:
        return
    reading, names = retired
    present = {part.name: part for part in contents.accounts}
    for index, name in enumerate(names):
        if name in present:
            message = f"account {name} is retired and also present; it is at"
            yield (
                reading,
                Finding(reading.at("retired_accounts", index), message, present[name].where),
            )


def _desired_and_approved(contents: Contents) -> Found:
    """Find devices that are approved to go and also wanted, unless their entry has an ``until``."""
    accounts = {part.name: part.collected for part in contents.accounts}
    for approval in contents.approvals:
        desired, leaving = accounts.get(approval.account), approval.collected
        if desired is None:
            continue
        both = leaving.ids & desired.ids
        if not both:
            continue
        both -= {
            DeviceId(table.id) for _index, table in desired.inline.tables if table.until is not None
        }
        spots = desired.first(both)
        for device, where in leaving.where(both):
            message = (
                "this device is approved to go and also wanted, without an until; it is wanted at"
            )
            yield leaving.reading, Finding(where, message, spots[device])


def in_two_accounts(parts: Sequence[AccountPart], cache: LoadCache) -> list[Finding]:
    """Find devices that two accounts want: one warning for each pair of accounts, however many devices."""
    accounts = list({part.name: part for part in parts}.values())
    if cache.are_apart(accounts):
        return []
    sets = [part.collected.ids for part in accounts]
    if len(sets) < 2 or len(frozenset[DeviceId]().union(*sets)) == sum(map(len, sets)):  # noqa: PLR2004 - two accounts
        return []
    shared = _shared(accounts)
    examples = {devices[0] for devices in shared.values()}
    spots = {part.name: part.collected.first(examples & part.collected.ids) for part in accounts}
    documents = {part.name: part.reading.path for part in accounts}
    found = []
    for (one, two), devices in shared.items():
        more = f" and {len(devices) - 1} more are" if len(devices) > 1 else " is"
        message = f"this device{more} also desired in account {one}; this one at"
        here, there = spots[two][devices[0]], spots[one][devices[0]]
        found.append(Finding(here, message, there, quotes=documents[one]))
    return found


def _shared(
    accounts: Sequence[AccountPart],
) -> Mapping[tuple[AccountName, AccountName], list[DeviceId]]:
    """Return the devices that two accounts desire, by the first account that does and the later one."""
    first: dict[DeviceId, AccountName] = {}
    shared: dict[tuple[AccountName, AccountName], list[DeviceId]] = {}
    for part in accounts:
        for device in sorted(part.collected.ids):
            owner = first.setdefault(device, part.name)
            if owner != part.name:
                shared.setdefault((owner, part.name), []).append(device)
    return shared
