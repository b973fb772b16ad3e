"""A pass of 5,000 subscribes through `apply`, beside a bare loop that makes the same calls with the same libraries."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks import Row, at_least, at_most, compared, exactly, turns
from benchmarks._daemon import devices_of, rest, text_of
from benchmarks._platform import Platform, platform
from benchmarks._processes import apart, processor_seconds
from reconciler.runtime import oneshot, settings
from reconciler.runtime.accounts import Follower
from reconciler.telemetry.logs import set_up_logs

CHANGES, QUICK_CHANGES = 5_000, 1_000
IN_FLIGHT = 64
LATENCY_SECONDS = 0.05
PAIRS, QUICK_PAIRS = 7, 3


class Took(NamedTuple):
    """Seconds of the clock, and seconds of CPU of the process that made the calls."""

    seconds: float
    processor_seconds: float


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure the rate, the CPU and the number of calls. Program, loop and platform are processes of their own."""
    changes = QUICK_CHANGES if quick else CHANGES
    devices = devices_of(changes)
    pairs: list[dict[int, Took]] = []
    calls: list[tuple[float, float]] = []
    with platform(latency_seconds=LATENCY_SECONDS) as lg:
        for order in turns(QUICK_PAIRS if quick else PAIRS):
            pair: dict[int, Took] = {}
            for place in order:
                lg.subscribe(())
                lg.heard()
                pair[place] = _took(lg, devices, ours=place == 0)
                made = lg.heard().calls
                assert made["POST"] == changes
                if place == 0:
                    calls.append((sum(made.values()) - made["TOKEN"], changes + 1))
            pairs.append(pair)
    rates = [(changes / pair[0].seconds, changes / pair[1].seconds) for pair in pairs]
    costs = [
        tuple(pair[place].processor_seconds * 1000 / changes for place in (0, 1)) for pair in pairs
    ]
    what, loop = f"{changes:,} subscribes, {IN_FLIGHT} in flight", "a bare httpx-aiohttp loop"
    yield compared(f"{what}, rate", rates, "a second", loop, at_least(0.9))
    yield compared(
        f"{what}, CPU a change", [(one, other) for one, other in costs], "ms", loop, at_most(1.35)
    )
    yield compared(f"{what}, calls to LG", calls, "calls", "N + 1", exactly(1))


def _took(lg: Platform, devices: list[str], *, ours: bool) -> Took:
    with tempfile.TemporaryDirectory() as folder:
        work = _apply if ours else _loop
        return Took(*apart(work, lg.settings(), devices, folder).given)


def _apply(lg: dict[str, str], devices: list[str], folder: str) -> Took:
    """Let the program make the changes, with state on disk and its log in a file."""
    text = Path(folder, "desired-state.toml")
    text.write_text(text_of(devices), encoding="utf-8")
    rest()
    given = settings.load({
        **lg,
        "PCC_DESIRED_STATE": str(text),
        "PCC_STATE_DIR": str(Path(folder, "state")),
        "PCC_CONCURRENCY": str(IN_FLIGHT),
    })  # fmt: skip
    with Path(folder, "log").open("w", encoding="utf-8") as log:
        masking = set_up_logs("info", "json", stream=log)
        masking.know(given.secrets())
        began = _clocks()
        work = asyncio.run(oneshot.apply(given, masking, None, Follower()))
        took = _since(began)
    assert len(work.reports) == 1
    return took


def _loop(lg: dict[str, str], devices: list[str], _folder: str) -> Took:
    """Make the changes with the libraries alone."""

    async def calls() -> None:
        fixed = {
            "authorization": "Bearer an-access-token",
            "content-type": "application/json",
            "user-agent": "pcc-reconciler",
            "accept": "application/json",
            "x-country-code": lg["PCC_COUNTRY"],
            "x-service-id": lg["PCC_SERVICE_ID"],
            "x-service-key": lg["PCC_SERVICE_KEY"],
        }
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT))
        async with httpx.AsyncClient(
            transport=AiohttpTransport(client=session), timeout=15
        ) as http:
            left = iter(devices)

            async def worker() -> None:
                for device in left:
                    message_id = urlsafe_b64encode(uuid4().bytes)[:-2].decode()
                    headers = fixed | {"x-message-id": message_id}
                    answer = await http.post(f"{lg['PCC_BASE_URL']}/pcc/{device}", headers=headers)
                    assert answer.status_code == 200

            (await http.get(f"{lg['PCC_BASE_URL']}/pcc", headers=fixed)).raise_for_status()
            async with asyncio.TaskGroup() as workers:
                for _ in range(IN_FLIGHT):
                    workers.create_task(worker())

    began = _clocks()
    asyncio.run(calls())
    return _since(began)


def _clocks() -> Took:
    return Took(time.perf_counter(), processor_seconds(os.getpid()))


def _since(began: Took) -> Took:
    now = _clocks()
    return Took(now.seconds - began.seconds, now.processor_seconds - began.processor_seconds)
