"""The receiver in the Compose file, its systemd units, and its health check, without a container engine."""

from __future__ import annotations

import re
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests import DEPLOY, PLAYED
from partners import Partner, partner, status
from reconciler.events.config import SinkType, read_config
from reconciler.events.logic_reading import read_logic
from reconciler.events.model import Category
from reconciler.runtime import settings
from reconciler.runtime.settings import LG_CREDENTIALS
from reconciler.simulator import TABLE
from scenarios import child_environment

COMPOSE = DEPLOY / "compose"
SYSTEMD = DEPLOY / "systemd"


def services() -> dict[str, Any]:
    """Return the services of the Compose file."""
    said: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))["services"]
    return said


def unit(name: str) -> list[tuple[str, str]]:
    """Return each setting of a unit."""
    found = []
    for line in (SYSTEMD / name).read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.append((key, value))
    return found


def test_compose_gives_the_receiver_what_it_needs_and_no_more() -> None:
    """Simulator and receiver agree on address and credential, and none of LG's credentials is there."""
    given = services()["receiver"]["environment"]
    assert not given.keys() & set(LG_CREDENTIALS)
    chosen = settings.load_receiver(
        {"PCC_EVENTS_DIR": "/var/lib/pcc-reconciler/events", "PCC_RECEIVE_LISTEN": ":8081"} | given
    )
    assert PLAYED.callback == f"http://127.0.0.1:{chosen.receive_listen.port}/pcc/events"
    assert given["PCC_RECEIVE_BASIC"] == PLAYED.callback_basic
    assert services()["receiver"]["command"] == ["receive"]
    assert services()["receiver"]["network_mode"] == "service:simulator"
    mounts = dict(each.split(":")[1::-1] for each in services()["receiver"]["volumes"])
    assert mounts[str(chosen.events_config.parent)] == "./events"
    assert mounts[str(chosen.desired_state)] == "./desired-state"
    assert mounts["/var/lib/pcc-reconciler"] == "spool"


def test_the_spool_of_compose_is_not_the_state() -> None:
    """Daemon and receiver write to volumes of their own."""
    volumes = [
        each.split(":")[0]
        for name in ("pcc-reconciler", "receiver")
        for each in services()[name]["volumes"]
        if not each.endswith(":ro")
    ]
    assert sorted(volumes) == ["spool", "state"]


def test_the_events_file_of_compose_has_every_diagnosis_of_the_simulator() -> None:
    """File and table have no fault, and words in both languages for each of the simulator's diagnoses."""
    folder = COMPOSE / "events"
    reading = read_config(str(folder / "events.toml"), (folder / "events.toml").read_bytes())
    assert reading.config is not None, reading.faults
    assert [sink.type for sink in reading.config.sinks.values()] == [SinkType.STREAM]
    files = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    found = read_logic(str(folder), files, reading.config.locales)
    assert found.table is not None, found.faults
    assert not found.warnings
    for row in TABLE:
        diagnosis = found.table.diagnosis(row.type, row.device_type)
        assert diagnosis.category == Category(row.category)
        assert diagnosis.words["en"].short == row.short
        assert diagnosis.words["ko"].short == row.short_ko


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlive\n", 0, "live\n"),
        (status(503), 1, "\n"),
    ],
)
async def test_the_health_check_asks_the_receiver(answer: bytes, code: int, words: str) -> None:
    """With the receiver's setting as its argument, the health check of the image asks the receiver's port."""
    command = services()["receiver"]["healthcheck"]["test"]
    assert command[:3] == ["CMD", "python", "-I"]
    assert Path(command[3]).name == "health.py"
    async with partner() as one:
        one.answer = answer
        given = child_environment(
            {"PCC_RECEIVE_LISTEN": f"0.0.0.0:{one.port}", "PCC_LISTEN": "0.0.0.0:1"}
        )
        script = str(DEPLOY / "docker" / "health.py")
        child = await create_subprocess_exec(
            sys.executable, "-I", script, *command[4:], env=given, stdout=PIPE
        )
        out, _ = await child.communicate()
    assert (child.returncode, out.decode()) == (code, words)
    assert asked(one) == ["GET /healthz HTTP/1.1"]


def asked(one: Partner) -> list[str]:
    """Return the request lines that came."""
    return [got.line for got in one.got]


def test_the_unit_gives_settings_that_the_receiver_takes(tmp_path: Path) -> None:
    """The unit's variables and those of its sample file are settings, and callers have to show a credential."""
    lines = unit("pcc-receiver.service")
    credentials = dict(value.split(":") for key, value in lines if key == "LoadCredential")
    for name in credentials:
        (tmp_path / name).write_text("lg:a-secret-of-a-test\n")
    given = dict(value.split("=", 1) for key, value in lines if key == "Environment")
    for line in (SYSTEMD / "receiver.env").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, value = line.partition("=")
            given[name] = value
    in_place = {
        name: value.replace("%S", "/var/lib").replace("%d", str(tmp_path))
        for name, value in given.items()
        if name.startswith("PCC_")
    }
    chosen = settings.load_receiver(in_place)
    assert chosen.receive_listen.on_loopback
    assert chosen.basic_reader() is not None
    said = dict(lines)
    assert str(chosen.events_dir) == f"/var/lib/{said['StateDirectory']}"
    assert int(said["TimeoutStopSec"].rstrip("s")) >= chosen.shutdown_grace.total_seconds() + 10
    files = {Path(value).name for name, value in in_place.items() if name.endswith("_FILE")}
    assert files == set(credentials)
    assert {str(Path(path).parent) for path in credentials.values()} == {
        "/etc/pcc-reconciler/receiver"
    }


@pytest.mark.parametrize("name", ["pcc-receiver.service", "pcc-receiver-check.service"])
def test_the_units_cannot_see_the_credentials_of_lg(name: str) -> None:
    """The folder that the daemon's unit takes LG's credentials from is out of reach, and no variable names one."""
    daemon = [
        Path(value.split(":")[1])
        for key, value in unit("pcc-reconciler.service")
        if key == "LoadCredential"
    ]
    hidden = [Path(value.lstrip("-")) for key, value in unit(name) if key == "InaccessiblePaths"]
    assert daemon
    for path in daemon:
        assert any(path.is_relative_to(folder) for folder in hidden), path
    variables = {value.partition("=")[0] for key, value in unit(name) if key == "Environment"}
    assert not variables & {
        each for credential in LG_CREDENTIALS for each in (credential, f"{credential}_FILE")
    }


def test_the_check_takes_the_public_way() -> None:
    """The check's unit sends to an https address with what LG sends, and the timer starts it every ten minutes."""
    lines = dict(unit("pcc-receiver-check.service"))
    assert re.search(r" receive --check https://\S+/pcc/events$", lines["ExecStart"])
    assert lines["LoadCredential"] == "receive_basic:/etc/pcc-reconciler/receiver/receive_basic"
    assert lines["Type"] == "oneshot"
    assert dict(unit("pcc-receiver-check.timer"))["OnUnitActiveSec"] == "10min"
