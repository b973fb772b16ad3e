"""Which accounts have a row of their own where there are many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from account_reports import account_report
from reconciler.reporting import GuardReport, HeldReport
from reconciler.reporting.attention import ROWS, by_attention, parted

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CALM = account_report("calm", NOW)
HELD = HeldReport("unsubscribe", "guard", "too-many", 12, None, "12 are too many")
NOTEWORTHY: dict[str, dict[str, Any]] = {
    "another condition": {"condition": "converging"},
    "an error": {"error": "LG does not answer"},
    "a rejected newest revision": {"rejected": "invalid"},
    "a guard that is tripped": {"guards": (GuardReport("too-many", "12 are too many"),)},
    "what a guard holds": {"held": (HELD,)},
    "what time lets go": {"held": (replace(HELD, kind="policy", reason="unsubscribe-after"),)},
    "flapping devices": {"flapping": ("device-1",)},
    "remarks": {"remarks": ("LG lists the same devices for another account",)},
    "refused devices": {"refused": 1},
}


@pytest.mark.parametrize("what", NOTEWORTHY)
def test_of_many_accounts_in_sync_each_with_something_to_say_has_a_row(what: str) -> None:
    """Accounts with nothing to say are only counted; one of which a person has to know something keeps its row."""
    calm = [replace(CALM, account=f"calm-{number}") for number in range(ROWS)]
    one = replace(CALM, account="one", **NOTEWORTHY[what])
    rows, others = parted([*calm, one])
    assert rows == [one]
    assert sorted(each.account for each in others) == sorted(each.account for each in calm)


def test_few_accounts_have_a_row_each() -> None:
    """Where all fit, none is only counted."""
    few = [replace(CALM, account=f"calm-{number:02}") for number in range(ROWS)]
    assert parted(few) == (few, [])


@pytest.mark.parametrize("what", ["an error", "a guard that is tripped", "what a guard holds"])
def test_of_accounts_in_one_condition_that_with_trouble_comes_first(what: str) -> None:
    """Whatever their names; the more urgent condition goes before that."""
    quiet = replace(CALM, account="a", condition="held")
    trouble = replace(CALM, account="b", condition="held", **NOTEWORTHY[what])
    stopped = replace(CALM, account="c", condition="stopped")
    assert by_attention([quiet, trouble, stopped]) == [stopped, trouble, quiet]
