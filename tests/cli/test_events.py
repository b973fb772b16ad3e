"""The commands under ``events``: what they show, change and refuse, on a spool of a few events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from prompts import Shell
from receiving import EVENT, body
from reconciler.core.acceptance import Accepted, AccountRevision
from reconciler.core.model import AccountName, Desired, Device, DeviceId, Revision
from reconciler.events.logic import LogicInForce
from reconciler.events.message import read
from reconciler.events.model import Outcome, Result
from reconciler.events.routing import SinkRouter
from reconciler.events.spool import Spool, open_beside
from reconciler.events.spool.tables import event_id
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.directory import DesiredDirectory
from reconciler.runtime.directory.kept import NAME, packed, unpacked
from reconciler.runtime.partner_files import Files, judged
from reconciler.runtime.receiving.rules import KEPT

EVENTS = b"""
version = 1
logic = "logic"
[sinks.crm]
type = "stream"
path = "out.jsonl"
categories = ["malfunction"]
[sinks.log]
type = "stream"
"""
TYPES = b"diagnosis_type,category\nWASHER_DRAIN_SLOW,malfunction\nFILTER,maintenance\n"
MESSAGES = b"diagnosis_type,short_message\nWASHER_DRAIN_SLOW,Drains slowly\nFILTER,Clean it\n"
DEVICE = EVENT["event"]["deviceId"]


def named() -> Accepted:
    """Return a desired state that names the device, and another one."""
    devices = [Device(DeviceId(DEVICE), "Room 1203"), Device(DeviceId("second-device"), "Lobby")]
    described = {one.id: one for one in devices}
    account = AccountName("default")
    desired = Desired(account, frozenset(described), described)
    revision = Revision("0" * 64)
    return Accepted({account: AccountRevision(desired, revision)}, revision=revision)


def names_kept(folder: Path) -> set[str | None]:
    """Return the names that a spool keeps."""
    clock, logic = SystemClock(), LogicInForce()
    archive = open_beside(folder, clock, SinkRouter(DesiredDirectory(clock), logic))
    try:
        content = archive.kept(NAME)
    finally:
        archive.close()
    recalled = unpacked(content or b"")
    assert recalled is not None
    found = recalled.accepted.accounts.values()
    return {device.name for one in found for device in one.desired.described.values()}


async def fill(folder: Path, bodies: Sequence[bytes], delivered: Sequence[int] = ()) -> None:
    """Make a spool with these bodies, of which some events were delivered to the sink ``log``, by their seq."""
    files = Files("events.toml", EVENTS, {"types.csv": TYPES, "messages.en.csv": MESSAGES})
    rules = judged(files).rules
    assert rules is not None
    clock, logic = SystemClock(), LogicInForce()
    logic.table = rules.table
    router = SinkRouter(DesiredDirectory(clock), logic)
    router.enforce(rules.config.sinks)
    spool = Spool(folder, clock, router, limit=1024**3)
    spool.open()
    try:
        spool.keep(KEPT, msgspec.msgpack.encode(files))
        spool.keep(NAME, packed(named()))
        for content in bodies:
            await spool.store(read(content))
        now = clock.now()
        await spool.record(
            [Outcome(seq, "log", Result.DELIVERED, now, status=200) for seq in delivered]
        )
    finally:
        spool.close()


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """Give a prompt in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PCC_EVENTS_DIR", str(tmp_path / "spool"))
    return Shell(capsys, ("events",))


@pytest.fixture
def spool(tmp_path: Path) -> None:
    """Give a spool with a diagnosis that was delivered, an unknown type, a push type nobody asked for, and a scrap."""
    registered = {"push": {"pushType": "DEVICE_REGISTERED", "deviceId": DEVICE}}
    bodies = [
        body(),
        body(deviceId="second-device", diagnosisType="NEWS"),
        json.dumps(registered).encode(),
        b"\x1b[31mno json",
    ]
    asyncio.run(fill(tmp_path / "spool", bodies, delivered=[1]))


