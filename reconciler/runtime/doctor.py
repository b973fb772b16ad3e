"""Asks whether all is as it should be: settings, state, texts, and LG for each account. It never changes anything.

Owns: what is asked of whom, and that one broken account, file or network keeps nothing else from being looked at.
Must not: judge what was found (that is ``examination``), print, write anywhere, or send anything but GET and a renewal
of a token. Works beside a running daemon.

Where the newest text is no good, the accounts are those that the state knows from the text before, as in the daemon,
and those that have credentials.
"""

from __future__ import annotations

import asyncio
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
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.environment import Environment
from reconciler.runtime.oneshot import Follower
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
        async with built(settings, state, keeps=False, read_only=True, masking=masking, environment=around) as parts:
            await parts.informer.begin()
            names = chosen(asked, _known(parts, asked))
            _follow(parts, names)
            accounts = await _each(parts, names, follower, clock)
            return Examination(_general(parts, unreadable), accounts)


def _opened(folder: Path, clock: Clock) -> tuple[State, str]:
    """Return the state as it can be read, and why it cannot."""
    try:
        return State.read_only(folder, clock), ""
    except StateError as error:
        return State.in_memory(clock), str(error)


def _judged(parts: Components) -> bool:
    """Say whether the newest text could be read and is in force."""
    return parts.informer.accepted.rejected is None and not parts.informer.trouble


def _known(parts: Components, asked: Sequence[str] | None) -> list[AccountName]:
    """Return the accounts there are; where no text says so, those that have credentials, or else the one by default."""
    accepted = parts.informer.accepted
    known = set(accepted.accounts)
    if asked or not _judged(parts):
        known |= parts.store.accounts()
    if asked and not _judged(parts):  # the text that names them may be the one that cannot be read
        known |= {AccountName(name) for name in asked}
    return sorted(known or {DEFAULT_ACCOUNT})


def _follow(parts: Components, names: Sequence[AccountName]) -> None:
    """Bring the clients in step with the accounts that the text names, and those that are looked at."""
    texts = parts.informer.accepted.accounts
    countries: dict[AccountName, str | None] = dict.fromkeys(names)
    countries |= {name: text.desired.country for name, text in texts.items()}
    parts.clients.follow(countries)
    for name in countries:
        parts.clients.limit(name, _policy(parts, name).calls_per_hour)
    parts.masking.know(parts.settings.secrets() | parts.store.secrets())


def _policy(parts: Components, name: AccountName) -> Policy:
    text = parts.informer.current(name)
    return text.desired.policy if text is not None else Policy()


def _general(parts: Components, unreadable: str) -> tuple[Finding, ...]:
    settings, accepted = parts.settings, parts.informer.accepted
    readers = (settings.listen_token_reader(), settings.webhook_secret_reader())
    secrets = [reader.read() for reader in readers if reader is not None]
    strays = parts.store.accounts() - accepted.accounts.keys() - accepted.retired if _judged(parts) else ()
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
            trouble=parts.state.trouble,
            unreadable=unreadable,
        ),
        diagnosis.desired_state(
            accepted,
            parts.informer.trouble,
            str(settings.desired_state),
            _abandoned(parts),
            git=settings.git_url is not None,
        ),
        diagnosis.folder(parts.store.warnings(), strays),
    )
    return tuple(finding for finding in findings if finding is not None)


def _abandoned(parts: Components) -> frozenset[AccountName]:
    accepted = parts.informer.accepted
    if not _judged(parts):
        return frozenset()
    try:
        return parts.state.live_accounts() - accepted.accounts.keys() - accepted.retired
    except StateError:  # it is told where the state is judged
        return frozenset()


async def _each(
    parts: Components, names: Sequence[AccountName], follower: Follower, clock: Clock
) -> tuple[Examined, ...]:
    """Look at the accounts, a few at once."""
    room = asyncio.Semaphore(parts.settings.workers)
    lists: dict[AccountName, Asked] = {}

    async def one(name: AccountName) -> list[Finding]:
        async with room:
            findings, asked = await _account(parts, name, clock)
        if asked is not None:
            lists[name] = asked
        follower.account_done()
        return findings

    follower.accounts(len(names))
    found = await asyncio.gather(*map(one, names), return_exceptions=True)
    findings = [[diagnosis.defect(each)] if isinstance(each, BaseException) else each for each in found]
    return tuple(Examined(name, (*each, *_alike(name, lists))) for name, each in zip(names, findings, strict=True))


def _alike(name: AccountName, lists: Mapping[AccountName, Asked]) -> list[Finding]:
    """Return the warning about other accounts that have this account's list, if there are any."""
    mine = lists.get(name)
    if mine is None or mine.list_hash is None or (mine.devices or 0) < ALIKE_FROM:
        return []
    others = [other for other, one in sorted(lists.items()) if other != name and one.list_hash == mine.list_hash]
    return [diagnosis.alike(mine.devices or 0, others)] if others else []


async def _account(parts: Components, name: AccountName, clock: Clock) -> tuple[list[Finding], Asked | None]:
    """Look at one account; return what was found, and what asking LG brought."""
    began, settings = clock.now(), parts.settings
    client, credentials = parts.clients(name), parts.clients.credentials(name)
    speaking: Speaking | str = str(credentials)
    asked: Asked | None = None
    if not isinstance(client, str) and not isinstance(credentials, str):
        speaking = Speaking(credentials, parts.store.origins(name), settings.phase, settings.request_timeout)
        asked = await _asked(parts, client, credentials, clock)
    findings = diagnosis.account(parts.informer.current(name), speaking, asked, judged=_judged(parts))
    tripped = asked.tripped if asked is not None else ()
    return [*findings, _quota(parts, name, began, clock.now()), *diagnosis.guards(tripped)], asked


async def _asked(parts: Components, client: Client, credentials: Credentials, clock: Clock) -> Asked:
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
    asked = await _listed(parts, credentials.account, client, asked, clock)
    ends = client.access.expires_at
    return replace(
        asked,
        expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        rotated=client.access.rotated,
    )


async def _listed(parts: Components, name: AccountName, client: Client, asked: Asked, clock: Clock) -> Asked:
    """Ask for the list, and what a pass would make of it. It may be long: only its length and its hash are kept."""
    times: list[tuple[datetime | None, datetime | None]] = []
    other_ids: list[bool] = []

    def heard(reply: Reply) -> None:
        times.append((envelope_time(reply), header_time(reply)))
        other_ids.append(differs(reply))

    asked = replace(asked, began=clock.now())
    try:
        observed = await client.list_devices(heard)
        plan = parts.reconciler.previews.weigh(name, observed)
        tripped = plan.tripped if plan is not None else ()
        devices = len(observed.devices)
        asked = replace(asked, devices=devices, list_hash=hash(observed.devices), tripped=tripped)
    except PlatformError as error:
        asked = replace(asked, error=error)
    envelope, header = times[-1] if times else (None, None)
    return replace(asked, ended=clock.now(), envelope=envelope, header=header, other_id=any(other_ids))


def _quota(parts: Components, name: AccountName, began: datetime, now: datetime) -> Finding:
    """Tell what is known of an account's calls: those that the state remembers, and ours."""
    quota = parts.clients.quota(name)
    remaining = quota.remaining(now.timestamp())
    calls = quota.learned.calls
    return diagnosis.quota(
        _policy(parts, name).calls_per_hour,
        limit=quota.limit,
        remaining=remaining,
        calls=len(calls),
        cost=sum(call >= began.timestamp() for call in calls),
    )
