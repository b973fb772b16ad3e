"""What the documents tell people to type is typed here, and what they show is read as what it is.

Every command of README.md and docs/ is either run (in the walks, or by its own), or run by a test that is named in
``RUN_BY``, or stands in ``NOT_RUN`` with the reason why it cannot be. A table's line that fits nothing fails.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
import structlog
import typer
import yaml

from documents import ROOT, metrics, receiver_metrics
from lock_files import lock_file
from log_events import events_in_code
from postgres import Postgres
from reconciler import cli
from reconciler.events.logic_reading import read_logic
from reconciler.pcc.codes import CODES
from reconciler.runtime import settings_table
from reconciler.runtime.clock import SystemClock
from reconciler.simulator import Callbacks, Sender, Target
from reconciler.source import FileSource, load_fetched
from reconciler.state.postgres.storage import PostgresStorage
from reconciler.state.sqlite.tables import MIGRATIONS
from scenarios import (
    DEADLINE_SECONDS,
    child_environment,
    credentials_folder,
    environment,
    fleet,
    free_port,
    owned,
    write,
)
from served import served

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "deploy/helm/README.md",
]
PROGRAM = "pcc-reconciler"
PROGRAMS = (
    *(
        PROGRAM,
        "make",
        "kubectl",
        "git",
        "curl",
        "python",
        "python3",
        "promtool",
        "gpg",
        "sed",
        "ssh-keyscan",
    ),
    *(
        "systemctl",
        "journalctl",
        "systemd-analyze",
        "docker",
        "helm",
        "flux",
        "sudo",
        "install",
        "useradd",
    ),
    *("uvx", "pipx", "cosign", "gh"),
)
ASIDE = re.compile(r"\s+#\s.*$")
SETTING = re.compile(r"(PCC_\w+)=\S*")


@dataclass(frozen=True)
class Snippet:
    """A fenced block: where it begins, its language, and what is in it."""

    document: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """Something to type, as the document has it but for a remark at its end."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        """Say where it stands."""
        return f"{self.document}:{self.line}: {self.text}"


def read(path: Path) -> str:
    """Return a document."""
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    """Return a document's path in the project."""
    return path.relative_to(ROOT).as_posix()


FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def snippets(path: Path) -> list[Snippet]:
    """Return the fenced blocks of a document, without the indentation of the fence."""
    text = read(path)
    return [
        Snippet(
            name_of(path),
            text[: found.start()].count("\n") + 2,
            found[2],
            re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )
        for found in FENCE.finditer(text)
    ]


SNIPPETS = [one for path in DOCUMENTS for one in snippets(path)]


def typed(snippet: Snippet) -> Iterator[Command]:
    """Yield the commands of a block; lines that only give settings their values are none."""
    lines = snippet.text.replace("\\\n", " " * 2).splitlines()
    for number, line in enumerate(lines):
        command = ASIDE.sub("", line).strip()
        match snippet.language:
            case "sh" if command and not command.startswith("#") and not SETTING.fullmatch(command):
                yield Command(snippet.document, snippet.line + number, command)
            case "console" if line.startswith("$ "):
                yield Command(snippet.document, snippet.line + number, command.removeprefix("$ "))
            case "yaml" if found := re.match(
                r"\s*- (?:run: )?((?:pipx|gh|pip|pcc-reconciler) .*)", line
            ):
                yield Command(snippet.document, snippet.line + number, ASIDE.sub("", found[1]))


def mentioned(path: Path) -> Iterator[Command]:
    """Yield the commands that stand between backticks, or indented, in what is not fenced."""
    text = FENCE.sub(lambda found: "\n" * found[0].count("\n"), read(path))
    places = [
        *re.finditer(r"(?<!`)`([^`\n]+)`(?!`)", text),
        *re.finditer(r"^ {4,}(pcc-reconciler .*)$", text, re.MULTILINE),
    ]
    for found in places:
        words = [word for word in found[1].split() if not SETTING.fullmatch(word)]
        if len(words) > 1 and words[0] in PROGRAMS:
            yield Command(name_of(path), text[: found.start()].count("\n") + 1, found[1].strip())


MENTIONED = [one for path in DOCUMENTS for one in mentioned(path)]
COMMANDS = [*(command for snippet in SNIPPETS for command in typed(snippet)), *MENTIONED]

