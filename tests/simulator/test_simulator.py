"""The simulated platform: protocol, faults, the /_sim API, state file, and a few tests over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.simulator import (
    Answer,
    Callbacks,
    Control,
    Device,
    Dropped,
    Match,
    Options,
    Platform,
    Request,
    Route,
    Rule,
    Sender,
    SimulatorError,
    SimulatorOptions,
    Target,
    build,
    create_app,
    load,
    parse_listen,
    read_rules,
    run,
    sample_devices,
    sample_platform,
    save,
    serving,
    welcome,
)
from reconciler.simulator import faults as fault

T = TypeVar("T")

START = 1_790_000_000.25
MESSAGE_ID = "0123456789abcdefABCD-_"


@dataclass
class Time:
    """A clock that moves when told to."""

    now: float = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Sim:
    """A platform with one user of ten PCC appliances, and how to ask it."""

    time: Time = field(default_factory=Time)
    options: Options = field(default_factory=Options)
    platform: Platform = field(init=False)

    def __post_init__(self) -> None:
        self.platform = sample_platform(
            {"default": 10, "other": 3}, only_pcc=True, seed=7, options=self.options, now=self.time
        )

    @property
    def ids(self) -> list[str]:
        """The device ids of the user ``default``."""
        return list(self.platform.world.user("default").devices)

    def headers(self, user: str = "default", **changed: str | None) -> dict[str, str]:
        """Return all the headers LG wants; a changed one of ``None`` is left out."""
        service = self.platform.world.service
        tokens = list(self.platform.world.user(user).access_tokens)
        headers: dict[str, str | None] = {
            "authorization": f"Bearer {tokens[-1]}" if tokens else None,
            "x-country-code": "KR",
            "x-message-id": MESSAGE_ID,
            "x-service-id": service.id,
            "x-service-key": service.key,
        }
        headers.update({name.replace("_", "-"): value for name, value in changed.items()})
        return {name: value for name, value in headers.items() if value is not None}

    def ask(self, method: str, path: str, user: str = "default", **changed: str | None) -> Answer:
        """Send one request to the platform itself."""
        return self.platform.handle(Request(method, path, self.headers(user, **changed)))

    def listed(self, user: str = "default") -> Any:
        """Return what ``GET /pcc`` has under ``response``."""
        return body(self.ask("GET", "/pcc", user))["response"]

    def refresh(self, **changed: str | None) -> Answer:
        """Ask the token endpoint for a new access token."""
        service = self.platform.world.service
        form: dict[str, str | None] = {
            "client_id": service.client_id,
            "backend_url": service.backend_url,
            "grant_type": "refresh_token",
            "refresh_token": self.platform.world.user("default").refresh_token,
        }
        form.update(changed)
        sent = httpx.QueryParams({name: value for name, value in form.items() if value is not None})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self.platform.handle(Request("POST", "/emp/v2/token", headers, str(sent).encode()))


def body(answer: Answer) -> Any:
    """Read the body of an answer."""
    return json.loads(answer.body)


def outcome(answer: Answer) -> tuple[int, str | None]:
    """Return status and LG code as they stand on the wire."""
    return answer.status, body(answer).get("error", {}).get("code")


def going(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine in a loop of its own, for at most some seconds."""

    async def bounded() -> T:
        return await asyncio.wait_for(work(), 30)

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("the condition never came to hold")


@pytest.fixture
def sim() -> Sim:
    """Return a fresh simulation."""
    return Sim()


# The protocol


def test_subscribe_list_unsubscribe(sim: Sim) -> None:
    """A device that is subscribed is listed until it is unsubscribed."""
    device = sim.ids[0]
    assert outcome(sim.ask("POST", f"/pcc/{device}")) == (200, None)
    assert sim.listed() == [{"deviceId": device}]
    assert sim.listed("other") == []
    assert outcome(sim.ask("DELETE", f"/pcc/{device}")) == (200, None)
    assert sim.listed() == []


def test_envelope(sim: Sim) -> None:
    """A success carries the request's message id, a zoneless UTC time with six digits, and the response."""
    answer = sim.ask("POST", f"/pcc/{sim.ids[0]}")
    assert body(answer) == {
        "messageId": MESSAGE_ID,
        "timestamp": "2026-09-21T14:13:20.250000",
        "response": {},
    }
    assert ("date", "Mon, 21 Sep 2026 14:13:20 GMT") in answer.headers


def test_error_envelope(sim: Sim) -> None:
    """A failure has ``error`` with a string code and LG's words in place of ``response``."""
    answer = sim.ask("DELETE", f"/pcc/{sim.ids[0]}")
    assert answer.status == 404
    assert body(answer)["error"] == {"code": "1206", "message": "Not subscribed push"}
    assert "response" not in body(answer)


@pytest.mark.parametrize("path", ["/pcc", "/pcc/"])
def test_list_paths(sim: Sim, path: str) -> None:
    """The list is found with and without a slash at the end."""
    assert outcome(sim.ask("GET", path)) == (200, None)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"authorization": None}, (400, "1101")),
        ({"x_country_code": None}, (400, "1101")),
        ({"x_message_id": None}, (400, "1101")),
        ({"x_service_id": None}, (400, "1101")),
        ({"x_service_key": ""}, (400, "1101")),
        ({"x_message_id": "short"}, (400, "1104")),
        ({"x_message_id": MESSAGE_ID + "="}, (400, "1104")),
        ({"x_message_id": MESSAGE_ID[:-1] + "+"}, (400, "1104")),
        ({"x_country_code": "kr"}, (401, "1307")),
        ({"x_country_code": "US"}, (401, "1307")),
        ({"x_service_id": "f" * 24}, (404, "1203")),
        ({"x_service_key": "wrong"}, (401, "1301")),
        ({"authorization": "Basic abcdefgh"}, (400, "1103")),
        ({"authorization": "Bearer "}, (400, "1103")),
        ({"authorization": "Bearer " + "ab" * 48}, (400, "1218")),
    ],
)
def test_header_checks(sim: Sim, changed: dict[str, Any], expected: tuple[int, str]) -> None:
    """Each header is checked, and a wrong one has its own code."""
    assert outcome(sim.ask("GET", "/pcc", **changed)) == expected


def test_check_order(sim: Sim) -> None:
    """Checks come in a fixed order: header, message id, country, service, key, token, quota, device."""
    wrong: dict[str, Any] = {
        "x_service_key": None,
        "x_message_id": "short",
        "x_country_code": "xx",
        "x_service_id": "nobody",
        "authorization": "Bearer unknown-token",
    }
    sim.platform.set_options(quota=0)
    seen = [outcome(sim.ask("POST", "/pcc/unknown", **wrong))[1]]
    wrong["x_service_key"] = "wrong"
    for mended in (
        "x_message_id",
        "x_country_code",
        "x_service_id",
        "x_service_key",
        "authorization",
    ):
        seen.append(outcome(sim.ask("POST", "/pcc/unknown", **wrong))[1])
        del wrong[mended]
    seen.append(outcome(sim.ask("POST", "/pcc/unknown"))[1])
    sim.platform.set_options(quota=None)
    seen.append(outcome(sim.ask("POST", "/pcc/unknown"))[1])
    assert seen == ["1101", "1104", "1307", "1203", "1301", "1218", "1314", "1205"]


def test_missing_message_id_is_made_up(sim: Sim) -> None:
    """An answer to a request without message id carries one of the platform's own."""
    assert re.fullmatch(
        r"[0-9a-f]{22}", body(sim.ask("GET", "/pcc", x_message_id=None))["messageId"]
    )


def test_lenient_message_id(sim: Sim) -> None:
    """With the strict grammar off a shorter message id will do, a longer one not."""
    sim.platform.set_options(strict_message_id=False)
    assert outcome(sim.ask("GET", "/pcc", x_message_id="short")) == (200, None)
    assert outcome(sim.ask("GET", "/pcc", x_message_id="x" * 23)) == (400, "1104")


