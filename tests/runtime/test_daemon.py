"""The whole daemon in this process against the simulated platform, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.errors import ReconcilerError, StateError
from reconciler.core.model import DEFAULT_ACCOUNT
from reconciler.runtime.clock import SystemClock
from reconciler.simulator import Platform, Route
from reconciler.simulator.faults import Cut, Empty, Error, Hang, Html, Latency, Mangle, Redirect
from reconciler.source import NOTHING, Known
from reconciler.state import State
from scenarios import (
    CHANGES,
    ConfigMap,
    Sent,
    Site,
    Wire,
    account_text,
    credentials_folder,
    eventually,
    eventually_true,
    fault,
    fleet,
    idle_site,
    owned,
    rename_over,
    site,
    text,
    write,
)

OPEN = 'policy.max_unsubscribe = "100%"'
SOON = {"PCC_INTERVAL": "1s"}


# ---------------------------------------------------------------------------------------------------------------------
# The live list follows the file


async def test_file_is_followed(tmp_path: Path) -> None:
    """A device added to the file is subscribed, and one removed from it is unsubscribed."""
    platform = fleet(6)
    first, second, *rest = owned(platform)
    write(tmp_path / "desired-state.toml", text([first, *rest]))
    async with site(tmp_path, platform) as one:
        await one.has([first, *rest])
        write(one.file, text([first, second, *rest]))
        await one.has([first, second, *rest])
        write(one.file, text([second, *rest]))
        await one.has([second, *rest])
        assert [call.device for call in one.calls(Route.UNSUBSCRIBE)] == [first]


async def test_drift_is_healed(tmp_path: Path) -> None:
    """A subscription lost behind our back is made again, and one that somebody else made is taken back."""
    platform = fleet(10)
    *wanted, stranger = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with site(tmp_path, platform, **SOON) as one:
        await eventually(lambda: one.told("pass.completed", condition="in_sync"))
        (lost,) = platform.lose("default", count=1)
        one.clock.go_ahead(
            timedelta(minutes=2)
        )  # what LG confirmed in the last minute counts more than its list
        await one.has(wanted)
        platform.subscribe("default", stranger, "never-registered")
        await one.has(wanted)
        assert [call.device for call in one.calls(Route.SUBSCRIBE)].count(lost) == 2


async def test_no_more_calls_than_changes(tmp_path: Path) -> None:
    """260 devices to subscribe and 25 to unsubscribe cost that many calls and one list; in sync costs a list only."""
    platform = fleet(325)
    devices = owned(platform)
    wanted, strangers = devices[:300], devices[300:]
    platform.subscribe("default", *wanted[:40], *strangers)
    write(tmp_path / "desired-state.toml", text(wanted, OPEN))
    async with site(tmp_path, platform, **SOON) as one:
        await one.has(wanted)
        assert sorted(str(call.device) for call in one.calls(Route.SUBSCRIBE)) == sorted(
            wanted[40:]
        )
        assert sorted(str(call.device) for call in one.calls(Route.UNSUBSCRIBE)) == sorted(
            strangers
        )
        await eventually(lambda: one.told("pass.completed", subscribed=260, unsubscribed=25))
        assert [call.route for call in one.calls(Route.LIST, *CHANGES)].index(Route.LIST) == 0
        lists = len(one.calls(Route.LIST))
        assert lists == 1
        await one.passes(2)
        assert len(one.calls(*CHANGES)) == 285
        assert platform.duplicate_message_ids() == {}


async def test_boundary_wakes_by_itself(tmp_path: Path) -> None:
    """A device whose time comes is subscribed then, without an edit and long before the interval."""
    platform = fleet(3)
    first, second, third = owned(platform)
    begins = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    listed = (
        f'version = 1\ndevices = ["{first}", "{second}", {{ id = "{third}", from = {begins} }}]\n'
    )
    write(tmp_path / "desired-state.toml", listed)
    async with site(tmp_path, platform, PCC_INTERVAL="2h") as one:
        await one.has([first, second])
        one.clock.go_ahead(timedelta(minutes=11))
        await one.has([first, second, third])


# ---------------------------------------------------------------------------------------------------------------------
# A change is seen, and only a whole one


async def follows(
    one: Site, change: Callable[[Sequence[str]], None], devices: Sequence[str]
) -> None:
    """Change what is wanted three times in the same way, and see the live list follow."""
    for wanted in (devices[:-1], devices[1:], devices[:-2]):
        change(wanted)
        await one.has(wanted)


async def test_rename_over_the_file_is_seen(tmp_path: Path) -> None:
    """A text renamed over the file is followed, again and again."""
    platform = fleet(8)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    async with site(tmp_path, platform) as one:
        await one.has(devices)
        await follows(one, lambda wanted: rename_over(one.file, text(wanted)), devices)


@pytest.mark.parametrize("folder", [False, True])
async def test_mounted_configmap_is_followed(tmp_path: Path, *, folder: bool) -> None:
    """The swap of a ConfigMap's ``..data`` is followed, of a file and of a folder, with the device files in it."""
    platform = fleet(8)
    devices = owned(platform)

    def files(wanted: Sequence[str]) -> dict[str, str]:
        text_of_all = 'version = 1\npolicy.max_unsubscribe_floor = 50\ndevice_files = ["*.txt"]\n'
        return {
            "desired-state.toml": text_of_all,
            "wing-a.txt": "".join(f"{one}\n" for one in wanted),
        }

    mounted = tmp_path / "mounted"
    configmap = ConfigMap(mounted, files(devices))
    path = mounted if folder else mounted / "desired-state.toml"
    async with site(tmp_path, platform, PCC_DESIRED_STATE=str(path)) as one:
        await one.has(devices)
        await follows(one, lambda wanted: configmap.swap(files(wanted)), devices)
        assert not one.told("desired.rejected")


