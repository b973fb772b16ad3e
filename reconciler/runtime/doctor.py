"""Checks whether everything works: settings, state, desired state, and LG for each account. It never changes anything.

Owns: what is asked of whom, and that one broken account, file or network keeps nothing else from being checked.
Must not: judge what was found (``diagnosis`` does), print, leave anything on a disk, or send anything but GET and a
renewal of a token. Works beside a running daemon.

Where the newest revision is not in force, the accounts are those that the state knows from the one before, as in the
daemon, and those that have credentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.controller.twins import ALIKE_FROM
from reconciler.core.acceptance import chosen
from reconciler.core.clock import Clock
from reconciler.core.errors import PlatformError, ReconcilerError, StateError
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, Policy
from reconciler.pcc.client import Client
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.protocol import Reply, differs, envelope_time, header_time
from reconciler.pcc.transport import proxy_of
from reconciler.reporting import diagnosis
from reconciler.reporting.diagnosis import Asked, Examination, Examined, Finding, Speaking
from reconciler.runtime import heartbeat
from reconciler.runtime.accounts import Follower, each_account
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.environment import Environment
from reconciler.runtime.settings import Settings
from reconciler.runtime.wiring import Components, built
from reconciler.state import Place, State, can_be_kept, is_there, name_of, no_room
from reconciler.telemetry.masking import Masking


async def examine(
    settings: Settings,
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
    *,
    clock: Clock | None = None,
) -> Examination:
    """Check everything, and each account, or those that are asked for. One call of LG's quota for each."""
    clock = clock or SystemClock()
    state, unreadable = _opened(settings.state_place, clock)
    around = Environment(clock=clock)
    with closing(state):
        opened = built(
            settings, state, keeps=False, read_only=True, masking=masking, environment=around
        )
        async with opened as components:
            await components.informer.begin()
            doctor = _Doctor(components)
            names = chosen(asked, doctor.known(asked))
            doctor.follow(names)
            accounts = await doctor.accounts(names, follower)
            general = (*doctor.general(unreadable), *await doctor.heartbeat())
            return Examination(general, accounts)


def _opened(place: Place, clock: Clock) -> tuple[State, str]:
    """Return the state as it can be read, and why it cannot."""
    try:
        return State.read_only(place, clock), ""
    except StateError as error:
        return State.in_memory(clock), str(error)


