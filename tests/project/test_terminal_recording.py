"""The recording on the first page is a picture that any page may show, of what the program prints now."""

from __future__ import annotations

import re
import shlex
from xml.etree import ElementTree as ET

import pytest
import typer

import reconciler
import terminal_recording as recording
from places import ROOT
from reconciler import cli
from reconciler.runtime.demo import Demo

SVG = "{http://www.w3.org/2000/svg}"
TEXT = recording.PICTURE.read_text(encoding="utf-8")
PICTURE = ET.fromstring(TEXT)  # noqa: S314 - ours
LARGEST = 150_000
"""Bytes; a page that loads it should not notice."""


def shown() -> list[str]:
    """Return the lines of the first terminal, put together from their parts."""
    (first, *_) = (one for one in PICTURE.iter(f"{SVG}g") if "scene" in one.get("class", ""))
    rows: dict[float, list[tuple[float, str]]] = {}
    for part in first.iter(f"{SVG}text"):
        rows.setdefault(float(part.get("y", "")), []).append(
            (float(part.get("x", "")), part.text or "")
        )
    found = []
    for y in sorted(rows):
        line = ""
        for x, words in sorted(rows[y]):
            line = line.ljust(round(x / recording.WIDTH)) + words
        found.append(line)
    return found


def test_it_is_a_picture_and_nothing_else() -> None:
    """It has no script, asks nobody for anything, and is small: a forge shows such a picture in a page."""
    assert len(TEXT) < LARGEST
    assert {one.tag.removeprefix(SVG) for one in PICTURE.iter()} == {
        *("svg", "title", "desc", "style", "rect", "g", "text"),
    }
    attributes = {name for one in PICTURE.iter() for name in one.keys()}  # noqa: SIM118 - of an element, not a dict
    assert not [name for name in attributes if name.startswith("on") or name.endswith("href")]
    assert not re.search(r"url\(|@import", TEXT)


def test_it_can_be_read_light_dark_and_without_movement() -> None:
    """It has colours for light and dark pages, and shows its last screen to who does not want movement."""
    style = next(PICTURE.iter(f"{SVG}style")).text or ""
    names = re.findall(r"--(\w+):#", style.partition("@media (prefers-color-scheme:light)")[0])
    light = re.findall(r"--(\w+):#", style.partition("@media (prefers-color-scheme:light)")[2])
    assert sorted(names) == sorted(light)
    assert "@media (prefers-reduced-motion:reduce){*{animation:none!important}}" in style
    assert TEXT.count('class="scene last') == 1


def test_no_line_is_wider_than_the_terminal() -> None:
    """Every run of characters is inside the 80 columns."""
    for part in PICTURE.iter(f"{SVG}text"):
        end = float(part.get("x", "")) + float(part.get("textLength", ""))
        assert end <= recording.COLUMNS * recording.WIDTH + 0.2, part.text


def test_what_is_typed_can_be_typed() -> None:
    """Every command in it is one of the program, with options that there are."""
    program = typer.main.get_command(cli.app)
    assert hasattr(program, "commands")
    typed = (next(PICTURE.iter(f"{SVG}desc")).text or "").split("; ")
    ours = [shlex.split(one)[1:] for one in typed if one.startswith("pcc-reconciler ")]
    assert len(ours) > 3
    for name, *rest in ours:
        options = {option for one in program.commands[name].params for option in one.opts}
        assert {word for word in rest if word.startswith("-")} <= options


async def test_it_shows_what_the_demonstration_says_now() -> None:
    """The welcome in it is that of the program as it is now, but for ports, the folder and where lines break."""
    said: list[str] = []
    demo = Demo(listen="127.0.0.1:0", devices=24, seed=0, say=said.append)
    demo.stop()
    await demo.run()

    def alike(text: str) -> str:
        text = re.sub(r"PCC_LISTEN=\S+ ", "", text)
        text = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text)
        return re.sub(r"\S+/(?=desired-state)|\s", "", text)

    prompt, *rest = shown()
    assert prompt == "$ pcc-reconciler demo"
    welcome = alike(said[0])
    assert welcome
    assert alike("\n".join(rest)).startswith(welcome)


def test_it_is_of_this_version() -> None:
    """The log in it has the version of the package: whoever makes a release records it again."""
    assert f"version={reconciler.__version__}" in "".join(shown()), "run: make recording"


@pytest.mark.parametrize("page", ["README.md"])
def test_the_first_page_shows_it(page: str) -> None:
    """The picture is on the first page, with words for who cannot see it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.search(r"!\[[^\]]{20,}\]\(docs/images/recording\.svg\)", text)
