"""The devices of one account for its page: what needs somebody comes first, and a word is searched in names and ids.

Owns: the state of each device beside the desired state, which of them are asked for, and their order. Must not: gather
more than one page: an account may have a million devices. Meant for a worker thread.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import ReconcilerError, Unknown, quoted, suggestion
from reconciler.core.model import AccountName, Device, DeviceId, Held, Reason
from reconciler.core.status import AccountStatus
from reconciler.reporting.devices import DeviceRow
from reconciler.reporting.explain import Position
from reconciler.reporting.heard import last_heard
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.positions import Positions

HELD, REFUSED = "held", "refused"
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
STATES = (*(str(one) for one in ORDER), HELD, REFUSED)
"""What a list may be narrowed to. A device that is held or refused has one of the other states, too."""
DEVICES = 50
"""How many devices one page has where nobody says."""
RANKS = {state: rank for rank, state in enumerate(ORDER)}

Key = tuple[int, str, str]
Placed = tuple[DeviceId, Position]


@dataclass(frozen=True, slots=True)
class DevicesAsked:
    """Which devices are asked for: of one state, with these words in name or id, after a page that was shown."""

    state: str | None = None
    words: str = ""
    after: Key | None = None
    limit: int = DEVICES

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in STATES:
            raise ReconcilerError(
                f"there is no state {quoted(self.state)!r}{suggestion(self.state, STATES)}"
            )


@dataclass(frozen=True, slots=True)
class DevicesFound:
    """One page of devices. ``counts`` are all devices of the account by state, ``found`` those that were asked for.

    ``next`` goes back in as ``after`` to get the devices that follow; None if there are none.
    """

    rows: tuple[DeviceRow, ...]
    counts: Mapping[str, int]
    found: int
    next: str | None


def devices(known: Knowledge, account: str, asked: DevicesAsked) -> DevicesFound:
    """Return one page of an account's devices; raises ``Unknown`` for an account that is not in force."""
    name = AccountName(account)
    text = known.accepted.accounts.get(name)
    if text is None:
        raise Unknown(f"account {quoted(account)} is not in the revision in force")
    return _Listing(
        known,
        name,
        text,
    ).page(asked)


class _Listing:
    """The devices of one account, while one question about them is answered."""

    def __init__(self, known: Knowledge, name: AccountName, text: AccountRevision) -> None:
        self._known, self._name, self._text = known, name, text
        self._memory = known.state.accounts.recall(name, known.now)
        self._last = known.statuses.get(name, AccountStatus(name)).last
        self._positions = Positions(text.desired, self._memory, known.now, known.theirs(name))

    def page(self, asked: DevicesAsked) -> DevicesFound:
        """Return one page. Every device is looked at, and only those of the page are kept."""
        counts: Counter[str] = Counter()
        found = _Found(asked.after)
        candidates = self._candidates(asked.state, self._counted(counts))
        matching = found.following(self._matching(candidates, asked.words.casefold()))
        keys = heapq.nsmallest(asked.limit + 1, matching)
        shown = keys[: asked.limit]
        counts[HELD], counts[REFUSED] = len(self._held), sum(1 for _ in self._refused())
        return DevicesFound(
            rows=self._rows(shown),
            counts=counts,
            found=found.number,
            next=_cursor_text(shown[-1]) if len(keys) > asked.limit else None,
        )

    @property
    def _held(self) -> tuple[Held, ...]:
        """Return what the last pass held, if it was of the revision in force."""
        if self._last is None or not self._last.of(self._text):
            return ()
        return self._last.held

    def _refused(self) -> Iterator[DeviceId]:
        for device, retry in self._memory.retries.items():
            if retry.reason is Reason.REFUSED:
                yield device

    def _counted(self, counts: Counter[str]) -> Iterator[Placed]:
        """Yield every device with its position, and count the positions."""
        for device, position in self._positions.all():
            counts[position] += 1
            yield device, position

    def _candidates(self, state: str | None, every: Iterator[Placed]) -> Iterator[Placed]:
        """Yield the devices of a state. ``every`` is used up in any case, because it counts."""
        if state is None:
            yield from every
        elif state in RANKS:
            yield from (placed for placed in every if placed[1] == state)
        else:
            for _ in every:
                pass
            devices = self._refused() if state == REFUSED else _devices_of(self._held)
            for device in devices:
                yield device, self._positions.of(device)

    def _matching(self, placed: Iterable[Placed], words: str) -> Iterator[Key]:
        """Yield what sorts each device that has the words in its name or id."""
        described = self._text.desired.described
        for device, position in placed:
            entry = described.get(device)
            name = (entry.name or "") if entry is not None else ""
            if not words or words in name.casefold() or words in device.casefold():
                yield RANKS[position], name, device

    def _rows(self, keys: Iterable[Key]) -> tuple[DeviceRow, ...]:
        shown = {DeviceId(device): ORDER[rank] for rank, _name, device in keys}
        holds = {one.change.device: one for one in self._held if one.change.device in shown}
        names = self._known.names(self._name, list(shown))
        rows = []
        for device, position in shown.items():
            entry = self._text.desired.described.get(device) or Device(device)
            hold, retry = holds.get(device), self._memory.retries.get(device)
            reason = hold.reason if hold else retry.reason if retry else None
            until = hold.until if hold else retry.until if retry else None
            rows.append(
                DeviceRow(
                    self._name,
                    device,
                    names.get(device),
                    entry.type,
                    position,
                    reason,
                    until,
                    last_heard=last_heard(self._known.events, device),
                )
            )
        return tuple(rows)


class _Found:
    """The number of devices that were found, and those of them that come after a page."""

    def __init__(self, after: Key | None) -> None:
        self.number = 0
        self._after = after

    def following(self, keys: Iterable[Key]) -> Iterator[Key]:
        """Yield the keys after that page, and count all."""
        for key in keys:
            self.number += 1
            if self._after is None or key > self._after:
                yield key


def _devices_of(held: Iterable[Held]) -> Iterator[DeviceId]:
    for one in held:
        yield one.change.device


def cursor(text: str) -> Key:
    """Read the ``next`` of an earlier page; raises ``ReconcilerError`` where it is none."""
    try:
        match json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))):
            case [int(rank), str(name), str(device)]:
                return rank, name, device
    except (ValueError, RecursionError):
        pass
    raise ReconcilerError("after must be the next of an earlier page")


def _cursor_text(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")
