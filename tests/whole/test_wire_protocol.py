"""The daemon as a process of its own, before a server that is not ours: what it says is LG's documented protocol."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

ODD = [
    "a:b@c",
    "HW1-0001",
    "ü-냉장고",
    "a+b&c=d",
    "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10",
]
STRANGERS = ["stranger:1", "stranger~2"]
DOCUMENTED = {
    "authorization": "Bearer access-token-of-the-tests",
    "x-country-code": "KR",
    "x-service-id": "service-id-of-the-tests",
    "x-service-key": "service-key-of-the-tests",
    "content-type": "application/json",
}
HARMLESS = {
    "host",
    "accept",
    "accept-encoding",
    "user-agent",
    "connection",
    "content-length",
    "x-message-id",
    "cache-control",
}
PATIENCE = 60.0


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass
class Recorder:
    """A platform in a few lines: a set of live devices, and every request that was made."""

    live: set[str] = field(default_factory=lambda: {ODD[0], *STRANGERS})
    calls: list[Call] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def wait_until_live(self, devices: set[str]) -> None:
        """Return when the live list is this and a list has been read since, or fail."""

        def seen() -> bool:
            return self.live == devices and self.calls[-1].method == "GET"

        with self.news:
            assert self.news.wait_for(seen, PATIENCE), sorted(self.live)

    def take(self, call: Call) -> object:
        """Do what a request asks for and return what goes under ``response``."""
        with self.news:
            self.calls.append(call)
            device = unquote(call.path.removeprefix("/pcc/"))
            if call.method == "POST":
                self.live.add(device)
            elif call.method == "DELETE":
                self.live.remove(device)
            self.news.notify_all()
            return [{"deviceId": one} for one in sorted(self.live)] if call.method == "GET" else {}


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the recorder, with nothing but the standard library."""

    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call = Call(self.command, self.path, tuple(self.headers.items()), body)
        response = self.recorder.take(call)
        envelope = {
            "messageId": self.headers["x-message-id"],
            "timestamp": "2026-11-01T00:00:00",
            "response": response,
        }
        content = json.dumps(envelope).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = _answer  # noqa: N815 - the library's spelling

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def recording() -> Iterator[tuple[Recorder, str]]:
    """Give a recorder and where it listens."""
    recorder = Recorder()
    handler = type("Bound", (Handler,), {"recorder": recorder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield recorder, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def write(path: Path, devices: list[str]) -> None:
    """Put a desired state in place."""
    fresh = path.with_suffix(".new")
    fresh.write_text(
        f"version = 1\ndevices = {json.dumps(devices, ensure_ascii=False)}\n", encoding="utf-8"
    )
    fresh.replace(path)


@contextmanager
def daemon(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon as its users do; what it says goes into a file."""
    environment = {
        **os.environ,
        "PCC_BASE_URL": url,
        "PCC_SERVICE_ID": DOCUMENTED["x-service-id"],
        "PCC_SERVICE_KEY": DOCUMENTED["x-service-key"],
        "PCC_ACCESS_TOKEN": DOCUMENTED["authorization"].removeprefix("Bearer "),
        "PCC_COUNTRY": "KR",
        "PCC_DESIRED_STATE": str(folder / "desired-state.toml"),
        "PCC_STATE_DIR": str(folder / "state"),
        "PCC_LISTEN": "127.0.0.1:0",
        "PCC_INTERVAL": "1s",
    }
    command = [sys.executable, "-m", "reconciler", "run"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stderr=log) as process,  # noqa: S603 - our own program
    ):
        try:
            yield process
        finally:
            process.kill()


def test_the_daemon_speaks_exactly_the_documented_protocol(tmp_path: Path) -> None:
    """Method, path with the id percent-encoded, the documented headers, no body, and a message id for each call."""
    write(tmp_path / "desired-state.toml", ODD)
    with recording() as (recorder, url), daemon(tmp_path, url) as process:
        recorder.wait_until_live(set(ODD))
        write(tmp_path / "desired-state.toml", [*ODD[1:], "added~later"])
        recorder.wait_until_live({*ODD[1:], "added~later"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0

    calls = recorder.calls
    assert {call.path for call in calls if call.method == "GET"} == {"/pcc"}
    assert sorted(call.path for call in calls if call.method == "POST") == sorted(
        f"/pcc/{quote(device, safe='')}" for device in [*ODD[1:], "added~later"]
    )
    assert sorted(call.path for call in calls if call.method == "DELETE") == sorted(
        f"/pcc/{quote(device, safe='')}" for device in [*STRANGERS, ODD[0]]
    )
    assert {call.method for call in calls} == {"GET", "POST", "DELETE"}
    for call in calls:
        headers = {name.lower(): value for name, value in call.headers}
        assert len(headers) == len(call.headers)
        assert {name: headers.get(name) for name in DOCUMENTED} == DOCUMENTED
        assert headers.keys() - DOCUMENTED.keys() <= HARMLESS
        assert call.body == b""
        assert headers.get("content-length", "0") == "0"
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}", headers["x-message-id"])
    message_ids = [dict(call.headers)["x-message-id"] for call in calls]
    assert len(set(message_ids)) == len(message_ids)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert "daemon.stopped" in said
    assert not [
        secret for name, secret in DOCUMENTED.items() if "service" in name and secret in said
    ]
    assert DOCUMENTED["authorization"].removeprefix("Bearer ") not in said
