"""Hypothesis strategies for bytes that others wrote: good ones, the same ones damaged, and bytes of no kind at all.

Damage is done to whole answers and texts, not to single values, because that is how it comes: cut off in the middle,
written twice, spliced from two, re-encoded, or made by somebody who wants to know what happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from strategies import account_names, device_ids

ODDITIES = (
    *(
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc3",
        b"\r\n",
        b"\r",
        b"\n",
        b"\n\n",
        b"\t",
        b"\x0c",
        b"\x7f",
    ),
    *(
        b'"',
        b"'",
        b'"""',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"\\x41",
        b"#",
        b"=",
        b",",
        b".",
        b":",
        b"-",
        b"%",
        b"/",
    ),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b"[[",
        b"]]",
        b"[]",
        b"{}",
        b"null",
        b"true",
        b"nan",
        b"inf",
        b"NaN",
        b"-0",
        b"1e400",
    ),
    *(
        b"[" * 5000,
        b"[" * 100 + b"]" * 100,
        b'{"a":' * 5000,
        b"a." * 300,
        b"9" * 25,
        b"9" * 400,
        b"1" * 5000,
    ),
    *(
        "\N{ARABIC-INDIC DIGIT FOUR}".encode(),
        "\N{SUPERSCRIPT TWO}".encode(),
        "\N{LINE SEPARATOR}".encode(),
    ),
    *(
        "\N{RIGHT-TO-LEFT OVERRIDE}".encode(),
        "\N{NO-BREAK SPACE}".encode(),
        b"\x1b[31m",
        b"\x1c",
        b"\xc2\x85",
    ),
)
"""What is put in where nobody expects it: marks that mean something, what is no text, too deep, too long."""


@st.composite
def damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes], *, least: int = 1) -> bytes:
    """Draw good bytes to which a few things have happened."""
    content = draw(good)
    for _ in range(draw(st.integers(least, 3))):
        content = _hurt(draw, content)
    return content


def _hurt(draw: st.DrawFn, content: bytes) -> bytes:
    """Return the bytes after one accident."""
    at, to = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
    before, between, after = content[:at], content[at:to], content[to:]
    match draw(
        st.sampled_from(
            ("cut", "lost", "twice", "moved", "flipped", "odd", "odd", "windows", "lines", "line")
        )
    ):
        case "cut":
            hurt = before
        case "lost":
            hurt = before + after
        case "twice":
            hurt = before + between + between + after
        case "moved":
            place = draw(st.integers(0, len(before + after)))
            hurt = (before + after)[:place] + between + (before + after)[place:]
        case "flipped":
            flipped = bytes(byte ^ draw(st.integers(1, 255)) for byte in content[at : at + 1])
            hurt = before + flipped + content[at + 1 :]
        case "odd":
            hurt = (
                before
                + draw(st.sampled_from(ODDITIES))
                + draw(st.sampled_from((between, b"")))
                + after
            )
        case "windows":
            hurt = content.replace(b"\n", b"\r\n")
        case what:
            hurt = b"\n".join(_hurt_lines(draw, content.split(b"\n"), what))
    return hurt


def _hurt_lines(draw: st.DrawFn, lines: list[bytes], what: str) -> list[bytes]:
    """Return lines in another order, or with one of them lost or twice."""
    if what == "lines":
        return list(draw(st.permutations(lines))) if len(lines) < 40 else lines[::-1]
    place = draw(st.integers(0, len(lines) - 1))
    return (
        lines[:place]
        + lines[place : place + 1] * draw(st.sampled_from((0, 2)))
        + lines[place + 1 :]
    )


# ---------------------------------------------------------------------------------------------------------------------
# Texts and device files

CANARY = "zqcanary"
"""In every line of a device file, and nowhere else: where a fault shows it, a file's content was shown."""

_SAID = st.sampled_from(
    [
        'environment = "production"',
        'timezone = "Asia/Seoul"',
        'policy.prune = "owned"',
        'policy = { pause = "all", ignore = ["other"], max_unsubscribe = "1.5%" }',
        'retired_accounts = ["gone"]',
    ]
)
_PATTERNS = st.lists(
    st.sampled_from(["lists/a.txt", "lists/*.txt", "lists/b.txt", "**/c.txt"]),
    min_size=1,
    max_size=2,
)


