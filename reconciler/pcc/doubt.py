"""Why an answer that reads like a list is not believed, or one that looks well is not read.

Owns: every sign that an answer is old, cut, another request's, or a part of something longer; what is wrong with bytes
that are no envelope. Pure.
Must not: read the items of a list, know LG's codes, or decide what happens next.

A wrong list unsubscribes devices, and a late one only makes us late. So a sign is enough, however it is spelled: names
are compared without case, ``-`` and ``_``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from reconciler.core.errors import quoted

OLDEST_SECONDS = 60.0
"""An answer that was in a cache for longer is not about now."""

KNOWN = frozenset({"messageId", "timestamp"})
"""The members of an envelope that are always there, and say nothing about a list."""

LIST = "response"
"""The one member that holds a list."""

LOOKED_INTO = 64 * 1024
"""Bytes up to which a member beside the list is read; a longer one holds a list of its own, or something like it."""
DEEPEST = 4
"""Levels down to which a member beside the list is looked through."""

_TOTALS = frozenset(
    {
        *(
            "total",
            "totalcount",
            "totalelements",
            "totalitems",
            "totalresults",
            "totalsize",
            "totaldevices",
        ),
        *(
            "totalrecords",
            "totalrows",
            "totalnumber",
            "count",
            "devicecount",
            "itemcount",
            "recordcount",
            "resultcount",
        ),
        *("numberofelements", "size", "length", "listcount"),
    }
)
_PAGES = frozenset({"totalpages", "totalpage", "pagecount", "pages", "lastpage", "numberofpages"})
_MORE = frozenset(
    {
        *(
            "more",
            "hasmore",
            "hasnext",
            "hasnextpage",
            "morepages",
            "moreavailable",
            "moreresults",
            "moredata",
        ),
        *(
            "truncated",
            "istruncated",
            "partial",
            "ispartial",
            "incomplete",
            "isincomplete",
            "incompleteresults",
        ),
        *(
            "cursor",
            "endcursor",
            "continuationtoken",
            "continuation",
            "continue",
            "pagetoken",
            "scrollid",
            "marker",
        ),
        *(
            "lastevaluatedkey",
            "offset",
            "skip",
            "startindex",
            "remainingitems",
            "remainingitemcount",
        ),
    }
)
_WHOLE = frozenset(
    {"last", "islast", "islastpage", "complete", "iscomplete", "final", "isfinal", "end", "isend"}
)
_LIMITS = frozenset({"limit", "pagesize", "perpage", "maxresults", "maxitems"})
_NO = frozenset({"", "0", "false", "no", "n", "null", "none", "-1"})
"""Texts that mean "nothing follows" where something could."""

_HEADER_TOTALS = frozenset(
    {"total", "totalcount", "count", "totalelements", "totalitems", "totalresults"}
)
_HEADERS_IN_JSON = frozenset({"pagination", "paging"})
_NEXT_LINK = re.compile(r";\s*rel\s*=\s*\"?[^\";,]{0,64}\bnext\b", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,15}")


_MARKS = (
    (b"\xef\xbb\xbf", "a byte order mark (BOM)"),
    (b"\xff\xfe", "a byte order mark of UTF-16"),
    (b"\xfe\xff", "a byte order mark of UTF-16"),
    (b"\x1f\x8b", "packed bytes (gzip) that no header announces"),
    (b"{\x00", "text in UTF-16 or UTF-32"),
    (b"\x00", "a NUL byte"),
    (b"<", "`<`: it is a page or XML, not JSON"),
)
"""What a body may begin with, most of which cannot be seen where it is quoted."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as it came: all that is known of it but its items. ``members`` are those beside and with the list.

    ``count`` is how many items it has. ``headers`` have names in lower case. ``sent`` holds the message ids of earlier
    requests of ours.
    """

    status: int
    headers: Mapping[str, str]
    members: Mapping[str, msgspec.Raw]
    count: int
    message_id: str
    answered_id: object
    sent: Container[str]


def names_twice(body: bytes) -> bool:
    """Say whether an envelope has two members called ``response``: which of them is the list, nobody knows."""
    if body.count(b'"response"') < 2:  # noqa: PLR2004 - two of them
        return False
    doubled = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        doubled = doubled or sum(name == LIST for name, _ in pairs) > 1
        return dict(pairs)

    try:
        json.loads(body, object_pairs_hook=members)
    except (ValueError, RecursionError):
        return True
    return doubled


def why(listed: Listed) -> str:
    """Return why a list is not believed, or None where there is no reason to doubt it."""
    return (
        (listed.status != 200 and "only a list with status 200 is believed")  # noqa: PLR2004 - what HTTP calls OK
        or ("content-range" in listed.headers and "its header Content-Range says that it is a part")
        or _age(listed.headers.get("age", ""))
        or _answers_another(listed)
        or _elsewhere(listed.members)
        or _part_by_members(listed)
        or _part_by_headers(listed.headers, listed.count)
        or ""
    )


ENVELOPE = "LG's envelope with a `messageId`"


def unread(body: bytes, wanted: str = ENVELOPE) -> str:
    """Return why a body is not a valid answer, for a reader who finds no fault in its quote."""
    start = body[:LOOKED_INTO].lstrip()
    mark = next((name for mark, name in _MARKS if start.startswith(mark)), "")
    if mark:
        return f"it begins with {mark}"
    end = body.rstrip(b" \r\n\t")
    if end.endswith(b"\x00"):
        return "it ends with a NUL byte"
    return _malformed(end, wanted) if end else "it is empty"


def _malformed(body: bytes, wanted: str) -> str:
    try:
        body.decode()
        msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 at byte {error.start}"
    except (msgspec.MsgspecError, RecursionError) as error:
        return f"it is not valid JSON: {quoted(str(error))}"
    return f"it is JSON, but not {wanted}"


def _age(header: str) -> str:
    """Return why the time in a cache is too long. Of several times the longest counts."""
    ages = [float(found) for found in re.findall(r"[0-9]+(?:\.[0-9]+)?", header[:256])]
    if max(ages, default=0.0) <= OLDEST_SECONDS:
        return ""
    return f"it comes from a cache: its header Age is {quoted(header)} seconds"


def _answers_another(listed: Listed) -> str:
    answered = listed.answered_id
    if (
        not isinstance(answered, str)
        or answered == listed.message_id
        or answered not in listed.sent
    ):
        return ""
    return "it is the answer to an earlier request of ours: a cache or a proxy mixes them up"


def _elsewhere(members: Mapping[str, msgspec.Raw]) -> str:
    """Return why a list may be somewhere else. Where ``response`` is missing, nothing but the frame may be there."""
    others = sorted(members.keys() - KNOWN - {LIST})
    if LIST not in members and others:
        return f"there is no `response`, and {_named(others)} beside"
    lists = [name for name in others if _holds_list(members[name])]
    return f"there is a list under {_named(lists)}, and not only under `response`" if lists else ""


def _holds_list(raw: msgspec.Raw) -> bool:
    if len(memoryview(raw)) > LOOKED_INTO:
        return bytes(memoryview(raw)[:1]) in {b"[", b"{"}
    return _has_items(_decoded(raw), DEEPEST)


def _has_items(value: Any, deeper: int) -> bool:
    if isinstance(value, list):
        return bool(value)
    return (
        isinstance(value, dict)
        and deeper > 0
        and any(_has_items(one, deeper - 1) for one in value.values())
    )


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(memoryview(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _part_by_members(listed: Listed) -> str:
    """Return why the members beside a list say that it is not all."""
    others = listed.members.keys() - KNOWN - {LIST}
    beside = {name: _decoded(listed.members[name]) for name in sorted(others)}
    return _part(beside, listed.count, DEEPEST)


def _part(members: Mapping[str, Any], count: int, deeper: int) -> str:
    for name, value in members.items():
        if isinstance(value, dict):
            doubt = _part(value, count, deeper - 1) if deeper > 0 else ""
            if not doubt and (_next(name, value) or _goes_on(name, value)):
                doubt = f"`{quoted(name)}` says that there are further pages"
        else:
            doubt = _sign(name, value, count)
        if doubt:
            return doubt
    return ""


def _next(name: str, value: object) -> bool:
    """Say whether a member whose name begins with "next" leads to another page."""
    return _plain(name).startswith("next") and _is_there(value)


def _goes_on(name: str, value: Mapping[str, Any]) -> bool:
    """Say whether an object says where the rest begins, as the last key that a database looked at."""
    return _plain(name) in _MORE and any(map(_is_there, value.values()))


def _sign(name: str, value: object, count: int) -> str:
    """Return what one member says against a list of ``count`` items being all."""
    plain, number = _plain(name), _number(value)
    if plain in _TOTALS and number is not None and number != count:
        return f"`{quoted(name)}` is {number:g}, and the list has {count}"
    further = (
        (plain in _PAGES and number is not None and number > 1)
        or (plain in _MORE and _is_there(value))
        or (plain in _WHOLE and value is not None and not _is_there(value))
        or (plain in _LIMITS and number is not None and 0 < number <= count)
        or _next(name, value)
    )
    return f"`{quoted(name)}` says that there are further pages" if further else ""


def _part_by_headers(headers: Mapping[str, str], count: int) -> str:
    """Return why the headers say that a list is not all."""
    for name, value in headers.items():
        plain = _plain(name).removeprefix("x")
        if plain == "link" and _NEXT_LINK.search(value[:LOOKED_INTO]):
            return "its header Link names a next page"
        if not name.startswith("x-") and plain not in _HEADERS_IN_JSON:
            continue
        if plain in _HEADERS_IN_JSON:
            members = _decoded(msgspec.Raw(value[:LOOKED_INTO].encode()))
            doubt = _part(members, count, DEEPEST) if isinstance(members, dict) else ""
        elif (
            plain in _HEADER_TOTALS
            or plain in _PAGES
            or plain in {"hasmore", "hasnext"}
            or plain.startswith("next")
        ):
            doubt = _sign(name, value, count) or _sign(plain, value, count)
        else:
            doubt = ""
        if doubt:
            return f"by its headers, {doubt}"
    return ""


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name[:64]).lower()


def _number(value: object) -> float | None:
    """Return a number, also one that is written as text; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    is_number = (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    )
    return float(value) if is_number and isinstance(value, int | float) else None


def _is_there(value: object) -> bool:
    """Say whether a value means yes, or names something."""
    if isinstance(value, str):
        return value.strip().lower() not in _NO
    number = _number(value)
    return number > 0 if number is not None else bool(value)


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{quoted(name[:64])}`" for name in names[:3])
