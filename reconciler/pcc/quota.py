"""How many calls one account may make, and when the next one may go.

Owns: the rolling hour of call times, the limit given or learned, the calls kept for lists, LG's pauses.
Must not: send anything or read a clock; every method takes the moment, in epoch seconds.

LG's quota is per user and hour, unpublished, and shared with whatever else the partner does with that user (LG's staff
in the discussion of its Python SDK); it answers 401 with 1314 and no ``Retry-After``. Bursts are allowed.

How ``auto`` finds the limit: there is none until LG throttles; then it is a little less than what went through in the
hour before. An hour of that many calls without a throttle makes it a tenth more, from the next hour on: while an hour
is used up nothing is tried. The calls of that tenth go one at a time, so a wrong guess costs one throttled call.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from reconciler.core.model import Unlimited
from reconciler.core.replicas import unknown_calls

HOUR = 3600.0
SLACK = 5.0
"""Seconds for which a call counts beyond its hour: LG counts it when it arrives, later than when we sent it."""
LEAST_LEARNED = 60
"""The smallest limit that is learned from a throttle: one call a minute."""
LEARNED_SHARE = 0.9
"""The share of the calls in the hour before a throttle that is taken as the limit: others may use the same user."""
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

    def __init__(
        self, policy: int | Unlimited = Unlimited.AUTO, learned: Learned | None = None
    ) -> None:
        learned = learned or Learned()
        self._policy = policy
        self._calls = deque(sorted(learned.calls))
        self._learned = self._proven = learned.limit
        self._since_learned = 0
        self._used_up = False
        self._pause_until = 0.0
        self._pauses = 0
        self._without_intent = self._written = 0

    def take_over(self, learned: Learned, now: float) -> None:
        """Take what another process wrote down of the account, also of the calls that were made here before.

        It may have made a few calls more: as many as it was allowed to make before it had to write them down.
        """
        self._learned = self._proven = learned.limit
        self._since_learned, self._used_up = 0, False
        unknown = unknown_calls(self.limit)
        self._calls = deque(sorted((*learned.calls, *[now] * unknown)))
        self._without_intent, self._written = self._without_intent + unknown, self._without_intent

    def follow(self, policy: int | Unlimited) -> None:
        """Set the limit of the newest revision."""
        self._policy, self._used_up = policy, self._used_up and policy is self._policy

    @property
    def limit(self) -> int | None:
        """Return the calls allowed in any rolling hour, or None where none is known."""
        if isinstance(self._policy, int):
            return self._policy
        return self._learned if self._policy is Unlimited.AUTO else None

    @property
    def learned_limit(self) -> int | None:
        """Return the limit that was learned, whether or not policy asks for it."""
        return self._learned

    @property
    def learned(self) -> Learned:
        """Return what to keep over a restart."""
        return Learned(tuple(self._calls), self._learned)

    @property
    def without_intent(self) -> int:
        """Return how many calls were counted for which no intent was written down before."""
        return self._without_intent

    @property
    def must_be_written(self) -> bool:
        """Say whether the calls have to be written down before another one without an intent.

        Whoever takes the account over counts no more unknown ones than this.
        """
        limit = self.limit
        return limit is not None and self._without_intent - self._written >= unknown_calls(limit)

    def written(self, without_intent: int) -> None:
        """Take that the first calls without an intent are written down, as many as these."""
        self._written = max(self._written, without_intent)

    def is_trying(self, now: float) -> bool:
        """Say whether the next call is beyond what is known to be allowed, so that it should go alone."""
        self._forget(now)
        return (
            self._policy is Unlimited.AUTO
            and self._proven is not None
            and len(self._calls) >= self._proven
        )

    def take(self, now: float, *, intended: bool = False) -> bool:
        """Count one call that is about to be made; or say that there is no room for it, and nothing is counted.

        ``intended``: its intent is written down, for this call alone.
        """
        if now < self._pause_until or self.remaining(now) == 0:
            return False
        self._calls.append(now)
        self._without_intent += not intended
        self._since_learned += 1
        return True

    def answered(self) -> None:
        """Note that LG answered without a throttle, so the next pause starts short again."""
        self._pauses = 0

    def throttled(
        self, now: float, retry_after: float | None, *, teaches: bool, unanswered: int = 1
    ) -> float:
        """Pause the account after a throttle and return until when; with a code of LG's the limit is learned.

        ``unanswered`` are the calls in flight, this one included: nobody knows yet whether they are within the quota.
        """
        self._forget(now)
        pause = 0.0
        if (
            now >= self._pause_until
        ):  # else a call that was in flight with the throttled one: they share one pause
            pause = min(PAUSE_FIRST * 2 ** min(self._pauses, 10), PAUSE_MOST)
            self._pauses += 1
            if teaches and self._policy is Unlimited.AUTO:
                self._proven = max(
                    int((len(self._calls) - unanswered) * LEARNED_SHARE), LEAST_LEARNED
                )
                self._learn(self._proven)
        wait = min(retry_after or pause, RETRY_AFTER_MOST)
        self._pause_until = max(
            self._pause_until, math.ceil(now + wait)
        )  # whole, so that no rounding falls short
        return self._pause_until

    def remaining(self, now: float) -> int | None:
        """Return how many calls are left in this hour, or None where there is no limit."""
        self._forget(now)
        self._raise()
        return None if self.limit is None else max(self.limit - len(self._calls), 0)

    def opens_for_pass(self, now: float, changes: int) -> float:
        """Return when a pass may start: with room for its list and for a fair number of its changes."""
        remaining, limit = self.remaining(now), self.limit
        if remaining is None or limit is None:
            return max(now, self._pause_until)
        needed = 1  # the list
        if changes:
            needed += min(changes, max(limit // 10, 1)) + self._kept
        return max(self._room_at(now, min(needed, limit)), self._pause_until)

    def opens_for_change(self, now: float) -> float:
        """Return when one more change may be sent, leaving the calls that are kept for lists."""
        remaining = self.remaining(now)
        if remaining is None or remaining > self._kept:
            return max(now, self._pause_until)
        if self._policy is Unlimited.AUTO and self._since_learned >= len(self._calls):
            self._used_up = True
        return max(self._room_at(now, self._kept + 1), self._pause_until)

    @property
    def _kept(self) -> int:
        return 0 if self.limit is None else min(KEPT_FOR_LISTS, self.limit // 10)

    def _learn(self, limit: int) -> None:
        """Take a limit; the next hour shows whether it holds."""
        self._learned, self._since_learned, self._used_up = limit, 0, False

    def _raise(self) -> None:
        """After an hour in which the learned limit was used up without a throttle, try a tenth more."""
        learned = self._learned
        if self._used_up and learned is not None and learned - len(self._calls) > self._kept:
            self._proven = learned - self._kept
            self._learn(learned + max(learned // 10, 1))

    def _room_at(self, now: float, needed: int) -> float:
        surplus = len(self._calls) + needed - (self.limit or 0)
        if surplus <= 0 or not self._calls:
            return now
        return self._calls[min(surplus, len(self._calls)) - 1] + HOUR + SLACK

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0] <= now - HOUR - SLACK / 2:
            self._calls.popleft()
