"""What is remembered, beside a model of it that shares no code with the program, and what a disk has of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from disks import START, Disk, StandingClock, soon_folded
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Commit,
    Desired,
    DeviceId,
    Observed,
    Outcome,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
    Verified,
)
from reconciler.core.planner import overlaid
from reconciler.core.protection import Stated
from reconciler.state import KeptText, State
from state_model import AccountModel, strictest

HOTEL, CLINIC = AccountName("seoul-hotel"), AccountName("clinic")
EVERYWHERE = "everywhere"
FIRST = Revision("a" * 64)
SECOND = Revision(
    "b" * 64, Commit("c" * 40, "Kim <kim@example.com>", "Wing B", START, Verified.YES, dirty=True)
)
FULL = "database or disk is full"


def medium(state: State) -> Any:
    """Return the database behind a state."""
    return state._storage.medium


@dataclass
class Model:
    """What both states have to know, in plain values."""

    accounts: dict[AccountName, AccountModel] = field(
        default_factory=lambda: {HOTEL: AccountModel(), CLINIC: AccountModel()}
    )
    pauses: dict[str, Pause] = field(default_factory=dict)
    quotas: dict[AccountName, tuple[tuple[float, ...], int | None]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    protected: dict[DeviceId, AccountName] = field(default_factory=dict)
    begun: list[tuple[AccountName, DeviceId, Action]] = field(default_factory=list)

    def protects(
        self, account: AccountName, devices: frozenset[DeviceId], ended: frozenset[DeviceId]
    ) -> None:
        """Take what a revision states of protection."""
        for device in ended:
            self.protected.pop(device, None)
        for device in devices:
            self.protected[device] = account

    def unsubscribed(self, account: AccountName, devices: set[DeviceId]) -> None:
        """Take that LG confirmed unsubscribes: what that account protected last is protected no more."""
        for device in devices:
            if self.protected.get(device) == account:
                del self.protected[device]


DEVICES = st.frozensets(st.sampled_from([DeviceId(f"d{number}") for number in range(3)]))
ACCOUNTS = st.sampled_from([HOTEL, CLINIC])
ENDS = st.sampled_from(["killed", "withdrawn", *Result])


class Remembering(RuleBasedStateMachine):
    """A state that only remembers, beside a model that shares no code with it and says what has to be remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = StandingClock(datetime(2026, 5, 1, tzinfo=UTC))
        self.ideal = State.in_memory(self.clock)
        self.model = Model()
        self.marks: dict[AccountName, str] = {}
        self.passes = 0

    def teardown(self) -> None:
        """Let go of the files."""
        for state in self.states:
            state.close()

    @property
    def states(self) -> tuple[State, ...]:
        """Return all states, which have to know the same."""
        return (self.ideal,)

    def each(self, event: Callable[[State], Any]) -> Any:
        """Let the same happen to each state, see that all say the same, and return that."""
        said, *others = [event(state) for state in self.states]
        assert others == [said] * len(others)
        return said

    @rule(minutes=st.sampled_from([0.2, 0.8, 2, 300, 1000]))
    def wait(self, minutes: float) -> None:
        """Let time pass."""
        self.clock.wait(minutes=minutes)

    @rule(account=ACCOUNTS, devices=DEVICES, revision=st.sampled_from([FIRST, SECOND]))
    def text(self, account: AccountName, devices: frozenset[DeviceId], revision: Revision) -> None:
        """Let a text come into force."""
        self.each(
            lambda state: state.accounts.desire(Desired(account, devices), revision, self.clock.at)
        )
        self.model.accounts[account].wants(devices, self.clock.at)

    @rule(account=ACCOUNTS, devices=DEVICES, ago=st.sampled_from([0, 30]))
    def list_trusted(self, account: AccountName, devices: frozenset[DeviceId], ago: int) -> None:
        """Let a list be believed that was asked for some seconds ago."""
        observed, mark = (
            Observed(devices, self.clock.at - timedelta(seconds=ago)),
            self.marks.get(account),
        )

        def event(state: State) -> set[tuple[DeviceId, Action]]:
            live = overlaid(observed, state.accounts.recall(account, self.clock.at))
            settled = state.accounts.trust(account, observed, mark, self.clock.at, live)
            return {(one.change.device, one.change.action) for one in settled}

        made = self.each(event)
        self.model.unsubscribed(
            account, {device for device, action in made if action is Action.UNSUBSCRIBE}
        )
        known = self.model.accounts[account]
        assert made == known.lists(devices, observed.began, self.clock.at, mark)

    @rule(account=ACCOUNTS)
    def list_doubted(self, account: AccountName) -> None:
        """Let a list not be believed."""
        self.each(lambda state: state.accounts.doubt(account, self.clock.at))
        self.model.accounts[account].doubted(self.marks.get(account))

    @rule(
        account=ACCOUNTS,
        ends=st.dictionaries(
            DEVICES.filter(bool).map(min),
            st.tuples(st.sampled_from(Action), ENDS, st.sampled_from([None, 404, 502])),
        ),
        approved=DEVICES,
    )
    def changes(
        self,
        account: AccountName,
        ends: dict[DeviceId, tuple[Action, str | Result, int | None]],
        approved: frozenset[DeviceId],
    ) -> None:
        """Let a pass make changes, of which some are never tried, and some never heard of again."""
        self.passes += 1
        now, pass_id = self.clock.wait(seconds=1), PassId(f"pass-{self.passes}")
        changes = [Change(account, action, device) for device, (action, _, _) in ends.items()]
        outcomes = [
            Outcome(Change(account, action, device), end, now, device in approved, status=status)
            for device, (action, end, status) in ends.items()
            if isinstance(end, Result)
        ]
        untried = [device for device, (_, end, _) in ends.items() if end == "withdrawn"]
        retries = {
            outcome.change.device: None
            if outcome.result.confirmed
            else Retry(outcome.change.action, Reason.RETRY, self.passes, now)
            for outcome in outcomes
        }
        self.each(
            lambda state: state.changes.intend(account, pass_id, changes, approved, SECOND, now)
        )
        self.each(lambda state: state.changes.record(account, pass_id, outcomes, retries, now))
        self.each(lambda state: state.changes.withdraw(account, pass_id, untried))
        known = self.model.accounts[account]
        for one in changes:
            known.begun(one.device, one.action, now, approved=one.device in approved)
            if one.device not in untried:
                self.model.begun.append((account, one.device, one.action))
        for outcome in outcomes:
            known.ended(outcome, now)
            change = outcome.change
            if outcome.result.confirmed and change.action is Action.UNSUBSCRIBE:
                self.model.unsubscribed(account, {change.device})
        for device in untried:
            known.open.pop(device)

    @rule(account=ACCOUNTS, mark=st.sampled_from(["one", "two"]))
    def credential(self, account: AccountName, mark: str) -> None:
        """Let an account's credential change."""
        self.marks[account] = mark
        self.each(lambda state: state.accounts.credential(account, mark))

    @rule(account=ACCOUNTS, devices=DEVICES)
    def people(self, account: AccountName, devices: frozenset[DeviceId]) -> None:
        """Let a person edit entries, or say that all is well."""
        known = self.model.accounts[account]
        if devices:
            self.each(lambda state: state.accounts.forget_retries(account, devices))
            known.waiting -= devices
        else:
            self.each(lambda state: state.accounts.person_agrees(account))
            known.vouched(self.marks.get(account))

    @rule(
        account=st.none() | ACCOUNTS,
        brake=st.none() | st.builds(PauseOverride, st.sampled_from(Pause)),
    )
    def pause(self, account: AccountName | None, brake: PauseOverride | None) -> None:
        """Let a brake be set or taken off."""
        self.each(lambda state: state.pauses.set(account, brake, self.clock.at))
        pauses, name = self.model.pauses, account or EVERYWHERE
        if brake is not None:
            pauses[name] = brake.pause
        elif account is None:
            pauses.clear()
        else:
            pauses.pop(name, None)

    @rule(
        account=ACCOUNTS,
        calls=st.lists(st.floats(0, 1e10), max_size=2),
        limit=st.none() | st.just(60),
    )
    def quota(self, account: AccountName, calls: list[float], limit: int | None) -> None:
        """Let calls be counted."""

        def keep(state: State) -> None:
            if state.quotas.keep(account, calls, limit):
                state.flush()

        self.each(keep)
        self.model.quotas[account] = (tuple(calls), limit)

    @rule(document=st.sampled_from(["a", "b"]), content=st.none() | st.sampled_from([b"x", b"y"]))
    def kept(self, document: str, content: bytes | None) -> None:
        """Let a text be kept or dropped."""
        self.model.files.pop(document, None)
        if content is None:
            self.each(lambda state: state.revisions.keep([], gone=[document]))
        else:
            self.model.files[document] = content
            self.each(
                lambda state: state.revisions.keep(
                    [KeptText(document, FIRST, {document: content, "shared": b"z"})]
                )
            )

    @rule(account=ACCOUNTS, devices=DEVICES, ended=DEVICES)
    def protect(
        self, account: AccountName, devices: frozenset[DeviceId], ended: frozenset[DeviceId]
    ) -> None:
        """Let a revision protect devices and release others."""
        stated = Stated(dict.fromkeys(devices, account), ended - devices)
        self.each(lambda state: state.protections.keep(stated))
        self.model.protects(account, devices, ended)

    @rule(account=ACCOUNTS)
    def retire(self, account: AccountName) -> None:
        """Let an account be retired."""
        self.each(lambda state: state.accounts.retire(account))
        model = self.model
        model.accounts[account] = AccountModel(done=model.accounts[account].done)
        model.pauses.pop(account, None)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        """See that the state knows what the model does."""
        state, model, now = self.ideal, self.model, self.clock.at
        for account, known in model.accounts.items():
            known.agrees(state.accounts.recall(account, now), now, self.marks.get(account))
            paused = strictest(model.pauses, account, EVERYWHERE)
            assert state.pauses.of(account, now).pause is paused
            assert state.quotas.of(account) == model.quotas.get(account, ((), None))
            assert state.accounts.recall(account, now).protected == model.protected
        live = {account for account, known in model.accounts.items() if known.live}
        assert state.accounts.live_accounts() == live
        kept = {one.document: one.files[one.document] for one in state.revisions.kept()}
        assert kept == model.files
        past = [(one.account, one.device, one.action) for one in state.history.changes()]
        assert sorted(past) == sorted(model.begun)


