"""What goes wrong with events on their way to the partner, as effects of fault rules.

Owns: the values. Which events a rule concerns, and when it fires, is in ``faults``; ``callbacks`` acts them out.
Must not: do I/O or choose anything.

Unlike the effects on requests, all rules that fire for an event count, in their order: an event can be late, doubled
and in an array at once.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class _EventEffect(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What all these effects share: in JSON the field ``kind`` tells which one it is."""


class Again(_EventEffect, frozen=True, tag="again"):
    """The event is sent ``times`` more, each ``after`` seconds later than the one before."""

    times: int = 1
    after: float = 0.0
    message_id: Literal["same", "new"] = "same"

    def __post_init__(self) -> None:
        if self.times < 1 or self.after < 0:
            raise ValueError("again needs at least one time, and after must not be negative")


class Delay(_EventEffect, frozen=True, tag="delay"):
    """The event is sent later, by ``seconds`` or by something evenly between ``seconds`` and ``up_to``."""

    seconds: float
    up_to: float | None = None

    def __post_init__(self) -> None:
        _span(self.seconds, self.up_to)


class Old(_EventEffect, frozen=True, tag="old"):
    """The event is sent now, and its own times are that much earlier: it was under way so long."""

    seconds: float
    up_to: float | None = None

    def __post_init__(self) -> None:
        _span(self.seconds, self.up_to)


class Reorder(_EventEffect, frozen=True, tag="reorder"):
    """The event is sent only after ``behind`` later ones, or after ``at_most`` seconds where none come."""

    behind: int = 1
    at_most: float = 60.0

    def __post_init__(self) -> None:
        if self.behind < 1 or self.at_most < 0:
            raise ValueError("behind has to be at least 1, and at_most must not be negative")


class Array(_EventEffect, frozen=True, tag="array"):
    """Events are gathered and sent in one array, once there are ``size``, or after ``at_most`` seconds."""

    size: int = 3
    at_most: float = 10.0

    def __post_init__(self) -> None:
        if self.size < 1 or self.at_most < 0:
            raise ValueError("size has to be at least 1, and at_most must not be negative")


class Unknown(_EventEffect, frozen=True, tag="unknown"):
    """The diagnosis is of a type that the partner's table does not have; made up unless given."""

    diagnosis: str | None = None


class Extra(_EventEffect, frozen=True, tag="extra"):
    """The message and the event carry members that LG does not document; those below are added to the event."""

    members: dict[str, Any] = msgspec.field(
        default_factory=lambda: {"serviceId": "simulated", "userList": ["simulated"], "level": 2}
    )


class Without(_EventEffect, frozen=True, tag="without"):
    """These members of the event are missing."""

    members: tuple[str, ...] = ("contentUrl",)


class Push(_EventEffect, frozen=True, tag="push"):
    """The message is of another push type. It has no diagnosis."""

    type: Literal[
        "DEVICE_PUSH",
        "DEVICE_REGISTERED",
        "DEVICE_UNREGISTERED",
        "DEVICE_ALIAS_CHANGED",
        "DEVICE_STATUS",
    ] = "DEVICE_PUSH"


class Times(_EventEffect, frozen=True, tag="times"):
    """The times are written in another form. LG writes them in UTC without a zone (``naive``)."""

    form: Literal["naive", "utc", "zoned"] = "zoned"


class CutBody(_EventEffect, frozen=True, tag="cut-body"):
    """The body ends after this share of its bytes, the first time that it is sent.

    ``how``: ``connection`` breaks in the middle of the body; ``body`` announces the short body as if it were whole.
    """

    keep: float = 0.5
    how: Literal["connection", "body"] = "connection"

    def __post_init__(self) -> None:
        if not 0 <= self.keep < 1:
            raise ValueError("keep has to be at least 0 and less than 1")


EventEffect = (
    Again | Delay | Old | Reorder | Array | Unknown | Extra | Without | Push | Times | CutBody
)


def _span(seconds: float, up_to: float | None) -> None:
    if seconds < 0 or (up_to is not None and up_to < seconds):
        raise ValueError("0 <= seconds <= up_to has to hold")
