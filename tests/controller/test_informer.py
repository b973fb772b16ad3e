"""The way of a text into force: what is kept, told, rejected and recalled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from quiet_source import QuietSource
from reconciler.controller.informer import Informer
from reconciler.core.errors import Fault, Invalid, SourceError, StateError
from reconciler.core.model import (
    AccountName,
    Action,
    Cause,
    Commit,
    DeviceId,
    Observed,
    PassId,
    Reason,
    Retry,
    Verified,
)
from reconciler.core.windows import Opening
from reconciler.desired import Document, MemoryTree
from reconciler.runtime.clock import SystemClock
from reconciler.source import (
    NOTHING,
    Fetched,
    FetchError,
    Known,
    MissingError,
)
from reconciler.state import KeptText, State
from reconciler.telemetry.metrics import Metrics
from scenarios import eventually

EAST, WEST, NORTH = (AccountName(name) for name in ("east", "west", "north"))


def text(account: str, *devices: str, head: str = "") -> bytes:
    """Return a text of one account."""
    listed = ", ".join(f'"{device}"' for device in devices)
    return f"version = 1\n{head}\n[accounts.{account}]\ndevices = [{listed}]\n".encode()


class MemorySource(QuietSource):
    """A source that holds what a test puts into it, and counts how often it is read."""

    def __init__(self, **files: bytes) -> None:
        self.files = {f"{name}.toml": content for name, content in files.items()}
        self.unreadable: tuple[Fault, ...] = ()
        self.error: Exception | None = None
        self.fetched = 0
        self.on_fetch: Callable[[], object] = lambda: None
        self.unsettled = 0
        self.identity = ""
        self.cause: Cause | None = None
        self.head: Commit | None = None
        self.known: list[Known] = []
        self.history: frozenset[str] = frozenset()
        self.older: frozenset[str] = frozenset()
        self.deepened = 0

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the files, or raise what is wrong."""
        self.fetched += 1
        self.known.append(known)
        self.on_fetch()
        if self.error is not None:
            raise self.error
        documents = tuple(
            Document(path, self.files[path])
            for path in sorted(self.files)
            if path.endswith(".toml")
        )
        if self.identity and self.identity == known.identity:
            return None
        return Fetched(
            documents, MemoryTree(self.files), self.unreadable, self.cause, self.identity
        )

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Return the commit that a test says."""
        del files
        return self.head

    def holds(self, commit: str, revision: str) -> bool | None:
        """Say what is known of the history: what ``history`` lists, and more after it was fetched."""
        del commit
        return True if revision in self.history else (None if self.older else False)

    def deepen(self) -> None:
        """Fetch the older history."""
        self.deepened += 1
        if self.error is not None:
            raise self.error
        self.history, self.older = self.history | self.older, frozenset()

    def settled(self) -> bool:
        """Say that nothing changed while it was read, unless a test wants some readings to be in vain."""
        self.unsettled -= 1
        return self.unsettled < 0


class Office:
    """An intake with all that it works with."""

    def __init__(
        self, source: MemorySource, state: State | None = None, patience: float = 60
    ) -> None:
        self.source = source
        self.state = state or State.in_memory(SystemClock())
        self.metrics = Metrics()
        self.told: list[tuple[AccountName, ...]] = []
        self.threads: set[threading.Thread] = set()
        self.informer = Informer(
            source,
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            self.metrics,
            changed=self.take,
            patience=patience,
            clock=SystemClock(),
            opened_windows=self.state.opened_windows,
        )

    def take(self, accounts: Iterable[AccountName]) -> None:
        """Take the news."""
        self.threads.add(threading.current_thread())
        self.told.append(tuple(sorted(accounts)))

    def devices(self, account: AccountName) -> set[str]:
        """Return what is in force for an account."""
        found = self.informer.current(account)
        return set() if found is None else set(found.desired.devices)

    def restarted(self) -> Office:
        """Return the office of a new process on the same state."""
        return Office(self.source, self.state)

    def metric(self, line: str) -> bool:
        """Say whether a line is in the metrics."""
        return f"{line}\n" in generate_latest(self.metrics.registry).decode()


async def test_change_is_told_once_and_for_whom_it_concerns() -> None:
    """A text that says the same again is no news; one that changes an account is news of that account."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    await office.informer.refresh()
    office.source.files["east.toml"] = text("east", "a", "c")
    await office.informer.refresh()
    assert office.told == [(EAST, WEST), (EAST,)]
    assert (office.devices(EAST), office.devices(WEST)) == ({"a", "c"}, {"b"})


