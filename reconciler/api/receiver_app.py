"""The HTTP surface of the receiving process as one ASGI app.

Owns: which path goes where. Must not: know how an answer is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.api import event_openapi, event_queries
from reconciler.api.event_page import EventPage
from reconciler.api.framing import Exposition, Framed, health_answer, no_such_call, static_files
from reconciler.api.port import Health, ReceiverPolicy
from reconciler.api.receiver import PATH
from reconciler.events.port import Archive


@dataclass(frozen=True, slots=True)
class ReceiverSurface:
    """What the app asks. ``receiver`` takes the calls of LG, ``steady`` tells how long an answer took.

    ``registry`` is None where the metrics are on a port of their own.
    """

    receiver: ASGIApp
    archive: Archive
    page: EventPage
    registry: CollectorRegistry | None
    health: Health
    policy: ReceiverPolicy
    now: event_queries.Now
    steady: Callable[[], float]


def create_receiver_app(surface: ReceiverSurface) -> ASGIApp:
    """Return the app."""
    views = _Views(surface)
    routes = [
        *_metrics(surface),
        Route("/healthz", views.healthz),
        Route("/readyz", views.readyz),
        *static_files("style.css", "page.js"),
        *event_queries.routes(surface.archive, surface.policy, surface.now, surface.page),
        event_openapi.route(surface.policy),
    ]
    others = Framed(Starlette(routes=routes, exception_handlers={HTTPException: no_such_call}))
    return _ByPath(surface.receiver, others)


class _ByPath:
    """Lets the receiver answer on its path, with any method, and the others elsewhere."""

    def __init__(self, receiver: ASGIApp, others: ASGIApp) -> None:
        self._receiver, self._others = receiver, others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        is_ours = path == PATH or path.startswith(f"{PATH}/")
        await (self._receiver if is_ours else self._others)(scope, receive, send)


def _metrics(surface: ReceiverSurface) -> list[Route]:
    if surface.registry is None:
        return []
    return [Route("/metrics", Exposition(surface.registry, surface.steady).answer)]


class _Views:
    """Health."""

    def __init__(self, surface: ReceiverSurface) -> None:
        self._health = surface.health

    async def healthz(self, _request: Request) -> Response:
        """Say whether the process is alive."""
        return health_answer(self._health.live(), "live")

    async def readyz(self, _request: Request) -> Response:
        """Say whether the process is ready."""
        return health_answer(self._health.ready(), "ready")
