"""Who is let through: each sign that a call is not made by a program on this machine, alone and beside right ones."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message

from reconciler.api.access import (
    PASSED_ON,
    PASSED_ON_PREFIXES,
    Refused,
    check_directness,
    check_form,
    same_as_one,
    shown_token,
    whole_body,
)

HOST = {"host": "127.0.0.1:8080"}


def request(
    headers: Mapping[str, str],
    *,
    version: str = "1.1",
    query: str = "",
    pieces: Sequence[bytes] = (),
) -> Request:
    """Return a call with these headers, whose body comes in pieces; without any it never comes."""
    left = list(pieces)

    async def receive() -> Message:
        await asyncio.sleep(0 if left else 60)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "http_version": version,
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
        ],
    }
    return Request(scope, receive)


def refusal(call: Request) -> Refused:
    """Return why a call is taken for one that somebody else made."""
    with pytest.raises(Refused) as caught:
        check_directness(call, "PCC_SOME_TOKEN")
    return caught.value


OWN_ORIGIN = {**HOST, "origin": "http://127.0.0.1:8080"}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost:8080"},
        {"host": "[::1]"},
        {"host": "[::1]:8080"},
        {**HOST, "sec-fetch-site": "none"},
        OWN_ORIGIN,
        {**OWN_ORIGIN, "sec-fetch-site": "same-origin"},
        {**HOST, "x-request-id": "1", "user-agent": "via x-forwarded-for", "forward": "x"},
    ],
)
def test_a_program_or_page_of_this_port_is_let_through(headers: Mapping[str, str]) -> None:
    """A loopback name, no sign of a proxy, and no page but our own."""
    check_directness(request(headers))
    check_directness(request(headers, version="2"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": ""},
        {"host": "pcc.example.com"},
        {"host": "127.0.0.1.example.com"},
        {"host": "127.0.0.2"},
        {"host": "[::2]"},
        {"host": "[::1"},
        {"host": "localhost.example.com:8080"},
        {**HOST, "origin": "null"},
        {**HOST, "origin": "https://127.0.0.1:8080"},
        {**HOST, "origin": "http://127.0.0.1:8081"},
        {**HOST, "origin": "http://127.0.0.1"},
        {**HOST, "origin": "http://localhost:8080"},
        {**HOST, "sec-fetch-site": "same-site"},
        {**HOST, "sec-fetch-site": "cross-site"},
        {**HOST, "sec-fetch-site": ""},
        {**OWN_ORIGIN, "sec-fetch-site": "same-site"},
        {**OWN_ORIGIN, "sec-fetch-site": "cross-site"},
        {**HOST, "origin": "http://evil.example.com", "sec-fetch-site": "same-origin"},
        {**HOST, "origin": "http://evil.example.com", "sec-fetch-site": "none"},
    ],
)
def test_another_name_or_another_page_is_refused(headers: Mapping[str, str]) -> None:
    """One wrong sign is enough, whatever else is right; the words name the setting that would allow the call."""
    refused = refusal(request(headers))
    assert refused.status == 403
    assert "PCC_SOME_TOKEN" in str(refused)


def _of_proxies() -> list[str]:
    names = [name.decode() for name in PASSED_ON]
    names += [
        f"{beginning.decode()}{rest}" for beginning in PASSED_ON_PREFIXES for rest in ("", "for")
    ]
    return [*names, *(name.replace("-", "_") for name in names if "-" in name)]


@pytest.mark.parametrize("name", [*_of_proxies(), "X-Forwarded_Host", "VIA"])
def test_each_header_of_a_proxy_is_enough(name: str) -> None:
    """Proxies write their headers in several ways, also with underscores, and an empty one tells as much."""
    for value in ("", "192.0.2.1"):
        assert "proxy" in str(refusal(request({**OWN_ORIGIN, name: value})))


@pytest.mark.parametrize("version", ["0.9", "1.0"])
def test_an_old_protocol_is_that_of_a_proxy(version: str) -> None:
    """Nginx speaks it to what is behind it, and adds no header."""
    assert "HTTP/1.0" in str(refusal(request(OWN_ORIGIN, version=version)))


@pytest.mark.parametrize(
    ("content_type", "query", "status"),
    [
        ("application/json", "", None),
        ("Application/JSON ; charset=utf-8", "account=a", None),
        ("", "", 415),
        ("text/plain", "", 415),
        ("application/x-www-form-urlencoded", "account=a", 415),
        ("application/jsonx", "", 415),
        ("text/plain; application/json", "", 415),
        ("application/json", "acount=a", 400),
        ("application/json", "account=a&acount=b", 400),
        ("application/json", "account=a&account=b", 400),
        ("application/json", "account=a&account=a", 400),
        ("application/json", "account=&account=a", 400),
        ("application/json", "Account=a", 400),
    ],
)
def test_what_a_call_says_has_one_form(content_type: str, query: str, status: int | None) -> None:
    """JSON, and each known parameter once: else a call for one account could become one for another, or for all."""
    call = request({"content-type": content_type}, query=query)
    if status is None:
        check_form(call, ("account",))
        return
    with pytest.raises(Refused) as caught:
        check_form(call, ("account",))
    assert caught.value.status == status


@pytest.mark.parametrize("pieces", [[b"x" * 10], [b"x" * 4, b"", b"x" * 6], [b"x"] * 10])
async def test_a_body_of_just_the_limit_is_read_and_one_byte_more_is_not(
    pieces: list[bytes],
) -> None:
    """In however many pieces it comes."""
    assert await whole_body(request({}, pieces=pieces), 10, 60) == b"x" * 10
    with pytest.raises(Refused) as caught:
        await whole_body(request({}, pieces=[*pieces, b"x"]), 10, 60)
    assert caught.value.status == 413


async def test_a_body_that_does_not_come_in_time_is_not_waited_for() -> None:
    """Its time is that of the whole body."""
    with pytest.raises(Refused) as caught:
        await whole_body(request({}), 10, 0.01)
    assert caught.value.status == 408


def _basic(pair: str) -> str:
    return f"Basic {b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("", ""),
        ("sesame", ""),
        ("Bearer sesame", "sesame"),
        ("bearer   sesame ", "sesame"),
        ("Token sesame", ""),
        (_basic("user:sesame"), "sesame"),
        (_basic(":sesame:9"), "sesame:9"),
        (_basic("sesame"), ""),
        (_basic("user:sesame").replace("Basic", "bAsIc").rstrip("="), "sesame"),
        ("Basic !", ""),
        ("Basic", ""),
    ],
)
def test_a_token_is_shown_as_bearer_or_as_a_password(header: str, token: str) -> None:
    """What is neither shows none, and never the header itself."""
    assert shown_token(request({"authorization": header})) == token.encode()


def test_a_value_is_one_of_several_or_none_of_them() -> None:
    """Its place among them does not matter; nothing is equal to a part, or to another spelling."""
    accepted = ["old-one", "new-one", "Ümlaut"]
    for one in accepted:
        assert same_as_one(one.encode(), accepted)
        assert not same_as_one(one.encode()[:-1], accepted)
        assert not same_as_one(one.upper().encode(), accepted) or one == one.upper()
    assert not same_as_one(b"", accepted)
    assert not same_as_one(b"old-one", [])
