"""The calls that bring events to the partner, and the order in which they are due.

Owns: one event and what became of it, one call, and the queue of calls: due at a time, held back, or in an array.
Must not: make events, know faults beyond what is asked of the queue, do I/O, or read a clock (times are arguments).
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

from reconciler.simulator import event_faults as fault
from reconciler.simulator.events import Event, written
from reconciler.simulator.platform import Platform


@dataclass(slots=True)
class Sent:
    """One event and what became of it. ``open`` is the number of calls that are still to come or under way.

    ``answers`` are HTTP statuses, oldest first; ``None`` where no answer came. ``taken``: one of them was 2xx.
    """

    number: int
    made: float
    user: str
    event: Event
    message_ids: list[str]
    faults: tuple[str, ...] = ()
    open: int = 0
    answers: list[int | None] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether the partner answered a call for it with 2xx."""
        return any(taken(status) for status in self.answers)

    @property
    def state(self) -> str:
        """``taken``; or ``waiting`` while calls are to come; else ``lost``."""
        if self.taken:
            return "taken"
        return "waiting" if self.open else "lost"


@dataclass(slots=True)
class Call:
    """One POST that is to be made, of one event or, as an array, of several. ``cut`` spoils the first attempt."""

    parts: list[tuple[Sent, str]]
    array: bool = False
    cut: fault.CutBody | None = None
    attempts: int = 0

    def close(self) -> None:
        """Note that this call is not made, or not made again."""
        for sent, _ in self.parts:
            sent.open -= 1

    def body(self) -> bytes:
        """Return the whole body."""
        messages = [sent.event.message(message_id) for sent, message_id in self.parts]
        return written(messages, array=self.array)

    def headers(self, platform: Platform) -> dict[str, str]:
        """Return the headers that LG's common header names, where the options ask for them."""
        if not platform.options.callback_headers:
            return {}
        sent, message_id = self.parts[0]
        service = platform.world.service
        user = platform.world.users.get(sent.user)
        country = user.country if user is not None else None
        return {
            "x-message-id": message_id,
            "x-country-code": country or "KR",
            "x-service-id": service.id,
            "x-service-key": service.key,
        }


@dataclass(slots=True)
class _Held:
    """A call that waits until others have gone first."""

    call: Call
    behind: int
    until: float


class CallQueue:
    """The calls that are still to be made. Times are epoch seconds of the platform."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._due: list[tuple[float, int, Call]] = []
        self._held: list[_Held] = []
        self._gathered: list[tuple[Sent, str]] = []
        self._array: tuple[fault.Array, float] | None = None

    def put(self, call: Call, due: float) -> None:
        """Make a call at a time."""
        heapq.heappush(self._due, (due, next(self._order), call))

    def hold(self, call: Call, how: fault.Reorder, due: float) -> None:
        """Make a call after others have gone first, or at the latest some time after it was due."""
        self._held.append(_Held(call, how.behind, due + how.at_most))

    def gather(self, sent: Sent, message_id: str, array: fault.Array, now: float) -> None:
        """Put an event into the array that is being gathered; a full one is due at once."""
        if self._array is None:
            self._array = (array, now + array.at_most)
        self._gathered.append((sent, message_id))
        if len(self._gathered) >= self._array[0].size:
            self._send_array(now)

    def take(self, now: float) -> list[Call]:
        """Return the calls that are due, oldest first; they are in the queue no more."""
        self._release(now)
        calls: list[Call] = []
        while self._due and self._due[0][0] <= now:
            call = heapq.heappop(self._due)[2]
            calls.append(call)
            if not call.attempts:
                self._went_ahead(now)
        return calls

    def next_at(self) -> float | None:
        """Return when the next call is due as things are, or None where none waits."""
        times = [held.until for held in self._held]
        if self._due:
            times.append(self._due[0][0])
        if self._array is not None:
            times.append(self._array[1])
        return min(times, default=None)

    def drop(self) -> None:
        """Forget every call that waits: what they carry is lost."""
        for _, _, call in self._due:
            call.close()
        for held in self._held:
            held.call.close()
        Call(self._gathered).close()
        self._due.clear()
        self._held.clear()
        self._gathered = []
        self._array = None

    def _release(self, now: float) -> None:
        """Let go of what was held, or gathered, as long as it may be."""
        if self._array is not None and self._array[1] <= now:
            self._send_array(now)
        for held in [one for one in self._held if one.until <= now]:
            self._held.remove(held)
            self.put(held.call, now)

    def _went_ahead(self, now: float) -> None:
        """Count one call that was made before those that are held back."""
        for held in list(self._held):
            held.behind -= 1
            if held.behind <= 0:
                self._held.remove(held)
                self.put(held.call, now)

    def _send_array(self, now: float) -> None:
        call = Call(self._gathered, array=True)
        self._gathered = []
        self._array = None
        self.put(call, now)


def taken(status: int | None) -> bool:
    """Whether a status says that the partner has the event; None is no answer."""
    return status is not None and 200 <= status < 300  # noqa: PLR2004  HTTP's own
