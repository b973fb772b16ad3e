"""What the first page shows of the program: the badges, and a plan of a small fleet.

Owns: the fleet of that plan, and the drawing of the badges.
Must not: show a line that the program did not print.

``make docs`` writes both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from places import PROJECT, ROOT, places
from reconciler.simulator import sample_platform
from scenarios import child_environment, credentials_folder, environment, owned, write
from served import served

HOTEL = "seoul-hotel"
ROOMS = ("fridge", "washer", "oven", "dish washer")
NEW = 2
"""How many devices the file wants that are not subscribed."""
LEAVES = 4
"""The device that is subscribed and that the file no longer names."""
WIDTH = 80
BADGES = ROOT / "docs" / "images"
CHARACTER = 6.6
"""Width of an average character of 11 px in the fonts named below."""


def fleet_file(devices: Sequence[str]) -> str:
    """Return a file that wants all of these devices but one."""
    lines = [
        f'  {{ id = "{device}", name = "Room {1201 + number} {ROOMS[number % len(ROOMS)]}" }},\n'
        for number, device in enumerate(devices)
        if number != LEAVES
    ]
    return f"version = 1\n[accounts.{HOTEL}]\ndevices = [\n{''.join(lines)}]\n"


def plan() -> list[str]:
    """Return what ``plan`` prints for a hotel that gained two devices and lost one."""
    platform = sample_platform({HOTEL: 40}, only_pcc=True, seed=3)
    devices = owned(platform, HOTEL)
    platform.subscribe(HOTEL, *devices[NEW:])
    printed = ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "desired-state.toml", fleet_file(devices))
        credentials = credentials_folder(platform, folder / "credentials")
        for address in served(platform):
            given = environment(platform, address, folder)
            given |= {"PCC_CREDENTIALS_DIR": str(credentials), "NO_COLOR": "1"}
            done = subprocess.run(
                [sys.executable, "-m", "reconciler", "plan"],
                env=child_environment(given) | {"COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT)},
                cwd=os.fspath(folder),
                capture_output=True,
                text=True,
                check=True,
            )
            printed = done.stdout
    return ["```console", "$ pcc-reconciler plan", *printed.rstrip().splitlines(), "```"]


@dataclass(frozen=True)
class Badge:
    """A word and a value, side by side."""

    name: str
    word: str
    value: str

    @property
    def path(self) -> Path:
        """Return the file of the picture."""
        return BADGES / f"badge-{self.name}.svg"

    def drawn(self) -> str:
        """Return the picture: two boxes that can be read on light and dark pages."""
        left = round(len(self.word) * CHARACTER) + 12
        right = round(len(self.value) * CHARACTER) + 12
        font = "font-family='Verdana,DejaVu Sans,sans-serif' font-size='11' text-anchor='middle'"
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{left + right}' height='20' "
            f"role='img' aria-label='{self.word}: {self.value}'>\n"
            f"<title>{self.word}: {self.value}</title>\n"
            f"<rect width='{left}' height='20' fill='#4a5260'/>\n"
            f"<rect x='{left}' width='{right}' height='20' fill='#0b66a8'/>\n"
            f"<g fill='#fff' {font}>\n"
            f"<text x='{left / 2:g}' y='14'>{self.word}</text>\n"
            f"<text x='{left + right / 2:g}' y='14'>{self.value}</text>\n"
            "</g>\n</svg>\n"
        )


def badges() -> list[Badge]:
    """Return the badges: what pyproject.toml and the package say."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    python = project["requires-python"].removeprefix(">=")
    return [
        Badge("version", "version", places().version),
        Badge("python", "python", f"{python} or newer"),
        Badge("licence", "licence", project["license"]),
    ]


def main() -> None:
    """Draw the badges."""
    for badge in badges():
        badge.path.write_text(badge.drawn(), encoding="utf-8")


if __name__ == "__main__":
    main()