def test_served_countries(sim: Sim) -> None:
    """A country that the platform does not serve is refused, whatever the user's."""
    sim.platform.set_options(countries=["US"])
    assert outcome(sim.ask("GET", "/pcc")) == (401, "1307")


def test_token_life(sim: Sim) -> None:
    """An access token is expired, not unknown, from the end of its life on."""
    sim.time.now += 3599
    assert outcome(sim.ask("GET", "/pcc")) == (200, None)
    sim.time.now += 1
    assert outcome(sim.ask("GET", "/pcc")) == (401, "1302")


def test_several_tokens(sim: Sim) -> None:
    """A user's earlier access token stays good beside a newer one."""
    old = sim.headers()["authorization"]
    sim.refresh()
    assert sim.headers()["authorization"] != old
    assert outcome(sim.ask("GET", "/pcc", authorization=old)) == (200, None)


def test_device_checks(sim: Sim) -> None:
    """Unknown, foreign, not allowed and not PCC-capable devices have their own codes."""
    user = sim.platform.world.user("default")
    sim.platform.world.add_devices(
        user, [Device("dryer", "DEVICE_DRYER"), Device("styler", "DEVICE_STYLER")]
    )
    foreign = next(iter(sim.platform.world.user("other").devices))
    assert outcome(sim.ask("POST", "/pcc/unknown")) == (404, "1205")
    assert outcome(sim.ask("POST", f"/pcc/{foreign}")) == (404, "1212")
    assert outcome(sim.ask("POST", "/pcc/styler")) == (406, "1221")
    assert outcome(sim.ask("POST", "/pcc/dryer")) == (404, "1214")
    assert sim.listed() == []


def test_unknown_device_code(sim: Sim) -> None:
    """Which code an unknown device gets is an option."""
    sim.platform.set_options(unknown_device_code="1213")
    assert outcome(sim.ask("DELETE", "/pcc/unknown")) == (404, "1213")


def test_any_device(sim: Sim) -> None:
    """With unknown devices accepted any id can be subscribed, but not another user's."""
    sim.platform.set_options(unknown_devices="accept")
    foreign = next(iter(sim.platform.world.user("other").devices))
    assert outcome(sim.ask("POST", "/pcc/unknown")) == (200, None)
    assert outcome(sim.ask("POST", f"/pcc/{foreign}")) == (404, "1212")
    assert sim.listed() == [{"deviceId": "unknown"}]


def test_duplicates(sim: Sim) -> None:
    """Subscribing twice is 1207, unsubscribing twice 1206."""
    path = f"/pcc/{sim.ids[0]}"
    assert [outcome(sim.ask("POST", path))[1] for _ in range(2)] == [None, "1207"]
    assert [outcome(sim.ask("DELETE", path))[1] for _ in range(2)] == [None, "1206"]


def test_duplicates_as_options(sim: Sim) -> None:
    """Both can be accepted instead, and the absent one can be 1204."""
    path = f"/pcc/{sim.ids[0]}"
    sim.platform.set_options(already_subscribed="accept", not_subscribed="1204")
    assert [outcome(sim.ask("POST", path))[0] for _ in range(2)] == [200, 200]
    assert [outcome(sim.ask("DELETE", path))[1] for _ in range(2)] == [None, "1204"]
    sim.platform.set_options(not_subscribed="accept")
    assert outcome(sim.ask("DELETE", path)) == (200, None)


@pytest.mark.parametrize("form", ["[]", "null", "{}"])
def test_empty_list_forms(sim: Sim, form: str) -> None:
    """An empty list has the form that the options say."""
    sim.platform.set_options(empty_list=form)
    assert sim.listed() == json.loads(form)


def test_missing_forms(sim: Sim) -> None:
    """An empty list, and the response to a change, can be left out of the envelope."""
    sim.platform.set_options(empty_list="missing", empty_success="missing")
    assert body(sim.ask("GET", "/pcc")).keys() == {"messageId", "timestamp"}
    assert body(sim.ask("POST", f"/pcc/{sim.ids[0]}")).keys() == {"messageId", "timestamp"}
    assert sim.listed() == [{"deviceId": sim.ids[0]}]


def test_subscription_cap(sim: Sim) -> None:
    """The cap counts all users of the service key, and an unsubscribe makes room."""
    sim.platform.set_options(subscription_cap=2)
    other = next(iter(sim.platform.world.user("other").devices))
    sim.ask("POST", f"/pcc/{other}", "other")
    sim.ask("POST", f"/pcc/{sim.ids[0]}")
    assert outcome(sim.ask("POST", f"/pcc/{sim.ids[1]}")) == (400, "1312")
    assert outcome(sim.ask("POST", f"/pcc/{sim.ids[0]}")) == (404, "1207")
    sim.ask("DELETE", f"/pcc/{other}", "other")
    assert outcome(sim.ask("POST", f"/pcc/{sim.ids[1]}")) == (200, None)


def test_unregistered_device(sim: Sim) -> None:
    """A device that leaves the user takes its subscription along, unless that is kept as a ghost."""
    gone, ghost = sim.ids[:2]
    sim.platform.subscribe("default", gone, ghost)
    user = sim.platform.world.user("default")
    sim.platform.world.remove_devices(user, [gone], START)
    sim.platform.world.remove_devices(user, [ghost], START, keep_subscriptions=True)
    assert sim.listed() == [{"deviceId": ghost}]
    assert outcome(sim.ask("DELETE", f"/pcc/{ghost}")) == (404, "1205")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/pcc/a/b", 404),
        ("POST", "/pcc/a/", 404),
        ("GET", "/push", 404),
        ("GET", "/pcc/abc", 405),
        ("POST", "/pcc", 405),
        ("DELETE", "/pcc/", 405),
        ("POST", "/devices", 405),
        ("GET", "/emp/v2/token", 405),
    ],
)
def test_unknown_paths(sim: Sim, method: str, path: str, status: int) -> None:
    """What the platform has not is answered by a page; an empty device id never means all devices."""
    sim.platform.subscribe("default", *sim.ids)
    answer = sim.ask(method, path)
    assert answer.status == status
    assert answer.body.startswith(b"<html>")
    assert any(name == "allow" for name, _ in answer.headers) == (status == 405)
    assert len(sim.listed()) == 10


@pytest.mark.parametrize(
    "segment", ["%2e%2e", "a%2Fb", "a%20b", "%ff", "%00", "x" * 257, "a%0Ab", "%C2%A0"]
)
def test_impossible_ids(sim: Sim, segment: str) -> None:
    """An id that cannot be one is 1224."""
    sim.platform.set_options(unknown_devices="accept")
    assert outcome(sim.ask("POST", f"/pcc/{segment}")) == (404, "1224")


@settings(max_examples=50, deadline=None)
@given(
    st.text(
        st.characters(exclude_categories=("C", "Z"), exclude_characters="/"),
        min_size=1,
        max_size=256,
    )
)
def test_odd_ids(device: str) -> None:
    """Any printable id without slash and space survives the way through path, list and JSON."""
    if device in {".", ".."}:
        return
    sim = Sim(options=Options(unknown_devices="accept"))
    path = "/pcc/" + "".join(f"%{byte:02X}" for byte in device.encode())
    assert outcome(sim.ask("POST", path)) == (200, None)
    assert sim.listed() == [{"deviceId": device}]
    assert outcome(sim.ask("DELETE", path)) == (200, None)


