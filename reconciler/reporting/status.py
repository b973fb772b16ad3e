"""The status of everything, as plain values ready to be shown.

Owns: the shape of a status and of a plan's report, and the one sentence that says whether all is well.
Must not: render, or change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from reconciler import __version__
from reconciler.core import duration
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.clock import TOLERATED
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    AccountName,
    Commit,
    Condition,
    DeviceId,
    Held,
    Kind,
    Plan,
    Reason,
)
from reconciler.core.registry_news import RegistryNews
from reconciler.core.status import AccountStatus, PassReport, states
from reconciler.core.text import counted, listing
from reconciler.core.windows import Openings
from reconciler.desired import approval_block
from reconciler.reporting import troubles
from reconciler.reporting.forecast import BoundaryReport
from reconciler.reporting.heard import HeardReport, KnownEvents, heard_of_account, heard_of_all
from reconciler.reporting.pauses import PauseReport, pause_reports
from reconciler.reporting.registry_reports import RegistryReport, registry_report
from reconciler.reporting.windows import WindowReport, window_reports

NAMED = 20
"""At most this many accounts are named in the sentence at the top; the rest is a number."""


@dataclass(frozen=True, slots=True)
class HeldReport:
    """How many changes of one action a reason holds, and when the first of them may end automatically."""

    action: str
    kind: str
    reason: str
    count: int
    until: datetime | None
    message: str

    @property
    def asks(self) -> bool:
        """Say whether a person has to decide, as ``approvals.asks`` does."""
        return self.kind == Kind.GUARD or self.reason == Reason.PROTECTED


@dataclass(frozen=True, slots=True)
class GuardReport:
    """A guard that is tripped now, whether it holds a change or not, and the sentence with its numbers."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One account, as its last pass left it. Times are nothing where there was none yet.

    ``current``: that pass was of the revision in force. ``settled``: it left nothing to change. ``refused``: the number
    of devices LG refused the change. ``heard`` is None if no receiver is asked, ``registry`` where there are no rules.
    """

    account: str
    condition: str
    result: str
    error: str
    rejected: str | None
    revision: str
    desired: int
    observed: int
    devices: Mapping[str, int]
    held: tuple[HeldReport, ...]
    flapping: tuple[str, ...]
    approval: str
    remarks: tuple[str, ...]
    digest: str
    unsubscribe_budget_remaining: int
    last_attempt: datetime | None
    last_success: datetime | None
    out_of_sync_since: datetime | None
    next_pass: datetime | None
    current: bool = False
    settled: bool = False
    refused: int = 0
    guards: tuple[GuardReport, ...] = ()
    heard: HeardReport | None = None
    registry: RegistryReport | None = None

    @property
    def guarded(self) -> bool:
        """Say whether a person has to decide: a guard is tripped, even if it holds nothing, or protection holds."""
        return bool(self.guards) or any(held.asks for held in self.held)


@dataclass(frozen=True, slots=True)
class SeenReport:
    """A revision that was read lately, and why it was rejected if it was."""

    revision: str
    sha256: str
    rejected: str | None


@dataclass(frozen=True, slots=True)
class TextReport:
    """The revision in force, and the fate of the newest one. ``seen``: the last ones that were read, oldest first.

    ``holds``: whether the commit that was asked for is the one in force or in its history; nothing if none was.
    """

    revision: str | None
    commit: Commit | None
    newest: str | None
    rejected: str | None
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    source: str
    fetched_at: datetime | None
    trouble: str
    sha256: str | None = None
    seen: tuple[SeenReport, ...] = ()
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything at one moment. ``well`` says whether a person may go on sleeping, ``summary`` why not."""

    version: str
    at: datetime
    mode: str
    well: bool
    summary: str
    text: TextReport
    accounts: tuple[AccountReport, ...]
    abandoned: tuple[str, ...]
    state_trouble: str = ""
    pauses: tuple[PauseReport, ...] = ()
    coming: tuple[BoundaryReport, ...] = ()
    clock_ahead_seconds: float = 0.0
    clock_trouble: str = ""
    heard: HeardReport | None = None
    windows: tuple[WindowReport, ...] = ()


