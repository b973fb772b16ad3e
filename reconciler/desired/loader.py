"""All documents together: every fault in them, and the accounts that they make.

Owns: what no schema of one table can say, what happens to the good parts when others are faulty, and the place of every
fault. Must not: touch a disk (a ``Tree`` does), read a clock, or let an exception escape for any bytes.

A text that is right takes the short way: the TOML reader, one look at all ids together, no loop over devices. Only a
text that is wrong is looked at device by device, and walked for lines and columns.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from functools import reduce
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from reconciler.core import duration
from reconciler.core.acceptance import Loaded
from reconciler.core.errors import Fault, quoted, suggestion
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    DeviceType,
    Pause,
    Policy,
    Prune,
    Unlimited,
)
from reconciler.desired import positions as places
from reconciler.desired.checks import OUT_OF_RANGE, limit, one_of
from reconciler.desired.device_files import Listed, OnlyOne, Shelf
from reconciler.desired.diagnostics import Finding, Where
from reconciler.desired.documents import Document, Role, Sighting, Tree, Unreadable, digest
from reconciler.desired.parser import SHARED, SUGGESTED, Reading, read
from reconciler.desired.positions import Loc
from reconciler.desired.schema import (
    AccountTable,
    ApprovalTable,
    DeviceTable,
    DocumentTable,
    IdList,
    PolicyTable,
    id_of,
)
from reconciler.desired.thinned import thinned
from reconciler.desired.writer import toml_string

LONGEST_KEPT = 1024 * 1024
"""Bytes of the longest document of which more than its accounts stays in memory from one load to the next."""
MANY = 10
"""Where one account in so many is another one, all are looked at together: it costs less than one by one."""
SHOWN = 1000
"""How many faults of one document are told; the rest is a number."""

HIDDEN = "there is a fault here that is not shown: this file is a link to another folder; validate the file it leads to"
"""Stands for every fault of a file that is not ours to show."""
_NOTHING = Fault("", 0, 0, "there is no text to read")


_DOCUMENTED = [str(kind) for kind in DeviceType]


@dataclass(frozen=True, slots=True)
class _Collected:
    """The devices of one account or approval, from the text and its device files."""

    reading: Reading
    loc: Loc
    inline: IdList
    lists: tuple[Listed, ...]
    ids: frozenset[DeviceId]

    def where(self, wanted: AbstractSet[str]) -> Iterator[tuple[DeviceId, Where]]:
        """Find every place of some ids, in the order of the text."""
        if self.inline.ids & wanted:
            for index, entry in enumerate(self.inline.entries):
                if entry is not None and (device := id_of(entry)) in wanted:
                    yield device, self.reading.at(*self.loc, "devices", index)
        for listed in self.lists:
            if listed.ids & wanted:
                yield from listed.where(wanted)

    def first(self, wanted: AbstractSet[str]) -> dict[DeviceId, Where]:
        """Find the first place of some ids."""
        return dict(reversed([*self.where(wanted)]))


@dataclass(frozen=True, slots=True)
class _Part:
    """One account as one document defines it."""

    name: AccountName
    collected: _Collected
    described: Mapping[DeviceId, Device]
    country: str | None = None
    policy: PolicyTable | None = None

    @property
    def reading(self) -> Reading:
        return self.collected.reading

    @property
    def where(self) -> Where:
        """Where the account is defined."""
        loc = self.collected.loc
        if loc:
            return self.reading.at(*loc, key=True)
        return self.reading.at("devices" if self.reading.says("devices") else "device_files", key=True)


@dataclass(frozen=True, slots=True)
class _Approved:
    """One approval as one document gives it."""

    account: AccountName
    collected: _Collected
    expires: datetime
    reason: str


class Again:
    """What a load made of documents without a fault, for the next one: of a hundred texts an edit changes one.

    A document that says the same is not parsed again; nor are its accounts made again, unless they name device files.
    A single document is not kept, since it always is the one that changed; nor is a long one, as that costs memory.
    """

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._parts: dict[str, tuple[tzinfo | None, tuple[_Part, ...]]] = {}
        self._accounts: dict[AccountName, tuple[_Part, PolicyTable | None, Desired]] = {}
        self._apart: dict[AccountName, _Part] = {}

    def reading(self, document: Document) -> Reading:
        """Return a document read, as it was read before where it says the same."""
        known = self._readings.get(document.path)
        if known is not None and known.content == document.content:
            return known
        new = read(document)
        if known is not None and known.table is not None and new.table is not None:
            _share(known.table, new.table)
        return new

    def parts(self, reading: Reading, zone: tzinfo | None) -> tuple[_Part, ...] | None:
        """Return the accounts of a document if they were made before, with bare dates in the same zone."""
        made_in, parts = self._parts.get(reading.path, (None, ()))
        return parts if parts and parts[0].reading is reading and made_in is zone else None

    def desired(self, part: _Part, general: PolicyTable | None) -> Desired | None:
        """Return what an account wants if that was put together before, of the same parts."""
        made_of, policy, desired = self._accounts.get(part.name, (None, None, None))
        return desired if made_of is part and policy is general else None

    def are_apart(self, parts: Collection[_Part]) -> bool:
        """Say whether no two accounts desire a device, where no two did before and few accounts are others now."""
        others = [part for part in parts if self._apart.get(part.name) is not part]
        if MANY * len(others) > len(parts):
            return False
        theirs = frozenset[DeviceId]().union(*(part.collected.ids for part in others))
        same = (part.collected.ids for part in parts if self._apart.get(part.name) is part)
        return len(theirs) == sum(len(part.collected.ids) for part in others) and all(map(theirs.isdisjoint, same))

    def keep(
        self,
        readings: Sequence[Reading],
        zone: tzinfo | None,
        parts: Sequence[_Part],
        general: PolicyTable | None,
        accounts: Mapping[AccountName, Desired],
        *,
        apart: bool,
    ) -> None:
        """Take what the next load may need. ``apart``: no two accounts desire a device."""
        same = [one for one in readings if not one.faults and not one.warnings and len(one.content) <= LONGEST_KEPT]
        self._readings = {one.path: one for one in same} if len(readings) > 1 else {}
        made: dict[str, list[_Part]] = {path: [] for path, one in self._readings.items() if not one.named}
        for part in parts:
            if part.reading.path in made:
                made[part.reading.path].append(part)
        self._parts = {path: (zone, tuple(each)) for path, each in made.items()}
        self._apart = {part.name: part for each in made.values() for part in each} if apart else {}
        self._accounts = {
            part.name: (part, general, accounts[part.name])
            for each in made.values()
            for part in each
            if part.name in accounts and not accounts[part.name].approvals
        }


def _share(before: DocumentTable, now: DocumentTable) -> None:
    """Let accounts with the devices that they had hold the very same, which are in force as well.

    Only these: of other tables equal ones may say different things, as a key with its default overrides a general one.
    """
    known, accounts = before.accounts or {}, now.accounts or {}
    for name, account in accounts.items():
        old = known.get(name)
        if old is not None and old.devices is not None and old.devices == account.devices:
            accounts[name] = account.model_copy(update={"devices": old.devices})


def load(
    documents: Sequence[Document],
    tree: Tree,
    *,
    environment: str | None = None,
    again: Again | None = None,
    kept: bool = False,
) -> Loaded:
    """Return what the documents say and every fault in them; nothing is raised, whatever the bytes.

    ``environment`` is the one that the texts have to be for, if that matters. With ``again``, what one load after the
    other has in common is made once; what is returned is the same without. ``kept``: all of it was accepted before,
    maybe by a version with fewer rules; what only a later rule refuses is taken as it was, and nothing is put into
    ``again``.
    """
    hidden = frozenset(document.path for document in documents if not document.ours)
    if kept:
        readings = [read(document, kept=True) for document in documents]
        return _Loading(readings, tree, Again(), kept=True, hidden=hidden).loaded(environment)
    again = again or Again()
    return _Loading([again.reading(document) for document in documents], tree, again, hidden=hidden).loaded(environment)


def sightings(documents: Sequence[Document], tree: Tree, device: DeviceId) -> tuple[Sighting, ...]:
    """Return every place at which accepted texts name a device, in their order.

    It costs a load of what is left when the entries of other devices are taken out, and a walk.
    """
    thin = [Document(one.path, thinned(one.content, device)) for one in documents]
    readings = [read(document, kept=True) for document in thin]
    return _Loading(readings, OnlyOne(tree, device), Again(), kept=True).sightings(device)


def _names_no_devices(reading: Reading, account: AccountTable, loc: Loc) -> bool:
    return (
        account.devices is None
        and account.device_files is None
        and reading.broken.isdisjoint({(*loc, "devices"), (*loc, "device_files")})
    )


def _tell_twice(collected: _Collected) -> None:
    """Tell each place at which an account's device is listed again."""
    seen: set[DeviceId] = set()
    twice: set[DeviceId] = set()
    inline = (id_of(entry) for entry in collected.inline.entries if entry is not None)
    for ids in (inline, *(listed.ids for listed in collected.lists)):
        for device in ids:
            (twice if device in seen else seen).add(device)
    first: dict[DeviceId, Where] = {}
    for device, where in collected.where(twice):
        if device in first:
            collected.reading.fault(where, "this device is listed twice, first at", first[device])
        else:
            first[device] = where


