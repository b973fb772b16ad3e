"""What LG's answers mean: every code on every call, envelopes good and bad, lists all or nothing."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import (
    ConfigurationRefused,
    CredentialsRefused,
    DeviceRefused,
    PlatformError,
    SubscriptionsFull,
    Surprise,
    Throttled,
    Unavailable,
)
from reconciler.pcc.codes import CODES, ERRORS, Call, Reaction
from reconciler.pcc.dates import seconds_to_wait
from reconciler.pcc.protocol import Answer, Reply, differs, judge, live_devices, registered_devices
from reconciler.telemetry.masking import MASK, Masking

NOW = datetime(2026, 11, 1, tzinfo=UTC)

LISTED = """
    0000 1000 1101 1102 1103 1104 1201 1202 1203 1204 1205 1206 1207 1208 1209 1210 1211 1212 1213 1214 1216 1217 1218
    1219 1220 1221 1222 1223 1224 1225 1301 1302 1303 1304 1305 1306 1307 1308 1309 1310 1311 1312 1314 2000 2101 2201
    2203 2202 2205 2207 2208 2209 2210 2212 2213 2214 2301 2302 2303 2304 2305 4001
"""
PUBLISHED = LISTED.split()

ALWAYS: dict[type[PlatformError] | None, str] = {
    Unavailable: "0000 2000 2209 2210 2212 2214",
    Throttled: "1306 1314",
    CredentialsRefused: "1302 1218 1103",
    ConfigurationRefused: "1301 1303 1304 1305 1307 1309 1310 1311 1201 1202 1203 1208 1209 1216",
}
SUBSCRIBE: dict[type[PlatformError] | None, str] = {
    None: "1207",
    DeviceRefused: "1205 1210 1211 1212 1213 1214 1217 1219 1220 1221 1224",
    SubscriptionsFull: "1312",
}
UNSUBSCRIBE: dict[type[PlatformError] | None, str] = {
    None: "1206 1204 1205 1213 1217",
    DeviceRefused: "1210 1211 1212 1214 1219 1220 1221 1224",
}
FOR_A_CALL: dict[Call, dict[type[PlatformError] | None, str]] = {
    Call.SUBSCRIBE: SUBSCRIBE,
    Call.UNSUBSCRIBE: UNSUBSCRIBE,
}


def expected(code: str, call: Call) -> type[PlatformError] | None:
    """Return the error that a code is on one call, or nothing where the call is done. What is not listed surprises."""
    for table in (FOR_A_CALL.get(call, {}), ALWAYS):
        for error, codes in table.items():
            if code in codes.split():
                return error
    return Surprise


def reply(body: bytes | object, call: Call = Call.LIST, status: int = 200, **more: Any) -> Reply:
    """Return a reply, from bytes or from what is to be JSON."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(call, status, encoded, "0123456789abcdefABCD-_", **more)


def refusal(code: object, words: object = "words of LG's", **more: object) -> dict[str, object]:
    """Return LG's envelope of an error."""
    return {
        "messageId": "lg-1",
        "timestamp": "t",
        "error": {"message": words, "code": code},
        **more,
    }


def listing(response: object) -> dict[str, object]:
    """Return LG's envelope of a success."""
    return {"messageId": "lg-1", "timestamp": "2026-05-04T16:55:47.326484", "response": response}


def outcome(one: Reply) -> type[PlatformError] | None:
    """Return what a reply raises, or nothing."""
    try:
        read(one)
    except PlatformError as error:
        return type(error)
    return None


def read(one: Reply) -> object:
    """Read a reply as the client does."""
    if one.call is Call.LIST:
        return live_devices(one, NOW)
    return registered_devices(one, NOW) if one.call is Call.DEVICES else judge(one, NOW)


@pytest.mark.parametrize("code", [*PUBLISHED, "9999", "abcd"])
@pytest.mark.parametrize("call", list(Call))
def test_every_code_has_its_reaction_on_every_call(code: str, call: Call) -> None:
    """Each published code, and each unknown one, is what the documentation says of it, on whatever HTTP status."""
    for status in (200, 400, 401, 404, 500):
        assert outcome(reply(refusal(code), call, status)) is expected(code, call)


def test_the_table_holds_every_published_code_and_no_other() -> None:
    """The codes known to the metrics are those that LG published or its gateway was seen to answer."""
    assert sorted(CODES) == sorted(PUBLISHED)


def test_every_reaction_but_done_has_an_error() -> None:
    """No reaction is without an error that says what to do next."""
    assert set(Reaction) - set(ERRORS) == {Reaction.DONE}


