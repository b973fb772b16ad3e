"""``explain``, ``history`` and ``status`` as people use them: against a running daemon, and without one."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from reconciler.core.acceptance import AccountRevision
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    Action,
    Desired,
    Device,
    DeviceId,
    Memory,
    PassId,
    Policy,
    Prune,
    Reason,
    Result,
    Retry,
    Revision,
)
from reconciler.core.registry_news import RegistryNews
from reconciler.reporting import queries
from reconciler.reporting.explain import Explanation, Facts, Position, tell, wait_report
from reconciler.reporting.formats import changes, statuses
from reconciler.reporting.formats import explanations as shown
from reconciler.runtime import offline, settings
from reconciler.runtime.clock import SystemClock
from reconciler.simulator import Match, Platform, Route, Rule, create_app, serving
from reconciler.simulator.faults import Error
from reconciler.source.files import FileSource
from reconciler.state import Past, State
from repositories import AUTHOR, Remote, git
from scenarios import command, environment, eventually, fault, fleet, owned, site, text, write
from simulated import COMMIT, START, Fleet, SimulatedClock
from stories import CASES, refusal, world

# ---------------------------------------------------------------------------------------------------------------------
# Seven stories, on simulated time


TELLING: dict[str, tuple[str, ...]] = {
    "subscribed": (
        "Subscribed, as wanted.",
        "came in    2026-11-01 00:00:00 UTC (2 days ago) with 1f2a91c71111 by Kim Minji <minji@hotel.example>: Take in",
        "entry at   desired-state.toml:4:3",
        "observed   in the last trusted list of 2026-11-03 00:10:03 UTC",
        "subscribe success, pass ",
        "next pass  2026-11-03 00:20:03 UTC (in 8 minutes)",
    ),
    "unsubscribed": (
        "Not wanted, and unsubscribed at 2026-11-02 00:00:02 UTC.",
        "went out   2026-11-02 00:00:01 UTC (1 day ago) with 2f2a91c72222 by Lee Jun <jun@hotel.example>: Room 103 is",
        "unsubscribe success, pass ",
        "2f2a91c72222 by Lee Jun <jun@hotel.example>, message id ",
    ),
    "held": (
        "Subscribed, though not wanted: a guard holds that (too-many).",
        "by Park Seo <seo@hotel.example>: Wing B is being rebuilt",
        "held       unsubscribe by too-many (guard): 8 devices would be unsubscribed within 24 hours, 5 are allowed",
        "do         compare the file with what you meant. If the removal is right, approve it.",
        "next       will not unsubscribe until someone approves it or ends the hold",
    ),
    "refused": (
        "Wanted, but not subscribed: LG refuses it.",
        "answer     1214 Not subscribable device (subscribe, 3 attempts, since 2026-11-01 00:00:01 UTC (2 days ago))",
        "do         correct or remove the entry, or have the device registered.",
        "next       the subscribe is tried again when the wait is over: 2026-11-03 0",
    ),
    "unmanaged": (
        "Subscribed, not wanted here, and not ours to remove: nothing is done about it.",
        "next       nothing under prune = 'owned'; an entry in the file would take it in",
    ),
    "approved": (
        "approved   until 2026-12-01 00:00:00 UTC (in 28 days): wing B is rebuilt (desired-state.toml:11:12)",
        "unsubscribe success, approved, pass ",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_story_of_each_device_is_the_right_one(case: str) -> None:
    """Subscribed, unsubscribed, held, refused, unmanaged or approved: who, when, LG's words, what is next."""
    told = shown.explanation_text(world().explain(world().examples[case]), "nobody")
    assert [words for words in TELLING[case] if words not in told] == [], told


def test_an_unknown_device_is_told_with_the_nearest() -> None:
    """A mistyped id or name comes back with the one that was probably meant."""
    known = world().examples["subscribed"]
    assert f"did you mean '{known}'?" in refusal(known[:-1] + "x")
    assert "did you mean 'Room 210 oven'?" in refusal("Room 210 ovn")
    assert "use at least 8 characters of an id" in refusal("zz")
    assert "not found" in refusal("x" * 100_000)


