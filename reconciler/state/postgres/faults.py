"""What went wrong with PostgreSQL, in one sentence for people.

Owns: these sentences. Must not: show a password, or decide what a fault leads to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from reconciler.core.errors import StateError

SILENCE = 10.0
"""Seconds without a byte from the server after which a connection is given up."""
AT_MOST = 300
"""Characters of PostgreSQL's own words that are shown."""

_SENTENCES: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.DiskFull, "its disk is full"),
    (errors.QueryCanceled, "a statement took longer than 5 seconds"),
    (errors.LockNotAvailable, "another transaction holds a lock for too long"),
    (errors.IdleInTransactionSessionTimeout, "a transaction was idle for longer than 5 seconds"),
    (errors.ReadOnlySqlTransaction, "it accepts no writes, as a standby does"),
    (errors.AdminShutdown, "it shuts down"),
    (errors.CrashShutdown, "one of its processes crashed"),
    (errors.CannotConnectNow, "it is starting up or shutting down"),
    (errors.TooManyConnections, "it has no free connection"),
)


class Silent(psycopg.OperationalError):
    """The server did not answer for some seconds, and the connection was given up."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it does not answer for {seconds:g} seconds")


class Unreachable(StateError):
    """No connection could be made."""


class OtherSchema(StateError):
    """The tables are not those that this program can use."""


@contextmanager
def in_a_sentence(what: str) -> Iterator[None]:
    """Turn a fault inside into a ``StateError`` that begins with these words."""
    try:
        yield
    except psycopg.Error as error:
        raise StateError(f"{what}: {sentence(error)}") from error


def sentence(error: BaseException) -> str:
    """Return what a fault means, in plain words."""
    if isinstance(error, Silent):
        return str(error)
    if isinstance(error, psycopg.Error):
        for kind, words in _SENTENCES:
            if isinstance(error, kind):
                return words
        if error.diag.message_primary:
            return _short(error.diag.message_primary)
    return _short(_reason(str(error)))


def _reason(words: str) -> str:
    """Return the reason in libpq's words for a connection that failed: what follows the last address in them."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    reasons = [line for line in lines if " failed: " in line]
    chosen = (reasons or lines or ["unknown"])[-1]
    return chosen.rsplit(" failed: ", 1)[-1].removeprefix("FATAL:").strip()


def _short(words: str) -> str:
    flat = " ".join(words.split())
    return flat if len(flat) <= AT_MOST else f"{flat[:AT_MOST]}…"
