"""What the Grafana dashboards show: every panel with its question, its query, its unit and its colours.

`make docs` writes them to `deploy/grafana/dashboards/`, and a test fails where they are not what this writes. The
overview is for whoever was woken at three: its first line answers "is all well?", the next what is wrong and where.

One meaning a colour, everywhere: red is what pages a person; orange, in its shades, is what a ticket says; green is as
wanted; yellow goes away automatically; blue is so because a person decided so; purple only tells apart; grey does not
matter. What is missing has no colour. A test holds this too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alert_panels import COLOURS, PAGE, alert_list, alert_marks, alerts_of, colour_of
from event_panels import CONTRADICTED, heard_of_account, receiver_lines, receiver_variable
from grafana import (
    BLUE,
    COUNT,
    DARK_ORANGE,
    GREEN,
    GREY,
    LIGHT_ORANGE,
    LIGHT_PURPLE,
    NO_DATA,
    ORANGE,
    PLAIN,
    PURPLE,
    YELLOW,
    Json,
    Look,
    Panel,
    Query,
    heatmap,
    override,
    series,
    stat,
    table,
    timeline,
)
from grafana_boards import (
    Line,
    annotation,
    constant_variable,
    dashboard,
    data_source_variable,
    to_others,
    to_page,
    values_variable,
)
from promql import (
    HOUR,
    LATELY,
    NAMESPACE,
    SLOWNESS,
    Of,
    age,
    else_number,
    first,
    mine,
    of,
    per_hour,
    reported,
    selected,
    slowness,
)
from reconciler.core.model import Action, Cause, Condition, Kind, PassResult, Reason, Result
from reconciler.telemetry.metrics import DEVICE_STATES, TOKEN_RESULTS

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana" / "dashboards"
DOCS = "https://runbooks.example.org/pcc-reconciler"
"""Where the reader's people keep the pages of `docs/`; the alerts lead there too."""
STATUS_ADDRESS = "https://pcc.example.org"
"""Where the status page is read."""
TAG = "pcc-reconciler"

Colours = Mapping[str, str]
Lead = tuple[str, str]
"""What a value leads to: a title and an address."""

CONDITIONS: Mapping[Condition, tuple[str, str]] = {
    Condition.IN_SYNC: ("In sync", GREEN),
    Condition.CONVERGING: ("Converging", YELLOW),
    Condition.HELD: ("Held", ORANGE),
    Condition.PAUSED: ("Paused", BLUE),
    Condition.STOPPED: ("Stopped", DARK_ORANGE),
    Condition.ABANDONED: ("Abandoned", LIGHT_ORANGE),
}
"""Held, stopped and abandoned each have a ticket, so they are shades of one colour, with a word on each."""
STATES: Mapping[str, tuple[str, str]] = dict(
    zip(
        DEVICE_STATES,
        (
            ("In sync", GREEN),
            ("Missing", YELLOW),
            ("Extra", PURPLE),
            ("Unmanaged", BLUE),
            ("Ignored", GREY),
        ),
        strict=True,
    )
)
RESULTS: Colours = dict(zip(map(str, Result), (GREEN, GREY, YELLOW, ORANGE), strict=True))
PASSES: Colours = dict(
    zip(map(str, PassResult), (DARK_ORANGE, YELLOW, ORANGE, BLUE, GREEN), strict=True)
)
KINDS: Colours = dict(zip(map(str, Kind), (ORANGE, BLUE, YELLOW), strict=True))
RENEWALS: Colours = dict(zip(TOKEN_RESULTS, (GREEN, ORANGE, YELLOW), strict=True))
ANSWERS: Colours = {
    "/^2/": GREEN,
    "/^400/": LIGHT_ORANGE,
    "/^401/": DARK_ORANGE,
    "/^403/": ORANGE,
    "/^404/": PURPLE,
    "/^429/": YELLOW,
    "/^5/": LIGHT_PURPLE,
    "/^none/": GREY,
}