def _policy(*tables: PolicyTable | None) -> Policy:
    """Merge policies, the general one first: key by key, but what is ignored adds up and the stricter pause holds."""
    said = [PolicyTable(), *(table for table in tables if table is not None)]

    def last(key: str) -> Any:
        return next(
            getattr(table, key) for table in reversed(said) if key in table.model_fields_set or table is said[0]
        )

    calls = last("calls_per_hour")
    return Policy(
        prune=Prune(last("prune")),
        ignore=frozenset[DeviceId]().union(*(table.ignore.ids for table in said)),
        max_unsubscribe=limit(last("max_unsubscribe")),
        max_unsubscribe_floor=last("max_unsubscribe_floor"),
        unsubscribe_after=duration.parse(last("unsubscribe_after")),
        allow_empty=last("allow_empty"),
        pause=reduce(Pause.stricter, (Pause(table.pause) for table in said)),
        calls_per_hour=calls if isinstance(calls, int) else Unlimited(calls),
    )


def _ignored(reading: Reading, policy: PolicyTable, loc: Loc, device: DeviceId) -> Iterator[Where]:
    """Find a device among those that a policy ignores."""
    for index, entry in enumerate(policy.ignore.entries if device in policy.ignore.ids else ()):
        if entry is not None and id_of(entry) == device:
            yield reading.at(*loc, index)


