"""What the shells offer after TAB: accounts and devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parent.parent.parent
FLEET = """version = 1
[accounts.seoul-hotel]
devices = [
  { id = "7121f083d9df33c29483", name = "Room 1203 fridge" },
  { id = "ff6389951a25dd411bfa", name = 'Trial $kitchen "north"' },
  { id = "aa6389951a25dd411bfa", name = "Mina's kitchen" },
]
device_files = ["more/*.txt"]
[accounts.busan-hotel]
devices = ["0a77c3f2"]
locked = "lock.txt"
rules = [{ name = "all", every = true }]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a desired state, in which the shell is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    monkeypatch.setenv("PCC_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "desired-state.toml").write_text(FLEET)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("# new ones\naabbccdd  # Room 1301 washer\n")
    (tmp_path / "lock.txt").write_text("# head\nbbaabbccdd  # Lobby dryer | dryer | rule all\n")
    return tmp_path


def offered(shell: str, *words: str) -> list[str]:
    """Return what the program offers a shell for the last of these words, as the shell's script asks for it."""
    asked = {"_PCC_RECONCILER_COMPLETE": f"complete_{shell}", "PYTHONPATH": str(ROOT)}
    if shell == "bash":
        asked |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    else:
        asked |= {
            "_TYPER_COMPLETE_ARGS": " ".join(words),
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
    ended = subprocess.run(
        [sys.executable, "-m", "reconciler"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


PROGRAM = "pcc-reconciler"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (("explain", "Room"), ["Room\\ 1203\\ fridge", "Room\\ 1301\\ washer"]),
        (("explain", "Lobby"), ["Lobby\\ dryer"]),
        (("explain", "room\\ 12"), ["Room\\ 1203\\ fridge"]),
        (("explain", '"Room 12'), ["Room 1203 fridge"]),
        (("explain", "'Room 12"), ["Room 1203 fridge"]),
        (("explain", "'Trial"), ['Trial $kitchen "north"']),
        (("explain", "'Mina"), [r"Mina'\''s kitchen"]),
        (("explain", "Trial"), ['Trial\\ \\$kitchen\\ \\"north\\"']),
        (("explain", '"Trial'), ['Trial \\$kitchen \\"north\\"']),
        (("explain", "aabb"), ["aabbccdd"]),
        (("explain", "71"), ["7121f083d9df33c29483"]),
        (("explain", "--account", "busan-hotel", "0"), ["0a77c3f2"]),
        (("explain", "--account", "busan-hotel", "7"), []),
        (("history", "--device", "Room\\ 13"), ["Room\\ 1301\\ washer"]),
        (("plan", "--account", ""), ["seoul-hotel", "busan-hotel"]),
        (("status", "--account", "bu"), ["busan-hotel"]),
        (("pause", "seo"), ["seoul-hotel"]),
        (("reconcile", "nobody"), []),
    ],
)
def test_bash_is_offered_names_and_ids(words: tuple[str, ...], offers: list[str]) -> None:
    """Names are quoted as bash needs it, and ids are offered once their beginning is typed."""
    assert [one for one in offered("bash", PROGRAM, *words) if one] == offers


@pytest.mark.usefixtures("home")
def test_fish_and_zsh_are_offered_names_with_what_they_are() -> None:
    """They quote a name themselves, and show the id beside it."""
    assert offered("fish", PROGRAM, "explain", "Room") == [
        "Room 1203 fridge\t7121f083d9df33c29483",
        "Room 1301 washer\taabbccdd",
    ]
    assert "".join(offered("zsh", PROGRAM, "explain", "Room\\ 12")) == (
        '_arguments \'*: :(("Room 1203 fridge":"7121f083d9df33c29483"))\''
    )


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("Mina", r"Mina'\''s kitchen"),
        ("Trial", r"Trial \$kitchen \"north\""),
    ],
)
def test_zsh_keeps_every_character_of_a_name(typed: str, word: str) -> None:
    """What it evaluates has a name between quotation marks, and all of that between apostrophes."""
    shown = "".join(offered("zsh", PROGRAM, "explain", typed))
    assert shown.startswith(f'_arguments \'*: :(("{word}":')


def test_the_desired_state_of_an_env_file_is_read(home: Path) -> None:
    """What is named on the line counts for what is offered after it."""
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "fleet.toml").write_text('version = 1\ndevices = ["abcdefgh"]\n')
    (home / "pcc.env").write_text(f"PCC_DESIRED_STATE={elsewhere / 'fleet.toml'}\n")
    words = (PROGRAM, "plan", "--env-file", "pcc.env", "--account", "")
    assert offered("bash", *words) == ["default"]
    (home / "pcc.env").write_text(f"PCC_DESIRED_STATE={elsewhere}\n")
    assert offered("bash", *words) == ["default"]


@contextmanager
def daemon(*accounts: str, devices: Mapping[str, str] | None = None) -> Iterator[str]:
    """Give the address of what answers as a daemon with these accounts and devices does."""

    class Handler(BaseHTTPRequestHandler):
        """Knows the status, and the devices with these words in their names."""

        def do_GET(self) -> None:
            """Answer."""
            parts = urlsplit(self.path)
            answer: dict[str, object] = {"accounts": [{"account": one} for one in accounts]}
            if parts.path == "/api/v1/device-states":
                words = parse_qs(parts.query).get("name", [""])[0]
                each = [*(devices or {}).items()]
                answer = {"devices": [{"device": a, "name": b} for a, b in each if words in b]}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_without_a_file_the_daemon_knows_accounts_and_devices(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where there is no daemon either, or a file that cannot be read, nothing is offered and nothing is said."""
    (home / "desired-state.toml").unlink()
    with daemon("jeju-hotel", "daegu-hotel") as address:
        monkeypatch.setenv("PCC_LISTEN", address)
        assert offered("bash", PROGRAM, "pause", "je") == ["jeju-hotel"]
    with daemon(devices={"aaaa1111": "Room 7 oven", "bbbb1111": "Room 8 oven"}) as address:
        monkeypatch.setenv("PCC_LISTEN", address)
        assert offered("bash", PROGRAM, "explain", "Room\\ 8") == ["Room\\ 8\\ oven"]
        assert offered("fish", PROGRAM, "explain", "Room")[0] == "Room 7 oven\taaaa1111"
    monkeypatch.setenv("PCC_LISTEN", "127.0.0.1:9")
    assert [one for one in offered("bash", PROGRAM, "pause", "") if one] == []
    (home / "desired-state.toml").write_text("version = [")
    assert [one for one in offered("bash", PROGRAM, "explain", "R") if one] == []
