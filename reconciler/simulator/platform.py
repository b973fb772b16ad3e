"""LG's platform as a state machine: a request comes in, an answer goes out.

Owns: the protocol. Which checks a request passes, in which order, what a right answer looks like, what a fault does to
it, and which requests were seen.
Must not: do I/O, sleep, or read any clock or randomness but those it was given.

It is written from a reading of LG's published pages of its own, and shares no code with the reconciler, so that one
misreading cannot be on both sides.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from random import Random
from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote

import msgspec

from reconciler.simulator import faults
from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.event_faults import EventEffect
from reconciler.simulator.faults import FaultPlan, Route, Rule, Sought, Verdict
from reconciler.simulator.wire import Answer, Request, json_answer, page, refusal, success
from reconciler.simulator.world import (
    HOUR,
    PCC_TYPES,
    Device,
    Service,
    User,
    World,
    made_up,
    service_of,
)

__all__ = ["Options", "Platform", "Record"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What LG's pages leave open or what differs between deployments. Each is explained in ``docs/simulator.md``."""

    empty_list: Literal["[]", "null", "{}", "missing"] = "[]"
    empty_success: Literal["{}", "null", "missing"] = "{}"
    already_subscribed: Literal["1207", "accept"] = "1207"
    not_subscribed: Literal["1206", "1204", "accept"] = "1206"
    strict_message_id: bool = True
    unknown_devices: Literal["refuse", "accept"] = "refuse"
    unknown_device_code: Literal["1205", "1213", "1211", "1210"] = "1205"
    allowed_types: tuple[str, ...] = (*PCC_TYPES, "DEVICE_DRYER", "DEVICE_AIR_CONDITIONER")
    pcc_types: tuple[str, ...] = PCC_TYPES
    countries: tuple[str, ...] | None = None
    quota: int | None = None
    quota_code: Literal["1314", "1306", "429"] = "1314"
    quota_window: Literal["rolling", "fixed"] = "rolling"
    quota_counts_refused: bool = False
    quota_retry_after: str | None = None
    subscription_cap: int | None = None
    token_life: float = HOUR
    token_errors_in_200: bool = True
    rotate_refresh_tokens: bool = False
    require_backend_url: bool = False
    latency: float = 0.0
    clock_offset: float = 0.0
    events_per_hour: float = 0.0
    callback_attempts: int = 5
    callback_retry: float = 10.0
    callback_retry_message_id: Literal["same", "new"] = "same"
    callback_gives_up_after: int | None = None
    callback_timeout: float = 10.0
    callback_headers: bool = False

    def __post_init__(self) -> None:
        if self.events_per_hour < 0 or self.callback_retry < 0:
            raise ValueError("events_per_hour and callback_retry must not be negative")
        limit = self.callback_gives_up_after
        if self.callback_attempts < 1 or (limit is not None and limit < 1):
            raise ValueError("callback_attempts and callback_gives_up_after have to be at least 1")
        if self.callback_timeout <= 0:
            raise ValueError("callback_timeout has to be more than 0")


@dataclass(frozen=True, slots=True)
class Record:
    """One request that was seen, and what became of it. ``fault`` names the effect that befell it."""

    at: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    route: Route
    user: str | None
    device: str | None
    message_id: str | None
    status: int
    code: str | None
    fault: str | None
    answered: bool


class _Item(msgspec.Struct, rename="camel", gc=False):
    """One item of a list; a dictionary in its place would double the time that a million of them take."""

    device_id: str


class _Refused(Exception):
    def __init__(self, code: str) -> None:
        self.code = code


@dataclass(slots=True)
class _Call:
    """One request on its way through the checks. ``at`` is LG's time, ``now`` the true one."""

    request: Request
    route: Route
    now: float
    at: float
    message_id: str
    bearer: str | None = None
    user: User | None = None
    device: str | None = None


