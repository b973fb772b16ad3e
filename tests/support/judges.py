"""What must never happen across replicas that are processes of their own, whatever befalls them.

Owns: the rules, over what witnesses saw. Must not: ask the program what is right.

A replica that is stopped between its last check and its socket sends that call when it continues, and LG cannot know
that it is late. Such calls break no rule as long as they are few: at most ``late_calls`` after one stop.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from reconciler.core.replicas import MARGIN_SECONDS, REFENCED_SECONDS
from reconciler.simulator import Route
from witnesses import Call, File, Intent, Term

HOUR = 3600.0
Wanted = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Stop:
    """From when to when a replica was stopped."""

    name: str
    begin: float
    end: float


@dataclass
class History:
    """What witnesses saw. ``wanted`` has what each file wants, ``call_seconds`` how long a call may take."""

    calls: Sequence[Call]
    terms: Sequence[Term]
    files: Sequence[File]
    intents: Sequence[Intent]
    wanted: Mapping[str, Wanted]
    stops: Collection[Stop]
    call_seconds: float
    late_calls: int
    late: Counter[tuple[Stop, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def require(self, kept: bool, call: Call, rule: str) -> None:  # noqa: FBT001 - a rule and whether it is kept
        """Note a call that breaks a rule, unless it may be late."""
        if kept:
            return
        stop = next((one for one in self.stops if self._woke(one, call)), None)
        if stop is not None:
            self.late[stop, rule] += 1
        if stop is None or self.late[stop, rule] > self.late_calls:
            what = f"{call.route} {call.account} {(call.device or '')[:8]} by {call.name}"
            self.broken.append(f"{call.began:.2f} {rule}: {what}")

    def _woke(self, stop: Stop, call: Call) -> bool:
        """Say whether a call may have been on its way since before a stop: one of less than the margin is harmless."""
        over = stop.end + self.call_seconds + MARGIN_SECONDS
        long = stop.end - stop.begin > MARGIN_SECONDS
        return long and stop.name == call.name and stop.end <= call.began <= over


def one_writer(history: History) -> None:
    """Require that no two replicas have calls of one account in flight."""
    in_flight: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        flying = [one for one in in_flight[call.account] if one.ended > call.began]
        others = [
            one
            for one in flying
            if one.name != call.name and call.began < one.began + history.call_seconds
        ]
        history.require(not others, call, "two writers")
        in_flight[call.account] = [*flying, call]


def no_older_epoch(history: History) -> None:
    """Require that nobody calls LG for an account after a later owner did."""
    terms: dict[tuple[str, str], list[Term]] = defaultdict(list)
    for term in history.terms:
        terms[term.account, term.name].append(term)
    newest: dict[str, int] = defaultdict(int)
    for call in history.calls:
        taken = [one.epoch for one in terms[call.account, call.name] if one.at <= call.began]
        epoch = max(taken, default=-1)
        history.require(epoch >= newest[call.account], call, "a later owner called before")
        newest[call.account] = max(newest[call.account], epoch)


def intents_of_owners(history: History) -> None:
    """Require that each change was written down by the owner of its account."""
    for one in history.intents:
        if one.name != one.owner:
            history.broken.append(f"an intent of {one.name} while {one.owner} owns {one.account}")


def intents_by_the_file(history: History) -> None:
    """Require that no device is to go that the file wants that was in force when this was written down."""
    for one in history.intents:
        wanted = history.wanted[one.sha256]
        if one.action == Route.UNSUBSCRIBE and one.device in wanted[one.account]:
            history.broken.append(f"an intent of {one.name} to unsubscribe {one.device}")


def unsubscribes_by_the_file(history: History) -> None:
    """Require that no device goes that all files of the last moments want."""
    span = REFENCED_SECONDS + history.call_seconds + MARGIN_SECONDS
    for call in history.calls:
        if call.route is Route.UNSUBSCRIBE:
            files = list(_in_force(history.files, call.began - span, call.began))
            kept = all(call.device in history.wanted[one][call.account] for one in files)
            history.require(not kept, call, "an unsubscribe of a device that is wanted")


def _in_force(files: Sequence[File], begin: float, end: float) -> Iterator[str]:
    """Yield the files that were in force between two moments."""
    before = [one for one in files if one.at <= begin]
    yield from [one.sha256 for one in before[-1:]]
    yield from [one.sha256 for one in files if begin < one.at <= end]


RULES: tuple[Callable[[History], None], ...] = (
    one_writer,
    no_older_epoch,
    intents_of_owners,
    intents_by_the_file,
    unsubscribes_by_the_file,
)


def gone(calls: Iterable[Call], account: str) -> frozenset[str | None]:
    """Return the devices of an account that LG was asked to unsubscribe, each once, and did."""
    return frozenset(
        one.device
        for one in calls
        if one.account == account and one.route is Route.UNSUBSCRIBE and one.status == HTTPStatus.OK
    )


def most_in_an_hour(calls: Iterable[Call], account: str) -> int:
    """Return the most calls of an account within an hour."""
    recent: deque[float] = deque()
    most = 0
    for call in calls:
        if call.account != account:
            continue
        recent.append(call.began)
        while recent[0] <= call.began - HOUR:
            recent.popleft()
        most = max(most, len(recent))
    return most
