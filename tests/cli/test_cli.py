"""The command line as its users meet it: exit codes, what is printed where, and what reaches LG.

Commands run inside this process wherever they can, against LG's platform, simulated, in another thread. What depends on
a process (signals, a terminal, a closed pipe) runs as one.
"""

from __future__ import annotations

import gc
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

import reconciler
from prompts import Ended, Shell
from reconciler import cli
from reconciler.cli.console import USAGE
from reconciler.cli.options import Command
from reconciler.cli.serving import let_objects_gather, spare_the_collector
from reconciler.desired.checks import SAY_WHY
from reconciler.runtime import oneshot
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.signals import MOMENT_SECONDS
from reconciler.simulator import Match, Platform, Route, Rule, sample_platform
from reconciler.simulator import faults as fault
from reconciler.simulator.world import PCC_TYPES
from reconciler.simulator.world import Device as Appliance
from reconciler.state import State
from served import served

ROOT = Path(__file__).parent.parent.parent
COMMANDS = (
    "run",
    "validate",
    "schema",
    "plan",
    "resolve",
    "apply",
    "import",
    "export",
    "status",
    "explain",
    "devices",
    "history",
    "reconcile",
    "pause",
    "resume",
    "open",
    "close",
    "migrate-state",
    "doctor",
    "receive",
    "simulate",
    "demo",
    "events",
)
EVENT_COMMANDS = ("list", "show", "unknown", "replay", "erase")
ESCAPE = "\x1b"
Popen = subprocess.Popen[str]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Give a prompt."""
    return Shell(capsys)


def started(
    *arguments: str, out: Any = subprocess.PIPE, err: Any = subprocess.PIPE, **more: str
) -> Popen:
    """Start Python on our code, from outside the source tree: a module or a program with its arguments."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    command = [sys.executable, *arguments]
    no_input = subprocess.DEVNULL  # nobody answers a question, wherever the tests are run
    return subprocess.Popen(  # noqa: S603 - our own
        command, stdin=no_input, stdout=out, stderr=err, text=True, env=environment
    )


def process(*arguments: str, **more: Any) -> Ended:
    """Run the command line as a process."""
    return end_of(started("-m", "reconciler", *arguments, **more))


def end_of(running: Popen) -> Ended:
    """Wait for the end of a process."""
    out, err = running.communicate(timeout=60)
    return Ended(running.returncode, out or "", err or "")


QUESTION = b"to unsubscribe?"
"""Where apply asks whether to go on."""


