"""The calls that show events: who may ask, what is understood, and what is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver_figures import NoName, NoTable
from receiving import EVENT, GivenPolicy, body
from reconciler.api.event_page import EventPage
from reconciler.api.receiver_app import ReceiverSurface, create_receiver_app
from reconciler.core.errors import ReconcilerError, SpoolError
from reconciler.events.message import read
from reconciler.events.spool import Spool
from reconciler.runtime.clock import SystemClock
from reconciler.telemetry.receiver_metrics import ReceiverMetrics
from spooled import Routes
from surfaces import FakeHealth

TOKEN = "a-token-for-reading"
PATHS = ("/api/v1/events", "/api/v1/events/abc", "/api/v1/seen")
LOOPBACK = "http://127.0.0.1:8081"


async def nowhere(_scope: Any, _receive: Any, _send: Any) -> None:
    """Take no event."""


@asynccontextmanager
async def asking(
    folder: Path,
    policy: GivenPolicy | None = None,
    bodies: Sequence[bytes] = (),
    base_url: str = LOOPBACK,
    *,
    kind: type[Spool] = Spool,
    health: FakeHealth | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the calls, on a spool with these bodies."""
    clock = SystemClock()
    spool = kind(folder, clock, Routes(), limit=1024**3)
    spool.open()
    try:
        for content in bodies:
            await spool.store(read(content))
        app = create_receiver_app(
            ReceiverSurface(
                receiver=nowhere,
                archive=spool,
                page=EventPage(spool, NoName(), NoTable()),
                registry=ReceiverMetrics(1).registry,
                health=health or FakeHealth(),
                policy=policy or GivenPolicy(),
                now=clock.now,
                steady=clock.steady,
            )
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            yield client
    finally:
        spool.close()


# --- Who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_off_loopback_and_without_a_token_the_calls_do_not_exist(
    tmp_path: Path, path: str
) -> None:
    """A diagnosis of a named room is personal data; nobody is asked for a token that cannot be right."""
    async with asking(tmp_path, GivenPolicy(on_loopback=False), base_url="http://pcc") as client:
        nothing = await client.get("/api/v1/nothing")
        answer = await client.get(path, headers={"Authorization": "Bearer x"})
        assert answer.status_code == 404
        assert answer.json() == nothing.json()


@pytest.mark.parametrize("path", PATHS)
async def test_off_loopback_the_token_has_to_be_shown(tmp_path: Path, path: str) -> None:
    """Also for calls that only read."""
    policy = GivenPolicy(token=TOKEN, on_loopback=False)
    async with asking(tmp_path, policy, base_url="http://pcc.example.com") as client:
        for shown in (None, "", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN):
            headers = {} if shown is None else {"Authorization": shown}
            assert (await client.get(path, headers=headers)).status_code == 401
        shown_right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get(path, headers=shown_right)).status_code in {200, 404}
        assert (await client.get("/metrics")).status_code == 200


async def test_the_page_is_for_those_who_may_ask(tmp_path: Path) -> None:
    """The page is there exactly where the calls are; its refusals are words for people."""
    async with asking(tmp_path / "a", bodies=[body()]) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert EVENT["event"]["diagnosisType"] in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for name in ("style.css", "page.js"):
            assert f"/{name}" in page.text
            assert (await client.get(f"/{name}")).status_code == 200
        refused = await client.get("/", headers={"X-Forwarded-For": "192.0.2.1"})
        assert refused.status_code == 403
        assert refused.headers["content-type"].startswith("text/plain")
    outside = GivenPolicy(on_loopback=False)
    async with asking(tmp_path / "b", outside, base_url="http://pcc") as client:
        assert (await client.get("/")).status_code == 404
    outside = GivenPolicy(token=TOKEN, on_loopback=False)
    async with asking(tmp_path / "c", outside, base_url="http://pcc") as client:
        assert (await client.get("/")).status_code == 401
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/", headers=shown)).status_code == 200


async def test_on_loopback_a_program_of_this_machine_may_ask(tmp_path: Path) -> None:
    """With or without a token set; whom a proxy passes on has to show it, or cannot ask at all."""
    passed_on = {"X-Forwarded-For": "192.0.2.1"}
    async with asking(tmp_path / "a") as client:
        assert (await client.get("/api/v1/events")).status_code == 200
        assert (await client.get("/api/v1/events", headers=passed_on)).status_code == 403
        other = {"Host": "pcc.example.com"}
        assert (await client.get("/api/v1/events", headers=other)).status_code == 403
        origin = {"Origin": "https://evil.example.com"}
        assert (await client.get("/api/v1/events", headers=origin)).status_code == 403
    async with asking(tmp_path / "b", GivenPolicy(token=TOKEN)) as client:
        assert (await client.get("/api/v1/events")).status_code == 200
        assert (await client.get("/api/v1/events", headers=passed_on)).status_code == 403
        shown = {**passed_on, "Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/api/v1/events", headers=shown)).status_code == 200


async def test_a_token_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    """The answer does not say where the file is."""
    policy = GivenPolicy(unreadable=ReconcilerError("/run/secret cannot be read"))
    async with asking(tmp_path, policy) as client:
        answer = await client.get("/api/v1/events")
        assert answer.status_code == 503
        assert "/run" not in answer.text


