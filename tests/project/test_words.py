"""Plain words: what people read has none of the private words that this project once used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from documents import ROOT

WORDS = {
    r"told": "reported",
    r"said": "stated",
    r"stands(?![ _]out)": "is",
    r"brakes?": "pause",
    r"mend(?:s|ed|ing)?": "fix",
    r"so many": "the number of",
    r"person's word": "approval",
    r"by (?:itself|themselves)": "automatically",
    r"(?:to|could|cannot|can) be had": "available",
    r"ailing": "degraded",
    r"(?:newest|newer|older|accepted|rejected) texts?": "revision",
    r"texts? in force": "revision",
}
"""Each private word as a pattern, and the plain one."""

ALLOWED = {
    ("docs/cli.md", "`mend` (what fixes it)"),
    ("reconciler/reporting/formats/diagnoses.py", '"mend": '),
}
"""The file and the part of a line in which a word is right: the name of a public key."""

READ = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "desired-state.example.toml",
    "desired-state.schema.json",
    "docs/*.md",
    "deploy/grafana/**/*.json",
    "deploy/prometheus/*.yml",
    "deploy/kubernetes/**/*.yaml",
    "deploy/compose/*.yaml",
    "reconciler/**/*.py",
    "reconciler/**/*.html",
    "reconciler/**/*.js",
)
"""What people read: documents, and code with its messages, docstrings and names."""


def found(path: Path, name: str) -> list[str]:
    """Return each private word in a file with its place, and the plain word."""
    faults = []
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if any(name == file and part in line for file, part in ALLOWED):
            continue
        faults += [
            f"{name}:{number}: {word[0]!r}, say: {plain}"
            for pattern, plain in WORDS.items()
            for word in re.finditer(rf"(?<![A-Za-z]){pattern}(?![A-Za-z])", line, re.IGNORECASE)
        ]
    return faults


@pytest.mark.parametrize("pattern", READ)
def test_no_private_word_is_used(pattern: str) -> None:
    """No file that people read has a private word, unless it is the name of a public key."""
    files = {file.relative_to(ROOT).as_posix(): file for file in sorted(ROOT.glob(pattern))}
    assert files
    faults = [fault for name, file in files.items() for fault in found(file, name)]
    assert not faults, "\n".join(faults)


def test_a_private_word_is_found_with_its_place(tmp_path: Path) -> None:
    """A private word is found in prose and in a name, also in capitals; a part of another word is not."""
    file = tmp_path / "page.md"
    file.write_text("It amends the old.\nWhat it TOLD stands.\nself._told\n", encoding="utf-8")
    assert found(file, "page.md") == [
        "page.md:2: 'TOLD', say: reported",
        "page.md:2: 'stands', say: is",
        "page.md:3: 'told', say: reported",
    ]


def test_every_exception_is_needed() -> None:
    """Each part of a line that is allowed is in its file."""
    for name, part in ALLOWED:
        assert part in (ROOT / name).read_text(encoding="utf-8"), (name, part)
