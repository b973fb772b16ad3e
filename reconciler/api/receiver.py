"""Takes what LG sends: one POST, answered with success only after the commit.

Owns: the table of answers, in its order; credentials of the caller, limits of size, time and number. Must not: read
what is in a body (``events.message`` does), or know where it is kept.

LG's documents name no answer that it expects and no retry. So nearly everything that can be stored is answered with
200, also what cannot be understood: webhook senders switch an endpoint off after 4xx answers, and an alert calls a
person instead. No line of the log shows a path or a header: either may hold a secret.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reconciler.api.access import Refused, check_basic, check_directness, same_as_one
from reconciler.api.incoming import Body, BodyTooLarge
from reconciler.api.port import ReceiverPolicy
from reconciler.api.time_limit import TimeLimit
from reconciler.core.clock import Clock
from reconciler.core.errors import ReconcilerError, SpoolError, SpoolFull
from reconciler.events.message import read
from reconciler.events.model import Arrival, Receipt, Stored
from reconciler.events.port import Inlet

PATH = "/pcc/events"
LARGEST_BODY = 64 * 1024
"""Bytes of a body. LG's example has 400; an array may hold more than a hundred such events."""
BODY_SECONDS = 10.0
"""A body has to be complete within this time."""
COMMIT_SECONDS = 3.0
"""A commit that takes longer is answered as failed: a sender waits for seconds, not minutes."""
MOST_UNDER_WAY = 512
"""Requests that may be read or committed at once."""
RETRY_AFTER = {"retry-after": "60"}
SELF_TEST_HEADER = "pcc-self-test"
DRAINED_SECONDS = 1.0
DRAINED_BYTES = 1024 * 1024
"""How long, and how much of, a refused body is read and thrown away, so that the sender gets to read the answer."""
TOO_LARGE = f"the body is larger than {LARGEST_BODY} bytes"
COMPLAINT_SECONDS = 60.0
"""How often the log says that calls are refused for one reason."""

log = structlog.get_logger()


class Refusal(Exception):
    """A call that is not taken. ``reason`` is the metric's label."""

    def __init__(self, status: int, reason: str, why: str = "") -> None:
        super().__init__(why)
        self.status, self.reason = status, reason


DEFECT = "defect"
"""The reason of quarantine for a body that our own reading failed on."""
ENDING = "ending"
"""The reason of a call whose body is not complete when the process ends."""
REFUSALS = (
    "method",
    "credential",
    "secret_unreadable",
    "busy",
    "too_large",
    "too_slow",
    "broken_off",
    "spool_full",
    "spool_failed",
    ENDING,
)
"""Every reason for which a call is not taken."""
HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"www-authenticate": 'Basic realm="pcc", charset="UTF-8"'},
    405: {"allow": "POST"},
    503: RETRY_AFTER,
}
"""What an answer carries beside its status."""


Read = Callable[[bytes], Sequence[Arrival]]
"""Reads LG's bytes: returns what is in a body, at least one arrival, and never raises for what the bytes are."""


class Journal(Protocol):
    """Hears what the receiver does: metrics and log."""

    def refused(self, reason: str) -> None:
        """Count a call that was not taken."""

    def answered(self, seconds: float) -> None:
        """Take how long a call took that was answered with success."""

    def stored(self, arrival: Arrival, receipt: Receipt) -> None:
        """Take what became of one arrival, after its commit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once, and how long it may take, in seconds."""

    body_seconds: float = BODY_SECONDS
    commit_seconds: float = COMMIT_SECONDS
    under_way: int = MOST_UNDER_WAY


