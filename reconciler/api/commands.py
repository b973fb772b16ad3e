"""The calls that act or take input: a pass at once, the brake, and a plan of proposed files.

Owns: who may act and in what form. Must not: know what acting means; it is handed functions that do it.

What acts wants a JSON content type, which a form on somebody else's page cannot send without asking first. With a
bearer token set, every call has to show it; without one, the daemon listens on loopback only, and the Host has to be a
loopback name, so that no page can reach it through a name of its own. What a proxy adds to a request closes the calls
as well: a proxy on this machine passes on whoever it is asked by.

An account is named or left out, and only left out it means every account. A name that is empty, white space or null
comes from a variable that is not set, and a parameter or key that is not known may be a misspelt name: all are refused.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.core import duration
from reconciler.core.errors import Invalid, ReconcilerError, Unknown, quoted, suggestion
from reconciler.core.model import AccountName, Pause
from reconciler.reporting import PENDING, exit_code
from reconciler.reporting.formats import plans
from reconciler.reporting.preview import Proposal, Proposed

RECONCILE, PAUSE, PLAN = "/api/v1/reconcile", "/api/v1/pause", "/api/v1/plan"
LARGEST_BODY = 64 * 1024
LARGEST_PROPOSAL = 128 * 1024 * 1024
"""Files of a proposed text: room for more than a million ids."""
NEEDS_TOKEN = "set PCC_LISTEN_TOKEN to allow that"  # noqa: S105 - words
PROPOSALS = 2
"""So many of them are read and planned at once; others wait, with their bodies unread."""
PLANNING_SECONDS = 120.0
"""A proposal has to be planned within this time, the wait for others included."""
LONGEST_REASON = 1000
"""Characters of why something is paused: it is shown wherever the pause is."""
LOOK_SECONDS = 0.5
"""How often a server is asked whether the caller is there, where it does not wait with its answer."""
PATIENCE_SECONDS = 120.0
"""A body has to be here within this time."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
PASSED_ON = ("via", "x-real-ip", "client-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip")
PASSED_ON_PREFIXES = ("forwarded", "x-forwarded", "x-original-", "x-envoy-", "cf-", "x-proxy")
"""Headers that proxies add, and how the names of others begin."""
OLD_HTTP = frozenset({"0.9", "1.0"})
"""Programs that call us speak HTTP/1.1; nginx speaks 1.0 to what is behind it, and adds no header."""
SAME_SITE = frozenset({"same-origin", "none"})
"""What a browser says of a call that no other site's page makes."""


class PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/pause`` takes. ``pause`` of ``none`` takes the brake off again."""

    pause: Literal["none", "unsubscribe", "all"] = "all"
    account: str | msgspec.UnsetType | None = msgspec.UNSET
    for_: str | None = msgspec.field(default=None, name="for")
    reason: str = ""


class ReconcileBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/reconcile`` takes: nothing. An account is named in the address."""


class PlanBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/plan`` takes: contents by path, which of them are texts, and whom and how to show.

    ``approval`` is the device file that an approval shall name.
    """

    documents: list[str]
    files: dict[str, str]
    accounts: list[str] = []
    show: Literal["none", "text", "markdown"] = "none"
    approval: str | None = None


@dataclass(frozen=True, slots=True)
class Acting:
    """What the calls do. The first two return the accounts they concerned; an unknown one is a ``ReconcilerError``.

    ``token`` returns the bearer token to ask for, or nothing where none is set; it raises where none can be read.
    """

    token: Callable[[], str | None]
    reconcile: Callable[[AccountName | None], Awaitable[Iterable[AccountName]]]
    pause: Callable[[AccountName | None, Pause, timedelta | None, str], Awaitable[Iterable[AccountName]]]
    plan: Callable[[Proposal], Awaitable[Proposed]]


class Refused(Exception):
    """A call that is not let through, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[Request], Awaitable[dict[str, Any]]]