def test_devices(sim: Sim) -> None:
    """The device list tells type, model and alias, and leaves out types that the service may not use."""
    user = sim.platform.world.user("default")
    sim.platform.world.add_devices(
        user, [Device("styler", "DEVICE_STYLER"), Device("dryer", "DEVICE_DRYER", "Dry")]
    )
    listed = body(sim.ask("GET", "/devices/"))["response"]
    assert len(listed) == 11
    assert listed[-1] == {
        "deviceId": "dryer",
        "deviceInfo": {
            "deviceType": "DEVICE_DRYER",
            "modelName": "SIMULATED",
            "alias": "Dry",
            "reportable": True,
        },
    }


def test_rolling_quota(sim: Sim) -> None:
    """Calls beyond the quota are refused until the oldest of the hour is an hour old."""
    sim.platform.set_options(quota=2)
    sim.ask("GET", "/pcc")
    sim.time.now += 1800
    sim.ask("GET", "/devices")
    assert outcome(sim.ask("GET", "/pcc")) == (401, "1314")
    assert outcome(sim.ask("GET", "/pcc", "other")) == (200, None)
    sim.platform.issue_token("default")
    sim.time.now = START + 3600
    assert outcome(sim.ask("GET", "/pcc")) == (200, None)
    assert outcome(sim.ask("GET", "/pcc")) == (401, "1314")


def test_fixed_quota(sim: Sim) -> None:
    """With fixed windows the whole quota comes back at the full hour."""
    sim.platform.set_options(quota=1, quota_window="fixed")
    sim.time.now = START // 3600 * 3600 + 3599
    assert [outcome(sim.ask("GET", "/pcc"))[0] for _ in range(2)] == [200, 401]
    sim.platform.issue_token("default")
    sim.time.now += 1
    assert [outcome(sim.ask("GET", "/pcc"))[0] for _ in range(2)] == [200, 401]


def test_quota_answers(sim: Sim) -> None:
    """The quota's answer can be 1306 or a bare 429, with Retry-After where wanted; a user's own quota goes first."""
    sim.platform.set_options(quota=0, quota_code="1306")
    assert outcome(sim.ask("GET", "/pcc")) == (401, "1306")
    sim.platform.set_options(quota_code="429", quota_retry_after="30")
    answer = sim.ask("GET", "/pcc")
    assert (answer.status, answer.body) == (429, b"")
    assert ("retry-after", "30") in answer.headers
    sim.platform.world.user("default").quota = 1
    assert outcome(sim.ask("GET", "/pcc")) == (200, None)


def test_quota_counting_refused_calls(sim: Sim) -> None:
    """Where refused calls count too, hammering keeps the door shut."""
    sim.platform.set_options(quota=1, quota_counts_refused=True, token_life=1e6)
    sim.platform.issue_token("default")
    for _ in range(4):
        sim.ask("GET", "/pcc")
        sim.time.now += 1800
    assert outcome(sim.ask("GET", "/pcc")) == (401, "1314")


# The token endpoint


def test_refresh(sim: Sim) -> None:
    """A refresh gives a new access token, its life as a string, and no new refresh token."""
    sim.platform.world.revoke_access(sim.platform.world.user("default"))
    granted = body(sim.refresh())
    assert granted.keys() == {"access_token", "expires_in"}
    assert granted["expires_in"] == "3600"
    assert outcome(sim.ask("GET", "/pcc", authorization=f"Bearer {granted['access_token']}")) == (
        200,
        None,
    )


@pytest.mark.parametrize(
    ("changed", "error", "status"),
    [
        ({"client_id": None}, "412 required client_id", 412),
        ({"grant_type": ""}, "412 required grant_type", 412),
        ({"refresh_token": None}, "412 required refresh_token", 412),
        ({"client_id": "nobody"}, "401 not allowed client_id", 401),
        ({"grant_type": "password"}, "412 not supported grant_type", 412),
        ({"refresh_token": "unknown"}, "401 not allowed refresh_token", 401),
    ],
)
def test_refresh_errors(sim: Sim, changed: dict[str, str | None], error: str, status: int) -> None:
    """What is wrong with a refresh is told inside a 200, or as a status where that is wanted."""
    assert (sim.refresh(**changed).status, body(sim.refresh(**changed))) == (
        200,
        {"httpError": error},
    )
    sim.platform.set_options(token_errors_in_200=False)
    assert (sim.refresh(**changed).status, body(sim.refresh(**changed))) == (
        status,
        {"httpError": error},
    )


def test_required_backend_url(sim: Sim) -> None:
    """The backend URL is required only where the options say so."""
    assert "access_token" in body(sim.refresh(backend_url=None))
    sim.platform.set_options(require_backend_url=True)
    assert body(sim.refresh(backend_url=None)) == {"httpError": "412 required backend_url"}


def test_refresh_wants_a_form(sim: Sim) -> None:
    """JSON in place of a form has no fields."""
    request = Request(
        "POST", "/emp/v2/token", {"content-type": "application/json"}, b'{"client_id": "x"}'
    )
    assert body(sim.platform.handle(request)) == {"httpError": "412 required client_id"}


def test_rotated_refresh_token(sim: Sim) -> None:
    """Where refresh tokens rotate, the new one is in the answer and the old one is good no more."""
    sim.platform.set_options(rotate_refresh_tokens=True)
    old = sim.platform.world.user("default").refresh_token
    new = body(sim.refresh())["refresh_token"]
    assert body(sim.refresh(refresh_token=old)) == {"httpError": "401 not allowed refresh_token"}
    assert "access_token" in body(sim.refresh(refresh_token=new))


# Faults


def test_instead_of_an_answer(sim: Sim) -> None:
    """Faults can put anything in place of the answer, before the work is done."""
    effects: Mapping[fault.Instead, Callable[[Answer], bool]] = {
        fault.Html(): lambda a: a.status == 502 and a.body.startswith(b"<html>"),
        fault.Html(503, retry_after="9"): lambda a: (
            a.status == 503 and ("retry-after", "9") in a.headers
        ),
        fault.Html(200): lambda a: a.status == 200 and a.body.startswith(b"<html>"),
        fault.Empty(): lambda a: (a.status, a.body) == (401, b""),
        fault.Empty(429, retry_after="-1"): lambda a: (
            a.status == 429 and ("retry-after", "-1") in a.headers
        ),
        fault.Hang(): lambda a: a.never and not a.drop,
        fault.Drop(): lambda a: a.drop and not a.never,
        fault.Error("2214"): lambda a: outcome(a) == (400, "2214"),
        fault.Error("9999", 418, "Tea"): lambda a: (
            body(a)["error"] == {"code": "9999", "message": "Tea"}
        ),
        fault.Raw("nonsense", 201, "text/plain"): lambda a: (
            (a.status, a.body) == (201, b"nonsense")
        ),
        fault.Redirect(): lambda a: (
            a.status == 302 and ("location", "https://login.invalid/") in a.headers
        ),
    }
    for effect, expected in effects.items():
        sim.platform.set_faults(Rule(effect))
        assert expected(sim.ask("POST", f"/pcc/{sim.ids[0]}")), effect
    sim.platform.set_faults()
    assert sim.listed() == []


@pytest.mark.parametrize(
    "effect",
    [
        fault.Html(commit=True),
        fault.Empty(commit=True),
        fault.Hang(commit=True),
        fault.Drop(commit=True),
        fault.Error("2210", commit=True),
        fault.Raw(commit=True),
    ],
)
def test_after_commit(sim: Sim, effect: fault.Instead) -> None:
    """A fault after commit spoils the answer, not the work."""
    sim.platform.set_faults(Rule(effect, count=1))
    assert sim.ask("POST", f"/pcc/{sim.ids[0]}") != Answer()
    assert sim.listed() == [{"deviceId": sim.ids[0]}]


