"""The HTTP surface as one ASGI app.

Owns: paths, status codes, headers. Must not: know how an answer is made; it is handed functions that answer.

No request reaches another host: the page brings its own style, and the Content-Security-Policy allows nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.metrics import Metrics
from reconciler.report import StatusReport
from reconciler.web import acting, hooks, reading
from reconciler.web.acting import Acting
from reconciler.web.hooks import Hook
from reconciler.web.reading import Reading
from reconciler.wording import moment_words

POLICY = (
    b"default-src 'none'; style-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Surface:
    """What the app asks. ``live`` and ``ready`` return why not, or nothing.

    Without ``acting`` it only shows, without ``hook`` no forge is heard.
    """

    metrics: Metrics
    status: Callable[[], StatusReport]
    live: Callable[[], str]
    ready: Callable[[], str]
    acting: Acting | None = None
    hook: Hook | None = None
    reading: Reading | None = None


def create_app(surface: Surface) -> ASGIApp:
    """Return the app."""
    pages = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined)
    pages.filters["moment"] = moment_words

    async def page(_request: Request) -> Response:
        return HTMLResponse(pages.get_template("status.html").render(status=surface.status()))

    async def style(_request: Request) -> Response:
        return Response((HERE / "style.css").read_bytes(), media_type="text/css")

    async def metrics(request: Request) -> Response:
        if "application/openmetrics-text" in request.headers.get("accept", ""):
            return _exposition(openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST)
        return _exposition(generate_latest, CONTENT_TYPE_LATEST)

    def _exposition(write: Callable[[CollectorRegistry], bytes], media_type: str) -> Response:
        return Response(write(surface.metrics.registry), media_type=media_type)

    async def healthz(_request: Request) -> Response:
        return _health(surface.live(), "live")

    async def readyz(_request: Request) -> Response:
        return _health(surface.ready(), "ready")

    async def status(_request: Request) -> Response:
        return reading.answer(surface.status())

    routes = [
        Route("/", page),
        Route("/style.css", style),
        Route("/metrics", metrics),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/api/v1/status", status),
        *(reading.routes(surface.reading) if surface.reading is not None else []),
        *(acting.routes(surface.acting) if surface.acting is not None else []),
        *([hooks.route(surface.hook)] if surface.hook is not None else []),
    ]
    return _Headers(Starlette(routes=routes))


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