@dataclass(slots=True)
class _Log:
    """The last requests, and which message ids among them came more than once."""

    size: int
    records: deque[Record] = field(default_factory=deque)
    total: int = 0
    _ids: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        self.total += 1
        if not self.size:
            return
        if len(self.records) >= self.size:
            old = self.records.popleft().message_id
            if old is not None:
                self._ids[old] -= 1
                if not self._ids[old]:
                    del self._ids[old]
        self.records.append(record)
        if record.message_id is not None:
            self._ids[record.message_id] += 1

    def clear(self) -> None:
        self.records.clear()
        self._ids.clear()
        self.total = 0

    def duplicates(self) -> dict[str, int]:
        return {message_id: times for message_id, times in self._ids.items() if times > 1}


_TOKEN_PATH: Final = "/emp/v2/token"  # noqa: S105  a path
_STRICT_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_LENIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,22}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_BEARER: Final = re.compile(r"Bearer ([A-Za-z0-9._~+/-]{8,4096}=*)")
_REQUIRED: Final = (
    "authorization",
    "x-country-code",
    "x-message-id",
    "x-service-id",
    "x-service-key",
)
_DEVICE_ID_LIMIT: Final = 256
_ALLOWED: Final = {"/pcc": "GET", "/devices": "GET", _TOKEN_PATH: "POST"}