async def test_device_files_are_followed(tmp_path: Path) -> None:
    """A device file that is edited, one that appears, also in a new folder, and one that goes are each seen."""
    platform = fleet(9)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", 'version = 1\ndevice_files = ["devices/**/*.txt"]\n')
    write(tmp_path / "devices" / "a.txt", "".join(f"{one}\n" for one in devices[:3]))
    async with site(tmp_path, platform) as one:
        await one.has(devices[:3])
        write(tmp_path / "devices" / "a.txt", "".join(f"{one} # washer\n" for one in devices[:4]))
        await one.has(devices[:4])
        write(tmp_path / "devices" / "b.txt", f"{devices[4]}\n")
        await one.has(devices[:5])
        write(tmp_path / "devices" / "wing" / "c.txt", f"{devices[5]}\n")
        await one.has(devices[:6])
        (tmp_path / "devices" / "b.txt").unlink()
        await one.has([*devices[:4], devices[5]])


async def test_file_deleted_and_made_again(tmp_path: Path) -> None:
    """While the file is gone its last text heals drift and holds unsubscribes; the one made anew is followed."""
    platform = fleet(8)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices[:6]))
    async with site(tmp_path, platform, **SOON) as one:
        await one.has(devices[:6])
        one.file.unlink()
        await eventually(lambda: one.told("desired.rejected", cause="missing"))
        platform.unsubscribe("default", devices[0])
        platform.subscribe("default", devices[7])
        one.clock.go_ahead(timedelta(minutes=2))
        await one.has([*devices[:6], devices[7]])
        await one.passes(2)
        metrics = await one.metrics()
        assert 'pcc_desired_rejected{cause="missing"} 1.0' in metrics
        assert held(metrics, "desired-rejected") == 1
        write(one.file, text(devices[1:7]))
        await one.has(devices[1:7])
        await eventually_true(lambda: has_line(one, 'pcc_desired_rejected{cause="missing"} 0.0'))


def held(metrics: str, reason: str) -> float:
    """Return how many unsubscribes of the account ``default`` a reason holds."""
    (line,) = (
        line
        for line in metrics.splitlines()
        if line.startswith("pcc_changes_held{")
        and f'reason="{reason}"' in line
        and 'action="unsubscribe"' in line
    )
    return float(line.rpartition(" ")[2])


def write_in_pieces(path: Path, pieces: Sequence[str], pause: float) -> float:
    """Write a file piece by piece in place; return the longest pause that there really was, in seconds."""
    longest, before = 0.0, time.monotonic()
    with path.open("w", encoding="utf-8") as file:
        for piece in pieces:
            file.write(piece)
            file.flush()
            time.sleep(pause)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
    return longest


