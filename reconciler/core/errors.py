"""One tree of errors, sorted by what we do next.

Owns: every error that crosses a module boundary, and what it may say.
Must not: know a library; a module that uses one turns its errors into these and keeps the cause.

::

    ReconcilerError
    ├── Invalid                a person's file or settings are wrong: report every fault, keep what is in force
    ├── SourceError            the newest revision cannot be fetched: keep what is in force, show its age
    ├── StateError             what we do could not be remembered: hold unsubscribes
    ├── SpoolError             an event could not be kept: the sender has to send it again
    │   └── SpoolFull          no room, until somebody acts or the sinks take what waits
    ├── Unknown                a person asked for an unknown thing: suggest a similar name
    ├── DaemonError            the running daemon refused
    │   └── NoDaemon           no daemon answers at its address
    │       └── SomebodyElse   a login page or a redirect answers there: another try does not help
    └── PlatformError          one call to LG did not do what it should
        ├── Unavailable        try again later: time-outs, lost connections, 5xx
        ├── Throttled          the account waits, and we learn its quota
        ├── DeviceRefused      this device waits long, the others proceed
        ├── SubscriptionsFull  subscribes wait, unsubscribes proceed
        ├── CredentialsRefused the account stops until a credential changes
        │   └── NotYetAccepted a token that was renewed just now: try again shortly
        ├── ConfigurationRefused  the account stops; a setting is wrong
        ├── Outdated           not sent: plan again, the account has another user's token now
        └── Surprise           an answer we do not understand: never act on it, try again later

Quotes from outside have at most 256 characters. No error shows a header or a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice

QUOTED = 256
"""The most characters that an error quotes from outside."""


def quoted(words: str) -> str:
    """Return words from outside, safe to print: one line, no control characters, at most ``QUOTED`` long."""
    line = "".join(
        character if character.isprintable() else " " for character in words[: QUOTED * 2]
    )
    line = " ".join(line.split())
    return line if len(line) <= QUOTED and len(words) <= QUOTED * 2 else line[: QUOTED - 1] + "…"


LONGEST_WORD, MOST_KNOWN = 256, 2000
"""Longer words and more known words are not compared, because each comparison takes time."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word most similar to a mistyped one, or an empty string.

    A word that differs only in leading zeros of its numbers is the most similar: ``room-7`` means ``room-07``.
    """
    if len(word) > LONGEST_WORD:
        return ""
    words = [one for one in islice(known, MOST_KNOWN) if len(one) <= LONGEST_WORD]
    bare = _LEADING_ZEROS.sub("", word)
    near = [one for one in words if _LEADING_ZEROS.sub("", one) == bare]
    near = near or get_close_matches(word, words, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)", re.ASCII)


class ReconcilerError(Exception):
    """Every failure that this program expects."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault in one place. Line and column count from 1; a whole file or setting has neither."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        where = (
            f"{self.path}:{self.line}:{self.column}: "
            if self.line
            else f"{self.path}: "
            if self.path
            else ""
        )
        return f"{where}{self.message}"


class Invalid(ReconcilerError):
    """A person's file or settings are wrong. Carries every fault, sorted, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))


class SourceError(ReconcilerError):
    """The newest revision cannot be fetched; the revision in force stays."""


class StateError(ReconcilerError):
    """The state cannot be read or written."""


class SpoolError(ReconcilerError):
    """The spool of events cannot be read or written, or not in time."""


class SpoolFull(SpoolError):
    """The spool is over its limit, and nothing in it may go."""


class Unknown(ReconcilerError):
    """A person asked for an unknown thing, or for a name that fits several."""


class DaemonError(ReconcilerError):
    """The running daemon could not be asked, or refused."""


class NoDaemon(DaemonError):
    """No daemon answers at its address, or something else does."""


class SomebodyElse(NoDaemon):
    """Something else answers at the daemon's address, and another try does not help."""


class PlatformError(ReconcilerError):
    """One call to LG failed. Carries the ids that LG's support asks for."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        words: str = "",
        message_id: str | None = None,
        lg_message_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.words = quoted(words)
        self.message_id = message_id
        self.lg_message_id = lg_message_id


class Lost(StrEnum):
    """Why no answer came, sorted by what a person checks.

    ``DATES``: by this machine's clock a certificate has expired or is not yet valid.
    """

    NAME = "name"
    REFUSED = "refused"
    DATES = "dates"
    TLS = "tls"
    TIME = "time"
    PROXY = "proxy"
    STRANGER = "stranger"
    OTHER = "other"


class Unavailable(PlatformError):
    """LG could not be reached or failed inside; the call may or may not have done its work.

    ``lost`` is set if LG sent no answer: none came, or something else answered in its place.
    """

    lost: Lost | None = None


class Throttled(PlatformError):
    """The account made too many calls. ``retry_after`` is in seconds, if LG gave it."""

    retry_after: float | None = None


class DeviceRefused(PlatformError):
    """LG refuses this change of this device; another try soon does not help."""


class SubscriptionsFull(PlatformError):
    """LG's cap on subscribed devices is reached."""


class CredentialsRefused(PlatformError):
    """The token is missing, expired or not accepted, and renewing it once did not help.

    ``stranger``: the answer does not look like one of LG's API.
    """

    stranger: bool = False


class NotYetAccepted(CredentialsRefused):
    """The token was renewed just now, and LG does not accept it yet: LG's clocks may differ."""


class ConfigurationRefused(PlatformError):
    """LG refuses the account, and a person has to correct a setting."""


class Outdated(PlatformError):
    """A change was not sent: the credential may belong to another user than the list."""


class Surprise(PlatformError):
    """An answer that is not in LG's documents. It is never acted on."""


def stops_account(error: PlatformError | None) -> bool:
    """Say whether this error stops the account. A token that may not be valid yet does not."""
    return isinstance(error, CredentialsRefused | ConfigurationRefused) and not isinstance(
        error, NotYetAccepted
    )
