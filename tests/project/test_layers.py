"""The import contracts of pyproject.toml: each of them notices the import that it is there to forbid."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CONTRACTS = [
    one["name"]
    for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
]

PLANTED = {
    "Seven floors": ("core/model.py", "reconciler.telemetry.metrics"),
    "Inside reconciler.pcc,": ("pcc/protocol.py", "reconciler.pcc.client"),
    "Inside reconciler.events,": ("events/model.py", "reconciler.events.port"),
    "Inside reconciler.events.delivery,": (
        "events/delivery/policy.py",
        "reconciler.events.delivery.lane",
    ),
    "Inside reconciler.events.sinks,": ("events/sinks/port.py", "reconciler.events.sinks.stream"),
    "Inside reconciler.events.spool,": (
        "events/spool/tables.py",
        "reconciler.events.spool.committer",
    ),
    "Inside reconciler.desired,": ("desired/positions.py", "reconciler.desired.loader"),
    "Inside reconciler.source,": ("source/watch.py", "reconciler.source.files"),
    "Inside reconciler.source.git,": ("source/git/process.py", "reconciler.source.git.clone"),
    "Inside reconciler.state.sqlite,": (
        "state/sqlite/connection.py",
        "reconciler.state.sqlite.database",
    ),
    "Inside reconciler.state.postgres,": (
        "state/postgres/connection.py",
        "reconciler.state.postgres.database",
    ),
    "Inside reconciler.state.sql,": ("state/sql/rows.py", "reconciler.state.sql.writes"),
    "Inside reconciler.state,": ("state/sqlite/tables.py", "reconciler.state.state"),
    "Inside reconciler.controller,": ("controller/executor.py", "reconciler.controller.queue"),
    "Inside reconciler.reporting,": ("reporting/status.py", "reconciler.reporting.formats"),
    "Inside reconciler.reporting.diagnosis,": (
        "reporting/diagnosis/values.py",
        "reconciler.reporting.diagnosis.accounts",
    ),
    "Inside reconciler.reporting.explain,": (
        "reporting/explain/values.py",
        "reconciler.reporting.explain.story",
    ),
    "Inside reconciler.runtime,": ("runtime/wiring.py", "reconciler.runtime.daemon"),
    "Inside reconciler.api,": ("api/port.py", "reconciler.api.app"),
    "Inside reconciler.cli,": ("cli/options.py", "reconciler.cli.run"),
    "Inside reconciler.core.guards,": ("core/guards/situation.py", "reconciler.core.guards.table"),
    "Inside reconciler.core.memory,": ("core/memory/shelves.py", "reconciler.core.memory.day"),
    "The core imports the standard library only": ("core/planner.py", "time"),
    "Only reconciler.pcc speaks HTTP to LG": ("controller/queue.py", "httpx"),
    "Events and subscriptions do not know": ("events/port.py", "reconciler.controller.queue"),
    "Subscriptions and events do not know": ("controller/queue.py", "reconciler.events.model"),
    "Only reconciler.source.git.process runs programs": ("source/git/clone.py", "subprocess"),
    "Only reconciler.state.sqlite knows SQLite": ("state/state.py", "sqlite3"),
    "Only reconciler.state.postgres knows PostgreSQL": ("state/state.py", "psycopg"),
    "The simulator imports nothing of ours": ("simulator/errors.py", "reconciler.core.errors"),
    "Only the commands and the demo start the simulator": (
        "runtime/oneshot.py",
        "reconciler.simulator",
    ),
}
"""For each contract, by the beginning of its name: a module, and an import in it that breaks the contract."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Plant every violation in a copy of the program, and return what the linter says of it."""
    copy = tmp_path_factory.mktemp("layers")
    shutil.copytree(
        ROOT / "reconciler", copy / "reconciler", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", copy)
    for path, name in PLANTED.values():
        with (copy / "reconciler" / path).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {name}\n")
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(  # noqa: S603 - the project's own linter
        [program, "--no-logo", "--no-cache"],
        cwd=copy,
        env={"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return ran.stdout


def test_each_contract_has_a_planted_violation() -> None:
    """No contract is without an example of what it forbids, and no example is without its contract."""
    assert [name for name in CONTRACTS if not name.startswith(tuple(PLANTED))] == []
    assert [
        start for start in PLANTED if not any(name.startswith(start) for name in CONTRACTS)
    ] == []


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_notices_what_it_forbids(name: str, broken: str) -> None:
    """The import that a contract forbids breaks it."""
    (verdict,) = re.findall(rf"^{re.escape(name)} (KEPT|BROKEN)", broken, re.MULTILINE)
    assert verdict == "BROKEN"


def test_a_new_room_has_to_be_given_a_floor(tmp_path: Path) -> None:
    """A package that no floor names breaks the contract of the floors."""
    shutil.copytree(
        ROOT / "reconciler", tmp_path / "reconciler", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "reconciler" / "attic.py").write_text(
        '"""A room that nobody planned."""\n', "utf-8"
    )
    program = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(  # noqa: S603 - the project's own linter
        [program, "--no-logo", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "attic" in ran.stdout