class _Doctor:
    """One examination."""

    def __init__(self, components: Components) -> None:
        self._components, self._clock = components, components.clock
        accepted = components.informer.accepted
        self._in_force = accepted.rejected is None and not components.informer.trouble
        self._managed = accepted.accounts.keys() | accepted.retired

    def known(self, asked: Sequence[str] | None) -> list[AccountName]:
        """Return the accounts there are; where no revision says so, those with credentials, or else the default one."""
        known = set(self._components.informer.accepted.accounts)
        if asked or not self._in_force:
            known |= self._components.credentials.accounts()
        if (
            asked and not self._in_force
        ):  # the file that names them may be the one that cannot be read
            known |= {AccountName(name) for name in asked}
        return sorted(known or {DEFAULT_ACCOUNT})

    def follow(self, names: Sequence[AccountName]) -> None:
        """Bring the clients in step with the accounts in force, and those that are checked."""
        components = self._components
        countries: dict[AccountName, str | None] = dict.fromkeys(names)
        for name, account in components.informer.accepted.accounts.items():
            countries[name] = account.desired.country
        components.clients.follow(countries)
        for name in countries:
            components.clients.limit(name, self._policy(name).calls_per_hour)
        components.masking.know(components.settings.secrets() | components.credentials.secrets())

    def general(self, unreadable: str) -> tuple[Finding, ...]:
        """Return the findings that concern no single account. ``unreadable`` is why the state cannot be read."""
        components = self._components
        findings = (
            self._settings(),
            self._state(unreadable),
            diagnosis.desired_state(
                components.informer.accepted,
                components.informer.trouble,
                str(components.settings.desired_state),
                self._abandoned(),
                git=components.settings.git_url is not None,
            ),
            self._credentials_folder(),
        )
        return tuple(finding for finding in findings if finding is not None)

    def _state(self, unreadable: str) -> Finding:
        """Judge the state. A database that could be read is there, or its tables are yet to be made."""
        place = self._components.settings.state_place
        if place.shared:
            exists = not unreadable and is_there(place, self._clock)
            return diagnosis.database(name_of(place), exists=exists, unreadable=unreadable)
        return diagnosis.state(
            str(place.folder),
            exists=place.folder.is_dir(),
            locked=can_be_kept(place.folder),
            full=no_room(place.folder),
            trouble=self._components.state.trouble,
            unreadable=unreadable,
        )

    def _settings(self) -> Finding:
        settings = self._components.settings
        return diagnosis.settings(
            settings.mode,
            allow_http=settings.allow_http,
            unreadable=settings.unreadable_secrets(),
            warnings=settings.warnings,
        )

    def _credentials_folder(self) -> Finding | None:
        credentials = self._components.credentials
        strays: frozenset[AccountName] = frozenset()
        if self._in_force:
            strays = credentials.accounts() - self._managed
        return diagnosis.folder(credentials.warnings(), strays)

    async def heartbeat(self) -> list[Finding]:
        """Return whether the host of the heartbeat can be reached, where there is one. Nothing is sent."""
        settings = self._components.settings
        reader = settings.heartbeat_url_reader()
        if reader is None:
            return []
        trouble, proxied = "", False
        try:
            url = heartbeat.address(reader)
            proxied = heartbeat.proxy_of(url, settings.proxies) is not None
            trouble = "" if proxied else await heartbeat.unreachable(url)
        except ReconcilerError as error:
            trouble = str(error)
        return [diagnosis.heartbeat(trouble, proxied=proxied)]

    def _abandoned(self) -> frozenset[AccountName]:
        if not self._in_force:
            return frozenset()
        try:
            return self._components.state.accounts.live_accounts() - self._managed
        except StateError:  # reported where the state is judged
            return frozenset()

    def _policy(self, name: AccountName) -> Policy:
        account = self._components.informer.current(name)
        return account.desired.policy if account is not None else Policy()

    async def accounts(
        self, names: Sequence[AccountName], follower: Follower
    ) -> tuple[Examined, ...]:
        """Check the accounts, a few at once."""
        lists: dict[AccountName, Asked] = {}

        async def one(name: AccountName) -> list[Finding]:
            findings, asked = await self._account(name)
            if asked is not None:
                lists[name] = asked
            return findings

        found = await each_account(names, one, follower, at_once=self._components.settings.workers)
        examined = []
        for name, result in zip(names, found, strict=True):
            findings = [diagnosis.defect(result)] if isinstance(result, BaseException) else result
            examined.append(Examined(name, (*findings, *_alike(name, lists))))
        return tuple(examined)

    async def _account(self, name: AccountName) -> tuple[list[Finding], Asked | None]:
        """Check one account; return what was found, and what asking LG brought."""
        components, began = self._components, self._clock.now()
        client, credentials = components.clients(name), components.clients.credentials(name)
        speaking: Speaking | str = str(credentials)
        asked: Asked | None = None
        if not isinstance(client, str) and not isinstance(credentials, str):
            settings = components.settings
            origins = components.credentials.origins(name)
            speaking = Speaking(credentials, origins, settings.phase, settings.request_timeout)
            asked = await self._asked(client, credentials)
        account = components.informer.current(name)
        findings = list(diagnosis.account(account, speaking, asked, judged=self._in_force))
        findings.append(self._quota(name, began))
        if asked is not None:
            findings += diagnosis.guards(asked.tripped)
        return findings, asked

    async def _asked(self, client: Client, credentials: Credentials) -> Asked:
        """Ask for a new token, if possible, and for the list."""
        asked = Asked(
            began=self._clock.now(),
            ended=self._clock.now(),
            proxy=proxy_of(credentials.base_url),
            token_proxy=proxy_of(credentials.token_url or credentials.base_url),
        )
        try:
            token = await client.access.token()
        except PlatformError as error:
            return replace(asked, token_error=error, ended=self._clock.now())
        if credentials.access_token is not None and credentials.refresh_token is not None:
            # The token that is there would serve, and hide for an hour that there will be no other.
            try:
                await client.access.renewed(token)
            except PlatformError as error:
                asked = replace(asked, token_error=error)
        asked = await self._listed(credentials.account, client, asked)
        ends = client.access.expires_at
        return replace(
            asked,
            expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
            rotated=client.access.rotated,
        )

    async def _listed(self, name: AccountName, client: Client, asked: Asked) -> Asked:
        """Ask for the list, and what a pass would make of it. It may be long: only its length and hash are kept."""
        heard = _Heard()
        asked = replace(asked, began=self._clock.now())
        try:
            observed = await client.list_devices(heard.hear)
            plan = self._components.reconciler.previews.weigh(name, observed)
            asked = replace(
                asked,
                devices=len(observed.devices),
                list_hash=hash(observed.devices),
                tripped=plan.tripped if plan is not None else (),
            )
        except PlatformError as error:
            asked = replace(asked, error=error)
        return replace(
            asked,
            ended=self._clock.now(),
            envelope=heard.envelope,
            header=heard.header,
            other_id=heard.other_id,
        )

    def _quota(self, name: AccountName, began: datetime) -> Finding:
        """Return what is known of an account's calls: those that the state remembers, and those made here."""
        quota = self._components.clients.quota(name)
        remaining = quota.remaining(self._clock.now().timestamp())
        calls = quota.learned.calls
        return diagnosis.quota(
            self._policy(name).calls_per_hour,
            limit=quota.limit,
            remaining=remaining,
            calls=len(calls),
            cost=sum(call >= began.timestamp() for call in calls),
        )


class _Heard:
    """What the replies to a list say about time and about whose reply it is. The times are the last reply's."""

    def __init__(self) -> None:
        self.envelope: datetime | None = None
        self.header: datetime | None = None
        self.other_id = False

    def hear(self, reply: Reply) -> None:
        """Take one reply."""
        self.envelope, self.header = envelope_time(reply), header_time(reply)
        self.other_id = self.other_id or differs(reply)


def _alike(name: AccountName, lists: Mapping[AccountName, Asked]) -> list[Finding]:
    """Return the warning about other accounts that have this account's list, if there are any."""
    mine = lists.get(name)
    if mine is None or mine.list_hash is None or (mine.devices or 0) < ALIKE_FROM:
        return []
    others = [
        other
        for other, one in sorted(lists.items())
        if other != name and one.list_hash == mine.list_hash
    ]
    return [diagnosis.alike(mine.devices or 0, others)] if others else []
