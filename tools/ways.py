"""Install the program in each way that README.md names, as somebody who has nothing yet, and run the demonstration.

Owns: the ways, each in an empty home with an empty environment, on a terminal of 80 columns.
Must not: change a command of README.md. Only git is configured to find the repository's address in a clone on this
machine, with the version's tag on the commit that is checked out. So it works before there is such an address or a tag.

``make ways`` runs all of them. They fetch packages, so the tests do not. Ctrl-C ends each demonstration.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from places import ROOT, places

README = ROOT / "README.md"
DIST = ROOT / "dist"
TOOLS = Path(sys.executable).parent
SIZE = (24, 80)
PATIENCE_SECONDS = 600.0
"""How long a way may take to the first answer: it fetches packages."""
ADDRESS = re.compile(r"status page  (http://\S+?)/\s")
KEPT = re.compile(
    r"(?i)(?:.*_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|PIP_(?:CERT|INDEX_URL)|UV_DEFAULT_INDEX)"
)
"""Variables that say how this machine reaches the network; a newcomer's machine has them, too, if it needs them."""
END = b"\x03"
"""What a terminal sends for Ctrl-C."""


@dataclass(frozen=True)
class Way:
    """One way: what it is called, and what is typed; the last line begins the demonstration."""

    name: str
    lines: Sequence[str]


