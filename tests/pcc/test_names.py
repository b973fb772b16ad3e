"""How names become addresses: beside everything else, within a time limit, and without keeping anybody from ending."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.core.errors import Lost
from reconciler.core.model import AccountName
from reconciler.pcc.client import Client
from reconciler.pcc.names import Found, Names, addresses
from reconciler.pcc.transport import open_http
from reconciler.telemetry.metrics import Metrics
from recording import StillClock, answer, credentials, serving


class Silent:
    """A name service that says nothing until it may, and counts who asks."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, family: int) -> Found:
        """Look up a host, when the time has come."""
        self.asked.append(host)
        self.may.wait(60)
        return addresses("127.0.0.1", port, family)


@pytest.fixture
def silent() -> Iterator[Silent]:
    """Give a name service that is silent, and let its threads go at the end."""
    service = Silent()
    yield service
    service.may.set()


async def test_a_silent_name_service_is_given_up() -> None:
    """The reason says what did not answer, which a time-out of the whole call would not."""
    service = Silent()
    with pytest.raises(socket.gaierror, match="did not answer within"):
        await Names(0.01, ask=service).resolve("lg.example", 443)
    service.may.set()


async def test_however_many_wait_for_a_name_it_is_asked_for_once(silent: Silent) -> None:
    """Also after some of them gave up: a thread for each try would pile up for as long as the silence lasts."""
    names = Names(0.01, ask=silent)
    for _ in range(3):
        with pytest.raises(socket.gaierror):
            await names.resolve("lg.example", 443)
    patient = Names(30, ask=silent)
    waiting = [asyncio.create_task(patient.resolve("kr.example", 443)) for _ in range(5)]
    await asyncio.sleep(0.01)
    silent.may.set()
    assert {found[0]["host"] for found in await asyncio.gather(*waiting)} == {"127.0.0.1"}
    assert silent.asked == ["lg.example", "kr.example"]


async def test_a_name_that_is_owed_is_not_waited_for_again(silent: Silent) -> None:
    """Many accounts with one silent host fail at once, not one after the other; once it is answered it serves again."""
    names = Names(0.05, ask=silent)
    with pytest.raises(socket.gaierror):
        await names.resolve("lg.example", 443)
    for _ in range(200):
        with pytest.raises(socket.gaierror, match="did not answer within"):
            await names.resolve("lg.example", 443)
    silent.may.set()
    while silent.asked == ["lg.example"]:
        await asyncio.sleep(0.01)
        with suppress(socket.gaierror):
            await names.resolve("lg.example", 443)
    assert (await names.resolve("lg.example", 443))[0]["host"] == "127.0.0.1"


async def test_who_gives_up_takes_the_answer_from_nobody(silent: Silent) -> None:
    """A call that is broken off leaves the name to the others that wait for it, and to the next one."""
    names = Names(30, ask=silent)
    waiting = [asyncio.create_task(names.resolve("lg.example", 443)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    silent.may.set()
    found = await asyncio.gather(*waiting[1:], names.resolve("lg.example", 443))
    assert [one[0]["host"] for one in found] == ["127.0.0.1"] * 3
    assert silent.asked[0] == "lg.example"


async def test_threads_that_wait_for_names_are_bounded(silent: Silent) -> None:
    """Beyond the bound a name is not asked for, and that is an error like any other of the name service's."""
    names = Names(0.01, most=3, ask=silent)
    for number in range(5):
        with pytest.raises(socket.gaierror):
            await names.resolve(f"{number}.example", 443)
    assert silent.asked == ["0.example", "1.example", "2.example"]


async def test_the_shared_threads_stay_free(silent: Silent) -> None:
    """What reads files and writes state goes on while more names than shared threads are waited for."""
    names = Names(30, ask=silent)
    waiting = [asyncio.create_task(names.resolve(f"{number}.example", 443)) for number in range(40)]
    await asyncio.sleep(0.01)
    assert await asyncio.to_thread(threading.active_count) > 40
    silent.may.set()
    await asyncio.gather(*waiting)


async def test_an_error_of_the_name_service_is_handed_on() -> None:
    """Each of those who wait is told, and the next one asks anew."""
    asked = []

    def unknown(host: str, _port: int, _family: int) -> Found:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names = Names(30, ask=unknown)
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="not known"):
            await names.resolve("nowhere.example", 443)
    assert len(asked) == 2


async def test_a_real_name_is_found() -> None:
    """The system's own answer, on a real connection."""
    async with serving(answer(b'{"messageId":"m","response":[]}')) as server:
        own = credentials(base_url=f"http://localhost:{server.port}")
        async with open_http(read_only=True, connections=1, timeout_seconds=30) as http:
            one = Client(
                AccountName("a"),
                http,
                lambda: own,
                metrics=Metrics(),
                timeout_seconds=30,
                clock=StillClock(),
            )
            assert (await one.list_devices()).devices == frozenset()


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a small program in a process of its own, to its end."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)  # noqa: S603 - our own


PLAYED = """
import socket, sys, time
def silent(*_words, **_more):
    time.sleep(3600)
socket.getaddrinfo = silent
"""

ENDING = (
    PLAYED
    + """
import asyncio
from reconciler.pcc.names import Names

async def main():
    try:
        await Names(0.05).resolve("lg.example", 443)
    except socket.gaierror:
        print("given up")

asyncio.run(main())
"""
)


def test_a_process_ends_while_a_name_is_still_waited_for() -> None:
    """Neither the event loop's end nor the interpreter's waits for the thread."""
    ended = run(ENDING)
    assert (ended.stdout, ended.stderr) == ("given up\n", "")


CALLING = (
    PLAYED
    + """
import asyncio
sys.path.insert(0, "tests/support")
from recording import StillClock, credentials
from reconciler.core.errors import Unavailable
from reconciler.telemetry.metrics import Metrics
from reconciler.pcc.client import Client
from reconciler.pcc.transport import open_http

async def main():
    own = credentials(base_url="https://lg.example")
    async with open_http(read_only=True, connections=4, timeout_seconds=0.5) as http:
        one = Client("a", http, lambda: own, metrics=Metrics(), timeout_seconds=30, clock=StillClock())
        try:
            await one.list_devices()
        except Unavailable as error:
            print(error.lost, error)

asyncio.run(main())
"""
)


def test_a_call_whose_host_is_not_found_in_time_says_so() -> None:
    """A person looks at the name service, and not at LG or the time limit."""
    ended = run(CALLING)
    assert ended.stdout.startswith(f"{Lost.NAME} list: no answer: ")
    assert "the name service did not answer within 0.4 seconds" in ended.stdout
