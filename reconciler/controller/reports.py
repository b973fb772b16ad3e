"""Makes the report of a pass, and says when the next one is due.

Owns: what ``core.summary`` and ``core.schedule`` get: the memory after the pass, the regular time of the next pass, and
the present moment.
Must not: write anything down, or report it to anybody.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.controller.clocks import Clocks
from reconciler.controller.dependencies import Dependencies
from reconciler.core.account import Contact
from reconciler.core.evaluate import Verdict, evaluate
from reconciler.core.model import Observed, Reason
from reconciler.core.run import PassAborted, Run, Work
from reconciler.core.schedule import due_while_stopped, next_due, read_again
from reconciler.core.status import PassReport
from reconciler.core.summary import Remainder, remainder, summarize, summarize_without_list
from reconciler.desired import INLINE
from reconciler.pcc.client import Client

LONGEST_REST = timedelta(hours=1, seconds=10)
"""An account is due again after this at the latest, or after its interval: nothing that it waits for takes longer."""


class Reports:
    """Makes reports of passes."""

    def __init__(self, dependencies: Dependencies, clocks: Clocks) -> None:
        self._with = dependencies
        self._clocks = clocks

    def executed(
        self, run: Run, verdict: Verdict, work: Work, client: Client
    ) -> tuple[PassReport, Contact]:
        """Return the report of a pass with a list, and how LG treated the account."""
        opens = client.opens_for_pass(len(work.left))
        now = self._clocks.within(run)
        left = remainder(run, verdict, work, now=now, opens=opens, random=self._with.random)
        return self._report(run, verdict, work, left), left.contact

    def planned(self, run: Run, verdict: Verdict) -> PassReport:
        """Return the report of a pass with a list that makes no call."""
        return self._report(run, verdict, Work(), Remainder())

    def _report(self, run: Run, verdict: Verdict, work: Work, left: Remainder) -> PassReport:
        now = self._clocks.within(run)
        memory = self._with.state.accounts.recall(run.name, now)
        due = read_again(verdict, now, self._with.confirm_delay)
        if due is None:
            due = next_due(
                run, verdict, work, left, now=now, regular=self._regular(now), waits=memory.retries
            )
        return summarize(run, verdict, work, left, memory, due=due)

    def without_list(self, run: Run, aborted: PassAborted) -> PassReport:
        """Return the report of a pass without a list, based on the last trusted one."""
        memory = self._with.state.accounts.recall(run.name, run.began)
        verdict = None
        if memory.expected is not None:
            situation = run.situation(
                Observed(memory.expected, run.began), memory, aborted.platform
            )
            verdict = evaluate(situation, self._with.claims, self._with.random)
        due = aborted.until
        if aborted.reason is Reason.ACCOUNT_STOPPED:
            due = due_while_stopped(run, aborted, self._regular(self._clocks.within(run)))
        return summarize_without_list(run, verdict, aborted, due=due)

    async def named(self, report: PassReport) -> PassReport:
        """Return a report with the names that an approval block of it shows. More are not kept with each account."""
        devices = report.needs_approval
        if not devices or len(devices) > INLINE:
            return report
        names = await self._with.blocking(
            self._with.state.names.of, report.desired.account, devices
        )
        return replace(report, names=names)

    def rest(self, run: Run, report: PassReport) -> timedelta:
        """Return in how long the next pass is due."""
        longest = max(self._with.interval * 1.1, LONGEST_REST)
        return min(max(report.due - self._clocks.within(run), timedelta(0)), longest)

    def _regular(self, now: datetime) -> datetime:
        """Return when a pass is due by the clock alone, spread so that accounts do not march in step."""
        return now + self._with.interval * (0.9 + 0.2 * self._with.random())
