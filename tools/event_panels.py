"""The row about LG's events on the overview: whether they come in, and whether they get to where they belong.

It reads the metrics of the receivers, which Prometheus scrapes under a job of their own. Without a receiver the row
says so and stays empty. Colours mean what they mean everywhere, see ``dashboards``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana import (
    GREEN,
    GREY,
    ORANGE,
    PLAIN,
    PURPLE,
    RED,
    YELLOW,
    Json,
    Line,
    Look,
    Panel,
    Query,
    series,
    stat,
    values_variable,
)
from promql import HOUR, SLOWNESS, selected, slowness

NOBODY = "no receiver"
NEVER = "never"
RESULTS: Mapping[str, str] = {"delivered": GREEN, "retry": YELLOW, "dead": ORANGE}


def of(metric: str, **labels: str) -> str:
    """Return a metric of the chosen receivers."""
    return selected(metric, {"job": "$receiver", **labels})


def receiver_variable() -> Json:
    """Return the choice of the receivers' job."""
    return values_variable(
        "receiver",
        "Receiver",
        "Prometheus' job that scrapes the receivers of LG's events; several of them are one service.",
        "label_values(pcc_receiver_build_info, job)",
    )


def receiver_lines() -> list[Line]:
    """Return the row."""
    facts = [(3, receivers()), (3, last_event()), (3, last_check()), (3, waiting())]
    facts += [(3, given_up()), (3, spool()), (3, table_state()), (3, log_lines())]
    flow = [(8, received()), (8, deliveries()), (8, not_taken())]
    trouble = [(8, kept()), (8, oddities()), (8, oldest())]
    times = [
        (8, times_of("Answer times", "pcc_receive_duration_seconds", "From a call's head to our 200.")),
        (8, times_of("Delivery times", "pcc_delivery_duration_seconds", "One attempt to deliver.")),
        (8, times_of("Diagnosed to stored", "pcc_event_lag_seconds", "As LG dates a diagnosis; LG's delay is in it.")),
    ]  # fmt: skip
    return [
        Line(1, heading="Events from LG"),
        Line(3, facts),
        Line(8, flow),
        Line(8, trouble),
        Line(8, times),
    ]


def receivers() -> Panel:
    """Return how many receivers answer Prometheus, by version."""
    return stat(
        "Receivers",
        "How many processes take LG's events, by the version that they run.",
        Query(f"count by (version) ({of('pcc_receiver_build_info')})", "{{version}}"),
        look=Look("short", ((None, PLAIN),), empty=NOBODY),
    )


def last_event() -> Panel:
    """Return when LG last sent something."""
    return stat(
        "Last event",
        "When an event was last stored. Days without any are normal in a small fleet.",
        Query(f"1000 * (max({of('pcc_last_event_timestamp_seconds')}) > 0)"),
        look=Look("dateTimeFromNow", ((None, PLAIN),), empty=NEVER),
    )


def last_check() -> Panel:
    """Return when the way in was last known to work."""
    moment = of("pcc_self_check_last_success_timestamp_seconds")
    return stat(
        "Last self-check",
        "How long ago a self-check came through the public address. Red from three quarters of an hour: LG's calls may"
        " not arrive.",
        Query(f"time() - (max({moment}) > 0)"),
        look=Look("s", ((None, GREEN), (2700, RED)), empty=NEVER),
    )


def waiting() -> Panel:
    """Return how many events are not delivered yet."""
    return stat(
        "Waiting for delivery",
        "Events that are stored and not delivered yet, to all sinks together.",
        Query(f"sum({of('pcc_spool_events', state='pending')})"),
        look=Look("short", ((None, GREEN), (1, YELLOW)), empty="none"),
    )


def given_up() -> Panel:
    """Return how many events nobody tries to deliver any more."""
    return stat(
        "Given up",
        "Events that were given up and wait for a replay. The command events list --state dead shows them.",
        Query(f"sum({of('pcc_spool_events', state='dead')})"),
        look=Look("short", ((None, GREEN), (1, ORANGE)), empty="none"),
    )


def spool() -> Panel:
    """Return how full the fullest spool is."""
    return stat(
        "Spool used",
        "How much of its limit the fullest spool uses. At the limit delivered events go first; then LG gets 503.",
        Query(f"max({of('pcc_spool_bytes')} / {of('pcc_spool_limit_bytes')})"),
        look=Look("percentunit", ((None, GREEN), (0.8, ORANGE)), empty=NOBODY, decimals=0),
    )


