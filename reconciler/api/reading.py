"""Who may read, and under which path everything is.

Owns: the token for reading, what is open to everybody, and the base path.
Must not: know what is read, or whether a caller may act (``access`` and ``commands`` do).

Probes, the scraper and the forge come with no token of ours: they are let through, and stay at the root of the port
whatever the base path is. Everything else is behind the token once there is one, so that a new page is guarded too.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.api.access import Refused, same_as_one, shown_token
from reconciler.api.framing import own_path
from reconciler.api.port import AccessPolicy
from reconciler.core.errors import ReconcilerError

OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/hooks/git"})
"""What needs no token for reading. The webhook has a signature of its own."""
ASKING = {"www-authenticate": 'Basic realm="pcc-reconciler", charset="UTF-8"'}
"""Makes a browser ask. It sends a user name too, which may be anything."""
NEEDED = (
    "reading needs the token of PCC_READ_TOKEN: as a bearer token, or in a browser as the password"
    " with any user name"
)

log = structlog.get_logger()


def check_reader(request: Request, policy: AccessPolicy) -> bool:
    """Let a call pass that shows the token for reading, or the one for acting. Return False where reading needs none.

    A token for reading that cannot be read lets nobody in, except with the other one.
    """
    try:
        token = policy.read_token()
    except ReconcilerError as error:
        log.error("http.token_unreadable", reason=str(error))  # noqa: TRY400 - the sentence says it all
        token = ""
    if token is None:
        return False
    shown = shown_token(request)
    if shown and same_as_one(shown, [one for one in (token, _acting(policy)) if one]):
        return True
    if not token:
        raise Refused(503, "the token for reading cannot be read; see the daemon's log")
    raise Refused(401, NEEDED)


def _acting(policy: AccessPolicy) -> str | None:
    try:
        return policy.listen_token()
    except ReconcilerError:  # whoever acts hears of it; readers have a token of their own
        return None


class Guarded:
    """Lets those read who show the token for reading, or the one for acting."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or ask for the token."""
        path = own_path(scope)
        if path in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            check_reader(Request(scope), self._policy)
        except Refused as refused:
            await _refusal(path, refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class UnderPath:
    """Puts an app under a base path. What needs no token is at the root as well."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        self._app, self._base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path.startswith(f"{self._base}/"):
            await self._app({**scope, "root_path": self._base}, receive, send)
        elif path in OPEN:
            await self._app(scope, receive, send)
        else:
            await self._elsewhere(path)(scope, receive, send)

    def _elsewhere(self, path: str) -> Response:
        """Lead to the first page from where a person would look for it."""
        if path in {"/", self._base}:
            return RedirectResponse(f"{self._base}/")
        return _refusal(path, Refused(404, f"Not Found: everything is under {self._base}/"))


def _refusal(path: str, refused: Refused) -> Response:
    """Return a refusal, in JSON for programs that use the API."""
    headers = ASKING if refused.status == 401 else {}  # noqa: PLR2004 - HTTP's own
    if path.startswith("/api/"):
        return JSONResponse({"error": str(refused)}, refused.status, headers)
    return PlainTextResponse(f"{refused}\n", refused.status, headers)
