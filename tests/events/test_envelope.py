"""The CloudEvent that leaves: what is in it, and that equal diagnoses have equal ids."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from reconciler.events.describing import describe
from reconciler.events.envelope import Envelopes, cloud_event, encoded, event_id, stamp
from reconciler.events.envelope_schema import event_schema
from reconciler.events.logic import LogicInForce
from reconciler.events.logic_reading import read_logic
from reconciler.events.model import PCC_EVENT, Attempt, Device, Knowledge, Message

DEVICE = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"
SOURCE = "urn:pcc:production"
STORED = datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)
RAW = {
    "messageId": "AFvLxlWNTbGN0kLLmYqUJQ",
    "timestamp": "2026-11-29T09:10:38.414928",
    "event": {
        "pushType": PCC_EVENT,
        "deviceId": DEVICE,
        "deviceType": "DEVICE_WASHER",
        "diagnosisType": "DRAIN_SLOW",
        "contentUrl": "https://lg.example.com/pcc/1",
        "diagnosisTimestamp": "2026-11-29T18:09:00+09:00",
        "surprise": [1, {"a": None}],
    },
}
MESSAGE = Message(
    push_type=PCC_EVENT,
    raw=RAW,
    message_id="AFvLxlWNTbGN0kLLmYqUJQ",
    sent_at=datetime(2026, 11, 29, 9, 10, 38, 414928, tzinfo=UTC),
    device=DEVICE,
    device_type="DEVICE_WASHER",
    diagnosis="DRAIN_SLOW",
    diagnosed_at=datetime(2026, 11, 29, 18, 9, tzinfo=timezone(timedelta(hours=9))),
    content_url="https://lg.example.com/pcc/1",
)
TYPES = b"diagnosis_type,category,severity\nDRAIN_SLOW,malfunction,high\n"
WORDS = b"""diagnosis_type,short_message,full_instruction,instruction_url
DRAIN_SLOW,{device_name} drains slowly,"Since {diagnosed_at}: {device_type} of {account}.",{content_url}
"""


class Named:
    """A directory that knows one device."""

    def __init__(self, known: Device | None = None) -> None:
        self._known = known

    def device(self, device: str) -> Device:
        """Return the one that is known, or an unknown one."""
        known = self._known
        return known if known is not None and known.id == device else Device(device)


WASHER = Device(
    DEVICE, Knowledge.DESIRED, "seoul-hotel", "Room 1203 washer", "washer", desired=True
)


def logic(*, filled: bool = True) -> LogicInForce:
    """Return a table with one type, or none."""
    if not filled:
        return LogicInForce()
    table = read_logic("logic", {"types.csv": TYPES, "messages.en.csv": WORDS}, None).table
    assert table is not None
    return LogicInForce(table)


def made(message: Message = MESSAGE, device: Device | None = WASHER, *, filled: bool = True) -> Any:
    """Return the CloudEvent of a message, as its receiver reads it."""
    attempt = Attempt(1, event_id(b"x" * 32), "crm", message, STORED, 0)
    return json.loads(Envelopes(Named(device), logic(filled=filled), SOURCE).make(attempt))


def test_a_diagnosis_has_every_attribute() -> None:
    """What LG sent, what the desired state knows and what the Logic Table says are in one object."""
    assert made() == {
        "specversion": "1.0",
        "id": "eHh4eHh4eHh4eHh4eHh4eH",
        "source": SOURCE,
        "type": "com.lge.pcc.diagnosis.v1",
        "subject": DEVICE,
        "time": "2026-11-29T09:09:00Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:pcc:schema:diagnosis:1",
        "partitionkey": DEVICE,
        "recordedtime": "2026-11-30T01:02:03Z",
        "pccmessageid": "AFvLxlWNTbGN0kLLmYqUJQ",
        "pccaccount": "seoul-hotel",
        "pcccategory": "malfunction",
        "pccdevicetype": "washer",
        "pccdiagnosis": "DRAIN_SLOW",
        "pccdesired": True,
        "data": {
            "raw": RAW,
            "device": {
                "id": DEVICE,
                "name": "Room 1203 washer",
                "type": "washer",
                "account": "seoul-hotel",
                "desired": True,
            },
            "diagnosis": {
                "type": "DRAIN_SLOW",
                "category": "malfunction",
                "severity": "high",
                "diagnosed_at": "2026-11-29T09:09:00Z",
            },
            "messages": {
                "en": {
                    "short": "Room 1203 washer drains slowly",
                    "full": "Since 2026-11-29T09:09:00Z: washer of seoul-hotel.",
                    "url": "https://lg.example.com/pcc/1",
                }
            },
            "logic": {"revision": logic().revision, "matched": True},
        },
    }


def test_what_is_not_known_is_left_out() -> None:
    """Without a desired state and a table the event leaves all the same, and says that it is not matched."""
    bare = Message(PCC_EVENT, {"event": {}}, device=DEVICE, diagnosis="NEW")
    assert made(bare, None, filled=False) == {
        "specversion": "1.0",
        "id": "eHh4eHh4eHh4eHh4eHh4eH",
        "source": SOURCE,
        "type": "com.lge.pcc.diagnosis.v1",
        "subject": DEVICE,
        "datacontenttype": "application/json",
        "dataschema": "urn:pcc:schema:diagnosis:1",
        "partitionkey": DEVICE,
        "recordedtime": "2026-11-30T01:02:03Z",
        "pccdiagnosis": "NEW",
        "data": {
            "raw": {"event": {}},
            "device": {"id": DEVICE, "name": None, "type": None, "account": None, "desired": None},
            "diagnosis": {"type": "NEW", "category": None, "severity": None, "diagnosed_at": None},
            "messages": {},
            "logic": {"revision": None, "matched": False},
        },
    }


def test_a_device_that_nobody_wants_is_said_to_be_none() -> None:
    """False is known, and is not left out."""
    event = made(device=Device(DEVICE, desired=False))
    assert event["pccdesired"] is False
    assert event["data"]["messages"]["en"]["short"] == f"{DEVICE} drains slowly"


def test_the_time_is_never_ours() -> None:
    """It is that of the diagnosis, else that of the message, else none."""
    message = Message(PCC_EVENT, {}, sent_at=MESSAGE.sent_at, device=DEVICE, diagnosis="NEW")
    assert made(message)["time"] == "2026-11-29T09:10:38.414928Z"


def test_another_push_type_is_another_type_of_event() -> None:
    """It has LG's message and the device's name, and no diagnosis."""
    push = {"push": {"pushType": "DEVICE_UNREGISTERED", "deviceId": DEVICE}}
    event = made(Message("DEVICE_UNREGISTERED", push, device=DEVICE))
    assert event["type"] == "com.lge.thinq.push.v1"
    assert event["pccaccount"] == "seoul-hotel"
    assert event["data"].keys() == {"raw", "device"}
    assert event["data"]["raw"] == push
    assert "dataschema" not in event
    nameless = made(Message("SOMETHING", {"push": {}}))
    assert "subject" not in nameless
    assert nameless["data"]["device"] is None


def test_the_type_of_the_desired_state_counts_where_lg_gives_none() -> None:
    """LG's own goes before it."""
    for lgs, shown in ((None, "washer"), ("DEVICE_OVEN", "oven")):
        message = Message(PCC_EVENT, {}, device=DEVICE, device_type=lgs, diagnosis="DRAIN_SLOW")
        event = made(message)
        assert event["pccdevicetype"] == event["data"]["device"]["type"] == shown
        assert f": {shown} of seoul-hotel." in event["data"]["messages"]["en"]["full"]