class Platform:
    """The simulated platform: ask it with ``handle``, steer it through ``world``, ``options`` and ``faults``.

    ``now`` gives epoch seconds. ``log_size`` bounds the kept requests; 0 keeps none. Equal seeds, requests and times
    give equal answers.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        options: Options | None = None,
        now: Callable[[], float] = time.time,
        service: Service | None = None,
        world: World | None = None,
        log_size: int = 10_000,
    ) -> None:
        self.world = world or World(service or service_of(seed), seed)
        self.options = options or Options()
        self.now = now
        self.random = Random(seed)
        self._faults = FaultPlan()
        self._log = _Log(log_size)
        self._lists: dict[str, tuple[int, bytes]] = {}
        self._date = (-1, "")

    # Looking and steering

    @property
    def requests(self) -> Sequence[Record]:
        """The requests seen, oldest first, as far back as the log goes."""
        return self._log.records

    @property
    def request_count(self) -> int:
        """How many requests were seen since the log was last cleared, also those it no longer holds."""
        return self._log.total

    def duplicate_message_ids(self) -> dict[str, int]:
        """Return the message ids in the log that came more than once, and how often."""
        return self._log.duplicates()

    def clear_requests(self) -> None:
        """Forget the requests seen."""
        self._log.clear()

    def set_faults(self, *rules: Rule) -> None:
        """Put these rules in place of all others; none means that all goes well."""
        self._faults.set(rules, self.now())

    def add_fault(self, rule: Rule) -> None:
        """Append one rule to those in force."""
        self._faults.add(rule, self.now())

    def describe_faults(self) -> list[dict[str, Any]]:
        """Return the rules in force, with what each has seen and done."""
        return self._faults.describe()

    def set_options(self, **changes: Any) -> Options:
        """Change some options. An unknown name or a value that does not fit is a ``SimulatorError``."""
        try:
            self.options = msgspec.convert(
                {**msgspec.structs.asdict(self.options), **changes}, Options
            )
        except msgspec.ValidationError as error:
            raise SimulatorError(f"options: {error}") from error
        self.world.changes += 1
        return self.options

    def choose_for_event(self, user: str, device: str, random: Random) -> list[EventEffect]:
        """Return the effects of those rules that fire for an event of a user's device."""
        return self._faults.choose_for_event(user, device, self.now(), random)

    def issue_token(self, user: str) -> str:
        """Give a user one more access token, good for as long as the options say, and return it."""
        return self.world.issue(self.world.user(user), self.now() + self.options.token_life)

    def subscribed(self, user: str) -> frozenset[str]:
        """Return the live list of a user."""
        self.world.settle(self.now())
        return frozenset(self.world.user(user).subscriptions)

    def subscribe(self, user: str, *devices: str) -> list[str]:
        """Subscribe devices behind the client's back. Return those that were not subscribed before.

        One that nobody has becomes an appliance of this user's: what is subscribed can be unsubscribed again.
        """
        owner, now = self.world.user(user), self.now()
        self.world.add_devices(
            owner, (Device(one) for one in devices if one and not self.world.owned_by_anyone(one))
        )
        return [device for device in devices if self.world.subscribe(owner, device, now)]

    def unsubscribe(self, user: str, *devices: str) -> list[str]:
        """Unsubscribe devices behind the client's back. Return those that were subscribed before."""
        owner, now = self.world.user(user), self.now()
        return [device for device in devices if self.world.unsubscribe(owner, device, now)]

    def lose(
        self, user: str, *, count: int | None = None, fraction: float | None = None
    ) -> list[str]:
        """Lose random subscriptions: a number, or a fraction, rounded. Return their ids."""
        return self.unsubscribe(
            user, *self.pick(list(self.world.user(user).subscriptions), count, fraction)
        )

    def pick(
        self, candidates: Sequence[str], count: int | None = None, fraction: float | None = None
    ) -> list[str]:
        """Pick some of the candidates at random: a number of them, a fraction, or by default all."""
        if count is None and fraction is None:
            return list(candidates)
        wanted = count if count is not None else round(len(candidates) * (fraction or 0.0))
        return self.random.sample(candidates, min(wanted, len(candidates)))

    # The protocol

    def handle(self, request: Request) -> Answer:
        """Do what a request asks, as far as the platform lets it, and return the answer."""
        now = self.now()
        self.world.settle(now)
        call = self._read(request, now)
        verdict = self._verdict(call)
        answer = self._finish(self._act(call, verdict), verdict, now)
        self._log.add(_record(call, verdict, answer))
        return answer

    def _read(self, request: Request, now: float) -> _Call:
        route, device = _route(request.method, request.path)
        headers = request.headers
        message_id = headers.get("x-message-id") or made_up(
            self.world.seed, "message", self._log.total, digits=22
        )
        call = _Call(
            request, route, now, now + self.options.clock_offset, message_id, device=device
        )
        bearer = _BEARER.fullmatch(headers.get("authorization", ""))
        if bearer is not None:
            call.bearer = bearer[1]
            call.user = self.world.by_access_token(bearer[1])
        elif route is Route.TOKEN:
            call.user = self.world.by_refresh_token(_form(request).get("refresh_token", ""))
        return call

    def _verdict(self, call: _Call) -> Verdict:
        user = call.user.name if call.user is not None else None
        return self._faults.choose(
            Sought(call.request.method, call.route, user, call.device), call.now, self.random
        )

    def _act(self, call: _Call, verdict: Verdict) -> Answer:
        effect = verdict.effect
        if effect is None:
            return self._serve(call, None)
        if isinstance(effect, faults.Instead):
            if not isinstance(effect, faults.Redirect) and effect.commit:
                self._serve(call, None)
            return _instead(effect, call)
        answer = self._serve(call, effect)
        if isinstance(effect, faults.Cut):
            return replace(answer, body=answer.body[: int(len(answer.body) * effect.keep)])
        return answer

    def _finish(self, answer: Answer, verdict: Verdict, now: float) -> Answer:
        """Add what every answer has: LG's date, and how late it is."""
        second = int(now + self.options.clock_offset)
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return Answer(
            answer.status,
            (("date", self._date[1]), *answer.headers),
            answer.body,
            self.options.latency + verdict.delay_seconds,
            answer.never,
            answer.drop,
            answer.code,
        )

    def _serve(self, call: _Call, effect: faults.Spoiled | None) -> Answer:
        """Answer a request that reaches the platform."""
        if call.route is Route.TOKEN:
            return self._token(call)
        if call.route is Route.NONE:
            return _nowhere(call.request)
        try:
            user = self._authenticate(call)
            self._charge(user, call.now)
            return self._work(call, user, effect)
        except _Refused as refused:
            if refused.code in {"1314", "1306", "429"}:
                return self._throttle(refused.code, call)
            return refusal(refused.code, call.message_id, call.at)

    def _authenticate(self, call: _Call) -> User:
        """Check the headers, in the order in which a gateway would, and return whose request it is."""
        headers = call.request.headers
        options = self.options
        if any(not headers.get(name) for name in _REQUIRED):
            raise _Refused("1101")
        if not (_STRICT_ID if options.strict_message_id else _LENIENT_ID).fullmatch(
            headers["x-message-id"]
        ):
            raise _Refused("1104")
        country = headers["x-country-code"]
        if not _COUNTRY.fullmatch(country) or (
            options.countries is not None and country not in options.countries
        ):
            raise _Refused("1307")
        service = self.world.service
        if headers["x-service-id"] != service.id:
            raise _Refused("1203")
        if headers["x-service-key"] != service.key:
            raise _Refused("1301")
        if call.bearer is None:
            raise _Refused("1103")
        user = call.user
        if user is None:
            raise _Refused("1218")
        if user.access_tokens[call.bearer] <= call.now:
            raise _Refused("1302")
        if user.country is not None and user.country != country:
            raise _Refused("1307")
        return user

    def _charge(self, user: User, now: float) -> None:
        """Count one call against the user's hour."""
        quota = user.quota if user.quota is not None else self.options.quota
        if quota is None:
            return
        rolling = self.options.quota_window == "rolling"
        start = math.nextafter(now - HOUR, math.inf) if rolling else now // HOUR * HOUR
        full = user.calls_since(start) >= quota
        if not full or self.options.quota_counts_refused:
            user.calls.append(now)
        if full:
            raise _Refused(self.options.quota_code)

    def _throttle(self, code: str, call: _Call) -> Answer:
        answer = Answer(429, ()) if code == "429" else refusal(code, call.message_id, call.at)
        return _with_retry_after(answer, self.options.quota_retry_after)

    def _work(self, call: _Call, user: User, effect: faults.Spoiled | None) -> Answer:
        if call.route is Route.LIST:
            response: bytes | str = self._list(user, effect, call.now)
        elif call.route is Route.DEVICES:
            response = self._devices(user, effect)
        else:
            device = _checked(call.device)
            if call.route is Route.SUBSCRIBE:
                self._subscribe(user, device, call.now)
                if isinstance(effect, faults.Lost):
                    self.world.lose_later(user, device, call.now + effect.after)
            else:
                self._unsubscribe(user, device, call.now)
            response = (
                effect.form if isinstance(effect, faults.Response) else self.options.empty_success
            )
        return Answer(body=success(call.message_id, call.at, response))

    def _subscribe(self, user: User, device: str, now: float) -> None:
        options = self.options
        known = user.devices.get(device)
        if known is None:
            self._check_unknown(device)
        elif known.type not in options.allowed_types:
            raise _Refused("1221")
        elif known.type not in options.pcc_types:
            raise _Refused("1214")
        if device in user.subscriptions:
            if options.already_subscribed != "accept":
                raise _Refused(options.already_subscribed)
            return
        if (
            options.subscription_cap is not None
            and self.world.subscribed >= options.subscription_cap
        ):
            raise _Refused("1312")
        self.world.subscribe(user, device, now)

    def _unsubscribe(self, user: User, device: str, now: float) -> None:
        if device not in user.devices:
            self._check_unknown(device)
        if (
            not self.world.unsubscribe(user, device, now)
            and self.options.not_subscribed != "accept"
        ):
            raise _Refused(self.options.not_subscribed)

    def _check_unknown(self, device: str) -> None:
        """Refuse a device that the user has not registered, unless any device will do."""
        if self.world.owned_by_anyone(device):
            raise _Refused("1212")
        if self.options.unknown_devices == "refuse":
            raise _Refused(self.options.unknown_device_code)

    def _list(self, user: User, effect: faults.Spoiled | None, now: float) -> bytes | str:
        """Return the live list as JSON, encoded anew only when it changed."""
        if isinstance(effect, faults.Contradict):
            return self._items([{"deviceId": one} for one in _otherwise(user, effect)], None)
        if effect is not None:
            age = effect.seconds if isinstance(effect, faults.Stale) else 0.0
            return self._items(
                [{"deviceId": device} for device in user.subscriptions_at(now - age)], effect
            )
        if not user.subscriptions:
            return self.options.empty_list
        known = self._lists.get(user.name)
        if known is None or known[0] != user.revision:
            known = (
                user.revision,
                msgspec.json.encode([_Item(device) for device in user.subscriptions]),
            )
            self._lists[user.name] = known
        return known[1]

    def _devices(self, user: User, effect: faults.Spoiled | None) -> bytes | str:
        return self._items(
            [
                {
                    "deviceId": device.id,
                    "deviceInfo": {
                        "deviceType": device.type,
                        "modelName": device.model,
                        "alias": device.alias,
                        "reportable": True,
                    },
                }
                for device in user.devices.values()
                if device.type in self.options.allowed_types
            ],
            effect,
        )

    def _items(self, items: list[Any], effect: faults.Spoiled | None) -> bytes | str:
        if isinstance(effect, faults.Response):
            return effect.form
        if isinstance(effect, faults.Short):
            omit = (
                effect.omit
                if effect.omit is not None
                else len(items) - int(len(items) * (effect.keep or 0.0))
            )
            gone = set(self.random.sample(range(len(items)), min(omit, len(items))))
            items = [item for number, item in enumerate(items) if number not in gone]
        if isinstance(effect, faults.Mangle):
            _mangle(items, effect.how, self.random)
        return msgspec.json.encode(items) if items else self.options.empty_list

    # The token endpoint

    def _token(self, call: _Call) -> Answer:
        """Answer a refresh. Unlike the API it reads a form, and reports errors inside a 200 by default."""
        form = _form(call.request)
        required = ["client_id", "grant_type", "refresh_token"]
        if self.options.require_backend_url:
            required.insert(1, "backend_url")
        for name in required:
            if not form.get(name):
                return self._token_error(412, f"required {name}")
        if form["client_id"] != self.world.service.client_id:
            return self._token_error(401, "not allowed client_id")
        if form["grant_type"] != "refresh_token":
            return self._token_error(412, "not supported grant_type")
        user = self.world.by_refresh_token(form["refresh_token"])
        if user is None:
            return self._token_error(401, "not allowed refresh_token")
        life = self.options.token_life
        granted = {
            "access_token": self.world.issue(user, call.now + life),
            "expires_in": str(int(life)),
        }
        if self.options.rotate_refresh_tokens:
            granted["refresh_token"] = self.world.rotate_refresh(user)
        return json_answer(granted)

    def _token_error(self, status: int, words: str) -> Answer:
        return json_answer(
            {"httpError": f"{status} {words}"}, 200 if self.options.token_errors_in_200 else status
        )


