"""The clients of all accounts, in step with the credentials that a person or Kubernetes puts in place."""

from __future__ import annotations

import asyncio
import threading
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from reconciler.core.clock import Clock, TwoClocks
from reconciler.core.errors import CredentialsRefused, Outdated, Surprise
from reconciler.core.model import AccountName, DeviceId
from reconciler.pcc.client import Client
from reconciler.pcc.clients import LOOK_AGAIN_SECONDS, Clients
from reconciler.pcc.credential_store import CredentialStore
from reconciler.pcc.credentials import Credentials, Shared
from reconciler.pcc.quota import Learned
from reconciler.pcc.secret_files import Given
from reconciler.source.watch import watch
from reconciler.telemetry.masking import MASK, Masking
from reconciler.telemetry.metrics import Metrics
from recording import ACCESS, SERVICE_ID, SERVICE_KEY, StillClock
from simulated import SimulatedClock

SEOUL, BUSAN = AccountName("seoul"), AccountName("busan")
MINUTE = timedelta(minutes=1)
BOTH: dict[AccountName, str | None] = {SEOUL: None, BUSAN: None}


class Rig:
    """The clients of a folder of credentials, before a platform that says yes to everything."""

    def __init__(
        self,
        folder: Path,
        learned: Learned | None = None,
        *,
        by_account: Mapping[AccountName, Learned] = MappingProxyType({}),
        clock: Clock | None = None,
        store: type[CredentialStore] = CredentialStore,
        hands_on: Mapping[str, Any] = MappingProxyType({}),
        **shared: Any,
    ) -> None:
        self.folder = folder
        self.requests: list[httpx.Request] = []
        self.masking = Masking()
        self.refused: set[str] = set()
        self.message_id: str | None = None
        self.clock = StillClock()
        self.store = store(
            replace(
                Shared(
                    service_id=Given("PCC_SERVICE_ID", SecretStr(SERVICE_ID)),
                    service_key=Given("PCC_SERVICE_KEY", SecretStr(SERVICE_KEY)),
                    country="KR",
                    base_url="http://127.0.0.1:1",
                ),
                **shared,
            ),
            folder,
        )
        self.clients = Clients(
            httpx.AsyncClient(transport=httpx.MockTransport(self._respond)),
            self.store,
            Metrics(),
            timeout_seconds=30,
            clock=clock or self.clock,
            learned=lambda account: by_account.get(account) or learned or Learned(),
            masking=self.masking,
            watch=watch,
            **hands_on,
        )

    def give(self, account: str, token: str) -> None:
        """Put an account's token in its place."""
        (self.folder / f"{account}.access_token").write_text(token, encoding="utf-8")

    def client(self, account: AccountName) -> Client:
        """Return the client of an account that has one."""
        client = self.clients(account)
        assert isinstance(client, Client)
        return client

    async def token(self, account: AccountName) -> str:
        """Return the token that a call of the account goes out with."""
        await self.client(account).subscribe(DeviceId("a"))
        return str(self.requests[-1].headers["authorization"].removeprefix("Bearer "))

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.headers["authorization"].removeprefix("Bearer ") in self.refused:
            return httpx.Response(401)
        told = {"messageId": self.message_id or "m", "response": {}}
        dates = {"date": format_datetime(self.clock.now(), usegmt=True)}
        return httpx.Response(200, json=told, headers=dates)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return clients of an empty folder."""
    return Rig(tmp_path)


async def test_an_account_calls_with_its_own_token(rig: Rig) -> None:
    """Each account in force has a client that speaks with its token and nobody else's."""
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    assert rig.clients.follow(BOTH) == {SEOUL, BUSAN}
    assert [await rig.token(account) for account in (SEOUL, BUSAN)] == [
        "token-of-seoul",
        "token-of-busan",
    ]
    assert rig.client(SEOUL) is rig.client(SEOUL)
    assert rig.clients.follow(BOTH) == frozenset()


