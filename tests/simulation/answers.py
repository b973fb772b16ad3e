"""Answers that are not LG's own any more: kept in between, cut into pages, moved, or without an end.

Owns: what a cache, a proxy or another version of the API makes of the answer to ``GET /pcc``, and bodies without an
end. Must not: judge an answer; the checker reads what comes, by its own rules.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

import httpx

from reconciler.simulator import Answer

OLD = ("aged", "replayed")
"""An earlier list comes again: in today's envelope with its age, or with nothing that tells but the message id."""
CHANGED = (
    "young",
    "another id",
    "a range",
    "a part",
    "elsewhere",
    "beside",
    "a next page",
    "a larger total",
)
"""What becomes of today's list."""
FLOODS = ("no end", "a bomb")
HOW = (*OLD, *CHANGED, *FLOODS)
MEGABYTE = 1024 * 1024
A_CHUNK_SECONDS = 0.004


class Asked(Protocol):
    """The part of a call that matters here."""

    @property
    def account(self) -> str:
        """Return whose call it is."""


@dataclass(slots=True)
class Odd:
    """What befalls the lists of an account, or of all, and how often."""

    how: str
    account: str | None
    share: float


@dataclass(slots=True)
class Between:
    """What stands between the daemon and LG. It keeps the last good list of each account."""

    random: Random
    odd: list[Odd] = field(default_factory=list)
    kept: dict[str, Answer] = field(default_factory=dict)

    def pass_on(self, call: Asked, answer: Answer) -> tuple[Answer, str]:
        """Return what becomes of the answer to a list, and which flood comes in its place, if one does."""
        chosen = self._chosen(call.account)
        before = self.kept.get(call.account)
        if chosen in OLD:
            return (answer if before is None else _old(before, answer, chosen, self.random)), ""
        if answer.status != 200 or not _members(answer.body):
            return answer, ""
        self.kept[call.account] = answer
        if chosen in FLOODS:
            return replace(answer, body=b"and so on"), chosen
        return _changed(answer, chosen, self.random), ""

    def _chosen(self, account: str) -> str:
        for one in self.odd:
            if one.account in {None, account} and self.random.random() < one.share:
                return one.how
        return ""


def _old(before: Answer, answer: Answer, how: str, random: Random) -> Answer:
    """Return an earlier list: as it was, or in today's envelope with its age."""
    if how == "replayed":
        return before
    said = _members(before.body) | {"messageId": _members(answer.body).get("messageId", "")}
    age = ("age", str(random.choice((61, 120, 86_400))))
    return replace(before, headers=(*before.headers, age), body=_body(said))


def _changed(answer: Answer, how: str, random: Random) -> Answer:
    said = _members(answer.body)
    items = said.get("response") or []
    half = items[: len(items) // 2] if isinstance(items, list) else []
    match how:
        case "young":
            return replace(answer, headers=(*answer.headers, ("age", str(random.randint(0, 60)))))
        case "another id":
            said["messageId"] = f"{random.getrandbits(128):022x}"[:22]
        case "a range":
            said["response"] = half
            headers = (*answer.headers, ("content-range", f"items 0-{len(half)}/{len(items)}"))
            return replace(
                answer, status=random.choice((200, 206)), headers=headers, body=_body(said)
            )
        case "a part":
            said["response"] = half
            return replace(answer, status=random.choice((203, 206)), body=_body(said))
        case "elsewhere":
            said.pop("response", None)
            said[random.choice(("devices", "deviceList", "result"))] = items
        case "beside":
            said["response"] = random.choice(([], None, {}))
            said[random.choice(("devices", "deviceList"))] = items
        case "a next page":
            sign = random.choice(({"nextPageToken": "p2"}, {"hasMore": True}, {"next": "/pcc?p=2"}))
            said |= {"response": half, **sign}
        case "a larger total":
            said |= {
                "response": half,
                random.choice(("total", "totalCount")): len(half) + random.randint(1, 9),
            }
        case _:
            return answer
    return replace(answer, body=_body(said))


def _members(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and "error" not in said else {}


def _body(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode()


class Flood(httpx.AsyncByteStream):
    """A body without an end. ``taken`` hears after each piece how many bytes, unpacked, went so far."""

    def __init__(self, how: str, taken: Callable[[int], bool]) -> None:
        self._how = how
        self._taken = taken
        self.headers = [("content-type", "application/json")]
        if how == "a bomb":
            self.headers.append(("content-encoding", "gzip"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first, chunk, unpacked = (
            _bomb() if self._how == "a bomb" else (b'{"messageId":"', b"a" * MEGABYTE, MEGABYTE)
        )
        yield first
        gone = 0
        while True:
            yield chunk
            gone += unpacked
            if not self._taken(gone):
                raise httpx.ReadError("the flood is over")
            await asyncio.sleep(A_CHUNK_SECONDS)


def _bomb() -> tuple[bytes, bytes, int]:
    """Return the beginning of a compressed stream, a piece that may follow again and again, and how much that holds."""
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packing.compress(b'{"messageId":"') + packing.flush(zlib.Z_FULL_FLUSH)
    piece = packing.compress(b"a" * MEGABYTE) + packing.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", piece * 32, 32 * MEGABYTE
