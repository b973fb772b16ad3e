"""The devices of one account for its page: what needs somebody comes first, and a word is searched in names and ids.

Owns: which of an account's devices are asked for, and that the states come one after the other. Must not: have an order
within a state, or states of its own, which ``roster`` has; or gather more than one page, as an account may have a
million devices. Meant for a worker thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from reconciler.core.errors import ReconcilerError, Unknown, quoted, suggestion
from reconciler.core.model import AccountName, Device, DeviceId
from reconciler.reporting.devices import DeviceRow
from reconciler.reporting.explain import Position
from reconciler.reporting.heard import last_heard
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.roster import (
    NO_PLACE,
    DeviceState,
    Key,
    Place,
    Roster,
    Rosters,
    place_text,
)

ORDER = (
    Position.MISSING,
    Position.EXTRA,
    Position.UNKNOWN,
    Position.IN_SYNC,
    Position.UNMANAGED,
    Position.IGNORED,
    Position.ABSENT,
)
"""The order of the states in a list: what needs somebody comes first."""
KEPT_BACK = (DeviceState.HELD, DeviceState.REFUSED)
"""What a device that is missing or extra may be besides."""
STATES = (*(str(one) for one in ORDER), *(str(one) for one in KEPT_BACK))
"""What a list may be narrowed to."""
DEVICES = 50
"""How many devices one page has where nobody says."""

Placed = tuple[Position, DeviceId]


@dataclass(frozen=True, slots=True)
class DevicesAsked:
    """Which devices are asked for: of one state, with these words in name or id, after a page that was shown."""

    state: str | None = None
    words: str = ""
    after: Place | None = None
    limit: int = DEVICES

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise ReconcilerError(
                f"there is no state {quoted(self.state)!r}{suggestion(self.state, STATES)}"
            )
        if self.after is not None and self.after[0] not in ORDER:
            raise ReconcilerError(NO_PLACE)

    @property
    def positions(self) -> Sequence[Position]:
        """Return the positions of the devices that are asked for, in their order."""
        if self.state is None or self.state in KEPT_BACK:
            return ORDER
        return (Position(self.state),)

    def after_key(self, position: Position) -> Key | None:
        """Return after which device of a position a page goes on; None if at the first."""
        if self.after is None or self.after[0] != position:
            return None
        return self.after[1:]


@dataclass(frozen=True, slots=True)
class DevicesFound:
    """One page of devices. ``counts`` are all devices of the account by state, ``found`` those that were asked for.

    ``next`` goes back in as ``after`` to get the devices that follow; None if there are none.
    """

    rows: tuple[DeviceRow, ...]
    counts: Mapping[str, int]
    found: int
    next: str | None


def devices(known: Knowledge, account: str, asked: DevicesAsked, rosters: Rosters) -> DevicesFound:
    """Return one page of an account's devices; raises ``Unknown`` for an account that is not in force."""
    name = AccountName(account)
    if name not in known.accepted.accounts:
        raise Unknown(f"account {quoted(account)} is not in the revision in force")
    roster = rosters.of(known, name)
    listing = _Listing(roster, asked)
    found = list(islice(listing.following(), asked.limit + 1))
    shown, following = found[: asked.limit], None
    if len(found) > asked.limit:
        position, device = shown[-1]
        following = place_text(position, roster.key(device))
    return DevicesFound(
        rows=tuple(_rows(known, name, roster, shown)),
        counts=roster.counts,
        found=listing.number(),
        next=following,
    )


class _Listing:
    """The devices that are asked for, one state after the other."""

    def __init__(self, roster: Roster, asked: DevicesAsked) -> None:
        self._roster, self._asked = roster, asked
        self._matching: Mapping[Position, Sequence[DeviceId]] | None = None
        if asked.words:
            self._matching = _by_position(roster, roster.with_words(asked.words))

    def following(self) -> Iterator[Placed]:
        """Yield those that no earlier page had."""
        begin = 0 if self._asked.after is None else ORDER.index(Position(self._asked.after[0]))
        for position in self._asked.positions:
            if ORDER.index(position) < begin:
                continue
            for device in self._at(position, self._asked.after_key(position)):
                if self._is_asked(device):
                    yield position, device

    def number(self) -> int:
        """Count all of them, those of earlier pages too."""
        counts, state = self._roster.counts, self._asked.state
        if self._matching is None:
            return counts[state] if state is not None else sum(counts[one] for one in ORDER)
        number = 0
        for position in self._asked.positions:
            number += sum(map(self._is_asked, self._matching.get(position, ())))
        return number

    def _at(self, position: Position, after: Key | None) -> Iterator[DeviceId]:
        if self._matching is None:
            yield from self._roster.at(position, after)
            return
        for device in self._matching.get(position, ()):
            if after is None or self._roster.key(device) > after:
                yield device

    def _is_asked(self, device: DeviceId) -> bool:
        """Say whether a device is held or refused, if that is what is asked for."""
        if self._asked.state not in KEPT_BACK:
            return True
        return self._roster.state(device) == self._asked.state


def _by_position(
    roster: Roster, devices: Iterable[DeviceId]
) -> Mapping[Position, Sequence[DeviceId]]:
    found: dict[Position, list[DeviceId]] = {}
    for device in devices:
        found.setdefault(roster.positions.of(device), []).append(device)
    return found


def _rows(
    known: Knowledge, name: AccountName, roster: Roster, shown: Sequence[Placed]
) -> Iterator[DeviceRow]:
    names = known.names(name, [device for _position, device in shown])
    for position, device in shown:
        entry = roster.text.desired.described.get(device) or Device(device)
        held = roster.held.get(device)
        yield DeviceRow(
            account=name,
            device=device,
            name=names.get(device),
            type=entry.type,
            state=position,
            reason=None if held is None else held.reason,
            until=None if held is None else held.until,
            last_heard=last_heard(known.events, device),
        )