async def test_credentials_read_beside_the_loop_never_replace_newer_ones(rig: Rig) -> None:
    """What was read while another reading came before its end is read once more; a new secret is masked before use."""
    rig.give("seoul", "token-of-seoul")
    rig.clients.follow({SEOUL: None})
    rig.give("seoul", "token-of-seoul-2")
    rig.give("busan", "token-of-busan")
    looking = asyncio.create_task(rig.clients.look())
    await asyncio.sleep(0)
    assert rig.clients.follow(BOTH) == {SEOUL, BUSAN}
    assert await looking == frozenset()
    assert [await rig.token(account) for account in (SEOUL, BUSAN)] == [
        "token-of-seoul-2",
        "token-of-busan",
    ]
    rig.give("busan", "token-of-busan-2")
    assert await rig.clients.look() == {BUSAN}
    assert await rig.token(BUSAN) == "token-of-busan-2"
    assert rig.clients.serves(BOTH)
    assert not rig.clients.serves({SEOUL: None})


def test_an_account_without_credentials_answers_a_sentence(rig: Rig) -> None:
    """What lacks, and where it would have to be put, is said in words; no other account is concerned."""
    rig.give("seoul", ACCESS)
    rig.clients.follow(BOTH)
    assert "busan.access_token" in str(rig.clients(BUSAN))
    assert isinstance(rig.clients(SEOUL), Client)
    assert rig.clients(AccountName("jeju")) == "the account has no credentials"


def test_two_accounts_with_one_token_are_both_stopped(rig: Rig) -> None:
    """Each would unsubscribe the other's devices; the sentences name the other account and show no token."""
    rig.give("seoul", ACCESS)
    rig.give("busan", ACCESS)
    rig.clients.follow(BOTH)
    assert "account 'busan'" in str(rig.clients(SEOUL))
    assert "account 'seoul'" in str(rig.clients(BUSAN))
    assert ACCESS not in f"{rig.clients(SEOUL)} {rig.clients(BUSAN)}"
    rig.give("busan", "token-of-busan")
    assert rig.clients.refresh() == {SEOUL, BUSAN}
    assert isinstance(rig.clients(SEOUL), Client)


async def test_only_accounts_with_other_credentials_are_named(rig: Rig) -> None:
    """A new token of one account wakes that one, and its client goes on with it."""
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    before = rig.client(SEOUL)
    rig.give("seoul", "token-of-seoul-2")
    assert rig.clients.refresh() == {SEOUL}
    assert rig.client(SEOUL) is before
    assert await rig.token(SEOUL) == "token-of-seoul-2"
    assert rig.clients.refresh() == frozenset()


async def test_a_token_that_is_refused_is_looked_for_again_before_the_account_stops(
    rig: Rig,
) -> None:
    """What was put in its place a moment ago is used at once, masked, and told to whoever asks for changes later."""
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    rig.refused = {"token-of-seoul"}
    rig.give("seoul", "token-of-seoul-2")
    rig.give("busan", "token-of-busan-2")
    rig.clock.move(1)
    assert (await rig.client(SEOUL).list_devices()).devices == frozenset()
    assert rig.requests[-1].headers["authorization"] == "Bearer token-of-seoul-2"
    assert rig.masking.text("token-of-seoul-2") == MASK
    assert await rig.token(BUSAN) == "token-of-busan-2"
    assert rig.clients.refresh() == {SEOUL, BUSAN}
    assert rig.clients.refresh() == frozenset()


@pytest.mark.parametrize("beside_the_loop", [False, True])
async def test_what_several_refusals_found_is_named_once(
    rig: Rig, *, beside_the_loop: bool
) -> None:
    """Each account whose new token was found by a refusal is woken, however many readings came in between."""
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    rig.refused = {"token-of-seoul", "token-of-busan"}
    for account in BOTH:
        rig.give(account, f"token-of-{account}-2")
        rig.clock.move(1)
        await rig.client(account).list_devices()

    async def named() -> frozenset[AccountName]:
        return await rig.clients.look() if beside_the_loop else rig.clients.refresh()

    assert [await named(), await named()] == [{SEOUL, BUSAN}, set()]


class SlowStore(CredentialStore):
    """A store that reads as ever, and beside the event loop is in no hurry to say what it found."""

    def __init__(self, shared: Shared, directory: Path | None) -> None:
        super().__init__(shared, directory)
        self.has_read, self.may_end = threading.Event(), threading.Event()

    def read(
        self, accounts: Mapping[AccountName, str | None]
    ) -> Mapping[AccountName, Credentials | str]:
        """Read, and wait with the answer."""
        found = super().read(accounts)
        if threading.current_thread() is not threading.main_thread():
            self.has_read.set()
            self.may_end.wait(60)
        return found