def test_a_device_may_be_named_by_the_beginning_of_its_id_or_by_its_name() -> None:
    """What was taken is said; seven characters are too few, and one that is gone from the text is found too."""
    known, gone = world().examples["subscribed"], world().examples["unsubscribed"]
    for asked, taken_by, device in (
        (known, "id", known),
        (known[:8], "prefix", known),
        ("Room 210 oven", "name", known),
        (gone[:8], "prefix", gone),
    ):
        found = world().explain(asked)
        assert (found.device, found.taken_by) == (device, taken_by)
    assert "not found" in refusal(known[:7])


def test_markdown_and_json_tell_the_same() -> None:
    """The story as a comment and as JSON has what the text has."""
    held = world().explain(world().examples["held"])
    comment = shown.explanation_markdown(held, "nobody")
    assert "| held | unsubscribe by too-many (guard): 8 devices" in comment
    whole = json.loads(shown.as_json(held, answered_by="nobody"))
    assert (whole["api"], whole["answered_by"], whole["accounts"][0]["hold"]["reason"]) == (
        1,
        "nobody",
        "too-many",
    )


def test_foreign_words_stay_words_wherever_they_are_shown() -> None:
    """Names, authors and LG's words cannot steer a terminal, break a line or a table, or be markup."""
    hostile = "<b>[x](http://e)|\x1b[31m\n| a | `b` @all \u202e"
    whole = world().explain(world().examples["refused"])
    one = whole.accounts[0]
    assert one.wait is not None
    assert one.came is not None
    change = replace(
        one.changes[0], words=hostile, author=hostile, name=hostile, lg_message_id=hostile
    )
    wait = replace(one.wait, words=hostile)
    told = replace(
        one,
        name=hostile,
        came=replace(one.came, author=hostile, subject=hostile),
        wait=wait,
        error=hostile,
        changes=(change,),
    )
    story = replace(whole, accounts=(told,))
    refused = [queries.RefusedReport("default", hostile, hostile, wait)]
    page = queries.Page(whole.at, (change,), None)
    plain = (
        shown.explanation_text(story, hostile)
        + changes.history_text(page)
        + statuses.refused_text(refused, whole.at)
    )
    assert all(one.isprintable() or one == "\n" for one in plain)
    assert len(changes.history_text(page).splitlines()) == 2
    marked = (
        shown.explanation_markdown(story, hostile)
        + changes.history_markdown(page)
        + statuses.refused_markdown(refused, whole.at)
    )
    for markup in ("<b>", "[x](", "@all", "`b`", "http://e"):
        assert markup not in marked


# ---------------------------------------------------------------------------------------------------------------------
# Rarer stories, on simulated time


async def story(one: Fleet, device: str, **more: Any) -> Explanation:
    """Return the story of a device of a fleet."""
    standing = one.reconciler.accounts.statuses[DEFAULT_ACCOUNT]
    name = DeviceId(device)
    facts: dict[str, Any] = {
        "text": one.text,
        "memory": one.state.accounts.recall(DEFAULT_ACCOUNT, one.clock.now()),
        "pasts": one.state.history.changes(DEFAULT_ACCOUNT, name),
        "ending": standing.last,
    }
    return tell(Facts(DEFAULT_ACCOUNT, name, one.clock.now(), **(facts | more)))


async def test_dates_say_when_a_device_comes_and_goes() -> None:
    """Before, inside and after its dates a listed device is explained by them, and by what happens at the next one."""
    one = Fleet(6, wanted=0)
    soon, now, over = one.owned[:3]
    start = one.clock.now()
    described = {
        soon: Device(soon, from_=start + timedelta(days=1)),
        now: Device(now, from_=start - timedelta(days=1), until=start + timedelta(days=2)),
        over: Device(over, until=start - timedelta(days=1)),
    }
    one.want([soon, now, over], described=described)
    await one.reconcile()
    told = {device: await story(one, device) for device in (soon, now, over)}
    assert (told[soon].state, told[soon].next) == (
        Position.ABSENT,
        "it is subscribed when its entry begins",
    )
    assert told[soon].next_at == start + timedelta(days=1)
    assert (told[now].state, told[now].next_at) == (Position.IN_SYNC, start + timedelta(days=2))
    assert (
        told[now].why
        == "its entry counts since 2026-10-31 00:00:00 UTC until 2026-11-03 00:00:00 UTC"
    )
    assert (told[over].why, told[over].next) == (
        "its entry ended at 2026-10-31 00:00:00 UTC",
        "nothing: its entry is over and can be removed",
    )


