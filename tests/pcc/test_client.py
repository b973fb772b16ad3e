"""LG's platform as verbs: what is sent, what is sent once more, and what is counted."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from uuid import RFC_4122, UUID

import httpx
import pytest
from structlog.testing import capture_logs

from disks import StandingClock
from reconciler.core.clock import TwoClocks
from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    DeviceRefused,
    Lost,
    NotYetAccepted,
    Outdated,
    PlatformError,
    Surprise,
    Throttled,
    Unavailable,
)
from reconciler.core.model import AccountName, DeviceId, Unlimited
from reconciler.pcc.client import ROUTES, Client
from reconciler.pcc.codes import CODES, Call
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.ledger import Ledger, OwnLedger
from reconciler.pcc.message_ids import SentIds, new_message_id
from reconciler.pcc.quota import HOUR, Learned, Quota
from reconciler.pcc.token_endpoint import allow_always
from reconciler.pcc.transport import PlainClient
from reconciler.telemetry.masking import MASK
from reconciler.telemetry.metrics import Metrics
from recording import ACCESS, ACCOUNT, REFRESH, SERVICE_KEY, START, StillClock, credentials
from simulated import SimulatedClock

A, B = DeviceId("a"), DeviceId("b")


def success(response: object = None) -> httpx.Response:
    """Return LG's answer to a call that did its work."""
    return httpx.Response(200, json={"messageId": "lg-1", "timestamp": "t", "response": response})


def refusal(code: str, status: int = 401, words: str = "words of LG's") -> httpx.Response:
    """Return LG's answer to a call that did not."""
    return httpx.Response(
        status, json={"messageId": "lg-2", "error": {"code": code, "message": words}}
    )


@dataclass
class Rig:
    """One account's client before a platform that answers as told; a token endpoint beside it."""

    answer: Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]] = (
        lambda _request: success()
    )
    own: dict[str, Any] = field(default_factory=dict)
    quota: Quota = field(default_factory=Quota)
    seconds: float = 30.0
    sent: SentIds | None = None
    allow: Callable[[], None] = allow_always
    ledger: Ledger = field(default_factory=OwnLedger)
    requests: list[httpx.Request] = field(default_factory=list)
    refreshes: int = 0
    refresh_answer: Callable[[int], httpx.Response] = lambda number: httpx.Response(
        200, json={"access_token": f"access-token-{number}", "expires_in": "3600"}
    )

    def __post_init__(self) -> None:
        self.credentials: Credentials | None = credentials(**self.own)
        self.clock = StillClock()
        self.two_clocks = TwoClocks(self.clock)
        self.metrics = Metrics()
        self.metrics.platform(ROUTES.values(), CODES)
        self.client = Client(
            ACCOUNT,
            PlainClient(httpx.MockTransport(self._respond)),
            self._credentials,
            metrics=self.metrics,
            timeout_seconds=self.seconds,
            quota=self.quota,
            clock=self.clock,
            read_again=self._read_again,
            sent=self.sent,
            two_clocks=self.two_clocks,
            allow=self._allow,
            ledger=self.ledger,
        )

    @property
    def calls(self) -> list[str]:
        """Return verb and path of what reached LG."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    @property
    def tokens(self) -> list[str]:
        """Return the tokens that the calls came with."""
        return [
            request.headers["authorization"].removeprefix("Bearer ") for request in self.requests
        ]

    def counted(self, method: str, route: str, status: str, code: str = "") -> float | None:
        """Return the metric of the calls that ended so."""
        labels = {"method": method, "route": route, "status": status, "code": code}
        return self.metrics.registry.get_sample_value("pcc_api_requests_total", labels)

    stored: Credentials | None = None

    def _allow(self) -> None:
        self.allow()

    def _read_again(self) -> None:
        self.credentials = self.stored or self.credentials

    def _credentials(self) -> Credentials:
        if self.credentials is None:
            raise CredentialsRefused("there are none any more")
        return self.credentials

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # other tasks get their turn, as they would on a network
        if request.url.path.endswith("/token"):
            self.refreshes += 1
            return self.refresh_answer(self.refreshes)
        self.requests.append(request)
        answer = self.answer(request)
        return answer if isinstance(answer, httpx.Response) else await answer


def with_refresh_token(rig: Rig) -> Rig:
    """Give the rig's account an access token and the means to get another."""
    rig.credentials = credentials(refresh_token=REFRESH)
    return rig


