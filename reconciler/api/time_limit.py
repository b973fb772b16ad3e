"""A time limit that is equally long for everybody, and so costs each next to nothing.

Owns: who is within the limit, and who is cancelled for being late. Must not: know what is done within it.

``asyncio.timeout`` sets a timer for each use. Here whoever came first is also the first to be late, so there is one
timer for all.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class TimeLimit:
    """A number of seconds. ``with limit.begun():`` raises ``TimeoutError`` in the task that is in it for longer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._within: dict[Span, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begun(self) -> Span:
        """Return the span of the running task, which begins now and ends with its ``with`` block."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("only a task can be ended for being late")
        span = Span(self._within, task, loop.time() + self.seconds)
        if self._timer is None:
            self._timer = loop.call_at(span.until, self._look, loop)
        return span

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel who is late, and look again when the next one would be."""
        self._timer = None
        for span in tuple(self._within):
            if span.until > loop.time():
                self._timer = loop.call_at(span.until, self._look, loop)
                return
            span.cancel()


class Span:
    """What one task does within a limit."""

    __slots__ = ("_cancelled_before", "_late", "_task", "_within", "until")

    def __init__(self, within: dict[Span, None], task: asyncio.Task[object], until: float) -> None:
        self.until = until
        self._within, self._task = within, task
        self._cancelled_before = task.cancelling()
        self._late = False

    def cancel(self) -> None:
        """End what the task does within the limit."""
        self._within.pop(self, None)
        self._late = True
        self._task.cancel()

    def __enter__(self) -> None:
        self._within[self] = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._within.pop(self, None)
        if not self._late:
            return
        others = self._task.uncancel() > self._cancelled_before
        if kind is asyncio.CancelledError and not others:
            raise TimeoutError from error
