"""What must never happen, checked at every call and every line of the log, and what must come true in the end.

Owns: the promises that are made to those who rely on the program, each as a rule with a name. Must not: import anything
of the program; what it holds against it is read from its specification, in ``meaning`` and here.

It hears what people and the platform do, what goes over the wire, and what is logged. What it cannot know, such as the
moment at which a changed file was read, it leaves open: a call is right if one of the possible states makes it so.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from simulation.meaning import PAUSES, InForce, Reading, State, Texts, Wanted
from simulation.modes import USUAL, Mode
from simulation.opening_hours import Hours, held
from simulation.proof import Proof
from simulation.tolerances import (
    CLOCK_SECONDS,
    CLOCKS_APART_SECONDS,
    EXCHANGE_SECONDS,
    FILES_REST_SECONDS,
    FLOOD_BYTES,
    GRACE_SECONDS,
    MISSING_FILE_SECONDS,
    ONE_CALL_SECONDS,
    TEXT_GRACE_SECONDS,
)

OVERLAY_SECONDS = 60.0
CLOCKS_DIFFER_SECONDS = 300.0
"""From this difference on LG's clock counts beside ours."""
FILES_REST, MISSING_FILE = 5.0, 600.0
"""Seconds for which files must have rested, and for which a tracked file may be missing, before its devices go."""
OLDEST_LIST = 60.0
DAY = timedelta(hours=24)
HOUR_SECONDS = 3600.0
SUSPECT_FROM, BELIEVED_AFTER = 10, 3
MOST_CALLS_AN_HOUR = 3_000
"""More than every reason to come back takes together, where LG sets no limit."""
REFUSED_WAIT = timedelta(hours=1)
THROTTLE_SECONDS = 60.0
STOP_SECONDS = 300.0
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{22}")

REFUSED = {
    "POST": {
        "1205",
        "1210",
        "1211",
        "1212",
        "1213",
        "1214",
        "1217",
        "1219",
        "1220",
        "1221",
        "1224",
    },
    "DELETE": {"1210", "1211", "1212", "1214", "1219", "1220", "1221", "1224"},
}
NOT_ASKED_YET = {"1205", "1210", "1211", "1213"}
"""Of these the first of a process may only mean that nobody asked for the user's devices yet."""
DONE = {"POST": {"1207"}, "DELETE": {"1206", "1204", "1205", "1213", "1217"}}
THROTTLES = {"1306", "1314"}
LATER = {"0000", "2000", "2209", "2210", "2212", "2214"}
STOPS = {
    "1301",
    "1303",
    "1304",
    "1305",
    "1307",
    "1309",
    "1310",
    "1311",
    "1201",
    "1202",
    "1203",
    "1208",
    "1209",
    "1216",
}
CREDENTIALS = {"1302", "1218", "1103"}

