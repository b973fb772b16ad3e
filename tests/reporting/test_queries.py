"""Finding out: places of a device in texts, pages of past changes, and how a device may be named."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import desired
from reconciler.core.acceptance import Accepted, AccountRevision, accept
from reconciler.core.errors import ReconcilerError, Unknown
from reconciler.core.guards import PauseOverride
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Approval,
    Change,
    Commit,
    Desired,
    DeviceId,
    Observed,
    Outcome,
    PassId,
    Pause,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.core.status import AccountStatus, PassReport
from reconciler.desired import Document, MemoryTree, Role, Sighting
from reconciler.reporting import PauseReport, queries
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.status import account_report
from reconciler.state import BEGUN, KeptText, State, Traits
from simulated import SimulatedClock

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TEXT = """\
version = 1
policy.ignore = ["ignored1", "x-device"]
[accounts.seoul]
devices = [
  "other123",
  { id = "x-device", name = "Fridge" },  # "x-device"
]
[accounts.busan]
device_files = ["devices/*.txt"]
policy = { ignore = ["x-device"] }
[[approvals]]
account = "seoul"
devices = ["gone1234"]
expires = 2099-01-01T00:00:00Z
reason = "one"
[[approvals]]
account = "seoul"
device_files = ["removed.txt"]
expires = 2099-01-01T00:00:00Z
reason = "two"
"""
FILES = {
    "devices/a.txt": b"first123\n  x-device   # Oven\nx-device-2\n",
    "devices/b.txt": b"# nothing but x-device in a remark\n",
    "removed.txt": b"\ngone5678\nx-device\n",
}


def test_every_place_of_a_device_is_found() -> None:
    """As an entry, on a line of a device file, in an approval and under ``ignore``, each with line and column."""
    found = desired.sightings(
        [Document("d.toml", TEXT.encode())], MemoryTree(FILES), DeviceId("x-device")
    )
    seoul, busan = AccountName("seoul"), AccountName("busan")
    assert set(found) == {
        Sighting(Role.DEVICE, seoul, "d.toml", 6, 3),
        Sighting(Role.DEVICE, busan, "devices/a.txt", 2, 3),
        Sighting(Role.IGNORE, busan, "d.toml", 10, 22),
        Sighting(Role.IGNORE, None, "d.toml", 2, 30),
        Sighting(Role.APPROVAL, seoul, "removed.txt", 3, 1, 1),
    }
    assert (
        desired.sightings([Document("d.toml", TEXT.encode())], MemoryTree(FILES), DeviceId("x-dev"))
        == ()
    )


SEVERAL = {
    "busan.toml": '[accounts.busan]\ndevices = ["other123"]\n',
    "first.toml": '[[approvals]]\naccount = "seoul"\ndevices = ["other123"]\n'
    'expires = 2099-01-01T00:00:00Z\nreason = "one"\n',
    "second.toml": '[[approvals]]\naccount = "seoul"\ndevices = ["gone1234"]\n'
    'expires = 2099-01-01T00:00:00Z\nreason = "two"\n',
    "seoul.toml": '[accounts.seoul]\ndevices = ["\\u0061bcd1234", "other1234"]\ndevice_files = ["ids.txt"]\n',
    "ids.txt": "listed12\n",
    "shared.toml": 'policy.ignore = ["ignored1"]\n',
}


@pytest.mark.parametrize(
    ("device", "place"),
    [
        ("abcd1234", "seoul.toml:3:12"),
        ("listed12", "ids.txt:1:1"),
        ("gone1234", "second.toml:4:12"),
    ],
)
def test_the_place_of_a_device_is_found_among_many_documents(device: str, place: str) -> None:
    """Whichever document names it, even with an escape, in a device file, or in the second of two approvals."""
    files = {}
    for path, words in SEVERAL.items():
        is_document = path.endswith(".toml")
        files[path] = (f"version = 1\n{words}" if is_document else words).encode()
    documents = [Document(path, files[path]) for path in files if path.endswith(".toml")]
    loaded = desired.load(documents, MemoryTree(files))
    assert loaded.faults == ()
    revision, accounts = Revision("a" * 64), {}
    for name, one in loaded.accounts.items():
        accounts[name] = AccountRevision(one, revision)
    kept = []
    for document in documents:
        beside = {"ids.txt": files["ids.txt"]} if document.path == "seoul.toml" else {}
        kept.append(KeptText(document.path, revision, {document.path: document.content, **beside}))
    facts = Knowledge(
        NOW, Accepted(accounts, revision=revision), State.in_memory(SimulatedClock()), lambda: kept
    )
    found = queries.explain(facts, device, "seoul").accounts[0]
    places = [one.place for one in found.approvals] or [found.place]
    assert [f"{one.path}:{one.line}:{one.column}" for one in places if one is not None] == [place]


@given(
    before=st.lists(
        st.sampled_from(["", "aaaa1111", "needle99x", "xneedle99", "# needle99", "  bbbb # c"]),
        max_size=6,
    ),
    after=st.lists(st.sampled_from(["", "cccc2222", "# needle99"]), max_size=3),
    indent=st.integers(0, 3),
)
def test_the_line_in_a_device_file_is_that_of_the_id_itself(
    before: list[str], after: list[str], indent: int
) -> None:
    """Wherever it stands, and whatever else holds its letters, the place is where the id is a line of its own."""
    lines = [*before, " " * indent + "needle99", *after]
    files = {"ids.txt": "".join(f"{line}\n" for line in lines).encode()}
    document = Document("d.toml", b'version = 1\ndevice_files = ["ids.txt"]\n')
    (found,) = desired.sightings([document], MemoryTree(files), DeviceId("needle99"))
    assert (found.path, found.line, found.column) == ("ids.txt", len(before) + 1, indent + 1)


@pytest.mark.parametrize(
    ("theirs", "active"),
    [(None, [False, True, True]), (2, [False, False, True]), (-2, [False, True, True])],
)
def test_an_account_shows_an_approval_as_valid_where_both_clocks_say_so(
    theirs: int | None, active: list[bool]
) -> None:
    """It ends by the clock that is ahead, on the page of the account as in the explanation of its devices."""
    name, device = AccountName("seoul"), DeviceId("gone1234")
    hours = [NOW + timedelta(hours=one) for one in (0, 1, 3)]
    approvals = tuple(Approval(frozenset({device}), one, "wing B") for one in hours)
    wanted = Desired(name, frozenset({device}), approvals=approvals)
    text = AccountRevision(wanted, Revision("a" * 64))
    ahead = None if theirs is None else NOW + timedelta(hours=theirs)
    last = PassReport(wanted, NOW, NOW, observed=1, theirs=ahead)
    statuses = {name: AccountStatus(name, last=last)}
    known = Knowledge(
        NOW, Accepted({name: text}), State.in_memory(SimulatedClock()), list, statuses
    )
    assert [one.active for one in queries.account(known, name).approvals] == active
    (told,) = queries.explain(known, device).accounts
    assert [one.active for one in told.approvals] == active


def test_a_device_is_explained_by_the_report_of_the_replica_that_works_on_its_account() -> None:
    """What this process did with the account before it was another's does not count, however it went."""
    name, device = AccountName("seoul"), DeviceId("gone1234")
    wanted = Desired(name, frozenset({device}))
    text = AccountRevision(wanted, Revision("a" * 64))
    hours = [NOW + timedelta(hours=one) for one in (1, 2, 3)]
    state = State.in_memory(SimulatedClock())
    live = frozenset({device})
    state.accounts.trust(name, Observed(live, NOW), None, NOW, live)
    ours = AccountStatus(name, PassReport(wanted, NOW, NOW, error="ours"), last_success=NOW)
    known = Knowledge(NOW, Accepted({name: text}), state, list, {name: ours}, {name: NOW})
    theirs = AccountStatus(name, PassReport(wanted, hours[0], hours[0], error="theirs"))
    report = account_report(replace(theirs, last_success=hours[1]), text, hours[2])
    for here, error, observed, following in (
        ({}, "ours", NOW, NOW),
        ({name: report}, "theirs", hours[1], hours[2]),
    ):
        for found in (
            queries.explain(known, device, None, here).accounts[0],
            queries.device(known, name, device, here),
        ):
            assert (found.error, found.observed_at, found.next_pass) == (error, observed, following)


