"""The ``/_sim`` API: look at the simulated platform and change it behind its clients' backs.

Owns: the paths under ``/_sim`` and the JSON that goes in and out. Each is described in ``docs/simulator.md``.
Must not: hold any state, or do what the platform itself cannot do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote

import msgspec

from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.event_control import EventControl, NewEvents
from reconciler.simulator.faults import read_rules
from reconciler.simulator.platform import Platform, Record
from reconciler.simulator.sender import Sender
from reconciler.simulator.wire import Answer, Request, json_answer
from reconciler.simulator.world import Device, User, sample_devices

PREFIX: Final = "/_sim"
WHAT: Final = "a simulation of LG's platform, not LG"

_Body = TypeVar("_Body", bound=msgspec.Struct)


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_sim/users``."""

    name: str
    country: str | None = None
    quota: int | None = None
    refresh_token: str | None = None
    access_token: str | None = None
    devices: int | list[Device] = 0


class UserChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``PATCH /_sim/users/{user}``: what is left out stays."""

    country: str | msgspec.UnsetType | None = msgspec.UNSET
    quota: int | msgspec.UnsetType | None = msgspec.UNSET


class NewDevices(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``POST /_sim/users/{user}/devices``: made-up ones by number, or given ones."""

    count: int = 0
    devices: list[Device] = msgspec.field(default_factory=list)