async def test_news_come_in_the_loop() -> None:
    """Who is told, at a refresh or at the beginning, is told in the event loop's own thread."""
    office = Office(MemorySource(east=text("east", "a")))
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.begin()
    assert again.told == [(EAST,)]
    assert office.threads | again.threads == {threading.current_thread()}


async def test_nobody_is_told_of_a_recalled_text_before_the_newest_was_read() -> None:
    """At the beginning each account is told of once, with the newest text, and never with the recalled one alone."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    office.source.files["east.toml"] = text("east", "a", "c")
    again = office.restarted()
    await again.informer.recall()
    assert not again.told
    await again.informer.begin()
    assert again.told == [(EAST,), (WEST,)]
    assert again.devices(EAST) == {"a", "c"}


async def test_state_knows_before_others_are_told() -> None:
    """When accounts are told of a text the state already knows what they want."""
    office = Office(MemorySource(east=text("east", "a", "b")))
    await office.informer.refresh()
    seen: list[Any] = []
    office.informer._changed = lambda _accounts: seen.append(
        office.state.accounts.recall(EAST, SystemClock().now()).absent_since
    )
    office.source.files["east.toml"] = text("east", "a")
    await office.informer.refresh()
    assert [set(one) for one in seen] == [{"b"}]


async def test_reading_that_was_disturbed_is_done_again() -> None:
    """A text whose files changed while it was read is not judged; the reading after that is."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.unsettled = 3
    await office.informer.refresh()
    assert office.source.fetched == 4
    assert len(office.told) == 1


