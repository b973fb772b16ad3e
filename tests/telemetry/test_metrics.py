"""Every metric: its name, type and labels, what starts at zero, and what an account leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reconciler import __version__
from reconciler.core.guards import GUARDS, held_actions
from reconciler.core.model import AccountName, Action, Condition, Kind, PassResult, Reason, Result
from reconciler.core.status import Figures
from reconciler.telemetry.metrics import DEVICE_STATES, Metrics
from reconciler.telemetry.receiver_metrics import ReceiverMetrics

SEOUL, BUSAN = AccountName("seoul-hotel"), AccountName("busan-hotel")

# What dashboards and alerts are written against: type and labels beside ``account``, which stands in the third column.
CONTRACT: Mapping[str, tuple[str, set[str], bool]] = {
    "pcc_build_info": ("gauge", {"version"}, False),
    "pcc_mode_info": ("gauge", {"mode"}, False),
    "pcc_interval_seconds": ("gauge", set(), False),
    "pcc_accounts": ("gauge", {"condition"}, False),
    "pcc_account_condition": ("gauge", {"condition"}, True),
    "pcc_desired_last_reload_successful": ("gauge", set(), False),
    "pcc_desired_last_reload_success_timestamp_seconds": ("gauge", set(), False),
    "pcc_desired_revision_info": ("gauge", {"revision", "source", "verified"}, False),
    "pcc_desired_commit_timestamp_seconds": ("gauge", set(), False),
    "pcc_desired_rejected": ("gauge", {"cause"}, False),
    "pcc_source_last_success_timestamp_seconds": ("gauge", set(), False),
    "pcc_source_errors_total": ("counter", {"kind"}, False),
    "pcc_desired_devices": ("gauge", set(), True),
    "pcc_observed_devices": ("gauge", set(), True),
    "pcc_devices": ("gauge", {"state"}, True),
    "pcc_flapping_devices": ("gauge", set(), True),
    "pcc_changes_total": ("counter", {"action", "result"}, True),
    "pcc_changes_held": ("gauge", {"action", "kind", "reason"}, True),
    "pcc_guard_tripped": ("gauge", {"reason"}, True),
    "pcc_unsubscribe_budget_remaining": ("gauge", set(), True),
    "pcc_approvals": ("gauge", {"state"}, True),
    "pcc_passes_total": ("counter", {"result"}, True),
    "pcc_pass_duration_seconds": ("histogram", set(), False),
    "pcc_pass_last_attempt_timestamp_seconds": ("gauge", set(), True),
    "pcc_pass_last_success_timestamp_seconds": ("gauge", set(), True),
    "pcc_out_of_sync_since_timestamp_seconds": ("gauge", set(), True),
    "pcc_convergence_seconds": ("histogram", set(), False),
    "pcc_queue_depth": ("gauge", set(), False),
    "pcc_queue_oldest_seconds": ("gauge", set(), False),
    "pcc_api_requests_total": ("counter", {"method", "route", "status", "code"}, False),
    "pcc_api_request_duration_seconds": ("histogram", {"method", "route"}, False),
    "pcc_api_throttled_total": ("counter", set(), True),
    "pcc_api_other_message_ids_total": ("counter", set(), True),
    "pcc_api_quota_calls_per_hour": ("gauge", set(), True),
    "pcc_api_quota_remaining": ("gauge", set(), True),
    "pcc_token_expiry_timestamp_seconds": ("gauge", set(), True),
    "pcc_token_refreshes_total": ("counter", {"result"}, True),
    "pcc_state_writable": ("gauge", set(), False),
    "pcc_log_lines_dropped_total": ("counter", set(), False),
    "pcc_clock_ahead_seconds": ("gauge", set(), False),
}
NO_DEVICES = dict.fromkeys(DEVICE_STATES, 0)
FULL = Figures(states=NO_DEVICES, quota_limit=600, quota_remaining=10, token_expiry=1000.0)


def series(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Scrape: the values by name of the sample and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Scrape one value."""
    return series(metrics).get(name, {}).get(tuple(sorted(labels.items())))


def started(*, per_account: bool = True) -> Metrics:
    """Return metrics as they are once a process has two accounts and nothing has happened."""
    metrics = Metrics(per_account=per_account)
    metrics.mode("enforce")
    metrics.platform([("GET", "/pcc"), ("POST", "/pcc/{device-id}")], ["1207"])
    metrics.sources(["missing"], ["invalid", "environment"])
    metrics.revision("sha256:0123", "file", "unchecked")
    for account in (SEOUL, BUSAN):
        metrics.enter(account)
        metrics.figures(account, FULL)
    return metrics


