"""What a reading call may be asked with.

Owns: that each parameter is given once. Must not: know what a parameter means; ``reporting.queries`` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from reconciler.core.errors import ReconcilerError, quoted


def parameters(request: Request) -> Mapping[str, str]:
    """Return the parameters of a call; raises ``ReconcilerError`` where one is given more than once."""
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            raise ReconcilerError(f"the parameter {quoted(name)} is given more than once")
    return given
