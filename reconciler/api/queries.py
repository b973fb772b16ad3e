"""The calls that only read: the status, one account, one device, the list of devices, past changes.

Owns: their paths, what they take, and which status says what. Must not: know how an answer is found; it asks the
``Queries``.

Everybody who reaches the port may read: no token, any Host, as for the page. No answer allows another origin to read
it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.api.local import ServerFolder
from reconciler.api.parameters import parameters
from reconciler.api.port import Queries
from reconciler.api.response_cache import Questions, Sparing
from reconciler.core.errors import ReconcilerError, StateError, Unknown
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.parameters import insist_on_known, insist_on_values

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}", re.ASCII)
Find = Callable[[Request], Awaitable[object]]
Endpoint = Callable[[Request], Awaitable[Response]]


def routes(
    queries: Queries,
    steady: Callable[[], float] = time.monotonic,
    folder: ServerFolder | None = None,
) -> Sequence[Route]:
    """Return the routes of the calls that only read. ``steady`` measures how long an answer took.

    Answers do not show ``folder``.
    """
    calls = _Calls(queries, steady, folder or ServerFolder())
    return [
        Route("/api/v1/status", calls.status),
        Route("/api/v1/accounts/{account}", calls.answering(calls.account, calls.records)),
        Route(
            "/api/v1/accounts/{account}/devices/{device:path}",
            calls.answering(calls.device, calls.devices),
        ),
        Route("/api/v1/device-states", calls.answering(calls.states, calls.devices)),
        Route("/api/v1/devices", calls.answering(calls.explain, calls.devices)),
        Route("/api/v1/history", calls.answering(calls.history, calls.records)),
        Route("/api/v1/registry", calls.answering(calls.registry, calls.records)),
    ]


class _Calls:
    """The queries, and the answers that are reused."""

    def __init__(self, queries: Queries, steady: Callable[[], float], folder: ServerFolder) -> None:
        self._queries, self._folder = queries, folder
        self._status = Sparing(queries.status, steady)
        self._statuses = Questions[str](steady)
        self.devices, self.records = Questions[str](steady), Questions[str](steady)

    async def status(self, request: Request) -> Response:
        """Answer with the status, and whether a commit is in the history of what is in force."""
        revision = request.query_params.get("revision")
        if revision is not None and not _COMMIT.fullmatch(revision):
            return JSONResponse(
                {"error": "revision: must be 7 to 64 digits of a commit's id"}, status_code=400
            )
        asked = None if revision is None else revision.lower()

        async def found() -> str:
            return await self._status_json(asked)

        return _answer(await self._statuses.get(asked, found))

    async def _status_json(self, revision: str | None) -> str:
        report = await self._status.get()
        if revision is not None:
            holds = await self._queries.holds(revision)
            report = replace(report, text=replace(report.text, holds=holds))
        return await asyncio.to_thread(_as_json, report, self._folder)

    async def account(self, request: Request) -> object:
        """Find one account."""
        return await self._queries.account(request.path_params["account"])

    async def device(self, request: Request) -> object:
        """Find one device of one account."""
        return await self._queries.device(
            request.path_params["account"], request.path_params["device"]
        )

    async def explain(self, request: Request) -> object:
        """Find one device, by whatever a person calls it."""
        asked = parameters(request)
        insist_on_known(asked, ("device", "account"))
        if not asked.get("device", "").strip():
            raise ReconcilerError("say which device: ?device=ID, the beginning of an id, or a name")
        insist_on_values(asked)
        return await self._queries.explain(asked["device"], asked.get("account"))

    async def states(self, request: Request) -> object:
        """Find the devices of all accounts, or of one, each with its state."""
        return await self._queries.devices(parameters(request))

    async def history(self, request: Request) -> object:
        """Find past changes."""
        return await self._queries.history(parameters(request))

    async def registry(self, request: Request) -> object:
        """Find LG's registry of an account, or of all with rules."""
        return await self._queries.registry(parameters(request))

    def answering(self, find: Find, questions: Questions[str]) -> Endpoint:
        """Return an endpoint that answers in JSON with what ``find`` finds."""

        async def endpoint(request: Request) -> Response:
            async def found() -> str:
                return await asyncio.to_thread(_as_json, await find(request), self._folder)

            try:
                return _answer(await questions.get((request.url.path, request.url.query), found))
            except Unknown as error:
                return self._error(error, 404)
            except StateError as error:
                return self._error(error, 503)
            except ReconcilerError as error:
                return self._error(error, 400)

        return endpoint

    def _error(self, error: ReconcilerError, status: int) -> Response:
        return JSONResponse({"error": self._folder.hide(str(error))}, status_code=status)


def _as_json(report: object, folder: ServerFolder) -> str:
    """Return a report as the JSON of this version."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return folder.hide(json_text({"api": 1, **plain}))


def _answer(text: str) -> Response:
    return Response(text, media_type="application/json")