@pytest.mark.parametrize("code", PUBLISHED)
def test_a_configuration_fault_names_what_to_check(code: str) -> None:
    """Whoever reads why an account stopped is told which setting, or whose consent, to look at."""
    hint = CODES[code].hint
    assert bool(hint) == (expected(code, Call.LIST) in {ConfigurationRefused, CredentialsRefused})
    if hint:
        with pytest.raises(PlatformError, match="check ") as caught:
            read(reply(refusal(code), status=401))
        assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, CredentialsRefused) for status in (401, 403)),
        (429, Throttled),
        *((status, Unavailable) for status in (500, 501, 502, 503, 504, 599)),
        *(
            (status, Surprise)
            for status in (301, 302, 303, 307, 308, 304, 100, 400, 404, 405, 406, 412, 416, 418)
        ),
    ],
)
def test_the_status_decides_where_there_is_no_code(status: int, error: type[PlatformError]) -> None:
    """Without a code of LG's the HTTP status is all there is, and whatever else is in the body is not believed."""
    bodies = [b"", b"   ", b"<html>Bad gateway</html>", b'{"message":"no"}', b"null", b"[]"]
    for body in (*bodies, b'{"messageId":"m","response":{}}'):
        assert {outcome(reply(body, call, status)) for call in Call} == {error}


@pytest.mark.parametrize(
    "error", [{}, {"code": None}, {"code": ""}, {"message": "no"}, "no", 5, [], False]
)
def test_an_error_without_a_code_is_an_error_all_the_same(error: object) -> None:
    """What stands under error is never a success; without a code the status decides."""
    body = {"messageId": "m", "response": {}, "error": error}
    for call in Call:
        assert outcome(reply(body, call, 200)) is Surprise
        assert outcome(reply(body, call, 401)) is CredentialsRefused
        assert outcome(reply(body, call, 503)) is Unavailable


@pytest.mark.parametrize("call", [Call.SUBSCRIBE, Call.UNSUBSCRIBE])
@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" \r\n",
            b'{"messageId":"m"}',
            b'{"messageId":"m","timestamp":"t","response":null}',
        ),
        *(
            b'{"messageId":"m","response":{}}',
            b'{"messageId":"m","response":[]}',
            b'{"messageId":"m","error":null}',
        ),
        b'{"messageId":"AAAA","timestamp":"1284101485","response":{"deviceId":"x"},"extra":[{"a":1}]}',
        b'{"messageId":"m","responseCode":"0000","response":{}}',
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_change_is_done_after_a_success(call: Call, body: bytes, status: int) -> None:
    """A 2xx with an envelope, whatever is in it besides, or with nothing at all is LG's confirmation."""
    answer = judge(reply(body, call, status), NOW)
    assert (answer.status, answer.code, answer.message_id) == (
        status,
        None,
        "0123456789abcdefABCD-_",
    )


@pytest.mark.parametrize("call", [Call.SUBSCRIBE, Call.UNSUBSCRIBE])
@pytest.mark.parametrize(
    "body",
    [
        *(
            b"<html>OK</html>",
            b"OK",
            b"{}",
            b"[]",
            b"null",
            b"true",
            b'"done"',
            b'{"response":{}}',
            b'{"result":{}}',
        ),
        *(b'{"messageId":"m","response":{}', b'{"messageId":"m"}}', b'\xff\xfe{"messageId":"m"}'),
        b'{"messageId":"m","responseCode":"1314","response":{"error":{"code":"1314","message":"no"}}}',
        b'{"messageId":"m","response":{"error":{"code":"1314","message":"no"}}}',
        b'{"messageId":"m","responseCode":"1314","response":{}}',
        b'{"messageId":"m","resultCode":"0001","result":{}}',
        b'{"messageId":"m","response":"\xff"}',
    ],
)
def test_what_only_looks_like_a_success_changes_nothing(call: Call, body: bytes) -> None:
    """A page with 200, an envelope that is none, or an error where a later API has it are never a confirmation."""
    with pytest.raises(Surprise):
        judge(reply(body, call), NOW)


@pytest.mark.parametrize("response", [None, {}, []])
def test_nothing_under_response_is_an_empty_list(response: object) -> None:
    """LG writes an empty list in several ways."""
    assert live_devices(reply(listing(response)), NOW) == frozenset()
    assert registered_devices(reply(listing(response), Call.DEVICES), NOW) == ()


def test_a_missing_response_is_an_empty_list() -> None:
    """LG's documents call the empty value null, and some answers leave it out."""
    assert live_devices(reply({"messageId": "m", "timestamp": "t"}), NOW) == frozenset()
    assert (
        live_devices(reply(b'{"messageId":"m","response":[' + b" " * 500 + b"]}"), NOW)
        == frozenset()
    )