def test_an_account_lists_the_devices_that_lg_refuses_and_no_others() -> None:
    """One whose call failed waits, too, and LG may have given a code for it."""
    state, name = State.in_memory(SimulatedClock()), AccountName("seoul")
    retries = {
        DeviceId(device): Retry(Action.SUBSCRIBE, reason, 2, NOW + timedelta(hours=1), code, "w")
        for device, reason, code in (
            ("b-refused", Reason.REFUSED, "1214"),
            ("a-refused", Reason.REFUSED, None),
            ("failed", Reason.RETRY, "0106"),
        )
    }
    state.changes.record(name, PassId("one"), [], retries, NOW)
    text = AccountRevision(Desired(name, frozenset(retries)), Revision("a" * 64))
    found = queries.account(Knowledge(NOW, Accepted({name: text}), state, list), name)
    assert [one.device for one in found.refused_devices] == ["a-refused", "b-refused"]
    assert [one.wait.code for one in found.refused_devices] == [None, "1214"]


def test_a_place_is_that_of_the_revision_in_force_for_the_account() -> None:
    """Of each account: the other may have another revision of the files, in which the device is elsewhere."""
    kept, texts = [], {}
    for number, name in enumerate((AccountName("busan"), AccountName("seoul"))):
        revision = Revision(f"{number}" * 64)
        for path in ("busan.toml", "seoul.toml"):
            lines = "\n" * (number + 1)
            content = f"version = 1{lines}[accounts.{path[:-5]}]\ndevices = ['both-want-it']\n"
            kept.append(KeptText(path, revision, {path: content.encode()}))
        desired = Desired(name, frozenset({DeviceId("both-want-it")}), path=f"{name}.toml")
        texts[name] = AccountRevision(desired, revision)
    known = Knowledge(NOW, Accepted(texts), State.in_memory(SimulatedClock()), lambda: kept)
    found = queries.explain(known, "both-want-it").accounts
    assert [(one.place.path, one.place.line) for one in found if one.place is not None] == [
        ("busan.toml", 3),
        ("seoul.toml", 4),
    ]


