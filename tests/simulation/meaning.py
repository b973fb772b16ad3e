"""What files mean, read anew from what the format promises, and what is in force after each change of them.

Owns: a second reading of the desired-state format, by the standard library's TOML reader, and a second account of what
is accepted and what stays in force. Must not: import anything of the program.

The daemon looks when it can, so for a while after a change nobody can say which text it goes by. ``Texts`` therefore
holds every state that may be in force, and what is done must be right under one of them.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from simulation.opening_hours import Hours, hours
from simulation.texts import fingerprint

KEYS = {
    *("version", "environment", "timezone", "retired_accounts", "policy", "windows"),
    *("accounts", "approvals"),
}
SHARED_KEYS = KEYS - {"version", "accounts", "approvals"}
POLICY = {
    "prune": "all",
    "ignore": (),
    "max_unsubscribe": "10%",
    "max_unsubscribe_floor": 5,
    "unsubscribe_after": "0s",
    "allow_empty": False,
    "pause": "none",
    "calls_per_hour": "auto",
}
PAUSES = ("none", "unsubscribe", "all")
FOREIGN = re.compile(
    r"""[,;"'()\[\]{}]|.*[,;"'()\[\]{}]$|.*[;,]|[0-9]+[.,]?[0-9]*[eE][+-]?[0-9]+$|[<=>|]{7}|.*[\s/?\#%\\]|\.{1,2}$"""
)
"""What is no device id but a line of another format, or what an id cannot hold."""
LONGEST_ID = 256
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One account as a text has it. ``devices``: id -> from and until; ``sources``: id -> its device file."""

    devices: Mapping[str, tuple[datetime | None, datetime | None]]
    names: Mapping[str, str]
    policy: Mapping[str, Any]
    approvals: tuple[tuple[frozenset[str], datetime], ...] = ()
    document: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    folded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    windows: tuple[Hours, ...] = ()
    protected: Mapping[str, bool] = field(default_factory=dict)

    def wants(self, device: str, now: datetime) -> bool:
        """Say whether a device is to be live at a moment."""
        if device not in self.devices:
            return False
        from_, until = self.devices[device]
        return (from_ is None or from_ <= now) and (until is None or now < until)

    def changes_between(self, device: str, begin: datetime | None, end: datetime) -> bool:
        """Say whether a device comes or goes by its dates in a span of time, whichever way the clock went in it."""
        if begin is None:
            return True
        first, last = min(begin, end), max(begin, end)
        return any(one is not None and first <= one <= last for one in self.devices[device])

    def entry(self, device: str) -> tuple[Any, ...] | None:
        """Return what the text says of a device, if it names it."""
        if device not in self.devices or device in self.policy["ignore"]:
            return None
        said = self.protected.get(device)
        return (*self.devices[device], self.names.get(device, ""), said)

    def approves(self, device: str, now: datetime) -> bool:
        """Say whether an approval in force at a moment names a device."""
        return any(device in devices and now < expires for devices, expires in self.approvals)

    def allowance(self, base: int) -> int:
        """Return how many devices may go within a day."""
        limit = self.policy["max_unsubscribe"]
        if isinstance(limit, str):
            limit = int(Fraction(limit.removesuffix("%")) / 100 * base)
        return max(int(limit), int(self.policy["max_unsubscribe_floor"]))

    def prunes(self, *, owned: bool) -> bool:
        """Say whether a live device that is not desired may be removed; ``owned``: it was desired here once."""
        return bool(self.policy["prune"] == "all" or (owned and self.policy["prune"] == "owned"))

    @property
    def absence(self) -> timedelta:
        """Return for how long a device has to be absent before it may go."""
        found = _SPAN.fullmatch(self.policy["unsubscribe_after"])
        assert found is not None
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Reading:
    """What files say.

    ``faulty`` are accounts that stand in a faulty document, ``unclear`` faulty documents of which nobody knows whose
    accounts they hold, ``shared`` the documents that hold what concerns all, and ``bad`` all that are faulty.
    ``rejected`` says that all of it is rejected. ``names`` are the files there are, and ``locked`` says that somebody
    changes them, as the lock beside them shows.
    """

    accounts: Mapping[str, Wanted] = field(default_factory=dict)
    faulty: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    retired: frozenset[str] = frozenset()
    rejected: bool = False
    names: frozenset[str] = frozenset()
    locked: bool = False


class _Fault(Exception):
    pass


def read(files: Mapping[str, bytes], environment: str) -> Reading:
    """Return what files mean. They are named by their paths below the folder of the texts."""
    return replace(_read(files, environment), names=frozenset(files))


def _read(files: Mapping[str, bytes], environment: str) -> Reading:
    tables: dict[str, dict[str, Any]] = {}
    unclear = set()
    for name in sorted(name for name in files if name.endswith(".toml") and "/" not in name):
        try:
            tables[name] = tomllib.loads(files[name].decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            unclear.add(name)
    said = {key: [name for name, table in tables.items() if key in table] for key in SHARED_KEYS}
    general = {key: tables[names[0]][key] for key, names in said.items() if names}
    if not (tables or unclear) or (environment and general.get("environment") != environment):
        return Reading(rejected=True)
    zone = general.get("timezone")
    windows = [hours(one, zone) for one in general.get("windows", ())]
    good_windows = tuple(one for one in windows if one is not None)
    if len({one.name for one in good_windows}) < len(windows):
        return Reading(
            rejected=True, shared=frozenset(name for names in said.values() for name in names)
        )
    listed, bad = _sound(tables, files, zone)
    accounts = {}
    for name, found in listed.items():
        for account, (devices, names, sources, own, protected) in (
            found.items() if name not in bad else ()
        ):
            try:
                policy = _policy(general.get("policy", {}), own)
            except _Fault:
                bad.add(name)
                continue
            given = [
                one
                for other, table in tables.items()
                if other not in bad
                for one in table.get("approvals", ())
            ]
            approvals = tuple(
                _approved(one, files, {}, zone) for one in given if one["account"] == account
            )
            accounts[account] = Wanted(
                devices,
                names,
                policy,
                approvals,
                name,
                sources,
                _alike(devices),
                good_windows,
                protected,
            )
    faulty = {account for name in bad for account in tables[name].get("accounts", {})}
    good = {account: wanted for account, wanted in accounts.items() if account not in faulty}
    return Reading(
        good,
        frozenset(faulty),
        frozenset(unclear),
        frozenset(bad | unclear),
        frozenset(name for names in said.values() for name in names),
        frozenset(general.get("retired_accounts", ())),
        rejected=any(len(names) > 1 for names in said.values()) or not good,
    )


def _alike(devices: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the devices by what a person may take for their id: whatever its case, its Unicode form and its quotes."""
    found: dict[str, tuple[str, ...]] = {}
    for device in devices:
        alike = unicodedata.normalize(
            "NFC", unicodedata.normalize("NFC", device.strip("\"'")).casefold()
        )
        found[alike] = (*found.get(alike, ()), device)
    return found


