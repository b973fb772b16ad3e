"""What each page shows: one account, a search, past changes.

Owns: which answers a page puts together. Must not: render, or find out more than ``queries`` and ``devices``.
Reads disks and long lists, so it is meant for a worker thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import StateError, Unknown
from reconciler.core.model import AccountName, DeviceId
from reconciler.reporting import AccountReport, queries
from reconciler.reporting.account_devices import DevicesAsked, DevicesFound, devices
from reconciler.reporting.devices import DeviceRow
from reconciler.reporting.explain import ChangeReport
from reconciler.reporting.heard import last_heard
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.lookup import SHORTEST_PREFIX
from reconciler.reporting.positions import position
from reconciler.reporting.queries import GROUPED, AccountDetail, Wanted
from reconciler.reporting.roster import TOGETHER, Rosters

Known = tuple[AccountName, DeviceId]
FOUND = 50
"""How many accounts, and how many devices, a search shows."""


@dataclass(frozen=True, slots=True)
class AccountView:
    """The page of one account. ``unread`` is why its past changes cannot be read; ``older``: there are older ones."""

    detail: AccountDetail
    devices: DevicesFound
    changes: tuple[ChangeReport, ...] = ()
    unread: str = ""
    older: bool = False


@dataclass(frozen=True, slots=True)
class SearchView:
    """Accounts and devices that match. ``more`` of each: there are others that are not shown.

    ``heard``: receivers are asked, so each row says when its device was last heard of.
    """

    words: str
    accounts: tuple[str, ...] = ()
    more_accounts: bool = False
    devices: tuple[DeviceRow, ...] = ()
    more_devices: bool = False
    heard: bool = False


def account_view(
    known: Knowledge,
    account: str,
    asked: DevicesAsked,
    rosters: Rosters,
    elsewhere: Mapping[AccountName, AccountReport] = queries.NOWHERE,
) -> AccountView:
    """Return what the page of an account shows; raises ``Unknown``. ``elsewhere`` as for ``queries.account``."""
    detail = queries.account(known, account, elsewhere)
    found = devices(
        known,
        account,
        asked,
        rosters,
    )
    try:
        page = queries.history(known, Wanted(account=AccountName(account), limit=GROUPED))
    except StateError as error:
        return AccountView(
            detail,
            found,
            unread=str(error),
        )
    except Unknown:
        return AccountView(detail, found)
    return AccountView(
        detail,
        found,
        page.changes,
        older=page.next is not None,
    )


def search(known: Knowledge, words: str) -> SearchView:
    """Return accounts and devices with these words in the name or id. It stops where enough is found."""
    needle = words.strip().casefold()
    if not needle:
        return SearchView(words)
    accounts = tuple(islice(_accounts(known, needle), FOUND + 1))
    found = tuple(islice(_devices(known, words.strip(), needle), FOUND + 1))
    return SearchView(
        words,
        accounts[:FOUND],
        len(accounts) > FOUND,
        tuple(sorted(_rows(known, found[:FOUND]), key=_place)),
        len(found) > FOUND,
        heard=known.events is not None,
    )


def _place(row: DeviceRow) -> tuple[str, str, str]:
    return row.account, row.name or "", row.device


def _accounts(known: Knowledge, needle: str) -> Iterator[str]:
    for name in sorted(known.accounts):
        if needle in name.casefold():
            yield name


def _devices(known: Knowledge, words: str, needle: str) -> Iterator[Known]:
    """Yield the devices of every account that match, then those that only the state remembers."""
    shown = set[Known]()
    for name in sorted(known.accepted.accounts):
        for device in _matching(known.accepted.accounts[name], needle):
            shown.add((name, device))
            yield name, device
    remembered = set(known.state.names.once(words, FOUND))
    if len(words) >= SHORTEST_PREFIX:
        remembered |= known.state.history.devices_like(words, FOUND)
    for name, device in sorted(remembered):
        if (name, device) not in shown and name in known.accepted.accounts:
            yield name, device


def _matching(text: AccountRevision, needle: str) -> Iterator[DeviceId]:
    """Yield the devices of a revision that match: by their ids, then the others by their names."""
    desired = text.desired
    for some in _parts(desired.devices):
        if needle in "\n".join(some).casefold():
            yield from (device for device in some if needle in device.casefold())
    for entry in desired.described.values():
        if entry.name and needle in entry.name.casefold() and needle not in entry.id.casefold():
            yield entry.id


def _parts(devices: Collection[DeviceId]) -> Iterator[Collection[DeviceId]]:
    """Yield devices in parts whose ids are searched at once, which is much faster than one by one."""
    if len(devices) <= TOGETHER:
        yield devices
        return
    rest = iter(devices)
    while some := tuple(islice(rest, TOGETHER)):
        yield some


def _rows(known: Knowledge, found: Sequence[Known]) -> Iterator[DeviceRow]:
    """Yield the row of each device. What is remembered of an account is asked for once."""
    by_account: dict[AccountName, list[DeviceId]] = {}
    for name, device in found:
        by_account.setdefault(name, []).append(device)
    for name, devices_found in by_account.items():
        desired = known.accepted.accounts[name].desired
        memory = known.state.accounts.glance(name, known.now)
        names = known.names(name, devices_found)
        for device in devices_found:
            entry = desired.described.get(device)
            yield DeviceRow(
                account=name,
                device=device,
                name=names.get(device),
                type=entry.type if entry is not None else None,
                state=position(device, desired, memory, known.now, known.theirs(name)),
                last_heard=last_heard(known.events, device),
            )
