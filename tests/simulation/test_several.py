"""Three daemons in the usual world: they keep every promise together, and the same seed is the same again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from reconciler.core.errors import StateError
from simulation.checker import Checker
from simulation.meaning import read
from simulation.modes import REPLICAS
from simulation.seed import run
from simulation.several.daemons import Daemons
from simulation.several.run import SharedRun
from simulation.test_simulation import simulate
from simulation.texts import Approved

HOUR = 3600.0
SOON = 5.0
"""By now what is done every second was done, in seconds."""


class Story(SharedRun):
    """Three daemons to which nothing happens for hours but what a test lets happen after the first one."""

    happens: Callable[[Story], Awaitable[None]]
    when: float

    @property
    def daemons(self) -> Daemons:
        """Return the daemons."""
        return cast("Daemons", self._machine)

    async def _trouble_then_rest(self) -> None:
        await self._life.begin(self._accounts)
        self._checker.started(dirty=False)
        self._machine.start()
        await asyncio.sleep(HOUR)
        self.when = self.loop.time()
        await self.happens(self)
        await asyncio.sleep(2 * HOUR)

    def logged_at(self, event: str) -> list[float]:
        """Return when a line was logged, from the moment on in which something happened."""
        return [at for at, text in self.report.timeline if at >= self.when and event in text]


def lived(folder: Path, happens: Callable[[Story], Awaitable[None]], seed: int = 5) -> Story:
    """Return a story in which something happens."""
    story = Story(seed, 24, folder, REPLICAS)
    story.happens = happens
    assert story.run().violation is None
    return story


def test_seeds_of_three_daemons_keep_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few seeds with three daemons go well, and the last line says so."""
    monkeypatch.chdir(tmp_path)
    code, said = simulate("--mode", "replicas", "--seeds", "2", "--hours", "8", "--from", "3")
    assert (code, said[-1]) == (0, "seeds 3..4: 0 violations")


def test_a_seed_of_three_daemons_is_the_same_again() -> None:
    """What happens to three daemons follows from the seed alone."""
    first = run(11, 6, REPLICAS).told()
    assert len(first) > 30
    assert run(11, 6, REPLICAS).told() == first


def test_an_owner_that_was_frozen_while_it_renewed_a_token_makes_no_outdated_change() -> None:
    """What it was about to unsubscribe was taken back meanwhile, and its lease had not ended when it went on."""
    assert run(27, 10.5, REPLICAS).violation is None


def test_a_write_that_failed_is_tried_again_each_second_where_nothing_else_happens(
    tmp_path: Path,
) -> None:
    """Time does not leap over that: until the write succeeds the daemon works on nothing that it takes."""

    async def happens(story: Story) -> None:
        node = story.daemons.nodes[0]
        assert node.daemon is not None
        assert node.daemon.process is not None
        state = node.daemon.process.components.state
        node.link.cut = True
        with pytest.raises(StateError):
            state._behind.storage.write(())
        node.link.cut = False

    story = lived(tmp_path, happens)
    (restored,) = story.logged_at("state.restored")
    assert restored < story.when + SOON


def test_accounts_that_are_freed_where_nothing_else_happens_are_taken_within_seconds(
    tmp_path: Path,
) -> None:
    """Time does not leap over the next look at the tables of those that take them."""

    async def happens(story: Story) -> None:
        node = story.daemons.nodes[0]
        assert node.daemon is not None
        assert node.daemon.process is not None
        assert node.daemon.process.replica is not None
        service = node.daemon.process.replica
        service._tenure.leave(service._tenure.known())
        await service._free_idle()
        assert not service._tenure.known()

    story = lived(tmp_path, happens)
    (taken,) = story.logged_at("accounts.taken")
    assert taken < story.when + SOON


def test_a_copy_of_the_files_in_another_folder_is_known_to_be_behind(tmp_path: Path) -> None:
    """Each daemon has its files in a folder of its own, and what one accepted is known to the next that reads them."""

    async def happens(story: Story) -> None:
        first = story.daemons.reader
        assert first is not None
        assert len(first.files) > 1
        for node in story.daemons.nodes:
            node.lag = 0.0 if node is first else 60.0
        await story._life._remove(1, approved=False, account="hotel-1")
        await asyncio.sleep(10)
        await story.daemons.stop_one(first)

    story = lived(tmp_path, happens)
    assert story.logged_at("source.behind")


def test_what_another_account_of_the_same_user_may_unsubscribe_comes_back_once(
    tmp_path: Path,
) -> None:
    """An approval lets it go although this account wants it: in the end each of the two needs one call more."""

    async def happens(story: Story) -> None:
        life = story._life
        assert life.user("hotel-1") is life.user("hotel-1-too")
        device, before = next(iter(life.fleet.accounts["hotel-1"].devices)), story._needed()
        approved = Approved("hotel-1-too", [device, "d" * 64], datetime(2030, 1, 1, tzinfo=UTC))
        life.fleet.approvals.append(approved)
        after = story._needed()
        life.fleet.approvals.remove(approved)
        assert device in story._live("hotel-1")
        assert after == {name: most + name.startswith("hotel-1") for name, most in before.items()}

    lived(tmp_path, happens, seed=8)


def test_a_device_is_absent_since_it_left_the_files() -> None:
    """That is so although the next change came before the checker could say which of the two was in force."""
    start, seconds = datetime(2026, 11, 1, tzinfo=UTC), [0.0]
    checker = Checker(
        lambda: seconds[-1],
        lambda: start + timedelta(seconds=seconds[-1]),
        observing=False,
        concurrency=1,
        user_of_token=lambda _token: None,
        state=Path,
    )
    checker.started(dirty=False)
    for at, devices in ((0.0, "['a', 'b']"), (100.0, "['b']"), (101.0, "['b', 'c']")):
        seconds.append(at)
        checker.step()
        text = f"version = 1\n[accounts.hotel]\ndevices = {devices}\n"
        checker.files_changed(read({"hotel.toml": text.encode()}, ""))
    seconds.append(200.0)
    checker.step()
    assert checker._known("hotel").left == {"a": start + timedelta(seconds=100)}
