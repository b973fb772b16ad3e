"""The HTTP surface as one ASGI app.

Owns: the routes, the headers of every answer, the page, metrics and health. Must not: know how an answer is made; it
asks the objects of ``port``.

No request reaches another host: the page brings its own style, and the Content-Security-Policy allows nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.api import commands, queries, webhook
from reconciler.api.local import ServerFolder
from reconciler.api.page import Page
from reconciler.api.port import AccessPolicy, Health, Operations, Queries
from reconciler.api.response_cache import Sparing
from reconciler.reporting.queries import Overview
from reconciler.telemetry.metrics import Metrics

POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    b"form-action 'none'; frame-ancestors 'none'; base-uri 'none'; "
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


@dataclass(frozen=True, slots=True)
class Surface:
    """What the app asks. ``folder`` is left out of what is said, ``steady`` tells how long an answer took."""

    metrics: Metrics
    queries: Queries
    operations: Operations
    health: Health
    policy: AccessPolicy
    folder: ServerFolder = field(default_factory=ServerFolder)
    steady: Callable[[], float] = time.monotonic


def create_app(surface: Surface) -> ASGIApp:
    """Return the app."""
    views = _Views(surface)
    routes = [
        Route("/", views.page),
        Route("/style.css", _file("style.css", "text/css")),
        Route("/page.js", _file("page.js", "text/javascript")),
        Route("/metrics", views.metrics),
        Route("/healthz", views.healthz),
        Route("/readyz", views.readyz),
        *queries.routes(surface.queries, surface.steady, surface.folder),
        *commands.routes(surface.operations, surface.policy),
    ]
    if surface.policy.has_webhook:
        routes.append(webhook.route(surface.operations, surface.policy))
    return _Headers(Starlette(routes=routes, exception_handlers={HTTPException: _no_such_call}))


class _Views:
    """The page, metrics and health."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._page = cache(
            Page
        )  # its template takes 5 MB and a tenth of a second: only for those who look at it
        self._html = Sparing(self._rendered, surface.steady)
        self._metrics = Sparing(self._exposition, surface.steady)
        self._open_metrics = Sparing(self._open_exposition, surface.steady)

    async def page(self, _request: Request) -> Response:
        """Answer with the status page."""
        if (
            not self._page.cache_info().currsize
        ):  # else the first page would serve for as long as the template took
            await asyncio.to_thread(self._page)
        return HTMLResponse(await self._html.get())

    async def metrics(self, request: Request) -> Response:
        """Answer with the metrics, in the form that is asked for."""
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            return Response(
                await self._open_metrics.get(), media_type=openmetrics.CONTENT_TYPE_LATEST
            )
        return Response(await self._metrics.get(), media_type=CONTENT_TYPE_LATEST)

    async def healthz(self, _request: Request) -> Response:
        """Say whether the process is alive."""
        return _health(self._surface.health.live(), "live")

    async def readyz(self, _request: Request) -> Response:
        """Say whether the process is ready."""
        return _health(self._surface.health.ready(), "ready")

    async def _rendered(self) -> str:
        overview = await self._surface.queries.overview()
        return await asyncio.to_thread(self._render, overview)

    def _render(self, overview: Overview) -> str:
        return self._surface.folder.hide(self._page().render(overview))

    async def _exposition(self) -> bytes:
        return await asyncio.to_thread(generate_latest, self._surface.metrics.registry)

    async def _open_exposition(self) -> bytes:
        return await asyncio.to_thread(openmetrics.generate_latest, self._surface.metrics.registry)


async def _no_such_call(request: Request, error: Exception) -> Response:
    """Say that a path or a method does not exist. Programs that use the API get JSON, as for all else."""
    if not isinstance(error, HTTPException):
        raise error
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)
    return JSONResponse(
        {"error": error.detail}, status_code=error.status_code, headers=error.headers
    )


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (STATIC / name).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


def _health(why_not: str, word: str) -> Response:
    return PlainTextResponse(f"{why_not or word}\n", status_code=503 if why_not else 200)


class _Headers:
    """Adds the headers that every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._app(scope, receive, sending)
