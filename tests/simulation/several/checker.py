"""What must never happen across daemons that share the accounts, beside everything that must not happen with one.

Owns: the promises about sharing, each as a rule with a name: one writer, no older epoch, no call without owning the
account, the pace of an account over all daemons, accounts that nobody owns, and which copy of the files is in force.
Must not: import anything of the program. The tables it reads are those of the test's own database.

An account has a term: which life of which daemon has it, and in which epoch. A new term begins as a daemon that starts
does: with a list, and with what was written down. What was not freed in good order may have lost what its owner knew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from simulation.checker import HOUR_SECONDS, OPEN_INTENT, Checker, Known
from simulation.meaning import Reading, Texts, read
from simulation.tolerances import CLOCK_SECONDS, OBEYED_SECONDS

if TYPE_CHECKING:
    from simulation.several.daemons import Daemons, Node

REQUEST_SECONDS = 15.0
LEASE_SECONDS, TAKEN_SECONDS = 45.0, 5.0
SOURCE_WAIT_SECONDS = 300.0
FLOW_SECONDS = 5.0
"""By so much less than five minutes a reader may have waited: it may have read its copy before it was the reader."""
KEPT_REVISIONS = 12
REMEMBERED_SECONDS = 20 * HOUR_SECONDS
"""A revision is known again that was in force within a day, by the database's clock, which may be set meanwhile."""
ROWS_SECONDS = 10.0
"""So long after the fleet changed a figure of it may be that of a moment before."""


@dataclass(frozen=True, slots=True)
class Term:
    """Who has an account, and in which epoch."""

    sender: str
    epoch: int


@dataclass(slots=True)
class Tenancy:
    """One account's terms: the newest, when its last call was sent, and which calls are in flight in which term."""

    term: Term | None = None
    last: float = 0.0
    flying: dict[Any, Term] = field(default_factory=dict)
    limit: int | None = None
    limit_since: float = 0.0
    unowned_since: float | None = None


def _digest(files: Mapping[str, bytes]) -> str:
    """Return a digest of one copy of the files: who reads the same bytes reads the same revision."""
    found = sha256()
    for name, content in sorted(files.items()):
        found.update(f"{name} {len(content)} ".encode() + content)
    return found.hexdigest()


class SharedTexts(Texts):
    """Every state that may be in force where one of several daemons reads its copy of the files for all.

    A daemon that becomes the reader may wait for its copy to catch up, and until it has accepted something nobody can
    say whether it does. ``copy`` has the digest of the copy that is read from now on.
    """

    copy = ""

    def __init__(self, grace_seconds: float) -> None:
        super().__init__(grace_seconds)
        self.able: Callable[[], bool] = bool
        self._since, self._reads = 0.0, False
        self._waits_until = 0.0
        self._pending_copy = ""
        self._settled: list[tuple[float, str]] = []
        self._behind: tuple[float, Reading] | None = None

    def changed(self, at: float, reading: Reading) -> None:
        """Take note that the reader's copy changed."""
        self._behind = None
        super().changed(at, reading)
        self._since, self._pending_copy = at, self.copy

    def reader_changed(self, at: float, reading: Reading) -> None:
        """Take note that another daemon reads now, from its own copy.

        What certainly was in force before something newer was accepted waits for five minutes.
        """
        self._settle(at)
        if not self._pending and self._was_in_force(at):
            self._behind = at + SOURCE_WAIT_SECONDS - FLOW_SECONDS, reading
        else:
            self.changed(at, reading)
        self._waits_until = at + SOURCE_WAIT_SECONDS

    def _was_in_force(self, at: float) -> bool:
        """Say whether the copy certainly was in force, and is not any more."""
        earlier = {copy for then, copy in self._settled if at - then <= REMEMBERED_SECONDS}
        return self.copy in earlier and self.copy != self._settled[-1][1]

    def forget(self) -> None:
        """Take note that nobody can say which revisions are known again: the clock was set."""
        del self._settled[:-1]

    def person_agreed(self, at: float) -> None:
        """Take note that a person asked the reader not to wait."""
        if self._behind is not None:
            self.changed(at, self._behind[1])

    def able_changed(self, at: float) -> None:
        """Take note that the reader may read again, or not any more."""
        self._settle(at)
        self._since, self._reads = at, self.able()

    def accepted(self, at: float) -> None:
        """Take note that the reader waits no more."""
        self._since, self._waits_until = at, 0.0

    def _settle(self, at: float) -> None:
        if self._behind is not None and at >= self._behind[0]:
            self.changed(at, self._behind[1])
        if self._reads and at - max(self._since, self._waits_until) >= self._grace:
            if self._pending and not self.locked:
                since, last = self._pending[-1]
                if not (last.rejected or last.bad):
                    self._settled = [
                        *self._settled[-KEPT_REVISIONS:],
                        (since, self._pending_copy),
                    ]
            super()._settle(at)


