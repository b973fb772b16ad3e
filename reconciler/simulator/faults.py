"""What goes wrong, as a plan of rules.

Owns: which requests a rule concerns, how often and when it fires, and what then happens instead of the right answer.
Must not: know users or devices beyond their names, make an answer, or do I/O. The platform acts out what is chosen.

Rules are asked in order. The first that fires decides; a ``latency`` only adds its delay and lets later rules speak. A
rule with ``script`` takes one entry for each matching request, in order, ``null`` meaning that this one goes well.
Effects with ``commit`` let the request do its work first and spoil only the answer.

Rules with effects on events (``event_faults``) are in the same plan. They concern no request, and all of them that fire
count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Literal

import msgspec

from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.event_faults import EventEffect


class Route(StrEnum):
    """What a request wants. ``none`` is a path or method that the platform does not have."""

    LIST = "list"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    DEVICES = "devices"
    TOKEN = "token"  # noqa: S105  the name of a route
    NONE = "none"


class _Effect(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What all effects share: in JSON the field ``kind`` tells which one it is."""


class Latency(_Effect, frozen=True, tag="latency"):
    """The answer comes late, by ``seconds`` or by something evenly between ``seconds`` and ``up_to``."""

    seconds: float
    up_to: float | None = None

    def __post_init__(self) -> None:
        if self.seconds < 0 or (self.up_to is not None and self.up_to < self.seconds):
            raise ValueError("latency needs 0 <= seconds <= up_to")


class Html(_Effect, frozen=True, tag="html"):
    """A page for people from the gateway, with any status, also 200."""

    status: int = 502
    commit: bool = False
    retry_after: str | None = None


class Empty(_Effect, frozen=True, tag="empty"):
    """A bare status without body, such as 401 or 429."""

    status: int = 401
    commit: bool = False
    retry_after: str | None = None


class Hang(_Effect, frozen=True, tag="hang"):
    """No answer ever comes; the client gives up. With ``commit`` the work was done all the same."""

    commit: bool = False


class Drop(_Effect, frozen=True, tag="drop"):
    """The connection breaks before the answer."""

    commit: bool = False


class Error(_Effect, frozen=True, tag="error"):
    """An error in LG's envelope. ``status`` and ``message`` default to what the code table says."""

    code: str
    status: int | None = None
    message: str | None = None
    commit: bool = False
    retry_after: str | None = None


class Echo(_Effect, frozen=True, tag="echo"):
    """An error whose words repeat what was sent: method, path, every header and the body.

    ``form``: in LG's envelope, on a gateway's page, or in the token endpoint's own way, as the words of ``httpError``.
    """

    form: Literal["envelope", "page", "token"] = "envelope"
    code: str = "1000"
    status: int | None = None
    commit: bool = False


class Raw(_Effect, frozen=True, tag="raw"):
    """Any body at all."""

    body: str = ""
    status: int = 200
    content_type: str = "application/json"
    commit: bool = False


class Redirect(_Effect, frozen=True, tag="redirect"):
    """A redirect to somewhere else."""

    location: str = "https://login.invalid/"
    status: int = 302


class Cut(_Effect, frozen=True, tag="cut"):
    """The right answer, cut after this share of its bytes."""

    keep: float = 0.5

    def __post_init__(self) -> None:
        _share("keep", self.keep)


class Stale(_Effect, frozen=True, tag="stale"):
    """The list of subscriptions as it was some seconds ago."""

    seconds: float


class Short(_Effect, frozen=True, tag="short"):
    """A list in which some items are missing: only a share is kept, or a number is left out."""

    keep: float | None = None
    omit: int | None = None

    def __post_init__(self) -> None:
        if (self.keep is None) == (self.omit is None):
            raise ValueError("a short list needs one of keep and omit")
        if self.keep is not None:
            _share("keep", self.keep)
        if self.omit is not None and self.omit < 0:
            raise ValueError("omit must not be negative")


class Contradict(_Effect, frozen=True, tag="contradict"):
    """A list that says otherwise than the calls do, about the same devices each time.

    Of the subscribed devices a share is ``hidden``; of those that are only registered a share is ``shown``. Whoever
    goes by the list hears 1207 of the first and 1206 of the second.
    """

    hidden: float = 0.0
    shown: float = 0.0

    def __post_init__(self) -> None:
        _share("hidden", self.hidden)
        _share("shown", self.shown)


class Mangle(_Effect, frozen=True, tag="mangle"):
    """A list in which one item, picked at random, is not as it should be."""

    how: Literal[
        "no-id", "number-id", "null-id", "empty-id", "null-item", "string-item", "twice"
    ] = "no-id"


class Response(_Effect, frozen=True, tag="response"):
    """A good envelope around something else: JSON text such as ``null`` or ``{}``, or ``missing``."""

    form: str = "null"

    def __post_init__(self) -> None:
        if self.form != "missing":
            try:
                msgspec.json.decode(self.form)
            except msgspec.DecodeError as error:
                raise ValueError("form must be JSON text or 'missing'") from error


class Lost(_Effect, frozen=True, tag="lost"):
    """A subscription that is confirmed and then disappears some seconds later."""

    after: float = 0.0


Instead = Html | Empty | Hang | Drop | Error | Echo | Raw | Redirect
"""Effects that replace the answer."""

Spoiled = Cut | Stale | Short | Contradict | Mangle | Response | Lost
"""Effects on a request that is otherwise served."""

