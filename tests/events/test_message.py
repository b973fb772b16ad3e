"""LG's bytes become arrivals, whatever they are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.events.envelope import encoded
from reconciler.events.message import DEEPEST, MOST_ELEMENTS, Reason, read, understood
from reconciler.events.model import Arrival
from spooled import sent


def one(body: bytes) -> Arrival:
    """Return the only arrival in a body."""
    (arrival,) = read(body)
    return arrival


def changed(body: bytes, **members: Any) -> bytes:
    """Return a message with other members around its event; a None takes one away."""
    content = {**json.loads(body), **members}
    return json.dumps(
        {name: value for name, value in content.items() if value is not None}
    ).encode()


def nested(depth: int) -> bytes:
    """Return a message with this number of objects and arrays inside each other."""
    inner = b"[" * (depth - 2) + b"]" * (depth - 2)
    return sent().replace(b'"PCC_EVENT"', b'"PCC_EVENT", "extra": ' + inner)


def test_a_pcc_event_is_read_member_by_member() -> None:
    """All that LG documents becomes a value, and the whole message is kept beside it."""
    arrival = one(sent("washer-1", 7))
    message = arrival.message
    assert message is not None
    assert (message.push_type, message.device, message.device_type) == (
        "PCC_EVENT",
        "washer-1",
        "DEVICE_WASHER",
    )
    assert (message.diagnosis, message.content_url) == (
        "WASHER_DRAIN_SLOW",
        "https://content.example/1",
    )
    assert message.diagnosed_at == datetime(2026, 1, 2, 3, 0, 7, 7, UTC)
    assert message.sent_at == datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
    assert message.message_id == arrival.message_id == "message-washer-1-7"
    assert message.raw == json.loads(sent("washer-1", 7))
    assert arrival.body == sent("washer-1", 7)
    assert arrival.quarantine is None


def test_a_time_with_a_zone_is_brought_to_utc() -> None:
    """A zone that LG names counts."""
    message = one(sent(diagnosisTimestamp="2026-01-02T12:00:00+09:00")).message
    assert message is not None
    assert message.diagnosed_at == datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
def seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine be in Seoul."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Seoul")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("seoul")
def test_a_time_without_a_zone_is_utc_wherever_the_machine_is() -> None:
    """LG writes times in UTC; the zone of the machine that receives them does not count."""
    message = one(sent(diagnosisTimestamp="2026-01-02T12:00:00")).message
    assert message is not None
    assert message.diagnosed_at == datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "time", ["yesterday", 1767323045, None, "", "9999-12-31T23:59:59-23:59", "2" * 1000, {}]
)
def test_a_time_that_cannot_be_read_is_left_out(time: Any) -> None:
    """Without a readable time an event is an event all the same."""
    message = one(sent(diagnosisTimestamp=time)).message
    assert message is not None
    assert message.diagnosed_at is None


@pytest.mark.parametrize("name", ["deviceType", "contentUrl", "diagnosisTimestamp"])
def test_what_may_be_missing_may_be_missing(name: str) -> None:
    """A member that an event can do without, or one of another type, is None."""
    content = json.loads(sent())
    del content["event"][name]
    assert one(json.dumps(content).encode()).message is not None
    content["event"][name] = 5
    assert one(json.dumps(content).encode()).message is not None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.JSON),
        (b"\xff\xfe", Reason.ENCODING),
        (sent().decode().encode("utf-16"), Reason.ENCODING),
        (sent()[:-5], Reason.JSON),
        (sent() + b"x", Reason.JSON),
        (sent(extra=float("nan")), Reason.JSON),
        (sent(extra=float("-inf")), Reason.JSON),
        (sent().replace(b'"DEVICE_WASHER"', b"1e999"), Reason.JSON),
        (sent().replace(b'"DEVICE_WASHER"', b"1" * 5000), Reason.JSON),
        (sent().replace(b"washer-1", b"\\ud83d"), Reason.ENCODING),
        (sent().replace(b'"deviceType"', b'"\\udc00"'), Reason.ENCODING),
        (nested(DEEPEST + 1), Reason.NESTING),
        (b"[" * 60_000, Reason.NESTING),
        (b"[" * 30_000 + b"]" * 30_000, Reason.NESTING),
        (b"null", Reason.SHAPE),
        (b'"text"', Reason.SHAPE),
        (b"[]", Reason.SHAPE),
        (b"[" + sent() + b",5]", Reason.SHAPE),
        (b"[" + b",".join([b"{}"] * (MOST_ELEMENTS + 1)) + b"]", Reason.SHAPE),
        (b"{}", Reason.ENVELOPE),
        (changed(sent(), event=[]), Reason.ENVELOPE),
        (sent(pushType=None), Reason.PUSH_TYPE),
        (sent(pushType=""), Reason.PUSH_TYPE),
        (sent(deviceId=5), Reason.DEVICE),
        (sent(diagnosisType=""), Reason.DIAGNOSIS),
    ],
)
def test_what_is_not_understood_is_for_quarantine(body: bytes, reason: Reason) -> None:
    """Each body that is no message has one reason, and keeps its bytes."""
    arrival = one(body)
    assert (arrival.quarantine, arrival.message) == (reason, None)
    assert arrival.body == body
    assert arrival.key == sha256(body).digest()
    assert understood(body) is None


def test_nesting_up_to_the_limit_is_understood() -> None:
    """The deepest message that is allowed is read, however many brackets lie beside each other."""
    assert one(nested(DEEPEST)).message is not None
    assert one(sent(extra=[[], {}] * 100)).message is not None


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf" + sent(), sent("가전-1"), sent("\U0001f600")])
def test_a_mark_of_the_byte_order_and_other_alphabets_are_understood(body: bytes) -> None:
    """UTF-8 may begin with its mark, and an escaped pair is a whole character."""
    assert one(body).message is not None


def test_unknown_members_are_kept() -> None:
    """What LG adds one day is passed on."""
    message = one(changed(sent(serviceId="x"), userList=["a"])).message
    assert message is not None
    assert message.raw["userList"] == ["a"]
    assert message.raw["event"]["serviceId"] == "x"


def test_other_push_types_need_neither_device_nor_diagnosis() -> None:
    """What is no PCC event may be about anything, and lies under ``event`` or ``push``."""
    message = one(b'{"push": {"pushType": "DEVICE_PUSH", "deviceId": "a"}}').message
    assert message is not None
    assert (message.push_type, message.device) == ("DEVICE_PUSH", "a")
    assert one(b'{"event": {"pushType": "DEVICE_STATUS"}}').message is not None


def test_the_same_diagnosis_has_the_same_key() -> None:
    """A retry may carry a new message id, another content and other members: it is the same event."""
    first = one(sent())
    again = one(changed(sent(contentUrl="https://other.example", extra=1), messageId="new"))
    assert first.key == again.key
    assert first.message_id != again.message_id


@pytest.mark.parametrize(
    "other",
    [
        sent("washer-2"),
        sent(number=2),
        sent(diagnosisType="OTHER"),
        sent(diagnosisTimestamp="2026-01-02T03:00:01.000001Z"),
        sent(pushType="PCC_EVENT_CLOSED"),
        sent("washer-1WASHER", diagnosisType="_DRAIN_SLOW"),
    ],
)
def test_another_diagnosis_has_another_key(other: bytes) -> None:
    """Each of the three members counts as LG sent it, and so does the push type."""
    assert one(sent()).key != one(other).key


def test_what_is_in_quarantine_is_no_first_copy_of_a_whole_message() -> None:
    """A broken message about a diagnosis must not make a duplicate of the whole one that follows."""
    assert one(sent(pushType=None)).key != one(sent()).key


@pytest.mark.parametrize("member", ["deviceId", "diagnosisType", "diagnosisTimestamp"])
@pytest.mark.parametrize("absent", [None, ""])
def test_without_all_three_members_the_bytes_are_the_key(member: str, absent: str | None) -> None:
    """Only the whole body distinguishes an event without a time from others, also where the time is empty."""
    without: dict[str, Any] = {member: absent}
    body = sent(**without)
    assert one(body).key == sha256(body).digest()
    assert one(sent(number=2, **without)).key != one(body).key


def test_each_element_of_an_array_is_judged_alone() -> None:
    """An array is as many arrivals as it has elements, each with bytes of its own that read the same."""
    body = b"[" + sent(number=1) + b", {}, " + sent(diagnosisTimestamp=None) + b"]"
    first, second, third = read(body)
    assert first.key == one(sent(number=1)).key
    assert first.message == one(sent(number=1)).message
    assert second.quarantine == Reason.ENVELOPE
    for arrival in (first, second, third):
        assert one(arrival.body).key == arrival.key
        assert one(arrival.body).message == arrival.message


def test_an_array_may_have_a_thousand_elements() -> None:
    """The largest array is taken."""
    assert len(read(b"[" + b",".join([b"{}"] * MOST_ELEMENTS) + b"]")) == MOST_ELEMENTS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("event"), inner),
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"event": JSON, "messageId": JSON}).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )
    | st.fixed_dictionaries(
        dict.fromkeys(("pushType", "deviceId", "diagnosisType", "diagnosisTimestamp"), JSON)
    ).map(lambda event: json.dumps({"event": event}).encode())
)
def test_no_bytes_raise_and_none_are_lost(body: bytes) -> None:
    """Whatever comes is one arrival at least, which says either what it is or why it is not understood."""
    arrivals = read(body)
    assert arrivals
    for arrival in arrivals:
        assert (arrival.message is None) != (arrival.quarantine is None)
        assert len(arrival.key) == 32
        if len(arrivals) == 1 and not body.lstrip().startswith(b"["):
            assert arrival.body == body
        if arrival.message is not None:
            json.dumps(arrival.message.raw, ensure_ascii=False, allow_nan=False).encode()
            assert understood(arrival.body) == arrival.message


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1E+400", "-0.1e500", "[[-9e400]]"])
def test_a_number_beyond_every_double_is_for_quarantine(number: str) -> None:
    """It could not be written as JSON again, whatever its sign and wherever it is."""
    assert one(changed(sent(), extra=0).replace(b": 0", f": {number}".encode())).quarantine == (
        Reason.JSON
    )


@pytest.mark.parametrize("number", ["1e308", "-1.7e308", "-0.0", "1e-999", "9" * 4000, "-5"])
def test_a_number_that_a_double_or_an_integer_holds_is_passed_on(number: str) -> None:
    """What is taken as a message is written as JSON again, and has the same members."""
    message = one(changed(sent(), extra=0).replace(b": 0", f": {number}".encode())).message
    assert message is not None
    assert json.loads(encoded(message.raw)) == message.raw


@pytest.mark.parametrize(
    "members", [{}, {"deviceId": ""}, {"pushType": 5}, {"diagnosisType": None}]
)
def test_the_id_of_a_message_is_kept_understood_or_not(members: dict[str, Any]) -> None:
    """Whoever asks LG about what is in quarantine needs it; one that is no text is none."""
    body = sent(**members)
    assert one(body).message_id == "message-washer-1-1"
    for odd in (5, "", None):
        assert one(changed(body, messageId=odd)).message_id is None
    assert one(body[:-1]).message_id is None
