"""The rows about LG's events: what they say about subscriptions, whether they come in, and whether they are delivered.

The first row reads what the daemon makes of them, where it asks receivers. The second reads the metrics of the
receivers, which Prometheus scrapes under a job of their own. Without a receiver the rows say so and stay empty.
Colours mean what they mean everywhere, see ``dashboards``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alert_panels import colour_of
from grafana import (
    COUNT,
    GREEN,
    GREY,
    LIGHT_ORANGE,
    ORANGE,
    PLAIN,
    PURPLE,
    YELLOW,
    Json,
    Look,
    Panel,
    Query,
    series,
    stat,
)
from grafana_boards import Line, values_variable
from promql import (
    HOUR,
    NAMESPACE,
    SLOWNESS,
    Of,
    age,
    else_number,
    mine,
    per_hour,
    reported,
    selected,
    slowness,
    whole,
)
from promql import of as of_daemon
from promql import of_receivers as of

NOBODY = "no receiver"
NEVER = "never"
UNASKED = {-1: ("not asked", PLAIN)}
"""What is not known because the daemon asks no receiver."""
LONG_AGO = 1e9
"""An age counted from the beginning of time."""
CONTRADICTED = 3
"""From as many devices on, the alert says that a list contradicts what is heard."""
RESULTS: Mapping[str, str] = {"delivered": GREEN, "retry": YELLOW, "dead": ORANGE}
SPOOLED = ("Events in the spools", "#Events in the spools")


def receiver_variable() -> Json:
    """Return the choice of the receivers' job."""
    return values_variable(
        "receiver",
        "Receiver",
        "Prometheus' job that scrapes the receivers of LG's events; several of them are one service.",
        f"label_values({selected('pcc_receiver_build_info', {'namespace': NAMESPACE})}, job)",
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
    # fmt: off
    return [
        Line(1, heading="What events say about subscriptions"),
        Line(3, [(4, last_heard()), (5, silence()), (5, contradicted()), (5, after_unsubscribe()), (5, read())]),
        Line(7, [(8, silence_over_time()), (8, contradicted_over_time()), (8, receivers_read())]),
        Line(1, heading="Receivers of LG's events"),
        Line(3, facts),
        Line(8, flow),
        Line(8, trouble),
        Line(8, times),
    ]
    # fmt: on


def asked(expression: str, select: Of = of_daemon) -> Query:
    """Return a value; or -1, where the daemon is there and has none, because it asks no receiver or heard nothing."""
    return Query(else_number(expression, -1, reported(select)))


def last_heard() -> Panel:
    """Return when the newest event came that the daemon knows."""
    return stat(
        "Last heard",
        "When the receivers stored the newest event that the daemon knows. Empty where the daemon asks no receiver"
        " (PCC_EVENTS_FROM) or no event ever came.",
        asked(f"1000 * max({of_daemon('pcc_heard_last_event_timestamp_seconds')})"),
        look=Look("dateTimeFromNow", ((None, PLAIN),), words={-1: ("nothing heard", PLAIN)}),
        leads=[("Silence over time", "#Silence over time")],
    )


def silence() -> Panel:
    """Return which share of a silence that means something has passed."""
    so_far = age(f"max({of_daemon('pcc_heard_last_event_timestamp_seconds')})")
    return stat(
        "Silence",
        "How long no event has come, as a share of the silence that is hardly chance: at 100 % an alert pages a person."
        " No value while fewer than 20 events are known.",
        asked(f"({so_far}) / max({of_daemon('pcc_silence_meaningful_seconds')})"),
        look=Look(
            "percentunit",
            ((None, GREEN), (0.5, YELLOW), (1, colour_of("PccEventsSilent"))),
            words={-1: ("too few events", PLAIN)},
            decimals=0,
        ),
        leads=[("Silence over time", "#Silence over time")],
    )


def contradicted() -> Panel:
    """Return how many devices speak that a list lacks."""
    return stat(
        "Lists contradicted",
        f"Wanted devices that LG's lists lack while events of them arrive. From {CONTRADICTED} in one account on, a"
        " ticket says that the list is wrong.",
        asked(f"sum({of_daemon('pcc_list_contradicted_devices')})"),
        look=Look(COUNT, ((None, GREEN), (1, YELLOW), (CONTRADICTED, colour_of("PccListContradicted"))), words=UNASKED),
        leads=[("In which account", "#Contradicted devices")],
    )  # fmt: skip


def after_unsubscribe() -> Panel:
    """Return how many events came of devices that were unsubscribed."""
    return stat(
        "After an unsubscribe",
        "Events within 24 hours of devices that were unsubscribed, diagnosed more than an hour after LG confirmed it.",
        asked(f"sum({of_daemon('pcc_events_after_unsubscribe')})"),
        look=Look(COUNT, ((None, GREEN), (1, colour_of("PccEventsAfterUnsubscribe"))), words=UNASKED),
        leads=[("In which account", "#Contradicted devices")],
    )  # fmt: skip


def read() -> Panel:
    """Return how long ago the daemon read the receiver that it read least recently."""
    return stat(
        "Receivers read",
        "How long ago the daemon last read all events of the receiver that it read least recently. While it cannot read"
        " one, its silence says nothing about LG.",
        asked(age(f"min({of_daemon('pcc_receiver_last_success_timestamp_seconds')})")),
        look=Look(
            "s",
            ((None, GREEN), (300, colour_of("PccReceiverNotRead"))),
            from_words=(LONG_AGO, NEVER, colour_of("PccReceiverNotRead")),
            words=UNASKED,
        ),
        leads=[("Which receiver", "#Receivers read, each")],
    )


def silence_over_time() -> Panel:
    """Return how the silence came near the one that means something."""
    so_far, limit = "silence so far", "silence that means something"
    return series(
        "Silence over time",
        "How long no event had come, and from which length on that is hardly chance.",
        Query(age(f"max({of_daemon('pcc_heard_last_event_timestamp_seconds')})"), so_far),
        Query(f"max({of_daemon('pcc_silence_meaningful_seconds')})", limit),
        look=Look("s", colours={so_far: GREEN, limit: ORANGE}, empty="No event to show"),
    )


def contradicted_over_time() -> Panel:
    """Return which accounts' lists are contradicted."""
    lacks, after = "{{account}} list lacks", "{{account}} after an unsubscribe"
    return series(
        "Contradicted devices",
        "By account: devices that a list lacks while events of them arrive, and events after an unsubscribe.",
        Query(f"sum by (account) ({of_daemon('pcc_list_contradicted_devices')}) > 0", lacks),
        Query(f"sum by (account) ({of_daemon('pcc_events_after_unsubscribe')}) > 0", after),
        look=Look(COUNT, empty="No contradiction to show", decimals=0),
    )


def receivers_read() -> Panel:
    """Return which receiver the daemon cannot read."""
    last = of_daemon("pcc_receiver_last_success_timestamp_seconds")
    return series(
        "Receivers read, each",
        "How long ago the daemon last read all events of each receiver. A ticket comes after 20 minutes.",
        Query(f"time() - (max by (receiver) ({last}) > 0)", "{{receiver}}"),
        look=Look("s", empty="No receiver to show"),
    )


def heard_of_account() -> list[tuple[int, Panel]]:
    """Return what events say about one account."""
    return [
        (3, stat("List lacks", "Wanted devices that LG's list lacks while events of them arrive.",
                 asked(f"sum({mine('pcc_list_contradicted_devices')})", mine),
                 look=Look(COUNT, ((None, GREEN), (1, YELLOW), (CONTRADICTED, colour_of("PccListContradicted"))),
                           words=UNASKED))),
        (3, stat("Events after", "Events within 24 hours of devices that were unsubscribed more than an hour before.",
                 asked(f"sum({mine('pcc_events_after_unsubscribe')})", mine),
                 look=Look(COUNT, ((None, GREEN), (1, colour_of("PccEventsAfterUnsubscribe"))), words=UNASKED))),
    ]  # fmt: skip


def receivers() -> Panel:
    """Return how many receivers answer Prometheus, by version."""
    return stat(
        "Receivers",
        "How many processes take LG's events, by the version that they run.",
        Query(f"count by (version) ({of('pcc_receiver_build_info')})", "{{version}}"),
        look=Look(COUNT, ((None, PLAIN),), empty=NOBODY),
    )


def last_event() -> Panel:
    """Return when LG last sent something."""
    return stat(
        "Last event",
        "When an event was last stored. Days without any are normal in a small fleet.",
        Query(f"1000 * max({of('pcc_last_event_timestamp_seconds')})"),
        look=Look("dateTimeFromNow", ((None, PLAIN),), words={0: (NEVER, PLAIN)}, empty=NOBODY),
        leads=[("Events received", "#Events received within an hour")],
    )


def last_check() -> Panel:
    """Return when the way in was last known to work."""
    moment = of("pcc_self_check_last_success_timestamp_seconds")
    return stat(
        "Self-check",
        "How long ago a self-check came through the public address. Red from three quarters of an hour: LG's calls may"
        " not arrive.",
        Query(age(f"max({moment})")),
        look=Look(
            "s",
            ((None, GREEN), (2700, colour_of("PccSelfCheckFailing"))),
            from_words=(LONG_AGO, NEVER, PLAIN),
            empty=NOBODY,
        ),
    )


def none_kept() -> str:
    """Return -1 where a spool is read that holds no such event."""
    return f"-1 * group({of('pcc_spool_bytes')})"


def waiting() -> Panel:
    """Return how many events are not delivered yet."""
    return stat(
        "Undelivered",
        "Events that are stored and not delivered yet, to all sinks together.",
        Query(f"sum({of('pcc_spool_events', state='pending')}) or {none_kept()}"),
        look=Look(COUNT, ((None, GREEN), (1, YELLOW)), words={-1: ("none", GREEN)}, empty=NOBODY),
        leads=[("For how long, by sink", "#Longest wait for delivery")],
    )


def given_up() -> Panel:
    """Return how many events nobody tries to deliver any more."""
    return stat(
        "Given up",
        "Events that were given up and wait for a replay. The command events list --state dead shows them.",
        Query(f"sum({of('pcc_spool_events', state='dead')}) or {none_kept()}"),
        look=Look(
            COUNT,
            ((None, GREEN), (1, colour_of("PccDeadLetters"))),
            words={-1: ("none", GREEN)},
            empty=NOBODY,
        ),
        leads=[SPOOLED],
    )


def spool() -> Panel:
    """Return how full the fullest spool is."""
    return stat(
        "Spool used",
        "How much of its limit the fullest spool uses. At the limit delivered events go first; then LG gets 503.",
        Query(f"max({of('pcc_spool_bytes')} / {of('pcc_spool_limit_bytes')})"),
        look=Look(
            "percentunit",
            ((None, GREEN), (0.8, colour_of("PccSpoolFilling"))),
            empty=NOBODY,
            decimals=0,
        ),
        leads=[SPOOLED],
    )


def table_state() -> Panel:
    """Return whether the newest rules are in force."""
    words = {1: ("Table accepted", GREEN), 0: ("Table rejected", colour_of("PccLogicRejected"))}
    return stat(
        "Logic Table",
        "Whether the newest events file and Logic Table are in force. While they are rejected, the accepted ones are.",
        Query(f"min({of('pcc_logic_last_reload_successful')})"),
        look=Look("none", words=words, empty=NOBODY),
    )


def log_lines() -> Panel:
    """Return whether the receivers' logs are whole."""
    return stat(
        "Log lines lost",
        "Log lines of the receivers of the last hour that nobody read in time.",
        Query(f"round(sum(increase({of('pcc_log_lines_dropped_total')}{HOUR})))"),
        look=Look(COUNT, ((None, GREEN), (1, ORANGE)), empty=NOBODY),
    )


def received() -> Panel:
    """Return what came in."""
    return series(
        "Events received within an hour",
        "Events that were stored for the first time, by category of the Logic Table; unknown: the table does not have"
        " the diagnosis; none: no diagnosis.",
        per_hour(of("pcc_events_received_total"), "category"),
        look=Look(COUNT, empty="No event to show", decimals=0),
        stacked=True,
    )


def deliveries() -> Panel:
    """Return how attempts to deliver ended."""
    return series(
        "Deliveries within an hour",
        "Attempts to deliver, by how they ended: delivered, to be tried again, or given up.",
        per_hour(of("pcc_deliveries_total"), "result"),
        look=Look(COUNT, colours=RESULTS, empty="No delivery to show", decimals=0),
        stacked=True,
    )


def not_taken() -> Panel:
    """Return which calls were refused."""
    return series(
        "Calls not taken within an hour",
        "Calls that were refused, by reason. spool_full and spool_failed lose events unless LG comes again; strangers"
        " are refused for their credential.",
        per_hour(of("pcc_events_refused_total"), "reason"),
        look=Look(COUNT, empty="No refused call to show", decimals=0),
        stacked=True,
    )


def kept() -> Panel:
    """Return what the spools hold."""
    return series(
        "Events in the spools",
        "Events in the spools by what became of them. Unrouted ones are those that no sink takes.",
        Query(f"sum by (state) ({of('pcc_spool_events')}) > 0", "{{state}}"),
        look=Look(
            COUNT,
            colours={"pending": YELLOW, "delivered": GREEN, "dead": ORANGE, "quarantined": PURPLE},
            empty="No event to show",
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
        ("not in the table", f"sum(increase({of('pcc_logic_missing_total')}{HOUR}))", LIGHT_ORANGE),
        ("of unknown devices", f"sum(increase({of('pcc_events_received_total', device='unknown')}{HOUR}))", PURPLE),
    )  # fmt: skip
    return series(
        "Odd events within an hour",
        "Events that came again, that are in quarantine, whose diagnosis the table does not have, or whose device is in"
        " no desired state.",
        *(Query(whole(expression), words) for words, expression, _ in named),
        look=Look(
            COUNT,
            colours={words: colour for words, _, colour in named},
            empty="No odd event to show",
            decimals=0,
        ),
    )


def oldest() -> Panel:
    """Return for how long the oldest event of each sink waits."""
    return series(
        "Longest wait for delivery",
        "How long the oldest undelivered event of each sink has waited. An alert comes after half an hour.",
        Query(f"max by (sink) ({of('pcc_spool_oldest_seconds')})", "{{sink}}"),
        look=Look("s", empty="No event to show"),
    )


def times_of(title: str, histogram: str, words: str) -> Panel:
    """Return the usual, the slow and the slowest cases of a histogram's last quarter of an hour."""
    return series(
        title,
        f"{words} Of the last quarter of an hour.",
        *slowness(of, histogram),
        look=Look("s", colours=SLOWNESS, empty="No event to show"),
    )
