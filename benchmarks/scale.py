"""A pass that finds nothing to do, from a thousand devices to a million: time, memory, and how both grow."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx
import msgspec
import structlog

from benchmarks import Row, at_most, compared, turns
from benchmarks._fleet import ids, write_device_file, write_live
from benchmarks._processes import apart
from reconciler.core.model import DEFAULT_ACCOUNT, Condition
from reconciler.runtime import settings
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.environment import Environment
from reconciler.runtime.wiring import built
from reconciler.state import State

STATE, LIVE = "state", "live.json"


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure each size in processes of their own: ours on a state that knows the fleet, and the floor."""
    sizes = (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    pairs = 2 if quick else 5
    seconds: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            where = Path(folder) / f"{size}"
            write_device_file(where, ids(size))
            write_live(where / LIVE, ids(size))
            apart(_passes, where)  # the first one ever fills the state
            found = []
            for order in turns(pairs):
                taken = {place: apart((_passes, _floor)[place], where) for place in order}
                found.append((taken[0], taken[1]))
            cycles = [(ours.given[0] + ours.given[1], floor.given) for ours, floor in found]
            seconds[size] = median(ours for ours, _ in cycles)
            ours_only = ", ".join(
                f"{words} {median(ours.given[place] for ours, _ in found):.3g} s"
                for place, words in enumerate(("text", "pass", "state from disk before"))
            )
            against = "read the ids, decode the list, two set differences"
            target = at_most(1.6) if size == sizes[-1] else None
            yield compared(
                f"{size:,} devices, text and pass", cycles, "s", against, target, remark=ours_only
            )
            yield compared(
                f"{size:,} devices, memory at most",
                [(ours.peak_bytes / 1e6, floor.peak_bytes / 1e6) for ours, floor in found],
                "MB",
                against,
                at_most(600, absolute=True) if size == sizes[-1] else None,
            )
    steps = [(seconds[more] / more, seconds[10_000] / 10_000) for more in sizes if more > 10_000]
    yield compared(
        f"time a device, up to {sizes[-1]:,} devices", [(ours * 1e6, other * 1e6) for ours, other in steps], "µs",
        "time a device with 10,000: linear is x 1", at_most(1.2),
    )  # fmt: skip


def _floor(where: Path) -> float:
    """Do what no program can do without, as fast as Python can."""
    began = time.perf_counter()
    wanted = frozenset((where / "devices.txt").read_text(encoding="utf-8").split())
    answer = msgspec.json.decode((where / LIVE).read_bytes(), type=_Answer)
    live = frozenset([item.deviceId for item in answer.response])
    assert not wanted - live
    assert not live - wanted
    return time.perf_counter() - began


class _Item(msgspec.Struct, gc=False):
    deviceId: str  # noqa: N815 - LG's spelling


class _Answer(msgspec.Struct):
    response: list[_Item]


def _passes(where: Path) -> tuple[float, float, float]:
    """Read the text, and make one pass with the account's memory at hand; return what each and reading that took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return asyncio.run(_measured(where))


async def _measured(where: Path) -> tuple[float, float, float]:
    given = {
        "PCC_DESIRED_STATE": str(where / "desired-state.toml"),
        "PCC_BASE_URL": "http://127.0.0.1:1",
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": "service-id",
        "PCC_SERVICE_KEY": "service-key",
        "PCC_ACCESS_TOKEN": "access-token",
    }
    state = State.open(where / STATE, SystemClock())
    environment = Environment(transport=_Answering(where / LIVE))
    async with built(settings.load(given), state, environment=environment) as parts:
        began = time.perf_counter()
        await asyncio.to_thread(state.accounts.recall, DEFAULT_ACCOUNT, SystemClock().now())
        recalled = time.perf_counter() - began
        began = time.perf_counter()
        await parts.informer.refresh()
        read = time.perf_counter() - began
        parts.follow_credentials()
        began = time.perf_counter()
        await parts.reconciler.reconcile(DEFAULT_ACCOUNT)
        passed = time.perf_counter() - began
        assert parts.reconciler.accounts.statuses[DEFAULT_ACCOUNT].condition in {
            Condition.IN_SYNC,
            Condition.CONVERGING,
        }
    state.close()
    return read, passed, recalled


class _Answering(httpx.AsyncBaseTransport):
    """LG's answer from a file: what the wire costs is not what is measured."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the list, whatever was asked for."""
        return httpx.Response(200, content=self._path.read_bytes(), request=request)
