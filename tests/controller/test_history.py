"""Whether a commit is in the history of what is in force, and when more of the history is fetched for that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from disks import StandingClock
from quiet_source import QuietSource
from reconciler.controller.history import DEEPEN_SECONDS, History
from reconciler.controller.reader import Reader
from reconciler.source import Fetched, FetchError, Known
from simulated import COMMIT

ASKED_FOR = "abc1234"


class Shallow(QuietSource):
    """A source that has a part of its history; what it knows of a revision, and what is wrong, is the test's."""

    def __init__(self, *, known: bool | None = None) -> None:
        self.known = known
        self.trouble = ""
        self.asked: list[tuple[str, str]] = []
        self.deepened = 0

    def fetch(self, known: Known | None = None) -> Fetched | None:
        """Bring nothing."""
        del known
        return None

    def holds(self, commit: str, revision: str) -> bool | None:
        """Say what is known."""
        self.asked.append((commit, revision))
        return self.known

    def deepen(self) -> None:
        """Have all of the history, in which the revision is, unless something is wrong."""
        self.deepened += 1
        if self.trouble:
            raise FetchError(self.trouble)
        self.known = True


@dataclass
class Asked:
    """A history with its source, its clock, and the lock that each reading holds."""

    source: Shallow
    clock: StandingClock = field(default_factory=StandingClock)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Put it together as the informer does."""
        reader = Reader(self.source, None, 1.0)
        self._history = History(self.source, reader, self.reading, self.clock)

    async def holds(self) -> bool:
        """Ask for one revision."""
        return await self._history.holds(COMMIT, ASKED_FOR)


def fetching() -> list[asyncio.Task[object]]:
    """Return what fetches history at present."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "history"]


async def fetched() -> None:
    """Wait until nothing fetches history."""
    await asyncio.gather(*fetching())


@pytest.mark.parametrize(("known", "deepened"), [(True, 0), (False, 0), (None, 1)])
async def test_only_what_cannot_be_known_yet_makes_more_history_be_fetched(
    *, known: bool | None, deepened: int
) -> None:
    """A revision that is surely in the history, or surely not, costs no fetch, which could tell nothing new."""
    one = Asked(Shallow(known=known))
    assert await one.holds() is (known is True)
    await fetched()
    assert one.source.asked == [(COMMIT.id, ASKED_FOR)]
    assert one.source.deepened == deepened


async def test_history_is_not_fetched_during_a_reading_and_nobody_waits_for_it() -> None:
    """Whoever asks hears at once that the revision is not known; once the reading is over the history is fetched."""
    one = Asked(Shallow())
    async with one.reading:
        assert await one.holds() is False
        assert len(fetching()) == 1
        assert await one.holds() is False
        assert one.source.deepened == 0
    await fetched()
    assert one.source.deepened == 1
    assert await one.holds() is True


@pytest.mark.parametrize("trouble", ["", "the remote is away"])
async def test_history_is_fetched_at_most_once_a_minute(trouble: str) -> None:
    """However often somebody asks, and also where it cannot be fetched, of which the log has a line."""
    one = Asked(Shallow())
    one.source.trouble = trouble
    found = []
    with capture_logs() as lines:
        for seconds in (0.0, 0.0, DEEPEN_SECONDS - 1, 1.0, DEEPEN_SECONDS - 0.5, 0.5):
            one.clock.wait(seconds=seconds)
            one.source.known = None
            assert await one.holds() is False
            await fetched()
            found.append(one.source.deepened)
    assert found == [1, 1, 1, 2, 2, 3]
    told = [(line["event"], line["kind"], line["error"]) for line in lines]
    assert told == [("source.failed", "fetch", trouble)] * (3 if trouble else 0)