@pytest.mark.parametrize("per_account", [True, False])
def test_names_types_and_labels_are_the_contract(per_account: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Exactly the documented metrics exist, each with its type and labels, and says what it is."""
    text = generate_latest(started(per_account=per_account).registry).decode()
    seen = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name.startswith("process_"):
            continue
        assert family.documentation.endswith((".", "yet"))
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        seen[name] = (family.type, labels - {"account"}, "account" in labels)
        assert family.samples, name
    wanted = {
        name: (kind, labels, own and per_account) for name, (kind, labels, own) in CONTRACT.items()
    }
    assert seen == wanted


@pytest.mark.parametrize("registry", [Metrics().registry, ReceiverMetrics(1).registry])
def test_the_process_is_measured_and_nothing_is_counted_twice(registry: CollectorRegistry) -> None:
    """Both processes export their memory, files and start, and no counter has a series of when it was made."""
    names = {
        sample.name
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    assert {
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    } <= names
    assert not [name for name in names if name.endswith("_created")]


def test_everything_known_beforehand_starts_at_zero() -> None:
    """A first event is seen as a rise, because its series was there before it."""
    metrics = started()
    scraped = series(metrics)
    assert {cell for cell in scraped["pcc_changes_total"] if ("account", SEOUL) in cell} == {
        (("account", SEOUL), ("action", action), ("result", result))
        for action in Action
        for result in Result
    }
    assert len(scraped["pcc_passes_total"]) == 2 * len(PassResult)
    assert len(scraped["pcc_token_refreshes_total"]) == 2 * 3
    for name in (
        "pcc_changes_total",
        "pcc_passes_total",
        "pcc_api_throttled_total",
        "pcc_token_refreshes_total",
    ):
        assert set(scraped[name].values()) == {0}
    assert value(metrics, "pcc_source_errors_total", kind="missing") == 0
    assert value(metrics, "pcc_desired_rejected", cause="environment") == 0
    assert (
        value(metrics, "pcc_api_requests_total", method="GET", route="/pcc", status="200", code="")
        == 0
    )
    assert value(metrics, "pcc_api_request_duration_seconds_count", method="GET", route="/pcc") == 0
    assert value(metrics, "pcc_build_info", version=__version__) == 1
    assert value(metrics, "pcc_mode_info", mode="observe") == 0


def test_every_reason_to_hold_has_its_series() -> None:
    """The series of held changes and of guards follow the table of reasons."""
    scraped = series(started())
    held = {dict(cell)["reason"] for cell in scraped["pcc_changes_held"]}
    assert held == {reason.value for reason in Reason}
    tripped = {dict(cell)["reason"] for cell in scraped["pcc_guard_tripped"]}
    assert tripped == {reason.value for reason in Reason if reason.kind is Kind.GUARD}


def test_figures_of_an_account_are_told_cell_by_cell() -> None:
    """What a pass left behind is what Prometheus reads."""
    metrics = started()
    metrics.figures(
        SEOUL,
        replace(
            FULL,
            condition=Condition.HELD,
            desired=7,
            states={"in_sync": 5, "missing": 2},
            held={(Action.UNSUBSCRIBE, Reason.TOO_MANY): 4},
            tripped=frozenset({Reason.TOO_MANY}),
            approvals_active=1,
            quota_remaining=None,
            token_expiry=None,
        ),
    )
    assert value(metrics, "pcc_desired_devices", account=SEOUL) == 7
    assert value(metrics, "pcc_devices", account=SEOUL, state="missing") == 2
    assert value(metrics, "pcc_devices", account=SEOUL, state="ignored") == 0
    held = {"account": SEOUL, "action": "unsubscribe", "kind": "guard", "reason": "too-many"}
    assert value(metrics, "pcc_changes_held", **held) == 4
    assert value(metrics, "pcc_guard_tripped", account=SEOUL, reason="too-many") == 1
    assert value(metrics, "pcc_guard_tripped", account=SEOUL, reason="empty-desired") == 0
    assert value(metrics, "pcc_approvals", account=SEOUL, state="active") == 1
    assert value(metrics, "pcc_account_condition", account=SEOUL, condition="held") == 1
    assert value(metrics, "pcc_account_condition", account=SEOUL, condition="converging") == 0
    assert value(metrics, "pcc_accounts", condition="held") == 1
    assert value(metrics, "pcc_accounts", condition="converging") == 1
    assert value(metrics, "pcc_api_quota_remaining", account=SEOUL) is None
    assert value(metrics, "pcc_token_expiry_timestamp_seconds", account=SEOUL) is None


@pytest.mark.parametrize("per_account", [True, False])
def test_devices_of_an_account_that_was_never_read_are_not_known(per_account: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An account whose list was never read does not claim that none of its devices is missing."""
    metrics = started(per_account=per_account)
    metrics.figures(SEOUL, Figures(condition=Condition.STOPPED, desired=30))
    metrics.figures(BUSAN, replace(FULL, states={**NO_DEVICES, "missing": 2}))
    missing = {
        dict(cell).get("account"): number
        for cell, number in series(metrics)["pcc_devices"].items()
        if ("state", "missing") in cell
    }
    assert missing == ({BUSAN: 2} if per_account else {None: 2})
    live = {dict(cell).get("account") for cell in series(metrics)["pcc_observed_devices"]}
    assert live == ({BUSAN} if per_account else {None})


def test_no_held_change_is_lost_between_figures_and_metric() -> None:
    """Every reason for every action that it can hold comes out of the metric as it went in."""
    cells = {
        (action, guard.reason): number
        for number, guard in enumerate(GUARDS, 1)
        for action in held_actions(guard.reason)
    }
    metrics = started()
    metrics.figures(SEOUL, replace(FULL, held=cells))
    metrics.leave(BUSAN)
    assert sum(series(metrics)["pcc_changes_held"].values()) == sum(cells.values())


def test_an_account_that_left_leaves_no_series_behind() -> None:
    """All series of the account are gone; those of the others, and the account's own should it return, are as new."""
    metrics = started()
    metrics.changed(SEOUL, Action.SUBSCRIBE, Result.SUCCESS)
    metrics.throttled(SEOUL)
    metrics.answered_otherwise(SEOUL)
    metrics.leave(SEOUL)
    assert SEOUL not in generate_latest(metrics.registry).decode()
    assert (
        value(metrics, "pcc_changes_total", account=BUSAN, action="subscribe", result="success")
        == 0
    )
    metrics.leave(SEOUL)
    metrics.enter(SEOUL)
    assert (
        value(metrics, "pcc_changes_total", account=SEOUL, action="subscribe", result="success")
        == 0
    )


@pytest.mark.parametrize(
    ("name", "field", "together"),
    [
        ("pcc_pass_last_attempt_timestamp_seconds", "last_attempt", 0),
        ("pcc_pass_last_success_timestamp_seconds", "last_success", 0),
        ("pcc_out_of_sync_since_timestamp_seconds", "out_of_sync_since", 50),
        ("pcc_token_expiry_timestamp_seconds", "token_expiry", 50),
    ],
)
def test_an_account_that_never_had_a_pass_shows_in_the_moment_of_all(
    name: str, field: str, together: float
) -> None:
    """It is the slowest of all; of what is 0 where all is well, the others count."""
    metrics = started(per_account=False)
    some: dict[str, Any] = {field: 50.0}
    none: dict[str, Any] = {field: 0.0}
    metrics.figures(SEOUL, replace(FULL, **some))
    metrics.figures(BUSAN, replace(FULL, **none))
    assert value(metrics, name) == together


def test_without_account_labels_figures_are_sums() -> None:
    """Fleets of thousands of accounts see sums; of moments the earliest, because the laggard is what matters."""
    metrics = started(per_account=False)
    metrics.figures(
        SEOUL,
        replace(FULL, desired=3, last_success=100.0, out_of_sync_since=0.0, states={"missing": 1}),
    )
    metrics.figures(
        BUSAN,
        replace(
            FULL,
            desired=4,
            last_success=50.0,
            out_of_sync_since=70.0,
            states={"missing": 2},
            quota_limit=None,
        ),
    )
    metrics.changed(SEOUL, Action.SUBSCRIBE, Result.SUCCESS, 2)
    metrics.changed(BUSAN, Action.SUBSCRIBE, Result.SUCCESS)
    metrics.throttled(SEOUL)
    metrics.answered_otherwise(SEOUL)
    metrics.passed(SEOUL, PassResult.CLEAN, 0.1)
    metrics.token_refreshed(BUSAN, "success")
    assert value(metrics, "pcc_desired_devices") == 7
    assert value(metrics, "pcc_devices", state="missing") == 3
    assert value(metrics, "pcc_pass_last_success_timestamp_seconds") == 50
    assert value(metrics, "pcc_out_of_sync_since_timestamp_seconds") == 70
    assert value(metrics, "pcc_token_expiry_timestamp_seconds") == 1000
    assert value(metrics, "pcc_api_quota_calls_per_hour") == 600
    assert value(metrics, "pcc_changes_total", action="subscribe", result="success") == 3
    assert value(metrics, "pcc_api_throttled_total") == 1
    assert value(metrics, "pcc_api_other_message_ids_total") == 1
    metrics.leave(SEOUL)
    assert value(metrics, "pcc_desired_devices") == 4
    assert value(metrics, "pcc_changes_total", action="subscribe", result="success") == 3
    assert "account=" not in generate_latest(metrics.registry).decode()


def test_abandoned_accounts_are_counted_and_have_only_a_condition() -> None:
    """An account that vanished is seen as abandoned, and nothing else is said of it."""
    metrics = started()
    metrics.leave(SEOUL)
    metrics.abandoned([SEOUL])
    assert value(metrics, "pcc_accounts", condition="abandoned") == 1
    assert value(metrics, "pcc_accounts", condition="converging") == 1
    assert value(metrics, "pcc_account_condition", account=SEOUL, condition="abandoned") == 1
    assert value(metrics, "pcc_desired_devices", account=SEOUL) is None
    metrics.abandoned([])
    assert value(metrics, "pcc_account_condition", account=SEOUL, condition="abandoned") is None


def test_calls_are_counted_by_route_and_known_code() -> None:
    """A code that is not LG's own is ``other``, and no answer at all is status ``none``."""
    metrics = started()
    metrics.called("POST", "/pcc/{device-id}", 404, "1207", began=1.0, ended=1.2)
    metrics.called("POST", "/pcc/{device-id}", 500, "x" * 100, began=2.0, ended=2.2)
    metrics.called("GET", "/pcc", None, None, began=3.0, ended=18.0)
    post = {"method": "POST", "route": "/pcc/{device-id}"}
    assert value(metrics, "pcc_api_requests_total", status="404", code="1207", **post) == 1
    assert value(metrics, "pcc_api_requests_total", status="500", code="other", **post) == 1
    assert (
        value(metrics, "pcc_api_requests_total", method="GET", route="/pcc", status="none", code="")
        == 1
    )
    assert value(metrics, "pcc_api_request_duration_seconds_count", **post) == 2
    assert metrics.last_call_at == 18.0


def test_lost_lines_are_counted_once() -> None:
    """The number since the start is handed in again and again, and only what came since then is added."""
    metrics = started()
    for so_far, counted in ((0, 0), (5, 5), (5, 5), (7, 7), (7, 7)):
        metrics.lines_dropped(so_far)
        assert value(metrics, "pcc_log_lines_dropped_total") == counted


def test_a_call_without_a_code_is_not_one_with_another() -> None:
    """Success has no code; an empty word of LG's is none either."""
    metrics = started()
    for code in (None, ""):
        metrics.called("GET", "/pcc", 200, code, began=1.0, ended=1.5)
    called = series(metrics)["pcc_api_requests_total"]
    get = {
        dict(cell)["code"]: number for cell, number in called.items() if ("route", "/pcc") in cell
    }
    assert get == {"": 2}


def test_only_the_revision_in_force_has_a_series() -> None:
    """A new revision replaces the one before."""
    metrics = started()
    metrics.revision("sha256:4567", "git", "yes")
    assert list(series(metrics)["pcc_desired_revision_info"]) == [
        (("revision", "sha256:4567"), ("source", "git"), ("verified", "yes"))
    ]


def test_a_rejection_has_one_cause_at_a_time() -> None:
    """The cause of the newest rejection is 1, every other 0, and none once a text is accepted."""
    metrics = started()
    metrics.rejected("invalid")
    assert value(metrics, "pcc_desired_rejected", cause="invalid") == 1
    metrics.rejected("environment")
    assert value(metrics, "pcc_desired_rejected", cause="invalid") == 0
    assert value(metrics, "pcc_desired_rejected", cause="environment") == 1
    metrics.rejected(None)
    assert set(series(metrics)["pcc_desired_rejected"].values()) == {0}