@pytest.mark.parametrize(
    ("pieces", "pause"), [(4, 0.03), (40, 0.05)], ids=["an editor", "a slow copy"]
)
async def test_half_a_file_is_never_acted_on(tmp_path: Path, pieces: int, pause: float) -> None:
    """A text written in pieces, each good in itself, is one load, and no device that comes later in it is lost."""
    platform = fleet(41)
    devices = owned(platform)
    write(
        tmp_path / "desired-state.toml",
        'version = 1\npolicy.max_unsubscribe = "100%"\ndevice_files = ["all.txt"]\n',
    )
    all_devices = tmp_path / "all.txt"
    write(all_devices, "".join(f"{one}\n" for one in devices[:40]))
    async with site(tmp_path, platform) as one:
        await one.has(devices[:40])
        share = 40 // pieces
        for attempt in itertools.count():
            wanted = [*devices[1:40], devices[40 if attempt % 2 == 0 else 0]]
            loads = len(one.told("desired.accepted"))
            calls = len(one.calls(*CHANGES))
            lines = [
                "".join(f"{one}\n" for one in wanted[n : n + share]) for n in range(0, 40, share)
            ]
            longest = await asyncio.to_thread(write_in_pieces, all_devices, lines, pause)
            await one.has(wanted)
            if longest < 0.09:  # else the machine was too busy for this test to say anything
                assert len(one.told("desired.accepted")) == loads + 1
                assert len(one.calls(*CHANGES)) == calls + 2
                break
        assert not one.told("desired.rejected")


async def test_newer_text_stops_an_older_plan(tmp_path: Path) -> None:
    """From the moment a newer text is accepted, no call is made that only an older one wanted."""
    platform = fleet(40)
    platform.set_options(latency=0.1)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    async with idle_site(tmp_path, platform, PCC_CONCURRENCY="2") as one:
        wire = one.transport = Wire()
        await one.start()
        await eventually(lambda: len(one.calls(Route.SUBSCRIBE)) >= 4)
        informer = one.process.components.informer
        wanted = sorted(str(call.device) for call in one.calls(Route.SUBSCRIBE))
        informer_told = informer._changed

        def told(accounts: Any) -> None:
            wire.notes.append("accepted")
            informer_told(accounts)

        informer._changed = told
        write(one.file, text(wanted))
        await eventually(lambda: "accepted" in wire.notes)
        await one.passes(1)
        await one.has(wanted)
        after = [
            note for note in wire.notes[wire.notes.index("accepted") :] if isinstance(note, Sent)
        ]
        assert not [
            note
            for note in after
            if note.method == "POST" and note.path.rpartition("/")[2] not in wanted
        ]
        assert len(one.live()) < 40


# ---------------------------------------------------------------------------------------------------------------------
# One faulty part does not disturb the others


@pytest.fixture
def three(tmp_path: Path) -> tuple[Platform, dict[str, list[str]], dict[str, str]]:
    """Give a platform with three users, their devices, and the settings of a daemon that follows a folder."""
    platform = fleet(6, users=("east", "west", "north"))
    devices = {user: owned(platform, user) for user in platform.world.users}
    folder = tmp_path / "texts"
    for user, ids in devices.items():
        write(folder / f"{user}.toml", account_text(user, ids[:4]))
    given = {
        "PCC_DESIRED_STATE": str(folder),
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, tmp_path / "credentials")),
    }
    return platform, devices, given


FAULTY = 'version = 1\n[accounts.west]\ndevcies = ["0a77c3f2"]\n'