def test_message_ids_are_uuids_in_22_characters() -> None:
    """Each is the url-safe base64 of a UUIDv4 without its padding, and none comes twice."""
    ids = [new_message_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    for one in ids:
        assert len(one) == 22
        uuid = UUID(bytes=urlsafe_b64decode(one + "=="))
        assert (uuid.version, uuid.variant) == (4, RFC_4122)


async def test_every_call_has_a_message_id_of_its_own() -> None:
    """The second call after a renewed token is another call, and so is the one after the device list."""
    rig = with_refresh_token(
        Rig(lambda _request: refusal("1302") if len(rig.requests) == 1 else refusal("1213", 404))
    )
    with pytest.raises(DeviceRefused) as caught:
        await rig.client.subscribe(A)
    ids = [request.headers["x-message-id"] for request in rig.requests]
    assert rig.calls == ["POST /pcc/a", "POST /pcc/a", "GET /devices"]
    assert len(set(ids)) == 3
    assert caught.value.message_id == ids[1]


REFUSED_TOKEN = [
    *(refusal("1302", 401), refusal("1218", 400), refusal("1103", 400), refusal("1302", 403)),
    *(httpx.Response(401), httpx.Response(403), httpx.Response(401, text="<html>no</html>")),
]


@pytest.mark.parametrize("number", range(len(REFUSED_TOKEN)))
async def test_a_refused_token_is_renewed_once_and_the_call_made_once_more(number: int) -> None:
    """What LG says of an expired or broken token leads to one refresh and one further call, with the new token."""
    refused = REFUSED_TOKEN[number]
    rig = with_refresh_token(
        Rig(lambda _request: refused if len(rig.requests) == 1 else success([{"deviceId": "a"}]))
    )
    assert (await rig.client.list_devices()).devices == {"a"}
    assert rig.tokens == [ACCESS, "access-token-1"]
    assert rig.refreshes == 1


@pytest.mark.parametrize("number", range(len(REFUSED_TOKEN)))
async def test_a_token_refused_again_is_borne_with_for_a_while(number: int) -> None:
    """There is no third call: the new token may not be valid yet. After a while the credentials are refused."""
    rig = with_refresh_token(Rig(lambda _request: REFUSED_TOKEN[number]))
    with pytest.raises(NotYetAccepted, match="may not be valid yet"):
        await rig.client.subscribe(A)
    assert (len(rig.requests), rig.refreshes) == (2, 1)
    rig.clock.move(20)
    with pytest.raises(NotYetAccepted):
        await rig.client.subscribe(A)
    assert (len(rig.requests), rig.refreshes) == (3, 1)
    rig.clock.move(20)
    with pytest.raises(CredentialsRefused) as caught:
        await rig.client.subscribe(A)
    assert not isinstance(caught.value, NotYetAccepted)
    assert (len(rig.requests), rig.refreshes) == (5, 2)


async def test_a_token_that_becomes_valid_late_is_not_renewed_again() -> None:
    """A token that LG accepts two seconds after it was issued costs one renewal, and stops nobody."""
    rig = Rig(
        lambda _request: (
            REFUSED_TOKEN[0] if rig.clock.steady() < ready else success([{"deviceId": "a"}])
        )
    )
    rig.credentials = credentials(access_token=None, refresh_token=REFRESH)
    ready = rig.clock.steady() + 2
    with pytest.raises(NotYetAccepted):
        await rig.client.list_devices()
    rig.clock.move(3)
    assert (await rig.client.list_devices()).devices == {"a"}
    assert rig.refreshes == 1


async def test_a_token_that_only_lists_is_borne_with_once() -> None:
    """Where LG accepts each new token for lists and refuses it for changes, it is not renewed again and again."""
    rig = with_refresh_token(
        Rig(lambda request: success([]) if request.method == "GET" else REFUSED_TOKEN[0])
    )
    borne = 0
    for _ in range(8):
        await rig.client.list_devices()
        with pytest.raises(CredentialsRefused) as caught:
            await rig.client.subscribe(A)
        borne += isinstance(caught.value, NotYetAccepted)
        rig.clock.move(25)
    assert borne == 2


@pytest.mark.parametrize("renews", [True, False])
@pytest.mark.parametrize(
    "page", ["<html>Blocked by policy</html>", "Forbidden", '{"reason":"category"}']
)
async def test_a_page_with_403_does_not_blame_the_token(page: str, *, renews: bool) -> None:
    """A web filter answers in LG's place. The token may be wrong all the same, so it is renewed once."""
    rig = Rig(lambda _request: httpx.Response(403, text=page))
    if renews:
        rig = with_refresh_token(rig)
    for call in (rig.client.list_devices, lambda: rig.client.subscribe(A)):
        with pytest.raises(Surprise, match="web filter") as caught:
            await call()
        assert caught.value.status == 403
        assert "token" not in str(caught.value)
    assert len(rig.requests) == (4 if renews else 2)


async def test_a_token_endpoint_that_redirects_names_where_to() -> None:
    """A login page of a network in between shows itself by its address; its query may hold secrets."""
    rig = with_refresh_token(Rig(lambda _request: httpx.Response(401)))
    place = "https://user:word@login.corp.example:8443/sso?state=secret"
    rig.refresh_answer = lambda _number: httpx.Response(302, headers={"location": place})
    with pytest.raises(
        Unavailable, match=r"redirect to https://login\.corp\.example:8443/sso$"
    ) as caught:
        await rig.client.list_devices()
    assert (caught.value.lost, caught.value.status) == (Lost.STRANGER, 302)


@pytest.mark.parametrize("by", ["LG", "the token endpoint"])
async def test_a_redirect_shows_no_secret_that_was_sent(by: str) -> None:
    """A network in between may put what it was sent into the address where it leads."""
    rig = with_refresh_token(Rig(lambda request: httpx.Response(302, headers=leading(request))))

    def leading(request: httpx.Request) -> dict[str, str]:
        sent = [request.headers["x-service-key"], request.headers["authorization"].split()[-1]]
        return {"location": f"https://login.example/{'/'.join(sent)}"}

    if by != "LG":
        rig.answer = lambda _request: httpx.Response(401)
        place = {"location": f"https://login.example/{REFRESH}"}
        rig.refresh_answer = lambda _number: httpx.Response(302, headers=place)
    with pytest.raises((Surprise, Unavailable)) as caught:
        await rig.client.list_devices()
    assert f"a redirect to https://login.example/{MASK}" in str(caught.value)
    assert not [one for one in (*rig.tokens, SERVICE_KEY, REFRESH) if one in str(caught.value)]


async def test_a_static_token_is_not_tried_twice() -> None:
    """Where there is no other token, a second call could not help; LG's own words are what is told."""
    rig = Rig(lambda _request: refusal("1302", words="Not found token"))
    with pytest.raises(CredentialsRefused, match="1302 Not found token") as caught:
        await rig.client.list_devices()
    assert caught.value.code == "1302"
    assert len(rig.requests) == 1


async def test_a_static_token_that_was_replaced_unnoticed_is_read_again() -> None:
    """The call is made once more with what stands in the file by now, without stopping the account."""
    rig = Rig(lambda _request: refusal("1302") if len(rig.requests) == 1 else success([]))
    rig.stored = credentials(access_token="token-of-today")
    await rig.client.list_devices()
    assert rig.tokens == [ACCESS, "token-of-today"]


async def test_a_change_is_never_sent_with_another_users_token() -> None:
    """What was planned from one user's list is not made of another's devices, whenever the credential changes."""
    rig = Rig(lambda request: success([]) if request.method == "GET" else refusal("1302"))
    await rig.client.list_devices()
    rig.stored = credentials(access_token="token-of-another-user")
    for _ in range(2):  # found when the token is refused, and known before the call
        with pytest.raises(Outdated):
            await rig.client.unsubscribe(A)
    assert rig.calls == ["GET /pcc", "DELETE /pcc/a"]
    assert rig.tokens == [ACCESS] * 2
    await rig.client.list_devices()
    rig.answer = lambda _request: success()
    await rig.client.unsubscribe(A)
    assert rig.tokens == [ACCESS] * 2 + ["token-of-another-user"] * 2


async def test_a_credential_that_changes_during_a_refresh_stops_a_change() -> None:
    """While EMP is asked, much can happen; the user is looked at again before the call goes out."""
    rig = with_refresh_token(Rig(lambda _request: success([])))
    await rig.client.list_devices()
    rig.answer = lambda _request: refusal("1302") if len(rig.requests) == 2 else success()

    def swapped(number: int) -> httpx.Response:
        rig.credentials = credentials(refresh_token="refresh-token-of-another")
        return httpx.Response(
            200, json={"access_token": f"access-token-{number}", "expires_in": "3600"}
        )

    rig.refresh_answer = swapped
    with pytest.raises(Outdated):
        await rig.client.subscribe(A)
    assert rig.calls == ["GET /pcc", "POST /pcc/a"]


@pytest.mark.parametrize("refused", [False, True], ids=["a token that ends", "a refused token"])
@pytest.mark.parametrize(("seconds", "goes"), [(2.0, True), (2.5, False)])
async def test_a_change_that_waited_too_long_for_a_token_is_not_sent(
    seconds: float, *, goes: bool, refused: bool
) -> None:
    """Meanwhile another replica may have accepted a newer revision; a list is right whenever it is read."""
    rig = Rig(lambda _request: success([]))
    rig.credentials = credentials(access_token=ACCESS if refused else None, refresh_token=REFRESH)
    rig.client.fresh_seconds = 2.0

    def slow(number: int) -> httpx.Response:
        rig.clock.move(seconds)
        return httpx.Response(
            200, json={"access_token": f"access-token-{number}", "expires_in": "3600"}
        )

    rig.refresh_answer = slow
    await rig.client.list_devices()
    rig.clock.move(3600.0)
    before, refusals = len(rig.requests), [refusal("1302")] * refused
    rig.answer = lambda _request: refusals.pop() if refusals else success()
    if goes:
        await rig.client.subscribe(A)
    else:
        with pytest.raises(Outdated, match=r": not sent, because it waited too long for"):
            await rig.client.subscribe(A)
    assert rig.refreshes == (1 if refused else 2)
    assert len(rig.requests) - before == refused + goes


@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize(("seconds", "goes"), [(2.0, True), (2.5, False)])
async def test_a_change_that_waited_too_long_for_the_device_list_is_not_sent_again(
    seconds: float, *, goes: bool, verb: str
) -> None:
    """Meanwhile another replica may have accepted a newer revision, or somebody paused the account there."""
    rig = Rig(lambda request: listed() if request.method == "GET" else refusal("1211", 404))
    rig.client.fresh_seconds = 2.0

    def listed() -> httpx.Response:
        rig.clock.move(seconds)
        return success([])

    change, path = (
        getattr(rig.client, verb),
        "POST /pcc/a" if verb == "subscribe" else "DELETE /pcc/a",
    )
    if goes:
        with pytest.raises(DeviceRefused):
            await change(A)
        assert rig.calls == [path, "GET /devices", path]
        return
    with pytest.raises(Outdated, match=r": not sent, because it waited too long for"):
        await change(A)
    assert rig.calls == [path, "GET /devices"]
    with pytest.raises(DeviceRefused):
        await change(A)
    assert rig.calls == [path, "GET /devices", path]


@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (400, CredentialsRefused)])
async def test_a_token_endpoint_that_is_down_is_no_refusal(
    status: int, error: type[PlatformError]
) -> None:
    """An account stops when EMP says no, not when EMP is down."""
    rig = with_refresh_token(Rig(lambda _request: refusal("1302")))
    rig.refresh_answer = lambda _number: httpx.Response(status)
    with pytest.raises(error):
        await rig.client.list_devices()
    assert len(rig.requests) == 1