def test_a_place_is_that_of_the_account_itself() -> None:
    """Where one document has the entries and the approvals of two accounts."""
    content = (
        "version = 1\n[accounts.busan]\ndevices = ['both-want-it']\n[accounts.seoul]\n"
        "devices = ['both-want-it']\npolicy.ignore = ['both-ignore-it']\n"
    )
    document = Document("d.toml", content.encode())
    loaded, revision = desired.load([document], MemoryTree({})), Revision("a" * 64)
    texts = {name: AccountRevision(one, revision) for name, one in loaded.accounts.items()}
    kept = [KeptText("d.toml", revision, {"d.toml": document.content})]
    known = Knowledge(NOW, Accepted(texts), State.in_memory(SimulatedClock()), lambda: kept)
    lines = {}
    for one in queries.explain(known, "both-want-it").accounts:
        assert one.place is not None
        lines[one.account] = one.place.line
    assert lines == {"busan": 3, "seoul": 5}


def test_an_account_shows_the_pause_that_is_in_force_for_it() -> None:
    """None where there is none; one of all accounts counts, and another account's does not. It says whose it is."""
    state, name, other = State.in_memory(SimulatedClock()), AccountName("seoul"), AccountName("b")
    text = AccountRevision(Desired(name, frozenset()), Revision("a" * 64))
    known = Knowledge(NOW, Accepted({name: text}), state, list)
    until = NOW + timedelta(hours=1)
    state.pauses.set(other, PauseOverride(Pause.ALL, until, "theirs", "kim"), NOW)
    assert queries.account(known, name).pause is None
    state.pauses.set(None, PauseOverride(Pause.UNSUBSCRIBE, until, "audit", "mina@desk"), NOW)
    assert queries.account(known, name).pause == PauseReport(
        "unsubscribe", until, "audit", set_by="mina@desk"
    )
    state.pauses.set(name, PauseOverride(Pause.ALL, until, "ours", "kim"), NOW)
    assert queries.account(known, name).pause == PauseReport(
        "all", until, "ours", name, set_by="kim"
    )


