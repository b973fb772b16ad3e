"""The table of answers of the receiver, row by row, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from itertools import combinations

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message
from structlog.testing import capture_logs

from receiving import (
    EVENT,
    PAIR,
    PATH_SECRET,
    GivenPolicy,
    WrittenJournal,
    basic,
    body,
    head,
    receiving,
)
from reconciler.api.receiver import LARGEST_BODY, REFUSALS, Limits, Receiver
from reconciler.core.errors import ReconcilerError, SpoolError, SpoolFull
from reconciler.events.model import Arrival, Stored, Wanted
from reconciler.events.spool import Spool
from reconciler.reporting.formats.kept_events import events_json
from reconciler.runtime.clock import SystemClock
from recording import StillClock
from scenarios import eventually
from spooled import ROOMY, Routes

OLD_PAIR = "lg:sesame-open-8000"
QUICK = Limits(body_seconds=0.3, commit_seconds=0.3)


# --- What is taken ---------------------------------------------------------------------------------------------------


async def test_an_event_is_answered_with_success_after_its_commit() -> None:
    """While the commit is not done there is no answer; then it is 200 and an empty object."""
    async with receiving() as site:
        site.spool.gate.clear()
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", len(body())) + body())
        await eventually(lambda: site.spool.waiting)
        assert site.journal.answers == 0
        site.spool.gate.set()
        answer = await caller.answer()
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer.headers["content-type"] == "application/json"
        assert site.spool.bodies == [body()]
        caller.close()


async def test_an_event_that_came_before_is_taken_once() -> None:
    """A retry gets the same answer and is no second event, also under a new message id."""
    again = json.dumps({**EVENT, "messageId": "another"}).encode()
    async with receiving() as site:
        for content in (body(), body(), again):
            assert (await site.post(content)).status == 200
        assert len(site.spool.kept) == 1
        stored = [receipt.stored for _, receipt in site.journal.stored_ones]
        assert stored == [Stored.NEW, Stored.DUPLICATE, Stored.DUPLICATE]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"<html>",
        b'{"event": {"pushType": "PCC_EVENT"}}',
        b'{"event": {"pushType": "PCC_EVENT", "deviceId": "a", "diagnosisType": NaN}}',
        b"[" * 5000 + b"]" * 5000,
    ],
    ids=range(10),
)
async def test_what_is_not_understood_is_answered_with_success_and_kept(content: bytes) -> None:
    """Its bytes go to quarantine as they came: nothing is lost, and no sender switches us off."""
    async with receiving() as site:
        answer = await site.post(content)
        assert (answer.status, answer.body) == (200, b"{}")
        assert site.spool.bodies == [content]
        assert [one.quarantine is not None for one in site.spool.kept.values()] == [True]


async def test_every_element_of_an_array_is_judged_alone() -> None:
    """An event, a duplicate of it and something else arrive together; each becomes what it would be alone."""
    event = json.loads(body())
    content = json.dumps([event, {"x": 1}, event]).encode()
    async with receiving() as site:
        assert (await site.post(content)).status == 200
        stored = [receipt.stored for _, receipt in site.journal.stored_ones]
        assert stored == [Stored.NEW, Stored.QUARANTINED, Stored.DUPLICATE]


async def test_other_push_types_are_taken() -> None:
    """What is no diagnosis is kept as well."""
    content = json.dumps({"push": {"pushType": "DEVICE_REGISTERED", "deviceId": "a"}}).encode()
    async with receiving() as site:
        assert (await site.post(content)).status == 200
        (arrival,) = site.spool.kept.values()
        assert arrival.message is not None
        assert arrival.message.push_type == "DEVICE_REGISTERED"


async def test_a_self_test_is_answered_with_its_nonce() -> None:
    """The nonce comes back in a header, so the caller knows that its own call is on the disk; no other word does."""
    async with receiving() as site:
        for nonce, shown in (("abc123", "abc123"), ("abc\r\nx: y", None), (5, None)):
            content = json.dumps({"push": {"pushType": "PCC_SELF_TEST"}, "nonce": nonce}).encode()
            answer = await site.post(content)
            assert answer.status == 200
            assert answer.headers.get("pcc-self-test") == shown
        answer = await site.post(json.dumps({**EVENT, "nonce": "abc"}).encode())
        assert "pcc-self-test" not in answer.headers


def defective(content: bytes) -> Sequence[Arrival]:
    """Fail on every body."""
    raise ZeroDivisionError(len(content))


async def test_a_defect_of_the_reading_loses_nothing() -> None:
    """If our own code fails on a body, the body is kept, and the sender does not suffer for it."""
    async with receiving(read=defective) as site:
        with capture_logs() as lines:
            assert (await site.post(body())).status == 200
        assert site.spool.bodies == [body()]
        assert [line["event"] for line in lines] == ["receive.unreadable"]


async def test_each_body_that_our_reading_fails_on_is_kept() -> None:
    """Two bodies are no duplicates of each other because nobody could read them; the same one again is."""
    async with receiving(read=defective) as site:
        with capture_logs():
            for content in (b"one", b"two", b"one"):
                assert (await site.post(content)).status == 200
        assert site.spool.bodies == [b"one", b"two"]
        stored = [receipt.stored for _, receipt in site.journal.stored_ones]
        assert stored == [Stored.QUARANTINED, Stored.QUARANTINED, Stored.DUPLICATE]


# --- Methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"])
async def test_another_method_is_refused_first(method: str) -> None:
    """A console may probe the address: it hears which method is meant, with or without a credential."""
    async with receiving(GivenPolicy([PAIR], on_loopback=False)) as site:
        answer = await site.post(b"", method=method)
        assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")
        assert site.journal.reasons == ["method"]


# --- Credentials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Basic",
        "Basic !",
        "Basic ä",
        basic("lg:sesame-open-9001"),
        basic(""),
        f"Bearer {PAIR}",
        f"Basic {PAIR}",
        basic(PAIR + "\n"),
    ],
    ids=range(10),
)
async def test_a_wrong_credential_is_refused_and_not_read(shown: str | None) -> None:
    """The answer says which scheme is meant, and has no body; nothing of the call is kept."""
    async with receiving(GivenPolicy([PAIR], on_loopback=False)) as site:
        headers = {} if shown is None else {"Authorization": shown}
        answer = await site.post(body(), headers=headers)
        assert (answer.status, answer.body) == (401, b"")
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert site.spool.kept == {}
        assert site.journal.reasons == ["credential"]


@pytest.mark.parametrize(
    "shown",
    [
        basic(),
        basic(OLD_PAIR),
        basic().replace("Basic", "basic"),
        f"BASIC  {b64encode(PAIR.encode()).decode().rstrip('=')}",
    ],
    ids=["new", "old", "lower case", "without padding"],
)
async def test_each_of_two_pairs_holds(shown: str) -> None:
    """While a credential is replaced, callers may show the new or the old one, in every spelling of the header."""
    async with receiving(GivenPolicy([PAIR, OLD_PAIR], on_loopback=False)) as site:
        assert (await site.post(body(), headers={"Authorization": shown})).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/pcc/events/{PATH_SECRET}", 200),
        (f"/pcc/events/{PATH_SECRET}?x=1", 200),
        ("/pcc/events", 401),
        ("/pcc/events/", 401),
        (f"/pcc/events/{PATH_SECRET[:-1]}", 401),
        (f"/pcc/events/{PATH_SECRET}/", 401),
        (f"/pcc/events//{PATH_SECRET}", 401),
        ("/pcc/events/%00", 401),
        ("/pcc/events/%ff", 401),
    ],
)
async def test_the_secret_of_the_path_has_to_be_right(path: str, status: int) -> None:
    """Whoever can be given nothing but a URL shows the secret in its last segment."""
    async with receiving(GivenPolicy(secrets=[PATH_SECRET], on_loopback=False)) as site:
        assert (await site.post(body(), path)).status == status


async def test_where_both_are_set_both_have_to_hold() -> None:
    """One of two credentials is none."""
    async with receiving(GivenPolicy([PAIR], [PATH_SECRET], on_loopback=False)) as site:
        shown = {"Authorization": basic()}
        right = f"/pcc/events/{PATH_SECRET}"
        assert (await site.post(body(), right)).status == 401
        assert (await site.post(body(), headers=shown)).status == 401
        assert (await site.post(body(), right, shown)).status == 200


async def test_a_segment_that_nobody_asked_for_is_refused() -> None:
    """A caller that was given a secret which is no longer set must notice."""
    async with receiving() as site:
        assert (await site.post(body(), f"/pcc/events/{PATH_SECRET}")).status == 401
        assert (await site.post(body(), "/pcc/events/")).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "pcc.example.com"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "192.0.2.1"),
        ("Via", "1.1 proxy"),
    ],
)
async def test_a_proxy_in_front_of_loopback_opens_nothing(name: str, value: str) -> None:
    """The exemption of loopback ends where somebody passes on another's call."""
    async with receiving() as site:
        assert (await site.post(body())).status == 200
        assert (await site.post(body(), headers={name: value})).status == 401
    async with receiving(GivenPolicy([PAIR])) as site:
        shown = {"Authorization": basic(), name: value}
        assert (await site.post(body(), headers=shown)).status == 200