Body = TypeVar("Body", PauseBody, PlanBody, ReconcileBody)


def routes(
    acting: Acting, *, patience: float = PATIENCE_SECONDS, planning: float = PLANNING_SECONDS
) -> Sequence[Route]:
    """Return the routes of the calls that act. ``patience``: seconds that a body may take; ``planning``: a plan."""
    turn = asyncio.Semaphore(PROPOSALS)

    async def reconcile(request: Request) -> dict[str, Any]:
        _decoded(await _body(request, patience), ReconcileBody)
        account = request.query_params.get("account", msgspec.UNSET)
        return _concerned(await acting.reconcile(_account(account)))

    async def pause(request: Request) -> dict[str, Any]:
        asked = _decoded(await _body(request, patience), PauseBody)
        span = duration.parse(asked.for_) if asked.for_ is not None else None
        if len(asked.reason) > LONGEST_REASON:
            raise Refused(400, f"reason is longer than {LONGEST_REASON} characters")
        return _concerned(await acting.pause(_account(asked.account), Pause(asked.pause), span, asked.reason))

    async def plan(request: Request) -> dict[str, Any]:
        async with turn:
            body = await _body(request, patience, LARGEST_PROPOSAL)
            asked = await asyncio.to_thread(_decoded, body, PlanBody)
            proposal = Proposal(tuple(asked.documents), asked.files, tuple(asked.accounts))
            proposed = await _while_wanted(request, acting.plan(proposal), planning)
            return await asyncio.to_thread(_planned, proposed, asked.show, asked.approval)

    return [
        Route(RECONCILE, _guarded(acting, reconcile, "account"), methods=["POST"]),
        Route(PAUSE, _guarded(acting, pause), methods=["POST"]),
        Route(PLAN, _guarded(acting, plan), methods=["POST"]),
    ]