def _sound(
    tables: Mapping[str, Mapping[str, Any]], files: Mapping[str, bytes], zone: str | None
) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the accounts of the documents that can be read, and which documents are faulty."""
    listed: dict[str, dict[str, Any]] = {}
    bad = set()
    for name, table in tables.items():
        try:
            listed[name] = _listed(table, files, zone)
        except _Fault:
            bad.add(name)
    homes = {
        account: name for name, table in tables.items() for account in table.get("accounts", {})
    }
    everyone = [account for table in tables.values() for account in table.get("accounts", {})]
    doubled = {account for account in everyone if everyone.count(account) > 1}
    bad |= {name for name, table in tables.items() if doubled & table.get("accounts", {}).keys()}
    for name, table in tables.items():
        for one in table.get("approvals", ()):
            try:
                _approved(one, files, listed.get(homes.get(one.get("account", ""), ""), {}), zone)
            except _Fault:
                bad.add(name)
    return listed, bad


def _listed(
    table: Mapping[str, Any], files: Mapping[str, bytes], zone: str | None
) -> dict[str, Any]:
    """Return the accounts of one document: the devices, their names, and the account's own policy."""
    if table.get("version") != 1 or not table.keys() <= KEYS:
        raise _Fault
    found = {}
    for name, account in table.get("accounts", {}).items():
        if not account.keys() & {"devices", "device_files", "locked"}:
            raise _Fault
        keys = {"devices", "device_files", "policy", "country", "locked", "rules"}
        if not account.keys() <= keys or ("locked" in account) is not ("rules" in account):
            raise _Fault
        if "locked" in account and not _fits(name, account, files):
            raise _Fault
        said = _protected(account.get("devices", ()))
        found[name] = (*_devices(account, files, zone), account.get("policy", {}), said)
    return found


_HEAD = re.compile(rb"# [^;\n]*; account ([a-z0-9-]+); rules sha256:([0-9a-f]{64}); [^\n]*\n")


