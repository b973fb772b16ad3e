"""When the receiving process says that it is ready."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.runtime.receiving.health import PATIENCE_SECONDS, ReceiverHealth


@dataclass
class Clock:
    """A clock that is moved by hand."""

    seconds: float = 0.0

    def steady(self) -> float:
        """Return the seconds."""
        return self.seconds


@dataclass
class Spool:
    """A spool that is open or not."""

    is_open: bool = False
    trouble: str = ""

    def stuck(self) -> str:
        """Return what is wrong."""
        return self.trouble


@dataclass
class Files:
    """Files that were read once or not."""

    was_read: bool = False


def test_it_is_ready_once_the_spool_is_open_and_everything_was_read() -> None:
    """Each of the files is waited for."""
    spool, first, second = Spool(), Files(), Files()
    health = ReceiverHealth(spool, [first, second], Clock())
    assert health.ready() == "the spool is not open"
    spool.is_open = True
    assert health.ready() == "files are not read yet"
    first.was_read = True
    assert health.ready() == "files are not read yet"
    second.was_read = True
    assert health.ready() == ""
    assert health.live() == ""


def test_files_are_waited_for_no_longer_than_ten_seconds() -> None:
    """A repository that does not answer keeps no event out; a spool that cannot be opened does."""
    spool, clock = Spool(is_open=True), Clock()
    health = ReceiverHealth(spool, [Files()], clock)
    clock.seconds = PATIENCE_SECONDS - 0.1
    assert health.ready()
    clock.seconds = PATIENCE_SECONDS
    assert not health.ready()
    spool.is_open = False
    assert health.ready()


def test_it_is_not_alive_once_its_spool_writes_no_more() -> None:
    """Only a new start helps then, and the answer says why."""
    spool = Spool(is_open=True)
    health = ReceiverHealth(spool, [], Clock())
    assert health.live() == ""
    spool.trouble = "the thread ended"
    assert health.live() == "the thread ended"
