"""Searches everything that the program writes during the tests for every secret that it was given.

A plugin of pytest. It listens where secrets come into being and where the program writes, and after each test looks for
the ones in the other. No test has to do anything for it, and nothing that is tested behaves differently.

What is not searched: what the program sends to LG and what a simulator's user is told, because that is where secrets
belong; and tests that hand a secret out on purpose and say why: ``@pytest.mark.shows_secrets("why")``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from asyncio.subprocess import SubprocessStreamProtocol
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from structlog.testing import LogCapture

from reconciler.core.errors import PlatformError, ReconcilerError
from reconciler.pcc.checks import SHORTEST
from reconciler.simulator.world import User, World
from reconciler.telemetry.logs import _Lines
from reconciler.telemetry.masking import MASK, Masking

MARKER = "shows_secrets"
CONTEXT = 60
"""How many bytes before and after a secret are shown."""

GIVEN = (
    "_ACCESS_TOKEN",
    "_REFRESH_TOKEN",
    "_SERVICE_KEY",
    "_SERVICE_ID",
    "_WEBHOOK_SECRET",
    "_LISTEN_TOKEN",
)
"""Ends of the variables by which a child process is given a secret."""

PLENTY_OF_SECRETS: Mapping[str, int] = {
    "a SecretStr": 300,
    "the masking's secrets": 500,
    "the simulator": 1000,
    "a child's environment": 20,
}
PLENTY_OF_BYTES: Mapping[str, int] = {
    "an event of the log": 200_000,
    "a line of the log": 4_000,
    "the terminal": 60_000,
    "a child process": 50_000,
    "an answer over HTTP": 400_000,
    "the state": 10_000_000,
    "an error": 100_000,
}
"""Where secrets come from and where they might show up, and how much the whole suite has of each at least: a search
that finds nothing because it hears nothing must not look like a good one."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret that was written: where it came from, where it was written, and what stood around it."""

    source: str
    sink: str
    around: str

    def __str__(self) -> str:
        return f"{self.sink} shows a secret of {self.source}: …{self.around}…"


class Scan:
    """What one test was given and what it wrote. Secrets from before the first test belong to every test."""

    def __init__(self) -> None:
        self.lasting: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.learnt: set[tuple[str, str]] = set()
        self.written: list[tuple[str, bytes]] = []
        self.states: set[Path] = set()
        self.all_secrets: Counter[str] = Counter()
        self.all_bytes: Counter[str] = Counter()

    def learn(self, source: str, secrets: Iterable[object]) -> None:
        """Take secrets. What is too short to be one is refused as a setting, so nobody has it."""
        for secret in secrets:
            if (
                isinstance(secret, str)
                and len(secret) >= SHORTEST
                and (source, secret) not in self.learnt
            ):
                self.secrets.setdefault(secret, source)
                self.learnt.add((source, secret))
                self.all_secrets[source] += 1

    def hear(self, sink: str, *written: object) -> None:
        """Take what was written."""
        for one in written:
            data = one if isinstance(one, bytes) else str(one).encode(errors="backslashreplace")
            if data:
                self.written.append((sink, data))
                self.all_bytes[sink] += len(data)

    def take_states(self, inside: Path | None = None) -> None:
        """Take the files of the states that were opened, all or those inside a folder, as far as they are there."""
        for path in sorted(self.states):
            if inside is None or path.is_relative_to(inside):
                self.states.discard(path)
                for file in (
                    path,
                    *(path.with_name(path.name + end) for end in ("-wal", "-journal")),
                ):
                    with suppress(OSError):
                        self.hear("the state", file.read_bytes())

    def leaks(self) -> list[Leak]:
        """Return what was written and should not have been, and forget what belongs to this test."""
        self.take_states()
        known = {
            spelt: source
            for one, source in (self.lasting | self.secrets).items()
            for spelt in _spellings(one)
        }
        found = [
            Leak(source, sink, _around(data, spelt))
            for sink, data in self.written
            for spelt, source in known.items()
            if spelt in data
        ]
        self.forget()
        return found

    def forget(self) -> None:
        """Begin anew."""
        self.secrets.clear()
        self.learnt.clear()
        self.written.clear()
        self.states.clear()

    def keep(self) -> None:
        """Let the secrets of this moment belong to every test."""
        self.lasting |= self.secrets

    def too_little(self) -> Iterator[str]:
        """Yield what the whole suite should have had more of, had this been listening."""
        for name, least in PLENTY_OF_SECRETS.items():
            if self.all_secrets[name] < least:
                yield f"{self.all_secrets[name]} secrets of {name}; there should be {least} and more"
        for name, least in PLENTY_OF_BYTES.items():
            if self.all_bytes[name] < least:
                yield f"{self.all_bytes[name]} bytes of {name}; there should be {least} and more"