def test_a_list_is_read_whatever_else_is_in_it() -> None:
    """Members that are not in the documents are no reason to doubt a list; ids come once each."""
    body = listing([{"deviceId": "a", "more": {"x": [1]}}, {"deviceId": "b-ü"}, {"deviceId": "a"}])
    assert live_devices(reply({**body, "page": 1}), NOW) == {"a", "b-ü"}


GOOD = {"deviceId": "good"}
BAD_VALUES: list[object] = [None, 5, 5.5, True, [], {}]
BAD_ITEMS: list[object] = [
    *({}, None, "good", 5, [], ["good"], {"deviceid": "x"}, {"id": "x"}),
    *({"deviceId": value} for value in BAD_VALUES),
    *({"deviceId": value} for value in ("", " ", ".", "..", "a/b", "a b", "a\nb", "a%2Fb")),
    *(
        {"deviceId": value}
        for value in ("a?b", "a#b", "a\\b", "x" * 257, "\ud800", "\u200b", "\x00", "ü ü")
    ),
]


@pytest.mark.parametrize("bad", BAD_ITEMS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_malformed_item_makes_the_whole_list_untrusted(bad: object, place: int) -> None:
    """A list is believed as a whole or not at all, wherever in it the odd item stands."""
    items: list[object] = [GOOD, {"deviceId": "other"}]
    items.insert(place, bad)
    with pytest.raises(Surprise) as caught:
        live_devices(reply(listing(items)), NOW)
    assert len(caught.value.words) <= 256


@pytest.mark.parametrize(
    "response",
    [
        *(
            b'""',
            b"0",
            b"false",
            b"true",
            b"5",
            b'"good"',
            b'{"deviceId":"good"}',
            b'{"devices":[]}',
            b"[[]]",
            b"[null]",
        ),
        *(b"1e999", b'"\xff"', b'["\xff"]', b'{"error":{"code":"1314"}}', b'{"a":1,"a":2}'),
    ],
)
def test_anything_but_a_list_under_response_is_a_surprise(response: bytes) -> None:
    """Only what LG documents as empty is empty; zero, false and empty text are not."""
    with pytest.raises(Surprise):
        live_devices(reply(b'{"messageId":"m","response":' + response + b"}"), NOW)


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"[]",
            b"{}",
            b"null",
            b"<html></html>",
            b'{"response":[]}',
            b'{"timestamp":"t","response":[]}',
        ),
        *(
            b'[{"deviceId":"a"}]',
            b'\xef\xbb\xbf{"messageId":"m","response":[]}',
            b'{"messageId":"m","response":[]} x',
        ),
        *(
            b'{"messageId":"m","response":[],}',
            b'{"messageId":"m","response":NaN}',
            b"\x1f\x8b\x08\x00",
        ),
        b'{"messageId":"m","response":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messageId":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b',"response":[]}',
        b'{"messageId":"m","error":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 1_000_000,
    ],
)
def test_a_list_without_an_envelope_is_not_believed(body: bytes) -> None:
    """Pages, bare arrays, marks before the text, compressed or endlessly nested bytes: no list, with a 200 or not."""
    assert outcome(reply(body)) is Surprise
    assert outcome(reply(body, Call.DEVICES)) is Surprise
    assert outcome(reply(body, status=502)) is Unavailable


def test_a_code_may_be_a_number() -> None:
    """LG's codes are texts of four digits; a number is taken for the same."""
    assert outcome(reply(refusal(1314), status=401)) is Throttled
    assert outcome(reply(refusal(0), status=500)) is Unavailable
    assert outcome(reply(refusal(1314.5), status=401)) is CredentialsRefused


def test_an_error_says_all_that_lgs_support_asks_for() -> None:
    """Both message ids, status, code and LG's words go with the error, on one line and not endless."""
    with pytest.raises(DeviceRefused) as caught:
        judge(reply(refusal("1221", "Not\nsupported " + "x" * 5000), Call.SUBSCRIBE, 406), NOW)
    error = caught.value
    assert (error.status, error.code, error.message_id, error.lg_message_id) == (
        *(406, "1221"),
        *("0123456789abcdefABCD-_", "lg-1"),
    )
    assert error.words.startswith("Not supported xxx")
    assert len(error.words) == 256
    assert "\n" not in str(error)
    assert str(error).startswith("subscribe: LG answered 406: 1221 Not supported")


