"""What the state keeps of the revisions in force, so that a restart goes on with them.

Owns: which good documents are kept, and what the state records of each account's desired state.
Must not: judge a revision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import structlog

from reconciler.core import protection
from reconciler.core.acceptance import Accepted
from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.core.model import AccountName, Revision, Verified
from reconciler.core.protection import Stated
from reconciler.desired import LoadCache, Loaded
from reconciler.source import Fetched
from reconciler.source.kept import recalled
from reconciler.state import Accounts, Group, KeptText, OpenedWindows, Protections, Revisions

log = structlog.get_logger()

Owned = Callable[[Iterable[AccountName]], list[AccountName]]
"""Picks the accounts on which this process works, in the same order."""


class KeptRevisions:
    """The kept revisions. All methods may wait for the disk. Without ``writes`` nothing is written.

    ``owned`` picks the accounts that this process may write. If it is not ``alone``, accounts are retired elsewhere.
    """

    def __init__(
        self,
        accounts: Accounts,
        revisions: Revisions,
        protections: Protections,
        clock: Clock,
        environment: str | None,
        *,
        writes: bool,
        owned: Owned = list,
        alone: bool = True,
        opened_windows: OpenedWindows | None = None,
    ) -> None:
        self._opened_windows = opened_windows
        self._owned, self._alone = owned, alone
        self._accounts = accounts
        self._revisions = revisions
        self._protections = protections
        self._clock = clock
        self._environment = environment
        self._writes = writes
        self._documents: frozenset[str] = frozenset()
        self._last: tuple[Revision, frozenset[str]] | None = None

    def load(self) -> Sequence[KeptText]:
        """Return the documents that are kept."""
        return self._revisions.kept()

    def follow(self, kept: Sequence[KeptText]) -> None:
        """Take the documents that are kept, to drop those that a later revision does not have."""
        self._documents = frozenset(one.document for one in kept)

    def accepted(self, kept: Sequence[KeptText], cache: LoadCache | None = None) -> Accepted | None:
        """Return what kept documents bring into force, each account with its own revision, or None without any."""
        return recalled(kept, self._accounts.live_accounts, self._environment, cache)

    def with_live_devices(self, vanished: frozenset[AccountName]) -> frozenset[AccountName]:
        """Return the accounts that are missed: those of which devices are live, as far as can be known."""
        try:
            return vanished & self._accounts.live_accounts()
        except StateError:
            return vanished

    def remember(self, before: Accepted, after: Accepted, changed: Iterable[AccountName]) -> None:
        """Let the state know what each account wants now, before a pass can ask."""
        if not self._writes:
            return
        now = self._clock.now()
        for account in self._owned(sorted(changed)):
            old, new = before.accounts.get(account), after.accounts.get(account)
            if new is None:
                continue
            if old is None or old.desired is not new.desired:
                self._accounts.desire(new.desired, new.revision, now)
            if old is not None:
                self._accounts.forget_retries(account, new.desired.edited_since(old.desired))
        for account in after.retired - before.retired if self._alone else ():
            self._accounts.retire(account)

    def protect(self, before: Accepted, after: Accepted) -> None:
        """Let the state know which devices a revision protects or releases, before a pass can ask.

        If another replica accepted it, that one wrote it down, and the state is read again anyway.
        """
        stated = _stated(before, after)
        if not stated:
            return
        if self._writes and self._alone:
            self._protections.keep(stated)
        else:
            self._protections.take(stated)

    def protecting(self, before: Accepted, after: Accepted) -> tuple[Group, ...]:
        """Return what has to be written of the devices that a revision protects or releases."""
        stated = _stated(before, after)
        return (self._protections.group(stated),) if stated else ()

    def end_edited_windows(self, after: Accepted) -> None:
        """End what a command opened and what this revision defines otherwise, or not any more."""
        if self._opened_windows is None or not self._writes or after.revision is None:
            return
        marks = {window.mark for window in after.windows}
        for ended in self._opened_windows.edited(marks, self._clock.now()):
            log.warning("window.closed", window=ended.window, ended_by=ended.ended_by)

    def desire(self, accepted: Accepted, accounts: Iterable[AccountName]) -> None:
        """Let the state know what these accounts want: another replica worked on them until now."""
        now = self._clock.now()
        for account in sorted(accounts):
            text = accepted.accounts.get(account)
            if text is not None:
                self._accounts.desire(text.desired, text.revision, now)

    def groups(
        self, fetched: Fetched, loaded: Loaded, revision: Revision, *, in_force: bool
    ) -> tuple[Group, ...]:
        """Return what has to be written to keep the good documents of a revision that comes into force."""
        good = {document.path for document in fetched.documents} - loaded.faulty.keys()
        there = frozenset(good | loaded.faulty.keys())
        if not in_force:
            return ()
        texts = (KeptText(path, revision, loaded.files_of(path)) for path in sorted(good))
        gone = self._documents - there
        self._documents |= there  # the next revision may come before this one is read back
        return self._revisions.groups(texts, gone=gone)

    def keep(self, fetched: Fetched, loaded: Loaded, revision: Revision, *, in_force: bool) -> None:
        """Keep the good documents of a revision in force for a restart that finds a bad one.

        Once after each start too: the last process may have kept only a part. A document that cannot be read is not in
        the revision, so what is there counts beside it.
        """
        good = {document.path for document in fetched.documents} - loaded.faulty.keys()
        there = frozenset(good | loaded.faulty.keys())
        if not in_force or not self._writes or self._last == (revision, there):
            return
        texts = (KeptText(path, revision, loaded.files_of(path)) for path in sorted(good))
        self._revisions.keep(texts, gone=self._documents - there)
        self._documents = there
        self._last = revision, there


def _stated(before: Accepted, after: Accepted) -> Stated:
    return protection.stated(_wants(before), _wants(after))


def _wants(accepted: Accepted) -> protection.Wants:
    return {name: text.desired for name, text in accepted.accounts.items()}


def signed(kept: Iterable[KeptText]) -> frozenset[str]:
    """Return the commits whose signature was good when their documents were accepted."""
    found = set()
    for one in kept:
        commit = one.revision.commit
        if commit is not None and commit.verified is Verified.YES:
            found.add(commit.id)
    return frozenset(found)
