"""The calls that only read, beside the status: one account, one device, past changes.

Owns: their paths, what they take, and which status says what. Must not: know how an answer is found; it is handed
functions that find it.

Whoever reaches the port may read: no token, any Host, as for the page. No answer allows another origin to read it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.api.response_cache import Questions
from reconciler.core.errors import ReconcilerError, StateError, Unknown, quoted, suggestion
from reconciler.reporting.explain import Explanation
from reconciler.reporting.formats.encoding import json_text
from reconciler.reporting.queries import AccountDetail, DeviceExplanation, Page, insist_on_values

Local = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the calls ask. Each raises ``Unknown`` for what is not known, ``ReconcilerError`` for what cannot be."""

    account: Callable[[str], Awaitable[AccountDetail]]
    device: Callable[[str, str], Awaitable[Explanation]]
    explain: Callable[[str, str | None], Awaitable[DeviceExplanation]]
    history: Callable[[Mapping[str, str]], Awaitable[Page]]


def routes(reading: Reading, steady: Callable[[], float] = time.monotonic, local: Local = str) -> Sequence[Route]:
    """Return the routes of the calls that only read.

    ``steady`` tells how long an answer took, ``local`` takes the server's own folder out of words.
    """
    stories, records = Questions[str](steady), Questions[str](steady)

    async def account(request: Request) -> object:
        return await reading.account(request.path_params["account"])

    async def device(request: Request) -> object:
        return await reading.device(request.path_params["account"], request.path_params["device"])

    async def devices(request: Request) -> object:
        asked = _parameters(request)
        for key in asked:
            if key not in {"device", "account"}:
                raise ReconcilerError(f"there is no parameter {quoted(key)!r}{suggestion(key, ('device', 'account'))}")
        if not asked.get("device", "").strip():
            raise ReconcilerError("say which device: ?device=ID, the beginning of an id, or a name")
        insist_on_values(asked)
        return await reading.explain(asked["device"], asked.get("account"))

    async def history(request: Request) -> object:
        return await reading.history(_parameters(request))

    return [
        Route("/api/v1/accounts/{account}", _answered(account, records, local)),
        Route("/api/v1/accounts/{account}/devices/{device:path}", _answered(device, stories, local)),
        Route("/api/v1/devices", _answered(devices, stories, local)),
        Route("/api/v1/history", _answered(history, records, local)),
    ]


def _parameters(request: Request) -> Mapping[str, str]:
    """Return the parameters of a call, each of which may be given once."""
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            raise ReconcilerError(f"the parameter {quoted(name)} is given more than once")
    return given


def as_json(report: object, local: Local = str) -> str:
    """Return a report as the JSON of this version. ``local`` takes the server's own folder out of words."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return local(json_text({"api": 1, **plain}))


def answer(text: str) -> Response:
    """Return JSON as an answer."""
    return Response(text, media_type="application/json")


def _answered(
    find: Callable[[Request], Awaitable[object]], questions: Questions[str], local: Local
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        async def found() -> str:
            return await asyncio.to_thread(as_json, await find(request), local)

        try:
            return answer(await questions.get((request.url.path, request.url.query), found))
        except Unknown as error:
            return JSONResponse({"error": local(str(error))}, status_code=404)
        except StateError as error:
            return JSONResponse({"error": local(str(error))}, status_code=503)
        except ReconcilerError as error:
            return JSONResponse({"error": local(str(error))}, status_code=400)

    return endpoint
