"""How many calls one account may make, and when the next one may go.

Owns: the rolling hour of call times, the limit given or learned, the calls kept for lists, LG's pauses.
Must not: send anything or read a clock; every method takes the moment, in epoch seconds.

LG's quota is per user and hour, unpublished, and shared with whatever else the partner does with that user (LG's staff
in the discussion of its Python SDK); it answers 401 with 1314 and no ``Retry-After``. Bursts are allowed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model import Unlimited

HOUR = 3600.0
LEAST_LEARNED = 60
"""The smallest limit that is learned from a throttle: one call a minute."""
LEARNED_SHARE = 0.9
"""Of the calls made in the hour before a throttle, so much is taken as the limit: others may use the same user."""
KEPT_FOR_LISTS = 6
"""One list each ten minutes is always possible."""
PAUSE_FIRST, PAUSE_MOST = 60.0, 600.0
"""Seconds to wait after a throttle, doubling: what was seen to work against the live gateway."""
RETRY_AFTER_MOST = HOUR


@dataclass(frozen=True, slots=True)
class Learned:
    """What must survive a restart: the call times of the last hour and the limit, if one was learned."""

    calls: tuple[float, ...] = ()
    limit: int | None = None


class Quota:
    """The calls of one account."""

    def __init__(self, policy: int | Unlimited = Unlimited.AUTO, learned: Learned | None = None) -> None:
        learned = learned or Learned()
        self._policy = policy
        self._calls: deque[float] = deque(learned.calls)
        self._learned = learned.limit
        self._raised_at = learned.calls[-1] if learned.calls else 0.0
        self._pause_until = 0.0
        self._pauses = 0

    def follow(self, policy: int | Unlimited) -> None:
        """Take the limit that the newest text asks for."""
        self._policy = policy

    @property
    def limit(self) -> int | None:
        """Return the calls allowed in any rolling hour, or nothing where none is known."""
        if isinstance(self._policy, int):
            return self._policy
        return self._learned if self._policy is Unlimited.AUTO else None

    @property
    def learned(self) -> Learned:
        """Return what to keep over a restart."""
        return Learned(tuple(self._calls), self._learned)

    def take(self, now: float) -> None:
        """Count one call that is being made."""
        self._forget(now)
        self._calls.append(now)

    def answered(self) -> None:
        """Note that LG answered without a throttle, so the next pause starts short again."""
        self._pauses = 0

    def throttled(self, now: float, retry_after: float | None, *, teaches: bool) -> float:
        """Pause the account after a throttle and return until when; with a code of LG's the limit is learned."""
        self._forget(now)
        wait = min(retry_after or min(PAUSE_FIRST * 2**self._pauses, PAUSE_MOST), RETRY_AFTER_MOST)
        if now >= self._pause_until:  # calls in flight together share one throttle
            self._pauses += 1
            if teaches and self._policy is Unlimited.AUTO:
                self._learned = max(int(len(self._calls) * LEARNED_SHARE), LEAST_LEARNED)
                self._raised_at = now
        self._pause_until = max(self._pause_until, now + wait)
        return self._pause_until

    def remaining(self, now: float) -> int | None:
        """Return how many calls are left in this hour, or nothing where there is no limit."""
        self._forget(now)
        self._raise(now)
        return None if self.limit is None else max(self.limit - len(self._calls), 0)

    def opens_for_pass(self, now: float, changes: int) -> float:
        """Return when a pass may start: with room for its list and for a fair number of its changes."""
        remaining = self.remaining(now)
        if remaining is None or self.limit is None:
            return max(now, self._pause_until)
        needed = 1 + (min(changes, max(self.limit // 10, 1)) + self._kept if changes else 0)
        return max(self._room_at(now, min(needed, self.limit)), self._pause_until)

    def opens_for_change(self, now: float) -> float:
        """Return when one more change may be sent, leaving the calls that are kept for lists."""
        remaining = self.remaining(now)
        if remaining is None or remaining > self._kept:
            return max(now, self._pause_until)
        return max(self._room_at(now, self._kept + 1), self._pause_until)

    @property
    def _kept(self) -> int:
        return 0 if self.limit is None else min(KEPT_FOR_LISTS, self.limit // 10)

    def _room_at(self, now: float, needed: int) -> float:
        limit = self.limit or 0
        surplus = len(self._calls) + needed - limit
        if surplus <= 0:
            return now
        return self._calls[min(surplus, len(self._calls)) - 1] + HOUR if self._calls else now

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0] <= now - HOUR:
            self._calls.popleft()

    def _raise(self, now: float) -> None:
        """Try a tenth more after each hour in which the learned limit was used up without a throttle."""
        if self._learned is None or now - self._raised_at < HOUR or len(self._calls) < self._learned:
            return
        self._learned += max(self._learned // 10, 1)
        self._raised_at = now


def busiest(quotas: Iterable[Quota], now: float) -> int:
    """Return the fewest calls that any limited account has left, for a fleet's one figure."""
    return min((left for quota in quotas if (left := quota.remaining(now)) is not None), default=0)