@pytest.mark.parametrize(
    ("policy", "is_protected", "goes"),
    [
        (Policy(), None, True),
        (Policy(prune=Prune.OWNED), None, True),
        (Policy(prune=Prune.NONE), None, False),
        (Policy(unsubscribe_after=timedelta(days=7)), None, False),
        (Policy(), True, False),
    ],
    ids=["all", "owned", "none", "later", "protected"],
)
async def test_the_end_of_an_entry_is_foretold_as_what_it_leads_to(
    policy: Policy, *, is_protected: bool | None, goes: bool
) -> None:
    """Only where nothing else has to happen first does the end of an entry unsubscribe its device."""
    one = Fleet(6, wanted=0)
    device = one.owned[0]
    end = one.clock.now() + timedelta(days=2)
    described = {device: Device(device, until=end, protected=is_protected)}
    one.want([device], described=described, policy=policy)
    await one.reconcile()
    told = await story(one, device)
    assert (told.state, told.next_at) == (Position.IN_SYNC, end)
    assert ("unsubscribed" in told.next) is goes


async def test_an_ignored_device_is_left_alone() -> None:
    """Wanted or live, ``policy.ignore`` is the whole story."""
    one = Fleet(6, wanted=3, policy=Policy(ignore=frozenset({DeviceId("x"), *Fleet(6).owned[:1]})))
    await one.reconcile()
    ignored = await story(one, one.owned[0])
    assert (ignored.state, ignored.summary) == (
        Position.IGNORED,
        "Left alone, because policy.ignore names it.",
    )


async def test_policy_and_the_account_can_be_what_holds() -> None:
    """A pause, a waiting time and an account that LG does not let in are told with what a person does."""
    one = Fleet(6)
    await one.reconcile()
    gone = one.owned[0]
    one.want(one.owned[1:], policy=Policy(unsubscribe_after=timedelta(days=1)))
    await one.reconcile(after=timedelta(minutes=10))
    waiting = await story(one, gone)
    assert waiting.hold is not None
    assert (waiting.hold.reason, waiting.next) == (
        "unsubscribe-after",
        "the unsubscribe is made when the wait is over",
    )
    one.client = "no refresh token: set PCC_REFRESH_TOKEN"
    await one.reconcile(after=timedelta(days=2))
    stopped = await story(one, gone)
    assert stopped.hold is not None
    assert (stopped.hold.reason, stopped.error) == (
        "account-stopped",
        "no refresh token: set PCC_REFRESH_TOKEN",
    )


async def test_before_a_pass_of_the_text_the_guards_are_asked_what_they_would_say() -> None:
    """After a restart, or without a daemon, the story tells from memory alone what holds the device."""
    one = Fleet(20)
    await one.reconcile()
    one.want(one.owned[:5])
    told = await story(one, one.owned[10], ending=None)
    assert told.hold is not None
    assert (told.state, told.hold.reason) == (Position.EXTRA, "too-many")
    braked = await story(one, one.owned[10], ending=None, observing=True)
    assert braked.hold is not None


async def test_a_protected_device_is_told_as_such_with_and_without_its_entry() -> None:
    """Its story says that only an approval lets it go, by which entry, and what a person can do while it is held."""
    one = Fleet(20)
    protected = one.owned[10]
    one.want(one.owned, described={protected: Device(protected, protected=True)})
    await one.reconcile()
    told = await story(one, protected)
    assert (told.state, told.protected, told.protected_by) == (Position.IN_SYNC, True, "default")
    one.want([device for device in one.owned if device != protected])
    await one.reconcile()
    told = await story(one, protected)
    assert told.hold is not None
    assert (told.state, told.protected, told.hold.reason) == (Position.EXTRA, True, "protected")
    assert told.next == "will not unsubscribe until someone approves it or ends the hold"
    words = "by its last entry: it is unsubscribed only if an approval here names it"
    assert shown.protection_words(told) == words
    assert not (await story(one, one.owned[3])).protected


async def test_an_account_that_left_the_text_is_told_for_what_it_is() -> None:
    """Of an abandoned account no call is made, so nothing follows for its devices."""
    one = Fleet(4)
    await one.reconcile()
    told = await story(one, one.owned[0], text=None, abandoned=True, ending=None)
    assert (told.state, told.next) == (
        Position.UNMANAGED,
        "nothing: no call is made for this account",
    )
    assert (
        told.why
        == "the account is not in the revision in force, and it is abandoned: no call is made for it"
    )


