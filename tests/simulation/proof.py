"""What events must and must not show, by what the daemon was told: contradicted lists, silence, and being heard at all.

Owns: the promises about events, each as a rule with a name. Must not: import anything of the program, or send events.

Two sets hold the number of contradicted devices between them: those that may be contradicted, by the most generous
reading of all that nobody can know from outside, and those that must be, by the strictest one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from simulation.tolerances import (
    HEARD_SECONDS,
    JOINED_SECONDS,
    SILENCE_SECONDS,
    TRUSTED_SECONDS,
    WRONG_SECONDS,
)

BEGUN_SECONDS = 60.0
"""A pass begins so long before its list is asked for, at most: it may need a token first."""
LATE_SECONDS = 60.0
"""An event that was diagnosed so soon after the first list without its device contradicts nothing."""
FEWEST, IMPROBABLE = 20, 7
SHORTEST_SILENCE = 26 * 3600.0
CONTRADICTED_FOR = timedelta(hours=24)
HOUR_SECONDS = 3600.0


class World(Protocol):
    """What the checker of calls knows."""

    def promise(self, rule: str, message: str, *, kept: bool) -> None:
        """Check a promise."""

    def wanted_for_certain(self, account: str, device: str) -> bool:
        """Say whether every revision that may be in force wants a device, and none leaves it alone."""


@dataclass(slots=True)
class _List:
    """A list that reached the daemon, which may trust or doubt it. ``asked``: changes of these were sent since."""

    devices: frozenset[str]
    began: datetime
    at: float
    wanted: set[str]
    asked: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Account:
    """What lists and events say of one account: for each device since when lists lack it, and its last event."""

    pending: _List | None = None
    may_lack: dict[str, datetime] = field(default_factory=dict)
    may: dict[str, datetime] = field(default_factory=dict)
    must_lack: dict[str, datetime] = field(default_factory=dict)
    must: dict[str, tuple[datetime, float]] = field(default_factory=dict)

    def drop(self, device: str, *, contradicted: bool) -> None:
        """Begin anew with a device, after a call that LG confirmed."""
        for lacking in (self.may_lack, self.must_lack):
            lacking.pop(device, None)
        if contradicted:
            self.may.pop(device, None)
            self.must.pop(device, None)

    def unsure(self, device: str | None = None) -> None:
        """Demand nothing of a device any more, or of all."""
        gone = list(self.must_lack.keys() | self.must.keys()) if device is None else [device]
        for one in gone:
            self.must_lack.pop(one, None)
            self.must.pop(one, None)


class Proof:
    """Hears what the daemon hears of events, lists and calls, and looks at what it shows. Moments are by its clock."""

    def __init__(
        self,
        world: World,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        true_wall: Callable[[], datetime],
    ) -> None:
        self._world, self._now, self._wall, self._true = world, now, wall, true_wall
        self._accounts: dict[str, _Account] = {}
        self._under_way: dict[tuple[str, str], datetime] = {}
        self._read: list[tuple[float, datetime]] = []
        self._upto: dict[str, tuple[str, int]] = {}
        self._up_since: float | None = None
        self._failed: set[str] = set()
        self._stepped = False
        self._wrong_seconds = 0.0
        self.alerts = False
        self.silent = 0.0

    # -- what the daemon is sent

    def started(self) -> None:
        """Hear that a daemon begins: it reads all events anew."""
        self._accounts.clear()
        self._under_way.clear()
        self._read.clear()
        self._upto.clear()
        self._failed.clear()
        self._up_since, self._wrong_seconds = self._now(), self._difference()

    def stopped(self) -> None:
        """Hear that the daemon is down."""
        self._up_since = None

    def clock_set(self) -> None:
        """Hear that the machine's clock jumped: nothing more is demanded of what depends on it."""
        self._stepped = True
        self._wrong_seconds = max(self._wrong_seconds, self._difference())

    def listed(
        self, account: str, devices: frozenset[str], began: datetime, wanted: Iterable[str]
    ) -> None:
        """Hear of a list, and of all that any revision ever wanted."""
        one = self._of(account)
        self._trust(one)
        if (
            one.pending is not None
        ):  # whether that one was believed is not known, so what it showed is not either
            for device in one.pending.devices:
                one.unsure(device)
        every = frozenset(wanted)
        sure = {device for device in every if self._world.wanted_for_certain(account, device)}
        one.pending = _List(devices, began, self._now(), sure)
        for device in every - devices:
            one.may_lack.setdefault(device, began - timedelta(seconds=BEGUN_SECONDS))

    def doubted(self, account: str) -> None:
        """Hear that the daemon does not believe its latest list."""
        self._of(account).pending = None

    def _trust(self, one: _Account) -> None:
        """Take the latest list as believed, if it was not doubted meanwhile."""
        latest = one.pending
        if latest is None or self._now() - latest.at < TRUSTED_SECONDS:
            return
        one.pending = None
        for device in latest.devices:
            one.drop(device, contradicted=True)
        for device in one.must_lack.keys() - latest.wanted:
            one.unsure(device)
        for device in latest.wanted - latest.devices - latest.asked:
            one.must_lack.setdefault(device, latest.began)

    def sent(self, account: str, device: str) -> None:
        """Hear of a change on its way: what becomes of it is not known yet."""
        one = self._of(account)
        since = one.must_lack.pop(device, None)
        latest = one.pending
        if latest is not None and device in latest.wanted - latest.devices - latest.asked:
            latest.asked.add(device)
            since = since or latest.began
        if since is not None:
            self._under_way[account, device] = since

    def refused(self, account: str, device: str) -> None:
        """Hear that LG calls a device subscribed already, or refuses it: lists lack it since they did before."""
        since = self._under_way.pop((account, device), None)
        if since is not None:
            self._of(account).must_lack[device] = since

    def changed(self, account: str, device: str, *, subscribed: bool) -> None:
        """Hear that LG confirmed a change."""
        self._under_way.pop((account, device), None)
        self._of(account).drop(device, contradicted=not subscribed)

    def left(self, accounts: Iterable[str]) -> None:
        """Hear which accounts the files name now: of others the daemon may forget everything."""
        for name in self._accounts.keys() - set(accounts):
            self.edited(name)

    def edited(self, account: str) -> None:
        """Hear that an account's file is another one: what was wanted may have been out of it for a while."""
        self._of(account).unsure()
        self._under_way = {key: at for key, at in self._under_way.items() if key[0] != account}

    def heard(self, receiver: Any, events: list[dict[str, Any]]) -> None:
        """Hear of a page of events that reaches the daemon."""
        if events:
            self._upto[receiver.address] = (receiver.spool, events[-1]["seq"])
        else:
            self._upto.setdefault(receiver.address, (receiver.spool, 0))
        for one in events:
            received = datetime.fromisoformat(one["received"])
            self._read.append((self._now(), received))
            diagnosed = one.get("diagnosed")
            at = min(received, datetime.fromisoformat(diagnosed)) if diagnosed else received
            for name, account in self._accounts.items():
                self._join(name, account, one["device"], at, received)

    def _join(
        self, name: str, account: _Account, device: str, at: datetime, received: datetime
    ) -> None:
        self._trust(account)
        late = timedelta(seconds=LATE_SECONDS)
        since = account.may_lack.get(device)
        if since is not None and at > since + late:
            account.may[device] = max(received, account.may.get(device, received))
        since = account.must_lack.get(device)
        sure = since is not None and self._world.wanted_for_certain(name, device)
        if sure and since is not None and at > since + 2 * late:
            account.must[device] = received, self._now()

    # -- what the daemon shows

    def logged(self, facts: Mapping[str, Any]) -> None:
        """Hear of a line of the log. Of a receiver there is one when it stops to answer, and one when it is back."""
        receiver = str(facts.get("receiver"))
        if facts["event"] == "list.suspect":
            self.doubted(facts["account"])
        elif facts["event"] == "receiver.failed":
            self._world.promise(
                "receiver-once", f"{receiver} fails, told twice", kept=receiver not in self._failed
            )
            self._failed.add(receiver)
        elif facts["event"] == "receiver.answers":
            self._failed.discard(receiver)

    def shown(self, metrics: str, receivers: Iterable[Any], *, lost: bool, right: bool) -> None:
        """Look at the metrics. ``lost``: LG sends nothing. ``right``: the machine's clock is right."""
        self._contradicted(metrics)
        if self._stepped or not right or self._up_since is None:
            return
        self._is_heard(receivers)
        self._silence(metrics, lost=lost)

    def _contradicted(self, metrics: str) -> None:
        counts = _by_account("pcc_list_contradicted_devices", metrics)
        for name, count in counts.items():
            account = self._of(name)
            self._world.promise(
                "false-contradiction",
                f"{count} devices of {name} count as contradicted, of {sorted(account.may)[:5]}",
                kept=count <= len(account.may) or self._wrong_seconds > WRONG_SECONDS,
            )
            self._trust(account)
            settled, young = self._now() - JOINED_SECONDS, self._wall() - CONTRADICTED_FOR
            must = [
                one for one, (at, told) in account.must.items() if told < settled and at > young
            ]
            self._world.promise(
                "contradiction",
                f"{count} devices of {name} count as contradicted, and {must[:5]} are",
                kept=self._stepped or account.pending is not None or count >= len(must),
            )

    def _is_heard(self, receivers: Iterable[Any]) -> None:
        """Require that the daemon was told of everything that receivers have for a while."""
        now, wall = self._now(), self._wall()
        assert self._up_since is not None
        for one in receivers:
            if one.how != "well" or now - max(one.well_since, self._up_since) < HEARD_SECONDS:
                continue
            old = wall - timedelta(seconds=HEARD_SECONDS)
            last = 0
            for event in one.events:
                if datetime.fromisoformat(event["received"]) < old:
                    last = event["seq"]
            spool, upto = self._upto.get(one.address, ("", 0))
            self._world.promise(
                "heard",
                f"{one.address} has {last} events in {one.spool}, read were {upto} of {spool}",
                kept=not last or (spool == one.spool and upto >= last),
            )

    def _silence(self, metrics: str, *, lost: bool) -> None:
        meaningful = _single("pcc_silence_meaningful_seconds", metrics)
        last = _single("pcc_heard_last_event_timestamp_seconds", metrics)
        now = self._wall()
        settled = self._now() - JOINED_SECONDS
        known = [received for told, received in self._read if told < settled]
        if len(known) < FEWEST:
            return
        least, most = self._bounds(known, now)
        self._world.promise(
            "silence",
            f"{meaningful} s of silence mean something, and {least:.0f} to {most:.0f} do",
            kept=meaningful is not None and least <= meaningful <= most,
        )
        self.silent = silent = (now - max(at for _, at in self._read)).total_seconds()
        alerts = last is not None and meaningful is not None and now.timestamp() - last > meaningful
        self.alerts = alerts
        self._world.promise(
            "silence-alerts",
            f"nothing was heard for {silent:.0f} s, and nobody is alerted",
            kept=alerts or silent < most,
        )
        self._world.promise(
            "false-silence", "LG sends events, and silence alerts", kept=lost or not alerts
        )

    def _bounds(self, known: list[datetime], now: datetime) -> tuple[float, float]:
        """Return between what the silence lies that means something: a page of events may be on its way."""
        every = [received for _, received in self._read]
        span = (now - min(every)).total_seconds()
        least = max(IMPROBABLE * span / len(every), SHORTEST_SILENCE)
        most = IMPROBABLE * (span + HOUR_SECONDS) / len(known)
        return least - SILENCE_SECONDS, max(most, SHORTEST_SILENCE) + SILENCE_SECONDS

    def _difference(self) -> float:
        return abs((self._wall() - self._true()).total_seconds())

    def _of(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())


def _by_account(name: str, metrics: str) -> dict[str, int]:
    found = re.findall(rf'^{name}{{account="([^"]+)"}} ([0-9.]+)$', metrics, re.MULTILINE)
    return {account: int(float(value)) for account, value in found}


def _single(name: str, metrics: str) -> float | None:
    found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else None
