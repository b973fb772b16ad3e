"""Finds out what people ask for: one device, one account, past changes.

Owns: which facts belong to an answer and where they come from, how a device may be named, and the bounds of what is
asked. Must not: change anything, or touch the event loop: everything here reads disks and is meant for a worker thread.

The daemon gives its knowledge at one moment. Without a daemon ``runtime.offline`` makes the same from the files and the
state, which it opens for reading only. Facts that only a running process has (its last passes, the next due time) are
missing then, and the guards are asked again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from reconciler import desired
from reconciler.core.acceptance import AccountRevision
from reconciler.core.errors import ReconcilerError, StateError, Unknown, quoted
from reconciler.core.guards import Platform
from reconciler.core.model import AccountName, Action, DeviceId, Pause, Reason, Result
from reconciler.core.status import AccountStatus
from reconciler.desired import Document, MemoryTree, Sighting
from reconciler.reporting import AccountReport, PauseReport, StatusReport, account_report
from reconciler.reporting.explain import (
    ApprovalReport,
    ChangeReport,
    Explanation,
    Facts,
    WaitReport,
    change_report,
    tell,
    wait_report,
)
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.lookup import (
    MOST_FOUND,
    NAMED,
    insist_on_account,
    names_device,
    once_called,
    resolve,
)
from reconciler.reporting.parameters import (
    insist_on_known,
    insist_on_values,
    limit,
    moment,
    one_of,
)
from reconciler.reporting.windows import OpeningReport, opening_report
from reconciler.state import BEGUN, History, Past, Traits, newest_first

CHANGES = 10
"""How many past changes the explanation of one device shows."""
GROUPED = 1000
"""How many past changes the page puts into groups."""
REFUSED = 1000
"""How many refused devices of one account are reported."""
NOWHERE: Mapping[AccountName, AccountReport] = MappingProxyType({})
"""No report of another replica."""
PAGE, LONGEST_PAGE = 100, 1000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""How many past changes one answer has where nobody says, and at most."""
ACTIONS = (*(str(one) for one in Action),)
RESULTS = (*(str(one) for one in Result), BEGUN)


