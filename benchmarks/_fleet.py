"""A fleet of any size as files: the text that wants it, and what LG answers when all of it is subscribed.

Owns: how ids look, which is as LG's do, and the same in each process. Must not: measure, or know who reads the files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path


def ids(count: int) -> list[str]:
    """Return so many ids."""
    return [sha256(str(number).encode()).hexdigest() for number in range(count)]


def write_device_file(folder: Path, devices: Sequence[str]) -> None:
    """Write a text that names one device file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "devices.txt").write_text(
        "".join(f"{device}\n" for device in devices), encoding="utf-8"
    )
    text = 'version = 1\ndevice_files = ["devices.txt"]\n'
    (folder / "desired-state.toml").write_text(text, encoding="utf-8")


def write_inline(folder: Path, devices: Sequence[str]) -> None:
    """Write a text that holds the ids itself."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = "".join(f'  "{device}",\n' for device in devices)
    (folder / "desired-state.toml").write_text(
        f"version = 1\ndevices = [\n{listed}]\n", encoding="utf-8"
    )


def write_live(path: Path, devices: Sequence[str]) -> None:
    """Write LG's answer in which all are subscribed, in an order of its own."""
    shuffled = list(devices)
    random.Random(1).shuffle(shuffled)  # noqa: S311 - no secret
    response = [{"deviceId": device} for device in shuffled]
    path.write_text(
        json.dumps({"messageId": "m", "timestamp": "t", "response": response}), encoding="utf-8"
    )
