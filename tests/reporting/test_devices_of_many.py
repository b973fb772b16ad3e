"""The list of devices of several accounts, which is asked for again and again while everything changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from disks import StandingClock
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.model import (
    AccountName,
    Action,
    Change,
    Desired,
    Device,
    DeviceId,
    Observed,
    Outcome,
    PassId,
    Policy,
    Prune,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.core.planner import overlaid, plan
from reconciler.core.status import AccountStatus, PassReport
from reconciler.reporting.devices import (
    ATTENTION,
    DeviceRow,
    Devices,
    Listed,
    listed,
)
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.roster import DeviceState
from reconciler.state import State

ACCOUNTS = [AccountName(one) for one in ("clinic", "hotel", "school")]
DEVICES = [DeviceId(f"device-{number}") for number in range(4)]
KEPT_BACK = {"held", "refused"}
SOME = st.frozensets(st.sampled_from(DEVICES))
ENTRIES = st.dictionaries(st.sampled_from(DEVICES), st.none() | st.sampled_from(["Oven", "Bath"]))


class Listing(RuleBasedStateMachine):
    """A daemon that keeps what it listed last, and a second look at the same facts in plain words."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.devices, self.edits = StandingClock(), Devices(), 0
        self.state = State.in_memory(self.clock)
        self.texts: dict[AccountName, AccountRevision] = {}
        self.statuses: dict[AccountName, AccountStatus] = {}
        self.live: dict[AccountName, frozenset[DeviceId]] = {}

    @property
    def known(self) -> Knowledge:
        """Return what the daemon knows now."""
        accepted = Accepted(dict(self.texts))
        return Knowledge(self.clock.at, accepted, self.state, list, dict(self.statuses))

    @rule(account=st.sampled_from(ACCOUNTS), entries=ENTRIES, ignore=SOME)
    def edit(
        self, account: AccountName, entries: dict[DeviceId, str | None], ignore: frozenset[DeviceId]
    ) -> None:
        """Let a person edit the file of an account."""
        self.edits += 1
        described = {one: Device(one, name) for one, name in entries.items() if name}
        policy = Policy(prune=Prune.OWNED, ignore=ignore, max_unsubscribe=100)
        desired = Desired(account, frozenset(entries), described, policy)
        revision = Revision(f"{self.edits:064x}")
        self.texts[account] = AccountRevision(desired, revision)
        self.state.accounts.desire(desired, revision, self.clock.wait(seconds=1))

    @rule(account=st.sampled_from(ACCOUNTS))
    def leave(self, account: AccountName) -> None:
        """Let an account leave the files."""
        self.texts.pop(account, None)
        self.statuses.pop(account, None)

    @rule(account=st.sampled_from(ACCOUNTS), devices=SOME, restarted=st.booleans())
    def make_a_pass(
        self, account: AccountName, devices: frozenset[DeviceId], *, restarted: bool
    ) -> None:
        """Let LG list these devices; after a restart nobody knows of the pass any more."""
        text, now, accounts = (
            self.texts.get(account),
            self.clock.wait(minutes=2),
            self.state.accounts,
        )
        if text is None:
            return
        observed = Observed(devices, now)
        accounts.trust(
            account, observed, "mark", now, overlaid(observed, accounts.recall(account, now))
        )
        self.live[account] = devices
        made = plan(text.desired, observed, accounts.recall(account, now), now)
        report = PassReport(text.desired, now, now, plan=made, observed=len(devices))
        self.statuses[account] = AccountStatus(account).after(report)
        if restarted:
            del self.statuses[account]

    @rule(account=st.sampled_from(ACCOUNTS), device=st.sampled_from(DEVICES))
    def refuse(self, account: AccountName, device: DeviceId) -> None:
        """Let LG refuse to subscribe a device."""
        now, change = self.clock.wait(seconds=1), Change(account, Action.SUBSCRIBE, device)
        wait = Retry(Action.SUBSCRIBE, Reason.REFUSED, 1, now.replace(year=now.year + 1))
        outcome = Outcome(change, Result.REFUSED, now, status=404)
        self.state.changes.record(account, PassId("pass"), [outcome], {device: wait}, now)

    @rule(
        accounts=st.sampled_from([(), *((one,) for one in ACCOUNTS)]),
        states=st.sets(st.sampled_from(DeviceState), min_size=1) | st.just(set(ATTENTION)),
        name=st.sampled_from(["", "oven", "a"]),
        limit=st.sampled_from([1, 2, 100]),
    )
    def ask(
        self, accounts: tuple[AccountName, ...], states: set[DeviceState], name: str, limit: int
    ) -> None:
        """Ask for some of the devices, page after page."""
        if not self.texts.keys() >= set(accounts):
            return
        words = frozenset(str(one) for one in states)
        rows = self.pages(Listed(accounts, words, name, limit))
        wanted = self.rows(accounts or tuple(self.texts), words, name)
        assert [(one.account, one.device, one.name) for one in rows] == [one[:3] for one in wanted]
        for row, (_, _, _, position) in zip(rows, wanted, strict=True):
            assert row.state in {position, *KEPT_BACK}

    def pages(self, asked: Listed) -> list[DeviceRow]:
        """Return all pages; each counts all devices that were asked for, whatever it shows of them."""
        rows: list[DeviceRow] = []
        counts = Counter(
            position
            for name in asked.accounts or self.texts
            for _, position in self.positions(name).items()
            if position != "absent"
        )
        while True:
            page = self.devices.page(self.known, asked)
            assert Counter(page.counts) == counts
            rows += page.devices
            if page.next is None:
                return rows
            asked = replace(asked, after=listed({"after": page.next}).after)

    def rows(
        self, accounts: tuple[AccountName, ...], states: frozenset[str], word: str
    ) -> list[tuple[str, str, str | None, str]]:
        """Return what has to be listed: account, device, name, and where it is beside the file."""
        found: list[tuple[str, bool, str, str, str]] = []
        for account in accounts:
            described = self.texts[account].desired.described
            retries = self.state.accounts.recall(account, self.clock.at).retries
            for device, position in self.positions(account).items():
                entry = described.get(device)
                name = (entry.name if entry is not None else None) or ""
                shown = "refused" if position == "missing" and device in retries else position
                if {shown, position} & states and word in name.casefold():
                    found.append((account, not name, name, device, position))
        rows: list[tuple[str, str, str | None, str]] = []
        for owner, _, _, one, position in sorted(found):
            names = self.state.names.of(AccountName(owner), [DeviceId(one)])
            rows.append((owner, one, names.get(DeviceId(one)), position))
        return rows

    def positions(self, account: AccountName) -> dict[DeviceId, str]:
        """Return where each device is beside the file of its account."""
        desired, live = self.texts[account].desired, self.live.get(account)
        ours = self.state.accounts.recall(account, self.clock.at).inventory
        found = {}
        for device in desired.devices | (live or frozenset()):
            if live is None:
                found[device] = "unknown"
            elif device in desired.policy.ignore:
                found[device] = "ignored"
            elif device in desired.devices:
                found[device] = "in_sync" if device in live else "missing"
            else:
                found[device] = "extra" if device in ours else "unmanaged"
        return found


TestListing = Listing.TestCase
TestListing.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