async def test_fifty_calls_whose_token_expired_are_one_refresh() -> None:
    """All calls in flight are refused together, and together go on with one new token."""
    rig = with_refresh_token(
        Rig(
            lambda request: (
                refusal("1302") if request.headers["authorization"].endswith(ACCESS) else success()
            )
        )
    )
    await asyncio.gather(*(rig.client.subscribe(DeviceId(f"d{number}")) for number in range(50)))
    assert rig.refreshes == 1
    assert rig.tokens.count("access-token-1") == 50


ASKS_FIRST = {
    "subscribe": ["1205", "1210", "1211", "1213"],
    "unsubscribe": ["1205", "1210", "1211", "1213"],
}


@pytest.mark.parametrize(
    ("verb", "code"), [(verb, code) for verb, codes in ASKS_FIRST.items() for code in codes]
)
async def test_the_device_list_is_asked_before_the_first_unknown_device_is_believed(
    verb: str, code: str
) -> None:
    """LG documents GET /devices as due before other calls: until then an unknown device may mean only this."""
    rig = Rig(lambda request: success([]) if request.method == "GET" else first_refused())

    def first_refused() -> httpx.Response:
        return refusal(code, 404) if "GET /devices" not in rig.calls else success()

    answer = await getattr(rig.client, verb)(A)
    assert answer.code is None
    assert len(rig.calls) == 3
    assert rig.calls[1] == "GET /devices"
    await getattr(rig.client, verb)(A)
    assert rig.calls.count("GET /devices") == 1


async def test_the_device_list_is_asked_once_however_many_wait() -> None:
    """Eight calls refused at once are one question; what is refused afterwards is believed."""
    rig = Rig(lambda request: success([]) if request.method == "GET" else refusal("1213", 404))
    devices = [DeviceId(f"d{number}") for number in range(8)]
    results = await asyncio.gather(*map(rig.client.subscribe, devices), return_exceptions=True)
    assert {type(result) for result in results} == {DeviceRefused}
    assert rig.calls.count("GET /devices") == 1
    assert len(rig.calls) == 17
    with pytest.raises(DeviceRefused):
        await rig.client.subscribe(A)
    assert len(rig.calls) == 18


@pytest.mark.parametrize("code", ["1212", "1214", "1217", "1219", "1221", "1224"])
async def test_other_refusals_are_believed_at_once(code: str) -> None:
    """A call that cannot help is not made."""
    rig = Rig(lambda _request: refusal(code, 404))
    with pytest.raises(DeviceRefused):
        await rig.client.subscribe(A)
    assert rig.calls == ["POST /pcc/a"]


