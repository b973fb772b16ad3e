"""Whatever others write is read right or refused: texts, LG's and EMP's answers, headers, webhooks, git, queries.

Each test says more than that nothing crashes: what is read is compared with a second reading, written here from the
formats and sharing no code with the first. HYPOTHESIS_PROFILE=thorough makes a long run of it.
"""

from __future__ import annotations

import asyncio
import base64
import calendar
import hmac
import json
import math
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote_from_bytes, urlencode

import hypothesis
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from foreign_strategies import (
    CANARY,
    answers,
    canaries,
    damaged,
    device_files,
    envelopes,
    folders,
    grants,
    in_json,
    listings,
    texts,
    values,
)
from reconciler import desired
from reconciler.api import commands, webhook
from reconciler.api import queries as reading
from reconciler.core.acceptance import Accepted, AccountRevision, Claims
from reconciler.core.errors import (
    QUOTED,
    CredentialsRefused,
    Fault,
    Invalid,
    PlatformError,
    Throttled,
    Unavailable,
)
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Change,
    DeviceId,
    Memory,
    Observed,
    Outcome,
    PassId,
    Result,
    Revision,
)
from reconciler.core.planner import plan
from reconciler.core.protection import Stated
from reconciler.core.status import PassReport
from reconciler.desired import Document, Loaded, MemoryTree
from reconciler.pcc.auth import LONGEST_LIFE, Access, _granted
from reconciler.pcc.codes import Call
from reconciler.pcc.dates import seconds_to_wait
from reconciler.pcc.protocol import (
    BEGINNING,
    Answer,
    Reply,
    envelope_time,
    header_time,
    judge,
    live_devices,
    registered_devices,
)
from reconciler.pcc.quota import RETRY_AFTER_MOST, Quota
from reconciler.reporting import queries as inquiry
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.preview import Proposal, Proposed, planned
from reconciler.runtime import settings
from reconciler.source.git.commits import Entry, Kind, Repository
from reconciler.source.git.process import Git, GitError
from reconciler.source.git.signatures import verdict
from reconciler.state import State
from reconciler.telemetry.masking import Masking
from simulated import SimulatedClock
from strategies import fleets
from surfaces import FakeOperations, FakePolicy, FakeQueries

Found = TypeVar("Found")
Error = TypeVar("Error", bound=Exception)
thrice = hypothesis.settings(max_examples=3 * hypothesis.settings().max_examples)
"""For what is quick: three times as many examples as the profile has."""
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
TOKEN = "Qx7ZpLw2Vb5RnKd8Tg3M"
"""A secret in which no two characters are alike, so that any piece of it is recognised."""


def pieces(secret: str, size: int = 6) -> Iterable[str]:
    """Return every piece of a secret that is long enough to be no chance."""
    return (secret[at : at + size] for at in range(len(secret) - size + 1))


def attempted(do: Callable[[], Found], *errors: type[Error]) -> Found | Error:
    """Return what comes of doing something: a value, or one of the errors that are allowed."""
    try:
        return do()
    except errors as error:
        return error