def _fits(name: str, account: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
    """Say whether the lock of an account with one rule was made of that rule."""
    head = _HEAD.match(files.get(account["locked"], b""))
    (rule,) = account["rules"]
    return head is not None and (head[1].decode(), head[2].decode()) == (name, fingerprint(rule))


def _protected(entries: Iterable[Any]) -> dict[str, bool]:
    """Return what is said of protection; an entry without a word of it says nothing."""
    said = {}
    for entry in entries:
        if isinstance(entry, dict) and "protected" in entry:
            if not isinstance(entry["protected"], bool):
                raise _Fault
            said[entry.get("id", "")] = entry["protected"]
    return said


def _devices(
    table: Mapping[str, Any], files: Mapping[str, bytes], zone: str | None
) -> tuple[dict[str, tuple[datetime | None, datetime | None]], dict[str, str], dict[str, str]]:
    devices: dict[str, tuple[datetime | None, datetime | None]] = {}
    names: dict[str, str] = {}
    sources: dict[str, str] = {}
    inline = (("", *_entry(entry, zone)) for entry in table.get("devices", ()))
    for source, device, alias, from_, until in (
        *inline,
        *_in_files(table.get("device_files", ()), files),
        *_in_lock(table, files),
    ):
        if device in devices or not device or len(device) > LONGEST_ID or FOREIGN.match(device):
            raise _Fault
        devices[device] = (from_, until)
        names[device] = alias
        if source:
            sources[device] = source
    return devices, names, sources


def _entry(entry: Any, zone: str | None) -> tuple[str, str, datetime | None, datetime | None]:
    if isinstance(entry, str):
        return entry, "", None, None
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise _Fault
    from_, until = (moment(entry[key], zone) if key in entry else None for key in ("from", "until"))
    return entry["id"], entry.get("name", ""), from_, until


def moment(said: date, zone: str | None) -> datetime:
    """Return when a date is reached: a day is, in its zone, at the first moment that has its name."""
    if isinstance(said, datetime):
        return said
    if zone is None:
        raise _Fault
    return _first_moment(said, zone)


@lru_cache(maxsize=1000)
def _first_moment(day: date, zone: str) -> datetime:
    """Walk along the clock of a zone until it shows a day: summer time may skip a midnight, or have it twice."""
    at, shown = (
        datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15),
        ZoneInfo(zone),
    )
    while at.astimezone(shown).date() < day:
        at += timedelta(minutes=15)
    return at


def _in_files(
    patterns: Iterable[str], files: Mapping[str, bytes]
) -> Iterator[tuple[str, str, str, None, None]]:
    matched = [sorted(name for name in files if fnmatchcase(name, pattern)) for pattern in patterns]
    if not all(matched):
        raise _Fault
    for name in (name for names in matched for name in names):
        try:
            content = files[name].decode()
        except UnicodeDecodeError:
            raise _Fault from None
        if not content.strip() or not content.endswith("\n"):
            raise _Fault
        for line in content.split("\n"):
            device, _, alias = line.partition("#")
            if not line.isprintable():
                raise _Fault
            if device.strip():
                yield name, device.strip(), alias.strip(), None, None


def _in_lock(
    table: Mapping[str, Any], files: Mapping[str, bytes]
) -> Iterator[tuple[str, str, str, None, None]]:
    """Yield the devices of a lock, each with LG's name for it."""
    for path, device, words, _from, _until in (
        _in_files([table["locked"]], files) if "locked" in table else ()
    ):
        name = words.rsplit(" | ", 2)[0]
        yield path, device, "" if name == "-" else name, None, None


