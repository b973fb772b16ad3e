"""What stands in for the daemon behind its HTTP surface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from reconciler.api.port import Contact, HeardEvents
from reconciler.core.errors import Unknown
from reconciler.core.model import AccountName, Pause
from reconciler.core.windows import Opening
from reconciler.reporting import StatusReport
from reconciler.reporting.account_devices import DevicesAsked
from reconciler.reporting.devices import DeviceList
from reconciler.reporting.explain import Explanation
from reconciler.reporting.moments import IN_UTC, Zone
from reconciler.reporting.preview import Proposal, Proposed
from reconciler.reporting.queries import AccountDetail, DeviceExplanation, Overview, Page
from reconciler.reporting.registry_reports import RegistryList
from reconciler.reporting.views import AccountView, SearchView


async def nothing_planned(_proposal: Proposal) -> Proposed:
    """Plan nothing."""
    return Proposed((), ())


class FakeQueries:
    """Queries that know of nothing; a test overrides what it asks."""

    async def status(self) -> StatusReport:
        """Know no status."""
        raise NotImplementedError

    async def overview(self) -> Overview:
        """Show the status and no changes."""
        return Overview(await self.status())

    async def account(self, name: str) -> AccountDetail:
        """Know no account."""
        raise Unknown(name)

    async def device(self, account: str, device: str) -> Explanation:
        """Know no device."""
        raise Unknown(f"{account} {device}")

    async def explain(self, device: str, account: str | None) -> DeviceExplanation:
        """Know no device."""
        raise Unknown(f"{device} {account}")

    async def devices(self, asked: Mapping[str, str]) -> DeviceList:
        """Know no device."""
        raise Unknown(str(asked))

    async def history(self, asked: Mapping[str, str]) -> Page:
        """Know no change."""
        raise Unknown(str(asked))

    async def registry(self, asked: Mapping[str, str]) -> RegistryList:
        """Know no registry."""
        raise Unknown(str(asked))

    async def holds(self, revision: str) -> bool:
        """Know no commit but one."""
        return revision == "abcdef0"

    async def account_view(self, name: str, asked: DevicesAsked) -> tuple[AccountView, Contact]:
        """Know no account."""
        raise Unknown(f"{name} {asked}")

    async def search(self, words: str) -> SearchView:
        """Find nothing."""
        return SearchView(words)

    async def events(self) -> HeardEvents:
        """Know no receiver."""
        return HeardEvents()

    def now(self) -> datetime:
        """Return some moment."""
        return datetime(2026, 11, 22, tzinfo=UTC)

    def zone(self) -> Zone:
        """Return UTC."""
        return IN_UTC


@dataclass
class FakeHealth:
    """A health that is as given."""

    live: Callable[[], str] = str
    ready: Callable[[], str] = str


MIDNIGHT = datetime(2026, 11, 30, tzinfo=UTC)


@dataclass
class FakeOperations:
    """Operations that are written down in ``done``, and have no effect."""

    planned: Callable[[Proposal], Awaitable[Proposed]] = nothing_planned
    done: list[tuple[object, ...]] = field(default_factory=list)
    accounts: tuple[AccountName, ...] = ()

    async def reconcile(self, account: AccountName | None) -> Iterable[AccountName]:
        """Write down a pass."""
        self.done.append(("reconcile", account))
        return self.accounts

    async def pause(
        self,
        account: AccountName | None,
        pause: Pause,
        span: timedelta | None,
        reason: str,
        set_by: str = "",
    ) -> Iterable[AccountName]:
        """Write down a pause; by whom only where that is said."""
        who = (set_by,) if set_by else ()
        self.done.append(("pause", account, pause, span, reason, *who))
        return self.accounts

    async def open_window(
        self, name: str, span: timedelta | None, reason: str, set_by: str = ""
    ) -> tuple[Opening, Sequence[AccountName]]:
        """Write down a window that is opened."""
        who = (set_by,) if set_by else ()
        self.done.append(("open", name, span, reason, *who))
        return Opening(name, "mark", MIDNIGHT, MIDNIGHT + (span or timedelta(0))), self.accounts

    async def close_window(self, name: str) -> Sequence[AccountName]:
        """Write down a window that is closed."""
        self.done.append(("close", name))
        return self.accounts

    async def plan(self, proposal: Proposal) -> Proposed:
        """Write down a plan."""
        self.done.append(("plan", proposal))
        return await self.planned(proposal)

    async def pushed(self, *, repeated: bool) -> None:
        """Write down a push."""
        self.done.append(("pushed again" if repeated else "pushed",))


@dataclass
class FakePolicy:
    """A policy with these secrets."""

    token: str | None = None
    secret: Callable[[], str] = str
    acting_allowed: bool = True
    has_webhook: bool = False
    reading: str | None = None

    def listen_token(self) -> str | None:
        """Return the bearer token."""
        return self.token

    def read_token(self) -> str | None:
        """Return the token for reading."""
        return self.reading

    def webhook_secret(self) -> str:
        """Return the webhook's secret."""
        return self.secret()
