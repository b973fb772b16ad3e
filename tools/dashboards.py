"""What the Grafana dashboards show: every panel with its question, its query, its unit and its colours.

`make docs` writes them to `deploy/grafana/dashboards/`, and a test fails where they are not what this writes. The
overview is for whoever was woken at three: its first line answers "is all well?", the next what is wrong and where.

One meaning a colour, everywhere: green is as wanted; yellow goes away automatically; orange waits for a person to
decide; red is broken; blue is so because a person decided so; purple is nobody's; grey does not matter. A test
holds this too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from event_panels import receiver_lines, receiver_variable
from grafana import (
    BLUE,
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
    annotation,
    constant_variable,
    dashboard,
    data_source_variable,
    override,
    series,
    stat,
    table,
    timeline,
    to_others,
    to_page,
    values_variable,
)
from promql import HOUR, LATELY, SLOWNESS, Of, selected, slowness
from reconciler.core.model import Action, Cause, Condition, Kind, PassResult, Reason, Result
from reconciler.telemetry.metrics import DEVICE_STATES, TOKEN_RESULTS

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana" / "dashboards"
DOCS = "https://runbooks.example.org/pcc-reconciler"
"""Where the reader's people keep the pages of `docs/`; the alerts lead there too."""
TAG = "pcc-reconciler"

Colours = Mapping[str, str]

CONDITIONS: Mapping[Condition, tuple[str, str]] = {
    Condition.IN_SYNC: ("In sync", GREEN),
    Condition.CONVERGING: ("On the way", YELLOW),
    Condition.HELD: ("Held", ORANGE),
    Condition.PAUSED: ("Paused", BLUE),
    Condition.STOPPED: ("Stopped", RED),
    Condition.ABANDONED: ("Abandoned", PURPLE),
}
STATES: Colours = dict(zip(DEVICE_STATES, (GREEN, YELLOW, ORANGE, BLUE, GREY), strict=True))
RESULTS: Colours = dict(zip(map(str, Result), (GREEN, GREY, YELLOW, ORANGE), strict=True))
PASSES: Colours = dict(zip(map(str, PassResult), (RED, YELLOW, ORANGE, BLUE, GREEN), strict=True))
KINDS: Colours = dict(zip(map(str, Kind), (ORANGE, BLUE, YELLOW), strict=True))
RENEWALS: Colours = dict(zip(TOKEN_RESULTS, (GREEN, RED, YELLOW), strict=True))
ANSWERS: Colours = {"/^2/": GREEN, "/^4/": ORANGE, "/^5/": RED, "/^none/": PURPLE}

NEVER = (1e9, "never", RED)
"""An age counted from the beginning of time."""


def of(metric: str, **labels: str) -> str:
    """Return a metric of the chosen daemon."""
    return selected(metric, {"job": "$job", **labels})


def mine(metric: str, **labels: str) -> str:
    """Return a metric of the chosen account."""
    return of(metric, account="$account", **labels)


def first(*findings: tuple[int, str], otherwise: str) -> str:
    """Return the number of the first finding that has a value, in one series without labels."""
    return " or ".join([*(f"{number} * group({found})" for number, found in findings), otherwise])


def age(moment: str) -> str:
    """Return how many seconds ago a moment was."""
    return f"time() - {moment}"


def share_left(select: Of) -> str:
    """Return which share of the hour's calls is left to the account with the least."""
    return f"min({select('pcc_api_quota_remaining')} / {select('pcc_api_quota_calls_per_hour')})"


