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
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import start_http_server

from dashboards import VERDICTS, dashboards, verdict, written
from grafana import COLUMNS, Json
from receiver_figures import ReceiverFigures
from reconciler.core.model import AccountName, Action, Cause, Condition, Reason
from reconciler.core.status import Figures
from reconciler.pcc.client import ROUTES
from reconciler.pcc.codes import CODES
from reconciler.simulator import Match, Platform, Route, Rule
from reconciler.simulator.faults import Error, Html
from reconciler.telemetry.metrics import Metrics
from repositories import Remote
from scenarios import (
    DEADLINE_SECONDS,
    Site,
    account_text,
    credentials_folder,
    fault,
    fleet,
    free_port,
    owned,
    site,
)

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
SEOUL = AccountName("seoul")
MADE_BY_QUERIES = {"job", "instance", "le", "short"}
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
    return Figures(
        condition=condition, quota_limit=600, quota_remaining=10, token_expiry=9e9, **more
    )


def known() -> dict[str, dict[str, set[str]]]:
    """Return every metric as Prometheus names it, with its labels and their values."""
    found: dict[str, dict[str, set[str]]] = {}
    for metric in (*well().registry.collect(), *ReceiverFigures().metrics.registry.collect()):
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
                    assert label == "job" or label in metrics[name], (name, label)
                    assert (
                        values.startswith("$") or set(values.split("|")) <= metrics[name][label]
                    ), (name, values)
            exported = {
                label for name in re.findall(r"\bpcc_\w+", expression) for label in metrics[name]
            }
            for labels in re.findall(
                r"\b(?:by|on|without|ignoring|group_left) \(([^)]*)\)", expression
            ):
                assert set(labels.split(", ")) <= exported | MADE_BY_QUERIES, expression
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
    built_in = {"__value", "__url_time_range", "__interval", "1"}
    uids = {one["uid"] for _, one in every_dashboard()}
    for name, one in every_dashboard():
        text = json.dumps(one)
        declared = {each["name"] for each in one["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", text))
        assert used <= declared | built_in, name
        assert declared - {"datasource", "docs"} <= set(
            re.findall(r"\$\{?(\w+)", json.dumps(one["panels"]))
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


TROUBLES: Mapping[str, Trouble | None] = {
    "All is well": lambda _: None,
    "The daemon is down": None,
    "No text is accepted yet": lambda metrics: metrics.leave(SEOUL),
    "Devices missing for over an hour": _stands(Condition.CONVERGING, **LONG_MISSING),
    "State cannot be written": lambda metrics: metrics.state_writable.set(0),
    "LG does not let an account in": _stands(Condition.STOPPED),
    "The newest revision is rejected": lambda metrics: metrics.reload_successful.set(0),
    "A guard waits for a person": _stands(Condition.HELD, tripped=frozenset({Reason.TOO_MANY})),
    "An account is abandoned": lambda metrics: metrics.abandoned([AccountName("busan")]),
    "The text cannot be fetched": lambda metrics: metrics.source_errors.labels("missing").inc(),
    "LG refuses devices": _stands(
        Condition.CONVERGING, **LONG_MISSING, held={(Action.SUBSCRIBE, Reason.REFUSED): 1}
    ),
    "Well, but it only observes": lambda metrics: metrics.mode("observe"),
    "Well, but something is paused": _stands(
        Condition.PAUSED, **LONG_MISSING, held={(Action.SUBSCRIBE, Reason.PAUSED): 1}
    ),
    "Well, on the way": _stands(
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
    expression = verdict().queries[0].expression.replace("$job", "pcc")
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


class Prometheus:
    """A real Prometheus on loopback that scrapes every second."""

    def __init__(self, folder: Path, jobs: Mapping[str, str]) -> None:
        self._folder = folder
        self._jobs = jobs
        self._port = free_port()
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}", timeout=DEADLINE_SECONDS
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start it, and end it at the end."""
        config = self._folder / "prometheus.yml"
        scrapes = [
            {"job_name": job, "static_configs": [{"targets": [listen]}]}
            for job, listen in self._jobs.items()
        ]
        rules = {"rule_files": [str(RULES)]}
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": scrapes,
            **rules,
        }
        config.write_text(json.dumps(settings), encoding="utf-8")
        with (self._folder / "prometheus.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                stdout=log,
                stderr=log,
            )
            try:
                await until(self._ready, "Prometheus is ready")
                yield
            finally:
                child.terminate()
                await child.wait()
                await self.http.aclose()

    async def _ready(self) -> bool:
        with suppress(httpx.TransportError):
            return (await self.http.get("/-/ready")).is_success
        return False

    async def ask(self, path: str, **parameters: str) -> Any:
        """Ask its API; a query that it does not understand fails."""
        answer = await self.http.get(f"/api/v1/{path}", params=parameters)
        assert answer.is_success, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    async def has(self, expression: str) -> bool:
        """Say whether a query has a value now that is a number."""
        return bool(numbers(await self.ask("query", query=expression)))


def numbers(data: Any) -> set[float]:
    """Return the values of an answer that Grafana could draw."""
    pairs = [pair for one in data["result"] for pair in one.get("values", [one.get("value")])]
    return set(filter(math.isfinite, (float(value) for _, value in pairs)))


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition that has to be asked for holds; only a defect reaches the deadline."""
    end = time.monotonic() + 3 * DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < end, f"it never came to be: {what}"
        await asyncio.sleep(0.2)


USERS = ("seoul", "busan", "jeju", "incheon", "daegu", "suwon")


def troubled(folder: Path, seed: int) -> tuple[Platform, Remote]:
    """Return a platform on which everything goes wrong somewhere, and the repository with what is wanted of it."""
    platform = fleet(30, users=USERS, seed=seed)
    platform.world.revoke_access(platform.world.user("incheon"))
    platform.set_faults(
        Rule(
            Error("1214"),
            match=Match(route=Route.SUBSCRIBE, devices=tuple(owned(platform, "seoul")[-2:])),
        ),
        Rule(
            Html(502),
            match=Match(route=Route.SUBSCRIBE, devices=tuple(owned(platform, "seoul")[9:15])),
            count=6,
        ),
        fault(Error("1302"), Route.LIST, user="incheon"),
    )
    remote = Remote(folder / "served")
    remote.publish(wanted(platform, 5), "Begin with wing A")
    return platform, remote


def wanted(platform: Platform, count: int) -> dict[str, str | None]:
    """Return texts that want so many devices of each account."""
    return {
        f"fleet/{user}.toml": account_text(user, owned(platform, user)[:count]) for user in USERS
    }


def grow(platform: Platform, remote: Remote) -> None:
    """Push many more devices, when LG has just forgotten a token, and lets one account make no more calls."""
    platform.world.revoke_access(platform.world.user("suwon"))
    platform.world.user("jeju").quota = 1
    remote.publish(wanted(platform, 30), "Add wing B")


async def hurry(one: Site) -> None:
    """Ask for a pass of one account again and again: the load."""
    while True:
        (await one.http.post("/api/v1/reconcile?account=suwon", json={})).raise_for_status()
        await asyncio.sleep(0.05)


APPROVAL = """
[[approvals]]
account = "busan"
devices = ["{device}"]
expires = {expires}T00:00:00Z
reason = "sold"
"""


def edit(platform: Platform, remote: Remote) -> None:
    """Push what people push: a good change, an account that vanishes, far too many removals, two of them approved."""
    busan = owned(platform, "busan")
    approved = [APPROVAL.format(device=busan[-1], expires="2099-01-01")]
    approved += [APPROVAL.format(device=busan[-2], expires="2020-01-01")]
    files = {
        "fleet/suwon.toml": account_text("suwon", owned(platform, "suwon")[:27]),
        "fleet/busan.toml": account_text("busan", busan[:5]) + "".join(approved),
        "fleet/daegu.toml": None,
    }
    remote.publish(files, "Close wing B")


def break_a_file(_: Platform, remote: Remote) -> None:
    """Push what nobody should: half a table's head."""
    remote.publish({"fleet/suwon.toml": "version = 1\n[accounts.suw"}, "Oops")


def lock(_: Platform, remote: Remote) -> None:
    """Let the repository be found no more."""
    remote.bare.rename(remote.bare.with_suffix(".gone"))


Happenings = tuple[str, ...]
BEGUN: Happenings = (
    "pcc_accounts{%s, condition='in_sync'} > 0",
    "count_over_time(pcc_build_info{%s}[1h]) > 3",
)
GROWN: Happenings = (
    "pcc_accounts{%s, condition='in_sync'} > 0",
    "pcc_accounts{%s, condition='stopped'} > 0",
    "sum(increase(pcc_token_refreshes_total{%s, result='success'}[1h])) > 0",
    "sum(increase(pcc_api_throttled_total{%s}[1h])) > 0",
    "sum(increase(pcc_changes_total{%s, result='failed'}[1h])) > 0",
    "sum(increase(pcc_changes_total{%s, result='refused'}[1h])) > 0",
    "sum(increase(pcc_changes_total{%s, action='subscribe', result='success'}[1h])) > 50",
    "sum(pcc_token_expiry_timestamp_seconds{%s}) > 0",
)
EDITED: Happenings = (
    "pcc_accounts{%s, condition='held'} > 0",
    "pcc_accounts{%s, condition='abandoned'} > 0",
    "sum(increase(pcc_changes_total{%s, action='unsubscribe', result='success'}[1h])) > 3",
    "increase(pcc_convergence_seconds_count{%s}[1h]) > 0",
    "sum(pcc_guard_tripped{%s}) > 0",
)
BROKEN: Happenings = ("pcc_desired_rejected{%s, cause='invalid'} > 0",)
LOCKED: Happenings = ("sum(increase(pcc_source_errors_total{%s}[1h])) > 0",)
"""What has to have happened, step by step, before panels are asked for it."""


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
    listens = {job: f"127.0.0.1:{free_port()}" for job in JOBS}
    receiver, port = ReceiverFigures(), free_port()
    prometheus = Prometheus(folder, {**listens, RECEIVER: f"127.0.0.1:{port}"})
    async with prometheus.running(), AsyncExitStack() as stack:
        stack.enter_context(exposed(receiver, port))
        daemons = {}
        for seed, job in enumerate(JOBS):
            platform, remote = troubled(folder / job, seed)
            given = following(platform, remote, folder / job) | {"PCC_LISTEN": listens[job]}
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


@contextmanager
def exposed(figures: ReceiverFigures, port: int) -> Iterator[None]:
    """Serve the metrics of a receiver."""
    server, thread = start_http_server(port, "127.0.0.1", figures.metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def following(platform: Platform, remote: Remote, folder: Path) -> dict[str, str]:
    """Return the settings of a daemon that follows the repository closely."""
    return {
        "PCC_GIT_URL": remote.url,
        "PCC_GIT_INTERVAL": "1s",
        "PCC_DESIRED_STATE": "fleet",
        "PCC_CREDENTIALS_DIR": str(credentials_folder(platform, folder / "credentials")),
        "PCC_INTERVAL": "1s",
    }


@dataclass(frozen=True)
class Reader:
    """Somebody who looks at a dashboard: with which variables, and at which span of time."""

    prometheus: Prometheus
    variables: Mapping[str, str]
    begin: float
    end: float

    def filled(self, expression: str) -> str:
        """Return a query as Grafana sends it."""
        values = {"__interval": "1s", **self.variables}
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
    "Answers to other requests": "nothing mixes up LG's answers here",
    "Receiver log lines dropped": "the log of this receiver is read",
    "Flapping": "LG would have to lose a device five times, and a loss is believed after a minute",
}
"""Panels that may show nothing but 0, and why."""


def assert_full(seen: Mapping[tuple[str, str], set[float]]) -> None:
    """Assert that each query found a number, and each panel shows something else than 0."""
    assert {name for name, values in seen.items() if not values} == set()
    shown: dict[str, set[float]] = {}
    for (title, _), values in seen.items():
        shown.setdefault(title, set()).update(values)
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
