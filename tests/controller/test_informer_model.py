"""What is in force of several documents, beside plain rules: what a faulty file said before stays in force."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from disks import StandingClock
from quiet_source import QuietSource
from reconciler.controller.informer import Informer
from reconciler.core.errors import Fault
from reconciler.core.model import AccountName, DeviceId, Observed, Pause
from reconciler.desired import Document, MemoryTree
from reconciler.source import NOTHING, Fetched, Known
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics

SHARED = "all.toml"
HOMES = {"east": "east.toml", "north": "west.toml", "west": "west.toml"}
LIVE = ("east", "north")
DEVICES = ("a", "b", "c")
HOWS = ("good", "good", "good", "cut", "listed twice", "unreadable", "absent")


@dataclass
class Written:
    """One document: what it wants of each account, and what is wrong with it."""

    wanted: dict[str, frozenset[str]]
    how: str = "good"
    pause: str = ""

    @property
    def state(self) -> str:
        """Return what is wrong with it; a list that is not there has no device twice."""
        nothing_listed = self.how == "listed twice" and not self.wanted and not self.pause
        return "good" if nothing_listed else self.how

    @property
    def content(self) -> bytes:
        """Return the document as it is written."""
        lines = ["version = 1"]
        if self.pause:
            lines.append(f"policy.pause = '{self.pause}'")
        for account, devices in self.wanted.items():
            twice = sorted(devices) + (["x", "x"] if self.how == "listed twice" else [])
            lines += [f"[accounts.{account}]", f"devices = {twice}"]
        if self.pause and self.how == "listed twice":
            lines[1] = "policy.pause = 'sometimes'"
        return "\n".join([*lines, "[" if self.how == "cut" else "", ""]).encode()


class Folder(QuietSource):
    """A source that holds what a test puts into it."""

    def __init__(self, written: Mapping[str, Written]) -> None:
        self.written = written

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the files."""
        del known
        documents, unreadable = [], []
        for path, one in sorted(self.written.items()):
            if one.how == "unreadable":
                unreadable.append(Fault(path, 0, 0, "cannot be read"))
            elif one.how != "absent":
                documents.append(Document(path, one.content))
        return Fetched(tuple(documents), MemoryTree({}), tuple(unreadable))


class Informing(RuleBasedStateMachine):
    """People edit and spoil files, and the process ends at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.written = {SHARED: Written({}, pause="none")}
        for account, home in HOMES.items():
            self.written.setdefault(home, Written({})).wanted[account] = frozenset("a")
        self.state, self.loop = State.in_memory(StandingClock()), asyncio.Runner()
        for account in LIVE:
            devices = frozenset({DeviceId("a")})
            observed = Observed(devices, StandingClock().at)
            self.state.accounts.trust(
                AccountName(account), observed, "mark", observed.began, devices
            )
        self.in_force: dict[str, frozenset[str]] = {}
        self.abandoned: set[str] = set()
        self.kept: dict[str, dict[str, frozenset[str]]] = {}
        self.told: set[str] = set()
        self.informer = self.started()

    def teardown(self) -> None:
        """Let go of the loop and the state."""
        self.loop.close()
        self.state.close()

    def started(self) -> Informer:
        """Begin a process on what is left of the last, and see that the same comes into force."""
        informer = Informer(
            Folder(self.written),
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            Metrics(),
            changed=self.take,
            clock=StandingClock(),
        )
        self.told.clear()
        if self.kept:
            self.in_force = {name: one for said in self.kept.values() for name, one in said.items()}
            self.abandoned = set(LIVE) - self.in_force.keys()
        self.judge()
        self.loop.run(informer.begin())
        self.informer = informer
        self.compare()
        assert self.told >= self.in_force.keys()
        return informer

    def take(self, accounts: Iterable[AccountName]) -> None:
        """Take the news."""
        self.told.update(accounts)

    @rule(account=st.sampled_from(sorted(HOMES)), devices=st.frozensets(st.sampled_from(DEVICES)))
    def edit(self, account: str, devices: frozenset[str]) -> None:
        """Let an account want other devices."""
        self.written[HOMES[account]].wanted[account] = devices
        self.read()

    @rule(account=st.sampled_from(["north", "west"]))
    def take_out(self, account: str) -> None:
        """Let an account leave a file that stays."""
        self.written[HOMES[account]].wanted.pop(account, None)
        self.read()

    @rule(pause=st.sampled_from(["none", "unsubscribe", "all"]))
    def edit_policy(self, pause: str) -> None:
        """Let the policy of all accounts be edited."""
        self.written[SHARED].pause = pause
        self.read()

    @rule(path=st.sampled_from([SHARED, *HOMES.values()]), how=st.sampled_from(HOWS))
    def spoil_or_mend(self, path: str, how: str) -> None:
        """Let a file be damaged, removed, or fixed; the next edit may come before it is fixed."""
        self.written[path].how = "cut" if path == SHARED and how == "absent" else how
        self.read()

    @rule()
    def restart(self) -> None:
        """End the process; the next one goes on with the last good state of each file."""
        self.informer = self.started()

    def read(self) -> None:
        """Read the files, and see that what has to be in force is."""
        before = dict(self.in_force)
        self.told.clear()
        self.judge()
        self.loop.run(self.informer.refresh())
        self.compare()
        changed = before.items() ^ self.in_force.items()
        assert self.told >= {account for account, _ in changed}

    def judge(self) -> None:
        """Bring into force what the rules say, in the model."""
        faulty = {path for path, one in self.written.items() if one.state not in {"good", "absent"}}
        good = {path for path, one in self.written.items() if one.state == "good"}
        new = {
            account: devices
            for path in good
            for account, devices in self.written[path].wanted.items()
        }
        homes = {HOMES[account] for account in self.in_force}
        hidden = {path for path in faulty if self.written[path].state == "unreadable"} - homes
        if SHARED in faulty or hidden or not new:
            return
        nobody_knows = any(self.written[one].state in {"cut", "unreadable"} for one in faulty)
        stay = {
            account: devices
            for account, devices in self.in_force.items()
            if account not in new and (nobody_knows or HOMES[account] in faulty)
        }
        gone = self.in_force.keys() - new.keys() - stay.keys()
        self.in_force = {**new, **stay}
        self.abandoned |= gone & set(LIVE)
        self.abandoned -= self.in_force.keys()
        self.kept = {path: said for path, said in self.kept.items() if path in faulty}
        self.kept |= {path: dict(self.written[path].wanted) for path in good}

    def compare(self) -> None:
        """See that the same is in force, and paused as the policy says where the files are well."""
        accepted = self.informer.accepted
        found = {name: one.desired.devices for name, one in accepted.accounts.items()}
        assert found == self.in_force
        assert accepted.abandoned == self.abandoned
        spoilt = {path for path, one in self.written.items() if one.state not in {"good", "absent"}}
        empty = not any(one.wanted for one in self.written.values() if one.state == "good")
        assert (accepted.rejected is not None) is bool(spoilt or empty)
        if not spoilt and not empty:
            pauses = {one.desired.policy.pause for one in accepted.accounts.values()}
            assert pauses == {Pause(self.written[SHARED].pause)}
        for account, devices in self.in_force.items():
            now = StandingClock().at
            assert self.state.accounts.recall(AccountName(account), now).inventory >= devices


TestInforming = Informing.TestCase
TestInforming.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
