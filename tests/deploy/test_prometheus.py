"""The Grafana dashboards: what they say of themselves, and each of their queries against a real Prometheus.

Two daemons are scraped while LG makes all the trouble it can, one with the label ``account`` and one without, and the
metrics of a receiver. No panel
may stay empty: where everything happens, a panel without data is a panel with a mistake.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge

from alert_panels import SEVERITIES, colour_of
from dashboards import VERDICTS, dashboards, verdict, written
from grafana import NOTHING, ORANGE, PLAIN, RED, Json
from grafana_boards import COLUMNS
from heard_figures import Heard, heard
from prometheus import RULES, Prometheus, exposed, numbers, until
from receiver_figures import ReceiverFigures
from reconciler.core.model import AccountName, Action, Cause, Condition, Reason
from reconciler.core.status import Figures
from reconciler.pcc.client import ROUTES
from reconciler.pcc.codes import CODES
from reconciler.telemetry.heard_metrics import HeardMetrics
from reconciler.telemetry.heartbeat_metrics import HeartbeatMetrics
from reconciler.telemetry.metrics import DEVICE_STATES, Metrics
from reconciler.telemetry.replica_metrics import ReplicaMetrics
from scenarios import (
    free_port,
    site,
)
from troubles import (
    BEGUN,
    BROKEN,
    EDITED,
    GROWN,
    LOCKED,
    USERS,
    break_a_file,
    edit,
    following,
    grow,
    hurry,
    lock,
    troubled,
)

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
SEOUL = AccountName("seoul")
SCRAPED = {"job", "namespace"}
"""Labels that Prometheus adds to every series of a target."""
MADE_BY_QUERIES = SCRAPED | {"instance", "le", "shown", ""}
OF_ALERTS = {"alertname", "severity", "account"}
FIRST_SCREEN = 24
"""As many lines of Grafana's grid stand on a screen of 1080 lines."""


def every_dashboard() -> Iterator[tuple[str, Json]]:
    """Give each dashboard with its name."""
    yield from dashboards().items()


def panels(one: Json) -> list[Json]:
    """Return the panels of a dashboard that show something."""
    return [panel for panel in one["panels"] if panel["type"] != "row"]


def expressions(one: Json) -> list[str]:
    """Return every query of a dashboard: of panels and annotations, and what its variables choose from."""
    shown = [target["expr"] for panel in panels(one) for target in panel["targets"]]
    return [*shown, *(mark["expr"] for mark in one["annotations"]["list"]), *choices(one).values()]


def choices(one: Json) -> dict[str, str]:
    """Return what each variable that asks Prometheus asks."""
    return {
        each["name"]: each["query"]["query"]
        for each in one["templating"]["list"]
        if each["type"] == "query"
    }


def well(*, per_account: bool = True) -> Metrics:
    """Return the metrics of a daemon whose one account is in sync."""
    made = Metrics(per_account=per_account)
    made.mode("enforce")
    made.platform(ROUTES.values(), CODES)
    made.sources(["missing"], Cause)
    made.revision("sha256:0", "file", "unchecked")
    made.reload_successful.set(1)
    made.state_writable.set(1)
    made.enter(SEOUL)
    made.figures(SEOUL, figures())
    return made


def figures(condition: Condition = Condition.IN_SYNC, **more: Any) -> Figures:
    """Return the figures of an account, in sync unless said otherwise."""
    known = {"states": dict.fromkeys(DEVICE_STATES, 0), "quota_limit": 600, "quota_remaining": 10}
    return Figures(condition=condition, **{**known, "token_expiry": 9e9, **more})


def known() -> dict[str, dict[str, set[str]]]:
    """Return every metric as Prometheus names it, with its labels and their values."""
    found: dict[str, dict[str, set[str]]] = {}
    shared = CollectorRegistry()
    ReplicaMetrics(shared)
    HeartbeatMetrics(shared)
    registries = (well().registry, ReceiverFigures().metrics.registry, heard([SEOUL]), shared)
    for metric in (one for registry in registries for one in registry.collect()):
        if not metric.name.startswith("pcc_"):
            continue
        for sample in metric.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def test_committed_files_are_what_the_generator_writes() -> None:
    """The JSON that people load into Grafana is what ``make docs`` writes, byte for byte, and nothing else is."""
    expected = dict(written())
    assert {path: path.read_text(encoding="utf-8") for path in expected} == expected
    assert {path.name for path in (DEPLOY / "grafana" / "dashboards").iterdir()} == {
        path.name for path in expected
    }


