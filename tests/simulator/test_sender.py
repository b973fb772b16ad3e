"""The simulated platform's calls on the wire, against a small real HTTP server, and the commands that steer them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable
from socket import socket
from typing import Any

import httpx
import pytest

from partners import Partner, partner, status
from reconciler.simulator import (
    Callbacks,
    Platform,
    Sender,
    SimulatorError,
    SimulatorOptions,
    Target,
    create_app,
    run,
    sample_platform,
    serving,
    welcome,
)
from reconciler.simulator import event_faults as fault

SECRET = "lg:pass:wörd"


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("the condition never came to hold")


class Served:
    """A simulator that sends its events to a partner, and a client of its ``/_sim`` API."""

    def __init__(self, platform: Platform, sender: Sender, partner: Partner, client: Any) -> None:
        self.platform = platform
        self.callbacks = sender.callbacks
        self.partner = partner
        self.client: httpx.AsyncClient = client

    async def emit(self, **body: Any) -> Any:
        """Make events over ``/_sim`` and return what the answer says."""
        answer = await self.client.post("/_sim/events", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def settled(self) -> None:
        """Wait until no call is to come."""
        await until(lambda: all(not sent.open for sent in self.callbacks.log))


def going(work: Callable[[Served], Awaitable[None]], **options: Any) -> None:
    """Serve both in one loop and run the work, for at most some seconds."""

    async def bounded() -> None:
        platform = sample_platform(
            {"default": 8, "other": 2}, only_pcc=True, subscribed=1.0, seed=7
        )
        platform.set_options(**options)
        async with partner() as one:
            sender = Sender(Callbacks(platform), Target.of(one.url, SECRET))
            async with (
                serving(create_app(platform, sender)) as url,
                httpx.AsyncClient(base_url=url) as client,
            ):
                await asyncio.wait_for(work(Served(platform, sender, one, client)), 30)

    asyncio.run(bounded())


def test_one_event_on_the_wire() -> None:
    """An event is one POST of JSON to the path, with Basic authentication, and its 200 is noted."""

    async def work(served: Served) -> None:
        (made,) = await served.emit(device=next(iter(served.platform.subscribed("other"))))
        await served.settled()
        (got,) = served.partner.got
        assert got.line == "POST /pcc/events HTTP/1.1"
        assert got.headers["content-type"] == "application/json"
        expected = base64.b64encode(SECRET.encode()).decode()
        assert got.headers["authorization"] == f"Basic {expected}"
        assert got.headers["host"] == f"127.0.0.1:{served.partner.port}"
        assert "x-service-key" not in got.headers
        assert got.message["event"]["deviceId"] == made["device"]
        assert got.message["messageId"] == made["message_ids"][0]
        listed = (await served.client.get("/_sim/events")).json()
        assert listed["total"] == 1
        assert listed["events"][0]["state"] == "taken"
        assert listed["events"][0]["answers"] == [200]

    going(work)


def test_common_headers_on_the_wire() -> None:
    """With the option a call carries LG's common headers."""

    async def work(served: Served) -> None:
        await served.emit()
        await served.settled()
        (got,) = served.partner.got
        assert got.headers["x-service-key"] == served.platform.world.service.key
        assert got.headers["x-message-id"] == got.message["messageId"]

    going(work, callback_headers=True)


def test_body_that_is_cut() -> None:
    """A connection can break in the middle of a body, or a short body can look whole; the retry is right."""

    async def work(served: Served) -> None:
        await served.emit(faults=[{"kind": "cut-body", "keep": 0.5}])
        await served.settled()
        broken, whole = served.partner.got
        assert not broken.whole
        assert int(broken.headers["content-length"]) == len(whole.body)
        assert whole.body.startswith(broken.body)
        assert whole.message["event"]["pushType"] == "PCC_EVENT"
        assert served.callbacks.log[0].answers == [None, 200]
        served.partner.got.clear()
        await served.emit(faults=[{"kind": "cut-body", "keep": 0.5, "how": "body"}])
        await served.settled()
        (short,) = served.partner.got
        assert short.whole
        assert int(short.headers["content-length"]) == len(short.body)
        with pytest.raises(json.JSONDecodeError):
            _ = short.message

    going(work, callback_retry=0.0)