@pytest.mark.parametrize(
    "listed", [refusal("1305"), httpx.Response(404), httpx.Response(200, text="<html></html>")]
)
async def test_a_service_that_may_not_ask_for_devices_is_not_stopped(
    listed: httpx.Response,
) -> None:
    """Where GET /devices is not allowed, what LG said of the device stands, and the question is not repeated."""
    rig = Rig(lambda request: listed if request.method == "GET" else refusal("1205", 404))
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(DeviceRefused):
                await rig.client.subscribe(A)
        assert (await rig.client.unsubscribe(A)).code == "1205"
    assert rig.calls == ["POST /pcc/a", "GET /devices", "POST /pcc/a", "DELETE /pcc/a"]
    assert [line["event"] for line in lines] == ["devices.failed"]


@pytest.mark.parametrize(
    ("listed", "error"), [(refusal("1314"), Throttled), (httpx.Response(502), Unavailable)]
)
async def test_a_device_list_that_fails_for_now_is_asked_again(
    listed: httpx.Response, error: type[PlatformError]
) -> None:
    """A throttle or an outage in between is what is told, and the next refusal asks again."""
    rig = Rig(lambda request: listed if request.method == "GET" else refusal("1205", 404))
    with pytest.raises(error):
        await rig.client.subscribe(A)
    rig.clock.move(600)
    with pytest.raises(error):
        await rig.client.subscribe(A)
    assert rig.calls.count("GET /devices") == 2


async def test_an_export_has_asked_for_the_devices() -> None:
    """Whoever read the device list already does not read it again for a refused device."""
    rig = Rig(lambda request: success([]) if request.method == "GET" else refusal("1205", 404))
    assert await rig.client.registered() == ()
    with pytest.raises(DeviceRefused):
        await rig.client.subscribe(A)
    assert rig.calls == ["GET /devices", "POST /pcc/a"]


async def test_every_request_to_lg_is_counted_and_no_other() -> None:
    """The quota counts what reaches LG, second calls and device lists included, but not the refresh at EMP."""
    rig = with_refresh_token(
        Rig(lambda _request: refusal("1302") if len(rig.requests) == 1 else success([]))
    )
    rig.quota.follow(100)
    await rig.client.list_devices()
    await rig.client.registered()
    await rig.client.subscribe(A)
    assert (len(rig.requests), rig.refreshes) == (4, 1)
    assert rig.quota.remaining(rig.clock.steady()) == 96


async def test_no_call_goes_out_beyond_the_limit() -> None:
    """Calls that passed the check together and then waited for a token cannot together be too many."""
    rig = Rig(own={"access_token": None, "refresh_token": REFRESH}, quota=Quota(10))
    calls = [rig.client.subscribe(DeviceId(f"d{number}")) for number in range(25)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Throttled) for result in results) == 15
    assert len(rig.requests) == 10
    assert rig.client.opens_for_pass(0) is not None
    assert rig.metrics.registry.get_sample_value(
        "pcc_api_throttled_total", {"account": ACCOUNT}
    ) in {None, 0}
    rig.clock.move(HOUR + 10)
    assert rig.client.opens_for_pass(5) is None
    await rig.client.subscribe(A)


async def test_no_call_goes_out_in_a_pause() -> None:
    """After a throttle nothing is sent until LG's time is over, whoever asks."""
    rig = Rig(lambda _request: httpx.Response(429, headers={"retry-after": "90"}))
    with pytest.raises(Throttled) as caught:
        await rig.client.list_devices()
    assert (caught.value.retry_after, rig.quota.limit) == (90.0, None)
    with pytest.raises(Throttled):
        await rig.client.subscribe(A)
    assert len(rig.requests) == 1
    opens = rig.client.opens_for_change()
    assert opens is not None
    assert 90 <= (opens - rig.clock.now()).total_seconds() < 91
    rig.clock.moment = opens
    assert rig.client.opens_for_change() is None


async def test_a_good_answer_makes_the_next_pause_short_again() -> None:
    """Pauses double while LG throttles, and each throttled call is counted for its account."""
    answers = [httpx.Response(429), httpx.Response(429), success(), httpx.Response(429)]
    rig = Rig(lambda _request: answers[len(rig.requests) - 1])
    pauses = []
    for answer in answers:
        began = rig.clock.now()
        with pytest.raises(Throttled) if answer.status_code == 429 else nullcontext():
            await rig.client.subscribe(A)
        opens = rig.client.opens_for_change()
        pauses.append(0 if opens is None else round((opens - began).total_seconds()))
        rig.clock.moment = opens or began
    assert pauses == [60, 120, 0, 60]
    labels: dict[str, str] = {"account": ACCOUNT}
    assert rig.metrics.registry.get_sample_value("pcc_api_throttled_total", labels) == 3


async def test_a_throttle_with_a_code_teaches_the_limit_and_says_so_once() -> None:
    """A limit that was learned is one line in the log, with the number, however many calls were in flight."""
    rig = Rig(lambda _request: success() if len(rig.requests) <= 200 else refusal("1314"))
    with capture_logs() as lines:
        for _ in range(200):
            await rig.client.subscribe(A)
        calls = [rig.client.subscribe(DeviceId(f"d{number}")) for number in range(8)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {Throttled}
    assert rig.quota.limit == 180
    learned = [line["calls_per_hour"] for line in lines if line["event"] == "quota.learned"]
    throttled = [line["message_id"] for line in lines if line["event"] == "account.throttled"]
    assert (learned, len(lines)) == ([180], 1 + len(throttled))
    assert all(throttled)
    assert rig.counted("POST", "/pcc/{device-id}", "401", "1314") == len(rig.requests) - 200


@pytest.mark.parametrize("step", [timedelta(minutes=20), -timedelta(minutes=20)], ids=str)
async def test_calls_are_as_old_after_a_step_of_the_clock_and_a_restart(step: timedelta) -> None:
    """A used up hour of calls ends when it would have, though the wall clock was set before the restart."""
    clock = SimulatedClock()

    def started(learned: Learned) -> Client:
        client = Client(
            ACCOUNT,
            PlainClient(httpx.MockTransport(lambda _request: success())),
            credentials,
            metrics=Metrics(),
            timeout_seconds=30,
            quota=Quota(learned=learned),
            clock=clock,
        )
        client.quota.follow(20)
        return client

    before = started(Learned((), None))
    for _ in range(20):
        await before.subscribe(A)
    clock.set_by(step)
    clock.pass_by(timedelta(minutes=35))
    after = started(before.learned)
    assert after.calls_left == before.calls_left == 0
    clock.pass_by(timedelta(minutes=20))
    assert after.calls_left == 0
    clock.pass_by(timedelta(minutes=6))
    assert after.calls_left == 20


async def test_beyond_what_is_known_calls_go_one_at_a_time() -> None:
    """When a tenth more is tried and LG throttles, one call is lost and not as many as are in flight."""
    rig = Rig(lambda _request: answer(), quota=Quota(learned=Learned((), 100)))
    open_now, most = 0, 0

    async def answer() -> httpx.Response:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0)
        open_now -= 1
        return success() if len(rig.requests) <= 94 + 100 else refusal("1314")

    for _ in range(94):
        await rig.client.subscribe(A)
    assert rig.client.opens_for_change() is not None
    rig.clock.move(HOUR + 10)
    assert rig.client.opens_for_change() is None
    assert rig.quota.limit == 110
    results: list[object] = []

    async def worker() -> None:
        while rig.client.opens_for_change() is None and not any(
            isinstance(one, Throttled) for one in results
        ):
            results.extend(await asyncio.gather(rig.client.subscribe(A), return_exceptions=True))

    await asyncio.gather(*(worker() for _ in range(8)))
    assert most == 8
    assert len(rig.requests) == 94 + 101
    assert rig.counted("POST", "/pcc/{device-id}", "401", "1314") == 1