WALKED = {"docs/getting-started.md", "docs/upgrade.md"}
"""Whose blocks are run as they stand, one after the other, by ``test_the_way_into_production_can_be_walked``."""

RUN_BY = {
    (
        r".*",
        r"pcc-reconciler (open NAME --for 1h --reason TEXT|close( NAME)?)",
    ): "test_commands.py::test_a_window_holds_until_it_opens_and_a_command_opens_it",
    (
        r"docs/terminal\.md",
        r"pcc-reconciler .*",
    ): "test_terminal.py::test_every_command_fits_into_80_columns",
    (
        r"docs/cli\.md",
        r"pcc-reconciler .*--help",
    ): "test_cli.py::test_the_reference_quotes_the_help_of_each_command",
    (
        r".*",
        r"(PCC_\w+=\S+ )*pcc-reconciler receive( .*)?",
    ): "test_receiving.py::test_what_was_answered_is_there_after_a_kill",
    (
        r".*",
        r"(PCC_EVENTS_DIR=\S+ )?pcc-reconciler events( .*)?",
    ): "test_events.py::test_the_list_is_newest_first_and_can_be_narrowed",
    (r".*", r"pcc-reconciler import( .*)?"): (
        "test_spreadsheet.py::test_the_command_prints_the_file_and_its_numbers"
    ),
    (r".*", r"pcc-reconciler --show-completion .*"): (
        "test_cli.py::test_the_completion_script_of_a_named_shell_is_printed"
    ),
    (r".*", r"python -m reconciler"): "test_cli.py::test_python_m_does_the_same",
    (
        r"docs/explain\.md",
        r"pcc-reconciler explain [0-9a-f]+x?",
    ): "test_docs.py::test_generated_sections_are_current",
    (
        r".*",
        r"pcc-reconciler run( --env-file pcc\.env)?",
    ): "test_process.py::test_killed_in_the_middle_it_goes_on",
    (
        r".*",
        r"pcc-reconciler (demo|simulate( .*)?)|make demo",
    ): "test_demo.py::test_demo_shows_the_main_job",
    (r"docs/gitops\.md", r"pcc-reconciler validate --against REV"): "test_diff.py",
    (
        r".*",
        r"helm (install|upgrade) .*",
    ): "test_helm.py::test_the_commands_of_the_documents_render",
    (
        r".*",
        r"promtool test rules .*",
    ): "test_alerts.py::test_every_alert_fires_when_it_should_and_only_then",
    (
        r"docs/(api|simulator)\.md",
        r"(SIM=|curl ).*",
    ): "test_documents.py::test_what_is_asked_with_curl_is_answered",
}
"""Document, command, and the test that runs it."""

NOT_RUN = {
    r"([A-Z_]+=\d+ )?make (?!demo).*": "is what runs the tests, or writes files here; .ci/run starts with make",
    r"python3 -m venv .*|\. \.venv/bin/activate": "test_packaging.py has them",
    r"(build/host/bin/)?pip (install|wheel) .*": "fetches packages; test_packaging.py has them",
    r"python -c pass": "is what starts are measured against",
    r"pcc-reconciler (pause|explain|open)": "is the command's name: to run, it wants to be told more",
    r"helm (test|uninstall)( .*)?": "needs a cluster; test_helm.py renders what it would run",
    r"kubectl .*": "needs a cluster; what it applies is rendered and checked by test_kubernetes.py",
    r"(systemctl|journalctl|install) .*|python3 -m venv /opt.*|/opt/.*/pip install .*": "needs root, and systemd",
    r"docker .*": "needs Docker; test_deploy.py runs what compose does without it",
    r"git clone .*|cd .*|(uvx|pipx) .*": "needs the repository at its address; make ways runs it from a clone",
    r"gh .*": "is for a forge",
    r"sha256sum .*|cat dist/SHA256SUMS": "needs the files of a release; test_release.py checks their checksums",
    r"helm .*": "needs a cluster",
    r"(ssh-keyscan|git ls-remote)( .*)?": "needs a forge",
    r"git (config|commit -S|rm|add|push|tag|-c)( .*)?": "is a person's or a job's own git; test_git.py signs commits",
    r"(gpg|echo \"FINGERPRINT).*": "needs a person's key; test_git.py does it with keys of its own",
    r"sed -i 's#https://(?:runbooks|pcc)\..*": "changes a copy; test_prometheus.py checks the links",
}
"""Commands that are run by no test, and why."""


