"""A pass of 5,000 changes, alone and while 50 requests a second ask for the page and the metrics in turns."""

from __future__ import annotations

import asyncio
import http.client
import multiprocessing
import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from benchmarks import Measurement
from reconciler import settings
from reconciler.daemon import Daemon
from reconciler.simulator import Platform, create_app, sample_platform, serving

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
PROCESSES = multiprocessing.get_context("spawn")


def measurements() -> Iterator[Measurement]:
    """Measure both in turns, so that whatever else the machine does falls on both alike.

    LG's platform and whoever reads are processes of their own: only what the daemon itself does for them counts.
    """
    alone, watched, asked = asyncio.run(_measured())
    for what, place in (("", 0), (", CPU of the daemon", 1)):
        pairs = [(one[place], other[place]) for one, other in zip(watched, alone, strict=True)]
        ratios = sorted(one / other for one, other in pairs)
        spread = f"x {statistics.median(ratios):.2f} ({PAIRS} pairs: {ratios[0]:.2f} to {ratios[-1]:.2f})"
        yield Measurement(f"{CHANGES:,} changes, alone{what}", statistics.median(other for _, other in pairs))
        yield Measurement(
            f"{CHANGES:,} changes, {asked:.0f} requests a second{what}",
            statistics.median(one for one, _ in pairs),
            remark=spread,
        )


async def _measured() -> tuple[list[Took], list[Took], float]:
    """Return what passes took alone and watched, pair by pair, and how many requests a second were answered."""
    passes = _Passes()
    structlog.configure(processors=[passes.note])
    seconds: dict[bool, dict[tuple[int, int], Took]] = {False: {}, True: {}}
    with tempfile.TemporaryDirectory() as folder, _platform() as base_url, _readers() as readers:
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
    return [seconds[False][one] for one in alike], [seconds[True][one] for one in alike], readers.rate


def _clocks() -> Took:
    return time.perf_counter(), time.process_time()


class _Passes:
    """Takes note of when a text came into force, and when the pass that followed ended. Prints nothing."""

    def __init__(self) -> None:
        self._began = _clocks()
        self._seconds: asyncio.Queue[tuple[int, Took]] = asyncio.Queue()

    def note(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
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

    threads = [threading.Thread(target=reader, args=(number / REQUESTS_PER_SECOND,)) for number in range(READERS)]
    for one in threads:
        one.start()


@contextmanager
def _platform() -> Iterator[str]:
    """Give the address of LG's platform, simulated in a process of its own."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    yield str(ours.recv())
    process.terminate()
    process.join()


def _serve(told: Connection) -> None:
    async def serve() -> None:
        platform = _world()
        platform.set_options(latency=LATENCY_SECONDS)
        async with serving(create_app(platform)) as base_url:
            told.send(base_url)
            await asyncio.Event().wait()

    asyncio.run(serve())


def _world() -> Platform:
    """Return the same platform in each process: all of it is from one seed."""
    return sample_platform((USER,), devices=CHANGES, only_pcc=True)


def _write(text: Path, *, wanted: bool) -> None:
    """Write a text that wants every device, or none."""
    devices = "".join(f'  "{device}",\n' for device in _world().world.user(USER).devices) if wanted else ""
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
