"""A mass removal from the first shock to the last device, over real HTTP: held, explained, approved, finished."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import rtoml

from processes import exit_of, process
from reconciler.desired.checks import SAY_WHY
from reconciler.simulator import Route, create_app, serving
from scenarios import (
    account_text,
    child_environment,
    credentials_folder,
    environment,
    eventually,
    eventually_true,
    fleet,
    owned,
    site,
    text,
    write,
)


async def test_a_cut_file_is_held_until_its_block_is_committed(tmp_path: Path) -> None:
    """A file cut to 60 % removes nobody; page, log and plan print one block; that block lets exactly those go."""
    platform = fleet(40)
    devices = sorted(owned(platform))
    kept, cut = devices[:24], set(devices[24:])
    write(tmp_path / "desired-state.toml", text(devices))
    async with site(tmp_path, platform, PCC_INTERVAL="1s") as one:
        await one.has(devices)
        write(one.file, text(kept))
        await eventually(lambda: one.told("guard.tripped", reason="too-many"))
        block = one.told("guard.tripped")[0]["approval"]
        account = (await one.get("/api/v1/status")).json()["accounts"][0]
        assert account["condition"] == "held"
        assert account["approval"] == block
        assert rtoml.loads(block)["approvals"][0]["devices"] == sorted(cut)
        assert "[[approvals]]" in (await one.get("/")).text
        assert block in await planned(one.environment)
        await one.passes(2)
        assert not one.calls(Route.UNSUBSCRIBE)
        write(one.file, text(kept) + block.replace(SAY_WHY, "wing B is closed"))
        await one.has(kept)
        assert {call.device for call in one.calls(Route.UNSUBSCRIBE)} == cut
        await eventually(lambda: one.told("guard.cleared", reason="too-many"))

        async def remarked() -> bool:
            found = (await one.get("/api/v1/status")).json()["accounts"][0]["remarks"]
            return any("names no live device" in remark for remark in found)

        await eventually_true(remarked)


async def planned(given: dict[str, str]) -> str:
    """Return what ``plan`` prints beside the running daemon."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "reconciler",
        "plan",
        env=child_environment(given),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await child.communicate()
    return out.decode()


async def test_an_approved_removal_survives_a_kill(tmp_path: Path) -> None:
    """Killed in the middle of an approved set, a new start finishes exactly that set without another word."""
    platform = fleet(120, subscribed=1.0)
    devices = sorted(owned(platform))
    kept, cut = devices[:60], devices[60:]
    listed = ", ".join(f'"{device}"' for device in cut)
    approval = f'\n[[approvals]]\ndevices = [{listed}]\nexpires = 2099-01-01T00:00:00Z\nreason = "wing B"\n'
    write(tmp_path / "desired-state.toml", text(kept) + approval)
    platform.set_options(latency=0.05)

    def gone() -> int:
        return sum(one.route is Route.UNSUBSCRIBE for one in platform.requests)

    async with serving(create_app(platform)) as base_url:
        given = environment(platform, base_url, tmp_path) | {"PCC_CONCURRENCY": "2"}
        async with process(given, "run") as child:
            await eventually(lambda: gone() >= 20)
            child.kill()
            await child.wait()
        assert 20 <= gone() < 60
        async with process(given, "run") as child:
            await eventually(lambda: platform.subscribed("default") == set(kept))
            child.send_signal(signal.SIGTERM)
            assert (await exit_of(child))[0] == 0
    assert {one.device for one in platform.requests if one.route is Route.UNSUBSCRIBE} == set(cut)


async def test_an_emptied_account_clears_nobody_and_others_go_on(tmp_path: Path) -> None:
    """An account whose list became empty keeps its devices, and the account beside it follows its own edits."""
    platform = fleet(8, users=("east", "west"))
    east, west = owned(platform, "east"), owned(platform, "west")
    tokens = str(credentials_folder(platform, tmp_path / "credentials"))
    folder = tmp_path / "desired"
    write(folder / "east.toml", account_text("east", east))
    write(folder / "west.toml", account_text("west", west[:6]))
    async with site(
        tmp_path, platform, PCC_DESIRED_STATE=str(folder), PCC_CREDENTIALS_DIR=tokens
    ) as one:
        await one.has(east, "east")
        write(folder / "east.toml", account_text("east", []))
        write(folder / "west.toml", account_text("west", west))
        await one.has(west, "west")
        await eventually(lambda: one.told("guard.tripped", reason="empty-desired", account="east"))
        assert not one.calls(Route.UNSUBSCRIBE)
        assert one.live("east") == set(east)
