"""The source of the desired state, which one replica reads for all.

Owns: whether this replica is the one, and what it lets the others know. Must not: read the source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from reconciler.controller.informer import Informer
from reconciler.core.acceptance import Accepted
from reconciler.core.clock import Clock
from reconciler.core.errors import StateError
from reconciler.core.model import AccountName, Revision
from reconciler.core.replicas import SOURCE_WAIT_SECONDS, Descent, SourceWait
from reconciler.runtime.replicas import marks
from reconciler.runtime.replicas.clock import FleetClock
from reconciler.runtime.replicas.tenure import ReplicaTenure
from reconciler.state import Group, Revisions
from reconciler.state.coordination import Acceptance, Coordination, Source, Verdict

PAUSED_SECONDS = 300.0
"""A replica that could not read the source does not take it again for this long, while another one lives."""
FAILED_LOOKS = 3
"""After this many readings in a row that failed, another replica may try."""

log = structlog.get_logger()


class ReplicatedSource:
    """This replica's part in reading the source. ``epoch`` is None while another replica reads.

    ``unpublished``: the database did not take the newest revision, so it is read again.
    """

    behind = (
        "source behind: what it shows is older than what another replica read, so it waits for"
        f" something newer, for `reconcile`, or for {SOURCE_WAIT_SECONDS / 60:.0f} minutes"
    )

    def __init__(
        self, coordination: Coordination, tenure: ReplicaTenure, clock: FleetClock
    ) -> None:
        self.epoch: int | None = None
        self._begun = False
        self._coordination, self._tenure, self._clock = coordination, tenure, clock
        self._wait: SourceWait | None = None
        self._earlier: frozenset[str] = frozenset()
        self._published: bytes | None = None
        self.unpublished = False
        self._not_before = 0.0
        self._boottime: Callable[[], float] = tenure.boottime

    @property
    def reads(self) -> bool:
        """Say whether this replica reads the source: it has taken it, and has in force what was accepted before."""
        return self.epoch is not None and self._begun

    @property
    def waits(self) -> bool:
        """Say whether the source is behind."""
        return self._wait is not None and self._wait.waits

    @property
    def doubts(self) -> bool:
        """Say whether what the source shows has to be compared with what was accepted elsewhere."""
        return self._wait is None or not self._wait.over

    def may_take(self, *, others: bool) -> bool:
        """Say whether this replica may take the source. ``others`` live beside it."""
        return not others or self._boottime() >= self._not_before

    def look(self) -> bool:
        """Take the source if nobody alive has it, and say whether that is news. For a worker thread."""
        source, me = self._coordination.source, self._tenure.me
        epoch = source.take(me)
        if epoch == self.epoch or self._tenure.me != me:  # or this life ended meanwhile
            return False
        if epoch is not None:
            self._earlier = source.earlier(self._clock.now()) - newest(source.verdict())
        self._wait, self._published, self._begun, self.epoch = None, None, False, epoch
        return epoch is not None

    def begin(self) -> None:
        """Take that what was accepted before this term is in force here, so that readings can be compared with it."""
        self._begun = True

    def give_up(self, failures: int, *, others: bool) -> bool:
        """Say whether another replica should try to read the source, after failures in a row."""
        if self.epoch is None or failures < FAILED_LOOKS or not others:
            return False
        self._not_before = self._boottime() + PAUSED_SECONDS
        return True

    def shed(self) -> None:
        """Free the source. For a worker thread."""
        epoch, self.epoch = self.epoch, None
        if epoch is not None:
            self._coordination.source.shed(self._tenure.me, epoch)

    def lost(self) -> None:
        """Take that another replica reads the source."""
        self.epoch = None

    def person_agrees(self) -> None:
        """Wait no longer for a source that is behind."""
        if self._wait is not None:
            self._wait.end()

    def comes_into_force(
        self, newest: Revision | None, found: Revision, descent: Descent | None
    ) -> bool:
        """Say whether what the source shows may come into force."""
        if self._wait is None:
            self._wait = SourceWait(newest, self._earlier)
        waited = self._wait.waits
        comes = self._wait.look(found, descent, self._boottime())
        if self._wait.waits and not waited:
            log.warning("source.behind", revision=str(found), accepted=str(newest))
        return comes

    async def publish(
        self,
        before: Accepted,
        after: Accepted,
        changed: frozenset[AccountName],
        groups: tuple[Group, ...],
    ) -> str:
        """Let all replicas have a revision. Return why that was not possible."""
        acceptance = acceptance_of(before, after, changed, groups, self._clock.now())
        if acceptance.verdict == self._published and not changed and not groups:
            return ""
        epoch = self.epoch
        if epoch is None:
            return "another replica reads the source now"
        accept = self._coordination.source.accept
        self.unpublished = True
        try:
            taken = await asyncio.to_thread(accept, self._tenure.me, epoch, acceptance)
        except StateError as error:
            return f"the newest revision cannot be written for the other replicas: {error}"
        self.unpublished = False
        self._tenure.nudge()
        if not taken:
            self.lost()
            return "another replica reads the source now"
        self._published = acceptance.verdict
        return ""


class SoleSource:
    """The source for a command that keeps all replicas away: what it accepts is in force for those that come later."""

    behind = ""
    reads = True
    doubts = False

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source, self._clock = source, clock

    async def recall(self, informer: Informer, revisions: Revisions) -> None:
        """Bring into force what the replicas accepted as last."""
        verdict = await asyncio.to_thread(self._source.verdict)
        if verdict.content:
            kept = await asyncio.to_thread(revisions.kept)
            await informer.adopt(tuple(kept), marks.read(verdict.content).on)

    def comes_into_force(
        self, newest: Revision | None, found: Revision, descent: Descent | None
    ) -> bool:
        """Say yes: a person has chosen what the source shows."""
        del newest, found, descent
        return True

    async def publish(
        self,
        before: Accepted,
        after: Accepted,
        changed: frozenset[AccountName],
        groups: tuple[Group, ...],
    ) -> str:
        """Let the replicas that come later have a revision. Return why that was not possible."""
        acceptance = acceptance_of(before, after, changed, groups, self._clock.now())
        try:
            taken = await asyncio.to_thread(self._source.accept_alone, acceptance)
        except StateError as error:
            return str(error)
        return "" if taken else "a replica has begun to work meanwhile"


def newest(verdict: Verdict) -> frozenset[str]:
    """Return the digest of what was read last, in force or not: whoever finds that is not behind."""
    found = marks.read(verdict.content).newest if verdict.content else None
    return frozenset() if found is None else frozenset({found.sha256})


def acceptance_of(
    before: Accepted,
    after: Accepted,
    changed: frozenset[AccountName],
    groups: tuple[Group, ...],
    now: datetime,
) -> Acceptance:
    """Return how what is in force is written for all replicas.

    What was in force until now is written as an earlier revision of this moment, however long ago it was accepted.
    """
    read = (before.revision, before.newest, after.revision, after.newest)
    return Acceptance(
        managed=frozenset(after.accounts),
        changed=changed,
        verdict=marks.written(after),
        at=now,
        digests=frozenset(one.sha256 for one in read if one is not None),
        retired=after.retired - before.retired,
        groups=groups,
    )
