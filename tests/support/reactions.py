"""What the running program does after each of LG's answers, seen from outside.

One account for each answer on each of the three calls, all in one daemon that talks real HTTP to the simulator. Every
account is in sync first; then its text asks for two changes, and the answer meets it in the pass that follows. The
daemon's clock stands still, so there is exactly one such pass, and every waiting time can be read to the second.

Nothing here knows what ought to happen: ``test_reactions.py`` says that, and ``documents.py`` writes what was seen.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from reconciler.core.model import AccountName
from reconciler.simulator import (
    Match,
    Platform,
    Record,
    Route,
    Rule,
    create_app,
    sample_platform,
    serving,
)
from reconciler.simulator.faults import (
    Cut,
    Drop,
    Effect,
    Empty,
    Error,
    Hang,
    Html,
    Mangle,
    Raw,
    Redirect,
    Response,
)
from reconciler.simulator.wire import CODES
from reconciler.state import State
from recording import START
from scenarios import (
    AheadClock,
    Site,
    credentials_folder,
    eventually,
    eventually_true,
    idle_site,
    rename_over,
    write,
)

CALLS = {Route.LIST: "GET", Route.SUBSCRIBE: "POST", Route.UNSUBSCRIBE: "DELETE"}
"""The three calls of the PCC API, by their verbs."""

UNKNOWN = "9999"
"""A code that LG does not publish."""

CAP = "1312"
"""After this code every account with the same service key waits, so it needs a service of its own."""

WITHOUT_CODE: Mapping[str, Effect] = {
    "200, empty body": Empty(200),
    "200, HTML": Html(200),
    "200, no envelope": Raw('{"devices": []}'),
    "200, an error under `response`": Response('{"error": {"code": "1205"}}'),
    "204, empty body": Empty(204),
    "302": Redirect(),
    "400, empty body": Empty(400),
    "401, empty body": Empty(401),
    "401, HTML": Html(401),
    "403, empty body": Empty(403),
    "403, HTML": Html(403),
    "404, HTML": Html(404),
    "429, empty body": Empty(429),
    "429, Retry-After: 120": Empty(429, retry_after="120"),
    "429, Retry-After: a date in two minutes": Empty(
        429, retry_after="Sun, 01 Nov 2026 00:02:00 GMT"
    ),
    "429, Retry-After: 86400": Empty(429, retry_after="86400"),
    "429, Retry-After: 0": Empty(429, retry_after="0"),
    "500, empty body": Empty(500),
    "501, HTML": Html(501),
    "502, HTML": Html(502),
    "503, HTML, Retry-After: 120": Html(503, retry_after="120"),
    "no answer in time": Hang(),
    "connection dropped": Drop(),
}
"""Answers in which LG gives no reason, on any call."""

ONLY_LISTS: Mapping[str, Effect] = {
    "200, an item without `deviceId`": Mangle("no-id"),
    "200, a `deviceId` that is a number": Mangle("number-id"),
    "200, a list cut short": Cut(),
    "200, text in place of the list": Response('"none"'),
}
"""Answers that spoil a list."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer of LG's on one call, and the account that meets it. ``answer`` is LG's code, or says what came."""

    route: Route
    answer: str
    effect: Effect

    @property
    def account(self) -> AccountName:
        """Return the name of the account, which is also LG's user."""
        return AccountName(
            f"{self.route}-{re.sub('[^a-z0-9]+', '-', self.answer.lower()).strip('-')}"
        )

    @property
    def has_code(self) -> bool:
        """Say whether LG gives a code."""
        return isinstance(self.effect, Error)


