"""Asks whether all is as it should be: settings, state, texts, and LG for each account. It never changes anything.

Owns: what is asked of whom, and that one broken account, file or network keeps nothing else from being looked at.
Must not: judge what was found (that is ``examination``), print, write anywhere, or send anything but GET and a renewal
of a token. Works beside a running daemon.

Where the newest text is no good, the accounts are those that the state knows from the text before, as in the daemon,
and those that have credentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler.controller.twins import ALIKE_FROM
from reconciler.core.acceptance import chosen
from reconciler.core.clock import Clock
from reconciler.core.errors import PlatformError, StateError
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, Policy
from reconciler.pcc.client import Client
from reconciler.pcc.credentials import Credentials
from reconciler.pcc.protocol import Reply, differs, envelope_time, header_time
from reconciler.pcc.transport import proxy_of
from reconciler.reporting import diagnosis
from reconciler.reporting.diagnosis import Asked, Examination, Examined, Finding, Speaking
from reconciler.runtime.accounts import Follower, each_account
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.environment import Environment
from reconciler.runtime.settings import Settings
from reconciler.runtime.wiring import Components, built
from reconciler.state import State, can_be_kept
from reconciler.telemetry.masking import Masking


async def examine(
    settings: Settings,
    masking: Masking,
    asked: Sequence[str] | None,
    follower: Follower,
    *,
    clock: Clock | None = None,
) -> Examination:
    """Look at everything, and at each account, or at those that are asked for. One call of LG's quota for each."""
    clock = clock or SystemClock()
    state, unreadable = _opened(settings.state_dir, clock)
    with closing(state):
        around = Environment(clock=clock)
        async with built(
            settings, state, keeps=False, read_only=True, masking=masking, environment=around
        ) as components:
            await components.informer.begin()
            names = chosen(asked, _known(components, asked))
            _follow(components, names)
            accounts = await _each(components, names, follower, clock)
            return Examination(_general(components, unreadable), accounts)


def _opened(folder: Path, clock: Clock) -> tuple[State, str]:
    """Return the state as it can be read, and why it cannot."""
    try:
        return State.read_only(folder, clock), ""
    except StateError as error:
        return State.in_memory(clock), str(error)


def _judged(components: Components) -> bool:
    """Say whether the newest text could be read and is in force."""
    return components.informer.accepted.rejected is None and not components.informer.trouble


def _known(components: Components, asked: Sequence[str] | None) -> list[AccountName]:
    """Return the accounts there are; where no text says so, those that have credentials, or else the one by default."""
    accepted = components.informer.accepted
    known = set(accepted.accounts)
    if asked or not _judged(components):
        known |= components.credentials.accounts()
    if asked and not _judged(components):  # the text that names them may be the one that cannot be read
        known |= {AccountName(name) for name in asked}
    return sorted(known or {DEFAULT_ACCOUNT})


def _follow(components: Components, names: Sequence[AccountName]) -> None:
    """Bring the clients in step with the accounts that the text names, and those that are looked at."""
    texts = components.informer.accepted.accounts
    countries: dict[AccountName, str | None] = dict.fromkeys(names)
    countries |= {name: text.desired.country for name, text in texts.items()}
    components.clients.follow(countries)
    for name in countries:
        components.clients.limit(name, _policy(components, name).calls_per_hour)
    components.masking.know(components.settings.secrets() | components.credentials.secrets())


def _policy(components: Components, name: AccountName) -> Policy:
    text = components.informer.current(name)
    return text.desired.policy if text is not None else Policy()


def _general(components: Components, unreadable: str) -> tuple[Finding, ...]:
    settings, accepted = components.settings, components.informer.accepted
    readers = (settings.listen_token_reader(), settings.webhook_secret_reader())
    secrets = [reader.read() for reader in readers if reader is not None]
    strays = (
        components.credentials.accounts() - accepted.accounts.keys() - accepted.retired if _judged(components) else ()
    )
    findings = (
        diagnosis.settings(
            settings.mode,
            allow_http=settings.allow_http,
            unreadable=[why for why in secrets if isinstance(why, str)],
            warnings=settings.warnings,
        ),
        diagnosis.state(
            str(settings.state_dir),
            exists=settings.state_dir.is_dir(),
            locked=can_be_kept(settings.state_dir),
            trouble=components.state.trouble,
            unreadable=unreadable,
        ),
        diagnosis.desired_state(
            accepted,
            components.informer.trouble,
            str(settings.desired_state),
            _abandoned(components),
            git=settings.git_url is not None,
        ),
        diagnosis.folder(components.credentials.warnings(), strays),
    )
    return tuple(finding for finding in findings if finding is not None)