async def test_faulty_file_keeps_its_own_accounts_only(
    tmp_path: Path, three: tuple[Platform, dict[str, list[str]], dict[str, str]]
) -> None:
    """A faulty file's accounts stay as they were, also after a restart, while those of other files follow theirs."""
    platform, devices, given = three
    folder = Path(given["PCC_DESIRED_STATE"])
    async with site(tmp_path, platform, **given, **SOON) as one:
        for user, ids in devices.items():
            await one.has(ids[:4], user)
        write(folder / "west.toml", FAULTY)
        write(folder / "east.toml", account_text("east", devices["east"][:6]))
        await one.has(devices["east"], "east")
        assert one.told("desired.rejected", cause="invalid")
        await one.stop()

        write(folder / "north.toml", account_text("north", devices["north"][:5]))
        platform.unsubscribe("west", devices["west"][0])
        one.clock.go_ahead(timedelta(minutes=2))
        await one.start()
        await one.has(devices["north"][:5], "north")
        await one.has(devices["west"][:4], "west")
        status = (await one.get("/api/v1/status")).json()
        assert {account["account"]: account["rejected"] for account in status["accounts"]} == {
            "east": None,
            "north": None,
            "west": "invalid",
        }
        assert not status["abandoned"]
        write(folder / "west.toml", account_text("west", devices["west"][:5]))
        await one.has(devices["west"][:5], "west")
        assert 'pcc_desired_rejected{cause="invalid"} 0.0' in await one.metrics()


async def test_faulty_file_at_first_start(
    tmp_path: Path, three: tuple[Platform, dict[str, list[str]], dict[str, str]]
) -> None:
    """A file that is faulty at the very first start leaves its accounts alone and does not keep the others waiting."""
    platform, devices, given = three
    write(Path(given["PCC_DESIRED_STATE"]) / "west.toml", FAULTY)
    async with site(tmp_path, platform, **given) as one:
        await one.has(devices["east"][:4], "east")
        await one.has(devices["north"][:4], "north")
        assert not one.calls(Route.LIST, *CHANGES, user="west")
        assert (await one.get("/readyz")).status_code == 200


async def test_unreadable_file_is_a_faulty_file(
    tmp_path: Path, three: tuple[Platform, dict[str, list[str]], dict[str, str]]
) -> None:
    """A file of a folder that is no file any more keeps its accounts, and the others follow theirs."""
    platform, devices, given = three
    folder = Path(given["PCC_DESIRED_STATE"])
    async with site(tmp_path, platform, **given) as one:
        for user, ids in devices.items():
            await one.has(ids[:4], user)
        (folder / "west.toml").unlink()
        (folder / "west.toml").mkdir()
        write(folder / "east.toml", account_text("east", devices["east"][:6]))
        await one.has(devices["east"], "east")
        faults = (await one.get("/api/v1/status")).json()["text"]["faults"]
        assert faults == ["west.toml: is not a regular file"]
        assert one.live("west") == set(devices["west"][:4])


async def test_abandoned_account_is_told(
    tmp_path: Path, three: tuple[Platform, dict[str, list[str]], dict[str, str]]
) -> None:
    """An account that vanishes is called for no more and shown as abandoned, also after a restart, until retired."""
    platform, devices, given = three
    folder = Path(given["PCC_DESIRED_STATE"])
    async with site(tmp_path, platform, **given, **SOON) as one:
        for user, ids in devices.items():
            await one.has(ids[:4], user)
        (folder / "west.toml").unlink()
        await eventually(lambda: one.told("account.abandoned", account="west"))
        assert 'account="west",action=' not in await one.metrics()
        for _ in range(2):
            assert 'pcc_accounts{condition="abandoned"} 1.0' in await one.metrics()
            assert (await one.get("/api/v1/status")).json()["abandoned"] == ["west"]
            calls = len(one.calls(Route.LIST, *CHANGES, user="west"))
            await one.passes(2, user="east")
            assert len(one.calls(Route.LIST, *CHANGES, user="west")) == calls
            await one.stop()
            await one.start()
            await one.passes(1, user="east")
        write(folder / "policy.toml", 'version = 1\nretired_accounts = ["west"]\n')
        await eventually_true(lambda: has_line(one, 'pcc_accounts{condition="abandoned"} 0.0'))
        assert (await one.get("/api/v1/status")).json()["abandoned"] == []
        assert one.live("west") == set(devices["west"][:4])


