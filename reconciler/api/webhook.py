"""The webhook: a Git forge says that something was pushed.

Owns: its path, and which calls came before. Must not: use the content of a call. A valid call only wakes
the source, which then reads the repository. So a replayed call does no harm, and causes fewer readings.

The signature identifies the caller, so neither the Host nor the content type matters: GitHub's default is a form.
"""

from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.api.access import Refused, signed_digest
from reconciler.api.port import AccessPolicy, Operations
from reconciler.core.errors import ReconcilerError

PATH = "/hooks/git"
LARGEST_BODY = 4 * 1024 * 1024
"""Enough for a push of a thousand commits. The next regular fetch finds a larger push."""
MOST_HEARD = 1000
"""How many calls are remembered, to recognise one that is repeated."""

log = structlog.get_logger()


def route(operations: Operations, policy: AccessPolicy) -> Route:
    """Return the route of the webhook."""
    heard = _Heard()

    async def pushed(request: Request) -> Response:
        try:
            digest = await signed_digest(request, policy.webhook_secret().encode(), LARGEST_BODY)
        except Refused as refused:
            log.warning("webhook.refused", status=refused.status, reason=str(refused))
            return JSONResponse({"error": str(refused)}, status_code=refused.status)
        except ReconcilerError as error:
            log.error("webhook.refused", status=503, reason=str(error))  # noqa: TRY400 - the sentence says it all
            return JSONResponse({"error": "the webhook's secret cannot be read"}, status_code=503)
        except ClientDisconnect:
            return Response(status_code=400)
        repeated = heard.again(digest)
        log.debug("webhook.received", repeated=repeated)
        try:
            await operations.pushed(repeated=repeated)
        except ReconcilerError as error:
            log.error("webhook.refused", status=503, reason=str(error))  # noqa: TRY400 - as above
            return JSONResponse({"error": str(error)}, status_code=503)
        return JSONResponse({"accepted": True}, status_code=202)

    return Route(PATH, pushed, methods=["POST"])


class _Heard:
    """The digests of the last valid calls: somebody who recorded one can send it again and again."""

    def __init__(self) -> None:
        self._digests: dict[str, None] = {}

    def again(self, digest: str) -> bool:
        """Say whether a call came before, and remember it."""
        before = digest in self._digests
        self._digests.pop(digest, None)
        self._digests[digest] = None
        if len(self._digests) > MOST_HEARD:
            del self._digests[next(iter(self._digests))]
        return before
