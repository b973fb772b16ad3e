"""The option that people forget: ``--env-file``.

Owns: when to remind of it. Must not: read a setting; an env file holds secrets, so only the names in it are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

OPTION = "--env-file"
CREDENTIALS = ("SERVICE_ID", "SERVICE_KEY", "ACCESS_TOKEN", "REFRESH_TOKEN", "CREDENTIALS_DIR")
"""Settings of which a process that asks LG has some."""
MOST_BYTES = 64 * 1024
"""An env file is not longer."""
SHOWN = 3
"""How many files a reminder names."""


def reminder(
    arguments: Sequence[str], environ: Mapping[str, str] = os.environ, folder: Path = Path()
) -> str:
    """Return the reminder for a command that failed, or an empty string.

    It is due where nobody gave the option, the environment has no credential, and a file with settings lies here.
    """
    if any(one == OPTION or one.startswith(f"{OPTION}=") for one in arguments):
        return ""
    if any(_named(name) for name in environ):
        return ""
    files = [one.name for one in sorted(_candidates(folder)) if _has_settings(one)][:SHOWN]
    if not files:
        return ""
    verb = "lies" if len(files) == 1 else "lie"
    return f"hint: {' and '.join(files)} {verb} here; did you forget {OPTION} {files[0]}?"


def _named(name: str) -> bool:
    upper = name.upper()
    return upper.startswith("PCC_") and any(one in upper for one in CREDENTIALS)


def _candidates(folder: Path) -> set[Path]:
    try:
        return {one for one in folder.iterdir() if one.suffix == ".env" or one.name == ".env"}
    except OSError:
        return set()


def _has_settings(file: Path) -> bool:
    """Say whether a file sets any of ours."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            lines = opened.read(MOST_BYTES).splitlines()
    except OSError:
        return False
    return any(line.strip().removeprefix(b"export ").startswith(b"PCC_") for line in lines)
