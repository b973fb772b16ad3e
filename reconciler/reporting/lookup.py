"""Which device a person means, by its id, the beginning of it, its name, or a name that it once had.

Owns: how a device may be named, and what is suggested where none is found. Must not: say anything about the device.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import Unknown, quoted, suggestion
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.text import SHORT, listing
from reconciler.reporting.knowledge import Knowledge

MOST_FOUND = 1000
"""The most devices that are read from the state for one name or one beginning of an id."""
SHORTEST_PREFIX = 8
"""An id may be shortened to this number of characters."""
NEAR = 2000
"""Up to this number of ids all are searched for a near miss; of more, only those that begin or end alike."""
NAMED = 5
"""How many devices are named where it is not clear which is meant."""
_NUMBER = re.compile(r"\d+")


def _several(
    asked: str,
    taken_by: str,
    number: int,
    where: Sequence[tuple[DeviceId, frozenset[AccountName]]],
) -> str:
    """Return that several devices are meant: the first of them, and how to name one."""
    short = {device[:SHORT] for device, _names in where}
    most = SHORT if len(short) == len(where) else None
    shown = [f"{quoted(device[:most])} in {listing(sorted(names), 2)}" for device, names in where]
    if number > len(where):
        shown.append(f"{number - len(where)} more")
    narrow = "name one by its id"
    if len({name for _device, names in where for name in names}) > 1:
        narrow += ", or add --account"
    return f"{quoted(asked)!r} is the {taken_by} of {number} devices: {', '.join(shown)}; {narrow}"


Texts = Mapping[AccountName, AccountRevision]


def insist_on_account(known: Knowledge, account: str) -> None:
    """Raise ``Unknown`` where there is no such account."""
    if account not in known.accounts:
        raise Unknown(
            f"there is no account {quoted(account)!r}{suggestion(account, known.accounts)}"
        )


def _named(text: AccountRevision) -> Iterable[frozenset[DeviceId]]:
    """Return the sets of devices that an account's part of a revision names."""
    return (
        text.desired.devices,
        text.desired.policy.ignore,
        *(one.devices for one in text.desired.approvals),
    )


def names_device(text: AccountRevision, device: str) -> bool:
    """Return whether an account's part of a revision names a device, as wanted, ignored or approved."""
    return any(device in devices for devices in _named(text))


def resolve(
    known: Knowledge, asked: str, accounts: Sequence[AccountName]
) -> tuple[DeviceId, str, frozenset[AccountName]]:
    """Return which device is meant, by what it was named, and which accounts know it; raises ``Unknown``."""
    texts = {
        name: known.accepted.accounts[name] for name in accounts if name in known.accepted.accounts
    }
    found = _knowing(known, asked, accounts, texts)
    if found:
        return DeviceId(asked), "id", found
    for taken_by, devices in (
        ("prefix", _begun(known, asked, accounts, texts)),
        ("name", _called(asked, texts)),
        ("former name", once_called(known, asked, accounts)),
        ("name at LG", _called_by_lg(known, asked, accounts)),
    ):
        if len(devices) == 1:
            (only,) = devices
            return only, taken_by, _knowing(known, only, accounts, texts)
        if devices:
            where = [
                (one, _knowing(known, one, accounts, texts)) for one in sorted(devices)[:NAMED]
            ]
            raise Unknown(_several(asked, taken_by, len(devices), where))
    former = known.state.names.once_like(asked[:2], NEAR)
    raise Unknown(_nothing_like(asked, texts.values(), former))


def _knowing(
    known: Knowledge, device: str, accounts: Sequence[AccountName], texts: Texts
) -> frozenset[AccountName]:
    """Return the accounts that know a device, from the desired state or from memory."""
    found = {name for name, text in texts.items() if names_device(text, device)}
    for name in texts:
        news = known.registries.get(name)
        if news is not None and news.pending.rule_of(DeviceId(device)) is not None:
            found.add(name)
    for name, one in known.state.history.devices_like(device, MOST_FOUND):
        if one == device and name in accounts:
            found.add(name)
    return frozenset(found)


def _begun(
    known: Knowledge, asked: str, accounts: Sequence[AccountName], texts: Texts
) -> set[DeviceId]:
    """Return the devices whose ids begin like this; none where it is too short to be meant so."""
    if len(asked) < SHORTEST_PREFIX:
        return set()
    found = {
        device
        for name, device in known.state.history.devices_like(asked, MOST_FOUND)
        if name in accounts
    }
    for text in texts.values():
        for ids in _named(text):
            found.update(one for one in ids if one.startswith(asked))
    return found


def _called(asked: str, texts: Texts) -> set[DeviceId]:
    """Return the devices that have this name in the desired state."""
    found = set[DeviceId]()
    for text in texts.values():
        for entry in text.desired.described.values():
            if entry.name and entry.name == asked:
                found.add(entry.id)
    return found


def once_called(
    known: Knowledge,
    asked: str,
    accounts: Sequence[AccountName],
) -> set[DeviceId]:
    """Return the devices that once had this name."""
    once = known.state.names.once(asked, MOST_FOUND)
    found: set[DeviceId] = set()
    for account, device in once:
        if account in accounts:
            found.add(device)
    return found


def _called_by_lg(
    known: Knowledge,
    asked: str,
    accounts: Sequence[AccountName],
) -> set[DeviceId]:
    """Return the devices that LG calls by this name, and that have no other; a name of ours goes before it."""
    heard = known.state.names.heard_as(asked, MOST_FOUND)
    found: set[DeviceId] = set()
    for account, device in heard:
        if account in accounts and known.names(account, [device]).get(device) == asked:
            found.add(device)
    return found


def _nothing_like(
    asked: str,
    texts: Iterable[AccountRevision],
    former: Collection[str],
) -> str:
    """Return that a device is not known, with what was perhaps meant.

    A name with another number is another room, so it is never suggested.
    """
    ids: set[DeviceId] = set()
    names: set[str] = set()
    for text in texts:
        ids.update(*_named(text))
        for entry in text.desired.described.values():
            names.add(entry.name or "")
    if len(ids) > NEAR:
        ends = asked[:4], asked[-4:]
        alike_ids = [one for one in ids if one.startswith(ends[0]) or one.endswith(ends[1])]
        ids = set(sorted(alike_ids)[:NEAR])
    numbers = _numbers(asked)
    alike = [one for one in (*names, *former) if one and _numbers(one) == numbers]
    alike = sorted(alike)[:NEAR]
    near = suggestion(asked, [*ids, *alike])
    short = (
        f"; use at least {SHORTEST_PREFIX} characters of an id"
        if len(asked) < SHORTEST_PREFIX
        else ""
    )
    return (
        f"device {quoted(asked)!r} not found in the desired state or in LG's lists{near or short}"
    )


def _numbers(words: str) -> list[str]:
    """Return the numbers in a name, without leading zeros: ``room-07`` is ``room-7``."""
    return [one.lstrip("0") for one in _NUMBER.findall(words)]
