"""A daemon with very many accounts or devices, as a process of its own: its files, its port, and a reader of its pages.

Owns: writing the files of such a fleet, starting and ending the daemon, asking for a page.
Must not: know what is measured.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from benchmarks._answering import TOKEN, devices_of
from benchmarks._processes import forget_peak, held_bytes, peak_bytes

LONGEST_SECONDS = 300.0
LOOK_SECONDS = 0.1
FILES = 100
"""The accounts are spread over this number of files."""
WORKERS = 64
BIG = "big"
"""The account of a fleet that has many devices."""


class Fleet(NamedTuple):
    """Accounts of which all but one have the same number of devices; one has many."""

    accounts: int
    devices: int
    big: int

    @property
    def names(self) -> Sequence[str]:
        """Return the accounts without the big one."""
        return [f"account-{number:05}" for number in range(self.accounts)]

    @property
    def others(self) -> Mapping[str, int]:
        """Return which account has another number of devices."""
        return {BIG: self.big}


class Daemon(NamedTuple):
    """A daemon that runs: its process, and where its pages are."""

    pid: int
    host: str

    def is_ready(self) -> bool:
        """Say whether the daemon is ready: its first passes may still be under way."""
        try:
            return asked(self.host, "/readyz").status == http.HTTPStatus.OK
        except OSError:
            return False


class Reply(NamedTuple):
    """One answer: its status, its length in bytes, and how long it took."""

    status: int
    length: int
    seconds: float


class Measured(NamedTuple):
    """An answer, and what the daemon held before and added at most meanwhile, in bytes."""

    reply: Reply
    idle: int
    added: int


def asked(host: str, path: str) -> Reply:
    """Ask for one page, and throw it away."""
    connection = http.client.HTTPConnection(host, timeout=LONGEST_SECONDS)
    began = time.perf_counter()
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        length = len(answer.read())
    finally:
        connection.close()
    return Reply(answer.status, length, time.perf_counter() - began)


def measured(daemon: Daemon, path: str) -> Measured:
    """Ask for one page that has to be there, and measure the memory that it took."""
    forget_peak(daemon.pid)
    idle = held_bytes(daemon.pid)
    reply = asked(daemon.host, path)
    if reply.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path} answered {reply.status}")
    return Measured(reply, idle, max(peak_bytes(daemon.pid) - idle, 0))


def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + LONGEST_SECONDS
    while not done():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(LOOK_SECONDS)


def write_fleet(folder: Path, fleet: Fleet) -> None:
    """Write the files. Each account lacks one device, so that there is a past change of each."""
    files: dict[str, list[str]] = {}
    for number, name in enumerate(fleet.names):
        wanted = [*devices_of(name, fleet.devices), f"{name}-more".ljust(64, "0")]
        listed = ", ".join(f'"{device}"' for device in wanted)
        entry = f"[accounts.{name}]\ndevices = [{listed}]"
        files.setdefault(f"{number % FILES:03}", []).append(entry)
    _write_folders(folder, [*fleet.names, BIG])
    for file, entries in files.items():
        text = "\n".join(["version = 1", *entries, ""])
        (folder / "files" / f"{file}.toml").write_text(text, encoding="utf-8")
    _write_big(folder, BIG, fleet.big)


def write_one_account(folder: Path, name: str, devices: int) -> None:
    """Write the files of a single account."""
    _write_folders(folder, [name])
    _write_big(folder, name, devices)


def _write_folders(folder: Path, names: Sequence[str]) -> None:
    credentials = folder / "credentials"
    credentials.mkdir(parents=True)
    (folder / "files").mkdir()
    for name in names:
        (credentials / f"{name}.access_token").write_text(f"{TOKEN.decode()}{name}\n")


def _write_big(folder: Path, name: str, devices: int) -> None:
    text = f'version = 1\n[accounts.{name}]\ndevice_files = ["{name}.txt"]\n'
    (folder / "files" / f"{name}.toml").write_text(text, encoding="utf-8")
    lines = "".join(f"{device}\n" for device in devices_of(name, devices))
    (folder / "files" / f"{name}.txt").write_text(lines, encoding="utf-8")


@contextmanager
def running(folder: Path, base_url: str, interval: str) -> Iterator[Daemon]:
    """Give a daemon of these files once it is ready."""
    log = folder / f"log-{interval}"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "run"],
            env=os.environ | _given(folder, base_url, interval),
            stderr=lines,
        )
        try:
            until(lambda: _host(log) != "" or process.poll() is not None)
            if process.poll() is not None:
                raise RuntimeError(f"the daemon ended: {log.read_text(encoding='utf-8')[-2000:]}")
            daemon = Daemon(process.pid, _host(log))
            until(daemon.is_ready)
            yield daemon
        finally:
            process.terminate()
            process.wait()


def _given(folder: Path, base_url: str, interval: str) -> Mapping[str, str]:
    return {
        "PCC_DESIRED_STATE": str(folder / "files"),
        "PCC_CREDENTIALS_DIR": str(folder / "credentials"),
        "PCC_STATE_DIR": str(folder / "state"),
        "PCC_BASE_URL": base_url,
        "PCC_COUNTRY": "KR",
        "PCC_SERVICE_ID": "service-id",
        "PCC_SERVICE_KEY": "service-key",
        "PCC_INTERVAL": interval,
        "PCC_WORKERS": str(WORKERS),
        "PCC_METRICS_PER_ACCOUNT": "false",
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_SHUTDOWN_GRACE": "1s",
        "PCC_LOG_FORMAT": "json",
    }


def _host(log: Path) -> str:
    found = re.search(
        rb'"event":"daemon.started".*?"listen":"(?:http://)?([^"/]+)', log.read_bytes()
    )
    return "" if found is None else found[1].decode()


class Reader:
    """One client that asks for one page after the other, each time after a rest."""

    def __init__(self, host: str, paths: Sequence[str], rest_seconds: float) -> None:
        self._host, self._paths, self._rest = host, cycle(paths), rest_seconds
        self._answered, self._seconds = 0, 0.0

    @property
    def rate(self) -> float:
        """Return how many pages a second were answered while it read."""
        return self._answered / self._seconds

    @contextmanager
    def reading(self, *, on: bool) -> Iterator[None]:
        """Let it read, if it shall."""
        if not on:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._read, args=(ended,))
        began = time.monotonic()
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._seconds += time.monotonic() - began

    def _read(self, ended: threading.Event) -> None:
        while True:
            asked(self._host, next(self._paths))
            self._answered += 1
            if ended.wait(self._rest):
                return
