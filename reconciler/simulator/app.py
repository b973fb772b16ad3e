"""The simulated platform as an ASGI app.

Owns: turning ASGI messages into requests and answers into ASGI messages, and acting out what an answer cannot say in
HTTP: being late, never coming, a broken connection.
Must not: know the protocol. There is no framework in between, so that a thousand calls a second stay cheap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from reconciler.simulator.control import PREFIX, Control
from reconciler.simulator.platform import Platform
from reconciler.simulator.sender import Sender
from reconciler.simulator.wire import Answer, Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ABORT: Final = "reconciler.simulator.abort"
"""Key in an ASGI scope's ``state`` under which the server leaves a function that breaks the connection."""

LONGEST_WAIT: Final = 3600.0
"""Seconds after which even an answer that never comes ends, by a broken connection."""


class Dropped(ConnectionResetError):
    """The connection breaks here. Raised where there is no real one to break, as in a client's ASGI transport."""


class App:
    """An ASGI 3 app around one platform. ``stop`` breaks all connections that wait, so that a server can end.

    ``sender``: sends the platform's events, where it has an address to send them to; the server runs it.
    """

    def __init__(self, platform: Platform, sender: Sender | None = None) -> None:
        self.platform = platform
        self.sender = sender
        self._control = Control(platform, sender)
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Let answers be late, or never come, again after a ``stop``."""
        self._stopping.clear()

    def stop(self) -> None:
        """Break the connections of all requests that are waiting, and of those that would."""
        self._stopping.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise ValueError(f"the simulated platform speaks HTTP, not {scope['type']}")
        request = await _request(scope, receive)
        if request is None:
            return
        steering = request.path == PREFIX or request.path.startswith(f"{PREFIX}/")
        answer = (self._control if steering else self.platform).handle(request)
        if answer.delay_seconds > 0 or answer.never:
            gone = await self._wait(LONGEST_WAIT if answer.never else answer.delay_seconds, receive)
            if gone:
                return
        if answer.never or answer.drop or (answer.delay_seconds > 0 and self._stopping.is_set()):
            await _break(scope, receive)
            return
        await _answer(send, answer)

    async def _wait(self, seconds: float, receive: Receive) -> bool:
        """Wait for the time to pass, the client to go, or the end. Return whether the client is gone."""
        client = asyncio.ensure_future(receive())
        end = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait(
                {client, end}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            client.cancel()
            end.cancel()
            await asyncio.gather(client, end, return_exceptions=True)
        return client in done


def create_app(platform: Platform, sender: Sender | None = None) -> App:
    """Return the platform as an ASGI app, for a server or for a client's ASGI transport."""
    return App(platform, sender)


async def _request(scope: Message, receive: Receive) -> Request | None:
    """Read one request to its end; nothing if the client went before."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    raw_path = scope.get("raw_path") or scope["path"].encode()
    return Request(
        scope["method"],
        raw_path.decode("latin-1"),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body,
        scope["query_string"].decode("latin-1"),
    )


async def _answer(send: Send, answer: Answer) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _break(scope: Message, receive: Receive) -> None:
    """Break the connection, and return only when the server knows it: it would answer 500 otherwise."""
    abort = (scope.get("state") or {}).get(ABORT)
    if abort is None:
        raise Dropped("the simulated platform broke the connection")
    abort()
    await receive()  # the request was read to its end, so what comes now is the disconnect
