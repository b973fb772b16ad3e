"""What answers need not be our daemon: commands that are led to somebody else's server."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler import cli
from reconciler.api.client import connection as asking
from reconciler.api.client.connection import ask
from reconciler.core.errors import DaemonError, NoDaemon
from reconciler.simulator import Route
from reconciler.simulator.faults import Error
from scenarios import fault, fleet, owned, site, text, write

POISON = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\u200b\r\nAll is well |`<b>www.evil.invalid @all\x00"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
"""What no output may hold."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")
Answers = dict[str, Any]


def poisoned(value: Any, key: str = "") -> Any:
    """Return an answer whose every string is hostile, and which is still understood."""
    match value:
        case str() if MOMENT.match(value):
            return value
        case str():
            return value[:8] + POISON
        case dict():
            return {name: poisoned(one, name) for name, one in value.items()}
        case list():
            return [poisoned(one, key) for one in value]
        case _:
            return value


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Give answers of a real daemon by path, of an account of which LG refuses a device."""
    folder = tmp_path_factory.mktemp("real")
    platform = fleet(4)
    devices = owned(platform)
    write(folder / "desired-state.toml", text(devices))
    platform.set_faults(fault(Error(code="1214"), Route.SUBSCRIBE, count=1))

    async def gather() -> Answers:
        async with site(folder, platform, PCC_INTERVAL="1h", PCC_CONCURRENCY="1") as one:
            await one.passes(1)
            paths = {
                "/api/v1/status": "/api/v1/status",
                "/api/v1/accounts": "/api/v1/accounts/default",
                "/api/v1/devices": f"/api/v1/devices?device={devices[0]}",
                "/api/v1/history": "/api/v1/history",
            }
            found = {name: (await one.get(path)).json() for name, path in paths.items()}
            body = {"documents": ["a.toml"], "files": {"a.toml": text(devices[:1])}, "show": "text"}
            found["/api/v1/plan"] = (await one.http.post("/api/v1/plan", json=body)).json()
            found["/api/v1/pause"] = {"api": 1, "accounts": ["default"]}
            found["/api/v1/reconcile"] = {"api": 1, "accounts": ["default"]}
            return found

    return asyncio.run(gather())


@contextmanager
def server(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """Serve on loopback what ``answer`` makes of a path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body = answer(self.path)
            self.send_response(status, "\x1b[31mno" if status != 200 else None)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def answers(documents: Answers) -> Callable[[str], tuple[int, bytes]]:
    """Return what serves these documents, by the beginning of the path."""

    def answer(path: str) -> tuple[int, bytes]:
        for name, document in documents.items():
            if path.startswith(name):
                return 200, json.dumps(document).encode()
        return 404, json.dumps({"error": POISON, "faults": [POISON] * 5000}).encode()

    return answer


COMMANDS = [
    "status",
    "status --output json",
    "status --output markdown",
    "status --refused",
    "status --refused --output json",
    "status --refused --output markdown",
    "status --wait --timeout 0s",
    "explain 12345678",
    "explain 12345678 --output json",
    "explain 12345678 --output markdown",
    "history",
    "history --output json",
    "history --output markdown",
    "reconcile",
    "pause --for 1h --reason x",
    "resume",
    "plan",
    "plan --output json",
    "plan --output markdown",
]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a text in it."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "desired-state.toml", text(["device-1"]))


@pytest.mark.parametrize("line", COMMANDS)
def test_no_answer_steers_the_terminal(
    capsys: pytest.CaptureFixture[str], real: Answers, line: str
) -> None:
    """Whatever a server answers, what is printed holds no control character and no trace of a defect."""
    with server(answers(poisoned(real))) as url:
        cli.run([*line.split(), "--server", url])
    said = capsys.readouterr()
    assert not STEERING.search(said.out + said.err)
    assert "defect" not in said.err
    assert "\nAll is well |" not in said.out or "plan" in line


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize(
    "document",
    [
        {},
        {"api": 1, "accounts": 5},
        {"api": 1, "accounts": [POISON, None, {"a": POISON}]},
        {
            "api": 1,
            "plan": {"accounts": [{"account": [], "held": 1}], "exit_code": []},
            "notes": 1,
            "shown": 1,
        },
        {"a": 10**400},
    ],
)
def test_an_answer_of_any_shape_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], line: str, document: object
) -> None:
    """An answer that is not the daemon's is an error in one sentence, never a defect of the program."""
    with server(lambda _path: (200, json.dumps(document).encode())) as url:
        cli.run([*line.split(), "--server", url])
    said = capsys.readouterr()
    assert "defect" not in said.err
    assert not STEERING.search(said.out + said.err)