async def test_what_the_planner_says_of_all_it_says_of_each() -> None:
    """Device by device the stories add up to the plan of the whole account."""
    one = Fleet(12, wanted=6, policy=Policy(prune=Prune.OWNED))
    one.platform.subscribe("default", *one.owned[8:10])
    await one.reconcile()
    one.want(one.owned[1:7])
    ending = await one.reconcile()
    assert ending.plan is not None
    states = [(await story(one, device)).state for device in one.owned]
    assert states.count(Position.UNMANAGED) == len(ending.plan.unmanaged) == 2
    assert states.count(Position.IN_SYNC) == 6
    assert states.count(Position.ABSENT) == 4


async def test_every_change_carries_commit_author_and_pass_in_log_and_history() -> None:
    """Applied, refused, failed or confirmed by a later list: none is without them."""
    one = Fleet(8)
    one.platform.set_faults(
        Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE, devices=(one.owned[0],))),
        Rule(
            Error(code="2000", commit=True),
            match=Match(route=Route.SUBSCRIBE, devices=(one.owned[1],)),
            count=1,
        ),
        Rule(
            Error(code="2000"), match=Match(route=Route.SUBSCRIBE, devices=(one.owned[2],)), count=1
        ),
    )
    with capture_logs(processors=[merge_contextvars]) as lines:
        await one.reconcile()
        await one.reconcile(after=timedelta(minutes=2))
        one.want(one.owned[:7])
        await one.reconcile(after=timedelta(minutes=2))
    told = [line for line in lines if line["event"].startswith("change.")]
    assert {line["event"] for line in told} == {"change.applied", "change.failed", "change.refused"}
    assert any(line.get("confirmed_by") == "list" for line in told)
    for line in told:
        assert (line["commit"], line["author"]) == (COMMIT.id, COMMIT.author)
        assert re.fullmatch(r"[0-9a-f]{12}", line["pass_id"])
    pasts = one.state.history.changes()
    assert {past.result for past in pasts} >= {"success", "refused"}
    for past in pasts:
        assert past.revision is not None
        assert (past.revision.commit, bool(past.pass_id)) == (COMMIT, True)


def forget(*_arguments: object, **_named: object) -> dict[DeviceId, str]:
    """Keep nothing."""
    return {}


async def test_a_change_whose_intent_was_lost_still_says_by_which_commit() -> None:
    """What is recorded has the commit of the pass that made it, whatever became of the note before the call."""
    state = State.in_memory(SimulatedClock())
    state.changes.intend = forget  # type: ignore[method-assign]  # as with a file that was damaged and begun anew
    one = Fleet(3, state=state)
    await one.reconcile()
    found = [
        past.revision.commit for past in one.state.history.changes() if past.revision is not None
    ]
    assert found == [COMMIT] * 3


def test_a_refusal_is_told_since_it_began_anew() -> None:
    """A device that LG took in between is refused since then, not since its first refusal."""
    changes = [
        (4, Result.REFUSED),
        (3, None),
        (2, Result.REFUSED),
        (1, Result.SUCCESS),
        (0, Result.REFUSED),
    ]
    moments = [START + timedelta(hours=hours) for hours in range(5)]
    pasts = [
        Past(
            DEFAULT_ACCOUNT,
            DeviceId("x"),
            Action.SUBSCRIBE,
            moments[at],
            moments[at],
            PassId("p"),
            result=result,
        )
        for at, result in changes
    ]
    retry = Retry(
        Action.SUBSCRIBE, Reason.REFUSED, 2, moments[4] + timedelta(hours=2), "1214", "no"
    )
    assert wait_report(retry, pasts).since == moments[2]
    assert wait_report(replace(retry, action=Action.UNSUBSCRIBE), pasts).since is None


# ---------------------------------------------------------------------------------------------------------------------
# A real daemon over a real repository, and the same questions after its end


def commits(folder: Path) -> Remote:
    """Return somebody who commits to the folder that the daemon reads."""
    remote = Remote(folder / "git")
    remote.work.rename(folder / "desired")
    remote.work = folder / "desired"
    return remote