def blocks() -> list[list[str]]:
    """Return the blocks of commands of README.md, each as its lines."""
    text = README.read_text(encoding="utf-8")
    return [
        [line for line in found[1].splitlines() if line and not line.startswith("#")]
        for found in re.finditer(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def ways() -> list[Way]:
    """Return the ways of README.md that need no container engine and no cluster, and those of what a release holds."""
    demos = [
        block
        for block in blocks()
        if re.fullmatch(r"(make|(uvx .* )?pcc-reconciler) demo", block[-1])
    ]
    named = [Way(f"README.md, {block[0].split()[0]}", block) for block in demos]
    (wheel,) = DIST.glob(f"pcc_reconciler-{places().version}-*.whl")
    (sdist,) = DIST.glob(f"pcc_reconciler-{places().version}.tar.gz")
    source = f"git+{places().repository}@v{places().version}"
    extra = f'"pcc-reconciler[postgres] @ {source}"'
    begin = ["python3 -m venv own", ". own/bin/activate"]
    return [
        *named,
        Way("uv tool", [f"uv tool install {source}", "pcc-reconciler demo"]),
        Way("uvx, with PostgreSQL", [f"uvx --from {extra} pcc-reconciler demo"]),
        Way("pip, the wheel", [*begin, f"pip install {wheel}", "pcc-reconciler demo"]),
        Way(
            "pip, the wheel with PostgreSQL",
            [
                *begin,
                f"pip install '{wheel}[postgres]'",
                "python -c 'import psycopg; psycopg.pq.version()'",
                "pcc-reconciler demo",
            ],
        ),
        Way("pip, the sdist", [*begin, f"pip install {sdist}", "pcc-reconciler demo"]),
    ]


def clone(folder: Path) -> Path:
    """Clone this repository, and set the version's tag on the commit that is checked out."""
    bare = folder / "repository.git"
    git = ["/usr/bin/env", "git"]
    subprocess.run([*git, "clone", "--quiet", "--bare", str(ROOT), str(bare)], check=True)  # noqa: S603 - ours
    head = subprocess.run(  # noqa: S603 - ours
        [*git, "-C", str(ROOT), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    tag = [*git, "-C", str(bare), "tag", "--force", f"v{places().version}", head]
    subprocess.run(tag, check=True, capture_output=True)  # noqa: S603 - ours
    return bare


def environment(home: Path, repository: Path) -> dict[str, str]:
    """Return the environment of somebody who has nothing yet but pipx, uv, git, make and Python."""
    settings = home / ".gitconfig"
    settings.write_text(
        f'[url "file://{repository}"]\n\tinsteadOf = {places().repository}\n'
        "[advice]\n\tdetachedHead = false\n",
        encoding="utf-8",
    )
    tools = home / "tools"
    tools.mkdir()
    for name in ("uv", "uvx", "pipx"):
        (tools / name).symlink_to(TOOLS / name)
    python = Path(shutil.which("python3", path="/usr/local/bin:/usr/bin") or "/usr/bin/python3")
    return {
        "HOME": str(home),
        "PATH": f"{home}/.local/bin:{tools}:{python.parent}:/usr/bin:/bin",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "TMPDIR": str(home),
        "UV_NO_GITHUB_FAST_PATH": "1",  # it would ask GitHub's API, and not git
        **{name: value for name, value in os.environ.items() if KEPT.fullmatch(name)},
    }


class Terminal:
    """A shell on a terminal, on which somebody types."""

    def __init__(self, script: str, folder: Path, given: dict[str, str]) -> None:
        self.written = ""
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        self.shell = subprocess.Popen(  # noqa: S603 - the lines are the README's
            ["/bin/bash", "-c", script],
            cwd=folder,
            env=given,
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
            preexec_fn=self._take_terminal,  # noqa: PLW1509 - one thread only
        )
        os.close(far)

    @staticmethod
    def _take_terminal() -> None:
        """Make standard input the terminal of the new session, so that Ctrl-C means what it says."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read(self) -> bool:
        """Take what was written since; say whether more may come."""
        if not select.select([self._near], [], [], 0.2)[0]:
            return self.shell.poll() is None
        with suppress(OSError):
            if part := os.read(self._near, 65536).decode(errors="replace"):
                self.written += part.replace("\r\n", "\n")
                return True
        return False

    def until(self, words: re.Pattern[str]) -> re.Match[str]:
        """Read until these words were written."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (found := words.search(self.written)) is None:
            if not self.read() or time.monotonic() > end:
                raise AssertionError(f"it never wrote {words.pattern}:\n{self.written}")
        return found

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the code with which everything ended."""
        os.write(self._near, END)
        end = time.monotonic() + 60
        while self.read():
            if time.monotonic() > end:
                raise AssertionError(f"Ctrl-C does not end it:\n{self.written}")
        return self.shell.wait(30)

    def close(self) -> None:
        """End what is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.shell.pid, 9)
        self.shell.wait()
        os.close(self._near)


def answers(address: str) -> Iterator[str]:
    """Ask the demonstration what it is, until it is well; yield what it says."""
    for path, words in (("/healthz", ""), ("/", "in sync"), ("/metrics", places().version)):
        end = time.monotonic() + 60
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{address}{path}") as answer:  # noqa: S310 - on loopback
                if words in answer.read().decode():
                    break
            if time.monotonic() > end:
                raise AssertionError(f"{address}{path} does not answer with {words!r}")
            time.sleep(0.2)
        yield path


def go(way: Way, folder: Path) -> None:
    """Go one way to its end, or raise AssertionError with what was on the terminal."""
    home = folder / "home"
    home.mkdir()
    given = environment(home, clone(folder))
    script = "set -e\n" + "\n".join(way.lines[:-1]) + f"\nexec {way.lines[-1]}\n"
    terminal = Terminal(script, home, given)
    try:
        address = terminal.until(ADDRESS)[1]
        answered = list(answers(address))
        code = terminal.interrupt()
        if code != 0 or "The demonstration is over" not in terminal.written:
            raise AssertionError(f"it ended with {code}:\n{terminal.written}")
        print(f"  answered {', '.join(answered)}; Ctrl-C ended it with 0")
    finally:
        terminal.close()


def main(arguments: Sequence[str]) -> int:
    """Go every way, or those whose name has one of these words; returns 1 where one leads nowhere."""
    chosen = [way for way in ways() if not arguments or any(one in way.name for one in arguments)]
    failed = 0
    for way in chosen:
        print(f"{way.name}:", *way.lines, sep="\n  $ ", flush=True)
        with tempfile.TemporaryDirectory(prefix="pcc-ways-", ignore_cleanup_errors=True) as name:
            try:
                go(way, Path(name))
            except AssertionError as fault:
                failed += 1
                print(f"  {fault}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} ways lead to a running demonstration")
    return int(failed > 0 or not chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