def _abandoned(components: Components) -> frozenset[AccountName]:
    accepted = components.informer.accepted
    if not _judged(components):
        return frozenset()
    try:
        return components.state.accounts.live_accounts() - accepted.accounts.keys() - accepted.retired
    except StateError:  # it is told where the state is judged
        return frozenset()


async def _each(
    components: Components, names: Sequence[AccountName], follower: Follower, clock: Clock
) -> tuple[Examined, ...]:
    """Look at the accounts, a few at once."""
    lists: dict[AccountName, Asked] = {}

    async def one(name: AccountName) -> list[Finding]:
        findings, asked = await _account(components, name, clock)
        if asked is not None:
            lists[name] = asked
        return findings

    found = await each_account(names, one, follower, at_once=components.settings.workers)
    examined = []
    for name, each in zip(names, found, strict=True):
        findings = [diagnosis.defect(each)] if isinstance(each, BaseException) else each
        examined.append(Examined(name, (*findings, *_alike(name, lists))))
    return tuple(examined)


def _alike(name: AccountName, lists: Mapping[AccountName, Asked]) -> list[Finding]:
    """Return the warning about other accounts that have this account's list, if there are any."""
    mine = lists.get(name)
    if mine is None or mine.list_hash is None or (mine.devices or 0) < ALIKE_FROM:
        return []
    others = [other for other, one in sorted(lists.items()) if other != name and one.list_hash == mine.list_hash]
    return [diagnosis.alike(mine.devices or 0, others)] if others else []


async def _account(components: Components, name: AccountName, clock: Clock) -> tuple[list[Finding], Asked | None]:
    """Look at one account; return what was found, and what asking LG brought."""
    began, settings = clock.now(), components.settings
    client, credentials = components.clients(name), components.clients.credentials(name)
    speaking: Speaking | str = str(credentials)
    asked: Asked | None = None
    if not isinstance(client, str) and not isinstance(credentials, str):
        speaking = Speaking(credentials, components.credentials.origins(name), settings.phase, settings.request_timeout)
        asked = await _asked(components, client, credentials, clock)
    findings = diagnosis.account(components.informer.current(name), speaking, asked, judged=_judged(components))
    tripped = asked.tripped if asked is not None else ()
    return [*findings, _quota(components, name, began, clock.now()), *diagnosis.guards(tripped)], asked


async def _asked(components: Components, client: Client, credentials: Credentials, clock: Clock) -> Asked:
    """Ask for a new token, where one can be had, and for the list."""
    asked = Asked(
        began=clock.now(),
        ended=clock.now(),
        proxy=proxy_of(credentials.base_url),
        token_proxy=proxy_of(credentials.token_url or credentials.base_url),
    )
    try:
        token = await client.access.token()
    except PlatformError as error:
        return replace(asked, token_error=error, ended=clock.now())
    if credentials.access_token is not None and credentials.refresh_token is not None:
        # The token that is there would serve, and hide for an hour that there will be no other.
        try:
            await client.access.renewed(token)
        except PlatformError as error:
            asked = replace(asked, token_error=error)
    asked = await _listed(components, credentials.account, client, asked, clock)
    ends = client.access.expires_at
    return replace(
        asked,
        expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        rotated=client.access.rotated,
    )


async def _listed(components: Components, name: AccountName, client: Client, asked: Asked, clock: Clock) -> Asked:
    """Ask for the list, and what a pass would make of it. It may be long: only its length and its hash are kept."""
    times: list[tuple[datetime | None, datetime | None]] = []
    other_ids: list[bool] = []

    def heard(reply: Reply) -> None:
        times.append((envelope_time(reply), header_time(reply)))
        other_ids.append(differs(reply))

    asked = replace(asked, began=clock.now())
    try:
        observed = await client.list_devices(heard)
        plan = components.reconciler.previews.weigh(name, observed)
        tripped = plan.tripped if plan is not None else ()
        devices = len(observed.devices)
        asked = replace(asked, devices=devices, list_hash=hash(observed.devices), tripped=tripped)
    except PlatformError as error:
        asked = replace(asked, error=error)
    envelope, header = times[-1] if times else (None, None)
    return replace(asked, ended=clock.now(), envelope=envelope, header=header, other_id=any(other_ids))


def _quota(components: Components, name: AccountName, began: datetime, now: datetime) -> Finding:
    """Tell what is known of an account's calls: those that the state remembers, and ours."""
    quota = components.clients.quota(name)
    remaining = quota.remaining(now.timestamp())
    calls = quota.learned.calls
    return diagnosis.quota(
        _policy(components, name).calls_per_hour,
        limit=quota.limit,
        remaining=remaining,
        calls=len(calls),
        cost=sum(call >= began.timestamp() for call in calls),
    )
