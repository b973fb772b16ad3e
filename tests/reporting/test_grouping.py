"""Past changes in groups: what one pass did alike is one line, and a group that may go on says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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


def test_a_group_that_may_go_on_says_so() -> None:
    """Where changes were not read, the outermost pass of each account may have some of them."""
    changes = [change(0, "b"), change(1, "x", account="busan"), change(2, "a"), change(3, "a")]
    older = {group.first.pass_id: group.partial for group in grouped(changes, older=True)}
    assert older == {"b": False, "x": True, "a": True}
    newer = {group.first.pass_id: group.partial for group in grouped(changes, newer=True)}
    assert newer == {"b": True, "x": True, "a": False}