async def test_without_a_credential_only_loopback_is_open() -> None:
    """Even if the settings were wrong, nobody could send events to an open port."""
    async with receiving(GivenPolicy(on_loopback=False)) as site:
        assert (await site.post(body())).status == 401


async def test_a_secret_that_cannot_be_read_asks_to_come_again() -> None:
    """Who is right cannot be known then; 401 would make senders give up for our fault."""
    policy = GivenPolicy(unreadable=ReconcilerError("the file cannot be read"))
    async with receiving(policy) as site:
        with capture_logs() as lines:
            answer = await site.post(body())
        assert (answer.status, answer.headers["retry-after"]) == (503, "60")
        assert lines[0]["message"] == "the file cannot be read"


# --- Limits ----------------------------------------------------------------------------------------------------------


async def test_more_than_the_most_under_way_are_asked_to_come_again() -> None:
    """The 513th request is refused while 512 wait for their commits; afterwards it is taken."""
    async with receiving(limits=Limits(commit_seconds=60)) as site:
        site.spool.gate.clear()
        callers = [await site.connect() for _ in range(512)]
        for number, caller in enumerate(callers):
            content = body(deviceId=f"device-{number}")
            await caller.say(head("POST", "/pcc/events", len(content)) + content)
        await eventually(lambda: site.spool.waiting == 512)
        answer = await site.post(body())
        assert (answer.status, answer.headers["retry-after"]) == (503, "60")
        assert (await site.post(body(), "/pcc/events/wrong")).status == 401
        site.spool.gate.set()
        answers = [await caller.answer() for caller in callers]
        assert {one.status for one in answers} == {200}
        assert (await site.post(body())).status == 200
        assert len(site.spool.kept) == 513
        assert site.receiver.under_way == 0
        for caller in callers:
            caller.close()


