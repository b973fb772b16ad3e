"""How the name of a host becomes addresses.

Owns: the threads that ask the system's name service, and how long an answer is waited for.
Must not: use the threads that everybody shares, keep the process from ending, or remember an answer.

The system's call cannot be broken off: with silent name servers it takes a minute. In the shared threads it would keep
files from being read and state from being written, and the end of the process would wait for it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

LONGEST_SECONDS = 12.0
"""How long a name is waited for at most: less than a call may take by default, so that the reason is known."""
MOST = 64
"""Names that are asked for at the same time. Each has one thread, however many wait for it."""

Key = tuple[str, int, int]
"""Host, port and family of an address that is looked for."""
Found = list[ResolveResult]
Ask = Callable[[str, int, int], Found]
"""Looks up a host, a port and a family, as long as it may take, or raises ``socket.gaierror``."""


def addresses(host: str, port: int, family: int) -> Found:
    """Return the addresses of a host, as the system knows them. May take a minute."""
    infos = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=_shown(address),
            port=int(address[1]),
            family=kind,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, proto, _, address in infos
    ]


class Names(AbstractResolver):
    """Asks the system's name service, each name in a thread of its own that nobody waits for at the end."""

    def __init__(
        self, seconds: float = LONGEST_SECONDS, most: int = MOST, ask: Ask = addresses
    ) -> None:
        self._seconds = seconds
        self._ask_system = ask
        self._most = most
        self._asked: dict[Key, asyncio.Future[Found]] = {}
        self._owed: set[Key] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host, or raise ``socket.gaierror``.

        A name for which somebody waited in vain is not waited for again while the system still asks for it: else each
        of many accounts would wait as long, one after the other.
        """
        key = (host, port, int(family))
        words = f"the name service did not answer within {self._seconds:g} seconds"
        if key in self._owed:
            raise socket.gaierror(socket.EAI_AGAIN, words)
        answer = self._ask(key)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            self._owed.add(key)
            raise socket.gaierror(socket.EAI_AGAIN, words) from None

    async def close(self) -> None:
        """Give up on what is still asked; its threads end on their own, or with the process."""
        for answer in self._asked.values():
            answer.cancel()

    def _ask(self, key: Key) -> asyncio.Future[Found]:
        """Return what will be known of a name, and ask for it where nobody does yet."""
        if key in self._asked:
            return self._asked[key]
        if len(self._asked) >= self._most:
            raise socket.gaierror(
                socket.EAI_AGAIN, f"the name service owes {self._most} answers already"
            )
        loop = asyncio.get_running_loop()
        answer = self._asked[key] = loop.create_future()
        answer.add_done_callback(_heard)
        threading.Thread(
            target=self._work, args=(loop, key, answer), name="name", daemon=True
        ).start()
        return answer

    def _work(
        self, loop: asyncio.AbstractEventLoop, key: Key, answer: asyncio.Future[Found]
    ) -> None:
        found: Found | Exception
        try:
            found = self._ask_system(*key)
        except Exception as error:  # noqa: BLE001 - raised again in the callers that wait
            found = error
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(self._done, key, answer, found)

    def _done(self, key: Key, answer: asyncio.Future[Found], found: Found | Exception) -> None:
        self._asked.pop(key, None)
        self._owed.discard(key)
        if answer.done():
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)


def _heard(answer: asyncio.Future[Found]) -> None:
    """Take note of an error for which nobody waits any more."""
    if not answer.cancelled():
        answer.exception()


def _shown(address: tuple[Any, ...]) -> str:
    """Return an address as text; that of one link only is of no use without the link's number."""
    host, scope = str(address[0]), address[3] if len(address) > 3 else 0  # noqa: PLR2004 - IPv6 has four parts
    return f"{host}%{scope}" if scope and "%" not in host else host
