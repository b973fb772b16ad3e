"""What a pass would do: the same question as the pass asks, without consequences.

Owns: the dry run, the plan for a list that was read already, and the plan for proposed files.
Must not: change a device, or remember anything of the account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from reconciler.controller.accounts import Accounts
from reconciler.controller.basis import InForce
from reconciler.controller.clocks import Clocks
from reconciler.controller.dependencies import Dependencies
from reconciler.controller.lists import Lists
from reconciler.controller.reports import Reports
from reconciler.controller.runs import Runs, log_context
from reconciler.core import approvals
from reconciler.core.acceptance import AccountRevision, Claims
from reconciler.core.account import Contact
from reconciler.core.errors import PlatformError
from reconciler.core.evaluate import Verdict, edited, evaluate
from reconciler.core.model import AccountName, Memory, Observed, Plan, Reason
from reconciler.core.protection import NOTHING_STATED, Stated
from reconciler.core.rules import Registry
from reconciler.core.run import PassAborted, Run, Work
from reconciler.core.status import PassReport
from reconciler.core.summary import Remainder, summarize
from reconciler.pcc.client import Client


class Previews:
    """Asks what passes would do."""

    def __init__(
        self,
        in_force: InForce,
        clients: Callable[[AccountName], Client | str],
        dependencies: Dependencies,
        clocks: Clocks,
        accounts: Accounts,
    ) -> None:
        self._in_force = in_force
        self._clients = clients
        self._with = dependencies
        self._accounts = accounts
        self._runs = Runs(dependencies, clocks, accounts)
        self._lists = Lists(clocks, dependencies.random)
        self._reports = Reports(dependencies, clocks)

    async def dry_run(self, account: AccountName) -> PassReport | None:
        """Return what a pass would do and hold. Nothing is changed and nothing remembered."""
        accepted = self._in_force.current(account)
        if accepted is None:
            return None
        run = self._runs.begin(accepted)
        with log_context(run):
            try:
                client = self._lists.admit(run, self._clients(account))
                observed = await self._lists.read(run, client)
            except PassAborted as aborted:
                return self._reports.without_list(run, aborted)
            run = self._runs.refreshed(run)
            verdict = self._evaluate(run, observed, client)
            planned = self._reports.planned(run, verdict)
            return replace(
                planned, remarks=(*planned.remarks, *await self._read_registry(run, client))
            )

    async def _read_registry(self, run: Run, client: Client) -> tuple[str, ...]:
        """Return what a person should know of LG's registry, where the account has rules; that takes one more GET."""
        if run.desired.ruled is None:
            return ()
        registries = self._with.registries
        try:
            registry = Registry(await client.registered(), run.began)
        except PlatformError as error:
            registries.failed(run.desired, f"it cannot be read: {error}")
        else:
            registries.take(run.desired, registry)
        return self._registry_remarks(run)

    def _registry_remarks(self, run: Run) -> tuple[str, ...]:
        found = self._with.registries.of(run.desired)
        return () if found is None else found.remarks

    def weigh(self, account: AccountName, observed: Observed) -> Plan | None:
        """Return what a pass would do and hold by this list. Nothing is asked, changed or remembered."""
        accepted, client = self._in_force.current(account), self._clients(account)
        if accepted is None or isinstance(client, str):
            return None
        return self._evaluate(self._runs.begin(accepted), observed, client).plan

    def _evaluate(self, run: Run, observed: Observed, client: Client) -> Verdict:
        self._with.state.accounts.credential(run.name, client.credential)
        memory = self._with.state.accounts.recall(run.name, run.began)
        room = self._accounts.room(client.service, run.began)
        situation = run.situation(observed.sharing(memory.expected), memory, room)
        return evaluate(situation, self._with.claims, self._with.random)

    def preview(
        self,
        proposed: AccountRevision,
        claims: Claims,
        stated: Stated = NOTHING_STATED,
        *,
        listed: Mapping[AccountName, datetime] = MappingProxyType({}),
    ) -> PassReport:
        """Return what a pass on a proposed revision would do and hold, by the last trusted list. Calls nobody.

        ``claims`` are those of all that is proposed with it, and ``stated`` is what all of it changes in protection. An
        account that is not in force yet has no list, so only its subscribes can be shown. ``listed`` is when the last
        list was trusted of accounts on which this process does not work.
        """
        run = self._runs.suppose(proposed)
        in_force = self._in_force.current(run.name)
        memory = self._with.state.accounts.glance(run.name, run.began)
        if memory.expected is None and in_force is not None:
            why = "no live list of this account was trusted yet"
            return self._reports.without_list(
                run, PassAborted(Reason.RETRY, why, run.began, Contact())
            )
        if in_force is not None:
            memory = edited(memory, run.desired.edited_since(in_force.desired))
        memory = replace(memory, protected=stated.on(memory.protected))
        observed = Observed(memory.expected or frozenset(), run.began)
        platform = self._accounts.platform(run.name)
        verdict = evaluate(run.situation(observed, memory, platform), claims, self._with.random)
        report = summarize(
            run, verdict, Work(), Remainder(contact=Contact()), memory, due=run.began
        )
        basis = _basis(memory, run.account.status.last_success or listed.get(run.name))
        ended = approvals.remarks(run.desired, observed.devices, run.began)
        names = self._with.state.names.of(run.name, report.going)
        remarks = (basis, *ended, *self._registry_remarks(run))
        return replace(report, rejected=None, remarks=remarks, names=names)


def _basis(memory: Memory, last: datetime | None) -> str:
    """Return a sentence that says which list a preview rests on."""
    if memory.expected is None:
        return "The live list of a new account is not known yet, so it counts as empty."
    if last is None:
        return "planned on the last trusted list"
    return f"planned on the last trusted list, of {last:%Y-%m-%dT%H:%M:%SZ}"
