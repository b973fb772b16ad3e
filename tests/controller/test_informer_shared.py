"""A source that several replicas follow: what the one that reads it publishes, and what comes into force where.

Owns: what the informer asks of the others. How replicas agree is the tests' of ``runtime/replicas``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from quiet_source import QuietSource
from reconciler.controller.informer import Informer
from reconciler.core.acceptance import Accepted
from reconciler.core.model import (
    AccountName,
    Cause,
    Commit,
    DeviceId,
    Observed,
    Revision,
    Unsettled,
    Verified,
)
from reconciler.core.replicas import Descent
from reconciler.desired import Document, MemoryTree
from reconciler.runtime.clock import SystemClock
from reconciler.source import NOTHING, Fetched, Known, Lock, Unrest
from reconciler.state import Group, KeptText, State
from reconciler.state.records import DocumentDropped, DocumentSaved, ProtectionStated
from reconciler.telemetry.metrics import Metrics

EAST, WEST = AccountName("east"), AccountName("west")


def text(account: str, *entries: str) -> bytes:
    """Return a text of one account."""
    return f"version = 1\n[accounts.{account}]\ndevices = [{', '.join(entries)}]\n".encode()


class Signs(Unrest):
    """A folder in which a test lets files go away."""

    def __init__(self) -> None:
        super().__init__(str)
        self.absent: frozenset[str] = frozenset()
        self.quiet = 60.0

    def lock(self) -> Lock | None:
        """Say that git is not at work."""

    def quiet_for(self) -> float:
        """Say for how long nothing has changed: for a minute, unless the test says otherwise."""
        return self.quiet

    def gone(self, before: Iterable[str], now: Mapping[str, bytes]) -> frozenset[str]:
        """Return what went away."""
        return self.absent.intersection(before) - now.keys()


class Folder(QuietSource):
    """Documents and commits as a test puts them. ``parents`` has the history of each commit."""

    def __init__(self, **documents: bytes) -> None:
        self.files = {f"{name}.toml": content for name, content in documents.items()}
        self.head: Commit | None = None
        self.overtaken: tuple[str, ...] = ()
        self.parents: dict[str, set[str]] = {}
        self.signs = Signs()
        self.unrest = self.signs
        self.known: list[Known] = []
        self.polled = 0

    @property
    def fetched(self) -> int:
        """Return how often the documents were fetched."""
        return len(self.known)

    def fetch(self, known: Known = NOTHING) -> Fetched | None:
        """Return the documents, unless they were judged already."""
        self.known.append(known)
        identity = repr((self.files, self.head))
        if identity == known.identity:
            return None
        documents = tuple(Document(path, self.files[path]) for path in sorted(self.files))
        return Fetched(
            documents, MemoryTree(self.files), identity=identity, overtaken=self.overtaken
        )

    def commit(self, files: Mapping[str, bytes]) -> Commit | None:
        """Return the commit that the documents are from."""
        del files
        return self.head

    def holds(self, commit: str, revision: str) -> bool | None:
        """Say whether one commit is in the history of another."""
        return revision in self.parents.get(commit, ())

    def poll(self) -> bool:
        """Say that nothing is new."""
        self.polled += 1
        return False


class Others:
    """The other replicas. ``why``: what keeps them from taking a revision."""

    behind = "an older revision is waited for"

    def __init__(self) -> None:
        self.reads, self.doubts, self.agrees, self.why = True, False, True, ""
        self.asked: list[tuple[Revision | None, Revision, Descent | None]] = []
        self.published: list[tuple[Accepted, Accepted, frozenset[AccountName]]] = []
        self.groups: list[tuple[Group, ...]] = []

    def comes_into_force(
        self, accepted: Revision | None, found: Revision, descent: Descent | None
    ) -> bool:
        """Take the question; answer as the test wants."""
        self.asked.append((accepted, found, descent))
        return self.agrees

    async def publish(
        self,
        before: Accepted,
        after: Accepted,
        changed: frozenset[AccountName],
        groups: tuple[Group, ...],
    ) -> str:
        """Take a revision, unless something keeps it away."""
        self.published.append((before, after, changed))
        self.groups.append(groups)
        return self.why


class Replica:
    """One replica's informer, and what it reported."""

    def __init__(self, source: Folder) -> None:
        clock = SystemClock()
        self.state, self.others = State.in_memory(clock), Others()
        self.told: list[list[AccountName]] = []
        self.informer = Informer(
            source,
            self.state.accounts,
            self.state.revisions,
            self.state.protections,
            Metrics(),
            changed=self.take,
            clock=clock,
            shared=self.others,
        )

    def take(self, accounts: Iterable[AccountName]) -> None:
        """Take the news."""
        self.told.append(sorted(accounts))

    def devices(self, account: AccountName) -> list[str]:
        """Return what is in force for an account."""
        found = self.informer.current(account)
        return [] if found is None else sorted(found.desired.devices)