SINCE = of("pcc_out_of_sync_since_timestamp_seconds")
OVERDUE = f"{age(f'({SINCE} > 0)')} > 3600"
EXCUSED = "|".join(
    [*(one for one in Reason if one.kind is Kind.POLICY), Reason.REFUSED, Reason.QUOTA]
)
"""Reasons for which a device may be missing for long: a person decided so, LG does not take it, or LG's pace."""
MISSING = of("pcc_devices", state="missing")
SET_ASIDE = f"sum without (action, kind, reason) ({of('pcc_changes_held', action='subscribe', reason=EXCUSED)})"
VERDICTS: Sequence[tuple[str, str, str]] = (
    ("The daemon is down", RED, f"absent({of('pcc_build_info')})"),
    ("No text is accepted yet", RED, f"sum({of('pcc_accounts')}) == 0"),
    (
        "Devices missing for over an hour",
        RED,
        f"{OVERDUE} and (min_over_time({MISSING}{HOUR}) - ignoring (state) {SET_ASIDE}) > 0",
    ),
    ("State cannot be written", RED, f"{of('pcc_state_writable')} == 0"),
    ("LG does not let an account in", RED, f"{of('pcc_accounts', condition='stopped')} > 0"),
    ("The newest revision is rejected", RED, f"{of('pcc_desired_last_reload_successful')} == 0"),
    ("A guard waits for a person", ORANGE, f"{of('pcc_guard_tripped')} > 0"),
    ("An account is abandoned", PURPLE, f"{of('pcc_accounts', condition='abandoned')} > 0"),
    (
        "The text cannot be fetched",
        YELLOW,
        f"increase({of('pcc_source_errors_total')}{LATELY}) > 0",
    ),
    ("LG refuses devices", ORANGE, f"{of('pcc_changes_held', reason='refused')} > 0"),
    ("Well, but it only observes", BLUE, f"{of('pcc_mode_info', mode='observe')} > 0"),
    ("Well, but something is paused", BLUE, f"{of('pcc_accounts', condition='paused')} > 0"),
    ("Well, on the way", YELLOW, f"{of('pcc_accounts', condition='!in_sync')} > 0"),
)
"""What may be wrong, the worst first, each with the query that has a value where it is so."""


def verdict() -> Panel:
    """Return the one sentence for whoever was woken."""
    words = {number: (text, colour) for number, (text, colour, _) in enumerate(VERDICTS, 1)}
    findings = [(number, found) for number, (_, _, found) in enumerate(VERDICTS, 1)]
    return stat(
        "Is all well?",
        "The worst that is so right now, in one sentence; the panels below tell where. Red: act now. Orange or"
        " purple: a person has to decide, in working hours. Yellow and blue: nothing to do. The runbook, above, says"
        " what to do.",
        Query(first(*findings, otherwise="vector(0)")),
        look=Look("none", words={0: ("All is well", GREEN), **words}),
    )


def daemon() -> Panel:
    """Return whether the daemon answers, and whether it acts."""
    modes = [(2, "enforce"), (1, "observe")]
    found = [(number, f"{of('pcc_mode_info', mode=mode)} > 0") for number, mode in modes]
    return stat(
        "Daemon",
        "Whether Prometheus reaches the daemon, and whether it makes changes (enforce) or only looks (observe).",
        Query(first(*found, otherwise="vector(0)")),
        look=Look(
            "none", words={2: ("Up, acts", GREEN), 1: ("Up, only looks", BLUE), 0: ("Down", RED)}
        ),
    )


def accounts() -> Panel:
    """Return how many accounts are in which condition."""
    queries = [
        Query(f"sum({of('pcc_accounts', condition=condition)})", words)
        for condition, (words, _) in CONDITIONS.items()
    ]
    panel = stat(
        "Accounts",
        "Accounts by condition, each in one. Held: a guard or policy holds changes. Stopped: LG does not let it in."
        " Abandoned: it left the file while devices of it are live, and nothing is called for it.",
        *queries,
        look=Look("none", steps=((None, PLAIN),)),
    )
    coloured = [
        override(words, thresholds={"mode": "absolute", "steps": steps(PLAIN, (1, colour))})
        for words, colour in CONDITIONS.values()
    ]
    return replace(panel, overrides=coloured)


def steps(base: str, *more: tuple[float, str]) -> list[Json]:
    """Return thresholds as Grafana writes them."""
    return [{"value": value, "color": colour} for value, colour in ((None, base), *more)]


def revision_state() -> Panel:
    """Return whether the newest revision is in force, and if not, why."""
    words = {number: (f"Rejected: {cause}", RED) for number, cause in enumerate(Cause, 1)}
    found = [
        (number, f"{of('pcc_desired_rejected', cause=cause)} > 0")
        for number, cause in enumerate(Cause, 1)
    ]
    none_yet = len(words) + 1
    return stat(
        "Newest revision",
        "Whether the newest desired state is in force. While it is rejected, the accepted one goes on, drift is"
        " healed and unsubscribes of its accounts are held. The log line desired.rejected names every fault with its"
        " place.",
        Query(
            first(
                *found,
                (none_yet, f"{of('pcc_desired_last_reload_successful')} == 0"),
                otherwise=f"0 * max({of('pcc_desired_last_reload_successful')})",
            )
        ),
        look=Look("none", words={0: ("Accepted", GREEN), **words, none_yet: ("None yet", YELLOW)}),
    )