async def test_hanging_account_delays_no_other(
    tmp_path: Path, three: tuple[Platform, dict[str, list[str]], dict[str, str]]
) -> None:
    """While LG does not answer for one account, the others follow their files; no two passes of one overlap."""
    platform, devices, given = three
    platform.set_faults(fault(Hang(), Route.LIST, user="west"), fault(Latency(0.05), Route.LIST))
    folder = Path(given["PCC_DESIRED_STATE"])
    async with idle_site(
        tmp_path, platform, PCC_REQUEST_TIMEOUT="300s", PCC_WORKERS="2", **given
    ) as one:
        wire = one.transport = Wire()
        await one.start()
        await eventually(lambda: one.calls(Route.LIST, user="west"))
        for count in (4, 3, 5, 2):
            for user in ("east", "north"):
                write(folder / f"{user}.toml", account_text(user, devices[user][:count]))
            for user in ("east", "north"):
                await one.has(devices[user][:count], user)
        sent = [note for note in wire.notes if isinstance(note, Sent)]
        assert not [one for one in sent if one.path == "/pcc" and one.beside]
        one.given["PCC_SHUTDOWN_GRACE"] = "1s"
        assert len(one.calls(Route.LIST, user="west")) == 1
        platform.set_faults()
        await one.unplug()  # breaks the call that hangs, so that the daemon can end in good order


# ---------------------------------------------------------------------------------------------------------------------
# Bad answers

BAD_ANSWERS: dict[str, Any] = {
    "html-with-200": Html(status=200),
    "html-with-502": Html(),
    "cut-json": Cut(),
    "no-device-id": Mangle("no-id"),
    "number-as-id": Mangle("number-id"),
    "null-as-item": Mangle("null-item"),
    "bare-401": Empty(status=401),
    "bare-500": Empty(status=500),
    "error-2214": Error("2214"),
    "redirect": Redirect(),
    "hang": Hang(),
}


async def test_bad_answers_change_nothing(tmp_path: Path) -> None:
    """A list that LG does not give, or gives badly, leads to no change; once it is well again all is done."""
    platform = fleet(6, users=BAD_ANSWERS, subscribed=0.5)
    before = {user: set(platform.subscribed(user)) for user in BAD_ANSWERS}
    folder = tmp_path / "texts"
    for user in BAD_ANSWERS:
        write(folder / f"{user}.toml", account_text(user, owned(platform, user)[1:]))
    platform.set_faults(
        *(fault(effect, Route.LIST, user=user) for user, effect in BAD_ANSWERS.items())
    )
    given = {"PCC_DESIRED_STATE": str(folder), "PCC_REQUEST_TIMEOUT": "1s", "PCC_WORKERS": "20"}
    given["PCC_CREDENTIALS_DIR"] = str(credentials_folder(platform, tmp_path / "credentials"))
    async with site(tmp_path, platform, **given) as one:

        async def all_failed() -> bool:
            accounts = (await one.get("/api/v1/status")).json()["accounts"]
            return len(accounts) == len(BAD_ANSWERS) and all(
                account["result"] == "failed" for account in accounts
            )

        await eventually_true(all_failed)
        one.clock.go_ahead(timedelta(minutes=6))
        await eventually(
            lambda: all(len(one.calls(Route.LIST, user=user)) >= 2 for user in BAD_ANSWERS)
        )
        assert not one.calls(*CHANGES)
        assert {user: set(platform.subscribed(user)) for user in BAD_ANSWERS} == before
        assert (await one.get("/healthz")).status_code == 200
        assert (
            'pcc_account_condition{account="bare-401",condition="stopped"} 1.0'
            in await one.metrics()
        )

        platform.set_faults()
        for user in BAD_ANSWERS:
            wanted = set(owned(platform, user)[1:])
            while (
                one.live(user) != wanted
            ):  # a pass under way has begun to wait by the time before the leap
                one.clock.go_ahead(timedelta(minutes=30))
                await asyncio.sleep(0.5)


async def test_refused_connections_change_nothing(tmp_path: Path) -> None:
    """While LG cannot be reached at all the daemon lives on, and goes on by itself when it can."""
    platform = fleet(4)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with idle_site(tmp_path, platform) as one:
        await one.unplug()
        await one.start()
        await eventually(lambda: one.told("list.failed"))
        assert (await one.get("/healthz")).status_code == 200
        assert (await one.get("/readyz")).status_code == 200
        await one.plug()
        one.clock.go_ahead(timedelta(minutes=6))
        await one.has(wanted)


