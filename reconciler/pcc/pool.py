"""Which connection a request goes out on.

Owns: the kept connections, and whether one that was kept may be used again.
Must not: send anything again: a request on a connection that drops may have been received.

Some servers close a connection after each answer and do not say so. Whatever is sent on it then is lost. So a kept
connection is looked at before it is used, and where a server closes at once, or drops one that was kept, its
connections are not kept for a while: that is slower, and loses nothing.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler

KEPT_SECONDS = 4.0
"""How long an idle connection is kept. Servers usually close theirs after five seconds and more."""
AT_ONCE_SECONDS = 1.0
"""A server that closes a connection so soon after an answer does so each time."""
NOT_KEPT_SECONDS = 600.0
"""How long no connection to such a server is kept."""

_CLOSED = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""What the kernel says of a connection that the other side has closed."""


class Pool(aiohttp.TCPConnector):
    """aiohttp's connections, of which a kept one is looked at before it is used again."""

    def __init__(
        self, *, limit: int, resolver: AbstractResolver, now: Callable[[], float] = monotonic
    ) -> None:
        super().__init__(limit=limit, keepalive_timeout=KEPT_SECONDS, resolver=resolver)
        self._now = now
        self._not_kept: dict[str, float] = {}

    def keep_none(self, host: str) -> None:
        """Keep no connection to a host for a while."""
        self._not_kept[host] = self._now() + NOT_KEPT_SECONDS

    async def _get(self, key: Any, traces: Any) -> Any:
        """Give a kept connection that is still good, if there is one. aiohttp has no public place for this."""
        for connection, since in tuple(self._conns.get(key, ())):
            closed, readable = _state(connection)
            if closed and self._now() - since <= AT_ONCE_SECONDS:
                self.keep_none(key.host)
            # What came and was read already is with aiohttp, which would take it for the answer to the next request.
            unasked = readable or connection.should_close
            if closed or unasked or self._not_kept.get(key.host, 0.0) > self._now():
                connection.close()
        return await super()._get(key, traces)


def _state(connection: ResponseHandler) -> tuple[bool, bool]:
    """Say whether the other side has closed a connection, and whether anything came on it that nobody asked for."""
    transport = connection.transport
    if transport is None or transport.is_closing():
        return True, False
    plug = transport.get_extra_info("socket")
    if plug is None or plug.fileno() < 0:
        return plug is not None, False
    poll = select.poll()
    poll.register(plug.fileno(), select.POLLIN | getattr(select, "POLLRDHUP", 0))
    events = [event for _, event in poll.poll(0)]
    return any(event & _CLOSED for event in events), bool(events)