def missing(select: Of) -> Panel:
    """Return how many wanted devices are not live."""
    return stat(
        "Devices missing",
        "Wanted devices that are not subscribed: if one of them breaks now, nobody hears of it. After an hour of it the"
        " first panel of the overview turns red, and an alert calls somebody.",
        Query(f"sum({select('pcc_devices', state='missing')})"),
        look=Look("short", ((None, GREEN), (1, YELLOW))),
    )


def out_of_sync(title: str, select: Of) -> Panel:
    """Return for how long something wanted has not been done."""
    since = select("pcc_out_of_sync_since_timestamp_seconds")
    return stat(
        title,
        "How long a wanted change has not been made, whatever holds it. Yellow from 10 minutes, orange from an hour.",
        Query(f"max({age(f'({since} > 0)')}) or 0 * max({since})"),
        look=Look(
            "s", ((None, GREEN), (600, YELLOW), (3600, ORANGE)), words={0: ("in sync", GREEN)}
        ),
    )


def revision() -> Panel:
    """Return which revision is in force."""
    short = '"short", "$1", "revision", "(?:sha256:)?(.{1,12}).*"'
    return stat(
        "Revision in force",
        "Where the accepted revision is from, the first 12 characters of its commit (or of its digest, where it is not"
        " from Git), and whether the commit's signature was found good.",
        Query(
            f"label_replace({of('pcc_desired_revision_info')}, {short})",
            "{{source}} {{short}}, verified: {{verified}}",
        ),
        look=Look("none", ((None, PLAIN),)),
        names=True,
    )


def commit_age() -> Panel:
    """Return when the commit in force was made."""
    return stat(
        "Committed",
        "When the commit in force was made; without Git there is none. A merge that does not show here was not"
        " fetched or was rejected.",
        Query(f"1000 * (max({of('pcc_desired_commit_timestamp_seconds')}) > 0)"),
        look=Look("dateTimeFromNow", ((None, PLAIN),), empty="not from Git"),
    )


def list_age(title: str, select: Of) -> Panel:
    """Return how old the knowledge of LG's side is."""
    return stat(
        title,
        "How long ago a live list of LG was last read and believed. Older than a few intervals: LG does not answer,"
        " or answers what cannot be believed.",
        Query(age(f"min({select('pcc_pass_last_success_timestamp_seconds')})")),
        look=Look("s", ((None, GREEN), (1800, YELLOW), (7200, RED)), from_words=NEVER),
    )


def guards_waiting(select: Of) -> Panel:
    """Return how many guards a person has to look at."""
    return stat(
        "Guards waiting",
        "Guards that hold something: each looked like an accident, and a person decides. The status page has the"
        " approval block to copy.",
        Query(f"sum({select('pcc_guard_tripped')})"),
        look=Look("short", ((None, GREEN), (1, ORANGE))),
    )


def budget(select: Of) -> Panel:
    """Return how many devices may still go today."""
    return stat(
        "May go today",
        "Devices that may still be unsubscribed within 24 hours without an approval: of the account with the fewest;"
        " without the label account, of all together. At 0 the next unsubscribe waits for a person.",
        Query(
            f"min({select('pcc_unsubscribe_budget_remaining')} and on (account) {select('pcc_observed_devices')} > 0)"
        ),
        look=Look("short", ((None, ORANGE), (1, GREEN)), empty="nothing live"),
    )


def quota(select: Of) -> Panel:
    """Return how much of the hour's calls is left."""
    return stat(
        "LG quota left",
        "Share of the hour's calls to LG that is left: of the account with the least; without the label account, of"
        " all together. No value while LG never throttled and the file sets no limit.",
        Query(share_left(select)),
        look=Look(
            "percentunit",
            ((None, RED), (0.02, YELLOW), (0.2, GREEN)),
            empty="no limit known",
            decimals=0,
        ),
    )


