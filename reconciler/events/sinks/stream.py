"""The sink that writes JSON lines: to standard output, or to a file.

Owns: that events which come together are written together, each once its line is safe.
Must not: write anything but events; logs go to standard error.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from reconciler.core.text import steerless
from reconciler.events.model import Result
from reconciler.events.sinks.lines import LineFile
from reconciler.events.sinks.port import Handed


class _Waiting(NamedTuple):
    """A line, and who waits for it."""

    line: bytes
    end: asyncio.Future[Handed]


class StreamSink:
    """Writes one event a line."""

    def __init__(self, name: str, file: LineFile) -> None:
        self.name = name
        self._file = file
        self._thread = ThreadPoolExecutor(1, f"sink-{name}")
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def hand_over(self, id: str, body: bytes) -> Handed:  # noqa: A002, ARG002 - the interface's
        """Write one event; returns when its line is safe, or could not be written."""
        shown = steerless(body.decode()).encode()  # somebody may look at it on a terminal
        line = (
            b" ".join(shown.splitlines()) + b"\n"
        )  # in JSON a line's end is never part of a value
        end: asyncio.Future[Handed] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(line, end))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name=f"sink {self.name}")
        return await end

    async def close(self) -> None:
        """Let what is being written end, and close the file."""
        if self._writing is not None:
            await self._writing
        self._thread.submit(self._file.close)
        self._thread.shutdown(wait=False)

    async def _write(self) -> None:
        """Write what waits, and what comes meanwhile."""
        try:
            while some := self._next():
                await self._write_some(some)
        finally:
            self._writing = None

    async def _write_some(self, some: list[_Waiting]) -> None:
        """Write lines in the thread, and report to each that waits."""
        loop = asyncio.get_running_loop()
        lines = [one.line for one in some]
        try:
            written, why = await loop.run_in_executor(self._thread, self._file.append, lines)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
            for one in some:
                if not one.end.done():
                    one.end.set_exception(error)
            return
        self._answer(some, written, why)

    def _next(self) -> list[_Waiting]:
        """Take what waits, but for what nobody waits for any more."""
        some = [one for one in self._waiting if not one.end.done()]
        self._waiting.clear()
        return some

    def _answer(self, some: list[_Waiting], written: int, why: str) -> None:
        for index, one in enumerate(some):
            if one.end.done():
                continue
            if index < written:
                one.end.set_result(Handed(Result.DELIVERED))
            else:
                one.end.set_result(Handed(Result.RETRY, words=why))
