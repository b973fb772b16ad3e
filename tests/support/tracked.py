"""The text files of the source tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def tracked_texts() -> Iterator[tuple[Path, str]]:
    """Yield each text file of the source tree, by its path there: all but what .gitignore names, and .git."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split()]
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if ".git" in parts or any(
            Path(part).match(pattern) for part in parts for pattern in ignored
        ):
            continue
        if path.is_file():
            try:
                yield path.relative_to(ROOT), path.read_text("utf-8")
            except UnicodeDecodeError:
                continue
