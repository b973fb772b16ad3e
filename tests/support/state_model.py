"""What the state has to know, told a second time: plain sets and dates, and none of the program's own code.

It follows docs/architecture.md and the words of ``core.model.Memory``, so that a rule of remembering that is wrong in
memory and on disk alike is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.core.model import Action, DeviceId, Memory, Outcome, Pause, Result

DAY = timedelta(hours=24)
LAG = timedelta(seconds=60)
STRICTNESS = [Pause.NONE, Pause.UNSUBSCRIBE, Pause.ALL]
Devices = frozenset[DeviceId]


@dataclass
class AccountModel:
    """One account: what it wants, what is ours and since when not wanted, what is live, and what was done."""

    left: dict[DeviceId, datetime | None] = field(default_factory=dict)
    live: set[DeviceId] | None = None
    done: list[tuple[datetime, DeviceId, Action, bool]] = field(default_factory=list)
    open: dict[DeviceId, tuple[Action, datetime, bool]] = field(default_factory=dict)
    waiting: set[DeviceId] = field(default_factory=set)
    doubts: tuple[bool, int] = (False, 0)
    trusted_with: str | None = None

    def wants(self, devices: Devices, now: datetime) -> None:
        """Take another revision: what is named is ours, and what is named no longer left now."""
        for device in self.left.keys() - devices:
            self.left[device] = self.left[device] or now
        self.left.update(dict.fromkeys(devices))

    def begun(self, device: DeviceId, action: Action, at: datetime, *, approved: bool) -> None:
        """Take a change that is about to be made: what came of an older one is never heard."""
        self.open[device] = (action, at, approved)

    def confirmed(self, device: DeviceId, action: Action, at: datetime, *, approved: bool) -> None:
        """Take a change that LG confirmed."""
        self.done.append((at, device, action, approved))
        if self.live is not None:
            (self.live.add if action is Action.SUBSCRIBE else self.live.discard)(device)

    def ended(self, outcome: Outcome, now: datetime) -> None:
        """Take what came of one change: without an answer, or with a server's fault, only a list can tell."""
        change, unsure = outcome.change, outcome.status is None or outcome.status >= 500
        self.open.pop(change.device, None)
        if outcome.result is Result.FAILED and unsure:
            self.open[change.device] = (change.action, now, outcome.approved)
        if outcome.result.confirmed:
            self.confirmed(change.device, change.action, now, approved=outcome.approved)
            self.waiting.discard(change.device)
        else:
            self.waiting.add(change.device)

    def lists(
        self, listed: Devices, began: datetime, now: datetime, mark: str | None
    ) -> set[tuple[DeviceId, Action]]:
        """Take a trusted list, and return the changes without an answer that it shows as made."""
        live, made = set(listed), set()
        for at, device, action, _ in self.done:
            if abs(at - began) < LAG:
                (live.add if action is Action.SUBSCRIBE else live.discard)(device)
        for device, (action, at, approved) in list(self.open.items()):
            wanted = action is Action.SUBSCRIBE
            if at <= began and {device in listed, device in live} == {wanted}:
                made.add((device, action))
                self.confirmed(device, action, now, approved=approved)
            if at <= began and ((device, action) in made or began - at > LAG):
                del self.open[device]
        seen = live | listed | (self.live or set()) | self.open.keys()
        self.left = {
            device: since for device, since in self.left.items() if since is None or device in seen
        }
        self.live, self.doubts, self.trusted_with = live, (False, 0), mark
        wanted_now = {device for device, since in self.left.items() if since is None}
        self.waiting &= live | wanted_now
        return made

    def another(self, mark: str | None) -> bool:
        """Say whether the credential is another one than that of the last trusted list."""
        return None not in {mark, self.trusted_with} and mark != self.trusted_with

    def doubted(self, mark: str | None) -> None:
        """Count a list that was not believed; those of another credential are counted apart."""
        other = self.another(mark)
        self.doubts = (other, self.readings(mark) + 1)

    def readings(self, mark: str | None) -> int:
        """Return how many lists in a row were not believed with this credential."""
        return self.doubts[1] if self.doubts[0] == self.another(mark) else 0

    def vouched(self, mark: str | None) -> None:
        """Let a person say that all is well."""
        if None not in {mark, self.trusted_with}:
            self.doubts, self.trusted_with = (False, self.readings(mark)), mark
        self.waiting.clear()

    def agrees(self, memory: Memory, now: datetime, mark: str | None) -> None:
        """See that a memory says the same."""
        day = [one for one in self.done if now - one[0] < DAY]
        assert memory.inventory == self.left.keys()
        assert memory.expected == self.live
        assert memory.unsubscribed == {
            device
            for _, device, action, approved in day
            if action is Action.UNSUBSCRIBE and not approved
        }
        latest = {device: action for _, device, action, _ in day}
        assert {device: one.action for device, one in memory.confirmed.items()} == latest
        since = {device: moment for device, moment in self.left.items() if moment is not None}
        assert {device: memory.absent_since.get(device) for device in since} == since
        assert memory.retries.keys() == self.waiting
        assert memory.suspect_readings == self.readings(mark)
        assert memory.credential_changed == self.another(mark)


def strictest(pauses: Mapping[str, Pause], *names: str) -> Pause:
    """Return the strictest of some pauses."""
    found: Iterable[Pause] = (pauses.get(name, Pause.NONE) for name in names)
    return max(found, key=STRICTNESS.index)