@pytest.mark.usefixtures("spool")
def test_the_list_is_newest_first_and_can_be_narrowed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each filter narrows, several of them together; the text has a line for each event."""
    found = shell.json("list")["events"]
    assert [event["seq"] for event in found] == [4, 3, 2, 1]
    assert [event["state"] for event in found] == ["quarantined", "unrouted", "pending", "pending"]
    assert "body" not in found[0]
    for arguments, seqs in (
        (("--device", DEVICE), [3, 1]),
        (("--type", "NEWS"), [2]),
        (("--sink", "log"), [2, 1]),
        (("--sink", "log", "--state", "delivered"), [1]),
        (("--state", "quarantined"), [4]),
        (("--since", "1h"), [4, 3, 2, 1]),
        (("--since", "2999-01-01T00:00:00Z"), []),
        (("--limit", "2"), [4, 3]),
        (("--account", "nobody"), []),
    ):
        listed = shell.json("list", *arguments)["events"]
        assert [event["seq"] for event in listed] == seqs, arguments
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, shell("list").out.splitlines())) <= 80
    lines = shell("list", "-o", "wide").out.splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["stored", "(UTC)", "state", "device", "type", "id", "account"]


@pytest.mark.usefixtures("spool")
def test_one_event_is_shown_whole(shell: Shell) -> None:
    """The beginning of an id will do; it shows LG's message member for member, and where it went."""
    listed = shell.json("list", "--type", "WASHER_DRAIN_SLOW")["events"]
    (event,) = shell.json("show", listed[0]["id"][:10])["events"]
    assert event["message"] == EVENT
    assert {row["sink"]: row["state"] for row in event["deliveries"]} == {
        "crm": "pending",
        "log": "delivered",
    }
    text = shell("show", event["id"]).out
    assert "sink log: delivered after 1 try" in text
    assert '"WASHER_DRAIN_SLOW"' in text
    nobody = shell("show", "nobody")
    assert nobody.code == 1
    assert "there is no event 'nobody'" in nobody.err


def test_an_id_that_begins_with_a_hyphen_is_shown(tmp_path: Path, shell: Shell) -> None:
    """One in 64 ids looks like an option: as it is printed it is an id, and a misspelt option stays one."""
    times = (f"2026-01-02T03:{number // 60:02}:{number % 60:02}" for number in range(3600))
    bodies = (body(diagnosisTimestamp=time) for time in times)
    content = next(one for one in bodies if event_id(read(one)[0].key).startswith("-"))
    asyncio.run(fill(tmp_path / "spool", [content]))
    whole = event_id(read(content)[0].key)
    for shown in (whole, whole[:12]):
        assert shell.json("show", shown)["events"][0]["id"] == whole
        assert whole in shell("show", shown, "--output", "text").out
        assert whole in shell("show", "--", shown).out
    misspelt = shell("show", whole, "--output-format", "json")
    assert (misspelt.code, "No such option: --output-format" in misspelt.err) == (64, True)


@pytest.mark.usefixtures("spool")
def test_no_foreign_word_steers_a_terminal(shell: Shell) -> None:
    """What came is shown escaped, as text and as JSON."""
    scrap = shell.json("list", "--state", "quarantined")["events"][0]["id"]
    for output in ("text", "json"):
        for command in (("list",), ("show", scrap)):
            ended = shell(*command, "--output", output)
            assert ended.code == 0
            assert "\x1b" not in ended.out
    assert shell.json("show", scrap)["events"][0]["body"] == "\x1b[31mno json"


def test_unknown_types_can_be_pasted(tmp_path: Path, shell: Shell) -> None:
    """They are lines of types.csv, most frequent first, and no spreadsheet takes a cell for a formula."""
    bodies = [body(diagnosisType=kind) for kind in ("=1+1", "+x", "-y", "@z", 'a"b,c', "FILTER")]
    bodies += [body(diagnosisType="@z", deviceId="another")]
    asyncio.run(fill(tmp_path / "spool", bodies))
    lines = shell("unknown").out.splitlines()
    assert lines[0] == "diagnosis_type,category,device_types,severity,note"
    assert lines[1] == "'@z,,,,2 events"
    assert set(lines[2:]) == {
        "'=1+1,,,,1 event",
        "'+x,,,,1 event",
        "'-y,,,,1 event",
        '"a""b,c",,,,1 event',
    }
    assert {"type": "@z", "events": 2} in shell.json("unknown")["unknown"]


