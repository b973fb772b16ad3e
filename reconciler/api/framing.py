"""What every answer of an HTTP surface of ours has, whichever process gives it.

Owns: the headers of every answer, metrics in both forms, health as an answer, and the words for what does not exist.
Must not: know a call.

No request reaches another host: the page brings its own style, and the Content-Security-Policy allows nothing else.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.exposition import gzip_accepted
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.api.response_cache import Sparing

POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only our own two files and our own port; and no script may turn a string into markup, not even ours."""
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}


def static_files(*names: str) -> Sequence[Route]:
    """Return the routes of files that pages bring with them."""
    return [Route(f"/{name}", _file(STATIC / name)) for name in names]


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content = path.read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(content, media_type=MEDIA_TYPES[path.suffix])

    return answer


GZIP_LEVEL = 1
"""Metrics repeat themselves: the fastest level already makes them a twentieth."""


class _Form:
    """The metrics of a registry in one of the two formats, also packed."""

    def __init__(
        self,
        media_type: str,
        generate: Callable[[CollectorRegistry], bytes],
        registry: CollectorRegistry,
        steady: Callable[[], float],
    ) -> None:
        self._media_type = media_type
        self._generate = generate
        self._registry = registry
        self._plain = Sparing(self._made, steady)
        self._packed = Sparing(self._made_packed, steady)

    async def answer(self, *, packed: bool) -> Response:
        """Return the metrics as an answer."""
        content = await (self._packed if packed else self._plain).get()
        headers = {"vary": "Accept, Accept-Encoding"}
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(content, headers=headers, media_type=self._media_type)

    async def _made(self) -> bytes:
        return await asyncio.to_thread(self._generate, self._registry)

    async def _made_packed(self) -> bytes:
        return await asyncio.to_thread(gzip.compress, await self._plain.get(), GZIP_LEVEL)


class Exposition:
    """The metrics of a registry, as an answer."""

    def __init__(self, registry: CollectorRegistry, steady: Callable[[], float]) -> None:
        self._plain = _Form(CONTENT_TYPE_LATEST, generate_latest, registry, steady)
        self._open = _Form(
            openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest, registry, steady
        )

    async def answer(self, request: Request) -> Response:
        """Answer in the form that is asked for, and packed where the caller can unpack it."""
        asked = request.headers
        openly = "application/openmetrics-text" in asked.get("accept", "")
        form = self._open if openly else self._plain
        return await form.answer(packed=gzip_accepted(asked.get("accept-encoding", "")))


def own_path(scope: Scope) -> str:
    """Return the path of a request as our routes name it, without the base path that it may be under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def no_such_call(request: Request, error: Exception) -> Response:
    """Say that a path or a method does not exist. Programs that use the API get JSON, as for all else."""
    if not isinstance(error, HTTPException):
        raise error
    if not own_path(request.scope).startswith("/api/"):
        return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)
    return JSONResponse(
        {"error": error.detail}, status_code=error.status_code, headers=error.headers
    )


def health_answer(why_not: str, word: str) -> Response:
    """Answer with a word for a process that is well, or say why it is not."""
    return PlainTextResponse(f"{why_not or word}\n", status_code=503 if why_not else 200)


class Framed:
    """Adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, with those headers."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._app(scope, receive, sending)
