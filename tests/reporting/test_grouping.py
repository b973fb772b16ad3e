"""Past changes in groups: what one pass did alike is one line, and a group that may go on says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.reporting.explain import ChangeReport
from reconciler.reporting.grouping import grouped

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def change(number: int, run: str, account: str = "seoul", **facts: str | None) -> ChangeReport:
    """Return one past change."""
    return ChangeReport(
        at=NOW - timedelta(seconds=number),
        account=account,
        device=f"device-{number}",
        name=None,
        action=facts.get("action") or "subscribe",
        result=facts.get("result", "success"),
        confirmed_by=None,
        approved=False,
        revision="abc",
        commit=None,
        author=None,
        subject=None,
        pass_id=run,
        message_id=None,
        lg_message_id=None,
        status=None,
        code=None,
        words="",
    )


def test_what_one_pass_did_alike_is_one_line() -> None:
    """Changes of one account, pass, action and result are a group, also if others lie between."""
    changes = [
        change(0, "b"),
        change(1, "x", account="busan"),
        change(2, "b"),
        change(3, "b", result="refused"),
        change(4, "b", action="unsubscribe"),
        change(5, "a"),
    ]
    found = grouped(changes)
    assert [[one.device for one in group.changes] for group in found] == [
        ["device-0", "device-2"],
        ["device-1"],
        ["device-3"],
        ["device-4"],
        ["device-5"],
    ]
    assert not any(group.partial for group in found)


@pytest.mark.parametrize(
    "other",
    [
        {"approved": True},
        {"code": "1214"},
        {"revision": "abd"},
        {"result": None},
        {"pass_id": "c"},
        {"account": "busan"},
        {"action": "unsubscribe"},
    ],
)
def test_changes_that_differ_in_one_respect_are_two_lines(other: dict[str, Any]) -> None:
    """What an approval let go is not beside what went without, and each of LG's codes has its line."""
    one, two = change(0, "b"), replace(change(1, "b"), **other)
    assert [group.count for group in grouped([one, two])] == [1, 1]
    assert [group.count for group in grouped([one, change(1, "b")])] == [2]


def test_a_group_that_may_go_on_says_so() -> None:
    """Where changes were not read, the outermost pass of each account may have some of them."""
    changes = [change(0, "b"), change(1, "x", account="busan"), change(2, "a"), change(3, "a")]
    older = {group.first.pass_id: group.partial for group in grouped(changes, older=True)}
    assert older == {"b": False, "x": True, "a": True}
    newer = {group.first.pass_id: group.partial for group in grouped(changes, newer=True)}
    assert newer == {"b": True, "x": True, "a": False}
    both = {
        group.first.pass_id: group.partial for group in grouped(changes, newer=True, older=True)
    }
    assert both == {"b": True, "x": True, "a": True}
