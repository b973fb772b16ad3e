"""Asks all receivers for the newest events, of one device or of all, while a person waits.

Owns: how long that may take, and which answer counts. Must not: fail for a receiver that gives none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from reconciler.api.client.receivers import LATEST_SECONDS, Ask, ask_receiver, latest, newest
from reconciler.controller.hearing import Hearing
from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError
from reconciler.core.heard import Heard
from reconciler.core.model import AccountName, DeviceId
from reconciler.reporting.explain import Explanation
from reconciler.reporting.explain.heard import LastEvent, event_report


class LastHeard:
    """The receivers of this daemon, for a question about one device."""

    def __init__(
        self,
        addresses: Sequence[str],
        token: Callable[[], str | None],
        hearing: Hearing | None,
        clock: Clock,
        asking: Ask = ask_receiver,
    ) -> None:
        self._addresses, self._token, self._hearing = addresses, token, hearing
        self._clock, self._asking = clock, asking

    async def added(self, stories: Sequence[Explanation]) -> tuple[Explanation, ...]:
        """Return explanations of one device with its last event; as they are where no receiver is asked."""
        if self._hearing is None or not stories:
            return tuple(stories)
        device = DeviceId(stories[0].device)
        answers = await asyncio.gather(*(self._ask(one, device) for one in self._addresses))
        known = self._hearing.last(device)
        found = [one for one in answers if isinstance(one, LastEvent)]
        if known is not None:
            found.append(LastEvent(known))
        if not found and not any(one is None for one in answers):
            return tuple(stories)
        last = max(
            found,
            key=_received,
            default=None,
        )
        now = self._clock.now()
        added = []
        for one in stories:
            wrong = self._hearing.contradicts(AccountName(one.account), device)
            report = event_report(last, one, now, contradicted=wrong)
            added.append(replace(one, heard=report))
        return tuple(added)

    @property
    def receivers(self) -> int:
        """Return how many receivers are asked."""
        return len(self._addresses) if self._hearing is not None else 0

    def last_in(self, account: AccountName) -> Heard | None:
        """Return the last event of an account that is known without asking; None where there is none."""
        if self._hearing is None:
            return None
        heard = self._hearing.of_accounts().get(account)
        return None if heard is None else heard.last

    async def newest(self, limit: int) -> tuple[list[LastEvent], list[ReconcilerError]]:
        """Return the newest events of all receivers, newest first, and why some gave none."""
        addresses = self._addresses if self._hearing is not None else ()
        answers = await asyncio.gather(*(self._ask_newest(one, limit) for one in addresses))
        troubles = [one for one in answers if isinstance(one, ReconcilerError)]
        events = [one for found in answers if isinstance(found, list) for one in found]
        return sorted(
            events,
            key=_received,
            reverse=True,
        )[:limit], troubles

    async def _ask_newest(self, address: str, limit: int) -> list[LastEvent] | ReconcilerError:
        try:
            async with asyncio.timeout(2 * LATEST_SECONDS):
                return await asyncio.to_thread(
                    newest,
                    address,
                    self._token(),
                    limit,
                    self._asking,
                )
        except ReconcilerError as error:
            return error
        except TimeoutError:
            return ReconcilerError(f"{address}: no answer in time")

    async def _ask(self, address: str, device: DeviceId) -> LastEvent | ReconcilerError | None:
        """Return the newest event that one receiver has, or why that is not known."""
        try:
            async with asyncio.timeout(2 * LATEST_SECONDS):
                return await asyncio.to_thread(
                    latest,
                    address,
                    self._token(),
                    device,
                    self._asking,
                )
        except ReconcilerError as error:
            return error
        except TimeoutError:
            return ReconcilerError(f"{address}: no answer in time")


def _received(last: LastEvent) -> tuple[float, int]:
    """Order events by when they were stored; of equal ones, what says more of its deliveries is later."""
    return last.event.received.timestamp(), len(last.deliveries)
