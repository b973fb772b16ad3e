"""How the name of a sink's host becomes addresses.

Owns: the thread that asks the system's name service, and how long an answer is good for.
Must not: use the threads that everybody shares, or keep the process from ending.

The system's call cannot be broken off: with silent name servers it takes a minute. In the shared threads it would keep
what is received from being written.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from reconciler.core.clock import Clock

GOOD_FOR_SECONDS = 30.0
"""Seconds for which an answer is used without asking again."""

Ask = Callable[[str, int], list[str]]
"""Looks up the addresses of a host and a port, as long as it may take, or raises ``OSError``."""


def system_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host as the system knows them. May take a minute."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


class HostName:
    """One host. It is asked for by one thread at a time, however many wait for the answer."""

    def __init__(self, host: str, port: int, clock: Clock, ask: Ask = system_addresses) -> None:
        self._host, self._port = host, port
        self._clock = clock
        self._ask_system = ask
        self._known: list[str] = [host] if _is_address(host) else []
        self._good_until = float("inf") if self._known else 0.0
        self._asked: asyncio.Future[list[str]] | None = None

    async def addresses(self) -> list[str]:
        """Return the addresses, or raise ``OSError``. Where the name service fails, the last answer counts."""
        if self._clock.steady() < self._good_until:
            return self._known
        try:
            self._known = await asyncio.shield(self._ask())
            self._good_until = self._clock.steady() + GOOD_FOR_SECONDS
        except OSError:
            if not self._known:
                raise
        return self._known

    def doubt(self) -> None:
        """Ask anew the next time: no connection came about."""
        if self._good_until < float("inf"):
            self._good_until = 0.0

    def _ask(self) -> asyncio.Future[list[str]]:
        if self._asked is None:
            loop = asyncio.get_running_loop()
            self._asked = loop.create_future()
            self._asked.add_done_callback(_heard)
            threading.Thread(target=self._work, args=(loop,), name="sink-name", daemon=True).start()
        return self._asked

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        found: list[str] | Exception
        try:
            found = self._ask_system(self._host, self._port)
        except Exception as error:  # noqa: BLE001 - raised again for whoever waits
            found = error
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(self._answer, found)

    def _answer(self, found: list[str] | Exception) -> None:
        asked, self._asked = self._asked, None
        if asked is None or asked.done():
            return
        if isinstance(found, Exception):
            asked.set_exception(found)
        else:
            asked.set_result(found)


def _heard(answer: asyncio.Future[list[str]]) -> None:
    """Take note of an error for which nobody waits any more."""
    if not answer.cancelled():
        answer.exception()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