OPEN_INTENT = (
    "SELECT 1 FROM change WHERE account = ? AND device = ? AND action = 'unsubscribe'"
    " AND result IS NULL"
)
EVENTS = {"change.applied", "change.failed", "change.refused"}
ALARMS = {"pass.crashed": "a pass ended in a defect", "guard.failed": "a guard could not judge"}


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, by the name of its rule."""

    at: float
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


@dataclass(slots=True)
class Listed:
    """A list that reached the daemon: what it says, and when it was asked for, by the true time."""

    devices: frozenset[str]
    began: float


@dataclass(slots=True)
class Known:
    """What is known of one account from outside.

    ``keeping``: its last list is too short for an account of a few devices, so nothing may be unsubscribed on it;
    ``kept``: so it was since the last list that was believed. ``other_credential``: it changed since the last list.
    ``counted_until`` tells by the true time for how long a device that went counts, whatever becomes of the clock.
    """

    list_in_flight: int = 0
    changes_in_flight: int = 0
    list_began: datetime | None = None
    list_user: str | None = None
    list_sent_at: float = 0.0
    listed: Listed | None = None
    acting: bool = False
    keeping: bool = False
    kept: bool = False
    other_credential: bool = False
    counted_until: dict[str, float] = field(default_factory=dict)
    expected: frozenset[str] | None = None
    user_trusted: str | None = None
    vouched: bool = False
    suspect_readings: int = 0
    confirmed: dict[str, tuple[str, float]] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    owned: set[str] = field(default_factory=set)
    left: dict[str, datetime] = field(default_factory=dict)
    texts_since: datetime | None = None
    refused: dict[tuple[str, str], datetime] = field(default_factory=dict)
    asked_devices_at: float = -1000.0
    throttled_until: float = 0.0
    stopped_at: float = -1000.0
    stopped_until: float = 0.0
    calls: deque[float] = field(default_factory=deque)
    unsure: dict[str, float] = field(default_factory=dict)
    devices_answered: bool = False
    let_go: dict[str, bool] = field(default_factory=dict)
    before: tuple[int, frozenset[str] | None, str | None] | None = None

    def begin(self) -> None:
        """Forget what a daemon that begins does not know: it lists first."""
        self.list_in_flight = self.changes_in_flight = 0
        self.acting, self.listed = False, None
        self.throttled_until = self.stopped_until = 0.0
        self.devices_answered = self.keeping = False
        self.other_credential = self.other_credential or self.kept

    def forget(self) -> None:
        """Forget what is forgotten of an account that is retired."""
        self.expected, self.user_trusted, self.texts_since, self.suspect_readings = (
            None,
            None,
            None,
            0,
        )
        self.owned, self.left, self.refused = set(), {}, {}


@dataclass(slots=True)
class PauseOverride:
    """A pause by command: from when on it is known, and until when it lasts, by the machine's clock and the true time.

    A step of the clock back does not prolong it.
    """

    account: str | None
    pause: str
    from_: float
    until: datetime
    ends: float


class Checker:
    """Hears everything and keeps the first promise that was broken: what follows from it is of no interest.

    ``now`` is the true time in seconds, ``wall`` the machine's clock, and ``true_wall`` LG's.
    """

    violation: Violation | None = None

    def __init__(
        self,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        *,
        observing: bool,
        concurrency: int,
        user_of_token: Callable[[str], str | None],
        state: Callable[[], Path],
        true_wall: Callable[[], datetime] | None = None,
        mode: Mode = USUAL,
    ) -> None:
        self._mode = mode
        self.proof = Proof(self, now, wall, true_wall or wall)
        self.lists: Counter[str] = Counter()
        self.texts = Texts(mode.text_grace_seconds)
        self.accounts: dict[str, Known] = {}
        self.secrets: set[str] = set()
        self.observing = observing
        self.applied: Counter[tuple[str, str, str]] = Counter()
        self.made: Counter[tuple[str, str, str]] = Counter()
        self._disturbed: dict[tuple[str, str], float] = {}
        self.heard: dict[str, float] = {}
        self.changes: Counter[str] = Counter()
        self.tell: Callable[[str], None] = lambda _text: None
        self._now, self._wall = now, wall
        self._true_wall = true_wall or wall
        self._hears_date = False
        self._stopped_at = 0.0
        self._listed_since: dict[tuple[str, str], float] = {}
        self._exchanged_at = -1000.0
        self._files_at = -1000.0
        self._sources: dict[tuple[str, str], str] = {}
        self._vanished: dict[tuple[str, str], str] = {}
        self._restless: set[tuple[str, str]] = set()
        self._missing: dict[str, float] = {}
        self._tracked: frozenset[str] = frozenset()
        self.last_call: dict[str, float] = {}
        self._concurrency = concurrency
        self._user_of_token = user_of_token
        self._state = state
        self._message_ids: set[str] = set()
        self._sent_now: set[str] = set()
        self._users: dict[str, list[tuple[float, str | None]]] = {}
        self._opened: list[tuple[Hours, float, float]] = []
        self._brakes: list[PauseOverride] = []
        self._steps: list[tuple[float, float]] = []
        self._changed_at = wall()
        self._read: dict[str, Wanted] = {}
        self._went: dict[tuple[str, str], datetime] = {}
        self._retired: frozenset[str] = frozenset()
        self.suspected: dict[str, float] = {}

    # -- what people and machines do

    def files_changed(self, reading: Reading) -> None:
        """Hear that the files of the texts are others now."""
        self._note_texts()
        self._changed_at = self._wall()
        self._note_sources(reading)
        self._files_at = self._now()
        self._text_is(reading)
        if self.texts.locked:
            self._note_absences(reading.accounts)
        self.proof.left(reading.accounts)
        for name, wanted in reading.accounts.items():
            before = self._read.get(name)
            if before is None or before.devices != wanted.devices:
                self.proof.edited(name)
            self._entries_changed(name, before, wanted)
            self._read[name] = wanted
            self._note_went(name, wanted)
        self._retired = reading.retired
        if self.texts.is_up:
            self._forget_retired()

    def _note_went(self, account: str, wanted: Wanted) -> None:
        """Take note of when devices left the files: what is in force may be known only some changes later."""
        known = self._known(account)
        for device in known.owned - wanted.devices.keys():
            self._went.setdefault((account, device), self._wall())
        for device in wanted.devices:
            self._went.pop((account, device), None)
        known.owned |= wanted.devices.keys()  # it may have been read before the next change came

    def _text_is(self, reading: Reading) -> None:
        """Take note that this is what the program reads next."""
        self.texts.changed(self._now(), reading)

    def locked(self, *, locked: bool, reading: Reading) -> None:
        """Hear that somebody begins or ends to change many files at once, and that a lock says so meanwhile."""
        self._note_texts()
        self.texts.lock(self._now(), reading, locked=locked)

    def tracked(self, names: Iterable[str]) -> None:
        """Hear which files a commit that is checked out holds."""
        self._tracked = frozenset(names)
        self._missing = {name: at for name, at in self._missing.items() if name in self._tracked}

    def _note_sources(self, reading: Reading) -> None:
        """Take note of devices that vanished because their file did, and of tracked files that are missing."""
        if self._now() - self._files_at >= FILES_REST:
            self._restless.clear()
        for name in reading.names:
            self._missing.pop(name, None)
        self._vanished = {
            key: name for key, name in self._vanished.items() if name not in reading.names
        }
        for (account, device), name in self._sources.items():
            if name not in reading.names and account in reading.accounts:
                self._vanished[account, device] = name
                self._restless.add((account, device))
                if name in self._tracked:
                    self._missing.setdefault(name, self._now())
        for account, wanted in reading.accounts.items():
            for device in wanted.devices:
                self._vanished.pop((account, device), None)
            mine = {key: name for key, name in self._sources.items() if key[0] != account}
            self._sources = mine | {
                (account, device): name for device, name in wanted.sources.items()
            }

    def _note_absences(self, accounts: Mapping[str, Wanted]) -> None:
        """Take note of the earliest moment at which devices may count as absent."""
        for account, wanted in accounts.items():
            known = self._known(account)
            for device in known.owned - wanted.devices.keys():
                known.left.setdefault(device, self._wall())

    def _forget_retired(self) -> None:
        """Forget all but the day's count, as the daemon does once it has read that an account is retired."""
        for name in self._retired:
            self._known(name).forget()
            self._brakes = [one for one in self._brakes if one.account != name]

    def credential_changed(self, account: str, user: str | None) -> None:
        """Hear that an account's credential is another user's now, or nobody's."""
        self._users.setdefault(account, []).append((self._now(), user))
        self._known(account).stopped_until = 0.0
        self._known(account).other_credential = True

    def clock_set(self, seconds: float) -> None:
        """Hear that the machine's clock jumped."""
        self._steps.append((self._now(), abs(seconds)))
        self.proof.clock_set()

    def state_exchanged(self) -> None:
        """Hear that the state at its path is not the one that the daemon has open."""
        self._exchanged_at = self._now()

    @property
    def unnoticed_for(self) -> float:
        """Return for how many seconds more nobody can expect that an exchange of the state was noticed."""
        return max(self._exchanged_at + EXCHANGE_SECONDS - self._now(), 0.0)

    def paused(self, account: str | None, pause: str, seconds: float) -> None:
        """Hear that a person set the brake by command, or took it off."""
        self._brakes = [
            one for one in self._brakes if account is not None and one.account != account
        ]
        if pause != "none":
            until = self._wall() + timedelta(seconds=seconds - 1)
            ends = self._now() + seconds - 1
            self._brakes.append(
                PauseOverride(account, pause, self._now() + self._mode.grace_seconds, until, ends)
            )

    def opened(self, hours: Hours, seconds: float) -> None:
        """Hear that a person opened a change window."""
        self._opened.append((hours, self._now() - 1, self._now() + seconds + 1))

    def closed(self, name: str) -> None:
        """Hear that a person closed a change window again."""
        ends = self._now() + self._mode.grace_seconds
        self._opened = [
            (hours, from_, min(until, ends) if hours.name == name else until)
            for hours, from_, until in self._opened
        ]

    def person_agreed(self, account: str) -> None:
        """Hear of a person's ``reconcile``."""
        known = self._known(account)
        known.vouched = True
        known.refused.clear()
        known.stopped_until = 0.0

    def meddled(self, account: str, devices: Iterable[str], seconds: float) -> None:
        """Hear that for so long nobody can tell from outside who changed what of these devices."""
        until = self._now() + seconds
        for one in devices:
            self._disturbed[account, one] = max(self._disturbed.get((account, one), 0.0), until)

    def _entries_changed(self, account: str, before: Wanted | None, after: Wanted) -> None:
        """Take note that what waited because of an entry waits no more where that is another one now."""
        known = self._known(account)
        for device in {device for _, device in known.refused}:
            if before is None or before.entry(device) != after.entry(device):
                for action in ("POST", "DELETE"):
                    known.refused.pop((action, device), None)

    def state_forgotten(self) -> None:
        """Hear that the state was lost."""
        self.texts.forgotten()
        for account, known in list(self.accounts.items()):
            fresh = Known(calls=known.calls)
            self.accounts[account] = fresh
        self._brakes.clear()
        self._opened.clear()
        self.made.clear()
        self.applied.clear()

    def started(self, *, dirty: bool, dark: bool = False, blind: bool = False) -> None:
        """Hear that a daemon begins; ``dirty``: the disk failed in its last life, so something may be forgotten.

        ``dark``: the machine lost power, so of what no list can tell nothing may be forgotten: the day's count, a
        pause, a text. ``blind``: the state cannot be read now.
        """
        self._changed_at = self._wall()
        self._hears_date = False
        self._sent_now.clear()
        self.proof.started()
        self.texts.started()
        for account, known in self.accounts.items():
            known.begin()
            self.last_call[account] = self._now()
            if blind:
                known.expected = None
                known.refused.clear()
            elif dirty or dark:
                self._read_back(account, known, count=dirty)
            if blind or dirty or dark:
                known.user_trusted = (
                    None  # of which user the last trusted list was may be forgotten
                )
            if (
                self._steps and self._steps[-1][0] > self._stopped_at
            ):  # how old each is nobody can tell any more
                known.unsure.update(
                    dict.fromkeys(known.confirmed, self._now() + 3 * OVERLAY_SECONDS)
                )
            self._count_on(known)
        if dirty:
            self._brakes.clear()
        if dirty or dark:
            self.applied.clear()  # what was told may be told again; what LG did in between stays
        self._forget_retired()

    def _count_on(self, known: Known) -> None:
        """Take note of what is left of the day for which each device counts, as the clock is when a daemon begins."""
        day = DAY.total_seconds()
        left = {
            device: day - (self._wall() - at).total_seconds() for device, at in known.gone.items()
        }
        known.counted_until = {
            device: self._now() + min(span, day) for device, span in left.items()
        }

    def stopped(self, *, killed: bool = False) -> None:
        """Hear that the daemon is down. A kill may have come before what LG confirmed last was written down."""
        self._note_texts()
        self.proof.stopped()
        self.texts.stopped()
        self._stopped_at = self._now()
        if killed:
            for account, known in self.accounts.items():
                self._not_written(account, known, seconds=0.0)

    def _not_written(self, account: str, known: Known, *, seconds: float) -> None:
        """Take note that what an account's daemon knew last was perhaps not written down, so many seconds ago."""
        since = self._wall() - timedelta(seconds=2 * OVERLAY_SECONDS + seconds)
        latest = self._now() - 2 * OVERLAY_SECONDS - seconds
        fresh = [device for device, (_, at) in known.confirmed.items() if at > latest]
        known.unsure.update(dict.fromkeys(fresh, self._now() + 3 * OVERLAY_SECONDS))
        known.refused = {key: at for key, at in known.refused.items() if at <= since}
        self.meddled(account, fresh, HOUR_SECONDS)  # what was told may be told again

    def _read_back(self, account: str, known: Known, *, count: bool) -> None:
        """Take from the state's file what the daemon will know, where what it should know is not to be known.

        The day's ``count`` too, if that may be forgotten.
        """
        file = self._state() / "state.db"
        known.refused.clear()
        if not file.exists():
            return
        known.unsure.update(dict.fromkeys(known.confirmed, self._now() + 3 * OVERLAY_SECONDS))
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT id, owned, live, went_at FROM device WHERE account = ?", (account,)
            )
            devices = rows.fetchall()
            trusted = connection.execute(
                "SELECT trusted, suspect_readings FROM account WHERE name = ?", (account,)
            ).fetchone()
            since = (self._wall() - DAY).timestamp() * 1e6
            gone = connection.execute(
                "SELECT device, at FROM change WHERE account = ? AND at > ? AND action = 'unsubscribe'"
                " AND NOT approved AND result IN ('success', 'noop')",
                (account, since),
            ).fetchall()
        known.expected = (
            frozenset(one for one, _, live, _ in devices if live)
            if trusted and trusted[0]
            else None
        )
        known.suspect_readings = (
            abs(trusted[1]) if trusted else 0
        )  # kept below zero for another credential
        known.owned = {one for one, owned, _, _ in devices if owned}
        known.left = {
            one: _moment(went / 1e6)
            for one, owned, _, went in devices
            if owned and went is not None
        }
        if count:
            known.gone = {device: _moment(at / 1e6) for device, at in gone}

    # -- what goes over the wire

    def sent(self, call: Any) -> None:
        """Hear of a request that leaves the daemon."""
        if call.path == "/emp/v2/token":
            self.last_call[call.account] = self._now()
            return
        known = self._known(call.account)
        self.last_call[call.account] = self._now()
        self.secrets.add(call.token)
        self._check_form(call)
        self._check_user(call)
        self._check_pace(call, known)
        known.calls.append(self._now())
        if call.method == "GET":
            if call.path == "/pcc":
                self._require(
                    "one-pass", not known.list_in_flight and not known.changes_in_flight, call
                )
                known.list_in_flight += 1
                self.lists[call.account] += 1
                known.list_began, known.acting = self._wall(), False
                known.list_sent_at, known.keeping = self._now(), False
                known.list_user = self._user_of_token(call.token)
            elif call.path == "/devices":
                known.asked_devices_at, known.devices_answered = self._now(), False
                recent = self._wall() - timedelta(
                    seconds=ONE_CALL_SECONDS
                )  # what led to this is not believed yet
                known.refused = {key: at for key, at in known.refused.items() if at < recent}
            return
        self._require("observe", not self.observing, call)
        known.changes_in_flight += 1
        self.changes[call.account] += 1
        self._require("concurrency", known.changes_in_flight <= self._concurrency, call)
        self._require("one-pass", not known.list_in_flight, call)
        user = self._user_of_token(call.token)
        self._require(
            "same-user",
            user is None or known.list_user in {None, user},
            call,
            f"the token is that of {user}",
        )
        device = unquote(call.path.removeprefix("/pcc/"))
        self._check_change(call, known, device)
        self.proof.sent(call.account, device)

    def done_at_platform(self, call: Any, answer: Any, *, changed: bool) -> None:
        """Hear of a request that LG has dealt with."""
        if changed and call.method in {"POST", "DELETE"} and call.path.startswith("/pcc/"):
            device = unquote(call.path.removeprefix("/pcc/"))
            self.made[call.account, call.method, device] += 1
        del answer

    def delivered(self, call: Any, answer: Any) -> None:
        """Hear of an answer that reached the daemon."""
        known = self._returned(call)
        if known is None:
            return
        self._hears_date = self._hears_date or not any(name == "age" for name, _ in answer.headers)
        code = _code(answer.body)
        if code in THROTTLES or (code is None and answer.status == 429):
            said = self._retry_after(answer)
            if (
                said is not None or self._now() >= known.throttled_until
            ):  # else it is one of the same burst
                known.throttled_until = max(
                    known.throttled_until, self._now() + (said or THROTTLE_SECONDS)
                )
        elif code in STOPS and call.path != "/devices":
            known.stopped_at = self._now()
            known.stopped_until = self._now() + STOP_SECONDS - self._slack() - 1.0
        if call.path == "/devices":
            known.devices_answered = known.devices_answered or (
                answer.status < 500 and answer.status != 429 and code not in THROTTLES | LATER
            )
        elif call.path == "/pcc":
            self._take_list(call, known, answer, code)
        elif call.path.startswith("/pcc/"):
            self._take_change(call, known, answer, code)

    def flooded(self, call: Any, taken: int) -> bool:
        """Hear how much was taken of an answer that has no end; say whether more of it may come."""
        self._require(
            "bounded", taken <= FLOOD_BYTES, call, f"{taken} bytes of one answer were taken"
        )
        return taken <= FLOOD_BYTES

    def lost(self, call: Any) -> None:
        """Hear of a request for which the daemon got no answer."""
        self._returned(call)

    def _returned(self, call: Any) -> Known | None:
        if call.path == "/emp/v2/token":
            return None
        known = self._known(call.account)
        if call.path == "/pcc":
            known.list_in_flight -= 1
        elif call.path.startswith("/pcc/"):
            known.changes_in_flight -= 1
        return known

    def _take_list(self, call: Any, known: Known, answer: Any, code: str | None) -> None:
        devices = (
            listed(answer, self._sent_now - {call.headers["x-message-id"]})
            if code is None
            else None
        )
        assert known.list_began is not None
        if devices is None:
            return
        known.listed = Listed(devices, known.list_sent_at)
        began = min(known.list_began, _moment(self._true_wall().timestamp()))
        self.proof.listed(call.account, devices, began, known.owned)
        user = self._user_of_token(call.token)
        expected = known.expected or frozenset()
        blur = sum(until > self._now() for until in known.unsure.values())
        sure = len(expected) - blur
        short = sure >= SUSPECT_FROM and 2 * (len(expected & devices) + blur) < sure
        changed = known.user_trusted not in {None, user} and not known.vouched
        if len(expected) + blur < SUSPECT_FROM and self._small_doubt(
            known, devices, changed=changed
        ):
            self.tell(
                f"the checker keeps all of {call.account}: {len(expected & devices)} of {len(expected)} listed"
            )
            known.suspect_readings += 1
            known.acting, known.before = True, None
            self._keep(known)
            return
        if known.other_credential and self._few_are_listed(known, devices):
            # The daemon may doubt this list by the credential alone, of which the user is the same; see the tolerances.
            known.refused.clear()
        if short and (changed or known.suspect_readings + 1 < BELIEVED_AFTER):
            known.suspect_readings += 1
            self.tell(
                f"the checker doubts the list of {call.account}: {len(expected & devices)} of {len(expected)}"
            )
            return
        known.before = (known.suspect_readings, known.expected, known.user_trusted)
        live = self._overlaid(known)
        known.suspect_readings, known.expected = 0, live
        known.user_trusted, known.vouched, known.acting = user, False, True
        if known.kept:
            known.refused.clear()  # it may have been refused to another user; see the tolerances
        known.kept = False
        changes = self._users.get(call.account, [])
        if (
            not changes or changes[-1][0] < known.list_sent_at
        ):  # else the list was asked for with the credential before
            known.other_credential = False
        for key in [key for key in known.refused if (key[0] == "POST") is (key[1] in live)]:
            del known.refused[key]

    @staticmethod
    def _keep(known: Known) -> None:
        """Take note that a list of a small account is doubted; what another user was refused may be asked for again."""
        if known.other_credential:
            known.refused.clear()
        known.keeping, known.kept, known.other_credential = True, True, False

    def _few_are_listed(self, known: Known, devices: frozenset[str]) -> bool:
        """Say whether a list shows fewer than half of the devices of an account of a few."""
        expected = known.expected or frozenset()
        return len(expected) < SUSPECT_FROM and 2 * len(expected & devices) < len(expected)

    def _small_doubt(self, known: Known, devices: frozenset[str], *, changed: bool) -> bool:
        """Say whether a list of an account of a few devices certainly lacks too many of them to unsubscribe on it."""
        expected = known.expected or frozenset()
        unsure = {device for device, until in known.unsure.items() if until > self._now()}
        sure = len(expected - unsure)
        if sure and changed and 2 * len((expected | unsure) & devices) < sure:
            return True
        none = sure > 1 and not (expected | unsure) & devices
        return none and known.suspect_readings + 1 < BELIEVED_AFTER

    def _take_change(self, call: Any, known: Known, answer: Any, code: str | None) -> None:
        device, action = unquote(call.path.removeprefix("/pcc/")), call.method
        if code in NOT_ASKED_YET and not known.devices_answered:
            return
        ok = code is None and 200 <= answer.status < 300 and _is_success(answer.body)
        if ok:
            self.proof.changed(call.account, device, subscribed=action == "POST")
        elif code is not None:
            self.proof.refused(call.account, device)
        if ok or code in DONE[action]:
            known.confirmed[device] = (action, self._now())
            known.refused.pop((action, device), None)
            if known.expected is not None:
                known.expected = (
                    known.expected | {device} if action == "POST" else known.expected - {device}
                )
            if action == "DELETE" and not known.let_go.get(device, False):
                known.gone[device] = self._wall()
                known.counted_until[device] = self._now() + DAY.total_seconds()
        elif code in REFUSED[action]:
            known.refused[action, device] = self._wall()

    # -- rules

    def _check_form(self, call: Any) -> None:
        message_id = call.headers.get("x-message-id", "")
        self._require("message-id", bool(MESSAGE_ID.fullmatch(message_id)), call)
        self._require("message-id", message_id not in self._message_ids, call)
        self._message_ids.add(message_id)
        self._sent_now.add(message_id)
        right = (
            call.path in {"/pcc", "/devices"}
            if call.method == "GET"
            else bool(re.fullmatch("/pcc/[^/]+", call.path))
        )
        self._require("call-form", right and call.method in {"GET", "POST", "DELETE"}, call)
        self._require("call-form", bool(call.account), call)

    def _check_user(self, call: Any) -> None:
        """Require that a call goes out for the user whose credential the account has, and for no other."""
        now, user = self._now(), self._user_of_token(call.token)
        held = self._users.get(call.account, [])
        recent = [one for at, one in held if now - at < GRACE_SECONDS]
        older = [one for at, one in held if now - at >= GRACE_SECONDS][-1:]
        if user is not None:
            self._require(
                "own-user", user in {*recent, *older}, call, f"the token is that of {user}"
            )

    def _check_pace(self, call: Any, known: Known) -> None:
        now = self._now()
        self._require("throttled", now >= known.throttled_until - self._slack(), call)
        begun = call.path != "/pcc" and now < known.stopped_at + ONE_CALL_SECONDS
        self._require("stopped", begun or now >= known.stopped_until, call)
        while known.calls and known.calls[0] <= now - HOUR_SECONDS:
            known.calls.popleft()
        self._require("without-rest", len(known.calls) < MOST_CALLS_AN_HOUR, call)

    def _check_change(self, call: Any, known: Known, device: str) -> None:
        action, wall = call.method, self._wall()
        self._note_texts()
        self._require("list-first", known.acting and known.listed is not None, call)
        if known.listed is None:
            return
        live = self._overlaid(known)
        helps = (device in live) is (action == "DELETE") or known.unsure.get(
            device, 0.0
        ) > self._now()
        self._require("no-needless-call", helps, call)
        if (
            self._now() - known.asked_devices_at < ONE_CALL_SECONDS
        ):  # the first refusals of a process may mean only that
            known.refused.pop((action, device), None)
        wait = known.refused.get((action, device))
        waited = wait is None or wall - wait >= REFUSED_WAIT - timedelta(seconds=self._slack() + 1)
        self._require("refused-waits", waited, call)
        states = [
            state for state in self.texts.states(self._now()) if call.account in state.accounts
        ]
        self._require("abandoned", bool(states), call)
        objections = [self._objection(call, known, device, one) for one in states]
        self._require(objections[-1] or "?", None in objections, call, f"all of {objections}")
        if action == "DELETE":
            self._require("small-list", not known.keeping, call)
            approved = any(self._approves(one.accounts[call.account], device) for one in states)
            self._check_files(call, device, approved=approved)
            known.let_go[device] = self._approved_now(call.account, device)
            if approved:
                self.texts.released(device)
            self._check_intent(call, device)

    def _approves(self, one: InForce, device: str) -> bool:
        """Say whether an approval may be in force: where the clocks certainly differ, both have to say so."""
        if not any(one.wanted.approves(device, moment) for moment in self._moments(self._wall())):
            return False
        return not self._apart or any(
            one.wanted.approves(device, at) for at in self._moments(self._true_wall())
        )

    def _wants(self, wanted: Wanted, device: str) -> set[bool]:
        """Return whether a device is wanted now; both where that is not certain."""
        ours = {wanted.wants(device, moment) for moment in self._moments(self._wall())}
        others = {wanted.wants(device, moment) for moment in self._moments(self._true_wall())}
        either = {one or other for one in ours for other in others}
        if self._apart:
            return either
        return ours if self._together else ours | either

    @staticmethod
    def _moments(at: datetime) -> tuple[datetime, ...]:
        return at - timedelta(seconds=CLOCK_SECONDS), at, at + timedelta(seconds=CLOCK_SECONDS)

    @property
    def _difference(self) -> float:
        return abs((self._wall() - self._true_wall()).total_seconds())

    @property
    def _apart(self) -> bool:
        """Say whether LG's clock certainly counts beside the machine's."""
        return self._hears_date and self._difference > CLOCKS_DIFFER_SECONDS + CLOCKS_APART_SECONDS

    @property
    def _together(self) -> bool:
        """Say whether LG's clock certainly does not count."""
        return self._difference < CLOCKS_DIFFER_SECONDS - CLOCKS_APART_SECONDS

    def _check_files(self, call: Any, device: str, *, approved: bool) -> None:
        """Require that nothing goes because a file is missing that may be back in a moment."""
        name = self._vanished.get((call.account, device))
        if name is None or approved:
            return
        rested = self._now() - self._files_at
        rests = (
            rested >= FILES_REST - FILES_REST_SECONDS
            or (call.account, device) not in self._restless
        )
        self._require("file-vanished", rests, call, f"{name} vanished")
        missing = self._now() - self._missing.get(name, -MISSING_FILE)
        self._require(
            "file-missing",
            missing >= MISSING_FILE - MISSING_FILE_SECONDS,
            call,
            f"{name} is in the commit",
        )

    def _elsewhere(self, state: State, known: Known, account: str, device: str) -> bool:
        """Say whether another account's text certainly wants a device, and did when this pass began."""
        return any(
            name != account
            and device not in one.wanted.policy["ignore"]
            and self._wants(one.wanted, device) == {True}
            and self._listed_since.get((name, device), self._now())
            < known.list_sent_at - TEXT_GRACE_SECONDS
            and not one.wanted.changes_between(device, known.list_began, self._wall())
            for name, one in state.accounts.items()
        )

    def _looks_alike(self, known: Known, wanted: Wanted, device: str) -> bool:
        """Say whether a device that would be subscribed now is certainly meant to be this one."""
        live, ignored = self._overlaid(known), wanted.policy["ignore"]
        others = [one for one in wanted.folded.get(_folded(device), ()) if one != device]
        return any(
            one not in live | ignored and self._wants(wanted, one) == {True} for one in others
        )

    def _objection(self, call: Any, known: Known, device: str, state: State) -> str | None:
        """Return the rule that a change breaks under one state that may be in force."""
        one = state.accounts[call.account]
        wanted = one.wanted
        wants = self._wants(wanted, device)
        pause = self._pause(call.account, wanted)
        kept = {"ignored": device not in wanted.policy["ignore"]}
        kept["window"] = self._window_permits(call, wanted)
        if call.method == "POST":
            kept |= {"subscribes-what-nobody-wants": True in wants, "paused": pause != "all"}
        else:
            approved = self._approves(one, device)
            kept |= {
                "unsubscribes-what-is-desired": False in wants,
                "paused": pause == "none",
                "wanted-elsewhere": approved
                or not self._elsewhere(state, known, call.account, device),
                "protected": approved or not state.protects(device),
                "look-alike": approved or not self._looks_alike(known, wanted, device),
                "desired-rejected": not one.rejected,
                "lock": not one.locked,
                "prune": wanted.prunes(owned=device in known.owned),
                "unsubscribe-after": self._absent_for_long(known, wanted, device),
                "empty-desired": approved or bool(wanted.devices or wanted.policy["allow_empty"]),
                "too-many": approved or self._within_limit(known, wanted, device),
            }
        return next((rule for rule, is_kept in kept.items() if not is_kept), None)

    def _window_permits(self, call: Any, wanted: Wanted) -> bool:
        """Say whether the change windows may permit a call: at some moment close to now they do."""
        if not wanted.windows:
            return True
        now = self._now()
        opened = [hours for hours, from_, ends in self._opened if from_ <= now < ends]
        removal = call.method == "DELETE"
        return any(
            not held(wanted.windows, call.account, moment, removal=removal, opened=opened)
            for moment in self._moments(self._wall())
        )

    def _absent_for_long(self, known: Known, wanted: Wanted, device: str) -> bool:
        absent = self._wall() - self._absent_since(known, wanted, device)
        return not wanted.absence or absent >= wanted.absence - timedelta(
            seconds=self._slack() + GRACE_SECONDS
        )

    def _within_limit(self, known: Known, wanted: Wanted, device: str) -> bool:
        assert known.listed is not None
        since = self._wall() - DAY + timedelta(seconds=self._slack() + 1)
        now = self._now() + CLOCK_SECONDS
        gone = {
            one
            for one, at in known.gone.items()
            if at > since or known.counted_until.get(one, 0.0) > now
        }
        return len(gone | {device}) <= wanted.allowance(len(known.listed.devices | gone))

    def _check_intent(self, call: Any, device: str) -> None:
        """Require that it stands on the disk that a device will be unsubscribed, also where the disk fails by now."""
        if self.unnoticed_for:
            return
        if not (self._state() / "state.db").exists():
            self._require("intent-first", False, call, "there is no state at its path")  # noqa: FBT003 - as below
            return
        with closing(
            sqlite3.connect(f"file:{self._state() / 'state.db'}?mode=ro", uri=True)
        ) as connection:
            rows = connection.execute(OPEN_INTENT, (call.account, device)).fetchall()
        self._require("intent-first", bool(rows), call)

    def _overlaid(self, known: Known) -> frozenset[str]:
        """Return which devices are to be taken as live: those listed, with what was confirmed just before and since."""
        assert known.listed is not None
        since = known.listed.began - OVERLAY_SECONDS
        fresh = {device: action for device, (action, at) in known.confirmed.items() if at > since}
        there = {device for device, action in fresh.items() if action == "POST"}
        return (known.listed.devices | there) - (fresh.keys() - there)

    def _absent_since(self, known: Known, wanted: Wanted, device: str) -> datetime:
        if device in wanted.devices:
            until = wanted.devices[device][1]
            return until if until is not None else self._wall()
        return known.left.get(device) or known.texts_since or self._wall()

    def _approved_now(self, account: str, device: str) -> bool:
        moments = [self._wall() - timedelta(seconds=2), self._wall()]
        return any(
            one.wanted.approves(device, moment)
            for one in self._in_force(account)
            for moment in moments
        )

    def _in_force(self, account: str) -> list[InForce]:
        """Return what may be in force for an account now."""
        states = self.texts.states(self._now())
        return [state.accounts[account] for state in states if account in state.accounts]

    def _pause(self, account: str, wanted: Wanted) -> str:
        now, wall = self._now(), self._wall()
        on = (one for one in self._brakes if one.from_ <= now < one.ends and wall < one.until)
        words = [one.pause for one in on if one.account in {None, account}]
        return max((str(wanted.policy["pause"]), *words), key=PAUSES.index)

    def _slack(self) -> float:
        """Return by how much waits of the last day may be off, because the clock was set meanwhile."""
        now = self._now()
        return sum(span for at, span in self._steps if now - at < DAY.total_seconds() * 1.1)

    def _retry_after(self, answer: Any) -> float | None:
        said = next((value for name, value in answer.headers if name == "retry-after"), "")
        try:
            seconds = (
                float(said)
                if said.isdigit()
                else (parsedate_to_datetime(said) - self._wall()).total_seconds()
            )
        except ValueError:
            return None
        return min(seconds, HOUR_SECONDS) if seconds > 0 else None

    # -- what is logged, and what holds in between

    def logged(self, line: str) -> None:
        """Hear of a line of the log."""
        for secret in self.secrets:
            if secret in line:
                self._break("secret", f"a secret stands in a line of the log: {line[:200]}")
        facts = json.loads(line)
        event = facts["event"]
        self.heard[event] = self._now()
        if event in ALARMS or facts.get("reason") == "guard-failed":
            self._break("defect", f"{ALARMS.get(event, 'a guard failed')}: {line[:3000]}")
        if event == "library.logged" or (
            event == "source.failed" and facts.get("kind") == "defect"
        ):
            self._break("defect", line[:3000])
        self.proof.logged(facts)
        if event == "list.suspect":
            self._doubted(facts["account"], facts["expected"])
        if event == "change.applied" and facts["result"] == "success":
            method = "POST" if facts["action"] == "subscribe" else "DELETE"
            key = (facts["account"], method, facts["device"])
            if "confirmed_by" in facts:  # by a list, which others may have heard differently
                self._known(key[0]).unsure[key[2]] = self._now() + 3 * OVERLAY_SECONDS
            self.applied[key] += 1
            if (
                self._disturbed.get((key[0], key[2]), 0.0) > self._now()
            ):  # who made it cannot be known
                self.applied[key] = self.made[key]
            elif self.applied[key] > self.made[key]:
                self._break(
                    "told-once",
                    f"{key} is told as made {self.applied[key]} times, LG did {self.made[key]}",
                )

    def _doubted(self, account: str, expected: int) -> None:
        """Take note that the daemon doubts a list: it may know of reasons that cannot be seen from outside."""
        self.suspected[account] = self._now()
        known = self._known(account)
        if known.acting and known.before is not None:
            known.suspect_readings, known.expected, known.user_trusted = known.before
            known.suspect_readings += 1
        if (
            expected < SUSPECT_FROM
        ):  # of a few devices those that are lacking are subscribed all the same
            known.before = None
            self._keep(known)
        else:
            known.acting = False

    def step(self) -> None:
        """Look at what has to hold between calls."""
        self._note_texts()

    def _note_texts(self) -> None:
        """Take note of which devices are and were in the texts, once it is known which text is in force."""
        states = self.texts.states(self._now())
        if len(states) != 1:
            return
        wall = min(self._wall(), self._changed_at)
        self._note_listed(states[0])
        for account, one in states[0].accounts.items():
            known = self._known(account)
            known.texts_since = known.texts_since or wall
            listed = one.wanted.devices.keys()
            for device in known.owned - listed:
                went = self._went.get((account, device), wall)
                known.left.setdefault(device, min(went, wall))
            for device in listed & known.left.keys():
                del known.left[device]
            known.owned |= listed

    def _note_listed(self, state: State) -> None:
        """Take note since when each account's text has its devices."""
        listed = {
            (name, device) for name, one in state.accounts.items() for device in one.wanted.devices
        }
        since = self._listed_since
        self._listed_since = {key: since.get(key, self._now()) for key in listed}

    def wanted_for_certain(self, account: str, device: str) -> bool:
        """Say whether every revision that may be in force wants a device now, and none leaves it alone."""
        states = self.texts.states(self._now())
        every = [state.accounts[account].wanted for state in states if account in state.accounts]
        return len(every) == len(states) > 0 and all(
            device not in one.policy["ignore"] and self._wants(one, device) == {True}
            for one in every
        )

    def subscribed_since(self, at: float) -> set[str]:
        """Return the devices that LG confirmed as subscribed since a moment."""
        every = (known.confirmed.items() for known in self.accounts.values())
        return {
            device
            for confirmed in every
            for device, (action, when) in confirmed
            if action == "POST" and when > at
        }

    def unsubscribed(self) -> set[str]:
        """Return the devices that LG confirmed as unsubscribed."""
        return {device for known in self.accounts.values() for device in known.gone}

    def in_flight(self, account: str) -> int:
        """Return how many changes of an account are under way."""
        return self._known(account).changes_in_flight

    def refused(self, account: str) -> set[str]:
        """Return the devices that wait because LG refused them, an hour after the first time and longer after each."""
        return {device for _, device in self._known(account).refused}

    def promise(self, rule: str, message: str, *, kept: bool) -> None:
        """Check a promise about the whole, such as that all comes true in the end."""
        if not kept:
            self._break(rule, message)

    def _known(self, account: str) -> Known:
        return self.accounts.setdefault(account, Known())

    def _require(self, rule: str, kept: bool, call: Any, words: str = "") -> None:  # noqa: FBT001 - reads as a sentence
        if not kept:
            self._break(
                rule, f"{call.method} {call.path} of account {call.account} {words}".rstrip()
            )

    def _break(self, rule: str, message: str) -> None:
        if self.violation is None:
            self.violation = Violation(self._now(), rule, message)
            self.tell(f"VIOLATION {self.violation}")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _code(body: bytes) -> str | None:
    envelope = _json(body)
    error = envelope.get("error") if isinstance(envelope, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _is_success(body: bytes) -> bool:
    if not body.strip():
        return True
    envelope = _json(body)
    return isinstance(envelope, dict) and "messageId" in envelope and "error" not in envelope


def listed(answer: Any, earlier: Container[str]) -> frozenset[str] | None:
    """Return what a list says, or nothing where it is not to be trusted.

    ``earlier`` are the ids of other requests of ours: whose answer this may be.
    """
    headers = dict(answer.headers)
    envelope = _json(answer.body)
    if answer.status != 200 or not isinstance(envelope, dict) or "messageId" not in envelope:
        return None
    if (
        "content-range" in headers
        or float(headers.get("age", 0)) > OLDEST_LIST
        or envelope["messageId"] in earlier
    ):
        return None
    others = envelope.keys() - {"messageId", "timestamp", "response"}
    items = envelope.get("response")
    if others and (
        "response" not in envelope
        or any(envelope[one] and isinstance(envelope[one], list) for one in others)
    ):
        return None
    if items is None or items in ({}, []):
        items = []
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        return None
    if any(map(_speaks_of_more, others, (envelope[one] for one in others), repeat(len(items)))):
        return None
    ids = [one.get("deviceId") for one in items]
    return frozenset(ids) if all(isinstance(one, str) and one for one in ids) else None


def _speaks_of_more(name: str, value: Any, listed: int) -> bool:
    """Say whether a member beside a list means that there are devices which it does not show."""
    if "total" in name.casefold() or "count" in name.casefold():
        return bool(value != listed)
    return bool(value) and any(
        word in name.casefold() for word in ("next", "more", "page", "cursor")
    )


def _folded(device: str) -> str:
    """Return what ids have in common that a person takes for the same."""
    return unicodedata.normalize(
        "NFC", unicodedata.normalize("NFC", device.strip("\"'")).casefold()
    )


def subset(some: Iterable[str], most: int = 5) -> str:
    """Return a few ids for a message."""
    listed = sorted(some)
    return ", ".join(one[:12] for one in listed[:most]) + (
        f" and {len(listed) - most} more" if len(listed) > most else ""
    )
