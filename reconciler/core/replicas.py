"""The rules by which several replicas share the accounts.

Owns: how many accounts a replica may have, how long it may act on its lease, when another one counts as dead, how
epochs grow, and when a source that is behind is waited for. Must not: read a clock, or know how anything is kept.

No moment here is wall time. Every replica counts the seconds of its own ``CLOCK_BOOTTIME``, which goes on while the
machine is suspended, so no two clocks are ever compared.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import NewType

from reconciler.core.model import Commit, Revision

MemberId = NewType("MemberId", str)
"""One life of one replica. It is random, and no other life ever has it again."""

MARGIN_SECONDS = 5.0
"""A call must be able to end this long before the deadline."""
RENEWAL_SECONDS = 1.0
"""A lease is renewed this often."""
RENEWAL_LIMIT_SECONDS = 5.0
"""A renewal that takes longer counts as failed."""
SHORTEST_REST = timedelta(seconds=10)
"""At least this much of a lease is left for work when a call with the longest answer begins."""
REFENCED_SECONDS = 2.0
"""An intent that is older than this is checked again before its call."""
SOURCE_WAIT_SECONDS = 300.0
"""The longest wait for a source that is behind."""
UNKNOWN_CALLS = 6
"""A successor counts at most this many calls of its predecessor of which nothing was written yet, mostly lists."""
_HALF = 32


@dataclass(frozen=True, slots=True)
class Member:
    """One replica as the others see it. ``lease`` is in seconds, ``beat`` grows with every renewal."""

    id: MemberId
    name: str
    version: str
    lease: float
    beat: int = 0


def shortest_lease(request_timeout: timedelta) -> timedelta:
    """Return the shortest lease with which a replica has time for a call."""
    return SHORTEST_REST + timedelta(seconds=2 * MARGIN_SECONDS) + request_timeout


def share(accounts: int, live: Collection[MemberId], me: MemberId) -> int:
    """Return how many accounts this replica may have. The shares differ by at most one, and together they are all."""
    if me not in live:
        return 0
    least, over = divmod(accounts, len(live))
    return least + (sorted(live).index(me) < over)


def next_count(before: int, timeline: int) -> int:
    """Return the next epoch or generation. Its high half is the timeline of the database.

    A database that failed over to a copy without the last writes counts on from a higher number than any before.
    """
    return max(before + 1, timeline << _HALF)


def timeline_of(count: int) -> int:
    """Return the timeline in an epoch or generation."""
    return count >> _HALF


def unknown_calls(calls_per_hour: int | None) -> int:
    """Return how many calls a successor counts of which its predecessor perhaps wrote nothing.

    These are lists, and other calls without an intent. The predecessor makes no more of them before it writes.
    """
    return 0 if calls_per_hour is None else min(UNKNOWN_CALLS, max(calls_per_hour // 10, 1))


class Lease:
    """How long this replica may act. It is lost where no renewal succeeds, whoever else says what."""

    def __init__(self, seconds: float, request_timeout: float) -> None:
        self.seconds = seconds
        self._before_end = request_timeout + MARGIN_SECONDS
        self._deadline = -math.inf

    @property
    def deadline(self) -> float:
        """Return until when the lease lasts, in seconds of ``CLOCK_BOOTTIME``."""
        return self._deadline

    def renewed(self, sent: float) -> None:
        """Take a renewal that succeeded. It counts from the moment before it was sent."""
        self._deadline = max(self._deadline, sent + self.seconds)

    def lost(self) -> None:
        """Take that this replica owns nothing."""
        self._deadline = -math.inf

    def lasts(self, now: float) -> bool:
        """Say whether the lease still lasts."""
        return now < self._deadline

    def allows_call(self, now: float) -> bool:
        """Say whether a call to LG that begins now ends before the deadline, however long its answer takes."""
        return now + self._before_end <= self._deadline


@dataclass(frozen=True, slots=True)
class _Seen:
    beat: int
    since: float


class Watch:
    """What this replica saw of the others' beats, by its own clock. Time in which it saw nothing does not count."""

    def __init__(self, me: MemberId) -> None:
        self._me = me
        self._seen: dict[MemberId, _Seen] = {}
        self._looked = math.inf
        self.longest_lease = 0.0

    def look(self, members: Iterable[Member], now: float) -> tuple[Member, ...]:
        """Take the members as they are; return those whose beat stood still for their whole lease."""
        before, self._seen = self._seen, {}
        blind, self._looked = now - self._looked, now
        silent = []
        for member in members:
            self.longest_lease = max(self.longest_lease, member.lease)
            seen = before.get(member.id)
            if seen is None or seen.beat != member.beat:
                seen = _Seen(member.beat, now)
            elif (
                blind > member.lease / 2
            ):  # the database was away, and nobody could show a sign of life
                seen = _Seen(member.beat, seen.since + blind)
            self._seen[member.id] = seen
            if member.id != self._me and now - seen.since >= member.lease:
                silent.append(member)
        return tuple(silent)