def token(select: Of) -> Panel:
    """Return how long the access token is good."""
    return stat(
        "Token ends in",
        "Until the first access token ends. With a refresh token it is renewed two minutes ahead, so less than that"
        " says that renewing fails; without one a person has to replace it.",
        Query(f"min({select('pcc_token_expiry_timestamp_seconds')} > 0) - time()"),
        look=Look("s", ((None, RED), (0, ORANGE), (110, GREEN)), empty="not known"),
    )


def devices(select: Of) -> Panel:
    """Return the partition of all devices over time."""
    return series(
        "Devices",
        "All devices that are wanted or live, by what they are to us. Missing: wanted, not live. Extra: live, not"
        " wanted, to be unsubscribed. Unmanaged: live, not wanted, not ours to remove. Ignored: never touched.",
        Query(f"sum by (state) ({select('pcc_devices')})", "{{state}}"),
        look=Look("short", colours=STATES, decimals=0),
        stacked=True,
    )


def out_of_sync_accounts() -> Panel:
    """Return which accounts are not as wanted, the longest first."""
    unwell = (
        f"sum by (account, condition) ({of('pcc_account_condition', condition='!in_sync')}) > 0"
    )
    also = f"and on (account) ({unwell})"
    link = "/d/pcc-account?var-account=${__value.text}&${datasource:queryparam}&${job:queryparam}&${__url_time_range}"
    since = of("pcc_out_of_sync_since_timestamp_seconds")
    words = {
        condition: {"index": n, "text": w, "color": c}
        for n, (condition, (w, c)) in enumerate(CONDITIONS.items())
    }
    return table(
        "Accounts not in sync",
        "Accounts that are not as wanted, the longest first; a click on a name opens its dashboard. Without the label"
        " account: how many accounts are in each condition.",
        Query(unwell),
        Query(f"max by (account) ({age(f'({since} > 0)')}) {also}"),
        Query(f"sum by (account) ({of('pcc_devices', state='missing')}) {also}"),
        Query(f"sum by (account) ({of('pcc_changes_held')}) {also}"),
        look=Look("short", ((None, PLAIN),), empty="All accounts are in sync"),
        columns={
            "account": "Account",
            "condition": "Condition",
            "Value #B": "For",
            "Value #C": "Missing",
            "Value #D": "Held",
            "Value #A": "Accounts",
        },
        sort="For",
        overrides=[
            override(
                "Account",
                links=[
                    {"title": "Open the account's dashboard", "url": link, "targetBlank": False}
                ],
            ),
            override(
                "Condition",
                mappings=[{"type": "value", "options": words}],
                custom_cellOptions={"type": "color-background", "mode": "basic"},
            ),
            override("For", unit="s"),
        ],
    )


def held_changes(select: Of) -> Panel:
    """Return what is not done, and why."""
    link = "${docs:raw}/guards.md#${__value.text}"
    return table(
        "Held changes",
        "Wanted changes that are not made now, by the one reason that holds each. Guard: a person decides. Policy: a"
        " person decided not now. Platform: LG or time resolves it. A click on a reason opens what to do about it.",
        Query(f"sum by (kind, reason, action) ({select('pcc_changes_held')}) > 0"),
        look=Look("short", ((None, PLAIN),), empty="Nothing is held"),
        columns={"kind": "Kind", "reason": "Reason", "action": "Action", "Value": "Devices"},
        sort="Devices",
        overrides=[
            override(
                "Kind",
                mappings=[
                    {
                        "type": "value",
                        "options": {
                            kind: {"text": kind, "color": to} for kind, to in KINDS.items()
                        },
                    }
                ],
                custom_cellOptions={"type": "color-background", "mode": "basic"},
            ),
            override(
                "Reason", links=[{"title": "What to do about it", "url": link, "targetBlank": True}]
            ),
        ],
    )