class Receiver:
    """The ASGI app of the one path that LG calls."""

    def __init__(
        self,
        inlet: Inlet,
        policy: ReceiverPolicy,
        journal: Journal,
        clock: Clock,
        *,
        limits: Limits | None = None,
        read: Read = read,
    ) -> None:
        self._inlet, self._policy = inlet, policy
        self._journal, self._clock = journal, clock
        self._limits = limits or Limits()
        self._body_limit = TimeLimit(self._limits.body_seconds)
        self._commit_limit = TimeLimit(self._limits.commit_seconds)
        self._read = read
        self._complaints = Complaints(clock)
        self.under_way = 0

    def allow(self, under_way: int) -> None:
        """Allow no more requests under way than this, where that is less than before: connections may be few."""
        fewer = min(self._limits.under_way, under_way)
        self._limits = replace(self._limits, under_way=fewer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request, body = Request(scope), Body(receive)
        began = self._clock.steady()
        try:
            answer = await self._take(request, body)
        except Refusal as refusal:
            answer = await self._refuse(request, body, refusal)
        else:
            self._journal.answered(self._clock.steady() - began)
        await answer(scope, receive, send)

    async def _take(self, request: Request, body: Body) -> Response:
        """Return the answer of success; raises ``Refusal``. The checks are in the order of the documented table."""
        if request.method != "POST":
            raise Refusal(405, "method", "another method than POST")
        self._check_caller(request)
        if self.under_way >= self._limits.under_way:
            raise Refusal(503, "busy", f"more than {self._limits.under_way} requests are under way")
        self.under_way += 1
        try:
            arrivals = self._arrivals(await self._whole(request, body))
            receipts = await self._store(arrivals)
        finally:
            self.under_way -= 1
        answer = TAKEN
        for arrival, receipt in zip(arrivals, receipts, strict=True):
            self._journal.stored(arrival, receipt)
            if receipt.stored is Stored.SELF_TEST:
                answer = _taken(_self_test_header(arrival))
        return answer

    def _check_caller(self, request: Request) -> None:
        """Insist on every credential that is set. Both are looked at, whatever the first one comes to."""
        shown = request.scope["path"].removeprefix(PATH).removeprefix("/")
        try:
            pairs, secrets = self._policy.basic(), self._policy.path_secrets()
        except ReconcilerError as error:
            raise Refusal(503, "secret_unreadable", str(error)) from error
        basic_holds = not pairs or check_basic(request, pairs)
        path_holds = same_as_one(shown.encode(), secrets) if secrets else not shown
        if not (basic_holds and path_holds):
            raise Refusal(401, "credential", "no credential, or a wrong one")
        if not pairs and not secrets:
            self._check_directness(request)

    def _check_directness(self, request: Request) -> None:
        """Let a call without a credential pass only if a program on this machine made it."""
        if not self._policy.on_loopback:
            raise Refusal(401, "credential", "no credential is set")
        try:
            check_directness(request, "PCC_RECEIVE_BASIC")
        except Refused as refused:
            raise Refusal(401, "credential", str(refused)) from refused

    async def _whole(self, request: Request, body: Body) -> bytes:
        """Return the body. One whose length is given as too large is not waited for."""
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and len(announced) > len(str(LARGEST_BODY)):
            raise Refusal(413, "too_large", TOO_LARGE)
        try:
            with self._body_limit.begun():
                return await body.whole(LARGEST_BODY)
        except BodyTooLarge as error:
            raise Refusal(413, "too_large", TOO_LARGE) from error
        except TimeoutError as error:
            raise Refusal(408, "too_slow", "the body did not arrive in time") from error
        except ClientDisconnect as gone:
            raise Refusal(400, "broken_off", "the caller ended before its body did") from gone
        except asyncio.CancelledError as ending:
            # The server cancels what is still not complete some seconds after SIGTERM, and would answer 500.
            raise Refusal(
                503, ENDING, "this process ends, and the body is not complete"
            ) from ending

    def _arrivals(self, body: bytes) -> Sequence[Arrival]:
        """Return what is in a body. A defect of ours in the reading must not lose it: it goes to quarantine."""
        try:
            return self._read(body)
        except Exception:
            log.exception("receive.unreadable", bytes=len(body))
            return (Arrival(key=sha256(body).digest(), body=body, quarantine=DEFECT),)

    async def _store(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        try:
            with self._commit_limit.begun():
                return await self._inlet.store(arrivals)
        except SpoolFull as full:
            raise Refusal(503, "spool_full", str(full)) from full
        except SpoolError as error:
            raise Refusal(503, "spool_failed", str(error)) from error
        except TimeoutError as error:
            words = f"the commit took longer than {self._limits.commit_seconds:g} seconds"
            raise Refusal(503, "spool_failed", words) from error

    async def _refuse(self, request: Request, body: Body, refusal: Refusal) -> Response:
        """Return the answer of a call that is not taken. Of what is still coming, a bounded part is read."""
        self._journal.refused(refusal.reason)
        self._complaints.hear(refusal)
        if "expect" not in request.headers and refusal.reason != ENDING:
            await body.drain(DRAINED_BYTES, DRAINED_SECONDS)
        return Response(status_code=refusal.status, headers=HEADERS.get(refusal.status))


def _taken(headers: Mapping[str, str]) -> Response:
    return Response(b"{}", media_type="application/json", headers=headers)


TAKEN = _taken({})
"""The answer of success. It has nothing of its call, so it is made once."""


def _self_test_header(arrival: Arrival) -> Mapping[str, str]:
    """Return the header that proves to ``receive --check`` that its own call was stored."""
    nonce = None if arrival.message is None else arrival.message.raw.get("nonce")
    fits = isinstance(nonce, str) and nonce.isascii() and nonce.isalnum() and len(nonce) <= 64  # noqa: PLR2004
    return {SELF_TEST_HEADER: str(nonce)} if fits else {}


class Complaints:
    """Says in the log that calls are refused: at once, and then once a minute with their number.

    Whoever can reach the port could fill the log otherwise.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def hear(self, refusal: Refusal) -> None:
        """Take one refused call."""
        reason, now = refusal.reason, self._clock.steady()
        self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
        if now - self._logged_at.get(reason, -COMPLAINT_SECONDS) < COMPLAINT_SECONDS:
            return
        self._logged_at[reason] = now
        log.warning(
            "receive.refused",
            status=refusal.status,
            reason=reason,
            message=str(refusal),
            count=self._unlogged.pop(reason),
        )
