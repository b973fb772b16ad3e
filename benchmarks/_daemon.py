"""Our daemon as a process of its own: its text, its port, and when it is ready."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from benchmarks._platform import Platform

WAIT_SECONDS = 120.0
LOOK_SECONDS = 0.005
REST_SECONDS = 0.3


class Daemon(NamedTuple):
    """A daemon that runs: its process, its text and what it logs."""

    pid: int
    text: Path
    log: Path

    def want(self, devices: Iterable[str]) -> None:
        """Replace its text by one that wants these devices, as editors do: beside it, then over it."""
        beside = self.text.with_suffix(".new")
        beside.write_text(text_of(devices), encoding="utf-8")
        beside.replace(self.text)

    def wait_until_ready(self) -> None:
        """Wait until its readiness probe says so."""
        began = time.monotonic()
        while time.monotonic() - began < WAIT_SECONDS:
            host = re.search(
                rb'"event":"daemon.started".*?"listen":"(?:http://)?([^"/]+)', self.log.read_bytes()
            )
            if host is not None and _is_ready(host[1].decode()):
                return
            time.sleep(LOOK_SECONDS)
        raise RuntimeError("the daemon is not ready: " + self.log.read_text(encoding="utf-8"))

    def wait_until_in_sync(self, devices: int) -> None:
        """Wait until a pass says that so many devices are in sync."""
        began = time.monotonic()
        while time.monotonic() - began < WAIT_SECONDS:
            if f'"in_sync":{devices}'.encode() in self.log.read_bytes():
                return
            time.sleep(LOOK_SECONDS)
        raise RuntimeError("the daemon is not in sync: " + self.log.read_text(encoding="utf-8"))


def devices_of(count: int) -> list[str]:
    """Return so many device ids, as LG makes them."""
    return [sha256(str(number).encode()).hexdigest() for number in range(count)]


@contextmanager
def running(lg: Platform, devices: Sequence[str], folder: Path) -> Iterator[Daemon]:
    """Give a daemon that wants these devices and logs as JSON; text and state are in the folder."""
    texts, log = (
        folder / "texts",
        folder / "log",
    )  # apart: whatever is written beside a text is looked at
    texts.mkdir()
    text = texts / "desired-state.toml"
    text.write_text(text_of(devices), encoding="utf-8")
    rest()
    given = {
        **lg.settings(),
        "PATH": os.environ["PATH"],
        "PCC_DESIRED_STATE": str(text),
        "PCC_STATE_DIR": str(folder / "state"),
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_LOG_LEVEL": "debug",
        "PCC_LOG_FORMAT": "json",
        "PCC_SHUTDOWN_GRACE": "1s",
    }
    with log.open("wb") as lines:
        child = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "run"], env=given, stderr=lines
        )
        try:
            yield Daemon(child.pid, text, log)
        finally:
            child.terminate()
            child.wait()


def rest() -> None:
    """Let the files that were just written come to rest: before, none of them is read."""
    time.sleep(REST_SECONDS)


def text_of(devices: Iterable[str]) -> str:
    """Return a text that wants these devices."""
    return "version = 1\ndevices = [\n" + "".join(f'  "{device}",\n' for device in devices) + "]\n"


def _is_ready(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
