"""Metrics on a port of their own, as one ASGI app.

Owns: that nothing else is there. Must not: know which process is measured.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from reconciler.api.framing import Exposition, Framed, no_such_call


def create_metrics_app(registry: CollectorRegistry, steady: Callable[[], float]) -> ASGIApp:
    """Return the app. ``steady`` measures how long an answer took."""
    routes = [Route("/metrics", Exposition(registry, steady).answer)]
    return Framed(Starlette(routes=routes, exception_handlers={HTTPException: no_such_call}))
