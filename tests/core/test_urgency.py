"""One order of urgency for page, status and ``status --wait``."""

from __future__ import annotations

from reconciler.core.guards import GUARDS
from reconciler.core.model import Condition, Kind, Reason
from reconciler.core.urgency import CONDITIONS, LASTING, PASSING, of_condition


def test_every_condition_of_a_pass_has_its_place() -> None:
    """Each condition but abandoned, which no pass has, is in the order once; an unknown one comes first."""
    assert sorted(CONDITIONS) == sorted(set(Condition) - {Condition.ABANDONED})
    assert [of_condition(one) for one in CONDITIONS] == list(range(len(CONDITIONS)))
    assert of_condition("of another version") == 0


def test_reasons_last_or_pass_by_who_ends_them() -> None:
    """Only LG's reasons last, and only guards pass on their own."""
    kinds = {guard.reason: guard.reason.kind for guard in GUARDS}
    assert {kinds[reason] for reason in LASTING} == {Kind.PLATFORM}
    assert {kinds[reason] for reason in PASSING} == {Kind.GUARD}


def test_a_command_waits_for_what_ends_without_a_person() -> None:
    """A refusal, LG's cap and a stopped account last; a list in doubt and files being written do not."""
    assert {
        Reason.REFUSED,
        Reason.SUBSCRIPTIONS_FULL,
        Reason.ACCOUNT_STOPPED,
    } == LASTING
    assert {Reason.SUSPECT_LIST, Reason.FILES_UNSETTLED} == PASSING