class SharedChecker(Checker):
    """Hears everything of three daemons. ``daemons`` is set before anything happens."""

    daemons: Daemons

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.shared_texts = SharedTexts(self._mode.text_grace_seconds)
        self.texts = self.shared_texts
        self.environment = ""
        self.shared_texts.able = self._able
        self._text_comes = self.shared_texts.changed
        self._tenancies: dict[str, Tenancy] = {}
        self._freed: set[tuple[str, int]] = set()
        self._ids: dict[str, set[str]] = {}
        self._dates: set[str] = set()
        self._was: Reading | None = None
        self._agreed: dict[str, float] = {}
        self._set_ahead: list[tuple[float, float]] = []
        self._steady_since = 0.0

    # -- files

    def _able(self) -> bool:
        reader = self.daemons.reader
        return reader is not None and reader.well and not self.daemons.database.away

    def able_changed(self) -> None:
        """Hear that something befell a daemon or the database, or that this ended."""
        self.settles_later(0.0)
        self.shared_texts.able_changed(self._now())

    def copy_changed(self, node: Node) -> None:
        """Hear that the copy of the files changed that is read, or that will be."""
        self.shared_texts.copy = _digest(node.files)
        self._was = read(node.files, self.environment)
        self.files_changed(self._was)

    def reader_changed(self, node: Node | None) -> None:
        """Hear that another daemon reads the files, or none."""
        self.shared_texts.able_changed(self._now())
        if node is None:
            return
        self.shared_texts.copy = _digest(node.files)
        before, self._was = self._was, read(node.files, self.environment)
        if self._was == before:
            self.shared_texts.reader_changed(self._now(), self._was)
            return
        self._text_comes = self.shared_texts.reader_changed
        self.files_changed(self._was)
        self._text_comes = self.shared_texts.changed

    def _text_is(self, reading: Reading) -> None:
        self._text_comes(self._now(), reading)

    def clock_set(self, seconds: float) -> None:
        """Hear that the database's clock jumped."""
        super().clock_set(seconds)
        if seconds > 0:
            self._set_ahead.append((self._now(), seconds))
        if abs(seconds) >= HOUR_SECONDS:
            self.shared_texts.forget()

    def accepted(self) -> None:
        """Hear that a revision came into force."""
        self.shared_texts.accepted(self._now())

    # -- terms

    def freed(self, accounts: Mapping[Any, int]) -> None:
        """Hear that accounts were freed in good order."""
        self._freed.update((str(name), epoch) for name, epoch in accounts.items())

    def person_agreed(self, account: str) -> None:
        """Hear of a person's ``reconcile``, which the owner hears of a moment later."""
        super().person_agreed(account)
        self.shared_texts.person_agreed(self._now())
        self._agreed[account] = self._now()

    def _still_agreed(self, account: str) -> bool:
        """Say whether a person's command may have reached the owner just now."""
        waits = any(
            one.account == account for one in self.daemons.database.tables.commands.values()
        )
        if waits:
            self._agreed[account] = self._now()
        return self._now() - self._agreed.get(account, -HOUR_SECONDS) < OBEYED_SECONDS

    def _become(self, sender: str) -> None:
        """Know what one life of a daemon may know: the ids that it sent, and whether it saw a date."""
        self._sent_now = self._ids.setdefault(sender, set())
        self._hears_date = sender in self._dates

    def sent(self, call: Any) -> None:
        """Hear of a request that leaves a daemon."""
        if call.path == "/emp/v2/token":
            super().sent(call)
            return
        self._become(call.sender)
        known = self._known(call.account)
        tenancy = self._tenancies.setdefault(call.account, Tenancy())
        self._begin_term(call, known, tenancy)
        if self._still_agreed(call.account):
            super().person_agreed(call.account)
        self._one_writer(call, tenancy)
        super().sent(call)
        self._check_quota(call, known, tenancy)
        assert tenancy.term is not None
        tenancy.flying[call] = tenancy.term
        tenancy.last = self._now()

    def _begin_term(self, call: Any, known: Known, tenancy: Tenancy) -> None:
        row = self.daemons.database.tables.ownership.get(call.account)
        node = self._node(call.sender)
        owner = row.owner if row is not None else ""
        mine = owner in node.members and owner in self.daemons.database.tables.members
        self._require("owner", mine, call, f"by {call.sender}, which does not own it")
        before = tenancy.term
        term = Term(call.sender, row.epoch if row is not None else 0)
        if term == before:
            return
        tenancy.term = term
        if before is None:
            return
        self._require("older-epoch", term.epoch > before.epoch, call, f"{term} after {before}")
        if (call.account, before.epoch) not in self._freed:
            self._not_written(call.account, known, seconds=self._now() - tenancy.last)
            flying = [unquote(one.path.removeprefix("/pcc/")) for one in tenancy.flying]
            self.meddled(call.account, flying, HOUR_SECONDS)
            known.unsure.update(dict.fromkeys(flying, self._now() + 180.0))
        known.begin()
        self._count_on(known)

    def _node(self, sender: str) -> Node:
        name = sender.partition("/")[0]
        return next(node for node in self.daemons.nodes if node.name == name)

    def _one_writer(self, call: Any, tenancy: Tenancy) -> None:
        others = [
            one.sender
            for one in tenancy.flying
            if one.sender != call.sender and self._now() < one.at + REQUEST_SECONDS
        ]
        self._require("one-writer", not others, call, f"by {call.sender}, beside {others}")

    def _check_quota(self, call: Any, known: Known, tenancy: Tenancy) -> None:
        """Require that the calls of an hour are no more than what the files allow, whoever makes them."""
        states = [one for one in self.texts.states(self._now()) if call.account in one.accounts]
        said = {one.accounts[call.account].wanted.policy["calls_per_hour"] for one in states}
        limit = next(iter(said)) if len(said) == 1 else None
        if limit != tenancy.limit:
            tenancy.limit, tenancy.limit_since = limit, self._now()
        steady = self._now() - tenancy.limit_since > HOUR_SECONDS + CLOCK_SECONDS
        if isinstance(limit, int) and steady:
            within = [at for at in known.calls if self._counts_at_least_until(at) > self._now()]
            words = f"{len(within)} calls in an hour, {limit} are allowed"
            self._require("quota", len(within) <= limit, call, words)

    def _counts_at_least_until(self, at: float) -> float:
        """Return until when a call counts for every owner.

        An owner that took the account over knows its date by the clock that was set ahead since.
        """
        ahead = sum(span for jumped, span in self._set_ahead if jumped > at)
        return at + HOUR_SECONDS - CLOCK_SECONDS - ahead

    def delivered(self, call: Any, answer: Any) -> None:
        """Hear of an answer that reached a daemon."""
        if self._landed(call):
            self._become(call.sender)
            super().delivered(call, answer)
            if self._hears_date:
                self._dates.add(call.sender)

    def lost(self, call: Any) -> None:
        """Hear of a request for which a daemon got no answer."""
        if self._landed(call):
            super().lost(call)

    def _landed(self, call: Any) -> bool:
        """Take a call from those in flight; say whether its term goes on."""
        if call.path == "/emp/v2/token":
            return True
        tenancy = self._tenancies[call.account]
        return tenancy.flying.pop(call, None) == tenancy.term

    def _check_intent(self, call: Any, device: str) -> None:
        """Require that it is in the database that a device will be unsubscribed."""
        rows = self.daemons.storage._database.read(OPEN_INTENT, (call.account, device))
        self._require("intent-first", bool(rows), call)

    # -- who owns what

    def declared_dead(self, node: Node) -> None:
        """Require that nobody is declared dead who was well, also where the database was away for all."""
        since = node.well_since if node.well_since is not None else self._now()
        well = self._now() - since
        self.promise(
            "false-death",
            f"{node.name} is declared dead, and has been well for {well:.0f} s",
            kept=well <= LEASE_SECONDS + TAKEN_SECONDS,
        )

    def told(self, fleet: Any) -> None:
        """Check what a daemon reads of the fleet: it has to be true, and accounts have to be taken soon."""
        unowned = self._unowned()
        self.promise(
            "unowned-shown",
            f"{fleet.unowned} accounts count as owned by nobody, and {len(unowned)} are",
            kept=fleet.unowned >= len(unowned),
        )
        self._are_taken_soon()

    def _unowned(self) -> set[str]:
        tables = self.daemons.database.tables
        rows = tables.ownership.items()
        return {str(name) for name, row in rows if row.managed and row.owner not in tables.members}

    def _are_taken_soon(self) -> None:
        """Require that an account has a daemon that works within a lease and a little, if there is any that can."""
        database = self.daemons.database
        if not all(node.well or not node.up for node in self.daemons.nodes) or database.away:
            self.settles_later(0.0)
        for name, row in database.tables.ownership.items():
            tenancy = self._tenancies.setdefault(str(name), Tenancy())
            node = self.daemons.node_of(row.owner)
            attended = row.owner in database.tables.members and node is not None and node.up
            if attended or not row.managed or name in database.locked:
                tenancy.unowned_since = None
                continue
            tenancy.unowned_since = tenancy.unowned_since or self._now()
            alone = self._now() - max(tenancy.unowned_since, self._steady_since)
            self.promise(
                "taken-soon",
                f"{name} has been owned by nobody who lives for {alone:.0f} s",
                kept=alone <= LEASE_SECONDS + TAKEN_SECONDS,
            )

    def settles_later(self, seconds: float) -> None:
        """Hear that daemons or the database are not well, or join anew for so long."""
        self._steady_since = max(self._steady_since, self._now() + seconds)

    async def exports_unowned(self) -> None:
        """Require that every daemon that is well shows how many accounts nobody owns."""
        least = len(self._unowned())
        well = [node for node in self.daemons.nodes if node.well]
        if self.daemons.database.away or self._now() < self._steady_since + ROWS_SECONDS:
            return
        for node in well:
            answer = await node.ask("GET", "/metrics")
            found = re.search(
                r"^pcc_accounts_unowned ([0-9.]+)$", answer.text if answer else "", re.MULTILINE
            )
            least = min(least, len(self._unowned()))
            shown = float(found[1]) if found else -1.0
            self.promise(
                "unowned-exported",
                f"{node.name} exports {shown:.0f} accounts that nobody owns, and {least} are",
                kept=not node.well or shown >= least,
            )