@pytest.mark.parametrize("message_id", [None, 5, ["a"], "x" * 5000])
def test_an_odd_message_id_of_lgs_is_no_reason_to_doubt(message_id: object) -> None:
    """What LG echoes is for its support; where it is no text it is left out, where it is endless it is cut."""
    answer = judge(reply({"messageId": message_id, "response": {}}, Call.SUBSCRIBE), NOW)
    assert answer.lg_message_id is None or len(answer.lg_message_id) <= 256


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (refusal("1218", "token my-secret is not valid"), 400),
        ({"messageId": "my-secret", "response": {"error": "my-secret"}}, 200),
        (b"<html>my-secret</html>", 502),
        (b"<html>my-secret</html>", 200),
    ],
)
def test_secrets_that_lg_repeats_are_masked(body: object, status: int) -> None:
    """No error carries a secret, even where LG's own words do."""
    for call in Call:
        with pytest.raises(PlatformError) as caught:
            read(reply(body, call, status, mask=lambda text: text.replace("my-secret", "***")))
        error = caught.value
        shown = f"{error} {error.words} {error.lg_message_id}"
        assert "my-secret" not in shown
        assert "***" in shown


@pytest.mark.parametrize("call", [Call.LIST, Call.DEVICES])
@pytest.mark.parametrize("old", [b"timestamp", b"alias", b"Oven", b"response"])
def test_a_list_with_a_broken_character_is_not_believed(call: Call, old: bytes) -> None:
    """What is not read was once not looked at: with a broken byte in ``response`` the answer was an empty list."""
    items = [{"deviceId": f"{number:064}", "alias": "Oven"} for number in range(3)]
    body = json.dumps(listing(items)).encode()
    assert outcome(reply(body, call)) is None
    for broken in (b"\xff", b"\xed\xa0\x80", b"\xc3"):
        assert outcome(reply(body.replace(old, old + broken), call)) is Surprise
    assert outcome(reply(body.replace(b"Oven", "오븐".encode()), call)) is None


@pytest.mark.parametrize("before", range(200, 260))
def test_a_long_code_tells_no_part_of_a_secret(before: int) -> None:
    """A code was once shortened before it was masked, so where the cut went through a token its beginning was told."""
    masking = Masking()
    masking.know([SECRET])
    with pytest.raises(Surprise) as caught:
        read(reply(refusal("x" * before + SECRET), status=400, mask=masking.text))
    assert not any(SECRET[:8] in told for told in (str(caught.value), str(caught.value.code)))
    assert len(str(caught.value.code)) <= 256


@pytest.mark.parametrize("status", [200, 401, 502])
@pytest.mark.parametrize("times", range(1, 30))
def test_a_long_page_is_told_by_its_beginning(status: int, times: int) -> None:
    """Of what is no answer of LG's at most 256 characters are told, and not a part of a secret wherever it was cut."""
    masking = Masking()
    masking.know([SECRET])
    for call in Call:
        with pytest.raises(PlatformError) as caught:
            read(
                reply(
                    f"<html>{SECRET * times} and{' so' * 40_000}</html>".encode(),
                    call,
                    status,
                    mask=masking.text,
                )
            )
        told = caught.value.words
        assert len(told) == 256
        assert told.startswith(f"<html>{MASK}")
        assert not any(part in told for part in (SECRET[:8], SECRET[-8:]))


SECRET = "0123456789abcdef" * 6


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(
            (None, None),
            ("", None),
            ("0", None),
            ("-5", None),
            ("soon", None),
            ("1.5", 1.5),
            ("300.5", 300.5),
            ("1.2.3", None),
            ("²", None),
            ("٣", 3.0),
        ),
        *(
            ("120", 120.0),
            (" 60 ", 60.0),
            ("9" * 400, float("inf")),
            ("NaN", None),
            ("inf", None),
            ("1e3", None),
        ),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300.0),
        (format_datetime(NOW - timedelta(minutes=5), usegmt=True), None),
        (format_datetime(NOW, usegmt=True), None),
        ((NOW + timedelta(minutes=5)).ctime(), 300.0),
        (f"{NOW + timedelta(minutes=5):%A, %d-%b-%y %H:%M:%S} GMT", 300.0),
        *(
            ("120, 120", 120.0),
            ("60, 120", 120.0),
            ("120,soon", 120.0),
            ("0, 60.5", 60.5),
            (", 60,", 60.0),
        ),
        (f"60, {format_datetime(NOW + timedelta(minutes=5), usegmt=True)}, 120", 300.0),
        (f"{(NOW + timedelta(minutes=5)).ctime()}, {(NOW - timedelta(minutes=5)).ctime()}", 300.0),
        *(("Wed, 21 Oct 99999 07:28:00 GMT", None), ("Wed, 21 Oct 2015 07:28:00 -0000", None)),
        *(
            ("Wed, 32 Oct 2026 07:28:00 GMT", None),
            ("2026-11-01T00:05:00Z", None),
            (",", None),
            (":::", None),
        ),
        ("Fri, 31 Dec 9999 23:59:59 -9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_to_come(
    header: str | None, seconds: float | None
) -> None:
    """What is past, nothing or not understood counts as absent."""
    assert seconds_to_wait(header, NOW) == seconds
    with pytest.raises(Throttled) as caught:
        judge(reply(b"", Call.LIST, 429, retry_after=header), NOW)
    assert caught.value.retry_after == seconds