def account_report(
    standing: AccountStatus,
    text: AccountRevision,
    next_pass: datetime | None,
    events: KnownEvents | None = None,
    *,
    registry: RegistryNews | None = None,
    replica: str | None = None,
) -> AccountReport:
    """Return one account's report; ``text`` is what is in force for it.

    ``registry`` is what is known of LG's registry, where there are rules; ``replica`` is who reads it.
    """
    last = standing.last
    heard = heard_of_account(events, standing.account)
    return AccountReport(
        account=standing.account,
        condition=standing.condition,
        result=last.result if last else "",
        error=last.error if last else "",
        rejected=text.rejected,
        revision=str(text.revision),
        desired=len(last.desired.wanted_by(last.began, last.theirs)) if last else 0,
        observed=standing.observed,
        devices=states(last) if last else {},
        held=held_reports(last.plan, last.held) if last else (),
        flapping=tuple(sorted(last.flapping)) if last else (),
        approval=_approval(standing.account, last) if last else "",
        remarks=remarks(standing, heard, registry),
        digest=last.plan.digest if last and last.plan else "",
        unsubscribe_budget_remaining=last.budget_remaining if last else 0,
        last_attempt=last.began if last else None,
        last_success=standing.last_success,
        out_of_sync_since=standing.out_of_sync_since,
        next_pass=next_pass,
        current=last is not None and last.of(text),
        settled=last is not None and last.settled,
        refused=len(last.refused) if last else 0,
        guards=_guards(last.plan) if last else (),
        heard=heard,
        registry=registry_report(registry, replica),
    )


def _approval(account: AccountName, last: PassReport) -> str:
    return approval_block(account, last.needs_approval, last.began, names=last.names)


def _guards(plan: Plan | None) -> tuple[GuardReport, ...]:
    tripped = plan.tripped if plan is not None else ()
    return tuple(
        GuardReport(one.reason, one.message) for one in tripped if one.reason.kind is Kind.GUARD
    )


def remarks(
    standing: AccountStatus, heard: HeardReport | None, registry: RegistryNews | None
) -> tuple[str, ...]:
    """Return what a person should know, by the last pass, other accounts' lists, events, and LG's registry."""
    found = list(standing.last.remarks) if standing.last else []
    if standing.alike:
        devices, others = counted(standing.observed, "device"), listing(standing.alike, NAMED)
        found.append(
            f"LG lists the same {devices} for {others}: most likely the accounts are one LG user"
        )
    found += heard.remarks if heard else ()
    found += registry.remarks if registry else ()
    return tuple(found)


def held_reports(plan: Plan | None, held: Iterable[Held]) -> tuple[HeldReport, ...]:
    """Return held changes by reason and action, in the order of the table of reasons."""
    messages = {one.reason: one.message for one in plan.tripped} if plan is not None else {}
    groups: dict[Reason, dict[str, list[Held]]] = {}
    for one in held:
        groups.setdefault(one.reason, {}).setdefault(one.change.action, []).append(one)
    found = []
    for reason in Reason:
        actions = groups.get(reason, {})
        for action in sorted(actions):
            until = min(
                (one.until for one in actions[action] if one.until is not None), default=None
            )
            count = len(actions[action])
            found.append(
                HeldReport(action, reason.kind, reason, count, until, messages.get(reason, ""))
            )
    return tuple(found)


def status_report(
    accepted: Accepted,
    statuses: Mapping[AccountName, AccountStatus],
    *,
    mode: str,
    source: str,
    trouble: str,
    fetched_at: float,
    passes: Mapping[AccountName, datetime],
    now: datetime,
    state_trouble: str = "",
    stalled: str = "",
    ahead: timedelta = timedelta(0),
    overrides: Mapping[AccountName | None, PauseOverride] = MappingProxyType({}),
    coming: tuple[BoundaryReport, ...] = (),
    events: KnownEvents | None = None,
    elsewhere: Mapping[AccountName, AccountReport] = MappingProxyType({}),
    unowned: int = 0,
    openings: Openings = (),
) -> StatusReport:
    """Return the present status of everything. ``overrides`` are the pauses by command; None means all accounts.

    ``passes`` says when the next pass of an account is due, ``stalled`` why none is made although some are. ``ahead``
    is by how much this machine's clock is ahead of LG's. ``events`` is None if no receiver is asked.
    ``elsewhere`` are reports made before, or by other replicas; ``unowned`` counts accounts that no replica works on.
    """
    accounts = []
    for account in sorted(accepted.accounts):
        made = elsewhere.get(account)
        if made is None:
            status, text = statuses.get(account, AccountStatus(account)), accepted.accounts[account]
            made = account_report(status, text, passes.get(account), events)
        accounts.append(made)
    text_report = _text_report(accepted, source, trouble, fetched_at, now)
    clock = clock_trouble(ahead)
    trouble_first = (
        troubles.unowned(unowned)
        or troubles.stalled(stalled)
        or _text_trouble(text_report)
        or troubles.of_state(state_trouble)
        or clock
    )
    well, summary = _summary(trouble_first, accounts, accepted.abandoned, mode)
    return StatusReport(
        version=__version__,
        at=now,
        mode=mode,
        well=well,
        summary=summary,
        text=text_report,
        accounts=tuple(accounts),
        abandoned=tuple(sorted(accepted.abandoned)),
        state_trouble=state_trouble,
        pauses=pause_reports(accepted, overrides),
        coming=coming,
        clock_ahead_seconds=round(ahead.total_seconds(), 1),
        clock_trouble=clock,
        heard=heard_of_all(events),
        windows=window_reports(accepted.windows, openings, now),
    )


