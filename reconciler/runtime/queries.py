"""Answers questions about the running daemon.

Owns: what the process knows at one moment, handed to ``reporting`` in worker threads, as that reads disks and counts
long lists. Must not: know how a question comes in, or change anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from reconciler.api.port import Contact, HeardEvent, HeardEvents, LastHeardOf
from reconciler.controller.queue import Queue
from reconciler.core.model import AccountName
from reconciler.pcc.client import Client
from reconciler.reporting import AccountReport, StatusReport, queries, status_report, views
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.reporting.account_reports import AccountReports
from reconciler.reporting.devices import DeviceList, Devices, listed
from reconciler.reporting.explain import Explanation
from reconciler.reporting.explain.heard import LastEvent
from reconciler.reporting.forecast import Calendar
from reconciler.reporting.heard import KnownEvents
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.moments import IN_UTC, Zone, zone_named
from reconciler.reporting.parameters import insist_on_known, insist_on_values
from reconciler.reporting.queries import AccountDetail, DeviceExplanation, Overview, Page
from reconciler.reporting.registry_reports import (
    RegistryList,
    account_registry,
    asked_for,
    registry_elsewhere,
)
from reconciler.reporting.roster import Rosters
from reconciler.reporting.views import AccountView, SearchView
from reconciler.runtime.health import ProcessHealth
from reconciler.runtime.last_heard import LastHeard
from reconciler.runtime.services.replica import ReplicaService
from reconciler.runtime.setting_values import Mode
from reconciler.runtime.wiring import Components

EVENTS = 50
"""How many events the page shows."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a status is made of, as it is at one moment: values that a thread may look at."""

    known: Knowledge
    trouble: str
    fetched_at: float
    state_trouble: str
    stalled: str
    ahead: timedelta