async def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not() -> None:
    """The limit is exact, and the answer gets through to a sender that sends all of it."""
    async with receiving() as site:
        assert (await site.post(b" " * LARGEST_BODY)).status == 200
        for size in (LARGEST_BODY + 1, 900_000):
            assert (await site.post(b" " * size)).status == 413
        assert len(site.spool.kept) == 1
        assert site.journal.reasons == ["too_large"] * 2


async def test_a_large_body_in_pieces_without_a_length_is_refused() -> None:
    """A sender that does not say how much is coming gets no further than one that does."""
    async with receiving() as site:
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", None, {"Transfer-Encoding": "chunked"}))
        for _ in range(5):
            await caller.say(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        await caller.say(b"0\r\n\r\n")
        assert (await caller.answer()).status == 413
        caller.close()


@pytest.mark.parametrize(("host", "status"), [(b"127.0.0.1", 413), (b"elsewhere.test", 401)])
async def test_of_a_refused_body_a_bounded_part_is_read(host: bytes, status: int) -> None:
    """A sender without end is answered after a megabyte of what is not wanted, however fast it sends."""
    piece, taken, sent = b" " * 0x10000, 0, list[Message]()

    async def receive() -> Message:
        nonlocal taken
        taken += len(piece)
        assert taken < 4 * 1024 * 1024, "it is read without end"
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    async with receiving() as site:
        scope = {"type": "http", "method": "POST", "path": "/pcc/events"}
        await site.receiver({**scope, "headers": [(b"host", host)]}, receive, send)
    assert sent[0]["status"] == status
    assert 1024 * 1024 < taken <= 1024 * 1024 + LARGEST_BODY + 2 * len(piece)


async def test_a_large_body_that_asks_first_is_not_sent() -> None:
    """Who asks with ``Expect: 100-continue`` hears no before it sends anything."""
    async with receiving() as site:
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", 10_000_000, {"Expect": "100-continue"}))
        assert (await caller.answer()).status == 413
        caller.close()


async def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    """One that drips, or stops, is answered after the time limit, and not kept."""
    async with receiving(limits=QUICK) as site:
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", len(body())) + body()[:-1])
        assert (await caller.answer()).status == 408
        caller.close()
        assert site.spool.kept == {}
        assert site.journal.reasons == ["too_slow"]
        assert site.receiver.under_way == 0


async def test_a_body_may_take_longer_than_a_commit() -> None:
    """The time for a body and the time for a commit are two limits: a slow sender has all of its own."""
    async with receiving(limits=Limits(body_seconds=30, commit_seconds=0.2)) as site:
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", len(body())) + body()[:-1])
        await asyncio.sleep(0.5)
        await caller.say(body()[-1:])
        assert (await caller.answer()).status == 200
        caller.close()
        assert len(site.spool.kept) == 1


async def test_a_body_that_is_cut_off_is_not_kept() -> None:
    """A sender that dies in the middle never got an answer that we have it."""
    async with receiving() as site:
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", len(body())) + body()[:-1])
        await eventually(lambda: site.receiver.under_way)
        caller.close()
        await eventually(lambda: site.journal.reasons)
        assert site.journal.reasons == ["broken_off"]
        assert site.spool.kept == {}


async def test_a_slow_body_that_comes_in_time_is_taken() -> None:
    """A body in many small pieces is put together."""
    async with receiving() as site:
        caller = await site.connect()
        await caller.say(head("POST", "/pcc/events", len(body())))
        for at in range(0, len(body()), 40):
            await caller.say(body()[at : at + 40])
            await asyncio.sleep(0.001)
        assert (await caller.answer()).status == 200
        assert site.spool.bodies == [body()]
        caller.close()


# --- Two things at once ----------------------------------------------------------------------------------------------

IN_ORDER = {
    "method": 405,
    "credential": 401,
    "busy": 503,
    "too_large": 413,
    "spool_full": 503,
}
"""What may be the matter with a call, in the order of the documented table, and how it is answered."""


@pytest.mark.parametrize(("first", "second"), [*combinations(IN_ORDER, 2)])
async def test_of_two_reasons_the_first_of_the_table_is_answered(first: str, second: str) -> None:
    """Who knows no credential does not learn how full we are, and nothing is read of what is not taken."""
    wrong = {first, second}
    async with receiving(
        GivenPolicy([PAIR], on_loopback=False), limits=Limits(under_way=7)
    ) as site:
        site.receiver.under_way = 7 if "busy" in wrong else 6
        site.spool.refusal = SpoolFull("over its limit") if "spool_full" in wrong else None
        answer = await site.post(
            b"x" * (LARGEST_BODY + 1) if "too_large" in wrong else body(),
            headers={"Authorization": basic("lg:wrong-9000" if "credential" in wrong else PAIR)},
            method="PUT" if "method" in wrong else "POST",
        )
        assert (site.journal.reasons, answer.status) == ([first], IN_ORDER[first])
        assert site.receiver.under_way == (7 if "busy" in wrong else 6)
        assert site.spool.kept == {}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_secret_that_cannot_be_read_is_no_matter_of_another_method(method: str) -> None:
    """A console that probes the address hears which method is meant, whatever is the matter with us."""
    policy = GivenPolicy(unreadable=ReconcilerError("the file cannot be read"))
    async with receiving(policy) as site:
        site.receiver.under_way = 10_000
        with capture_logs():
            await site.post(body(), method=method)
        assert site.journal.reasons == ["method" if method == "GET" else "secret_unreadable"]


# --- The spool -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [(SpoolFull("over its limit"), "spool_full"), (SpoolError("disk full"), "spool_failed")],
    ids=["full", "failed"],
)
async def test_what_is_not_on_disk_is_never_answered_with_success(
    refusal: SpoolError, reason: str
) -> None:
    """A spool that is full, or cannot be written, asks to come again, and takes the next try."""
    async with receiving() as site:
        site.spool.refusal = refusal
        answer = await site.post(body())
        assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "60", b"")
        assert site.journal.reasons == [reason]
        assert site.journal.answers == 0
        site.spool.refusal = None
        assert (await site.post(body())).status == 200