def _text_report(
    accepted: Accepted, source: str, trouble: str, fetched_at: float, now: datetime
) -> TextReport:
    """Return the revision in force and what became of the newest one."""
    revision = accepted.revision
    return TextReport(
        revision=str(revision) if revision else None,
        commit=revision.commit if revision else None,
        newest=str(accepted.newest) if accepted.newest else None,
        rejected=accepted.rejected,
        faults=tuple(map(str, accepted.faults)),
        warnings=tuple(map(str, accepted.warnings)),
        source=source,
        fetched_at=datetime.fromtimestamp(fetched_at, now.tzinfo) if fetched_at else None,
        trouble=trouble,
        sha256=revision.sha256 if revision else None,
        seen=tuple(SeenReport(one.revision, one.sha256, one.rejected) for one in accepted.seen),
    )


def _summary(
    trouble: str, accounts: list[AccountReport], abandoned: Iterable[AccountName], mode: str
) -> tuple[bool, str]:
    """Return whether a person may go on sleeping, and a sentence that says so or what to do first."""
    observing = " Observe mode: nothing is changed." if mode == "observe" else ""
    if trouble:
        return False, f"{trouble.removesuffix('.')}.{observing}"
    holding = [one for one in accounts if one.held]
    for well, names, words in (
        (False, _in(accounts, Condition.STOPPED), "stopped: look at credentials and settings"),
        (
            False,
            [one.account for one in accounts if (one.held or one.guards) and one.guarded],
            "held by a guard: a person has to decide",
        ),
        (False, sorted(abandoned), "abandoned: bring them back, or name them in retired_accounts"),
        (
            False,
            [one.account for one in accounts if one.error],
            "waiting for LG; retried automatically",
        ),
        (
            False,
            _holding(holding, Reason.SUBSCRIPTIONS_FULL),
            "at LG's cap on subscribed devices: ask LG to raise it",
        ),
        (
            False,
            _holding(holding, Reason.REFUSED),
            "partly refused by LG: look at the devices it refuses",
        ),
        (True, [] if observing else _in(accounts, Condition.PAUSED), "paused"),
        (True, _holding(holding, Kind.POLICY), "not as wanted, as policy says"),
        (True, _in(accounts, Condition.CONVERGING), "on the way to the wanted state"),
    ):
        if names:
            who = f"{listing(names, NAMED)} {'is' if len(names) == 1 else 'are'}"
            return well, f"{who} {words}.{observing}"
    return True, f"All is well: {counted(len(accounts), 'account')} as wanted.{observing}"


def clock_trouble(ahead: timedelta) -> str:
    """Return what is wrong with this machine's clock beside LG's and what follows, or nothing where the two agree."""
    if abs(ahead) <= TOLERATED:
        return ""
    span = duration.show(timedelta(minutes=round(abs(ahead.total_seconds()) / 60)))
    side = "ahead of" if ahead > timedelta(0) else "behind"
    return (
        f"This machine's clock is {span} {side} LG's: set it (NTP). Until then a device is wanted when either clock "
        "says so, and an approval is valid when both do"
    )


def _text_trouble(text: TextReport) -> str:
    """Return the fault of the newest revision, or an empty string."""
    if text.revision is None:
        return f"No desired state is in force yet: {text.trouble or _first(text.faults) or 'none was read so far'}"
    if text.rejected:
        return f"The newest revision is rejected ({text.rejected}); fix it: {_first(text.faults)}"
    return f"The newest revision cannot be fetched: {text.trouble}" if text.trouble else ""


def _in(accounts: Iterable[AccountReport], condition: Condition) -> list[str]:
    return [one.account for one in accounts if one.condition == condition]


def _holding(accounts: Iterable[AccountReport], what: Kind | Reason) -> list[str]:
    return [
        one.account
        for one in accounts
        if any(what in {held.kind, held.reason} for held in one.held)
    ]


def _first(faults: tuple[str, ...]) -> str:
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What ``plan`` shows or ``apply`` did for one account. ``ending`` is None if there was no list."""

    account: AccountName
    revision: str
    ending: PassReport

    @property
    def plan(self) -> Plan:
        """Return the plan; empty if there was no list."""
        return self.ending.plan or Plan(self.account)

    @property
    def counted(self) -> Plan:
        """Return the plan from which figures are counted: where the list was doubted, one that does not rest on it."""
        return self.ending.counted or Plan(self.account)

    @property
    def names(self) -> Mapping[DeviceId, str]:
        """Return the names of devices, for people: those of the entries, and the last ones of removed devices."""
        return {**self.ending.names, **self.ending.desired.names}
