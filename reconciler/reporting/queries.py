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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from reconciler import desired
from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.errors import ReconcilerError, StateError, Unknown, quoted, suggestion
from reconciler.core.guards import Platform
from reconciler.core.model import AccountName, Action, DeviceId, Pause, Reason, Result
from reconciler.core.status import AccountStatus
from reconciler.core.text import listing
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
from reconciler.reporting.parameters import (
    insist_on_known,
    insist_on_values,
    limit,
    moment,
    one_of,
)
from reconciler.state import BEGUN, History, KeptText, Past, State, Traits, newest_first

CHANGES = 10
"""How many past changes the explanation of one device shows, and the page."""
REFUSED = 1000
"""How many refused devices of one account are reported."""
PAGE, LONGEST_PAGE = 100, 1000
"""How many past changes one answer has where nobody says, and at most."""
ACTIONS = (*(str(one) for one in Action),)
RESULTS = (*(str(one) for one in Result), BEGUN)
SHORTEST_PREFIX = 8
"""An id may be shortened to this number of characters."""
NEAR = 2000
"""Up to this number of ids all are searched for a near miss; of more, only those that begin or end alike."""
NAMED = 10
"""How many devices are named where it is not clear which is meant."""

Kept = Callable[[], Sequence[KeptText]]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All there is to know at one moment. ``passes`` says when the next pass of an account is due."""

    now: datetime
    accepted: Accepted
    state: State
    kept: Kept
    statuses: Mapping[AccountName, AccountStatus] = field(
        default_factory=lambda: MappingProxyType({})
    )
    passes: Mapping[AccountName, datetime] = field(default_factory=lambda: MappingProxyType({}))
    observing: bool = False
    platforms: Mapping[AccountName, Platform] = field(default_factory=lambda: MappingProxyType({}))
    claims: Claims = field(default_factory=Claims)

    @property
    def accounts(self) -> frozenset[AccountName]:
        """Return the accounts in force, and those that are missed."""
        return frozenset((*self.accepted.accounts, *self.accepted.abandoned))

    def name(self, account: AccountName, device: DeviceId) -> str | None:
        """Return a device's name in the revision in force."""
        text = self.accepted.accounts.get(account)
        entry = text.desired.described.get(device) if text is not None else None
        return entry.name if entry is not None else None


