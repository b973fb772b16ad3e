"""What each command shows on a terminal of 80 columns and 24 lines, for docs/terminal.md.

``make terminal`` captures it again: a real daemon in the situation of the pictures, and each command in tmux. Without
tmux the commands are run with COLUMNS=80. A test runs them, too, and finds no line that is wider.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pictures import held
from processes import process, welcome
from reconciler.runtime.demo_events import EVENTS_FILE, TO_A_FILE, logic_files
from scenarios import Site, child_environment
from terminals import on_terminal

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
    ("export", "--account", "busan-hotel"),
    ("status", "--wait", "--revision", "0123456", "--timeout", "1s"),
)
"""The commands that are shown; none of them changes anything."""


@dataclass(frozen=True)
class Lasting:
    """A command that runs until Ctrl-C, with words that it writes once it is at work.

    ``more`` lines are shown after these words, and only the ``last`` ones of all if there is such a number.
    """

    words: Sequence[str]
    until: str
    more: int = 0
    last: int = 0


LASTING: Sequence[Lasting] = (
    Lasting(("simulate", "--listen", "127.0.0.1:0"), "State: "),
    Lasting(("receive",), "receive.started", more=1),
    Lasting(("demo", "--listen", "127.0.0.1:0"), "event        Room ", more=18, last=HEIGHT - 1),
)
HEARD: Sequence[tuple[str, ...]] = (("events", "list", "--limit", "4"), ("events", "show"))
"""Commands about what a receiver has; the last one is about the newest event."""
MOST = 40
"""Lines that are shown of a command."""
TRIES = 120
"""How often, once a second, an event is looked for."""
WHOLE = re.compile(
    r'^(?:\[\[|account = |devices = |  "|\]|expires = |reason = |  digest |device_files = '
    r'|\s+"|  PCC_\w+=|  (?:access|refresh) token |  \{ id = |  curl |  cat |\s*#)'
)
"""What is there to be copied, so it is never broken: approvals, digests, entries of a file, tokens, commands."""


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


def run(words: Sequence[str], given: Mapping[str, str]) -> Shown:
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


def run_until(command: Lasting, given: Mapping[str, str]) -> Shown:
    """Run a command on a terminal of this size until it wrote certain words, and end it by Ctrl-C."""
    size = (WIDTH, HEIGHT)
    seen = on_terminal(command.words, given, size=size, until=command.until, end=signal.SIGINT)
    lines = seen.written.splitlines()
    (at, *_) = [number for number, line in enumerate(lines) if command.until in line]
    lines = lines[: at + 1 + command.more]
    return Shown(command.words, ["…", *lines[-command.last :]] if command.last else lines)


async def lasting(folder: Path, given: Mapping[str, str]) -> list[Shown]:
    """Return what the commands show that run until Ctrl-C, and then what a receiver has."""
    home = folder / "events"
    home.mkdir()
    events = home / EVENTS_FILE
    for name, text in {EVENTS_FILE: TO_A_FILE, **logic_files()}.items():
        (home / name).write_text(text, encoding="utf-8")
    receiver = {
        **child_environment({}),
        "NO_COLOR": "1",
        "PCC_DESIRED_STATE": given["PCC_DESIRED_STATE"],
        "PCC_RECEIVE_LISTEN": "127.0.0.1:0",
        "PCC_EVENTS_CONFIG": str(events),
        "PCC_EVENTS_DIR": str(folder / "spool"),
    }
    found = [await asyncio.to_thread(run_until, command, receiver) for command in LASTING]
    return [*found, *await heard(folder, receiver)]


async def heard(folder: Path, receiver: Mapping[str, str]) -> list[Shown]:
    """Return what the commands about events show, in a demonstration."""
    async with process(
        {**receiver, "TMPDIR": str(folder)}, "demo", "--listen", "127.0.0.1:0"
    ) as one:
        home = Path((await welcome(one))["edit"]).parent
        spool = {
            "PCC_EVENTS_DIR": str(home / "spool"),
            "PCC_EVENTS_CONFIG": str(home / EVENTS_FILE),
        }
        asked = {**receiver, **spool, "PCC_DESIRED_STATE": str(home / "desired-state.toml")}
        newest = await asyncio.to_thread(_newest, asked)
        found = []
        for words in HEARD:
            whole = (*words, newest) if words[-1] == "show" else words
            found.append(await asyncio.to_thread(run, whole, asked))
        one.terminate()
        await one.wait()
        return found


def _newest(asked: Mapping[str, str]) -> str:
    """Return the id of the newest event, once there is one that was delivered."""
    for _ in range(TRIES):
        words = ("events", "list", "--limit", "1", "--state", "delivered", "--output", "json")
        listed = run(words, asked)
        for event in json.loads("\n".join(listed.lines) or "{}").get("events", []):
            return str(event["id"])
        time.sleep(1)
    raise RuntimeError("no event came")


def document(each: Sequence[Shown], one: Site) -> str:
    """Return the document."""
    address = str(one.http.base_url).rstrip("/")
    parts = [
        "# On a terminal",
        "",
        "What the commands show on a terminal of 80 columns and 24 lines: three hotels, of which one waits for an",
        "approval, one is paused, and LG refuses a device of the third. `make terminal` captures it again. Every line",
        "fits, except what is there to be copied: approvals, digests, entries of a file, tokens, LG's message. Long",
        "outputs are cut. [cli.md](cli.md) has the options, and says which columns are left out.",
    ]
    for shown in each:
        text = "\n".join(shortened(shown.lines))
        text = text.replace(address, "http://127.0.0.1:8080").replace(str(one.folder), "/srv/pcc")
        text = re.sub(r"(pcc-reconciler-demo)-\w+", r"\1", text)
        words = " ".join(shlex.quote(word) for word in shown.words)
        parts += ["", "```console", f"$ pcc-reconciler {words}", text, "```"]
    return "\n".join(parts) + "\n"


def shortened(lines: Sequence[str]) -> list[str]:
    """Return the lines that the document shows."""
    if len(lines) <= MOST:
        return [*lines]
    return [*lines[:MOST], f"… and {len(lines) - MOST} more lines"]


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
            found += await lasting(Path(folder), given)
            DOCUMENT.write_text(document(found, one), encoding="utf-8")
    wide = [line for shown in found for line in shown.too_wide]
    sys.stderr.writelines(f"wider than {WIDTH}: {line}\n" for line in wide)
    return int(bool(wide))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