@pytest.mark.system
async def test_on_call_one_command_tells_who_and_when(tmp_path: Path) -> None:
    """Against the daemon and, after its end, from files and state, each device has its story with commit and author."""
    platform = fleet(12)
    devices = owned(platform)
    refused, gone, held = devices[11], devices[0], devices[2]
    platform.set_faults(
        Rule(Error(code="1214"), match=Match(route=Route.SUBSCRIBE, devices=(refused,)))
    )
    remote = commits(tmp_path)
    limit = "policy.max_unsubscribe_floor = 1"
    first = remote.commit({"desired-state.toml": text(devices, limit)}, "Take them in")
    given = {"PCC_DESIRED_STATE": str(remote.work / "desired-state.toml")}
    async with site(tmp_path, platform, **given) as one:
        await one.has(devices[:11])
        second = remote.commit(
            {"desired-state.toml": text(devices[1:], limit)}, "Room 1 is closed", author="Lee <l@x>"
        )
        await one.has(devices[1:11])
        code, _, err = await command(
            one, "status", "--wait", "--revision", second[:10], "--timeout", "30s"
        )
        assert (code, "is refused 1 device by LG" in err) == (4, True)
        third = remote.commit(
            {"desired-state.toml": text(devices[6:], limit)}, "Wing B", author="Park <p@x>"
        )
        code, _, err = await command(
            one, "status", "--wait", "--revision", third, "--timeout", "30s"
        )
        assert (code, "held by too-many" in err) == (3, True)
        asked = (gone, held[:12], refused, devices[8], "no-such-device")
        told = await asyncio.gather(*(command(one, "explain", device) for device in asked))
        past = await command(one, "history", "--limit", "3", "--output", "json")
        listed = await command(one, "status", "--refused")
        await one.stop()
        later = await asyncio.gather(*(command(one, "explain", device) for device in asked))
        past_later = await command(one, "history", "--limit", "3", "--output", "json")
    for answers, by in (
        (told, "Asked: the daemon at http://127.0.0.1:"),
        (later, "Asked: the desired state /"),
    ):
        by_case = dict(zip(("gone", "held", "refused", "live", "unknown"), answers, strict=True))
        assert [code for code, _, _ in answers] == [0, 0, 0, 0, 1]
        assert all(by in out for _, out, _ in answers[:4])
        assert f"with {second[:12]} by Lee <l@x>: Room 1 is closed" in by_case["gone"][1]
        assert f"with {third[:12]} by Park <p@x>: Wing B" in by_case["held"][1]
        assert "taken by its prefix" in by_case["held"][1]
        assert "held unsubscribe by too-many (guard): 6 devices" in " ".join(
            by_case["held"][1].split()
        )
        words = " ".join(by_case["refused"][1].split())
        assert "answer 1214 Not subscribable device (subscribe, " in words
        assert f"with {first[:12]} by {AUTHOR}: Take them in" in by_case["live"][1]
        place = (
            "desired-state.toml:6:3" if answers is told else f"{remote.work}/desired-state.toml:6:3"
        )
        assert f"entry at {place}" in " ".join(by_case["live"][1].split())
        assert "device 'no-such-device' not found" in by_case["unknown"][2]
    assert "no daemon answers at" in later[0][2]
    changes = json.loads(past[1])["changes"]
    assert changes == json.loads(past_later[1])["changes"]
    newest = next(change for change in changes if change["action"] == "unsubscribe")
    assert (newest["device"], newest["commit"], newest["author"]) == (gone, second, "Lee <l@x>")
    assert newest["pass_id"]
    assert newest["message_id"]
    assert (refused[:12] in listed[1], "1214 Not subscribable device" in listed[1]) == (True, True)


# ---------------------------------------------------------------------------------------------------------------------
# Commands, with and without a daemon