def of_program(command: str) -> list[str] | None:
    """Return what follows the program's name in a command, up to where the shell goes on by itself; else nothing."""
    words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "X", command))
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words.pop(0)
    if words[:1] != [PROGRAM]:
        return None
    ends = [
        number for number, word in enumerate(words) if re.fullmatch(r"[|&;]+|\d?>{1,2}.*", word)
    ]
    return words[1 : min(ends, default=len(words))]


def run_here(command: Command) -> bool:
    """Tell whether a command is run on its own: it is ours, is not in a walk, and the tables do not name it."""
    return of_program(command.text) is not None and command not in walked() and not excused(command)


def walked() -> list[Command]:
    """Return the commands of the blocks that are run as they stand."""
    return [one for snippet in SNIPPETS if snippet.document in WALKED for one in typed(snippet)]


def excused(command: Command) -> str:
    """Return what the tables say of a command, or nothing."""
    for (document, pattern), test in RUN_BY.items():
        if re.fullmatch(document, command.document) and re.fullmatch(pattern, command.text):
            return test
    return next(
        (reason for pattern, reason in NOT_RUN.items() if re.fullmatch(pattern, command.text)), ""
    )


def test_every_command_is_run_or_carries_a_reason() -> None:
    """Each command is run here or by a test that is there, or cannot be run, for a reason; no line is superfluous."""
    homeless = [
        str(one)
        for one in COMMANDS
        if one not in walked() and not run_here(one) and not excused(one)
    ]
    assert homeless == []
    for (document, pattern), test in RUN_BY.items():
        assert any(
            re.fullmatch(document, one.document) and re.fullmatch(pattern, one.text)
            for one in COMMANDS
        ), pattern
        file, _, name = test.partition("::")
        (path,) = (ROOT / "tests").rglob(file)
        assert not name or f"def {name}(" in read(path), test
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, one.text) for one in COMMANDS), pattern


def test_every_command_of_the_program_has_only_options_that_there_are() -> None:
    """Wherever a command of ours is named, also where it cannot be run, it and its options are the program's."""
    program = typer.main.get_command(cli.app)
    assert hasattr(program, "commands")
    seen = 0
    for command in COMMANDS:
        words = of_program(command.text)
        if not words or words[0].startswith("-"):
            continue
        name, *rest = words
        assert name in program.commands, command
        found = program.commands[name]
        under = getattr(found, "commands", {})
        if under and rest and not rest[0].startswith("-"):
            assert rest[0] in under, command
            found = under[rest.pop(0)]
        known = {option for one in found.params for option in one.opts} | {"--help", "-h"}
        assert {word for word in rest if word.startswith("-")} <= known, command
        seen += 1
    assert seen > len(program.commands)


def test_targets_of_make_are_there() -> None:
    """Each target that a document names is one of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    named = {
        word
        for one in COMMANDS
        if one.text.startswith("make ")
        for word in one.text.split()[1:]
        if "=" not in word
    }
    assert named
    assert named <= targets


# ---------------------------------------------------------------------------------------------------------------------
# The walk

WAITS = {
    f"{PROGRAM} simulate": ("/_sim", "SIMULATOR"),
    f"{PROGRAM} run": ("/readyz", "DAEMON"),
}
"""After a command that goes on in the background, what has to answer before a person would type the next one."""
EXIT_CODES = {("docs/getting-started.md", f"{PROGRAM} doctor --env-file pcc.env"): 1}
"""Of commands in a walk that do not end with 0; the document says why."""
WAIT_FOR = """
import sys, time, urllib.request
for _ in range(1000):
    try:
        urllib.request.urlopen(sys.argv[1])
        break
    except OSError:
        time.sleep(0.05)
else:
    sys.exit(f"nothing answers at {sys.argv[1]}")
