"""LG's platform as verbs, for one account.

Owns: the documented requests and their headers, one time limit around each call, one renewal of the token where LG asks
for it, and the count of calls. Must not: retry anything else, decide what to change, or know of other accounts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol, TypeVar
from urllib.parse import quote

import httpx
import structlog

from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.errors import (
    CredentialsRefused,
    DeviceRefused,
    NotYetAccepted,
    Outdated,
    PlatformError,
    Surprise,
    Throttled,
    Unavailable,
)
from reconciler.core.model import AccountName, DeviceId, MessageId, Observed
from reconciler.core.rules import Registered
from reconciler.pcc import protocol
from reconciler.pcc.auth import Access, Token
from reconciler.pcc.codes import CHANGES, Call
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.ledger import Ledger, OwnLedger, dated, write_down
from reconciler.pcc.message_ids import SentIds, new_message_id
from reconciler.pcc.quota import Learned, Quota
from reconciler.pcc.reading import TooLongError
from reconciler.pcc.token_endpoint import TokenEndpoint, allow_always
from reconciler.pcc.transport import LOST, lost
from reconciler.telemetry.masking import Masking
from reconciler.telemetry.metrics import Metrics

ROUTES = {
    Call.LIST: ("GET", "/pcc"),
    Call.SUBSCRIBE: ("POST", "/pcc/{device-id}"),
    Call.UNSUBSCRIBE: ("DELETE", "/pcc/{device-id}"),
    Call.DEVICES: ("GET", "/devices"),
}
"""Method and route of each call; the route is what metrics show, never a path with an id."""

ASK_DEVICES_FIRST = frozenset({"1205", "1210", "1211", "1213"})
"""LG documents ``GET /devices`` as due before other calls, so the first of these codes may only mean that."""

READ_IN_THE_LOOP = 1024 * 1024
"""Bytes of an answer that are read in a few milliseconds; a list of a million devices has 80 times as many."""

Meaning = TypeVar("Meaning")
Read = Callable[[protocol.Reply, datetime], Meaning]
"""Turns a reply into what it means, or raises what to do next."""

log = structlog.get_logger()


class DeviceNamesHeard(Protocol):
    """Takes what LG calls the devices of an account."""

    def hear(self, account: AccountName, names: Mapping[DeviceId, str]) -> None:
        """Take the names; those heard before count no more."""


class Client:
    """One account's way to LG. Every method is at most one call, and one more after a renewed token.

    ``credentials`` is asked before each call, so a rotated secret is in use at once; it raises ``CredentialsRefused``
    where there are none any more; ``read_again`` looks for newer ones where they are refused. Errors are
    ``PlatformError``. ``last_call_at`` is when the last call ended, in steady seconds. All clients of a process share
    ``sent``. ``allow`` raises ``Outdated`` right before a call that must not be made now, whatever it is. ``outdated``
    is asked right before a change: a token may have been renewed since the pass decided on it, which takes time.
    ``fresh_seconds``: a change that waited longer for a token is not sent, because others may have made it outdated.
    ``ledger`` gets the calls before there are too many of which nothing is written down.
    """

    def __init__(
        self,
        account: AccountName,
        http: httpx.AsyncClient,
        credentials: Callable[[], Credentials],
        *,
        metrics: Metrics,
        timeout_seconds: float,
        quota: Quota | None = None,
        clock: Clock,
        renewed: Callable[[Iterable[str]], None] = lambda _secrets: None,
        message_id: Callable[[], MessageId] = new_message_id,
        read_again: Callable[[], None] = lambda: None,
        sent: SentIds | None = None,
        two_clocks: TwoClocks | None = None,
        names: DeviceNamesHeard | None = None,
        allow: Callable[[], None] = allow_always,
        ledger: Ledger | None = None,
    ) -> None:
        self.account = account
        self._ledger = ledger or OwnLedger()
        self._names = names
        self.quota = quota or Quota()
        self.last_call_at: float | None = None
        self._http = http
        self._credentials = credentials
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._two = two_clocks or TwoClocks(self._clock, ours_alone=True)
        self._message_id = message_id
        self._allow = allow
        self.outdated: Callable[[], bool] = bool
        self.fresh_seconds = math.inf
        self._sent_ids = SentIds() if sent is None else sent
        self._asked_devices: bool | None = None
        self._asking = asyncio.Lock()
        self._alone = asyncio.Lock()
        self._in_flight = 0
        self._limit_reported = self.quota.learned_limit
        self._headers: tuple[Credentials, httpx.Headers] | None = None
        self._listed_with: str | None = None
        endpoint = TokenEndpoint(http, timeout_seconds, allow)
        self.access = Access(
            credentials,
            endpoint.exchange,
            self._clock,
            self._renewal,
            renewed,
            read_again=read_again,
        )

    @property
    def credential(self) -> str:
        """Return a fingerprint of the user's token: another one may be another user, with another list.

        It is the one that the last list was read with: since then it may have been replaced, or be gone.
        """
        return self._listed_with or _user(self._credentials())

    @property
    def same_user(self) -> bool:
        """Say whether a call would go out with the token of the user whose list was read last."""
        try:
            return self._listed_with is None or self._listed_with == _user(self._credentials())
        except CredentialsRefused:
            return False

    @property
    def service(self) -> str:
        """Return a fingerprint of the service key: LG's cap on subscribed devices is counted for each."""
        with suppress(
            CredentialsRefused
        ):  # they went in the middle of a pass: what was last used is what it is about
            self._fixed_headers(self._credentials())
        return _fingerprint("" if self._headers is None else self._headers[1]["x-service-key"])

    async def list_devices(
        self, heard: Callable[[protocol.Reply], None] = lambda _reply: None
    ) -> Observed:
        """Return the live devices, all or nothing: a malformed list is an error, never a part of one.

        ``heard`` is shown each answer of LG's before it is judged.
        """

        def read(reply: protocol.Reply, now: datetime) -> frozenset[DeviceId]:
            heard(reply)
            return protocol.live_devices(reply, now)

        began = self._clock.now()
        return Observed(await self._call(Call.LIST, "/pcc", read), began)

    async def registered(self) -> tuple[Registered, ...]:
        """Return every device the user owns, subscribed or not."""
        devices = await self._call(Call.DEVICES, "/devices", protocol.registered_devices)
        self._asked_devices = True
        if self._names is not None:
            self._names.hear(self.account, {one.id: one.alias for one in devices if one.alias})
        return devices

    async def subscribe(self, device: DeviceId) -> protocol.Answer:
        """Subscribe one device."""
        return await self._change(Call.SUBSCRIBE, device)

    async def unsubscribe(self, device: DeviceId) -> protocol.Answer:
        """Unsubscribe one device."""
        return await self._change(Call.UNSUBSCRIBE, device)

    def opens_for_pass(self, changes: int) -> datetime | None:
        """Return when a pass with that many changes may start, or None if that is now."""
        return self._later(self.quota.opens_for_pass(self._now(), changes))

    def opens_for_change(self) -> datetime | None:
        """Return when the next change may be sent, or None if that is now."""
        return self._later(self.quota.opens_for_change(self._now()))

    @property
    def calls_left(self) -> int | None:
        """Return how many calls are left in this hour, or None where there is no limit."""
        return self.quota.remaining(self._now())

    @property
    def learned(self) -> Learned:
        """Return what to keep of the quota over a restart, with calls dated by the wall clock of now."""
        return dated(self.quota, self._two)

    def _later(self, opens: float) -> datetime | None:
        now = self._now()
        return self._clock.now() + timedelta(seconds=opens - now) if opens > now else None

    async def _change(self, call: Call, device: DeviceId) -> protocol.Answer:
        path = f"/pcc/{quote(device, safe='')}"
        if path in {
            "/pcc/",
            "/pcc/.",
            "/pcc/..",
        }:  # to a server these are another resource, perhaps all of them
            raise ValueError("a change needs a device id")
        asked_before, decided = self._asked_devices is not None, self._clock.steady()
        try:
            answer: protocol.Answer | DeviceRefused = await self._call(
                call, path, protocol.judge, decided, intended=True
            )
        except DeviceRefused as refused:
            answer = refused
        if not asked_before and answer.code in ASK_DEVICES_FIRST and await self._ask_devices():
            return await self._call(call, path, protocol.judge, decided)
        if isinstance(answer, DeviceRefused):
            raise answer
        return answer

    async def _ask_devices(self) -> bool:
        """Ask for the user's devices, once for all who wait, and say whether LG gave them."""
        async with self._asking:
            if self._asked_devices is None:
                try:
                    await self.registered()
                except (Throttled, Unavailable):
                    raise
                except (
                    PlatformError
                ) as error:  # the service may not ask: then LG's answer about the device counts
                    log.warning(
                        "devices.failed",
                        account=self.account,
                        error=str(error),
                        message_id=error.message_id,
                    )
                    self._asked_devices = False
            return bool(self._asked_devices)

    async def _call(
        self,
        call: Call,
        path: str,
        read: Read[Meaning],
        decided: float | None = None,
        *,
        intended: bool = False,
    ) -> Meaning:
        """Make one call, and once more with another token where LG does not accept the first.

        ``decided``: since when it is known that the call may be made, by the steady clock; else that is now.
        ``intended``: an intent is written down for the first one.
        """
        if decided is None:
            decided = self._clock.steady()
        token = await self.access.token()
        try:
            return await self._measured(call, path, token, read, decided, intended=intended)
        except CredentialsRefused as refused:
            self._raise_if_fresh(refused, token)
            try:
                token = await self.access.renewed(token)
            except CredentialsRefused as why:
                raise _blamed(refused) from why
        try:
            return await self._measured(call, path, token, read, decided)
        except CredentialsRefused as refused:
            self._raise_if_fresh(refused, token)
            raise _blamed(refused) from refused

    def _raise_if_fresh(self, refused: CredentialsRefused, token: Token) -> None:
        """Raise another error where a token was renewed so lately that it may not be valid yet.

        Another renewal would only give one that is younger still.
        """
        age = self.access.fresh_for(token)
        if age is None or refused.stranger:
            return
        words = f"{refused}; the token was renewed {age:.0f} s ago and may not be valid yet, it is tried again shortly"
        raise NotYetAccepted(
            words,
            status=refused.status,
            code=refused.code,
            words=refused.words,
            message_id=refused.message_id,
            lg_message_id=refused.lg_message_id,
        ) from refused

    async def _measured(
        self,
        call: Call,
        path: str,
        token: Token,
        read: Read[Meaning],
        decided: float,
        *,
        intended: bool = False,
    ) -> Meaning:
        """Make one request and read its answer; count, time and learn from it, whatever it says."""
        turn = self._alone if self.quota.is_trying(self._now()) else nullcontext()
        async with turn:
            if not intended:
                await write_down(self._ledger, self.account, self.quota, self._two)
            if call in CHANGES and self._clock.steady() - decided > self.fresh_seconds:
                raise Outdated(
                    f"{call}: not sent, because it waited too long for a token, its turn or an answer"
                )
            if call in CHANGES and (not self.same_user or self.outdated()):
                raise Outdated(f"{call}: not sent, because what its plan rests on has changed")
            self._allow()
            if not self.quota.take(self._now(), intended=intended):
                raise Throttled(
                    f"{call}: not sent, because the account has no calls left or LG throttles it"
                )
            self._tell_limit()
            self._in_flight += 1
            method, route = ROUTES[call]
            began = self._clock.steady()
            status: int | None = None
            code: str | None = None
            try:
                credentials = self._credentials()
                reply = await self._sent(call, path, token, credentials)
                status = reply.status
                meaning = await self._understood(reply, read)
                code = getattr(meaning, "code", None)
            except PlatformError as error:
                code = error.code
                self._learn(error)
                raise
            finally:
                self._in_flight -= 1
                self.last_call_at = self._clock.steady()
                self._metrics.called(
                    method, route, status, code, began=began, ended=self.last_call_at
                )
        self.quota.answered()
        self.access.accepted(token)
        if call is Call.LIST:
            self._listed_with = _user(token.credentials)  # those in use now may be another user's
        return meaning

    async def _sent(
        self, call: Call, path: str, token: Token, credentials: Credentials
    ) -> protocol.Reply:
        """Put one request on the wire, with a message id of its own, inside one time limit."""
        message_id = self._message_id()
        headers = self._fixed_headers(credentials).copy()
        headers["authorization"] = f"Bearer {token.value}"
        headers["x-message-id"] = message_id
        self._sent_ids.add(message_id, call)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                request = httpx.Request(
                    ROUTES[call][0], credentials.base_url + path, headers=headers
                )
                response = await self._http.send(request)
        except TooLongError as error:
            raise Surprise(
                f"{call}: {error}", status=error.status, message_id=message_id
            ) from error
        except LOST as error:
            raise lost(str(call), error, message_id) from error
        return protocol.Reply(
            call,
            response.status_code,
            response.content,
            message_id,
            response.headers.get("retry-after"),
            response.headers.get("date"),
            mask=_Sent(token, credentials).masked,
            headers=response.headers,
            sent=self._sent_ids,
        )

    async def _understood(self, reply: protocol.Reply, read: Read[Meaning]) -> Meaning:
        """Return what an answer means; a long one is read beside the event loop, which would be blocked otherwise."""
        now = self._clock.now()
        is_long = len(reply.body) > READ_IN_THE_LOOP
        if is_long:
            differs = await asyncio.to_thread(protocol.differs, reply)
        else:
            differs = protocol.differs(reply)
        # What a cache gives again has the date of its first time, with the header or without. Another replica may have
        # asked for it, or this one before a restart; so another message id is enough, whether it is known here or not.
        may_be_old = "age" in reply.headers or differs
        self._two.answered(protocol.header_time(reply), may_be_old=may_be_old)
        if differs:
            self._metrics.answered_otherwise(self.account)
        return await asyncio.to_thread(read, reply, now) if is_long else read(reply, now)

    def _fixed_headers(self, credentials: Credentials) -> httpx.Headers:
        """Return the headers that are the same for every call, built once for one set of credentials."""
        if self._headers is None or self._headers[0] is not credentials:
            headers = self._http.headers.copy()
            headers["content-type"] = "application/json"
            headers["cache-control"] = "no-cache"
            headers["x-country-code"] = credentials.country
            headers["x-service-id"] = credentials.service_id.get_secret_value()
            headers["x-service-key"] = credentials.service_key.get_secret_value()
            self._headers = (credentials, headers)
        return self._headers[1]

    def _learn(self, error: PlatformError) -> None:
        if isinstance(error, Throttled):
            self._metrics.throttled(self.account)
            log.warning(
                "account.throttled",
                account=self.account,
                error=str(error),
                message_id=error.message_id,
            )
            taught = error.code is not None
            self.quota.throttled(
                self._now(), error.retry_after, teaches=taught, unanswered=self._in_flight
            )
            self._tell_limit()

    def _tell_limit(self) -> None:
        """Log once when another limit was learned, up or down."""
        limit, before = self.quota.learned_limit, self._limit_reported
        if limit != before and limit is not None:
            self._limit_reported = limit
            raised = before is not None and limit > before
            (log.info if raised else log.warning)(
                "quota.learned", account=self.account, calls_per_hour=limit
            )

    def _renewal(self, result: str, token: Token | None) -> None:
        self._metrics.token_refreshed(self.account, result)
        if token is not None:
            ends = (
                None if token.expires_at is None else datetime.fromtimestamp(token.expires_at, UTC)
            )
            log.info("token.refreshed", account=self.account, expires_at=ends)

    def _now(self) -> float:
        """Return the moment by which calls are counted: an hour of them lasts an hour, whatever the wall clock does."""
        return self._two.timeline()


def _blamed(refused: CredentialsRefused) -> PlatformError:
    """Return the error for a call that was refused twice; where a stranger refused it, the token is not to blame."""
    if not refused.stranger:
        return refused
    return Surprise(
        f"{refused}; this is not how LG answers: a web filter, a firewall or a proxy may be in between",
        status=refused.status,
        words=refused.words,
        message_id=refused.message_id,
    )


def _user(credentials: Credentials) -> str:
    token = credentials.refresh_token or credentials.access_token
    return _fingerprint(token.get_secret_value() if token is not None else "")


class _Sent:
    """The secrets that went out with one call, to be taken out of LG's words about it."""

    def __init__(self, token: Token, credentials: Credentials) -> None:
        self._token = token
        self._credentials = credentials

    def masked(self, text: str) -> str:
        """Return LG's words without what was sent to it."""
        own = self._credentials
        masking = Masking()
        masking.know([self._token.value])
        for secret in (own.service_id, own.service_key, own.access_token, own.refresh_token):
            if secret is not None:
                masking.know([secret.get_secret_value()])
        return masking.text(text)


def _fingerprint(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()[:16]