def per_hour(counter: str, *labels: str) -> Query:
    """Return how often something happened within an hour, by these labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    return Query(f"sum by ({', '.join(labels)}) (increase({counter}{HOUR}))", legend)


def changes(select: Of) -> Panel:
    """Return what was done."""
    return series(
        "Changes within an hour",
        "Changes that ended within the hour before, by result: subscribes upwards, unsubscribes downwards. Noop: LG"
        " says it was so already. Failed: tried again automatically. Refused: LG does not take this device.",
        per_hour(select("pcc_changes_total"), "action", "result"),
        look=Look(
            "short",
            colours={
                f"{action} {result}": to for action in Action for result, to in RESULTS.items()
            },
        ),
        stacked=True,
        overrides=[override("/^unsubscribe /", custom_transform="negative-Y")],
    )


def answers() -> Panel:
    """Return what LG answered."""
    return series(
        "LG's answers a minute",
        "Calls to LG by HTTP status and LG's own code, averaged over 15 minutes. None: no answer came. The meaning of"
        " each code, and what is done after it, is in docs/lg.md.",
        Query(
            f"60 * sum by (status, code) (rate({of('pcc_api_requests_total')}{LATELY}))",
            "{{status}} {{code}}",
        ),
        look=Look("reqpm", colours=ANSWERS),
        stacked=True,
    )


def latency() -> Panel:
    """Return how slow LG is."""
    return series(
        "LG's latency",
        "Seconds that one call to LG took, from when it was sent until its answer was read, over 15 minutes.",
        *slowness(of, "pcc_api_request_duration_seconds"),
        look=Look("s", colours=SLOWNESS),
    )


def throttling() -> Panel:
    """Return how LG throttles, and how much may still be called."""
    return series(
        "Throttled calls and quota left",
        "Calls that LG throttled within an hour (left), and the share of the hour's calls that is left to the account"
        " with the least (right); the latter is empty while no limit is known.",
        Query(f"sum(increase({of('pcc_api_throttled_total')}{HOUR}))", "throttled within an hour"),
        Query(share_left(of), "quota left"),
        look=Look("short", colours={"throttled within an hour": ORANGE, "quota left": GREEN}),
        overrides=[override("quota left", unit="percentunit", max=1, custom_axisPlacement="right")],
    )


def passes(select: Of) -> Panel:
    """Return how the passes ended."""
    return series(
        "Passes within an hour",
        "Passes that ended within the hour before. Clean: nothing to do. Changed: all was done. Held: something"
        " waits. Partial: not all was done. Failed: no live list could be trusted.",
        per_hour(select("pcc_passes_total"), "result"),
        look=Look("short", colours=PASSES),
        stacked=True,
    )


def by_condition() -> Panel:
    """Return how the fleet went."""
    return series(
        "Accounts by condition",
        "All accounts over time, each in one condition.",
        *(
            Query(f"sum({of('pcc_accounts', condition=condition)})", words)
            for condition, (words, _) in CONDITIONS.items()
        ),
        look=Look("short", colours=dict(CONDITIONS.values()), decimals=0),
        stacked=True,
    )


def pass_times() -> Panel:
    """Return how long the work takes."""
    usual = slowness(of, "pcc_pass_duration_seconds")[1]
    converged = slowness(of, "pcc_convergence_seconds")[1]
    return series(
        "How long it takes",
        "Within how many seconds 95 % of the passes ended, and from a new revision to an account in sync with it,"
        " over 15 minutes. No value where there was none.",
        Query(usual.expression, "a pass"),
        Query(converged.expression, "from revision to in sync"),
        look=Look("s", colours={"a pass": BLUE, "from revision to in sync": GREEN}),
    )


def queue() -> Panel:
    """Return whether the workers keep up."""
    depth, oldest = "accounts that wait", "longest wait"
    return series(
        "Queue",
        "Accounts that are due and wait for a worker (left), and how long the first of them has waited (right). A"
        " wait of more than a few seconds for hours: raise PCC_WORKERS.",
        Query(f"sum({of('pcc_queue_depth')})", depth),
        Query(f"max({of('pcc_queue_oldest_seconds')})", oldest),
        look=Look("short", colours={depth: BLUE, oldest: YELLOW}),
        overrides=[override(oldest, unit="s", custom_axisPlacement="right")],
    )


def renewals(select: Of) -> Panel:
    """Return how the renewal of tokens goes."""
    return series(
        "Token renewals within an hour",
        "Access tokens that were renewed. Refused: the refresh token is no longer good, and a person has to replace"
        " it. Unavailable: LG's account service did not answer; it is asked again.",
        per_hour(select("pcc_token_refreshes_total"), "result"),
        look=Look("short", colours=RENEWALS),
        stacked=True,
    )


def source_errors() -> Panel:
    """Return what went wrong with fetching."""
    return series(
        "Failed fetches within an hour",
        "Fetches of the newest revision that failed, by kind. Meanwhile the accepted one stays in force.",
        per_hour(of("pcc_source_errors_total"), "kind"),
        look=Look("short"),
        stacked=True,
    )


def moment(title: str, description: str, metric: str) -> Panel:
    """Return when something was, in words."""
    look = Look("dateTimeFromNow", ((None, PLAIN),), empty="never")
    return stat(title, description, Query(f"1000 * (max({metric}) > 0)"), look=look)


def count(title: str, description: str, expression: str, colour: str) -> Panel:
    """Return a number that is best at 0."""
    return stat(
        title, description, Query(expression), look=Look("short", ((None, GREEN), (1, colour)))
    )


def inside() -> list[Line]:
    """Return what is asked once it is known that something is wrong."""
    state = {1: ("Writable", GREEN), 0: ("Not writable", RED)}
    return [
        Line(1, heading="Inside the daemon"),
        Line(8, [(6, by_condition()), (6, passes(of)), (6, pass_times()), (6, queue())]),
        Line(8, [(8, source_errors()), (8, renewals(of)), (8, refused_and_flapping())]),
        Line(
            3,
            [
                (4, stat("State", "Whether what is done can be remembered; if not, unsubscribes are held.",
                         Query(f"min({of('pcc_state_writable')})"), look=Look("none", words=state))),
                (4, moment("Text accepted", "When a text was last accepted as a whole.",
                           of("pcc_desired_last_reload_success_timestamp_seconds"))),
                (4, moment("Source read", "When the source of the text was last read, changed or not.",
                           of("pcc_source_last_success_timestamp_seconds"))),
                (4, count("Approvals expired", "Approvals in the text that have expired: they let nothing go any more.",
                          f"sum({of('pcc_approvals', state='expired')})", ORANGE)),
                (4, stat("Interval", "Time between two passes of an account, give or take a tenth.",
                         Query(f"max({of('pcc_interval_seconds')})"), look=Look("s", ((None, PLAIN),)))),
                (4, stat("Version", "Which version of the daemon runs.",
                         Query(of("pcc_build_info"), "{{version}}"), look=Look("none", ((None, PLAIN),)), names=True)),
            ],
        ),
        Line(
            3,
            [
                (8, stat("Clock ahead of LG's", "By how much this machine's clock is ahead of LG's. Beyond five minutes"
                         " a device is wanted when either clock has it so: check NTP.",
                         Query(f"max({of('pcc_clock_ahead_seconds')})"),
                         look=Look("s", ((None, ORANGE), (-300, GREEN), (300, ORANGE))))),
                (8, count("Log lines dropped", "Log lines of the last hour that nobody read in time.",
                          f"sum(increase({of('pcc_log_lines_dropped_total')}{HOUR}))", ORANGE)),
                (8, count("Answers to other requests", "Answers of LG's in the last hour that name another message id"
                          " than their request: a cache or a proxy may mix them up.",
                          f"sum(increase({of('pcc_api_other_message_ids_total')}{HOUR}))", ORANGE)),
            ],
        ),
    ]  # fmt: skip


def refused_and_flapping() -> Panel:
    """Return the devices that LG does not take, or does not keep."""
    refused, flapping = "refused by LG", "lost again and again"
    return series(
        "Troublesome devices",
        "Devices that LG refuses, and wanted devices that LG lost five times or more in a day after taking them:"
        " another writer may be at work. The command status --refused lists the former, the log the latter.",
        Query(f"sum({of('pcc_changes_held', reason=Reason.REFUSED)})", refused),
        Query(f"sum({of('pcc_flapping_devices')})", flapping),
        look=Look("short", colours={refused: ORANGE, flapping: YELLOW}, decimals=0),
    )


def overview_lines() -> list[Line]:
    """Return the overview: a first line that answers, two that say where, and the inside below the first screen."""
    answer = [(6, verdict()), (3, daemon()), (6, accounts()), (3, missing(of))]
    answer += [(3, out_of_sync("Longest out of sync", of)), (3, revision_state())]
    facts = [
        (6, revision()),
        (3, commit_age()),
        (3, list_age("Oldest live list", of)),
        (3, guards_waiting(of)),
    ]
    facts += [(3, budget(of)), (3, quota(of)), (3, token(of))]
    where = [(8, devices(of)), (9, out_of_sync_accounts()), (7, held_changes(of))]
    flow = [(6, changes(of)), (6, answers()), (6, latency()), (6, throttling())]
    top = [Line(4, answer), Line(3, facts), Line(8, where), Line(8, flow)]
    return [*top, *inside(), *receiver_lines()]


def condition() -> tuple[str, dict[int, tuple[str, str]]]:
    """Return the account's condition as a number, and what the numbers say."""
    numbered = list(enumerate(CONDITIONS))
    parts = [
        (number, f"{mine('pcc_account_condition', condition=one)} > 0") for number, one in numbered
    ]
    *rest, last = parts
    return first(*rest, otherwise=f"{last[0]} * group({last[1]})"), {
        n: CONDITIONS[one] for n, one in numbered
    }