def test_latency(sim: Sim) -> None:
    """Delays add up and go with whatever else happens."""
    sim.platform.set_options(latency=0.5)
    sim.platform.set_faults(
        Rule(fault.Latency(1)),
        Rule(fault.Latency(2, 3)),
        Rule(fault.Html(), match=Match(route=Route.LIST)),
    )
    devices, listed = sim.ask("GET", "/devices"), sim.ask("GET", "/pcc")
    assert devices.status == 200
    assert 3.5 <= devices.delay_seconds <= 4.5
    assert listed.status == 502
    assert 3.5 <= listed.delay_seconds <= 4.5


def test_match(sim: Sim) -> None:
    """A rule can be for one method, route, user or some devices only."""
    first, second = sim.ids[:2]
    cases: list[tuple[Match, Counter[int]]] = [
        (Match(), Counter({502: 5})),
        (Match(method="GET"), Counter({502: 3, 200: 2})),
        (Match(route=Route.LIST), Counter({502: 2, 200: 3})),
        (Match(user="other"), Counter({502: 1, 200: 4})),
        (Match(devices=(second,)), Counter({502: 1, 200: 4})),
    ]
    for match, expected in cases:
        sim.platform.unsubscribe("default", first, second)
        sim.platform.set_faults(Rule(fault.Html(), match=match))
        asked = [
            ("GET", "/pcc", "default"),
            ("GET", "/pcc", "other"),
            ("GET", "/devices", "default"),
        ]
        asked += [("POST", f"/pcc/{device}", "default") for device in (first, second)]
        assert Counter(sim.ask(*one).status for one in asked) == expected, match


def test_token_route_matches_its_user(sim: Sim) -> None:
    """A refresh is known by whose refresh token it carries."""
    sim.platform.set_faults(Rule(fault.Html(), match=Match(route=Route.TOKEN, user="default")))
    assert sim.refresh().status == 502


def test_skip_count_script(sim: Sim) -> None:
    """Rules can let the first matches go, end after some, and follow a script."""
    sim.platform.set_faults(
        Rule(fault.Html(), skip=1, count=1),
        Rule(script=(fault.Empty(), None, fault.Html(503)), name="script"),
    )
    assert [sim.ask("GET", "/pcc").status for _ in range(6)] == [401, 502, 200, 503, 200, 200]
    assert [(rule["seen"], rule["fired"]) for rule in sim.platform.describe_faults()] == [
        (2, 1),
        (3, 3),
    ]


def test_time_window(sim: Sim) -> None:
    """A rule's window counts from when it was set, the end excluded."""
    sim.time.now += 100
    sim.platform.add_fault(Rule(fault.Html(), begin=10, end=20))
    seen = []
    for _ in range(4):
        seen.append(sim.ask("GET", "/pcc").status)
        sim.time.now += 10
    assert seen == [200, 502, 200, 200]


def test_probability_is_seeded() -> None:
    """Equal seeds give equal chance."""
    runs = []
    for _ in range(2):
        sim = Sim()
        sim.platform.set_faults(Rule(fault.Html(), probability=0.3))
        runs.append([sim.ask("GET", "/pcc").status for _ in range(200)])
    assert runs[0] == runs[1]
    assert 30 < runs[0].count(502) < 90


def test_stale_list(sim: Sim) -> None:
    """A stale list is the list as it was some time ago."""
    first, second, third = sim.ids[:3]
    sim.platform.subscribe("default", first, second)
    sim.time.now += 10
    sim.platform.unsubscribe("default", first)
    sim.platform.subscribe("default", third)
    sim.time.now += 1
    seen = {}
    for age in (0.5, 5, 60):
        sim.platform.set_faults(Rule(fault.Stale(age)))
        seen[age] = {item["deviceId"] for item in sim.listed()}
    assert seen == {0.5: {second, third}, 5: {first, second}, 60: set()}


def test_short_list(sim: Sim) -> None:
    """A short list lacks some items, by share or by number, and nothing is lost in truth."""
    sim.platform.subscribe("default", *sim.ids)
    for effect, length in (
        (fault.Short(keep=0.3), 3),
        (fault.Short(omit=4), 6),
        (fault.Short(omit=99), 0),
    ):
        sim.platform.set_faults(Rule(effect))
        assert len(sim.listed()) == length
        assert len(body(sim.ask("GET", "/devices"))["response"]) == length
    sim.platform.set_faults()
    assert len(sim.listed()) == 10


@pytest.mark.parametrize(
    ("how", "broken"),
    [
        ("no-id", {}),
        ("number-id", {"deviceId": 1284101485}),
        ("null-id", {"deviceId": None}),
        ("empty-id", {"deviceId": ""}),
        ("null-item", None),
    ],
)
def test_mangled_list(sim: Sim, how: Any, broken: object) -> None:
    """One item of a mangled list is not as it should be, also where the list was empty."""
    sim.platform.set_faults(Rule(fault.Mangle(how)))
    assert sim.listed() == [broken]
    sim.platform.subscribe("default", *sim.ids)
    listed = sim.listed()
    assert len(listed) == 10
    assert listed.count(broken) == 1


def test_more_mangled_lists(sim: Sim) -> None:
    """An item can be a bare string, or stand there twice."""
    sim.platform.subscribe("default", *sim.ids)
    sim.platform.set_faults(Rule(fault.Mangle("string-item")))
    assert sum(isinstance(item, str) for item in sim.listed()) == 1
    sim.platform.set_faults(Rule(fault.Mangle("twice")))
    assert (len(sim.listed()), len({item["deviceId"] for item in sim.listed()})) == (11, 10)


@pytest.mark.parametrize("form", ["null", "{}", '"text"', "missing"])
def test_other_response(sim: Sim, form: str) -> None:
    """A good envelope can hold something else than the list or the confirmation."""
    sim.platform.subscribe("default", *sim.ids[1:])
    sim.platform.set_faults(Rule(fault.Response(form)))
    for answer in (sim.ask("GET", "/pcc"), sim.ask("POST", f"/pcc/{sim.ids[0]}")):
        seen = body(answer)
        assert seen.get("response", "missing") == (form if form == "missing" else json.loads(form))


def test_contradicting_list(sim: Sim) -> None:
    """The list hides and shows the same devices each time, and whoever goes by it hears that it is done already."""
    subscribed, registered = sim.ids[:5], sim.ids[5:]
    sim.platform.subscribe("default", *subscribed)
    sim.platform.set_faults(Rule(fault.Contradict(hidden=0.5, shown=0.5)))
    listed = [item["deviceId"] for item in sim.listed()]
    hidden, shown = set(subscribed) - set(listed), set(listed) - set(subscribed)
    assert hidden and shown and shown < set(registered)  # noqa: PT018 - one fact
    for device in hidden:
        assert outcome(sim.ask("POST", f"/pcc/{device}")) == (404, "1207")
    for device in shown:
        assert outcome(sim.ask("DELETE", f"/pcc/{device}")) == (404, "1206")
    sim.time.now += 3000
    assert [item["deviceId"] for item in sim.listed()] == listed
    sim.platform.set_faults(Rule(fault.Contradict(hidden=1.0, shown=1.0)))
    assert {item["deviceId"] for item in sim.listed()} == set(registered)
    sim.platform.set_faults(Rule(fault.Contradict()))
    assert {item["deviceId"] for item in sim.listed()} == set(subscribed)
    assert sim.platform.subscribed("default") == set(subscribed)


def test_echo(sim: Sim) -> None:
    """An error can repeat all that was sent: the device, the tokens, the keys; and the work may be done or not."""
    device, key = sim.ids[0], sim.platform.world.service.key
    bearer = sim.headers()["authorization"]
    for form in ("envelope", "page", "token"):
        sim.platform.set_faults(Rule(fault.Echo(form)))
        answer = sim.ask("POST", f"/pcc/{device}")
        said = answer.body.decode()
        assert all(one in said for one in (device, key, bearer, MESSAGE_ID, "POST"))
        assert answer.status == {"envelope": 400, "page": 502, "token": 200}[form]
    assert sim.platform.subscribed("default") == frozenset()
    sim.platform.set_faults(Rule(fault.Echo("token", status=401)))
    refused = sim.refresh()
    assert sim.platform.world.user("default").refresh_token in body(refused)["httpError"]
    assert refused.status == 401
    sim.platform.set_faults(Rule(fault.Echo(code="2214", commit=True)))
    assert outcome(sim.ask("POST", f"/pcc/{device}")) == (400, "2214")
    assert sim.platform.subscribed("default") == {device}