"""


def script(document: str) -> str:
    """Return the blocks of a document as one script, each line said before it is run."""
    lines = ["set -euo pipefail", "set -v"]
    for snippet in SNIPPETS:
        if snippet.document != document or snippet.language != "sh":
            continue
        for command in typed(snippet):
            line = re.sub(
                rf"({PROGRAM} simulate)", r'\1 --listen "${SIMULATOR#http://}"', command.text
            )
            code = EXIT_CODES.get((document, command.text), 0)
            lines.append(f"{{ {line}; }} || test $? = {code}" if code else line)
            if command.text.endswith("&"):
                path, address = next(
                    place for begin, place in WAITS.items() if command.text.startswith(begin)
                )
                lines.append(f'wait-for "${address}{path}"')
    return "\n".join(lines) + "\n"


def walk(folder: Path, given: dict[str, str], *documents: str) -> str:
    """Run the blocks of these documents in one shell, as one person would, and return all that was printed."""
    binaries = folder.parent / "bin"
    binaries.mkdir()
    write(binaries / PROGRAM, f'#!/bin/sh\nexec "{sys.executable}" -m reconciler "$@"\n')
    write(binaries / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    write(binaries / "wait-for", f"#!{sys.executable}\n{WAIT_FOR}")
    for file in binaries.iterdir():
        file.chmod(0o700)
    environment = child_environment(
        {
            **given,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
    )
    text = "".join(map(script, documents)) + "kill $(jobs -p) && wait || true\n"
    with subprocess.Popen(  # noqa: S603 - the documents are ours
        ["/bin/bash", "-c", text],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, _ = shell.communicate(timeout=3 * DEADLINE_SECONDS)
        finally:
            end_group(shell.pid)
    assert shell.returncode == 0, said
    return said


def end_group(leader: int) -> None:
    """End whatever a shell has left running."""
    try:
        os.killpg(leader, 9)
    except ProcessLookupError:
        return


def test_the_way_into_production_can_be_walked(tmp_path: Path) -> None:
    """From the doctor to enforcing, and on to a backup: every block works, and ends where the document says."""
    folder = tmp_path / "walk"
    folder.mkdir()
    simulator, daemon = (f"127.0.0.1:{free_port()}" for _ in range(2))
    given = {"SIMULATOR": f"http://{simulator}", "DAEMON": f"http://{daemon}", "PCC_LISTEN": daemon}
    said = walk(folder, given, "docs/getting-started.md", "docs/upgrade.md")
    seen = re.compile(
        r"Doctor: 1 check failed.*"  # there is no text yet
        r"Plan: 0 to subscribe, 0 to unsubscribe\..*"  # what was adopted is already so
        r"Observe mode: nothing is changed.*"
        r"Plan: 5 to subscribe, 0 to unsubscribe\..*"  # what enforcing would do
        r"1 account done with revision.*"
        r"subscribe success.*"
        r"too-many holds.*"
        r"paused for 2h: default.*"
        r"no longer paused by command: default.*"
        r"Doctor: nothing is wrong.*"
        r"using the desired state /.*subscribe success",
        re.DOTALL,
    )
    assert seen.search(said), said
    wanted = tomllib.loads(read(folder / "desired-state.toml"))["devices"]
    assert len(wanted) == 10
    assert (folder / "restored" / "state.db").stat().st_size


# ---------------------------------------------------------------------------------------------------------------------
# One by one, against a daemon

FRIDGE = "Room 1203 fridge"


@dataclass(frozen=True)
class Place:
    """A folder to type in, and the words of the documents that stand for something of it."""

    folder: Path
    environment: dict[str, str]
    words: dict[str, str]
    simulator: str
    devices: list[str]


def text_of(devices: Sequence[str], seoul: Sequence[str]) -> str:
    """Return a text of two accounts, one of which would lose more than it may."""
    named = f'{{ id = "{devices[0]}", name = "{FRIDGE}", type = "refrigerator" }}'
    rest = "".join(f', "{device}"' for device in devices[1:])
    return (
        f"version = 1\n[accounts.default]\ndevices = [{named}{rest}]\n"
        f"[accounts.seoul-hotel]\ndevices = {json.dumps(list(seoul))}\n"
    )


HELD = 'pcc_guard_tripped{account="seoul-hotel",reason="too-many"} 1.0'


@contextmanager
def daemon(given: dict[str, str], log: Path) -> Iterator[str]:
    """Give the address of a daemon that has made its passes; it ends in good order."""
    address = f"http://{given['PCC_LISTEN']}"
    command = [sys.executable, "-m", "reconciler", "run"]
    with (
        log.open("wb") as lines,
        subprocess.Popen(command, env=child_environment(given), stderr=lines) as child,  # noqa: S603 - ours
    ):
        try:
            run_until(child, lambda: HELD in httpx.get(f"{address}/metrics").text)
            yield address
        finally:
            child.terminate()


def run_until(child: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until what is asked of a program holds; at first it does not answer."""
    pause = threading.Event()
    for _ in range(int(DEADLINE_SECONDS / 0.05)):
        assert child.poll() is None
        with suppress(httpx.TransportError):
            if condition():
                return
        pause.wait(0.05)
    raise TimeoutError


