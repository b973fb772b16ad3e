"""Gets the live list that a pass acts on, or says why there is none.

Owns: whether LG may be called for an account now, and what a failed list means for the account.
Must not: judge what the list shows; that is what the guards are for.
"""

from __future__ import annotations

import structlog

from reconciler.controller.clocks import Clocks
from reconciler.core import backoff
from reconciler.core.account import Contact, ListRead
from reconciler.core.backoff import Random
from reconciler.core.errors import Outdated, PlatformError, Throttled, stops_account
from reconciler.core.model import Observed, Reason
from reconciler.core.run import PassAborted, Run
from reconciler.pcc.client import Client

log = structlog.get_logger()


class Lists:
    """Reads lists. Every method raises ``PassAborted`` where there is no list to act on."""

    def __init__(self, clocks: Clocks, random: Random) -> None:
        self._clocks = clocks
        self._random = random

    def admit(self, run: Run, client: Client | str) -> Client:
        """Return the account's client if LG may be called now."""
        if isinstance(client, str):
            stop = run.account.next_stop(
                client, self._clocks.within(run), self._random, at_list=True
            )
            raise PassAborted(
                Reason.ACCOUNT_STOPPED, client, stop.until or run.began, Contact(stop=stop)
            )
        stopped = run.account.stop
        if stopped is not None and stopped.until is not None and run.began < stopped.until:
            raise PassAborted(Reason.ACCOUNT_STOPPED, stopped.why, stopped.until, Contact())
        opens = client.opens_for_pass(run.account.waiting)
        if opens is not None:
            raise PassAborted(
                Reason.QUOTA,
                "the account's calls are used up, or LG throttles it",
                opens,
                Contact(),
            )
        return client

    async def read(self, run: Run, client: Client) -> Observed:
        """Return the live list."""
        try:
            return await client.list_devices()
        except (
            Outdated
        ) as error:  # asked of nobody: it is soon known whether another replica does it
            soon = self._clocks.within(run) + backoff.DEVICE.after(1, self._random)
            raise PassAborted(Reason.RETRY, str(error), soon, Contact()) from error
        except PlatformError as error:
            raise self._no_list(run, error, client) from error

    def _no_list(self, run: Run, error: PlatformError, client: Client) -> PassAborted:
        """Return why there is no list, and when to ask again."""
        now = self._clocks.within(run)
        if isinstance(error, Throttled):
            return PassAborted(Reason.QUOTA, str(error), client.opens_for_pass(0) or now, Contact())
        if stops_account(error):
            stop = run.account.next_stop(str(error), now, self._random, at_list=True)
            return PassAborted(
                Reason.ACCOUNT_STOPPED, str(error), stop.until or now, Contact(stop=stop)
            )
        contact = Contact(ListRead.FAILED)
        wait = backoff.LIST.after(run.account.touched(contact).failed_lists, self._random)
        log.warning("list.failed", error=str(error), message_id=error.message_id, words=error.words)
        return PassAborted(Reason.RETRY, str(error), now + wait, contact)