def test_cut_answer(sim: Sim) -> None:
    """A cut answer is not JSON, and its work was done."""
    sim.platform.set_faults(Rule(fault.Cut(0.5), count=1))
    answer = sim.ask("POST", f"/pcc/{sim.ids[0]}")
    with pytest.raises(json.JSONDecodeError):
        body(answer)
    assert len(sim.listed()) == 1


def test_lost_subscription(sim: Sim) -> None:
    """A subscription can be confirmed and go away, at once or later."""
    sim.platform.set_faults(Rule(script=(fault.Lost(), fault.Lost(60))))
    assert [outcome(sim.ask("POST", f"/pcc/{device}"))[0] for device in sim.ids[:2]] == [200, 200]
    assert sim.listed() == [{"deviceId": sim.ids[1]}]
    sim.time.now += 60
    assert sim.platform.subscribed("default") == frozenset()


def test_fault_plan_as_json() -> None:
    """A fault plan is a JSON list of rules, or one rule."""
    text = '{"match": {"route": "list", "devices": ["a"]}, "effect": {"kind": "html", "status": 503}, "count": 2}'
    rule = Rule(fault.Html(503), match=Match(route=Route.LIST, devices=("a",)), count=2)
    assert read_rules(text) == [rule]
    assert read_rules(f"[{text}]") == [rule]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[{}]",
        '{"effect": {"kind": "nothing"}}',
        '{"effect": {"kind": "html", "colour": "red"}}',
        '{"effect": {"kind": "html"}, "script": [null]}',
        '{"effect": {"kind": "html"}, "probability": 2}',
        '{"effect": {"kind": "html"}, "count": -1}',
        '{"effect": {"kind": "contradict", "hidden": 1.5}}',
        '{"effect": {"kind": "echo", "form": "letter"}}',
        '{"effect": {"kind": "html"}, "match": {"route": "nowhere"}}',
        '{"effect": {"kind": "short"}}',
        '{"effect": {"kind": "short", "keep": -1}}',
        '{"effect": {"kind": "short", "omit": -1}}',
        '{"effect": {"kind": "cut", "keep": 7}}',
        '{"effect": {"kind": "latency", "seconds": 2, "up_to": 1}}',
        '{"effect": {"kind": "response", "form": "nonsense"}}',
    ],
)
def test_bad_fault_plans(text: str) -> None:
    """A plan that makes no sense is refused whole."""
    with pytest.raises(SimulatorError, match="fault plan"):
        read_rules(text)


# Looking at it


def test_request_log(sim: Sim) -> None:
    """Each request is kept with what became of it, up to the size of the log."""
    sim.platform.set_faults(Rule(fault.Hang(), match=Match(route=Route.DEVICES)))
    sim.ask("POST", f"/pcc/{sim.ids[0]}")
    sim.ask("DELETE", "/pcc/%2e")
    sim.ask("GET", "/devices")
    seen = [
        (one.method, one.route, one.user, one.status, one.code, one.fault, one.answered)
        for one in sim.platform.requests
    ]
    assert seen == [
        ("POST", Route.SUBSCRIBE, "default", 200, None, None, True),
        ("DELETE", Route.UNSUBSCRIBE, "default", 404, "1224", None, True),
        ("GET", Route.DEVICES, "default", 0, None, "hang", False),
    ]
    assert sim.platform.requests[1].path == "/pcc/%2e"
    assert sim.platform.requests[0].headers["x-message-id"] == MESSAGE_ID


def test_duplicate_message_ids(sim: Sim) -> None:
    """Message ids that come more than once within the log are told."""
    for message_id in ("a" * 22, "b" * 22, "a" * 22):
        sim.ask("GET", "/pcc", x_message_id=message_id)
    assert sim.platform.duplicate_message_ids() == {"a" * 22: 2}
    sim.platform.clear_requests()
    assert sim.platform.duplicate_message_ids() == {}
    assert sim.platform.request_count == 0


def test_bounded_log() -> None:
    """The log forgets the oldest, counts all, and can be off."""
    for size, kept in ((2, 2), (0, 0)):
        platform = sample_platform(log_size=size)
        for _ in range(5):
            platform.handle(Request("GET", "/pcc", {"x-message-id": MESSAGE_ID}))
        assert (len(platform.requests), platform.request_count) == (kept, 5)
        assert platform.duplicate_message_ids() == ({MESSAGE_ID: 2} if kept else {})


def test_sample_is_seeded() -> None:
    """Equal seeds make equal fleets, other seeds other ones; ids are 64 hexadecimal digits, types are mixed."""
    one, two, other = (sample_platform({"a": 20}, subscribed=0.5, seed=seed) for seed in (1, 1, 2))
    assert one.world.snapshot().users[0].devices == two.world.snapshot().users[0].devices
    assert one.world.service == two.world.service
    assert one.world.user("a").devices.keys().isdisjoint(other.world.user("a").devices)
    devices = list(one.world.user("a").devices.values())
    assert all(re.fullmatch("[0-9a-f]{64}", device.id) for device in devices)
    assert Counter(device.type for device in devices).keys() >= {
        "DEVICE_OVEN",
        "DEVICE_DRYER",
        "DEVICE_STYLER",
    }
    assert devices[1].alias == "Room 102 fridge"
    assert len(one.subscribed("a")) == 8


def test_losing_subscriptions(sim: Sim) -> None:
    """Subscriptions can be lost by number and by fraction, never more than there are."""
    sim.platform.subscribe("default", *sim.ids)
    assert len(sim.platform.lose("default", count=3)) == 3
    assert len(sim.platform.lose("default", fraction=0.5)) == 4
    assert len(sim.platform.lose("default", count=99)) == 3
    assert sim.platform.subscribed("default") == frozenset()
    assert sim.platform.lose("default", count=1) == []


def test_clock_offset(sim: Sim) -> None:
    """LG's clock can differ from ours, in the envelope and in the header, without touching token lives."""
    sim.platform.set_options(clock_offset=-7200)
    answer = sim.ask("GET", "/pcc")
    assert body(answer)["timestamp"] == "2026-09-21T12:13:20.250000"
    assert ("date", "Mon, 21 Sep 2026 12:13:20 GMT") in answer.headers


def test_tokens_belong_to_one_user(sim: Sim) -> None:
    """No two users can have the same token."""
    world = sim.platform.world
    default = world.user("default")
    with pytest.raises(SimulatorError, match="refresh token"):
        world.add_user("twin", refresh_token=default.refresh_token)
    with pytest.raises(SimulatorError, match="access token"):
        world.issue(world.user("other"), START, next(iter(default.access_tokens)))


def test_removed_user(sim: Sim) -> None:
    """A user who is removed takes devices, ghosts and tokens along, and a namesake begins anew."""
    headers = sim.headers()
    sim.platform.subscribe("default", *sim.ids, "ghost")
    assert len(sim.listed()) == 11
    sim.platform.world.remove_user("default")
    assert sim.platform.world.subscribed == 0
    assert body(sim.platform.handle(Request("GET", "/pcc", headers)))["error"]["code"] == "1218"
    sim.platform.world.add_user("default")
    sim.platform.issue_token("default")
    sim.platform.subscribe("default", "one")
    assert sim.listed() == [{"deviceId": "one"}]