@contextmanager
def a_place(folder: Path) -> Iterator[Place]:
    """Give a daemon with two accounts, of which one is held by a guard."""
    platform = fleet(30, subscribed=1.0, users=("default", "seoul-hotel"))
    seoul = owned(platform, "seoul-hotel")
    write(folder / "desired-state.toml", text_of(owned(platform), seoul[:2]))
    for name in ("events.example.toml", "events.toml"):
        write(folder / name, read(ROOT / "events.example.toml"))
    shutil.copytree(ROOT / "logic", folder / "logic")
    nobody = Target.of("http://127.0.0.1:1/")
    for simulator in served(platform, Sender(Callbacks(platform), nobody)):
        given = {
            **environment(platform, simulator, folder),
            "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
            "PCC_LISTEN": f"127.0.0.1:{free_port()}",
        }
        write(folder / "pcc.env", "".join(f"{name}={value}\n" for name, value in given.items()))
        with daemon(given, folder / "daemon.log") as address:
            words = {
                "DEVICE": seoul[0],
                "ID": seoul[0],
                "ACCOUNT": "seoul-hotel",
                "NAME": "seoul-hotel",
                "URL": address,
            }
            yield Place(folder, given, words, simulator, owned(platform))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a place that commands share: they only look, or wake and pause."""
    with a_place(tmp_path_factory.mktemp("place")) as made:
        yield made


@pytest.fixture
def typing_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Go to that place, and leave logging as it was."""
    monkeypatch.chdir(place.folder)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield place
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


ENDS = {
    r"apply.*": 1,  # the daemon has the state
    r"migrate-state.*": 1,  # no PostgreSQL is named there
    r"status --wait.*": 3,  # a guard holds seoul-hotel
}
"""Commands that do not end with 0 there."""

ONE_BY_ONE = sorted({one.text for one in COMMANDS if run_here(one)})