async def test_what_a_call_came_to_is_counted_by_route_status_and_code() -> None:
    """The metric shows the route and never a device; a code that nobody published is other, a lost call is none."""
    answers = [
        success([]),
        refusal("1221", 406),
        refusal("8765", 400),
        httpx.Response(502),
        refusal("1207", 404),
    ]
    rig = Rig(lambda _request: answers[len(rig.requests) - 1])
    await rig.client.list_devices()
    for error in (DeviceRefused, Surprise, Unavailable):
        with pytest.raises(error):
            await rig.client.subscribe(A)
    await rig.client.subscribe(A)
    rig.answer = lambda request: (_ for _ in ()).throw(httpx.ReadError("lost", request=request))
    with pytest.raises(Unavailable):
        await rig.client.unsubscribe(A)
    assert rig.counted("GET", "/pcc", "200") == 1
    assert rig.counted("POST", "/pcc/{device-id}", "406", "1221") == 1
    assert rig.counted("POST", "/pcc/{device-id}", "400", "other") == 1
    assert rig.counted("POST", "/pcc/{device-id}", "502") == 1
    assert rig.counted("POST", "/pcc/{device-id}", "404", "1207") == 1
    assert rig.counted("DELETE", "/pcc/{device-id}", "none") == 1


async def test_a_call_without_an_end_is_unavailable() -> None:
    """One limit is around the call, and the message id says which call it was."""

    async def hang() -> httpx.Response:
        await asyncio.Event().wait()
        return success()

    rig = Rig(lambda _request: hang(), seconds=0.01)
    with pytest.raises(Unavailable, match="no answer in time") as caught:
        await rig.client.subscribe(A)
    assert caught.value.message_id == rig.requests[0].headers["x-message-id"]
    assert rig.counted("POST", "/pcc/{device-id}", "none") == 1


async def test_a_cancelled_call_is_counted_and_leaves_nothing_behind() -> None:
    """A pass that is broken off is no reason for the next call to wait or to be throttled."""
    started = asyncio.Event()

    async def hang() -> httpx.Response:
        started.set()
        await asyncio.Event().wait()
        return success()

    rig = Rig(lambda _request: hang(), quota=Quota(2))
    task = asyncio.create_task(rig.client.subscribe(A))
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    rig.answer = lambda _request: success()
    await rig.client.subscribe(A)
    assert rig.quota.remaining(rig.clock.steady()) == 0


async def test_credentials_are_those_of_the_moment_of_the_call() -> None:
    """A rotated service key or another host is in use with the next call."""
    rig = Rig()
    await rig.client.subscribe(A)
    rig.credentials = credentials(
        service_key="service-key-of-today", country="US", base_url="http://127.0.0.1:2"
    )
    await rig.client.subscribe(A)
    assert [request.headers["x-service-key"] for request in rig.requests] == [
        SERVICE_KEY,
        "service-key-of-today",
    ]
    assert [request.headers["x-country-code"] for request in rig.requests] == ["KR", "US"]
    assert [request.url.port for request in rig.requests] == [1, 2]


async def test_the_fingerprint_is_of_the_token_that_the_list_was_read_with() -> None:
    """A credential replaced while LG answers must not make the old user's list pass for the new user's."""
    rig = Rig(lambda _request: swapped())
    before = rig.client.credential

    def swapped() -> httpx.Response:
        rig.credentials = credentials(access_token="token-of-another-user")
        return success([])

    await rig.client.list_devices()
    assert rig.client.credential == before
    await rig.client.list_devices()
    assert rig.client.credential != before
    assert "token-of-another-user" not in rig.client.credential


async def test_a_list_read_with_the_old_token_while_it_cannot_be_renewed_is_the_old_users() -> None:
    """Renewing early fails while a person replaces the credential: the list is that of the token it came with."""
    rig = Rig(lambda _request: success([]), own={"access_token": None, "refresh_token": REFRESH})
    await rig.client.list_devices()
    before = rig.client.credential
    rig.clock.move(3600 - 60)

    def replaced(_number: int) -> httpx.Response:
        rig.credentials = credentials(refresh_token="refresh-token-of-another")
        return httpx.Response(503)

    rig.refresh_answer = replaced
    with suppress(Unavailable):
        await rig.client.list_devices()
    assert rig.client.credential == before
    with pytest.raises(Outdated):
        await rig.client.unsubscribe(A)
    assert "DELETE /pcc/a" not in rig.calls