RequestEffect = (
    Latency
    | Html
    | Empty
    | Hang
    | Drop
    | Error
    | Echo
    | Raw
    | Redirect
    | Cut
    | Stale
    | Short
    | Contradict
    | Mangle
    | Response
    | Lost
)

Effect = RequestEffect | EventEffect


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests a rule concerns. What is left out does not matter; ``devices`` names any of several."""

    method: str | None = None
    route: Route | None = None
    user: str | None = None
    devices: tuple[str, ...] | None = None

    def __call__(self, call: Sought) -> bool:
        """Say whether the request is one of those."""
        return (
            (self.method is None or self.method == call.method)
            and (self.route is None or self.route == call.route)
            and (self.user is None or self.user == call.user)
            and (self.devices is None or call.device in self.devices)
        )


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong: for whom, how often, when, and how.

    ``skip`` lets the first matches go well, ``count`` ends the rule after it fired so often, ``probability`` is tossed
    for each match. ``begin`` and ``end`` are seconds since the rule was set; ``end`` is exclusive.
    """

    effect: Effect | None = None
    script: tuple[Effect | None, ...] = ()
    match: Match = Match()
    probability: float = 1.0
    count: int | None = None
    skip: int = 0
    begin: float = 0.0
    end: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if (self.effect is None) == (not self.script):
            raise ValueError("a rule needs one of effect and script")
        _share("probability", self.probability)
        if self.skip < 0 or (self.count is not None and self.count < 0):
            raise ValueError("skip and count must not be negative")
        about_events = {isinstance(effect, EventEffect) for effect in self._effects()}
        if len(about_events) > 1:
            raise ValueError("a script is either about requests or about events")
        if self.about_events and (self.match.method is not None or self.match.route is not None):
            raise ValueError("a rule about events can match user and devices only")

    @property
    def about_events(self) -> bool:
        """Whether the rule concerns the events that the platform sends, and not the requests that it gets."""
        return any(isinstance(effect, EventEffect) for effect in self._effects())

    def _effects(self) -> list[Effect]:
        """Return the effect, or those of the script."""
        return [effect for effect in (self.effect, *self.script) if effect is not None]

    @property
    def limit(self) -> int | None:
        """How often it can fire: a script ends with its last entry, everything else when ``count`` says so."""
        if not self.script:
            return self.count
        return len(self.script) if self.count is None else min(self.count, len(self.script))


@dataclass(frozen=True, slots=True)
class Sought:
    """What rules look at in a request. ``user`` is known by its token, whether or not that is still good."""

    method: str
    route: Route
    user: str | None
    device: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What befalls one request: a delay, and at most one effect."""

    delay_seconds: float = 0.0
    effect: Instead | Spoiled | None = None


NOTHING = Verdict()


@dataclass(slots=True)
class _Armed:
    rule: Rule
    since: float
    about_events: bool
    seen: int = 0
    fired: int = 0

    def next_effect(self, call: Sought, now: float, random: Random) -> Effect | None:
        """Return what this rule does to the request, counting it where it concerns the rule."""
        rule = self.rule
        age = now - self.since
        if age < rule.begin or (rule.end is not None and age >= rule.end) or not rule.match(call):
            return None
        if rule.limit is not None and self.fired >= rule.limit:
            return None
        self.seen += 1
        if self.seen <= rule.skip or (rule.probability < 1 and random.random() >= rule.probability):
            return None
        self.fired += 1
        return rule.script[self.fired - 1] if rule.script else rule.effect


@dataclass(slots=True)
class FaultPlan:
    """The rules in force, with what each has seen and done so far."""

    _armed: list[_Armed] = field(default_factory=list)

    def set(self, rules: Iterable[Rule], now: float) -> None:
        """Put these rules in place of all others; their time windows count from ``now``."""
        self._armed = [_Armed(rule, now, rule.about_events) for rule in rules]

    def add(self, rule: Rule, now: float) -> None:
        """Append one rule."""
        self._armed.append(_Armed(rule, now, rule.about_events))

    def choose(self, call: Sought, now: float, random: Random) -> Verdict:
        """Return what befalls this request."""
        if not self._armed:
            return NOTHING
        delay = 0.0
        for armed in self._armed:
            if armed.about_events:
                continue
            effect = armed.next_effect(call, now, random)
            if isinstance(effect, Latency):
                delay += (
                    effect.seconds
                    if effect.up_to is None
                    else random.uniform(effect.seconds, effect.up_to)
                )
            elif isinstance(effect, Instead | Spoiled):
                return Verdict(delay, effect)
        return Verdict(delay)

    def choose_for_event(
        self, user: str, device: str, now: float, random: Random
    ) -> list[EventEffect]:
        """Return what befalls an event of a user's device, in the order of the rules."""
        sought = Sought("POST", Route.NONE, user, device)
        chosen: list[EventEffect] = []
        for armed in self._armed:
            if not armed.about_events:
                continue
            effect = armed.next_effect(sought, now, random)
            if isinstance(effect, EventEffect):
                chosen.append(effect)
        return chosen

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules with their counters, as plain values."""
        return [
            {
                **msgspec.to_builtins(armed.rule),
                "since": armed.since,
                "seen": armed.seen,
                "fired": armed.fired,
            }
            for armed in self._armed
        ]


def read_rules(text: bytes | str) -> list[Rule]:
    """Read a fault plan: a JSON list of rules, or one rule."""
    try:
        rules = msgspec.json.decode(text, type=list[Rule] | Rule)
    except msgspec.DecodeError as error:
        raise SimulatorError(f"the fault plan cannot be read: {error}") from error
    return rules if isinstance(rules, list) else [rules]


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1")