BOTH = "$job|$receiver"
"""The jobs of which the overview lists alerts."""
ROWS = 12
"""Accounts on one page of a timeline. What is smaller cannot be read."""
UNKNOWN = -(10**9)
"""Seconds until a moment that is not known."""
NEVER = (1e9, "never", colour_of("PccListNotTrusted"))
"""An age counted from the beginning of time."""
STATUS_PAGE = ("Status page", "${page:raw}/")
WHICH = ("Which accounts", "#Accounts not in sync")
HELD = ("Which changes, and why", "#Held changes")
ACCOUNT_PAGE = ("Account on the status page", "${page:raw}/accounts/${account}")


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
SILENCE = age(of("pcc_heard_last_event_timestamp_seconds"))
VERDICTS: Sequence[tuple[str, str, str]] = (
    ("The daemon is down", colour_of("PccDown"), f"absent({of('pcc_build_info')})"),
    (
        "Devices missing for over an hour",
        colour_of("PccDevicesMissing"),
        f"{OVERDUE} and (min_over_time({MISSING}{HOUR}) - ignoring (state) {SET_ASIDE}) > 0",
    ),
    (
        "No event for too long",
        colour_of("PccEventsSilent"),
        f"{SILENCE} > {of('pcc_silence_meaningful_seconds')}",
    ),
    (
        "An alert pages: see Alerts",
        COLOURS[PAGE],
        alerts_of("ALERTS", BOTH, alertstate="firing", severity=PAGE),
    ),
    (
        "No revision is accepted yet",
        colour_of("PccTextRejected"),
        f"sum({of('pcc_accounts')}) == 0",
    ),
    (
        "State cannot be written",
        colour_of("PccStateNotWritable"),
        f"{of('pcc_state_writable')} == 0",
    ),
    (
        "LG does not let an account in",
        colour_of("PccAccountStopped"),
        f"{of('pcc_accounts', condition='stopped')} > 0",
    ),
    (
        "The newest revision is rejected",
        colour_of("PccTextRejected"),
        f"{of('pcc_desired_last_reload_successful')} == 0",
    ),
    ("A guard waits for a person", colour_of("PccGuardWaiting"), f"{of('pcc_guard_tripped')} > 0"),
    (
        "LG's list lacks devices that speak",
        colour_of("PccListContradicted"),
        f"{of('pcc_list_contradicted_devices')} >= {CONTRADICTED}",
    ),
    (
        "An account is abandoned",
        colour_of("PccAccountAbandoned"),
        f"{of('pcc_accounts', condition='abandoned')} > 0",
    ),
    (
        "The revision cannot be fetched",
        YELLOW,
        f"increase({of('pcc_source_errors_total')}{LATELY}) > 0",
    ),
    (
        "LG refuses devices",
        colour_of("PccDevicesRefused"),
        f"{of('pcc_changes_held', reason='refused')} > 0",
    ),
    ("Well, but it only observes", BLUE, f"{of('pcc_mode_info', mode='observe')} > 0"),
    ("Well, but something is paused", BLUE, f"{of('pcc_accounts', condition='paused')} > 0"),
    ("Well, converging", YELLOW, f"{of('pcc_accounts', condition='!in_sync')} > 0"),
)
"""What may be wrong, the worst first, each with the query that has a value where it is so."""


def verdict() -> Panel:
    """Return the one sentence for whoever was woken."""
    words = {number: (text, colour) for number, (text, colour, _) in enumerate(VERDICTS, 1)}
    findings = [(number, found) for number, (_, _, found) in enumerate(VERDICTS, 1)]
    return stat(
        "Is all well?",
        "The worst that is so right now, in one sentence; the panels below show where. Red pages a person."
        " Orange is what a ticket says: working hours are soon enough. Yellow and blue: nothing to do. The runbook,"
        " linked above, says what to do.",
        Query(first(*findings, otherwise="vector(0)")),
        look=Look("none", words={0: ("All is well", GREEN), **words}),
        leads=[STATUS_PAGE],
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
            "none",
            words={
                2: ("Up, acts", GREEN),
                1: ("Up, only looks", BLUE),
                0: ("Down", colour_of("PccDown")),
            },
        ),
        leads=[STATUS_PAGE],
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
        leads=[WHICH],
    )
    coloured = [
        override(words, thresholds={"mode": "absolute", "steps": steps(PLAIN, (1, colour))})
        for words, colour in CONDITIONS.values()
    ]
    return replace(panel, overrides=coloured)


