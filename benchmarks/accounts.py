"""Many accounts: how fast one sweep over all of them is, what it holds in memory, and how soon an edit goes before."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import Row, at_least, at_most, compared, turns
from benchmarks._answering import TOKEN, Changed, answering, devices_of, told
from benchmarks._processes import apart, peak_bytes, processor_seconds
from reconciler.pcc.transport import open_http

DEVICES, LATENCY_SECONDS, WORKERS = 20, 0.05, 64
FILES = 100
"""The accounts are spread over so many texts, as over the teams that keep them."""
LONGEST_SECONDS = 300.0


class Size(NamedTuple):
    """How much is measured."""

    accounts: int
    pairs: int
    seconds: float
    edits: int


FULL, QUICK = Size(10_000, 5, 6.0, 21), Size(1_000, 3, 2.0, 5)


def rows(*, quick: bool) -> Iterator[Row]:
    """Let the daemon sweep without a rest, and stop it while the bare loop has its turn; then edit while it sweeps."""
    size = QUICK if quick else FULL
    names = [f"account-{number:05}" for number in range(size.accounts)]
    what = f"{size.accounts:,} accounts of {DEVICES} devices"
    with tempfile.TemporaryDirectory() as folder, answering(DEVICES, LATENCY_SECONDS) as base_url:
        write_accounts(Path(folder), names)
        began = time.monotonic()
        with daemon(Path(folder), base_url, "daemon", {}) as pid:
            until(lambda: told(base_url)[0] >= size.accounts)
            first = time.monotonic() - began
            os.kill(pid, signal.SIGSTOP)
            pairs = []
            for order in turns(size.pairs):
                rates = {
                    place: (_ours, _bare)[place](pid, base_url, names, size.seconds)
                    for place in order
                }
                pairs.append((rates[0], rates[1]))
            yield compared(
                f"{what}, CPU a list", [(ours.milliseconds, bare.milliseconds) for ours, bare in pairs], "ms",
                "bare httpx-aiohttp loop",
            )  # fmt: skip
            yield compared(
                f"{what}, lists a second", [(ours.rate, bare.rate) for ours, bare in pairs], "/s",
                "bare httpx-aiohttp loop", at_least(0.8),
                remark=f"{WORKERS} in flight; from the start to the end of the first sweep {first:.1f} s",
            )  # fmt: skip
            os.kill(pid, signal.SIGCONT)
            chosen = random.Random(1).sample(names, size.edits)  # noqa: S311
            edits = [_edited(Path(folder), base_url, name) for name in chosen]
            waits = sorted(listed * 1000 for listed, _ in edits)
            to_change = statistics.median(made * 1000 for _, made in edits)
            yield Row(
                f"{what}, from an edit of one to its first call", statistics.median(waits), "ms",
                target=at_most(500, absolute=True),
                remark=f"{size.edits} edits, {waits[0]:.0f} to {waits[-1]:.0f}; to its first change {to_change:.0f} ms",
            )  # fmt: skip
            yield Row(
                f"{what}, memory at most",
                peak_bytes(pid) / 1e6,
                "MB",
                target=at_most(300, absolute=True),
            )


class Pace(NamedTuple):
    """Lists a second, and the CPU time of one, which whatever else the machine does changes less."""

    rate: float
    milliseconds: float


def _ours(pid: int, base_url: str, _names: list[str], seconds: float) -> Pace:
    """Let the daemon go on for a while, and return how fast it asked for lists."""
    os.kill(pid, signal.SIGCONT)
    time.sleep(1)  # it has missed a lot: calls in flight, ticks
    before, began, used = told(base_url)[0], time.monotonic(), processor_seconds(pid)
    time.sleep(seconds)
    asked, took = told(base_url)[0] - before, time.monotonic() - began
    pace = Pace(asked / took, (processor_seconds(pid) - used) / asked * 1000)
    os.kill(pid, signal.SIGSTOP)
    return pace


def _bare(_pid: int, base_url: str, names: list[str], seconds: float) -> Pace:
    return Pace(*apart(_loop, base_url, names, seconds).given)


def _loop(base_url: str, names: list[str], seconds: float) -> Pace:
    """Ask for lists and do nothing with them, as fast as the HTTP library can."""

    async def loop() -> Pace:
        async with open_http(read_only=False, connections=WORKERS) as http:
            asked = 0

            async def worker(number: int) -> None:
                nonlocal asked
                while time.monotonic() < ends:
                    name = names[(number + asked) % len(names)]
                    answer = await http.get(
                        f"{base_url}/pcc", headers={"authorization": f"{TOKEN.decode()}{name}"}
                    )
                    assert answer.content
                    asked += 1

            began, used = time.monotonic(), time.process_time()
            ends = began + seconds
            await asyncio.gather(*(worker(number) for number in range(WORKERS)))
            took = time.process_time() - used
            return Pace(asked / (time.monotonic() - began), took / asked * 1000)

    return asyncio.run(loop())


def _edited(folder: Path, base_url: str, name: str) -> tuple[float, float]:
    """Give an account one more device; return how many seconds later a pass of it begins, and LG is told of it."""
    device = f"{name}-more".ljust(64, "0")
    text = _text_of(folder, name)
    beside = text.with_suffix(".new")
    mine = f"[accounts.{name}]\ndevices = ["
    beside.write_text(text.read_text().replace(mine, f'{mine}"{device}", '))
    began = time.monotonic()
    beside.replace(text)
    found: list[Changed] = []

    def arrived() -> bool:
        found[:] = [change for change in told(base_url)[1] if change.device == device]
        return bool(found)

    until(arrived)
    return found[0].listed - began, found[0].made - began


def until(done: Callable[[], bool]) -> None:
    """Wait for something."""
    ends = time.monotonic() + LONGEST_SECONDS
    while not done():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.05)


def _text_of(folder: Path, name: str) -> Path:
    return folder / "texts" / f"{int(name.rpartition('-')[2]) % FILES:03}.toml"


def write_accounts(folder: Path, names: list[str]) -> None:
    """Write texts and credentials of accounts into a folder."""
    (folder / "texts").mkdir()
    (folder / "credentials").mkdir()
    texts: dict[Path, list[str]] = {}
    for name in names:
        listed = ", ".join(f'"{device}"' for device in devices_of(name, DEVICES))
        texts.setdefault(_text_of(folder, name), ["version = 1"]).append(
            f"[accounts.{name}]\ndevices = [{listed}]"
        )
        (folder / "credentials" / f"{name}.access_token").write_text(f"{TOKEN.decode()}{name}\n")
    for path, parts in texts.items():
        path.write_text("\n".join([*parts, ""]))


@contextmanager
def daemon(folder: Path, base_url: str, name: str, more: Mapping[str, str]) -> Iterator[int]:
    """Give the process id of a daemon that is always behind with its sweeps. ``more`` are settings."""
    given = {
        "PCC_DESIRED_STATE": str(folder / "texts"),
        "PCC_CREDENTIALS_DIR": str(folder / "credentials"),
        "PCC_STATE_DIR": str(folder / name),
        "PCC_BASE_URL": base_url,
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": "service-id",
        "PCC_SERVICE_KEY": "service-key",
        "PCC_INTERVAL": "1s",
        "PCC_WORKERS": str(WORKERS),
        "PCC_METRICS_PER_ACCOUNT": "false",
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_SHUTDOWN_GRACE": "1s",
        "PCC_LOG_FORMAT": "json",
    }
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "run"],
            env={**os.environ, **given, **more},
            stderr=log,
        )
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait()
