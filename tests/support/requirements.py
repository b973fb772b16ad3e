"""The locked requirement files as values."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOCKED = re.compile(
    r"^(?P<name>[a-z0-9-]+)(?:\[(?P<extras>[a-z0-9,-]+)\])?==(?P<version>\S+)"
    r"(?: ; (?P<marker>[^\\\n]+))?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$",
    re.MULTILINE,
)


def locked(name: str) -> dict[str, str]:
    """Read the versions that a requirement file pins, by normalised name."""
    text = (ROOT / "requirements" / name).read_text()
    return {found["name"]: found["version"] for found in LOCKED.finditer(text)}