def test_queries_ask_for_what_the_code_exports() -> None:
    """Every metric, label and label value of a query exists, and every metric is shown somewhere."""
    metrics, asked = known(), set()
    for _, one in every_dashboard():
        for expression in expressions(one):
            for name, braces in re.findall(r"\b(pcc_\w+)(?:\{([^}]*)\})?", expression):
                asked.add(name)
                for label, values in re.findall(r'(\w+)(?:!=|=~|=)"([^"]*)"', braces):
                    assert label in SCRAPED or label in metrics[name], (name, label)
                    assert (
                        values.startswith(("$", "."))
                        or set(values.split("|")) <= metrics[name][label]
                    ), (name, values)
            exported = {
                label for name in re.findall(r"\bpcc_\w+", expression) for label in metrics[name]
            }
            for labels in re.findall(
                r"\b(?:by|on|without|ignoring|group_left) \(([^)]*)\)", expression
            ):
                assert set(labels.split(", ")) <= exported | MADE_BY_QUERIES | OF_ALERTS, expression
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    exists = {
        re.sub("_(bucket|sum|count)$", "", name)
        for name in metrics
        if not name.endswith("_created")
    }
    assert shown == exists


def test_legends_name_labels_that_their_queries_keep() -> None:
    """A legend's label is one that the series still have."""
    for _, one in every_dashboard():
        for panel in panels(one):
            for target in panel["targets"]:
                for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                    kept = re.search(r"\bby \(([^)]*)\)", target["expr"])
                    known_here = (
                        set(kept[1].split(", "))
                        if kept
                        else {"revision", "source", "verified", "version", "short"}
                    )
                    assert label in known_here, (panel["title"], label)


def test_every_panel_explains_itself() -> None:
    """Each panel has a title of its own, a description, a unit, words for no data, and a first threshold."""
    for name, one in every_dashboard():
        titles = [panel["title"] for panel in one["panels"]]
        assert len(set(titles)) == len(titles), name
        for panel in panels(one):
            defaults = panel["fieldConfig"]["defaults"]
            assert len(panel["description"]) > 20, panel["title"]
            assert panel["description"].endswith("."), panel["title"]
            assert defaults["unit"], panel["title"]
            assert defaults["noValue"], panel["title"]
            assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]


def test_panels_fill_the_grid_and_the_answer_fits_one_screen() -> None:
    """No panel lies on another, each line is full, and the overview tells its whole story without scrolling."""
    for _, one in every_dashboard():
        cells = [
            {
                (x, y)
                for x in range(grid["x"], grid["x"] + grid["w"])
                for y in range(grid["y"], grid["y"] + grid["h"])
            }
            for grid in (panel["gridPos"] for panel in one["panels"])
        ]
        assert not any(left & right for left, right in combinations(cells, 2))
        height = 1 + max(y for cell in cells for _, y in cell)
        assert sum(map(len, cells)) == COLUMNS * height
    overview = dashboards()["overview.json"]
    heading = next(panel for panel in overview["panels"] if panel["type"] == "row")
    assert heading["gridPos"]["y"] <= FIRST_SCREEN
    assert overview["panels"][0]["title"] == "Is all well?"


def test_identity_is_fixed_and_nothing_names_a_machine() -> None:
    """Links find a dashboard by its uid for ever; it has no id, and takes the data source that the reader chose."""
    found = dict(every_dashboard())
    assert {name: one["uid"] for name, one in found.items()} == {
        "overview.json": "pcc-overview",
        "account.json": "pcc-account",
    }
    for one in found.values():
        assert "id" not in one
        assert len({panel["id"] for panel in one["panels"]}) == len(one["panels"])
        sources = re.findall(r'"uid": "(?!pcc-)([^"]*)"', json.dumps(one))
        assert set(sources) == {"${datasource}"}


def test_links_and_variables_lead_somewhere() -> None:
    """Each link to a dashboard names one of ours, each link to a page one of docs; each variable is declared."""
    built_in = {"__value", "__url_time_range", "__interval", "__rate_interval", "__range", "1"}
    uids = {one["uid"] for _, one in every_dashboard()}
    for name, one in every_dashboard():
        text = json.dumps(one)
        declared = {each["name"] for each in one["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", text))
        assert used <= declared | built_in, name
        assert declared <= set(
            re.findall(r"\$\{?(\w+)", json.dumps([one["panels"], one["links"]]))
        ), name
        assert set(re.findall(r"/d/([\w-]+)", text)) <= uids
        for page in re.findall(r"\$\{docs:raw\}/([\w.-]+)", text):
            assert (DEPLOY.parent / "docs" / page).is_file(), page
        assert {link["tags"][0] for link in one["links"] if link["type"] == "dashboards"} <= set(
            one["tags"]
        )