def cases() -> Iterator[Case]:
    """Yield every answer on every call: LG's codes with the HTTP status each comes with, then those without a code."""
    for route in CALLS:
        for code in sorted(CODES):
            yield Case(route, code, Error(code))
        yield Case(route, UNKNOWN, Error(UNKNOWN, status=400))
        for answer, effect in {
            **WITHOUT_CODE,
            **(ONLY_LISTS if route is Route.LIST else {}),
        }.items():
            yield Case(route, answer, effect)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the program did in the pass that met an answer. ``A`` and ``B`` are the devices that were to change.

    ``calls`` and ``log`` are in order, ``log`` without the successes; ``kept`` is what waits, and for how long.
    """

    calls: tuple[str, ...]
    log: tuple[str, ...]
    kept: tuple[str, ...]
    condition: str
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """All that was seen. ``counted`` is ``pcc_api_requests_total`` by verb, status and code, ``lines`` the log."""

    seen: Mapping[Case, Seen]
    records: Mapping[Case, tuple[Record, ...]]
    lines: Mapping[Case, tuple[Mapping[str, Any], ...]]
    counted: Mapping[tuple[str, str, str], int]


class StandingClock(AheadClock):
    """A clock that stands still: what is due later never comes."""

    def now(self) -> datetime:
        """Return always the same moment."""
        return START

    def steady(self) -> float:
        """Return always the same second."""
        return 0.0


@cache
def observed() -> Run:
    """Return what the program does after every answer. It is run once, whoever asks."""
    with TemporaryDirectory() as folder:
        return asyncio.run(_observe(Path(folder), tuple(cases())))


async def _observe(folder: Path, every: tuple[Case, ...]) -> Run:
    platform, capped = _platforms(every)
    secrets = credentials_folder(platform, folder / "credentials")
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(serving(create_app(capped)))
        for each, url in ((platform, ""), (capped, other)):
            _write_credentials(secrets, each, url)
        site = await stack.enter_async_context(
            idle_site(
                folder,
                platform,
                PCC_CREDENTIALS_DIR=str(secrets),
                PCC_REQUEST_TIMEOUT="3s",
                PCC_WORKERS="16",
            )
        )
        site.clock = StandingClock()
        site.shares_time(capped)
        devices = {case: _devices(_of(case, platform, capped), case) for case in every}
        write(site.file, _text(every, devices, changed=False))
        await site.start()
        before = await _in_sync(site, every)
        for each in (platform, capped):
            each.clear_requests()
            each.set_faults(
                *(
                    _rule(case, devices[case])
                    for case in every
                    if _of(case, platform, capped) is each
                )
            )
        site.events.clear()
        rename_over(site.file, _text(every, devices, changed=True))
        after = await _met(site, every)
        status = (await site.get("/api/v1/status")).json()
        await site.stop()
        return _run(
            every, devices, site, (platform, capped), before=before, after=after, status=status
        )


def _platforms(every: Iterable[Case]) -> tuple[Platform, Platform]:
    """Return the platform of all accounts, and another with another service key for the one whose cap is reached."""
    names: dict[bool, dict[str, int]] = {False: {}, True: {}}
    for case in every:
        names[_is_capped(case)][case.account] = 3
    return sample_platform(names[False], only_pcc=True, seed=1), sample_platform(
        names[True], only_pcc=True, seed=2
    )


def _is_capped(case: Case) -> bool:
    return case.route is Route.SUBSCRIBE and case.answer == CAP


def _of(case: Case, platform: Platform, capped: Platform) -> Platform:
    return capped if _is_capped(case) else platform


def _write_credentials(folder: Path, platform: Platform, url: str) -> None:
    """Give every user a refresh token and an access token that is still good; with a URL, also where LG is."""
    service = platform.world.service
    for user in platform.world.users.values():
        parts = {
            "refresh_token": str(user.refresh_token),
            "access_token": next(iter(user.access_tokens)),
        }
        if url:
            parts |= {
                "base_url": url,
                "token_url": f"{url}/emp/v2/token",
                "client_id": service.client_id,
            }
            parts |= {"service_id": service.id, "service_key": service.key}
        for kind, value in parts.items():
            write(folder / f"{user.name}.{kind}", f"{value}\n")


def _devices(platform: Platform, case: Case) -> Mapping[str, str]:
    """Return an account's devices by the letters they have here, and let those be live that are at first."""
    a, b, kept = sorted(platform.world.user(case.account).devices)
    live = {Route.LIST: (b, kept), Route.SUBSCRIBE: (kept,), Route.UNSUBSCRIBE: (a, b, kept)}[
        case.route
    ]
    platform.subscribe(case.account, *live)
    return {a: "A", b: "B", kept: "K"}


def _text(
    every: Iterable[Case], devices: Mapping[Case, Mapping[str, str]], *, changed: bool
) -> str:
    """Return a text that wants what is live, or one that wants two changes of every account."""
    wanted = {
        Route.LIST: ("BK", "AK"),
        Route.SUBSCRIBE: ("K", "ABK"),
        Route.UNSUBSCRIBE: ("ABK", "K"),
    }
    lines = ["version = 1"]
    for case in every:
        listed = [
            device
            for device, letter in devices[case].items()
            if letter in wanted[case.route][changed]
        ]
        lines += [f"[accounts.{case.account}]", f"devices = {listed}"]
    return "\n".join([*lines, ""])