class SecretsScan:
    """The plugin. ``install`` is for a process's whole life."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self._ran = self._collected = 0
        self._silent: list[str] = []

    def install(self) -> None:
        """Begin to listen."""
        _listen_for_secrets(self.scan)
        _listen_for_words(self.scan)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Name the marker."""
        config.addinivalue_line("markers", f"{MARKER}(why): hands a secret out on purpose")

    def pytest_collection_finish(self) -> None:
        """Keep what modules made when they were imported: it is there for every test."""
        self.scan.keep()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Search at the end of each test, and let it fail for what is found."""
        report = yield
        if call.when != "teardown":
            return report
        self._ran += 1
        self.scan.hear(
            "the terminal",
            *(text for name, text in report.sections if name.startswith("Captured std")),
        )
        why = [marker.args[0] for marker in item.iter_markers(MARKER)]
        leaks = sorted(set(map(str, self.scan.leaks())))
        if leaks and not why:
            report.outcome = "failed"
            report.longrepr = "\n".join(leaks)
        return report

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a process heard that ran a part of the tests."""
        heard = node.workeroutput.get(MARKER)  # nothing if it was killed
        if heard is not None:
            self._ran += heard["ran"]
            self._collected = max(self._collected, heard["collected"])
            self.scan.all_secrets.update(heard["secrets"])
            self.scan.all_bytes.update(heard["bytes"])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a session of the whole suite fail in which little was heard."""
        self._collected = self._collected or session.testscollected
        report: dict[str, object] | None = getattr(session.config, "workeroutput", None)
        if report is not None:  # this process runs a part of the tests for another one
            report[MARKER] = {
                "ran": self._ran,
                "collected": self._collected,
                "secrets": dict(self.scan.all_secrets),
                "bytes": dict(self.scan.all_bytes),
            }
        elif self._ran == self._collected and _is_whole(session.config):
            self._silent = list(self.scan.too_little())
            if self._silent:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how much was searched for how many secrets; one that comes from two places counts twice."""
        secrets, written = self.scan.all_secrets, self.scan.all_bytes
        terminalreporter.write_line(
            f"searched {written.total() / 1e6:.1f} MB of output for {secrets.total()} secrets"
        )
        if terminalreporter.verbosity > 0:
            for name, count in (secrets + written).most_common():
                terminalreporter.write_line(
                    f"{count:>12,} {'secrets' if name in secrets else 'bytes'} of {name}"
                )
        for line in self._silent:
            terminalreporter.write_line(f"secrets_scan.py heard only {line}", red=True)


def _is_whole(config: pytest.Config) -> bool:
    chosen = (
        config.option.keyword
        or config.option.collectonly
        or config.getoption("lf", default=False)
        or config.option.maxfail
    )
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen


def _listen_for_secrets(scan: Scan) -> None:
    _after(
        SecretStr,
        "__init__",
        lambda _, secret, *_args: scan.learn("a SecretStr", [secret.get_secret_value()]),
    )
    _after(
        Masking,
        "know",
        lambda _, masking, *_a: scan.learn("the masking's secrets", masking._lasting),
    )
    _after(
        Masking,
        "renew",
        lambda _, it, owner, *_a: scan.learn("the masking's secrets", it._renewed[owner][-1]),
    )
    _after(
        World,
        "__init__",
        lambda _, world, *_a: scan.learn("the simulator", [world.service.key, world.service.id]),
    )
    _after(User, "__init__", lambda _, user, *_a: scan.learn("the simulator", [user.refresh_token]))
    for name in ("issue", "rotate_refresh"):
        _after(World, name, lambda token, *_: scan.learn("the simulator", [token]))