def test_only_the_account_dashboard_needs_the_account() -> None:
    """The overview is of all accounts, and nothing in it fails where there is no label for one."""
    found = dashboards()
    assert "$account" not in " ".join(expressions(found["overview.json"]))
    for panel in panels(found["account.json"]):
        assert all('account="$account"' in target["expr"] for target in panel["targets"]), panel[
            "title"
        ]


def test_red_is_what_pages_and_amber_what_a_ticket_says() -> None:
    """The table of severities is that of the alerts, and nothing on a dashboard is red that pages nobody."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert {rule["alert"]: rule["labels"]["severity"] for rule in alerts} == SEVERITIES
    assert (colour_of("PccDown"), colour_of("PccGuardWaiting")) == (RED, ORANGE)
    red = {words for words, colour, _ in VERDICTS if colour == RED}
    assert red == {
        "An alert pages: see Alerts",
        "The daemon is down",
        "Devices missing for over an hour",
        "No event for too long",
    }
    for _, one in every_dashboard():
        for panel in panels(one):
            if json.dumps(RED) in json.dumps(panel):
                assert panel["title"] in {*PAGING, "Alerts"}, panel["title"]


PAGING = {"Is all well?", "Daemon", "Silence", "Self-check", "Accounts that nobody works on"}
"""Panels that may be red, because an alert that pages is about the same."""


def test_what_is_missing_claims_nothing() -> None:
    """A value that is not there has a word and no colour on each stat, and no table says that all is well."""
    for _, one in every_dashboard():
        for panel in panels(one):
            defaults = panel["fieldConfig"]["defaults"]
            if panel["type"] == "stat":
                special = defaults["mappings"][-1]["options"]
                assert special["match"] == "null", panel["title"]
                assert special["result"]["color"] == PLAIN, panel["title"]
                assert special["result"]["text"] == defaults["noValue"]
            if panel["type"] == "table":
                assert not re.search("in sync|held|well", defaults["noValue"]), panel["title"]
                assert {"id": "noValue", "value": NOTHING} in (
                    panel["fieldConfig"]["overrides"][0]["properties"]
                )


def test_staging_and_production_are_not_added_up() -> None:
    """Every query of a panel or a mark is of the chosen namespace and of one job."""
    for _, one in every_dashboard():
        for expression in expressions(one)[: -len(choices(one))]:
            for selector in re.findall(r"(?:pcc_\w+|ALERTS\w*)\{([^}]*)\}", expression):
                assert 'namespace=~"$namespace"' in selector, expression
                assert re.search(r'job=~?"\$(?:job|receiver)', selector), expression


def test_stats_lead_to_what_they_count() -> None:
    """A number about devices, accounts or guards leads to the panel or the page that names them."""
    board = dashboards()["overview.json"]
    numbers = {panel["title"]: panel["id"] for panel in board["panels"]}
    links = {
        panel["title"]: [link["url"] for link in panel["fieldConfig"]["defaults"].get("links", ())]
        for panel in panels(board)
    }
    for title, panel in {
        "Missing": "Accounts not in sync",
        "Accounts": "Accounts not in sync",
        "Guards": "Held changes",
        "Given up": "Events in the spools",
    }.items():
        assert any(url.endswith(f"viewPanel={numbers[panel]}") for url in links[title]), title
    assert "${page:raw}/" in links["Is all well?"]
    for _, one in every_dashboard():
        stats = [each for each in panels(one) if each["type"] == "stat"]
        assert all(each["fieldConfig"]["defaults"]["links"] for each in stats)


def test_a_word_has_one_colour_everywhere() -> None:
    """Whoever learnt on one panel that orange means held is not misled by another."""
    colours: dict[str, set[str]] = {}
    for _, one in every_dashboard():
        for panel in panels(one):
            for override in panel["fieldConfig"]["overrides"]:
                for each in override["properties"]:
                    if each["id"] == "color":
                        colours.setdefault(override["matcher"]["options"], set()).add(
                            each["value"]["fixedColor"]
                        )
                    for mapping in each["value"] if each["id"] == "mappings" else ():
                        for shown in mapping["options"].values():
                            colours.setdefault(shown["text"], set()).add(shown["color"])
            for mapping in panel["fieldConfig"]["defaults"]["mappings"]:
                for shown in mapping["options"].values() if mapping["type"] == "value" else ():
                    colours.setdefault(shown["text"], set()).add(shown["color"])
    assert {word: found for word, found in colours.items() if len(found) > 1} == {}
    assert colours["Held"] == {"orange"}


def test_provisioning_leads_to_a_prometheus_and_to_a_folder() -> None:
    """Grafana's own provisioning format, without a uid that the dashboards would depend on."""
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load(
        (folder / "datasources" / "prometheus.yaml").read_text(encoding="utf-8")
    )["datasources"]
    assert (source["type"], "uid" in source) == ("prometheus", False)
    (provider,) = yaml.safe_load(
        (folder / "dashboards" / "pcc-reconciler.yaml").read_text(encoding="utf-8")
    )["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert provider["options"]["path"] in (DEPLOY.parent / "docs" / "observability.md").read_text(
        encoding="utf-8"
    )


