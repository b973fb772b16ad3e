"""What each command shows on a terminal of 80 columns and 24 lines, for docs/terminal.md.

``make terminal`` captures it again: a real daemon in the situation of the pictures, and each command in tmux. Without
tmux the commands are run with COLUMNS=80. A test runs them, too, and finds no line that is wider.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pictures import held
from scenarios import Site, child_environment

DOCUMENT = Path(__file__).parent.parent / "docs" / "terminal.md"
WIDTH, HEIGHT = 80, 24
COMMANDS: Sequence[tuple[str, ...]] = (
    ("status",),
    ("status", "--refused"),
    ("devices",),
    ("devices", "--account", "busan-hotel", "--state", "held"),
    ("devices", "--name", "oven", "--account", "jeju-resort"),
    ("explain", "Room 1201 fridge", "--account", "busan-hotel"),
    ("history", "--limit", "6"),
    ("plan", "--account", "busan-hotel"),
    ("doctor", "--account", "busan-hotel"),
    ("validate",),
    ("status", "--wait", "--revision", "0123456", "--timeout", "1s"),
)
"""The commands that are shown; none of them changes anything."""
WHOLE = re.compile(
    r'^(?:\[\[|account = |devices = |  "|\]|expires = |reason = |  digest |device_files = )'
)
"""The lines of an approval and of a digest: they are there to be copied, so they are never broken."""


@dataclass(frozen=True)
class Shown:
    """A command, and the lines that it printed."""

    words: Sequence[str]
    lines: Sequence[str]

    @property
    def too_wide(self) -> list[str]:
        """Return the lines that do not fit, but for those that have to stay whole."""
        return [one for one in self.lines if len(one) > WIDTH and not WHOLE.match(one)]


def environment(one: Site) -> dict[str, str]:
    """Return the environment of a command that asks the daemon of a site."""
    listen = str(one.http.base_url).removeprefix("http://").rstrip("/")
    given = {**one.environment, "PCC_LISTEN": listen, "NO_COLOR": "1"}
    return child_environment(given)


def run(words: Sequence[str], given: dict[str, str]) -> Shown:
    """Run a command for a terminal of this width, without one."""
    command = [sys.executable, "-m", "reconciler", *words]
    ended = subprocess.run(  # noqa: S603 - ours
        command,
        env={**given, "COLUMNS": str(WIDTH)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Shown(words, ended.stdout.rstrip().splitlines())


def run_in_tmux(words: Sequence[str], given: dict[str, str], folder: Path) -> Shown:
    """Run a command in a terminal of this size, and read what is on it; lines that it broke are joined again."""
    tmux = ["tmux", "-f", "/dev/null", "-S", str(folder / "tmux.sock")]
    line = " ".join([shlex.quote(sys.executable), "-m", "reconciler", *map(shlex.quote, words)])
    script = folder / "command.sh"
    script.write_text(
        f"{line}\ntmux -S {shlex.quote(str(folder / 'tmux.sock'))} wait-for -S done\nsleep 60\n"
    )
    size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
    given = {key: value for key, value in given.items() if key not in {"COLUMNS", "TMUX"}}
    given |= {"TERM": "screen-256color"}
    try:
        for each in (
            [*tmux, "new-session", "-d", *size, f"exec sh {shlex.quote(str(script))}"],
            [*tmux, "wait-for", "done"],
        ):
            subprocess.run(each, env=given, check=True, timeout=60, capture_output=True)  # noqa: S603 - ours
        capture = [*tmux, "capture-pane", "-p", "-J", "-S", "-500"]
        found = subprocess.run(capture, env=given, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    finally:
        subprocess.run([*tmux, "kill-server"], env=given, check=False, capture_output=True)  # noqa: S603 - ours
    return Shown(words, [one.rstrip() for one in found.stdout.rstrip().splitlines()])


def document(each: Sequence[Shown], one: Site) -> str:
    """Return the document."""
    address = str(one.http.base_url).rstrip("/")
    parts = [
        "# On a terminal",
        "",
        "What the commands show on a terminal of 80 columns and 24 lines: three hotels, of which one waits for an",
        "approval, one is paused, and LG refuses a device of the third. `make terminal` captures it again. Every line",
        "fits, except approvals and digests, which are there to be copied. [cli.md](cli.md) has the options, and says",
        "which columns are left out.",
    ]
    for shown in each:
        text = "\n".join(shown.lines)
        text = text.replace(address, "http://127.0.0.1:8080").replace(str(one.folder), "/srv/pcc")
        words = " ".join(shlex.quote(word) for word in shown.words)
        parts += ["", "```console", f"$ pcc-reconciler {words}", text, "```"]
    return "\n".join(parts) + "\n"


async def main() -> int:
    """Capture everything; returns 1 where a line is too wide."""
    with tempfile.TemporaryDirectory() as folder:
        async with held(Path(folder)) as one:
            given, found = environment(one), []
            for words in COMMANDS:
                if shutil.which("tmux"):
                    with tempfile.TemporaryDirectory() as own:
                        shown = await asyncio.to_thread(run_in_tmux, words, given, Path(own))
                else:
                    shown = await asyncio.to_thread(run, words, given)
                found.append(shown)
            DOCUMENT.write_text(document(found, one), encoding="utf-8")
    wide = [line for shown in found for line in shown.too_wide]
    sys.stderr.writelines(f"wider than {WIDTH}: {line}\n" for line in wide)
    return int(bool(wide))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