def guards_over_time() -> Panel:
    """Return when which guard held something."""
    return timeline(
        "Guards",
        "When which guard held something of this account.",
        Query(f"max by (reason) ({mine('pcc_guard_tripped')})", "{{reason}}"),
        look=Look("none", words={0: ("quiet", GREEN), 1: ("holds", ORANGE)}),
    )


def wanted_and_live() -> Panel:
    """Return the two sizes that are to be equal."""
    return series(
        "Wanted and live",
        "Devices that the accepted revision wants, and devices in the last trusted live list. With prune all and"
        " nothing held the two lines are one.",
        Query(f"sum({mine('pcc_desired_devices')})", "wanted"),
        Query(f"sum({mine('pcc_observed_devices')})", "live"),
        look=Look("short", colours={"wanted": BLUE, "live": GREEN}, decimals=0),
    )


def held_over_time() -> Panel:
    """Return what was not done, and why."""
    return series(
        "Held changes over time",
        "Wanted changes that were not made, by kind and reason.",
        Query(f"sum by (kind, reason) ({mine('pcc_changes_held')}) > 0", "{{kind}} {{reason}}"),
        look=Look(
            *("short", ((None, PLAIN),)),
            colours={f"/^{kind} /": colour for kind, colour in KINDS.items()},
            empty="Nothing was held",
            decimals=0,
        ),
        stacked=True,
    )


