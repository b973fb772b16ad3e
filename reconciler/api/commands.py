"""The calls that act or take input: a pass at once, a pause, a window opened, and a plan of proposed files.

Owns: their paths, what they take, and which status says what. Must not: decide who may call (``access`` does), or know
what acting means; it asks the ``Operations``.

An account is named or left out, and only left out it means every account. A name that is empty, white space or null
comes from a variable that is not set, and a parameter or key that is not known may be a misspelt name: all are refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.api.access import (
    PATIENCE_SECONDS,
    Refused,
    check_caller,
    check_form,
    whole_body,
)
from reconciler.api.port import AccessPolicy, Operations
from reconciler.api.reading import check_reader
from reconciler.core import duration
from reconciler.core.errors import Invalid, ReconcilerError, Unknown, quoted
from reconciler.core.model import AccountName, Pause
from reconciler.reporting import PENDING, exit_code
from reconciler.reporting.formats import plans
from reconciler.reporting.formats.comment import LEAST_LONGEST, LONGEST, MOST_LONGEST
from reconciler.reporting.formats.screen import WIDTH, Screen
from reconciler.reporting.preview import Proposal, Proposed

RECONCILE, PAUSE, PLAN = "/api/v1/reconcile", "/api/v1/pause", "/api/v1/plan"
OPEN, CLOSE = "/api/v1/open", "/api/v1/close"
LARGEST_BODY = 64 * 1024
LARGEST_PROPOSAL = 128 * 1024 * 1024
"""Proposed files: room for more than a million ids."""
PROPOSALS = 2
"""How many proposals are read and planned at once. Others wait, with their bodies unread."""
PLANNING_SECONDS = 120.0
"""A proposal has to be planned within this time, the wait for others included."""
LONGEST_REASON = 1000
"""Characters of a pause's reason: it is shown wherever the pause is."""
LONGEST_PERSON = 200
"""Characters of who sets a pause."""
NOWHERE = (
    "calls that act exist only with PCC_LISTEN_TOKEN, or while PCC_LISTEN is a loopback address"
)
LOOK_SECONDS = 0.5
"""How often the server is asked whether the caller is still there, where it does not wait with its answer."""


class PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/pause`` takes. A ``pause`` of ``none`` ends the pause."""

    pause: Literal["none", "unsubscribe", "all"] = "all"
    account: str | msgspec.UnsetType | None = msgspec.UNSET
    for_: str | None = msgspec.field(default=None, name="for")
    reason: str = ""
    set_by: str = ""


class OpenBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/open`` takes."""

    window: str
    for_: str | None = msgspec.field(default=None, name="for")
    reason: str = ""
    set_by: str = ""


class CloseBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/close`` takes."""

    window: str


class ReconcileBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/reconcile`` takes: an empty object. The account is in the address."""


class ScreenBody(msgspec.Struct, forbid_unknown_fields=True):
    """The room that the text of a plan has at the caller."""

    width: Annotated[int, msgspec.Meta(ge=20, le=10_000)] = WIDTH
    folds: bool = False
    wide: bool = False
    full_ids: bool = False


class PlanBody(msgspec.Struct, forbid_unknown_fields=True):
    """What ``POST /api/v1/plan`` takes: contents by path, which paths are documents, and what to show.

    ``accounts`` are those to plan, or all. ``approval`` is the device file that an approval shall name, ``screen`` the
    room for text, ``longest`` the characters of Markdown.
    """

    documents: list[str]
    files: dict[str, str]
    accounts: list[str] = []
    show: Literal["none", "text", "markdown"] = "none"
    approval: str | None = None
    longest: Annotated[int, msgspec.Meta(ge=LEAST_LONGEST, le=MOST_LONGEST)] = LONGEST
    screen: ScreenBody = msgspec.field(default_factory=ScreenBody)


Body = TypeVar("Body", CloseBody, OpenBody, PauseBody, PlanBody, ReconcileBody)
Handler = Callable[[Request], Awaitable[dict[str, Any]]]


def routes(
    operations: Operations,
    policy: AccessPolicy,
    *,
    patience: float = PATIENCE_SECONDS,
    planning: float = PLANNING_SECONDS,
) -> Sequence[Route]:
    """Return the routes of the calls that act. ``patience``: seconds that a body may take; ``planning``: a plan."""
    calls, callers = _Calls(operations, patience, planning), _Callers(policy)
    return [
        Route(RECONCILE, _guarded(callers.acting, calls.reconcile, "account"), methods=["POST"]),
        Route(PAUSE, _guarded(callers.acting, calls.pause), methods=["POST"]),
        Route(OPEN, _guarded(callers.acting, calls.open), methods=["POST"]),
        Route(CLOSE, _guarded(callers.acting, calls.close), methods=["POST"]),
        Route(PLAN, _guarded(callers.planning, calls.plan), methods=["POST"]),
    ]


class _Callers:
    """Who may make these calls. Each method lets a call pass, or raises ``Refused``."""

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy

    def acting(self, request: Request) -> None:
        """Let those act who show the token for acting, or, where none is set, who are on this machine."""
        if not self._policy.acting_allowed:
            raise Refused(404, NOWHERE)
        check_caller(request, _token(self._policy))

    def planning(self, request: Request) -> None:
        """Let those plan who may read, where reading needs a token: a plan changes nothing. Else as for acting."""
        if not check_reader(request, self._policy):
            self.acting(request)