def test_family_device(sim: Sim) -> None:
    """A device can be registered by two users, and each has a subscription of their own."""
    shared = sim.ids[0]
    other = sim.platform.world.user("other")
    sim.platform.world.add_devices(other, [Device(shared)])
    assert [
        outcome(sim.ask("POST", f"/pcc/{shared}", user))[0] for user in ("default", "other")
    ] == [200, 200]
    sim.platform.world.remove_devices(other, [shared], START)
    assert sim.platform.subscribed("other") == frozenset()
    assert sim.platform.subscribed("default") == {shared}
    assert outcome(sim.ask("POST", f"/pcc/{shared}", "other")) == (404, "1212")


def test_unknown_option(sim: Sim) -> None:
    """An option that does not exist, or a value that does not fit, is refused."""
    with pytest.raises(SimulatorError, match="colour"):
        sim.platform.set_options(colour="red")
    with pytest.raises(SimulatorError, match="quota_code"):
        sim.platform.set_options(quota_code="1000")


def test_state_file(tmp_path: Path, sim: Sim) -> None:
    """What is saved comes back the same, readable by its owner only."""
    path = tmp_path / "state.json"
    world = sim.platform.world
    sim.platform.subscribe("default", *sim.ids[:4])
    sim.platform.set_options(quota=17)
    world.revoke_refresh(world.user("other"))
    for _ in range(2):
        save(sim.platform, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    again, options = load(path)
    assert again.snapshot() == world.snapshot()
    assert again.subscribed == 4
    assert options.quota == 17


def test_bad_state_files(tmp_path: Path, sim: Sim) -> None:
    """A state file that cannot be read or written is told with its path."""
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(SimulatorError, match=r"broken\.json: this is not a state file"):
        load(broken)
    with pytest.raises(SimulatorError, match="cannot be read"):
        load(tmp_path)
    with pytest.raises(SimulatorError, match="cannot be written"):
        save(sim.platform, tmp_path / "nowhere" / "state.json")


# The ASGI app and /_sim


def over_asgi(sim: Sim, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """Let a client talk to the app without a socket."""

    async def talk() -> T:
        transport = httpx.ASGITransport(create_app(sim.platform))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://simulator.invalid"
        ) as client:
            return await work(client)

    return going(talk)


def test_pcc_over_asgi(sim: Sim) -> None:
    """The app speaks the protocol, with percent-encoded ids."""
    sim.platform.world.add_devices(sim.platform.world.user("default"), [Device("HW1-ä%")])

    async def work(client: httpx.AsyncClient) -> None:
        client.headers.update(sim.headers())
        made = await client.post("/pcc/HW1-%C3%A4%25")
        assert (made.status_code, made.json()["response"]) == (200, {})
        listed = await client.get("/pcc", params={"ignored": "1"})
        assert listed.json()["response"] == [{"deviceId": "HW1-ä%"}]
        assert listed.headers["content-type"].startswith("application/json")
        assert listed.headers["content-length"] == str(len(listed.content))

    over_asgi(sim, work)
    assert [(one.path, one.query) for one in sim.platform.requests][1] == ("/pcc", "ignored=1")


def test_token_over_asgi(sim: Sim) -> None:
    """The token endpoint reads a form as a client sends it."""
    service, user = sim.platform.world.service, sim.platform.world.user("default")

    async def work(client: httpx.AsyncClient) -> None:
        form = {
            "client_id": service.client_id,
            "grant_type": "refresh_token",
            "refresh_token": str(user.refresh_token),
            "backend_url": service.backend_url,
        }
        assert (await client.post("/emp/v2/token", data=form)).json()["expires_in"] == "3600"

    over_asgi(sim, work)


def test_drop_over_asgi(sim: Sim) -> None:
    """Without a connection to break, a drop is raised to the caller."""
    sim.platform.set_faults(Rule(fault.Drop()))

    async def work(client: httpx.AsyncClient) -> None:
        with pytest.raises(Dropped):
            await client.get("/pcc")

    over_asgi(sim, work)


def test_sim_users(sim: Sim) -> None:
    """Users can be looked at, added, changed and removed."""

    async def work(client: httpx.AsyncClient) -> None:
        overview = (await client.get("/_sim")).json()
        assert overview["what"] == "a simulation of LG's platform, not LG"
        assert overview["devices"] == 13
        assert all(overview["paths"].values())
        added = await client.post(
            "/_sim/users", json={"name": "new", "devices": 5, "access_token": "chosen-token"}
        )
        assert added.json()["access_tokens"][0]["token"] == "chosen-token"
        assert [user["name"] for user in (await client.get("/_sim/users")).json()] == [
            "default",
            "other",
            "new",
        ]
        changed = await client.patch("/_sim/users/new", json={"quota": 3})
        assert (changed.json()["quota"], changed.json()["devices"]) == (3, 5)
        assert (await client.patch("/_sim/users/new", json={"country": "US"})).json()[
            "country"
        ] == "US"
        assert (await client.delete("/_sim/users/new")).json() == {}
        assert (await client.get("/_sim/users/new")).status_code == 404
        given = {"name": "given", "devices": [{"id": "mine", "type": "DEVICE_OVEN"}]}
        assert (await client.post("/_sim/users", json=given)).json()["devices"] == 1

    over_asgi(sim, work)


def test_sim_devices_and_subscriptions(sim: Sim) -> None:
    """Devices and subscriptions can be changed behind the client's back."""

    async def work(client: httpx.AsyncClient) -> None:
        base = "/_sim/users/default"
        added = (
            await client.post(f"{base}/devices", json={"count": 2, "devices": [{"id": "own"}]})
        ).json()
        assert (added["added"], added["ids"][-1]) == (3, "own")
        done = await client.post(f"{base}/subscribe", json={"ids": ["own", "unknown"]})
        assert done.json() == {"subscribed": ["own", "unknown"]}
        assert (
            len((await client.post(f"{base}/subscribe", json={"all": True})).json()["subscribed"])
            == 12
        )
        assert (
            len(
                (await client.post(f"{base}/unsubscribe", json={"count": 4})).json()["unsubscribed"]
            )
            == 4
        )
        assert (
            len(
                (await client.post(f"{base}/unsubscribe", json={"fraction": 0.5})).json()[
                    "unsubscribed"
                ]
            )
            == 5
        )
        listed = (await client.get(f"{base}/subscriptions")).json()
        assert {item["id"] for item in listed} == set(sim.platform.subscribed("default"))
        devices = (await client.get(f"{base}/devices")).json()
        assert {device["id"] for device in devices if device["subscribed"]} <= {
            item["id"] for item in listed
        }
        gone = await client.request("DELETE", f"{base}/devices", json={"ids": ["own", "nothing"]})
        assert gone.json() == {"removed": 1}

    over_asgi(sim, work)


def test_sim_tokens(sim: Sim) -> None:
    """Tokens can be issued, expired and revoked."""

    async def work(client: httpx.AsyncClient) -> None:
        base = "/_sim/users/default"
        token = (await client.post(f"{base}/issue-token")).json()["access_token"]
        assert outcome(sim.ask("GET", "/pcc", authorization=f"Bearer {token}")) == (200, None)
        assert (await client.post(f"{base}/expire-tokens")).json() == {"expired": 2}
        assert outcome(sim.ask("GET", "/pcc")) == (401, "1302")
        assert (await client.post(f"{base}/revoke-tokens")).json() == {"revoked": 2}
        assert outcome(sim.ask("GET", "/pcc", authorization=f"Bearer {token}")) == (400, "1218")
        refresh_token = sim.platform.world.user("default").refresh_token
        await client.post(f"{base}/revoke-refresh-token")
        assert body(sim.refresh(refresh_token=refresh_token)) == {
            "httpError": "401 not allowed refresh_token"
        }

    over_asgi(sim, work)


def test_sim_options_faults_requests(sim: Sim) -> None:
    """Options, faults and the request log are there to set and to see."""

    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.patch("/_sim/options", json={"quota": 1})).json()["quota"] == 1
        assert (await client.get("/_sim/options")).json()["quota"] == 1
        assert [sim.ask("GET", "/pcc").status for _ in range(2)] == [200, 401]
        await client.post("/_sim/users/default/reset-quota")
        assert sim.ask("GET", "/pcc").status == 200
        rule = {"effect": {"kind": "html"}, "name": "down"}
        assert len((await client.put("/_sim/faults", json=[rule])).json()) == 1
        assert len((await client.post("/_sim/faults", json=rule)).json()) == 2
        sim.ask("GET", "/devices")
        assert [one["fired"] for one in (await client.get("/_sim/faults")).json()] == [1, 0]
        assert (await client.delete("/_sim/faults")).json() == []
        seen = (await client.get("/_sim/requests", params={"route": "list", "limit": 2})).json()
        assert (seen["total"], [one["code"] for one in seen["requests"]]) == (3, ["1314", None])
        assert (await client.get("/_sim/requests?fault=html&since=5")).json()["total"] == 1
        assert (await client.get("/_sim/duplicate-message-ids")).json() == {MESSAGE_ID: 4}
        await client.delete("/_sim/requests")
        assert (await client.get("/_sim/requests")).json() == {"total": 0, "requests": []}

    over_asgi(sim, work)


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/_sim/nothing", "", 404),
        ("PUT", "/_sim/users", "", 405),
        ("GET", "/_sim/users/nobody", "", 404),
        ("POST", "/_sim/users", '{"name": "default"}', 400),
        ("POST", "/_sim/users", '{"name": ""}', 400),
        ("POST", "/_sim/users", "{", 400),
        ("POST", "/_sim/users/default/devices", '{"count": -1}', 400),
        ("POST", "/_sim/users/default/devices", '{"devices": [{"id": ""}]}', 400),
        ("POST", "/_sim/users/default/subscribe", "{}", 400),
        ("POST", "/_sim/users/default/unsubscribe", '{"all": true, "count": 1}', 400),
        ("POST", "/_sim/users/default/unsubscribe", '{"fraction": 2}', 400),
        ("PATCH", "/_sim/options", '{"colour": 1}', 400),
        ("PUT", "/_sim/faults", '{"effect": null}', 400),
        ("GET", "/_sim/requests?colour=red", "", 400),
        ("GET", "/_sim/requests?limit=x", "", 400),
    ],
)
def test_sim_errors(sim: Sim, method: str, path: str, content: str, status: int) -> None:
    """What is wrong with a request to /_sim is told in one sentence."""

    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.request(method, path, content=content)
        assert answer.status_code == status
        assert answer.json()["error"]

    over_asgi(sim, work)


