"""Documents say what the code says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import floors
from documents import ROOT, SECTIONS, written
from log_events import events_in_code
from reconciler.core.guards import GUARDS


@pytest.mark.parametrize("path", SECTIONS)
def test_generated_sections_are_current(path: str) -> None:
    """Every table that is made from code is what ``make docs`` would write now."""
    document = (ROOT / path).read_text(encoding="utf-8")
    assert written(document, path) == document, "run: make docs"


def test_every_log_event_is_documented() -> None:
    """Each event that the code emits has a row in the document, and the document names no other."""
    document = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", document, flags=re.MULTILINE))
    assert documented == events_in_code()


def keys_in_code() -> dict[str, tuple[set[str], bool]]:
    """Return the keys that each event is told with where it is told by name, and whether there may be more."""
    found: dict[str, tuple[set[str], bool]] = {}
    for file in (ROOT / "reconciler").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                    args=[ast.Constant(value=str(event))],
                ):
                    keys, more = found.get(event, (set(), False))
                    named = {one.arg for one in node.keywords if one.arg not in {None, "exc_info"}}
                    more = more or any(one.arg in {None, "exc_info"} for one in node.keywords)
                    found[event] = (
                        keys | named | ({"exception"} if level == "exception" else set()),
                        more,
                    )
    return found


def test_the_keys_of_every_log_event_are_documented() -> None:
    """The row of an event names each key that the code gives it, and no other."""
    document = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|[^|]*\|([^|]*)\|", document, flags=re.MULTILINE)
    documented = {event: set(re.findall(r"`(\w+)`", keys)) for event, keys in rows}
    told = keys_in_code()
    assert len(told) > 20
    bound = {"account"}  # a row need not say that a line of a pass names its account
    for event, (keys, more) in told.items():
        assert keys - bound <= documented[event], event
        assert more or documented[event] <= keys, event


def test_every_reason_says_what_to_do() -> None:
    """Each reason has a section of its own that ends in what a person does, in the words that ``explain`` says too."""
    document = (ROOT / "docs/guards.md").read_text(encoding="utf-8")
    sections = dict(
        re.findall(r"^### `([a-z-]+)`\n(.*?)(?=^##|\Z)", document, re.MULTILINE | re.DOTALL)
    )
    assert set(sections) == {guard.reason for guard in GUARDS}
    for guard in GUARDS:
        told = " ".join(sections[guard.reason].partition("**Do:**")[2].split())
        assert told.startswith(guard.do), guard.reason


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*.md"))],
    ids=lambda path: path.name,
)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of the project leads to one that is there."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_picture_of_the_floors_is_current() -> None:
    """The picture is what the imports and the contract of the floors make of it now."""
    assert floors.PICTURE.read_text("utf-8") == floors.drawn(), "run: make docs"


def test_the_architecture_shows_every_room() -> None:
    """The picture of the floors names each package there is, and the table each module."""
    document = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    picture = document.partition("```\n")[2].partition("```")[0]
    drawn = set(re.findall(r"^(?:[1-7] )? +([a-z]+) ", picture, re.MULTILINE))
    assert drawn == {path.parent.name for path in (ROOT / "reconciler").glob("*/__init__.py")}
    tabled = set(re.findall(r"^\| `([a-z_/]+\.py)` \|", document, re.MULTILINE))
    there = {
        path.relative_to(ROOT / "reconciler").as_posix()
        for path in (ROOT / "reconciler").glob("*/**/*.py")
    }
    assert tabled == {
        path
        for path in there
        if not path.endswith("__init__.py") and not path.startswith("simulator/")
    }