class _Loading:
    """One load: the documents, what is shared between them, and the accounts that they make together."""

    def __init__(
        self,
        readings: Sequence[Reading],
        tree: Tree,
        again: Again,
        *,
        kept: bool = False,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self._readings = readings
        self._hidden = hidden
        self._again = again
        self._shelf = Shelf(tree, kept=kept)
        self._unsure = any(reading.keys is None for reading in readings)
        self._names = frozenset[AccountName]().union(*(one.names for one in readings))
        self._unknown = 0
        self._warnings: list[Finding] = []
        self._only_once()
        self._zone = self._read_zone()
        self._parts = [part for reading in readings for part in self._read_accounts(reading)]
        self._approved = [approved for reading in readings for approved in self._read_approvals(reading)]
        self._accounts_once()
        self._retired_or_present()
        self._desired_or_approved()
        self._in_two_accounts()
        self._no_account = not self._parts and not any(reading.faults for reading in readings)
        if self._no_account and readings:
            readings[0].fault(readings[0].at(), "no account: give devices or device_files, if only as devices = []")

    # -- what is shared

    def _tables(self) -> Iterator[tuple[Reading, DocumentTable]]:
        return ((reading, reading.table) for reading in self._readings if reading.table is not None)

    def _said(self, key: str) -> tuple[Reading, Any] | None:
        """Return the document that says a shared key, and its value."""
        found = ((reading, getattr(table, key)) for reading, table in self._tables())
        return next(((reading, value) for reading, value in found if value is not None), None)

    def _only_once(self) -> None:
        for key in SHARED:
            holders = [reading for reading in self._readings if reading.says(key)]
            for reading in holders if len(holders) > 1 else ():
                other = holders[1] if reading is holders[0] else holders[0]
                message = f"{key} stands in one file only; it is also at"
                reading.fault(reading.at(key, key=True), message, other.at(key, key=True))

    def _read_zone(self) -> tzinfo | None:
        """Return the zone of bare dates. Where it is said but cannot be read, any will do: nothing gets in force."""
        said = self._said("timezone")
        if said is None:
            unknown = self._unsure or any(reading.says("timezone") for reading in self._readings)
            return UTC if unknown else None
        reading, name = said
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            near = suggestion(name, available_timezones())
            reading.fault(reading.at("timezone"), f"no such time zone; zones are written like Asia/Seoul{near}")
            return UTC

    def _moment(self, reading: Reading, value: date | None, loc: Loc) -> datetime | None:
        """Return a date as a moment: what is not yet a date-time begins at midnight in the zone."""
        if value is None or isinstance(value, datetime):
            return value
        if self._zone is None:
            reading.fault(
                reading.at(*loc),
                'a bare date needs a zone: write timezone = "Asia/Seoul" or such at the top of the file',
            )
            return None
        try:
            return datetime.combine(value, time.min, self._zone).astimezone(UTC)
        except OverflowError:
            reading.fault(reading.at(*loc), OUT_OF_RANGE)
            return None

    # -- accounts

    def _read_accounts(self, reading: Reading) -> Iterator[_Part]:
        table = reading.table
        if table is None:
            return
        known = self._again.parts(reading, self._zone)
        if known is not None:
            yield from known
            return
        reading.named.clear()
        if reading.says("devices") or reading.says("device_files"):
            yield self._part(reading, DEFAULT_ACCOUNT, table, ())
        for name, account in (table.accounts or {}).items():
            loc = ("accounts", name)
            if _names_no_devices(reading, account, loc):
                message = "an account needs devices or device_files; one that is to be empty says devices = []"
                reading.fault(reading.at(*loc), message)
            yield self._part(reading, AccountName(name), account, loc)

    def _part(self, reading: Reading, name: AccountName, table: DocumentTable | AccountTable, loc: Loc) -> _Part:
        collected = self._collect(reading, table, loc)
        if len(collected.inline) + sum(len(listed.ids) for listed in collected.lists) != len(collected.ids):
            _tell_twice(collected)
        described = self._describe(collected)
        if isinstance(table, DocumentTable):
            return _Part(name, collected, described)
        return _Part(name, collected, described, table.country, table.policy)

    def _collect(self, reading: Reading, table: DocumentTable | AccountTable | ApprovalTable, loc: Loc) -> _Collected:
        """Gather the devices that a table names. A file that two patterns match is read as one."""
        inline = table.devices or IdList()
        lists: dict[str, Listed] = {}
        for index, pattern in enumerate(table.device_files or ()):
            lists |= {listed.path: listed for listed in self._find(reading, pattern, (*loc, "device_files", index))}
        sources = [ids for ids in (inline.ids, *(listed.ids for listed in lists.values())) if ids]
        ids = sources[0] if len(sources) == 1 else frozenset[DeviceId]().union(*sources)
        return _Collected(reading, loc, inline, tuple(lists.values()), ids)

    def _find(self, reading: Reading, pattern: str, loc: Loc) -> Iterator[Listed]:
        """Read what a pattern matches; faults of the files are faults of the document that names them."""
        where = reading.at(*loc)
        try:
            found = self._shelf.find(posixpath.dirname(reading.path), posixpath.normpath(pattern))
        except Unreadable as error:
            reading.fault(where, quoted(str(error)))
            return
        if not found:
            reading.fault(where, "no file matches this pattern")
        for path, listed in found.items():
            if isinstance(listed, Unreadable):
                reading.fault(where, f"{quoted(path)}: {quoted(str(listed))}")
            else:
                reading.named.add(path)
                reading.faults.extend(listed.faults)
                reading.warnings.extend(listed.warnings)
                yield listed

    def _describe(self, collected: _Collected) -> Mapping[DeviceId, Device]:
        """Return the devices of which more is said than their id."""
        described = {id_: Device(id_, name) for listed in collected.lists for id_, name in listed.names.items()}
        for index, table in collected.inline.tables:
            device = self._device(collected.reading, (*collected.loc, "devices", index), table)
            if device != Device(device.id):
                described[device.id] = device
        return described

    def _device(self, reading: Reading, loc: Loc, table: DeviceTable) -> Device:
        from_ = self._moment(reading, table.from_, (*loc, "from"))
        until = self._moment(reading, table.until, (*loc, "until"))
        if from_ is not None and until is not None and until <= from_:
            reading.fault(reading.at(*loc, "until"), "until is not after from: the device would never be desired")
        kind = None
        if table.type in _DOCUMENTED:
            kind = DeviceType(table.type)
        elif table.type is not None:
            message = f"LG knows this type, but PCC is documented for {one_of(_DOCUMENTED)} only"
            reading.warnings.append(Finding(reading.at(*loc, "type"), message))
        return Device(DeviceId(table.id), table.name or None, kind, from_, until)

    def _accounts_once(self) -> None:
        """Tell accounts that stand in two places: in two documents, or both short and long."""
        parts: dict[AccountName, list[_Part]] = {}
        for part in self._parts:
            parts.setdefault(part.name, []).append(part)
        for name, same in parts.items():
            for part in same if len(same) > 1 else ():
                other = same[1] if part is same[0] else same[0]
                short = "; top-level devices and device_files are short for it" if name == DEFAULT_ACCOUNT else ""
                part.reading.fault(
                    part.where, f"account {name} stands in one place only{short}; it is also at", other.where
                )

    def _retired_or_present(self) -> None:
        reading, names = self._said("retired_accounts") or (None, ())
        present = {part.name: part for part in self._parts}
        for index, name in enumerate(names):
            if reading is not None and name in present:
                message = f"account {name} is retired and present at once; it is at"
                reading.fault(reading.at("retired_accounts", index), message, present[name].where)

    def _in_two_accounts(self) -> None:
        """Warn of devices that two accounts desire: one warning for each two accounts, however many devices."""
        parts = {part.name: part for part in self._parts}.values()
        if self._again.are_apart(parts):
            return
        each = [part.collected.ids for part in parts]
        if not each[1:] or len(frozenset[DeviceId]().union(*each)) == sum(map(len, each)):
            return
        first: dict[DeviceId, _Part] = {}
        shared: dict[tuple[AccountName, AccountName], list[DeviceId]] = {}
        for part in parts:
            for device in sorted(part.collected.ids):
                if first.setdefault(device, part) is not part:
                    shared.setdefault((first[device].name, part.name), []).append(device)
        examples = {devices[0] for devices in shared.values()}
        spots = {part.name: part.collected.first(examples & part.collected.ids) for part in parts}
        for (one, two), devices in shared.items():
            more = f" and {len(devices) - 1} more are" if len(devices) > 1 else " is"
            message = f"this device{more} also desired in account {one}; this one at"
            self._warnings.append(Finding(spots[two][devices[0]], message, spots[one][devices[0]]))

    # -- approvals

    def _read_approvals(self, reading: Reading) -> Iterator[_Approved]:
        approvals = reading.table.approvals if reading.table is not None else None
        lost = {loc[:2] for loc in reading.broken}
        for index, approval in enumerate(approvals or ()):
            loc = ("approvals", index)
            if loc in lost:
                continue
            if approval.devices is None and approval.device_files is None:
                reading.fault(reading.at(*loc), "an approval needs devices or device_files")
            self._check_account(reading, approval, loc)
            collected = self._collect(reading, approval, loc)
            expires = self._moment(reading, approval.expires, (*loc, "expires"))
            if expires is not None:
                yield _Approved(AccountName(approval.account), collected, expires, approval.reason)

    def _check_account(self, reading: Reading, approval: ApprovalTable, loc: Loc) -> None:
        """Tell an approval for an unknown account, and one that says none where there is no default one."""
        if self._unsure or approval.account in self._names:
            return
        if "account" in approval.model_fields_set:
            self._unknown += 1
            near = suggestion(approval.account, self._shown_names()) if self._unknown <= SUGGESTED else ""
            message = f"there is no account {approval.account}{near}"
            reading.warnings.append(Finding(reading.at(*loc, "account"), message))
        else:
            reading.fault(reading.at(*loc), "account is missing")

    def _shown_names(self) -> list[str]:
        """Return the accounts that a fault may name, sorted."""
        return sorted(self._names.difference(*(one.names for one in self._readings if one.path in self._hidden)))

    def _desired_or_approved(self) -> None:
        """Tell devices that may go and are desired at once, unless their entry says until when."""
        parts = {part.name: part.collected for part in self._parts}
        for approved in self._approved:
            desired, leaving = parts.get(approved.account), approved.collected
            both = leaving.ids & desired.ids if desired is not None else frozenset()
            if desired is None or not both:
                continue
            both -= {DeviceId(table.id) for _index, table in desired.inline.tables if table.until is not None}
            spots = desired.first(both)
            for device, where in leaving.where(both):
                message = "this device may go and is desired at once, without an until; it is desired at"
                leaving.reading.fault(where, message, spots[device])

    # -- one device

    def sightings(self, device: DeviceId) -> tuple[Sighting, ...]:
        """Return where a device stands: as an entry, in approvals, and under ``ignore``."""
        found = list(self._named(device))
        places = self._resolve([Finding(where, "") for _role, _account, _number, where in found])
        return tuple(
            Sighting(role, account, place.path, place.line, place.column, number)
            for (role, account, number, _where), place in zip(found, places, strict=True)
        )

    def _named(self, device: DeviceId) -> Iterator[tuple[Role, AccountName | None, int, Where]]:
        wanted = frozenset({device})
        for part in self._parts:
            yield from ((Role.DEVICE, part.name, 0, where) for _id, where in part.collected.where(wanted))
            if part.policy is not None:
                loc = (*part.collected.loc, "policy", "ignore")
                yield from ((Role.IGNORE, part.name, 0, at) for at in _ignored(part.reading, part.policy, loc, device))
        general = self._said("policy")
        if general is not None:
            reading, policy = general
            yield from ((Role.IGNORE, None, 0, at) for at in _ignored(reading, policy, ("policy", "ignore"), device))
        number = Counter[AccountName]()
        for one in self._approved:
            places = one.collected.where(wanted)
            yield from ((Role.APPROVAL, one.account, number[one.account], where) for _id, where in places)
            number[one.account] += 1

    # -- the answer

    def loaded(self, environment: str | None) -> Loaded:
        """Put the answer together: accounts of documents without a fault, and every fault with its place."""
        wrong = self._wrong_environment(environment)
        shared_fault = self._no_account or any(reading.shared_fault for reading in self._readings)
        files = {reading.path: reading.content for reading in self._readings} | self._shelf.files
        environments, retired = self._said("environment"), self._said("retired_accounts")
        accounts = {} if wrong or shared_fault else self._accounts()
        general = self._said("policy")
        table = general[1] if general else None
        self._again.keep(self._readings, self._zone, self._parts, table, accounts, apart=not self._warnings)
        faulty = {one.path: one.names if one.keys is not None else None for one in self._readings if one.faults}
        return Loaded(
            accounts=MappingProxyType(accounts),
            retired=frozenset(map(AccountName, retired[1])) if retired else frozenset(),
            environment=environments[1] if environments else None,
            faults=self._told((one.path, one.faults) for one in self._readings) if self._readings else (_NOTHING,),
            warnings=self._told([*((one.path, one.warnings) for one in self._readings), ("", self._warnings)]),
            faulty=MappingProxyType(faulty),
            shared=frozenset(reading.path for reading in self._readings if reading.shared),
            shared_fault=shared_fault,
            wrong_environment=wrong,
            files=MappingProxyType(files),
            sha256=digest(files),
            named=MappingProxyType({one.path: frozenset(one.named) for one in self._readings}),
        )

    def _accounts(self) -> dict[AccountName, Desired]:
        general = self._said("policy")
        approvals: dict[AccountName, list[Approval]] = {}
        for one in self._approved:
            if not one.collected.reading.faults:
                approval = Approval(one.collected.ids, one.expires, one.reason)
                approvals.setdefault(one.account, []).append(approval)
        table = general[1] if general else None
        policy = _policy(table)

        def desired(part: _Part) -> Desired:
            return Desired(
                account=part.name,
                devices=part.collected.ids,
                described=MappingProxyType(part.described),
                policy=policy if part.policy is None else _policy(table, part.policy),
                approvals=tuple(approvals.get(part.name, ())),
                country=part.country,
                path=part.reading.path,
            )

        return {
            part.name: (None if part.name in approvals else self._again.desired(part, table)) or desired(part)
            for part in self._parts
            if not part.reading.faults
        }

    def _wrong_environment(self, wanted: str | None) -> Fault | None:
        """Tell a text for another environment, as from a wrong branch; one that cannot be read is invalid instead."""
        said = self._said("environment")
        if wanted is None or not self._readings or (said is not None and said[1] == wanted):
            return None
        if said is not None:
            reading, _stated = said
            message = f"this text is for another environment than {quoted(wanted)!r}"
            return self._resolve([Finding(reading.at("environment"), message)])[0]
        if any(reading.shared_fault for reading in self._readings):
            return None
        message = (
            f"environment is missing: only texts that say environment = {toml_string(quoted(wanted))} are taken here"
        )
        return Fault(self._readings[0].path, 1, 1, message)

    def _told(self, findings: Iterable[tuple[str, Sequence[Finding]]]) -> tuple[Fault, ...]:
        """Return findings with their places, sorted, and of very many in one document only the number."""
        shown: list[Finding] = []
        told = set()
        for path, found in findings:
            shown += found[:SHOWN]
            if len(found) > SHOWN:
                told.add(Fault(path, 0, 0, f"{len(found) - SHOWN} more like these are not shown"))
        return tuple(sorted(told.union(self._resolve(shown))))

    def _resolve(self, findings: Sequence[Finding]) -> list[Fault]:
        """Find lines and columns: each text is walked once, and only if something in it is to be told."""
        wanted: dict[str, set[Loc]] = {}
        for where in (where for one in findings for where in (one.where, one.other) if where is not None):
            if not where.line:
                wanted.setdefault(where.path, set()).add(where.loc)
        spots = {one.path: places.find(one.text, wanted[one.path]) for one in self._readings if one.path in wanted}

        def place(where: Where) -> tuple[int, int]:
            if where.line:
                return where.line, where.column
            spot = spots[where.path][where.loc]
            found = spot.key if where.key else spot.value
            return found.line, found.column

        def message(one: Finding) -> str:
            if not self._hidden.isdisjoint({one.where.path, *([one.other.path] if one.other is not None else [])}):
                return HIDDEN
            if one.other is None:
                return one.message
            line, column = place(one.other)
            return f"{one.message} {one.other.path}:{line}:{column}"

        return [Fault(one.where.path, *place(one.where), message(one)) for one in findings]