def calls() -> Panel:
    """Return what LG lets the account do."""
    limit, left, throttled = "allowed an hour", "left this hour", "throttled within an hour"
    return series(
        "Quota",
        "Calls that the account may make in any rolling hour, how many of them are left, and calls that LG throttled."
        " The first two are empty while LG never throttled and the file sets no limit.",
        Query(f"max({mine('pcc_api_quota_calls_per_hour')})", limit),
        Query(f"max({mine('pcc_api_quota_remaining')})", left),
        Query(f"sum(increase({mine('pcc_api_throttled_total')}{HOUR}))", throttled),
        look=Look("short", colours={limit: BLUE, left: GREEN, throttled: ORANGE}),
    )


def budget_over_time() -> Panel:
    """Return how the day's unsubscribes were used."""
    return series(
        "Unsubscribes left without an approval",
        "Devices that may still be unsubscribed within 24 hours without an approval.",
        Query(f"max({mine('pcc_unsubscribe_budget_remaining')})", "left"),
        look=Look("short", colours={"left": BLUE}, decimals=0),
    )


def flapping() -> Panel:
    """Return how many devices LG does not keep."""
    return count(
        "Flapping",
        "Wanted devices that LG lost five times or more in a day after taking them: another writer may be at work.",
        f"sum({mine('pcc_flapping_devices')})",
        YELLOW,
    )