@pytest.mark.parametrize(("path", "word"), [("/healthz", "live"), ("/readyz", "ready")])
async def test_a_process_that_is_not_well_says_why(tmp_path: Path, path: str, word: str) -> None:
    """Whether it is alive and whether it is ready are two questions, open to every probe."""
    troubles = {"live": "the spool hangs", "ready": "not everything was read yet"}

    def live() -> str:
        return troubles["live"]

    def ready() -> str:
        return troubles["ready"]

    outside = GivenPolicy(on_loopback=False)
    async with asking(tmp_path, outside, health=FakeHealth(live, ready)) as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (503, f"{troubles[word]}\n")
        troubles[word] = ""
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (200, f"{word}\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_no_call_writes(tmp_path: Path, method: str) -> None:
    """Replay and erase are commands; over HTTP there is nothing that changes an event."""
    async with asking(tmp_path) as client:
        for path in PATHS:
            assert (await client.request(method, path)).status_code == 405


class Unreadable(Spool):
    """A spool on a disk that fails."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"events", "event", "seen"}:
            raise SpoolError("the spool cannot be read: disk I/O error")
        return super().__getattribute__(name)


@pytest.mark.parametrize("path", ["/", *PATHS])
async def test_a_spool_that_cannot_be_read_is_no_mistake_of_the_caller(
    tmp_path: Path, path: str
) -> None:
    """It is answered 503, so that the daemon asks again, and says that the spool is the matter."""
    async with asking(tmp_path, kind=Unreadable) as client:
        answer = await client.get(path)
    assert answer.status_code == 503
    assert "the spool cannot be read: disk I/O error" in answer.text


# --- What is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/v1/events?acount=x", "did you mean 'account'?"),
        ("/api/v1/events?account=", "is empty"),
        ("/api/v1/events?state=lost", "pending"),
        ("/api/v1/events?state=delivered&state=dead", "more than once"),
        ("/api/v1/events?since=yesterday", "2026-11-22T10:00:00Z"),
        ("/api/v1/events?limit=0", "from 1 to 1000"),
        ("/api/v1/events?limit=1001", "from 1 to 1000"),
        ("/api/v1/events?limit=9999999999999999999999", "from 1 to 1000"),
        ("/api/v1/events?limit=0000000019999", "from 1 to 1000"),
        ("/api/v1/events?limit=-1", "from 1 to 1000"),
        ("/api/v1/seen?after=-1", "number"),
        ("/api/v1/seen?after=9999999999999999999", "number"),
        ("/api/v1/seen?after=x", "number"),
        ("/api/v1/seen?before=1", "no parameter"),
        ("/api/v1/events/abc?x=1", "no parameter"),
    ],
)
async def test_what_is_not_understood_is_said(tmp_path: Path, path: str, words: str) -> None:
    """A misspelt filter must not mean all events."""
    async with asking(tmp_path) as client:
        answer = await client.get(path)
        assert answer.status_code == 400
        assert words in answer.json()["error"]


async def test_events_are_listed_newest_first(tmp_path: Path) -> None:
    """Filters narrow, also together; a list has no bodies, one event has LG's message."""
    bodies = [body(deviceId=f"device-{number}") for number in range(5)]
    async with asking(tmp_path, bodies=bodies) as client:
        found = (await client.get("/api/v1/events?limit=2")).json()["events"]
        assert [event["device"] for event in found] == ["device-4", "device-3"]
        assert "contentUrl" not in json.dumps(found)
        asked = "/api/v1/events?device=device-2&type=WASHER_DRAIN_SLOW&since=1h"
        (only,) = (await client.get(asked)).json()["events"]
        (whole,) = (await client.get(f"/api/v1/events/{only['id']}")).json()["events"]
        assert whole["message"]["event"]["contentUrl"] == EVENT["event"]["contentUrl"]
        missing = await client.get("/api/v1/events/AAAAAAAAAAAAAAAAAAAAAA")
        assert missing.status_code == 404
        strange = await client.get("/api/v1/events/%00%ff%2e%2e")
        assert strange.status_code == 404


async def test_seen_is_read_page_by_page(tmp_path: Path) -> None:
    """``last`` is the number of the last event of a page; what has no device is no matter of the daemon's."""
    events = [
        {**EVENT, "event": {**EVENT["event"], "deviceId": f"device-{number}"}}
        for number in range(1001)
    ]
    bodies = [json.dumps(events[:600]).encode(), b"scrap", json.dumps(events[600:]).encode()]
    async with asking(tmp_path, bodies=bodies) as client:
        first = (await client.get("/api/v1/seen")).json()
        assert len(first["events"]) == 1000
        assert first["last"] == first["events"][-1]["seq"]
        second = (await client.get(f"/api/v1/seen?after={first['last']}")).json()
        assert [event["device"] for event in second["events"]] == ["device-1000"]
        third = (await client.get(f"/api/v1/seen?after={second['last']}")).json()
        assert (third["events"], third["last"]) == ([], second["last"])
        assert first["spool"] == third["spool"]
        assert len(first["spool"]) == 36
        assert first["events"][0].keys() == {
            "seq",
            "id",
            "device",
            "push_type",
            "diagnosis",
            "category",
            "diagnosed",
            "received",
        }


async def test_many_ask_at_once(tmp_path: Path) -> None:
    """The reading connection is shared: nobody sees half of another's answer."""
    bodies = [body(deviceId=f"device-{number}") for number in range(20)]
    async with asking(tmp_path, bodies=bodies) as client:
        paths = ["/api/v1/events", "/api/v1/seen", "/api/v1/events?limit=1"] * 10
        answers = await asyncio.gather(*(client.get(path) for path in paths))
        assert {answer.status_code for answer in answers} == {200}
        assert [len(answer.json()["events"]) for answer in answers] == [20, 20, 1] * 10


async def test_no_foreign_word_reaches_a_terminal_as_it_came(tmp_path: Path) -> None:
    """Who looks with curl sees escapes."""
    async with asking(tmp_path, bodies=[body(deviceId="a\x1b[2Jb\u202ec")]) as client:
        for path in ("/api/v1/events", "/api/v1/seen"):
            text = (await client.get(path)).text
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert (await client.get(path)).json()["events"][0]["device"] == "a\x1b[2Jb\u202ec"
