"""What we confirmed within the last day.

Owns: the last confirmed change of each device, the unsubscribes that count toward the limit, and repeated subscribes.
Must not: say how many may go; the guards do.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.core.memory.changes import Past
from reconciler.core.memory.shelves import Shelf, cap
from reconciler.core.model import Action, Confirmed, Result
from reconciler.core.planner import OVERLAY


class Day:
    """The confirmed changes of the last day."""

    def __init__(self) -> None:
        self.confirmed: Shelf[Confirmed] = Shelf()
        self.unsubscribed: Shelf[datetime] = Shelf()
        self.resubscribed: Shelf[tuple[datetime, ...]] = Shelf()
        self._oldest: datetime | None = None

    def count(self, past: Past, result: Result) -> None:
        """Record a confirmed change."""
        before = self.confirmed.look().get(past.device)
        now = Confirmed(past.action, result, past.at)
        self.confirmed.mine()[past.device] = now
        if now.taken and before is not None and before.taken:
            self.resubscribed.mine()[past.device] = (
                *self.resubscribed.look().get(past.device, ()),
                past.at,
            )
        if past.action is Action.UNSUBSCRIBE and not past.approved:
            self.unsubscribed.mine()[past.device] = past.at
        self._oldest = min(self._oldest or past.at, past.at)

    def forget_before(self, moment: datetime) -> None:
        """Drop changes from before a moment."""
        if self._oldest is None or self._oldest > moment:
            return
        confirmed = {
            device: one for device, one in self.confirmed.look().items() if one.at > moment
        }
        unsubscribed = {
            device: at for device, at in self.unsubscribed.look().items() if at > moment
        }
        again = {}
        for device, each in self.resubscribed.look().items():
            recent = tuple(at for at in each if at > moment)
            if recent:
                again[device] = recent
        self.confirmed, self.unsubscribed, self.resubscribed = (
            Shelf(confirmed),
            Shelf(unsubscribed),
            Shelf(again),
        )
        moments = [one.at for one in confirmed.values()]
        moments += unsubscribed.values()
        for each in again.values():
            moments += each
        self._oldest = min(moments, default=None)

    def shift(self, step: timedelta) -> None:
        """Apply a step of the wall clock: confirmed changes keep their age."""
        if not self.confirmed.look():
            return
        confirmed = self.confirmed.mine()
        for device, one in tuple(confirmed.items()):
            confirmed[device] = replace(one, at=one.at + step)

    def not_later_than(self, now: datetime) -> None:
        """Move dates in the future to ``now``: the clock that wrote them was ahead, or ours is behind.

        A confirmed change far in the future counts as just too old for the overlay, so nothing waits for its date.
        """
        if self._oldest is not None:
            self._oldest = min(self._oldest, now)
        ahead = [device for device, one in self.confirmed.look().items() if one.at > now + OVERLAY]
        for device in ahead:
            self.confirmed.mine()[device] = replace(self.confirmed.look()[device], at=now - OVERLAY)
        cap(self.unsubscribed, now)
        late = [device for device, each in self.resubscribed.look().items() if each[-1] > now]
        for device in late:
            each = self.resubscribed.look()[device]
            self.resubscribed.mine()[device] = tuple(min(at, now) for at in each)