def _rule(case: Case, devices: Mapping[str, str]) -> Rule:
    """Return the rule that gives the case's answer: to lists, or to all changes of device A."""
    first = (
        None
        if case.route is Route.LIST
        else tuple(device for device, letter in devices.items() if letter == "A")
    )
    return Rule(case.effect, match=Match(route=case.route, user=case.account, devices=first))


Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by the metric's name and its labels, the account's apart."""
Metrics = Mapping[str, Samples]
"""The samples of each account, and under no name those that are of none."""


async def _passed(site: Site, every: tuple[Case, ...], count: int) -> Metrics:
    """Wait until so many passes of every account have ended, and return the metrics of that moment."""
    found: list[Metrics] = []

    async def ended() -> bool:
        found.append(_samples(await site.metrics()))
        return all(_passes(found[-1][case.account]) >= count for case in every)

    await eventually_true(ended, f"pass {count} of every account has ended")
    return found[-1]


async def _in_sync(site: Site, every: tuple[Case, ...]) -> Metrics:
    """Wait until every account is in sync. Metrics are asked for last: so many of them keep the loop busy for long."""

    async def settled() -> bool:
        accounts = (await site.get("/api/v1/status")).json()["accounts"]
        return [one["condition"] for one in accounts] == ["in_sync"] * len(every)

    await eventually_true(settled, "every account is in sync")
    return await _passed(site, every, 1)


async def _met(site: Site, every: tuple[Case, ...]) -> Metrics:
    """Wait until every account has met its answer."""
    await eventually(
        lambda: len(site.told("pass.completed")) >= len(every), "every account has met its answer"
    )
    return await _passed(site, every, 2)


def _samples(text: str) -> Metrics:
    samples: defaultdict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = defaultdict(
        dict
    )
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            rest = tuple(
                sorted((key, value) for key, value in sample.labels.items() if key != "account")
            )
            samples[sample.labels.get("account", "")][sample.name, rest] = sample.value
    return samples


def _passes(samples: Samples) -> float:
    return sum(value for (name, _), value in samples.items() if name == "pcc_passes_total")


def _run(
    every: tuple[Case, ...],
    devices: Mapping[Case, Mapping[str, str]],
    site: Site,
    platforms: Iterable[Platform],
    *,
    before: Metrics,
    after: Metrics,
    status: Mapping[str, Any],
) -> Run:
    requests = [one for each in platforms for one in each.requests]
    accounts = {one["account"]: one for one in status["accounts"]}
    state = State.read_only(site.folder / "state", site.clock)
    seen: dict[Case, Seen] = {}
    records: dict[Case, tuple[Record, ...]] = {}
    lines: dict[Case, tuple[Mapping[str, Any], ...]] = {}
    for case in every:
        records[case] = tuple(one for one in requests if one.user == case.account)
        lines[case] = tuple(dict(one) for one in site.events if one.get("account") == case.account)
        retries = state.accounts.recall(case.account, START).retries
        waits = {
            devices[case][device]: (retry.reason, retry.until) for device, retry in retries.items()
        }
        seen[case] = Seen(
            calls=tuple(_call(one, devices[case]) for one in records[case]),
            log=tuple(line for one in lines[case] if (line := _line(one, devices[case]))),
            kept=tuple(_kept(waits, accounts[case.account]["held"])),
            condition=accounts[case.account]["condition"],
            metrics=tuple(_moved(before[case.account], after[case.account])),
        )
    state.close()
    return Run(seen, records, lines, _counted(before[""], after[""]))


def _call(record: Record, devices: Mapping[str, str]) -> str:
    if record.route is Route.TOKEN:
        return "token refresh"
    device = f" {devices[record.device]}" if record.device else ""
    path = {Route.LIST: " /pcc", Route.DEVICES: " /devices"}.get(record.route, device)
    return f"{record.method}{path}"


def _line(line: MutableMapping[str, Any] | Mapping[str, Any], devices: Mapping[str, str]) -> str:
    """Return a log line in short; successes are left out, as they are not what the answer led to."""
    event, result = str(line["event"]), line.get("result")
    if event == "pass.completed":
        held = ", ".join(f"{reason}: {count}" for reason, count in line.get("reasons", {}).items())
        return f"{event} ({result}; {held})" if held else f"{event} ({result})"
    if event == "change.applied":
        return "" if result == "success" else f"{event} {devices[line['device']]} ({result})"
    return f"{event} {devices[line['device']]}" if "device" in line else event


def _kept(
    waits: Mapping[str, tuple[str, datetime]], held: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    for letter, (reason, until) in sorted(waits.items()):
        yield f"{letter}: {reason}, {_span(until - START)}"
    for one in held:
        wait = _span(datetime.fromisoformat(one["until"]) - START)
        yield f"{one['count']} {one['action']} held: {one['reason']}, {wait}"


def _span(span: timedelta) -> str:
    """Return a waiting time; of one with jitter only what it is at most, as the first of its kind is 5 s at most."""
    seconds = span.total_seconds()
    if 0 < seconds <= 5:
        return "up to 5 s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


COUNTERS = (
    "pcc_changes_total",
    "pcc_passes_total",
    "pcc_api_throttled_total",
    "pcc_token_refreshes_total",
)
GAUGES = ("pcc_changes_held", "pcc_api_quota_calls_per_hour")
"""What an account's answer can move, beside its condition and what follows from the clock."""


def _moved(before: Samples, after: Samples) -> Iterator[str]:
    """Yield the counters of one account that rose, by how much, and its gauges that are not 0."""
    for (name, labels), value in sorted(after.items()):
        told = ",".join(f'{key}="{what}"' for key, what in labels if key != "kind")
        told = f"{name}{{{told}}}" if told else name
        if name in COUNTERS and value > before[name, labels]:
            yield f"{told} +{value - before[name, labels]:g}"
        if name in GAUGES and value:
            yield f"{told} {value:g}"


def _counted(before: Samples, after: Samples) -> Mapping[tuple[str, str, str], int]:
    counted: Counter[tuple[str, str, str]] = Counter()
    for (name, labels), value in after.items():
        if name == "pcc_api_requests_total":
            of = dict(labels)
            counted[of["method"], of["status"], of["code"]] += int(
                value - before.get((name, labels), 0.0)
            )
    return +counted