async def test_what_was_read_before_a_newer_reading_is_not_used(tmp_path: Path) -> None:
    """The accounts are the same; the older token, which LG may refuse by now, does not come back."""
    rig = Rig(tmp_path, store=SlowStore)
    assert isinstance(rig.store, SlowStore)
    rig.give("seoul", "token-of-seoul")
    rig.clients.follow({SEOUL: None})
    rig.give("seoul", "token-of-yesterday")
    looking = asyncio.create_task(rig.clients.look())
    await asyncio.to_thread(rig.store.has_read.wait, 60)
    rig.give("seoul", "token-of-today-here")
    assert rig.clients.refresh() == {SEOUL}
    rig.store.may_end.set()
    assert await looking == frozenset()
    assert await rig.token(SEOUL) == "token-of-today-here"


async def test_an_account_that_may_not_be_called_for_is_stopped_alone(tmp_path: Path) -> None:
    """Another replica has it: no call of it goes out, and those of other accounts do."""

    def allow(account: AccountName) -> None:
        if account == BUSAN:
            raise Outdated("another replica has it")

    rig = Rig(tmp_path, hands_on={"allow": allow})
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    with pytest.raises(Outdated, match="another replica has it"):
        await rig.token(BUSAN)
    assert await rig.token(SEOUL) == "token-of-seoul"
    assert len(rig.requests) == 1


async def test_credentials_that_must_not_be_used_make_no_client(tmp_path: Path) -> None:
    """Whoever asks for the client learns why; that they are there is known all the same."""
    rig = Rig(tmp_path, hands_on={"refusal": {BUSAN: "its token is another account's"}.get})
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    assert rig.clients(BUSAN) == rig.clients.credentials(BUSAN) == "its token is another account's"
    assert isinstance(rig.clients.given(BUSAN), Credentials)
    assert isinstance(rig.clients.credentials(SEOUL), Credentials)
    assert await rig.token(SEOUL) == "token-of-seoul"


async def test_the_answer_to_another_accounts_request_is_not_believed(rig: Rig) -> None:
    """All accounts go through the same caches and proxies."""
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    await rig.client(SEOUL).list_devices()
    rig.message_id = rig.requests[0].headers["x-message-id"]
    with pytest.raises(Surprise, match="earlier request"):
        await rig.client(BUSAN).list_devices()


class HeardNames:
    """Takes what LG calls devices."""

    def __init__(self) -> None:
        self.of: list[AccountName] = []

    def hear(self, account: AccountName, names: Mapping[DeviceId, str]) -> None:
        """Keep whose names came."""
        del names
        self.of.append(account)


class HeardCalls:
    """Takes calls that are to be written down."""

    def __init__(self) -> None:
        self.of: list[AccountName] = []

    async def write(self, account: AccountName, learned: Learned) -> bool:
        """Keep whose calls came."""
        del learned
        self.of.append(account)
        return True


async def test_each_client_has_what_all_accounts_share(tmp_path: Path) -> None:
    """LG's time, what LG calls devices, the source of message ids and the ledger are those of the process."""
    names, ids = HeardNames(), [UUID(int=number, version=4) for number in range(9)]
    two = TwoClocks(StillClock())
    ledger = HeardCalls()
    shared = {"two_clocks": two, "names": names, "unique": iter(ids).__next__, "ledger": ledger}
    rig = Rig(tmp_path, hands_on=shared)
    rig.give("seoul", "token-of-seoul")
    rig.clients.follow({SEOUL: None})
    assert not two.is_sure
    await rig.client(SEOUL).registered()
    assert two.is_sure
    assert names.of == [SEOUL]
    sent = rig.requests[0].headers["x-message-id"]
    assert urlsafe_b64decode(f"{sent}==") == ids[0].bytes
    rig.clients.limit(SEOUL, 10)
    assert ledger.of == []
    await rig.client(SEOUL).list_devices()
    assert ledger.of == [SEOUL]


async def test_an_account_that_comes_back_begins_anew(rig: Rig) -> None:
    """What its client knew of another time does not count, such as when its last call was."""
    rig.give("seoul", "token-of-seoul")
    rig.clients.follow({SEOUL: None})
    await rig.token(SEOUL)
    assert rig.clients.last_call_at(SEOUL) == rig.clock.steady()
    rig.clients.follow({})
    rig.clients.follow({SEOUL: None})
    assert rig.clients.last_call_at(SEOUL) is None
    assert await rig.token(SEOUL) == "token-of-seoul"