class _Calls:
    """The calls that act, for callers that are let through."""

    def __init__(self, operations: Operations, patience: float, planning: float) -> None:
        self._operations, self._patience, self._planning = operations, patience, planning
        self._turn = asyncio.Semaphore(PROPOSALS)

    async def reconcile(self, request: Request) -> dict[str, Any]:
        """Begin passes."""
        _decoded(await whole_body(request, LARGEST_BODY, self._patience), ReconcileBody)
        account = _account(request.query_params.get("account", msgspec.UNSET))
        return _concerned(await self._operations.reconcile(account))

    async def pause(self, request: Request) -> dict[str, Any]:
        """Begin or end a pause."""
        asked = _decoded(await whole_body(request, LARGEST_BODY, self._patience), PauseBody)
        span = _span_and_words(asked)
        account = _account(asked.account)
        return _concerned(
            await self._operations.pause(
                account, Pause(asked.pause), span, asked.reason, asked.set_by
            )
        )

    async def open(self, request: Request) -> dict[str, Any]:
        """Open a change window for a while."""
        asked = _decoded(await whole_body(request, LARGEST_BODY, self._patience), OpenBody)
        span = _span_and_words(asked)
        opening, accounts = await self._operations.open_window(
            asked.window, span, asked.reason, asked.set_by
        )
        return {**_concerned(accounts), "until": opening.until.isoformat().replace("+00:00", "Z")}

    async def close(self, request: Request) -> dict[str, Any]:
        """End what ``open`` began."""
        asked = _decoded(await whole_body(request, LARGEST_BODY, self._patience), CloseBody)
        return _concerned(await self._operations.close_window(asked.window))

    async def plan(self, request: Request) -> dict[str, Any]:
        """Plan proposed files, a few proposals at once."""
        async with self._turn:
            body = await whole_body(request, LARGEST_PROPOSAL, self._patience)
            asked = await asyncio.to_thread(_decoded, body, PlanBody)
            proposal = Proposal(tuple(asked.documents), asked.files, tuple(asked.accounts))
            proposed = await _while_wanted(request, self._operations.plan(proposal), self._planning)
            return await asyncio.to_thread(_planned, proposed, asked)


async def _while_wanted(request: Request, work: Awaitable[Proposed], seconds: float) -> Proposed:
    """Return the result of work, which is ended when it takes too long or when the caller has hung up."""
    doing, gone = asyncio.ensure_future(work), asyncio.create_task(_gone(request))
    try:
        done, _ = await asyncio.wait(
            {doing, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        gone.cancel()
        if not doing.done():
            doing.cancel()
    if doing in done:
        try:
            return doing.result()
        except TimeoutError as error:
            raise Refused(503, "reading these files took too long") from error
    if gone in done:
        raise ClientDisconnect
    raise Refused(
        503, f"this plan was not done within {seconds:g} seconds: try again, or send fewer files"
    )


async def _gone(request: Request) -> None:
    """Return when the caller has hung up. A server that answers at once every time must not block the loop."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
        await asyncio.sleep(LOOK_SECONDS)


def _span_and_words(asked: PauseBody | OpenBody) -> timedelta | None:
    """Return for how long something is asked for. Raises ``Refused`` where its words are too long."""
    if len(asked.reason) > LONGEST_REASON:
        raise Refused(400, f"reason is longer than {LONGEST_REASON} characters")
    if len(asked.set_by) > LONGEST_PERSON:
        raise Refused(400, f"set_by is longer than {LONGEST_PERSON} characters")
    return duration.parse(asked.for_) if asked.for_ is not None else None


def _account(given: str | msgspec.UnsetType | None) -> AccountName | None:
    """Return the account that a call names, or None where it names none and so means every account."""
    if isinstance(given, msgspec.UnsetType):
        return None
    if given is None or not given.strip():
        raise Refused(
            400, "account is empty: name an account, or leave it out to mean every account"
        )
    return AccountName(given)


def _concerned(accounts: Iterable[AccountName]) -> dict[str, Any]:
    return {"api": 1, "accounts": sorted(accounts)}


def _planned(proposed: Proposed, asked: PlanBody) -> dict[str, Any]:
    """Return the plans as ``plan --output json`` prints them, with the exit code that waiting changes would make."""
    reports = proposed.reports
    code = exit_code(reports, pending=PENDING)
    shown, approval = None, asked.approval
    if asked.show == "text":
        room = asked.screen
        screen = Screen(room.width, room.folds, room.wide, room.full_ids)
        shown = plans.plan_text(reports, approval=approval, screen=screen)
    elif asked.show == "markdown":
        shown = plans.plan_markdown(reports, approval=approval, longest=asked.longest)
    return {
        "api": 1,
        "plan": json.loads(plans.plan_json(reports, code=code, approval=approval)),
        "notes": list(proposed.notes),
        "shown": shown,
    }


def _guarded(
    let_pass: Callable[[Request], None], handle: Handler, *takes: str
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that lets ``handle`` act only for who may, and answers in JSON either way.

    ``takes`` are its parameters: a misspelt one must not make a call for one account a call for all.
    """

    async def endpoint(request: Request) -> Response:
        try:
            let_pass(request)
            check_form(request, takes)
            answer = await asyncio.to_thread(JSONResponse, await handle(request))
        except Invalid as invalid:
            faults = [str(fault) for fault in invalid.faults]
            return JSONResponse(
                {"error": "the proposed files are not valid", "faults": faults}, status_code=422
            )
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


def _token(policy: AccessPolicy) -> str | None:
    """Return the token that callers have to show. They do not learn why it cannot be read."""
    try:
        return policy.listen_token()
    except ReconcilerError as error:
        raise Refused(503, "the token of PCC_LISTEN_TOKEN or its file cannot be read") from error


def _decoded(body: bytes, form: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body or b"{}", type=form)
    except msgspec.MsgspecError as error:
        raise Refused(400, f"the body does not fit this call: {quoted(str(error))}") from error
