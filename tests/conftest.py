"""What holds for every test: no network but loopback, no settings from outside, no secret in what is written.

An `async def test_…` needs no marker: anyio's plugin runs it, and async fixtures with it, on one event loop a test.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import engine

from secrets_scan import Scan, SecretsScan

if TYPE_CHECKING:
    from pathlib import Path

    from postgres import Postgres

FROM_OUTSIDE = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *(
        "NO_COLOR",
        "FORCE_COLOR",
        "PY_COLORS",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "LINES",
        "GITHUB_ACTIONS",
    ),
    *(
        "CREDENTIALS_DIRECTORY",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
    ),
)

# Machines differ in speed, so no example has a deadline. ``ci`` tries the same examples each time, ``fresh`` others,
# and it prints how to see one again. HYPOTHESIS_PROFILE=thorough is for a night's run.
settings.register_profile("local", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "fresh", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=2000)
# Hypothesis goes on for five minutes to make an example smaller, and a test is ended after four: then nobody would hear
# what was found. Its authors leave this number to be set from outside.
engine.MAX_SHRINKING_SECONDS = 20
# tools/mutants.py asks only whether an example fails, not for the smallest one.
settings.register_profile(
    "mutants",
    settings.get_profile("ci"),
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "local"))


def is_on_this_machine(host: object) -> bool:
    """Tell whether a host, as it is handed to a socket call, is loopback; what is not text names no host."""
    if isinstance(host, bytes):
        host = host.decode("idna")
    if not isinstance(host, str):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def loopback_only(event: str, args: tuple[object, ...]) -> None:
    """Fail a test that binds, looks up or reaches anything else: an audit hook sees all of them, whoever calls."""
    if event in {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}:
        address = args[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = args[0]
    else:
        return
    if not is_on_this_machine(host):
        # Not an OSError: code under test would take that for weather and try again.
        pytest.fail(f"{event} with {host!r}: tests stay on loopback")


sys.addaudithook(loopback_only)


def pytest_configure(config: pytest.Config) -> None:
    """Search what the program writes for the secrets that it was given, from the first import of a test on."""
    scan = SecretsScan(Scan())
    scan.install()
    config.pluginmanager.register(scan, "secrets-scan")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings, proxies, colours and home of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("PCC_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name in FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,::1,localhost")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command set up for its process: later tests would not see their log lines."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the only event loop the project uses."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgres]:
    """Start a PostgreSQL when the first test asks for it; it ends with the tests. No test stops this one."""
    from postgres import postgres  # noqa: PLC0415 - most rooms need neither it nor its driver

    with postgres() as running:
        yield running
