"""What ``explain`` says about the last event of a device."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.core.acceptance import AccountRevision
from reconciler.core.heard import Heard, HeardOfAccount
from reconciler.core.memory import Past
from reconciler.core.model import (
    DEFAULT_ACCOUNT,
    AccountName,
    Action,
    Desired,
    DeviceId,
    Memory,
    MessageId,
    PassId,
    Result,
    Revision,
)
from reconciler.core.status import AccountStatus
from reconciler.reporting.explain import Explanation, Facts, tell
from reconciler.reporting.explain.heard import LastEvent, event_report
from reconciler.reporting.explain.values import DeliveryReport
from reconciler.reporting.heard import (
    HeardReport,
    KnownEvents,
    heard_of_account,
    heard_of_all,
)
from reconciler.reporting.status import account_report
from simulated import START

DOCUMENT = Path(__file__).parent.parent.parent / "docs/explain.md"
DEVICE = DeviceId("d" * 64)
HOURS = timedelta(hours=1)


def story(*, wanted: bool = True, live: bool = True, gone: bool = False) -> Explanation:
    """Return what is known of the device: whether it is wanted, in the list, and was unsubscribed an hour ago."""
    both = frozenset({DEVICE})
    desired = Desired(DEFAULT_ACCOUNT, both if wanted else frozenset())
    past = Past(
        account=DEFAULT_ACCOUNT,
        device=DEVICE,
        action=Action.UNSUBSCRIBE,
        intended=START - 4 * HOURS,
        pass_id=PassId("p"),
        at=START - 4 * HOURS,
        result=Result.SUCCESS,
        message_id=MessageId("m"),
    )
    return tell(
        Facts(
            DEFAULT_ACCOUNT,
            DEVICE,
            START,
            text=AccountRevision(desired, Revision("0" * 64)),
            memory=Memory(expected=both if live else frozenset()),
            pasts=[past] if gone else [],
        )
    )


LAST = LastEvent(
    Heard("id", DEVICE, START - HOURS, None, "PCC_EVENT", "FILTER_CLOGGED", "maintenance"),
    (DeliveryReport("crm", "delivered", 2), DeliveryReport("log", "pending", 1)),
)
HEARD = "last event 1 hour ago: maintenance (FILTER_CLOGGED), delivered to crm after 2 tries, pending for log"
CASES = {
    "silent": (None, story(), "no event of it is known to the receivers"),
    "heard": (LAST, story(), HEARD),
    "after-unsubscribe": (
        LAST,
        story(wanted=False, live=False, gone=True),
        f"{HEARD}; it was diagnosed 3 hours after LG confirmed our unsubscribe",
    ),
    "unwanted": (
        LAST,
        story(wanted=False),
        f"{HEARD}; this account does not want the device",
    ),
    "not-listed": (LAST, story(live=False), f"{HEARD}; LG's list does not show the device"),
}


CONTRADICTED = f"{HEARD}; LG's list lacks the device all the same, so the list is wrong"


@pytest.mark.parametrize("live", [True, False])
def test_an_event_that_contradicts_the_list_is_named(*, live: bool) -> None:
    """LG calls the device subscribed already, so it counts as live, and its list goes on lacking it."""
    report = event_report(LAST, story(live=live), START, contradicted=True)
    assert report.summary == CONTRADICTED


def test_an_account_whose_list_is_contradicted_has_a_remark() -> None:
    """Status and pages say how many devices prove that the list is wrong, and what spoke after an unsubscribe."""
    heard = HeardOfAccount(
        LAST.event, 4, contradicted=frozenset(map(DeviceId, "abc")), after_unsubscribe=1
    )
    events = KnownEvents(NoEvents(), {DEFAULT_ACCOUNT: heard})
    revision = AccountRevision(Desired(DEFAULT_ACCOUNT, frozenset()), Revision("0" * 64))
    report = account_report(AccountStatus(DEFAULT_ACCOUNT), revision, None, events)
    assert report.remarks == (
        "LG's list lacks 3 wanted devices that send events, so the list is wrong",
        "1 event within 24 hours was diagnosed more than an hour after LG confirmed our unsubscribe",
    )
    assert report.heard is not None
    assert (report.heard.contradicted_devices, report.heard.events_after_unsubscribe) == (3, 1)
    assert heard_of_all(events) == report.heard
    quiet = KnownEvents(NoEvents(), {DEFAULT_ACCOUNT: HeardOfAccount(LAST.event, 4)})
    assert account_report(AccountStatus(DEFAULT_ACCOUNT), revision, None, quiet).remarks == ()


class NoEvents:
    """Knows no event of any device."""

    def last(self, device: DeviceId) -> Heard | None:
        """Know none."""
        del device
        return None


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_of_the_last_event(case: str) -> None:
    """A silent device, a healthy one, and each way in which an event says that something is wrong."""
    last, told, words = CASES[case]
    assert event_report(last, told, START).summary == words


def test_a_subscribe_after_the_unsubscribe_ends_the_matter() -> None:
    """The last change that LG confirmed counts."""
    told = story(gone=True)
    again = replace(told.changes[0], action=Action.SUBSCRIBE, at=START - 2 * HOURS)
    assert event_report(LAST, replace(told, changes=(again, *told.changes)), START).summary == HEARD


@pytest.mark.parametrize(
    ("latest", "summary"),
    [
        ("failed", "gone"),
        ("refused", "gone"),
        (None, "gone"),
        ("success", "back"),
        ("noop", "back"),
    ],
)
@pytest.mark.parametrize("gone", ["success", "noop"])
def test_what_lg_did_not_confirm_changes_nothing(
    latest: str | None, summary: str, gone: str
) -> None:
    """A subscribe that failed leaves the unsubscribe the last word; LG may have made either before we asked."""
    told = story(wanted=False, live=False, gone=True)
    unsubscribed = replace(told.changes[0], result=gone)
    after = replace(unsubscribed, action=Action.SUBSCRIBE, result=latest, at=START - 2 * HOURS)
    found = event_report(LAST, replace(told, changes=(after, unsubscribed)), START).summary
    words = {"gone": "after LG confirmed our unsubscribe", "back": "does not want the device"}
    assert found.endswith(words[summary])


def test_what_is_heard_of_all_is_the_sum_and_the_latest() -> None:
    """Whichever account is first, and of which nothing was heard; without a receiver nothing is known."""
    seoul, busan, jeju = map(AccountName, ("seoul", "busan", "jeju"))
    later = replace(LAST.event, id="later", received=START, device=DeviceId("e" * 64))
    heard = {
        seoul: HeardOfAccount(LAST.event, 4, contradicted=frozenset({DEVICE}), after_unsubscribe=1),
        busan: HeardOfAccount(later, 2, contradicted=frozenset({DEVICE}), after_unsubscribe=3),
        jeju: HeardOfAccount(None, 0),
    }
    for order in (heard, dict(reversed(heard.items()))):
        found = heard_of_all(KnownEvents(NoEvents(), order))
        assert found is not None
        assert found.last_heard is not None
        assert (found.last_heard.at, found.last_heard.device) == (START, later.device)
        counts = (
            found.devices_within_24h,
            found.contradicted_devices,
            found.events_after_unsubscribe,
        )
        assert counts == (6, 2, 4)
    assert heard_of_all(None) is None
    assert heard_of_all(KnownEvents(NoEvents())) == HeardReport()


def test_that_nothing_was_ever_heard_of_an_account_is_said() -> None:
    """It is another answer than that no receiver is asked, and no other account's events change it."""
    quiet, heard = AccountName("quiet"), AccountName("heard")
    nothing, one = HeardReport(), HeardOfAccount(LAST.event, 4)
    for accounts in ({}, {heard: one}, {heard: one, quiet: HeardOfAccount()}):
        assert heard_of_account(KnownEvents(NoEvents(), accounts), quiet) == nothing
    known = heard_of_account(KnownEvents(NoEvents(), {heard: one}), heard)
    assert known is not None
    assert known.last_heard is not None
    assert known.devices_within_24h == 4
    assert heard_of_account(None, quiet) is None


def test_the_documents_show_these_answers() -> None:
    """The examples of the document are what the program says."""
    shown = set(re.findall(r"^    heard of +(.+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE))
    assert shown == {CONTRADICTED, *(words for _, _, words in CASES.values())}