async def test_new_credential_lets_a_stopped_account_try_at_once(tmp_path: Path) -> None:
    """An account that LG does not let in tries again as soon as its credential is another one."""
    platform = fleet(4, users=("hotel",))
    wanted = owned(platform, "hotel")
    write(tmp_path / "desired-state.toml", account_text("hotel", wanted))
    credentials = credentials_folder(platform, tmp_path / "credentials")
    write(credentials / "hotel.refresh_token", "made-up-and-not-good\n")
    async with site(tmp_path, platform, PCC_CREDENTIALS_DIR=str(credentials)) as one:
        await eventually(lambda: one.told("account.stopped", account="hotel"))
        credentials_folder(platform, credentials)
        await one.has(wanted, "hotel")
        for path in credentials.iterdir():
            path.unlink()
        credentials.rmdir()
        await eventually(lambda: len(one.told("account.stopped", account="hotel")) >= 2)
        credentials_folder(platform, credentials)
        platform.unsubscribe("hotel", wanted[0])
        one.clock.go_ahead(timedelta(minutes=2))
        await one.has(wanted, "hotel")


# ---------------------------------------------------------------------------------------------------------------------
# What must not be changed


@pytest.mark.parametrize(
    ("line", "mode"),
    [('policy.pause = "all"', "enforce"), ("", "observe")],
    ids=["paused by the text", "observing"],
)
async def test_nothing_but_get_is_sent(tmp_path: Path, line: str, mode: str) -> None:
    """Paused or observing, the daemon looks, reports what it would do, and sends nothing but GET."""
    platform = fleet(6, subscribed=0.5)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices[1:], line))
    async with site(tmp_path, platform, PCC_MODE=mode, **SOON) as one:
        await one.passes(3)
        methods = {call.method for call in platform.requests if call.route is not Route.TOKEN}
        assert methods == {"GET"}
        (account,) = (await one.get("/api/v1/status")).json()["accounts"]
        assert (
            account["condition"],
            account["devices"]["missing"],
            account["devices"]["extra"],
        ) == ("paused", 3, 1)


async def test_state_that_cannot_be_written_holds_unsubscribes(tmp_path: Path) -> None:
    """Without a state to write to, subscribing goes on, unsubscribing is held, and log, metric and page say so."""
    platform = fleet(6)
    devices = owned(platform)
    platform.subscribe("default", devices[0])
    write(tmp_path / "a-file", "")
    write(tmp_path / "desired-state.toml", text(devices[1:]))
    async with site(
        tmp_path, platform, PCC_STATE_DIR=str(tmp_path / "a-file" / "state"), **SOON
    ) as one:
        await one.has(devices)
        await one.passes(2)
        metrics = await one.metrics()
        assert held(metrics, "state-unwritable") == 1
        assert "pcc_state_writable 0.0" in metrics
        assert len(one.told("state.failed")) == 1
        assert not one.calls(Route.UNSUBSCRIBE)
        assert "state-unwritable" in (await one.get("/")).text
        status = (await one.get("/api/v1/status")).json()
        assert (await one.get("/readyz")).status_code == 503
        assert not status["well"]
        assert status["summary"].startswith(
            "What is done cannot be remembered, so unsubscribes are held: "
        )


async def test_a_damaged_state_is_set_aside_and_told(tmp_path: Path) -> None:
    """A state file that is no database is kept under another name; the daemon says so and begins a fresh one."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    write(tmp_path / "state" / "state.db", "this is not a database" * 100)
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        (told,) = one.told("state.failed")
        assert "it was damaged: kept as" in told["error"]
        assert len(list((tmp_path / "state").glob("state.db.corrupt-*"))) == 1
        assert "pcc_state_writable 1.0" in await one.metrics()


async def test_missing_file_at_start(tmp_path: Path) -> None:
    """Without a file the daemon waits, not ready and saying why, and begins by itself once there is one."""
    platform = fleet(3)
    folder = tmp_path / "not" / "yet"
    async with site(
        tmp_path, platform, PCC_DESIRED_STATE=str(folder / "desired-state.toml")
    ) as one:
        await eventually(lambda: one.told("desired.rejected", cause="missing"))
        ready = await one.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "no revision is accepted yet\n")
        assert 'pcc_desired_rejected{cause="missing"} 1.0' in await one.metrics()
        assert "there is no such file" in (await one.get("/api/v1/status")).json()["summary"]
        write(folder / "desired-state.toml", text(owned(platform)))
        await one.has(owned(platform))
        assert (await one.get("/readyz")).status_code == 200
        assert len(one.told("desired.rejected")) == 1
        await eventually_true(lambda: has_line(one, 'pcc_desired_rejected{cause="missing"} 0.0'))


# ---------------------------------------------------------------------------------------------------------------------
# Beginning and ending


async def test_stop_makes_no_new_call(tmp_path: Path) -> None:
    """After a stop in the middle of a pass the calls in flight end, no other is made, and what was done is known."""
    platform = fleet(40)
    platform.set_faults(fault(Latency(1.0), Route.SUBSCRIBE))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await eventually(lambda: len(one.calls(Route.SUBSCRIBE)) == 9)
        await one.stop()
        assert len(one.calls(Route.SUBSCRIBE)) == 9
        assert len(one.told("change.applied", result="success")) == 9
        assert one.told("daemon.stopped")


async def test_stop_before_the_first_text_is_read(tmp_path: Path) -> None:
    """A daemon that is told to stop as soon as it listens ends in good order."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.stop()
        assert one.told("daemon.stopped")


