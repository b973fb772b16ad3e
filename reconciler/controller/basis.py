"""What the plan of one pass rests on.

Owns: the one question that is asked right before each call: is any of it another by now?
Must not: make a call, or say what follows where a plan is outdated.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from reconciler.controller.clocks import Clocks
from reconciler.controller.dependencies import Dependencies
from reconciler.core import windows
from reconciler.core.acceptance import AccountRevision
from reconciler.core.evaluate import Verdict
from reconciler.core.model import AccountName
from reconciler.core.run import Run
from reconciler.pcc.client import Client


class InForce(Protocol):
    """Knows which revision is in force."""

    def current(self, account: AccountName) -> AccountRevision | None:
        """Return what is in force for an account, or None if it has left."""


class Basis:
    """What the plan of one pass rests on: revision, pause, windows, state, user, other accounts, clocks."""

    def __init__(  # noqa: PLR0917 - one pass, and what it is compared with
        self,
        run: Run,
        verdict: Verdict,
        client: Client,
        in_force: InForce,
        dependencies: Dependencies,
        clocks: Clocks,
    ) -> None:
        self._run = run
        self._verdict = verdict
        self._client = client
        self._in_force = in_force
        self._with = dependencies
        self._clocks = clocks
        self._claims_version = verdict.claims_version
        self._claimed = False

    def outdated(self) -> bool:
        """Say whether any of it is another by now."""
        return (
            self._lost()
            or self._claimed_by_others()
            or self._stopping_or_edited()
            or self._paused_or_moved()
        )

    def _lost(self) -> bool:
        """Say whether another replica may act on the account, or knows of another revision or pause."""
        tenure, run = self._with.tenure, self._run
        return tenure.term(run.name) != run.term or not tenure.may_change(run.name)

    def _claimed_by_others(self) -> bool:
        """Say whether another account wants a device that is to go now. What an approval releases may go all the same.

        Others are asked only where one of them changed, and once one wants a device, the plan stays outdated.
        """
        claims, run = self._with.claims, self._run
        if self._claimed or claims.version == self._claims_version:
            return self._claimed
        self._claims_version = claims.version
        plan = self._verdict.plan
        going = [
            change.device for change in plan.unsubscribes if change.device not in plan.approved
        ]
        now = self._clocks.within(run)
        self._claimed = bool(claims.by_either_clock(run.name, going, now, self._clocks.theirs(now)))
        return self._claimed

    def _stopping_or_edited(self) -> bool:
        run = self._run
        return self._with.stopping() or not run.accepted.decides_like(
            self._in_force.current(run.name)
        )

    def _opened_or_closed(self, now: datetime) -> bool:
        """Say whether a command opened a change window since, or one of its openings ended."""
        mine = self._run.desired.windows
        if not mine:
            return False
        openings = windows.relevant(mine, self._with.state.opened_windows.in_force(now))
        return openings != self._run.openings

    def _paused_or_moved(self) -> bool:
        run, state, now = self._run, self._with.state, self._clocks.within(self._run)
        if run.boundary is not None and run.boundary <= now:
            return True
        if state.writable is not self._verdict.situation.memory.writable:
            return True
        if state.pauses.of(run.name, now) != run.pause_override or self._opened_or_closed(now):
            return True
        return not self._client.same_user or self._clocks.moved(run)
