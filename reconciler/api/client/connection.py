"""Asks a running program of ours, from another process: commands ask the daemon, and the daemon asks receivers.

Owns: how it is spoken to, and what its refusal means to a person. Must not: know what is asked.

Another program may answer in place of our daemon, for example because of a mistyped address. So size and time of an
answer are limited, and characters that control a terminal are taken out here, for every command. The standard library's
client is enough for one request to a server of our own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import msgspec

from reconciler.core.errors import DaemonError, NoDaemon, SomebodyElse, quoted
from reconciler.core.unanswered import unanswered
from reconciler.pcc import proxies
from reconciler.pcc.proxies import Unusable

TIMEOUT_SECONDS = 15.0
PLAN_SECONDS = 300.0
"""A plan of a million proposed devices takes its time, and another one may be before it."""
LARGEST_ANSWER, LARGEST_PLAN = 64 * 1024 * 1024, 512 * 1024 * 1024
"""Bytes of an answer. Ten thousand accounts take 12 MB, a plan of a million devices 300 MB."""
LARGEST_REFUSAL = 1024 * 1024
PIECE = 64 * 1024
LONGEST_WORDS = 16 * 1024
"""Characters of one string of an answer. Only a plan as it is shown is longer."""
LINES = {"shown": 64 * 1024 * 1024, "approval": 1024 * 1024}
"""The keys of strings that have several lines, and how long those may be."""
DEEPEST = 64
"""Levels of an answer; the daemon's have fewer than twenty. All that reads it later is safe below that."""
REFUSALS = 1000
"""The number of faults of a refusal that are shown."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NO_ANSWER = (
    URLError,
    OSError,
    HTTPException,
    ValueError,
    RecursionError,
    msgspec.MsgspecError,
)
"""The errors of a connection without a usable answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which of our programs is asked, and which settings a person has to look at if it cannot be."""

    name: str
    address_setting: str
    token_setting: str


DAEMON = Kind("daemon", "--server", "PCC_LISTEN_TOKEN")
RECEIVER = Kind("receiver", "PCC_EVENTS_FROM", "PCC_EVENTS_TOKEN")


def ask(
    server: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    token: str | None = None,
    seconds: float = TIMEOUT_SECONDS,
    environ: Mapping[str, str] = os.environ,
    largest: int = LARGEST_ANSWER,
    readable: bool = False,
    kind: Kind = DAEMON,
) -> dict[str, Any]:
    """Send one request, a POST where there is a body, and return the JSON of the answer, fit to print.

    ``environ`` names the proxies. Loopback is asked without one. ``seconds`` is for the whole answer, ``largest`` its
    bytes. ``readable``: the token may cross the network without TLS, as inside a cluster. ``kind`` is what should be
    there, a daemon or a receiver, and only changes the words of errors. Raises ``DaemonError`` with its own words,
    ``NoDaemon`` where none of ours answers, and ``SomebodyElse`` where that will stay so: a login page, a redirect.
    """
    request, through = _request(server, path, body, token, environ, readable=readable, kind=kind)
    end = time.monotonic() + seconds
    try:
        with build_opener(NoRedirect(), ProxyHandler(through)).open(
            request, timeout=seconds
        ) as answer:
            words, format_ = _read(answer, largest, end), answer.headers.get_content_type()
            if "content-type" in answer.headers and not format_.endswith("json"):
                raise SomebodyElse(
                    f"what answers at {server} is a page ({quoted(format_)}), not the {kind.name}: {_door(kind)}"
                )
            document = msgspec.json.decode(words)
    except HTTPError as error:
        raise _refusal(server, error, end, kind) from error
    except _NO_ANSWER as error:
        raise NoDaemon(
            f"no {kind.name} answers at {server} ({unanswered(error)}); "
            f"is it running? see {kind.address_setting}"
        ) from error
    if not isinstance(document, dict):
        raise SomebodyElse(f"what answers at {server} is not this {kind.name}")
    return _fit_to_print(server, document, kind)


def _request(
    server: str,
    path: str,
    body: dict[str, Any] | None,
    token: str | None,
    environ: Mapping[str, str],
    *,
    readable: bool,
    kind: Kind,
) -> tuple[Request, dict[str, str]]:
    """Return the request and the proxies it goes through; raises where the address cannot be used."""
    url, setting = f"{server.rstrip('/')}{path}", kind.address_setting
    if "@" in server:
        raise DaemonError(
            f"{setting}: an address with a user name or a password is not taken; see {kind.token_setting}"
        )
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError as error:
        raise DaemonError(f"{setting}: {server} is not an address: {error}") from error
    if scheme not in {"http", "https"}:
        raise DaemonError(f"{setting}: {server} is not an http address")
    headers = {"content-type": "application/json", "accept": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = Request(url, data, headers)  # noqa: S310 - the scheme is checked above
    through = {} if host in LOOPBACK else proxy_for(url, scheme, environ)
    if host not in LOOPBACK and token is not None and scheme != "https" and not readable:
        raise DaemonError(
            f"{setting}: {server} is not https, and the token would cross the network readable"
        )
    return request, through


def _read(answer: HTTPResponse | HTTPError, largest: int, end: float) -> bytes:
    """Return the body of an answer; raises where it is too long or takes too long."""
    body = bytearray()
    while piece := answer.read1(PIECE):
        body += piece
        if len(body) > largest:
            raise ValueError(f"its answer is longer than {largest} bytes")
        if time.monotonic() > end:
            raise TimeoutError("its answer took too long")
    if getattr(answer, "length", None):
        raise ValueError("its answer broke off")
    return bytes(body)


def _fit_to_print(server: str, answer: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Return an answer without characters that control a terminal. Our programs never nest this deeply."""
    try:
        return {key: _printable(value, key) for key, value in answer.items()}
    except _TooDeepError as error:
        raise SomebodyElse(
            f"what answers at {server} is not this {kind.name}: its answer is nested too deeply"
        ) from error


