"""The daemon asks its receivers: how far it reads, what it bears, and that passes do not wait for it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from disks import START, StandingClock
from receivers import PAGE, FakeReceiver
from reconciler.api.client import receivers as client
from reconciler.core.heard import Heard
from reconciler.runtime.services.receivers import FOREIGN_EVENTS, LOOK_SECONDS, Receivers
from scenarios import Site, eventually, eventually_true, fleet, free_port, owned, site, text, write
from simulated import Fleet

SOON = 0.05


class Shown:
    """What the metrics show, by receiver."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def answered(self, receiver: str, at: float) -> None:
        """Take that a receiver was read."""
        self.last[receiver] = at


class Took:
    """Takes events in place of what joins them."""

    def __init__(self) -> None:
        self.events: list[Heard] = []
        self.knows = True
        self.fleet = "device"

    def knows_devices(self) -> bool:
        """Say whether events can be joined with devices."""
        return self.knows

    async def take(self, events: list[Heard]) -> int:
        """Take some events; devices of this fleet are known."""
        self.events += events
        return sum(one.device.startswith(self.fleet) for one in events)


@asynccontextmanager
async def asking(
    *addresses: str,
    token: str | None = None,
    shown: Shown | None = None,
    patience: float = client.SECONDS,
) -> AsyncIterator[tuple[Took, list[Any]]]:
    """Ask receivers all the time; give what was taken, and the lines of the log."""
    took, shown = Took(), shown or Shown()
    service = Receivers(
        addresses,
        lambda: token,
        took,  # type: ignore[arg-type]  # it takes events, and does no more
        shown,
        StandingClock(),
        every=SOON,
        patience=patience,
    )
    with capture_logs() as lines:
        running = asyncio.create_task(service.run())
        yield took, lines
        service.stop()
        await asyncio.wait_for(running, 20)


def lines_of(lines: list[Any], name: str) -> list[Any]:
    """Return the lines of one event of the log."""
    return [line for line in lines if line["event"] == name]


async def test_events_are_read_once_and_full_pages_at_once() -> None:
    """What a receiver has is taken in order, without gap or repetition; then what is new."""
    receiver = FakeReceiver()
    for number in range(PAGE + 3):
        receiver.hear(f"device-{number}")
    with receiver.serving() as address:
        async with asking(address, token="t" * 32) as (took, _):
            await eventually(lambda: len(took.events) == PAGE + 3)
            receiver.hear("late")
            await eventually(lambda: len(took.events) == PAGE + 4)
            await eventually(lambda: len(receiver.asked) > 4)
    assert [one.id for one in took.events] == [one["id"] for one in receiver.events]
    assert receiver.asked[:2] == [0, PAGE]
    assert set(receiver.tokens) == {f"Bearer {'t' * 32}"}


async def test_a_receiver_that_comes_back_with_an_empty_spool_is_heard_again() -> None:
    """Another spool begins at 0: numbers of the old one say nothing about it."""
    receiver = FakeReceiver()
    for number in range(5):
        receiver.hear(f"before-{number}")
    with receiver.serving() as address:
        async with asking(address) as (took, _):
            await eventually(lambda: len(took.events) == 5)
            receiver.spool, receiver.events = "spool-2", []
            receiver.hear("after")
            await eventually(lambda: took.events[-1].device == "after")
    assert len(took.events) == 6


async def test_nothing_is_read_before_the_devices_are_known() -> None:
    """An event of a device that is not known yet would be lost: after a start all are read from the beginning."""
    receiver = FakeReceiver()
    receiver.hear("one")
    with receiver.serving() as address:
        took = Took()
        took.knows = False
        service = Receivers([address], str, took, Shown(), StandingClock(), every=SOON)  # type: ignore[arg-type]
        running = asyncio.create_task(service.run())
        await asyncio.sleep(10 * LOOK_SECONDS / 3)
        assert receiver.asked == []
        took.knows = True
        await eventually(lambda: len(took.events) == 1)
        service.stop()
        await asyncio.wait_for(running, 20)


NONSENSE = {
    "a page": (200, "text/html", b"<html>Log in</html>"),
    "no JSON": (200, "application/json", b"{"),
    "a list": (200, "application/json", b"[]"),
    "another program": (200, "application/json", b'{"status": "ok"}'),
    "a wrong kind": (200, "application/json", b'{"spool": 1, "last": "x", "events": {}}'),
    "no date": (
        200,
        "application/json",
        json.dumps(
            {"spool": "s", "last": 1, "events": [{"seq": 1, "id": "i", "received": "now"}]}
        ).encode(),
    ),
    "refused": (401, "application/json", b'{"error": "no"}'),
    "a redirect": (302, "text/html", b""),
    "a gate": (403, "text/html", b"<html>Sign in</html>"),
    "too deep": (200, "application/json", b'{"a":' * 90 + b"1" + b"}" * 90),
    "no such call": (404, "text/plain", b"Not Found"),
    "failed": (500, "text/plain", b""),
}


