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

from benchmarks import Measurement
from reconciler import desired
from reconciler.model import DEFAULT_ACCOUNT, Desired, Device, DeviceId
from reconciler.simulator import Platform, create_app, sample_platform, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LATENCY_SECONDS = 0.02
IDLE_SECONDS = 30.0


def measurements() -> Iterator[Measurement]:
    """Measure a thousand devices that have to be subscribed, then a hundred thousand that are already."""

    async def collected() -> list[Measurement]:
        return [
            *[one async for one in _lives(1_000, subscribed=0.0)],
            *[one async for one in _lives(100_000, subscribed=1.0)],
        ]

    yield from asyncio.run(collected())


async def _lives(devices: int, *, subscribed: float) -> AsyncIterator[Measurement]:
    """Yield the figures of one daemon's life."""
    platform = sample_platform(devices=devices, subscribed=subscribed, only_pcc=True)
    platform.set_options(latency=LATENCY_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        async with serving(create_app(platform)) as base_url:
            given = _given(platform, base_url, Path(folder))
            began = time.perf_counter()
            log = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "run"), env=os.environ | given, stderr=asyncio.subprocess.PIPE
            )
            try:
                await _said(log, "daemon.started")
                yield _figures(f"{devices:,} devices: started", log.pid, began)
                while await _said(log, "pass.completed") < devices:
                    pass
                yield _figures(f"{devices:,} devices: in sync", log.pid, began)
                before, began = _processor_seconds(log.pid), time.perf_counter()
                await asyncio.sleep(IDLE_SECONDS)
                share = (_processor_seconds(log.pid) - before) / (time.perf_counter() - began)
                yield _figures(f"{devices:,} devices: idle", log.pid, began, f"{share:.3f} of a processor")
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


def _figures(what: str, pid: int, began: float, remark: str = "") -> Measurement:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    now, peak = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    said = remark or f"{_processor_seconds(pid):.1f} s of processor time so far"
    return Measurement(what, time.perf_counter() - began, peak, f"{now / 2**20:.0f} MiB now, {said}")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


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
