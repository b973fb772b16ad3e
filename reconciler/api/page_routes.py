"""The pages as calls: their paths, what they take, and which status says what.

Owns: that. Must not: know how an answer is found or what is on a page. Asking costs a bounded share of the time,
whoever asks how often: ``response_cache`` sees to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from reconciler.api.framing import no_such_call, own_path
from reconciler.api.links import Links
from reconciler.api.local import ServerFolder
from reconciler.api.page import Page
from reconciler.api.pages import AccountsAsked, HistoryAsked, Pages
from reconciler.api.parameters import parameters
from reconciler.api.port import Queries
from reconciler.api.response_cache import Questions, Sparing
from reconciler.core.errors import ReconcilerError, StateError, Unknown, quoted
from reconciler.reporting import moments
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.reporting.parameters import insist_on_known, is_moment
from reconciler.reporting.roster import place

CHANGES = "300"
"""How many past changes one page puts into groups."""
LONGEST_WORDS = 200
"""The most characters that are searched for."""
LONGEST_NUMBER = 7
"""The most digits of a page's number."""
TITLES = {400: "Not understood", 404: "Not found", 503: "Not available"}

Making = Callable[[Request], Awaitable[str]]
Endpoint = Callable[[Request], Awaitable[Response]]


class PageRoutes:
    """The pages of the daemon. ``steady`` measures how long an answer took; answers do not show ``folder``."""

    def __init__(
        self,
        queries: Queries,
        links: Links,
        folder: ServerFolder,
        steady: Callable[[], float],
    ) -> None:
        self._queries, self._folder = queries, folder
        self._overview = cache(lambda: Page(links))
        self._pages = Pages(links)
        self._first = Sparing(self._made_first, steady)
        self._status = Sparing(queries.status, steady)
        self._answers = Questions[str](steady)

    @property
    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        return [
            Route("/", self._first_page),
            Route("/accounts", self._answering(self._accounts)),
            Route("/accounts/{account}", self._answering(self._account)),
            Route("/accounts/{account}/devices/{device:path}", self._answering(self._device)),
            Route("/history", self._answering(self._history)),
            Route("/events", self._answering(self._events)),
            Route("/search", self._answering(self._search)),
        ]

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer for what does not exist: a page for a person, a line for a program."""
        is_page = "text/html" in request.headers.get("accept", "")
        if not isinstance(error, HTTPException) or not is_page:
            return await no_such_call(request, error)
        if own_path(request.scope).startswith("/api/"):
            return await no_such_call(request, error)
        return await self._refused(error.status_code, f"There is no page {request.url.path}.")

    async def _first_page(self, _request: Request) -> Response:
        if not self._overview.cache_info().currsize:
            # Else the first page would serve for as long as its template took.
            await asyncio.to_thread(self._overview)
        return HTMLResponse(await self._first.get())

    async def _made_first(self) -> str:
        overview = await self._queries.overview()
        return self._folder.hide(await asyncio.to_thread(self._overview().render, overview))

    def _answering(self, make: Making) -> Endpoint:
        """Return an endpoint that answers with a page."""

        async def endpoint(request: Request) -> Response:
            async def made() -> str:
                return self._folder.hide(await make(request))

            try:
                return HTMLResponse(
                    await self._answers.get((request.url.path, request.url.query), made)
                )
            except ReconcilerError as error:
                return await self._refused(_status_of(error), str(error))

        return endpoint

    async def _refused(self, status: int, words: str) -> Response:
        title = TITLES.get(status, "No page")
        sentence = f"{words[:1].upper()}{words[1:]}"
        page = await asyncio.to_thread(
            self._pages.missing,
            title,
            sentence,
            self._queries.now(),
        )
        return HTMLResponse(self._folder.hide(page), status_code=status)

    async def _accounts(self, request: Request) -> str:
        asked = _asked(request, ("q", "condition", "page"))
        wanted = AccountsAsked(
            asked.get("q", ""),
            asked.get("condition", ""),
            _number(asked.get("page", "")),
        )
        return await asyncio.to_thread(
            self._pages.accounts,
            await self._status.get(),
            wanted,
        )

    async def _account(self, request: Request) -> str:
        asked = _asked(request, ("q", "state", "after"))
        wanted = DevicesAsked(
            state=asked.get("state"),
            words=asked.get("q", ""),
            after=place(asked["after"]) if "after" in asked else None,
        )
        name = request.path_params["account"]
        view, contact = await self._queries.account_view(name, wanted)
        now = self._queries.now()
        return await asyncio.to_thread(
            self._pages.account,
            view,
            contact,
            wanted,
            now,
        )

    async def _device(self, request: Request) -> str:
        _asked(request, ())
        account, device = request.path_params["account"], request.path_params["device"]
        story = await self._queries.device(account, device)
        return await asyncio.to_thread(
            self._pages.device,
            story,
            self._queries.now(),
        )

    async def _history(self, request: Request) -> str:
        given = _asked(request, None)
        now = self._queries.now()
        wanted = HistoryAsked(given, self._queries.zone().title)
        try:
            question = self._dated(given, now)
            wanted = replace(wanted, spoken=question.spoken)
            page = await self._queries.history({"limit": CHANGES, **question.asked})
        except ReconcilerError as error:  # the form stays, so that the question can be put right
            wanted, page = replace(wanted, trouble=str(error)), None
        return await asyncio.to_thread(
            self._pages.history,
            wanted,
            page,
            now,
        )

    def _dated(self, given: Mapping[str, str], now: datetime) -> moments.Dated:
        """Return a question about past changes with its days as moments; raises ``ReconcilerError``."""
        zone = self._queries.zone()
        asked = dict(given)
        named = asked.pop("timezone", None)
        if named is not None:
            try:
                zone = moments.zone_named(named)
            except ValueError as error:
                raise ReconcilerError(f"{quoted(named)!r} {error}") from error
        question = moments.dated(asked, zone, now)
        for key in moments.SPAN:
            if key in asked and key not in question.spoken and not is_moment(asked[key], now):
                raise ReconcilerError(f"{key} must be {moments.HOW}, not {quoted(asked[key])!r}")
        return question

    async def _events(self, request: Request) -> str:
        _asked(request, ())
        heard = await self._queries.events()
        return await asyncio.to_thread(
            self._pages.events,
            heard,
            self._queries.now(),
        )

    async def _search(self, request: Request) -> str:
        view = await self._queries.search(_asked(request, ("q",)).get("q", ""))
        return await asyncio.to_thread(
            self._pages.search,
            view,
            self._queries.now(),
        )


def _status_of(error: ReconcilerError) -> int:
    if isinstance(error, Unknown):
        return 404
    if isinstance(error, StateError):
        return 503
    return 400


def _number(page: str) -> int:
    """Return the number of a page; the first for what is none."""
    if not page.isascii() or not page.isdecimal():
        return 1
    return int(page[:LONGEST_NUMBER])


def _asked(request: Request, keys: Sequence[str] | None) -> Mapping[str, str]:
    """Return what a form asks for. A field that was left empty asks for nothing."""
    given = parameters(request)
    if keys is not None:
        insist_on_known(given, keys)
    return {key: value.strip()[:LONGEST_WORDS] for key, value in given.items() if value.strip()}
