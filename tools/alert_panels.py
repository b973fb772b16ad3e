"""What the dashboards share with the alerts: how bad each alert is, its colour, the list of alerts, and their marks.

Whoever is woken sees red, and nobody else does: red is what pages a person, amber is what a ticket says. `SEVERITIES`
is the only place where that is written for the dashboards; a test holds it against `deploy/prometheus/rules.yml`.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana import ORANGE, RED, Json, Look, Panel, Query, override, table
from grafana_boards import annotation
from promql import NAMESPACE, age, selected

PAGE, TICKET = "page", "ticket"
COLOURS: Mapping[str, str] = {PAGE: RED, TICKET: ORANGE}
SEVERITIES: Mapping[str, str] = {
    "PccDevicesMissing": PAGE,
    "PccDown": PAGE,
    "PccWedged": PAGE,
    "PccMostAccountsFailing": TICKET,
    "PccRestarting": TICKET,
    "PccStateNotWritable": TICKET,
    "PccAccountsUnowned": PAGE,
    "PccAccountOverdue": PAGE,
    "PccClockWrong": TICKET,
    "PccObserving": TICKET,
    "PccTextRejected": TICKET,
    "PccSourceNotFetched": TICKET,
    "PccApprovalExpired": TICKET,
    "PccGuardWaiting": TICKET,
    "PccAccountStopped": TICKET,
    "PccAccountAbandoned": TICKET,
    "PccListNotTrusted": TICKET,
    "PccTokenNotRenewed": TICKET,
    "PccQuotaExhausted": TICKET,
    "PccDevicesRefused": TICKET,
    "PccDevicesFlapping": TICKET,
    "PccPaused": TICKET,
    "PccEventsSilent": PAGE,
    "PccReceiverNotRead": TICKET,
    "PccListContradicted": TICKET,
    "PccEventsAfterUnsubscribe": TICKET,
    "PccReceiverDown": PAGE,
    "PccEventsNotStored": PAGE,
    "PccSpoolUnreadable": PAGE,
    "PccSelfCheckFailing": PAGE,
    "PccReceiverReplicaDown": TICKET,
    "PccCallersRefused": TICKET,
    "PccEventsQuarantined": TICKET,
    "PccUnknownDevices": TICKET,
    "PccSpoolFilling": TICKET,
    "PccDeliveryStuck": TICKET,
    "PccDeadLetters": TICKET,
    "PccLogicRejected": TICKET,
    "PccDiagnosisUnknown": TICKET,
}


def colour_of(alert: str) -> str:
    """Return the colour of what this alert reports."""
    return COLOURS[SEVERITIES[alert]]


def alerts_of(metric: str, jobs: str, **labels: str) -> str:
    """Return Prometheus' own series of our alerts. An alert that no daemon was ever seen has no job."""
    return selected(metric, {"alertname": "~Pcc.*", "namespace": NAMESPACE, "job": f"{jobs}|", **labels})  # fmt: skip


def alert_list(jobs: str, **labels: str) -> Panel:
    """Return the alerts that fire now, those that page first."""
    kept = "alertname, severity, account"
    firing = f"max by ({kept}) ({alerts_of('ALERTS', jobs, alertstate='firing', **labels)})"
    since = f"min by ({kept}) ({alerts_of('ALERTS_FOR_STATE', jobs, **labels)})"
    runbook = "${docs:raw}/runbook.md#:~:text=${__value.text}"
    words = {
        severity: {"text": severity, "color": colour, "index": index}
        for index, (severity, colour) in enumerate(COLOURS.items())
    }
    return table(
        "Alerts",
        "Alerts that fire now, those that page a person first, and for how long each has been true. A click on a name"
        " opens the runbook. Needs the shipped rules in the same Prometheus.",
        Query(f"({age(since)}) and on ({kept}) {firing}"),
        look=Look("s", empty="No alert to show"),
        columns={"severity": "Severity", "alertname": "Alert", "account": "Account", "Value": "For"},
        sort="Severity",
        ascending=True,
        overrides=[
            override(
                "Severity",
                mappings=[{"type": "value", "options": words}],
                custom_cellOptions={"type": "color-background", "mode": "basic"},
                custom_width=80,
            ),
            override("Alert", links=[{"title": "What to do about it", "url": runbook, "targetBlank": True}]),
            override("Account", custom_width=110),
            override("For", custom_width=80),
        ],
    )  # fmt: skip


def alert_marks(jobs: str, **labels: str) -> list[Json]:
    """Return marks on every panel for as long as an alert fires: those that page, and those that do not."""
    return [
        annotation(
            words,
            COLOURS[severity],
            alerts_of("ALERTS", jobs, alertstate="firing", severity=severity, **labels),
            title="{{alertname}}",
            text="{{account}} {{reason}}",
        )
        for words, severity in (("Alerts that page", PAGE), ("Tickets", TICKET))
    ]
