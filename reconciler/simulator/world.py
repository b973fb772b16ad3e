"""What is true on the simulated platform: users, tokens, devices, subscriptions, calls of the last hour.

Owns: every fact and every way to change one, also behind a client's back, and how facts become a snapshot and back.
Must not: know HTTP, codes or faults, read a clock (times are arguments, epoch seconds), or do I/O.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from reconciler.simulator.errors import SimulatorError

HOUR = 3600.0
JOURNAL = 100_000
"""How many changes of one user's subscriptions are remembered to tell what a list was like some time ago."""

PCC_TYPES = ("DEVICE_WASHER", "DEVICE_REFRIGERATOR", "DEVICE_DISH_WASHER", "DEVICE_OVEN")
"""The appliance types that PCC documents."""


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One registered appliance. ``type`` is LG's word, such as ``DEVICE_WASHER``."""

    id: str
    type: str = "DEVICE_WASHER"
    alias: str = ""
    model: str = "SIMULATED"


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the partner got from LG at registration."""

    id: str
    key: str
    client_id: str
    backend_url: str


class UserSnapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user as kept in a state file."""

    name: str
    country: str | None
    quota: int | None
    refresh_token: str | None
    access_tokens: dict[str, float]
    devices: list[Device]
    subscriptions: dict[str, float]


class WorldSnapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that outlives a restart. Quotas used up, request log and faults do not."""

    seed: int
    issued: int
    service: Service
    users: list[UserSnapshot]


@dataclass(slots=True)
class User:
    """One LG user: the owner of appliances, with a token, a live list and an hourly quota of their own.

    ``access_tokens``: token -> when it expires. ``subscriptions``: device -> since when, in the order in which they
    came. ``revision`` is another one after each change of the subscriptions, and no two users ever have the same.
    """

    name: str
    country: str | None = None
    quota: int | None = None
    refresh_token: str | None = None
    access_tokens: dict[str, float] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    subscriptions: dict[str, float] = field(default_factory=dict)
    calls: deque[float] = field(default_factory=deque)
    journal: deque[tuple[float, str, bool]] = field(default_factory=lambda: deque(maxlen=JOURNAL))
    revision: int = 0

    def subscriptions_at(self, at: float) -> list[str]:
        """Return the live list as it was at a time, as far back as the journal goes."""
        live = dict.fromkeys(self.subscriptions)
        for when, device, added in reversed(self.journal):
            if when <= at:
                break
            if added:
                live.pop(device, None)
            else:
                live[device] = None
        return list(live)

    def calls_since(self, start: float) -> int:
        """Count the calls since ``start``, forgetting older ones."""
        while self.calls and self.calls[0] < start:
            self.calls.popleft()
        return len(self.calls)


def made_up(*parts: object, digits: int = 64) -> str:
    """Return lower-case hexadecimal digits that depend on nothing but ``parts``, so that equal seeds give equal ids."""
    return hashlib.sha384("/".join(map(str, parts)).encode()).hexdigest()[:digits]


class World:
    """The facts, and the only way to change them."""

    def __init__(self, service: Service, seed: int = 0) -> None:
        self.service = service
        self.seed = seed
        self.users: dict[str, User] = {}
        self.changes = 0
        self._issued = 0
        self._access: dict[str, User] = {}
        self._refresh: dict[str, User] = {}
        self._owners: dict[str, int] = {}
        self._subscribed = 0
        self._losses: list[tuple[float, str, str]] = []

    # Users and tokens

    def add_user(
        self,
        name: str,
        *,
        country: str | None = None,
        quota: int | None = None,
        refresh_token: str | None = None,
    ) -> User:
        """Add a user with a refresh token, made up unless given, and without an access token."""
        if not name or name in self.users:
            raise SimulatorError(
                f"there is a user {name!r} already" if name else "a user needs a name"
            )
        token = refresh_token or made_up(self.seed, "refresh", name, digits=96)
        if token in self._refresh:
            raise SimulatorError("that refresh token belongs to another user")
        self.changes += 1
        user = User(name, country, quota, token, revision=self.changes)
        self.users[name] = user
        self._refresh[token] = user
        return user

    def remove_user(self, name: str) -> None:
        """Remove a user with everything that belongs to them."""
        user = self.user(name)
        self.remove_devices(user, list(user.devices), 0.0)
        self._subscribed -= len(user.subscriptions)
        self.revoke_access(user)
        self.revoke_refresh(user)
        del self.users[name]

    def user(self, name: str) -> User:
        """Return a user by name."""
        try:
            return self.users[name]
        except KeyError:
            raise SimulatorError(f"there is no user {name!r}") from None

    def by_access_token(self, token: str) -> User | None:
        """Return whose access token this is, good or expired."""
        return self._access.get(token)

    def by_refresh_token(self, token: str) -> User | None:
        """Return whose refresh token this is."""
        return self._refresh.get(token)

    def issue(self, user: User, expires: float, token: str | None = None) -> str:
        """Give a user one more access token, made up unless given; earlier ones stay good until they expire."""
        self._issued += 1
        made = token or made_up(self.seed, "access", user.name, self._issued, digits=96)
        if self._access.get(made, user) is not user:
            raise SimulatorError("that access token belongs to another user")
        user.access_tokens[made] = expires
        self._access[made] = user
        self.changes += 1
        return made

    def rotate_refresh(self, user: User) -> str:
        """Replace a user's refresh token; the old one is good no more."""
        self.revoke_refresh(user)
        self._issued += 1
        user.refresh_token = made_up(self.seed, "refresh", user.name, self._issued, digits=96)
        self._refresh[user.refresh_token] = user
        return user.refresh_token

    def expire_access(self, user: User, now: float) -> int:
        """Let all access tokens of a user expire now. Return how many were good until then."""
        good = [token for token, expires in user.access_tokens.items() if expires > now]
        user.access_tokens.update(dict.fromkeys(good, now))
        self.changes += 1
        return len(good)

    def revoke_access(self, user: User) -> int:
        """Make the platform forget all access tokens of a user, so that they are unknown. Return how many."""
        revoked = len(user.access_tokens)
        for token in user.access_tokens:
            del self._access[token]
        user.access_tokens.clear()
        self.changes += 1
        return revoked

    def revoke_refresh(self, user: User) -> None:
        """Make the platform forget the refresh token of a user."""
        if user.refresh_token is not None:
            del self._refresh[user.refresh_token]
            user.refresh_token = None
            self.changes += 1

    # Devices

    def add_devices(self, user: User, devices: Iterable[Device]) -> int:
        """Register appliances; those with an id the user has already are replaced. Return how many were new."""
        before = len(user.devices)
        for device in devices:
            if not device.id:
                raise SimulatorError("a device needs an id")
            if device.id not in user.devices:
                self._owners[device.id] = self._owners.get(device.id, 0) + 1
            user.devices[device.id] = device
        self.changes += 1
        return len(user.devices) - before

    def remove_devices(
        self, user: User, ids: Sequence[str], now: float, *, keep_subscriptions: bool = False
    ) -> int:
        """Unregister appliances, and with them their subscriptions unless these are to be kept. Return how many."""
        removed = [device for device in ids if user.devices.pop(device, None) is not None]
        for device in removed:
            self._owners[device] -= 1
            if not self._owners[device]:
                del self._owners[device]
        if not keep_subscriptions:
            for device in removed:
                self.unsubscribe(user, device, now)
        self.changes += 1
        return len(removed)

    def owned_by_anyone(self, device: str) -> bool:
        """Say whether any user has registered this appliance."""
        return device in self._owners

    # Subscriptions

    @property
    def subscribed(self) -> int:
        """How many devices of all users are subscribed."""
        return self._subscribed

    def subscribe(self, user: User, device: str, now: float) -> bool:
        """Subscribe one device, known or not. Return whether that changed anything."""
        if device in user.subscriptions:
            return False
        user.subscriptions[device] = now
        self._note(user, device, now, added=True)
        return True

    def unsubscribe(self, user: User, device: str, now: float) -> bool:
        """Unsubscribe one device. Return whether that changed anything."""
        if user.subscriptions.pop(device, None) is None:
            return False
        self._note(user, device, now, added=False)
        return True

    def lose_later(self, user: User, device: str, at: float) -> None:
        """Let the subscription of one device go away at a time to come."""
        heapq.heappush(self._losses, (at, user.name, device))

    def settle(self, now: float) -> None:
        """Make the losses true whose time has come."""
        while self._losses and self._losses[0][0] <= now:
            at, name, device = heapq.heappop(self._losses)
            user = self.users.get(name)
            if user is not None:
                self.unsubscribe(user, device, at)

    def _note(self, user: User, device: str, now: float, *, added: bool) -> None:
        self.changes += 1
        user.revision = self.changes
        user.journal.append((now, device, added))
        self._subscribed += 1 if added else -1

    # Snapshots

    def snapshot(self) -> WorldSnapshot:
        """Return everything that outlives a restart."""
        users = [
            UserSnapshot(
                user.name,
                user.country,
                user.quota,
                user.refresh_token,
                dict(user.access_tokens),
                list(user.devices.values()),
                dict(user.subscriptions),
            )
            for user in self.users.values()
        ]
        return WorldSnapshot(self.seed, self._issued, self.service, users)

    @classmethod
    def from_snapshot(cls, snapshot: WorldSnapshot) -> World:
        """Return the world that a snapshot was taken of."""
        world = cls(snapshot.service, snapshot.seed)
        for saved in snapshot.users:
            user = world.add_user(
                saved.name,
                country=saved.country,
                quota=saved.quota,
                refresh_token=saved.refresh_token,
            )
            if saved.refresh_token is None:
                world.revoke_refresh(user)
            for token, expires in saved.access_tokens.items():
                world.issue(user, expires, token)
            world.add_devices(user, saved.devices)
            user.subscriptions.update(saved.subscriptions)
            world._subscribed += len(user.subscriptions)
        world._issued = snapshot.issued
        return world