def account_lines() -> list[Line]:
    """Return everything of one account."""
    number, words = condition()
    look = Look("none", words=words, empty="No such account")
    now = stat("Condition", "The one condition that the account is in.", Query(number), look=look)
    was = timeline(
        "Condition over time",
        "The one condition that the account was in.",
        Query(number),
        look=look,
    )
    began = mine("pcc_pass_last_attempt_timestamp_seconds")
    answer = [(6, now), (3, missing(mine)), (3, out_of_sync("Out of sync for", mine))]
    answer += [
        (3, list_age("Live list read", mine)),
        (3, guards_waiting(mine)),
        (6, held_changes(mine)),
    ]
    facts = [
        (4, moment("Last pass began", "When the last pass of this account began.", began)),
        (4, budget(mine)),
    ]
    facts += [(4, quota(mine)), (4, token(mine)), (4, approvals_of_account()), (4, flapping())]
    sizes = [(8, devices(mine)), (8, wanted_and_live()), (8, held_over_time())]
    flow = [(8, changes(mine)), (8, passes(mine)), (8, budget_over_time())]
    far = [(12, calls()), (12, renewals(mine))]
    bands = [(12, was), (12, guards_over_time())]
    return [
        Line(5, answer),
        Line(3, facts),
        Line(6, bands),
        Line(8, sizes),
        Line(8, flow),
        Line(8, far),
    ]


def approvals_of_account() -> Panel:
    """Return whether a person let something go."""
    active, expired = "active", "expired"
    return stat(
        "Approvals",
        "Approvals in the text for this account; an expired one lets nothing go any more.",
        *(
            Query(f"sum({mine('pcc_approvals', state=state)})", state)
            for state in (active, expired)
        ),
        look=Look("short", ((None, PLAIN),)),
    )


def marks() -> list[Json]:
    """Return the marks that tell what people did: every panel is read against them."""
    now = f"group by (revision, source, verified) ({of('pcc_desired_revision_info')})"
    before = f"group by (revision) ({of('pcc_desired_revision_info')} offset $__interval)"
    commit = f"({of('pcc_desired_commit_timestamp_seconds')} > 0)"
    revised = f"on (job, instance) group_left (revision) {of('pcc_desired_revision_info')}"
    return [
        annotation("New revision in force", BLUE, f"{now} unless on (revision) {before}",
                   title="New revision in force", text="{{revision}}"),
        annotation("Commit", PURPLE, f"1000 * {commit} * {revised}",
                   title="Commit made", text="{{revision}}", value_is_moment=True),
    ]  # fmt: skip


def variables() -> list[Json]:
    """Return what the reader chooses on every dashboard, and where the documents are."""
    daemon = values_variable(
        "job",
        "Daemon",
        "Prometheus' job that scrapes the daemon. There is no choice of an instance: one daemon runs at a time, and"
        " each restart on Kubernetes gives it another address.",
        "label_values(pcc_build_info, job)",
    )
    docs = constant_variable("docs", "Where the pages of docs/ are read; links lead there.", DOCS)
    return [data_source_variable(), daemon, docs]


def links() -> list[Json]:
    """Return what every dashboard leads to."""
    runbook = to_page("Runbook", "What to do about each alert", "${docs:raw}/runbook.md")
    held = to_page(
        "What holds a change", "Every reason, and what to do about it", "${docs:raw}/guards.md"
    )
    return [to_others("PCC dashboards", TAG), runbook, held]


def dashboards() -> dict[str, Json]:
    """Return every dashboard by the name of its file."""
    account = values_variable(
        "account",
        "Account",
        "One account of LG.",
        f"label_values({of('pcc_account_condition')}, account)",
    )
    overview = dashboard(
        "pcc-overview",
        "PCC overview",
        "Every account at once. The first line says whether all is well; works with PCC_METRICS_PER_ACCOUNT=false too.",
        tag=TAG,
        variables=[*variables(), receiver_variable()],
        annotations=marks(),
        links=links(),
        lines=overview_lines(),
    )
    one = dashboard(
        "pcc-account",
        "PCC account",
        "Everything of one account. Needs the label account, so it is empty with PCC_METRICS_PER_ACCOUNT=false.",
        tag=TAG,
        variables=[*variables(), account],
        annotations=marks(),
        links=links(),
        lines=account_lines(),
    )
    return {"overview.json": overview, "account.json": one}


def written() -> Iterable[tuple[Path, str]]:
    """Return every dashboard's file and what it should say."""
    for name, one in dashboards().items():
        yield FOLDER / name, json.dumps(one, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every dashboard."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in written():
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