def test_a_date_to_wait_for_is_by_the_clock_of_who_wrote_it() -> None:
    """Where the answer has a ``Date`` a ``Retry-After`` that is a date is counted from there: ours may be wrong."""
    theirs = NOW - timedelta(hours=9)
    until = format_datetime(theirs + timedelta(minutes=5), usegmt=True)
    answered = replace(
        reply(b"", Call.LIST, 429, retry_after=until), date=format_datetime(theirs, usegmt=True)
    )
    with pytest.raises(Throttled) as caught:
        judge(answered, NOW)
    assert caught.value.retry_after == 300.0


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ [-+A-Z0-9]*"))
def test_no_retry_after_is_an_error(header: str) -> None:
    """Whatever stands in the header, it is a wait or nothing."""
    seconds = seconds_to_wait(header, NOW)
    assert seconds is None or seconds > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["code", "message", "error", "deviceId"]), inner)
    ),
    max_leaves=10,
)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("messageId", "timestamp", "response", "error", "responseCode", "resultCode"), JSON
    ),
)


@given(
    st.binary() | JSON.map(json.dumps).map(str.encode) | ENVELOPES.map(json.dumps).map(str.encode),
    st.sampled_from(Call),
    st.integers(100, 599) | st.just(200),
    st.text(),
)
def test_arbitrary_answers_raise_nothing_but_errors_of_the_platform(
    body: bytes, call: Call, status: int, retry_after: str
) -> None:
    """Whatever comes over the wire is a meaning or one of our errors, which says what to do next."""
    with suppress(PlatformError):
        assert isinstance(
            read(Reply(call, status, body, "m", retry_after)), frozenset | tuple | Answer
        )


@given(
    st.data(),
    st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=9)),
)
def test_a_list_cut_anywhere_is_not_believed(data: st.DataObject, ids: list[str]) -> None:
    """An answer that lost its end is no list, wherever it was cut."""
    body = json.dumps(
        listing([{"deviceId": one} for one in ids]), ensure_ascii=data.draw(st.booleans())
    ).encode()
    assert live_devices(reply(body), NOW) == set(ids)
    assert outcome(reply(body[: data.draw(st.integers(0, len(body) - 1))])) is Surprise


def test_registered_devices_are_read_with_what_is_said_of_them() -> None:
    """The device list gives type and alias where LG does, and is all or nothing like the live list."""
    items = [
        {"deviceId": "a", "deviceInfo": {"deviceType": "DEVICE_OVEN", "alias": "Oven"}},
        {"deviceId": "b"},
    ]
    devices = registered_devices(reply(listing(items), Call.DEVICES), NOW)
    assert [(one.id, one.type, one.alias) for one in devices] == [
        ("a", "DEVICE_OVEN", "Oven"),
        ("b", None, None),
    ]
    for bad in ({}, {"deviceId": 5}, {"deviceId": ""}, {"deviceId": "a/b"}):
        with pytest.raises(Surprise):
            registered_devices(reply(listing([*items, bad]), Call.DEVICES), NOW)


def test_a_long_list_costs_little_more_than_its_ids() -> None:
    """Reading a list keeps no copy of the answer: at its most it holds the ids twice over, as items and as a set."""
    body = json.dumps(
        listing([{"deviceId": f"{number:064x}"} for number in range(50_000)])
    ).encode()
    one = reply(body)
    live_devices(one, NOW)
    tracemalloc.start()
    try:
        devices = live_devices(one, NOW)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(devices) == 50_000
    assert most < 50_000 * 200


OWN = "0123456789abcdefABCD-_"
TWO = [{"deviceId": "a"}, {"deviceId": "b"}]


def believed(body: object, call: Call = Call.LIST, status: int = 200, **more: Any) -> bool:
    """Say whether a list is believed."""
    return outcome(reply(body, call, status, **more)) is None


