"""One tree of errors, sorted by what we do next.

Owns: every error that crosses a module boundary, and what it may say.
Must not: know a library; a module that uses one turns its errors into these and keeps the cause.

::

    ReconcilerError
    ├── Invalid                a person's text or settings are wrong: tell every fault, keep what is in force
    ├── SourceError            the newest text cannot be fetched: keep what is in force, show its age
    ├── StateError             what we do could not be remembered: hold unsubscribes
    ├── SpoolError             an event could not be kept: the sender has to send it again
    │   └── SpoolFull          no room, until somebody acts or the sinks take what waits
    ├── Unknown                what a person asked for is not known: say what is near
    ├── DaemonError            the running daemon said no
    │   └── NoDaemon           nobody answers where it should be
    │       └── SomebodyElse   a login page or a redirect answers there: asking again does not help
    └── PlatformError          one call to LG did not do what it should
        ├── Unavailable        try again later: time-outs, lost connections, 5xx
        ├── Throttled          the account waits, and the quota is learned
        ├── DeviceRefused      this device waits long, all others go on
        ├── SubscriptionsFull  subscribes wait, unsubscribes go on
        ├── CredentialsRefused the account stops until a credential changes
        │   └── NotYetAccepted a token that was renewed just now: try it again shortly
        ├── ConfigurationRefused  the account stops; a setting is wrong
        ├── Outdated           not sent: plan anew, the account speaks for another user by now
        └── Surprise           an answer we do not understand: never act on it, try again later

Words quoted from outside are capped at 256 characters, and no error shows a header or a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice

QUOTED = 256
"""How many characters of somebody else's words an error repeats at most."""


def quoted(words: str) -> str:
    """Return foreign words fit to print: on one line, without control characters, at most ``QUOTED`` long."""
    line = "".join(
        character if character.isprintable() else " " for character in words[: QUOTED * 2]
    )
    line = " ".join(line.split())
    return line if len(line) <= QUOTED and len(words) <= QUOTED * 2 else line[: QUOTED - 1] + "…"


LONGEST_WORD, MOST_KNOWN = 256, 2000
"""Longer words and further known ones are not compared: to find a near one takes time for each pair of letters."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word nearest to a mistyped one, or nothing."""
    if len(word) > LONGEST_WORD:
        return ""
    near = get_close_matches(
        word, [one for one in islice(known, MOST_KNOWN) if len(one) <= LONGEST_WORD], n=1
    )
    return f"; did you mean {near[0]!r}?" if near else ""


class ReconcilerError(Exception):
    """Anything that this program expects to go wrong."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in one place. Line and column count from 1; a whole file or setting has neither."""

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
    """A person's text or settings are wrong. Carries every fault, sorted, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))


class SourceError(ReconcilerError):
    """The newest text cannot be fetched; what is in force stays so."""


class StateError(ReconcilerError):
    """The state cannot be read or written."""


class SpoolError(ReconcilerError):
    """The spool of events cannot be read or written, or not in time."""


class SpoolFull(SpoolError):
    """The spool is over its limit, and nothing in it may go."""


class Unknown(ReconcilerError):
    """What a person asked for is not known, or not well enough to tell which is meant."""


class DaemonError(ReconcilerError):
    """The running daemon could not be asked, or said no."""


class NoDaemon(DaemonError):
    """Nobody answers where the daemon should be, or somebody else does."""


class SomebodyElse(NoDaemon):
    """Something else answers where the daemon should be, and will go on doing so."""


class PlatformError(ReconcilerError):
    """One call to LG failed. Carries what LG's support will ask for."""

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
    """Why no answer came, by what a person would look at.

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

    ``lost`` is set where no answer of LG's came: none at all, or that of something else in its place.
    """

    lost: Lost | None = None


class Throttled(PlatformError):
    """LG says the account made too many calls. ``retry_after`` is in seconds where LG gave it."""

    retry_after: float | None = None


class DeviceRefused(PlatformError):
    """LG will not do this for this device; asking again soon will not help."""


class SubscriptionsFull(PlatformError):
    """LG's cap on subscribed devices is reached."""


class CredentialsRefused(PlatformError):
    """The token is missing, expired or not accepted, and renewing it once did not help.

    ``stranger``: what said so is no API of LG's, by the look of its answer.
    """

    stranger: bool = False


class NotYetAccepted(CredentialsRefused):
    """The token was renewed just now, and LG does not accept it yet: its clock may be behind that of who issued it."""


class ConfigurationRefused(PlatformError):
    """LG refuses the account for a reason that a person has to mend in a setting."""


class Outdated(PlatformError):
    """A change was not sent, because the credential may be another user's than the one whose list it rests on."""


class Surprise(PlatformError):
    """An answer that is not in LG's documents. It is never acted on."""


def stops_account(error: PlatformError | None) -> bool:
    """Say whether LG does not let the account in. A token that may not be valid yet is no reason to stop."""
    return isinstance(error, CredentialsRefused | ConfigurationRefused) and not isinstance(
        error, NotYetAccepted
    )
