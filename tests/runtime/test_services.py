"""The services of the daemon one by one: what wakes whom, what is reported once, and what waits for what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from reconciler.runtime.services.credentials import CredentialFollower
from reconciler.runtime.services.source import AGAIN, SourceFollower
from reconciler.runtime.services.state import StateKeeper


class Disk:
    """A state whose disk has trouble, or none."""

    def __init__(self) -> None:
        self.trouble = ""
        self.news: list[str] = []
        self.wakes = 0
        self.shown: list[bool] = []

    @property
    def writable(self) -> bool:
        """Say whether it can be written."""
        return not self.trouble

    def notices(self) -> list[str]:
        """Return what else a person should know, once."""
        news, self.news = self.news, []
        return news

    def wake_all(self) -> None:
        """Hear that all accounts need a pass."""
        self.wakes += 1


def test_trouble_with_the_disk_is_reported_once_and_so_is_its_end() -> None:
    """Other words are other trouble; what was held because of it need not wait for the next routine pass."""
    disk = Disk()
    metrics = SimpleNamespace(state_writable=SimpleNamespace(set=disk.shown.append))
    components = SimpleNamespace(state=disk, metrics=metrics)
    keeper = StateKeeper(cast("Any", components), cast("Any", disk))
    disk.trouble = "no room"
    with capture_logs() as lines:
        keeper.show()
        assert not keeper.opened
        keeper.show()
        disk.trouble = "no such disk"
        keeper.show()
        assert (disk.wakes, keeper.opened) == (0, False)
        disk.trouble = ""
        keeper.show()
        assert (disk.wakes, keeper.opened) == (1, True)
        keeper.show()
        disk.trouble, disk.news = "no room", ["no room"]
        keeper.show()
        disk.news = ["history lacks 3 changes"]
        keeper.show()
        assert (disk.wakes, keeper.opened) == (1, True)
    told = [(line["event"], line.get("error")) for line in lines]
    assert told == [
        ("state.failed", "no room"),
        ("state.failed", "no such disk"),
        ("state.restored", None),
        ("state.failed", "no room"),
        ("state.failed", "history lacks 3 changes"),
    ]
    assert disk.shown == [False, False, False, True, True, False, False]


class Around:
    """A source, who reads it, and the queue of passes."""

    def __init__(self, kind: str) -> None:
        self.kind, self.persistent = kind, False
        self.is_quiet = self.looks_different = self.reading = False
        self.trouble = ""
        self.done: list[tuple[str, bool]] = []

    # -- the source

    async def wakes(self) -> AsyncIterator[None]:
        """Say once that there may be something new."""
        yield None

    def poll(self) -> bool:
        """Say whether the files look different."""
        return self.looks_different

    # -- who reads it

    async def begin(self) -> None:
        """Bring the first revision into force."""
        self.done.append(("begin", self.is_quiet))

    async def refresh(self) -> None:
        """Read it."""
        self.done.append(("refresh", self.is_quiet))

    async def settle(self) -> None:
        """Look whether something has settled."""
        self.done.append(("settle", self.is_quiet))

    # -- the queue

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Begin no routine pass."""
        self.is_quiet = True
        yield
        self.is_quiet = False


class Jobs:
    """The short jobs that are under way."""

    def __init__(self, *names: str) -> None:
        self.names = [*names]
        self.begun: list[tuple[str, Coroutine[Any, Any, None]]] = []

    @property
    def busy(self) -> bool:
        """Say whether any is under way."""
        return bool(self.names)

    def has(self, name: str) -> bool:
        """Say whether one of that name is under way."""
        return name in self.names

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Take one."""
        self.begun.append((name, work))

    async def work(self) -> list[str]:
        """Do what was begun, and return the names."""
        for _, one in self.begun:
            await one
        return [name for name, _ in self.begun]


def following(around: Around, jobs: Jobs) -> SourceFollower:
    """Return what follows a source."""
    components = SimpleNamespace(
        source=around, informer=around, clock=SimpleNamespace(steady=lambda: 0.0)
    )
    return SourceFollower(cast("Any", components), cast("Any", around), cast("Any", jobs))


@pytest.mark.parametrize(("kind", "waits"), [("file", True), ("git", False)])
async def test_passes_wait_for_files_and_not_for_a_repository(kind: str, *, waits: bool) -> None:
    """Files are read in a moment, and a pass in that moment would rest on an older revision."""
    around = Around(kind)
    await following(around, Jobs()).run()
    assert around.done == [("begin", False), ("refresh", waits)]


@pytest.mark.parametrize(
    ("reading", "job", "different", "done"),
    [
        (False, "", True, ["refresh"]),
        (False, "", False, ["settle"]),
        (True, "", True, []),
        (False, "pushed", True, []),
    ],
)
async def test_files_are_looked_at_while_nothing_else_reads_them(
    *, reading: bool, job: str, different: bool, done: list[str]
) -> None:
    """What looks different is read, and what does not may have settled meanwhile."""
    around, jobs = Around("file"), Jobs(*filter(None, [job]))
    around.reading, around.looks_different = reading, different
    following(around, jobs).poll()
    await jobs.work()
    assert [one for one, _ in around.done] == done


@pytest.mark.parametrize(
    ("trouble", "persistent", "reading", "job", "again"),
    [
        ("it is away", False, False, "", True),
        ("it is away", False, False, "look", True),
        ("it is away", False, False, AGAIN, False),
        ("it is away", False, True, "", False),
        ("it is away", True, False, "", False),
        ("", False, False, "", False),
    ],
)
async def test_a_reading_that_failed_is_made_again_once_at_a_time(
    *, trouble: str, persistent: bool, reading: bool, job: str, again: bool
) -> None:
    """Unless the source comes back to it on its own, as a repository does."""
    around, jobs = Around("file"), Jobs(*filter(None, [job]))
    around.trouble, around.persistent, around.reading = trouble, persistent, reading
    following(around, jobs).fetch_again()
    assert await jobs.work() == ([AGAIN] if again else [])
    assert around.done == ([("refresh", True)] if again else [])


class Clients:
    """Clients whose credentials change."""

    def __init__(self) -> None:
        self.looks = 0

    async def changes(self) -> AsyncIterator[None]:
        """Say twice that something may have changed."""
        yield None
        yield None

    async def look(self) -> frozenset[str]:
        """Return the accounts with other credentials."""
        self.looks += 1
        return frozenset({f"hotel-{self.looks}"})


async def test_accounts_with_other_credentials_try_at_once() -> None:
    """Whenever the files say so, and when a person asks; one look is under way at a time."""
    clients, jobs, told = Clients(), Jobs(), list[frozenset[str]]()
    dispatcher = SimpleNamespace(credentials_changed=told.append)
    follower = CredentialFollower(
        cast("Any", SimpleNamespace(clients=clients)), cast("Any", dispatcher), cast("Any", jobs)
    )
    await follower.run()
    assert told == [frozenset({"hotel-1"}), frozenset({"hotel-2"})]
    follower.read_again()
    assert await jobs.work() == ["credentials"]
    assert told[-1] == frozenset({"hotel-3"})
    jobs.names = ["credentials"]
    follower.read_again()
    await asyncio.sleep(0)
    assert clients.looks == 3