@pytest.mark.parametrize("call", [Call.LIST, Call.DEVICES])
@pytest.mark.parametrize("response", [TWO, [], None])
def test_only_a_whole_list_that_is_no_copy_is_believed(call: Call, response: object) -> None:
    """Another status than 200, a part of a resource and what a cache kept for long are no list, empty or not."""
    body = listing(response)
    assert believed(body, call)
    assert not any(believed(body, call, status) for status in (201, 202, 203, 206, 207))
    assert not believed(body, call, headers={"content-range": "items 0-1/9"})
    for age in ("61", "4000", "61.5", "0, 61", "3600, 0"):
        assert not believed(body, call, headers={"age": age})
    for age in ("0", "60", "", "soon", "-1"):
        assert believed(body, call, headers={"age": age})


@pytest.mark.parametrize("call", [Call.LIST, Call.DEVICES])
def test_the_answer_to_an_earlier_request_of_ours_is_not_believed(call: Call) -> None:
    """A message id that is neither ours of now nor ours of before is no reason to doubt: LG may make its own."""
    sent = {OWN, "lg-1"}
    assert not believed(listing(TWO), call, sent=sent)
    assert believed(listing(TWO), call, sent={OWN})
    assert believed({**listing(TWO), "messageId": OWN}, call, sent=sent)
    assert believed({**listing(TWO), "messageId": 5}, call, sent=sent)
    assert [differs(reply({**listing(TWO), "messageId": told})) for told in (OWN, "lg-1", 5)] == [
        False,
        True,
        False,
    ]


ENVELOPE = {"messageId": "m", "timestamp": "t"}


@pytest.mark.parametrize("call", [Call.LIST, Call.DEVICES])
@pytest.mark.parametrize(
    "beside",
    [
        *(
            {"result": TWO},
            {"result": []},
            {"resultCode": "0000"},
            {"Response": TWO},
            {"data": None},
            {"devices": {}},
        ),
        *({"resultCode": "0000", "result": TWO}, {"responseCode": "0000"}),
    ],
)
def test_without_response_nothing_but_the_frame_is_an_empty_list(
    call: Call, beside: dict[str, object]
) -> None:
    """Whatever else is in the envelope may be the list under another name, or say where it is."""
    assert not believed({**ENVELOPE, **beside}, call)
    assert believed({"messageId": "m"}, call)


@pytest.mark.parametrize("response", [TWO, [], {}, None])
@pytest.mark.parametrize(
    "beside",
    [
        *(
            {"result": TWO},
            {"RESPONSE": TWO},
            {"data": {"items": TWO}},
            {"data": {"page": {"items": ["a"]}}},
        ),
        {"more": [{"deviceId": f"{number:064x}"} for number in range(2000)]},
    ],
)
def test_a_second_list_makes_the_first_one_doubtful(
    response: object, beside: dict[str, object]
) -> None:
    """Where there are two lists, nobody knows which of them is the list, or whether both are."""
    assert not believed({**listing(response), **beside})


@pytest.mark.parametrize(
    "beside",
    [
        *(
            {"next": "/pcc?page=2"},
            {"nextPageToken": "x"},
            {"next_page": 2},
            {"nextCursor": "x"},
            {"NextMarker": "x"},
        ),
        *(
            {"hasMore": True},
            {"has_next": "true"},
            {"more": 1},
            {"isTruncated": True},
            {"cursor": "x"},
            {"last": False},
        ),
        *(
            {"offset": 2},
            {"totalPages": 2},
            {"limit": 2},
            {"pageSize": 1},
            {"links": {"next": {"href": "/pcc?2"}}},
        ),
        *(
            {"paging": {"next": "x"}},
            {"meta": {"page": {"hasMore": True}}},
            {"total": 3},
            {"totalCount": "3"},
        ),
        *(
            {"total": 0},
            {"count": 1},
            {"page": {"totalElements": 40}},
            {"isLastPage": "false"},
            {"partial": True},
        ),
    ],
)
def test_a_sign_of_further_pages_or_another_total_makes_a_list_untrusted(
    beside: dict[str, object],
) -> None:
    """A first page is not the list."""
    assert not believed({**listing(TWO), **beside})
    assert not believed({**listing(TWO), **beside}, Call.DEVICES)


