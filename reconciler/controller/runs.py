"""Begins passes.

Owns: what a pass is at its start, and the context of its log lines.
Must not: call LG, or decide anything.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

import structlog

from reconciler.controller.accounts import Accounts
from reconciler.controller.clocks import Clocks
from reconciler.controller.dependencies import Dependencies
from reconciler.core import windows
from reconciler.core.acceptance import AccountRevision
from reconciler.core.account import AccountState
from reconciler.core.guards import PauseOverride
from reconciler.core.model import PassId
from reconciler.core.run import Run


class Runs:
    """Makes the value that describes one pass."""

    def __init__(self, dependencies: Dependencies, clocks: Clocks, accounts: Accounts) -> None:
        self._with = dependencies
        self._clocks = clocks
        self._accounts = accounts

    def keep_time(self) -> None:
        """Take a step of the wall clock, if there was one: every wait lasts for as long as it would have."""
        step = self._clocks.step()
        if step:
            self._with.state.reset(step, self._clocks.now())
            self._accounts.shift(step)

    def begin(self, accepted: AccountRevision) -> Run:
        """Return one pass as it begins, and remember what the account wants."""
        self.keep_time()
        now = self._clocks.now()
        return self._run(accepted, self._accounts.begin(accepted.desired, now), now)

    def suppose(self, proposed: AccountRevision) -> Run:
        """Return a pass as it would begin if this revision were in force. Nothing is remembered."""
        self.keep_time()
        return self._run(
            proposed, self._accounts.state(proposed.desired.account), self._clocks.now()
        )

    def refreshed(self, run: Run) -> Run:
        """Return the pass with what is known now of its start: LG's answers may have shown its time."""
        state, desired = self._with.state, run.desired
        openings = state.opened_windows.in_force(run.began) if desired.windows else ()
        pause = state.pauses.of(run.name, run.began)
        mine = windows.relevant(desired.windows, openings)
        return self._clocks.dated(replace(run, pause_override=pause, openings=mine))

    def _run(self, accepted: AccountRevision, account: AccountState, now: datetime) -> Run:
        begun = Run(
            id=PassId(self._with.pass_id()),
            accepted=accepted,
            account=account,
            began=now,
            steady=self._clocks.steady(),
            theirs=None,
            sure=now,
            boundary=None,
            pause_override=PauseOverride(),
            observing=self._with.observing,
            term=self._with.tenure.term(accepted.desired.account),
        )
        return self.refreshed(begun)


def log_context(run: Run) -> AbstractContextManager[None]:
    """Return a block in which every log line names the pass it is of."""
    bound = structlog.contextvars.bound_contextvars
    return bound(account=run.name, pass_id=run.id, revision=str(run.accepted.revision))