@pytest.mark.parametrize("odd", NONSENSE)
async def test_nonsense_is_borne_and_reported_once(odd: str) -> None:
    """Whatever answers, nothing is taken from it; the log has one line, and one when the receiver is back."""
    receiver = FakeReceiver()
    receiver.hear("one")
    receiver.odd = NONSENSE[odd]
    shown = Shown()
    with receiver.serving() as address:
        async with asking(address, shown=shown) as (took, lines):
            await eventually(lambda: len(receiver.asked) > 3)
            assert took.events == []
            assert shown.last == {}
            (line,) = lines_of(lines, "receiver.failed")
            assert "receiver" in line["error"]
            assert not re.search("daemon|--server|PCC_LISTEN", line["error"])
            receiver.odd = None
            await eventually(lambda: len(took.events) == 1)
            await eventually(lambda: lines_of(lines, "receiver.answers"))
            await eventually(lambda: shown.last == {address: START.timestamp()})
    assert len(lines_of(lines, "receiver.failed")) == 1


ENDLESS: dict[str, tuple[bytes, float, float, str]] = {
    "slow": (b" ", 0.02, 0.2, "it took too long"),
    "huge": (b" " * 65536, 0.0, client.SECONDS, f"longer than {client.LARGEST_PAGE} bytes"),
}
"""What comes, the seconds between, the seconds that a page may take, and what is said of it."""
ENDS = """
import asyncio, sys
from disks import StandingClock
from reconciler.runtime.services.receivers import Receivers
from test_receivers import Shown, Took

async def main():
    service = Receivers([sys.argv[1]], str, Took(), Shown(), StandingClock(), patience=3600)
    running = asyncio.create_task(service.run())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    running.cancel()
    await asyncio.wait([running])

asyncio.run(main())
"""


@pytest.mark.parametrize("trouble", ENDLESS)
async def test_an_answer_without_an_end_is_given_up(trouble: str) -> None:
    """It is read no further than its time and its bytes allow; the log has one line for all tries."""
    receiver = FakeReceiver()
    receiver.hear("device-1")
    piece, pause, patience, words = ENDLESS[trouble]
    receiver.drip = (piece, pause)
    with receiver.serving() as address:
        async with asking(address, patience=patience) as (took, lines):
            await eventually(lambda: len(receiver.sent) > 2)
            assert took.events == []
            (line,) = lines_of(lines, "receiver.failed")
            assert words in line["error"]
            receiver.drip = None
            await eventually(lambda: len(took.events) == 1)
    assert len(lines_of(lines, "receiver.failed")) == 1
    assert max(receiver.sent) < 2 * client.LARGEST_PAGE


async def test_the_end_does_not_wait_for_an_answer_without_an_end() -> None:
    """A process that is to end while a receiver still sends ends, however long the answer could take."""
    receiver = FakeReceiver()
    receiver.drip = (b" ", 0.02)
    with receiver.serving() as address:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ENDS,
            address,
            stdin=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            await eventually(lambda: receiver.asked)
            async with asyncio.timeout(60):
                await child.communicate(b"end\n")
        finally:
            if child.returncode is None:
                child.kill()
    assert child.returncode == 0


async def test_passes_do_not_wait_for_an_answer_without_an_end(tmp_path: Path) -> None:
    """While a receiver still sends, what is wanted is subscribed."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    receiver.drip = (b" ", 0.02)
    with receiver.serving() as address:
        async with site(tmp_path, platform, PCC_EVENTS_FROM=address) as one:
            await eventually(lambda: len(receiver.asked) == 1)
            await one.has(devices)
            assert receiver.sent == []
            receiver.drip = None


async def test_a_receiver_that_is_down_holds_up_no_other() -> None:
    """Each receiver is read for itself."""
    receiver = FakeReceiver()
    receiver.hear("one")
    with receiver.serving() as address:
        async with asking(f"http://127.0.0.1:{free_port()}", address) as (took, lines):
            await eventually(lambda: len(took.events) == 1)
            await eventually(lambda: len(receiver.asked) > 3)
    (line,) = lines_of(lines, "receiver.failed")
    assert line["error"].startswith("no receiver answers at ")
    assert line["error"].endswith("is it running? see PCC_EVENTS_FROM")


async def test_another_fleets_receiver_is_reported_once_for_each_spool() -> None:
    """Nineteen events of unknown devices say nothing; twenty are one line, and a new spool is judged anew."""
    receiver = FakeReceiver()
    for number in range(FOREIGN_EVENTS - 1):
        receiver.hear(f"stranger-{number}")
    with receiver.serving() as address:
        async with asking(address) as (_, lines):
            await eventually(lambda: len(receiver.asked) > 3)
            assert lines_of(lines, "receiver.foreign") == []
            receiver.hear("stranger")
            await eventually(lambda: lines_of(lines, "receiver.foreign"))
            (line,) = lines_of(lines, "receiver.foreign")
            assert (line["receiver"], line["events"]) == (address, FOREIGN_EVENTS)
            receiver.hear("stranger")
            asked = len(receiver.asked)
            await eventually(lambda: len(receiver.asked) > asked + 3)
            assert len(lines_of(lines, "receiver.foreign")) == 1
            receiver.spool, receiver.events = "spool-2", []
            for number in range(FOREIGN_EVENTS):
                receiver.hear(f"stranger-{number}")
            await eventually(lambda: len(lines_of(lines, "receiver.foreign")) == 2)


async def test_one_known_device_shows_that_a_receiver_is_ours() -> None:
    """A receiver that hears mostly devices that nobody wants is not another fleet's."""
    receiver = FakeReceiver()
    receiver.hear("device-1")
    for number in range(2 * FOREIGN_EVENTS):
        receiver.hear(f"stranger-{number}")
    with receiver.serving() as address:
        async with asking(address) as (took, lines):
            await eventually(lambda: len(took.events) == 2 * FOREIGN_EVENTS + 1)
            receiver.hear("stranger")
            await eventually(lambda: took.events[-1].device == "stranger")
    assert lines_of(lines, "receiver.foreign") == []


