"""The HTTP surface as one ASGI app.

Owns: the routes, the page, metrics and health. Must not: know how an answer is made; it asks the objects of ``port``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from reconciler.api import commands, queries, webhook
from reconciler.api.framing import Exposition, Framed, health_answer, no_such_call, static_files
from reconciler.api.links import Links
from reconciler.api.local import ServerFolder
from reconciler.api.page import Page
from reconciler.api.port import AccessPolicy, Health, Operations, Queries
from reconciler.api.reading import Guarded, UnderPath
from reconciler.api.response_cache import Sparing
from reconciler.reporting.queries import Overview
from reconciler.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Surface:
    """What the app asks. Answers do not show ``folder``. ``steady`` measures how long an answer took.

    The base path of ``links`` is that of everything. ``shows_metrics``: they have no port of their own.
    """

    metrics: Metrics
    queries: Queries
    operations: Operations
    health: Health
    policy: AccessPolicy
    folder: ServerFolder = field(default_factory=ServerFolder)
    links: Links = field(default_factory=Links)
    shows_metrics: bool = True
    steady: Callable[[], float] = time.monotonic


def create_app(surface: Surface) -> ASGIApp:
    """Return the app."""
    views = _Views(surface)
    routes = [
        Route("/", views.page),
        *static_files("style.css", "page.js"),
        Route("/healthz", views.healthz),
        Route("/readyz", views.readyz),
        *queries.routes(surface.queries, surface.steady, surface.folder),
        *commands.routes(surface.operations, surface.policy),
    ]
    if surface.shows_metrics:
        routes.append(Route("/metrics", views.metrics))
    if surface.policy.has_webhook:
        routes.append(webhook.route(surface.operations, surface.policy))
    app = Starlette(routes=routes, exception_handlers={HTTPException: no_such_call})
    guarded: ASGIApp = Guarded(app, surface.policy)
    base = surface.links.base
    return Framed(UnderPath(guarded, base) if base else guarded)


class _Views:
    """The page, metrics and health."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._page = cache(
            Page
        )  # its template takes 5 MB and a tenth of a second: only for those who look at it
        self._html = Sparing(self._rendered, surface.steady)
        self._exposition = Exposition(surface.metrics.registry, surface.steady)

    async def page(self, _request: Request) -> Response:
        """Answer with the status page."""
        if (
            not self._page.cache_info().currsize
        ):  # else the first page would serve for as long as the template took
            await asyncio.to_thread(self._page)
        return HTMLResponse(await self._html.get())

    async def metrics(self, request: Request) -> Response:
        """Answer with the metrics, in the form that is asked for."""
        return await self._exposition.answer(request)

    async def healthz(self, _request: Request) -> Response:
        """Say whether the process is alive."""
        return health_answer(self._surface.health.live(), "live")

    async def readyz(self, _request: Request) -> Response:
        """Say whether the process is ready."""
        return health_answer(self._surface.health.ready(), "ready")

    async def _rendered(self) -> str:
        overview = await self._surface.queries.overview()
        return await asyncio.to_thread(self._render, overview)

    def _render(self, overview: Overview) -> str:
        return self._surface.folder.hide(self._page().render(overview))