def _policy(general: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    if not (general.keys() | own.keys()) <= POLICY.keys():
        raise _Fault
    merged = {**POLICY, **general, **own}
    merged["ignore"] = frozenset((*general.get("ignore", ()), *own.get("ignore", ())))
    merged["pause"] = max(general.get("pause", "none"), own.get("pause", "none"), key=PAUSES.index)
    return merged


def _approved(
    table: Mapping[str, Any],
    files: Mapping[str, bytes],
    accounts: Mapping[str, Any],
    zone: str | None,
) -> tuple[frozenset[str], datetime]:
    """Return what an approval names, and until when; devices that are desired without an end are a fault in it."""
    if not table.keys() >= {"account", "expires", "reason"} or not table.keys() & {
        "devices",
        "device_files",
    }:
        raise _Fault
    devices = frozenset(_devices(table, files, zone)[0])
    desired = accounts.get(table["account"], ({},))[0]
    if any(device in desired and desired[device][1] is None for device in devices):
        raise _Fault
    return devices, moment(table["expires"], zone)


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force for one account, whether a newer text is rejected, and whether it was read beside a lock."""

    wanted: Wanted
    rejected: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What is in force, by account, and which documents hold what concerns all.

    An account that is not in it is not to be touched. ``protected`` are the devices of which the last word was that
    they are protected.
    """

    accounts: Mapping[str, InForce] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    protected: frozenset[str] = frozenset()

    def protects(self, device: str) -> bool:
        """Say whether only an approval may let a device go."""
        return device in self.protected

    def released(self, device: str) -> State:
        """Return what is in force once an approved device went; an entry that protects it still does."""
        said = (one.wanted.protected.get(device) for one in self.accounts.values())
        if True in said:
            return self
        return replace(self, protected=self.protected - {device})


def after(before: State, reading: Reading) -> State:
    """Return what is in force once these files were read."""
    if reading.rejected or reading.bad & (reading.shared | before.shared):
        return State(
            {name: replace(one, rejected=True) for name, one in before.accounts.items()},
            before.shared,
            before.protected,
        )
    kept = {
        name: replace(one, rejected=True)
        for name, one in before.accounts.items()
        if name not in reading.accounts
        and name not in reading.retired
        and (name in reading.faulty or reading.unclear or one.wanted.document in reading.bad)
    }
    read = {
        name: InForce(wanted, locked=reading.locked) for name, wanted in reading.accounts.items()
    }
    accounts = {**kept, **read}
    return State(accounts, reading.shared, _last_words(before.protected, accounts.values()))


def _last_words(before: frozenset[str], accounts: Iterable[InForce]) -> frozenset[str]:
    """Return the devices that are protected: by any entry that says so, else by none that says no, else as before."""
    words: dict[str, set[bool]] = {}
    for one in accounts:
        for device, word in one.wanted.protected.items():
            words.setdefault(device, set()).add(word)
    yes = {device for device, said in words.items() if True in said}
    return frozenset((before - words.keys()) | yes)


class Texts:
    """Every state that may be in force now, as far as can be known from outside.

    A daemon that is up has read what was written ``grace_seconds`` ago; one that is down reads nothing, and goes on
    later from what it kept. Where its disk fails it may have kept less than it accepted.
    """

    is_up = False
    locked = False

    def __init__(self, grace_seconds: float) -> None:
        self._possible: list[State] = [State()]
        self._kept: list[State] | None = None
        self._grace = grace_seconds
        self._pending: list[tuple[float, Reading]] = []
        self._locked_at = -1000.0
        self._newest = Reading(rejected=True)
        self._rejected_at = -1000.0

    def changed(self, at: float, reading: Reading) -> None:
        """Take note of files that changed."""
        self._settle(at)
        self._rejected_at = self.rejected_at(at)
        self._newest = replace(reading, locked=self.locked)
        if self.is_up:
            self._pending.append((at, self._newest))

    def rejected_at(self, at: float) -> float:
        """Return when the files were last rejected as a whole, which nobody's edit gets past."""
        shared = self._newest.shared.union(*(one.shared for one in self._possible))
        rejected = self._newest.rejected or self._newest.bad & shared
        return at if rejected else self._rejected_at

    def lock(self, at: float, reading: Reading, *, locked: bool) -> None:
        """Take note that there is a lock beside the files, or that it is gone; the files are as they were."""
        if locked is not self.locked:
            self._settle(at)
            self.locked = locked
            self._locked_at = at
            self.changed(at, reading)

    def stopped(self) -> None:
        """Take note that the daemon is down."""
        self._possible = self._through()
        self._pending.clear()
        self.is_up = False

    def started(self) -> None:
        """Take note that the daemon is up: it reads what is there now before it does anything."""
        kept = _distinct((*self._possible, *(self._kept or ())))
        read = _distinct(after(state, self._newest) for state in kept)
        self._possible = (
            _distinct((*kept, *read)) if self.locked else read
        )  # beside a lock it has what it kept
        self._kept = None
        self.is_up = True

    def disk_failed(self) -> None:
        """Take note that what is accepted from now on may be forgotten by a kill."""
        if self._kept is None:
            self._kept = self._through()

    def forgotten(self) -> None:
        """Take note that nothing is kept of what was accepted before."""
        self._possible, self._kept = [State()], None

    def released(self, device: str) -> None:
        """Take note that an approved device went."""
        self._possible = _distinct(one.released(device) for one in self._possible)
        if self._kept is not None:
            self._kept = _distinct(one.released(device) for one in self._kept)

    def states(self, at: float) -> list[State]:
        """Return what may be in force at a moment."""
        self._settle(at)
        return self._through()

    def _settle(self, at: float) -> None:
        if self.locked:
            return  # nobody can say what was read beside it, and what was not
        if self._pending and at - self._pending[-1][0] >= self._grace:
            last = self._pending.pop()[1]
            self._possible = _distinct(after(state, last) for state in self._through())
            self._pending.clear()

    def _through(self) -> list[State]:
        """Return every state to which some of the readings may have led, in their order."""
        states = self._possible
        for _, reading in self._pending:
            states = _distinct((*states, *(after(state, reading) for state in states)))
        return states


def _distinct(states: Iterable[State]) -> list[State]:
    found: list[State] = []
    for state in states:
        if state not in found:
            found.append(state)
    return found
