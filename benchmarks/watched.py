"""A pass of 5,000 changes, alone and while 50 requests a second ask for the page and the metrics in turns."""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import threading
import time
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from benchmarks import Row, compared
from benchmarks._processes import PROCESSES, served
from reconciler.runtime import settings
from reconciler.runtime.daemon import Daemon
from reconciler.simulator import Platform, sample_platform

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

CHANGES, PAIRS = 5000, 6
LATENCY_SECONDS = 0.02
REQUESTS_PER_SECOND, READERS = 50, 5
ENDED_SECONDS = 600.0
USER = "default"
Took = tuple[float, float]
"""Seconds, and seconds of this process's CPU, which the rest of the machine does not change."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure both in turns, so that whatever else the machine does falls on both alike.

    LG's platform and whoever reads are processes of their own: only what the daemon itself does for them counts.
    """
    if quick:  # a pass of 5,000 changes takes a quarter of a minute, and its ratio says something after several
        return
    pairs, asked = asyncio.run(_measured())
    for what, place in (("", 0), (", CPU of the daemon", 1)):
        of_clock = [(watched[place], alone[place]) for watched, alone in pairs]
        yield compared(
            f"{CHANGES:,} changes, {asked:.0f} requests a second{what}", of_clock, "s", "unwatched"
        )


async def _measured() -> tuple[list[tuple[Took, Took]], float]:
    """Return what passes took watched and alone, pair by pair, and how many requests a second were answered."""
    passes = _Passes()
    structlog.configure(processors=[passes.note])
    seconds: dict[bool, dict[tuple[int, int], Took]] = {False: {}, True: {}}
    with (
        tempfile.TemporaryDirectory() as folder,
        served(_platform) as base_url,
        _readers() as readers,
    ):
        text = Path(folder) / "desired-state.toml"
        _write(text, wanted=False)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        daemon = Daemon(settings.load(_given(base_url, text)), ready=ready.set_result)
        running = asyncio.create_task(daemon.run())
        readers.url.send(await ready)
        await passes.ended(0)
        for number in range(2 * PAIRS):
            # Subscribe all, unsubscribe all, again and again. Of four passes the outer or the inner ones are watched,
            # so that each kind is watched as often, and as often first.
            group, place = divmod(number, 4)
            is_watched = (place in {0, 3}) == (group % 2 == 0)
            with readers.reading(on=is_watched):
                _write(text, wanted=number % 2 == 0)
                found = await passes.ended(CHANGES)
            seconds[is_watched][number // 4, number % 2] = found
        daemon.stop()
        await running
    structlog.reset_defaults()
    alike = sorted(seconds[False])
    return [(seconds[True][one], seconds[False][one]) for one in alike], readers.rate


def _clocks() -> Took:
    return time.perf_counter(), time.process_time()


class _Passes:
    """Takes note of when a text came into force, and when the pass that followed ended. Prints nothing."""

    def __init__(self) -> None:
        self._began = _clocks()
        self._seconds: asyncio.Queue[tuple[int, Took]] = asyncio.Queue()

    def note(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Be a step of the log."""
        match event["event"]:
            case "desired.accepted":
                self._began = _clocks()
            case "pass.completed":
                made = event["subscribed"] + event["unsubscribed"]
                took = tuple(now - then for now, then in zip(_clocks(), self._began, strict=True))
                self._seconds.put_nowait((made, (took[0], took[1])))
        raise structlog.DropEvent

    async def ended(self, changes: int) -> Took:
        """Wait for the end of a pass of so many changes, and return what it took from its text on."""
        async with asyncio.timeout(ENDED_SECONDS):
            while True:
                made, seconds = await self._seconds.get()
                if made == changes:
                    return seconds


class _Readers:
    """A process that asks for the page and the metrics while it is told to."""

    def __init__(self, url: Connection, on: Event, answered: Any) -> None:
        self.url, self._on, self._answered = url, on, answered
        self._seconds = 0.0

    @contextmanager
    def reading(self, *, on: bool) -> Iterator[None]:
        """Let it read, if it shall."""
        if not on:
            yield
            return
        began = time.perf_counter()
        self._on.set()
        yield
        self._on.clear()
        self._seconds += time.perf_counter() - began

    @property
    def rate(self) -> float:
        """Return how many requests a second were answered while it read."""
        return float(self._answered.value) / self._seconds


@contextmanager
def _readers() -> Iterator[_Readers]:
    ours, theirs = PROCESSES.Pipe()
    on, answered = PROCESSES.Event(), PROCESSES.Value("i", 0)
    process = PROCESSES.Process(target=_read, args=(theirs, on, answered), daemon=True)
    process.start()
    yield _Readers(ours, on, answered)
    process.terminate()
    process.join()


def _read(url: Connection, on: Event, answered: Any) -> None:
    host = str(url.recv()).removeprefix("http://")

    def reader(first: float) -> None:
        connection = http.client.HTTPConnection(host, timeout=ENDED_SECONDS)
        time.sleep(first)
        for path in cycle(("/", "/metrics")):
            if not on.is_set():
                connection.close()  # meanwhile the other side would
                on.wait()
            due = time.monotonic() + READERS / REQUESTS_PER_SECOND
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read()
            with answered.get_lock():
                answered.value += 1
            time.sleep(max(due - time.monotonic(), 0))

    threads = [
        threading.Thread(target=reader, args=(number / REQUESTS_PER_SECOND,))
        for number in range(READERS)
    ]
    for one in threads:
        one.start()


def _platform() -> Platform:
    platform = _world()
    platform.set_options(latency=LATENCY_SECONDS)
    return platform


def _world() -> Platform:
    """Return the same platform in each process: all of it is from one seed."""
    return sample_platform((USER,), devices=CHANGES, only_pcc=True)


def _write(text: Path, *, wanted: bool) -> None:
    """Write a text that wants every device, or none."""
    devices = (
        "".join(f'  "{device}",\n' for device in _world().world.user(USER).devices)
        if wanted
        else ""
    )
    policy = 'policy.max_unsubscribe = "100%"\npolicy.allow_empty = true\n'
    beside = text.with_suffix(".new")
    beside.write_text(f"version = 1\n{policy}devices = [\n{devices}]\n")
    beside.replace(text)


def _given(base_url: str, text: Path) -> dict[str, str]:
    world = _world().world
    return {
        "PCC_DESIRED_STATE": str(text),
        "PCC_STATE_DIR": str(text.parent / "state"),
        "PCC_REFRESH_TOKEN": world.user(USER).refresh_token or "",
        "PCC_BASE_URL": base_url,
        "PCC_TOKEN_URL": f"{base_url}/emp/v2/token",
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": world.service.id,
        "PCC_SERVICE_KEY": world.service.key,
        "PCC_CLIENT_ID": world.service.client_id,
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_SHUTDOWN_GRACE": "1s",
    }
