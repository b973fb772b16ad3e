"""Hypothesis strategies for the nouns of the model and for TOML texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from reconciler.core.model import (
    AccountName,
    Approval,
    Desired,
    Device,
    DeviceId,
    DeviceType,
    Pause,
    Policy,
    Prune,
    Share,
    Unlimited,
)
from reconciler.desired.ids import wrong_id

_ID_CHARACTERS = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/?#%\\")

device_ids: st.SearchStrategy[DeviceId] = st.one_of(
    st.text("0123456789abcdef", min_size=1, max_size=8),
    st.text(_ID_CHARACTERS, min_size=1, max_size=12).filter(lambda text: wrong_id(text) is None),
    st.sampled_from(["ü-한", "HW1-0001", "…", "a" * 256]),
).map(DeviceId)

account_names: st.SearchStrategy[AccountName] = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True
).map(AccountName)

moments = st.integers(946_684_800, 4_102_444_800).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)

names = (
    st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)
    .map(str.strip)
    .filter(bool)
)


@st.composite
def devices(draw: st.DrawFn, ids: st.SearchStrategy[DeviceId] = device_ids) -> Device:
    """Draw a desired device, with or without a description."""
    from_ = draw(st.none() | moments)
    until = draw(st.none() | moments.filter(lambda moment: from_ is None or moment > from_))
    return Device(
        draw(ids),
        draw(st.none() | names),
        draw(st.none() | st.sampled_from(DeviceType)),
        from_,
        until,
        draw(st.none() | st.booleans()),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy of which each key may differ from its default."""
    thousandths = st.integers(0, 100_000).map(lambda number: Share(Fraction(number, 100_000)))
    return Policy(
        prune=draw(st.sampled_from(Prune)),
        ignore=draw(st.frozensets(device_ids, max_size=3)),
        max_unsubscribe=draw(thousandths | st.integers(0, 1_000_000)),
        max_unsubscribe_floor=draw(st.integers(0, 1000)),
        unsubscribe_after=timedelta(seconds=draw(st.integers(0, 10_000_000))),
        allow_empty=draw(st.booleans()),
        pause=draw(st.sampled_from(Pause)),
        calls_per_hour=draw(st.sampled_from(Unlimited) | st.integers(2, 100_000)),
    )


@st.composite
def desireds(draw: st.DrawFn, account: AccountName, country: str | None = None) -> Desired:
    """Draw one account's part of a text, such that a text can say it."""
    entries = {device.id: device for device in draw(st.lists(devices(), max_size=6))}
    free = device_ids.filter(
        lambda device: device not in entries or entries[device].until is not None
    )
    approvals = st.builds(Approval, st.frozensets(free, max_size=3), moments, names)
    return Desired(
        account=account,
        devices=frozenset(entries),
        described=MappingProxyType(
            {i: device for i, device in entries.items() if device != Device(i)}
        ),
        policy=draw(policies()),
        approvals=tuple(draw(st.lists(approvals, max_size=2))),
        country=country,
    )


@st.composite
def fleets(draw: st.DrawFn) -> list[Desired]:
    """Draw accounts with different names."""
    wanted = draw(
        st.lists(
            st.just(AccountName("default")) | account_names, min_size=1, max_size=3, unique=True
        )
    )
    countries = st.none() | st.sampled_from(["KR", "US", "DE"])
    return [draw(desireds(account, draw(countries))) for account in wanted]


_SPACE = st.sampled_from(["", " ", "\t", "  "])
_GAP = st.sampled_from(["", " ", "\n", "\n  # a ] comment } = \"'\n  ", "\r\n"])
_COMMENT = st.sampled_from(["", "", " # comment [x] = 1", " # ünï"])
_KEYS = st.text("abcXYZ09_-", min_size=1, max_size=4) | st.sampled_from(
    ["a b", "ü", "a.b", 'qu"ote', "#"]
)
_INLINE_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F), max_size=8)