class GoneDevices(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``DELETE /_sim/users/{user}/devices``."""

    ids: list[str]
    keep_subscriptions: bool = False


class Which(msgspec.Struct, forbid_unknown_fields=True):
    """Which devices: by id, all of them, or a random number or fraction."""

    ids: list[str] | None = None
    all: bool = False
    count: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        if [
            self.ids is not None,
            self.all,
            self.count is not None,
            self.fraction is not None,
        ].count(True) != 1:
            raise ValueError("exactly one of ids, all, count and fraction is needed")
        if (self.count or 0) < 0 or not 0 <= (self.fraction or 0) <= 1:
            raise ValueError("count must not be negative, and fraction lies between 0 and 1")


class Control:
    """The ``/_sim`` API of one platform, as requests and answers."""

    def __init__(self, platform: Platform, sender: Sender | None = None) -> None:
        self._platform = platform
        self._world = platform.world
        self._sender = sender
        self._events = EventControl(None if sender is None else sender.callbacks)

    def handle(self, request: Request) -> Answer:
        """Answer one request under ``/_sim``; the answer to a wrong one is ``{"error": …}``."""
        path = request.path.removeprefix(PREFIX).rstrip("/")
        self._world.settle(self._platform.now())
        allowed = []
        for method, pattern, act in _ROUTES:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            allowed.append(method)
            if method == request.method:
                try:
                    return json_answer(act(self, request, *map(unquote, found.groups())))
                except SimulatorError as error:
                    status = 404 if str(error).startswith("there is no ") else 400
                    return json_answer({"error": str(error)}, status)
        if allowed:
            return json_answer({"error": f"{path or '/'} takes {', '.join(allowed)}"}, 405)
        return json_answer({"error": f"there is no {PREFIX}{path}; see GET {PREFIX}"}, 404)

    # Looking

    def overview(self, _request: Request) -> Any:
        """Tell what this is, the service and its keys, all counts, the options, and these paths."""
        platform = self._platform
        service = self._world.service
        return {
            "what": WHAT,
            "seed": self._world.seed,
            "now": platform.now(),
            "service": {
                "service_id": service.id,
                "service_key": service.key,
                "client_id": service.client_id,
                "backend_url": service.backend_url,
                "token_path": "/emp/v2/token",
            },
            "users": len(self._world.users),
            "devices": sum(len(user.devices) for user in self._world.users.values()),
            "subscriptions": self._world.subscribed,
            "requests": platform.request_count,
            "duplicate_message_ids": len(platform.duplicate_message_ids()),
            "faults": len(platform.describe_faults()),
            "options": platform.options,
            "paths": {
                f"{method} {PREFIX}{pattern.pattern.replace('([^/]+)', '{user}')}": act.__doc__
                for method, pattern, act in _ROUTES
            },
        }

    def users(self, _request: Request) -> Any:
        """List all users with their tokens and counts."""
        return [self._described(user) for user in self._world.users.values()]

    def user(self, _request: Request, name: str) -> Any:
        """Show one user."""
        return self._described(self._world.user(name))

    def devices(self, _request: Request, name: str) -> Any:
        """List the appliances of a user, and whether each is subscribed."""
        user = self._world.user(name)
        return [
            {**msgspec.structs.asdict(device), "subscribed": device.id in user.subscriptions}
            for device in user.devices.values()
        ]

    def subscriptions(self, _request: Request, name: str) -> Any:
        """Show the live list of a user, and since when each device is in it."""
        user = self._world.user(name)
        return [{"id": device, "since": since} for device, since in user.subscriptions.items()]

    def requests(self, request: Request) -> Any:
        """List the requests seen, oldest first: the last ``limit`` (100) of those that the filters let through."""
        wanted = {name: values[-1] for name, values in parse_qs(request.query).items()}
        limit = _number(wanted.pop("limit", "100"))
        since = _number(wanted.pop("since", "0"))
        unknown = wanted.keys() - _FILTERS
        if unknown:
            raise SimulatorError(f"requests cannot be filtered by {', '.join(sorted(unknown))}")
        found = [
            record
            for record in self._platform.requests
            if record.at >= since
            and all(str(getattr(record, name)) == value for name, value in wanted.items())
        ]
        return {"total": len(found), "requests": found[-int(limit) :] if limit else []}

    def duplicates(self, _request: Request) -> Any:
        """List the message ids that came more than once, and how often."""
        return self._platform.duplicate_message_ids()

    # Changing

    def clear_requests(self, _request: Request) -> Any:
        """Forget the requests seen."""
        self._platform.clear_requests()
        return {}

    def add_user(self, request: Request) -> Any:
        """Add a user with a refresh token and an access token."""
        body = _read(request, NewUser)
        user = self._world.add_user(
            body.name, country=body.country, quota=body.quota, refresh_token=body.refresh_token
        )
        self._world.issue(
            user, self._platform.now() + self._platform.options.token_life, body.access_token
        )
        devices = self._fresh(user, body.devices) if isinstance(body.devices, int) else body.devices
        self._world.add_devices(user, devices)
        return self._described(user)

    def change_user(self, request: Request, name: str) -> Any:
        """Change the country or the hourly quota of a user."""
        user = self._world.user(name)
        body = _read(request, UserChange)
        if body.country is not msgspec.UNSET:
            user.country = body.country
        if body.quota is not msgspec.UNSET:
            user.quota = body.quota
        self._world.changes += 1
        return self._described(user)

    def remove_user(self, _request: Request, name: str) -> Any:
        """Remove a user with everything that belongs to them."""
        self._world.remove_user(name)
        return {}

    def add_devices(self, request: Request, name: str) -> Any:
        """Register appliances: a number of made-up ones, or given ones."""
        user = self._world.user(name)
        body = _read(request, NewDevices)
        made = [*self._fresh(user, body.count), *body.devices]
        return {"added": self._world.add_devices(user, made), "ids": [device.id for device in made]}

    def remove_devices(self, request: Request, name: str) -> Any:
        """Unregister appliances, and their subscriptions unless these are kept."""
        user = self._world.user(name)
        body = _read(request, GoneDevices)
        now = self._platform.now()
        return {
            "removed": self._world.remove_devices(
                user, body.ids, now, keep_subscriptions=body.keep_subscriptions
            )
        }

    def subscribe(self, request: Request, name: str) -> Any:
        """Subscribe devices behind the client's back: ids, all, count or fraction."""
        user = self._world.user(name)
        which = _read(request, Which)
        candidates = [device for device in user.devices if device not in user.subscriptions]
        return {"subscribed": self._platform.subscribe(name, *self._chosen(which, candidates))}

    def unsubscribe(self, request: Request, name: str) -> Any:
        """Unsubscribe devices behind the client's back: ids, all, count or fraction."""
        user = self._world.user(name)
        which = _read(request, Which)
        return {
            "unsubscribed": self._platform.unsubscribe(
                name, *self._chosen(which, list(user.subscriptions))
            )
        }

    def issue_token(self, _request: Request, name: str) -> Any:
        """Give a user one more access token."""
        return {"access_token": self._platform.issue_token(name)}

    def expire_tokens(self, _request: Request, name: str) -> Any:
        """Let all access tokens of a user expire now."""
        return {"expired": self._world.expire_access(self._world.user(name), self._platform.now())}

    def revoke_tokens(self, _request: Request, name: str) -> Any:
        """Forget all access tokens of a user."""
        return {"revoked": self._world.revoke_access(self._world.user(name))}

    def revoke_refresh_token(self, _request: Request, name: str) -> Any:
        """Forget the refresh token of a user."""
        self._world.revoke_refresh(self._world.user(name))
        return {}

    def reset_quota(self, _request: Request, name: str) -> Any:
        """Give a user a fresh hour of calls."""
        self._world.user(name).calls.clear()
        return {}

    def options(self, _request: Request) -> Any:
        """Show the options in force."""
        return self._platform.options

    def change_options(self, request: Request) -> Any:
        """Change some options."""
        changes = _decode(request.body, dict[str, Any])
        return self._platform.set_options(**changes)

    def faults(self, _request: Request) -> Any:
        """List the fault rules in force, with what each has seen and done."""
        return self._platform.describe_faults()

    def set_faults(self, request: Request) -> Any:
        """Put these fault rules in place of all others."""
        self._platform.set_faults(*read_rules(request.body))
        return self._platform.describe_faults()

    def add_faults(self, request: Request) -> Any:
        """Append fault rules."""
        for rule in read_rules(request.body):
            self._platform.add_fault(rule)
        return self._platform.describe_faults()

    def clear_faults(self, _request: Request) -> Any:
        """Let all go well again."""
        self._platform.set_faults()
        return []

    # Events

    def events(self, request: Request) -> Any:
        """List the events made, oldest first: the last ``limit`` (100) of those that the filters let through."""
        wanted = {name: values[-1] for name, values in parse_qs(request.query).items()}
        limit = int(_number(wanted.pop("limit", "100")))
        return self._events.listed(wanted, limit)

    def add_events(self, request: Request) -> Any:
        """Make events of subscribed devices; what is not given is made up."""
        made = self._events.emit(_read(request, NewEvents))
        if self._sender is not None:
            self._sender.wake()
        return made

    def clear_events(self, _request: Request) -> Any:
        """Forget the events made."""
        self._events.forget()
        return {}

    def callback(self, _request: Request) -> Any:
        """Show where events are sent, and whether the sender has given that address up."""
        return self._events.status(None if self._sender is None else self._sender.target.url)

    def resume_callback(self, request: Request) -> Any:
        """Use the callback address again after it was given up."""
        self._events.resume()
        return self.callback(request)

    def _described(self, user: User) -> dict[str, Any]:
        return {
            "name": user.name,
            "country": user.country,
            "quota": user.quota,
            "calls_counted": len(user.calls),
            "refresh_token": user.refresh_token,
            "access_tokens": [
                {"token": token, "expires": expires, "expired": expires <= self._platform.now()}
                for token, expires in user.access_tokens.items()
            ],
            "devices": len(user.devices),
            "subscriptions": len(user.subscriptions),
        }

    def _fresh(self, user: User, count: int) -> list[Device]:
        """Make up this number of devices that the user does not have yet."""
        if count < 0:
            raise SimulatorError("the number of devices must not be negative")
        made: list[Device] = []
        first = len(user.devices)
        while len(made) < count:
            batch = sample_devices(self._world.seed, user.name, count - len(made), first=first)
            made += [device for device in batch if device.id not in user.devices]
            first += len(batch)
        return made

    def _chosen(self, which: Which, candidates: list[str]) -> list[str]:
        return (
            which.ids
            if which.ids is not None
            else self._platform.pick(candidates, which.count, which.fraction)
        )


_FILTERS: Final = frozenset(Record.__slots__) - {"at", "headers", "query"}

_USER = "/users/([^/]+)"
_ROUTES: Final[list[tuple[str, re.Pattern[str], Callable[..., Any]]]] = [
    (method, re.compile(pattern), act)
    for method, pattern, act in (
        ("GET", "", Control.overview),
        ("GET", "/users", Control.users),
        ("POST", "/users", Control.add_user),
        ("GET", _USER, Control.user),
        ("PATCH", _USER, Control.change_user),
        ("DELETE", _USER, Control.remove_user),
        ("GET", f"{_USER}/devices", Control.devices),
        ("POST", f"{_USER}/devices", Control.add_devices),
        ("DELETE", f"{_USER}/devices", Control.remove_devices),
        ("GET", f"{_USER}/subscriptions", Control.subscriptions),
        ("POST", f"{_USER}/subscribe", Control.subscribe),
        ("POST", f"{_USER}/unsubscribe", Control.unsubscribe),
        ("POST", f"{_USER}/issue-token", Control.issue_token),
        ("POST", f"{_USER}/expire-tokens", Control.expire_tokens),
        ("POST", f"{_USER}/revoke-tokens", Control.revoke_tokens),
        ("POST", f"{_USER}/revoke-refresh-token", Control.revoke_refresh_token),
        ("POST", f"{_USER}/reset-quota", Control.reset_quota),
        ("GET", "/options", Control.options),
        ("PATCH", "/options", Control.change_options),
        ("GET", "/faults", Control.faults),
        ("PUT", "/faults", Control.set_faults),
        ("POST", "/faults", Control.add_faults),
        ("DELETE", "/faults", Control.clear_faults),
        ("GET", "/events", Control.events),
        ("POST", "/events", Control.add_events),
        ("DELETE", "/events", Control.clear_events),
        ("GET", "/callback", Control.callback),
        ("POST", "/callback/resume", Control.resume_callback),
        ("GET", "/requests", Control.requests),
        ("DELETE", "/requests", Control.clear_requests),
        ("GET", "/duplicate-message-ids", Control.duplicates),
    )
]


def _decode(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise SimulatorError(f"the body cannot be read: {error}") from error


def _read(request: Request, kind: type[_Body]) -> _Body:
    """Read a JSON body; none at all is an empty object."""
    body: _Body = _decode(request.body or b"{}", kind)
    return body


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SimulatorError(f"{text!r} is not a number") from None