def test_duplicates_and_arrays_on_the_wire() -> None:
    """Copies and arrays reach the partner as they are described."""

    async def work(served: Served) -> None:
        again = fault.Again(times=2, message_id="new")
        served.callbacks.emit_any(effects=[again])
        await served.emit(user="default", count=2, faults=[{"kind": "array", "size": 2}])
        await served.settled()
        arrays = [got.message for got in served.partner.got if got.body.startswith(b"[")]
        single = [got.message for got in served.partner.got if got.body.startswith(b"{")]
        assert [len(one) for one in arrays] == [2]
        assert len({one["messageId"] for one in single}) == 3
        assert len({json.dumps(one["event"]) for one in single}) == 1

    going(work)


@pytest.mark.parametrize(
    ("answer", "answers"),
    [
        (status(503), [503, 200]),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + status(204), [204]),
        (b"", [None, 200]),
        (b"SSH-2.0-OpenSSH\r\n\r\n", [None, 200]),
        (b"HTTP/1.1 twohundred\r\n\r\n", [None, 200]),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, [None, 200]),
    ],
)
def test_answers(answer: bytes, answers: list[int | None]) -> None:
    """Only a 2xx ends an event; anything that is no HTTP is no answer."""

    async def work(served: Served) -> None:
        served.partner.answers.append(answer)
        await served.emit()
        await served.settled()
        assert served.callbacks.log[0].answers == answers

    going(work, callback_retry=0.0)


def test_partner_that_never_answers() -> None:
    """A call ends after its time-out, without an answer."""

    async def work(served: Served) -> None:
        served.partner.silent = True
        await served.emit()
        await served.settled()
        assert len(served.partner.got) == 1
        assert served.callbacks.log[0].answers == [None]

    going(work, callback_timeout=0.2, callback_attempts=1)


def test_partner_that_is_not_there() -> None:
    """A connection that is refused is no answer."""

    async def talk() -> list[int | None]:
        platform = sample_platform(subscribed=1.0)
        platform.set_options(callback_attempts=2, callback_retry=0.0)
        with socket() as silent:
            silent.bind(("127.0.0.1", 0))  # held, so that nobody else listens there meanwhile
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/events"
            sender = Sender(Callbacks(platform), Target.of(url))
            async with serving(create_app(platform, sender)):
                sent = sender.callbacks.emit_any()
                assert sent is not None
                await until(lambda: not sent.open)
        return sent.answers

    assert asyncio.run(talk()) == [None, None]


@pytest.mark.parametrize("turns", range(5))
def test_end_that_comes_with_a_wake(turns: int) -> None:
    """A sender that is cancelled just as it is woken ends, in whichever turn of the loop that is."""

    async def ends() -> bool:
        sender = Sender(Callbacks(sample_platform()), Target.of("http://127.0.0.1:9/events"))
        work = asyncio.create_task(sender.run())
        await asyncio.sleep(0.01)
        sender.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({work}, timeout=5)
        ended = work.cancelled()
        work.cancel()
        return ended

    assert asyncio.run(ends())


def test_giving_up_and_resuming() -> None:
    """After ten 4xx answers in a row the sender sends nothing more, until it is resumed."""

    async def work(served: Served) -> None:
        served.partner.answer = status(401)
        await served.emit(count=10)
        await served.settled()
        seen = len(served.partner.got)
        await served.emit(count=5)
        state = (await served.client.get("/_sim/callback")).json()
        assert state["url"] == served.partner.url
        assert state["refused_in_a_row"] == 10
        assert state["given_up"] is not None
        assert len(served.partner.got) == seen == 10
        lost = (await served.client.get("/_sim/events?state=lost&limit=3")).json()
        assert lost["total"] == 15
        assert len(lost["events"]) == 3
        served.partner.answer = status(200)
        state = (await served.client.post("/_sim/callback/resume")).json()
        assert state["given_up"] is None
        await served.emit()
        await served.settled()
        assert len(served.partner.got) == 11

    going(work, callback_gives_up_after=10, callback_attempts=1)


