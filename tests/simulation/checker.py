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
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from simulation.meaning import PAUSES, InForce, Reading, Texts, Wanted

TEXT_GRACE_SECONDS, GRACE_SECONDS = 4.0, 10.0
"""So long after a change of the texts, and of credentials or pauses, nobody can say yet whether it is known."""
OVERLAY_SECONDS = 60.0
ONE_CALL_SECONDS = 46.0
"""So long three calls may take, one after the other."""
DAY = timedelta(hours=24)
HOUR_SECONDS = 3600.0
SUSPECT_FROM, BELIEVED_AFTER = 10, 3
REFUSED_WAIT = timedelta(hours=1)
THROTTLE_SECONDS = 60.0
STOP_SECONDS = 300.0
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{22}")

REFUSED = {
    "POST": {"1205", "1210", "1211", "1212", "1213", "1214", "1217", "1219", "1220", "1221", "1224"},
    "DELETE": {"1210", "1211", "1212", "1214", "1219", "1220", "1221", "1224"},
}
NOT_ASKED_YET = {"1205", "1210", "1211", "1213"}
"""Of these the first of a process may only mean that nobody asked for the user's devices yet."""
DONE = {"POST": {"1207"}, "DELETE": {"1206", "1204", "1205", "1213", "1217"}}
THROTTLES = {"1306", "1314"}
LATER = {"0000", "2000", "2209", "2210", "2212", "2214"}
STOPS = {"1301", "1303", "1304", "1305", "1307", "1309", "1310", "1311", "1201", "1202", "1203", "1208", "1209", "1216"}
CREDENTIALS = {"1302", "1218", "1103"}

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
    """A list that reached the daemon: what it says, and when it was asked for, by the machine's clock."""

    devices: frozenset[str]
    began: datetime


@dataclass(slots=True)
class Known:
    """What is known of one account from outside."""

    list_in_flight: int = 0
    changes_in_flight: int = 0
    list_began: datetime | None = None
    list_user: str | None = None
    listed: Listed | None = None
    acting: bool = False
    expected: frozenset[str] | None = None
    user_trusted: str | None = None
    vouched: bool = False
    suspect_readings: int = 0
    confirmed: dict[str, tuple[str, datetime]] = field(default_factory=dict)
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

    def forget(self) -> None:
        """Forget what is forgotten of an account that is retired."""
        self.expected, self.user_trusted, self.texts_since, self.suspect_readings = None, None, None, 0
        self.owned, self.left, self.refused = set(), {}, {}


@dataclass(slots=True)
class Brake:
    """A pause by command: from when on it is known by the true time, and until when it lasts by the machine's clock."""

    account: str | None
    pause: str
    from_: float
    until: datetime


