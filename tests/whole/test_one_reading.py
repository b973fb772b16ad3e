"""Whoever reads the files reads them alike: the daemon, and each command that answers in its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.client import planning
from reconciler.cli import run
from reconciler.controller.informer import Informer
from reconciler.core.acceptance import Accepted
from reconciler.core.errors import Invalid
from reconciler.reporting import diff, preview
from reconciler.runtime import offline, settings
from reconciler.runtime.clock import SystemClock
from reconciler.source import FileSource, load_fetched
from reconciler.state import State
from reconciler.telemetry.metrics import Metrics
from repositories import Remote
from scenarios import write

EAST = 'version = 1\n[accounts.east]\ndevices = ["e1"]\n'
WEST = 'version = 1\n[accounts.west]\ndevices = ["w1"]\n'


def in_force(accepted: Accepted) -> dict[str, tuple[frozenset[str], str | None]]:
    """Return the devices of each account, and why a newer revision is rejected if it is."""
    return {
        name: (frozenset(one.desired.devices), one.rejected)
        for name, one in accepted.accounts.items()
    }


async def accepted_by(informer: Informer) -> Accepted:
    """Return what an informer has in force after a start."""
    await informer.recall()
    await informer.refresh()
    return informer.accepted


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Give a folder that was accepted as a whole; then one file is edited and the other cannot be read any more."""
    home = tmp_path / "desired"
    write(home / "east.toml", EAST)
    write(home / "west.toml", WEST)
    clock = SystemClock()
    with closing(State.open(tmp_path / "state", clock)) as state:
        await accepted_by(
            Informer(
                FileSource(home),
                state.accounts,
                state.revisions,
                state.protections,
                Metrics(),
                clock=clock,
            )
        )
    write(home / "east.toml", EAST.replace('"e1"', '"e1", "e2"'))
    (home / "west.toml").unlink()
    (home / "west.toml").mkdir()
    return home


FAULT = "west.toml: is not a regular file"


async def test_the_good_files_of_a_folder_count(folder: Path, tmp_path: Path) -> None:
    """The daemon and ``explain`` without one take the good file, and leave the account of the other as it was."""
    chosen = settings.load(
        {"PCC_DESIRED_STATE": str(folder), "PCC_STATE_DIR": str(tmp_path / "state")}
    )
    alone = offline.at_hand(chosen, SystemClock())
    clock = SystemClock()
    with closing(State.open(tmp_path / "state", clock)) as state:
        daemon = await accepted_by(
            Informer(
                FileSource(folder),
                state.accounts,
                state.revisions,
                state.protections,
                Metrics(),
                clock=clock,
                keeps=False,
            )
        )
    expected = {"east": (frozenset({"e1", "e2"}), None), "west": (frozenset({"w1"}), "invalid")}
    assert in_force(daemon) == in_force(alone.known.accepted) == expected
    assert daemon.faults == alone.known.accepted.faults
    assert [str(fault) for fault in daemon.faults] == [f"{folder}/{FAULT}"]
    assert alone.notes == (f"{folder}/{FAULT} (not in force)",)


async def test_every_command_names_the_file_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``validate``, and both ends of a plan by the daemon, refuse the folder for the same fault."""
    assert run(["validate", str(folder), "--output", "json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)["faults"]
    assert (told["path"], told["message"]) == (f"{folder}/west.toml", "is not a regular file")

    def ask(_path: str, _body: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("faulty files are not sent")

    with pytest.raises(Invalid, match=FAULT):
        planning.plan(folder, None, (), ask, show="none")
    proposal = preview.Proposal(("east.toml", "west.toml"), {"east.toml": EAST})
    with pytest.raises(Invalid, match=r"west\.toml: the content of this document was not sent"):
        await preview.planned(
            proposal, Accepted(), lambda *_: pytest.fail("faulty files are not planned")
        )


@pytest.mark.system
def test_a_revision_with_a_file_that_cannot_be_read_is_not_compared(tmp_path: Path) -> None:
    """A comparison with an earlier revision says which file it was."""
    remote = Remote(tmp_path / "served")
    (remote.work / "west.toml").symlink_to("east.toml")
    remote.publish({"east.toml": EAST}, "Begin")
    now = SystemClock().now()
    after = load_fetched(FileSource(remote.work / "east.toml").fetch())
    compared = diff.since("HEAD", remote.work, after, now)
    assert compared.trouble.endswith(
        "west.toml: is a symbolic link; of a repository only regular files are read"
    )
