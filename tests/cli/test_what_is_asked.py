"""What each command asks of the daemon: every option reaches it, with the right token, and nobody else is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import typer

from prompts import Shell
from reconciler import cli
from reconciler.cli.status import myself

ACT, READ = "a-token-for-acting-9000", "a-token-for-reading-9000"
ELSEWHERE = "http://pcc.test:8080"
"""A daemon over a network that others can read. It is reached through a proxy, which is the listener of the test."""
FILE = b'version = 1\nenvironment = "production"\n[accounts.hotel]\ndevices = ["abcdefgh"]\n'
RULES = b"""
version = 1
[accounts.hotel]
locked = "locks/hotel.txt"
[[accounts.hotel.rules]]
name = "ovens"
type = ["oven"]
"""


@dataclass(frozen=True)
class Asked:
    """One request: whether it acts, its path, its query, its body, and the token that it shows."""

    path: str
    query: dict[str, str]
    body: Any
    token: str | None


@dataclass
class Listener:
    """What is there in place of a daemon. It refuses everything, and keeps what it was asked."""

    address: str
    asked: list[Asked] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Give what listens."""

    class Handler(BaseHTTPRequestHandler):
        """Refuses in the words of a daemon."""

        def do_GET(self) -> None:
            """Keep the request, and refuse it."""
            length = int(self.headers.get("content-length", 0))
            content = self.rfile.read(length)
            parts = urlsplit(self.path)
            shown = self.headers.get("authorization")
            token = None if shown is None else shown.removeprefix("Bearer ")
            body = json.loads(content) if content else None
            kept.asked.append(Asked(parts.path, dict(parse_qsl(parts.query)), body, token))
            words = json.dumps({"error": "refused by the test"}).encode()
            self.send_response(409)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

        def do_POST(self) -> None:
            """Keep a command in the same way."""
            self.do_GET()

        def log_message(self, *_words: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept = Listener(f"127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        server.shutdown()


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """Give a prompt in a folder of the test's own, with a desired state and nobody who answers by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    monkeypatch.setenv("PCC_STATE_DIR", str(tmp_path / "state"))
    Path("desired-state.toml").write_bytes(FILE)
    Path("ruled.toml").write_bytes(RULES)
    return Shell(capsys)


HISTORY = {
    "account": "hotel",
    "device": "abcdefgh",
    "since": "2026-11-24T10:00:00Z",
    "until": "2026-11-25T10:00:00Z",
    "action": "subscribe",
    "result": "refused",
    "author": "mina",
    "revision": "4f2a91c",
    "limit": "7",
}
READING = [
    (("status",), "status", {}),
    (("status", "--refused"), "status", {}),
    (("status", "--account", "hotel", "--all", "-o", "wide"), "status", {}),
    (("status", "--wait", "--timeout", "0s"), "status", {}),
    (
        ("status", "--wait", "--revision", "4F2A91C", "--timeout", "0s"),
        "status",
        {"revision": "4f2a91c"},
    ),
    (("explain", "abcdefgh"), "devices", {"device": "abcdefgh"}),
    (
        ("explain", "abcdefgh", "--account", "hotel", "-o", "json"),
        "devices",
        {"device": "abcdefgh", "account": "hotel"},
    ),
    (
        ("devices", "--account", "hotel", "--name", "oven", "--limit", "7", "--state", "held"),
        "device-states",
        {"account": "hotel", "name": "oven", "limit": "7", "state": "held"},
    ),
    (
        ("devices", "--state", "held,refused", "-o", "json"),
        "device-states",
        {"limit": "1000", "state": "held,refused"},
    ),
    (
        ("devices", "--account", "hotel"),
        "device-states",
        {"account": "hotel", "limit": "20", "state": "held,refused,missing,extra,unknown"},
    ),
    (
        ("devices", "-o", "json"),
        "device-states",
        {"limit": "1000", "state": "held,refused,missing,extra,unknown"},
    ),
    (
        ("history", *(word for key, value in HISTORY.items() for word in (f"--{key}", value))),
        "history",
        HISTORY,
    ),
    (("resolve", "ruled.toml"), "registry", {"account": "hotel"}),
]
PAUSE = {"for": "2h", "reason": "stock-taking", "set_by": myself()}
WORDS = ("--for", "2h", "--reason", "stock-taking")
ACTING = [
    (("reconcile",), "reconcile", {}, {}),
    (("reconcile", "hotel"), "reconcile", {"account": "hotel"}, {}),
    (("pause", *WORDS), "pause", {}, {**PAUSE, "pause": "all"}),
    (
        ("pause", "hotel", *WORDS, "--unsubscribes-only"),
        "pause",
        {},
        {**PAUSE, "pause": "unsubscribe", "account": "hotel"},
    ),
    (("resume",), "pause", {}, {"pause": "none"}),
    (("resume", "hotel"), "pause", {}, {"pause": "none", "account": "hotel"}),
    (("open", "office", *WORDS), "open", {}, {**PAUSE, "window": "office"}),
    (("close", "office"), "close", {}, {"window": "office"}),
]
PLANS = [
    ((), {"accounts": [], "show": "text", "approval": None}),
    (
        ("--account", "hotel", "--account", "school", "-o", "markdown", "--longest", "5000"),
        {"accounts": ["hotel", "school"], "show": "markdown", "approval": None, "longest": 5000},
    ),
    (
        ("-o", "json", "--approval", "removed/wing-b.txt"),
        {"accounts": [], "show": "none", "approval": "removed/wing-b.txt"},
    ),
    (("-o", "wide", "--full-ids"), {"accounts": [], "show": "text", "approval": None}),
]

LONG = {"-o": "--output"}
OURS = {
    "devices": {"--all", "--full-ids", "--watch"},
    "explain": set(),
    "history": {"--full-ids", "--output", "--timezone"},
    "plan": {"--detailed-exitcode"},
    "resolve": {"--account", "--check", "--prune"},
    "status": {"--full-ids", "--watch"},
}
"""The options that choose or show here what a daemon answers, and are no part of the question."""


def test_every_option_beside_a_server_has_a_row_here() -> None:
    """A new option of a command that asks a daemon is in one of the tables, or is known to stay here."""
    rows = [one[0] for one in READING] + [one[0] for one in ACTING]
    rows += [("plan", *words) for words, _ in PLANS]
    group = typer.main.get_command(cli.app)
    assert isinstance(group, typer.core.TyperGroup)
    seen = set()
    for name, command in group.commands.items():
        options = {max(one.opts, key=len) for one in command.params if one.opts[0][:1] == "-"}
        if "--server" not in options:
            continue
        seen.add(name)
        words = {word for row in rows if row[0] == name for word in row}
        given = options & {LONG.get(word, word) for word in words}
        unasked = options - given - {"--server", "--env-file", "--help"}
        assert unasked == OURS.get(name, set()), name
    assert seen == {row[0] for row in rows}


@pytest.mark.parametrize(("words", "path", "query"), READING)
def test_a_question_reaches_the_daemon_with_every_option(
    shell: Shell,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: tuple[str, ...],
    path: str,
    query: dict[str, str],
) -> None:
    """The daemon that a person names is asked in place of that of the settings, with the token for reading."""
    monkeypatch.setenv("PCC_LISTEN_TOKEN", ACT)
    monkeypatch.setenv("PCC_READ_TOKEN", READ)
    ended = shell(*words, "--server", f"http://{listener.address}")
    assert (ended.code, "refused by the test" in ended.err) == (1, True)
    assert listener.asked == [Asked(f"/api/v1/{path}", query, None, READ)]


@pytest.mark.parametrize(("words", "path", "query", "body"), ACTING)
def test_a_command_reaches_the_daemon_with_every_option(
    shell: Shell,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    *,
    words: tuple[str, ...],
    path: str,
    query: dict[str, str],
    body: dict[str, str],
) -> None:
    """The daemon that a person names is asked in place of that of the settings, with the token for acting."""
    monkeypatch.setenv("PCC_LISTEN_TOKEN", ACT)
    monkeypatch.setenv("PCC_READ_TOKEN", READ)
    ended = shell(*words, "--server", f"http://{listener.address}")
    assert (ended.code, "refused by the test" in ended.err) == (1, True)
    assert listener.asked == [Asked(f"/api/v1/{path}", query, body, ACT)]


@pytest.mark.parametrize(("words", "body"), PLANS)
def test_a_plan_reaches_the_daemon_with_every_option(
    shell: Shell, listener: Listener, words: tuple[str, ...], body: dict[str, object]
) -> None:
    """It is sent the files of the path, by their names, and what a person wants to see of their plan."""
    ended = shell("plan", "desired-state.toml", *words, "--server", f"http://{listener.address}")
    assert (ended.code, "refused by the test" in ended.err) == (1, True)
    (asked,) = listener.asked
    room = asked.body.pop("screen", {})
    files = {"documents": ["desired-state.toml"], "files": {"desired-state.toml": FILE.decode()}}
    assert asked == Asked("/api/v1/plan", {}, body | files, None)
    assert (room["wide"], room["full_ids"]) == ("wide" in words, "--full-ids" in words)


@pytest.mark.parametrize("words", [one[0] for one in (*READING, *ACTING)])
def test_an_env_file_says_whom_a_command_asks(
    shell: Shell, listener: Listener, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Address and token of the file are used by each command that takes the option."""
    monkeypatch.delenv("PCC_LISTEN")
    Path("pcc.env").write_text(f"PCC_LISTEN={listener.address}\nPCC_READ_TOKEN={READ}\n")
    if words[0] == "resolve":
        words = (*words, "--server", f"http://{listener.address}")
    assert shell(*words, "--env-file", "pcc.env").code == 1
    assert [one.token for one in listener.asked] == [READ]


@pytest.mark.parametrize("words", [one[0] for one in READING])
def test_no_question_takes_the_acting_token_over_a_readable_network(
    shell: Shell, listener: Listener, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A question is asked without one there, though the daemon of the settings is on this machine."""
    monkeypatch.setenv("PCC_LISTEN_TOKEN", ACT)
    monkeypatch.setenv("http_proxy", f"http://{listener.address}")
    shell(*words, "--server", ELSEWHERE)
    assert [one.token for one in listener.asked] == [None]


@pytest.mark.parametrize("words", [one[0] for one in ACTING])
def test_no_command_that_acts_goes_over_a_readable_network_with_its_token(
    shell: Shell, listener: Listener, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Nothing is sent at all, and a person hears why."""
    monkeypatch.setenv("PCC_LISTEN_TOKEN", ACT)
    monkeypatch.setenv("http_proxy", f"http://{listener.address}")
    ended = shell(*words, "--server", ELSEWHERE)
    assert (ended.code, listener.asked) == (1, [])
    assert "the token would cross the network readable" in ended.err


def test_a_plan_of_another_environment_is_not_sent(
    shell: Shell, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word of the settings is compared with the one of the files before anybody is asked."""
    monkeypatch.setenv("PCC_ENVIRONMENT", "trial")
    ended = shell("plan", "desired-state.toml", "--server", f"http://{listener.address}")
    assert (ended.code, listener.asked) == (1, [])
    assert "another environment than 'trial'" in ended.err