async def test_wakes_during_a_reading_are_one_more_reading() -> None:
    """However many wakes come while a text is read, they lead to one more reading, and its text is the newest."""
    office = Office(MemorySource(east=text("east", "a")))
    gate = threading.Event()
    office.source.on_fetch = gate.wait
    first = asyncio.create_task(office.informer.refresh())
    await eventually(lambda: office.source.fetched)
    others = [asyncio.create_task(office.informer.refresh()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert office.source.fetched == 2


async def test_wake_that_is_broken_off_does_not_end_all_wakes() -> None:
    """A refresh cancelled while it waited for its turn leaves the way free for the next."""
    office = Office(MemorySource(east=text("east", "a")))
    gate = threading.Event()
    office.source.on_fetch = gate.wait
    first = asyncio.create_task(office.informer.refresh())
    await eventually(lambda: office.source.fetched)
    waiting = asyncio.create_task(office.informer.refresh())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    gate.set()
    await first
    office.source.files["east.toml"] = text("east", "c")
    await office.informer.refresh()
    assert office.devices(EAST) == {"c"}


FAULTY = b"version = 1\n[accounts.west]\ndevcies = []\n"


async def test_rejected_text_is_told_and_so_is_its_mending() -> None:
    """A faulty file marks its accounts and no others; back at the text before, all is as it was, and said so."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    good = office.source.files["west.toml"]
    with capture_logs() as events:
        office.source.files["west.toml"] = FAULTY
        await office.informer.refresh()
        await office.informer.refresh()
        west = office.informer.current(WEST)
        assert west is not None
        assert (west.rejected, office.devices(WEST)) == (Cause.INVALID, {"b"})
        assert office.metric('pcc_desired_rejected{cause="invalid"} 1.0')
        assert office.metric("pcc_desired_last_reload_successful 0.0")
        office.source.files["west.toml"] = good
        await office.informer.refresh()
    assert office.told[1:] == [(WEST,), (WEST,)]
    assert office.metric('pcc_desired_rejected{cause="invalid"} 0.0')
    told = [event["event"] for event in events]
    assert told.count("desired.rejected") == 1
    assert told[-1] == "desired.accepted"


async def test_each_other_set_of_faults_is_told_once() -> None:
    """A person who corrects one of two faults reads what is left; the time of the last good revision stays."""
    office = Office(MemorySource(east=text("east", "a")))
    await office.informer.refresh()
    reloaded = "pcc_desired_last_reload_success_timestamp_seconds"
    good = office.metrics.registry.get_sample_value(reloaded)
    assert good
    told = []
    for head in ("prnue = 1\npasue = 1", "prnue = 1", "prnue = 1"):
        office.source.files["east.toml"] = text("east", "a", head=head)
        with capture_logs() as events:
            await office.informer.refresh()
        told += [len(one["faults"]) for one in events if one["event"] == "desired.rejected"]
    assert told == [2, 1]
    assert office.metrics.registry.get_sample_value(reloaded) == good


NAMED, DATED = "{ id = 'a', name = 'Lobby' }", "{ id = 'a', until = 2030-01-01T00:00:00Z }"


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [
        (("'a'",), ("'a'", "'b'"), True),
        (("'a'",), (NAMED,), False),
        ((NAMED,), (DATED,), False),
        ((NAMED,), ("'a'",), False),
        ((NAMED, "'b'"), (NAMED,), True),
        (("'a'", "'b'"), ("'b'",), False),
    ],
)
async def test_an_edit_of_its_entry_ends_the_wait_of_a_device(
    before: tuple[str, ...], after: tuple[str, ...], *, waits: bool
) -> None:
    """A person who edits an entry expects another try; what is edited beside it ends no wait."""
    office = Office(MemorySource(east=entries(*before)))
    await office.informer.refresh()
    now, device = SystemClock().now(), DeviceId("a")
    live(office, EAST, "a")
    wait = Retry(Action.UNSUBSCRIBE, Reason.REFUSED, 1, now + timedelta(hours=1))
    office.state.changes.record(EAST, PassId("pass"), (), {device: wait}, now)
    office.source.files["east.toml"] = entries(*after)
    await office.informer.refresh()
    assert (device in office.state.accounts.recall(EAST, now).retries) is waits


def entries(*listed: str) -> bytes:
    """Return a text of one account with these entries."""
    return f"version = 1\n[accounts.east]\ndevices = [{', '.join(listed)}]\n".encode()


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (MissingError("nothing there"), "missing", Cause.MISSING),
        (FetchError("the remote does not answer"), "fetch", None),
        (SourceError("the disk is ill"), "unreadable", None),
        (RuntimeError("a defect"), "defect", Cause.INVALID),
    ],
)
async def test_text_that_cannot_be_had_keeps_what_is_in_force(
    error: Exception, kind: str, cause: Cause | None
) -> None:
    """Whatever keeps the newest text away is counted each time, logged once, shown, and over when it is over."""
    office = Office(MemorySource(east=text("east", "a")))
    await office.informer.refresh()
    office.source.error = error
    with capture_logs() as events:
        await office.informer.refresh()
        await office.informer.refresh()
    assert office.devices(EAST) == {"a"}
    assert office.informer.accepted.rejected is cause
    assert office.informer.trouble
    assert office.metric(f'pcc_source_errors_total{{kind="{kind}"}} 2.0')
    names = [event["event"] for event in events]
    assert len(names) == len(set(names)) >= 1
    office.source.error = None
    await office.informer.refresh()
    assert (office.informer.trouble, office.informer.accepted.rejected) == ("", None)


async def test_files_that_never_rest_are_a_fault_of_the_source() -> None:
    """When no reading is whole for too long that is told, and what is in force stays."""
    office = Office(MemorySource(east=text("east", "a")), patience=0.3)
    await office.informer.refresh()
    office.source.unsettled = 1_000_000
    await office.informer.refresh()
    assert office.metric('pcc_source_errors_total{kind="restless"} 1.0')
    assert "keep changing" in office.informer.trouble
    assert office.devices(EAST) == {"a"}


async def test_unreadable_file_is_a_faulty_file() -> None:
    """A document that cannot be read keeps its accounts as they are while the others go on."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    del office.source.files["west.toml"]
    office.source.unreadable = (Fault("west.toml", 0, 0, "is not a regular file"),)
    office.source.files["east.toml"] = text("east", "c")
    await office.informer.refresh()
    assert (office.devices(EAST), office.devices(WEST)) == ({"c"}, {"b"})
    assert not office.informer.accepted.abandoned


async def test_unreadable_file_that_nobody_knows_may_hold_the_policy() -> None:
    """A document that could never be read may hold what concerns all, so nothing is done without it."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.unreadable = (Fault("policy.toml", 0, 0, "is not a regular file"),)
    await office.informer.refresh()
    assert not office.informer.accepted.accounts
    assert office.informer.accepted.rejected is Cause.INVALID


async def test_kept_texts_go_on_after_a_restart() -> None:
    """A restart that finds a faulty file goes on with what was accepted, each account with its own revision."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    office.source.files |= {"west.toml": FAULTY, "east.toml": text("east", "c")}
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.recall()
    assert (again.devices(EAST), again.devices(WEST)) == ({"c"}, {"b"})
    await again.informer.refresh()
    west, east = again.informer.current(WEST), again.informer.current(EAST)
    assert west is not None
    assert east is not None
    assert (west.rejected, east.rejected) == (Cause.INVALID, None)
    assert west.revision != east.revision


async def test_a_faulty_file_brings_back_no_older_device_files_of_others() -> None:
    """What is kept of a file is what it was read from, so an older text of one file takes nothing back in another."""
    listing = b"version = 1\n[accounts.east]\ndevice_files = ['east.txt']\n"
    office = Office(MemorySource(east=listing, west=text("west", "b")))
    office.source.files["east.txt"] = b"a\n"
    await office.informer.refresh()
    office.source.files |= {"west.toml": FAULTY, "east.txt": b"a\nc\n"}
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.recall()
    assert (again.devices(EAST), again.devices(WEST)) == ({"a", "c"}, {"b"})


async def test_file_that_went_is_not_recalled() -> None:
    """What a person removed stays removed after a restart."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    del office.source.files["west.toml"]
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.recall()
    assert set(again.informer.accepted.accounts) == {EAST}


async def test_what_a_process_had_no_time_to_keep_is_kept_by_the_next() -> None:
    """Where a process ended between two files of one edit, a later start finds no older one in their place."""
    office = Office(MemorySource(east=text("east", "a", "b"), west=text("west", "b")))
    await office.informer.refresh()
    (old,) = [one for one in office.state.revisions.kept() if one.document == "east.toml"]
    office.source.files |= {"east.toml": text("east", "a"), "west.toml": text("west", "c")}
    await office.informer.refresh()
    office.state.revisions.keep([old])  # as if it had come no further
    again = office.restarted()
    await again.informer.recall()
    await again.informer.refresh()
    office.source.files["east.toml"] = FAULTY
    later = office.restarted()
    await later.informer.recall()
    await later.informer.refresh()
    assert later.devices(EAST) == {"a"}


async def test_rejected_whole_is_not_kept() -> None:
    """A text of which nothing was accepted is not what a restart recalls."""
    office = Office(MemorySource(east=text("east", "a")))
    await office.informer.refresh()
    office.source.files["east.toml"] = text("east", "c", head="timezone = 'Nowhere/At_All'")
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.recall()
    assert again.devices(EAST) == {"a"}


def unreadable() -> list[KeptText]:
    """Fail."""
    raise StateError("the state cannot be read: the disk is ill")


async def test_state_that_cannot_be_read_is_told_and_no_end() -> None:
    """Where kept texts cannot be read that is said, and the newest text comes into force all the same."""
    state = State.in_memory(SystemClock())
    state.revisions.kept = unreadable  # type: ignore[method-assign]  # an unlucky disk
    office = Office(MemorySource(east=text("east", "a")), state)
    with capture_logs() as events:
        await office.informer.recall()
    assert [event["event"] for event in events] == ["state.failed"]
    await office.informer.refresh()
    assert office.devices(EAST) == {"a"}


async def test_one_shot_commands_insist_on_the_newest_text() -> None:
    """A command that must not fall back gets every fault, or why there is no text."""
    office = Office(MemorySource(west=FAULTY, east=text("east", "a")))
    with pytest.raises(Invalid, match="devcies"):
        await office.informer.require()
    office = Office(MemorySource())
    office.source.error = MissingError("x.toml: there is no such file")
    with pytest.raises(Invalid, match="there is no such file"):
        await office.informer.require()
    office.source.error = SourceError("x.toml: cannot be read")
    with pytest.raises(Invalid, match=r"cannot be read|no such file"):
        await office.informer.require()


async def test_retired_account_is_forgotten(tmp_path: Path) -> None:
    """An account without live devices just goes; a name in retired_accounts makes the state forget."""
    office = Office(
        MemorySource(east=text("east", "a"), west=text("west", "b")),
        State.open(tmp_path, SystemClock()),
    )
    await office.informer.refresh()
    live(office, EAST, "a")
    live(office, WEST, "b")
    del office.source.files["west.toml"]
    office.source.files["east.toml"] = text("east", "a", head='retired_accounts = ["west"]')
    await office.informer.refresh()
    assert office.told[-1] == (WEST,)
    assert office.state.accounts.live_accounts() == {EAST}
    assert not office.informer.accepted.abandoned
    assert office.metric('pcc_accounts{condition="abandoned"} 0.0')
    office.state.close()


def signed(name: str, verified: Verified = Verified.YES) -> Commit:
    """Return a commit."""
    return Commit(
        name * 40, "Kim <kim@example.com>", "Change", datetime(2026, 11, 1, tzinfo=UTC), verified
    )


async def test_what_is_known_is_not_judged_again() -> None:
    """A source that has nothing new costs no second load, and counts as reached; after a failure it is read again."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.identity = "one"
    await office.informer.refresh()
    office.informer.fetched_at = 0
    await office.informer.refresh()
    assert office.informer.fetched_at > 0
    office.source.error = FetchError("the remote does not answer")
    await office.informer.refresh()
    office.source.error = None
    await office.informer.refresh()
    assert [known.identity for known in office.source.known] == ["", "one", "one", ""]
    assert (office.informer.trouble, office.devices(EAST)) == ("", {"a"})


async def test_commit_that_is_not_believed_is_rejected_unread() -> None:
    """What was accepted stays in force, marked; the remote counts as reached; the commit is told, and who made it."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.head = signed("a")
    await office.informer.refresh()
    office.source.files["east.toml"] = text("east", "b")
    office.source.head, office.source.cause = signed("b", Verified.NO), Cause.UNVERIFIED
    office.source.unreadable = (Fault("", 0, 0, "it is not signed"),)
    with capture_logs() as events:
        await office.informer.refresh()
    east = office.informer.current(EAST)
    assert east is not None
    assert (east.rejected, office.devices(EAST)) == (Cause.UNVERIFIED, {"a"})
    assert office.metric('pcc_desired_rejected{cause="unverified"} 1.0')
    assert office.metric(
        f'pcc_desired_revision_info{{revision="{"a" * 40}",source="file",verified="yes"}} 1.0'
    )
    assert (office.informer.trouble, str(office.informer.accepted.newest)) == ("", "b" * 40)
    rejected = [event for event in events if event["event"] == "desired.rejected"]
    assert [(event["revision"], event["faults"]) for event in rejected] == [
        ("b" * 40, ["it is not signed"])
    ]
    office.source.cause, office.source.unreadable, office.source.head = None, (), signed("c")
    await office.informer.refresh()
    assert (office.devices(EAST), office.informer.accepted.rejected) == ({"b"}, None)


async def test_signed_commits_in_force_are_known_to_the_source_also_after_a_restart() -> None:
    """The source is told which signed commit brought in what is in force; an unchecked one is none of them."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.head = signed("a")
    await office.informer.refresh()
    office.source.head = signed("b", Verified.UNCHECKED)
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.begin()
    office.source.head = signed("c")
    await again.informer.refresh()
    await again.informer.refresh()
    last = office.restarted()
    await last.informer.begin()
    command = office.restarted()
    await command.informer.require()
    known = [known.signed for known in office.source.known]
    assert known[1:] == [{"a" * 40}, frozenset(), frozenset(), {"c" * 40}, {"c" * 40}, {"c" * 40}]


async def test_a_signed_commit_stays_known_while_the_source_fails() -> None:
    """A fetch in vain takes no trust away: the key that signed it may have expired since."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.head, office.source.identity = signed("a"), "one"
    await office.informer.refresh()
    office.source.error = FetchError("the remote does not answer")
    await office.informer.refresh()
    office.source.error = None
    await office.informer.refresh()
    known = [(known.identity, known.signed) for known in office.source.known]
    trusted = frozenset({"a" * 40})
    assert known == [("", frozenset()), ("one", trusted), ("", trusted)]


async def test_a_signed_commit_that_is_faulty_is_not_the_one_in_force() -> None:
    """A good signature on a faulty commit changes nothing: the next one has to descend from what is in force."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.head = signed("a")
    await office.informer.refresh()
    office.source.head, office.source.files["east.toml"] = signed("b"), b"devices = ["
    await office.informer.refresh()
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.begin()
    assert [known.signed for known in office.source.known] == [frozenset(), *[{"a" * 40}] * 3]
    east = again.informer.current(EAST)
    assert east is not None
    assert (east.rejected, again.devices(EAST)) == (Cause.INVALID, {"a"})


async def test_a_signed_commit_that_is_faulty_in_part_is_in_force_for_the_rest() -> None:
    """The good file comes into force and with it the commit; the faulty file keeps the commit that it is from."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    office.source.head = signed("a")
    await office.informer.refresh()
    office.source.head = signed("b")
    office.source.files |= {"east.toml": text("east", "c"), "west.toml": b"devices = ["}
    await office.informer.refresh()
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.begin()
    known = [known.signed for known in office.source.known]
    assert known == [frozenset(), {"a" * 40}, {"b" * 40}, {"a" * 40, "b" * 40}]
    assert (again.devices(EAST), again.devices(WEST)) == ({"c"}, {"b"})


async def test_a_commit_that_is_not_believed_while_files_are_faulty_is_told_as_such() -> None:
    """The cause is that of the newest commit, and once a believed one is read its own faults are those that count."""
    office = Office(MemorySource(east=text("east", "a")))
    office.source.head = signed("a")
    await office.informer.refresh()
    office.source.head, office.source.files["east.toml"] = signed("b"), b"devices = ["
    await office.informer.refresh()
    office.source.cause, office.source.head = Cause.UNVERIFIED, signed("c", Verified.NO)
    office.source.unreadable = (Fault("", 0, 0, "it is not signed"),)
    await office.informer.refresh()
    assert office.informer.accepted.rejected is Cause.UNVERIFIED
    office.source.cause, office.source.unreadable, office.source.head = None, (), signed("d")
    await office.informer.refresh()
    assert (office.informer.accepted.rejected, office.devices(EAST)) == (Cause.INVALID, {"a"})


async def test_the_history_is_asked_for_and_fetched_once_in_a_while() -> None:
    """Whether a commit is in the history of what is in force; where that takes more of it, one fetch at a time."""
    source = MemorySource(text=TEXT_OF_HISTORY)
    source.head = Commit("a" * 40, "Kim", "Begin", datetime(2026, 11, 22, tzinfo=UTC))
    source.history, source.older = frozenset({"b" * 40}), frozenset({"c" * 40})
    office = Office(source)
    assert not await office.informer.holds("b" * 40)  # nothing is in force yet
    await office.informer.refresh()
    assert await office.informer.holds("b" * 40)
    assert not await office.informer.holds("c" * 40)
    assert not await office.informer.holds("d" * 40)
    await eventually(lambda: source.deepened and not office.informer.reading)
    assert await office.informer.holds("c" * 40)
    assert not await office.informer.holds("d" * 40)
    assert source.deepened == 1
    source.head = replace(source.head, dirty=True)
    source.files["text.toml"] += b"# edited\n"
    await office.informer.refresh()
    assert not await office.informer.holds("b" * 40)


async def test_a_history_that_cannot_be_fetched_is_not_asked_for_all_the_time() -> None:
    """Somebody who asks for an old commit again and again makes one attempt in a minute."""
    source = MemorySource(text=TEXT_OF_HISTORY)
    source.head = Commit("a" * 40, "Kim", "Begin", datetime(2026, 11, 22, tzinfo=UTC))
    source.older = frozenset({"c" * 40})
    office = Office(source)
    await office.informer.refresh()
    source.error = FetchError("away")
    for _ in range(5):
        assert not await office.informer.holds("c" * 40)
        await asyncio.sleep(0.02)
    assert source.deepened == 1


TEXT_OF_HISTORY = b'version = 1\ndevices = ["one"]\n'


def live(office: Office, account: AccountName, *devices: str) -> None:
    """Let a list with these devices be trusted."""
    now, listed = SystemClock().now(), frozenset(map(DeviceId, devices))
    office.state.accounts.trust(account, Observed(listed, now), "mark", now, listed)


async def test_only_an_account_with_live_devices_is_missed() -> None:
    """One that left the files without being retired is abandoned if LG still sends its events, and forgotten else."""
    office = Office(
        MemorySource(east=text("east", "a"), west=text("west", "b"), north=text("north"))
    )
    await office.informer.refresh()
    live(office, EAST, "a")
    live(office, WEST, "b")
    live(office, NORTH)
    for name in ("west.toml", "north.toml"):
        del office.source.files[name]
    with capture_logs() as lines:
        await office.informer.refresh()
    assert office.informer.accepted.abandoned == {WEST}
    assert [line["account"] for line in lines if line["event"] == "account.abandoned"] == [WEST]


async def test_an_account_that_left_is_missed_where_nobody_knows_what_is_live() -> None:
    """Where the state cannot be read, each of them may have live devices."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    office.state.accounts.live_accounts = unreadable  # type: ignore[method-assign, assignment]  # an unlucky disk
    del office.source.files["west.toml"]
    await office.informer.refresh()
    assert office.informer.accepted.abandoned == {WEST}


async def test_claims_follow_what_is_in_force() -> None:
    """Which accounts list a device is what the newest revision says."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    assert office.informer.claims.listing(DeviceId("a")) == (EAST,)
    office.source.files |= {"east.toml": text("east", "c"), "west.toml": text("west", "a", "b")}
    await office.informer.refresh()
    assert office.informer.claims.listing(DeviceId("a")) == (WEST,)


async def test_the_log_says_what_came_into_force() -> None:
    """The new revision with its accounts, devices and what changed, and not the one before."""
    office = Office(MemorySource(east=text("east", "a")))
    await office.informer.refresh()
    office.source.files |= {"west.toml": text("west", "b", "c")}
    with capture_logs() as lines:
        await office.informer.refresh()
    (line,) = [line for line in lines if line["event"] == "desired.accepted"]
    assert line["revision"] == str(office.informer.accepted.revision)
    assert (line["accounts"], line["devices"], line["changed"]) == (2, 3, [WEST])


async def test_a_missing_revision_after_a_rejected_one_is_logged_without_its_name() -> None:
    """The rejected one was logged already; that there is nothing now is not about it."""
    office = Office(MemorySource(east=text("east", "a")))
    await office.informer.refresh()
    with capture_logs() as lines:
        office.source.files["east.toml"] = b"devices = ["
        await office.informer.refresh()
        faulty = office.informer.accepted.newest
        office.source.error = MissingError("east.toml: there is no such file")
        await office.informer.refresh()
    rejected = [line for line in lines if line["event"] == "desired.rejected"]
    assert faulty != office.informer.accepted.revision
    assert [line["revision"] for line in rejected] == [str(faulty), ""]


async def test_good_files_of_a_rejected_revision_are_not_kept() -> None:
    """Where a fault concerns all, a restart recalls the good files as they were accepted."""
    office = Office(MemorySource(east=text("east", "a"), policy=b"version = 1\n"))
    await office.informer.refresh()
    office.source.files["east.toml"] = text("east", "c")
    office.source.files["policy.toml"] = b"version = 1\ntimezone = 'Nowhere/At_All'\n"
    await office.informer.refresh()
    assert office.devices(EAST) == {"a"}
    again = office.restarted()
    await again.informer.recall()
    assert again.devices(EAST) == {"a"}


async def test_a_command_that_only_looks_keeps_nothing() -> None:
    """The state stays as the daemon left it."""
    office = Office(MemorySource(east=text("east", "a")))
    looking = Informer(
        office.source,
        office.state.accounts,
        office.state.revisions,
        office.state.protections,
        office.metrics,
        clock=SystemClock(),
        keeps=False,
    )
    await looking.refresh()
    assert looking.current(EAST) is not None
    assert not office.state.revisions.kept()
    assert not office.state.accounts.knows(EAST)


async def test_an_unreadable_file_is_recalled_after_a_restart() -> None:
    """What was accepted of it stays in force, also where others changed meanwhile and it is still unreadable."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    del office.source.files["west.toml"]
    office.source.unreadable = (Fault("west.toml", 0, 0, "is not a regular file"),)
    office.source.files["east.toml"] = text("east", "c")
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.begin()
    assert (again.devices(EAST), again.devices(WEST)) == ({"c"}, {"b"})


async def test_an_unreadable_file_that_goes_away_is_forgotten() -> None:
    """Once it is gone, a restart does not bring its account back."""
    office = Office(MemorySource(east=text("east", "a"), west=text("west", "b")))
    await office.informer.refresh()
    del office.source.files["west.toml"]
    office.source.unreadable = (Fault("west.toml", 0, 0, "is not a regular file"),)
    await office.informer.refresh()
    office.source.unreadable = ()
    await office.informer.refresh()
    again = office.restarted()
    await again.informer.recall()
    assert set(again.informer.accepted.accounts) == {EAST}


OFFICE = "[[windows]]\nname = 'office'\nkind = 'allow'\nfrom = {}Z\nto = 2030-01-01T00:00:00Z\n"


async def test_an_opened_window_ends_when_the_newest_revision_defines_it_otherwise() -> None:
    """Also while a faulty file keeps its account on the older one: what was opened was opened by those words."""
    state, now = State.in_memory(SystemClock()), SystemClock().now()
    windows = "2029-01-01T00:00:00", "2029-01-02T00:00:00"
    documents = [f"version = 1\n{OFFICE.format(begin)}".encode() for begin in windows]
    source = MemorySource(policy=documents[0], east=text("east", "a"), west=text("west", "b"))
    office = Office(source, state)
    await office.informer.refresh()
    (window,) = office.informer.accepted.windows
    opening = Opening("office", window.mark, now, now + timedelta(hours=1), "why")
    state.opened_windows.open(opening, now)
    source.files["west.toml"] = FAULTY
    await office.informer.refresh()
    assert state.opened_windows.in_force(now) == (opening,)
    source.files["policy.toml"] = documents[1]
    await office.informer.refresh()
    older = office.informer.current(WEST)
    assert older is not None
    assert older.desired.windows == (window,)
    assert state.opened_windows.in_force(now) == ()