@dataclass(frozen=True, slots=True)
class DeviceExplanation:
    """What is known of one device, account by account. ``taken_by`` says what of it was asked for."""

    at: datetime
    device: str
    taken_by: str
    accounts: tuple[Explanation, ...]


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
    """Past changes, newest first. ``next`` goes back in as ``before`` to get older ones; None if these are all."""

    at: datetime
    changes: tuple[ChangeReport, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows: the status and the last changes. ``unread`` is why those cannot be read."""

    status: StatusReport
    changes: tuple[ChangeReport, ...] = ()
    unread: str = ""


def overview(known: Knowledge, status: StatusReport) -> Overview:
    """Return what the page shows; where past changes cannot be read, all else is shown nevertheless."""
    try:
        return Overview(status, history(known, Wanted(limit=CHANGES)).changes)
    except StateError as error:
        return Overview(status, unread=str(error))


def explain(known: Knowledge, asked: str, account: str | None = None) -> DeviceExplanation:
    """Return what is known of the device that a person named; raises ``Unknown``."""
    if account is not None:
        _insist_on(known, account)
    names = [AccountName(account)] if account is not None else sorted(known.accounts)
    device, taken_by, where = _resolve(known, asked, names)
    seen = _Sightings(known, device)
    stories = tuple(tell(_facts(known, name, device, seen)) for name in sorted(where))
    return DeviceExplanation(known.now, device, taken_by, stories)


def device(known: Knowledge, account: str, asked: str) -> Explanation:
    """Return the explanation of a device in one account, by its id; raises ``Unknown``."""
    _insist_on(known, account)
    found, taken_by, _where = _resolve(known, asked, [AccountName(account)])
    if taken_by != "id":
        raise Unknown(
            f"there is no device {quoted(asked)!r} in account {account}; did you mean {found!r}?"
        )
    return tell(_facts(known, AccountName(account), found, _Sightings(known, found)))


def account(known: Knowledge, asked: str) -> AccountDetail:
    """Return one account in full; raises ``Unknown``."""
    name = AccountName(asked)
    text = known.accepted.accounts.get(name)
    if text is None:
        _insist_on(known, asked)
        raise Unknown(
            f"account {asked} is abandoned: it left the desired state, and no call is made for it"
        )
    report = account_report(
        known.statuses.get(name, AccountStatus(name)), text, known.passes.get(name)
    )
    override = known.state.pauses.of(name, known.now)
    return AccountDetail(
        **{one.name: getattr(report, one.name) for one in fields(report)},
        approvals=tuple(
            ApprovalReport(one.reason, one.expires, known.now < one.expires, len(one.devices))
            for one in text.desired.approvals
        ),
        pause=PauseReport(override.pause, override.until, override.reason)
        if override.pause is not Pause.NONE
        else None,
        next_boundary=text.desired.next_boundary(known.now),
        refused_devices=_refused(known, name),
    )


def _refused(known: Knowledge, name: AccountName) -> tuple[RefusedReport, ...]:
    retries = known.state.accounts.recall(name, known.now).retries
    refused = sorted(one for one, retry in retries.items() if retry.reason is Reason.REFUSED)[
        :REFUSED
    ]
    return tuple(
        RefusedReport(
            name,
            one,
            known.name(name, one),
            wait_report(retries[one], known.state.history.changes(name, one, limit=CHANGES)),
        )
        for one in refused
    )


def _insist_on(known: Knowledge, account: str) -> None:
    if account not in known.accounts:
        raise Unknown(
            f"there is no account {quoted(account)!r}{suggestion(account, known.accounts)}"
        )


# -- one device


class _Sightings:
    """The places of a device in the documents. Each set of documents is read once, however many accounts it has."""

    def __init__(self, known: Knowledge, device: DeviceId) -> None:
        self._known = known
        self._device = device
        self._kept: Sequence[KeptText] | None = None
        self._found: dict[str, tuple[Sighting, ...]] = {}

    def of(self, text: AccountRevision) -> tuple[Sighting, ...]:
        """Return the places in an account's documents; none if their bytes are not available."""
        sha256 = text.revision.sha256
        if sha256 not in self._found:
            self._found[sha256] = self._find(text)
        return self._found[sha256]

    def _find(self, text: AccountRevision) -> tuple[Sighting, ...]:
        if self._kept is None:
            self._kept = self._known.kept()
        kept = [one for one in self._kept if one.revision.sha256 == text.revision.sha256]
        files = {path: content for one in kept for path, content in one.files.items()}
        documents = [
            Document(one.document, files[one.document]) for one in kept if one.document in files
        ]
        return desired.sightings(documents, MemoryTree(files), self._device)


def _facts(known: Knowledge, name: AccountName, device: DeviceId, seen: _Sightings) -> Facts:
    """Gather what is known of one device in one account."""
    text, standing = (
        known.accepted.accounts.get(name),
        known.statuses.get(name, AccountStatus(name)),
    )
    return Facts(
        account=name,
        device=device,
        now=known.now,
        text=text,
        abandoned=name in known.accepted.abandoned,
        memory=known.state.accounts.recall(name, known.now),
        stay=known.state.history.came_and_went(name, device),
        pasts=known.state.history.changes(name, device, limit=CHANGES),
        sightings=seen.of(text) if text is not None and _names(text, device) else (),
        ending=standing.last,
        observed_at=standing.last_success,
        next_pass=known.passes.get(name),
        pause_override=known.state.pauses.of(name, known.now),
        observing=known.observing,
        platform=known.platforms.get(name, Platform()),
        claims=known.claims,
        theirs=None if standing.last is None else standing.last.theirs_at(known.now),
    )


def _named(text: AccountRevision) -> Iterable[frozenset[DeviceId]]:
    """Return the sets of devices that an account's part of a revision names."""
    return (
        text.desired.devices,
        text.desired.policy.ignore,
        *(one.devices for one in text.desired.approvals),
    )


def _names(text: AccountRevision, device: str) -> bool:
    return any(device in devices for devices in _named(text))


def _resolve(
    known: Knowledge, asked: str, accounts: Sequence[AccountName]
) -> tuple[DeviceId, str, frozenset[AccountName]]:
    """Return which device is meant, by what it was named, and which accounts know it; raises ``Unknown``."""
    texts = {
        name: known.accepted.accounts[name] for name in accounts if name in known.accepted.accounts
    }
    found = _knowing(known, asked, accounts, texts)
    if found:
        return DeviceId(asked), "id", found
    for taken_by, devices in (
        ("prefix", _begun(known, asked, accounts, texts)),
        ("name", _called(asked, texts)),
    ):
        if len(devices) == 1:
            (only,) = devices
            return only, taken_by, _knowing(known, only, accounts, texts)
        if devices:
            shown = listing([quoted(one) for one in sorted(devices)], NAMED)
            raise Unknown(f"{quoted(asked)!r} is the {taken_by} of {len(devices)} devices: {shown}")
    raise Unknown(_nothing_like(asked, texts.values()))


Texts = Mapping[AccountName, AccountRevision]


def _knowing(
    known: Knowledge, device: str, accounts: Sequence[AccountName], texts: Texts
) -> frozenset[AccountName]:
    """Return the accounts that know a device, from the desired state or from memory."""
    found = {name for name, text in texts.items() if _names(text, device)}
    for name, one in known.state.history.devices_like(device, LONGEST_PAGE):
        if one == device and name in accounts:
            found.add(name)
    return frozenset(found)


def _begun(
    known: Knowledge, asked: str, accounts: Sequence[AccountName], texts: Texts
) -> set[DeviceId]:
    """Return the devices whose ids begin like this; none where it is too short to be meant so."""
    if len(asked) < SHORTEST_PREFIX:
        return set()
    found = {
        device
        for name, device in known.state.history.devices_like(asked, LONGEST_PAGE)
        if name in accounts
    }
    for text in texts.values():
        for ids in _named(text):
            found.update(one for one in ids if one.startswith(asked))
    return found


def _called(asked: str, texts: Texts) -> set[DeviceId]:
    """Return the devices that have this name in the desired state."""
    found = set[DeviceId]()
    for text in texts.values():
        found.update(
            one.id for one in text.desired.described.values() if one.name and one.name == asked
        )
    return found


def _nothing_like(asked: str, texts: Iterable[AccountRevision]) -> str:
    """Return that a device is not known, with what was perhaps meant."""
    ids = {one for text in texts for devices in _named(text) for one in devices}
    if len(ids) > NEAR:
        ends = asked[:4], asked[-4:]
        ids = set(
            sorted(one for one in ids if one.startswith(ends[0]) or one.endswith(ends[1]))[:NEAR]
        )
    names = {one.name for text in texts for one in text.desired.described.values() if one.name}
    near = suggestion(asked, [*ids, *sorted(names)[:NEAR]])
    short = (
        f"; use at least {SHORTEST_PREFIX} characters of an id"
        if len(asked) < SHORTEST_PREFIX
        else ""
    )
    return (
        f"device {quoted(asked)!r} not found in the desired state or in LG's lists{near or short}"
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
        _insist_on(known, asked.account)
    return Page(
        at=known.now,
        changes=tuple(change_report(one, known.name(one.account, one.device)) for one in found),
        next=_cursor_text(found[-1]) if more and found else None,
    )


def _meant(known: Knowledge, asked: Wanted) -> DeviceId | None:
    """Return whose changes are asked for: what has any by its whole id, also if no account is left that knows it."""
    if asked.device is None or known.state.history.changes(device=asked.device, limit=1):
        return asked.device
    return _resolve(known, asked.device, sorted(known.accounts))[0]


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