def _quoted(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


@st.composite
def _entries(draw: st.DrawFn) -> str:
    """Draw an array of devices, each an id or a table."""
    ids = draw(st.lists(device_ids, max_size=4, unique=True))
    more = st.sampled_from(
        ["", ', name = "Room 7"', ', type = "oven"', ", from = 2026-12-01", ", until = 2027-03-01"]
    )
    forms: list[str | None] = [draw(st.none() | more) for _ in ids]
    entries = [
        _quoted(one) if form is None else f"{{ id = {_quoted(one)}{form} }}"
        for one, form in zip(ids, forms, strict=True)
    ]
    return f"[{draw(st.sampled_from([' ', chr(10)]))}{', '.join(entries)}]"


@st.composite
def texts(draw: st.DrawFn, names: st.SearchStrategy[str] = account_names) -> bytes:
    """Draw a text in the short or the long form, with any of what a text may say."""
    lines = ["version = 1", *draw(st.lists(_SAID, max_size=2, unique=True))]
    accounts = draw(st.lists(names, max_size=2, unique=True))
    for heading in [*(f"[accounts.{name}]" for name in accounts), *([] if accounts else [""])]:
        which = draw(st.sampled_from(["devices", "device_files", "both"]))
        lines.append(heading)
        lines += [f"devices = {draw(_entries())}"] if which != "device_files" else []
        lines += [f"device_files = {json.dumps(draw(_PATTERNS))}"] if which != "devices" else []
    approved: bool = draw(st.booleans())
    if accounts and approved:
        lines += [
            "[[approvals]]",
            f'account = "{accounts[0]}"',
            f"devices = {json.dumps(draw(id_lists))}",
        ]
        lines += ["expires = 2099-01-01T00:00:00Z", 'reason = "the wing is being rebuilt"']
    return "\n".join([*lines, ""]).encode()


id_lists = st.lists(device_ids, max_size=4, unique=True)

canaries = st.lists(st.integers(0, 99), max_size=5, unique=True).map(
    lambda numbers: "".join(f"{CANARY}{number}\n" for number in numbers).encode()
)
"""Device files that hold nothing but canaries."""

_bad_canaries = st.lists(
    st.sampled_from(["7", " 7", "/7", "\t7", "\\", "?", "x" * 256]), min_size=1, max_size=3
).map(lambda ends: "".join(f"{CANARY}{end}\n" for end in ends).encode())

list_lines = st.one_of(
    device_ids,
    st.builds(
        "{}{}# {}".format, device_ids, st.sampled_from(["", "  ", "\t"]), st.text(max_size=5)
    ),
    st.sampled_from(
        ["", "# a remark", "  indented", "..", "a b", "a/b", "x" * 257, "twice", "twice", "ü-한"]
    ),
)
device_files = st.lists(list_lines, max_size=6).map(
    lambda lines: "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")
)
"""Device files with names, remarks, and now and then a line that is no id."""


@st.composite
def folders(draw: st.DrawFn) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Draw documents and device files of which any may be damaged, or be no text at all."""
    document = st.one_of(texts(), damaged(texts()), st.binary(max_size=60))
    listed = st.one_of(
        canaries, _bad_canaries, damaged(canaries), st.just(b"\xff" + CANARY.encode())
    )
    documents = draw(
        st.dictionaries(
            st.sampled_from(["a.toml", "b.toml", "c.toml"]), document, min_size=1, max_size=2
        )
    )
    names = ["lists/a.txt", "lists/b.txt", "c.txt"]
    return documents, draw(st.dictionaries(st.sampled_from(names), listed, max_size=2))


# ---------------------------------------------------------------------------------------------------------------------
# Answers of LG and of EMP

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from(
            [
                "",
                "0000",
                "1205",
                "1306",
                1314,
                9999,
                -1,
                "9" * 300,
                10**30,
                "\ud800",
                "a\0b",
                [],
                {},
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["code", "message", "error", "deviceId", "response", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=5,
)
"""Anything JSON may hold."""

_items = st.one_of(
    st.fixed_dictionaries({"deviceId": device_ids}),
    st.fixed_dictionaries({"deviceId": device_ids}, optional={"x": values, "deviceInfo": values}),
)
_no_ids: st.SearchStrategy[object] = st.sampled_from(
    ["", ".", "..", "a b", "a/b", "a\n", "50%", "x" * 257, "\u200b", "\ud800", 7, None, ["a"], {}]
)
_odd_items = st.one_of(
    st.fixed_dictionaries({"deviceId": _no_ids}),
    st.fixed_dictionaries({}, optional={"deviceId": values, "deviceInfo": values}),
    st.sampled_from([None, "a", 7, [], {"DeviceId": "a"}, {"deviceid": "a"}]),
)
_success = {"messageId": "lg-1", "timestamp": "2026-05-04T16:55:47.326484"}

listings = st.lists(_items, max_size=5).map(lambda items: {**_success, "response": items})
"""Good answers to ``GET /pcc`` and ``GET /devices``."""

envelopes: st.SearchStrategy[Mapping[str, Any]] = st.one_of(
    listings,
    st.lists(_items | _odd_items, max_size=4).map(lambda items: {**_success, "response": items}),
    st.tuples(st.lists(_items, max_size=2), _odd_items, st.lists(_items, max_size=2)).map(
        lambda parts: {**_success, "response": [*parts[0], parts[1], *parts[2]]}
    ),
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("messageId", "timestamp", "response", "error", "responseCode", "resultCode"), values
        ),
    ),
)
_lives = st.sampled_from(["3600", 3600, "1e9", "nan", "-1", "1_0", "9" * 400, "1e400"])
_more_granted = {
    "expires_in": _lives | values,
    "refresh_token": st.text(max_size=20),
    "error": values,
}
grants = st.one_of(
    st.fixed_dictionaries(
        {"access_token": st.sampled_from(["emp-token-1", "T" * 2000])}, optional=_more_granted
    ),
    st.fixed_dictionaries({"access_token": st.text(max_size=30) | values}, optional=_more_granted),
    st.fixed_dictionaries(
        {}, optional={"httpError": values, "error": values, "access_token": values}
    ),
)


def in_json(content: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Draw values written as JSON, with characters as they are or escaped."""
    as_is = content.map(
        lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    )
    return st.one_of(content.map(json.dumps).map(str.encode), as_is)


def answers(content: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Draw JSON as it should be, damaged, and bytes that are none."""
    return st.one_of(in_json(content), damaged(in_json(content)), st.binary(max_size=40))
