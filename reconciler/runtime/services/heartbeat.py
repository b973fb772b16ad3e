"""Tells the outside again and again that every account has its passes, or which one has none.

Owns: when a heartbeat is sent, and that a failure is one line of the log until it ends.
Must not: hold up a pass: a service outside that is down costs nothing.

A replica that has lost touch with the others sends nothing: it does not know how the accounts are. Whoever waits for
the heartbeats alarms then, unless another replica sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from reconciler.core.clock import Clock
from reconciler.reporting import StatusReport
from reconciler.reporting.heartbeat import Punctuality, Verdict

EVERY_SECONDS = 60.0

log = structlog.get_logger()


class Outside(Protocol):
    """Where heartbeats go."""

    async def send(self, text: str, *, well: bool) -> str:
        """Send one, and return why it was not taken, or no text."""

    async def close(self) -> None:
        """Close the connections."""


class Membership(Protocol):
    """Whether this replica is in touch with the others."""

    @property
    def lives(self) -> bool:
        """Say whether it knows how their accounts are."""


class Shown(Protocol):
    """Shows when the outside last took a heartbeat."""

    def taken(self, at: float) -> None:
        """Take a moment, in seconds since 1970."""


class HeartbeatService:
    """Sends a heartbeat every ``every`` seconds. ``member`` is None where one daemon runs alone."""

    name = "heartbeat"
    grace = 0.0

    def __init__(
        self,
        outside: Outside,
        status: Callable[[], Awaitable[StatusReport]],
        punctuality: Punctuality,
        shown: Shown,
        clock: Clock,
        *,
        member: Membership | None = None,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._outside, self._status, self._punctuality = outside, status, punctuality
        self._shown, self._clock, self._member, self._every = shown, clock, member, every
        self._stopped = asyncio.Event()
        self._failure = ""
        self._late = False

    async def run(self) -> None:
        """Send until ``stop``."""
        try:
            while not self._stopped.is_set():
                await self.beat()
                try:
                    async with asyncio.timeout(self._every):
                        await self._stopped.wait()
                except TimeoutError:
                    continue
        finally:
            await self._outside.close()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()

    async def beat(self) -> None:
        """Judge the accounts, and say so outside, unless it is not known yet how they are."""
        beat = self._punctuality.judge(await self._status())
        if beat.verdict is Verdict.UNKNOWN or not (self._member is None or self._member.lives):
            return
        well = beat.verdict is Verdict.ON_TIME
        self._note_lateness(beat.text, late=not well)
        failure = await self._outside.send(beat.text, well=well)
        self._note_failure(failure)
        if well and not failure:
            self._shown.taken(self._clock.now().timestamp())

    def _note_lateness(self, words: str, *, late: bool) -> None:
        if late and not self._late:
            log.warning("heartbeat.late", reason=words.strip().splitlines()[-1])
        elif self._late and not late:
            log.info("heartbeat.on_time")
        self._late = late

    def _note_failure(self, failure: str) -> None:
        """Write to the log when heartbeats begin or cease to fail, and only then."""
        if failure and not self._failure:
            log.warning("heartbeat.failed", error=failure)
        elif self._failure and not failure:
            log.info("heartbeat.taken")
        self._failure = failure
