"""The daemon as a process of its own: kills, signals, and what it says on standard error."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from processes import exit_of, process
from reconciler.core.model import Result
from reconciler.runtime.clock import SystemClock
from reconciler.simulator import Platform, Route, create_app, serving
from reconciler.simulator.faults import Hang, Latency
from reconciler.state import State
from scenarios import (
    DEADLINE_SECONDS,
    child_environment,
    environment,
    eventually,
    fault,
    fleet,
    owned,
    text,
    write,
)


def posts(platform: Platform) -> list[str]:
    """Return the devices that were asked to be subscribed, in order."""
    return [str(one.device) for one in platform.requests if one.route is Route.SUBSCRIBE]


async def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    """After a kill in the middle of 300 changes a new start ends in the wanted state; each success is known once."""
    platform = fleet(300)
    platform.set_options(latency=0.02)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path)
        async with process(given, "run") as child:
            await eventually(lambda: len(posts(platform)) >= 120)
            child.kill()
            await child.wait()
        assert len(platform.subscribed("default")) < 300
        async with process(given, "run") as child:
            await eventually(lambda: platform.subscribed("default") == set(wanted))
            child.send_signal(signal.SIGTERM)
            code, _ = await exit_of(child)
            assert code == 0
    state = State.read_only(tmp_path / "state", SystemClock())
    confirmed = Counter(
        past.device for past in state.history.changes(limit=5000) if past.result is Result.SUCCESS
    )
    state.close()
    assert confirmed == Counter(wanted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_calls_in_flight_end(tmp_path: Path, number: signal.Signals) -> None:
    """A signal during a pass: the calls in flight end, no other is made, and the exit code is 0."""
    platform = fleet(40)
    platform.set_faults(fault(Latency(1.5), Route.SUBSCRIBE))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with serving(create_app(platform)) as base_url:
        async with process(environment(platform, base_url, tmp_path), "run") as child:
            await eventually(lambda: len(posts(platform)) == 9)
            child.send_signal(number)
            code, said = await exit_of(child)
        assert code == 0
        assert len(posts(platform)) == 9
    lines = [json.loads(line) for line in said.splitlines()]
    assert sum(line["event"] == "change.applied" for line in lines) == 9
    assert lines[-1]["event"] == "daemon.stopped"


async def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    """A second signal does not wait for calls that hang."""
    platform = fleet(4)
    platform.set_faults(fault(Hang(), Route.LIST))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {
            "PCC_REQUEST_TIMEOUT": "1h",
            "PCC_SHUTDOWN_GRACE": "1h",
        }
        async with process(given, "run") as child:
            await eventually(lambda: any(one.route is Route.LIST for one in platform.requests))
            child.send_signal(signal.SIGTERM)
            while child.returncode is None:  # two signals that come together may be one
                await asyncio.sleep(0.2)
                if child.returncode is None:
                    child.send_signal(signal.SIGTERM)
            assert child.returncode == 130


async def test_grace_is_the_end_of_patience(tmp_path: Path) -> None:
    """A call that hangs is broken off at the end of the grace; that too is an orderly end."""
    platform = fleet(4)
    platform.set_faults(fault(Hang(), Route.LIST))
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {
            "PCC_REQUEST_TIMEOUT": "1h",
            "PCC_SHUTDOWN_GRACE": "1s",
        }
        async with process(given, "run") as child:
            await eventually(lambda: any(one.route is Route.LIST for one in platform.requests))
            child.send_signal(signal.SIGTERM)
            code, said = await exit_of(child)
    assert code == 0
    assert [json.loads(line)["event"] for line in said.splitlines()][-2:] == [
        "daemon.grace_over",
        "daemon.stopped",
    ]


async def test_what_keeps_it_from_starting_is_one_clear_line(tmp_path: Path) -> None:
    """A taken port and a held state each end the start with one line, exit code 1, and no call."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path)
        async with process(
            given | {"PCC_LISTEN": base_url.removeprefix("http://")}, "run"
        ) as child:
            code, said = await exit_of(child)
        assert (code, said.count("\n"), platform.request_count) == (1, 1, 0)
        assert "PCC_LISTEN: cannot listen on" in said

        state = State.open(tmp_path / "state", SystemClock())
        async with process(given, "run") as child:
            code, said = await exit_of(child)
        state.close()
        assert (code, said.count("\n"), platform.request_count) == (1, 1, 0)
        assert "is held by process" in said


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"PCC_MODE": "enfroce"}, 1, "PCC_MODE"),
        ({"PCC_NO_SUCH": "1"}, 1, "no such setting"),
        ({"PCC_LISTEN": "192.0.2.1:80"}, 1, "cannot listen"),
        ({"PCC_STATE_DIR": "HELD"}, 1, "is held by"),
    ],
)
@pytest.mark.parametrize("form", ["json", "auto", "console"])
async def test_the_last_line_of_a_failed_start_is_as_the_log_is(
    change: Mapping[str, str], code: int, words: str, form: str, tmp_path: Path
) -> None:
    """Where the log is JSON, why a start failed is JSON too, whether settings, port or state kept it from starting."""
    write(tmp_path / "desired-state.toml", text([]))
    held = State.open(tmp_path / "held", SystemClock())
    change = {
        name: str(tmp_path / "held") if value == "HELD" else value for name, value in change.items()
    }
    given = (
        environment(fleet(1), "http://127.0.0.1:9", tmp_path) | {"PCC_LOG_FORMAT": form} | change
    )
    async with process(given, "run") as child:
        ended, said = await exit_of(child)
    held.close()
    assert ended == code
    assert words in said
    if form == "console":
        assert not said.startswith("{")
    else:
        lines = [json.loads(line) for line in said.splitlines()]
        assert (lines[-1]["event"], lines[-1]["level"]) == ("daemon.failed", "error")


