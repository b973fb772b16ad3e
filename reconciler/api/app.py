"""The HTTP surface as one ASGI app.

Owns: paths, status codes, headers. Must not: know how an answer is made; it is handed functions that answer.

No request reaches another host: the page brings its own style, and the Content-Security-Policy allows nothing else.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
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

from reconciler.api import commands as acting
from reconciler.api import queries as reading
from reconciler.api import webhook
from reconciler.api.commands import Acting
from reconciler.api.page import Page
from reconciler.api.queries import Reading
from reconciler.api.response_cache import Questions, Sparing
from reconciler.api.webhook import Hook
from reconciler.reporting import StatusReport
from reconciler.reporting.queries import Overview
from reconciler.telemetry.metrics import Metrics

POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    b"form-action 'none'; frame-ancestors 'none'; base-uri 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing but our own two files and our own port; and no script may make markup of text, not even ours."""
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
HERE = Path(__file__).parent
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}", re.ASCII)


async def _holds_nothing(_revision: str) -> bool:
    """Know no history."""
    return False


@dataclass(frozen=True, slots=True)
class Surface:
    """What the app asks. ``live`` and ``ready`` return why not, or nothing; ``overview`` is what the page shows.

    ``local`` takes the server's own folder out of words.
    ``holds`` says whether a commit is in the history of what is in force.
    Without ``acting`` it only shows, without ``hook`` no forge is heard. ``steady`` tells how long an answer took.
    """

    metrics: Metrics
    status: Callable[[], Awaitable[StatusReport]]
    overview: Callable[[], Awaitable[Overview]]
    live: Callable[[], str]
    ready: Callable[[], str]
    acting: Acting | None = None
    hook: Hook | None = None
    reading: Reading | None = None
    holds: Callable[[str], Awaitable[bool]] = _holds_nothing
    steady: Callable[[], float] = time.monotonic
    local: Callable[[str], str] = str


def create_app(surface: Surface) -> ASGIApp:
    """Return the app."""
    registry = surface.metrics.registry
    status_page = cache(Page)  # its template takes 5 MB and a tenth of a second, which only those pay who look at it

    async def rendered() -> str:
        overview = await surface.overview()
        return await asyncio.to_thread(lambda: surface.local(status_page().render(overview)))

    steady = surface.steady
    html = Sparing(rendered, steady)
    plain = Sparing(lambda: asyncio.to_thread(generate_latest, registry), steady)
    open_metrics = Sparing(lambda: asyncio.to_thread(openmetrics.generate_latest, registry), steady)

    async def page(_request: Request) -> Response:
        if not status_page.cache_info().currsize:  # else the first look would serve for as long as the template costs
            await asyncio.to_thread(status_page)
        return HTMLResponse(await html.get())

    async def metrics(request: Request) -> Response:
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            return Response(await open_metrics.get(), media_type=openmetrics.CONTENT_TYPE_LATEST)
        return Response(await plain.get(), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_request: Request) -> Response:
        return _health(surface.live(), "live")

    async def readyz(_request: Request) -> Response:
        return _health(surface.ready(), "ready")

    routes = [
        Route("/", page),
        Route("/style.css", _file("style.css", "text/css")),
        Route("/page.js", _file("page.js", "text/javascript")),
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/api/v1/status", _status(surface)),
        *(reading.routes(surface.reading, steady, surface.local) if surface.reading is not None else []),
        *(acting.routes(surface.acting) if surface.acting is not None else acting.absent()),
        *([webhook.route(surface.hook)] if surface.hook is not None else []),
    ]
    return _Headers(Starlette(routes=routes, exception_handlers={HTTPException: _no_such_call}))


def _status(surface: Surface) -> Callable[[Request], Awaitable[Response]]:
    stood = Sparing(surface.status, surface.steady)
    questions = Questions[str](surface.steady)

    async def found(revision: str | None) -> str:
        report = await stood.get()
        if revision is not None:
            holds = await surface.holds(revision)
            report = replace(report, text=replace(report.text, holds=holds))
        return await asyncio.to_thread(reading.as_json, report, surface.local)

    async def status(request: Request) -> Response:
        revision = request.query_params.get("revision")
        if revision is not None and not _COMMIT.fullmatch(revision):
            return JSONResponse({"error": "revision: has to be 7 to 64 digits of a commit's id"}, status_code=400)
        asked = None if revision is None else revision.lower()
        return reading.answer(await questions.get(asked, lambda: found(asked)))

    return status


async def _no_such_call(request: Request, error: Exception) -> Response:
    """Say that a path or a method is not there: programs that speak to the API are told in JSON, like all else."""
    if not isinstance(error, HTTPException):
        raise error
    if not request.url.path.startswith("/api/"):
        return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (HERE / name).read_bytes()

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