def leads(select: Of, *more: Lead) -> list[Lead]:
    """Return what a value leads to: of all accounts to these, and of one account to its page."""
    return [ACCOUNT_PAGE] if select is mine else [*more, STATUS_PAGE]


def leading(lines: Iterable[Line], to: Lead) -> Iterator[Line]:
    """Yield the lines, in which each number that leads nowhere else leads to this page."""
    for line in lines:
        panels = []
        for width, panel in line.panels:
            leaves = panel.kind == "stat" and not panel.leads
            panels.append((width, replace(panel, leads=[to]) if leaves else panel))
        yield replace(line, panels=panels)


def steps(base: str, *more: tuple[float, str]) -> list[Json]:
    """Return thresholds as Grafana writes them."""
    return [{"value": value, "color": colour} for value, colour in ((None, base), *more)]


def revision_state() -> Panel:
    """Return whether the newest revision is in force, and if not, why."""
    colour = colour_of("PccTextRejected")
    words = {number: (f"Rejected: {cause}", colour) for number, cause in enumerate(Cause, 1)}
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
        leads=[STATUS_PAGE],
    )


def missing(select: Of) -> Panel:
    """Return how many wanted devices are not live."""
    return stat(
        "Missing",
        "Wanted devices that are not subscribed: if one of them breaks now, nobody hears of it. After an hour of it the"
        " first panel of the overview turns red, and an alert pages a person. An account whose list was never"
        " read is not counted: what it lacks is not known.",
        Query(f"sum({select('pcc_devices', state='missing')})"),
        look=Look(COUNT, ((None, GREEN), (1, YELLOW))),
        leads=leads(select, WHICH),
    )


def out_of_sync(title: str, select: Of) -> Panel:
    """Return for how long something wanted has not been done."""
    since = select("pcc_out_of_sync_since_timestamp_seconds")
    return stat(
        title,
        "How long a wanted change has not been made, whatever holds it. Yellow from 10 minutes.",
        Query(f"max({age(f'({since} > 0)')}) or 0 * max({since})"),
        look=Look("s", ((None, GREEN), (600, YELLOW)), words={0: ("in sync", GREEN)}),
        leads=leads(select, WHICH),
    )


def named(expression: str, *steps: str) -> Query:
    """Return series that are shown by the label ``shown``, or one that says that there is none."""
    for step in steps:
        function, _, arguments = step.partition(" ")
        expression = f"{function}({expression}, {arguments})"
    nothing = f'label_replace(vector(0), "shown", "{NO_DATA}", "", "")'
    return Query(f"group by (shown) ({expression}) or on () {nothing}", "{{shown}}")