@pytest.mark.usefixtures("spool")
def test_a_replay_makes_events_due_again(shell: Shell) -> None:
    """A dry run only counts; the replay itself is seen by whoever looks next."""
    arguments = ("replay", "--sink", "log", "--since", "1h", "--state", "delivered")
    assert shell.json(*arguments, "--dry-run") == {
        "api": 1,
        "sink": "log",
        "events": 1,
        "dry_run": True,
    }
    assert len(shell.json("list", "--sink", "log", "--state", "delivered")["events"]) == 1
    assert shell(*arguments).out == "1 event will be delivered to log\n"
    assert shell.json("list", "--sink", "log", "--state", "delivered")["events"] == []
    assert shell(*arguments).out == "0 events will be delivered to log\n"


def test_a_replay_takes_the_device_and_the_states_that_are_named(
    tmp_path: Path, shell: Shell
) -> None:
    """Nothing of another device is delivered again, and several states are several questions in one."""
    bodies = [
        body(),
        body(deviceId="second-device"),
        body(diagnosisTimestamp="2026-01-02T03:04:05"),
    ]
    asyncio.run(fill(tmp_path / "spool", bodies, delivered=[1, 2]))

    def count(*options: str) -> int:
        found = shell.json("replay", "--sink", "log", "--since", "1h", "--dry-run", *options)
        events: int = found["events"]
        return events

    assert count() == 0
    assert count("--state", "delivered") == 2
    assert count("--state", "delivered", "--device", DEVICE) == 1
    assert count("--state", "dead", "--state", "delivered", "--device", "second-device") == 1
    assert count("--state", "delivered", "--device", "nobody-here") == 0
    assert count("--state", "dead", "--device", DEVICE) == 0


@pytest.mark.usefixtures("spool")
def test_a_replay_knows_the_accounts_of_devices(tmp_path: Path, shell: Shell) -> None:
    """By the names that the spool keeps: an event of another account does not go to a sink that is not for it."""
    sinks = b'[sinks.seoul]\ntype = "stream"\naccounts = ["seoul-*"]\n'
    sinks += b'[sinks.home]\ntype = "stream"\naccounts = ["default"]\n'
    files = Files("events.toml", EVENTS.replace(b'logic = "logic"', b"") + sinks)
    clock = SystemClock()
    archive = open_beside(
        tmp_path / "spool", clock, SinkRouter(DesiredDirectory(clock), LogicInForce())
    )
    archive.keep(KEPT, msgspec.msgpack.encode(files))
    archive.close()
    for sink, count in (("seoul", 0), ("home", 2)):
        options = ("--sink", sink, "--since", "1h", "--state", "unrouted", "--dry-run")
        assert shell.json("replay", *options)["events"] == count, sink


@pytest.mark.usefixtures("spool")
def test_a_replay_knows_the_categories_of_diagnoses(tmp_path: Path, shell: Shell) -> None:
    """By the table in force: only an event whose type it does not have goes to a sink that is for another category."""
    sinks = b'[sinks.faults]\ntype = "stream"\npath = "faults"\ncategories = ["malfunction"]\n'
    sinks += b'[sinks.care]\ntype = "stream"\npath = "care"\ncategories = ["maintenance"]\n'
    table = {"types.csv": TYPES, "messages.en.csv": MESSAGES}
    files = Files("events.toml", EVENTS + sinks, table)
    clock = SystemClock()
    archive = open_beside(
        tmp_path / "spool", clock, SinkRouter(DesiredDirectory(clock), LogicInForce())
    )
    archive.keep(KEPT, msgspec.msgpack.encode(files))
    archive.close()
    for sink, count in (("faults", 2), ("care", 1)):
        options = ("--sink", sink, "--since", "1h", "--state", "unrouted", "--dry-run")
        assert shell.json("replay", *options)["events"] == count, sink