async def _while_wanted(request: Request, work: Awaitable[Proposed], seconds: float) -> Proposed:
    """Return what work comes to, which ends when it takes too long or when whoever asked has hung up."""
    doing, gone = asyncio.ensure_future(work), asyncio.create_task(_gone(request))
    try:
        done, _ = await asyncio.wait({doing, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not doing.done():
            doing.cancel()
    if doing in done:
        try:
            return doing.result()
        except TimeoutError as error:
            raise Refused(503, "these files took too long to be read") from error
    if gone in done:
        raise ClientDisconnect
    raise Refused(503, f"this plan was not done within {seconds:g} seconds: try again, or send fewer files")


async def _gone(request: Request) -> None:
    """Return when whoever asked has hung up. A server that always has an answer must not keep the loop from others."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
        await asyncio.sleep(LOOK_SECONDS)


def absent() -> Sequence[Route]:
    """Return what stands in place of these calls where they do not exist: an answer that says why."""

    async def nowhere(_request: Request) -> Response:
        why = "calls that act exist only with PCC_LISTEN_TOKEN, or while PCC_LISTEN is a loopback address"
        return JSONResponse({"error": why}, status_code=404)

    return [Route(path, nowhere, methods=["POST"]) for path in (RECONCILE, PAUSE, PLAN)]


def _account(given: str | msgspec.UnsetType | None) -> AccountName | None:
    """Return the account that a call names, or nothing where it names none and so means every account."""
    if isinstance(given, msgspec.UnsetType):
        return None
    if given is None or not given.strip():
        raise Refused(400, "account is empty: name an account, or leave it out to mean every account")
    return AccountName(given)


def _concerned(accounts: Iterable[AccountName]) -> dict[str, Any]:
    return {"api": 1, "accounts": sorted(accounts)}


def _planned(proposed: Proposed, show: str, approval: str | None) -> dict[str, Any]:
    """Return the plans as ``plan --output json`` prints them, with the exit code that waiting changes would make."""
    reports = proposed.reports
    shown = {"text": plans.plan_text, "markdown": plans.plan_markdown}
    code = exit_code(reports, pending=PENDING)
    return {
        "api": 1,
        "plan": json.loads(plans.plan_json(reports, code=code, approval=approval)),
        "notes": list(proposed.notes),
        "shown": shown[show](reports, approval=approval) if show in shown else None,
    }


def _guarded(acting: Acting, handle: Handler, *takes: str) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that lets ``handle`` act only for who may, and answers in JSON either way.

    ``takes`` are its parameters: a misspelt one must not make a call for one account a call for all.
    """

    async def endpoint(request: Request) -> Response:
        try:
            _check(request, _token(acting), takes)
            answer = await asyncio.to_thread(JSONResponse, await handle(request))
        except Invalid as invalid:
            faults = [str(fault) for fault in invalid.faults]
            return JSONResponse({"error": "the proposed text is not valid", "faults": faults}, status_code=422)
        except Refused as error:
            return JSONResponse({"error": str(error)}, status_code=error.status)
        except Unknown as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        except (ReconcilerError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except ClientDisconnect:
            return Response(status_code=400)
        return answer

    return endpoint


def _token(acting: Acting) -> str | None:
    """Return the token that is to be shown; where it cannot be read, why is nothing for who has not shown it."""
    try:
        return acting.token()
    except ReconcilerError as error:
        raise Refused(503, "the token of PCC_LISTEN_TOKEN or its file cannot be read") from error


def _check(request: Request, token: str | None, takes: Sequence[str]) -> None:
    """Let a call pass that shows the token, or, where none is set, one that was addressed to loopback."""
    if token is not None:
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {token}".encode()):
            raise Refused(401, "this call needs the bearer token of PCC_LISTEN_TOKEN")
    else:
        _check_directness(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "this call takes application/json")
    for name in request.query_params.keys() - set(takes):
        raise Refused(400, f"this call has no parameter {quoted(name)!r}{suggestion(name, takes)}")
    for name in takes:
        if len(request.query_params.getlist(name)) > 1:
            raise Refused(400, f"the parameter {name} is given more than once")


def _check_directness(request: Request) -> None:
    """Let a call pass that a program on this machine made itself: under a loopback name, and by way of no proxy."""
    if _host(request.headers.get("host", "")) not in LOOPBACK:
        raise Refused(403, "without PCC_LISTEN_TOKEN this call is answered under a loopback name only")
    for name in request.headers:
        plain = name.replace("_", "-")
        if plain in PASSED_ON or plain.startswith(PASSED_ON_PREFIXES):
            raise Refused(403, f"{quoted(name)} says that a proxy passed this call on: {NEEDS_TOKEN}")
    if request.scope.get("http_version") in OLD_HTTP:
        raise Refused(403, f"HTTP/1.0 is what proxies speak: {NEEDS_TOKEN}")
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "none")
    if (origin is not None and origin != f"http://{request.headers['host']}") or site not in SAME_SITE:
        raise Refused(403, f"a web page of another origin made this call: {NEEDS_TOKEN}")


def _host(header: str) -> str:
    """Return the name in a Host header, without the port."""
    return header[: header.index("]") + 1] if header.startswith("[") and "]" in header else header.partition(":")[0]


async def _body(request: Request, patience: float, largest: int = LARGEST_BODY) -> bytes:
    """Return the body, and no more of it than is bearable."""
    body = bytearray()
    try:
        async with asyncio.timeout(patience):
            async for chunk in request.stream():
                body += chunk
                if len(body) > largest:
                    raise Refused(413, f"the body is larger than {largest} bytes")
    except TimeoutError as error:
        raise Refused(408, "the body did not come in time") from error
    return bytes(body)


def _decoded(body: bytes, form: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body or b"{}", type=form)
    except msgspec.MsgspecError as error:
        raise Refused(400, f"the body is not what this call takes: {quoted(str(error))}") from error
