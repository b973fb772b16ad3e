"""Who may call, and how much of a body is read.

Owns: ``Refused`` with its status, bearer token, signature, the signs of a proxy or of another site's page, and limits
of size and time. Must not: know what a call does, or keep a body.

With a bearer token set, every call that acts has to show it. Without one, the daemon listens on loopback only, and the
Host has to be a loopback name, so that no web page can reach it through a name of its own. Headers that a proxy adds
are refused as well: a proxy on this machine would pass on anybody's call.

GitHub and Gitea sign the body with the shared secret (HMAC-SHA256 in ``X-Hub-Signature-256`` or ``X-Gitea-Signature``),
GitLab sends the secret itself (``X-Gitlab-Token``).
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

from starlette.requests import Request

from reconciler.core.errors import quoted, suggestion

PATIENCE_SECONDS = 120.0
"""A body has to arrive within this time."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
PASSED_ON = (
    b"via",
    b"x-real-ip",
    b"client-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"true-client-ip",
)
PASSED_ON_PREFIXES = (b"forwarded", b"x-forwarded", b"x-original-", b"x-envoy-", b"cf-", b"x-proxy")
"""Headers that proxies add, and how the names of others begin."""
OLD_HTTP = frozenset({"0.9", "1.0"})
"""Programs that call us speak HTTP/1.1. Nginx speaks 1.0 to what is behind it, and adds no header."""
SAME_SITE = frozenset({"same-origin", "none"})
"""What a browser says of a call that no other site's page makes."""
SIGNATURES = {"x-hub-signature-256": b"sha256=", "x-gitea-signature": b""}
"""Headers that carry a signature of the body, and the prefix of its hexadecimal digits."""
WEBHOOK_TOKEN = "x-gitlab-token"  # noqa: S105 - a header's name


class Refused(Exception):
    """A call that is not let through, with its HTTP status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


async def pieces(request: Request, largest: int) -> AsyncIterator[bytes]:
    """Yield the body piece by piece; a body that is too large is refused before more of it is read."""
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > largest:
            raise Refused(413, f"the body is larger than {largest} bytes")
        yield piece


async def whole_body(request: Request, largest: int, patience: float) -> bytes:
    """Return the body. One that is too large or too slow is refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(patience):
            async for piece in pieces(request, largest):
                body += piece
    except TimeoutError as error:
        raise Refused(408, "the body did not arrive in time") from error
    return bytes(body)


def check_caller(request: Request, token: str | None) -> None:
    """Let a call pass that shows the token, or, where none is set, one that was made on this machine."""
    if token is None:
        check_directness(request)
        return
    shown = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(shown, f"Bearer {token}".encode()):
        raise Refused(401, "this call needs the bearer token of PCC_LISTEN_TOKEN")


def check_form(request: Request, takes: Sequence[str]) -> None:
    """Insist on JSON and on known parameters, each given once.

    A form on another site's page cannot send a JSON content type without asking first. A misspelt parameter must not
    turn a call for one account into a call for all.
    """
    if (
        request.headers.get("content-type", "").partition(";")[0].strip().lower()
        != "application/json"
    ):
        raise Refused(415, "this call needs the content type application/json")
    for name in request.query_params.keys() - set(takes):
        raise Refused(400, f"this call has no parameter {quoted(name)!r}{suggestion(name, takes)}")
    for name in takes:
        if len(request.query_params.getlist(name)) > 1:
            raise Refused(400, f"the parameter {name} is given more than once")


async def signed_digest(request: Request, secret: bytes, largest: int) -> str:
    """Return the digest of a body whose sender proved to know the secret. The body is read once, and never kept."""
    token, signature = _given(request, WEBHOOK_TOKEN), _signature(request)
    if token is None and signature is None:
        raise Refused(401, "neither a signature nor a token is given")
    if token is not None and not hmac.compare_digest(token, secret):
        raise Refused(401, "the token is not the webhook's")
    made = hmac.new(secret, digestmod=sha256)
    async for piece in pieces(request, largest):
        made.update(piece)
    if signature is not None and not hmac.compare_digest(made.hexdigest().encode(), signature):
        raise Refused(401, "the signature does not fit the body")
    return made.hexdigest()


def check_directness(request: Request, setting: str = "PCC_LISTEN_TOKEN") -> None:
    """Let a call pass that a program on this machine made itself: under a loopback name, and through no proxy.

    ``setting`` is the one that would allow the call.
    """
    remedy = f"set {setting} to allow that"
    if _host(request.headers.get("host", "")) not in LOOPBACK:
        raise Refused(403, f"without {setting} the Host of this call has to be a loopback name")
    for name, _ in request.headers.raw:
        plain = name.replace(b"_", b"-")
        if plain in PASSED_ON or plain.startswith(PASSED_ON_PREFIXES):
            shown = quoted(name.decode("latin-1"))
            raise Refused(403, f"{shown} says that a proxy passed this call on: {remedy}")
    if request.scope.get("http_version") in OLD_HTTP:
        raise Refused(403, f"HTTP/1.0 suggests that a proxy passed this call on: {remedy}")
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "none")
    if (
        origin is not None and origin != f"http://{request.headers['host']}"
    ) or site not in SAME_SITE:
        raise Refused(403, f"a web page of another origin made this call: {remedy}")


def check_basic(request: Request, accepted: Sequence[str]) -> bool:
    """Say whether a call shows one of the accepted ``user:password`` pairs as Basic authentication.

    Every pair is compared, in constant time: how long that takes shows nothing.
    """
    shown = _basic_shown(request.headers.get("authorization", ""))
    return same_as_one(shown, accepted)


def shown_token(request: Request) -> bytes:
    """Return the bearer token of a call, or the password of its Basic authentication; no bytes where it has neither."""
    header = request.headers.get("authorization", "")
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode()
    return _basic_shown(header).partition(b":")[2]


def same_as_one(shown: bytes, accepted: Sequence[str]) -> bool:
    """Say whether a value is one of the accepted ones; all of them are compared, in constant time."""
    found = False
    for one in accepted:
        found |= hmac.compare_digest(shown, one.encode())
    return found


def _basic_shown(header: str) -> bytes:
    """Return the pair in an Authorization header, or no bytes. Padding may be missing: some senders leave it out."""
    scheme, _, encoded = header.partition(" ")
    plain = encoded.strip().rstrip("=")
    if scheme.lower() != "basic" or not plain.isascii():
        return b""
    try:
        return b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return b""


def _host(header: str) -> str:
    """Return the name in a Host header, without the port."""
    if header.startswith("[") and "]" in header:
        return header[: header.index("]") + 1]
    return header.partition(":")[0]


def _signature(request: Request) -> bytes | None:
    """Return the signature that a request claims, without its prefix."""
    for header, prefix in SIGNATURES.items():
        given = _given(request, header)
        if given is not None:
            return given.removeprefix(prefix).strip().lower()
    return None


def _given(request: Request, header: str) -> bytes | None:
    given = request.headers.get(header)
    return None if given is None else given.encode("latin-1")