def revision() -> Panel:
    """Return which revision is in force."""
    return stat(
        "Revision in force",
        "Where the accepted revision is from, the first 12 characters of its commit (or of its digest, where it is not"
        " from Git), and whether the commit's signature was found good.",
        named(
            of("pcc_desired_revision_info"),
            'label_replace "short", "$1", "revision", "(?:sha256:)?(.{1,12}).*"',
            'label_replace "sign", "verified: $1", "verified", "(.*)"',
            'label_join "shown", " ", "source", "short", "sign"',
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
        Query(f"1000 * max({of('pcc_desired_commit_timestamp_seconds')})"),
        look=Look("dateTimeFromNow", ((None, PLAIN),), words={0: ("not from Git", PLAIN)}),
        leads=[STATUS_PAGE],
    )


def list_age(title: str, select: Of) -> Panel:
    """Return how old the knowledge of LG's side is."""
    return stat(
        title,
        "How long ago a live list of LG was last read and believed. Older than a few intervals: LG does not answer,"
        " or answers what cannot be believed.",
        Query(age(f"min({select('pcc_pass_last_success_timestamp_seconds')})")),
        look=Look(
            "s",
            ((None, GREEN), (1800, YELLOW), (3600, colour_of("PccListNotTrusted"))),
            from_words=NEVER,
        ),
        leads=leads(select, ("Passes, by result", "#Passes within an hour")),
    )


def guards_waiting(select: Of) -> Panel:
    """Return how many guards a person has to look at."""
    return stat(
        "Guards",
        "Guards that hold something: each looked like an accident, and a person decides. The status page has the"
        " approval block to copy.",
        Query(f"sum({select('pcc_guard_tripped')})"),
        look=Look(COUNT, ((None, GREEN), (1, colour_of("PccGuardWaiting")))),
        leads=[HELD, *leads(select)],
    )


def budget(select: Of) -> Panel:
    """Return how many devices may still go today."""
    return stat(
        "May go today",
        "Devices that may still be unsubscribed within 24 hours without an approval: of the account with the fewest;"
        " without the label account, of all together. At 0 the next unsubscribe waits for a person.",
        Query(
            else_number(
                f"min({select('pcc_unsubscribe_budget_remaining')}"
                f" and on (account) {select('pcc_observed_devices')} > 0)",
                -1,
                reported(select),
            )
        ),
        look=Look(COUNT, ((None, ORANGE), (1, GREEN)), words={-1: ("nothing live", PLAIN)}),
        leads=leads(select),
    )


def quota(select: Of) -> Panel:
    """Return how much of the hour's calls is left."""
    return stat(
        "LG quota left",
        "Share of the hour's calls to LG that is left: of the account with the least; without the label account, of"
        " all together. No value while LG never throttled and the file sets no limit.",
        Query(else_number(share_left(select), -1, reported(select))),
        look=Look(
            "percentunit",
            ((None, ORANGE), (0.02, YELLOW), (0.2, GREEN)),
            words={-1: ("no limit known", PLAIN)},
            decimals=0,
        ),
        leads=[
            ("Quota over time", "#Quota" if select is mine else "#Throttled calls and quota left")
        ],
    )


def token(select: Of) -> Panel:
    """Return how long the access token is good."""
    return stat(
        "Token ends",
        "Until the first access token ends. With a refresh token it is renewed two minutes ahead, so less than that"
        " says that renewing fails; without one a person has to replace it.",
        Query(
            else_number(
                f"min({select('pcc_token_expiry_timestamp_seconds')} > 0) - time()",
                UNKNOWN,
                reported(select),
            )
        ),
        look=Look(
            "s",
            ((None, colour_of("PccTokenNotRenewed")), (0, YELLOW), (110, GREEN)),
            words={UNKNOWN: ("not known", PLAIN)},
        ),
        leads=[("Renewals over time", "#Token renewals within an hour")],
    )


def devices(select: Of) -> Panel:
    """Return the partition of all devices over time."""
    return series(
        "Devices",
        "All devices that are wanted or live, by what they are to us. Missing: wanted, not live. Extra: live, not"
        " wanted, to be unsubscribed. Unmanaged: live, not wanted, not ours to remove. Ignored: never touched.",
        *(
            Query(f"sum({select('pcc_devices', state=state)}) > 0", words)
            for state, (words, _) in STATES.items()
        ),
        look=Look(COUNT, colours=dict(STATES.values()), decimals=0),
        stacked=True,
    )


def out_of_sync_accounts() -> Panel:
    """Return which accounts are not as wanted, the longest first."""
    unwell = (
        f"sum by (account, condition) ({of('pcc_account_condition', condition='!in_sync')}) > 0"
    )
    also = f"and on (account) ({unwell})"
    link = (
        "/d/pcc-account?var-account=${__value.text}&${datasource:queryparam}&${namespace:queryparam}&${job:queryparam}"
        "&${__url_time_range}"
    )
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
        look=Look(COUNT, ((None, PLAIN),), empty="No account to show"),
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
                custom_width=96,
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
        look=Look(COUNT, ((None, PLAIN),), empty="No change to show"),
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


def changes(select: Of) -> Panel:
    """Return what was done."""
    return series(
        "Changes within an hour",
        "Changes that ended within the hour before, by result: subscribes upwards, unsubscribes downwards. Noop: LG"
        " says it was so already. Failed: tried again automatically. Refused: LG does not take this device.",
        per_hour(select("pcc_changes_total"), "action", "result"),
        look=Look(
            COUNT,
            colours={
                f"{action} {result}": to for action in Action for result, to in RESULTS.items()
            },
            empty="No change to show",
            decimals=0,
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
            f"60 * sum by (status, code) (rate({of('pcc_api_requests_total')}{LATELY})) > 0",
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


def latency_map() -> Panel:
    """Return how the durations of calls are spread, which shares hide: two kinds of calls, or a few that hang."""
    return heatmap(
        "LG's latency, every call",
        "How many calls to LG took how long: the more, the stronger the color. Two bands are two kinds of calls; a"
        " faint one at the top is a few calls that hang.",
        Query(
            f"sum by (le) (increase({of('pcc_api_request_duration_seconds_bucket')}[$__rate_interval]))",
            "{{le}}",
        ),
        unit="s",
        empty="No call to show",
    )


def throttling() -> Panel:
    """Return how LG throttles, and how much may still be called."""
    return series(
        "Throttled calls and quota left",
        "Calls that LG throttled within an hour (left), and the share of the hour's calls that is left to the account"
        " with the least (right); the latter is empty while no limit is known.",
        Query(
            f"round(sum(increase({of('pcc_api_throttled_total')}{HOUR})))",
            "throttled within an hour",
        ),
        Query(share_left(of), "quota left"),
        look=Look(
            COUNT, colours={"throttled within an hour": ORANGE, "quota left": GREEN}, decimals=0
        ),
        overrides=[override("quota left", unit="percentunit", max=1, custom_axisPlacement="right")],
    )


def passes(select: Of) -> Panel:
    """Return how the passes ended."""
    return series(
        "Passes within an hour",
        "Passes that ended within the hour before. Clean: nothing to do. Changed: all was done. Held: something"
        " waits. Partial: not all was done. Failed: no live list could be trusted.",
        per_hour(select("pcc_passes_total"), "result"),
        look=Look(COUNT, colours=PASSES, decimals=0),
        stacked=True,
    )


def by_condition() -> Panel:
    """Return how the fleet went."""
    return series(
        "Accounts by condition",
        "All accounts over time, each in one condition.",
        *(
            Query(f"sum({of('pcc_accounts', condition=condition)}) > 0", words)
            for condition, (words, _) in CONDITIONS.items()
        ),
        look=Look(COUNT, colours=dict(CONDITIONS.values()), decimals=0),
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
        look=Look(COUNT, colours={depth: BLUE, oldest: YELLOW}, decimals=0),
        overrides=[override(oldest, unit="s", custom_axisPlacement="right")],
    )


def renewals(select: Of) -> Panel:
    """Return how the renewal of tokens goes."""
    return series(
        "Token renewals within an hour",
        "Access tokens that were renewed. Refused: the refresh token is no longer good, and a person has to replace"
        " it. Unavailable: LG's account service did not answer; it is asked again.",
        per_hour(select("pcc_token_refreshes_total"), "result"),
        look=Look(COUNT, colours=RENEWALS, empty="No renewal to show", decimals=0),
        stacked=True,
    )


def source_errors() -> Panel:
    """Return what went wrong with fetching."""
    return series(
        "Failed fetches within an hour",
        "Fetches of the newest revision that failed, by kind. Meanwhile the accepted one stays in force.",
        per_hour(of("pcc_source_errors_total"), "kind"),
        look=Look(COUNT, empty="No failed fetch to show", decimals=0),
        stacked=True,
    )


def moment(title: str, description: str, metric: str) -> Panel:
    """Return when something was, in words."""
    look = Look("dateTimeFromNow", ((None, PLAIN),), words={0: ("never", PLAIN)})
    return stat(title, description, Query(f"1000 * max({metric})"), look=look)


def count(
    title: str, description: str, expression: str, colour: str, leads: Sequence[Lead] = ()
) -> Panel:
    """Return a number that is best at 0."""
    look = Look(COUNT, ((None, GREEN), (1, colour)), decimals=0)
    return stat(title, description, Query(expression), look=look, leads=leads)


def inside() -> list[Line]:
    """Return what is asked once it is known that something is wrong."""
    clock = colour_of("PccClockWrong")
    version = named(of("pcc_build_info"), 'label_replace "shown", "$1", "version", "(.*)"')
    state = {1: ("Writable", GREEN), 0: ("Not writable", colour_of("PccStateNotWritable"))}
    return [
        Line(1, heading="Inside the daemon"),
        Line(8, [(6, by_condition()), (6, passes(of)), (6, pass_times()), (6, queue())]),
        Line(
            8,
            [
                (6, source_errors()),
                (6, renewals(of)),
                (6, refused_and_flapping()),
                (6, waiting_for_resolve()),
            ],
        ),
        Line(
            3,
            [
                (4, stat("State", "Whether what is done can be remembered; if not, unsubscribes are held.",
                         Query(f"min({of('pcc_state_writable')})"), look=Look("none", words=state))),
                (4, moment("Accepted", "When a revision was last accepted as a whole.",
                           of("pcc_desired_last_reload_success_timestamp_seconds"))),
                (4, moment("Source read", "When the source of the desired state was last read, changed or not.",
                           of("pcc_source_last_success_timestamp_seconds"))),
                (4, count("Approvals expired", "Approvals that have expired: they let nothing go any more.",
                          f"sum({of('pcc_approvals', state='expired')})", ORANGE)),
                (4, stat("Interval", "Time between two passes of an account, give or take a tenth.",
                         Query(f"max({of('pcc_interval_seconds')})"), look=Look("s", ((None, PLAIN),)))),
                (4, stat("Version", "Which version of the daemon runs.",
                         version, look=Look("none", ((None, PLAIN),)), names=True)),
            ],
        ),
        Line(
            3,
            [
                (6, commit_age()),
                (6, stat("Clock ahead of LG's", "By how much this machine's clock is ahead of LG's. Beyond five minutes"
                         " a device is wanted when either clock has it so: check NTP.",
                         Query(f"max({of('pcc_clock_ahead_seconds')})"),
                         look=Look("s", ((None, clock), (-300, GREEN), (300, clock))))),
                (6, count("Log lines dropped", "Log lines of the last hour that nobody read in time.",
                          f"round(sum(increase({of('pcc_log_lines_dropped_total')}{HOUR})))", ORANGE)),
                (6, count("Answers mixed up", "Answers of LG's in the last hour that name another message id"
                          " than their request: a cache or a proxy may mix them up.",
                          f"round(sum(increase({of('pcc_api_other_message_ids_total')}{HOUR})))", ORANGE)),
            ],
        ),
    ]  # fmt: skip


def heartbeat() -> Panel:
    """Return how long ago the outside took a heartbeat."""
    return series(
        "Heartbeats to the outside",
        "How long ago the address of PCC_HEARTBEAT_URL last took a heartbeat that says that every account has its"
        " passes. Above two minutes, an account has none, or the address cannot be reached.",
        Query(
            f"min(time() - ({of('pcc_heartbeat_last_success_timestamp_seconds')} > 0))",
            "last heartbeat",
        ),
        look=Look("s", empty="No heartbeat is sent"),
    )


def replicas() -> list[Line]:
    """Return how several replicas share the accounts; with one replica there is none of it."""
    unowned, overdue = "accounts that no replica owns", "longest overdue"
    lease, clock = "least time left of a lease", "largest difference to the database's clock"
    orphans = series(
        "Accounts that nobody works on",
        "Accounts that no living replica owns (left), and for how long the most overdue pass is overdue (right). Any"
        " replica answers for the whole fleet.",
        Query(f"max({of('pcc_accounts_unowned')})", unowned),
        Query(f"max({of('pcc_account_overdue_seconds_max')})", overdue),
        look=Look(
            COUNT,
            colours={unowned: colour_of("PccAccountsUnowned"), overdue: ORANGE},
            empty="One replica alone",
            decimals=0,
        ),
        overrides=[override(overdue, unit="s", custom_axisPlacement="right")],
    )
    shares = series(
        "Accounts of each replica",
        "Shares differ by one at most. A share that stays at 0 belongs to a replica that is gone.",
        Query(f"sum by (instance) ({of('pcc_replica_accounts')})", "{{instance}}"),
        look=Look(COUNT, empty="One replica alone", decimals=0),
        stacked=True,
    )
    leases = series(
        "Leases and clocks",
        "How long the replica with the shortest lease may still act (left); at 0 it stopped its calls. By how much a"
        " machine's clock differs from the database's (right).",
        Query(f"min({of('pcc_replica_lease_seconds')})", lease),
        Query(f"max({of('pcc_replica_clock_ahead_seconds')})", clock),
        look=Look("s", colours={lease: BLUE, clock: YELLOW}, empty="One replica alone"),
        overrides=[override(clock, custom_axisPlacement="right")],
    )
    return [
        Line(1, heading="Replicas"),
        Line(8, [(6, orphans), (6, shares), (6, leases), (6, heartbeat())]),
    ]


def refused_and_flapping() -> Panel:
    """Return the devices that LG does not take, or does not keep."""
    refused, flapping = "refused by LG", "lost again and again"
    return series(
        "Troublesome devices",
        "Devices that LG refuses, and wanted devices that LG lost five times or more in a day after taking them:"
        " another writer may be at work. The command status --refused lists the former, the log the latter.",
        Query(f"sum({of('pcc_changes_held', reason=Reason.REFUSED)})", refused),
        Query(f"sum({of('pcc_flapping_devices')})", flapping),
        look=Look(COUNT, colours={refused: ORANGE, flapping: YELLOW}, decimals=0),
    )


def waiting_for_resolve() -> Panel:
    """Return the devices that rules would take and their lock does not have."""
    return series(
        "Devices that wait for resolve",
        "Devices of LG's registry that a rule would take and the lock does not have. The command resolve takes them"
        " into the lock; nothing else does.",
        Query(f"sum by (rule) ({of('pcc_rule_pending_devices')})", "{{rule}}"),
        look=Look(COUNT, decimals=0),
        stacked=True,
    )


def overview_lines() -> list[Line]:
    """Return the overview: a first line that answers, two that say where, and the inside below the first screen."""
    answer = [(6, verdict()), (3, daemon()), (9, accounts()), (3, missing(of))]
    answer += [(3, out_of_sync("Out of sync", of))]
    facts = [(5, revision()), (4, revision_state()), (3, list_age("Oldest list", of))]
    facts += [(3, guards_waiting(of)), (3, budget(of)), (3, quota(of)), (3, token(of))]
    where = [(7, alert_list(BOTH)), (9, out_of_sync_accounts()), (8, held_changes(of))]
    was = [(9, conditions_over_time()), (8, devices(of)), (7, changes(of))]
    top = [Line(4, answer), Line(3, facts), Line(8, where), Line(8, was)]
    return [*top, Line(1, heading="LG"), *calls_to_lg(), *inside(), *replicas(), *receiver_lines()]


def calls_to_lg() -> list[Line]:
    """Return how LG answers."""
    return [Line(8, [(6, answers()), (6, latency()), (6, latency_map()), (6, throttling())])]


def conditions_over_time() -> Panel:
    """Return in which condition each account was, which shows what began together."""
    numbers = [
        f"{number} * ({of('pcc_account_condition', condition=condition)} > 0)"
        for number, condition in enumerate(CONDITIONS)
    ]
    accounts = f"max by (account) ({' or '.join(numbers)})"
    other = of("pcc_account_condition", condition="!in_sync", account="~.+")
    unwell = f"max by (account) (max_over_time({other}[$__range])) > 0"
    return timeline(
        "Accounts over time",
        f"The condition that each account was in. Of more than {ROWS} accounts only those that were not in sync at"
        " some time are shown. Needs the label account.",
        Query(
            f"({accounts} and on (account) ({unwell}))"
            f" or ({accounts} unless on () (count({accounts}) > {ROWS}))",
            "{{account}}",
        ),
        look=Look("none", words=dict(enumerate(CONDITIONS.values()))),
        rows=ROWS,
    )


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
        "Guards over time",
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
        look=Look(COUNT, colours={"wanted": BLUE, "live": GREEN}, decimals=0),
    )


def held_over_time() -> Panel:
    """Return what was not done, and why."""
    return series(
        "Held changes over time",
        "Wanted changes that were not made, by kind and reason.",
        Query(f"sum by (kind, reason) ({mine('pcc_changes_held')}) > 0", "{{kind}} {{reason}}"),
        look=Look(
            *(COUNT, ((None, PLAIN),)),
            colours={f"/^{kind} /": colour for kind, colour in KINDS.items()},
            empty="No change to show",
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
        Query(f"round(sum(increase({mine('pcc_api_throttled_total')}{HOUR})))", throttled),
        look=Look(COUNT, colours={limit: BLUE, left: GREEN, throttled: ORANGE}, decimals=0),
    )


def budget_over_time() -> Panel:
    """Return how the day's unsubscribes were used."""
    return series(
        "Unsubscribes left without an approval",
        "Devices that may still be unsubscribed within 24 hours without an approval.",
        Query(f"max({mine('pcc_unsubscribe_budget_remaining')})", "left"),
        look=Look(COUNT, colours={"left": BLUE}, decimals=0),
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
    now = stat(
        *("Condition", "The one condition that the account is in.", Query(number)),
        look=look,
        leads=[ACCOUNT_PAGE],
    )
    was = timeline(
        "Condition over time",
        "The one condition that the account was in.",
        Query(number, "Condition"),
        look=look,
    )
    began = mine("pcc_pass_last_attempt_timestamp_seconds")
    answer = [(6, now), (3, missing(mine)), (3, out_of_sync("Out of sync", mine))]
    answer += [
        (3, list_age("List read", mine)),
        (3, guards_waiting(mine)),
        (6, held_changes(mine)),
    ]
    facts = [
        (3, moment("Last pass", "When the last pass of this account began.", began)),
        (3, budget(mine)),
    ]
    facts += [(3, quota(mine)), (3, token(mine)), (3, approvals_of_account()), (3, flapping())]
    facts += heard_of_account()
    sizes = [(8, devices(mine)), (8, wanted_and_live()), (8, held_over_time())]
    flow = [(8, changes(mine)), (8, passes(mine)), (8, budget_over_time())]
    far = [(8, alert_list("$job", account="$account")), (8, calls()), (8, renewals(mine))]
    bands = [(12, was), (12, guards_over_time())]
    return [
        Line(5, answer),
        Line(3, facts),
        Line(8, bands),
        Line(8, sizes),
        Line(8, flow),
        Line(8, far),
    ]


def approvals_of_account() -> Panel:
    """Return whether a person let something go."""
    active, expired = "active", "expired"
    return stat(
        "Approvals",
        "Approvals in the desired state for this account; an expired one lets nothing go any more.",
        *(
            Query(f"sum({mine('pcc_approvals', state=state)})", state)
            for state in (active, expired)
        ),
        look=Look(COUNT, ((None, PLAIN),)),
        leads=[ACCOUNT_PAGE],
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
        f"label_values({selected('pcc_build_info', {'namespace': NAMESPACE})}, job)",
    )
    namespace = values_variable(
        "namespace",
        "Namespace",
        "The namespace of Kubernetes that daemon and receivers run in. Without Kubernetes there is none.",
        "label_values(pcc_build_info, namespace)",
        everything=True,
    )
    docs = constant_variable("docs", "Where the pages of docs/ are read; links lead there.", DOCS)
    page = constant_variable(
        "page", "Where the status page is read; links lead there.", STATUS_ADDRESS
    )
    return [data_source_variable(), namespace, daemon, docs, page]


def links(status_page: str) -> list[Json]:
    """Return what every dashboard leads to."""
    page = to_page("Status page", "What the daemon itself says, and what to copy", status_page)
    runbook = to_page("Runbook", "What to do about each alert", "${docs:raw}/runbook.md")
    held = to_page(
        "What holds a change", "Every reason, and what to do about it", "${docs:raw}/guards.md"
    )
    return [to_others("PCC dashboards", TAG), page, runbook, held]


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
        annotations=[*marks(), *alert_marks(BOTH)],
        links=links(STATUS_PAGE[1]),
        lines=leading(overview_lines(), STATUS_PAGE),
    )
    one = dashboard(
        "pcc-account",
        "PCC account",
        "Everything of one account. Needs the label account, so it is empty with PCC_METRICS_PER_ACCOUNT=false.",
        tag=TAG,
        variables=[*variables(), account],
        annotations=[*marks(), *alert_marks("$job", account="$account")],
        links=links(ACCOUNT_PAGE[1]),
        lines=leading(account_lines(), ACCOUNT_PAGE),
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