@pytest.mark.parametrize(
    "beside",
    [
        *(
            {"next": None},
            {"nextPageToken": ""},
            {"hasMore": False},
            {"more": "false"},
            {"last": True},
            {"total": 2},
        ),
        *(
            {"count": "2"},
            {"totalPages": 1},
            {"page": 1},
            {"limit": 100},
            {"offset": 0},
            {"links": {"next": None}},
        ),
        *(
            {"meta": {"total": 2, "server": "x"}},
            {"warnings": []},
            {"responseCode": "0000"},
            {"error": None},
        ),
        *({"traceId": "next"}, {"nextdoor": 0}, {"total": None}, {"total": True}, {"path": "/pcc"}),
    ],
)
def test_a_list_that_says_it_is_whole_is_believed(beside: dict[str, object]) -> None:
    """Members that speak of pages and totals are no harm where they say that this is all."""
    assert believed({**listing(TWO), **beside})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("link", '</pcc?page=2>; rel="next"'),
            ("link", "<x>; rel=prev, <y>; rel=next"),
            ("x-total-count", "3"),
        ),
        *(("x-total", "40"), ("x-next-page", "2"), ("x-has-more", "true"), ("x-total-pages", "2")),
        *(
            ("x-pagination", '{"hasNext": true}'),
            ("x-pagination", '{"total": 9}'),
            ("x-next-cursor", "abc"),
        ),
    ],
)
def test_headers_that_speak_of_further_pages_make_a_list_untrusted(name: str, value: str) -> None:
    """Some services tell of pages and totals in headers only."""
    assert not believed(listing(TWO), headers={name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("link", '</style.css>; rel="preload"'),
            ("x-total-count", "2"),
            ("x-next-page", ""),
            ("content-length", "9"),
        ),
        *(
            ("x-ratelimit-limit", "1"),
            ("x-ratelimit-remaining", "5"),
            ("x-pagination", "none"),
            ("x-cache", "Miss"),
        ),
    ],
)
def test_headers_that_say_nothing_against_a_list_are_no_harm(name: str, value: str) -> None:
    """A limit of calls is no limit of items, and a total that agrees is a good sign."""
    assert believed(listing(TWO), headers={name: value})


# How APIs that are widely used speak of pages and totals: Spring Data, HAL, OData, Relay, Kubernetes, DynamoDB, S3,
# GitHub, Elasticsearch and others. The list has two items; the first value says that more follows, the second does not.
SPEECH: dict[str, tuple[object, object]] = {
    **dict.fromkeys(
        ("total", "totalCount", "total_elements", "totalItems", "total-results"), (3, 2)
    ),
    **dict.fromkeys(("totalSize", "totalDevices", "total_records", "totalRows"), ("3", "2")),
    **dict.fromkeys(("TotalNumber", "count", "deviceCount", "item_count", "recordCount"), (3, 2)),
    **dict.fromkeys(("resultCount", "numberOfElements", "size", "length", "listCount"), (1, 2)),
    **dict.fromkeys(("totalPages", "total_page", "pageCount", "pages", "lastPage"), (2, 1)),
    **dict.fromkeys(("numberOfPages",), ("2", "1")),
    **dict.fromkeys(("more", "hasMore", "has_next", "hasNextPage", "morePages"), (True, False)),
    **dict.fromkeys(("moreAvailable", "more_results", "moreData"), ("true", "no")),
    **dict.fromkeys(("truncated", "IsTruncated", "partial", "isPartial"), ("yes", "false")),
    **dict.fromkeys(("incomplete", "isIncomplete", "incomplete_results"), (True, False)),
    **dict.fromkeys(("cursor", "endCursor", "continuationToken", "continuation"), ("abc", "")),
    **dict.fromkeys(("continue", "pageToken", "_scroll_id", "Marker"), ("abc", None)),
    **dict.fromkeys(("LastEvaluatedKey",), ({"id": "x"}, None)),
    **dict.fromkeys(("offset", "skip", "startIndex"), (2, 0)),
    **dict.fromkeys(("remainingItems", "remainingItemCount"), (5, -1)),
    **dict.fromkeys(("last", "isLast", "is_last_page", "complete", "isComplete"), (False, True)),
    **dict.fromkeys(("final", "isFinal", "end", "isEnd"), ("false", "true")),
    **dict.fromkeys(("limit", "pageSize", "per_page", "max-results", "maxItems"), (2, 3)),
    **dict.fromkeys(("next", "nextToken", "next_cursor", "NextMarker"), ("x", "-1")),
}


@pytest.mark.parametrize("inside", [False, True])
def test_no_word_for_further_pages_is_overlooked(*, inside: bool) -> None:
    """However an API names it, beside the list or in an object beside it, and with a value that says the opposite."""

    def trusted(name: str, value: object) -> bool:
        beside = {name: value}
        return believed({**listing(TWO), **({"meta": beside} if inside else beside)})

    assert [name for name, (more, _) in SPEECH.items() if trusted(name, more)] == []
    assert [name for name, (_, all_) in SPEECH.items() if not trusted(name, all_)] == []


HEADER_SPEECH = {
    **dict.fromkeys(("x-total", "X-Total-Count", "x-count", "x-total-elements"), ("3", "2")),
    **dict.fromkeys(("x-total-items", "x-total-results"), ("1", "2")),
    **dict.fromkeys(("x-total-pages", "x-pages", "x-page-count", "x-last-page"), ("2", "1")),
    **dict.fromkeys(("x-has-more", "x-hasnext", "x-next", "x-next-page"), ("1", "0")),
    **dict.fromkeys(("pagination", "x-pagination", "paging"), ('{"total": 3}', '{"total": 2}')),
}


