"""Output in every encoding: commands that run where a terminal or a pipe cannot write every character."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.desired import Document, MemoryTree, load
from scenarios import child_environment, fleet, owned, site

NAME = "방 1203, Küche 🧊"
ENCODINGS: tuple[Mapping[str, str], ...] = (
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "iso-8859-1"},
    {"PYTHONIOENCODING": "euc-kr"},
)
TEXT = f'version = 1\ndevices = [{{ id = "device-1", name = "{NAME}" }}]\n'


def run(
    folder: Path, how: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder, with these variables."""
    return subprocess.run(  # noqa: S603 - arguments are those of a test
        [sys.executable, "-m", "reconciler", *arguments],
        cwd=folder,
        env=child_environment({"PYTHONPATH": str(Path.cwd()), **how}),
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("how", ENCODINGS, ids=str)
def test_every_form_of_validate_is_printed(tmp_path: Path, how: Mapping[str, str]) -> None:
    """Forms for programs are UTF-8 everywhere; text is as good as the encoding, and nothing ends in a traceback."""
    (tmp_path / "desired-state.toml").write_text(TEXT, encoding="utf-8")
    faulty = tmp_path / "방.toml"
    faulty.write_text(TEXT.replace("devices", "dévices"), encoding="utf-8")
    for form in ("text", "json", "github"):
        for file in (tmp_path / "desired-state.toml", faulty):
            ended = run(tmp_path, how, "validate", str(file), "--output", form)
            assert b"Traceback" not in ended.stderr
            assert b"defect" not in ended.stderr
            assert ended.returncode == (file == faulty)
            if form != "text":
                ended.stdout.decode("utf-8")
            if form == "json":
                json.loads(ended.stdout)


@pytest.mark.parametrize("how", ENCODINGS, ids=str)
@pytest.mark.parametrize("command", ["plan --help", "schema", "doctor"])
def test_help_and_messages_are_printed(
    tmp_path: Path, how: Mapping[str, str], command: str
) -> None:
    """Help, schema and messages quote characters that an encoding may lack."""
    ended = run(tmp_path, how, *command.split())
    assert b"Traceback" not in ended.stderr
    if command == "schema":
        json.loads(ended.stdout.decode("utf-8"))


def test_a_word_that_the_locale_cannot_read_is_wrong_usage(tmp_path: Path) -> None:
    """A name given in another encoding is told as such, and nothing is asked for it."""
    for line in (("explain", NAME), ("pause", "--for", "1h", "--reason", NAME), ("resume", NAME)):
        ended = run(tmp_path, ENCODINGS[0], *line)
        assert ended.returncode == 64
        assert b"locale" in ended.stderr


async def test_what_the_daemon_says_is_printed_in_every_encoding(tmp_path: Path) -> None:
    """Names and words of a fleet are shown by every command, whatever the terminal can write."""
    platform = fleet(3)
    device = owned(platform)[0]
    (tmp_path / "desired-state.toml").write_text(TEXT.replace("device-1", device), encoding="utf-8")
    async with site(tmp_path, platform) as one:
        await one.has([device])
        listen = str(one.http.base_url).removeprefix("http://").rstrip("/")
        for how in ENCODINGS[2:]:
            variables = {**one.environment, "PCC_LISTEN": listen, **how}
            for line in (
                "status",
                "status --output markdown",
                f"explain {device}",
                "history",
                "plan --output text",
            ):
                ended = await asyncio.to_thread(run, tmp_path, variables, *line.split())
                assert (ended.returncode, b"Traceback" in ended.stderr) == (0, False)
            ended = await asyncio.to_thread(run, tmp_path, variables, "history", "--output", "json")
            assert json.loads(ended.stdout.decode("utf-8"))["changes"][0]["name"] == NAME
            ended = await asyncio.to_thread(run, tmp_path, variables, "export")
            loaded = load([Document("export.toml", ended.stdout)], MemoryTree({}))
            assert (ended.returncode, loaded.faults, NAME.encode() in ended.stdout) == (0, (), True)


def test_json_lines_of_the_log_are_json_in_every_encoding() -> None:
    """A log that a program reads is one object a line, also where the stream is not UTF-8."""
    code = "import structlog; from reconciler.telemetry.logs import set_up_logs; set_up_logs(form='json')"
    say = f"structlog.get_logger().info('x', name={NAME!a})"
    for how in ENCODINGS:
        environment = child_environment({"PYTHONPATH": str(Path.cwd()), **how})
        ended = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", f"{code}; {say}"],
            env=environment,
            capture_output=True,
            check=True,
        )
        assert json.loads(ended.stderr)["name"] == NAME


@pytest.mark.parametrize(
    "closed", [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", "<&- >&-"]
)
@pytest.mark.parametrize("line", ["schema", "validate nothing.toml", "--help"])
def test_a_stream_that_takes_nothing_is_no_defect(tmp_path: Path, closed: str, line: str) -> None:
    """Where a stream is closed or full, a command says so on the other one, if there is one, and ends."""
    program = f"{sys.executable} -m reconciler {line} {closed}"
    ended = subprocess.run(  # noqa: S602 - a shell closes what the test says
        program,
        shell=True,
        cwd=tmp_path,
        env=child_environment({"PYTHONPATH": str(Path.cwd())}),
        capture_output=True,
        check=False,
    )
    assert ended.returncode in {0, 1}
    assert b"Traceback" not in ended.stderr
    if line == "schema" and "2>" not in closed:
        assert (ended.returncode, ended.stdout, b"cannot print" in ended.stderr) == (1, b"", True)