class _TooDeepError(Exception):
    """An answer is nested more deeply than any of ours."""


def _printable(value: Any, key: str = "", deeper: int = DEEPEST) -> Any:
    """Return an answer with no character that steers a terminal; what is too long ends in an ellipsis."""
    if deeper < 0:
        raise _TooDeepError
    match value:
        case str():
            return _words(value, key)
        case dict():
            return {
                _words(str(name), ""): _printable(one, name, deeper - 1)
                for name, one in value.items()
            }
        case list():
            return [_printable(one, key, deeper - 1) for one in value]
        case _:
            return value


def _words(text: str, key: str) -> str:
    longest, kept = LINES.get(key, LONGEST_WORDS), "\n" if key in LINES else ""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    if short.isprintable():
        return short
    return "".join(one if one.isprintable() or one == kept else " " for one in short)


def _host(address: str) -> str:
    """Return only the host of an address from outside, or an empty string."""
    try:
        return quoted(urlsplit(address).hostname or "")
    except ValueError:
        return ""


def _door(kind: Kind) -> str:
    """Return what to do where something else answers: a login page, a proxy, another program."""
    return (
        f"give the address of the {kind.name} itself in {kind.address_setting}, "
        f"or let this call pass what is in front of it"
    )


NOT_FOUND = 404
_MOVED, _LOCKED, _ABSENT = range(300, 400), frozenset({401, 403, 407}), frozenset({404, 405, 410})


def _refusal(server: str, error: HTTPError, end: float, kind: Kind) -> DaemonError:
    """Return the error for a status other than 200: the program refused, something else answered, or nobody yet."""
    why = _why(error, end)
    if why and error.code == NOT_FOUND:  # an ordinary answer: what was asked for is not known
        return DaemonError(f"{why} (asked: the {kind.name} at {server})")
    if why:
        return DaemonError(f"the {kind.name} at {server} refused: {why}")
    if error.code in _MOVED:
        to = _host(error.headers.get("location", ""))
        where = f" to {to}" if to else ""
        return SomebodyElse(
            f"what answers at {server} is a redirect{where}, not the {kind.name}: {_door(kind)}"
        )
    if error.code in _LOCKED:
        return SomebodyElse(
            f"what answers at {server} asks for a login ({error.code}), and is not the {kind.name}: {_door(kind)}"
        )
    if error.code in _ABSENT:
        return SomebodyElse(
            f"what answers at {server} has no such page ({error.code}), and is not the {kind.name}: {_door(kind)}"
        )
    return NoDaemon(
        f"the {kind.name} at {server} does not answer: a program in front of it says "
        f"{error.code} {quoted(str(error.reason))}".rstrip()
    )


def proxy_for(url: str, scheme: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy for an address by its scheme, as the standard library wants it, or nothing."""
    found = proxies.read(environ).of(url)
    if isinstance(found, Unusable):
        raise DaemonError(str(found))
    return {} if found is None else {scheme: found.full_address}


class NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: the token is for this server only."""

    def http_error_302(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> None:
        """Return None, which makes every redirect an error."""
        del req, fp, code, msg, headers

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _why(error: HTTPError, end: float) -> str:
    """Return the program's words, or an empty string if the answer is not from one of ours."""
    with error:
        try:
            refusal = msgspec.json.decode(_read(error, LARGEST_REFUSAL, end), type=_Refusal)
        except (OSError, HTTPException, ValueError, RecursionError, msgspec.MsgspecError):
            return ""
    more = len(refusal.faults) - REFUSALS
    faults = [*refusal.faults[:REFUSALS], *([f"and {more} more"] if more > 0 else [])]
    return "\n".join(map(quoted, (refusal.error, *faults)))


class _Refusal(msgspec.Struct):
    """A refusal of one of our programs."""

    error: str
    faults: list[str] = []