class Exchanged(StrEnum):
    """Why a renewal shows that the database is not the one that this replica joined."""

    BEAT = "its last renewals are not there"
    SYSTEM = "it is another database"
    TIMELINE = "another server took over"


@dataclass(frozen=True, slots=True)
class Server:
    """Which database answered: the server's system identifier and its timeline."""

    system: str
    timeline: int


class Renewals:
    """What this replica knows of its own renewals, to notice that the database was exchanged."""

    def __init__(self, server: Server, beat: int = 0) -> None:
        self._server, self._beat = server, beat
        self._unanswered = 0

    @property
    def beat(self) -> int:
        """Return the beat of the last renewal that was answered."""
        return self._beat

    def sending(self) -> None:
        """Take that a renewal is about to be sent: it counts as made even where no answer comes."""
        self._unanswered += 1

    def answered(self, server: Server, beat: int) -> Exchanged | None:
        """Take an answer; return why it is from another database, or None."""
        if server.system != self._server.system:
            return Exchanged.SYSTEM
        if server.timeline != self._server.timeline:
            return Exchanged.TIMELINE
        if not self._beat < beat <= self._beat + self._unanswered:
            return Exchanged.BEAT
        self._beat, self._unanswered = beat, 0
        return None


class Descent(StrEnum):
    """How a commit that a source shows is related to the accepted one."""

    ANCESTOR = "ancestor"
    UNKNOWN = "unknown"
    NEWER = "newer"


class SourceWait:
    """Whether a new holder of the source waits: what it finds may be older than what was read elsewhere.

    Two kubelets update a ConfigMap a minute apart, and a copy that lags may show several older revisions one after the
    other. So each of them waits until the copy has caught up, a person agrees, or enough time is over since the first
    look.
    ``newest`` is what was read last, in force or rejected; ``earlier`` are the digests of everything before it.
    """

    def __init__(self, newest: Revision | None, earlier: Collection[str]) -> None:
        self._newest, self._earlier = newest, earlier
        self._last: tuple[str, str | None] | None = None
        self._since: float | None = None
        self._behind = False
        self._over = newest is None

    @property
    def waits(self) -> bool:
        """Say whether the source is behind, and still waited for."""
        return self._behind and not self._over

    @property
    def over(self) -> bool:
        """Say whether everything that the source shows from now on may come into force."""
        return self._over

    def end(self) -> None:
        """Wait no longer: a person asked for it."""
        self._over = True

    def look(self, found: Revision, descent: Descent | None, now: float) -> bool:
        """Take what the source shows; say whether it may come into force. ``descent`` is None without commits."""
        self._since = now if self._since is None else self._since
        before, self._last = self._last, (found.sha256, _commit(found))
        older = descent in {Descent.ANCESTOR, Descent.UNKNOWN}
        pushed = before is not None and before[0] == found.sha256 and before != self._last
        if now - self._since >= SOURCE_WAIT_SECONDS or self._caught_up(found, descent):
            self._over = True
        elif pushed and not older:
            self._over = True  # equal files of another commit: somebody means them
        self._behind = older or found.sha256 in self._earlier
        return self._over or not self._behind

    def _caught_up(self, found: Revision, descent: Descent | None) -> bool:
        same = self._newest is not None and found.sha256 == self._newest.sha256
        return same or (descent is Descent.NEWER and found.sha256 not in self._earlier)


def _commit(revision: Revision) -> str | None:
    commit: Commit | None = revision.commit
    return None if commit is None else commit.id