@pytest.mark.parametrize("line", ["reconcile", "pause --for 1h --reason x", "resume"])
@pytest.mark.parametrize(
    "accounts", [None, 5, "seoul", [None], [{"account": "seoul"}], ["seoul", 7]]
)
def test_a_call_is_done_only_where_our_daemon_names_the_accounts(
    capsys: pytest.CaptureFixture[str], line: str, accounts: object
) -> None:
    """A stranger that answers anything else has not paused, resumed or woken an account."""
    with server(answers({"/api/v1/": {"api": 1, "accounts": accounts}})) as url:
        assert cli.run([*line.split(), "--server", url]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "not this daemon" in said.err


@pytest.mark.parametrize("line", COMMANDS)
def test_a_refusal_is_cut_short(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Thousands of faults in a refusal are a number, and a reason phrase is words."""
    with server(answers({})) as url:
        assert cli.run([*line.split(), "--server", url]) == 1
    said = capsys.readouterr()
    assert not STEERING.search(said.out + said.err)
    assert len(said.err) < 400_000
    assert said.err.count("\n") < asking.REFUSALS + 5


def test_a_moment_without_a_zone_is_another_versions(
    capsys: pytest.CaptureFixture[str], real: Answers
) -> None:
    """What cannot be compared with our clock is not shown as if it could."""
    bare = json.loads(json.dumps(real).replace('Z"', '"'))
    with server(answers(bare)) as url:
        for line in ("status", "history", "explain 12345678"):
            assert cli.run([*line.split(), "--server", url]) == 1
    assert capsys.readouterr().err.count("another version") == 3


def test_what_is_allowed_by_a_server_is_a_device_file_all_the_same(
    capsys: pytest.CaptureFixture[str], real: Answers, tmp_path: Path
) -> None:
    """Ids that a server names for an approval are ids, or no file is written."""
    plan = real["/api/v1/plan"]
    held = [{"device": "a\nb", "action": "unsubscribe", "reason": "too-many"}]
    hostile = {
        **plan,
        "plan": {**plan["plan"], "accounts": [{**plan["plan"]["accounts"][0], "held": held}]},
    }
    with server(answers({"/api/v1/plan": hostile})) as url:
        assert cli.run(["plan", "--approval", "removed.txt", "--server", url]) == 1
    assert "not this daemon" in capsys.readouterr().err
    assert not (tmp_path / "removed.txt").exists()


@pytest.mark.parametrize(
    "nested", [b"[" * 200_000, b'{"a":' * 200_000, b'{"a": "\xff"}', b"\x00", b""]
)
def test_what_is_no_json_is_no_daemon(nested: bytes) -> None:
    """Deep nesting and bytes that are no text are answered like any other stranger."""
    with server(lambda _path: (200, nested)) as url, pytest.raises(NoDaemon):
        ask(url, "/api/v1/status")


@pytest.mark.parametrize("depth", [80, 400, 700, 900, 990, 1100])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_an_answer_nested_deeply_is_told_in_a_sentence(
    brackets: tuple[bytes, bytes], depth: int
) -> None:
    """JSON that can just be read is not deeper than what is done with it."""
    begin, end = brackets
    body = b'{"api":1,"a":' + begin * depth + b"1" + end * depth + b"}"
    with server(lambda _path: (200, body)) as url, pytest.raises((DaemonError, NoDaemon)):
        ask(url, "/api/v1/status")


def test_an_answer_without_end_is_left() -> None:
    """An answer is read up to its bound and no further."""
    with (
        server(lambda _path: (200, b'{"a": "' + b"x" * 3_000_000)) as url,
        pytest.raises(NoDaemon, match="longer"),
    ):
        ask(url, "/api/v1/status", largest=1_000_000)


def test_an_answer_that_drips_is_left() -> None:
    """The time limit is for the whole answer, not for each piece of it."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not stop.is_set():
                self.wfile.write(b" ")
                stop.wait(0.02)

        def log_message(self, *_arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        with pytest.raises(NoDaemon, match="took too long"):
            ask(f"http://127.0.0.1:{httpd.server_address[1]}", "/api/v1/status", seconds=0.3)
    finally:
        stop.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@pytest.mark.parametrize(
    "address",
    [
        "http://me:open-sesame@127.0.0.1:1",
        "https://open-sesame@h/",
        "http://a:b:open-sesame@h",
        "me:open-sesame@h:8080",
        "http://[me:open-sesame@h",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    """An address is printed wherever it is asked, so no secret belongs in it."""
    with pytest.raises(DaemonError) as told:
        ask(address, "/api/v1/status")
    assert "open-sesame" not in str(told.value)