async def test_a_commit_that_takes_too_long_is_answered_as_failed() -> None:
    """The sender is not kept waiting; if the commit comes about later, its retry is a duplicate."""
    async with receiving(limits=QUICK) as site:
        site.spool.gate.clear()
        assert (await site.post(body())).status == 503
        assert site.journal.reasons == ["spool_failed"]
        site.spool.gate.set()
        assert (await site.post(body())).status == 200


async def test_a_commit_has_less_time_than_a_body() -> None:
    """A sender that waits for seconds is answered in seconds, and the log states the limit that ended it."""
    async with receiving(limits=Limits(body_seconds=3600, commit_seconds=0.2)) as site:
        site.spool.gate.clear()
        with capture_logs() as lines:
            async with asyncio.timeout(60):
                assert (await site.post(body())).status == 503
        assert [line["message"] for line in lines] == ["the commit took longer than 0.2 seconds"]
        site.spool.gate.set()


# --- What is said ----------------------------------------------------------------------------------------------------


async def test_the_log_shows_no_path_and_no_header_of_a_refused_call() -> None:
    """A wrong secret may be nearly right, or an old one. Nor does a crowd of callers fill the log."""
    async with receiving(GivenPolicy([PAIR], [PATH_SECRET], on_loopback=False)) as site:
        with capture_logs() as lines:
            for _ in range(20):
                shown = {"Authorization": basic("lg:nearly-right-0001")}
                await site.post(body(), "/pcc/events/nearly-the-right-segment", shown)
        assert len(lines) == 1
        assert lines[0]["event"] == "receive.refused"
        assert "nearly" not in str(lines)
        assert b64encode(b"lg:nearly").decode()[:8] not in str(lines)