def service_of(seed: int) -> Service:
    """Return the service that a seed makes up. Its key only looks like LG's: three parts, signed by nobody."""
    return Service(
        id=made_up(seed, "service", digits=24),
        key=f"simulated.{made_up(seed, 'service-key', digits=64)}.{made_up(seed, 'signature', digits=43)}",
        client_id=made_up(seed, "client", digits=32),
        backend_url="https://backend.simulator.invalid",
    )


_SAMPLE_TYPES = (*PCC_TYPES, *PCC_TYPES, "DEVICE_DRYER", "DEVICE_STYLER")
_SAMPLE_NAMES: Mapping[str, str] = {
    "DEVICE_WASHER": "washer",
    "DEVICE_REFRIGERATOR": "fridge",
    "DEVICE_DISH_WASHER": "dish washer",
    "DEVICE_OVEN": "oven",
    "DEVICE_DRYER": "dryer",
    "DEVICE_STYLER": "styler",
}


def sample_devices(
    seed: int, owner: str, count: int, *, only_pcc: bool = False, first: int = 0
) -> list[Device]:
    """Return appliances of a made-up house. Two in ten are of types that PCC refuses, unless ``only_pcc``."""
    types = PCC_TYPES if only_pcc else _SAMPLE_TYPES
    devices = []
    for number in range(first, first + count):
        kind = types[number % len(types)]
        room = 100 * (number // 10 + 1) + number % 10 + 1
        devices.append(
            Device(
                id=made_up(seed, "device", owner, number),
                type=kind,
                alias=f"Room {room} {_SAMPLE_NAMES[kind]}",
                model=f"SIM-{kind.removeprefix('DEVICE_')}-{number % 7 + 1}",
            )
        )
    return devices
