"""However a receiver ends: what it acknowledged is in the spool."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def trials(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Make trials in a process that may fork."""
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS), str(TESTS / "support")])
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "crashes", *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_was_acknowledged_is_there_after_any_end() -> None:
    """Killed, on a full disk, or without power: a few seeds of the thousand that ``make crashes`` tries."""
    done = trials("--trials", "9")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("defect", ["early", "hasty"])
def test_a_defect_is_found(defect: str) -> None:
    """A spool that acknowledges before its commit, or commits without the disk, is found out."""
    done = trials("--trials", "12", "--defect", defect)
    assert done.returncode == 1, done.stderr
    assert "is missing" in done.stdout or "would be delivered again" in done.stdout