edges = st.one_of(
    *(
        st.integers(max(0, edge - 2 * len(TOKEN)), edge + 2)
        for edge in (0, QUOTED // 2, QUOTED, 2 * QUOTED, BEGINNING)
    )
)
"""So many characters before a secret that whatever shortens words may well cut through it."""


# ---------------------------------------------------------------------------------------------------------------------
# Texts and device files


def loaded(
    documents: Mapping[str, bytes], files: Mapping[str, bytes], *, backwards: bool = False
) -> Loaded:
    """Load documents, in their order or in the opposite one."""
    every = [Document(path, content) for path, content in documents.items()]
    return desired.load(every[::-1] if backwards else every, MemoryTree(files))


def inside(fault: Fault, files: Mapping[str, bytes]) -> bool:
    """Say whether a fault's place is one that its file has: from the first character to just behind the last."""
    lines = files[fault.path].decode(errors="replace").removeprefix("\ufeff").split("\n")
    return 1 <= fault.line <= len(lines) and 1 <= fault.column <= len(lines[fault.line - 1]) + 1


@thrice
@given(folders())
def test_a_folder_gives_accounts_or_faults_with_their_places(
    folder: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    """Every load says something; each fault has a place in a file and shows nothing of a device file."""
    documents, files = folder
    found = loaded(documents, files)
    assert found == loaded(documents, files)
    assert found.accounts or found.faults
    assert bool(found.faulty) == bool(found.faults)
    assert not {one.path for one in found.accounts.values()} & found.faulty.keys()
    for fault in (*found.faults, *found.warnings):
        assert inside(fault, documents | files)
        assert fault.message.isprintable()
        assert CANARY not in str(fault)


@thrice
@given(folders())
def test_the_order_of_documents_does_not_matter(
    folder: tuple[dict[str, bytes], dict[str, bytes]],
) -> None:
    """A folder is a set of files: in whatever order they are read, the same accounts are in force."""
    one, other = loaded(*folder), loaded(*folder, backwards=True)
    assert by_name(one) == by_name(other)
    assert (one.faulty, one.shared, one.shared_fault, one.sha256) == (
        other.faulty,
        other.shared,
        other.shared_fault,
        other.sha256,
    )


def by_name(found: Loaded) -> dict[AccountName, object]:
    """Return accounts for a comparison in which the order of approvals does not count."""
    return {
        name: replace(one, approvals=tuple(sorted(one.approvals, key=repr)))
        for name, one in found.accounts.items()
    }


@thrice
@given(texts() | damaged(texts()), canaries)
def test_an_accepted_text_means_what_another_reader_finds_in_it(text: bytes, listed: bytes) -> None:
    """The devices of an accepted text are those that Python's own reader and the lines of its files give."""
    files = {"lists/a.txt": listed, "lists/b.txt": b"b\n", "c.txt": b"c\n"}
    found = loaded({"a.toml": text}, files)
    if found.faults:
        return
    said = tomllib.loads(text.decode().removeprefix("\ufeff"))
    assert said["version"] == 1
    tables = said.get("accounts", {}) | (
        {"default": said} if {"devices", "device_files"} & said.keys() else {}
    )
    assert {name: one.devices for name, one in found.accounts.items()} == {
        name: meant(table, files) for name, table in tables.items()
    }


def meant(table: Mapping[str, Any], files: Mapping[str, bytes]) -> set[str]:
    """Return the ids that a table names, and insist that it names them somehow."""
    assert "devices" in table or "device_files" in table
    ids = {one if isinstance(one, str) else one["id"] for one in table.get("devices", [])}
    for pattern in table.get("device_files", []):
        matching = [
            path for path in files if Path("/" + path).match("/" + pattern.replace("**/", ""))
        ]
        ids |= {line for path in matching for line in files[path].decode().split("\n") if line}
    return ids


@given(fleets(), st.data())
def test_a_written_text_that_is_cut_loses_no_device_of_an_account(
    fleet: list[Any], data: st.DataObject
) -> None:
    """Wherever a text ends, an account that it still defines has all its devices and its whole policy."""
    text = desired.dump(fleet).encode()
    ends = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    found = loaded(
        {"a.toml": text[: data.draw(st.sampled_from(ends) | st.integers(0, len(text)))]}, {}
    )
    whole = loaded({"a.toml": text}, {}).accounts
    assert bool(found.accounts) != bool(found.faults)
    for name, one in found.accounts.items():
        assert replace(one, approvals=()) == replace(whole[name], approvals=())
        assert one.approvals == whole[name].approvals[: len(one.approvals)]


@thrice
@given(device_files | damaged(device_files) | st.binary(max_size=60))
@example(b"")
@example(b"\xef\xbb\xbf0a77c3f2\r\n")
@example(b"1E-11\n")
def test_a_device_file_is_read_as_its_lines_say(content: bytes) -> None:
    """An id a line, a name behind a #, a newline at the end: all of it is so, or the file is refused as a whole."""
    found = loaded({"a.toml": b'version = 1\ndevice_files = ["f.txt"]\n'}, {"f.txt": content})
    ids = listed_ids(content)
    assert bool(found.faults) == (ids is None)
    if ids is not None:
        assert found.accounts[DEFAULT_ACCOUNT].devices == ids
    assert all(
        fault.path == "f.txt" and inside(fault, {"f.txt": content}) for fault in found.faults
    )


def listed_ids(content: bytes) -> set[str] | None:
    """Return the ids of a device file, or nothing where it is none."""
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    if not text.strip() or "\0" in text:
        return None
    ids = [line.split("#")[0].strip() for line in text.split("\n")]
    ids = [one for one in ids if one]
    good = (
        all(identifies(one) for one in ids)
        and len(set(ids)) == len(ids)
        and text[-1:] in {"", "\n"}
    )
    return set(ids) if good else None


def identifies(text: object) -> bool:
    """Say whether this is a device id, as the format has it."""
    return (
        isinstance(text, str)
        and re.fullmatch(r"[^\s/?#%\\]{1,256}", text) is not None
        and text.isprintable()
        and text not in {".", ".."}
        and not set(text) & set(",;\ufeff")
        and not {text[0], text[-1]}
        & set("\"'`()[]{}\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb")
        and re.match(r"[<=>|]{7}", text) is None
        and re.fullmatch(r"[0-9]+([.][0-9]+[eE][+-]?|[eE][+-])[0-9]+", text) is None
    )


# ---------------------------------------------------------------------------------------------------------------------
# LG's answers


class NotJsonError(Exception):
    """Bytes are no JSON."""


def strictly(body: bytes) -> Any:
    """Return what bytes mean as JSON, by the standard library and without what it allows beyond the standard."""

    def no(word: str) -> Any:
        raise ValueError(word)

    try:
        return json.loads(body.decode(), parse_constant=no, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise NotJsonError from error


def _number(digits: str) -> float:
    return int(digits) if len(digits) < 4000 else math.inf


def strict_list(body: bytes) -> frozenset[str] | None:
    """Return the ids of a list answer, or nothing where anything about it is not as LG documents it."""
    try:
        envelope = strictly(body)
    except NotJsonError:
        return None
    if not isinstance(envelope, dict) or envelope.get("error") is not None:
        return None
    codes = {json.dumps(envelope.get(key, "0000")) for key in ("responseCode", "resultCode")}
    if "messageId" not in envelope or codes != {'"0000"'}:
        return None
    items = envelope.get("response")
    if items is None or items in ({}, []):
        return frozenset()
    ids = (
        [one.get("deviceId") if isinstance(one, dict) else None for one in items]
        if isinstance(items, list)
        else [None]
    )
    return frozenset(cast("list[str]", ids)) if all(map(identifies, ids)) else None


def listed(
    read: Callable[[Reply, datetime], Iterable[Any]], call: Call, body: bytes, status: int = 200
) -> Any:
    """Return the ids that a list answer is read as, or the error."""
    found = attempted(lambda: read(Reply(call, status, body, "m"), NOW), PlatformError)
    if isinstance(found, PlatformError):
        return found
    return frozenset(one if isinstance(one, str) else one.id for one in found)


@thrice
@given(in_json(listings))
def test_a_good_list_is_read_whole(body: bytes) -> None:
    """What LG documents is understood, with whatever else an item says."""
    assume(b"\xed\xa0\x80" not in body and b"\\ud800" not in body)
    assume("NaN" not in body.decode() and "Infinity" not in body.decode())
    assert listed(live_devices, Call.LIST, body) == strict_list(body) != None  # noqa: E711 - three values are one


@thrice
@given(answers(envelopes), st.sampled_from([200, 200, 200, 204, 302, 401, 404, 429, 500]))
def test_a_list_is_all_or_nothing(body: bytes, status: int) -> None:
    """A damaged list is what a strict reader finds in it, or an error of ours: never a part, never something else."""
    for read, call in ((live_devices, Call.LIST), (registered_devices, Call.DEVICES)):
        found = listed(read, call, body, status)
        if not isinstance(found, PlatformError):
            assert 200 <= status < 300
            assert found == strict_list(body)


@thrice
@given(
    answers(envelopes),
    st.sampled_from(Call),
    st.integers(100, 599) | st.just(200),
    st.text(max_size=20),
)
def test_an_answer_is_a_meaning_or_a_short_error(
    body: bytes, call: Call, status: int, retry_after: str
) -> None:
    """Whatever comes is understood, or is an error of ours that quotes no more than it may."""
    answer = attempted(
        lambda: judge(Reply(call, status, body, "m", retry_after), NOW), PlatformError
    )
    if isinstance(answer, Answer):
        assert answer.code is not None or 200 <= status < 300
        return
    assert all(
        len(words or "") <= QUOTED for words in (answer.words, answer.code, answer.lg_message_id)
    )
    assert len(str(answer)) <= 3 * QUOTED
    assert str(answer).isprintable()
    if isinstance(answer, Throttled):
        assert answer.retry_after is None or answer.retry_after > 0


@thrice
@given(
    st.sampled_from(["code", "message", "error", "messageId", "response", "page"]),
    edges,
    st.sampled_from(["", "x", " ", '"', "ü"]),
    st.sampled_from([200, 400, 401, 500]),
    st.sampled_from(Call),
)
def test_no_piece_of_a_secret_is_told(
    where: str, before: int, pad: str, status: int, call: Call
) -> None:
    """Wherever LG repeats a token, and wherever what is quoted of LG is cut off, not a piece of it is shown."""
    said = pad * before + TOKEN + pad * 10
    body = {
        "code": json.dumps({"messageId": "m", "error": {"code": said, "message": "words"}}),
        "message": json.dumps({"messageId": "m", "error": {"code": "1000", "message": said}}),
        "error": json.dumps({"messageId": "m", "error": said}),
        "messageId": json.dumps({"messageId": said, "error": {"code": "1000"}}),
        "response": json.dumps({"messageId": "m", "response": [{said: said}]}),
        "page": f"<html>{said}</html>",
    }[where]
    masking = Masking()
    masking.know([TOKEN])
    one = Reply(call, status, body.encode(), "m", mask=masking.text)
    for read in (judge, live_devices, registered_devices):
        found = attempted(partial(cast("Callable[..., object]", read), one, NOW), PlatformError)
        told = f"{found} {vars(found)}" if isinstance(found, PlatformError) else repr(found)
        assert not any(piece in told for piece in pieces(TOKEN))


@thrice
@given(answers(grants), st.integers(100, 599) | st.just(200))
def test_emp_grants_what_it_says_or_nothing(body: bytes, status: int) -> None:
    """A token that is used stands in EMP's answer just so, can be sent in a header, and has not ended before now."""
    granted = attempted(lambda: _granted(status, body, TOKEN), CredentialsRefused, Unavailable)
    if isinstance(granted, PlatformError):
        assert len(str(granted)) <= 2 * QUOTED
        assert str(granted).isprintable()
        return
    said = strictly(body)
    assert 200 <= status < 300
    assert granted.access_token == said["access_token"]
    assert len(granted.access_token) >= 8
    assert granted.access_token.isascii()
    assert granted.access_token.isprintable()
    clock = SimulatedClock()
    access = Access(cast("Callable[[], Any]", None), cast("Any", None), clock)
    token, now = access._dated(granted, cast("Any", None)), clock.now().timestamp()
    if token.expires_at is not None:
        assert token.renew_at is not None
        assert now <= token.renew_at <= token.expires_at <= now + LONGEST_LIFE
    assert token.value not in repr(token)
    assert token.value not in repr(granted)


@thrice
@given(
    st.sampled_from(["httpError", "error"]),
    edges,
    st.sampled_from(["x", "'", '"', "\\"]),
    st.sampled_from([200, 400, 503]),
    st.sampled_from([lambda said: said, lambda said: [said], lambda said: {said: {"a": [said]}}]),
)
def test_no_piece_of_a_refresh_token_is_told(
    where: str, before: int, pad: str, status: int, form: Callable[[str], object]
) -> None:
    """Where EMP repeats the refresh token, in whatever form, not a piece of it is shown."""
    body = json.dumps({where: form(pad * before + TOKEN + pad * 10)}).encode()
    with pytest.raises((CredentialsRefused, Unavailable)) as caught:
        _granted(status, body, TOKEN)
    assert not any(piece in str(caught.value) for piece in pieces(TOKEN))


# ---------------------------------------------------------------------------------------------------------------------
# Headers

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = calendar.month_abbr[1:]


def http_dates(moment: datetime) -> Sequence[str]:
    """Return the ways in which HTTP writes a moment that we have to read: the one of today and the one of C."""
    day, month = DAYS[moment.weekday()][:3], MONTHS[moment.month - 1]
    clock = f"{moment:%H:%M:%S}"
    return (
        f"{day}, {moment.day:02} {month} {moment.year:04} {clock} GMT",
        f"{day}, {moment.day:02} {month} {moment.year:04} {clock} +0000",
        f"{day} {month} {moment.day:2} {clock} {moment.year:04}",
    )


date_words = st.lists(
    st.sampled_from(
        [
            *(
                *MONTHS,
                "Sun,",
                "Sun",
                ",",
                "22",
                "22,",
                "-1",
                "0",
                "2026",
                "2026,",
                "99999",
                "26",
                "10:00:00",
                "10:00",
            ),
            *(
                "10.00.00",
                "10:00:00,",
                "10",
                ":",
                "::",
                "-",
                "+",
                "-:-",
                "GMT",
                "+0000",
                "-0000",
                "+9999",
                "-2400",
                "EST",
            ),
            *(
                "(",
                ")",
                "(c)",
                "22-Nov-2026",
                "-Nov-",
                "\N{SUPERSCRIPT TWO}",
                "9" * 400,
                "\xa0",
                "\0",
                "=",
            ),
        ]
    ),
    max_size=7,
).map(" ".join)
"""Dates, and what a reader of dates may take for one."""

headers = st.one_of(
    st.text(st.characters(max_codepoint=0xFF), max_size=30),
    date_words,
    st.integers().map(str),
    st.integers(1, 450).map(lambda digits: "9" * digits),
)


@thrice
@given(
    headers
    | damaged(st.sampled_from([one.encode() for one in http_dates(NOW)])).map(
        lambda one: one.decode("latin-1")
    )
)
def test_what_stands_in_a_header_is_a_time_or_nothing(header: str) -> None:
    """A ``Retry-After`` is a wait that ends within a day, a ``Date`` a moment with a zone; all else is nothing."""
    seconds = seconds_to_wait(header, NOW)
    assert seconds is None or seconds > 0
    waits = Quota().throttled(NOW.timestamp(), seconds, teaches=False) - NOW.timestamp()
    assert min(1.0, seconds or 1.0) <= waits <= RETRY_AFTER_MOST + 1
    moment = header_time(Reply(Call.LIST, 200, b"", "m", date=header))
    assert moment is None or moment.tzinfo is not None
    if re.fullmatch("[0-9]+", header):
        assert seconds == (float(header) or None)


@thrice
@given(st.integers(0, 253_402_300_799).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_date_to_come_is_waited_for_to_the_second(moment: datetime) -> None:
    """Every form in which HTTP writes a date is the span from now; a date that is over is nothing."""
    span = (moment - NOW).total_seconds()
    for header in http_dates(moment):
        assert seconds_to_wait(header, NOW) == (span if span > 0 else None)
        assert header_time(Reply(Call.LIST, 200, b"", "m", date=header)) == moment


@thrice
@given(
    answers(st.fixed_dictionaries({"timestamp": values | st.datetimes().map(datetime.isoformat)}))
)
def test_the_time_in_an_envelope_is_a_moment_or_nothing(body: bytes) -> None:
    """Whatever LG puts in the place of its time, no pass ends with it."""
    moment = envelope_time(Reply(Call.LIST, 200, body, "m"))
    assert moment is None or moment.tzinfo is not None


# ---------------------------------------------------------------------------------------------------------------------
# The HTTP surface


def called(
    app: ASGIApp,
    path: str,
    *,
    query: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: Sequence[bytes] = (),
    method: str = "POST",
) -> tuple[int, bytes, int]:
    """Call an app as a server does. Return the status, the body, and how many chunks of the request were read."""
    chunks, sent, read = iter(body), list[Message](), 0

    async def receive() -> Message:
        nonlocal read
        chunk = next(chunks, None)
        read += chunk is not None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
    }
    asked = {
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
    }
    asked |= {"server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 50000)}
    asyncio.run(cast("Any", app(scope | asked, receive, send)))
    return int(sent[0]["status"]), b"".join(one.get("body", b"") for one in sent[1:]), read


SECRET = "correct-horse-battery-staple"
SIGNED = (b"x-hub-signature-256", b"x-gitea-signature")
PUSHED = b'{"ref": "refs/heads/main"}'


def signature(body: bytes) -> str:
    """Return a body's signature, as GitHub and Gitea compute it."""
    return hmac.new(SECRET.encode(), body, sha256).hexdigest()


good_values = st.sampled_from(
    [
        signature(PUSHED),
        "sha256=" + signature(PUSHED),
        signature(PUSHED).upper(),
        SECRET,
        signature(b""),
        "",
    ]
).map(str.encode)
good_lines = st.sampled_from(
    [
        (SIGNED[0], b"sha256=" + signature(PUSHED).encode()),
        (SIGNED[0], b"sha256=" + signature(PUSHED).upper().encode()),
        (SIGNED[1], signature(PUSHED).encode()),
        (b"x-gitlab-token", SECRET.encode()),
        (b"content-type", b"application/x-www-form-urlencoded"),
    ]
)
odd_lines = st.tuples(
    st.sampled_from([*SIGNED, b"x-gitlab-token", b"content-type", b"x-hub-signature"]),
    good_values | damaged(good_values) | st.binary(max_size=30),
)
one_odd_line = good_lines.flatmap(
    lambda line: st.tuples(st.just(line[0]), damaged(st.just(line[1])))
)
header_lines = st.one_of(
    st.lists(good_lines, max_size=3),
    st.lists(good_lines | odd_lines, max_size=4),
    st.lists(one_odd_line, min_size=1, max_size=1),
)


def proven(lines: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
    """Say whether a request shows that it knows the secret: by all that it gives, of each header the first."""
    first = dict(reversed(lines))
    proofs = [first[b"x-gitlab-token"] == SECRET.encode()] if b"x-gitlab-token" in first else []
    signed = next((name for name in SIGNED if name in first), None)
    if signed is not None:
        given = first[signed].removeprefix(b"sha256=" if signed == SIGNED[0] else b"")
        proofs.append(given.strip().lower() == signature(body).encode())
    return bool(proofs) and all(proofs)


@thrice
@given(header_lines, st.just(PUSHED) | st.just(b"") | damaged(st.just(PUSHED)), st.integers(1, 5))
def test_only_who_knows_the_secret_wakes(
    lines: list[tuple[bytes, bytes]], body: bytes, parts: int
) -> None:
    """A wake is answered with 202 and has a header that nobody makes without the secret; all else is a refusal."""
    operations = FakeOperations()
    app = Starlette(
        routes=[webhook.route(operations, FakePolicy(secret=lambda: SECRET, has_webhook=True))]
    )
    size = len(body) // parts + 1
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    status, said, _read = called(app, webhook.PATH, headers=lines, body=chunks)
    assert status in {202, 401}
    assert len(operations.done) == (status == 202) == proven(lines, body)
    if operations.done:
        assert any(
            SECRET.encode() == value or signature(body).encode() in value.lower()
            for _name, value in lines
        )
    assert not any(value in said for _name, value in lines if len(value) > 12)


@given(st.lists(st.sampled_from([0, 1, 65536, 1 << 20]), max_size=12))
def test_no_more_of_a_body_is_read_than_is_bearable(sizes: list[int]) -> None:
    """Even who knows the secret sends so much and no more, and what is beyond is not read."""
    operations = FakeOperations()
    app = Starlette(
        routes=[webhook.route(operations, FakePolicy(secret=lambda: SECRET, has_webhook=True))]
    )
    token = [(b"x-gitlab-token", SECRET.encode())]
    chunks = [bytes(size) for size in sizes]
    status, _said, read = called(app, webhook.PATH, headers=token, body=chunks)
    total = sum(sizes)
    assert status == (413 if total > webhook.LARGEST_BODY else 202)
    assert len(operations.done) == (status == 202)
    assert sum(sizes[: read - 1]) <= webhook.LARGEST_BODY or not read


good_pauses = {
    "pause": st.sampled_from(["none", "unsubscribe", "all"]),
    "account": st.just("default"),
    "for": st.sampled_from(["2h", "99999d999999h", "90s", "0s", "1h30m"]),
    "reason": st.just("night") | st.text(max_size=5),
}
odd_words = st.sampled_from(["1h ", "\N{SUPERSCRIPT TWO}h", "-1h", "", "default\0"]) | values
odd_pauses = {key: good | odd_words for key, good in good_pauses.items()}
PAUSES = st.fixed_dictionaries({}, optional=good_pauses) | st.fixed_dictionaries(
    {}, optional=odd_pauses | {"acount": values}
)
file_names = st.sampled_from(["a.toml", "b.toml", "lists/a.txt", "", "\0", "../a.toml", "/"])
good_plans = {
    "documents": st.just(["a.toml"]) | st.lists(file_names, max_size=2),
    "files": st.dictionaries(
        st.just("a.toml") | file_names,
        (texts() | damaged(texts())).map(lambda one: one.decode(errors="replace")),
        max_size=3,
    ),
}
shown = {
    "accounts": st.lists(st.text(max_size=3), max_size=2),
    "show": st.sampled_from(["none", "text", "markdown"]),
    "approval": st.text(max_size=5),
}
odd_plans = {key: good | values for key, good in (good_plans | shown | {"x": values}).items()}
PLANS = st.fixed_dictionaries(good_plans, optional=shown) | st.fixed_dictionaries(
    {}, optional=odd_plans
)
JSON_TYPE = [(b"host", b"127.0.0.1:8080"), (b"content-type", b"application/json")]


class Deeds(FakeOperations):
    """Takes what the calls that act would do, and writes it down; plans as the daemon does, on no live devices."""

    def __init__(self) -> None:
        super().__init__(self.plan_on_nothing, accounts=(DEFAULT_ACCOUNT,))
        self.app = Starlette(routes=commands.routes(self, FakePolicy()))

    async def plan_on_nothing(self, proposal: Proposal) -> Proposed:
        """Read the proposed files as the daemon does, and plan on an account without live devices."""
        return await planned(proposal, Accepted(), _planned)


def _planned(text: AccountRevision, _claims: Claims, _stated: Stated) -> PassReport:
    would = plan(text.desired, Observed(frozenset(), NOW), Memory(), NOW)
    return PassReport(text.desired, NOW, NOW, would, observed=0)


@thrice
@given(answers(PAUSES))
def test_a_brake_is_set_as_it_is_asked_for_or_not_at_all(body: bytes) -> None:
    """What is not exactly what the call takes is refused with a sentence, and no brake moves."""
    deeds = Deeds()
    status, said, _read = called(deeds.app, commands.PAUSE, headers=JSON_TYPE, body=[body])
    assert status in {200, 400}
    assert isinstance(json.loads(said), dict)
    assert len(deeds.done) == (status == 200)
    if status == 200:
        asked = strictly(body or b"{}")
        assert asked.keys() <= {"pause", "account", "for", "reason"}
        span = asked.get("for")
        expected = (
            asked.get("account") or None,
            asked.get("pause", "all"),
            asked.get("reason", ""),
        )
        _what, account, pause, taken, reason = deeds.done[0]
        assert (account, pause, reason) == expected
        assert taken == (None if span is None else timedelta(seconds=seconds_of(span)))


def seconds_of(span: str) -> int:
    """Return how long a span is, by another reading."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    assert re.fullmatch("([0-9]+[dhms])+", span)
    return sum(int(number) * units[unit] for number, unit in re.findall("([0-9]+)([dhms])", span))


@given(answers(PLANS))
def test_proposed_files_are_planned_or_refused(body: bytes) -> None:
    """Whatever somebody proposes, the answer is a plan, its faults, or what is wrong with the call."""
    status, said, _read = called(Deeds().app, commands.PLAN, headers=JSON_TYPE, body=[body])
    assert status in {200, 400, 404, 422}
    assert isinstance(json.loads(said), dict)


@thrice
@given(
    st.dictionaries(
        st.sampled_from(["account", "acount", "accounts", ""]), st.text(max_size=8), max_size=2
    ),
    st.lists(
        st.tuples(
            st.sampled_from([b"host", b"content-type", b"authorization", b"origin"]),
            st.sampled_from(
                [
                    b"127.0.0.1",
                    b"[::1",
                    b"[::1]:1",
                    b"",
                    b"localhost:x",
                    b"evil.example",
                    b"application/json",
                ]
            )
            | st.binary(max_size=12),
        ),
        max_size=3,
    ),
    st.binary(max_size=20),
)
def test_a_pass_is_made_for_the_account_that_is_meant(
    query: dict[str, str], lines: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """A misspelt parameter, another host or another type never makes a call for one account a call for all."""
    deeds = Deeds()
    status, said, _read = called(
        deeds.app, commands.RECONCILE, query=urlencode(query).encode(), headers=lines, body=[body]
    )
    assert status in {200, 400, 403, 415}
    assert isinstance(json.loads(said), dict)
    assert len(deeds.done) == (status == 200)
    if status == 200:
        assert query.keys() <= {"account"}
        assert deeds.done == [("reconcile", query.get("account") or None)]


# ---------------------------------------------------------------------------------------------------------------------
# Past changes


@pytest.fixture(scope="module")
def past() -> tuple[Starlette, list[tuple[datetime, DeviceId]]]:
    """Give the call for past changes over a state that has some, and when they were."""
    clock = SimulatedClock()
    state = State.in_memory(clock)
    made = []
    for number in range(12):
        clock.moment = NOW - timedelta(minutes=number // 2)
        change = Change(DEFAULT_ACCOUNT, Action.SUBSCRIBE, DeviceId(f"device{number:02}"))
        state.changes.intend(
            DEFAULT_ACCOUNT,
            PassId(f"p{number}"),
            [change],
            frozenset(),
            Revision("0" * 64),
            clock.now(),
        )
        done = Outcome(change, Result.SUCCESS, clock.now())
        state.changes.record(DEFAULT_ACCOUNT, PassId(f"p{number}"), [done], {}, clock.now())
        made.append((clock.now(), change.device))
    known = Knowledge(NOW, Accepted(), state, state.revisions.kept)

    class OnlyHistory(FakeQueries):
        """Knows past changes and nothing else."""

        async def history(self, asked: Mapping[str, str]) -> inquiry.Page:
            return inquiry.history(known, inquiry.wanted(asked, NOW))

    return Starlette(routes=reading.routes(OnlyHistory())), made


def encoded(content: bytes) -> str:
    """Return bytes as a cursor writes them."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


moments_said = st.one_of(
    st.sampled_from(
        [
            "2h",
            "3m",
            "90s",
            "99999d",
            "99999d999999h",
            "0s",
            "2026-11-22T09:57:00Z",
            "2026-11-22T10:00Z",
        ]
    ),
    st.datetimes().map(lambda one: one.isoformat() + "+23:59"),
    st.datetimes().map(datetime.isoformat),
    st.sampled_from(
        ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-W47-7T10:00:00Z", "24:00"]
    ),
)
cursors = in_json(
    st.lists(
        st.sampled_from([0, -1, -(2**56), 1, "default", "device01", 10**30]) | values, max_size=5
    )
)
asked_values = {
    "limit": st.sampled_from(["1", "5", "1000", "1001", "0", "00000005", "0001000000", "9" * 5000])
    | headers,
    "since": moments_said
    | damaged(moments_said.map(str.encode)).map(lambda one: one.decode("latin-1")),
    "until": moments_said | headers,
    "before": cursors.map(quote_from_bytes) | headers | cursors.map(encoded),
    "account": st.sampled_from(["default", "defualt", "", "\0"]) | headers,
    "device": st.sampled_from(["device01", "device0", "", "\0"]) | headers,
}


queries = st.lists(
    st.sampled_from([*asked_values, *asked_values, "lmit"]), max_size=3, unique=True
).flatmap(lambda keys: st.fixed_dictionaries({key: asked_values.get(key, headers) for key in keys}))


@thrice
@given(queries)
def test_past_changes_are_those_asked_for(
    past: tuple[Starlette, list[tuple[datetime, DeviceId]]], asked: dict[str, str]
) -> None:
    """Any query is answered with changes within what it says, newest first, or with what is wrong with it."""
    app, made = past
    status, said, _read = called(
        app, "/api/v1/history", query=urlencode(asked).encode(), method="GET"
    )
    answer = json.loads(said)
    assert status in {200, 400, 404}
    if status != 200:
        assert answer["error"].isprintable()
        return
    found = [(datetime.fromisoformat(one["at"]), one["device"]) for one in answer["changes"]]
    assert set(found) <= set(made)
    assert found == sorted(found, key=lambda one: (-one[0].timestamp(), one[1]))
    assert len(found) <= int(asked.get("limit", "100")) <= 1000
    assert "lmit" not in asked
    if not asked.keys() & {"before", "limit", "since", "until", "device", "account"}:
        assert len(found) == len(made)
    assert "since" not in asked or all(at >= edge_of(asked["since"]) for at, _device in found)
    assert "until" not in asked or all(at < edge_of(asked["until"]) for at, _device in found)


def edge_of(text: str) -> datetime:
    """Return the moment that a query names, by another reading."""
    if re.fullmatch("([0-9]+[dhms])+", text):
        return NOW - timedelta(seconds=seconds_of(text))
    return datetime.fromisoformat(text)


# ---------------------------------------------------------------------------------------------------------------------
# What git prints


class Printer:
    """Stands for the git program: prints what it is given, one call after the other."""

    def __init__(self, *printed: bytes) -> None:
        self._printed = list(printed)

    def __call__(self, *_arguments: str, **_how: object) -> bytes:
        """Print the next of it; the last again and again."""
        return self._printed.pop(0) if len(self._printed) > 1 else self._printed[0]


def repository(*printed: bytes) -> Repository:
    """Return a repository of which git prints this."""
    return Repository(cast("Git", Printer(*printed)))


object_ids = st.binary(min_size=20, max_size=20).map(bytes.hex) | st.binary(
    min_size=32, max_size=32
).map(bytes.hex)
ID = "0123456789abcdef0123456789abcdef01234567"
kinds = st.sampled_from(
    [("100644", "blob"), ("120000", "blob"), ("160000", "commit"), ("040000", "tree")]
)
path_names = st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name)
trees = st.dictionaries(path_names, st.tuples(kinds, object_ids), max_size=4).map(
    lambda held: b"".join(
        b"%s %s %s\t%s\0" % (*(one.encode() for one in (*kind, id_)), name)
        for name, (kind, id_) in held.items()
    )
)


def strict_entries(printed: bytes) -> dict[str, Entry] | None:
    """Return what a listing says, or nothing where it is none."""
    if not re.fullmatch(rb"(?:\d{6} [a-z]+ (?:[0-9a-f]{40}|[0-9a-f]{64})\t[^\0]+\0)*", printed):
        return None
    kinds = {"120000": Kind.LINK, "160000": Kind.SUBMODULE, "040000": Kind.FOLDER}
    found = {}
    for line in printed.split(b"\0")[:-1]:
        facts, name = line.split(b"\t", 1)
        mode, _kind, id_ = facts.decode().split()
        found[name.decode(errors="surrogateescape")] = Entry(kinds.get(mode, Kind.FILE), id_)
    return found


@thrice
@given(trees | damaged(trees) | st.binary(max_size=80))
def test_a_listing_of_git_is_read_whole_or_not(printed: bytes) -> None:
    """A listing that is not what git prints, or that lost its end, is an error and never a part of the files."""
    found = attempted(lambda: repository(printed).files(ID), GitError)
    assert (None if isinstance(found, GitError) else found) == strict_entries(printed)


blobs = st.dictionaries(object_ids, st.binary(max_size=30), min_size=1, max_size=4)


def batch(contents: Mapping[str, bytes], *, whole: bool) -> bytes:
    """Return what ``cat-file`` prints of blobs: of each its size, and its content too."""
    return b"".join(
        b"%s blob %d\n%s"
        % (id_.encode(), len(contents[id_]), contents[id_] + b"\n" if whole else b"")
        for id_ in sorted(contents)
    )


@thrice
@given(blobs)
def test_contents_that_git_prints_are_read(contents: dict[str, bytes]) -> None:
    """The contents of blobs come out as they are, and of those that are too large nothing does."""
    known, printed = batch(contents, whole=False), batch(contents, whole=True)
    assert repository(known, printed).contents(contents, most=30) == contents
    small = {id_: content for id_, content in contents.items() if len(content) <= 10}
    found = repository(known, batch(small, whole=True)).contents(contents, most=10)
    assert found == contents | dict.fromkeys(contents.keys() - small.keys())


@thrice
@given(blobs, st.data())
def test_contents_that_git_did_not_print_whole_are_an_error(
    contents: dict[str, bytes], data: st.DataObject
) -> None:
    """Cut anywhere, neither sizes nor contents are believed; damaged, they are an error or as long as was said."""
    known, printed = batch(contents, whole=False), batch(contents, whole=True)
    for cut in (
        (known[: data.draw(st.integers(0, len(known) - 1))], printed),
        (known, printed[: data.draw(st.integers(0, len(printed) - 1))]),
    ):
        with pytest.raises(GitError):
            repository(*cut).contents(contents, most=30)
    hurt = data.draw(damaged(st.just(known))), data.draw(damaged(st.just(printed)))
    for one in ((hurt[0], printed), (known, hurt[1]), hurt):
        with suppress(GitError):
            found = repository(*one).contents(contents, most=30)
            assert found.keys() == contents.keys()
            if one[0] == known:
                assert {id_: len(content or b"") for id_, content in found.items()} == {
                    id_: len(content) for id_, content in contents.items()
                }


commits = st.tuples(
    *[st.text(max_size=8).map(lambda text: text.encode(errors="replace"))] * 2,
    st.integers().map(str).map(str.encode),
    st.text(max_size=300).map(lambda text: text.encode(errors="replace")),
).map(lambda parts: b"\0".join(parts) + b"\n")


@thrice
@given(commits | damaged(commits) | st.binary(max_size=60))
def test_a_commit_is_read_or_an_error(printed: bytes) -> None:
    """Who made a commit and why is on one line and short, whatever stands in it."""
    with suppress(GitError):
        found = repository(printed).commit(ID)
        assert printed.count(b"\0") == 3
        assert found.id == ID
        assert all(
            words.isprintable() and len(words) <= QUOTED for words in (found.author, found.subject)
        )
        assert found.at.tzinfo is not None


signed = st.sampled_from(
    [b"G\0fully\n", b"G\0ultimate\n", b"G\0undefined\n", b"U\0fully\n", b"N\0\n", b"B\0never\n"]
)


@thrice
@given(signed | damaged(signed) | st.binary(max_size=20))
def test_only_a_plain_yes_is_a_good_signature(printed: bytes) -> None:
    """Whatever git prints of a signature, it is good only where git says so and nothing else."""
    with suppress(GitError):
        answers = printed.split(
            b"\0", 1
        )  # git is asked for its letter, then for the trust in the key
        good = [one.removesuffix(b"\n") for one in answers] in (
            [b"G", b"fully"],
            [b"G", b"ultimate"],
        )
        assert (verdict(repository(*answers), ID, None) == "") == good


ids_printed = st.lists(object_ids, max_size=3).map(
    lambda ids: "".join(f"{one}\n" for one in ids).encode()
)


@thrice
@given(ids_printed | damaged(ids_printed) | st.binary(max_size=50))
def test_ids_that_git_prints_are_ids_or_an_error(printed: bytes) -> None:
    """Nothing that is no id is taken for one, so that none can be read as something else in a later call."""
    for ask in (
        lambda one: [one.resolve("HEAD") or ID],
        lambda one: one.between(ID, ID),
        lambda one: [one.entry(ID, "").id],
    ):
        with suppress(GitError):
            assert all(
                re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", id_) for id_ in ask(repository(printed))
            )
    with suppress(GitError):
        assert repository(f"{ID}\n".encode(), printed).descends(ID, ID) == (
            ID.encode() in printed.split()
        )


# ---------------------------------------------------------------------------------------------------------------------
# Settings

lines_without_secrets = st.sampled_from(
    [
        *(
            "PCC_MODE=observe",
            "PCC_INTERVAL=10m",
            "PCC_WORKERS=8",
            "PCC_LISTEN=127.0.0.1:8080",
            "# a remark",
            "",
        ),
        *(
            "export PCC_PHASE='qa'",
            "PCC_MOOD=observe",
            "HOME=/root",
            'PCC_GIT_REF="main',
            "PCC_COUNTRY",
            "=x",
        ),
    ]
)
lines_with_secrets = st.sampled_from(
    [
        *(
            f"PCC_SERVICE_KEY={TOKEN}",
            f'PCC_ACCESS_TOKEN="{TOKEN}"',
            f"PCC_LISTEN_TOKEN='{TOKEN}",
            TOKEN,
            f"{TOKEN}=x",
        ),
        *(
            f"PCC_WEBHOOK_SECRET=  {TOKEN}",
            f"PCC_BASE_URL=https://u:{TOKEN}@h.example",
            f"PCC_COUNTRY={TOKEN}",
        ),
        *(
            f"PCC_GIT_URL=https://u:{TOKEN}@h.example/r.git",
            f"PCC_WORKERS={TOKEN}",
            f"PCC_MODE={TOKEN}",
        ),
    ]
)


def env_files(lines: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Draw env files of such lines."""
    return st.lists(lines, max_size=6).map(lambda drawn: "\n".join([*drawn, ""]).encode())


@thrice
@given(
    env_files(lines_without_secrets | lines_with_secrets)
    | damaged(env_files(lines_without_secrets))
)
def test_an_env_file_is_settings_or_faults_without_their_values(content: bytes) -> None:
    """Every fault has its line, and none shows a value: it may be a secret in the wrong place."""
    with tempfile.NamedTemporaryFile(suffix=".env") as file:
        file.write(content)
        file.flush()
        found = attempted(lambda: settings.load({}, Path(file.name), user=lambda: 0), Invalid)
    if isinstance(found, Invalid):
        assert found.faults
        assert all(
            fault.line <= content.count(b"\n") + content.count(b"\r") + 1 for fault in found.faults
        )
    told = str(found) if isinstance(found, Invalid) else repr(found)
    assert not any(piece in told for piece in pieces(TOKEN))
