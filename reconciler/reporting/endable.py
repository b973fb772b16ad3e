"""Work in a thread that can be ended: a query from outside must not run forever.

Owns: how such work is ended. Must not: be used for work that holds a lock or changes what others share, because it may
end between any two steps.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Ended(BaseException):
    """Raised inside work that is to end; no handler of ordinary errors keeps it from that."""


class Endable(Generic[Value]):
    """A call that another thread can end: at its next step in Python, so not within a single call of a C library."""

    def __init__(self, work: Callable[[], Value]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._ended = False

    def __call__(self) -> Value:
        """Do the work; raises ``TimeoutError`` where it was ended."""
        try:
            return self._done()
        except Ended:
            raise TimeoutError from None

    def _done(self) -> Value:
        with self._lock:
            if self._ended:
                raise Ended
            self._thread = threading.get_ident()
        try:
            return self._work()
        finally:
            with self._lock:
                self._thread = None

    def end(self) -> None:
        """Let the work end, or never begin."""
        with self._lock:
            if self._thread is not None and not self._ended:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(Ended)
                )
            self._ended = True


async def done_in_time(work: Callable[[], Value], seconds: float) -> Value:
    """Return the result of work in a thread; raises ``TimeoutError`` if it takes longer.

    After a time-out or a cancellation the caller waits until the work has really ended, so two never run at once.
    """
    one = Endable(work)
    task = asyncio.ensure_future(asyncio.to_thread(one))
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)
    except (TimeoutError, asyncio.CancelledError):
        one.end()
        with suppress(Exception, asyncio.CancelledError):
            await task
        raise