def commit(name: str, *, dirty: bool = False) -> Commit:
    """Return a commit."""
    return Commit(name * 40, "Kim", "Change", datetime(2026, 11, 1, tzinfo=UTC), dirty=dirty)


def documents(groups: Iterable[Group]) -> list[tuple[str, str]]:
    """Return what groups write of documents."""
    return sorted(
        (type(record).__name__, record.document)
        for group in groups
        for record in group.records
        if isinstance(record, DocumentSaved | DocumentDropped)
    )


async def test_the_others_have_a_revision_before_it_is_in_force_here() -> None:
    """Where they cannot have it nothing changes here, and it is read again until they can."""
    source = Folder(east=text("east", "'a'"))
    replica = Replica(source)
    await replica.informer.begin()
    source.files["east.toml"] = text("east", "'b'")
    replica.others.why = "the database is away"
    for _ in range(2):
        await replica.informer.refresh()
        assert (replica.devices(EAST), replica.informer.trouble) == (["a"], "the database is away")
    replica.others.why = ""
    await replica.informer.refresh()
    assert (replica.devices(EAST), replica.informer.trouble) == (["b"], "")
    assert replica.told == [[EAST], [EAST]]
    before, after, changed = replica.others.published[-1]
    assert sorted(before.accounts[EAST].desired.devices) == ["a"]
    assert after is replica.informer.accepted
    assert list(changed) == [EAST]


async def test_what_a_revision_writes_goes_with_it_to_the_others() -> None:
    """Its good documents and what it protects; of a faulty one the version before stays. Nothing is written here."""
    source = Folder(east=text("east", "{ id = 'a', protected = true }"), west=text("west", "'w'"))
    replica = Replica(source)
    await replica.informer.begin()
    (written,) = replica.others.groups
    assert documents(written) == [("DocumentSaved", "east.toml"), ("DocumentSaved", "west.toml")]
    stated = [
        one for group in written for one in group.records if isinstance(one, ProtectionStated)
    ]
    assert [dict(one.protected) for one in stated] == [{"a": EAST}]
    assert not replica.state.revisions.kept()
    await replica.informer.adopt(_kept(source), _as_it_is)
    source.files |= {"east.toml": text("east", "'a'", "'b'"), "west.toml": b"devices = ["}
    await replica.informer.refresh()
    assert documents(replica.others.groups[-1]) == [("DocumentSaved", "east.toml")]
    del source.files["west.toml"]
    await replica.informer.refresh()
    assert ("DocumentDropped", "west.toml") in documents(replica.others.groups[-1])


@pytest.mark.parametrize(
    "other",
    [
        b"version = 1\npolicy.pause = 'al'\n",
        b"version = 1\npolicy.pause = 'all'\n[",
        "version = 1\npolicy.pause = 'all'\n".encode("utf-16"),
        b"version = 1\nretired_accounts = ['east']\n",
    ],
)
async def test_no_document_of_a_revision_that_is_rejected_as_a_whole_goes_to_the_others(
    other: bytes,
) -> None:
    """They hear of the rejection and keep what they have, also of the documents that are good by themselves."""
    source = Folder(east=text("east", "'a'", "'b'"), west=text("west", "'w'"))
    replica = Replica(source)
    await replica.informer.begin()
    source.files = {"east.toml": text("east", "'a'"), "policy.toml": other}
    await replica.informer.refresh()
    assert replica.informer.accepted.rejected is Cause.INVALID
    assert (replica.devices(EAST), replica.devices(WEST)) == (["a", "b"], ["w"])
    assert len(replica.others.groups) == 2
    assert documents(replica.others.groups[-1]) == []


async def test_a_document_that_came_and_went_at_once_is_dropped_everywhere() -> None:
    """Two edits may follow each other before the first one is read back, as when a file is renamed after it came."""
    source = Folder(east=text("east", "'a'"))
    replica = Replica(source)
    await replica.informer.begin()
    source.files["new.toml"] = text("west", "'w'")
    await replica.informer.refresh()
    source.files["west.toml"] = source.files.pop("new.toml")
    for why in ("the database is away", ""):
        replica.others.why = why
        await replica.informer.refresh()
        assert documents(replica.others.groups[-1]) == [
            ("DocumentDropped", "new.toml"),
            ("DocumentSaved", "east.toml"),
            ("DocumentSaved", "west.toml"),
        ]
    assert replica.devices(WEST) == ["w"]


def _kept(source: Folder) -> list[KeptText]:
    """Return the documents of a source as they are kept."""
    return [
        KeptText(path, Revision("1" * 64), {path: content})
        for path, content in source.files.items()
    ]


