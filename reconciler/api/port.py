"""What the HTTP surface asks of the daemon, and of the receiving process.

Owns: small interfaces: what is looked up, what is done, whether the process is well, and who may call.
Must not: know how any of it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.core.model import AccountName, Pause
from reconciler.core.windows import Opening
from reconciler.reporting import StatusReport
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.reporting.devices import DeviceList
from reconciler.reporting.explain import Explanation
from reconciler.reporting.explain.values import DeliveryReport
from reconciler.reporting.moments import Zone
from reconciler.reporting.preview import Proposal, Proposed
from reconciler.reporting.queries import AccountDetail, DeviceExplanation, Overview, Page
from reconciler.reporting.registry_reports import RegistryList
from reconciler.reporting.views import AccountView, SearchView


@dataclass(frozen=True, slots=True)
class LastHeardOf:
    """The newest event of one account in this process: when it was stored, and of which device."""

    last: datetime | None = None
    device: str = ""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known of an account at LG. ``limit`` and ``remaining`` are calls an hour; None where no limit is known.

    ``trouble`` is what its credentials lack. ``renewable``: the token is renewed before it ends.
    ``heard`` is None where no receiver is asked. ``elsewhere``: another replica works on it, and knows the rest.
    """

    limit: int | None = None
    remaining: int | None = None
    token_expires: datetime | None = None
    renewable: bool = False
    trouble: str = ""
    heard: LastHeardOf | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """One event that a receiver has. ``account`` and ``name`` are empty where no entry lists the device."""

    id: str
    received: datetime
    device: str
    name: str
    account: str
    diagnosis: str
    category: str
    deliveries: tuple[DeliveryReport, ...] = ()


@dataclass(frozen=True, slots=True)
class HeardEvents:
    """The newest events of all receivers. ``asked`` is the number of receivers, ``troubles`` why some gave none."""

    asked: int = 0
    events: tuple[HeardEvent, ...] = ()
    troubles: tuple[str, ...] = ()


class Queries(Protocol):
    """Answers questions and changes nothing.

    Raises ``Unknown`` for an account or device that is not known, and ``ReconcilerError`` for a question that cannot be
    answered.
    """

    async def status(self) -> StatusReport:
        """Return the status of everything."""

    async def overview(self) -> Overview:
        """Return what the page shows."""

    async def account(self, name: str) -> AccountDetail:
        """Return one account in full."""

    async def device(self, account: str, device: str) -> Explanation:
        """Return what is known of one device of one account."""

    async def explain(self, device: str, account: str | None) -> DeviceExplanation:
        """Return what is known of a device, in one account or in all of them."""

    async def devices(self, asked: Mapping[str, str]) -> DeviceList:
        """Return a part of the list of devices."""

    async def history(self, asked: Mapping[str, str]) -> Page:
        """Return past changes."""

    async def registry(self, asked: Mapping[str, str]) -> RegistryList:
        """Return LG's registry of an account with rules, or of all that have some."""

    async def holds(self, revision: str) -> bool:
        """Say whether a commit is in the history of what is in force."""

    async def account_view(self, name: str, asked: DevicesAsked) -> tuple[AccountView, Contact]:
        """Return what the page of an account shows."""

    async def search(self, words: str) -> SearchView:
        """Return accounts and devices with these words in the name or id."""

    async def events(self) -> HeardEvents:
        """Return the newest events that the receivers have."""

    def now(self) -> datetime:
        """Return the present moment."""

    def zone(self) -> Zone:
        """Return the zone in which people mean dates."""


class Operations(Protocol):
    """Acts. Raises ``ReconcilerError`` where it cannot, ``Unknown`` for an account that is not known."""

    async def reconcile(self, account: AccountName | None) -> Iterable[AccountName]:
        """Begin a pass of one account, or of all, and return their names."""

    async def pause(
        self,
        account: AccountName | None,
        pause: Pause,
        span: timedelta | None,
        reason: str,
        set_by: str = "",
    ) -> Iterable[AccountName]:
        """Pause one account, or all, or end that pause; return their names. ``set_by`` is who says so."""

    async def open_window(
        self, name: str, span: timedelta | None, reason: str, set_by: str = ""
    ) -> tuple[Opening, Sequence[AccountName]]:
        """Open an allow window for a while; return the opening, and the accounts that have the window."""

    async def close_window(self, name: str) -> Sequence[AccountName]:
        """End that; return the accounts that have the window."""

    async def plan(self, proposal: Proposal) -> Proposed:
        """Plan proposed files. Nothing comes into force."""

    async def pushed(self, *, repeated: bool) -> None:
        """Read the source soon. ``repeated``: the call that says so came before."""


class Health(Protocol):
    """Says whether the process is well. An empty answer means yes, any other says why not."""

    def live(self) -> str:
        """Say why the process is not alive."""

    def ready(self) -> str:
        """Say why the process is not ready."""


class AccessPolicy(Protocol):
    """Says which calls exist and what callers have to show. A secret is read anew for each call.

    Raises ``ReconcilerError`` for a secret that cannot be read.
    """

    @property
    def acting_allowed(self) -> bool:
        """Say whether the calls that act exist."""

    @property
    def has_webhook(self) -> bool:
        """Say whether there is a webhook."""

    def listen_token(self) -> str | None:
        """Return the bearer token that calls that act have to show, if there is one."""

    def read_token(self) -> str | None:
        """Return the token that callers have to show to read, if there is one."""

    def webhook_secret(self) -> str:
        """Return the secret that is shared with the forge."""


class ReceiverPolicy(Protocol):
    """Says what callers of the receiving process have to show. A secret is read anew for each call.

    Raises ``ReconcilerError`` for a secret that cannot be read.
    """

    @property
    def on_loopback(self) -> bool:
        """Say whether the port is bound to loopback."""

    def basic(self) -> Sequence[str]:
        """Return the ``user:password`` pairs of which a caller has to show one; none where Basic is not asked for."""

    def path_secrets(self) -> Sequence[str]:
        """Return the last path segments of which a caller has to know one; none where that is not asked for."""

    def events_token(self) -> str | None:
        """Return the bearer token of the read API, if there is one."""