@pytest.mark.usefixtures("spool")
def test_a_replay_obeys_the_filters_that_are_in_force(shell: Shell) -> None:
    """Events that never went to a sink go there only if its filters pass them: a push type it did not ask for stays."""
    count = shell.json("replay", "--sink", "crm", "--since", "1h", "--state", "unrouted")["events"]
    assert count == 0
    nowhere = shell("replay", "--sink", "crn", "--since", "1h")
    assert nowhere.code == 1
    assert "there is no sink 'crn'" in nowhere.err
    assert "did you mean 'crm'?" in nowhere.err


@pytest.mark.usefixtures("spool")
def test_erasing_a_device_leaves_nothing_of_it(tmp_path: Path, shell: Shell) -> None:
    """Bodies and names go from the file and its log; the command says what it cannot reach."""
    assert names_kept(tmp_path / "spool") == {"Room 1203", "Lobby"}
    names = packed(named())
    assert any(names in file.read_bytes() for file in (tmp_path / "spool").iterdir())
    ended = shell("erase", DEVICE)
    assert (ended.code, ended.out) == (0, "2 events erased\n")
    assert "these sinks were given: log." in ended.err
    for file in (tmp_path / "spool").iterdir():
        assert DEVICE.encode() not in file.read_bytes(), file
        assert names not in file.read_bytes(), file
    assert shell.json("list", "--device", DEVICE)["events"] == []
    assert len(shell.json("list")["events"]) == 4
    again = shell.json("erase", DEVICE)
    assert again == {"api": 1, "events": 0, "not_reached": []}
    assert names_kept(tmp_path / "spool") == {"Lobby"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--since", "yesterday"), "2026-11-22T10:00:00Z"),
        (("list", "--state", "lost"), "'pending', 'delivered'"),
        (("list", "--limit", "0"), "greater than or equal to 1"),
        (("list", "--output", "markdown"), "'text', 'wide', 'json'"),
        (("list", "--device", ""), "is empty"),
        (("show",), "ID"),
        (("replay", "--since", "1h"), "--sink"),
        (("replay", "--sink", "log"), "--since"),
        (("replay", "--sink", "log", "--since", "1h", "--state", "pending"), "'dead'"),
        (("erase", "short"), "at least 8 characters"),
    ],
)
def test_wrong_usage_has_its_own_code(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    """It ends with 64, says what is wrong, and touches nothing."""
    ended = shell(*arguments)
    assert (ended.code, ended.out) == (64, "")
    assert words in ended.err


def test_without_a_spool_it_says_so(shell: Shell, tmp_path: Path) -> None:
    """No command makes a spool where there is none."""
    for command in (("list",), ("unknown",), ("erase", DEVICE)):
        ended = shell(*command)
        assert ended.code == 1
        assert "there is no spool" in ended.err
    assert not (tmp_path / "spool").exists()


@pytest.mark.usefixtures("spool")
def test_they_run_with_the_settings_of_the_daemon(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They face nobody, so a credential of LG's in the environment of an operator is no reason to refuse."""
    monkeypatch.setenv("PCC_SERVICE_KEY", "sesame-open-9000")
    monkeypatch.setenv("PCC_RECEIVE_LISTEN", "192.0.2.1:8081")
    assert shell("list").code == 0


def test_a_time_is_counted_back_from_now(tmp_path: Path, shell: Shell) -> None:
    """``--since`` counts from when an event was stored, not from when LG diagnosed."""
    asyncio.run(fill(tmp_path / "spool", [body(diagnosisTimestamp="2001-01-01T00:00:00Z")]))
    assert len(shell.json("list", "--since", "1m")["events"]) == 1
    later = SystemClock().now() + timedelta(minutes=1)
    assert shell.json("list", "--since", later.isoformat())["events"] == []
