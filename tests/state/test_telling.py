"""What the state tells of the past and of names, beside a model of it, on a disk that fills up and has room again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from disks import START, Disk, StandingClock, soon_folded
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Commit,
    Desired,
    Device,
    DeviceId,
    Outcome,
    PassId,
    Result,
    Revision,
    Verified,
)
from reconciler.state import Mark, State, Stay
from reconciler.state.traits import BEGUN, Traits

FULL = "database or disk is full"
ACCOUNTS = (AccountName("clinic"), AccountName("seoul-hotel"))
DEVICES = tuple(DeviceId(one) for one in ("oven-1", "oven-2", "washer-1"))
PLAIN = Revision("a" * 64)
BY_KIM = Revision("b" * 64, Commit("c" * 40, "Kim <kim@example.com>", "B", START, Verified.YES))
EDITED = Revision("c" * 64, Commit("d" * 40, "Lee <lee@example.com>", "C", START, dirty=True))
AUTHORS = {PLAIN: "", BY_KIM: "kim <kim@example.com>", EDITED: ""}
SHOWN = {PLAIN: "sha256:" + "a" * 64, BY_KIM: "c" * 40, EDITED: "d" * 40 + "-dirty"}

Key = tuple[AccountName, DeviceId]


@dataclass(frozen=True)
class Told:
    """One past change, as far as a person asks for it."""

    account: AccountName
    device: DeviceId
    action: Action
    at: datetime
    revision: Revision
    result: Result | None
    approved: bool
    name: str

    def is_asked_for(self, since: datetime | None, until: datetime | None, traits: Traits) -> bool:
        """Say whether it is within a span, and like what is asked for."""
        names = (SHOWN[self.revision], f"sha256:{self.revision.sha256}")
        return (
            (since is None or since <= self.at)
            and (until is None or self.at < until)
            and traits.action in {None, self.action}
            and traits.result in {None, self.result or BEGUN}
            and (traits.author or "").lower() in AUTHORS[self.revision]
            and any(one.startswith(traits.revision or "") for one in names)
        )


@dataclass
class Model:
    """What has to be told, in plain values."""

    entries: dict[AccountName, dict[DeviceId, str | None]] = field(default_factory=dict)
    past: list[Told] = field(default_factory=list)
    open: dict[Key, int] = field(default_factory=dict)
    last: dict[Key, str] = field(default_factory=dict)
    former: set[tuple[str, Key]] = field(default_factory=set)
    ever: set[tuple[str, Key]] = field(default_factory=set)
    stays: dict[Key, Stay] = field(default_factory=dict)
    vague: set[Key] = field(default_factory=set)

    def edit(
        self,
        account: AccountName,
        entries: dict[DeviceId, str | None],
        mark: Mark,
        *,
        waits: bool,
    ) -> None:
        """Take another revision. Of the names that change while it ``waits`` for the disk only the last is sure."""
        before = self.entries.get(account, {})
        for device in DEVICES:
            key, name = (account, device), entries.get(device)
            had = self.last.get(key)
            if device in before and had and name != had and not waits:
                self.former.add((had, key))
            if device in entries and device not in before:
                self.stays[key] = Stay(mark)
            if device in before and device not in entries:
                self.stays[key] = replace(self.stays[key], went=mark)
            if name:
                self.last[key] = name
                self.ever.add((name, key))
        self.entries[account] = entries

    def begun(self, told: Told) -> None:
        """Take a change: nobody will hear any more what came of an older one of the same device."""
        key = (told.account, told.device)
        self.close(key)
        self.past.append(told)
        if told.result is None:
            self.open[key] = len(self.past) - 1
        if told.name and told.action is Action.UNSUBSCRIBE:
            self.former.add((told.name, key))

    def close(self, key: Key) -> None:
        """Let an older change of a device count as failed."""
        number = self.open.pop(key, None)
        if number is not None:
            self.past[number] = replace(self.past[number], result=Result.FAILED)

    def retire(self, account: AccountName, *, waits: bool) -> None:
        """Forget an account except its past. If that ``waits`` for the disk, its names are returned a little longer."""
        self.entries.pop(account, None)
        for key in [(account, device) for device in DEVICES]:
            self.open.pop(key, None)
            self.stays.pop(key, None)
            name = self.last.pop(key, None)
            if waits:
                self.vague.add(key)
            elif name is not None:
                self.former.add((name, key))


ENTRIES = st.dictionaries(st.sampled_from(DEVICES), st.none() | st.sampled_from(["Oven", "Bath"]))
TRAITS = st.builds(
    Traits,
    st.none() | st.sampled_from(Action),
    st.none() | st.sampled_from([*Result, BEGUN]),
    st.sampled_from([None, "KIM", "lee"]),
    st.sampled_from([None, "sha256:a", "ccc", "d" * 40 + "-dirty", "sha256:c", "d" * 41]),
)
REVISIONS = st.sampled_from([PLAIN, BY_KIM, EDITED])


class Telling(RuleBasedStateMachine):
    """A state on a disk, restarted at any time, that has to tell what the model tells."""

    def __init__(self) -> None:
        super().__init__()
        self.room, self.clock = (
            TemporaryDirectory(),
            StandingClock(datetime(2026, 5, 1, tzinfo=UTC)),
        )
        self.disk, self.model, self.passes = Disk(), Model(), 0
        self.state = self.opened()

    def teardown(self) -> None:
        """Let go of the files."""
        self.state.close()
        self.room.cleanup()

    def opened(self) -> State:
        """Open the state."""
        return State.open(Path(self.room.name) / "state", self.clock, self.disk.connect)

    @rule(account=st.sampled_from(ACCOUNTS), entries=ENTRIES, revision=REVISIONS)
    def edit(
        self, account: AccountName, entries: dict[DeviceId, str | None], revision: Revision
    ) -> None:
        """Let a person edit a file."""
        now = self.clock.wait(seconds=1)
        self.desire(account, entries, revision)
        mark, waits = Mark(revision, now), bool(self.disk.write_fault)
        self.model.edit(account, entries, mark, waits=waits)

    def desire(
        self, account: AccountName, entries: dict[DeviceId, str | None], revision: Revision
    ) -> None:
        """Let the state know what an account wants."""
        soon_folded(self.state)
        named = {device: Device(device, name) for device, name in entries.items() if name}
        desired = Desired(account, frozenset(entries), named)
        self.state.accounts.desire(desired, revision, self.clock.at)

    @rule(
        account=st.sampled_from(ACCOUNTS),
        device=st.sampled_from(DEVICES),
        action=st.sampled_from(Action),
        end=st.sampled_from(["killed", "withdrawn", *Result]),
        revision=REVISIONS,
        flags=st.tuples(st.booleans(), st.booleans()),
    )
    def change(  # noqa: PLR0917 - what one change consists of
        self,
        account: AccountName,
        device: DeviceId,
        action: Action,
        end: str | Result,
        revision: Revision,
        flags: tuple[bool, bool],
    ) -> None:
        """Make a change, of which the outcome may be all that is written, or never heard of."""
        intended, approved = flags
        self.passes += 1
        now, pass_id = self.clock.wait(seconds=1), PassId(f"pass-{self.passes}")
        change, changes = Change(account, action, device), soon_folded(self.state).changes
        outcome, result = None, end if isinstance(end, Result) else None
        if result is not None:
            outcome = Outcome(change, result, now, approved=approved, revision=revision)
        name = self.model.last.get((account, device), "")
        if intended or outcome is None:
            devices = frozenset({device} if approved else ())
            changes.intend(account, pass_id, [change], devices, revision, now)
        if outcome is not None:
            changes.record(account, pass_id, [outcome], {}, now)
        if end == "withdrawn":
            changes.withdraw(account, pass_id, [device])
            self.model.close((account, device))
        else:
            told = Told(account, device, action, now, revision, result, approved, name)
            self.model.begun(told)

    @rule(account=st.sampled_from(ACCOUNTS))
    def retire(self, account: AccountName) -> None:
        """Let an account be retired."""
        self.clock.wait(seconds=1)
        self.state.accounts.retire(account)
        self.model.retire(account, waits=bool(self.disk.write_fault))

    @rule(fault=st.sampled_from(["", FULL]))
    def disk_changes(self, fault: str) -> None:
        """Let the disk fill up, or have room again."""
        self.disk.write_fault = fault
        self.state.accounts.forget_retries(ACCOUNTS[0], [])

    @precondition(lambda self: not self.disk.write_fault)
    @rule()
    def restart(self) -> None:
        """End the process, and begin a new one with the revisions that were kept."""
        self.state.close()
        self.state = self.opened()
        for account, entries in self.model.entries.items():
            self.desire(account, entries, PLAIN)

    @rule(
        account=st.none() | st.sampled_from(ACCOUNTS),
        device=st.none() | st.sampled_from(DEVICES),
        span=st.tuples(st.none() | st.integers(0, 20), st.none() | st.integers(0, 20)),
        traits=TRAITS,
        limit=st.sampled_from([1, 2, 100]),
    )
    def ask(
        self,
        account: AccountName | None,
        device: DeviceId | None,
        span: tuple[int | None, int | None],
        traits: Traits,
        limit: int,
    ) -> None:
        """Ask for some of the past."""
        moments = sorted({one.at for one in self.model.past})
        since, until = [
            None if one is None or one >= len(moments) else moments[one] for one in span
        ]
        wanted = [
            one
            for one in reversed(self.model.past)
            if account in {None, one.account}
            and device in {None, one.device}
            and one.is_asked_for(since, until, traits)
        ]
        found = self.state.history.changes(account, device, since, until, limit, traits=traits)
        assert [self.told(one) for one in found] == wanted[:limit]

    @staticmethod
    def told(past: object) -> Told:
        """Return what the state tells of one change in the words of the model."""
        return Told(**{one: getattr(past, one) for one in Told.__dataclass_fields__})

    @invariant()
    def names_and_stays_are_right(self) -> None:
        """See that devices are called what they were called last, and came and went by the right revisions."""
        for account, device in self.keys():
            key, model = (account, device), self.model
            if key not in model.vague:
                names = self.state.names.of(account, [device])
                assert names.get(device) == model.last.get(key)
                stay = self.state.history.came_and_went(account, device)
                assert stay == model.stays.get(key, Stay())

    @invariant()
    def devices_are_found(self) -> None:
        """See that devices are found by former names, and by how their ids begin."""
        model = self.model
        for name in ("Oven", "Bath"):
            found = self.state.names.once(name, 100)
            assert {key for one, key in model.former if one == name} <= found | model.vague
            assert found <= {key for one, key in model.ever if one == name}
        past = {(one.account, one.device) for one in model.past}
        found = self.state.history.devices_like("oven", 100)
        assert {key for key in past | model.stays.keys() if key[1] < "p"} <= found
        assert all(device.startswith("oven") for _, device in found)
        assert len(self.state.history.devices_like("oven", 1)) == min(len(found), 1)

    @staticmethod
    def keys() -> Iterator[Key]:
        """Return every device of every account."""
        return ((account, device) for account in ACCOUNTS for device in DEVICES)


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