@pytest.mark.parametrize("line", ONE_BY_ONE)
def test_a_command_ends_as_it_should(
    typing_there: Place, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each command that a document names does its work on a fleet of two accounts, one of them held by a guard."""
    words = of_program(line)
    assert words is not None
    approval = words[words.index("--approval") + 1] if "--approval" in words else ""
    there = {
        **typing_there.words,
        "REV": revision(typing_there),
        approval: f"removed/{tmp_path.name}.txt",
    }
    code = cli.run([there.get(word, word) for word in words])
    expected = next(
        (code for pattern, code in ENDS.items() if re.fullmatch(pattern, " ".join(words))), 0
    )
    assert code == expected, capsys.readouterr()


def revision(where: Place) -> str:
    """Return the revision in force."""
    text = httpx.get(f"{where.words['URL']}/api/v1/status").json()["text"]
    return str(text["revision"])


CURL = re.compile(r"curl -s(?: -X (?P<method>[A-Z]+))? (?P<url>\S+)(?: -d (?P<body>.+))?")


@pytest.fixture
def place_of_its_own(tmp_path: Path) -> Iterator[Place]:
    """Give a place in which tokens may be revoked and the like."""
    with a_place(tmp_path) as made:
        yield made


def test_what_is_asked_with_curl_is_answered(place_of_its_own: Place) -> None:
    """Each call that a document makes with curl, made as curl makes it, is answered and not refused."""
    calls = [one for one in COMMANDS if one.text.startswith("curl ")]
    assert calls
    there = place_of_its_own
    with httpx.Client() as client:
        put = {"$SIM": f"{there.simulator}/_sim", "http://127.0.0.1:8080": there.words["URL"]}
        for command in calls:
            line = command.text.replace("…", there.devices[0])
            for words, meant in put.items():
                line = line.replace(words, meant)
            found = CURL.fullmatch(line)
            assert found, command
            url, body = (
                shlex.split(found[part])[0] if found[part] else None for part in ("url", "body")
            )
            method = found["method"] or ("GET" if body is None else "POST")
            form = {} if body is None else {"content-type": "application/x-www-form-urlencoded"}
            answer = client.request(method, str(url), content=body, headers=form)
            assert answer.is_success, (command, answer.text)


# ---------------------------------------------------------------------------------------------------------------------
# What is shown is what it is


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda one: f"{one.document}:{one.line}")
def test_a_snippet_is_what_it_says(
    snippet: Snippet, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """TOML is a valid desired state, SQL can be executed, JSON, YAML and Python can be read, settings are settings."""
    match snippet.language:
        case "toml" if "[sinks" in snippet.text:
            check_events(snippet.text, tmp_path)
        case "toml":
            check_desired(snippet.text, tmp_path)
        case "csv":
            check_table(snippet.text)
        case "json":
            json.loads(snippet.text)
        case "yaml":
            assert all(list(yaml.safe_load_all(snippet.text)))
        case "python":
            compile(snippet.text, snippet.document, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        case "sh":
            shlex.split(snippet.text, comments=True)
        case "sql":
            check_sql(snippet.text, request.getfixturevalue("postgresql"))
        case "console":
            assert any(line.startswith("$ ") for line in snippet.text.splitlines())
        case other:
            assert other == "", f"nobody checks blocks of {other}"


def check_sql(text: str, server: Postgres) -> None:
    """Execute statements in a database with the tables of a state."""
    url = server.database()
    PostgresStorage.open(url, SystemClock()).medium.close()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(str.strip, text.split(";")):
            connection.execute(statement.encode())


def check_events(text: str, folder: Path) -> None:
    """Find no fault in an events file, beside a table with the locales of the example."""
    shutil.copytree(ROOT / "logic", folder / "logic")
    write(folder / "events.toml", text)
    assert cli.run(["validate", "--events", str(folder / "events.toml")]) == 0


def check_table(text: str) -> None:
    """Find no fault in one file of a Logic Table; its types may be those of another one."""
    if "short_message" not in text:
        assert read_logic("logic", {"types.csv": text.encode()}, None).faults == ()
        return
    types = {line.partition(",")[0] for line in text.splitlines()[1:]}
    rows = "".join(f"{one},misuse\n" for one in sorted(types))
    files = {"types.csv": f"diagnosis_type,category\n{rows}", "messages.en.csv": text}
    read = read_logic("logic", {name: one.encode() for name, one in files.items()}, None)
    assert (read.faults, read.warnings) == ((), ())


def check_desired(text: str, folder: Path) -> None:
    """Find no fault in a text; what is only a part of one is completed, and device files are made."""
    whole = (
        text
        if "version = 1" in text
        else f"version = 1\n[accounts.seoul-hotel]\ndevices = []\n{text}"
    )
    given = tomllib.loads(whole)
    for name in re.findall(r'"([\w*/-]+\.txt)"', whole):
        write(
            folder / name.replace("*", "one"),
            "made-up-device\n" if "removed" not in name else "gone-device\n",
        )
    assert given["version"] == 1
    write(folder / "desired-state.toml", whole)
    write_locks(folder / "desired-state.toml")
    assert cli.run(["validate", str(folder / "desired-state.toml")]) == 0


def write_locks(file: Path) -> None:
    """Write the locks of the accounts that have rules, as if these took nothing."""
    text = file.read_text(encoding="utf-8")
    for account in tomllib.loads(text).get("accounts", {}).values():
        if "locked" in account:
            (file.parent / account["locked"]).unlink()
    loaded = load_fetched(FileSource(file).fetch(), resolving=True)
    for account, desired in loaded.accounts.items():
        if desired.ruled is not None:
            write(Path(desired.ruled.path), lock_file(account, *desired.ruled.rules))


SETTINGS = {row.name for row in settings_table.table()}
NO_SETTINGS = {
    "PCC_PORT": "what Kubernetes makes, and what does nothing",
    "PCC_EVENT": "a push type of LG's",
}
"""Names in the documents that look like settings and are none, and why."""


def test_names_of_settings_are_settings() -> None:
    """Each ``PCC_…`` name in a document is a setting."""
    named = {
        (name_of(path), found)
        for path in DOCUMENTS
        for found in re.findall(r"\bPCC_[A-Z_]*[A-Z](?![A-Z_…])", read(path))
    }
    assert named
    assert {one for one in named if one[1] not in SETTINGS | NO_SETTINGS.keys()} == set()


def test_names_of_metrics_are_metrics() -> None:
    """Each ``pcc_…`` name in a document is a metric, or a series of one."""
    known = {row.split("`")[1] for row in (*metrics()[2:], *receiver_metrics()[2:])}
    known |= {f"{name}_{part}" for name in known for part in ("bucket", "sum", "count")}
    options = {"pcc_types", "pcc_reconciler"}  # of the simulator, and the wheel's name
    named = {
        (name_of(path), found)
        for path in DOCUMENTS
        for found in re.findall(r"\bpcc_[a-z_]*[a-z]\b", read(path))
    }
    assert named
    assert {one for one in named if one[1] not in known | options} == set()


def test_names_of_events_are_events() -> None:
    """Each word of the form ``family.what`` whose family is one of the log's is an event."""
    known = events_in_code()
    families = {event.partition(".")[0] for event in known}
    files = ("py", "md", "toml", "db", "lock", "txt", "yml", "yaml", "json", "html")
    named = {
        (name_of(path), f"{family}.{what}")
        for path in DOCUMENTS
        if path.parent.name != "helm"  # its values have such names, too
        for family, what in re.findall(r"`([a-z]+)\.([a-z_]+)`", read(path))
        if family in families and what not in files
    }
    assert named
    assert {one for one in named if one[1] not in known} == set()


# ---------------------------------------------------------------------------------------------------------------------
# Errors, links, the list of documents


def words_in_code() -> list[str]:
    """Return every text that stands in the code, in pieces where values are put between."""
    return [
        node.value
        for file in (ROOT / "reconciler").rglob("*.py")
        for node in ast.walk(ast.parse(read(file)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_errors_that_are_explained_are_errors_that_are_printed() -> None:
    """Each phrase that the list of errors begins a row with stands in the code word for word, and LG's in its codes."""
    rows = re.findall(r"^\| (`[^|]*) \|", read(ROOT / "docs/faq.md"), re.MULTILINE)
    phrases = [
        phrase for row in rows for phrase in re.findall(r"`([^`]+)`", row.partition(", from ")[0])
    ]
    words = words_in_code()
    assert len(phrases) > len(CODES) / 3
    for phrase in phrases:
        if re.match(r"\d{4} ", phrase):
            code, _, said = phrase.partition(" ")
            assert CODES[code].words == said, phrase
            continue
        for piece in filter(None, map(str.strip, phrase.split("…"))):
            assert any(piece in word for word in words), piece


def test_the_refusal_of_an_older_program_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What this program says of a state by the next one is what the document quotes, and it leaves the file alone."""
    file = tmp_path / "state.db"
    with closing(sqlite3.connect(file)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = file.read_bytes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCC_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PCC_LISTEN", f"127.0.0.1:{free_port()}")
    assert cli.run(["history"]) == 1
    said = capsys.readouterr().err.splitlines()[-1].removeprefix(f"{PROGRAM}: ")
    assert f"\n    {said}\n" in read(ROOT / "docs/upgrade.md")
    assert file.read_bytes() == before


def anchor(heading: str) -> str:
    """Return the anchor that a forge makes of a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_to_headings_that_are_there(path: Path) -> None:
    """A link to a part of a document leads to a heading of it."""
    for target, part in re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", read(path)):
        other = path if not target else path.parent / target
        headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(other)), re.MULTILINE)
        assert part in {anchor(heading) for heading in headings}, f"{target}#{part}"


def test_the_list_of_documents_names_each_once() -> None:
    """The list in docs/ has every document beside it, once."""
    listed = re.findall(r"\]\(([\w-]+\.md)\)", read(ROOT / "docs/README.md"))
    assert sorted(listed) == sorted(
        path.name for path in ROOT.glob("docs/*.md") if path.name != "README.md"
    )


def test_the_readme_leads_to_the_list() -> None:
    """The first page leads to the list of documents and to the way into production."""
    first = read(ROOT / "README.md")
    assert "(docs/README.md)" in first
    assert "(docs/getting-started.md)" in first
