"""The list of devices as text and Markdown.

Owns: how it looks. Must not: know where it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reconciler.core.errors import quoted
from reconciler.core.text import counted, moment_words, one_line, span_words
from reconciler.reporting.devices import DeviceList, DeviceRow
from reconciler.reporting.formats.comment import Part, Section, comment, table_part
from reconciler.reporting.formats.screen import Screen
from reconciler.reporting.formats.tables import Column, Row, table

TITLES = ("name", "device", "state", "since", "last heard", "account", "type")
ORDER = ("in_sync", "missing", "extra", "unmanaged", "ignored", "unknown")


def _columns(*, one_account: bool) -> Sequence[Column]:
    """Return the columns. Whoever asked for one account needs no column of it, so that one goes first."""
    return (
        Column("name", words=True),
        Column("device"),
        Column("state", words=True),
        Column("since", words=True, drop=3),
        Column("last heard", words=True, drop=4),
        Column("account", words=True, drop=5 if one_account else 1),
        Column("type", words=True, drop=2),
    )


def devices_text(
    devices: DeviceList,
    screen: Screen | None = None,
    *,
    more: str = "",
    by: str = "",
    one_account: bool = False,
) -> str:
    """Return the list for a terminal. ``more`` says how the rest is seen, ``by`` who was asked.

    ``one_account``: only that of one account was asked for.
    """
    shown = screen or Screen()
    ids = shown.ids(one.device for one in devices.devices)
    rows = [_row(one, ids[one.device], devices.at, wide=shown.wide) for one in devices.devices]
    lines = table(_columns(one_account=one_account), rows, shown) or ["No device."]
    lines += ["", *shown.lines(f"{_sums(devices)}.")]
    lines += shown.lines(more) if more else []
    lines += shown.lines(f"Asked: {one_line(by)}.") if by else []
    return "\n".join(lines) + "\n"


def devices_markdown(devices: DeviceList) -> str:
    """Return the list as a comment."""
    rows = [_row(one, one.device, devices.at, wide=True) for one in devices.devices]
    parts = [table_part(TITLES, rows, "device", code=(1,))]
    if devices.next is not None:
        parts.append(Part(["There are more: raise --limit."], "line"))
    return comment([Section([f"### {_sums(devices)}"], parts)])


def _sums(devices: DeviceList) -> str:
    """Return how many devices there are in each state."""
    total = sum(devices.counts.values())
    words = [
        f"{devices.counts[state]} {state.replace('_', ' ')}"
        for state in ORDER
        if devices.counts.get(state)
    ]
    return f"{counted(total, 'device')}: {', '.join(words)}" if words else counted(total, "device")


def _row(one: DeviceRow, device: str, now: datetime, *, wide: bool) -> Row:
    state = one.state.replace("_", " ")
    if one.reason is not None and one.reason != one.state:
        state = f"{state}: {one.reason}"
    return (
        quoted(one.name or ""),
        quoted(device),
        state,
        _when(one.since, now, wide=wide),
        _when(one.last_heard.at if one.last_heard is not None else None, now, wide=wide),
        one.account,
        one.type or "",
    )


def _when(moment: datetime | None, now: datetime, *, wide: bool) -> str:
    if moment is None:
        return ""
    return moment_words(moment, now) if wide else span_words(moment, now)


def together(first: DeviceList, then: DeviceList | None) -> DeviceList:
    """Return two parts of the list as one; the first has what needs a look."""
    if then is None:
        return first
    rows: Sequence[DeviceRow] = (*first.devices, *then.devices)
    return DeviceList(first.at, first.counts, tuple(rows), first.next or then.next)
