"""Memory and processor time of the daemon as a process: at its start, while it subscribes, and when all is in sync."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import Row, at_most
from benchmarks._processes import held_bytes, peak_bytes, processor_seconds
from reconciler import desired
from reconciler.model import DEFAULT_ACCOUNT, Desired, Device, DeviceId
from reconciler.simulator import Platform, create_app, sample_platform, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LATENCY_SECONDS = 0.02
IDLE_SECONDS, QUICK_SECONDS = 60.0, 10.0
MEGA = 1e6


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure a thousand devices that have to be subscribed, then a hundred thousand that are already."""

    async def collected() -> list[Row]:
        found = [
            one async for one in _lives(1_000, subscribed=0.0, idle_seconds=QUICK_SECONDS if quick else IDLE_SECONDS)
        ]
        if not quick:
            found += [one async for one in _lives(100_000, subscribed=1.0, idle_seconds=IDLE_SECONDS)]
        return found

    yield from asyncio.run(collected())


async def _lives(devices: int, *, subscribed: float, idle_seconds: float) -> AsyncIterator[Row]:
    """Yield the figures of one daemon's life."""
    platform = sample_platform(devices=devices, subscribed=subscribed, only_pcc=True)
    platform.set_options(latency=LATENCY_SECONDS)
    memory, share = (at_most(80, absolute=True), at_most(0.5, absolute=True)) if devices == 1_000 else (None, None)
    with tempfile.TemporaryDirectory() as folder:
        async with serving(create_app(platform)) as base_url:
            given = _given(platform, base_url, Path(folder))
            log = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "run"), env=os.environ | given, stderr=asyncio.subprocess.PIPE
            )
            try:
                await _said(log, "daemon.started")
                yield Row(f"{devices:,} devices, started", held_bytes(log.pid) / MEGA, "MB")
                while await _said(log, "pass.completed") < devices:
                    pass
                yield Row(f"{devices:,} devices, in sync, at most", peak_bytes(log.pid) / MEGA, "MB")
                yield Row(f"{devices:,} devices, in sync, CPU so far", processor_seconds(log.pid), "s")
                before, began = processor_seconds(log.pid), time.perf_counter()
                await asyncio.sleep(idle_seconds)
                used = (processor_seconds(log.pid) - before) / (time.perf_counter() - began)
                yield Row(f"{devices:,} devices, idle, memory", held_bytes(log.pid) / MEGA, "MB", target=memory)
                yield Row(f"{devices:,} devices, idle, of a core", used * 100, "%", target=share)
            finally:
                log.terminate()
                await log.communicate()


async def _said(child: asyncio.subprocess.Process, event: str) -> int:
    """Wait for a line of the log; return how many devices it says are in sync, if any."""
    assert child.stderr is not None
    async for line in child.stderr:
        if f'"event":"{event}"'.encode() in line:
            found = re.search(rb'"in_sync":(\d+)', line)
            return int(found[1]) if found else 0
    raise RuntimeError("the daemon ended")


def _given(platform: Platform, base_url: str, folder: Path) -> dict[str, str]:
    world = platform.world
    user = world.user(DEFAULT_ACCOUNT)
    devices = {DeviceId(one): Device(DeviceId(one)) for one in user.devices}
    text = desired.dump([Desired(DEFAULT_ACCOUNT, frozenset(devices), devices)])
    (folder / "desired-state.toml").write_text(text, encoding="utf-8")
    return {
        "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
        "PCC_STATE_DIR": str(folder / "state"),
        "PCC_BASE_URL": base_url,
        "PCC_TOKEN_URL": f"{base_url}/emp/v2/token",
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": world.service.id,
        "PCC_SERVICE_KEY": world.service.key,
        "PCC_CLIENT_ID": world.service.client_id,
        "PCC_REFRESH_TOKEN": user.refresh_token or "",
        "PCC_INTERVAL": "10m",
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_LOG_LEVEL": "debug",
        "PCC_LOG_FORMAT": "json",
    }
