"""Every answer of LG's on every call, over real HTTP: the running program does what is written of it, and says so.

The tables here are written by hand from what LG documents and from what each answer is to lead to. What the program did
is in ``reactions.observed``; ``docs/reactions.md`` shows it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from reactions import CALLS, CAP, UNKNOWN, Case, Run, Seen, cases, observed
from reconciler.simulator import Record, Route

DOCUMENTED = {
    400: """1000 1101 1102 1103 1104 1216 1217 1218 1225 1312 2202 2205 2207 2208 2209 2210 2214
            2301 2302 2303 2304 2305 4001""",
    401: "1301 1302 1303 1304 1305 1306 1307 1308 1309 1310 1311 1314",
    404: "1201 1202 1203 1204 1205 1206 1207 1208 1209 1210 1211 1212 1213 1214 1224",
    406: "1219 1220 1221",
    412: "2212 2213",
    416: "1222 1223",
    500: "0000 2000",
    503: "2101 2201 2203",
}
"""LG's codes by the HTTP status that each comes with. Of 1225, which only LG's SDK has, no status is known."""

ON_ANY_CALL = {
    "retry": "2000 2209 2210 2212 2214 0000",
    "throttled": "1306 1314",
    "credentials": "1302 1218 1103",
    "configuration": "1301 1303 1304 1305 1307 1309 1310 1311 1201 1202 1203 1208 1209 1216",
}
ON_ONE_CALL = {
    Route.LIST: {},
    Route.SUBSCRIBE: {
        "noop": "1207",
        "refused": "1205 1210 1211 1212 1213 1214 1217 1219 1220 1221 1224",
        "full": CAP,
    },
    Route.UNSUBSCRIBE: {
        "noop": "1206 1204 1205 1213 1217",
        "refused": "1210 1211 1212 1214 1219 1220 1221 1224",
    },
}
"""What a code leads to; any other code is a surprise, which waits like a failure that may pass."""

ASKS_FOR_DEVICES = "1205 1210 1211 1213"
"""Codes on a change that are believed only after one ``GET /devices`` and one more try."""

WITHOUT_CODE = {
    "retry": {
        "200, HTML",
        "200, no envelope",
        "200, an error under `response`",
        "302",
        "400, empty body",
        "404, HTML",
        "500, empty body",
        "501, HTML",
        "502, HTML",
        "503, HTML, Retry-After: 120",
        "no answer in time",
        "connection dropped",
        "200, an item without `deviceId`",
        "200, a `deviceId` that is a number",
        "200, a list cut short",
        "200, text in place of the list",
    },
    "success": {"200, empty body", "204, empty body"},
    "credentials": {"401, empty body", "401, HTML", "403, empty body"},
    "stranger": {"403, HTML"},
    "paused 1 min": {"429, empty body", "429, Retry-After: 0"},
    "paused 2 min": {"429, Retry-After: 120", "429, Retry-After: a date in two minutes"},
    "paused 1 h": {"429, Retry-After: 86400"},
}


def reaction(case: Case) -> str:
    """Return what an answer leads to, in one word; an empty body is no list."""
    if case.has_code:
        for table in (ON_ONE_CALL[case.route], ON_ANY_CALL):
            for word, codes in table.items():
                if case.answer in codes.split():
                    return word
        return "retry"
    found = next(word for word, answers in WITHOUT_CODE.items() if case.answer in answers)
    return "retry" if case.route is Route.LIST and found == "success" else found


def after_a_list(word: str) -> Seen:
    """Return what a list that could not be had leads to: both changes wait, and nothing is sent."""
    get, waits = "GET /pcc", ("subscribe", "unsubscribe")
    if word == "retry":
        return _waiting((get,), "list.failed", "failed", "retry, up to 5 s", waits)
    if word == "configuration":
        return _waiting((get,), "account.stopped", "failed", "account-stopped, 5 min", waits)
    if word == "credentials":
        calls = (get, "token refresh", get)
        return _waiting(calls, "token.refreshed list.failed", "failed", "retry, up to 5 s", waits)
    if word == "stranger":
        calls = (get, "token refresh", get)
        return _waiting(calls, "token.refreshed list.failed", "failed", "retry, up to 5 s", waits)
    if word == "throttled":
        events = "account.throttled quota.learned"
        return _waiting(
            (get,), events, "held", "quota, 1 min", waits, "pcc_api_throttled_total +1", LEARNED
        )
    wait = f"quota, {word.removeprefix('paused ')}"
    return _waiting((get,), "account.throttled", "held", wait, waits, "pcc_api_throttled_total +1")


LEARNED = "pcc_api_quota_calls_per_hour 60"
"""The least limit that is learned from a throttle."""


def after_a_change(word: str, verb: str, action: str, *, asks: bool) -> Seen:
    """Return what an answer to the change of device A leads to, where B is to change too."""
    a, b, both = f"{verb} A", f"{verb} B", (action, action)
    if word == "stranger":
        return _gone_on(("GET /pcc", a, "token refresh", a, b), "retry", action, "token.refreshed")
    if word in {"retry", "noop", "refused", "success"}:
        calls = ("GET /pcc", a, *(("GET /devices", a) if asks else ()), b)
        return _gone_on(calls, word, action)
    if word == "configuration":
        return _waiting(
            ("GET /pcc", a), "account.stopped", "partial", "account-stopped, 5 min", both
        )
    if word == "credentials":
        calls = ("GET /pcc", a, "token refresh", a)
        return _waiting(calls, "token.refreshed", "partial", "retry, up to 5 s", both)
    calls = ("GET /pcc", a)
    if word == "full":
        return _waiting(calls, "subscriptions.full", "partial", "subscriptions-full, 1 h", both)
    learned = word == "throttled"
    wait = "1 min" if learned else word.removeprefix("paused ")
    metrics = ("pcc_api_throttled_total +1", *((LEARNED,) if learned else ()))
    events = "account.throttled quota.learned" if learned else "account.throttled"
    return _waiting(calls, events, "partial", f"quota, {wait}", both, *metrics)


def _gone_on(calls: tuple[str, ...], word: str, action: str, *events: str) -> Seen:
    """Return an account whose device B is done whatever became of A."""
    renewed = (
        ('pcc_token_refreshes_total{result="success"} +1',) if "token.refreshed" in events else ()
    )
    event, kept, result = {
        "success": ((), (), "success"),
        "noop": (("change.applied A (noop)",), (), "noop"),
        "retry": (("change.failed A",), ("A: retry, up to 5 s",), "failed"),
        "refused": (("change.refused A",), ("A: refused, 1 h",), "refused"),
    }[word]
    ended = "partial" if kept else "changed"
    changes = Counter([result, "success"])
    return Seen(
        calls=calls,
        log=(*events, *event, f"pass.completed ({ended})"),
        kept=kept,
        condition="converging" if kept else "in_sync",
        metrics=(
            *(
                f'pcc_changes_total{{action="{action}",result="{one}"}} +{changes[one]}'
                for one in sorted(changes)
            ),
            f'pcc_passes_total{{result="{ended}"}} +1',
            *renewed,
        ),
    )


def _waiting(
    calls: tuple[str, ...], events: str, ended: str, wait: str, held: tuple[str, str], *moved: str
) -> Seen:
    """Return an account all of whose changes wait for the same reason."""
    reason, actions = wait.partition(",")[0], Counter(held)
    stopped = reason == "account-stopped"
    metrics = [*moved, f'pcc_passes_total{{result="{ended}"}} +1']
    metrics += [
        f'pcc_changes_held{{action="{action}",reason="{reason}"}} {count}'
        for action, count in actions.items()
    ]
    if "token.refreshed" in events:
        metrics.append('pcc_token_refreshes_total{result="success"} +1')
    return Seen(
        calls=calls,
        log=(*events.split(), f"pass.completed ({ended}; {reason}: 2)"),
        kept=tuple(f"{count} {action} held: {wait}" for action, count in actions.items()),
        condition="stopped" if stopped else "converging",
        metrics=tuple(sorted(metrics)),
    )


def expected(case: Case) -> Seen:
    """Return what the program is to do after an answer."""
    word = reaction(case)
    if case.route is Route.LIST:
        return after_a_list(word)
    asks = case.has_code and case.answer in ASKS_FOR_DEVICES.split()
    return after_a_change(word, CALLS[case.route], str(case.route), asks=asks)


@pytest.fixture
def run() -> Run:
    """Return what was seen, of the one run that all tests here share."""
    return observed()


def met(run: Run, case: Case) -> Record:
    """Return the request that got the answer first."""
    return next(one for one in run.records[case] if one.fault is not None)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: str(case.account))
def test_every_answer_on_every_call_has_its_reaction(run: Run, case: Case) -> None:
    """Calls, log, waiting times, condition and metrics after each answer are those that are written of it."""
    assert run.seen[case] == expected(case)


def test_every_documented_code_came_with_its_status_on_each_call(run: Run) -> None:
    """The run goes through all that LG documents, each code at LG's HTTP status, and one code that nobody knows."""
    documented = {code: status for status, codes in DOCUMENTED.items() for code in codes.split()}
    for route in CALLS:
        answered = {
            one.code: one.status
            for case in run.seen
            if case.route is route and (one := met(run, case)).code
        }
        assert answered.pop(UNKNOWN) == 400
        assert answered == documented