def test_no_header_for_further_pages_is_overlooked() -> None:
    """Whatever a gateway calls them; the same headers are no harm where they say that this is all."""

    def trusted(name: str, value: str) -> bool:
        return believed(listing(TWO), headers={name.lower(): value})

    assert [name for name, (more, _) in HEADER_SPEECH.items() if trusted(name, more)] == []
    assert [name for name, (_, all_) in HEADER_SPEECH.items() if not trusted(name, all_)] == []


LONG = "x" * 70_000


@pytest.mark.parametrize(
    ("member", "trusted"),
    [([LONG], False), ({"items": LONG}, False), ({LONG: []}, False), (LONG, True)],
    ids=["list", "object", "name", "text"],
)
def test_a_long_member_beside_a_list_may_be_the_list(member: object, *, trusted: bool) -> None:
    """What is too long to be looked through is doubted, unless it is a text or a number."""
    for name in ("data", "zzz"):
        assert believed({**listing(TWO), name: member}) is trusted


@pytest.mark.parametrize("second", [b"[]", b"null", b'[{"deviceId":"c"}]'])
def test_two_lists_under_the_same_name_are_not_believed(second: bytes) -> None:
    """The decoder would take the last one, and an empty one of two is not the whole fleet."""
    body = WHOLE[:-1] + b',"response":' + second + b"}"
    with pytest.raises(Surprise, match="twice"):
        live_devices(reply(body), NOW)
    assert believed({**listing(TWO), "type": "response"})


def test_why_a_list_is_not_believed_is_in_the_error() -> None:
    """Whoever looks at a list that reads perfectly well is given the reason, with no secret in it."""
    for more, words in (
        ({"headers": {"age": "3600"}}, "Age"),
        ({"status": 206}, "status 200"),
        ({"sent": {"lg-1"}}, "earlier"),
    ):
        with pytest.raises(Surprise, match=words):
            live_devices(reply(listing(TWO), **more), NOW)
    masking = Masking()
    masking.know(["secret-of-somebody"])
    with pytest.raises(Surprise) as caught:
        live_devices(reply({**listing(TWO), "next-secret-of-somebody": 1}, mask=masking.text), NOW)
    assert "secret-of-somebody" not in str(caught.value)
    assert f"next-{MASK}" in str(caught.value)


WHOLE = json.dumps(listing(TWO)).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xef\xbb\xbf" + WHOLE, "byte order mark"),
        *(
            (WHOLE + end, "ends with a NUL byte")
            for end in (b"\x00", b"\x00\x00\r\n", b"\x00\n\x00")
        ),
        *(
            (WHOLE.decode().encode(form), "UTF-16|NUL")
            for form in ("utf-16", "utf-16-le", "utf-16-be", "utf-32-le")
        ),
        (gzip.compress(WHOLE, mtime=0), "gzip"),
        (WHOLE[:-9], "not valid JSON"),
        (WHOLE + b" x", "not valid JSON"),
        (WHOLE.replace(b"lg-1", b"lg-\xff"), "not UTF-8"),
        (b"<html></html>", "page or XML"),
        (b' {"response":[]}', "not LG's envelope"),
        (b" ", "empty"),
    ],
)
@pytest.mark.parametrize("call", [Call.LIST, Call.SUBSCRIBE])
def test_an_answer_that_looks_well_where_it_is_quoted_says_why_it_is_not_read(
    body: bytes, reason: str, call: Call
) -> None:
    """Marks and NUL bytes cannot be seen, and the end of a long answer is not quoted."""
    if call is Call.SUBSCRIBE and not body.strip():
        return
    with pytest.raises(Surprise, match=reason) as caught:
        read(reply(body, call))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://login.corp.example/x?token=secret#y", "redirect to https://login.corp.example/x"),
        ("http://user:secret@10.0.0.1:8080/", "redirect to http://10.0.0.1:8080/"),
        ("/portal", "redirect to /portal"),
        ("//other.example/pcc", "redirect to //other.example/pcc"),
        ("http://[::1", "redirect to no address"),
        ("http://h:99999999/", "redirect to no address"),
    ],
)
def test_a_redirect_names_where_it_leads(location: str, said: str) -> None:
    """Whoever reads it knows the login page of the network in between; what may be secret is left out."""
    with pytest.raises(Surprise) as caught:
        read(reply(b"", status=302, headers={"location": location}))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(Surprise, match="LG answered 302"):
        read(reply(b"", status=302))