@dataclass(frozen=True, slots=True)
class DeviceExplanation:
    """What is known of one device, account by account.

    ``taken_by`` says what of it was asked for: ``id``, ``prefix``, ``name``, ``former name``, or ``name at LG``.
    ``others`` are devices that once had the name that was asked for, which another device has now.
    """

    at: datetime
    device: str
    taken_by: str
    accounts: tuple[Explanation, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusedReport:
    """A device of which LG refused what is wanted, and when it is asked again."""

    account: str
    device: str
    name: str | None
    wait: WaitReport


@dataclass(frozen=True, slots=True)
class AccountDetail(AccountReport):
    """One account in full: its report, approvals, pause, refused devices, and the next automatic change."""

    approvals: tuple[ApprovalReport, ...] = ()
    pause: PauseReport | None = None
    next_boundary: datetime | None = None
    refused_devices: tuple[RefusedReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Past changes, newest first. ``next`` goes back in as ``before`` to get older ones; None if these are all.

    ``openings`` are the change windows that a command opened in that time; only on the first page, and only if no other
    filter than a time was given.
    """

    at: datetime
    changes: tuple[ChangeReport, ...]
    next: str | None
    openings: tuple[OpeningReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows: the status and the last changes, and whether there are older ones.

    ``unread`` is why changes cannot be read.
    """

    status: StatusReport
    changes: tuple[ChangeReport, ...] = ()
    unread: str = ""
    older: bool = False


def overview(known: Knowledge, status: StatusReport) -> Overview:
    """Return what the page shows; where past changes cannot be read, all else is shown nevertheless."""
    try:
        page = history(known, Wanted(limit=GROUPED))
        return Overview(status, page.changes, older=page.next is not None)
    except StateError as error:
        return Overview(status, unread=str(error))


def explain(
    known: Knowledge,
    asked: str,
    account: str | None = None,
    elsewhere: Mapping[AccountName, AccountReport] = NOWHERE,
) -> DeviceExplanation:
    """Return what is known of the device that a person named; raises ``Unknown``. ``elsewhere`` as for ``account``."""
    if account is not None:
        insist_on_account(known, account)
    names = [AccountName(account)] if account is not None else sorted(known.accounts)
    device, taken_by, where = resolve(known, asked, names)
    seen = _Sightings(known, device)
    stories = tuple(
        tell(_facts(known, name, device, seen, elsewhere.get(name))) for name in sorted(where)
    )
    others = once_called(known, asked, names) - {device} if taken_by == "name" else ()
    return DeviceExplanation(known.now, device, taken_by, stories, tuple(sorted(others)[:NAMED]))


def device(
    known: Knowledge,
    account: str,
    asked: str,
    elsewhere: Mapping[AccountName, AccountReport] = NOWHERE,
) -> Explanation:
    """Return the explanation of a device in one account, by its id; raises ``Unknown``.

    ``elsewhere`` as for ``account``.
    """
    insist_on_account(known, account)
    name = AccountName(account)
    found, taken_by, _where = resolve(known, asked, [name])
    if taken_by != "id":
        raise Unknown(
            f"there is no device {quoted(asked)!r} in account {account}; did you mean {found!r}?"
        )
    return tell(_facts(known, name, found, _Sightings(known, found), elsewhere.get(name)))


def account(
    known: Knowledge, asked: str, elsewhere: Mapping[AccountName, AccountReport] = NOWHERE
) -> AccountDetail:
    """Return one account in full; raises ``Unknown``. ``elsewhere`` are the reports of other replicas."""
    name = AccountName(asked)
    text = known.accepted.accounts.get(name)
    if text is None:
        insist_on_account(known, asked)
        raise Unknown(
            f"account {asked} is abandoned: it left the desired state, and no call is made for it"
        )
    report = elsewhere.get(name) or account_report(
        known.statuses.get(name, AccountStatus(name)),
        text,
        known.passes.get(name),
        known.events,
        registry=known.registries.get(name),
    )
    latest = max(known.now, known.theirs(name) or known.now)  # an approval is valid by both clocks
    return AccountDetail(
        **{one.name: getattr(report, one.name) for one in fields(report)},
        approvals=tuple(
            ApprovalReport(one.reason, one.expires, latest < one.expires, len(one.devices))
            for one in text.desired.approvals
        ),
        pause=_pause(known, name),
        next_boundary=text.desired.next_boundary(known.now),
        refused_devices=_refused(known, name),
    )


def _pause(known: Knowledge, name: AccountName) -> PauseReport | None:
    """Return the pause by command that is in force for an account; one of all accounts names none."""
    one = known.state.pauses.of(name, known.now)
    if one.pause is Pause.NONE:
        return None
    whose = name if known.state.pauses.all(known.now).get(name) == one else None
    return PauseReport(one.pause, one.until, one.reason, whose, set_by=one.set_by)


def _refused(known: Knowledge, name: AccountName) -> tuple[RefusedReport, ...]:
    retries = known.state.accounts.recall(name, known.now).retries
    refused = sorted(one for one, retry in retries.items() if retry.reason is Reason.REFUSED)[
        :REFUSED
    ]
    names = known.names(name, refused)
    return tuple(
        RefusedReport(
            name,
            one,
            names.get(one),
            wait_report(retries[one], known.state.history.changes(name, one, limit=CHANGES)),
        )
        for one in refused
    )


# -- one device


class _Sightings:
    """The places of a device in the documents of one account or of several."""

    def __init__(self, known: Knowledge, device: DeviceId) -> None:
        self._known = known
        self._device = device
        self._found: dict[tuple[str, str], tuple[Sighting, ...]] = {}

    def of(self, text: AccountRevision) -> tuple[Sighting, ...]:
        """Return the places in an account's documents; none if their bytes are not available."""
        key = text.revision.sha256, text.desired.path
        if key not in self._found:
            self._found[key] = self._find(*key)
        return self._found[key]

    def _find(self, sha256: str, path: str) -> tuple[Sighting, ...]:
        """Read the account's document, and others that may name the device: of thousands of accounts a few."""
        files: dict[str, bytes] = {}
        documents = []
        for one in self._known.documents(_words(self._device), path):
            if one.revision.sha256 == sha256 and one.document in one.files:
                files.update(one.files)
                documents.append(Document(one.document, one.files[one.document]))
        return desired.sightings(documents, MemoryTree(files), self._device)


def _words(device: DeviceId) -> Sequence[bytes]:
    """Return words of which a file that names a device has at least one.

    An escape may stand for any letter. Approvals are numbered across documents, so each that has some counts.
    """
    return device.encode(), b"\\", b"approvals"


def _facts(
    known: Knowledge,
    name: AccountName,
    device: DeviceId,
    seen: _Sightings,
    report: AccountReport | None,
) -> Facts:
    """Gather what is known of one device in one account. ``report`` is that of another replica that works on it."""
    text, standing = (
        known.accepted.accounts.get(name),
        known.statuses.get(name, AccountStatus(name)),
    )
    return Facts(
        account=name,
        device=device,
        now=known.now,
        name=known.names(name, (device,)).get(device),
        text=text,
        abandoned=name in known.accepted.abandoned,
        memory=known.state.accounts.recall(name, known.now),
        stay=known.state.history.came_and_went(name, device),
        pasts=known.state.history.changes(name, device, limit=CHANGES),
        sightings=seen.of(text) if text is not None and names_device(text, device) else (),
        ending=standing.last if report is None else None,
        error="" if report is None else report.error,
        observed_at=standing.last_success if report is None else report.last_success,
        next_pass=known.passes.get(name) if report is None else report.next_pass,
        pause_override=known.state.pauses.of(name, known.now),
        observing=known.observing,
        platform=known.platforms.get(name, Platform()),
        claims=known.claims,
        theirs=known.theirs(name),
        registry=known.registries.get(name),
        openings=known.openings_of(text),
    )


# -- past changes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which past changes are asked for."""

    account: AccountName | None = None
    device: DeviceId | None = None
    since: datetime | None = None
    until: datetime | None = None
    action: Action | None = None
    result: str | None = None
    author: str | None = None
    revision: str | None = None
    limit: int = PAGE
    before: tuple[int, int, str, str] | None = None

    @property
    def traits(self) -> Traits:
        """Return what a change must be like."""
        return Traits(self.action, self.result, self.author, self.revision)


def wanted(asked: Mapping[str, str], now: datetime) -> Wanted:
    """Read what is asked for; raises ``ReconcilerError`` with a sentence where it cannot be read."""
    keys = [one.name for one in fields(Wanted)]
    insist_on_known(asked, keys)
    insist_on_values(asked)
    return Wanted(
        account=AccountName(asked["account"]) if "account" in asked else None,
        device=DeviceId(asked["device"]) if "device" in asked else None,
        since=moment("since", asked["since"], now) if "since" in asked else None,
        until=moment("until", asked["until"], now) if "until" in asked else None,
        action=Action(one_of("action", asked["action"], ACTIONS)) if "action" in asked else None,
        result=one_of("result", asked["result"], RESULTS) if "result" in asked else None,
        author=asked.get("author"),
        revision=asked["revision"].lower() if "revision" in asked else None,
        limit=limit(asked["limit"], LONGEST_PAGE) if "limit" in asked else PAGE,
        before=_cursor(asked["before"]) if "before" in asked else None,
    )


def history(known: Knowledge, asked: Wanted) -> Page:
    """Return past changes, newest first; raises ``Unknown`` where nothing at all is known of the account or device."""
    asked = replace(asked, device=_meant(known, asked))
    found, more = _newest(known.state.history, asked)
    if not found and asked.account is not None and asked.account not in known.accounts:
        insist_on_account(known, asked.account)
    return Page(
        at=known.now,
        changes=_reports(known, found),
        next=_cursor_text(found[-1]) if more and found else None,
        openings=_openings(known, asked),
    )


def _openings(known: Knowledge, asked: Wanted) -> tuple[OpeningReport, ...]:
    """Return what commands opened, for whoever asks for everything of a span."""
    given = (asked.account, asked.device, asked.action, asked.result, asked.author, asked.revision)
    if asked.before is not None or any(one is not None for one in given):
        return ()
    found = known.state.opened_windows.past(asked.since or LONG_AGO, asked.limit)
    return tuple(
        opening_report(one) for one in found if asked.until is None or one.at < asked.until
    )


def _reports(known: Knowledge, pasts: Sequence[Past]) -> tuple[ChangeReport, ...]:
    """Return past changes, each with the name of its day. Where that was not kept, the last one is shown."""
    unknown: dict[AccountName, set[DeviceId]] = {}
    for past in pasts:
        if past.name is None:
            unknown.setdefault(past.account, set()).add(past.device)
    names: dict[tuple[AccountName, DeviceId], str] = {}
    for account, devices in unknown.items():
        for device, name in known.names(account, devices).items():
            names[account, device] = name
    reports = []
    for past in pasts:
        name_now = names.get((past.account, past.device))
        reports.append(change_report(past, name_now))
    return tuple(reports)


def _meant(known: Knowledge, asked: Wanted) -> DeviceId | None:
    """Return whose changes are asked for, also if no account is left that knows the device."""
    if asked.device is None or known.state.history.changes(device=asked.device, limit=1):
        return asked.device
    if asked.account is not None:
        accounts = frozenset({asked.account})
    else:
        once = known.state.names.once(asked.device, MOST_FOUND)
        accounts = known.accounts.union(account for account, _ in once)
    return resolve(known, asked.device, sorted(accounts))[0]


def _newest(history: History, asked: Wanted) -> tuple[Sequence[Past], bool]:
    """Return one page, and whether there are older ones. Many changes may share a moment, so a cursor is no moment."""
    until = asked.until
    if asked.before is not None:
        last = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=1 - asked.before[0])
        until = last if until is None else min(until, last)
    most = asked.limit + 1
    while True:
        read = history.changes(
            asked.account, asked.device, asked.since, until, most, traits=asked.traits
        )
        found = [one for one in read if asked.before is None or newest_first(one) > asked.before]
        if len(found) > asked.limit or len(read) < most:
            return found[: asked.limit], len(found) > asked.limit
        most *= 2


def _cursor_text(past: Past) -> str:
    return base64.urlsafe_b64encode(json.dumps(newest_first(past)).encode()).decode().rstrip("=")


def _cursor(text: str) -> tuple[int, int, str, str]:
    try:
        match json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))):
            case [int(at), int(intended), str(account), str(device)] if -(2**57) < at <= 0:
                return at, intended, account, device
    except (ValueError, RecursionError):
        pass
    raise ReconcilerError("before must be the next of an earlier answer")
