"""What a replica may do with several accounts, beside what is true of them in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.core.errors import Outdated, StateError
from reconciler.core.model import AccountName
from reconciler.core.replicas import MARGIN_SECONDS, Lease, MemberId
from reconciler.runtime.replicas.tenure import ReplicaTenure
from reconciler.state.records import Fence

ACCOUNTS = [AccountName(name) for name in ("busan", "daegu", "seoul")]
ME, OTHER = MemberId("me"), MemberId("other")
LEASE_SECONDS, TIMEOUT_SECONDS = 60.0, 15.0

accounts = st.sampled_from(ACCOUNTS)
several = st.frozensets(accounts, min_size=1)


class Owning(RuleBasedStateMachine):
    """Three accounts that are taken, edited, paused and lost, and a replica that reads of it late."""

    def __init__(self) -> None:
        super().__init__()
        self.true = {name: Fence(ME, 1, 1, 1) for name in ACCOUNTS}
        self.now, self.renewed_at = 0.0, -1000.0
        self.is_away, self.is_writable, self.nudges = False, True, 0
        self.lease = Lease(LEASE_SECONDS, TIMEOUT_SECONDS)
        self.tenure = ReplicaTenure(
            cast("Any", self),
            self.lease,
            lambda: self.now,
            concurrency=8,
            tokens=cast("Any", self),
        )
        self.tenure.me, self.tenure.nudge = ME, self.nudge
        self.tenure.writable = lambda: self.is_writable
        self.known: dict[AccountName, Fence] = {}
        self.planned: dict[AccountName, Fence] = {}
        self.doubtful: set[AccountName] = set()
        self.leaving: set[AccountName] = set()
        self.compared: dict[AccountName, int] = {}

    def nudge(self) -> None:
        """Take that something should be read."""
        self.nudges += 1

    # -- the database

    def owned(self, member: MemberId) -> Mapping[AccountName, Fence]:
        """Return what a member owns, as it is now."""
        assert member == ME
        return {name: fence for name, fence in self.true.items() if fence.owner == ME}

    def failing(self, fences: Mapping[AccountName, Fence]) -> frozenset[AccountName]:
        """Return the accounts of which something else is true."""
        if self.is_away:
            raise StateError("the database is away")
        return frozenset(name for name, fence in fences.items() if self.true[name] != fence)

    def key(self) -> bytes:
        """Return the key of the fingerprints."""
        if self.is_away:
            raise StateError("the database is away")
        return b"key"

    def note(
        self, used: Mapping[AccountName, frozenset[str]], fences: Mapping[AccountName, Fence]
    ) -> Mapping[AccountName, Mapping[str, AccountName]]:
        """Find no token at another account."""
        terms = {one: (fences[one].owner, fences[one].epoch) for one in used}
        true = {one: (fence.owner, fence.epoch) for one, fence in self.true.items()}
        return {one: {} for one, term in terms.items() if term == true[one]}

    @rule(account=accounts, what=st.sampled_from(["generation", "pause"]))
    def change(self, account: AccountName, what: str) -> None:
        """Let an account be edited or paused."""
        fence = self.true[account]
        self.true[account] = replace(fence, **{what: getattr(fence, what) + 1})

    @rule(account=accounts, owner=st.sampled_from([ME, OTHER]))
    def take(self, account: AccountName, owner: MemberId) -> None:
        """Let somebody take an account, perhaps again."""
        fence = self.true[account]
        self.true[account] = replace(fence, owner=owner, epoch=fence.epoch + 1)

    @rule()
    def be_away_or_back(self) -> None:
        """Let the database not answer, or answer again."""
        self.is_away = not self.is_away

    # -- the replica

    @rule()
    def read(self) -> None:
        """Read what is true."""
        self.known = dict(self.owned(ME))
        self.tenure.read(self.known)

    @rule()
    def plan(self) -> None:
        """Bring into force what was read."""
        self.tenure.plans(self.known)
        self.planned = dict(self.known)
        self.doubtful.clear()
        self.leaving &= self.known.keys()

    @rule()
    def plan_and_read_more(self) -> None:
        """Bring into force what was read, after something newer was read: what is doubtful stays so if it differs."""
        before = self.known
        self.read()
        self.tenure.plans(before)
        self.planned = dict(before)
        self.doubtful = {one for one in self.doubtful if before.get(one) != self.known.get(one)}
        self.leaving &= before.keys()

    @rule(failing=several)
    def fail(self, failing: frozenset[AccountName]) -> None:
        """Let writes be refused: these accounts are read, and the plans made here count no more."""
        before = self.nudges
        still = self.tenure.failed(failing)
        mine = {
            name
            for name in failing & self.known.keys()
            if self.true[name].owner == ME and self.true[name].epoch == self.known[name].epoch
        }
        assert still == mine
        assert self.nudges == before + 1
        self.doubtful |= failing
        for name in failing & self.known.keys():
            if name in mine:
                self.known = {**self.known, name: self.true[name]}
            else:
                self.known = {one: fence for one, fence in self.known.items() if one != name}

    @rule(account=accounts)
    def confirm(self, account: AccountName) -> None:
        """Ask whether a plan still counts."""
        before = self.nudges
        confirmed = self.tenure.confirm(account)
        is_true = account in self.planned and self.true[account] == self.planned[account]
        assert confirmed is (is_true and not self.is_away)
        if account in self.planned and not is_true and not self.is_away:
            self.doubtful.add(account)
            assert self.nudges == before + 1
        else:
            assert self.nudges == before

    @rule(account=accounts)
    def compare(self, account: AccountName) -> None:
        """Compare the tokens of an account."""
        asyncio.run(self.tenure.compare_tokens(account))
        fence = self.known.get(account)
        true = self.true[account]
        same = fence is not None and (fence.owner, fence.epoch) == (true.owner, true.epoch)
        if same and not self.is_away:
            self.compared[account] = true.epoch

    @rule(leaving=several)
    def leave(self, leaving: frozenset[AccountName]) -> None:
        """Begin to free accounts."""
        self.tenure.leave(leaving)
        self.leaving |= leaving

    @rule(dropped=several)
    def drop(self, dropped: frozenset[AccountName]) -> None:
        """Free them."""
        self.tenure.drop(dropped)
        self.known = {one: each for one, each in self.known.items() if one not in dropped}
        self.planned = {one: each for one, each in self.planned.items() if one not in dropped}
        self.leaving -= dropped
        self.doubtful -= dropped
        self.compared = {one: epoch for one, epoch in self.compared.items() if one not in dropped}

    @rule(seconds=st.sampled_from([1.0, 20.0, 39.0, 40.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(ago=st.sampled_from([0.0, 3.0]))
    def renew(self, ago: float) -> None:
        """Renew the lease, which was asked for a moment ago."""
        self.lease.renewed(self.now - ago)
        self.renewed_at = max(self.renewed_at, self.now - ago)

    @rule()
    def break_or_mend_the_state(self) -> None:
        """Let the state not be written, or again."""
        self.is_writable = not self.is_writable

    # -- what may be done

    @invariant()
    def only_what_is_surely_ours_is_changed(self) -> None:
        """See for each account whether it is worked on here, in which epoch, and whether it may be changed."""
        ends = self.renewed_at + LEASE_SECONDS - TIMEOUT_SECONDS - MARGIN_SECONDS
        lasts = self.now <= ends
        assert dict(self.tenure.known()) == self.known
        assert dict(self.tenure.planned()) == self.planned
        assert self.tenure.leaving == self.leaving
        asked: Sequence[AccountName] = ACCOUNTS[::-1]
        working = [name for name in asked if name in self.planned and name not in self.leaving]
        assert self.tenure.owned(iter(asked)) == working
        for name in ACCOUNTS:
            fence = self.planned.get(name)
            assert self.tenure.term(name) == (None if fence is None else fence.epoch)
            may = name in working and name not in self.doubtful and self.is_writable and lasts
            assert self.tenure.may_change(name) is may
        for name in ACCOUNTS:
            fence = self.known.get(name)
            compared = fence is not None and self.compared.get(name) == fence.epoch
            with nullcontext() if lasts and compared else pytest.raises(Outdated):
                self.tenure.allow_call(name)


TestOwning = Owning.TestCase
TestOwning.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_an_account_that_was_lost_and_taken_again_is_not_written_on() -> None:
    """What was noted under the old epoch would be written over what another replica recorded in between."""
    one = Owning()
    one.read()
    one.take(ACCOUNTS[0], OTHER)
    one.take(ACCOUNTS[0], ME)
    one.change(ACCOUNTS[1], "generation")
    one.fail(frozenset(ACCOUNTS))
    assert one.tenure.known().keys() == set(ACCOUNTS[1:])