def _listen_for_words(scan: Scan) -> None:
    for name in ("msg", "debug", "info", "warning", "error", "critical", "exception"):
        _before(_Lines, name, lambda _, line: scan.hear("a line of the log", line))
    _before(
        LogCapture,
        "__call__",
        lambda _, _logger, _method, event: scan.hear("an event of the log", _told(event)),
    )
    _before(ReconcilerError, "__init__", lambda _, *words: scan.hear("an error", *words))
    _after(PlatformError, "__init__", lambda _, error, *_a: scan.hear("an error", error.words))
    _after(
        pytest.CaptureFixture,
        "readouterr",
        lambda said, _: scan.hear("the terminal", said.out, said.err),
    )
    _before(
        SubprocessStreamProtocol,
        "pipe_data_received",
        lambda _, _fd, data: scan.hear("a child process", data),
    )
    _after(
        subprocess.Popen,
        "communicate",
        lambda said, one, *_: scan.hear("a child process", *_of_child(one, said)),
    )
    _listen_to_answers(scan)
    sys.addaudithook(lambda event, args: _on_audit(scan, event, args))


def _listen_to_answers(scan: Scan) -> None:
    """Hear all that our own HTTP surface sends; the simulator is another kind of app."""
    serve = Starlette.__call__

    @wraps(serve)
    async def serving(self: Starlette, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            headers = [value for _, value in message.get("headers", ())]
            scan.hear("an answer over HTTP", message.get("body", b""), *headers)
            await send(message)

        await serve(self, scope, receive, sending)

    setattr(Starlette, serve.__name__, serving)


def _on_audit(scan: Scan, event: str, args: tuple[Any, ...]) -> None:
    """Hear of databases, of folders that go with one in them, and of what children are given."""
    if event == "sqlite3.connect":
        name = str(args[0])
        scan.states.add(
            Path(unquote(urlsplit(name).path))
            if name.startswith("file:")
            else Path(name).absolute()
        )
    elif event == "shutil.rmtree":
        scan.take_states(Path(args[0]))
    elif event == "subprocess.Popen" and args[3] is not None:
        given = {str(name): value for name, value in dict(args[3]).items()}
        scan.learn(
            "a child's environment",
            [value for name, value in given.items() if name.endswith(GIVEN)],
        )


def _before(owner: type, name: str, hear: Callable[..., None]) -> None:
    """Let ``hear`` have the arguments of each call, before it is made as ever."""
    made = getattr(owner, name)

    @wraps(made)
    def heard(*args: Any, **more: Any) -> Any:
        hear(*args)
        return made(*args, **more)

    setattr(owner, name, heard)


def _after(owner: type, name: str, hear: Callable[..., None]) -> None:
    """Let ``hear`` have the result and the arguments of each call, after it was made as ever."""
    made = getattr(owner, name)

    @wraps(made)
    def heard(*args: Any, **more: Any) -> Any:
        result = made(*args, **more)
        hear(result, *args)
        return result

    setattr(owner, name, heard)


def _of_child(child: subprocess.Popen[Any], said: tuple[object, object]) -> Iterator[object]:
    """Yield what a command said, but for a simulator: its secrets are made up, and its user has to have them."""
    if "simulate" not in (child.args if isinstance(child.args, list | tuple) else ()):
        yield from (one for one in said if one is not None)


def _told(event: Mapping[str, object]) -> str:
    """Return an event as it would be printed were there no masking."""
    error = sys.exception() if event.get("exc_info") is True else event.get("exc_info")
    return json.dumps({**event, "exc_info": _words(error)}, default=str, skipkeys=True)


def _words(error: object) -> str:
    """Return what an error and all that led to it say; a traceback would also quote the lines of a test."""
    return (
        f"{error} {_words(error.__cause__ or error.__context__)}"
        if isinstance(error, BaseException)
        else ""
    )


def _spellings(secret: str) -> set[bytes]:
    """Return a secret as it is, in JSON, as Python shows it, and as it stands in an address."""
    spelt = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}
    return {one.encode(errors="backslashreplace") for one in spelt}


def _around(data: bytes, spelt: bytes) -> str:
    at = data.index(spelt)
    masked = data[max(at - CONTEXT, 0) : at + len(spelt) + CONTEXT].replace(spelt, MASK.encode())
    return " ".join(masked.decode(errors="replace").split())
