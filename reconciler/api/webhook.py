"""The webhook: a forge says that something was pushed.

Owns: which requests are believed, in the forms of GitHub, Gitea and GitLab. Must not: act on what they say; a believed
one only wakes the source, which then looks for itself. So a replayed or a forged-and-signed one can do no harm, and
looks that are asked for by repeating a call are fewer.

GitHub and Gitea sign the body with the shared secret (HMAC-SHA256 in ``X-Hub-Signature-256`` or ``X-Gitea-Signature``),
GitLab sends the secret itself (``X-Gitlab-Token``). The signature says who calls, so neither the Host nor the content
type matters: GitHub's default is a form.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.core.errors import ReconcilerError

PATH = "/hooks/git"
LARGEST_BODY = 4 * 1024 * 1024
"""More than a push of a thousand commits takes. A push that is larger is found by the next regular fetch."""
MOST_HEARD = 1000
"""So many calls are remembered, to know one that is repeated."""
SIGNATURES = {"x-hub-signature-256": b"sha256=", "x-gitea-signature": b""}
"""Headers that carry a signature of the body, and what stands before its hexadecimal digits."""
TOKEN = "x-gitlab-token"  # noqa: S105 - a header's name

log = structlog.get_logger()


class Doubted(Exception):
    """A request that is not believed, with its HTTP status. The words are ours: nothing of the request is in them."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Hook:
    """What the webhook needs. ``secret`` reads the shared secret; it raises where it cannot, and nobody is believed.

    ``wake_again`` is called in place of ``wake`` where the same call came before.
    """

    secret: Callable[[], str]
    wake: Callable[[], None]
    wake_again: Callable[[], None] | None = None


def route(hook: Hook) -> Route:
    """Return the route of the webhook."""
    heard = _Heard()

    async def pushed(request: Request) -> Response:
        try:
            digest = await _believe(request, hook.secret().encode())
        except Doubted as doubted:
            log.warning("webhook.refused", status=doubted.status, reason=str(doubted))
            return JSONResponse({"error": str(doubted)}, status_code=doubted.status)
        except ReconcilerError as error:
            log.error("webhook.refused", status=503, reason=str(error))  # noqa: TRY400 - the sentence says it all
            return JSONResponse({"error": "the webhook's secret cannot be read"}, status_code=503)
        except ClientDisconnect:
            return Response(status_code=400)
        repeated = heard.again(digest)
        log.debug("webhook.received", repeated=repeated)
        if repeated and hook.wake_again is not None:
            hook.wake_again()
        else:
            hook.wake()
        return JSONResponse({"accepted": True}, status_code=202)

    return Route(PATH, pushed, methods=["POST"])


class _Heard:
    """The digests of the last calls that were believed: whoever recorded one can send it again and again."""

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


async def _believe(request: Request, secret: bytes) -> str:
    """Return the digest of a request that comes from who knows the secret. The body is read once, and never kept."""
    token, signature = _given(request, TOKEN), _signature(request)
    if token is None and signature is None:
        raise Doubted(401, "neither a signature nor a token is given")
    if token is not None and not hmac.compare_digest(token, secret):
        raise Doubted(401, "the token is not the webhook's")
    made, size = hmac.new(secret, digestmod=sha256), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise Doubted(413, f"the body is larger than {LARGEST_BODY} bytes")
        made.update(chunk)
    if signature is not None and not hmac.compare_digest(made.hexdigest().encode(), signature):
        raise Doubted(401, "the signature does not fit the body")
    return made.hexdigest()


def _signature(request: Request) -> bytes | None:
    """Return the signature that a request claims, in whatever form, without its prefix."""
    for header, prefix in SIGNATURES.items():
        given = _given(request, header)
        if given is not None:
            return given.removeprefix(prefix).strip().lower()
    return None


def _given(request: Request, header: str) -> bytes | None:
    given = request.headers.get(header)
    return None if given is None else given.encode("latin-1")
