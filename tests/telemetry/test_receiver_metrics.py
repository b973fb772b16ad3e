"""The metrics of the receiving process: what happens is counted in its own series, and in no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from prometheus_client import CollectorRegistry

from reconciler.telemetry.receiver_metrics import ReceiverMetrics, SpoolGauges

RECEIVED = [
    (push_type, category, device)
    for push_type in ("PCC_EVENT", "DEVICE_STATUS")
    for category in ("misuse", "other")
    for device in ("desired", "unknown")
]
Series = dict[str, float]


def begun() -> ReceiverMetrics:
    """Return metrics as they are at the start of a process."""
    metrics = ReceiverMetrics(1000, CollectorRegistry())
    metrics.begin(received=RECEIVED, refusals=["busy", "json"], quarantine=["json", "busy"])
    metrics.sinks(["crm", "log"], iter(["delivered", "retry", "dead"]))
    return metrics


def scraped(registry: CollectorRegistry) -> Series:
    """Return all values by name and labels, but those of histograms' buckets."""
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_what_may_happen_begins_at_zero() -> None:
    """Every combination that is known beforehand has its series, so the first one is seen as a rise."""
    shown = scraped(begun().registry)
    for push_type, category, device in RECEIVED:
        assert shown[f"pcc_events_received_total{{{category},{device},{push_type}}}"] == 0
    for reason in ("busy", "json"):
        assert shown[f"pcc_events_refused_total{{{reason}}}"] == 0
        assert shown[f"pcc_events_quarantined_total{{{reason}}}"] == 0
    for sink in ("crm", "log"):
        assert shown[f"pcc_delivery_duration_seconds_count{{{sink}}}"] == 0
        for result in ("delivered", "retry", "dead"):
            assert shown[f"pcc_deliveries_total{{{result},{sink}}}"] == 0


Act = Callable[[ReceiverMetrics], object]


def _received(*labels: str) -> Act:
    return lambda metrics: metrics.received(*labels)


@pytest.mark.parametrize(
    ("act", "rises"),
    [
        (
            _received("DEVICE_STATUS", "misuse", "unknown"),
            {"pcc_events_received_total{misuse,unknown,DEVICE_STATUS}": 1},
        ),
        (
            _received("PCC_EVENT", "part_inquiry", "desired"),
            {"pcc_events_received_total{part_inquiry,desired,PCC_EVENT}": 1},
        ),
        (
            _received("x" * 1000, "other", "unknown"),
            {"pcc_events_received_total{other,unknown,other}": 1},
        ),
        (lambda one: one.refused("json"), {"pcc_events_refused_total{json}": 1}),
        (lambda one: one.quarantined("busy"), {"pcc_events_quarantined_total{busy}": 1}),
        (
            lambda one: one.delivered("log", "retry", 0.5),
            {
                "pcc_deliveries_total{retry,log}": 1,
                "pcc_delivery_duration_seconds_count{log}": 1,
                "pcc_delivery_duration_seconds_sum{log}": 0.5,
            },
        ),
        (lambda one: one.duplicates.inc(), {"pcc_events_duplicate_total": 1}),
        (lambda one: one.ids_reused.inc(), {"pcc_event_id_reused_total": 1}),
        (lambda one: one.logic_missing.inc(), {"pcc_logic_missing_total": 1}),
        (lambda one: one.last_event.set(7), {"pcc_last_event_timestamp_seconds": 7}),
        (
            lambda one: one.last_self_test.set(7),
            {"pcc_self_check_last_success_timestamp_seconds": 7},
        ),
        (
            lambda one: one.logic_reload_successful.set(1),
            {"pcc_logic_last_reload_successful": 1},
        ),
        (
            lambda one: one.receive_duration.observe(2),
            {"pcc_receive_duration_seconds_count": 1, "pcc_receive_duration_seconds_sum": 2},
        ),
        (
            lambda one: one.lag.observe(3),
            {"pcc_event_lag_seconds_count": 1, "pcc_event_lag_seconds_sum": 3},
        ),
        (lambda one: one.lines_dropped(lambda: 4), {"pcc_log_lines_dropped_total": 4}),
        (
            lambda one: one.spool(
                lambda: SpoolGauges(7, {("crm", "dead"): 2, ("", "unrouted"): 3}, {"crm": 30.0})
            ),
            {
                "pcc_spool_bytes": 7,
                "pcc_spool_events{crm,dead}": 2,
                "pcc_spool_events{,unrouted}": 3,
                "pcc_spool_oldest_seconds{crm}": 30,
            },
        ),
    ],
)
def test_what_happens_changes_its_own_series_only(act: Act, rises: Mapping[str, float]) -> None:
    """One thing that happened is in one metric, under its own labels, and everything else is as it was."""
    metrics = begun()
    before = scraped(metrics.registry)
    assert before["pcc_spool_limit_bytes"] == 1000
    act(metrics)
    after = scraped(metrics.registry)
    changed = {
        name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)
    }
    assert changed == rises
    assert before.keys() <= after.keys()