@pytest.mark.parametrize(
    ("command", "event"), [("run", "daemon.failed"), ("receive", "receive.failed")]
)
async def test_wrong_usage_of_a_process_is_told_in_its_log(
    tmp_path: Path, command: str, event: str
) -> None:
    """An argument that a pod's manifest got wrong is a line of JSON too, with the exit code of wrong usage."""
    given = environment(fleet(1), "http://127.0.0.1:9", tmp_path) | {"PCC_LOG_FORMAT": "json"}
    async with process(given, command, "--no-such-option") as child:
        code, said = await exit_of(child)
    assert (code, json.loads(said)["event"]) == (64, event)


async def test_a_doubled_signal_is_one_wish(tmp_path: Path) -> None:
    """A second signal that comes with the first lets calls in flight end as the first does."""
    platform = fleet(20)
    platform.set_options(latency=0.5)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path)
        async with process(given, "run") as child:
            await eventually(lambda: len(posts(platform)) > 1)
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
                child.send_signal(number)
                await asyncio.sleep(0.02)
            code, said = await exit_of(child)
    assert code == 0
    assert json.loads(said.splitlines()[-1])["event"] == "daemon.stopped"


async def test_a_hang_up_ends_nothing_and_reads_again(tmp_path: Path) -> None:
    """SIGHUP with calls in flight leaves them alone; texts and credentials are read, and the daemon goes on."""
    platform = fleet(20)
    platform.set_options(latency=0.2)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path)
        async with process(given, "run") as child:
            await eventually(lambda: len(posts(platform)) > 1)
            for _ in range(20):
                child.send_signal(signal.SIGHUP)
            await eventually(lambda: len(posts(platform)) >= len(wanted))
            child.send_signal(signal.SIGTERM)
            code, said = await exit_of(child)
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert code == 0
    assert "daemon.read_again" in events
    assert events[-1] == "daemon.stopped"


async def test_nobody_reading_the_log_stops_neither_work_nor_the_end(tmp_path: Path) -> None:
    """With standard error full the daemon goes on, answers, and ends in time when it is asked to."""
    platform = fleet(20)
    wanted = owned(platform)
    write(tmp_path / "desired-state.toml", text(wanted))
    here, there = os.pipe()
    fcntl.fcntl(there, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(there, False)
    with suppress(BlockingIOError):
        while os.write(there, b"x"):
            pass
    os.set_blocking(there, True)
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {"PCC_LOG_LEVEL": "debug"}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "reconciler", "run", env=child_environment(given), stderr=there
        )
        await eventually(lambda: len(posts(platform)) >= len(wanted))
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await child.wait() == 0
    os.close(here)
    os.close(there)


HUNG_DISK = """
import os, time
right = os.scandir
def scandir(path="."):
    if str(path).endswith("credentials") and os.path.exists(f"{path}/../hang"):
        open(f"{path}/../hangs", "w").close()
        time.sleep(3600)
    return right(path)
os.scandir = scandir
"""
"""Plays a network disk that answers no more, from the moment when there is a file named ``hang``."""


async def test_a_disk_that_hangs_does_not_outlive_the_grace(tmp_path: Path) -> None:
    """A thread that waits for it cannot be broken off, and would keep the process from ending."""
    platform = fleet(2)
    write(tmp_path / "played" / "sitecustomize.py", HUNG_DISK)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    (tmp_path / "credentials").mkdir()
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {
            "PYTHONPATH": str(tmp_path / "played"),
            "PCC_CREDENTIALS_DIR": str(tmp_path / "credentials"),
            "PCC_SHUTDOWN_GRACE": "1s",
        }
        async with process(given, "run") as child:
            await eventually(lambda: len(posts(platform)) > 1)
            write(tmp_path / "hang", "")
            await eventually((tmp_path / "hangs").exists)
            child.send_signal(signal.SIGTERM)
            code, said = await exit_of(child)
    assert code == 1
    assert [json.loads(line)["event"] for line in said.splitlines()][-2:] == [
        "daemon.stopped",
        "daemon.overdue",
    ]