async def test_a_list_that_waited_for_its_turn_is_that_of_the_token_it_was_read_with() -> None:
    """A credential replaced while a list waits for another call makes it no list of the new user."""
    started, going = asyncio.Event(), asyncio.Event()

    async def answered(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            started.set()
            await going.wait()
        return success([])

    rig = Rig(answered, quota=Quota(learned=Learned((START.timestamp(),) * 60, 60)))
    rig.quota._learned = 100  # more than is known to be allowed, so calls go one at a time
    await rig.client.list_devices()
    before = rig.client.credential
    change = asyncio.create_task(rig.client.subscribe(A))
    await started.wait()
    waiting = asyncio.create_task(rig.client.list_devices())
    await asyncio.sleep(0)
    rig.credentials = credentials(access_token="token-of-another-user")
    going.set()
    await asyncio.gather(change, waiting)
    assert rig.tokens[-1] == ACCESS
    assert rig.client.credential == before


async def test_an_answer_is_let_go_of_once_it_is_read() -> None:
    """A list of a million devices has 80 MB; they do not lie there until the garbage collector comes by."""
    answers: list[weakref.ref[httpx.Response]] = []

    def kept(_request: httpx.Request) -> httpx.Response:
        answer = success([])
        answers.append(weakref.ref(answer))
        return answer

    rig = Rig(kept)
    gc.disable()
    try:
        await rig.client.list_devices()
        await rig.client.subscribe(A)
        assert [answer() for answer in answers] == [None, None]
    finally:
        gc.enable()


async def test_a_long_list_is_read_beside_the_event_loop() -> None:
    """Reading a million devices takes half a second, in which all else would stand still; a short list no time."""
    read_in: list[int] = []

    def read(length: int) -> Rig:
        return Rig(
            lambda _request: success([{"deviceId": f"device-{number}"} for number in range(length)])
        )

    for length in (3, 50_000):
        observed = await read(length).client.list_devices(
            lambda _reply: read_in.append(threading.get_ident())
        )
        assert observed.devices == {f"device-{number}" for number in range(length)}
    assert read_in[0] == threading.get_ident() != read_in[1]


async def test_a_long_list_that_is_malformed_is_a_surprise_as_a_short_one_is() -> None:
    """Where a list is read changes nothing of what is said of it."""
    rig = Rig(
        lambda _request: success(
            [*({"deviceId": f"device-{number}"} for number in range(50_000)), {}]
        )
    )
    with pytest.raises(Surprise, match="the list is malformed"):
        await rig.client.list_devices()
    assert rig.counted("GET", "/pcc", "200") == 1


async def test_fingerprints_outlive_the_credentials() -> None:
    """A pass in the middle of which the credentials went can still say what it was about."""
    rig = Rig(lambda _request: success([]))
    await rig.client.list_devices()
    before = (rig.client.credential, rig.client.service)
    rig.credentials = None
    assert (rig.client.credential, rig.client.service) == before
    with pytest.raises(CredentialsRefused, match="none any more"):
        await rig.client.subscribe(A)
    assert len(rig.requests) == 1


@pytest.mark.parametrize("access", [ACCESS, None])
@pytest.mark.parametrize("code", ["1218", "1221", "1301", "1302", "1000", "2000"])
async def test_no_error_shows_what_was_sent(code: str, access: str | None) -> None:
    """LG may repeat what it was sent, also a token renewed a moment ago; it is masked before anyone sees it."""

    def echoing(request: httpx.Request) -> httpx.Response:
        sent = [request.headers[name] for name in ("authorization", "x-service-key")]
        return refusal(code, 400, json.dumps([*sent, REFRESH]))

    rig = Rig(echoing, own={"access_token": access, "refresh_token": REFRESH})
    with pytest.raises(
        (CredentialsRefused, DeviceRefused, ConfigurationRefused, Surprise, Unavailable)
    ) as caught:
        await rig.client.subscribe(A)
    shown = f"{caught.value!r} {caught.value.words} {caught.value.__context__!r} {rig.client!r}"
    assert "access-token-1" in rig.tokens or access is not None
    assert not [one for one in (*rig.tokens, SERVICE_KEY, REFRESH) if one in shown]
    assert caught.value.words.count(MASK) == 3


async def test_an_unlimited_account_is_never_told_to_wait() -> None:
    """Without a limit there is nothing to open."""
    rig = Rig(quota=Quota(Unlimited.UNLIMITED))
    await asyncio.gather(*(rig.client.subscribe(A) for _ in range(200)))
    assert rig.client.opens_for_change() is rig.client.opens_for_pass(999) is None


async def test_a_cached_list_is_not_believed_and_another_message_id_is_counted() -> None:
    """A cache hands out what an earlier request got; also another account's request counts as ours."""
    kept: list[bytes] = []

    def cached(request: httpx.Request) -> httpx.Response:
        told = {
            "messageId": request.headers["x-message-id"],
            "timestamp": "t",
            "response": [{"deviceId": "a"}],
        }
        kept.append(json.dumps(told).encode())
        return httpx.Response(200, content=kept[0])

    sent = SentIds()
    first, second = Rig(cached, sent=sent), Rig(cached, sent=sent)
    assert (await first.client.list_devices()).devices == {"a"}
    for rig in (first, second):
        with pytest.raises(Surprise, match="earlier request"):
            await rig.client.list_devices()
    counted = second.metrics.registry.get_sample_value(
        "pcc_api_other_message_ids_total", {"account": ACCOUNT}
    )
    assert counted == 1


async def test_the_date_of_an_answer_to_an_earlier_request_is_not_lgs_time() -> None:
    """A cache that gives an hour-old answer without saying so would make this machine's clock look an hour ahead."""
    kept: list[httpx.Response] = []

    def cached(request: httpx.Request) -> httpx.Response:
        told = {"messageId": request.headers["x-message-id"], "timestamp": "t", "response": []}
        dates = (rig.clock.now(), rig.clock.now() - timedelta(hours=1))
        headers = {"date": format_datetime(dates[bool(kept)], usegmt=True)}
        kept.append(httpx.Response(200, content=json.dumps(told).encode(), headers=headers))
        return httpx.Response(200, content=kept[0].content, headers=headers)

    rig = Rig(cached, sent=SentIds())
    await rig.client.list_devices()
    for _ in range(9):
        with pytest.raises(Surprise, match="earlier request"):
            await rig.client.list_devices()
    assert rig.two_clocks.is_sure


async def test_the_date_of_an_answer_under_another_message_id_is_not_lgs_time() -> None:
    """A cache may give again what another replica, or this one before a restart, once asked for: its date is old."""

    def cached(_request: httpx.Request) -> httpx.Response:
        earlier = {"messageId": "an-id-of-another-replica", "timestamp": "t", "response": []}
        date = format_datetime(rig.clock.now() - timedelta(hours=1), usegmt=True)
        return httpx.Response(200, content=json.dumps(earlier).encode(), headers={"date": date})

    rig = Rig(cached)
    await rig.client.list_devices()
    await rig.client.subscribe(A)
    assert rig.two_clocks.ahead == timedelta(0)


async def test_another_message_id_alone_is_no_reason_to_doubt() -> None:
    """LG may name its answers as it likes; it is counted for each call."""
    rig = Rig(lambda _request: success([]))
    await rig.client.list_devices()
    await rig.client.subscribe(A)
    counted = rig.metrics.registry.get_sample_value(
        "pcc_api_other_message_ids_total", {"account": ACCOUNT}
    )
    assert counted == 2


def test_many_changes_do_not_push_out_the_message_ids_of_lists() -> None:
    """The memory of what was sent is bounded, for lists and changes apart."""
    sent = SentIds(reads=2, changes=3)
    for number in range(3):
        sent.add(f"list-{number}", Call.LIST)
    for number in range(9):
        sent.add(f"change-{number}", Call.SUBSCRIBE)
    assert [f"list-{number}" in sent for number in range(3)] == [False, True, True]
    assert [f"change-{number}" in sent for number in (5, 6, 7, 8)] == [False, True, True, True]


async def test_a_list_counts_from_the_moment_it_was_asked_for() -> None:
    """A change that is made while LG answers may be missing on the list, so its end is too late."""

    def slowly() -> httpx.Response:
        rig.clock.move(20)
        return success([]) if len(rig.requests) > 1 else refusal("1302")

    rig = with_refresh_token(Rig(lambda _request: slowly()))
    began = rig.clock.now()
    assert (await rig.client.list_devices()).began == began
    assert rig.client.last_call_at == rig.clock.steady() == began.timestamp() + 40


def forbid() -> None:
    """Refuse every call."""
    raise Outdated("another replica has the account")


def its_plan_is_outdated(rig: Rig) -> None:
    """Let something change that the change rests on."""
    rig.client.outdated = lambda: True


def the_account_is_lost(rig: Rig) -> None:
    """Let another replica have the account."""
    rig.allow = forbid


def the_user_is_another(rig: Rig) -> None:
    """Let a person put another user's token in place."""
    rig.credentials = credentials(access_token="token-of-another-user")


def the_credentials_are_gone(rig: Rig) -> None:
    """Let a person take the credentials away."""
    rig.credentials = None


def lg_throttles(rig: Rig) -> None:
    """Let LG ask for a pause."""
    rig.quota.throttled(rig.clock.steady(), 90, teaches=False)


MEANWHILE: dict[Callable[[Rig], None], type[PlatformError]] = {
    its_plan_is_outdated: Outdated,
    the_account_is_lost: Outdated,
    the_user_is_another: Outdated,
    the_credentials_are_gone: Outdated,
    lg_throttles: Throttled,
}


@pytest.mark.parametrize("happens", MEANWHILE)
async def test_a_change_that_waited_for_its_turn_is_judged_when_its_turn_comes(
    happens: Callable[[Rig], None],
) -> None:
    """What was true before the wait may not be true any more; what is not sent uses up no call of the hour."""
    started, going = asyncio.Event(), asyncio.Event()

    async def answered(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            started.set()
            await going.wait()
        return success([])

    rig = Rig(answered, quota=Quota(learned=Learned((START.timestamp(),) * 60, 60)))
    rig.quota._learned = 100  # more than is known to be allowed, so calls go one at a time
    await rig.client.list_devices()
    first = asyncio.create_task(rig.client.subscribe(A))
    await started.wait()
    waiting = asyncio.create_task(rig.client.unsubscribe(B))
    await asyncio.sleep(0)
    happens(rig)
    going.set()
    await first
    with pytest.raises(MEANWHILE[happens]):
        await waiting
    assert rig.calls == ["GET /pcc", "POST /pcc/a"]
    assert len(rig.quota.learned.calls) == 62


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("refreshes", [False, True])
async def test_a_process_that_may_not_call_sends_nothing(call: Call, *, refreshes: bool) -> None:
    """Whatever the call is for, and the renewal of its token too: the account may be another replica's by now."""
    own = {"access_token": None, "refresh_token": REFRESH} if refreshes else {}
    rig = Rig(own=own, allow=forbid)
    calls: dict[Call, Callable[[], Awaitable[object]]] = {
        Call.LIST: rig.client.list_devices,
        Call.DEVICES: rig.client.registered,
        Call.SUBSCRIBE: lambda: rig.client.subscribe(A),
        Call.UNSUBSCRIBE: lambda: rig.client.unsubscribe(A),
    }
    with pytest.raises(Outdated, match="another replica"):
        await calls[call]()
    assert (rig.calls, rig.refreshes) == ([], 0)
    assert rig.quota.learned.calls == ()


async def test_only_a_list_says_whose_list_was_read_last() -> None:
    """A new user's answer to another question does not let the changes of the old user's list go out."""
    rig = Rig(lambda _request: success([]))
    await rig.client.list_devices()
    before = rig.client.credential
    rig.credentials = credentials(access_token="token-of-another-user")
    await rig.client.registered()
    assert rig.client.credential == before
    with pytest.raises(Outdated):
        await rig.client.unsubscribe(A)


@pytest.mark.parametrize("lost", [httpx.ReadError("lost"), httpx.ReadTimeout("late")], ids=str)
async def test_the_answer_to_a_call_that_was_given_up_is_not_that_to_the_next(
    lost: httpx.HTTPError,
) -> None:
    """What went out may be answered late, by a proxy that gives it to the next request."""

    def answer() -> httpx.Response:
        if len(rig.requests) == 1:
            raise lost
        first = rig.requests[0].headers["x-message-id"]
        return httpx.Response(200, json={"messageId": first, "timestamp": "t", "response": []})

    rig = Rig(lambda _request: answer())
    with pytest.raises(Unavailable):
        await rig.client.list_devices()
    with pytest.raises(Surprise, match="earlier request"):
        await rig.client.list_devices()


async def test_the_fingerprint_of_the_service_is_that_of_the_key_in_use() -> None:
    """The cap of a new service key is counted for it from the start, not from its first call."""
    rig = Rig(lambda _request: success([]))
    await rig.client.list_devices()
    before = rig.client.service
    rig.credentials = credentials(service_key="service-key-of-today")
    assert rig.client.service != before
    rig.credentials = credentials()
    assert rig.client.service == before


async def test_calls_and_pauses_are_counted_by_one_clock() -> None:
    """Steady time begins anywhere; what is counted is counted by the timeline of the process, whatever it shows."""
    clock = StandingClock()
    answers = [httpx.Response(429, headers={"retry-after": "90"}), success(), success()]
    client = Client(
        ACCOUNT,
        PlainClient(httpx.MockTransport(lambda _request: answers.pop(0))),
        credentials,
        metrics=Metrics(),
        timeout_seconds=30,
        quota=Quota(2),
        clock=clock,
    )
    with pytest.raises(Throttled):
        await client.list_devices()
    assert client.opens_for_change() == client.opens_for_pass(0) == clock.at + timedelta(seconds=90)
    clock.wait(seconds=89)
    with pytest.raises(Throttled, match="not sent"):
        await client.subscribe(A)
    assert client.calls_left == 1
    clock.wait(seconds=1)
    assert (client.opens_for_change(), client.opens_for_pass(0)) == (None, None)
    await client.subscribe(A)
    assert client.calls_left == 0
    opens = client.opens_for_change()
    assert opens is not None
    assert timedelta(minutes=58) < opens - clock.at < timedelta(minutes=59)
    assert client.learned.calls == (clock.at.timestamp() - 90, clock.at.timestamp())


async def test_a_user_is_known_by_the_refresh_token() -> None:
    """Another access token beside the same refresh token is the same user: it is replaced each hour."""
    rig = Rig(lambda _request: success([]), own={"refresh_token": REFRESH})
    await rig.client.list_devices()
    before = rig.client.credential
    rig.credentials = credentials(access_token="access-of-today", refresh_token=REFRESH)
    assert rig.client.same_user
    await rig.client.unsubscribe(A)
    await rig.client.list_devices()
    assert rig.client.credential == before
    rig.credentials = credentials(access_token="access-of-today", refresh_token="refresh-of-today")
    assert not rig.client.same_user


class Book:
    """A ledger that says whether it could write, and keeps what it was given."""

    def __init__(self) -> None:
        self.works = True
        self.given: list[tuple[AccountName, int]] = []
        self.meanwhile: Callable[[], None] = allow_always

    async def write(self, account: AccountName, learned: Learned) -> bool:
        """Take the calls."""
        self.given.append((account, len(learned.calls)))
        await asyncio.sleep(0)
        self.meanwhile()
        return self.works


async def test_calls_without_an_intent_are_written_down_in_time() -> None:
    """A successor counts four calls of this limit of which nothing is written, so no more of them are ever made."""
    book = Book()
    rig = Rig(lambda _request: success([]), quota=Quota(40), ledger=book)
    for _ in range(4):
        await rig.client.list_devices()
        await rig.client.subscribe(A)  # its intent is written, so it does not count
    assert book.given == []
    await rig.client.registered()
    assert book.given == [(ACCOUNT, 8)]
    await asyncio.gather(*(rig.client.list_devices() for _ in range(3)))
    assert len(book.given) == 1
    await rig.client.list_devices()
    assert book.given == [(ACCOUNT, 8), (ACCOUNT, 12)]


REPEATED: dict[str, tuple[int, httpx.Response]] = {
    "with another token": (1, refusal("1302")),
    "after the question for devices": (2, refusal("1205", 404)),
}


@pytest.mark.parametrize("again", REPEATED)
async def test_the_second_call_of_a_change_has_no_intent_of_its_own(again: str) -> None:
    """One intent is written for one call: what is sent once more counts among the calls of which nothing is written."""
    more, refused = REPEATED[again]
    book = Book()
    rig = with_refresh_token(Rig(quota=Quota(40), ledger=book))
    rig.answer = lambda request: (
        refused if request.method == "POST" and not rig.calls[:-1] else success([])
    )
    await rig.client.subscribe(A)
    assert len(rig.calls) == more + 1
    for _ in range(4 - more):
        await rig.client.list_devices()
    assert book.given == []
    await rig.client.list_devices()
    assert book.given == [(ACCOUNT, 5)]


async def test_what_cannot_be_written_down_is_not_called() -> None:
    """While the state cannot be written no list is sent and none is counted; afterwards it goes on."""
    book = Book()
    rig = Rig(lambda _request: success([]), quota=Quota(40), ledger=book)
    for _ in range(4):
        await rig.client.list_devices()
    book.works = False
    for _ in range(2):
        with pytest.raises(Outdated, match="could not be written down"):
            await rig.client.list_devices()
    await rig.client.subscribe(A)
    assert (len(rig.requests), len(rig.quota.learned.calls), len(book.given)) == (5, 5, 2)
    book.works = True
    await rig.client.list_devices()
    assert len(rig.requests) == 6


async def test_what_changes_while_calls_are_written_down_stops_the_call() -> None:
    """To write takes time, in which another replica may take the account."""
    book = Book()
    rig = Rig(lambda _request: success([]), quota=Quota(40), ledger=book)
    for _ in range(4):
        await rig.client.list_devices()
    book.meanwhile = lambda: the_account_is_lost(rig)
    with pytest.raises(Outdated, match="another replica"):
        await rig.client.list_devices()
    assert (len(rig.requests), len(rig.quota.learned.calls)) == (4, 4)


@pytest.mark.parametrize("step", [timedelta(minutes=20), -timedelta(minutes=20)], ids=str)
async def test_calls_are_written_down_by_the_wall_clock_of_now(step: timedelta) -> None:
    """Another process reads them by its own clock; when they were made does not change with a step of ours."""
    clock, given = SimulatedClock(), list[Learned]()

    class Kept(Book):
        async def write(self, account: AccountName, learned: Learned) -> bool:
            given.append(learned)
            return await super().write(account, learned)

    client = Client(
        ACCOUNT,
        PlainClient(httpx.MockTransport(lambda _request: success([]))),
        credentials,
        metrics=Metrics(),
        timeout_seconds=30,
        quota=Quota(10),
        clock=clock,
        ledger=Kept(),
    )
    await client.list_devices()
    clock.set_by(step)
    clock.pass_by(timedelta(minutes=5))
    await client.list_devices()
    ago = [clock.now().timestamp() - call for call in given[0].calls]
    assert ago == [pytest.approx(300)]


async def test_calls_that_are_made_during_a_write_are_not_written_by_it() -> None:
    """They came after the ledger was given what there was, so it is given them, too, before there are more."""
    book = Book()
    rig = Rig(lambda _request: success([]), quota=Quota(40), ledger=book)
    for _ in range(4):
        await rig.client.list_devices()

    def others_call() -> None:
        book.meanwhile = allow_always
        for _ in range(4):
            assert rig.quota.take(rig.clock.steady())

    book.meanwhile = others_call
    await rig.client.list_devices()
    assert book.given == [(ACCOUNT, 4), (ACCOUNT, 8)]