# Real sockets


def over_sockets(sim: Sim, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """Let a client talk to the app on a real port."""

    async def talk() -> T:
        async with (
            serving(create_app(sim.platform)) as url,
            httpx.AsyncClient(base_url=url, headers=sim.headers(), timeout=10) as client,
        ):
            return await work(client)

    return going(talk)


def test_real_port(sim: Sim) -> None:
    """The app works behind a real server, on one connection."""

    async def work(client: httpx.AsyncClient) -> None:
        for device in sim.ids:
            assert (await client.post(f"/pcc/{device}")).status_code == 200
        listed = await client.get("/pcc")
        assert len(listed.json()["response"]) == 10
        assert listed.headers.get_list("date") == ["Mon, 21 Sep 2026 14:13:20 GMT"]
        assert "server" not in listed.headers

    over_sockets(sim, work)


def test_real_latency(sim: Sim) -> None:
    """A late answer comes."""
    sim.platform.set_faults(Rule(fault.Latency(0.01)))

    async def work(client: httpx.AsyncClient) -> int:
        return (await client.get("/pcc")).status_code

    assert over_sockets(sim, work) == 200


def test_real_drop(sim: Sim, caplog: pytest.LogCaptureFixture) -> None:
    """A dropped connection breaks before a byte of an answer, done or not done, and the next call goes well."""
    sim.platform.set_faults(Rule(script=(fault.Drop(), fault.Drop(commit=True))))

    async def work(client: httpx.AsyncClient) -> Any:
        for device in sim.ids[:2]:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                await client.post(f"/pcc/{device}")
        return (await client.get("/pcc")).json()["response"]

    assert over_sockets(sim, work) == [{"deviceId": sim.ids[1]}]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_real_hang(sim: Sim, caplog: pytest.LogCaptureFixture) -> None:
    """A hanging request lasts until its client gives up, and leaves the server well."""
    sim.platform.set_faults(Rule(fault.Hang(commit=True), count=1))

    async def work(client: httpx.AsyncClient) -> Any:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(f"/pcc/{sim.ids[0]}", timeout=0.05)
        return (await client.get("/pcc")).json()["response"]

    assert over_sockets(sim, work) == [{"deviceId": sim.ids[0]}]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_real_impatience(sim: Sim) -> None:
    """A client that does not wait for a late answer has had its work done."""
    sim.platform.set_faults(Rule(fault.Latency(60), count=1))

    async def work(client: httpx.AsyncClient) -> Any:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(f"/pcc/{sim.ids[0]}", timeout=0.05)
        return (await client.get("/pcc")).json()["response"]

    assert over_sockets(sim, work) == [{"deviceId": sim.ids[0]}]


def test_client_that_goes_early(sim: Sim) -> None:
    """A request whose body never ends is never seen."""

    async def talk() -> None:
        async with serving(create_app(sim.platform)) as url:
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"POST /pcc/x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    going(talk)
    assert sim.platform.request_count == 0


def test_other_protocols(sim: Sim) -> None:
    """The app serves HTTP and nothing else."""

    async def nothing(*_: object) -> Any:
        pytest.fail("nothing is to be read or sent")

    with pytest.raises(ValueError, match="not websocket"):
        going(lambda: create_app(sim.platform)({"type": "websocket"}, nothing, nothing))


def test_clean_stop_while_hanging(sim: Sim, caplog: pytest.LogCaptureFixture) -> None:
    """The server ends while requests hang or are late; their connections break, and it can serve again."""
    sim.platform.set_faults(
        Rule(fault.Hang(), match=Match(route=Route.LIST)), Rule(fault.Latency(3000))
    )

    async def talk() -> None:
        app = create_app(sim.platform)
        async with httpx.AsyncClient(headers=sim.headers(), timeout=20) as client:
            async with serving(app) as url:
                waiting = [
                    asyncio.create_task(client.get(url + path)) for path in ("/pcc", "/devices")
                ]
                await until(lambda: sim.platform.request_count == 2)
            for ended in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(ended, httpx.TransportError)
            sim.platform.set_faults()
            async with serving(app) as url:
                assert (await client.get(url + "/pcc")).status_code == 200

    going(talk)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_serving_keeps_signals(sim: Sim) -> None:
    """Serving inside another program leaves its signal handlers alone."""

    async def talk() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with serving(create_app(sim.platform)):
            assert [
                signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
            ] == before

    asyncio.run(talk())


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9000", "192.0.2.1:80", "example.com:80", "[::]:9000", ":9000"]
)
def test_loopback_only(listen: str) -> None:
    """The simulator refuses to listen where others could reach it."""
    with pytest.raises(SimulatorError, match="loopback"):
        parse_listen(listen)


def test_listen_addresses() -> None:
    """Loopback addresses in any spelling are taken, other texts are not."""
    assert parse_listen("127.0.0.1:9000") == ("127.0.0.1", 9000)
    assert parse_listen("localhost:0") == ("localhost", 0)
    assert parse_listen("[::1]:80") == ("::1", 80)
    for text in ("127.0.0.1", "127.0.0.1:port", "127.0.0.1:70000"):
        with pytest.raises(SimulatorError, match="HOST:PORT"):
            parse_listen(text)