def changes(state: State, clock: SimulatedClock, *moments: int) -> list[tuple[str, int]]:
    """Record one change for each moment, and return devices and moments, newest first."""
    revision = Revision("0" * 64)
    for number, moment in enumerate(moments):
        clock.moment = NOW + timedelta(seconds=moment)
        change = Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, DeviceId(f"device{number:02}"))
        name = PassId(f"pass{number}")
        state.changes.intend(DEFAULT_ACCOUNT, name, [change], frozenset(), revision, clock.now())
        state.changes.record(
            DEFAULT_ACCOUNT, name, [Outcome(change, Result.SUCCESS, clock.now())], {}, clock.now()
        )
    return sorted(
        ((f"device{n:02}", moment) for n, moment in enumerate(moments)),
        key=lambda one: (-one[1], one[0]),
    )


@given(
    moments=st.lists(st.integers(0, 4), max_size=12),
    limit=st.integers(1, 5),
    span=st.tuples(st.none() | st.integers(0, 4), st.none() | st.integers(0, 5)),
)
def test_pages_hold_each_change_once_in_order(
    moments: list[int], limit: int, span: tuple[int | None, int | None]
) -> None:
    """However many changes share a moment, and within any span, page follows page without a gap or a repetition."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    expected = changes(state, clock, *moments)
    known = Knowledge(NOW, Accepted(), state, state.revisions.kept)
    found: list[str] = []
    asked = {"limit": str(limit)}
    for name, moment in zip(("since", "until"), span, strict=True):
        if moment is not None:
            asked[name] = (NOW + timedelta(seconds=moment)).isoformat()
    since, until = span[0] or 0, 9 if span[1] is None else span[1]
    while True:
        page = queries.history(known, queries.wanted(asked, NOW))
        assert len(page.changes) <= limit
        found += [one.device for one in page.changes]
        if page.next is None:
            break
        asked["before"] = page.next
    assert found == [device for device, moment in expected if since <= moment < until]


@pytest.mark.parametrize("at", [2**56, -(2**60), 1])
def test_a_cursor_of_no_moment_is_refused(at: int) -> None:
    """A cursor that somebody made up is told as such, whatever moment it stands for."""
    made_up = base64.urlsafe_b64encode(json.dumps([at, 0, "a", "b"]).encode()).decode()
    with pytest.raises(ReconcilerError, match="the next of an earlier answer"):
        queries.wanted({"before": made_up}, NOW)


def test_changes_are_filtered_by_time_and_device() -> None:
    """From ``since`` on and before ``until``, by a moment or a span before now; one device or all."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    changes(state, clock, 0, 10, 20)
    known = Knowledge(NOW + timedelta(seconds=25), Accepted(), state, state.revisions.kept)

    def devices(**asked: str) -> list[str]:
        return [
            one.device for one in queries.history(known, queries.wanted(asked, known.now)).changes
        ]

    assert devices(since="15s") == ["device02", "device01"]
    assert devices(since="2026-11-22T19:00:10+09:00", until="2026-11-22T10:00:20Z") == ["device01"]
    assert devices(device="device00") == ["device00"]
    assert devices(device="device00", until="20s") == ["device00"]
    assert devices(device="device00", since="15s") == [], "known, and nothing happened to it since"
    assert devices(account="default", limit="1") == ["device02"]
    with pytest.raises(Unknown, match="there is no account 'nobody'"):
        devices(account="nobody")
    with pytest.raises(ReconcilerError, match="with its offset"):
        devices(since="2026-11-22T10:00:00")


