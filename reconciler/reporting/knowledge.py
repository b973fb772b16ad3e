"""All there is to know at one moment, for whoever asks.

Owns: where a fact comes from: the revision in force, the state, or the running process. Must not: phrase anything, or
change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.guards import Platform
from reconciler.core.memory import DeviceNames
from reconciler.core.model import AccountName, DeviceId
from reconciler.core.registry_news import RegistryNews
from reconciler.core.status import AccountStatus
from reconciler.core.windows import Openings, relevant
from reconciler.reporting.heard import KnownEvents
from reconciler.state import KeptText, State

Kept = Callable[[], Sequence[KeptText]]
Words = Sequence[bytes]
KeptWith = Callable[[Words, str], Sequence[KeptText]]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All there is to know at one moment. ``passes`` says when the next pass of an account is due.

    ``events`` is None if no receiver is asked. ``registries`` is what is known of LG's, where there are rules.
    ``kept_with`` is None where ``kept`` costs nothing.
    """

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
    events: KnownEvents | None = None
    registries: Mapping[AccountName, RegistryNews] = field(
        default_factory=lambda: MappingProxyType({})
    )
    kept_with: KeptWith | None = None

    @property
    def accounts(self) -> frozenset[AccountName]:
        """Return the accounts in force, and those that are missed."""
        return frozenset((*self.accepted.accounts, *self.accepted.abandoned))

    def documents(self, words: Words, path: str) -> Sequence[KeptText]:
        """Return the document at a path, and those with a file that has at least one of the words."""
        if self.kept_with is not None:
            return self.kept_with(words, path)
        return [one for one in self.kept() if one.document == path or _has(one, words)]

    def theirs(self, account: AccountName) -> datetime | None:
        """Return LG's time, where the last pass of an account found that it differs from ours."""
        status = self.statuses.get(account)
        if status is None or status.last is None:
            return None
        return status.last.theirs_at(self.now)

    def openings_of(self, text: AccountRevision | None) -> Openings:
        """Return the change windows of an account that a command opened."""
        if text is None or not text.desired.windows:
            return ()
        return relevant(text.desired.windows, self.state.opened_windows.in_force(self.now))

    def names(self, account: AccountName, devices: Collection[DeviceId]) -> DeviceNames:
        """Return what people call devices: by the revision in force, else the last name that is known."""
        text = self.accepted.accounts.get(account)
        found: dict[DeviceId, str] = {}
        others = []
        for device in devices:
            entry = None
            if text is not None:
                entry = text.desired.described.get(device)
            if entry is not None and entry.name:
                found[device] = entry.name
            else:
                others.append(device)
        if others:
            found.update(self.state.names.of(account, others))
        return found


def _has(text: KeptText, words: Words) -> bool:
    """Say whether a file of a document has at least one of the words."""
    contents = text.files.values()
    return any(word in content for word in words for content in contents)
