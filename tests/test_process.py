"""The daemon as a process of its own: kills, signals, and what it says on standard error."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from scenarios import DEADLINE_SECONDS, child_environment, environment, eventually, fault, fleet, owned, text, write

from reconciler.clock import SystemClock
from reconciler.model import Result
from reconciler.simulator import Platform, Route, create_app, serving
from reconciler.simulator.faults import Hang, Latency
from reconciler.state import State


@asynccontextmanager
async def process(given: Mapping[str, str], *command: str) -> AsyncIterator[Process]:
    """Give a running command of ours, and end it at the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reconciler", *command, env=child_environment(given), stdout=PIPE, stderr=PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def exit_of(child: Process) -> tuple[int, str]:
    """Wait for the end of a command; return its exit code and what it said on standard error."""
    async with asyncio.timeout(DEADLINE_SECONDS * 2):
        _, said = await child.communicate()
    assert child.returncode is not None
    return child.returncode, said.decode()


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
    confirmed = Counter(past.device for past in state.history(limit=5000) if past.result is Result.SUCCESS)
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
    assert [json.loads(line)["event"] for line in said.splitlines()][-2:] == ["daemon.grace_over", "daemon.stopped"]


async def test_what_keeps_it_from_starting_is_one_clear_line(tmp_path: Path) -> None:
    """A taken port and a held state each end the start with one line, exit code 1, and no call."""
    platform = fleet(4)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path)
        async with process(given | {"PCC_LISTEN": base_url.removeprefix("http://")}, "run") as child:
            code, said = await exit_of(child)
        assert (code, said.count("\n"), platform.request_count) == (1, 1, 0)
        assert "PCC_LISTEN: cannot listen on" in said

        state = State.open(tmp_path / "state", SystemClock())
        async with process(given, "run") as child:
            code, said = await exit_of(child)
        state.close()
        assert (code, said.count("\n"), platform.request_count) == (1, 1, 0)
        assert "is held by process" in said