COMMITS = [
    Revision("a" * 64),
    Revision("b" * 64, Commit("1f2a91c" + "0" * 33, "Kim Minji <minji@hotel.example>", "One", NOW)),
    Revision("c" * 64, Commit("2f2a91c" + "0" * 33, "Lee ÅSA <lee@hotel.example>", "Two", NOW)),
    Revision(
        "d" * 64,
        Commit("2f2a91c" + "0" * 33, "Lee ÅSA <lee@hotel.example>", "Two", NOW, dirty=True),
    ),
]
ENDINGS = [*Result, None]
TRAITS = st.builds(
    Traits,
    st.sampled_from([None, *Action]),
    st.sampled_from([None, BEGUN, *map(str, Result)]),
    st.sampled_from([None, "lee", "LEE", "hotel.example", "åsa", "ÅSA", "nobody"]),
    st.sampled_from([None, "2f2a91c", "2f2a91c" + "0" * 33 + "-dirty", "sha256:", "sha256:c", "f"]),
)


@given(
    made=st.lists(
        st.tuples(st.sampled_from([*Action]), st.sampled_from(ENDINGS), st.sampled_from(COMMITS)),
        max_size=8,
    ),
    traits=TRAITS,
    limit=st.integers(1, 9),
)
def test_changes_are_filtered_the_same_on_disk_as_in_memory(
    made: list[tuple[Action, Result | None, Revision]], traits: Traits, limit: int
) -> None:
    """Whatever is asked for, written changes and waiting ones are judged by the same rules."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    for number, (action, result, revision) in enumerate(made):
        clock.moment = NOW + timedelta(seconds=number)
        change = Change(DEFAULT_ACCOUNT, action, DeviceId(f"device{number:02}"))
        name = PassId(f"pass{number}")
        state.changes.intend(DEFAULT_ACCOUNT, name, [change], frozenset(), revision, clock.now())
        if result is not None:
            ended = [Outcome(change, result, clock.now())]
            state.changes.record(DEFAULT_ACCOUNT, name, ended, {}, clock.now())
    every = state.history.changes()
    fitting = [one for one in every if traits.fit(one)][:limit]
    assert list(state.history.changes(limit=limit, traits=traits)) == fitting
    assert list(state.history.changes(limit=limit)) == list(every[:limit])


def test_changes_are_filtered_by_what_they_are_and_who_made_them() -> None:
    """Action, result, author and revision narrow the answer; a word that is none is an error with the nearest."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    for number, revision in enumerate(COMMITS[:3]):
        change = Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, DeviceId(f"device{number:02}"))
        name = PassId(f"pass{number}")
        state.changes.intend(DEFAULT_ACCOUNT, name, [change], frozenset(), revision, clock.now())
    known = Knowledge(NOW, Accepted(), state, state.revisions.kept)

    def devices(**asked: str) -> list[str]:
        return [
            one.device for one in queries.history(known, queries.wanted(asked, known.now)).changes
        ]

    assert devices(action="unsubscribe") == []
    assert devices(result="begun", author="minji") == ["device01"]
    assert devices(revision="2F2A91C") == ["device02"]
    assert devices(revision="sha256:a") == ["device00"]
    with pytest.raises(ReconcilerError, match="did you mean 'success'"):
        devices(result="sucess")
    with pytest.raises(ReconcilerError, match="author is empty"):
        devices(author=" ")


