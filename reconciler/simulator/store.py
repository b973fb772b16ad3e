"""The state file: what the simulator knows, as JSON on disk.

Owns: its layout, and that it is replaced as a whole or not at all. Must not: decide when to write.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from reconciler.simulator.errors import SimulatorError
from reconciler.simulator.platform import Options, Platform
from reconciler.simulator.world import World, WorldSnapshot


class _Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    options: Options
    world: WorldSnapshot


def save(platform: Platform, path: Path) -> None:
    """Write the state of a platform. The file is readable by its owner only: it holds (made-up) tokens."""
    text = msgspec.json.encode(_Saved(1, platform.options, platform.world.snapshot()))
    fresh = path.with_name(f".{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise SimulatorError(f"{path}: the state cannot be written: {error.strerror}") from error


def load(path: Path) -> tuple[World, Options]:
    """Read a state file."""
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except OSError as error:
        raise SimulatorError(f"{path}: the state cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SimulatorError(
            f"{path}: this is not a state file of the simulator: {error}"
        ) from error
    return World.from_snapshot(saved.world), saved.options