def test_words_that_are_put_in_stay_words() -> None:
    """The name of a device is no placeholder, whatever it looks like."""
    named = Device(DEVICE, Knowledge.DESIRED, "{device_name}", "{account}", "washer", desired=True)
    assert made(device=named)["data"]["messages"]["en"]["short"] == "{account} drains slowly"


def test_moments_are_in_utc() -> None:
    """With parts of a second only where there are some."""
    assert (
        stamp(datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9))))
        == "2026-01-01T00:00:00Z"
    )
    assert stamp(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"


_TEXTS = st.text(min_size=1, max_size=20).filter(
    lambda text: not any("\ud800" <= one <= "\udfff" for one in text)
)
_MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_MESSAGES = st.builds(
    Message,
    push_type=st.just(PCC_EVENT),
    raw=st.dictionaries(_TEXTS, _JSON, max_size=3),
    message_id=st.none() | _TEXTS,
    sent_at=_MOMENTS,
    device=_TEXTS,
    device_type=st.none() | _TEXTS | st.just("DEVICE_WASHER"),
    diagnosis=_TEXTS | st.just("DRAIN_SLOW"),
    diagnosed_at=_MOMENTS,
    content_url=st.none() | _TEXTS,
) | st.builds(
    Message,
    push_type=_TEXTS.filter(lambda text: text != PCC_EVENT),
    raw=st.dictionaries(_TEXTS, _JSON, max_size=3),
    device=st.none() | _TEXTS,
    sent_at=_MOMENTS,
)  # fmt: skip
_DEVICES = st.builds(
    Device,
    id=_TEXTS,
    account=st.none() | _TEXTS,
    name=st.none() | _TEXTS,
    type=st.none() | st.just("washer"),
    desired=st.none() | st.booleans(),
)
_KEYS = st.binary(min_size=32, max_size=32)
_VALIDATOR = jsonschema.Draft202012Validator(event_schema())


@given(_MESSAGES, _DEVICES, _KEYS, _MOMENTS.filter(bool))
def test_every_event_is_a_cloud_event_by_the_schema(
    message: Message, device: Device, key: bytes, stored: datetime
) -> None:
    """Whatever LG sends, the public package parses what leaves, our schema takes it, and LG's message is whole."""
    known = describe(message, Named(Device(message.device or "", account=device.account)), logic())
    body = encoded(cloud_event(event_id(key), message, stored, known, SOURCE))
    parsed = JSONFormat().read(CloudEvent, body)
    assert parsed.get_id() == event_id(key)
    assert parsed.get_subject() or message.device is None
    _VALIDATOR.validate(json.loads(body))
    assert json.loads(body)["data"]["raw"] == message.raw


@given(_KEYS, _KEYS)
def test_equal_keys_have_equal_ids_and_others_differ(one: bytes, other: bytes) -> None:
    """An id is fit for a header, an address and a log, and is the beginning of the key."""
    assert len(event_id(one)) == 22
    assert set(event_id(one)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
    assert (event_id(one) == event_id(other)) == (
        one[:16] == other[:16] and one[16] >> 4 == other[16] >> 4
    )


def test_different_diagnoses_have_different_ids() -> None:
    """A million of them, too."""
    ids = {event_id(hashlib.sha256(number.to_bytes(4)).digest()) for number in range(100_000)}
    assert len(ids) == 100_000


def test_the_schema_is_a_schema_and_refuses_what_is_none() -> None:
    """It can be used by anybody's tool."""
    jsonschema.Draft202012Validator.check_schema(event_schema())
    broken: list[dict[str, Any]] = [
        {"id": "short"},
        {"pcccategory": "else"},
        {"time": "yesterday"},
        {"data": {}},
        {"pccdesired": "yes"},
    ]
    for changed in broken:
        assert not _VALIDATOR.is_valid({**made(), **changed})
    assert _VALIDATOR.is_valid(made())
