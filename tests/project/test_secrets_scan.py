"""The search for secrets in what the program writes: that it finds them, wherever they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secrets_scan import PLENTY_OF_BYTES, PLENTY_OF_SECRETS, Scan

TESTS = Path(__file__).parent.parent
CONFTEST = (TESTS / "conftest.py").read_text("utf-8")

LEAKS = """
import asyncio, logging, sqlite3, subprocess, sys, tempfile
import httpx, pytest, structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from structlog.testing import capture_logs
from reconciler.core.errors import ReconcilerError
from reconciler.telemetry.logs import set_up_logs
from reconciler.telemetry.masking import Masking
from reconciler.simulator import sample_platform

IMPORTED = SecretStr("made-when-the-module-was-imported")
CHILD = "import os; print(os.environ['PCC_SERVICE_KEY'])"

def secret():
    return SecretStr("made-by-a-test").get_secret_value()

def test_print():
    print(secret())

def test_read(capsys):
    print(secret(), file=sys.stderr)
    capsys.readouterr()

def test_line(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        set_up_logs("info", "json", stream=stream)
        structlog.get_logger().info("one", facts=[secret()])

def test_event():
    with capture_logs():
        structlog.get_logger().info("one", facts={"list": [secret()]})

def test_cause():
    with capture_logs():
        try:
            raise OSError from ValueError(secret())
        except OSError:
            structlog.get_logger().exception("one")

def test_error():
    with pytest.raises(ReconcilerError):
        raise ReconcilerError("this is " + secret())

async def test_answer():
    async def show(request):
        return PlainTextResponse("this is " + secret())
    transport = httpx.ASGITransport(Starlette(routes=[Route("/", show)]))
    async with httpx.AsyncClient(transport=transport) as http:
        await http.get("http://127.0.0.1/")

def write(folder):
    database = sqlite3.connect(f"{folder}/state.sqlite3")
    database.execute("CREATE TABLE facts (fact TEXT)")
    database.execute("INSERT INTO facts VALUES (?)", [secret()])
    database.commit()
    database.close()

def test_state(tmp_path):
    write(tmp_path)

def test_state_that_goes():
    with tempfile.TemporaryDirectory() as folder:
        write(folder)

def test_child():
    key = {"PCC_SERVICE_KEY": "given-to-a-child"}
    subprocess.run([sys.executable, "-c", CHILD], env=key, capture_output=True, check=True)

async def test_async_child():
    key = {"PCC_SERVICE_KEY": "given-to-a-child"}
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, env=key, stdout=subprocess.PIPE)
    await child.communicate()

def test_imported():
    print(IMPORTED.get_secret_value())

def test_known():
    Masking().know(["known-to-the-masking"])
    print("known-to-the-masking")

@pytest.mark.parametrize("name", ["access", "refresh", "key", "rotated"])
def test_simulator(name):
    platform = sample_platform()
    user = platform.world.user("default")
    platform.issue_token("default")
    print({
        "access": list(user.access_tokens)[0],
        "refresh": user.refresh_token,
        "key": platform.world.service.key,
        "rotated": platform.world.rotate_refresh(user),
    }[name])

def test_address():
    SecretStr("made-by/a=test")
    print("http://host/?made-by%2Fa%3Dtest")
"""

INNOCENT = """
import pytest, structlog
from pydantic import SecretStr
from reconciler.telemetry.logs import set_up_logs
from reconciler.telemetry.masking import Masking

def test_masked(capsys):
    secret = SecretStr("made-by-a-test")
    masking = set_up_logs("info", "json")
    masking.know([secret.get_secret_value()])
    structlog.get_logger().info("one", fact=secret.get_secret_value())
    print(secret, masking.text(secret.get_secret_value()))

@pytest.mark.shows_secrets("it says why")
def test_told():
    print(SecretStr("made-by-a-test").get_secret_value())

def test_of_another_test():
    print("made-by-a-test")
"""


def outcome(folder: Path, tests: str, *options: str) -> tuple[int, str]:
    """Run tests of their own, with our plugin, and return their exit code and what pytest said."""
    (folder / "conftest.py").write_text(CONFTEST, "utf-8")
    (folder / "pytest.ini").write_text(
        "[pytest]\nanyio_mode = auto\ntestpaths = .\naddopts = --strict-markers\n"
    )
    (folder / "test_these.py").write_text(tests, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=short",
        "--show-capture=no",
        "-p",
        "no:cacheprovider",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS / "support"), str(TESTS.parent)]),
    }
    ran = subprocess.run(  # noqa: S603 - our own tests
        [*command, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout


def test_a_secret_is_found_wherever_it_is_written(tmp_path: Path) -> None:
    """Tests that leak, each in another way, all pass by themselves, and each of them fails for its leak."""
    code, said = outcome(tmp_path, LEAKS, "-rE", "test_these.py")
    tests = LEAKS.count("def test_") + 3  # one has four cases
    assert code == pytest.ExitCode.TESTS_FAILED
    assert f"{tests} passed, {tests} errors" in said
    for sink in PLENTY_OF_BYTES:
        assert f"{sink} shows a secret of " in said
    for source in PLENTY_OF_SECRETS:
        assert f" shows a secret of {source}: " in said


def test_what_is_masked_or_told_on_purpose_is_no_leak(tmp_path: Path) -> None:
    """A masked secret, one that a test shows with a reason, and words that were another test's secret fail nothing."""
    code, said = outcome(tmp_path, INNOCENT, "test_these.py")
    assert (code, "3 passed" in said) == (pytest.ExitCode.OK, True)


@pytest.mark.parametrize("processes", [[], ["-n", "2"]])
def test_a_whole_run_in_which_little_was_heard_fails(tmp_path: Path, processes: list[str]) -> None:
    """Tests that pass without a leak are not believed when next to nothing was searched; a part of them is."""
    code, said = outcome(tmp_path, INNOCENT, *processes)
    assert (code, "3 passed" in said) == (pytest.ExitCode.TESTS_FAILED, True)
    assert said.count("heard only") == len(PLENTY_OF_SECRETS) + len(PLENTY_OF_BYTES)
    assert outcome(tmp_path, INNOCENT, "-k", "masked", *processes)[0] == pytest.ExitCode.OK


def test_several_processes_search_as_much_as_one(tmp_path: Path) -> None:
    """Where tests are spread over processes, their leaks fail them, and what all of them searched is added up."""
    code, said = outcome(tmp_path, LEAKS, "-rE", "-n", "2", "test_these.py")
    tests = LEAKS.count("def test_") + 3  # one has four cases
    assert (code, f"{tests} passed, {tests} errors" in said) == (pytest.ExitCode.TESTS_FAILED, True)
    assert "for 0 secrets" not in said


def test_a_leak_is_told_without_the_secret() -> None:
    """What is said of a leak names its place and the words around it, and is no leak itself."""
    scan = Scan()
    scan.learn("somebody", ["the-secret-itself"])
    scan.hear("the wall", "before the-secret-itself after")
    (leak,) = map(str, scan.leaks())
    assert leak == "the wall shows a secret of somebody: …before ********** after…"
    assert not scan.leaks()