class DaemonQueries:
    """What people and programs ask the daemon. Explanations are made one at a time: each may read many files."""

    def __init__(
        self,
        components: Components,
        queue: Queue,
        health: ProcessHealth,
        heard: LastHeard,
        replica: ReplicaService | None = None,
    ) -> None:
        self._replica = replica
        self._components, self._queue, self._health = components, queue, health
        self._heard = heard
        self._one_at_a_time = asyncio.Lock()
        self._calendar = Calendar()
        self._rosters = Rosters()
        self._reports = AccountReports()
        self._devices = Devices(self._rosters)

    async def status(self) -> StatusReport:
        """Return the status of everything."""
        return await asyncio.to_thread(self._status, self._moment())

    async def overview(self) -> Overview:
        """Return what the page shows."""
        return await asyncio.to_thread(self._overview, self._moment())

    async def account(self, name: str) -> AccountDetail:
        """Return one account in full."""
        elsewhere = await asyncio.to_thread(self._elsewhere)
        return await asyncio.to_thread(queries.account, self._known(), name, elsewhere)

    async def device(self, account: str, device: str) -> Explanation:
        """Return what is known of one device of one account."""
        async with self._one_at_a_time:
            elsewhere = await asyncio.to_thread(self._elsewhere)
            found = await asyncio.to_thread(
                queries.device, self._known(), account, device, elsewhere
            )
        return (await self._heard.added([found]))[0]

    async def explain(self, device: str, account: str | None) -> DeviceExplanation:
        """Return what is known of a device, in one account or in all of them."""
        async with self._one_at_a_time:
            elsewhere = await asyncio.to_thread(self._elsewhere)
            found = await asyncio.to_thread(
                queries.explain, self._known(), device, account, elsewhere
            )
        return replace(found, accounts=await self._heard.added(found.accounts))

    async def devices(self, asked: Mapping[str, str]) -> DeviceList:
        """Return a part of the list of devices, each with its last event."""
        wanted = listed(asked)
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._devices.page, self._known(), wanted)

    async def history(self, asked: Mapping[str, str]) -> Page:
        """Return past changes."""
        known = self._known()
        return await asyncio.to_thread(queries.history, known, queries.wanted(asked, known.now))

    async def holds(self, revision: str) -> bool:
        """Say whether a commit is in the history of what is in force."""
        return await self._components.informer.holds(revision)

    async def account_view(self, name: str, asked: DevicesAsked) -> tuple[AccountView, Contact]:
        """Return what the page of an account shows."""
        known = self._known()
        async with self._one_at_a_time:
            elsewhere = await asyncio.to_thread(self._elsewhere)
            view = await asyncio.to_thread(
                views.account_view, known, name, asked, self._rosters, elsewhere
            )
        account = AccountName(name)
        if account in elsewhere:
            return view, Contact(elsewhere=True, heard=_heard_in(self._heard, known, account))
        return view, self._contact(known, account)

    async def search(self, words: str) -> SearchView:
        """Return accounts and devices with these words in the name or id."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(views.search, self._known(), words)

    async def events(self) -> HeardEvents:
        """Return the newest events that the receivers have."""
        known = self._known()
        found, troubles = await self._heard.newest(EVENTS)
        return HeardEvents(
            asked=self._heard.receivers,
            events=tuple(_heard_event(known, one) for one in found),
            troubles=tuple(str(one) for one in troubles),
        )

    async def registry(self, asked: Mapping[str, str]) -> RegistryList:
        """Return LG's registry of an account with rules, or of all that have some."""
        insist_on_known(asked, ("account",))
        insist_on_values(asked)
        accounts = self._components.informer.accepted.accounts
        ruled = [name for name, text in sorted(accounts.items()) if text.desired.ruled is not None]
        names = asked_for(asked.get("account"), ruled, accounts)
        return await asyncio.to_thread(self._registry_list, names)

    def _registry_list(self, names: Sequence[AccountName]) -> RegistryList:
        found = []
        elsewhere = self._elsewhere()
        registries = self._components.registries
        for name in names:
            if name in elsewhere:
                found.append(registry_elsewhere(name, elsewhere[name].registry))
            else:
                believed, doubted = registries.believed(name), registries.doubted(name)
                found.append(account_registry(name, believed, doubted))
        return RegistryList(self.now(), tuple(found))

    def _elsewhere(self) -> Mapping[AccountName, AccountReport]:
        """Return what other replicas left of their accounts. It reads the disk: for a worker thread."""
        return {} if self._replica is None else self._replica.elsewhere()

    def now(self) -> datetime:
        """Return the present moment."""
        return self._components.clock.now()

    def zone(self) -> Zone:
        """Return the zone that the desired state names; UTC where it names none."""
        name = self._components.informer.accepted.timezone
        if name is None:
            return IN_UTC
        try:
            return zone_named(name, f"{name}, the timezone of the desired state")
        except ValueError:  # accepted on a machine that knew it
            return IN_UTC

    def _contact(self, known: Knowledge, name: AccountName) -> Contact:
        """Return what is known of an account at LG. It is for the event loop's thread."""
        heard = _heard_in(self._heard, known, name)
        client = self._components.clients(name)
        if not isinstance(client, Client):
            return Contact(trouble=client, heard=heard)
        ends = client.access.expires_at
        return Contact(
            limit=client.quota.limit,
            remaining=client.calls_left,
            token_expires=None if ends is None else datetime.fromtimestamp(ends, UTC),
            renewable=self._is_renewable(name),
            heard=heard,
        )

    def _is_renewable(self, name: AccountName) -> bool:
        credentials = self._components.clients.credentials(name)
        return not isinstance(credentials, str) and credentials.refresh_token is not None

    def _known(self) -> Knowledge:
        """Return what is known at this moment, as values that a thread may look at.

        The event loop waits for this, so the facts of each account are made later, where somebody asks for them.
        """
        components, now = self._components, self._components.clock.now()
        accepted, reconciler = components.informer.accepted, components.reconciler
        return Knowledge(
            now=now,
            accepted=accepted,
            state=components.state,
            kept=components.state.revisions.kept,
            kept_with=components.state.revisions.kept_with,
            statuses=reconciler.accounts.statuses,
            passes=self._queue.timetable(now),
            observing=components.settings.mode is Mode.OBSERVE,
            platforms=reconciler.accounts.platforms,
            claims=components.informer.claims,
            events=self._events(),
            registries=components.registries.news(),
        )

    def _events(self) -> KnownEvents | None:
        hearing = self._components.hearing
        return None if hearing is None else KnownEvents(hearing, hearing.of_accounts())

    def _moment(self) -> _Moment:
        components = self._components
        return _Moment(
            known=self._known(),
            trouble=components.informer.trouble,
            fetched_at=components.informer.fetched_at,
            state_trouble=components.state.trouble,
            stalled=self._health.live(),
            ahead=components.clocks.ahead,
        )

    def _status(self, moment: _Moment) -> StatusReport:
        """Return the status of that moment. It counts long lists and reads the disk: for a worker thread."""
        known = moment.known
        elsewhere = self._elsewhere()
        return status_report(
            known.accepted,
            known.statuses,
            mode=self._components.settings.mode,
            source=self._components.source.kind,
            trouble=moment.trouble,
            fetched_at=moment.fetched_at,
            passes=known.passes,
            now=known.now,
            state_trouble=moment.state_trouble,
            stalled=moment.stalled,
            ahead=moment.ahead,
            overrides=self._components.state.pauses.all(known.now),
            openings=self._components.state.opened_windows.in_force(known.now),
            coming=self._calendar.coming(known.accepted.accounts, known.now),
            events=known.events,
            elsewhere={**self._reports.of_all(known), **elsewhere},
            unowned=0 if self._replica is None else self._replica.fleet.unowned,
        )

    def _overview(self, moment: _Moment) -> Overview:
        return queries.overview(moment.known, self._status(moment))


def _heard_event(known: Knowledge, one: LastEvent) -> HeardEvent:
    """Return an event with what the desired state knows of its device."""
    event = one.event
    accounts = known.claims.listing(event.device)
    account = accounts[0] if accounts else None
    return HeardEvent(
        id=event.id,
        received=event.received,
        device=event.device,
        name=known.names(account, [event.device]).get(event.device, "")
        if account is not None
        else "",
        account=account or "",
        diagnosis=event.diagnosis or event.push_type,
        category=event.category or "",
        deliveries=one.deliveries,
    )


def _heard_in(heard: LastHeard, known: Knowledge, name: AccountName) -> LastHeardOf | None:
    if not heard.receivers:
        return None
    last = heard.last_in(name)
    if last is None:
        return LastHeardOf()
    called = known.names(name, [last.device]).get(last.device)
    return LastHeardOf(last.received, last.device, called)