class Checker:
    """Hears everything and keeps the first promise that was broken: what follows from it is of no interest.

    ``now`` is the true time in seconds, ``wall`` the machine's clock.
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
    ) -> None:
        self.texts = Texts(TEXT_GRACE_SECONDS)
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
        self._concurrency = concurrency
        self._user_of_token = user_of_token
        self._state = state
        self._message_ids: set[str] = set()
        self._users: dict[str, list[tuple[float, str | None]]] = {}
        self._brakes: list[Brake] = []
        self._steps: list[tuple[float, float]] = []
        self._changed_at = wall()
        self._read: dict[str, Wanted] = {}
        self._retired: frozenset[str] = frozenset()
        self.suspected: dict[str, float] = {}

    # -- what people and machines do

    def files_changed(self, reading: Reading) -> None:
        """Hear that the files of the texts are others now."""
        self._note_texts()
        self._changed_at = self._wall()
        self.texts.changed(self._now(), reading)
        for name, wanted in reading.accounts.items():
            self._entries_changed(name, self._read.get(name), wanted)
            self._read[name] = wanted
            self._known(name).owned |= wanted.devices.keys()  # it may have been read before the next change came
        self._retired = reading.retired
        if self.texts.is_up:
            self._forget_retired()

    def _forget_retired(self) -> None:
        """Forget all but the day's count, as the daemon does once it has read that an account is retired."""
        for name in self._retired:
            self._known(name).forget()
            self._brakes = [one for one in self._brakes if one.account != name]

    def credential_changed(self, account: str, user: str | None) -> None:
        """Hear that an account's credential is another user's now, or nobody's."""
        self._users.setdefault(account, []).append((self._now(), user))
        self._known(account).stopped_until = 0.0

    def clock_set(self, seconds: float) -> None:
        """Hear that the machine's clock jumped."""
        self._steps.append((self._now(), abs(seconds)))

    def paused(self, account: str | None, pause: str, seconds: float) -> None:
        """Hear that a person set the brake by command, or took it off."""
        self._brakes = [one for one in self._brakes if account is not None and one.account != account]
        if pause != "none":
            until = self._wall() + timedelta(seconds=seconds - 1)
            self._brakes.append(Brake(account, pause, self._now() + GRACE_SECONDS, until))

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
        self.made.clear()
        self.applied.clear()

    def started(self, *, dirty: bool, dark: bool = False, blind: bool = False) -> None:
        """Hear that a daemon begins; ``dirty``: the disk failed in its last life, so something may be forgotten.

        ``dark``: the machine lost power, so of what no list can tell nothing may be forgotten: the day's count, a
        pause, a text. ``blind``: the state cannot be read now.
        """
        self._changed_at = self._wall()
        self.texts.started()
        for account, known in self.accounts.items():
            known.list_in_flight = known.changes_in_flight = 0
            known.acting, known.listed = False, None
            known.throttled_until = known.stopped_until = 0.0
            known.devices_answered = False
            if blind:
                known.expected = None
                known.refused.clear()
            elif dirty or dark:
                self._read_back(account, known, count=dirty)
            if blind or dirty or dark:
                known.user_trusted = None  # of which user the last trusted list was may be forgotten
        if dirty:
            self._brakes.clear()
        if dirty or dark:
            self.applied.clear()  # what was told may be told again; what LG did in between stays
        self._forget_retired()

    def stopped(self, *, killed: bool = False) -> None:
        """Hear that the daemon is down. A kill may have come before what LG confirmed last was written down."""
        self._note_texts()
        self.texts.stopped()
        if killed:
            since = self._wall() - timedelta(seconds=2 * OVERLAY_SECONDS)
            for account, known in self.accounts.items():
                fresh = [device for device, (_, at) in known.confirmed.items() if at > since]
                known.unsure.update(dict.fromkeys(fresh, self._now() + 3 * OVERLAY_SECONDS))
                known.refused = {key: at for key, at in known.refused.items() if at <= since}
                self.meddled(account, fresh, HOUR_SECONDS)  # what was told may be told again: it was not written down

    def _read_back(self, account: str, known: Known, *, count: bool) -> None:
        """Take from the state's file what the daemon will know, where what it should know is not to be known.

        The day's ``count`` too, if that may be forgotten.
        """
        file = self._state() / "state.db"
        known.refused.clear()
        known.unsure.update(dict.fromkeys(known.confirmed, self._now() + 3 * OVERLAY_SECONDS))
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT id, owned, live, went_at FROM device WHERE account = ?", (account,))
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
        known.expected = frozenset(one for one, _, live, _ in devices if live) if trusted and trusted[0] else None
        known.suspect_readings = trusted[1] if trusted else 0
        known.owned = {one for one, owned, _, _ in devices if owned}
        known.left = {one: _moment(went / 1e6) for one, owned, _, went in devices if owned and went is not None}
        if count:
            known.gone = {device: _moment(at / 1e6) for device, at in gone}

    # -- what goes over the wire

    def sent(self, call: Any) -> None:
        """Hear of a request that leaves the daemon."""
        if call.path == "/emp/v2/token":
            return
        known = self._known(call.account)
        self.secrets.add(call.token)
        self._check_form(call)
        self._check_user(call)
        self._check_pace(call, known)
        known.calls.append(self._now())
        if call.method == "GET":
            if call.path == "/pcc":
                self._require("one-pass", not known.list_in_flight and not known.changes_in_flight, call)
                known.list_in_flight += 1
                known.list_began, known.acting = self._wall(), False
                known.list_user = self._user_of_token(call.token)
            elif call.path == "/devices":
                known.asked_devices_at, known.devices_answered = self._now(), False
                recent = self._wall() - timedelta(seconds=ONE_CALL_SECONDS)  # what led to this is not believed yet
                known.refused = {key: at for key, at in known.refused.items() if at < recent}
            return
        self._require("observe", not self.observing, call)
        known.changes_in_flight += 1
        self.changes[call.account] += 1
        self._require("concurrency", known.changes_in_flight <= self._concurrency, call)
        self._require("one-pass", not known.list_in_flight, call)
        user = self._user_of_token(call.token)
        self._require(
            "same-user", user is None or known.list_user in {None, user}, call, f"the token is that of {user}"
        )
        self._check_change(call, known, unquote(call.path.removeprefix("/pcc/")))

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
        code = _code(answer.body)
        if code in THROTTLES or (code is None and answer.status == 429):
            said = self._retry_after(answer)
            if said is not None or self._now() >= known.throttled_until:  # else it is one of the same burst
                known.throttled_until = max(known.throttled_until, self._now() + (said or THROTTLE_SECONDS))
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
        devices = _devices(answer) if code is None else None
        assert known.list_began is not None
        if devices is None:
            return
        known.listed = Listed(devices, known.list_began)
        user = self._user_of_token(call.token)
        expected = known.expected or frozenset()
        blur = sum(until > self._now() for until in known.unsure.values())
        sure = len(expected) - blur
        short = sure >= SUSPECT_FROM and 2 * (len(expected & devices) + blur) < sure
        changed = known.user_trusted not in {None, user} and not known.vouched
        if short and (changed or known.suspect_readings + 1 < BELIEVED_AFTER):
            known.suspect_readings += 1
            self.tell(f"the checker doubts the list of {call.account}: {len(expected & devices)} of {len(expected)}")
            return
        known.before = (known.suspect_readings, known.expected, known.user_trusted)
        live = self._overlaid(known)
        known.suspect_readings, known.expected = 0, live
        known.user_trusted, known.vouched, known.acting = user, False, True
        for key in [key for key in known.refused if (key[0] == "POST") is (key[1] in live)]:
            del known.refused[key]

    def _take_change(self, call: Any, known: Known, answer: Any, code: str | None) -> None:
        device, action = unquote(call.path.removeprefix("/pcc/")), call.method
        if code in NOT_ASKED_YET and not known.devices_answered:
            return
        ok = code is None and 200 <= answer.status < 300 and _is_success(answer.body)
        if ok or code in DONE[action]:
            known.confirmed[device] = (action, self._wall())
            known.refused.pop((action, device), None)
            if known.expected is not None:
                known.expected = known.expected | {device} if action == "POST" else known.expected - {device}
            if action == "DELETE" and not known.let_go.get(device, False):
                known.gone[device] = self._wall()
        elif code in REFUSED[action]:
            known.refused[action, device] = self._wall()

    # -- rules

    def _check_form(self, call: Any) -> None:
        message_id = call.headers.get("x-message-id", "")
        self._require("message-id", bool(MESSAGE_ID.fullmatch(message_id)), call)
        self._require("message-id", message_id not in self._message_ids, call)
        self._message_ids.add(message_id)
        right = (
            call.path in {"/pcc", "/devices"} if call.method == "GET" else bool(re.fullmatch("/pcc/[^/]+", call.path))
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
            self._require("own-user", user in {*recent, *older}, call, f"the token is that of {user}")

    def _check_pace(self, call: Any, known: Known) -> None:
        now = self._now()
        self._require("throttled", now >= known.throttled_until - self._slack(), call)
        begun = call.path != "/pcc" and now < known.stopped_at + ONE_CALL_SECONDS
        self._require("stopped", begun or now >= known.stopped_until, call)
        while known.calls and known.calls[0] <= now - HOUR_SECONDS:
            known.calls.popleft()

    def _check_change(self, call: Any, known: Known, device: str) -> None:
        action, wall = call.method, self._wall()
        self._note_texts()
        self._require("list-first", known.acting and known.listed is not None, call)
        live = self._overlaid(known)
        helps = (device in live) is (action == "DELETE") or known.unsure.get(device, 0.0) > self._now()
        self._require("no-needless-call", helps, call)
        if (
            self._now() - known.asked_devices_at < ONE_CALL_SECONDS
        ):  # the first refusals of a process may mean only that
            known.refused.pop((action, device), None)
        wait = known.refused.get((action, device))
        waited = wait is None or wall - wait >= REFUSED_WAIT - timedelta(seconds=self._slack() + 1)
        self._require("refused-waits", waited, call)
        states = self._in_force(call.account)
        self._require("abandoned", bool(states), call)
        objections = [self._objection(call, known, device, one) for one in states]
        self._require(objections[-1] or "?", None in objections, call, f"all of {objections}")
        if action == "DELETE":
            known.let_go[device] = self._approved_now(call.account, device)
            self._check_intent(call, device)

    def _objection(self, call: Any, known: Known, device: str, one: InForce) -> str | None:
        """Return the rule that a change breaks under one state that may be in force."""
        wanted, wall = one.wanted, self._wall()
        moments = (wall - timedelta(seconds=1), wall, wall + timedelta(seconds=1))
        wants = {wanted.wants(device, moment) for moment in moments}
        pause = self._pause(call.account, wanted)
        kept = {"ignored": device not in wanted.policy["ignore"]}
        if call.method == "POST":
            kept |= {"subscribes-what-nobody-wants": True in wants, "paused": pause != "all"}
        else:
            approved = any(wanted.approves(device, moment) for moment in moments)
            kept |= {
                "unsubscribes-what-is-desired": False in wants,
                "paused": pause == "none",
                "desired-rejected": not one.rejected,
                "prune": wanted.prunes(owned=device in known.owned),
                "unsubscribe-after": self._absent_for_long(known, wanted, device),
                "empty-desired": approved or bool(wanted.devices or wanted.policy["allow_empty"]),
                "too-many": approved or self._within_limit(known, wanted, device),
            }
        return next((rule for rule, is_kept in kept.items() if not is_kept), None)

    def _absent_for_long(self, known: Known, wanted: Wanted, device: str) -> bool:
        absent = self._wall() - self._absent_since(known, wanted, device)
        return not wanted.absence or absent >= wanted.absence - timedelta(seconds=self._slack() + GRACE_SECONDS)

    def _within_limit(self, known: Known, wanted: Wanted, device: str) -> bool:
        assert known.listed is not None
        since = self._wall() - DAY + timedelta(seconds=self._slack() + 1)
        gone = {one for one, at in known.gone.items() if at > since}
        return len(gone | {device}) <= wanted.allowance(len(known.listed.devices | gone))

    def _check_intent(self, call: Any, device: str) -> None:
        """Require that it stands on the disk that a device will be unsubscribed, also where the disk fails by now."""
        with closing(sqlite3.connect(f"file:{self._state() / 'state.db'}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT 1 FROM change WHERE account = ? AND device = ? AND action = 'unsubscribe' AND result IS NULL",
                (call.account, device),
            ).fetchall()
        self._require("intent-first", bool(rows), call)

    def _overlaid(self, known: Known) -> frozenset[str]:
        """Return which devices are to be taken as live: those listed, with what was confirmed just before and since."""
        assert known.listed is not None
        began, overlay = known.listed.began, timedelta(seconds=OVERLAY_SECONDS)
        ends = max(began + overlay, self._wall())  # what is dated later is from before the clock was set back
        fresh = {device: action for device, (action, at) in known.confirmed.items() if began - overlay < at < ends}
        there = {device for device, action in fresh.items() if action == "POST"}
        return (known.listed.devices | there) - (fresh.keys() - there)

    def _absent_since(self, known: Known, wanted: Wanted, device: str) -> datetime:
        if device in wanted.devices:
            until = wanted.devices[device][1]
            return until if until is not None else self._wall()
        return known.left.get(device) or known.texts_since or self._wall()

    def _approved_now(self, account: str, device: str) -> bool:
        moments = [self._wall() - timedelta(seconds=2), self._wall()]
        return any(one.wanted.approves(device, moment) for one in self._in_force(account) for moment in moments)

    def _in_force(self, account: str) -> list[InForce]:
        """Return what may be in force for an account now."""
        states = self.texts.states(self._now())
        return [state.accounts[account] for state in states if account in state.accounts]

    def _pause(self, account: str, wanted: Wanted) -> str:
        now, wall = self._now(), self._wall()
        on = (one for one in self._brakes if one.from_ <= now and wall < one.until)
        words = [one.pause for one in on if one.account in {None, account}]
        return max((str(wanted.policy["pause"]), *words), key=PAUSES.index)

    def _slack(self) -> float:
        """Return by how much waits of the last day may be off, because the clock was set meanwhile."""
        now = self._now()
        return sum(span for at, span in self._steps if now - at < DAY.total_seconds() * 1.1)

    def _retry_after(self, answer: Any) -> float | None:
        said = next((value for name, value in answer.headers if name == "retry-after"), "")
        try:
            seconds = float(said) if said.isdigit() else (parsedate_to_datetime(said) - self._wall()).total_seconds()
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
        if event == "library.logged" or (event == "source.failed" and facts.get("kind") == "defect"):
            self._break("defect", line[:3000])
        if event == "list.suspect":
            self._doubted(facts["account"])
        if event == "change.applied" and facts["result"] == "success":
            method = "POST" if facts["action"] == "subscribe" else "DELETE"
            key = (facts["account"], method, facts["device"])
            if "confirmed_by" in facts:  # by a list, which others may have heard differently
                self._known(key[0]).unsure[key[2]] = self._now() + 3 * OVERLAY_SECONDS
            self.applied[key] += 1
            if self._disturbed.get((key[0], key[2]), 0.0) > self._now():  # who made it cannot be known
                self.applied[key] = self.made[key]
            elif self.applied[key] > self.made[key]:
                self._break("told-once", f"{key} is told as made {self.applied[key]} times, LG did {self.made[key]}")

    def _doubted(self, account: str) -> None:
        """Take note that the daemon doubts a list: it may know of reasons that cannot be seen from outside."""
        self.suspected[account] = self._now()
        known = self._known(account)
        if known.acting and known.before is not None:
            known.suspect_readings, known.expected, known.user_trusted = known.before
            known.suspect_readings += 1
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
        for account, one in states[0].accounts.items():
            known = self._known(account)
            known.texts_since = known.texts_since or wall
            listed = one.wanted.devices.keys()
            for device in known.owned - listed:
                known.left.setdefault(device, wall)
            for device in listed & known.left.keys():
                del known.left[device]
            known.owned |= listed

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
            self._break(rule, f"{call.method} {call.path} of account {call.account} {words}".rstrip())

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


def _devices(answer: Any) -> frozenset[str] | None:
    """Return what a list says, or nothing where it is not to be trusted."""
    envelope = _json(answer.body)
    if not 200 <= answer.status < 300 or not isinstance(envelope, dict) or "messageId" not in envelope:
        return None
    items = envelope.get("response")
    if items is None or items in ({}, []):
        return frozenset()
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        return None
    ids = [one.get("deviceId") for one in items]
    return frozenset(ids) if all(isinstance(one, str) and one for one in ids) else None


def subset(some: Iterable[str], most: int = 5) -> str:
    """Return a few ids for a message."""
    listed = sorted(some)
    return ", ".join(one[:12] for one in listed[:most]) + (
        f" and {len(listed) - most} more" if len(listed) > most else ""
    )