async def test_refused_calls_are_one_line_a_minute_however_long_they_go_on() -> None:
    """Each line has the number of the calls since the one before."""
    clock = StillClock()
    async with receiving(GivenPolicy([PAIR], on_loopback=False), clock=clock) as site:
        with capture_logs() as lines:
            for _ in range(24):
                await site.post(body(), headers={"Authorization": basic("lg:wrong-secret-0001")})
                clock.move(10)
    assert [line["event"] for line in lines] == ["receive.refused"] * 4
    assert [line["count"] for line in lines] == [1, 6, 6, 6]


async def test_each_reason_is_said_as_soon_as_it_first_comes() -> None:
    """Calls that are refused for one reason do not hide that others are refused for another."""
    clock = StillClock()
    async with receiving(GivenPolicy([PAIR], on_loopback=False), clock=clock) as site:
        with capture_logs() as lines:
            for _ in range(2):
                for _ in range(3):
                    await site.post(body())
                    await site.post(body(), method="GET")
                    clock.move(15)
                    site.spool.refusal = SpoolFull("over its limit")
                    await site.post(body(), headers={"Authorization": basic()})
    said = [(line["reason"], line["status"], line["count"]) for line in lines]
    assert said == [
        ("credential", 401, 1),
        ("method", 405, 1),
        ("spool_full", 503, 1),
        ("credential", 401, 4),
        ("method", 405, 4),
        ("spool_full", 503, 4),
    ]


