"""One connection to PostgreSQL: how it is made, and that nobody waits for it without end.

Owns: the defaults of a connection, and the limit of a server's silence. Must not: know a table.

libpq reads its environment and service files as ever, so TLS and passwords come from there where the URL has none.
Nothing is set for a session and nothing is prepared, so PgBouncer may hand each transaction another connection.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, poll
from typing import Any, Self, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.waiting import Ready, Wait

from reconciler.core.errors import StateError
from reconciler.state.postgres.faults import SILENCE, Silent, Unreachable, sentence

Answer = TypeVar("Answer")
DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "target_session_attrs": "read-write",
    "fallback_application_name": "pcc-reconciler",
}
"""What holds where the URL says nothing else: a server that is gone is noticed within seconds."""
LIMITS = "SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '5s'"
"""What each transaction begins with: a machine that freezes in one must not hold its rows for hours."""
BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; {LIMITS}"
BEGIN_READING = f"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {LIMITS}"
_ERROR = POLLERR | POLLHUP


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when the server is silent for too long, for whatever reason."""

    silence = SILENCE

    def wait(
        self,
        gen: Generator[Wait, Ready | int, Answer],
        interval: float = 0.0,
        timeout: float | None = None,
    ) -> Answer:
        """Go on with an operation until its end. One that has a time limit of its own may be silent until then."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(self._ready(wanted))
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        except Silent:
            gen.close()
            self.pgconn.finish()
            raise

    def _ready(self, wanted: Wait) -> Ready:
        """Wait until the socket can be read or written as wanted."""
        asked = (POLLIN if wanted & Ready.R else 0) | (POLLOUT if wanted & Ready.W else 0)
        socket = poll()
        socket.register(self.pgconn.socket, asked)
        found = socket.poll(self.silence * 1000)
        if not found:
            raise Silent(self.silence)
        events = found[0][1]
        ready = 0
        if events & (POLLIN | _ERROR) and wanted & Ready.R:
            ready |= Ready.R
        if events & (POLLOUT | _ERROR) and wanted & Ready.W:
            ready |= Ready.W
        return Ready(ready)


@dataclass(frozen=True, slots=True)
class Server:
    """Where PostgreSQL is. Its address is asked for each new connection, so a password may change."""

    url: Callable[[], str] = field(repr=False)
    silence: float = SILENCE

    @classmethod
    def of(cls, url: str | Callable[[], str], silence: float = SILENCE) -> Self:
        """Return the server that a URL names, to be given up after some seconds of silence.

        Raises ``StateError`` if it is none that libpq can read.
        """
        server = cls(partial(str, url) if isinstance(url, str) else url, silence)
        server.written()
        return server

    @property
    def name(self) -> str:
        """Return what people call it: host and port, never a password."""
        try:
            return _name(self.written())
        except StateError:
            return "PostgreSQL"

    @property
    def parameters(self) -> dict[str, Any]:
        """Return what a connection is made with at this moment. Raises ``StateError``."""
        return DEFAULTS | self.written()

    def written(self) -> dict[str, Any]:
        """Return what the URL says at this moment. Raises ``StateError``."""
        try:
            return conninfo.conninfo_to_dict(self.url())
        except psycopg.Error:  # its words may quote the URL
            raise StateError(
                "PCC_STATE_URL is no address of a PostgreSQL: "
                "it has the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            ) from None

    def connect(self) -> Connection:
        """Return a new connection. Raises ``Unreachable``, or ``StateError`` if there is no URL."""
        parameters = self.parameters
        try:
            connection = Connection.connect(autocommit=True, prepare_threshold=None, **parameters)
        except psycopg.Error as error:
            raise Unreachable(f"{_name(parameters)} cannot be reached: {sentence(error)}") from None
        connection.silence = self.silence
        return connection


def _name(parameters: dict[str, Any]) -> str:
    host = parameters.get("host") or parameters.get("hostaddr") or ""
    port = parameters.get("port") or ""
    if not host or str(host).startswith("/"):
        return "PostgreSQL"
    return (
        f"PostgreSQL at {host}:{port}" if port and "," not in str(host) else f"PostgreSQL at {host}"
    )
