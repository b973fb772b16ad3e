"""The figures of several accounts, each in its own series: none in the place of another, whoever comes or goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from reconciler.core.guards import GUARDS, held_actions
from reconciler.core.model import (
    AccountName,
    Action,
    Condition,
    DeviceId,
    Kind,
    PassResult,
    Result,
)
from reconciler.core.registry_news import RegistryNews
from reconciler.core.rules import Pending, Registered
from reconciler.core.status import Figures
from reconciler.telemetry.heard_metrics import AskedMetrics, HeardMetrics
from reconciler.telemetry.metrics import DEVICE_STATES, TOKEN_RESULTS, Metrics
from reconciler.telemetry.rule_metrics import RuleMetrics

ACCOUNTS = [AccountName(name) for name in ("busan", "daegu", "seoul")]
HELD = [(action, one.reason) for one in GUARDS for action in held_actions(one.reason)]
TRIPPING = [one.reason for one in GUARDS if one.reason.kind is Kind.GUARD]

SIMPLE = {
    "pcc_desired_devices": "desired",
    "pcc_flapping_devices": "flapping",
    "pcc_unsubscribe_budget_remaining": "budget_remaining",
    "pcc_api_quota_calls_per_hour": "quota_limit",
    "pcc_api_quota_remaining": "quota_remaining",
    "pcc_pass_last_attempt_timestamp_seconds": "last_attempt",
    "pcc_pass_last_success_timestamp_seconds": "last_success",
    "pcc_out_of_sync_since_timestamp_seconds": "out_of_sync_since",
    "pcc_token_expiry_timestamp_seconds": "token_expiry",
}
"""Which figure each gauge without labels of its own shows."""
EARLIEST = {"pcc_pass_last_attempt_timestamp_seconds", "pcc_pass_last_success_timestamp_seconds"}
EARLIEST_GIVEN = {"pcc_out_of_sync_since_timestamp_seconds", "pcc_token_expiry_timestamp_seconds"}

accounts = st.sampled_from(ACCOUNTS)
numbers = st.integers(0, 9)
moments = st.just(0.0) | st.integers(100, 900).map(float)
figures = st.builds(
    Figures,
    condition=st.sampled_from(Condition),
    desired=numbers,
    observed=numbers,
    states=st.just({})
    | st.dictionaries(st.sampled_from(DEVICE_STATES), st.integers(1, 9), min_size=1),
    flapping=numbers,
    held=st.dictionaries(st.sampled_from(HELD), st.integers(1, 9), max_size=3),
    tripped=st.frozensets(st.sampled_from(TRIPPING), max_size=2),
    budget_remaining=numbers,
    approvals_active=numbers,
    approvals_expired=numbers,
    last_attempt=moments,
    last_success=moments,
    out_of_sync_since=moments,
    quota_limit=st.none() | st.integers(60, 90),
    quota_remaining=st.none() | numbers,
    token_expiry=st.none() | moments,
)
Labels = tuple[tuple[str, str], ...]
Series = dict[str, dict[Labels, float]]


class Scraped(RuleBasedStateMachine):
    """Accounts come, have passes and calls, go, are abandoned and return."""

    @initialize(per_account=st.booleans())
    def begin(self, per_account: bool) -> None:  # noqa: FBT001 - a rule's parameter
        """Begin a process."""
        self.per_account = per_account
        self.metrics = Metrics(per_account=per_account)
        self.there: dict[AccountName, Figures] = {}
        self.abandoned: frozenset[AccountName] = frozenset()
        self.counted: Counter[tuple[str, AccountName, tuple[str, ...]]] = Counter()

    @rule(account=accounts)
    def enter(self, account: AccountName) -> None:
        """Let an account come, or change."""
        self.metrics.enter(account)
        self.there.setdefault(account, Figures())

    @rule(account=accounts)
    def leave(self, account: AccountName) -> None:
        """Let an account go, with all that was counted of it; a sum is not lowered."""
        self.metrics.leave(account)
        self.there.pop(account, None)
        if self.per_account:
            for key in [key for key in self.counted if key[1] == account]:
                del self.counted[key]

    @rule(account=accounts, given=figures)
    def end_a_pass(self, account: AccountName, given: Figures) -> None:
        """Let a pass of an account end."""
        if account in self.there:
            self.metrics.figures(account, given)
            self.there[account] = given

    @rule(left=st.frozensets(accounts))
    def abandon(self, left: frozenset[AccountName]) -> None:
        """Let accounts vanish while devices of them are live."""
        self.abandoned = left - self.there.keys()
        self.metrics.abandoned(iter(self.abandoned))

    @rule(
        account=accounts,
        action=st.sampled_from(Action),
        result=st.sampled_from(Result),
        ending=st.sampled_from(PassResult),
        renewal=st.sampled_from(TOKEN_RESULTS),
        what=st.sampled_from(["changed", "passed", "throttled", "otherwise", "renewed"]),
    )
    def count(  # noqa: PLR0917 - a rule's parameters
        self,
        account: AccountName,
        action: Action,
        result: Result,
        ending: PassResult,
        renewal: str,
        what: str,
    ) -> None:
        """Count something of an account that is there."""
        if account not in self.there:
            return
        labels: tuple[str, ...] = ()
        match what:
            case "changed":
                self.metrics.changed(account, action, result)
                labels = (action, result)
            case "passed":
                self.metrics.passed(account, ending, 0.1)
                labels = (ending,)
            case "throttled":
                self.metrics.throttled(account)
            case "otherwise":
                self.metrics.answered_otherwise(account)
            case _:
                self.metrics.token_refreshed(account, renewal)
                labels = (renewal,)
        self.counted[what, account, labels] += 1

    @invariant()
    def gauges_show_the_last_pass(self) -> None:
        """See that each gauge shows its own figure of each account, or what all of them make together."""
        if not hasattr(self, "metrics"):
            return
        shown = scraped(self.metrics.registry)
        for name, attribute in SIMPLE.items():
            self.see(
                shown, name, {a: {(): getattr(one, attribute)} for a, one in self.there.items()}
            )
        self.see(
            shown,
            "pcc_observed_devices",
            {a: {(): one.observed if one.states else None} for a, one in self.there.items()},
        )
        of_states: dict[AccountName, dict[Labels, float | None]] = {
            account: {(("state", one),): given.states.get(one, 0) for one in DEVICE_STATES}
            for account, given in self.there.items()
            if given.states
        }
        self.see(shown, "pcc_devices", of_states)
        approvals: dict[AccountName, dict[Labels, float | None]] = {
            account: {
                (("state", "active"),): given.approvals_active,
                (("state", "expired"),): given.approvals_expired,
            }
            for account, given in self.there.items()
        }
        self.see(shown, "pcc_approvals", approvals)
        held: dict[AccountName, dict[Labels, float | None]] = {
            account: {
                (("action", action), ("kind", reason.kind), ("reason", reason)): given.held.get(
                    (action, reason), 0
                )
                for action, reason in HELD
            }
            for account, given in self.there.items()
        }
        self.see(shown, "pcc_changes_held", held)
        tripped: dict[AccountName, dict[Labels, float | None]] = {
            account: {(("reason", one),): one in given.tripped for one in TRIPPING}
            for account, given in self.there.items()
        }
        self.see(shown, "pcc_guard_tripped", tripped)

    @invariant()
    def conditions_are_those_of_all_accounts(self) -> None:
        """See that an abandoned account has that condition, and no other figure."""
        if not hasattr(self, "metrics"):
            return
        shown = scraped(self.metrics.registry)
        conditions = {account: given.condition for account, given in self.there.items()}
        conditions |= dict.fromkeys(self.abandoned, Condition.ABANDONED)
        cells: dict[AccountName, dict[Labels, float | None]] = {
            account: {(("condition", one),): one is condition for one in Condition}
            for account, condition in conditions.items()
        }
        self.see(shown, "pcc_account_condition", cells)
        assert shown["pcc_accounts"] == {
            (("condition", one),): list(conditions.values()).count(one) for one in Condition
        }

    def see(
        self,
        shown: Series,
        name: str,
        cells: Mapping[AccountName, Mapping[Labels, float | None]],
    ) -> None:
        """Compare one gauge with what each account has; a figure that is None has no series."""
        gathered: dict[Labels, list[float]] = {}
        for account, own in cells.items():
            for labels, value in own.items():
                if value is not None:
                    key = (("account", account), *labels) if self.per_account else labels
                    gathered.setdefault(tuple(sorted(key)), []).append(float(value))
        expected = {key: _together(name, values) for key, values in gathered.items()}
        assert shown.get(name, {}) == expected, name

    @invariant()
    def counters_count_what_was_of_their_account(self) -> None:
        """See that nothing is counted for another account, or as something else."""
        if not hasattr(self, "metrics"):
            return
        shown = scraped(self.metrics.registry)
        kinds: dict[str, tuple[str, tuple[str, ...]]] = {
            "changed": ("pcc_changes_total", ("action", "result")),
            "passed": ("pcc_passes_total", ("result",)),
            "throttled": ("pcc_api_throttled_total", ()),
            "otherwise": ("pcc_api_other_message_ids_total", ()),
            "renewed": ("pcc_token_refreshes_total", ("result",)),
        }
        for what, (name, names) in kinds.items():
            expected: Counter[Labels] = Counter()
            for (kind, account, labels), number in self.counted.items():
                if kind == what:
                    own = [("account", str(account))] if self.per_account else []
                    key = [*own, *zip(names, map(str, labels), strict=True)]
                    expected[tuple(sorted(key))] += number
            found = {key: number for key, number in shown.get(name, {}).items() if number}
            assert found == dict(expected), name
            if self.per_account:
                there = {dict(key)["account"] for key in shown.get(name, {})}
                assert there == set(self.there)


def _together(name: str, values: list[float]) -> float:
    """Return one figure of all accounts."""
    if name in EARLIEST:
        return min(values)
    if name in EARLIEST_GIVEN:
        return min(filter(None, values), default=0.0)
    return sum(values)


def scraped(registry: CollectorRegistry) -> Series:
    """Return all values by the name of the sample and its labels."""
    found: Series = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


TestScraped = Scraped.TestCase
TestScraped.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


class Told:
    """What was heard of two accounts."""

    contradicted: Mapping[AccountName, int] = {ACCOUNTS[2]: 3, ACCOUNTS[0]: 4}
    unexpected: Mapping[AccountName, int] = {ACCOUNTS[2]: 50, ACCOUNTS[0]: 60}
    seconds: float | None = 7200.0
    last: float | None = 1000.0

    def contradicted_by_account(self) -> Mapping[AccountName, int]:
        """Return the numbers of devices."""
        return self.contradicted

    def after_unsubscribe(self) -> Mapping[AccountName, int]:
        """Return the numbers of events."""
        return self.unexpected

    def silence_seconds(self) -> float | None:
        """Return how long a silence has to last."""
        return self.seconds

    def last_event(self) -> float | None:
        """Return when the last event came."""
        return self.last


def test_what_was_heard_of_accounts_and_receivers_is_told_apart() -> None:
    """Each figure has its metric and its account; what is not known is absent; each receiver has its own moment."""
    for per_account in (True, False):
        registry, told = CollectorRegistry(), Told()
        HeardMetrics(registry, told, per_account=per_account)
        asked = AskedMetrics(registry, ["one", "two"])
        asked.answered("two", 900.0)
        shown = scraped(registry)
        for name, counts in (
            ("pcc_list_contradicted_devices", told.contradicted),
            ("pcc_events_after_unsubscribe", told.unexpected),
        ):
            by_account: dict[Any, float] = {(("account", a),): n for a, n in counts.items()}
            assert shown[name] == (by_account if per_account else {(): sum(counts.values())})
        assert shown["pcc_silence_meaningful_seconds"] == {(): 7200.0}
        assert shown["pcc_heard_last_event_timestamp_seconds"] == {(): 1000.0}
        assert shown["pcc_receiver_last_success_timestamp_seconds"] == {
            (("receiver", "one"),): 0.0,
            (("receiver", "two"),): 900.0,
        }
        told.seconds = told.last = None
        shown = scraped(registry)
        assert "pcc_silence_meaningful_seconds" not in shown
        assert "pcc_heard_last_event_timestamp_seconds" not in shown


class News:
    """What two accounts with a rule of the same name wait for."""

    def news(self) -> Mapping[AccountName, RegistryNews]:
        """Return the devices that each rule would take."""
        return {
            ACCOUNTS[2]: RegistryNews(Pending({"kitchens": (DEVICE,) * 2, "lobby": (DEVICE,)})),
            ACCOUNTS[0]: RegistryNews(Pending({"kitchens": (DEVICE,) * 5, "roof": ()})),
        }


DEVICE = Registered(DeviceId("7121f083"), None, None, None)


@pytest.mark.parametrize(
    ("per_account", "shown"),
    [
        (
            True,
            {
                ("seoul", "kitchens"): 2,
                ("seoul", "lobby"): 1,
                ("busan", "kitchens"): 5,
                ("busan", "roof"): 0,
            },
        ),
        (False, {("kitchens",): 7, ("lobby",): 1, ("roof",): 0}),
    ],
)
def test_what_rules_would_take_is_counted_by_account_and_rule(
    per_account: bool,  # noqa: FBT001 - a parameter of the test
    shown: Mapping[tuple[str, ...], int],
) -> None:
    """Rules of one name are added only where accounts have no label; a rule that waits for nothing is 0."""
    registry = CollectorRegistry()
    RuleMetrics(registry, News(), per_account=per_account)
    found = scraped(registry)["pcc_rule_pending_devices"]
    assert {tuple(value for _, value in cell): count for cell, count in found.items()} == shown