class RememberingOnDisk(Remembering):
    """Beside it a state on a disk that fills and empties, restarted and killed at any time.

    However the events fall, the one on disk knows what the other does, and a reader of the file knows it too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.room = TemporaryDirectory()
        self.folder, self.disk = Path(self.room.name) / "state", Disk()
        self.state = State.open(self.folder, self.clock, self.disk.connect)

    def teardown(self) -> None:
        """Let go of the files."""
        super().teardown()
        self.room.cleanup()

    @property
    def states(self) -> tuple[State, ...]:
        """Return all states, which have to know the same."""
        return (self.ideal, soon_folded(self.state))

    @rule(fault=st.sampled_from(["", FULL]), reads=st.sampled_from(["", FULL]))
    def disk_changes(self, fault: str, reads: str) -> None:
        """Let the disk fill up, or have room again; one that cannot be read either meets every account in memory."""
        for account in (HOTEL, CLINIC):
            self.state.accounts.recall(account, self.clock.at)
            self.state.pauses.of(account, self.clock.at)
        self.state.protections.all()
        self.disk.write_fault = fault
        self.disk.fault = reads if fault else ""

    @precondition(lambda self: not self.disk.write_fault and not self.disk.fault)
    @rule(how=st.sampled_from(["killed", "closed"]))
    def restart(self, how: str) -> None:
        """End the process, orderly or not, and begin a new one."""
        self.state.accounts.forget_retries(HOTEL, [])
        if how == "killed":  # the system closes what a killed process held, without a word from it
            medium(self.state)._connection.close()
            medium(self.state)._folder.release()
        else:
            self.state.close()
        self.state = State.open(self.folder, self.clock, self.disk.connect)
        for account, mark in self.marks.items():
            self.state.accounts.credential(account, mark)

    @invariant()
    def nothing_is_lost(self) -> None:
        """See that both states, and a reader once everything could be written, say the same."""
        if not self.disk.fault and not self.disk.write_fault:
            self.state.accounts.forget_retries(HOTEL, [])
            assert self.state.writable, self.state.trouble
            reader = State.read_only(self.folder, self.clock)
            for account, mark in self.marks.items():
                reader.accounts.credential(account, mark)
            self.compare(self.state)
            self.compare(reader)
            reader.close()

    def compare(self, state: State) -> None:
        """See that a state knows what the ideal one does."""
        now = self.clock.at
        for account in (HOTEL, CLINIC):
            assert state.accounts.recall(account, now) == self.ideal.accounts.recall(account, now)
            assert state.pauses.of(account, now) == self.ideal.pauses.of(account, now)
            assert state.quotas.of(account) == self.ideal.quotas.of(account)
            assert state.history.came_and_went(
                account, DeviceId("d0")
            ) == self.ideal.history.came_and_went(account, DeviceId("d0"))
        assert state.history.changes() == self.ideal.history.changes()
        assert state.revisions.kept() == self.ideal.revisions.kept()
        assert state.accounts.live_accounts() == self.ideal.accounts.live_accounts()


TestRemembering = Remembering.TestCase
TestRemembering.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestRememberingOnDisk = RememberingOnDisk.TestCase
TestRememberingOnDisk.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