@dataclass(frozen=True)
class Fleet:
    """A platform, simulated, that our settings point to."""

    platform: Platform

    def wants(self, *devices: str, more: str = "") -> Path:
        """Write the desired-state file."""
        path = Path("desired-state.toml")
        path.write_text(f"version = 1\n{more}\ndevices = {json.dumps(devices)}\n")
        return path

    def owned(self, user: str = "default") -> list[str]:
        """Return the devices of a user that PCC takes."""
        return sorted(self.platform.world.user(user).devices)

    def live(self, user: str = "default") -> frozenset[str]:
        """Return the devices that are subscribed."""
        return self.platform.subscribed(user)

    def methods(self) -> set[str]:
        """Return the methods that were seen since the last time."""
        seen = {record.method for record in self.platform.requests}
        self.platform.clear_requests()
        return seen


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fleet]:
    """Give two users with 12 devices each, 6 of them live, and settings that lead there."""
    platform = sample_platform(
        {"default": 12, "seoul-hotel": 12}, seed=3, subscribed=0.5, only_pcc=True
    )
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("default", "seoul-hotel"):
        (credentials / f"{name}.access_token").write_text(platform.issue_token(name))
    for url in served(platform):
        settings = {
            "PCC_BASE_URL": url,
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": platform.world.service.id,
            "PCC_SERVICE_KEY": platform.world.service.key,
            "PCC_CREDENTIALS_DIR": str(credentials),
            "PCC_STATE_DIR": str(tmp_path / "state"),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield Fleet(platform)


# ---------------------------------------------------------------------------------------------------------------------
# Help and wrong usage


@pytest.mark.parametrize("command", [*COMMANDS, *(f"events {one}" for one in EVENT_COMMANDS)])
def test_the_help_of_each_command_shows_an_example(shell: Shell, command: str) -> None:
    """Help is data, goes to stdout, and ends with an example that begins with the program's name."""
    ended = shell(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"Example: pcc-reconciler {command}" in " ".join(ended.out.split())
    assert not re.search(r"<(str|int|float|list|Path)", ended.out)
    assert shell(*command.split(), "-h") == ended


def test_help_names_every_command_in_whole_words(shell: Shell) -> None:
    """The list of commands is complete, and none of its summaries is cut off."""
    ended = shell("--help")
    listed = re.findall(r"^  ([a-z-]+) {2,}(\S.*)$", ended.out.split("Commands:")[1], re.MULTILINE)
    assert tuple(name for name, _ in listed) == COMMANDS
    assert all(summary.endswith(".") and not summary.endswith("...") for _, summary in listed)


def test_without_arguments_the_help_is_a_message(shell: Shell) -> None:
    """No command at all is wrong usage: help on stderr, nothing on stdout."""
    ended = shell()
    assert (ended.code, ended.out) == (64, "")
    assert "Commands:" in ended.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("aply", "'apply'"),
        ("plan --outpt json", "--output"),
        ("plan --output xml", "'text', 'wide', 'json', 'markdown'"),
        ("validate --output xml", "'github'"),
        ("plan extra", "extra"),
        ("plan --account", "--account"),
        ("run --account x", "--account"),
        ("simulate --devices many", "integer"),
        ("simulate --subscribed 2", "less than or equal to 1"),
        ("simulate --listen 0.0.0.0:9000", "loopback"),
        ("simulate --listen nowhere", "nowhere"),
        ("status --revision 1234567", "--wait"),
        ("status --wait --revision main", "7 characters"),
        ("status --wait --revision -x", "7 characters"),
        ("status --wait --timeout soon", "10m"),
        ("explain", "DEVICE"),
        ("history --since tomorrow", "yesterday"),
        ("history --limit 0", "greater than or equal to 1"),
        ("demo --devices 1", "4"),
        ("demo --listen 8080", "127.0.0.1:8080"),
        ("demo --listen 127.0.0.1:99999", "127.0.0.1:8080"),
        ("--show-completion tcsh", "bash, zsh, fish"),
        ("--nonsense", "--nonsense"),
    ],
)
def test_wrong_usage_is_told_on_stderr_with_its_own_code(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    """Wrong usage ends with 64, says what is wrong, names what was perhaps meant, and points to help."""
    monkeypatch.setenv("PCC_LOG_FORMAT", "console")  # as JSON, a process says it in its log
    ended = shell(*line.split())
    assert (ended.code, ended.out) == (64, "")
    assert message in ended.err
    assert ended.err.endswith("--help'.\n")
    assert "Value error" not in ended.err


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_named_shell_is_printed(shell: Shell, shell_name: str) -> None:
    """A script can be had for any shell, whichever one asks."""
    ended = shell("--show-completion", shell_name)
    assert (ended.code, ended.err) == (0, "")
    assert f"_PCC_RECONCILER_COMPLETE=complete_{shell_name}" in ended.out


def test_completion_completes() -> None:
    """What the script asks is answered."""
    asked = {
        "_PCC_RECONCILER_COMPLETE": "complete_bash",
        "COMP_WORDS": "pcc-reconciler ex",
        "COMP_CWORD": "1",
    }
    assert process(**asked) == Ended(0, "export\nexplain\n", "")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told_at_once(shell: Shell, option: str) -> None:
    """``--version`` works with and without a command beside it, and imports nothing heavy."""
    assert shell(option) == Ended(0, f"pcc-reconciler {reconciler.__version__}\n", "")
    program = (
        f"import sys; sys.argv[1:] = [{option!r}]\n"
        "from reconciler.__main__ import main\nmain()\n"
        "print(*{'typer', 'pydantic', 'structlog', 'httpx'} & set(sys.modules))"
    )
    assert end_of(started("-c", program)) == Ended(
        0, f"pcc-reconciler {reconciler.__version__}\n\n", ""
    )


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (("validate",), ["asyncio", "pydantic_settings", "rich", "structlog"]),
        (("validate", "desired-state.toml"), []),
        (("--help",), []),
    ],
)
def test_a_command_loads_only_what_it_needs(arguments: tuple[str, ...], loaded: list[str]) -> None:
    """``validate`` loads no HTTP library, and where a file is named and nothing set no settings and no logs."""
    Path("desired-state.toml").write_text('version = 1\ndevices = ["a1"]\n')
    program = (
        "import sys\nfrom reconciler.cli import run\nassert run(sys.argv[1:]) == 0\n"
        "heavy = {'httpx', 'aiohttp', 'uvicorn', 'starlette', 'apscheduler', 'jinja2', 'sqlite3', 'watchfiles'}\n"
        "heavy |= {'asyncio', 'prometheus_client', 'pydantic_settings', 'rich', 'structlog'}\n"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    assert end_of(started("-c", program, *arguments)).err.split() == loaded


def test_what_a_command_did_is_not_made_a_text_of_by_accident() -> None:
    """asyncio.run makes a text of what it returns and throws it away, so that text holds no report of a whole fleet."""
    assert repr(oneshot.Work((), ("a note",))) == "Work(notes=('a note',))"


# ---------------------------------------------------------------------------------------------------------------------
# The command reference cannot lie


def test_the_reference_quotes_the_help_of_each_command(shell: Shell) -> None:
    """docs/cli.md holds the help texts word for word, a section each, in the order of the help."""
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    assert tuple(re.findall(r"^## `pcc-reconciler ([a-z-]+)`$", text, re.MULTILINE)) == COMMANDS
    assert (
        tuple(re.findall(r"^### `pcc-reconciler events ([a-z]+)`$", text, re.MULTILINE))
        == EVENT_COMMANDS
    )
    every = [*COMMANDS, *(f"events {one}" for one in EVENT_COMMANDS)]
    for line in ("--help", *(f"{command} --help" for command in every)):
        assert (
            f"```console\n$ pcc-reconciler {line}\n{shell(*line.split()).out.rstrip()}\n```" in text
        ), line


def test_the_reference_names_every_exit_code() -> None:
    """The table of exit codes in docs/cli.md is that of the program."""
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\d+)` \|", text, re.MULTILINE)
    assert listed == ["0", "1", "2", "3", "4", str(cli.USAGE), str(cli.INTERRUPTED)]


def test_the_json_keys_in_the_reference_are_those_printed(shell: Shell, fleet: Fleet) -> None:
    """Every key of a plan and of a validation as JSON stands in docs/cli.md."""
    fleet.wants(*fleet.owned()[3:])
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    for line in ("plan --output json", "apply --output json", "validate --output json"):
        assert not {
            key for key in keys(json.loads(shell(*line.split()).out)) if f"`{key}`" not in text
        }, line


def keys(value: object) -> set[str]:
    """Collect the keys of a JSON document."""
    match value:
        case dict():
            return set(value).union(*map(keys, value.values()))
        case list():
            return set[str]().union(*map(keys, value))
        case _:
            return set()


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Give a server that notes every request and knows no answer, with good credentials for it."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.send_error(500)

        do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = handle_any  # noqa: N815 - names of the library

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        settings = {
            "PCC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
            "PCC_COUNTRY": "KR",
            "PCC_SERVICE_ID": "service-of-the-tests",
            "PCC_SERVICE_KEY": "key-of-the-tests",
            "PCC_ACCESS_TOKEN": "token-of-the-tests",
            "PCC_STATE_DIR": str(tmp_path / "state"),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield seen
        server.shutdown()
        thread.join(30)


BAD_TEXTS = {
    "not TOML": (b"version = 1\ndevices = [\n", "desired-state.toml:"),
    "not UTF-8": (b'version = 1\ndevices = ["\xff"]\n', "UTF-8"),
    "a wrong type": (b"version = 1\ndevices = 7\n", "desired-state.toml:2:"),
    "a wrong version": (b'version = 2\ndevices = ["a"]\n', "version"),
    "an unknown key": (b'version = 1\ndevcies = ["a"]\n', "'devices'"),
    "a device twice": (
        b'version = 1\ndevices = [\n  "a",\n  "b",\n  "a",\n]\n',
        "desired-state.toml:3:3",
    ),
    "an unknown type": (b'version = 1\ndevices = [{ id = "a", type = "washr" }]\n', "'washer'"),
    "an id with a slash": (b'version = 1\ndevices = ["a/b"]\n', "desired-state.toml:2:12"),
    "an id with white space": (b'version = 1\ndevices = ["a b"]\n', "desired-state.toml:2:12"),
    "a device file that is not there": (
        b'version = 1\ndevice_files = ["nowhere.txt"]\n',
        "no file matches",
    ),
    "a device file elsewhere": (b'version = 1\ndevice_files = ["../*.txt"]\n', "inside the folder"),
    "a device file elsewhere by a link": (b'version = 1\ndevice_files = ["link.txt"]\n', "link"),
    "a device file that is a FIFO": (b'version = 1\ndevice_files = ["fifo.txt"]\n', "regular file"),
    "a date without a time zone": (
        b'version = 1\ndevices = [{ id = "a", from = 2026-01-01 }]\n',
        "timezone",
    ),
    "an approval without end": (
        b'version = 1\ndevices = ["a"]\n[[approvals]]\ndevices = ["b"]\nreason = "r"\n',
        "expires",
    ),
    "an empty file": (b"", "desired-state.toml:1:1"),
    "a file cut after its first line": (b"version = 1\n", "desired-state.toml"),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_a_bad_text_ends_each_command_without_a_call(
    shell: Shell, recorder: list[str], tmp_path: Path, case: str
) -> None:
    """Plan, apply and validate say the same of a bad text, with its place, end with 1 and ask LG nothing."""
    content, message = BAD_TEXTS[case]
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "desired-state.toml").write_bytes(content)
    (tmp_path / "outside.txt").write_text("not-ours-to-show\n")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    os.mkfifo(folder / "fifo.txt")
    os.chdir(folder)
    told = [shell(command) for command in ("validate", "plan", "apply")]
    assert {(ended.code, ended.out) for ended in told} == {(1, "")}
    assert len({tuple(places(ended)) for ended in told}) == 1
    assert message in told[0].err
    assert "not-ours-to-show" not in told[0].err
    assert not recorder


def places(ended: Ended) -> list[str]:
    """Return the lines of faults alone: without quotations and without their number."""
    lines = ended.err.splitlines()
    return [one for one in lines if one[:1].strip() and not re.fullmatch(r"\d+ faults.*", one)]


def test_both_places_of_a_device_listed_twice_are_told(shell: Shell) -> None:
    """A device twice in one account is a fault that names both places."""
    Path("desired-state.toml").write_bytes(BAD_TEXTS["a device twice"][0])
    told = shell("validate").err
    assert "desired-state.toml:3:3" in told
    assert "5:3" in told


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_a_missing_text_is_told(shell: Shell, recorder: list[str], command: str) -> None:
    """Without a file there is nothing to do but to say so; no call is made."""
    assert shell(command) == Ended(
        1, "", "desired-state.toml: there is no such file (PCC_DESIRED_STATE names it)\n"
    )
    assert not recorder


@pytest.mark.parametrize("command", ["run", "validate", "plan", "apply", "export"])
def test_a_misspelt_setting_ends_each_command_without_a_call(
    shell: Shell, recorder: list[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """An unknown PCC_ variable is a fault with a suggestion, and its value is not shown."""
    Path("desired-state.toml").write_text('version = 1\ndevices = ["a"]\n')
    monkeypatch.setenv("PCC_INTERVALL", "secret-in-the-wrong-place")
    ended = shell(command)
    assert (ended.code, ended.out, recorder) == (1, "", [])
    assert "'PCC_INTERVAL'" in ended.err
    assert "secret-in-the-wrong-place" not in ended.err


@pytest.mark.parametrize("command", ["plan", "apply", "export"])
def test_missing_credentials_are_told_with_the_settings_that_mend_it(
    shell: Shell, recorder: list[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Without a user token the account's error names what to set, and no call is made."""
    Path("desired-state.toml").write_text('version = 1\ndevices = ["a"]\n')
    monkeypatch.delenv("PCC_ACCESS_TOKEN")
    ended = shell(command)
    assert ended.code == 1
    assert "PCC_ACCESS_TOKEN" in ended.out + ended.err
    assert not recorder


@pytest.mark.parametrize("command", ["plan", "apply", "export", "doctor", "history"])
def test_a_forgotten_env_file_is_reminded_of(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Where no credential is set and an env file lies here, the command that failed names it, and no value of it."""
    monkeypatch.setenv("PCC_STATE_DIR", str(Path("state").absolute()))
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    Path("desired-state.toml").write_text('version = 1\ndevices = ["aaaaaaaa"]\n')
    assert "--env-file" not in shell(command).err
    Path("pcc.env").write_text("# ours\nPCC_SERVICE_KEY=a-secret-value\n")
    Path("other.env").write_text("NAME=value\n")
    ended = shell(command)
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "hint: pcc.env lies here; did you forget --env-file pcc.env?"
    )
    assert "a-secret-value" not in ended.out + ended.err
    assert "did you forget" not in shell(command, "--env-file", "pcc.env").err
    monkeypatch.setenv("PCC_ACCESS_TOKEN", "another-secret-value")
    assert "did you forget" not in shell(command).err


def test_an_account_that_is_not_there_is_told_with_the_nearest(shell: Shell, fleet: Fleet) -> None:
    """A misspelt account name leads to a suggestion and no call."""
    fleet.wants(*fleet.owned())
    ended = shell("plan", "--account", "defualt")
    assert (ended.code, ended.out) == (1, "")
    assert "'default'" in ended.err
    assert not fleet.methods()


def test_validate_tells_the_faults_of_every_path_it_is_given(shell: Shell) -> None:
    """Each path is judged, also those after a missing one, and all is told in every form."""
    Path("good.toml").write_text('version = 1\ndevices = ["a"]\n')
    Path("bad.toml").write_text("version = 1\ndevices = 7\n")
    paths = ("nowhere.toml", "bad.toml", "good.toml", "good.toml")
    ended = shell("validate", *paths)
    assert ended.code == 1
    assert [line.split(":")[0] for line in places(ended)] == ["nowhere.toml", "bad.toml"]
    document = json.loads(shell("validate", "--output", "json", *paths).out)
    assert [one["path"] for one in document["faults"]] == ["nowhere.toml", "bad.toml"]
    assert document["accounts"] == [{"account": "default", "devices": 1, "path": "good.toml"}]
    annotations = shell("validate", "--output", "github", *paths).out.splitlines()
    assert [line.split(",")[0] for line in annotations] == [
        "::error file=nowhere.toml",
        "::error file=bad.toml",
    ]


# ---------------------------------------------------------------------------------------------------------------------
# What plan and apply do, and their exit codes


def test_plan_shows_what_apply_then_does(shell: Shell, fleet: Fleet) -> None:
    """Plan, apply, plan again: pending, done, nothing left; the live list is the file."""
    live, owned = sorted(fleet.live()), fleet.owned()
    wanted = [device for device in owned if device not in live[:2]]
    fleet.wants(*wanted)
    planned = shell("plan", "--detailed-exitcode")
    assert planned.code == 2
    assert planned.out.endswith("Plan: 6 to subscribe, 2 to unsubscribe.\n")
    assert fleet.methods() == {"GET"}
    applied = shell("apply")
    assert applied.code == 0
    assert applied.out.endswith("Done: 6 subscribed, 2 unsubscribed.\n")
    assert fleet.live() == set(wanted)
    assert shell("plan", "--detailed-exitcode").code == 0


def test_plan_of_a_path_plans_that_file_also_where_a_repository_is_followed(
    shell: Shell, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that a person names is what is planned, and the repository of PCC_GIT_URL is not asked."""
    monkeypatch.setenv("PCC_GIT_URL", f"file://{tmp_path}/no-repository.git")
    path = fleet.wants(*fleet.owned())
    ended = shell("plan", str(path), "--output", "json")
    assert ended.code == 0
    (account,) = json.loads(ended.out)["accounts"]
    assert len(account["subscribes"]) == 6
    assert "cannot be fetched" in shell("plan").err


def test_pending_changes_have_a_code_only_where_it_is_asked_for(shell: Shell, fleet: Fleet) -> None:
    """Without --detailed-exitcode a plan with changes ends with 0."""
    fleet.wants(*fleet.owned())
    assert shell("plan").code == 0


def test_a_guard_makes_3(shell: Shell, fleet: Fleet) -> None:
    """A held mass unsubscribe ends plan --detailed-exitcode and apply with 3, and prints what releases it."""
    fleet.wants("only-one", more="policy.max_unsubscribe_floor = 1\npolicy.max_unsubscribe = 1")
    fleet.platform.set_options(unknown_devices="accept")
    for arguments in (["plan", "--detailed-exitcode"], ["apply"]):
        ended = shell(*arguments)
        assert ended.code == 3
        assert "too-many holds 6 unsubscribes" in ended.out
        assert "[[approvals]]" in ended.out
    assert shell("plan").code == 0
    assert len(fleet.live()) == 7


def test_the_approval_that_is_printed_releases_the_devices(shell: Shell, fleet: Fleet) -> None:
    """The block and the device file that plan writes are all it takes to let the devices go."""
    path = fleet.wants(
        fleet.owned()[0], more="policy.max_unsubscribe_floor = 1\npolicy.max_unsubscribe = 1"
    )
    ended = shell("plan", "--approval", "removed/wing-b.txt", "--output", "json")
    (account,) = json.loads(ended.out)["accounts"]
    assert 'device_files = ["removed/wing-b.txt"]' in account["approval"]
    assert len(Path("removed/wing-b.txt").read_text().splitlines()) == len(account["held"])
    path.write_text(path.read_text() + account["approval"].replace(SAY_WHY, "wing B is closed"))
    assert shell("apply").code == 0
    assert fleet.live() == {fleet.owned()[0]}


@pytest.mark.parametrize(
    "arguments", [["--approval", "../outside.txt"], ["--approval", "/outside.txt"]]
)
def test_an_approval_is_written_only_where_the_text_can_read_it(
    shell: Shell, fleet: Fleet, arguments: list[str]
) -> None:
    """A device file outside the folder of the text is wrong usage."""
    fleet.wants(
        fleet.owned()[0], more="policy.max_unsubscribe_floor = 1\npolicy.max_unsubscribe = 1"
    )
    assert shell("plan", *arguments).code == 64
    assert not Path("../outside.txt").exists()


def test_an_approval_overwrites_nothing(shell: Shell, fleet: Fleet) -> None:
    """A file that is there already stays as it is, and so does everything where no approval is needed."""
    fleet.wants(
        fleet.owned()[0], more="policy.max_unsubscribe_floor = 1\npolicy.max_unsubscribe = 1"
    )
    Path("removed.txt").write_text("precious\n")
    assert shell("plan", "--approval", "removed.txt").code == 1
    assert Path("removed.txt").read_text() == "precious\n"
    fleet.wants(*fleet.owned())
    assert "nothing waits" in shell("plan", "--approval", "new.txt").err
    assert not Path("new.txt").exists()


def test_a_device_that_lg_refuses_makes_4(shell: Shell, fleet: Fleet) -> None:
    """What LG refuses is told with LG's words, and the rest is made."""
    fleet.wants(*fleet.owned(), "nobody-owns-this")
    ended = shell("apply")
    assert ended.code == 4
    assert "1 refused" in ended.out
    assert fleet.live() == set(fleet.owned())


def test_a_change_that_fails_makes_4(shell: Shell, fleet: Fleet) -> None:
    """A call without a good answer is a failed change; the others are made."""
    fleet.wants(*fleet.owned())
    fleet.platform.set_faults(Rule(fault.Html(), match=Match(route=Route.SUBSCRIBE), count=1))
    ended = shell("apply")
    assert ended.code == 4
    assert "failed" in ended.out


def test_what_policy_holds_is_no_failure(shell: Shell, fleet: Fleet) -> None:
    """A paused account ends apply with 0, without a change."""
    fleet.wants(*fleet.owned(), more='policy.pause = "all"')
    assert shell("apply").code == 0
    assert fleet.methods() == {"GET"}


@pytest.mark.parametrize(
    "effect",
    [
        fault.Html(status=200),
        fault.Html(status=500),
        fault.Empty(status=401),
        fault.Cut(),
        fault.Redirect(location="http://127.0.0.1:1/"),
        fault.Drop(),
        fault.Mangle(how="no-id"),
        fault.Mangle(how="number-id"),
    ],
    ids=repr,
)
def test_a_bad_answer_ends_each_command_with_1_and_changes_nothing(
    shell: Shell, fleet: Fleet, effect: fault.Effect
) -> None:
    """Where no live list can be had, plan, apply and export say so and change nothing."""
    fleet.wants(*fleet.owned())
    fleet.platform.set_faults(Rule(effect, match=Match(route=Route.LIST)))
    before = fleet.live()
    for command in ("plan", "apply", "export"):
        ended = shell(command)
        assert ended.code == 1, command
        assert "default" in ended.out + ended.err
    assert fleet.methods() == {"GET"}
    assert fleet.live() == before


def test_apply_with_the_digest_of_the_plan_is_made(shell: Shell, fleet: Fleet) -> None:
    """The digest that plan shows lets apply make exactly that plan."""
    live = sorted(fleet.live())
    fleet.wants(*live[1:])
    (account,) = json.loads(shell("plan", "--output", "json").out)["accounts"]
    assert shell("apply", "--expect", account["digest"]).code == 0
    assert fleet.live() == set(live[1:])


def test_apply_with_another_digest_changes_nothing(shell: Shell, fleet: Fleet) -> None:
    """Another plan than the one agreed to is not made, not even its subscribes: 3, and the digest it has."""
    fleet.wants(*fleet.owned()[1:])
    before = fleet.live()
    fleet.methods()
    ended = shell("apply", "--expect", f"sha256:{'0123' * 16}")
    assert ended.code == 3
    assert "digest sha256:" in ended.out
    assert "nothing was changed" in ended.out
    assert fleet.methods() == {"GET"}
    assert fleet.live() == before


def test_a_digest_is_for_one_account(shell: Shell, fleet: Fleet) -> None:
    """--expect with several accounts is wrong usage; with --account it is not."""
    Path("desired-state.toml").write_text(
        "version = 1\n[accounts.default]\ndevices = []\n[accounts.seoul-hotel]\ndevices = []\n"
    )
    other = f"sha256:{'0123' * 16}"
    assert shell("apply", "--expect", other).code == 64
    assert not fleet.methods()
    assert shell("apply", "--expect", other, "--account", "default").code == 3


@pytest.mark.parametrize(
    "value",
    [
        "sha256:0123",
        "0123" * 16,
        f"sha256:{'0123' * 16}0",
        f"SHA256:{'0123' * 16}",
        "sha256:",
        "…",
        "yes",
    ],
)
def test_what_is_no_digest_is_wrong_usage(shell: Shell, fleet: Fleet, value: str) -> None:
    """A digest that was cut or lost is told as such: it is not another plan's."""
    fleet.wants(*fleet.owned())
    ended = shell("apply", "--expect", value)
    assert (ended.code, ended.out) == (64, "")
    assert "digest" in ended.err
    assert not fleet.methods()


def test_an_account_named_twice_has_one_pass(shell: Shell, fleet: Fleet) -> None:
    """Passes of one account never overlap, however often it is asked for."""
    fleet.wants(*fleet.owned())
    assert (
        shell("apply", "--account", "default", "--account", "default").out.count("account default")
        == 1
    )
    assert [record.method for record in fleet.platform.requests].count("GET") == 1


def test_accounts_are_independent(shell: Shell, fleet: Fleet) -> None:
    """One account that LG does not let in ends apply with 1; the other is made all the same."""
    wanted = fleet.owned("seoul-hotel")
    Path("desired-state.toml").write_text(
        f'version = 1\n[accounts.default]\ndevices = ["a"]\n[accounts.seoul-hotel]\ndevices = {json.dumps(wanted)}\n'
    )
    fleet.platform.world.revoke_access(fleet.platform.world.user("default"))
    ended = shell("apply")
    assert ended.code == 1
    assert "1 account with an error" in ended.out
    assert fleet.live("seoul-hotel") == set(wanted)


def test_apply_refuses_beside_a_daemon(shell: Shell, fleet: Fleet, tmp_path: Path) -> None:
    """While another process holds the state, apply ends with 1 and asks LG nothing; plan works."""
    fleet.wants(*fleet.owned())
    holder = State.open(tmp_path / "state", SystemClock())
    try:
        ended = shell("apply")
        assert (ended.code, ended.out) == (1, "")
        assert str(tmp_path / "state") in ended.err
        assert not fleet.methods()
        assert shell("plan", "--detailed-exitcode").code == 2
    finally:
        holder.close()


def test_warnings_of_the_text_are_messages(shell: Shell, fleet: Fleet) -> None:
    """A warning reaches the person who plans, beside the plan and not in it."""
    device = json.dumps(fleet.owned()[0])
    Path("desired-state.toml").write_text(
        f"version = 1\n[accounts.default]\ndevices = [{device}]\n[accounts.seoul-hotel]\ndevices = [{device}]\n"
    )
    ended = shell("plan", "--output", "json")
    assert "(warning)" in ended.err
    json.loads(ended.out)


# ---------------------------------------------------------------------------------------------------------------------
# What only looks


@pytest.mark.parametrize(
    "line", ["validate", "schema", "plan", "plan --output json", "export", "plan --approval a.txt"]
)
def test_what_only_looks_sends_get_only_and_writes_no_state(
    shell: Shell, fleet: Fleet, tmp_path: Path, line: str
) -> None:
    """Every command but run and apply leaves LG and the state alone; the state's folder is not even made."""
    fleet.wants(*fleet.owned()[3:])
    before = fleet.live()
    assert shell(*line.split()).code == 0
    assert fleet.methods() <= {"GET"}
    assert fleet.live() == before
    assert not (tmp_path / "state").exists()


def test_plan_beside_a_state_leaves_its_files_as_they_are(
    shell: Shell, fleet: Fleet, tmp_path: Path
) -> None:
    """Looking at a state that is there changes no byte of it."""
    fleet.wants(*fleet.owned())
    shell("apply")
    fleet.wants(*fleet.owned()[2:])

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}

    before = files()
    assert shell("plan", "--detailed-exitcode").code == 2
    assert files() == before


def test_observe_mode_sends_get_only(
    shell: Shell, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PCC_MODE=observe apply looks and changes nothing."""
    fleet.wants(*fleet.owned()[2:])
    monkeypatch.setenv("PCC_MODE", "observe")
    assert shell("apply").code == 0
    assert fleet.methods() == {"GET"}


# ---------------------------------------------------------------------------------------------------------------------
# Export and schema


def test_an_export_without_a_file_is_a_valid_file_that_changes_nothing(
    shell: Shell, fleet: Fleet
) -> None:
    """The first adoption: accounts come from the credentials, the file is valid, and planning it is empty."""
    text = shell("export").out
    Path("desired-state.toml").write_text(text)
    assert all(device in text for device in fleet.live())
    assert shell("validate").out == "valid: 2 accounts, 12 devices\n"
    planned = json.loads(shell("plan", "--detailed-exitcode", "--output", "json").out)
    assert planned["exit_code"] == 0
    assert {one["account"]: one["in_sync"] for one in planned["accounts"]} == {
        "default": 6,
        "seoul-hotel": 6,
    }
    assert shell("export").out == text


def test_an_export_into_the_present_file_works_the_first_time(shell: Shell, fleet: Fleet) -> None:
    """The shell makes the file empty before the program starts; that is no fault of the person's."""
    Path("desired-state.toml").write_text("")
    ended = shell("export", "--account", "default")
    assert ended.code == 0
    assert all(device in ended.out for device in fleet.live())


def test_an_export_keeps_what_the_present_file_says(shell: Shell, fleet: Fleet) -> None:
    """Names, types, dates that still hold, policy and country of the present file are in the export."""
    first, second, ignored = sorted(fleet.live())[:3]
    Path("desired-state.toml").write_text(
        "version = 1\n"
        f'policy.ignore = ["{ignored}"]\npolicy.prune = "owned"\n'
        '[accounts.default]\ncountry = "KR"\ndevices = [\n'
        f'  {{ id = "{first}", name = "Room \\"12\\" fridge", type = "refrigerator", until = 2999-01-01T00:00:00Z }},\n'
        f'  {{ id = "{second}", name = "Trial", until = 2020-01-01T00:00:00Z }},\n'
        '  "not-live",\n]\n'
    )
    text = shell("export", "--account", "default").out
    Path("desired-state.toml").write_text(text)
    assert (
        'name = "Room \\"12\\" fridge", type = "refrigerator", until = 2999-01-01T00:00:00Z' in text
    )
    assert f'{{ id = "{second}", name = "Trial" }}' in text
    assert 'policy.prune = "owned"' in text
    assert 'country = "KR"' in text
    assert "not-live" not in text
    assert shell("plan", "--detailed-exitcode", "--account", "default").code == 0


@pytest.mark.parametrize("word", [None, "production"])
def test_an_export_keeps_what_guards_the_whole_file(
    shell: Shell, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, word: str | None
) -> None:
    """Its environment stays, whether the settings name it or not, and so do the accounts that were retired."""
    if word is not None:
        monkeypatch.setenv("PCC_ENVIRONMENT", word)
    Path("desired-state.toml").write_text(
        'version = 1\nenvironment = "production"\nretired_accounts = ["jeju-hotel", "seoul-hotel"]\n'
        f"[accounts.default]\ndevices = {json.dumps(sorted(fleet.live()))}\n"
    )
    said = tomllib.loads(shell("export", "--account", "default").out)
    assert said["environment"] == "production"
    assert sorted(said["retired_accounts"]) == ["jeju-hotel", "seoul-hotel"]


def test_an_export_of_what_is_registered_names_every_appliance(shell: Shell, fleet: Fleet) -> None:
    """All that PCC documents is wanted, with LG's names; other types stand in comments; it costs one GET."""
    user = fleet.platform.world.user("default")
    fleet.platform.world.add_devices(
        user,
        [
            Appliance("cooler-1", "DEVICE_AIR_CONDITIONER", "Lobby\nnorth"),
            Appliance("odd-1", "DEVICE_OVEN", '"} ]\n[[approvals]]'),
            Appliance("plain-1", "DEVICE_WASHER", ""),
        ],
    )
    ended = shell("export", "--registered", "--account", "default")
    assert (ended.code, ended.err) == (0, "")
    Path("desired-state.toml").write_text(ended.out)
    assert shell("validate").code == 0
    said = tomllib.loads(ended.out)
    entries = {one["id"]: one for one in said["devices"]}
    known = {one.id for one in user.devices.values() if one.type in PCC_TYPES}
    assert entries.keys() == known
    assert fleet.live() < known
    some = user.devices[min(fleet.owned())]
    assert entries[some.id] == {
        "id": some.id,
        "name": some.alias,
        "type": some.type.removeprefix("DEVICE_").lower(),
    }
    assert entries["plain-1"] == {"id": "plain-1", "type": "washer"}
    assert (
        "# cooler-1  PCC does not document the type DEVICE_AIR_CONDITIONER: Lobby north\n"
        in ended.out
    )
    assert [
        record.path for record in fleet.platform.requests if record.path != "/emp/v2/token"
    ] == ["/devices"]


def test_an_export_of_what_is_registered_keeps_what_the_present_file_says(
    shell: Shell, fleet: Fleet
) -> None:
    """A person's own name for a device goes before LG's alias, and ignored devices stay out."""
    named, ignored = fleet.owned()[:2]
    more = f'policy.ignore = ["{ignored}"]'
    Path("desired-state.toml").write_text(
        f'version = 1\n{more}\ndevices = [{{ id = "{named}", name = "the old one" }}]\n'
    )
    text = shell("export", "--registered", "--account", "default").out
    entries = {one["id"]: one for one in tomllib.loads(text)["devices"]}
    assert entries[named]["name"] == "the old one"
    assert entries.keys() == set(fleet.owned()) - {ignored}


def test_a_faulty_present_file_ends_an_export(shell: Shell, fleet: Fleet) -> None:
    """What the present file says of devices cannot be kept if it cannot be read; that is told, not lost."""
    Path("desired-state.toml").write_text("version = 1\ndevices = 7\n")
    ended = shell("export")
    assert (ended.code, ended.out) == (1, "")
    assert "desired-state.toml:2:" in ended.err
    assert not fleet.methods()


def test_an_export_says_whose_list_could_not_be_had(shell: Shell, fleet: Fleet) -> None:
    """An error of one account names it, and no half of an export is printed."""
    fleet.platform.set_faults(Rule(fault.Html(), match=Match(route=Route.LIST, user="seoul-hotel")))
    ended = shell("export")
    assert (ended.code, ended.out) == (1, "")
    assert "seoul-hotel" in ended.err


@pytest.mark.parametrize("without", ["default", "seoul-hotel"])
@pytest.mark.parametrize("effect", [fault.Error("1314"), fault.Empty(429), fault.Html(502)])
def test_a_plan_of_two_accounts_is_none_where_lg_gave_no_list_of_one(
    shell: Shell, fleet: Fleet, effect: fault.Effect, without: str
) -> None:
    """Whichever it is: the code says that half of the plan is not known, and the list of the other helps nothing."""
    fleet.wants(more="[accounts.default]\ndevices = []\n[accounts.seoul-hotel]")
    assert shell("plan").code == 0
    fleet.platform.set_faults(Rule(effect, match=Match(route=Route.LIST, user=without)))
    ended = shell("plan")
    assert ended.code == 1
    assert "1 account with" in ended.out
    assert shell("plan", "--account", "default").code == int(without == "default")
    assert shell("apply").code != 0


@pytest.mark.parametrize(
    "effect", [fault.Error("1314"), fault.Empty(429), fault.Html(502), fault.Html(403)]
)
def test_what_needs_a_list_ends_in_an_error_where_there_is_none(
    shell: Shell, fleet: Fleet, effect: fault.Effect
) -> None:
    """Nobody knows what is live, so nobody can say that there is nothing to do; a throttle is no exception."""
    fleet.wants("a")
    fleet.platform.set_faults(Rule(effect, match=Match(route=Route.LIST)))
    planned, exported = shell("plan"), shell("export")
    assert (planned.code, exported.code, exported.out) == (1, 1, "")
    assert "1 account with" in planned.out
    if isinstance(effect, fault.Error):
        assert "without a list from LG" in planned.out
        assert "wait, and try again" in exported.err
        assert shell("plan", "--detailed-exitcode").code == 4


def test_the_schema_printed_is_the_schema_committed(shell: Shell) -> None:
    """The committed JSON Schema is the one of this program, and a valid schema."""
    ended = shell("schema")
    assert ended.out == (ROOT / "desired-state.schema.json").read_text()
    jsonschema.validators.validator_for(json.loads(ended.out)).check_schema(json.loads(ended.out))


def test_events_files_are_validated(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults of the events file and of its Logic Table come at once; without a path the setting names the file."""
    assert shell("validate", "--events", str(ROOT / "events.example.toml")) == Ended(
        0, "valid: 2 sinks, 10 diagnosis types, messages in en, ko\n", ""
    )
    kinds = "installation, misuse, malfunction, maintenance or part_inquiry"
    monkeypatch.chdir(tmp_path)
    Path("events.toml").write_text('version = 1\nlogic = "."\nsink = 3\n')
    Path("types.csv").write_text("diagnosis_type,category\nA,misus\n")
    ended = shell("validate", "--events")
    assert ended.code == 1
    assert places(ended) == [
        "events.toml:3:1: unknown key 'sink'; did you mean 'sinks'?",
        f"types.csv:2:3: unknown category: it must be {kinds}; did you mean 'misuse'?",
    ]
    assert json.loads(shell("validate", "--events", "-o", "json").out)["valid"] is False
    assert "The events file is not valid" in shell("validate", "--events", "-o", "markdown").out
    assert shell("validate", "--events", "-o", "github").out.startswith(
        "::error file=events.toml,line=3,"
    )
    assert shell("validate", "--events", "--against", "main").code == 64


def test_the_schema_of_an_event_is_printed(shell: Shell) -> None:
    """It is a valid schema of a CloudEvent, for whoever receives one."""
    ended = shell("schema", "--event")
    printed = json.loads(ended.out)
    jsonschema.validators.validator_for(printed).check_schema(printed)
    assert {"specversion", "id", "source", "type", "data"} <= {*printed["required"]}


# ---------------------------------------------------------------------------------------------------------------------
# stdout, stderr, terminals


def test_data_and_messages_stay_apart(shell: Shell, fleet: Fleet) -> None:
    """A good run says nothing on stderr, and nothing printed carries an escape code where there is no terminal."""
    fleet.wants(*fleet.owned())
    for line in (
        "validate",
        "plan",
        "plan --output json",
        "plan --output markdown",
        "apply",
        "export",
        "schema",
    ):
        ended = shell(*line.split())
        assert ended.err == "", line
        assert ended.out
        assert ESCAPE not in ended.out


def test_logs_appear_when_asked_for(
    shell: Shell, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PCC_LOG_LEVEL a one-shot command logs too: JSON where there is no terminal, each with ts, level, event."""
    fleet.wants(*fleet.owned()[:7])
    monkeypatch.setenv("PCC_LOG_LEVEL", "info")
    lines = [json.loads(line) for line in shell("apply").err.splitlines()]
    assert "change.applied" in {line["event"] for line in lines}
    assert all(list(line)[:3] == ["ts", "level", "event"] for line in lines)


def test_a_defect_is_told_without_secrets(
    shell: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback, which is a defect of ours, is printed whole but for the secrets that it quotes."""
    del shell
    cli.masking.know({"secret-of-the-tests"})
    broken = typer.Typer()

    @broken.command()
    def fail() -> None:
        raise ValueError("it was secret-of-the-tests")

    monkeypatch.setitem(vars(cli), "app", broken)
    assert cli.run([]) == 1
    said = capsys.readouterr().err
    assert "defect" in said
    assert "Traceback" in said
    assert "secret-of-the-tests" not in said
    assert "it was ****" in said


def test_python_m_does_the_same(fleet: Fleet) -> None:
    """``python -m reconciler`` is the same program, and a reader that leaves early is no error of it."""
    fleet.wants(*fleet.owned())
    ended = process("plan", "--detailed-exitcode")
    assert (ended.code, ended.err) == (2, "")
    assert ended.out.endswith("Plan: 6 to subscribe, 0 to unsubscribe.\n")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        assert process("plan", "--detailed-exitcode", out=closed) == Ended(2, "", "")


def test_a_full_disk_is_told() -> None:
    """Data that cannot be written is an error in one sentence."""
    with Path("/dev/full").open("wb") as full:
        assert process("schema", out=full) == Ended(
            1, "", "pcc-reconciler: cannot print: No space left on device\n"
        )


def test_ctrl_c_lets_apply_end_in_good_order(fleet: Fleet) -> None:
    """Ctrl-C in the middle of changes: calls in flight end, no new one is made, a report is printed; code 130."""
    fleet.wants(*fleet.owned())
    fleet.platform.set_faults(Rule(fault.Latency(seconds=1.0), match=Match(route=Route.SUBSCRIBE)))
    running = started("-m", "reconciler", "apply")
    until(lambda: "POST" in {record.method for record in fleet.platform.requests})
    running.send_signal(signal.SIGINT)
    ended = end_of(running)
    assert ended.code == 130
    assert "waiting for calls in flight" in ended.err
    assert "Traceback" not in ended.err
    posts = [record for record in fleet.platform.requests if record.method == "POST"]
    assert len(posts) == 1
    assert "Done: 1 subscribed" in ended.out


def test_a_second_ctrl_c_ends_apply_at_once(fleet: Fleet) -> None:
    """Who does not want to wait for a call in flight says so twice."""
    fleet.wants(*fleet.owned())
    fleet.platform.set_faults(Rule(fault.Hang(), match=Match(route=Route.SUBSCRIBE)))
    running = started("-m", "reconciler", "apply")
    until(lambda: "POST" in {record.method for record in fleet.platform.requests})
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    assert "again" in running.stderr.readline()
    time.sleep(MOMENT_SECONDS)  # what comes sooner is the same wish
    running.send_signal(signal.SIGINT)
    assert end_of(running) == Ended(130, "", "")


def test_ctrl_c_ends_a_plan_at_once(fleet: Fleet) -> None:
    """A command that only looks has nothing to bring to an end: 130 and a message, no traceback."""
    fleet.wants(*fleet.owned())
    fleet.platform.set_faults(Rule(fault.Hang(), match=Match(route=Route.LIST)))
    running = started("-m", "reconciler", "plan")
    until(lambda: bool(fleet.platform.requests))
    running.send_signal(signal.SIGINT)
    assert end_of(running) == Ended(130, "", "pcc-reconciler: interrupted\n")


def until(true: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def on_a_terminal(*arguments: str, **more: str) -> Ended:
    """Run a command whose stderr is a terminal."""
    ours, theirs = pty.openpty()
    running = started("-m", "reconciler", *arguments, err=theirs, **{"TERM": "xterm", **more})
    os.close(theirs)
    shown = b"".join(read_to_the_end(ours))
    os.close(ours)
    ended = end_of(running)
    return Ended(ended.code, ended.out, shown.decode())


def read_to_the_end(terminal: int) -> Iterator[bytes]:
    """Yield what a terminal is sent, until nobody holds its other side."""
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:
            return


def test_progress_is_shown_on_a_terminal_and_cleaned_up(fleet: Fleet) -> None:
    """Apply shows bars on the terminal that stderr is, and leaves neither them nor a hidden cursor behind."""
    fleet.wants(*fleet.owned())
    fleet.platform.set_faults(Rule(fault.Latency(seconds=0.3), match=Match(route=Route.SUBSCRIBE)))
    ended = on_a_terminal("apply")
    assert ended.code == 0
    assert "changes" in ended.err
    assert "accounts" in ended.err
    assert ended.err.rindex("\x1b[?25h") > ended.err.rindex("\x1b[?25l")
    assert ended.err.endswith("\x1b[2K")
    assert ESCAPE not in ended.out
    assert ended.out.endswith("Done: 6 subscribed, 0 unsubscribed.\n")


def answering(answer: str, *arguments: str, first: Callable[[], None] | None = None) -> Ended:
    """Run a command at a terminal, and answer what it asks; do something between the question and the answer."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reconciler", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    running = subprocess.Popen(  # noqa: S603 - our own
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    )
    os.close(theirs)
    asked = b""
    if first is not None:
        while QUESTION not in asked:
            asked += os.read(ours, 4096)
        first()
    os.write(ours, answer.encode())
    shown = b"".join([asked, *read_to_the_end(ours)])
    os.close(ours)
    ended = end_of(running)
    return Ended(ended.code, ended.out, shown.decode())


@pytest.mark.parametrize("answer", ["no\n", "y\n", "\n", "\x04", "yes please\n"])
def test_apply_on_a_terminal_changes_nothing_without_a_yes(fleet: Fleet, answer: str) -> None:
    """The plan is shown and a person is asked; whatever is not a yes changes nothing and exits with 1."""
    fleet.wants(*fleet.owned())
    before = fleet.live()
    ended = answering(answer, "apply")
    assert (ended.code, ended.out) == (1, "")
    assert "Plan: 6 to subscribe, 0 to unsubscribe" in ended.err
    assert "6 devices to subscribe and 0 to unsubscribe?" in ended.err
    assert ended.err.rstrip().endswith("nothing was changed")
    assert (fleet.methods(), fleet.live()) == ({"GET"}, before)


def test_apply_on_a_terminal_makes_what_was_agreed_to(fleet: Fleet) -> None:
    """After a yes the changes are made, and a second time there is nothing to ask about."""
    fleet.wants(*fleet.owned())
    ended = answering("yes\n", "apply", "--output", "json")
    assert (ended.code, fleet.live()) == (0, frozenset(fleet.owned()))
    assert json.loads(ended.out)["summary"]["subscribed"] == 6
    again = answering("", "apply")
    assert (again.code, "yes" in again.err) == (0, False)


def accounts_text(**wanted: list[str]) -> str:
    """Return the desired state of several accounts; a device that leaves goes at once."""
    policy = '[policy]\nunsubscribe_after = "0s"\nmax_unsubscribe = "100%"\n'
    tables = [
        f"[accounts.{name.replace('_', '-')}]\ndevices = {json.dumps(devices)}\n"
        for name, devices in wanted.items()
    ]
    return "".join(["version = 1\n", policy, *tables])


def test_an_account_that_comes_in_after_the_question_is_left_alone(fleet: Fleet) -> None:
    """Whoever agrees to a plan agrees to nothing of an account that was not in it."""
    hotel = sorted(fleet.live("seoul-hotel"))
    text = Path("desired-state.toml")
    text.write_text(accounts_text(default=sorted(fleet.live()), seoul_hotel=hotel))
    assert process("apply").code == 0
    text.write_text(accounts_text(default=fleet.owned()))

    def another() -> None:
        text.write_text(accounts_text(default=fleet.owned(), seoul_hotel=hotel[1:]))

    ended = answering("yes\n", "apply", first=another)
    assert fleet.live() == frozenset(fleet.owned())
    assert fleet.live("seoul-hotel") == frozenset(hotel), ended
    assert answering("yes\n", "apply").code == 0
    assert fleet.live("seoul-hotel") == frozenset(hotel[1:])


def test_nobody_is_asked_with_yes_or_off_a_terminal(fleet: Fleet) -> None:
    """A script and a CI job go on as before."""
    *most, last = sorted(fleet.owned(), key=lambda device: device not in fleet.live())
    fleet.wants(*most)
    assert answering("", "apply", "--yes").code == 0
    assert fleet.live() == frozenset(most)
    fleet.wants(*most, last)
    assert process("apply").code == 0
    assert fleet.live() == frozenset([*most, last])


def test_nobody_is_asked_in_vain_beside_a_daemon(fleet: Fleet) -> None:
    """Where another process holds the state, that is said before the question."""
    fleet.wants(*fleet.owned())
    before = fleet.live()
    held = State.open(Path(os.environ["PCC_STATE_DIR"]), SystemClock())
    try:
        ended = answering("yes\n", "apply")
    finally:
        held.close()
    assert (ended.code, "is held by" in " ".join(ended.err.split())) == (1, True)
    assert "to subscribe" not in ended.err
    assert fleet.live() == before


def test_a_plan_is_made_of_the_paths_that_are_named(shell: Shell, fleet: Fleet) -> None:
    """A path goes before the setting; several are planned one after the other, and what is not there is misuse."""
    first, second, *_ = sorted(set(fleet.owned()) - fleet.live())
    fleet.wants("aaaaaaaa")
    Path("one.toml").write_text(f'version = 1\ndevices = ["{first}"]\n')
    Path("two.toml").write_text(f'version = 1\ndevices = ["{second}"]\n')
    alone = json.loads(shell("plan", "one.toml", "--output", "json").out)
    assert [one["subscribes"] for one in alone["accounts"]] == [[first]]
    both = json.loads(shell("plan", "one.toml", "two.toml", "one.toml", "-o", "json").out)
    assert [one["subscribes"] for one in both["accounts"]] == [[first], [second]]
    absent = shell("plan", "three.toml")
    assert (absent.code, "there is no file or folder three.toml" in absent.err) == (64, True)
    many = shell("plan", "one.toml", "two.toml", "--server", "http://127.0.0.1:9")
    assert (many.code, "one desired state at a time" in many.err) == (64, True)


NAMED = [
    ("plan",),
    ("apply", "--yes"),
    ("export",),
    ("export", "--registered"),
    ("doctor",),
]


@pytest.mark.parametrize("command", NAMED, ids=" ".join)
def test_a_command_works_on_the_accounts_that_are_named(
    shell: Shell, fleet: Fleet, command: tuple[str, ...]
) -> None:
    """LG is asked nothing of another account, and without a name it is asked of all."""
    wanted = {"default": fleet.owned(), "seoul_hotel": fleet.owned("seoul-hotel")}
    Path("desired-state.toml").write_text(accounts_text(**wanted))
    before = fleet.live()
    for options, users in (
        (("--account", "seoul-hotel"), {"seoul-hotel"}),
        (("--account", "seoul-hotel", "--account", "default"), {"seoul-hotel", "default"}),
        ((), {"seoul-hotel", "default"}),
    ):
        fleet.platform.clear_requests()
        assert shell(*command, *options).code == 0
        assert {record.user for record in fleet.platform.requests} == users
        assert "default" in users or fleet.live() == before


def test_the_question_is_about_the_accounts_that_are_named(fleet: Fleet) -> None:
    """A person agrees to what is shown, and that is what is made."""
    wanted = {"default": fleet.owned(), "seoul_hotel": fleet.owned("seoul-hotel")}
    Path("desired-state.toml").write_text(accounts_text(**wanted))
    before = fleet.live()
    ended = answering("yes\n", "apply", "--account", "seoul-hotel")
    assert "6 devices to subscribe and 0 to unsubscribe?" in ended.err
    assert (ended.code, fleet.live()) == (0, before)
    assert fleet.live("seoul-hotel") == frozenset(fleet.owned("seoul-hotel"))


@pytest.mark.parametrize("user", ["default", "seoul-hotel"])
def test_a_plan_without_the_list_of_one_account_is_an_error(
    shell: Shell, fleet: Fleet, user: str
) -> None:
    """Nobody can tell what would happen to that account, whatever is known of the others."""
    wanted = {"default": fleet.owned(), "seoul_hotel": fleet.owned("seoul-hotel")}
    Path("desired-state.toml").write_text(accounts_text(**wanted))
    assert shell("plan").code == 0
    fleet.platform.set_faults(Rule(fault.Drop(), match=Match(route=Route.LIST, user=user)))
    for command in (("plan",), ("plan", "--output", "json"), ("apply", "--yes")):
        assert shell(*command).code in {1, 4}, command
    assert shell("plan").code == 1


def test_the_approval_of_a_path_lies_beside_that_file(shell: Shell, fleet: Fleet) -> None:
    """The file that a person names says where, and not the setting."""
    home = Path("fleets")
    home.mkdir()
    few = "policy.max_unsubscribe_floor = 1\npolicy.max_unsubscribe = 1\n"
    (home / "a.toml").write_text(f'version = 1\n{few}devices = ["{fleet.owned()[0]}"]\n')
    ended = shell("plan", "fleets/a.toml", "--approval", "removed.txt", "-o", "json")
    (account,) = json.loads(ended.out)["accounts"]
    assert 'device_files = ["removed.txt"]' in account["approval"]
    assert len((home / "removed.txt").read_text().splitlines()) == len(account["held"])
    assert not Path("removed.txt").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("validate",),
        ("validate", "desired-state.toml"),
        ("plan",),
        ("plan", "desired-state.toml"),
        ("apply", "--yes"),
        ("export",),
    ],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_text_of_another_environment_ends_each_command_without_a_call(
    shell: Shell,
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    *,
    by_file: bool,
) -> None:
    """The word may be in the environment or in the env file; the right one is no fault."""
    fleet.wants(*fleet.owned(), more='environment = "production"')
    options = ("--env-file", "pcc.env") if by_file else ()
    for word, code in (("trial", 1), ("production", 0)):
        Path("pcc.env").write_text(f"PCC_ENVIRONMENT={word}\n")
        if not by_file:
            monkeypatch.setenv("PCC_ENVIRONMENT", word)
        fleet.platform.clear_requests()
        ended = shell(*command, *options)
        assert (ended.code, "another environment than 'trial'" in ended.err) == (code, bool(code))
        assert not (code and fleet.platform.requests)


def test_an_option_for_reading_changes_what_is_shown(shell: Shell, fleet: Fleet) -> None:
    """Ids are whole where somebody asks for it, a wide table has more columns, and times are in the zone asked for."""
    *most, last = sorted(fleet.owned(), key=lambda device: device not in fleet.live())
    fleet.wants(*most)
    assert shell("apply", "--yes").code == 0
    fleet.wants(*most, last)
    ids = {("plan",): last, ("devices", "--all"): most[0], ("history",): most[-1]}
    for command, device in ids.items():
        found = [device in shell(*command, *options).out for options in ((), ("--full-ids",))]
        assert found == [False, True], command
    for command in (("devices", "--all"), ("history",)):
        narrow, wide = shell(*command).out, shell(*command, "-o", "wide").out
        assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    for form in ("text", "wide", "markdown"):
        here = shell("history", "-o", form).out
        assert here != shell("history", "-o", form, "--timezone", "Asia/Seoul").out, form


def test_without_a_daemon_a_text_of_another_environment_is_not_in_force(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no daemon would accept is not shown as wanted."""
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    monkeypatch.setenv("PCC_ENVIRONMENT", "production")
    for word, shown in (("trial", 0), ("production", 1)):
        Path("desired-state.toml").write_text(
            f'version = 1\nenvironment = "{word}"\ndevices = ["aaaaaaaa"]\n'
        )
        ended = shell("devices", "-o", "json")
        assert len(json.loads(ended.out)["devices"]) == shown
        assert ("(not in force)" in ended.err) is (not shown)


@pytest.mark.parametrize("command", [("explain", "aaaaaaaa"), ("devices",), ("history",)])
def test_an_answer_without_the_daemon_says_so(
    shell: Shell, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """An answer from the files and the state differs visibly from what a running daemon knows."""
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    fleet.wants("aaaaaaaa")
    shell("apply", "--yes")
    ended = shell(*command)
    assert ended.code == 0
    assert "no daemon answers at http://127.0.0.1:9" in " ".join(ended.err.split())


def test_the_longest_markdown_is_what_a_person_says(shell: Shell, fleet: Fleet) -> None:
    """A plan and the faults of files are cut at the length that is asked for, and not before."""
    fleet.wants(*fleet.owned(), *(f"{number:064}" for number in range(200)))
    Path("bad.toml").write_text("version = 1\n" + "".join(f"a{n} = 1\n" for n in range(200)))
    for command in (("plan",), ("validate", "bad.toml")):
        short = shell(*command, "-o", "markdown", "--longest", "2000").out
        assert 1000 < len(short) <= 2000, command
        assert len(shell(*command, "-o", "markdown").out) > 2000, command


def test_an_env_file_names_the_events_file_to_validate(shell: Shell) -> None:
    """The one of PCC_EVENTS_CONFIG is checked where no path is named."""
    Path("events.toml").write_text("version = 1\n")
    Path("other.toml").write_text("version = 7\n")
    Path("pcc.env").write_text("PCC_EVENTS_CONFIG=other.toml\n")
    assert shell("validate", "--events").code == 0
    ended = shell("validate", "--events", "--env-file", "pcc.env")
    assert (ended.code, "other.toml:1:" in ended.err) == (1, True)


def test_an_account_need_be_in_one_of_the_paths_only(shell: Shell, fleet: Fleet) -> None:
    """What has it is planned; where nothing has it, its name is a mistake."""
    Path("one.toml").write_text(accounts_text(default=fleet.owned()))
    Path("two.toml").write_text(accounts_text(seoul_hotel=fleet.owned("seoul-hotel")))
    for paths in (("one.toml", "two.toml"), ("two.toml", "one.toml")):
        ended = shell("plan", *paths, "--account", "seoul-hotel", "-o", "json")
        (account,) = json.loads(ended.out)["accounts"]
        assert (ended.code, account["account"], len(account["subscribes"])) == (0, "seoul-hotel", 6)
        nowhere = shell("plan", *paths, "--account", "jeju-hotel")
        assert (nowhere.code, nowhere.out, "jeju-hotel" in nowhere.err) == (1, "", True)


def test_logs_are_for_people_on_a_terminal(fleet: Fleet) -> None:
    """On a terminal a line of the log is words, coloured unless NO_COLOR objects."""
    fleet.wants(*fleet.owned())
    coloured = on_a_terminal("apply", PCC_LOG_LEVEL="info").err
    assert "desired.accepted" in coloured
    assert '"event"' not in coloured
    fleet.wants(*fleet.owned()[1:])
    plain = on_a_terminal("apply", PCC_LOG_LEVEL="info", NO_COLOR="1", TERM="dumb").err
    assert "desired.accepted" in plain
    assert ESCAPE not in plain


def test_what_stays_is_not_looked_at_again_and_again() -> None:
    """A settled daemon takes all that it holds from the garbage collector, and first has it remove what is garbage."""
    circle: list[object] = []
    circle.append(circle)
    try:
        spare_the_collector()
        assert gc.get_freeze_count() > 0
        assert not any(one is circle for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_what_many_requests_hold_starts_no_collection() -> None:
    """While 512 requests hold ten objects each, the garbage collector does not run; by default it would."""
    before = gc.get_threshold()
    try:
        let_objects_gather(512)
        gc.collect()
        runs = sum(generation["collections"] for generation in gc.get_stats())
        held = [[number] for number in range(512 * 10)]
        assert sum(generation["collections"] for generation in gc.get_stats()) == runs
        assert len(held) > before[0]
    finally:
        gc.set_threshold(*before)


EMPTY_WORDS = [
    "run --env-file @",
    "validate @",
    "validate desired-state.toml --against @",
    "validate desired-state.toml @",
    "plan --account @",
    "plan --account a --account @",
    "plan --server @",
    "plan --approval @",
    "apply --account @",
    "apply --expect @",
    "export --account @",
    "status --account @",
    "status --wait --revision @",
    "status --wait --timeout @",
    "status --server @",
    "explain @",
    "explain 12345678 --account @",
    "history --account @",
    "history --device @",
    "history --since @",
    "history --until @",
    "history --server @",
    "reconcile @",
    "reconcile --server @",
    "pause @ --for 1h --reason x",
    "pause --for @ --reason x",
    "pause --for 1h --reason @",
    "resume @",
    "doctor --account @",
    "simulate --users @",
    "demo --listen @",
]


@pytest.mark.parametrize("line", EMPTY_WORDS)
@pytest.mark.parametrize("word", ["", " ", "\t\n"])
def test_an_empty_word_is_wrong_usage(
    shell: Shell, recorder: list[str], line: str, word: str
) -> None:
    """A word from a variable that is not set never means everything, and no call is made for it."""
    ended = shell(*(word if one == "@" else one for one in line.split()))
    assert (ended.code, ended.out) == (USAGE, "")
    assert "is empty" in ended.err
    assert not recorder


def test_every_command_refuses_empty_words() -> None:
    """A new command refuses them too, whatever its options are."""
    groups = [typer.main.get_command(cli.app)]
    commands = 0
    for group in groups:
        assert isinstance(group, typer.core.TyperGroup)
        for command in group.commands.values():
            if isinstance(command, typer.core.TyperGroup):
                groups.append(command)
                continue
            assert isinstance(command, Command), command.name
            commands += 1
    assert commands > 20


def test_a_history_without_a_state_is_an_error(shell: Shell, tmp_path: Path) -> None:
    """Where there is no state nothing is known, which is not the same as no change."""
    state = tmp_path / "elsewhere"
    state.mkdir()
    Path("settings.env").write_text(f"PCC_STATE_DIR={state}\nPCC_LISTEN=127.0.0.1:9\n")
    for output in ("text", "json", "markdown"):
        ended = shell("history", "--env-file", "settings.env", "--output", output)
        assert (ended.code, ended.out) == (1, "")
        assert str(state) in ended.err
        assert "PCC_STATE_DIR" in ended.err
    State.open(state, SystemClock()).close()
    ended = shell("history", "--env-file", "settings.env")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "No change in the last 90 days.")
    assert ended.out.splitlines()[1].startswith("Asked: the revision that the daemon accepted last")
    assert str(state) in ended.out
    narrowed = shell(
        "history",
        "--env-file",
        "settings.env",
        "--since",
        "2h",
        "--device",
        "0a77c3f2",
        "--account",
        "default",
    )
    assert (narrowed.code, narrowed.out) == (
        1,
        "",
    )  # an account that is not known is no empty answer
