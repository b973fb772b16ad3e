"""One pass of one account: observe, plan, guard, act, record.

Owns: that sentence.
Must not: retry (the queue does), decide (``core.evaluate`` does), or change a device except through the executor.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from reconciler.controller.accounts import Accounts
from reconciler.controller.basis import Basis, InForce
from reconciler.controller.clocks import Clocks
from reconciler.controller.dependencies import Dependencies
from reconciler.controller.executor import execute
from reconciler.controller.lists import Lists
from reconciler.controller.previews import Previews
from reconciler.controller.recorder import Recorder
from reconciler.controller.reports import Reports
from reconciler.controller.runs import Runs, log_context
from reconciler.core.evaluate import Verdict, evaluate
from reconciler.core.model import AccountName, Digest
from reconciler.core.run import PassAborted, Run, Work
from reconciler.pcc.client import Client


class Reconciler:
    """Makes passes. ``in_force`` and ``clients`` answer for the moment they are asked, a client or why there is none.

    ``accounts`` is what each account carries from pass to pass. ``previews`` asks what a pass would do.
    """

    def __init__(
        self,
        in_force: InForce,
        clients: Callable[[AccountName], Client | str],
        dependencies: Dependencies,
    ) -> None:
        self._in_force = in_force
        self._clients = clients
        self._with = dependencies
        self._clocks = Clocks(dependencies.clock, dependencies.two_clocks)
        self.accounts = Accounts(clients, dependencies.wake)
        self.previews = Previews(in_force, clients, dependencies, self._clocks, self.accounts)
        self._runs = Runs(dependencies, self._clocks, self.accounts)
        self._lists = Lists(self._clocks, dependencies.random)
        self._reports = Reports(dependencies, self._clocks)
        self._recorder = Recorder(dependencies, self._clocks, self.accounts.twins)

    def keep_time(self) -> None:
        """Take a step of the wall clock, if there was one: every wait lasts for as long as it would have."""
        self._runs.keep_time()

    async def reconcile(
        self, account: AccountName, expect: Digest | None = None
    ) -> timedelta | None:
        """Make one pass and return when the next is due, or None where the account has left the desired state.

        With ``expect`` nothing is changed unless the plan's unsubscribes are exactly those of that digest.
        """
        accepted = self._in_force.current(account)
        if accepted is None or not self._with.tenure.owned([account]):
            self.forget(account)
            return None
        run = self._runs.begin(accepted)
        with log_context(run):
            try:
                await self._with.tenure.compare_tokens(account)
                return await self._pass(run, self._clients(account), expect)
            except Exception:
                self._recorder.crashed(run)
                raise

    def forget(self, account: AccountName) -> None:
        """Drop what is carried for an account that left, or that another replica works on."""
        self.accounts.forget(account)
        self._recorder.forget(account)

    async def _pass(self, run: Run, client: Client | str, expect: Digest | None) -> timedelta:
        """Observe, plan, guard, act, record; return when to come back."""
        try:
            client = self._lists.admit(run, client)
            observed = await self._lists.read(run, client)
            run = self._runs.refreshed(run)
            observed, memory = await self._recorder.learn(run, observed, client.credential)
            room = self.accounts.room(client.service, run.began)
            verdict = evaluate(
                run.situation(observed, memory, room), self._with.claims, self._with.random
            )
            await self._recorder.settle(run, verdict)
            work = await self._execute(run, verdict, client, expect)
            report, contact = self._reports.executed(run, verdict, work, client)
        except PassAborted as aborted:
            report, contact = self._reports.without_list(run, aborted), aborted.contact
        report = await self._reports.named(report)
        before, after = self.accounts.end(run, report, contact)
        self._recorder.record(run, before, after, report, client)
        if report.made_room and isinstance(client, Client):
            self.accounts.note_room(client.service)
        await self._recorder.keep_quota(run, client)
        self._recorder.ended(run, report)
        return self._reports.rest(run, report)

    async def _execute(
        self, run: Run, verdict: Verdict, client: Client, expect: Digest | None
    ) -> Work:
        """Make the changes that may be made now."""
        if expect is not None and verdict.plan.digest != expect:
            return Work(unexpected=True)
        if not verdict.plan.changes:
            return Work()
        basis = Basis(run, verdict, client, self._in_force, self._with, self._clocks)
        client.outdated = basis.outdated
        client.fresh_seconds = self._with.tenure.fresh_seconds
        try:
            work = await execute(
                verdict.plan,
                client,
                self._recorder.journal(run, verdict),
                outdated=basis.outdated,
                concurrency=self._with.concurrency,
                clock=self._with.clock,
                batch=self._with.tenure.batch,
                fresh_seconds=self._with.tenure.fresh_seconds,
            )
        finally:
            client.outdated = bool
        if work.full is not None:
            self.accounts.note_full(client.service, work.full, self._clocks.within(run))
        return work