def _as_it_is(accepted: Accepted) -> Accepted:
    return accepted


async def test_a_revision_of_another_replica_is_not_published_again() -> None:
    """It comes into force with its marks, and its accounts are reported."""
    source = Folder(east=text("east", "'a'"))
    replica = Replica(source)
    replica.others.reads = False
    await replica.informer.adopt(_kept(source), _as_it_is)
    assert (replica.devices(EAST), replica.told, replica.others.published) == (["a"], [[EAST]], [])
    await replica.informer.adopt(_kept(source), _as_it_is)
    assert replica.told == [[EAST]]


async def test_what_a_revision_ends_for_all_is_not_ended_here_as_well() -> None:
    """A retired account is forgotten with the revision, once; its row may have a new owner by now."""
    source = Folder(east=text("east", "'a'"), west=text("west", "'b'"))
    replica = Replica(source)
    await replica.informer.begin()
    at = datetime(2026, 11, 1, tzinfo=UTC)
    observed = Observed(frozenset({DeviceId("b")}), at)
    replica.state.accounts.trust(WEST, observed, None, at, observed.devices)
    source.files = {"east.toml": b"retired_accounts = ['west']\n" + text("east", "'a'")}
    await replica.informer.refresh()
    _before, after, _changed = replica.others.published[-1]
    assert after.retired == {WEST}
    assert replica.devices(WEST) == []
    assert replica.state.accounts.live_accounts() == {WEST}
    other = Replica(source)
    other.state.accounts.trust(WEST, observed, None, at, observed.devices)
    await other.informer.adopt(_kept(source), lambda one: replace(one, retired=frozenset({WEST})))
    assert other.state.accounts.live_accounts() == {WEST}


async def test_a_replica_that_does_not_read_the_source_leaves_it_alone() -> None:
    """Neither an edit nor a file that waits makes it look; the one that reads does both."""
    source = Folder(east=text("east", "'a'", "'b'"))
    replica = Replica(source)
    replica.others.reads = False
    await replica.informer.begin()
    await replica.informer.refresh()
    assert (source.fetched, replica.devices(EAST)) == (0, [])
    replica.others.reads = True
    await replica.informer.refresh()
    source.signs.absent = frozenset({"east.toml"})
    source.files = {"moved.toml": text("east", "'a'")}
    await replica.informer.refresh()
    replica.others.reads = False
    await replica.informer.settle()
    found = replica.informer.current(EAST)
    assert found is not None
    assert found.unsettled is not None
    assert source.polled == 0
    replica.others.reads = True
    await replica.informer.settle()
    found = replica.informer.current(EAST)
    assert found is not None
    assert found.unsettled is None


async def test_devices_of_a_file_that_went_away_wait_at_the_next_reader_too() -> None:
    """It takes over before the file may be back, and lets them go once its own folder is quiet."""
    source = Folder(moved=text("east", "'a'"))
    replica = Replica(source)
    replica.others.reads = False
    waits = Unsettled(frozenset({DeviceId("b")}), "a device file went away")

    def marked(accepted: Accepted) -> Accepted:
        found = {name: replace(one, unsettled=waits) for name, one in accepted.accounts.items()}
        return replace(accepted, accounts=found)

    await replica.informer.adopt(_kept(source), marked)
    replica.others.reads = True
    for quiet, held in ((1.0, {"b"}), (60.0, set())):
        source.signs.quiet = quiet
        await replica.informer.refresh()
        await replica.informer.settle()
        found = replica.informer.current(EAST)
        assert found is not None
        assert set((found.unsettled and found.unsettled.devices) or ()) == held


@pytest.mark.parametrize("goes", ["before the first reading", "after it"])
async def test_a_file_of_what_another_replica_accepted_is_missed_by_the_next_reader(
    goes: str,
) -> None:
    """It knows the files of each document that is in force, also of those that it never read itself."""
    source = Folder(east=text("east", "'a'", "'b'"), west=text("west", "'w'"))
    replica = Replica(source)
    replica.others.reads = False
    await replica.informer.adopt(_kept(source), _as_it_is)
    replica.others.reads = True
    if goes == "after it":
        await replica.informer.refresh()
    del source.files["east.toml"]
    source.files["moved.toml"] = text("east", "'a'")
    source.signs.absent, source.signs.quiet = frozenset({"east.toml"}), 1.0
    await replica.informer.refresh()
    found, other = replica.informer.current(EAST), replica.informer.current(WEST)
    assert found is not None
    assert other is not None
    assert (replica.devices(EAST), other.unsettled) == (["a"], None)
    assert ("DocumentDropped", "east.toml") in documents(replica.others.groups[-1])
    assert found.unsettled is not None
    assert found.unsettled.devices == frozenset({DeviceId("b")})