async def test_the_daemon_reports_a_receiver_of_which_it_knows_no_device(tmp_path: Path) -> None:
    """The desired state decides who is a stranger, and passes go on as ever."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    for number in range(FOREIGN_EVENTS):
        receiver.hear(f"stranger-{number}")
    with receiver.serving() as address:
        async with site(tmp_path, platform, PCC_EVENTS_FROM=address) as one:
            await one.has(devices)
            await eventually(lambda: one.told("receiver.foreign"))


async def test_the_daemon_shows_what_its_receivers_heard(tmp_path: Path) -> None:
    """With a receiver that answers and one that is down, passes go on as ever, and the metrics have the events."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    receiver.hear(devices[0])
    with receiver.serving() as address:
        addresses = f"{address}, http://127.0.0.1:{free_port()}"
        async with site(tmp_path, platform, PCC_EVENTS_FROM=addresses) as one:
            await one.has(devices)
            await eventually(lambda: one.told("receiver.failed"))
            heard = "\npcc_heard_last_event_timestamp_seconds 1"
            await eventually_true(_has(one.metrics, heard))
            metrics = await one.metrics()
            first, second = addresses.split(", ")
    read = "pcc_receiver_last_success_timestamp_seconds"
    assert f'\n{read}{{receiver="{first}"}} 1.' in metrics
    assert f'\n{read}{{receiver="{second}"}} 0.0\n' in metrics
    assert 'pcc_list_contradicted_devices{account="default"} 0.0' in metrics
    assert "\npcc_silence_meaningful_seconds " not in metrics


