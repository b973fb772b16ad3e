"""The recording on the first page: the demonstration on a terminal of 80 columns, as one SVG that moves.

Owns: what is typed, how long each part is looked at, and the drawing.
Must not: show a line that the program did not print on a terminal. Only the demonstration's folder has a shorter name.

``make recording`` makes it again. The picture moves by CSS alone, is light or dark as the page is, and shows its last
screen where somebody does not want movement.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from places import ROOT
from ways import Terminal

PICTURE = ROOT / "docs" / "images" / "recording.svg"
COLUMNS, ROWS = 80, 24
WIDTH, HEIGHT = 8.4, 18.0
"""Of one character, in pixels."""
MARGIN = 16
LISTEN = "127.0.0.1:8080"
FOLDER = "/tmp/pcc-reconciler-demo"  # noqa: S108 - a name in the picture, and no file
PROMPT = "$ "
WORD_SECONDS, LINE_SECONDS = 0.25, 0.12
SGR = re.compile(r"\x1b\[([\d;]*)m")
OTHER_SEQUENCES = re.compile(r"\x1b\[[?\d;]*[A-Za-ln-z]|\x1b[=>]|\r")
COLOURS = {31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "purple", 36: "cyan", 90: "dim"}
STYLE = """\
:root{--back:#12161c;--edge:#30363d;--fore:#d5dce4;--red:#ff8078;--green:#4cc38a;--yellow:#e3b341;--blue:#7ab0ff;
--purple:#c9a2f2;--cyan:#5cc4dc;--dim:#98a2ad}
@media (prefers-color-scheme:light){:root{--back:#ffffff;--edge:#c9d1d9;--fore:#1f2328;--red:#b3261e;--green:#116329;
--yellow:#7a5200;--blue:#0b57b0;--purple:#7a3fae;--cyan:#0b6a86;--dim:#59636e}}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--fore);white-space:pre}
.bold{font-weight:700}.dim{fill:var(--dim)}.red{fill:var(--red)}.green{fill:var(--green)}.yellow{fill:var(--yellow)}
.blue{fill:var(--blue)}.purple{fill:var(--purple)}.cyan{fill:var(--cyan)}
.back{fill:var(--back);stroke:var(--edge)}
.scene{opacity:0}.last{opacity:1}
@media (prefers-reduced-motion:reduce){*{animation:none!important}}
"""


@dataclass(frozen=True)
class Span:
    """Some characters of one line that look alike."""

    column: int
    words: str
    look: str = ""


@dataclass(frozen=True)
class Row:
    """What appears on a row at a moment; ``row`` counts from the scene's first line."""

    at: float
    row: int
    spans: tuple[Span, ...]


@dataclass
class Scene:
    """One terminal: what was typed into it, and what it showed."""

    begins: float
    rows: list[Row] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    now: float = 0.0
    row: int = 0

    def __post_init__(self) -> None:
        """Begin with the clock of the whole recording."""
        self.now = self.begins

    def type(self, command: str) -> None:
        """Type a command, a word at a time."""
        self.typed.append(command)
        self.rows.append(Row(self.now, self.row, (Span(0, PROMPT, "green"),)))
        self.now += 0.6
        column = len(PROMPT)
        for part in re.findall(r"\S+\s*", command):
            self.rows.append(Row(self.now, self.row, (Span(column, part.rstrip(), "bold"),)))
            column += len(part)
            self.now += WORD_SECONDS
        self.row += 1
        self.now += 0.4

    def show(self, printed: str, *, look: float) -> None:
        """Show what a command printed, line by line, and leave it for a while."""
        for line in lines(printed):
            self.rows.append(Row(self.now, self.row, line))
            self.row += 1
            self.now += LINE_SECONDS
        self.now += look


def lines(printed: str) -> list[tuple[Span, ...]]:
    """Return what was printed as the lines of a terminal: long ones go on in the next."""
    found: list[tuple[Span, ...]] = []
    look = ""
    for line in OTHER_SEQUENCES.sub("", printed).rstrip("\n").splitlines():
        spans: list[Span] = []
        column, at = 0, 0
        for sequence in [*SGR.finditer(line), None]:
            words = line[at : sequence.start() if sequence else len(line)]
            while words:
                room = COLUMNS - column
                if room == 0:
                    found.append(tuple(spans))
                    spans, column, room = [], 0, COLUMNS
                part, words = words[:room], words[room:]
                spans.append(Span(column, part, look))
                column += len(part)
            if sequence is not None:
                look, at = styled(look, sequence[1]), sequence.end()
        found.append(tuple(spans))
    return found


def styled(look: str, codes: str) -> str:
    """Return how characters look after a sequence of the terminal."""
    looks = look.split()
    for code in (int(one or 0) for one in codes.split(";")):
        if code == 0:
            looks = []
        elif code == 1:
            looks.append("bold")
        elif code == 2:
            looks.append("dim")
        elif code in COLOURS:
            looks.append(COLOURS[code])
    return " ".join(dict.fromkeys(looks))


def recorded() -> list[Scene]:
    """Run the demonstration and the commands, each on a terminal, and return what was on them."""
    with tempfile.TemporaryDirectory(prefix="recording-") as name:
        home = Path(name)
        given = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": name,
            "TMPDIR": name,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        demo = Terminal(f"exec pcc-reconciler demo --listen {LISTEN}", home, given)
        try:
            demo.until(re.compile(r"pass\.completed.*\n.*\n.*\n"))
            found = re.search(r"^edit +(\S+)/desired-state\.toml$", demo.written, re.MULTILINE)
            if found is None or LISTEN not in demo.written:
                raise RuntimeError(f"{LISTEN} is taken: end what listens there")
            folder = found[1]
            first = Scene(0.0)
            first.type("pcc-reconciler demo")
            welcome, logged = demo.written.split("\n\n\x1b", 1)
            first.show(plain(welcome, folder), look=5.0)
            first.show(plain(f"\n\x1b{logged}", folder), look=2.5)
            second = Scene(first.now)
            watched(second, given, folder)
            return [first, second]
        finally:
            demo.interrupt()
            demo.close()


def watched(scene: Scene, given: dict[str, str], folder: str) -> None:
    """Look at the fleet in a second terminal, and take a floor of the hotel out of the file."""

    def run(command: str, *, look: float) -> str:
        scene.type(command)
        printed = on_terminal(command, given, folder)
        scene.show(plain(printed, folder), look=look)
        return printed

    run("pcc-reconciler status", look=2.5)
    run("sed -i '/Room 2/d' desired-state.toml     # ten devices at once", look=0.5)
    for _ in range(100):
        if "too-many" in on_terminal("pcc-reconciler status", given, folder):
            break
        time.sleep(0.3)
    run("pcc-reconciler status", look=4.0)
    run('pcc-reconciler explain "Room 204 fridge"', look=6.0)


def on_terminal(command: str, given: dict[str, str], folder: str) -> str:
    """Return what a command printed on a terminal, in the demonstration's folder."""
    terminal = Terminal(command, Path(folder), given)
    while terminal.read():
        pass
    terminal.close()
    return terminal.written


def plain(printed: str, folder: str) -> str:
    """Return what was printed, with a name for the folder that is the same each time."""
    return printed.replace(folder, FOLDER)


def drawn(scenes: Sequence[Scene]) -> str:
    """Return the picture."""
    whole = scenes[-1].now
    moments = sorted({row.at for scene in scenes for row in scene.rows})
    number = {at: index for index, at in enumerate(moments)}
    style, body = [STYLE], []
    for at, index in number.items():
        style.append(
            f".k{index}{{animation:k{index} {whole:.1f}s step-end infinite}}"
            f"@keyframes k{index}{{0%{{visibility:hidden}}{percent(at, whole)}{{visibility:visible}}}}\n"
        )
    for index, scene in enumerate(scenes):
        style.append(_scene_style(index, scene, whole))
        last = " last" if scene is scenes[-1] else ""
        body.append(f'<g class="scene{last} s{index}"><g class="y{index}">')
        body += [_drawn_row(row, number[row.at]) for row in scene.rows]
        body.append("</g></g>")
    width, height = COLUMNS * WIDTH + 2 * MARGIN, ROWS * HEIGHT + 2 * MARGIN
    typed = "; ".join(command for scene in scenes for command in scene.typed)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
            "<title>The demonstration on a terminal</title>",
            f"<desc>{escape(typed)}</desc>",
            f"<style>{''.join(style)}</style>",
            f'<rect x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8" class="back"/>',
            f'<svg x="{MARGIN}" y="{MARGIN}" width="{COLUMNS * WIDTH:g}" height="{ROWS * HEIGHT:g}">',
            *body,
            "</svg>",
            "</svg>\n",
        )
    )


def _scene_style(index: int, scene: Scene, whole: float) -> str:
    """Return when a scene is seen, and how far it has scrolled at each moment."""
    begin, end = percent(scene.begins, whole), percent(scene.now, whole)
    seen = f"@keyframes s{index}{{0%{{opacity:{int(not scene.begins)}}}"
    if scene.begins:
        seen += f"{begin}{{opacity:1}}"
    if scene.now < whole:
        seen += f"{end}{{opacity:0}}"
    scrolled, steps = 0, ["0%{transform:none}"]
    for row in scene.rows:
        if row.row - ROWS + 1 > scrolled:
            scrolled = row.row - ROWS + 1
            steps.append(
                f"{percent(row.at, whole)}{{transform:translateY({-scrolled * HEIGHT:g}px)}}"
            )
    steps.append(f"100%{{transform:translateY({-scrolled * HEIGHT:g}px)}}")
    return (
        f".s{index}{{animation:s{index} {whole:.1f}s step-end infinite}}{seen}}}\n"
        f".y{index}{{transform:translateY({-scrolled * HEIGHT:g}px);"
        f"animation:y{index} {whole:.1f}s step-end infinite}}@keyframes y{index}{{{''.join(steps)}}}\n"
    )


def _drawn_row(row: Row, number: int) -> str:
    """Return the characters of a row, each run of them as wide as on a terminal."""
    found = []
    for span in row.spans:
        words = span.words.rstrip()
        lead = len(words) - len(words.lstrip())
        if not words.strip():
            continue
        x, y = (span.column + lead) * WIDTH, (row.row + 0.76) * HEIGHT
        look = f"k{number} {span.look}".strip()
        length = (len(words) - lead) * WIDTH
        found.append(
            f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}">'
            f"{escape(words.strip())}</text>"
        )
    return "".join(found)


def percent(at: float, whole: float) -> str:
    """Return a moment as a part of the whole, for keyframes."""
    return f"{100 * at / whole:.2f}%"


def main() -> None:
    """Make the picture."""
    PICTURE.write_text(drawn(recorded()), encoding="utf-8")


if __name__ == "__main__":
    main()