async def test_a_fleet_of_dead_tokens_does_not_read_the_folder_for_each_of_them(rig: Rig) -> None:
    """Looking again costs a stat of every file, so once a second is enough for all accounts together."""
    rig.give("seoul", "token-of-seoul")
    rig.clients.follow({SEOUL: None})
    rig.refused = {"token-of-seoul"}
    rig.give("seoul", "token-of-seoul-2")
    with pytest.raises(CredentialsRefused):
        await rig.client(SEOUL).list_devices()
    rig.clock.move(1)
    await rig.client(SEOUL).list_devices()


async def test_a_credential_that_went_stops_the_client_that_is_in_use(rig: Rig) -> None:
    """A pass that still holds the client cannot make another call with what is gone; it is fine when it is back."""
    rig.give("seoul", ACCESS)
    rig.clients.follow({SEOUL: None})
    client = rig.client(SEOUL)
    (rig.folder / "seoul.access_token").unlink()
    assert rig.clients.refresh() == {SEOUL}
    assert isinstance(rig.clients(SEOUL), str)
    with pytest.raises(CredentialsRefused, match=r"seoul\.access_token"):
        await client.subscribe(DeviceId("a"))
    rig.give("seoul", ACCESS)
    assert rig.clients.refresh() == {SEOUL}
    assert await rig.token(SEOUL) == ACCESS


async def test_an_account_that_left_cannot_be_called_for(rig: Rig) -> None:
    """Neither a new asker nor a pass that still holds the client makes a call for it."""
    rig.give("seoul", ACCESS)
    rig.clients.follow({SEOUL: None})
    client = rig.client(SEOUL)
    rig.clients.follow({})
    assert rig.clients(SEOUL) == "the account has no credentials"
    with pytest.raises(CredentialsRefused, match="has left the desired state"):
        await client.subscribe(DeviceId("a"))
    assert rig.requests == []


async def test_the_quota_outlives_an_account_that_left(rig: Rig) -> None:
    """LG goes on counting while the account is away, so its calls of the hour are still there when it is back."""
    rig.give("seoul", ACCESS)
    rig.clients.follow({SEOUL: None})
    rig.clients.limit(SEOUL, 10)
    await rig.token(SEOUL)
    rig.clients.follow({})
    rig.clients.follow({SEOUL: None})
    assert rig.client(SEOUL).quota.remaining(StillClock().steady()) == 9


def test_a_limit_holds_before_there_is_a_client(rig: Rig) -> None:
    """The text may come before the credentials."""
    rig.clients.follow({SEOUL: None})
    rig.clients.limit(SEOUL, 10)
    rig.give("seoul", ACCESS)
    rig.clients.refresh()
    assert rig.client(SEOUL).quota.limit == 10


@pytest.mark.parametrize("step", [20 * MINUTE, -20 * MINUTE, 0 * MINUTE], ids=str)
def test_what_others_learned_of_each_account_is_as_old_as_it_is(
    tmp_path: Path, step: timedelta
) -> None:
    """Before a restart, or in another replica: calls end their hour when they would, though the clock was set since."""
    clock = SimulatedClock()
    minute = MINUTE.total_seconds()
    before = {
        SEOUL: Learned(tuple(clock.now().timestamp() - ago * minute for ago in (50, 30)), 70),
        BUSAN: Learned((clock.now().timestamp() - 10 * minute,), 90),
    }
    shown = {name: Learned(_set_by(one.calls, step), one.limit) for name, one in before.items()}
    rig = Rig(tmp_path, by_account=shown, clock=clock)
    clock.set_by(step)
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)

    def left() -> list[tuple[int | None, int | None]]:
        quotas = [rig.client(account).quota for account in (SEOUL, BUSAN)]
        return [(one.limit, one.remaining(rig.clients._two.timeline())) for one in quotas]

    assert left() == [(70, 68), (90, 89)]
    clock.pass_by(15 * MINUTE)
    assert left() == [(70, 69), (90, 89)]
    taken = (clock.now().timestamp() - 40 * minute, clock.now().timestamp() + 5 * minute)
    rig.clients.taken(BUSAN, Learned(taken, 80))  # and six that its last owner may not have written
    assert left() == [(70, 69), (80, 72)]
    clock.pass_by(25 * MINUTE)
    assert left() == [(70, 70), (80, 73)]
    clock.pass_by(30 * MINUTE)
    assert left() == [(70, 70), (80, 73)]
    clock.pass_by(10 * MINUTE)
    assert left() == [(70, 70), (80, 80)]