def test_changes_of_a_device_are_found_by_what_a_person_calls_it() -> None:
    """The beginning of an id and a name will do, page after page; what nobody knows is told, not an empty answer."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    changes(state, clock, 0, 10)
    document = Document(
        "d.toml", b'version = 1\ndevices = [{id = "device01", name = "Fridge"}, "new00000x"]\n'
    )
    texts = accept(Accepted(), desired.load([document], MemoryTree({})), Revision("0" * 64))
    known = Knowledge(NOW, texts, state, state.revisions.kept)

    def devices(device: str, **more: str) -> list[str]:
        asked = queries.wanted({"device": device, **more}, known.now)
        return [one.device for one in queries.history(known, asked).changes]

    assert (
        devices("Fridge")
        == devices("device01")
        == devices("Fridge", account="default")
        == ["device01"]
    )
    assert devices("new00000") == [], "wanted, and never changed"
    for stranger in ("Frigde", "device0", "cafe0123"):
        with pytest.raises(Unknown, match=f"device '{stranger}' not found"):
            devices(stranger)


def test_a_device_that_only_the_state_knows_is_found_by_its_beginning() -> None:
    """What was live or changed once is known, also while the disk takes no writes, and by the whole id only once."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    changes(state, clock, 0, 10)
    assert state.history.devices_like("device0", 10) == {
        (DEFAULT_ACCOUNT, "device00"),
        (DEFAULT_ACCOUNT, "device01"),
    }
    assert state.history.devices_like("device0", 1) == {(DEFAULT_ACCOUNT, "device00")}
    assert state.history.devices_like("evice0", 10) == frozenset()
    document = Document("d.toml", b'version = 1\ndevices = ["device0123", "device0129"]\n')
    texts = accept(Accepted(), desired.load([document], MemoryTree({})), Revision("0" * 64))
    known = Knowledge(NOW, texts, state, state.revisions.kept)
    assert queries.explain(known, "device00").taken_by == "id"
    with pytest.raises(Unknown, match="did you mean"):
        queries.explain(known, "device0")
    with pytest.raises(
        Unknown, match="'device012' is the prefix of 2 devices: device0123 in default, device0129"
    ):
        queries.explain(known, "device012")
    assert queries.explain(known, "device0123").device == "device0123"


def test_a_name_that_several_devices_have_is_told_with_their_ids() -> None:
    """Which of them is meant cannot be guessed."""
    document = Document(
        "d.toml", b'version = 1\ndevices = [{id = "a1", name = "F"}, {id = "b2", name = "F"}]\n'
    )
    texts = accept(Accepted(), desired.load([document], MemoryTree({})), Revision("0" * 64))
    state = State.in_memory(SimulatedClock())
    with pytest.raises(
        Unknown,
        match="'F' is the name of 2 devices: a1 in default, b2 in default; name one by its id",
    ):
        queries.explain(Knowledge(NOW, texts, state, state.revisions.kept), "F")


def test_of_many_devices_of_one_name_five_are_shown() -> None:
    """Each with its account, and with the way to narrow it; ids are as short as in tables."""
    lines = ""
    for number in range(1, 9):
        device = f"{number}{'0' * 63}"
        lines += f'[accounts.a{number}]\ndevices = [{{id = "{device}", name = "F"}}]\n'
    document = Document("d.toml", f"version = 1\n{lines}".encode())
    loaded = desired.load([document], MemoryTree({}))
    assert not loaded.faults
    texts = accept(Accepted(), loaded, Revision("0" * 64))
    state = State.in_memory(SimulatedClock())
    with pytest.raises(Unknown) as refusal:
        queries.explain(Knowledge(NOW, texts, state, state.revisions.kept), "F")
    words = str(refusal.value)
    assert words.startswith("'F' is the name of 8 devices: 100000000000 in a1, ")
    assert words.endswith("500000000000 in a5, 3 more; name one by its id, or add --account")