@st.composite
def _scalars(draw: st.DrawFn) -> str:
    plain = draw(_INLINE_TEXT.filter(lambda text: text.isprintable() and "'" not in text))
    return draw(
        st.sampled_from(
            [
                f"'{plain}'",
                json.dumps(plain, ensure_ascii=False),
                f"'''\n{plain}\n'' '''",
                f'"""{plain.replace(chr(92), "").replace(chr(34), "")} \\" ""\n x"""',
                "1_000",
                "-3.5e2",
                "true",
                "2026-12-01",
                "2026-12-01 09:00:00+09:00",
                "0x1F",
                "10:30:00",
            ]
        )
    )


def _written(key: str, *, quote: bool) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare and not quote else json.dumps(key, ensure_ascii=False)


@st.composite
def _values(
    draw: st.DrawFn, path: tuple[str | int, ...], depth: int
) -> tuple[str, dict[tuple[str | int, ...], str]]:
    """Draw the text of a value and what stands where in it: each path with the text at its value."""
    kind = draw(st.sampled_from(["scalar"] * 3 + (["array", "table"] if depth else [])))
    if kind == "scalar":
        text = draw(_scalars())
        return text, {path: text}
    found = {path: "[" if kind == "array" else "{"}
    parts = []
    if kind == "array":
        for index in range(draw(st.integers(0, 3))):
            text, inner = draw(_values((*path, index), depth - 1))
            parts.append(draw(_GAP) + text + draw(_GAP))
            found |= inner
        return f"[{','.join(parts)}{draw(_GAP)}]", found
    for key in draw(st.lists(_KEYS, max_size=3, unique=True)):
        text, inner = draw(_values((*path, key), depth - 1))
        parts.append(
            f"{draw(_SPACE)}{_written(key, quote=draw(st.booleans()))}{draw(_SPACE)}={draw(_SPACE)}{text}{draw(_SPACE)}"
        )
        found |= inner
    return f"{{{','.join(parts)}}}", found


@st.composite
def _pairs(
    draw: st.DrawFn, path: tuple[str | int, ...], without: frozenset[str] = frozenset()
) -> tuple[str, dict[tuple[str | int, ...], str]]:
    lines: list[str] = []
    found: dict[tuple[str | int, ...], str] = {}
    for key in draw(
        st.lists(_KEYS.filter(lambda key: key not in without), max_size=4, unique=True)
    ):
        way = [key, *draw(st.lists(_KEYS, max_size=2))]
        text, inner = draw(_values((*path, *way), 2))
        dotted = (
            draw(_SPACE)
            .join(["", *(f"{_written(part, quote=draw(st.booleans()))}." for part in way)])
            .removesuffix(".")
        )
        lines.append(f"{draw(_SPACE)}{dotted}{draw(_SPACE)}={draw(_SPACE)}{text}{draw(_COMMENT)}\n")
        found |= inner
    return "".join(lines), found


@st.composite
def toml_texts(draw: st.DrawFn) -> tuple[str, Mapping[tuple[str | int, ...], str]]:
    """Draw a TOML text, and for each path of it the text with which its value begins."""
    tables = draw(
        st.lists(st.tuples(_KEYS, st.booleans()), max_size=3, unique_by=lambda table: table[0])
    )
    text, found = draw(_pairs((), frozenset(name for name, _many in tables)))
    for name, many in tables:
        for index in range(draw(st.integers(1, 3)) if many else 1):
            path: tuple[Any, ...] = (name, index) if many else (name,)
            header = f"{draw(_SPACE)}{_written(name, quote=draw(st.booleans()))}{draw(_SPACE)}"
            body, inner = draw(_pairs(path))
            text += f"{draw(_GAP)}\n{f'[[{header}]]' if many else f'[{header}]'}{draw(_COMMENT)}\n{body}"
            found |= {path: "["} | inner
    return text, found
