"""What shows events: the calls for the list, for one event and for the daemon, and the page.

Owns: their paths, what they take, who may call. Must not: change an event; no HTTP call does.

A diagnosis of a named room is personal data. So where others can reach the port, every call has to show the bearer
token of ``PCC_EVENTS_TOKEN``; without one these calls do not exist. On loopback a program of this machine may call,
and nobody whom a proxy passes on.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from reconciler.api.access import Refused, check_directness
from reconciler.api.event_page import EventPage
from reconciler.api.parameters import parameters
from reconciler.api.port import ReceiverPolicy
from reconciler.core.errors import ReconcilerError, SpoolError, Unknown, quoted, suggestion
from reconciler.events.model import EventState, KeptEvent, Wanted
from reconciler.events.port import Archive
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.formats.kept_events import (
    events_json,
    seen_fact,
    whole_events_json,
)
from reconciler.reporting.parameters import insist_on_known, insist_on_values, limit, moment

DEFAULT_LIMIT = 100
MOST_EVENTS = 1000
"""Events of one answer."""
LIST_PARAMETERS = ("account", "device", "type", "sink", "state", "since", "limit")
LONGEST_NUMBER = 18
"""Digits of a seq; SQLite's numbers have 64 bits."""

Now = Callable[[], datetime]
Endpoint = Callable[[Request], Awaitable[Response]]
Answering = Callable[[Request], Awaitable[str]]

log = structlog.get_logger()


def routes(archive: Archive, policy: ReceiverPolicy, now: Now, page: EventPage) -> Sequence[Route]:
    """Return the routes of what shows events. ``now`` is what ``since=2h`` counts from."""
    calls = _Calls(archive, policy, now)
    return [
        Route("/", calls.showing(page)),
        Route("/api/v1/events", calls.answering(calls.events)),
        Route("/api/v1/events/{id}", calls.answering(calls.event)),
        Route("/api/v1/seen", calls.answering(calls.seen)),
    ]


class _Calls:
    """What is asked."""

    def __init__(self, archive: Archive, policy: ReceiverPolicy, now: Now) -> None:
        self._archive, self._policy, self._now = archive, policy, now

    def answering(self, find: Answering) -> Endpoint:
        """Return an endpoint that answers whoever may call with what ``find`` finds."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check_caller(request)
                return Response(await find(request), media_type="application/json")
            except Refused as refused:
                return _error(str(refused), refused.status)
            except Unknown as error:
                return _error(str(error), 404)
            except SpoolError as error:
                return _error(str(error), 503)
            except ReconcilerError as error:
                return _error(str(error), 400)

        return endpoint

    def showing(self, page: EventPage) -> Endpoint:
        """Return an endpoint that shows the page to whoever may call."""

        async def endpoint(request: Request) -> Response:
            try:
                self._check_caller(request)
                return HTMLResponse(await asyncio.to_thread(page.render, self._now()))
            except Refused as refused:
                return PlainTextResponse(f"{refused}\n", status_code=refused.status)
            except SpoolError as error:
                return PlainTextResponse(f"{error}\n", status_code=503)

        return endpoint

    def _check_caller(self, request: Request) -> None:
        """Let a call pass that shows the token, or on loopback one that was made on this machine."""
        try:
            token = self._policy.events_token()
        except ReconcilerError as error:
            log.error("events.token_unreadable", reason=str(error))  # noqa: TRY400 - the sentence says it all
            raise Refused(503, "the token of these calls cannot be read") from error
        if token is None and not self._policy.on_loopback:
            raise HTTPException(404)
        if token is not None:
            shown = request.headers.get("authorization", "").encode()
            if hmac.compare_digest(shown, f"Bearer {token}".encode()):
                return
            if not self._policy.on_loopback:
                raise Refused(401, "this call needs the bearer token of PCC_EVENTS_TOKEN")
        check_directness(request, "PCC_EVENTS_TOKEN")

    async def events(self, request: Request) -> str:
        """Find the newest events that are asked for."""
        wanted = wanted_events(_parameters(request, LIST_PARAMETERS), self._now())
        return await asyncio.to_thread(self._listed, wanted)

    def _listed(self, wanted: Wanted) -> str:
        return events_json(self._archive.events(wanted))

    async def event(self, request: Request) -> str:
        """Find the events with an id, or with one that begins so."""
        _parameters(request, ())
        asked: str = request.path_params["id"]
        return await asyncio.to_thread(self._found, asked)

    def _found(self, asked: str) -> str:
        return whole_events_json(found_events(self._archive, asked))

    async def seen(self, request: Request) -> str:
        """Find what came after a number, oldest first, for the daemon."""
        asked = _parameters(request, ("after",))
        after = asked.get("after", "0")
        if not (after.isascii() and after.isdecimal()) or len(after) > LONGEST_NUMBER:
            raise ReconcilerError("after: has to be the number of an event")
        return await asyncio.to_thread(self._page, int(after))

    def _page(self, after: int) -> str:
        last, events = self._archive.seen(after, MOST_EVENTS)
        shown = [seen_fact(event) for event in events]
        return json_text({"spool": self._archive.spool, "last": last, "events": shown})


def found_events(archive: Archive, asked: str) -> Sequence[KeptEvent]:
    """Return the events whose id begins so; raises ``Unknown`` where there is none."""
    events = archive.event(asked)
    if not events:
        raise Unknown(f"there is no event {quoted(asked)!r}")
    return events


def wanted_events(asked: Mapping[str, str], now: datetime) -> Wanted:
    """Return which events are asked for. Raises ``ReconcilerError`` for a value that cannot be one."""
    insist_on_values(asked)
    return Wanted(
        account=asked.get("account"),
        device=asked.get("device"),
        type=asked.get("type"),
        sink=asked.get("sink"),
        state=_state(asked["state"]) if "state" in asked else None,
        since=moment("since", asked["since"], now) if "since" in asked else None,
        limit=limit(asked["limit"], MOST_EVENTS) if "limit" in asked else DEFAULT_LIMIT,
    )


def _state(word: str) -> EventState:
    known = [state.value for state in EventState]
    if word not in known:
        nearest = suggestion(word, known)
        raise ReconcilerError(f"state: has to be one of {', '.join(known)}{nearest}")
    return EventState(word)


def _parameters(request: Request, takes: Sequence[str]) -> Mapping[str, str]:
    """Return the parameters of a call: only known ones, each given once."""
    asked = parameters(request)
    insist_on_known(asked, takes)
    return asked


def _error(words: str, status: int) -> Response:
    return JSONResponse({"error": words}, status_code=status)
