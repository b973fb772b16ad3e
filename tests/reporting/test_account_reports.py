"""Reports of all accounts that are kept say what fresh ones say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from mixed_fleet import known, mixed
from reconciler.core.heard import HeardOfAccount
from reconciler.core.model import DEFAULT_ACCOUNT
from reconciler.core.registry_news import RegistryNews
from reconciler.core.rules import Pending, Registered
from reconciler.core.status import AccountStatus
from reconciler.reporting.account_reports import AccountReports
from reconciler.reporting.heard import KnownEvents
from reconciler.reporting.knowledge import Knowledge
from reconciler.reporting.status import AccountReport, account_report


class NoEvents:
    """Receivers that have no event."""

    def last(self, device: str) -> None:
        """Return that none is known."""


def fresh(facts: Knowledge) -> AccountReport:
    """Return the report as nobody kept it."""
    return account_report(
        facts.statuses.get(DEFAULT_ACCOUNT, AccountStatus(DEFAULT_ACCOUNT)),
        facts.accepted.accounts[DEFAULT_ACCOUNT],
        facts.passes.get(DEFAULT_ACCOUNT),
        facts.events,
        registry=facts.registries.get(DEFAULT_ACCOUNT),
    )


async def test_a_kept_report_is_as_good_as_a_fresh_one() -> None:
    """After a pass, an edit, an event, or news of LG's registry or of the next pass, the report says the new facts."""
    one = await mixed()
    reports, facts = AccountReports(), known(one)
    first = reports.of_all(facts)[DEFAULT_ACCOUNT]
    assert first == fresh(facts)
    assert reports.of_all(facts)[DEFAULT_ACCOUNT] is first

    facts = replace(facts, passes={DEFAULT_ACCOUNT: facts.now + timedelta(minutes=1)})
    assert reports.of_all(facts)[DEFAULT_ACCOUNT] == fresh(facts) != first

    heard = {DEFAULT_ACCOUNT: HeardOfAccount(recent=3)}
    facts = replace(facts, events=KnownEvents(NoEvents(), heard))
    assert reports.of_all(facts)[DEFAULT_ACCOUNT] == fresh(facts)

    wrong = HeardOfAccount(contradicted=frozenset(one.owned[:1]), after_unsubscribe=2)
    for heard_of in (wrong, HeardOfAccount(recent=4)):
        before = reports.of_all(facts)[DEFAULT_ACCOUNT]
        facts = replace(facts, events=KnownEvents(NoEvents(), {DEFAULT_ACCOUNT: heard_of}))
        assert reports.of_all(facts)[DEFAULT_ACCOUNT] == fresh(facts)
        assert fresh(facts).remarks != before.remarks

    facts = replace(facts, passes={})
    assert reports.of_all(facts)[DEFAULT_ACCOUNT] == fresh(facts)

    waiting = Pending({"fridges": (Registered(one.owned[0]),)})
    for news in (RegistryNews(doubted="it shrank"), RegistryNews(waiting, facts.now)):
        before = reports.of_all(facts)[DEFAULT_ACCOUNT]
        facts = replace(facts, registries={DEFAULT_ACCOUNT: news})
        assert reports.of_all(facts)[DEFAULT_ACCOUNT] == fresh(facts) != before

    one.want(one.owned)
    facts = known(one)
    edited = reports.of_all(facts)[DEFAULT_ACCOUNT]
    assert edited == fresh(facts)
    assert not edited.current

    await one.reconcile(after=timedelta(minutes=2))
    facts = known(one)
    assert reports.of_all(facts)[DEFAULT_ACCOUNT] == fresh(facts) != edited


async def test_an_account_that_left_has_no_report() -> None:
    """Only accounts in force have a report, so that nothing is kept of the others."""
    facts, reports = known(await mixed()), AccountReports()
    assert reports.of_all(facts).keys() == {DEFAULT_ACCOUNT}
    assert reports.of_all(replace(facts, accepted=replace(facts.accepted, accounts={}))) == {}
