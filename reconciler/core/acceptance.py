"""Which revision is in force for which account.

Owns: the step from a newly read revision to what is in force: the file as the failure domain, the keys that concern
all accounts, and accounts that disappear.
Must not: read files, a clock, or the network, or log. It is pure.

A faulty file never changes what its accounts have in force, and never removes an account that it might hold. A fault
in the keys that concern all accounts (``policy``, ``environment``, ``timezone``, ``windows``, ``retired_accounts``)
rejects the whole revision: judging the other files without their policy could unsubscribe what the policy protects.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from reconciler.core.errors import Fault, Unknown, quoted, suggestion
from reconciler.core.model import (
    NOTHING,
    AccountName,
    Cause,
    Desired,
    DeviceId,
    Revision,
    Unsettled,
)
from reconciler.core.windows import Window

SEEN = 20
"""The number of revisions that are remembered with their fate, for a command that waits for a replaced one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a set of documents states, and every fault in it.

    ``accounts`` holds only those of documents without a fault, and none at all when ``shared_fault`` or
    ``wrong_environment`` says that a fault concerns all. Policy counts as far as it can be read, even from a document
    with other faults: without it, a limit or a pause would be lifted.

    ``faulty`` maps the path of each faulty document to the accounts that it defines, as far as could be read, or to
    None when it could not be parsed. ``shared`` are the paths of documents with a key that concerns all accounts; if a
    document could not be parsed, it is enough that it seems to have one. ``files`` is every file read, ``sha256`` the
    digest of its only file, or what ``sha256sum FILES | sha256sum`` prints in their folder for several in sorted order.
    ``named`` maps the path of each document to those of the device files that it names. ``timezone`` is the name of the
    zone in which bare dates are meant, where one is named. ``windows`` are all change windows, whichever accounts they
    are for.
    """

    accounts: Mapping[AccountName, Desired]
    retired: frozenset[AccountName]
    environment: str | None
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    faulty: Mapping[str, frozenset[AccountName] | None]
    shared: frozenset[str]
    shared_fault: bool
    wrong_environment: Fault | None
    files: Mapping[str, bytes]
    sha256: str
    named: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    timezone: str | None = None
    windows: tuple[Window, ...] = ()

    def files_of(self, document: str) -> dict[str, bytes]:
        """Return the files that one document was read from: itself and the device files that it names."""
        return {
            path: self.files[path] for path in sorted({document, *self.named.get(document, ())})
        }

    @property
    def every_fault(self) -> tuple[Fault, ...]:
        """Return every fault, sorted, including a wrong environment."""
        wrong = self.wrong_environment
        return self.faults if wrong is None else tuple(sorted((*self.faults, wrong)))


@dataclass(frozen=True, slots=True)
class AccountRevision:
    """One account's part of the revision in force. ``rejected``: why a newer revision is not in force.

    ``unsettled``: its files may be half written.
    """

    desired: Desired
    revision: Revision
    rejected: Cause | None = None
    unsettled: Unsettled | None = None

    def decides_like(self, other: AccountRevision | None) -> bool:
        """Say whether a pass on this revision would decide like one on the other. Devices are compared by identity."""
        return (
            other is not None
            and self.desired is other.desired
            and self.rejected is other.rejected
            and self.unsettled == other.unsettled
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A revision that was read, and why it was rejected if it was, wholly or in part.

    A commit that was replaced before it could be read has no digest, and has the fate of the one that replaced it.
    """

    revision: str
    sha256: str = ""
    rejected: Cause | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is in force for every account, and what became of the newest one.

    ``revision`` is the newest one that brought anything into force; ``newest`` the newest one read, in force or not.
    ``seen`` are the last ``SEEN`` revisions that were read, oldest first, with what became of each. ``timezone`` is
    the one that the newest accepted revision names, and ``windows`` are its change windows.
    """

    accounts: Mapping[AccountName, AccountRevision] = field(
        default_factory=lambda: MappingProxyType({})
    )
    abandoned: frozenset[AccountName] = frozenset()
    retired: frozenset[AccountName] = frozenset()
    environment: str | None = None
    shared: frozenset[str] = frozenset()
    revision: Revision | None = None
    newest: Revision | None = None
    rejected: Cause | None = None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    seen: tuple[Seen, ...] = ()
    timezone: str | None = None
    windows: tuple[Window, ...] = ()


class Claims:
    """Which accounts list a device. It is updated by differences, so an edit costs only what it changes.

    ``follow`` may run in a thread while questions are asked: each answer is checked against the revisions that
    ``enforce`` set last. A single account needs no index: no other account can want its devices.
    """

    def __init__(self) -> None:
        self.version = 0
        self._texts: Mapping[AccountName, AccountRevision] = {}
        self._known: dict[AccountName, frozenset[DeviceId]] = {}
        self._accounts: dict[DeviceId, tuple[AccountName, ...]] = {}

    @classmethod
    def of(cls, accounts: Mapping[AccountName, Desired], revision: Revision) -> Claims:
        """Return the claims of a complete set of revisions."""
        claims = cls()
        texts = {name: AccountRevision(desired, revision) for name, desired in accounts.items()}
        claims.follow(texts)
        claims.enforce(texts)
        return claims

    def follow(self, texts: Mapping[AccountName, AccountRevision]) -> None:
        """Update the index for revisions that are about to come into force."""
        wanted = (
            {name: text.desired.devices for name, text in texts.items()} if len(texts) > 1 else {}
        )
        changed = [
            name
            for name in {**self._known, **wanted}
            if self._known.get(name) is not wanted.get(name)
        ]
        for name in changed:
            alone = (name,)  # one for all devices of the account
            for device in wanted.get(name, NOTHING) - self._known.get(name, NOTHING):
                others = self._accounts.get(device)
                self._accounts[device] = (*others, name) if others else alone
        for name in changed:
            for device in self._known.get(name, NOTHING) - wanted.get(name, NOTHING):
                self._drop(device, name)
        self._known = wanted

    def enforce(self, texts: Mapping[AccountName, AccountRevision]) -> None:
        """Answer by these revisions from now on."""
        self._texts = texts
        self.version += 1

    def listing(self, device: DeviceId) -> tuple[AccountName, ...]:
        """Return the accounts whose desired state lists a device, whatever its dates say."""
        if len(self._texts) > 1:
            return self._accounts.get(device, ())
        return tuple(name for name, text in self._texts.items() if device in text.desired.devices)

    def elsewhere(
        self, account: AccountName, devices: Iterable[DeviceId], now: datetime
    ) -> Mapping[DeviceId, AccountName]:
        """Return the devices of an account that another account wants now, each with the first such account."""
        found = {}
        for device in devices if self._accounts else ():
            for other in self._accounts.get(device, ()):
                if other != account and self._wants(other, device, now):
                    found[device] = other
                    break
        return MappingProxyType(found)

    def by_either_clock(
        self,
        account: AccountName,
        devices: Iterable[DeviceId],
        ours: datetime,
        theirs: datetime | None,
    ) -> Mapping[DeviceId, AccountName]:
        """Return which of an account's devices another account wants, by our clock or by LG's where it differs."""
        devices = tuple(devices)
        by_theirs = self.elsewhere(account, devices, theirs) if theirs is not None else {}
        return {**by_theirs, **self.elsewhere(account, devices, ours)}

    def _wants(self, account: AccountName, device: DeviceId, now: datetime) -> bool:
        text = self._texts.get(account)
        entry = text.desired.entry(device) if text is not None else None
        return entry is not None and entry.wanted_at(now)

    def _drop(self, device: DeviceId, account: AccountName) -> None:
        left = tuple(one for one in self._accounts.get(device, ()) if one != account)
        if left:
            self._accounts[device] = left
        else:
            self._accounts.pop(device, None)


def accept(
    before: Accepted, loaded: Loaded, revision: Revision, overtaken: Sequence[str] = ()
) -> Accepted:
    """Return what is in force after reading ``loaded``. ``overtaken`` are commits that it came with, oldest first."""
    cause = _cause(before, loaded)
    if cause is not None:
        environment = () if loaded.wrong_environment is None else (loaded.wrong_environment,)
        return reject(before, cause, (*environment, *loaded.faults), revision, overtaken)
    accounts = {name: _text(before, desired, revision) for name, desired in loaded.accounts.items()}
    kept = {
        name: replace(text, rejected=Cause.INVALID)
        for name, text in before.accounts.items()
        if name not in accounts
        and name not in loaded.retired
        and _may_be_in_a_faulty_file(text, loaded)
    }
    vanished = before.accounts.keys() - accounts.keys() - kept.keys()
    return Accepted(
        accounts=MappingProxyType({**accounts, **kept}),
        abandoned=(before.abandoned | vanished) - accounts.keys() - kept.keys() - loaded.retired,
        retired=loaded.retired,
        environment=loaded.environment,
        shared=loaded.shared,
        revision=revision if accounts else before.revision,
        newest=revision,
        rejected=Cause.INVALID if loaded.faulty else None,
        faults=loaded.faults,
        warnings=loaded.warnings,
        seen=_seen(before, revision, Cause.INVALID if loaded.faulty else None, overtaken),
        timezone=loaded.timezone,
        windows=loaded.windows,
    )


def reject(
    before: Accepted,
    cause: Cause,
    faults: tuple[Fault, ...],
    newest: Revision | None = None,
    overtaken: Sequence[str] = (),
) -> Accepted:
    """Return ``before`` with every account marked: its revision stays in force, and a newer one is rejected."""
    texts = {
        name: text if text.rejected is cause else replace(text, rejected=cause)
        for name, text in before.accounts.items()
    }
    return replace(
        before,
        accounts=MappingProxyType(texts),
        newest=newest or before.newest,
        rejected=cause,
        faults=faults,
        warnings=(),
        seen=before.seen if newest is None else _seen(before, newest, cause, overtaken),
    )


def adopt(before: Accepted, after: Accepted) -> Accepted:
    """Return what another process accepted, with the objects of before where nothing changed."""
    accounts = {}
    for name, text in after.accounts.items():
        old = before.accounts.get(name)
        same = old is not None and (old.desired is text.desired or old.desired == text.desired)
        accounts[name] = replace(text, desired=old.desired) if old is not None and same else text
    return replace(after, accounts=MappingProxyType(accounts))


def changed(before: Accepted, after: Accepted) -> frozenset[AccountName]:
    """Return the accounts that are new or gone, or that have another revision in force."""
    same = {
        name
        for name, text in after.accounts.items()
        if text.decides_like(before.accounts.get(name))
    }
    return frozenset((before.accounts.keys() | after.accounts.keys()) - same)


def _seen(
    before: Accepted, revision: Revision, cause: Cause | None, overtaken: Sequence[str]
) -> tuple[Seen, ...]:
    """Return the revisions that were read, with this one as the latest."""
    newest = Seen(str(revision), revision.sha256, cause)
    again = before.seen and (before.seen[-1].revision, before.seen[-1].sha256) == (
        newest.revision,
        newest.sha256,
    )
    earlier = before.seen[:-1] if again else before.seen
    return (*earlier, *(Seen(commit, rejected=cause) for commit in overtaken), newest)[-SEEN:]


def _cause(before: Accepted, loaded: Loaded) -> Cause | None:
    if loaded.wrong_environment is not None:
        return Cause.ENVIRONMENT
    if loaded.shared_fault or not _names(loaded.faulty).isdisjoint(
        _names(loaded.shared | before.shared)
    ):
        return Cause.INVALID
    return None if loaded.accounts or not loaded.faults else Cause.INVALID


def _may_be_in_a_faulty_file(text: AccountRevision, loaded: Loaded) -> bool:
    accounts = loaded.faulty.values()
    return posixpath.basename(text.desired.path) in _names(loaded.faulty) or any(
        one is None or text.desired.account in one for one in accounts
    )


def _names(paths: Iterable[str]) -> frozenset[str]:
    """Return the names of documents. They are all in one folder, but another replica may have it in another place."""
    return frozenset(map(posixpath.basename, paths))


def _text(before: Accepted, desired: Desired, revision: Revision) -> AccountRevision:
    """Keep the old object if nothing changed. Then "is this still the newest?" is a comparison by identity."""
    old = before.accounts.get(desired.account)
    same = old is not None and (
        old.desired is desired or old.desired == desired
    )  # nearly always the very object
    return AccountRevision(old.desired if old is not None and same else desired, revision)


def chosen(asked: Sequence[str] | None, known: Sequence[AccountName]) -> list[AccountName]:
    """Return the accounts that a person asks for, each once, or all known ones. An unknown name raises."""
    for name in asked or ():
        if name not in known:
            raise Unknown(f"there is no account {quoted(name)!r}{suggestion(name, known)}")
    return [AccountName(name) for name in dict.fromkeys(asked)] if asked else list(known)