# What makes each sentence of the first panel true on a daemon where else all is well; ``None`` is one that is down.
Trouble = Callable[[Metrics], None]
LONG_MISSING: Mapping[str, Any] = {"states": {"missing": 1}, "out_of_sync_since": 60.0}
RISING = "pcc_source_errors_total"


def _stands(condition: Condition, **more: Any) -> Trouble:
    return lambda metrics: metrics.figures(SEOUL, figures(condition, **more))


def _heard(*, devices: int, last: float) -> Trouble:
    def hear(metrics: Metrics) -> None:
        figures_of = Heard([SEOUL], devices=devices, last=last)
        HeardMetrics(metrics.registry, figures_of, per_account=metrics.per_account)

    return hear


def _page_fires(metrics: Metrics) -> None:
    labels = ("alertname", "alertstate", "severity")
    firing = Gauge("ALERTS", "Prometheus' own.", labels, registry=metrics.registry)
    firing.labels("PccSpoolUnreadable", "firing", "page").set(1)


JUST_NOW = 7000.0
"""Seconds since the beginning of time; what is looked at is the moment 7200."""
TROUBLES: Mapping[str, Trouble | None] = {
    "All is well": lambda _: None,
    "The daemon is down": None,
    "No event for too long": _heard(devices=0, last=60.0),
    "An alert pages: see Alerts": _page_fires,
    "LG's list lacks devices that speak": _heard(devices=3, last=JUST_NOW),
    "No revision is accepted yet": lambda metrics: metrics.leave(SEOUL),
    "Devices missing for over an hour": _stands(Condition.CONVERGING, **LONG_MISSING),
    "State cannot be written": lambda metrics: metrics.state_writable.set(0),
    "LG does not let an account in": _stands(Condition.STOPPED),
    "The newest revision is rejected": lambda metrics: metrics.reload_successful.set(0),
    "A guard waits for a person": _stands(Condition.HELD, tripped=frozenset({Reason.TOO_MANY})),
    "An account is abandoned": lambda metrics: metrics.abandoned([AccountName("busan")]),
    "The revision cannot be fetched": lambda metrics: metrics.source_errors.labels("missing").inc(),
    "LG refuses devices": _stands(
        Condition.CONVERGING, **LONG_MISSING, held={(Action.SUBSCRIBE, Reason.REFUSED): 1}
    ),
    "Well, but it only observes": lambda metrics: metrics.mode("observe"),
    "Well, but something is paused": _stands(
        Condition.PAUSED, **LONG_MISSING, held={(Action.SUBSCRIBE, Reason.PAUSED): 1}
    ),
    "Well, converging": _stands(
        Condition.CONVERGING, states={"missing": 1}, out_of_sync_since=7000.0
    ),
}


def scraped(metrics: Metrics) -> list[Json]:
    """Return what a Prometheus that scraped these figures for two hours has, as promtool takes it."""
    found = []
    for metric in metrics.registry.collect():
        for sample in metric.samples:
            labels = {**sample.labels, "job": "pcc", "instance": "one"}
            told = ", ".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
            rise = "1" if sample.name == RISING and sample.value else "0"
            found.append(
                {"series": f"{sample.name}{{{told}}}", "values": f"{sample.value}+{rise}x120"}
            )
    return found