async def test_what_waits_at_the_reader_outlasts_what_the_others_have() -> None:
    """Its own folder is what it goes by, whatever is read back from the tables meanwhile."""
    source = Folder(east=text("east", "'a'", "'b'"))
    replica = Replica(source)
    await replica.informer.begin()
    source.files = {"moved.toml": text("east", "'a'")}
    source.signs.absent, source.signs.quiet = frozenset({"east.toml"}), 1.0
    await replica.informer.refresh()
    for quiet, held in ((1.0, {"b"}), (60.0, set())):
        await replica.informer.adopt(_kept(source), _as_it_is)
        source.signs.quiet = quiet
        await replica.informer.settle()
        found = replica.informer.current(EAST)
        assert found is not None
        assert set((found.unsettled and found.unsettled.devices) or ()) == held


async def test_the_next_reader_knows_which_signatures_others_found_good() -> None:
    """A signed commit in force is judged by the source as one that was read here: each newer one descends from it."""
    source = Folder(east=text("east", "'a'"), west=text("west", "'w'"))
    replica = Replica(source)
    good = [replace(commit(name), verified=Verified.YES) for name in "abc"]
    unchecked = replace(commit("d"), verified=Verified.UNCHECKED)
    for brought_in in ((good[0], unchecked), (good[1], good[2]), (unchecked, unchecked)):
        revisions = [Revision(one.id[:1] * 64, one) for one in brought_in]
        kept = [
            replace(one, revision=revision)
            for one, revision in zip(_kept(source), revisions, strict=True)
        ]
        replica.others.reads = False
        await replica.informer.adopt(kept, _as_it_is)
        replica.others.reads = True
        await replica.informer.refresh()
        signed = {one.id for one in brought_in if one.verified is Verified.YES}
        assert source.known[-1].signed == signed


async def test_what_may_be_older_than_what_others_accepted_waits() -> None:
    """It is asked about each time it is read, as long as there are doubts; then it comes into force."""
    source = Folder(east=text("east", "'a'"))
    replica = Replica(source)
    await replica.informer.begin()
    assert replica.others.asked == []
    in_force = replica.informer.accepted.revision
    replica.others.doubts, replica.others.agrees = True, False
    source.files["east.toml"] = text("east", "'b'")
    for number in (1, 2):
        await replica.informer.refresh()
        assert (replica.devices(EAST), replica.informer.trouble) == (["a"], Others.behind)
        assert len(replica.others.asked) == number
    accepted, found, descent = replica.others.asked[-1]
    assert (accepted, descent) == (in_force, None)
    replica.others.agrees = True
    await replica.informer.refresh()
    assert (replica.devices(EAST), replica.informer.trouble) == (["b"], "")
    assert replica.informer.accepted.revision == found


@pytest.mark.parametrize(
    ("accepted", "found", "parents", "descent"),
    [
        (commit("a"), commit("a"), {}, Descent.NEWER),
        (commit("a"), commit("b"), {"b": "a"}, Descent.NEWER),
        (commit("b"), commit("a"), {"b": "a"}, Descent.ANCESTOR),
        (commit("a"), commit("b"), {}, Descent.UNKNOWN),
        (commit("a"), commit("b"), {"c": "ab"}, Descent.UNKNOWN),
        (commit("a", dirty=True), commit("b"), {"b": "a"}, None),
        (commit("a"), commit("b", dirty=True), {"b": "a"}, None),
        (None, commit("b"), {}, None),
        (commit("a"), None, {}, None),
    ],
)
async def test_how_a_commit_descends_from_the_accepted_one(
    accepted: Commit | None, found: Commit | None, parents: Mapping[str, str], descent: Descent
) -> None:
    """By the history of either; an edit that is not committed has none."""
    source = Folder(east=text("east", "'a'"))
    source.parents = {
        name * 40: {parent * 40 for parent in before} for name, before in parents.items()
    }
    source.head = accepted
    replica = Replica(source)
    await replica.informer.begin()
    replica.others.doubts = True
    source.files["east.toml"], source.head = text("east", "'b'"), found
    await replica.informer.refresh()
    assert [one[2] for one in replica.others.asked] == [descent]


async def test_commits_that_were_replaced_before_they_were_read_share_the_fate() -> None:
    """Who waits for one of them hears what became of the one that replaced it."""
    source = Folder(east=text("east", "'a'"))
    source.head, source.overtaken = commit("c"), ("a" * 40, "b" * 40)
    replica = Replica(source)
    await replica.informer.begin()
    seen = [(one.revision[0], one.rejected) for one in replica.informer.accepted.seen]
    assert seen == [("a", None), ("b", None), ("c", None)]