async def test_stop_while_the_file_never_rests(tmp_path: Path) -> None:
    """A file that is written to without end does not keep the daemon from stopping."""
    platform = fleet(3)
    path = tmp_path / "desired-state.toml"
    write(path, text(owned(platform)))
    writing = True

    async def scribble() -> None:
        while writing:
            write(path, text(owned(platform)))
            await asyncio.sleep(0.01)

    scribbling = asyncio.create_task(scribble())
    async with site(tmp_path, platform) as one:
        await eventually(lambda: one.process.components.informer.reading)
        await one.stop()
        assert one.told("daemon.stopped")
    writing = False
    await scribbling


async def test_taken_port_ends_the_start(tmp_path: Path) -> None:
    """A port that is taken is a clear message before any call."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with idle_site(tmp_path, platform) as one:
        one.given["PCC_LISTEN"] = one.base_url.removeprefix("http://")
        with pytest.raises(
            ReconcilerError, match=r"PCC_LISTEN: cannot listen on 127\.0\.0\.1:\d+: .*in use"
        ):
            await one.start()
        assert not platform.requests


async def test_held_state_ends_the_start(tmp_path: Path) -> None:
    """A second daemon on the same state is told who has it, and makes no call."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        other = Site(tmp_path, platform, {})
        await other.plug()
        calls = platform.request_count
        with pytest.raises(StateError, match=r"is held by process \d+"):
            await other.start()
        assert platform.request_count == calls
        await other.close()


# ---------------------------------------------------------------------------------------------------------------------
# Nothing of ours may break silently


async def test_defect_in_judging_a_text_rejects_it(tmp_path: Path) -> None:
    """An error of ours while a text is read is told, holds unsubscribes, and is over with the next good reading."""
    platform = fleet(4)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted[:3]))
    async with site(tmp_path, platform, **SOON) as one:
        await one.has(wanted[:3])
        source = one.process.components.source
        fetch = source.fetch

        def defective(known: Known = NOTHING) -> Any:
            del known
            raise RuntimeError("a defect")

        source.fetch = defective  # type: ignore[method-assign]  # the defect of this test
        write(one.file, text(wanted))
        await eventually(lambda: one.told("source.failed", kind="defect"))
        await eventually_true(lambda: has_line(one, 'pcc_desired_rejected{cause="invalid"} 1.0'))
        source.fetch = fetch  # type: ignore[method-assign]  # a defect of ours, put in
        await one.has(wanted)
        assert len(one.told("source.failed")) == 1
        await eventually_true(lambda: has_line(one, 'pcc_desired_rejected{cause="invalid"} 0.0'))


async def has_line(one: Site, line: str) -> bool:
    """Say whether a line is in the metrics. An answer serves for a while, so it may be one from before."""
    return line in await one.metrics()