@pytest.mark.parametrize(
    ("set_", "allowed", "most"), [(3, 2, 2), (3, 5, 3), (3, 3, 3)], ids=["fewer", "more", "same"]
)
async def test_no_more_are_under_way_than_is_set_and_than_there_are_connections(
    set_: int, allowed: int, most: int
) -> None:
    """The smaller of the two numbers counts, and just so many are taken."""
    async with receiving(limits=Limits(commit_seconds=60, under_way=set_)) as site:
        site.receiver.allow(allowed)
        site.spool.gate.clear()
        callers = [await site.connect() for _ in range(most)]
        for number, caller in enumerate(callers):
            content = body(deviceId=f"device-{number}")
            await caller.say(head("POST", "/pcc/events", len(content)) + content)
        await eventually(lambda: site.spool.waiting == most)
        assert (await site.post(body())).status == 503
        site.spool.gate.set()
        assert [(await caller.answer()).status for caller in callers] == [200] * most
        for caller in callers:
            caller.close()
    assert site.journal.reasons == ["busy"]


async def test_every_reason_is_named() -> None:
    """The metric's label values are those that the tests above have met; ``ending`` needs a process that ends."""
    assert {
        "method",
        "credential",
        "secret_unreadable",
        "busy",
        "too_large",
        "too_slow",
        "broken_off",
        "spool_full",
        "spool_failed",
        "ending",
    } == set(REFUSALS)


# --- Any body --------------------------------------------------------------------------------------------------------

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
_member = st.sampled_from(
    [
        "event",
        "push",
        "messageId",
        "timestamp",
        "pushType",
        "deviceId",
        "deviceType",
        "diagnosisType",
        "diagnosisTimestamp",
        "contentUrl",
        "nonce",
    ]
)
_like_ours = st.dictionaries(
    _member,
    _plain
    | st.dictionaries(
        _member, _plain | st.sampled_from(["PCC_EVENT", "PCC_SELF_TEST", "2026-11-22T09:09:00Z"])
    ),
    max_size=6,
)
_bodies = st.one_of(
    st.binary(max_size=300),
    _plain.map(lambda value: json.dumps(value).encode()),
    _like_ours.map(lambda value: json.dumps(value).encode()),
    st.lists(_like_ours, max_size=4).map(lambda value: json.dumps(value).encode()),
    st.builds(lambda whole, at: whole[: at % len(whole)], st.just(body()), st.integers(0)),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(contents=st.lists(_bodies, min_size=1, max_size=20))
async def test_no_body_makes_an_error_of_ours_or_is_lost(contents: list[bytes]) -> None:
    """Whatever is sent by somebody with the right credential is answered with 200, and all of its bytes are kept."""
    async with receiving(GivenPolicy([PAIR], on_loopback=False)) as site:
        for content in contents:
            before = len(site.journal.stored_ones)
            answer = await site.post(content, headers={"Authorization": basic()})
            assert answer.status == 200, content
            kept = site.journal.stored_ones[before:]
            assert kept
            for arrival, _ in kept:
                whole = arrival.body == content
                assert whole or json.loads(arrival.body) in json.loads(content)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(contents=st.lists(_bodies, min_size=1, max_size=10))
async def test_no_body_is_too_much_for_the_real_spool(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    """Whatever words and numbers a body has, the spool on the disk takes it, shows it, and has its bytes."""
    spool = Spool(tmp_path_factory.mktemp("spool"), SystemClock(), Routes(), limit=ROOMY)
    spool.open()
    journal = WrittenJournal()
    app = Receiver(spool, GivenPolicy(), journal, SystemClock())
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for content in contents:
                answer = await client.post("/pcc/events", content=content)
                assert answer.status_code == 200, content
        for arrival, receipt in journal.stored_ones:
            if receipt.stored in {Stored.NEW, Stored.QUARANTINED}:
                (kept,) = [one for one in spool.event(receipt.id) if one.seq == receipt.seq]
                assert kept.body == arrival.body
        shown = events_json(spool.events(Wanted(limit=1000)))
        assert json.loads(shown)["events"] is not None
        spool.seen(0, 1000)
    finally:
        spool.close()
