"""A way to PostgreSQL on which a replica's question or the answer to it can be held back at a chosen moment.

Owns: the connections of one replica, which are passed on byte by byte. Must not: change what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from sabotaged import INTENTS

BEGINS = b"BEGIN ISOLATION LEVEL READ COMMITTED"
COMMITS = b"COMMIT\0"
CHUNK = 65_536


class Moment(Enum):
    """What is held back."""

    WRITE = "the next transaction that writes intents, before it begins"
    INTENT = "the answer to the commit of intents"
    CONFIRMATION = "the answer to whether older intents still count"


SAID = {
    Moment.INTENT: INTENTS.encode(),
    Moment.CONFIRMATION: b"f(account, owner, epoch, generation, pause) USING",
}
"""What was said in a transaction whose commit is answered late."""


def _opened() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(eq=False)
class Line:
    """One connection: what was said in its transaction, and whether either direction is open."""

    there: asyncio.StreamWriter
    back: asyncio.StreamWriter
    ask: asyncio.Event = field(default_factory=_opened)
    answer: asyncio.Event = field(default_factory=_opened)
    said: bytes = b""

    def is_at(self, moment: Moment, chunk: bytes) -> bool:
        """Take what the replica says next, and say whether that is the moment."""
        begins = BEGINS in chunk
        self.said = chunk if begins else self.said + chunk
        if moment is Moment.WRITE:
            return begins and INTENTS.encode() in chunk
        return SAID[moment] in self.said and COMMITS in chunk

    def open(self) -> None:
        """Let both directions pass."""
        self.ask.set()
        self.answer.set()

    def close(self) -> None:
        """Begin to end both directions."""
        self.open()
        self.there.close()
        self.back.close()

    async def end(self) -> None:
        """End both directions."""
        self.close()
        for one in (self.there, self.back):
            with suppress(ConnectionError):
                await one.wait_closed()


class Way:
    """All connections of one replica. While more than intents is held back, all connections are."""

    def __init__(self, target: Path) -> None:
        self._target, self.port = target, 0
        self._lines: set[Line] = set()
        self._moment: Moment | None = None
        self._shut = False
        self._caught: Line | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def caught(self) -> bool:
        """Say whether the moment has come."""
        return self._caught is not None

    def address(self, url: str) -> str:
        """Return an address of the database by which it is reached on this way."""
        parts = urlsplit(url)
        options = [one for one in parts.query.split("&") if not one.startswith("host=")]
        query = "&".join([*options, "sslmode=disable", "gssencmode=disable"])
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.port}", query=query))

    def hold_back(self, moment: Moment) -> None:
        """Hold back what comes next of this kind."""
        self._moment, self._caught = moment, None

    def let_that_pass(self) -> None:
        """Let what was held back arrive. Other connections stay as they are."""
        assert self._caught is not None
        self._caught.open()

    def open(self) -> None:
        """Let everything pass from now on."""
        self._shut, self._moment = False, None
        for line in self._lines:
            line.open()

    def accept(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Begin to pass on one connection."""
        task = asyncio.create_task(self._serve(ours, back))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """End all connections."""
        self.open()
        for line in self._lines:
            line.close()
        await asyncio.gather(*self._serving)

    async def _serve(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Pass on one connection until both sides have ended it."""
        theirs, there = await asyncio.open_unix_connection(str(self._target))
        line = Line(there, back)
        if self._shut:
            line.answer.clear()
        self._lines.add(line)
        await asyncio.gather(self._asks(line, ours), self._answers(line, theirs))
        self._lines.discard(line)

    async def _asks(self, line: Line, ours: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while chunk := await ours.read(CHUNK):
                if self._moment is not None and line.is_at(self._moment, chunk):
                    self._catch(line, self._moment)
                await line.ask.wait()
                line.there.write(chunk)
                await line.there.drain()
        await line.end()

    def _catch(self, line: Line, moment: Moment) -> None:
        self._moment, self._caught = None, line
        line.answer.clear()
        if moment is Moment.INTENT:
            return
        self._shut = True
        for one in self._lines:
            one.answer.clear()
        if moment is Moment.WRITE:
            line.ask.clear()

    @staticmethod
    async def _answers(line: Line, theirs: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while chunk := await theirs.read(CHUNK):
                await line.answer.wait()
                line.back.write(chunk)
                await line.back.drain()
        await line.end()


@asynccontextmanager
async def way(folder: Path) -> AsyncIterator[Way]:
    """Give a way to the PostgreSQL whose socket is in a folder."""
    one = Way(folder / ".s.PGSQL.5432")
    server = await asyncio.start_server(one.accept, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await one.close()
