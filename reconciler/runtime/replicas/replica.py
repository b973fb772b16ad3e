"""One life of one replica: it joins, renews its lease, and notices that it was declared dead.

Owns: the member's id, its lease, and the clock of the fleet. Must not: know which accounts it owns.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from reconciler import __version__
from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.core.replicas import (
    RENEWAL_LIMIT_SECONDS,
    Lease,
    Member,
    MemberId,
    Renewals,
    Watch,
)
from reconciler.runtime.replicas.clock import FleetClock
from reconciler.runtime.replicas.source import ReplicatedSource
from reconciler.runtime.replicas.tenure import ReplicaTenure
from reconciler.state.coordination import Coordination

AGAIN_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """How a replica takes part: its lease and the longest call in seconds, and how many calls are in flight at once."""

    lease: float
    request_timeout: float
    concurrency: int


class Replica:
    """This process as one of several replicas. ``changes`` is the last number that showed something to read."""

    def __init__(
        self,
        coordination: Coordination,
        clock: Clock,
        boottime: Callable[[], float],
        unique: Callable[[], UUID],
        terms: Terms,
    ) -> None:
        self.coordination, self.boottime = coordination, boottime
        self.lease = Lease(terms.lease, terms.request_timeout)
        self.clock = FleetClock(clock, boottime)
        self.tenure = ReplicaTenure(
            coordination.ownership,
            self.lease,
            boottime,
            concurrency=terms.concurrency,
            tokens=coordination.tokens,
        )
        self.source = ReplicatedSource(coordination, self.tenure, self.clock)
        self.watch = Watch(MemberId(""))
        self.changes = -1
        self.trouble = ""
        self._unique, self.name = unique, socket.gethostname()
        self._renewals: Renewals | None = None

    @property
    def lives(self) -> bool:
        """Say whether this replica is a member, and its lease lasts."""
        return self._renewals is not None and self.lease.lasts(self.boottime())

    async def join(self, stopping: Callable[[], bool]) -> None:
        """Become a member, however long the database is away. Returns also where the process is to end."""
        joined = stopping() or await self._joined()
        while not joined:
            await asyncio.sleep(AGAIN_SECONDS)
            joined = stopping() or await self._joined()

    async def _joined(self) -> bool:
        me = MemberId(self._unique().hex)
        member = Member(me, self.name, __version__, self.lease.seconds)
        sent = self.boottime()
        try:
            renewal = await asyncio.to_thread(self.coordination.members.join, member)
        except StateError as error:
            self._note(str(error))
            return False
        self._note("")
        self.tenure.me, self.watch = me, Watch(me)
        self._renewals = Renewals(renewal.server, renewal.beat)
        self.lease.renewed(sent)
        self.clock.heard(renewal.now, sent)
        self.changes = -1
        log.info("replica.joined", member=me)
        return True

    async def beat(self) -> str:
        """Renew the lease. Return why this life is over, or an empty string."""
        renewals = self._renewals
        if renewals is None:
            return "it is not a member"
        sent = self.boottime()
        renewals.sending()
        try:
            async with asyncio.timeout(RENEWAL_LIMIT_SECONDS):
                renewal = await self.coordination.members.renew(self.tenure.me)
        except TimeoutError:
            self._note(f"the database did not answer within {RENEWAL_LIMIT_SECONDS:.0f} s")
            return ""
        except StateError as error:
            self._note(str(error))
            return ""
        self._note("")
        if renewal is None:
            return "the others declared it dead"
        exchanged = renewals.answered(renewal.server, renewal.beat)
        if exchanged is not None:
            return f"the database was exchanged: {exchanged}"
        self.lease.renewed(sent)
        self.clock.heard(renewal.now, sent)
        if renewal.changes != self.changes:
            self.changes = renewal.changes
            self.tenure.nudge()
        return ""

    def end_life(self, why: str) -> None:
        """Own nothing and read nothing any more."""
        log.warning("replica.lost", member=self.tenure.me, error=why)
        self._renewals = None
        self.lease.lost()
        self.source.lost()

    def longest_lease(self) -> float:
        """Return how long a member that nobody hears of may still act, for a database that was exchanged."""
        return max(self.lease.seconds, self.watch.longest_lease)

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("replica.trouble", error=trouble)
        elif self.trouble and not trouble:
            log.info("replica.trouble_over")
        self.trouble = trouble