async def test_status_shows_the_accounts_whatever_their_state(tmp_path: Path) -> None:
    """A table on stdout with exit code 0, also where something is held; and the same as JSON and Markdown."""
    platform = fleet(12)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    async with site(tmp_path, platform) as one:
        await one.has(devices)
        write(one.file, text(devices[:2]))
        await eventually(lambda: one.told("guard.tripped"))
        lines = await asyncio.gather(
            command(one, "status"),
            command(one, "status", "--output", "json"),
            command(one, "status", "--output", "markdown"),
            command(one, "status", "--account", "defualt"),
            command(one, "status", "--wait", "--timeout", "30s"),
            command(one, "status", "--wait", "--revision", "0123456", "--timeout", "1s"),
            command(one, "history", "--account", "defualt"),
        )
    (shown, whole, comment, unknown, waited, late, nobody) = lines
    assert shown[0] == whole[0] == comment[0] == 0
    assert re.search(r"^default +held +2 +2 +0 +10 +10 ", shown[1], re.MULTILINE)
    assert "default: too-many holds 10 unsubscribes: 10 devices would be unsubscribed" in shown[1]
    assert json.loads(whole[1])["accounts"][0]["held"][0]["count"] == 10
    assert "| default | held | 2 | 2 | 0 | 10 |" in comment[1]
    assert (unknown[0], "did you mean 'default'?" in unknown[2]) == (1, True)
    assert (waited[0], "default is held by too-many" in waited[2]) == (3, True)
    assert (late[0], "timed out: waiting for revision 0123456" in late[2]) == (1, True)
    assert (nobody[0], "did you mean 'default'?" in nobody[2]) == (1, True)


async def test_wait_goes_through_a_start_and_ends_in_sync(tmp_path: Path) -> None:
    """Begun before the daemon listens, it ends once the accounts are as the text wants; a bad text ends it at once."""
    platform = fleet(6)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    platform.set_faults(fault(Error(code="2000"), Route.SUBSCRIBE, count=2))
    async with site(tmp_path, platform) as one:
        port = str(one.http.base_url.port)
        await one.stop()
        one.given["PCC_LISTEN"] = f"127.0.0.1:{port}"
        waiting = asyncio.create_task(command(one, "status", "--wait", "--timeout", "60s"))
        await asyncio.sleep(1)
        await one.start()
        code, out, err = await waiting
        assert (code, "1 account done with revision sha256:" in err) == (0, True)
        assert "All is well" in out
        assert "\x1b" not in err
        write(one.file, "version = 1\nnonsense = 2\ndevices = []\n")
        await eventually(lambda: one.told("desired.rejected"))
        code, _, err = await command(one, "status", "--wait", "--timeout", "60s")
        assert (code, "the newest revision is rejected (invalid): " in err) == (1, True)


async def test_a_server_that_is_named_is_the_only_one_asked(tmp_path: Path) -> None:
    """Where a person says whom to ask, files and state do not answer in its place."""
    platform = fleet(2)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        for arguments in (("explain", owned(platform)[0]), ("history",), ("status",)):
            code, out, err = await command(one, *arguments, "--server", "http://127.0.0.1:9")
            assert (code, out) == (1, "")
            assert err.startswith("pcc-reconciler: no daemon answers at http://127.0.0.1:9")


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Platform, settings.Settings]:
    """Give settings that lead to no daemon, no state and no file."""
    platform = fleet(3)
    return platform, settings.load(environment(platform, "http://127.0.0.1:9", tmp_path))


def test_without_state_and_daemon_the_files_alone_tell(
    alone: tuple[Platform, settings.Settings], tmp_path: Path
) -> None:
    """The text says whether a device is wanted and where it stands; nothing is made or written."""
    platform, chosen = alone
    device = owned(platform)[1]
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    at_hand = offline.at_hand(chosen, SystemClock())
    told = queries.explain(at_hand.known, device).accounts[0]
    assert (told.desired, told.state, told.observed) == (True, Position.UNKNOWN, None)
    assert told.place is not None
    assert told.place.line == 4
    assert queries.history(at_hand.known, queries.Wanted()).changes == ()
    assert not (tmp_path / "state").exists()


async def test_a_bad_or_missing_file_leaves_the_accepted_text_to_tell(tmp_path: Path) -> None:
    """As the daemon would, ``explain`` without one falls back to the text that was accepted last, and says so."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    async with site(tmp_path, platform) as one:
        await one.has(devices)
        await one.stop()
        chosen = settings.load(one.environment)
        for damage in ("version = 1\nnonsense = 1\n", None):
            if damage is None:
                one.file.unlink()
            else:
                write(one.file, damage)
            at_hand = offline.at_hand(chosen, SystemClock())
            told = queries.explain(at_hand.known, devices[2]).accounts[0]
            assert (told.desired, told.place is not None) == (True, True)
            assert at_hand.notes


async def test_the_state_is_read_beside_a_running_daemon(tmp_path: Path) -> None:
    """Opened for reading only, it tells the history while another process holds it, and stays as it is."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        await eventually(lambda: len(past_devices(tmp_path)) == 3)
        assert past_devices(tmp_path) == set(owned(platform))


