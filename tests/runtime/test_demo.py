"""The demonstration, as a person starts it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from asyncio.subprocess import Process
from pathlib import Path

import httpx
import pytest

from processes import exit_of, process, welcome
from reconciler.core.errors import Invalid
from reconciler.runtime.demo import Demo
from reconciler.simulator import create_app, serving
from scenarios import DEADLINE_SECONDS, eventually_true, fleet


def remove_first_device(file: Path) -> None:
    """Edit a text as a person would."""
    lines = file.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.strip().startswith(("{", '"')))
    file.write_text("".join(lines[:first] + lines[first + 1 :]))


async def first_event(child: Process) -> str:
    """Return what the first line about an event of a named device says: its name and a short message.

    On a slow machine the receiver may be ready before it has read the names.
    """
    assert child.stdout is not None
    while True:
        line = (await asyncio.wait_for(child.stdout.readline(), DEADLINE_SECONDS)).decode()
        assert line, "the demonstration ended"
        kind, _, words = line.strip().partition("  ")
        if kind == "event" and words.strip().startswith("Room "):
            return words.strip()


async def test_where_it_listens_everywhere_it_names_an_address_that_answers() -> None:
    """In a container it listens on every address, as ``:8080`` says, and names the one of this machine."""
    said: list[str] = []
    demo = Demo(listen=":8080", devices=6, seed=0, say=said.append)
    demo.stop()
    await demo.run()
    assert re.match(r"status page  http://127\.0\.0\.1:\d+/\n", said[0])


async def test_demo_shows_the_main_job(tmp_path: Path) -> None:
    """It says first where everything is; the file is followed; Ctrl-C ends it with exit code 0 and nothing left."""
    given = {"TMPDIR": str(tmp_path)}
    async with (
        process(given, "demo", "--listen", "127.0.0.1:0") as child,
        httpx.AsyncClient() as http,
    ):
        said = await welcome(child)
        assert list(said) == ["status page", "metrics", "simulator", "edit", "events", "curl"]

        async def count(number: int) -> bool:
            found = (await http.get(f"{said['simulator']}/users/default/subscriptions")).json()
            return len(found) == number

        await eventually_true(lambda: count(23))
        remove_first_device(Path(said["edit"]))
        await eventually_true(lambda: count(22))
        address, body = re.findall(r"http\S+|{.*}", said["curl"])
        lost = json.loads(body)["ids"]
        assert lost[0] in (await http.post(address, content=body)).text

        async def healed() -> bool:
            found = (await http.get(f"{said['simulator']}/users/default/subscriptions")).json()
            return set(lost) <= {one["id"] if isinstance(one, dict) else one for one in found}

        await eventually_true(healed)
        assert "in sync" in (await http.get(said["status page"])).text
        assert "pcc_build_info" in (await http.get(said["metrics"])).text
        name, _, message = (await first_event(child)).partition(": ")
        page = (await http.get(said["events"])).text
        assert name in page
        assert message in page
        listed = await http.get(f"{said['events']}api/v1/events")
        assert "default" in {one["account"] for one in listed.json()["events"]}
        child.send_signal(signal.SIGINT)
        code, logged = await exit_of(child)
    assert code == 0
    ended = [json.loads(line)["event"] for line in logged.splitlines()]
    assert {"daemon.stopped", "receive.stopped"} <= set(ended)
    assert not Path(said["edit"]).parent.exists()


async def test_demo_takes_another_port() -> None:
    """Where the port is taken the demonstration takes another, and says which."""
    async with serving(create_app(fleet(1))) as taken:
        words: list[str] = []
        one = Demo(listen=taken.removeprefix("http://"), devices=4, seed=0, say=words.append)
        one.stop()
        await one.run()
        assert "status page" in words[0]
        assert f"{taken}/\n" not in words[0]


async def test_demo_refuses_a_bad_address() -> None:
    """An address that is none is told like any other wrong setting."""
    with pytest.raises(Invalid, match="PCC_LISTEN"):
        await Demo(listen="somewhere", devices=4, seed=0, say=lambda _words: None).run()


async def test_demo_fits_a_small_terminal_and_names_commands_to_try() -> None:
    """What it prints first takes fewer than 24 lines of 80 columns, and a file keeps it for later."""
    words: list[str] = []
    one = Demo(listen="127.0.0.1:0", devices=24, seed=0, say=words.append)
    one.stop()
    await one.run()
    rows = sum(max(1, -(-len(line) // 80)) for line in words[0].splitlines())
    assert rows < 24
    for name in ("status", "devices", "explain", "history"):
        assert f"pcc-reconciler {name}" in words[0]
    assert "guard" in words[0]