def _route(method: str, path: str) -> tuple[Route, str | None]:
    """Tell what a request wants and for which device; an id that cannot be read is an empty one."""
    if path.startswith("/pcc/") and len(path) > len("/pcc/"):
        segment = path[len("/pcc/") :]
        if "/" in segment or method not in {"POST", "DELETE"}:
            return Route.NONE, None
        try:
            device = unquote(segment, errors="strict")
        except UnicodeDecodeError:
            device = ""
        return (Route.SUBSCRIBE if method == "POST" else Route.UNSUBSCRIBE), device
    bare = path.removesuffix("/")
    if _ALLOWED.get(bare) != method:
        return Route.NONE, None
    return {"/pcc": Route.LIST, "/devices": Route.DEVICES, _TOKEN_PATH: Route.TOKEN}[bare], None


def _nowhere(request: Request) -> Answer:
    """Answer what the platform has not: a gateway's page, as 405 where the path is right and the method is not.

    An empty device id ends here too: ``DELETE /pcc/`` must never mean all devices.
    """
    allowed = _ALLOWED.get(request.path.removesuffix("/"))
    if re.fullmatch("/pcc/[^/]+", request.path):
        allowed = "POST, DELETE"
    if allowed is None:
        return page(404, "Not Found")
    answer = page(405, "Method Not Allowed")
    return replace(answer, headers=(*answer.headers, ("allow", allowed)))