@pytest.mark.parametrize("event", ["change.failed", "change.refused", "list.failed"])
def test_what_was_not_done_is_told_in_lgs_words(run: Run, event: str) -> None:
    """The log line of a failure has LG's words and the message id that LG's support asks for."""
    told = [
        (case, line)
        for case, lines in run.lines.items()
        for line in lines
        if line["event"] == event
    ]
    for case, line in told:
        assert (
            line["message_id"]
            == [one for one in run.records[case] if one.fault is not None][-1].message_id
        )
        assert (
            f"{line.get('code', '')}{line.get('error', '')}".count(case.answer) or not case.has_code
        )
        assert line["words"].startswith("<html>") == ("HTML" in case.answer)
    assert {case for case, _ in told} == {
        case for case, seen in run.seen.items() if any(event in one for one in seen.log)
    }
    assert told


def test_a_stopped_account_says_what_to_check(run: Run) -> None:
    """The line of a stop has LG's code, and where the code tells it what to look at; the account is stopped once."""
    stopped = [case for case, seen in run.seen.items() if seen.condition == "stopped"]
    for case in stopped:
        (line,) = [one for one in run.lines[case] if one["event"] == "account.stopped"]
        assert str(met(run, case).status) in line["error"]
        if case.has_code:
            assert f": {case.answer} " in line["error"]
            assert "(check " in line["error"]
    assert len(stopped) == 3 * 14  # a refused token was renewed, and may not be valid yet


def test_every_request_is_counted_by_status_and_code(run: Run) -> None:
    """``pcc_api_requests_total`` is what went over the wire; a code that nobody knows is ``other``."""
    sent: Counter[tuple[str, str, str]] = Counter()
    for records in run.records.values():
        for one in records:
            if one.route is not Route.TOKEN:
                code = "other" if one.code == UNKNOWN else one.code or ""
                sent[one.method, str(one.status) if one.answered else "none", code] += 1
    assert run.counted == sent


def test_every_request_has_a_message_id_of_its_own(run: Run) -> None:
    """A call that is made once more, with another token or after ``GET /devices``, is another call to LG."""
    ids = [
        one.message_id
        for records in run.records.values()
        for one in records
        if one.route is not Route.TOKEN
    ]
    assert len(set(ids)) == len(ids)
