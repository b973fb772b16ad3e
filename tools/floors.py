"""The picture of the floors in docs/architecture.md, drawn from the imports.

Owns: what is drawn and where. The floors are those of the import contract in pyproject.toml, so the picture cannot show
another house than the one that is checked. ``make docs`` writes it; a test fails where it is not current.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "floors.svg"
PACKAGE = ROOT / "reconciler"

WIDTH, FLOOR, BOX, GAP, LEFT, TOP = 880, 92, 54, 24, 44, 16
WIDTHS = ((5, 0.8), (25, 1.6), (100_000, 3.2))
"""How wide an arrow is that stands for at most this many imports; few steps, so that few edits change the picture."""
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2933; }
  .small { font-size: 10.5px; fill: #52606d; }
  .room { fill: #f5f7fa; stroke: #9aa5b1; }
  .floor { stroke: #e4e7eb; }
  .arrow { fill: none; stroke: #7b8794; opacity: .55; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb; } .small { fill: #9aa5b1; } .room { fill: #1f2933; stroke: #616e7c; }
    .floor { stroke: #323f4b; } .arrow { stroke: #9aa5b1; }
  }
"""


@dataclass(frozen=True, slots=True)
class Room:
    """One room as it is drawn: its name, what it is about, and the middle of its box."""

    name: str
    about: str
    x: float
    y: float
    width: float


def floors() -> list[list[str]]:
    """Return the rooms of each floor, highest first, as the import contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers: list[str] = contracts[0]["layers"]
    return [[room.strip() for room in layer.split("|")] for layer in layers if layer != "__main__"]


def rooms() -> dict[str, Room]:
    """Return every room with its place on the sheet."""
    found = {}
    for number, names in enumerate(floors()):
        width = (WIDTH - 2 * LEFT - GAP * (len(names) - 1)) / len(names)
        width = min(width, 360.0)
        row = width * len(names) + GAP * (len(names) - 1)
        for place, name in enumerate(names):
            x = (WIDTH - row) / 2 + place * (width + GAP) + width / 2
            found[name] = Room(name, _about(name), x, TOP + number * FLOOR + BOX / 2, width)
    return found


def _about(name: str) -> str:
    """Return the first words of a room's docstring, as far as they fit."""
    said = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text("utf-8"))) or ""
    return said.split("\n")[0].partition(":")[0].partition(",")[0].rstrip(".")


def imports() -> Counter[tuple[str, str]]:
    """Count the imports that lead from one room into another."""
    counted: Counter[tuple[str, str]] = Counter()
    known = {name for names in floors() for name in names}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if room not in known:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module is not None
                and node.module.startswith("reconciler.")
            ):
                target = node.module.split(".")[1]
                if target in known and target != room:
                    counted[room, target] += 1
    return counted


def drawn() -> str:
    """Return the picture as SVG."""
    placed, height = rooms(), TOP + len(floors()) * FLOOR
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The rooms of the program on their floors; arrows are imports, and all of them lead down</title>",
        f"<style>{STYLE}</style>",
    ]
    for number in range(len(floors())):
        y = TOP + number * FLOOR + BOX + (FLOOR - BOX) / 2
        parts.append(f'<line class="floor" x1="12" x2="{WIDTH - 12}" y1="{y:.0f}" y2="{y:.0f}"/>')
        parts.append(
            f'<text class="small" x="12" y="{TOP + number * FLOOR + BOX / 2 + 4:.0f}">{len(floors()) - number}</text>'
        )
    for (source, target), count in sorted(imports().items()):
        parts.append(_arrow(placed[source], placed[target], count))
    parts += [_box(room) for room in placed.values()]
    return "\n".join([*parts, "</svg>", ""])


def _arrow(source: Room, target: Room, count: int) -> str:
    begin, end = source.y + BOX / 2, target.y - BOX / 2
    shift = (target.x - source.x) * 0.25
    middle = (begin + end) / 2
    x1, x2 = source.x + shift * 0.6, target.x - shift * 0.6
    width = next(width for most, width in WIDTHS if count <= most)
    return (
        f'<path class="arrow" stroke-width="{width:.1f}" '
        f'd="M{x1:.0f} {begin:.0f} C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {end:.0f}"/>'
    )


def _box(room: Room) -> str:
    x, y = room.x - room.width / 2, room.y - BOX / 2
    return (
        f'<rect class="room" x="{x:.0f}" y="{y:.0f}" width="{room.width:.0f}" height="{BOX}" rx="7"/>'
        f'<text x="{room.x:.0f}" y="{room.y - 3:.0f}" text-anchor="middle">{room.name}</text>'
        f'<text class="small" x="{room.x:.0f}" y="{room.y + 14:.0f}" text-anchor="middle">{escape(room.about)}</text>'
    )


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(drawn(), encoding="utf-8")


if __name__ == "__main__":
    main()