@pytest.mark.parametrize("where", ["tick", "look", "told", "worker", "source"])
async def test_defect_in_the_background_ends_the_process(tmp_path: Path, where: str) -> None:
    """A background task that fails takes the daemon with it, with its error: never a process that does nothing."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))

        components, queue = one.process.components, one.process.queue

        def defective(*_anything: object) -> Any:
            raise ValueError("a defect")

        match where:
            case "tick":
                queue.tick = defective  # type: ignore[method-assign]  # the defect of this test
            case "look":
                components.source.poll = defective  # type: ignore[method-assign]  # a defect of ours, put in
            case "told":
                components.informer._changed = defective
            case "worker":
                queue._next = defective  # type: ignore[method-assign]  # a defect of ours, put in
            case _:
                components.informer.refresh = defective  # type: ignore[method-assign]  # a defect of ours, put in
        write(one.file, text(owned(platform)[:2]))
        with pytest.raises((ValueError, ExceptionGroup)):
            await one.ended()


async def test_wedged_daemon_is_not_live(tmp_path: Path) -> None:
    """A daemon whose pass never comes to an end says so to whoever asks whether it lives."""
    platform = fleet(3)
    platform.set_faults(fault(Hang(), Route.LIST))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform, PCC_REQUEST_TIMEOUT="2h", PCC_INTERVAL="1m") as one:
        await one.passes(1)
        assert (await one.get("/healthz")).status_code == 200
        one.clock.go_ahead(timedelta(minutes=6))

        async def wedged() -> bool:
            return "its pass neither ended nor made a call" in (await one.get("/healthz")).text

        await eventually_true(wedged)
        assert (await one.get("/healthz")).status_code == 503
        await one.unplug()


async def test_account_that_leaves_during_its_pass_leaves_no_series(
    tmp_path: Path, three: tuple[Platform, dict[str, list[str]], dict[str, str]]
) -> None:
    """An account that leaves while a pass of it is under way leaves no series behind."""
    platform, devices, given = three
    never_live = fault(
        Error(code="1214"), Route.SUBSCRIBE, user="west"
    )  # else it would be abandoned, and shown so
    platform.set_faults(fault(Latency(0.5), Route.LIST, user="west"), never_live)
    async with site(tmp_path, platform, **given) as one:
        await eventually(lambda: one.calls(Route.LIST, user="west"))
        (Path(given["PCC_DESIRED_STATE"]) / "west.toml").unlink()
        await one.has(devices["east"][:4], "east")

        async def gone() -> bool:
            return 'account="west"' not in await one.metrics()

        await eventually(lambda: not one.process.queue.under_way)
        await eventually_true(gone)
        assert not one.told("pass.crashed")


async def test_a_restart_reads_the_newest_text_before_its_first_pass(tmp_path: Path) -> None:
    """Devices added to the file while the daemon was down are not unsubscribed on the strength of the old one."""
    platform = fleet(20)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices[:10], "policy.max_unsubscribe = 1000"))
    async with site(tmp_path, platform) as one:
        await one.has(devices[:10])
        await one.stop()
        platform.subscribe("default", *devices[10:])
        write(one.file, text(devices, "policy.max_unsubscribe = 1000"))
        await one.start()
        await one.passes(1)
        await one.has(devices)
        assert not one.calls(Route.UNSUBSCRIBE)


async def test_a_file_with_an_unprintable_name_is_a_fault_and_no_more(tmp_path: Path) -> None:
    """A file name that is not text is told as a fault of that file, and ends nothing."""
    platform = fleet(4)
    folder = tmp_path / "desired"
    write(folder / "good.toml", text(owned(platform)[:3]))
    async with site(tmp_path, platform, PCC_DESIRED_STATE=str(folder)) as one:
        await one.has(owned(platform)[:3])
        (folder / os.fsdecode(b"bad\xff.toml")).write_text(
            "version = 1\n[accounts.b]\ndevices = []\n"
        )
        await eventually(lambda: one.told("desired.rejected"))
        (folder / os.fsdecode(b"bad\xff.toml")).unlink()
        write(folder / "good.toml", text(owned(platform)))
        await one.has(owned(platform))


async def test_the_calls_of_a_pass_are_on_disk_a_moment_later(tmp_path: Path) -> None:
    """They wait for whatever is written next; where nothing else is, they do not wait for the next pass."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))

        def kept() -> bool:
            with closing(State.read_only(tmp_path / "state", SystemClock())) as state:
                return len(state.quotas.of(DEFAULT_ACCOUNT)[0]) == 4

        await eventually(kept)