def test_events_at_random_times() -> None:
    """With a rate, events come without being asked for, and stop when the rate is taken away."""

    async def work(served: Served) -> None:
        await served.client.patch("/_sim/options", json={"events_per_hour": 360_000})
        await until(lambda: len(served.partner.got) >= 5)
        await served.client.patch("/_sim/options", json={"events_per_hour": 0})
        await served.settled()
        assert (await served.client.get("/_sim/callback")).json()["next"] is None
        await served.client.delete("/_sim/events")
        assert (await served.client.get("/_sim/events")).json() == {"total": 0, "events": []}

    going(work)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"device": "nobody"}, "not subscribed"),
        ({"user": "nobody"}, "there is no user"),
        ({"count": 0}, "count"),
        ({"push_type": ""}, "push_type"),
        ({"faults": [{"kind": "drop"}]}, "faults"),
        ({"faults": [{"kind": "again", "times": 0}]}, "again"),
        ({"what": 1}, "what"),
    ],
)
def test_events_that_cannot_be_made(body: dict[str, Any], words: str) -> None:
    """What is wrong with a request for events is answered in a sentence."""

    async def work(served: Served) -> None:
        answer = await served.client.post("/_sim/events", json=body)
        assert answer.status_code in {400, 404}
        assert words in answer.json()["error"]
        answer = await served.client.get("/_sim/events?colour=red")
        assert "filtered by colour" in answer.json()["error"]

    going(work)


def test_nothing_subscribed() -> None:
    """Where nothing is subscribed there is nothing to diagnose."""

    async def work(served: Served) -> None:
        for user in ("default", "other"):
            served.platform.unsubscribe(user, *served.platform.subscribed(user))
        for body in ({}, {"user": "other"}):
            answer = await served.client.post("/_sim/events", json=body)
            assert "no device is subscribed" in answer.json()["error"]

    going(work)


def test_without_an_address() -> None:
    """A simulator without a callback address has no events, and says how to get some."""

    async def talk() -> None:
        platform = sample_platform(subscribed=1.0)
        async with (
            serving(create_app(platform)) as url,
            httpx.AsyncClient(base_url=url) as client,
        ):
            assert (await client.get("/_sim/callback")).json() == {"url": None}
            for method, path in (
                ("GET", "events"),
                ("POST", "events"),
                ("DELETE", "events"),
                ("POST", "callback/resume"),
            ):
                answer = await client.request(method, f"/_sim/{path}")
                assert "--callback" in answer.json()["error"]

    asyncio.run(talk())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1:8081",
        "http://",
        "http://user:word@127.0.0.1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
        "http://127.0.0.1/ü",
        "http://127.0.0.1:port/",
        "http://[::1/",
        "http://127.0.0.1/#part",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    """What is no address of a callback is refused before anything starts."""
    with pytest.raises(SimulatorError, match="callback address"):
        Target.of(url)


def test_addresses() -> None:
    """An address may have a query, be IPv6, or be https; the credential is never shown."""
    target = Target.of("http://[::1]:81/in?key=1", "user:word")
    assert target.head({}, 3).startswith(b"POST /in?key=1 HTTP/1.1\r\nHost: [::1]:81\r\n")
    assert "word" not in repr(target)
    assert (Target.of("https://example.com").port, Target.of("https://example.com").tls) == (
        443,
        True,
    )
    assert Target.of("http://example.com").path == "/"
    with pytest.raises(SimulatorError, match="user:password"):
        Target.of("http://example.com", "word")


@pytest.mark.parametrize("given", [{"callback_basic": "a:b"}, {"events_per_hour": 5.0}])
def test_options_without_an_address(given: dict[str, Any]) -> None:
    """What makes sense only with a callback address is refused without one."""
    with pytest.raises(SimulatorError, match="--callback"):
        asyncio.run(run(SimulatorOptions(listen="127.0.0.1:0", **given)))


def test_program() -> None:
    """The program says where it sends events, without the credential, and sends them until a signal."""
    said: list[str] = []

    async def talk() -> None:
        async with partner() as one:
            options = SimulatorOptions(
                listen="127.0.0.1:0",
                subscribed=1.0,
                callback=one.url,
                callback_basic=SECRET,
                events_per_hour=360_000,
            )
            program = asyncio.create_task(run(options, say=said.append))
            await until(lambda: len(one.got) > 3)
            os.kill(os.getpid(), signal.SIGTERM)
            await program

    asyncio.run(asyncio.wait_for(talk(), 30))
    assert re.search(r"Events: 360000 an hour, sent to 127\.0\.0\.1:\d+\n", said[0])
    assert "wörd" not in said[0]


def test_welcome_without_events() -> None:
    """Without a callback address nothing is said of events."""
    assert "Events" not in welcome(sample_platform(), "http://127.0.0.1:9000")
