"""The HTTP surface as one ASGI app.

Owns: which routes there are, metrics and health. Must not: know how an answer is made; it asks the objects of ``port``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from reconciler.api import commands, openapi, queries, webhook
from reconciler.api.framing import Exposition, Framed, health_answer, static_files
from reconciler.api.links import Links
from reconciler.api.local import ServerFolder
from reconciler.api.page_routes import PageRoutes
from reconciler.api.port import AccessPolicy, Health, Operations, Queries
from reconciler.api.reading import Guarded, UnderPath
from reconciler.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Surface:
    """What the app asks. Answers do not show ``folder``. ``steady`` measures how long an answer took.

    The base path of ``links`` is that of everything.
    """

    metrics: Metrics
    queries: Queries
    operations: Operations
    health: Health
    policy: AccessPolicy
    folder: ServerFolder = field(default_factory=ServerFolder)
    links: Links = field(default_factory=Links)
    steady: Callable[[], float] = time.monotonic


def create_app(surface: Surface) -> ASGIApp:
    """Return the app."""
    views = _Views(surface)
    pages = PageRoutes(
        surface.queries,
        surface.links,
        surface.folder,
        surface.steady,
    )
    routes = [
        *pages.routes,
        *static_files("style.css", "page.js"),
        Route("/healthz", views.healthz),
        Route("/readyz", views.readyz),
        *queries.routes(
            surface.queries,
            surface.steady,
            surface.folder,
        ),
        *commands.routes(surface.operations, surface.policy),
        openapi.route(surface.policy, surface.links.base),
    ]
    if surface.links.metrics:
        routes.append(Route("/metrics", views.metrics))
    if surface.policy.has_webhook:
        routes.append(webhook.route(surface.operations, surface.policy))
    app = Starlette(routes=routes, exception_handlers={HTTPException: pages.missing})
    guarded: ASGIApp = Guarded(app, surface.policy)
    base = surface.links.base
    return Framed(UnderPath(guarded, base) if base else guarded)


class _Views:
    """Metrics and health."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._exposition = Exposition(surface.metrics.registry, surface.steady)

    async def metrics(self, request: Request) -> Response:
        """Answer with the metrics, in the form that is asked for."""
        return await self._exposition.answer(request)

    async def healthz(self, _request: Request) -> Response:
        """Say whether the process is alive."""
        return health_answer(self._surface.health.live(), "live")

    async def readyz(self, _request: Request) -> Response:
        """Say whether the process is ready."""
        return health_answer(self._surface.health.ready(), "ready")