def _set_by(calls: Sequence[float], step: timedelta) -> tuple[float, ...]:
    """Return when calls were by a clock that was set since."""
    return tuple(call + step.total_seconds() for call in calls)


def test_what_was_learned_before_this_process_is_known(tmp_path: Path) -> None:
    """A restart forgets neither the calls of the last hour nor the limit."""
    rig = Rig(tmp_path, Learned((StillClock().steady() - 60,), 100))
    rig.give("seoul", ACCESS)
    rig.clients.follow({SEOUL: None})
    assert rig.client(SEOUL).quota.remaining(StillClock().steady()) == 99


@asynccontextmanager
async def watching(clients: Clients) -> AsyncIterator[asyncio.Queue[frozenset[AccountName]]]:
    """Give the news of credentials as they come, as the daemon would take them."""
    news: asyncio.Queue[frozenset[AccountName]] = asyncio.Queue()

    async def follow() -> None:
        async for _ in clients.changes():
            changed = clients.refresh()
            if changed:
                news.put_nowait(changed)

    task = asyncio.create_task(follow())
    for _ in range(20):  # the watch begins with the first steps of the task, and tells nobody
        await asyncio.sleep(0)
    try:
        yield news
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


SOON = LOOK_AGAIN_SECONDS - 1
"""What comes sooner than the regular look came from the kernel."""


async def test_a_plain_write_is_noticed_at_once(rig: Rig) -> None:
    """A person who writes a token file does not wait for the next regular look."""
    rig.give("seoul", ACCESS)
    rig.clients.follow({SEOUL: None})
    async with watching(rig.clients) as news:
        rig.give("seoul", "token-of-today")
        assert await asyncio.wait_for(news.get(), SOON) == {SEOUL}
        assert await rig.token(SEOUL) == "token-of-today"


def mount(folder: Path, version: str, token: str) -> None:
    """Put a version of a Secret in place as Kubernetes does: a new folder, and a link swapped over the old one."""
    (folder / version).mkdir()
    (folder / version / "seoul.access_token").write_text(token, encoding="utf-8")
    link = folder / "..data_tmp"
    link.symlink_to(version)
    link.rename(folder / "..data")


async def test_a_swap_of_a_mounted_secret_is_noticed_at_once(tmp_path: Path) -> None:
    """Kubernetes replaces a mounted Secret by one swap of a link; the files themselves never change."""
    mount(tmp_path, "..2026_1", ACCESS)
    (tmp_path / "seoul.access_token").symlink_to("..data/seoul.access_token")
    rig = Rig(tmp_path)
    rig.clients.follow({SEOUL: None})
    async with watching(rig.clients) as news:
        mount(tmp_path, "..2026_2", "token-of-today")
        assert await asyncio.wait_for(news.get(), SOON) == {SEOUL}
        assert await rig.token(SEOUL) == "token-of-today"


async def test_a_file_of_the_services_own_is_watched_too(tmp_path: Path) -> None:
    """A service key that is renewed is in use for every account."""
    key, folder = tmp_path / "own" / "key", tmp_path / "tokens"
    key.parent.mkdir()
    folder.mkdir()
    key.write_text(SERVICE_KEY, encoding="utf-8")
    rig = Rig(folder, service_key=Given("PCC_SERVICE_KEY", path=key))
    rig.give("seoul", "token-of-seoul")
    rig.give("busan", "token-of-busan")
    rig.clients.follow(BOTH)
    async with watching(rig.clients) as news:
        key.write_text("service-key-of-today", encoding="utf-8")
        assert await asyncio.wait_for(news.get(), SOON) == {SEOUL, BUSAN}


async def test_looking_goes_on_where_there_is_nothing_to_watch(tmp_path: Path) -> None:
    """A folder that is not there yet is found by a regular look."""
    rig = Rig(tmp_path / "later")
    rig.clients.follow({SEOUL: None})
    assert isinstance(rig.clients(SEOUL), str)
    async with watching(rig.clients) as news:
        rig.folder.mkdir()
        rig.give("seoul", ACCESS)
        assert await asyncio.wait_for(news.get(), 2 * LOOK_AGAIN_SECONDS + 5) == {SEOUL}
        rig.give("seoul", "token-of-today")
        assert await asyncio.wait_for(news.get(), 2 * LOOK_AGAIN_SECONDS + 5) == {SEOUL}