async def test_the_answers_say_what_was_heard_last(tmp_path: Path) -> None:
    """Status and account have the number of devices of a day and the last event, and each device its own."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    for device in (*devices[:2], "a stranger", devices[0]):
        receiver.hear(device)
    with receiver.serving() as address:
        async with site(tmp_path, platform, PCC_EVENTS_FROM=address) as one:
            await one.has(devices)
            await eventually_true(_has(one.metrics, "\npcc_heard_last_event_timestamp_seconds 1"))
            whole = (await one.get("/api/v1/status")).json()
            detail = (await one.get("/api/v1/accounts/default")).json()
            rows = (await one.get("/api/v1/device-states")).json()["devices"]
    newest = receiver.events[-1]
    assert detail["heard"]["devices_within_24h"] == 2
    heard = {row["device"]: row["last_heard"] for row in rows}
    assert [heard[device] is not None for device in devices] == [True, True, False]
    assert heard[devices[0]] == detail["heard"]["last_heard"]
    assert detail["heard"] == whole["heard"] == whole["accounts"][0]["heard"]
    last = detail["heard"]["last_heard"]
    assert datetime.fromisoformat(last.pop("at")) == datetime.fromisoformat(newest["received"])
    assert last == {
        "device": devices[0],
        "push_type": "PCC_EVENT",
        "category": "malfunction",
        "diagnosis": "E1",
        "diagnosed": None,
    }


async def test_the_pages_say_when_each_device_was_last_heard_of(tmp_path: Path) -> None:
    """The first page has the last event, and the lists of an account and of a search have one for each device."""
    platform = fleet(2)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    receiver.hear(devices[0])
    with receiver.serving() as address:
        async with site(tmp_path, platform, PCC_EVENTS_FROM=address) as one:
            await one.has(devices)
            await eventually_true(_has(one.metrics, "\npcc_heard_last_event_timestamp_seconds 1"))
            first = (await one.get("/")).text
            account = (await one.get("/accounts/default")).text
            found = (await one.get(f"/search?q={devices[0][:12]}")).text
    assert re.search(r"Heard of</dt><dd>1</dd>.*devices within 24 hours; .*last event ", first)
    cells = re.findall(r'data-label="Last heard">(.*?)</td>', account)
    assert sorted("malfunction" in one for one in cells) == [False, True]
    (cell,) = re.findall(r'data-label="Last heard">(.*?)</td>', found)
    assert "malfunction" in cell


async def test_without_receivers_the_pages_have_no_place_for_events(tmp_path: Path) -> None:
    """A column in which nothing can ever be is not shown."""
    platform = fleet(1)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    async with site(tmp_path, platform) as one:
        await one.has(devices)
        for path in ("/", "/accounts/default", f"/search?q={devices[0]}"):
            page = await one.get(path)
            assert page.status_code == 200
            assert not re.search("Last heard|Heard of", page.text)


async def test_without_receivers_the_answers_say_nothing_of_events(tmp_path: Path) -> None:
    """Null is not zero: nobody was asked."""
    platform = fleet(1)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        whole = (await one.get("/api/v1/status")).json()
        detail = (await one.get("/api/v1/accounts/default")).json()
    assert whole["heard"] is whole["accounts"][0]["heard"] is detail["heard"] is None


def _has(metrics: Callable[[], Any], words: str) -> Callable[[], Any]:
    async def found() -> bool:
        return words in await metrics()

    return found


def test_without_receivers_there_is_nothing_of_this() -> None:
    """A daemon that asks nobody has none of the metrics, so no alert can mistake absence for health."""
    shown = str(list(Fleet(2).metrics.registry.collect()))
    assert "pcc_list_contradicted_devices" not in shown
    assert "pcc_receiver_last_success" not in shown


async def explained(one: Site, device: str) -> str | None:
    """Return what ``explain`` says of the last event of a device."""
    answer = (await one.get(f"/api/v1/devices?device={device}")).json()
    heard = answer["accounts"][0]["heard"]
    return None if heard is None else str(heard["summary"])


async def test_explain_names_the_last_event_and_where_it_went(tmp_path: Path) -> None:
    """The receiver is asked while a person waits, and the newest event counts; without an answer it is left out."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    with receiver.serving() as address:
        down = f"http://127.0.0.1:{free_port()}"
        async with site(tmp_path, platform, PCC_EVENTS_FROM=f"{down}, {address}") as one:
            await one.has(devices)
            assert await explained(one, devices[0]) == "no event of it is known to the receivers"
            way = {"sink": "crm", "state": "delivered", "attempts": 2}
            receiver.hear(devices[0], deliveries=[way])
            said = "malfunction (E1), delivered to crm after 2 tries"
            await eventually_true(_says(one, devices[0], f"last event just now: {said}"))
            receiver.odd = NONSENSE["a page"]
            assert await explained(one, devices[1]) is None


async def test_a_receiver_is_shown_its_own_token_and_no_other(tmp_path: Path) -> None:
    """Whatever asks it: what follows its events, an explanation, or the page of events."""
    platform = fleet(3)
    devices = owned(platform)
    write(tmp_path / "desired-state.toml", text(devices))
    receiver = FakeReceiver()
    receiver.hear(devices[0])
    tokens = {name: f"a-token-for-{name}-9000" for name in ("LISTEN", "READ", "EVENTS")}
    given = {f"PCC_{name}_TOKEN": token for name, token in tokens.items()}
    with receiver.serving() as address:
        async with site(tmp_path, platform, PCC_EVENTS_FROM=address, **given) as one:
            one.http.headers["authorization"] = f"Bearer {tokens['READ']}"
            await one.has(devices)
            await eventually(lambda: receiver.asked)
            before = len(receiver.tokens)
            found = await explained(one, devices[0])
            assert found is not None
            assert found.startswith("last event")
            assert len(receiver.tokens) > before
            before = len(receiver.tokens)
            assert devices[0] in (await one.get("/events")).text
            assert len(receiver.tokens) > before
    assert set(receiver.tokens) == {f"Bearer {tokens['EVENTS']}"}


def _says(one: Site, device: str, words: str) -> Callable[[], Any]:
    async def found() -> bool:
        said = await explained(one, device) or ""
        return said.replace("1 second ago", "just now").startswith(words)

    return found


async def test_explain_says_nothing_of_events_where_nobody_is_asked(tmp_path: Path) -> None:
    """Without receivers the answer is as it always was."""
    platform = fleet(3)
    write(tmp_path / "desired-state.toml", text(owned(platform)))
    async with site(tmp_path, platform) as one:
        await one.has(owned(platform))
        assert await explained(one, owned(platform)[0]) is None