def _checked(device: str | None) -> str:
    """Return a device id that can be one."""
    if (
        not device
        or len(device) > _DEVICE_ID_LIMIT
        or not device.isprintable()
        or device in {".", ".."}
    ):
        raise _Refused("1224")
    if (
        " " in device or "/" in device
    ):  # the only white space that counts as printable, and the one path separator
        raise _Refused("1224")
    return device


def _form(request: Request) -> dict[str, str]:
    """Read a form; a body of another content type has no fields."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    fields = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _instead(effect: faults.Instead, call: _Call) -> Answer:
    """Return the answer that a fault gives in place of the right one."""
    match effect:
        case faults.Html(status=status):
            words = {200: "Maintenance", 503: "Service Unavailable"}.get(status, "Bad Gateway")
            answer = _with_retry_after(page(status, words), effect.retry_after)
        case faults.Empty(status=status):
            answer = _with_retry_after(Answer(status, ()), effect.retry_after)
        case faults.Hang():
            answer = Answer(0, (), never=True)
        case faults.Drop():
            answer = Answer(0, (), drop=True)
        case faults.Error(code=code, status=error_status, message=message):
            refused = refusal(code, call.message_id, call.at, status=error_status, message=message)
            answer = _with_retry_after(refused, effect.retry_after)
        case faults.Echo():
            answer = _echo(effect, call)
        case faults.Raw(body=body, status=status, content_type=kind):
            answer = Answer(status, (("content-type", kind),), body.encode())
        case _:
            answer = Answer(effect.status, (("location", effect.location),))
    return answer


def _echo(effect: faults.Echo, call: _Call) -> Answer:
    """Return an error that repeats what was sent."""
    request = call.request
    names = sorted(request.headers, key=_most_secret_first)
    headers = " ".join(f"{name}={request.headers[name]}" for name in names)
    words = f"{request.method} {request.path} {headers} {request.body.decode('utf-8', 'replace')}"
    match effect.form:
        case "envelope":
            return refusal(
                effect.code, call.message_id, call.at, status=effect.status, message=words
            )
        case "page":
            return page(502 if effect.status is None else effect.status, words)
        case "token":
            status = 200 if effect.status is None else effect.status
            return json_answer({"httpError": f"401 {words}"}, status)


def _most_secret_first(header: str) -> tuple[bool, bool, str]:
    """Sort headers so that what is secret survives where the words are truncated."""
    return header != "authorization", not header.startswith("x-"), header


def _otherwise(user: User, effect: faults.Contradict) -> list[str]:
    """Return the devices of a list that contradicts the calls; chance has no part in which they are."""
    listed = [device for device in user.subscriptions if _place(device) >= effect.hidden]
    others = (device for device in user.devices if device not in user.subscriptions)
    return [*listed, *(device for device in others if _place(device) < effect.shown)]


def _place(device: str) -> float:
    """Return a number from 0 to 1 that a device always has."""
    return int(made_up("place", device, digits=8), 16) / 16**8


def _with_retry_after(answer: Answer, retry_after: str | None) -> Answer:
    if retry_after is None:
        return answer
    return replace(answer, headers=(*answer.headers, ("retry-after", retry_after)))


def _mangle(items: list[Any], how: str, random: Random) -> None:
    """Spoil one item, or add one where there is none."""
    if not items:
        items.append({"deviceId": made_up("mangled")})
    place = random.randrange(len(items))
    good = items[place]
    if how == "twice":
        items.append(good)
        return
    others = {key: value for key, value in good.items() if key != "deviceId"}
    items[place] = {
        "no-id": others,
        "number-id": {"deviceId": 1284101485, **others},
        "null-id": {"deviceId": None, **others},
        "empty-id": {"deviceId": "", **others},
        "null-item": None,
        "string-item": good["deviceId"],
    }[how]


def _record(call: _Call, verdict: Verdict, answer: Answer) -> Record:
    request = call.request
    return Record(
        at=call.now,
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        route=call.route,
        user=call.user.name if call.user is not None else None,
        device=call.device,
        message_id=request.headers.get("x-message-id"),
        status=answer.status,
        code=answer.code,
        fault=None if verdict.effect is None else str(verdict.effect.__struct_config__.tag),
        answered=not (answer.never or answer.drop),
    )