def past_devices(folder: Path) -> set[str]:
    """Return the devices of past changes, from the state alone."""
    with closing(State.read_only(folder / "state", SystemClock())) as state:
        return {past.device for past in state.history.changes()}


@pytest.mark.system
async def test_a_file_in_a_working_tree_brings_its_commit(tmp_path: Path) -> None:
    """What ``explain`` tells of authors rests on what the source finds out by itself."""
    remote = commits(tmp_path)
    made = remote.commit({"desired-state.toml": text(["abc12345"])}, "Take it in")
    source = FileSource(remote.work / "desired-state.toml")
    fetched = source.fetch()
    commit = source.commit({one.path: one.content for one in fetched.documents})
    assert commit is not None
    assert (commit.id, commit.author) == (made, AUTHOR)
    assert git(remote.work, "status", "--short") == ""


async def test_a_device_in_two_accounts_has_a_story_in_each(tmp_path: Path) -> None:
    """Both accounts are told, or the one that is asked for; one that does not know the device is not."""
    platform = fleet(3, users=("east", "west", "north"))
    shared, other = owned(platform, "east")[0], owned(platform, "north")[0]
    lines = [f'[accounts.{name}]\ndevices = ["{shared}"]\n' for name in ("east", "west")]
    content = "\n".join(["version = 1", *lines, f'[accounts.north]\ndevices = ["{other}"]\n'])
    write(tmp_path / "desired-state.toml", content)
    async with serving(create_app(platform)) as base_url:
        chosen = settings.load(environment(platform, base_url, tmp_path))
        known = offline.at_hand(chosen, SystemClock()).known
    assert [one.account for one in queries.explain(known, shared).accounts] == ["east", "west"]
    assert [one.account for one in queries.explain(known, shared, "west").accounts] == ["west"]
    assert [one.place and one.place.line for one in queries.explain(known, shared).accounts] == [
        3,
        6,
    ]


def test_a_history_without_changes_is_told_in_words() -> None:
    """Nothing done is said in words, not by an empty table."""
    assert changes.history_text(queries.Page(SystemClock().now(), (), None)) == "No change.\n"


@given(
    from_=st.none() | st.integers(-3, 3),
    until=st.none() | st.integers(-3, 3),
    theirs=st.none() | st.sampled_from([-2, -1, 1, 2]),
    live=st.booleans(),
)
def test_two_clocks_explain_what_a_pass_does(
    from_: int | None, until: int | None, theirs: int | None, *, live: bool
) -> None:
    """Where LG's clock differs from ours, an entry counts when either says so, in the answer as in the pass."""

    def at(hours: int | None) -> datetime | None:
        return None if hours is None else START + timedelta(hours=hours)

    device = DeviceId("d" * 64)
    entry = Device(device, from_=at(from_), until=at(until))
    desired = Desired(DEFAULT_ACCOUNT, frozenset({device}), described={device: entry})
    expected = frozenset({device}) if live else frozenset[DeviceId]()
    memory = Memory(inventory=frozenset({device}), expected=expected)
    told = tell(
        Facts(
            DEFAULT_ACCOUNT,
            device,
            START,
            text=AccountRevision(desired, Revision("0" * 64)),
            memory=memory,
            theirs=at(theirs),
        )
    )
    wanted = bool(desired.wanted_by(START, at(theirs)))
    assert told.desired == wanted
    assert (told.state is Position.IN_SYNC) == (wanted and live)
    assert ("counts" in told.why or "no dates" in told.why) == wanted


def test_a_doubted_registry_is_named_where_no_entry_is() -> None:
    """Whoever asks why a device is not wanted reads that the registry, from which a rule would take it, is doubted."""
    told = tell(
        Facts(
            DEFAULT_ACCOUNT,
            DeviceId("d" * 64),
            START,
            text=AccountRevision(Desired(DEFAULT_ACCOUNT, frozenset()), Revision("0" * 64)),
            registry=RegistryNews(doubted="LG's registry is empty"),
        )
    )
    assert told.why == (
        "no entry of the revision in force names it; registry doubted: LG's registry is empty"
    )
    assert told.pending_rule is None