def test_port_in_use(sim: Sim) -> None:
    """A port that is taken is told in a sentence."""

    async def talk() -> None:
        async with serving(create_app(sim.platform)) as url:
            port = int(url.rpartition(":")[2])
            with pytest.raises(SimulatorError, match="cannot listen"):
                async with serving(create_app(sim.platform), port=port):
                    pass

    going(talk)


# The program


def test_build_from_options(tmp_path: Path) -> None:
    """The options make the fleet; an existing state file stands before them, but not before quota and latency."""
    plan = tmp_path / "faults.json"
    plan.write_text('[{"effect": {"kind": "drop"}}]')
    state = tmp_path / "state.json"
    options = SimulatorOptions(
        users=("a", "b"),
        devices=10,
        subscribed=1.0,
        quota=5,
        faults=plan,
        state=state,
        token_life=60,
        country="US",
    )
    platform = build(options)
    assert [len(user.devices) for user in platform.world.users.values()] == [10, 10]
    assert len(platform.subscribed("a")) == 8
    assert (platform.options.quota, platform.options.token_life) == (5, 60)
    assert len(platform.describe_faults()) == 1
    save(platform, state)
    again = build(SimulatorOptions(users=("c",), state=state, latency=0.5))
    assert list(again.world.users) == ["a", "b"]
    assert (again.options.quota, again.options.latency) == (5, 0.5)
    with pytest.raises(SimulatorError, match="fault plan cannot be read"):
        build(SimulatorOptions(faults=tmp_path / "nothing.json"))


def test_welcome(sim: Sim) -> None:
    """What is said at the start names the thing, its address, its keys, its users, and /_sim."""
    sim.platform.world.revoke_access(sim.platform.world.user("other"))
    for number in range(20):
        sim.platform.world.add_user(f"user-{number}")
    text = welcome(sim.platform, "http://127.0.0.1:9000")
    user = sim.platform.world.user("default")
    assert "a simulation of LG's platform, not LG" in text
    for part in (
        "http://127.0.0.1:9000/_sim",
        "and 12 more users",
        "PCC_BASE_URL=http://127.0.0.1:9000\n",
    ):
        assert part in text
    assert str(user.refresh_token) in text
    assert next(iter(user.access_tokens)) in text
    assert sim.platform.world.service.key in text


def test_welcome_has_all_settings_of_the_account_default(sim: Sim) -> None:
    """What is to be pasted makes the account ``default`` whole; where no user has that name it is the service alone."""

    def settings() -> dict[str, str]:
        return dict(re.findall(r"(PCC_\w+)=(\S+)", welcome(sim.platform, "http://127.0.0.1:9000")))

    user = sim.platform.world.user("default")
    assert (
        settings().items()
        >= {"PCC_COUNTRY": user.country, "PCC_REFRESH_TOKEN": user.refresh_token}.items()
    )
    sim.platform.world.revoke_refresh(user)
    assert not settings().keys() & {"PCC_REFRESH_TOKEN"}
    sim.platform.world.remove_user("default")
    assert not settings().keys() & {"PCC_COUNTRY", "PCC_REFRESH_TOKEN"}


@pytest.mark.parametrize("keep", [True, False])
def test_run(tmp_path: Path, keep: bool) -> None:  # noqa: FBT001  a test's parameter
    """The program says where it is, serves until a signal, and keeps its state where it was told to."""
    state = tmp_path / "state.json" if keep else None
    said: list[str] = []

    async def talk() -> int:
        program = asyncio.create_task(
            run(SimulatorOptions(listen="127.0.0.1:0", state=state), say=said.append)
        )
        await until(lambda: bool(said))
        address = re.search(r"PCC_BASE_URL=(\S+)", said[0])
        assert address is not None
        async with httpx.AsyncClient(base_url=address[1]) as client:
            done = await client.post("/_sim/users/default/subscribe", json={"all": True})
        os.kill(os.getpid(), signal.SIGTERM)
        await program
        return len(done.json()["subscribed"])

    assert going(talk) == 20
    if state is not None:
        assert load(state)[0].subscribed == 20


# Properties


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(("POST", "DELETE"))), max_size=60))
def test_list_equals_history(steps: list[tuple[int, str]]) -> None:
    """Whatever is asked, the list is what confirmed changes make of it, and old lists can be told from the journal."""
    sim = Sim()
    expected: set[str] = set()
    past: list[tuple[float, set[str]]] = []
    for number, method in steps:
        device = sim.ids[number]
        if sim.ask(method, f"/pcc/{device}").status == 200:
            (expected.add if method == "POST" else expected.discard)(device)
        past.append((sim.time.now, set(expected)))
        sim.time.now += 1
    assert {item["deviceId"] for item in sim.listed()} == expected
    user = sim.platform.world.user("default")
    for at, was in past:
        assert set(user.subscriptions_at(at)) == was
    assert sim.platform.world.subscribed == len(expected)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(("GET", "POST", "DELETE", "PUT", "HEAD")),
    st.one_of(
        st.sampled_from(("/pcc", "/devices", "/emp/v2/token")),
        st.text().map("/pcc/{}".format),
        st.text(),
    ),
    st.dictionaries(
        st.sampled_from(
            ("x-message-id", "x-country-code", "x-service-id", "authorization", "content-type")
        ),
        st.text(),
    ),
    st.binary(),
)
def test_any_request_is_answered(
    method: str, path: str, headers: dict[str, str], content: bytes
) -> None:
    """Nothing that can come in makes the platform fail."""
    sim = Sim()
    for sent in (headers, sim.headers() | headers):
        assert 200 <= sim.platform.handle(Request(method, path, sent, content)).status < 500
    assert len(sim.platform.requests) == 2


def test_sample_devices_go_on() -> None:
    """Devices are numbered, so that a fleet can grow without changing."""
    assert sample_devices(1, "a", 20) == [
        *sample_devices(1, "a", 12),
        *sample_devices(1, "a", 8, first=12),
    ]


# The documentation


PAGE = (Path(__file__).parent.parent.parent / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_page_names_everything() -> None:
    """The page explains every option, effect, field of an effect, route and filter."""
    words = {
        name
        for effect in get_args(fault.Effect)
        for name in (effect.__struct_config__.tag, *effect.__struct_fields__)
    }
    words |= {*Options.__struct_fields__, *Rule.__struct_fields__, *Match.__struct_fields__, *Route}
    assert {word for word in words - {"name"} if f"`{word}`" not in PAGE} == set()


def test_page_examples() -> None:
    """The fault plans on the page are valid, and its calls to /_sim reach a path that exists."""
    plans = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    plans += re.findall(r"-X PUT \$SIM/faults -d '(.*?)'", PAGE)
    plans = [plan for plan in plans if "messageId" not in plan]  # that is an event, no plan
    assert all(read_rules(plan) for plan in plans)
    platform = sample_platform({"default": 20, "busan-hotel": 1}, subscribed=1.0)
    control = Control(platform, Sender(Callbacks(platform), Target.of("http://127.0.0.1:1/")))
    calls = re.findall(
        r'^curl -s (?:-X (\w+) )?"?\$SIM([^\s"]*)"?(?: -d \'(.*?)\')?', PAGE, re.MULTILINE
    )
    assert len(calls) > 15
    for method, target, content in calls:
        path, _, query = target.partition("?")
        known = Request(
            method or ("POST" if content else "GET"), f"/_sim{path}", {}, content.encode(), query
        )
        answer = control.handle(known)
        if "busan-hotel" not in content:  # there already, for the call that removes it
            assert answer.status == 200, (known, answer.body)