def table_state() -> Panel:
    """Return whether the newest rules are in force."""
    words = {1: ("Table accepted", GREEN), 0: ("Table rejected", RED)}
    return stat(
        "Logic Table",
        "Whether the newest events file and Logic Table are in force. While they are rejected, the accepted ones are.",
        Query(f"min({of('pcc_logic_last_reload_successful')})"),
        look=Look("none", words=words, empty=NOBODY),
    )


def log_lines() -> Panel:
    """Return whether the receivers' logs are whole."""
    return stat(
        "Receiver log lines dropped",
        "Log lines of the receivers of the last hour that nobody read in time.",
        Query(f"sum(increase({of('pcc_log_lines_dropped_total')}{HOUR}))"),
        look=Look("short", ((None, GREEN), (1, ORANGE)), empty=NOBODY),
    )


def received() -> Panel:
    """Return what came in."""
    return series(
        "Events received within an hour",
        "Events that were stored for the first time, by category of the Logic Table; unknown: the table does not have"
        " the diagnosis; none: no diagnosis.",
        Query(
            f"sum by (category) (increase({of('pcc_events_received_total')}{HOUR}))",
            "{{category}}",
        ),
        look=Look("short", empty=NOBODY),
        stacked=True,
    )


def deliveries() -> Panel:
    """Return how attempts to deliver ended."""
    return series(
        "Deliveries within an hour",
        "Attempts to deliver, by how they ended: delivered, to be tried again, or given up.",
        Query(
            f"sum by (result) (increase({of('pcc_deliveries_total')}{HOUR}))",
            "{{result}}",
        ),
        look=Look("short", colours=RESULTS, empty="No sink"),
        stacked=True,
    )


def not_taken() -> Panel:
    """Return which calls were refused."""
    return series(
        "Calls not taken within an hour",
        "Calls that were refused, by reason. spool_full and spool_failed lose events unless LG comes again; strangers"
        " are refused for their credential.",
        Query(
            f"sum by (reason) (increase({of('pcc_events_refused_total')}{HOUR})) > 0",
            "{{reason}}",
        ),
        look=Look("short", empty="Every call was taken"),
        stacked=True,
    )


def kept() -> Panel:
    """Return what the spools hold."""
    return series(
        "Events in the spools",
        "Events in the spools by what became of them. Unrouted ones are those that no sink takes.",
        Query(f"sum by (state) ({of('pcc_spool_events')})", "{{state}}"),
        look=Look(
            "short",
            colours={"pending": YELLOW, "delivered": GREEN, "dead": ORANGE, "quarantined": ORANGE},
            empty="Nothing kept",
            decimals=0,
        ),
        stacked=True,
    )


def oddities() -> Panel:
    """Return what a person may want to look into."""
    named: Sequence[tuple[str, str, str]] = (
        ("sent again", f"sum(increase({of('pcc_events_duplicate_total')}{HOUR}))", GREY),
        ("message id used twice", f"sum(increase({of('pcc_event_id_reused_total')}{HOUR}))", YELLOW),
        ("not understood", f"sum(increase({of('pcc_events_quarantined_total')}{HOUR}))", ORANGE),
        ("not in the table", f"sum(increase({of('pcc_logic_missing_total')}{HOUR}))", ORANGE),
        ("of unknown devices", f"sum(increase({of('pcc_events_received_total', device='unknown')}{HOUR}))", PURPLE),
    )  # fmt: skip
    return series(
        "Odd events within an hour",
        "Events that came again, that are in quarantine, whose diagnosis the table does not have, or whose device is in"
        " no desired state.",
        *(Query(expression, words) for words, expression, _ in named),
        look=Look("short", colours={words: colour for words, _, colour in named}, empty=NOBODY),
    )


def oldest() -> Panel:
    """Return for how long the oldest event of each sink waits."""
    return series(
        "Longest wait for delivery",
        "How long the oldest undelivered event of each sink has waited. An alert comes after half an hour.",
        Query(f"max by (sink) ({of('pcc_spool_oldest_seconds')})", "{{sink}}"),
        look=Look("s", empty="Nothing waits"),
    )


def times_of(title: str, histogram: str, words: str) -> Panel:
    """Return the usual, the slow and the slowest cases of a histogram's last quarter of an hour."""
    return series(
        title,
        f"{words} Of the last quarter of an hour.",
        *slowness(of, histogram),
        look=Look("s", colours=SLOWNESS, empty="Nothing came"),
    )