@pytest.mark.system
def test_first_panel_says_what_is_wrong(tmp_path: Path) -> None:
    """Each trouble alone leads to its own sentence, with and without the label account."""
    assert set(TROUBLES) == {"All is well", *(words for words, _, _ in VERDICTS)}
    numbers = {
        "All is well": 0,
        **{words: number for number, (words, _, _) in enumerate(VERDICTS, 1)},
    }
    expression = (
        verdict()
        .queries[0]
        .expression.replace("$job", "pcc")
        .replace("$namespace", ".*")
        .replace("$receiver", "receiver")
    )
    cases = []
    for per_account in (True, False):
        for words, trouble in TROUBLES.items():
            metrics = well(per_account=per_account)
            if trouble is not None:
                trouble(metrics)
            asked = {
                "expr": expression,
                "eval_time": "2h",
                "exp_samples": [{"labels": "{}", "value": numbers[words]}],
            }
            series = [] if trouble is None else scraped(metrics)
            cases.append(
                {
                    "name": words,
                    "interval": "1m",
                    "input_series": series,
                    "promql_expr_test": [asked],
                }
            )
    file = tmp_path / "verdicts.yml"
    file.write_text(
        json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": cases}),
        encoding="utf-8",
    )
    promtool("test", "rules", str(file))


