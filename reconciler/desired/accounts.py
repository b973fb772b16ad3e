"""The accounts and approvals of one document, with the devices that they name.

Owns: the rules that no schema of one table can state: the zone of bare dates, accounts without devices, approvals for
accounts that do not exist, and how the general policy and an account's own combine.
Must not: compare two documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from functools import reduce
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from reconciler.core import duration
from reconciler.core.errors import suggestion
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Device,
    DeviceId,
    DeviceType,
    Pause,
    Policy,
    Prune,
    Unlimited,
)
from reconciler.core.rules import Ruled
from reconciler.core.windows import Window
from reconciler.desired import locks, ruling
from reconciler.desired.checks import OUT_OF_RANGE, limit, one_of
from reconciler.desired.collected import Collected, collect
from reconciler.desired.device_files import DeviceFiles
from reconciler.desired.diagnostics import Finding, Notes, Where
from reconciler.desired.parser import SUGGESTED, Reading, stated
from reconciler.desired.positions import Loc
from reconciler.desired.schema import AccountTable, ApprovalTable, DeviceTable, PolicyTable

_DOCUMENTED = [str(kind) for kind in DeviceType]


@dataclass(frozen=True, slots=True)
class AccountPart:
    """One account as one document defines it."""

    name: AccountName
    collected: Collected
    described: Mapping[DeviceId, Device]
    country: str | None = None
    policy: PolicyTable | None = None
    ruled: Ruled | None = None

    @property
    def reading(self) -> Reading:
        """The document."""
        return self.collected.reading

    @property
    def where(self) -> Where:
        """Where the account is defined."""
        loc = self.collected.loc
        if loc:
            return self.reading.at(*loc, key=True)
        return self.reading.at(
            "devices" if self.reading.has("devices") else "device_files", key=True
        )


@dataclass(frozen=True, slots=True)
class ApprovalPart:
    """One approval as one document gives it."""

    account: AccountName
    collected: Collected
    expires: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class WindowPart:
    """One change window, and where it is defined."""

    window: Window
    where: Where


@dataclass(frozen=True, slots=True)
class Contents:
    """What all documents state, before they are compared."""

    readings: Sequence[Reading]
    zone: tzinfo | None
    accounts: Sequence[AccountPart]
    approvals: Sequence[ApprovalPart]
    windows: Sequence[WindowPart] = ()

    def general_policy(self) -> PolicyTable | None:
        """Return the policy of all accounts. Looks through all documents."""
        found = stated(self.readings, "policy")
        return None if found is None else found[1]


def read_zone(readings: Sequence[Reading]) -> tuple[tzinfo | None, Finding | None]:
    """Return the zone of bare dates. If the zone cannot be read, any will do, because the document is rejected."""
    found = stated(readings, "timezone")
    if found is None:
        return UTC if any(map(_may_state_zone, readings)) else None, None
    reading, name = found
    try:
        return ZoneInfo(name), None
    except (ZoneInfoNotFoundError, OSError, ValueError):
        near = suggestion(name, available_timezones())
        message = f"no such time zone; zones are written like Asia/Seoul{near}"
        return UTC, Finding(reading.at("timezone"), message)


def _may_state_zone(reading: Reading) -> bool:
    """Say whether a document has a zone that cannot be read. Then a fault of it keeps all accounts from force."""
    return reading.shared if reading.keys is None else reading.has("timezone")


def read_accounts(
    reading: Reading, files: DeviceFiles, zone: tzinfo | None
) -> tuple[tuple[AccountPart, ...], Notes]:
    """Return the accounts of a document, and its findings."""
    notes = Notes()
    parts: list[AccountPart] = []
    table = reading.table
    if table is None:
        return (), notes
    if reading.has("devices") or reading.has("device_files"):
        collected = collect(reading, table, (), files, notes)
        parts.append(AccountPart(DEFAULT_ACCOUNT, collected, _described(collected, zone, notes)))
    for name, account in (table.accounts or {}).items():
        loc = ("accounts", name)
        if _names_no_devices(reading, account, loc):
            message = "an account needs devices, device_files or locked; to keep an account empty, write devices = []"
            notes.fault(reading.at(*loc), message)
        collected = collect(reading, account, loc, files, notes)
        described = _described(collected, zone, notes)
        ruled = ruling.read_rules(AccountName(name), account, collected, notes)
        parts.append(
            AccountPart(
                AccountName(name), collected, described, account.country, account.policy, ruled
            )
        )
    return tuple(parts), notes


def _names_no_devices(reading: Reading, account: AccountTable, loc: Loc) -> bool:
    keys = ("devices", "device_files", "locked")
    if any(getattr(account, key) is not None for key in keys):
        return False
    return reading.broken.isdisjoint({(*loc, key) for key in keys})


def _described(
    collected: Collected, zone: tzinfo | None, notes: Notes
) -> Mapping[DeviceId, Device]:
    """Return the devices that have more than an id. Notes those that are listed twice."""
    for where, first in collected.listed_twice():
        notes.fault(where, "this device is listed twice, first at", first)
    described: dict[DeviceId, Device] = {}
    if collected.lock is not None:
        described.update(locks.described(collected.lock.names))
    for listed in collected.lists:
        for id_, name in listed.names.items():
            described[id_] = Device(id_, name)
    for index, entry in collected.inline.tables:
        device = _device(collected.reading, (*collected.loc, "devices", index), entry, zone, notes)
        if device != Device(device.id):
            described[device.id] = device
    return described


def _device(
    reading: Reading, loc: Loc, table: DeviceTable, zone: tzinfo | None, notes: Notes
) -> Device:
    from_ = moment_of(table.from_, zone, reading.at(*loc, "from"), notes)
    until = moment_of(table.until, zone, reading.at(*loc, "until"), notes)
    if from_ is not None and until is not None and until <= from_:
        notes.fault(
            reading.at(*loc, "until"), "until is not after from: the device would never be desired"
        )
    kind = None
    if table.type in _DOCUMENTED:
        kind = DeviceType(table.type)
    elif table.type is not None:
        message = f"LG knows this type, but PCC is documented for {one_of(_DOCUMENTED)} only"
        notes.warn(reading.at(*loc, "type"), message)
    return Device(DeviceId(table.id), table.name or None, kind, from_, until, table.protected)


def moment_of(
    value: date | None, zone: tzinfo | None, where: Where, notes: Notes
) -> datetime | None:
    """Return a date as a moment: a bare date begins at midnight in the zone."""
    if value is None or isinstance(value, datetime):
        return value
    if zone is None:
        message = (
            'a bare date needs a zone: write timezone = "Asia/Seoul" or such at the top of the file'
        )
        notes.fault(where, message)
        return None
    try:
        return datetime.combine(value, time.min, zone).astimezone(UTC)
    except OverflowError:
        notes.fault(where, OUT_OF_RANGE)
        return None


class KnownAccounts:
    """The accounts that an approval may name. Those of ``hidden`` documents are never shown in a message."""

    def __init__(self, readings: Sequence[Reading], hidden: frozenset[str]) -> None:
        self.complete = all(reading.keys is not None for reading in readings)
        self._names = frozenset[AccountName]().union(*(one.names for one in readings))
        self._shown = self._names.difference(*(one.names for one in readings if one.path in hidden))
        self._suggestions = SUGGESTED

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def suggestion(self, name: str) -> str:
        """Return a suggestion. After many it is empty, because each takes time."""
        self._suggestions -= 1
        return suggestion(name, sorted(self._shown)) if self._suggestions >= 0 else ""


def read_approvals(
    reading: Reading, files: DeviceFiles, zone: tzinfo | None, known: KnownAccounts
) -> tuple[list[ApprovalPart], Notes]:
    """Return the approvals of a document, and its findings."""
    notes = Notes()
    parts: list[ApprovalPart] = []
    if reading.table is None or reading.table.approvals is None:
        return parts, notes
    broken = {loc[:2] for loc in reading.broken}
    for index, approval in enumerate(reading.table.approvals):
        loc = ("approvals", index)
        if loc in broken:
            continue
        if approval.devices is None and approval.device_files is None:
            notes.fault(reading.at(*loc), "an approval needs devices or device_files")
        _check_account(reading, approval, loc, known, notes)
        collected = collect(reading, approval, loc, files, notes)
        expires = moment_of(approval.expires, zone, reading.at(*loc, "expires"), notes)
        if expires is not None:
            parts.append(
                ApprovalPart(AccountName(approval.account), collected, expires, approval.reason)
            )
    return parts, notes


def _check_account(
    reading: Reading, approval: ApprovalTable, loc: Loc, known: KnownAccounts, notes: Notes
) -> None:
    """Note an approval for an unknown account, and one without an account if there is no default account."""
    if not known.complete or approval.account in known:
        return
    if "account" in approval.model_fields_set:
        message = f"there is no account {approval.account}{known.suggestion(approval.account)}"
        notes.warn(reading.at(*loc, "account"), message)
    else:
        notes.fault(reading.at(*loc), "account is missing")


def merged_policy(*tables: PolicyTable | None) -> Policy:
    """Merge policies, the general one first, key by key. Ignored ids add up, and the stricter pause holds."""
    given = [PolicyTable(), *(table for table in tables if table is not None)]
    last: dict[str, Any] = dict(given[0])
    for table in given[1:]:
        for key in table.model_fields_set:
            last[key] = getattr(table, key)
    calls = last["calls_per_hour"]
    return Policy(
        prune=Prune(last["prune"]),
        ignore=frozenset[DeviceId]().union(*(table.ignore.ids for table in given)),
        max_unsubscribe=limit(last["max_unsubscribe"]),
        max_unsubscribe_floor=last["max_unsubscribe_floor"],
        unsubscribe_after=duration.parse(last["unsubscribe_after"]),
        allow_empty=last["allow_empty"],
        pause=reduce(Pause.stricter, (Pause(table.pause) for table in given)),
        calls_per_hour=calls if isinstance(calls, int) else Unlimited(calls),
    )