def promtool(*arguments: str, given: str = "") -> None:
    """Run promtool, which has to find nothing to complain about."""
    done = subprocess.run(  # noqa: S603 - arguments are those of a test
        ["promtool", *arguments],  # noqa: S607 - the one on PATH
        input=given,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


async def everywhere(prometheus: Prometheus, happenings: Iterable[str]) -> None:
    """Wait until Prometheus has seen all of these of both daemons."""
    for happening, job in product(happenings, JOBS):
        expression = happening % f"job='{job}'"
        await until(partial(prometheus.has, expression), expression)


RECEIVER = "pcc-receiver"
AT_ZERO = f"count_over_time(pcc_receiver_build_info{{job='{RECEIVER}'}}[1h]) > 3"
JOBS: Mapping[str, bool] = {"pcc": True, "pcc-sums": False}
"""The two daemons, and whether their metrics have the label ``account``."""


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[tuple[Prometheus, Mapping[str, str]]]:
    """Give a Prometheus that has seen two daemons in all their troubles, and what each has to say of its metrics.

    It scrapes before they start, so that it sees every counter rise from 0.
    """
    ports = {job: (free_port(), free_port()) for job in (*JOBS, RECEIVER)}
    receiver = ReceiverFigures()
    targets = {job: [f"127.0.0.1:{port}" for port in pair] for job, pair in ports.items()}
    del targets[RECEIVER][1]
    prometheus = Prometheus(folder, targets)
    async with prometheus.running(), AsyncExitStack() as stack:
        stack.enter_context(exposed(receiver.metrics.registry, ports[RECEIVER][0]))
        for job, per_account in JOBS.items():
            stack.enter_context(exposed(heard(USERS, per_account=per_account), ports[job][1]))
        daemons = {}
        for seed, job in enumerate(JOBS):
            platform, remote = troubled(folder / job, seed)
            given = following(platform, remote, folder / job) | {"PCC_LISTEN": targets[job][0]}
            given["PCC_METRICS_PER_ACCOUNT"] = str(JOBS[job]).lower()
            one = await stack.enter_async_context(site(folder / job, platform, **given))
            daemons[job] = (one, remote)
            stack.callback(asyncio.create_task(hurry(one)).cancel)
        await everywhere(prometheus, BEGUN)
        await until(partial(prometheus.has, AT_ZERO), AT_ZERO)
        receiver.trouble()
        for push, happenings in (
            (grow, GROWN),
            (edit, EDITED),
            (break_a_file, BROKEN),
            (lock, LOCKED),
        ):
            for one, remote in daemons.values():
                await asyncio.to_thread(push, one.platform, remote)
            await everywhere(prometheus, happenings)
        yield prometheus, {job: await one.metrics() for job, (one, _) in daemons.items()}


BUILT_IN = {"__interval": "1s", "__rate_interval": "15s", "__range": "1h"}
"""What Grafana itself puts into queries."""


@dataclass(frozen=True)
class Reader:
    """Somebody who looks at a dashboard: with which variables, and at which span of time."""

    prometheus: Prometheus
    variables: Mapping[str, str]
    begin: float
    end: float

    def filled(self, expression: str) -> str:
        """Return a query as Grafana sends it."""
        values = {"namespace": ".*", **BUILT_IN, **self.variables}
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), expression)

    async def drawn(self, expression: str, *, now: bool = False) -> set[float]:
        """Return the values that a query has at the end of the time, or all along."""
        query = self.filled(expression)
        if now:
            return numbers(await self.prometheus.ask("query", query=query, time=str(self.end)))
        seconds = math.ceil(
            self.end - self.begin
        )  # whole steps, so that the last of them is the end itself
        span = {"start": str(self.end - seconds), "end": str(self.end), "step": "1"}
        return numbers(await self.prometheus.ask("query_range", query=query, **span))

    async def choice(self, query: str) -> set[str]:
        """Return what a variable lets choose from."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found is not None, query
        span = {"start": str(self.begin), "end": str(self.end)}
        return set(
            await self.prometheus.ask(
                f"label/{found[2]}/values", **{"match[]": self.filled(found[1])}, **span
            )
        )

    async def look_at(self, one: Json) -> dict[tuple[str, str], set[float]]:
        """Return the values of every query of panels and annotations, by the title of either."""
        found = {}
        for panel in panels(one):
            for target in panel["targets"]:
                found[panel["title"], target["expr"]] = await self.drawn(
                    target["expr"], now=target["instant"]
                )
        for mark in one["annotations"]["list"]:
            found[mark["name"], mark["expr"]] = await self.drawn(mark["expr"])
        return found


STILL = {
    "Queue": "six accounts never wait long enough for a worker to be seen waiting",
    "Log lines dropped": "the log of these daemons is read",
    "Answers mixed up": "nothing mixes up LG's answers here",
    "Log lines lost": "the log of this receiver is read",
    "Flapping": "LG would have to lose a device five times, and a loss is believed after a minute",
}
"""Panels that may show nothing but 0, and why."""


OF_SEVERAL = {"Accounts that nobody works on", "Accounts of each replica", "Leases and clocks"}
"""Panels of several replicas: one daemon alone has nothing to show there."""
UNSENT = {"Heartbeats to the outside"}
"""These daemons have no address to send one to."""
WAITING = OF_SEVERAL | UNSENT | {"Alerts", "Alerts that page", "Tickets"}
"""Panels and annotations that may be empty here, such as those of alerts, which wait for minutes before they fire."""


def assert_full(seen: Mapping[tuple[str, str], set[float]]) -> None:
    """Assert that each query found a number, but for those that drop zeros, and each panel more than 0."""
    without = {query for query, values in seen.items() if not values}
    dropping = {(title, query) for title, query in without if "> 0" in query or title in WAITING}
    assert without - dropping == set()
    shown: dict[str, set[float]] = {}
    for (title, _), values in seen.items():
        shown.setdefault(title, set()).update(values)
    assert {title for title, values in shown.items() if not values} - WAITING == set()
    assert {title for title, values in shown.items() if values == {0}} - set(STILL) == set()


@pytest.mark.system
@pytest.mark.timeout(600)
async def test_every_query_is_answered_by_a_real_prometheus(tmp_path: Path) -> None:
    """Under load and faults no query of a panel, an annotation, a variable or a rule fails, and no panel is empty."""
    begin = time.time()
    found = dashboards()
    async with scene(tmp_path) as (prometheus, exposed):
        end = time.time()
        for job in JOBS:
            promtool("check", "metrics", given=exposed[job])
            reader = Reader(prometheus, {"job": job, "receiver": RECEIVER}, begin, end)
            assert job in await reader.choice(choices(found["overview.json"])["job"])
            chosen = await reader.choice(choices(found["overview.json"])["receiver"])
            assert chosen == {RECEIVER}
            assert_full(await reader.look_at(found["overview.json"]))
        # Of one account each query has to have a value for some account: none is held, throttled and in sync at once.
        of_pcc = Reader(prometheus, {"job": "pcc"}, begin, end)
        accounts = await of_pcc.choice(choices(found["account.json"])["account"])
        assert accounts == set(USERS)
        seen: dict[tuple[str, str], set[float]] = {}
        for account in accounts:
            reader = replace(of_pcc, variables={"job": "pcc", "account": account})
            for name, values in (await reader.look_at(found["account.json"])).items():
                seen.setdefault(name, set()).update(values)
        assert_full(seen)
        await every_rule_is_understood(prometheus)


async def every_rule_is_understood(prometheus: Prometheus) -> None:
    """Assert that Prometheus took the shipped rules and can answer each of them."""
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(
        re.findall(r"^ +- (?:alert|record):", RULES.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    for rule in rules:
        await prometheus.ask("query", query=rule["query"])
