"""The alerts: what they say, that the code has what they ask for, and that a person finds what to do.

When each fires and when it does not is told in deploy/prometheus/rules.test.yml, which promtool runs.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import dashboards
from receiver_figures import ReceiverFigures
from reconciler.controller.revision_recorder import SOURCE_ERRORS
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, Cause
from reconciler.core.status import Figures
from reconciler.pcc.client import ROUTES
from reconciler.pcc.codes import CODES
from reconciler.telemetry.heard_metrics import AskedMetrics, HeardMetrics
from reconciler.telemetry.heartbeat_metrics import HeartbeatMetrics
from reconciler.telemetry.metrics import DEVICE_STATES, MODES, Metrics
from reconciler.telemetry.replica_metrics import ReplicaMetrics
from scenarios import fleet, owned, site, text

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "prometheus"
RULES, ALERTMANAGER = FOLDER / "rules.yml", FOLDER / "alertmanager.example.yml"
UNIT_TESTS = (FOLDER / "rules.test.yml", FOLDER / "rules.receiver.test.yml")
RUNBOOK, OBSERVABILITY = ROOT / "docs" / "runbook.md", ROOT / "docs" / "observability.md"
PAGES = {
    *("PccDevicesMissing", "PccDown", "PccWedged"),
    *("PccAccountsUnowned", "PccAccountOverdue"),
    "PccEventsSilent",
    *("PccReceiverDown", "PccEventsNotStored", "PccSpoolUnreadable", "PccSelfCheckFailing"),
}
FLEET = "PccMostAccountsFailing"

TARGET_LABELS = {"job", "instance", "namespace", "pod"}
"""What Prometheus itself says of where a series is from."""
FREE_LABELS = {*TARGET_LABELS, "account", "version", "sink"}
"""Labels that may have any value."""
WORDS = {
    *("and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "bool"),
    *("sum", "max", "min", "count", "time", "increase", "resets", "abs", "clamp_min"),
    *("max_over_time", "sum_over_time", "absent_over_time"),
}
LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left"}
TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*") | (?P<span>\d+[smhdwy]) | (?P<number>\d+(?:\.\d+)?(?:e\d+)?)
      | (?P<word>[a-zA-Z_][\w:]*) | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/(){}\[\],:<>=]) | (?P<space>\s+)""",
    re.VERBOSE,
)

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Selector:
    """One metric that an expression reads, with what it wants of labels: name, sign, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()


def loaded(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    """Return every rule in its order."""
    return [rule for group in loaded(RULES)["groups"] for rule in group["rules"]]


def unit_tests() -> list[dict[str, Any]]:
    """Return every test of the rules."""
    return [test for path in UNIT_TESTS for test in loaded(path)["tests"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def tokens(expression: str) -> list[tuple[str, str]]:
    """Take an expression apart. What is no PromQL that we know is a fault, not skipped."""
    found, at = [], 0
    while at < len(expression):
        one = TOKEN.match(expression, at)
        assert one is not None, f"not understood: {expression[at : at + 40]!r}"
        at = one.end()
        if one.lastgroup != "space":
            found.append((str(one.lastgroup), one.group()))
    return found


def read(expression: str) -> tuple[list[Selector], set[str]]:
    """Return which metrics an expression reads, and which labels it groups or matches by."""
    selectors, labels, parts, at = [], set[str](), tokens(expression), 0
    while at < len(parts):
        kind, word = parts[at]
        at += 1
        if kind != "word":
            continue
        if word in LABEL_LISTS:
            inside, at = enclosed(parts, at, ")")
            labels |= {one for kind, one in inside if kind == "word"}
        elif word not in WORDS:
            inside, at = (
                enclosed(parts, at, "}") if parts[at : at + 1] == [("sign", "{")] else ([], at)
            )
            selectors.append(Selector(word, matchers(inside)))
    return selectors, labels


def enclosed(
    parts: list[tuple[str, str]], begin: int, closing: str
) -> tuple[list[tuple[str, str]], int]:
    """Return what stands between the bracket at ``begin`` and the closing one, and where it goes on."""
    end = parts.index(("sign", closing), begin)
    return parts[begin + 1 : end], end + 1


def matchers(inside: Iterable[tuple[str, str]]) -> tuple[tuple[str, str, str], ...]:
    """Return label, sign and value of what stands in braces."""
    flat = [value for _kind, value in inside if value != ","]
    assert len(flat) % 3 == 0, flat
    return tuple(
        (label, sign, value.strip('"'))
        for label, sign, value in zip(*(iter(flat),) * 3, strict=True)
    )


def expressions() -> Iterator[tuple[str, str]]:
    """Give each expression with the name of its rule: of rules, and of the queries inside their words."""
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        yield name, rule["expr"]
        for words in rule.get("annotations", {}).values():
            for query in re.findall(r'printf\s+"(\w+[ (](?:[^"\\]|\\.)*)"', words):
                yield name, query.replace('\\"', '"').replace("%q", '""')


class HeardSomething:
    """Figures of a daemon whose receivers have reported events to it."""

    def contradicted_by_account(self) -> Mapping[AccountName, int]:
        """Return one contradicted device."""
        return {DEFAULT_ACCOUNT: 1}

    def after_unsubscribe(self) -> Mapping[AccountName, int]:
        """Return one event after an unsubscribe."""
        return {DEFAULT_ACCOUNT: 1}

    def silence_seconds(self) -> float:
        """Return a day."""
        return 86400.0

    def last_event(self) -> float:
        """Return some moment."""
        return 1.0


def exposed(*, per_account: bool) -> dict[str, dict[str, set[str]]]:
    """Return every series that the code can expose: sample, label, values. Only of some labels all are known."""
    every = Metrics(per_account=per_account)
    every.enter(DEFAULT_ACCOUNT)
    every.figures(
        DEFAULT_ACCOUNT,
        Figures(
            states=dict.fromkeys(DEVICE_STATES, 0),
            quota_limit=1,
            quota_remaining=1,
            token_expiry=1.0,
        ),
    )
    every.platform(ROUTES.values(), CODES)
    every.sources(SOURCE_ERRORS, Cause)
    every.revision("sha256:0", "file", "unchecked")
    for mode in MODES:
        every.mode(mode)
    HeardMetrics(every.registry, HeardSomething(), per_account=per_account)
    AskedMetrics(every.registry, ["http://pcc-receiver:8081"])
    ReplicaMetrics(every.registry)
    HeartbeatMetrics(every.registry)
    found: dict[str, dict[str, set[str]]] = {"up": {}}
    for metric in (*every.registry.collect(), *ReceiverFigures().metrics.registry.collect()):
        for sample in metric.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def firings() -> Iterator[tuple[str, str, int, list[Labels]]]:
    """Give each check of the unit tests: test, alert, minute, and with which labels it is to fire."""
    for test in unit_tests():
        for check in test["alert_rule_test"]:
            spans = re.findall(r"(\d+)([hm])", check["eval_time"])
            minute = sum(int(number) * (60 if unit == "h" else 1) for number, unit in spans)
            fired = [one["exp_labels"] for one in check["exp_alerts"]]
            yield test["name"], check["alertname"], minute, fired


def anchor(heading: str) -> str:
    """Return what a forge makes of a heading."""
    return heading.lower().replace(" ", "-")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_what_and_what_to_do(name: str) -> None:
    """An alert has a severity, a summary, a description, and a link to its own section of the runbook."""
    rule = ALERTS[name]
    assert rule["labels"] == {"severity": "page" if name in PAGES else "ticket"}
    assert set(rule["annotations"]) == {
        "summary",
        "description",
        "runbook_url",
        "dashboard_url",
    }
    assert all(words.strip() for words in rule["annotations"].values())
    address, _, section = rule["annotations"]["runbook_url"].partition("#")
    assert address.endswith("/" + RUNBOOK.name)
    assert section == anchor(name)


def test_the_links_have_one_base() -> None:
    """One replacement, which the head of the file tells, leads every link to one's own pages."""
    document = RULES.read_text(encoding="utf-8")
    told = re.search(r"sed -i 's#([^#]+)#", document)
    assert told is not None
    links = re.findall(r"runbook_url: (\S+)$", document, re.MULTILINE)
    assert len(links) == len(ALERTS)
    assert all(link.startswith(f"{told[1]}/{RUNBOOK.name}#") for link in links)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_a_dashboard_and_to_choices_that_it_has(name: str) -> None:
    """The dashboards and variables of the link exist, and one replacement changes its base."""
    url = ALERTS[name]["annotations"]["dashboard_url"]
    replaced = re.search(r"sed -i 's#(https://grafana[^#]+)#", RULES.read_text(encoding="utf-8"))
    assert replaced is not None
    assert url.startswith(f"{replaced[1]}/d/")
    boards = {one["uid"]: one for one in dashboards().values()}
    uids = set(re.findall(r"pcc-\w+", url))
    assert uids <= boards.keys()
    assert "pcc-overview" in uids
    variables = {each["name"] for uid in uids for each in boards[uid]["templating"]["list"]}
    assert set(re.findall(r"var-(\w+)=", url)) <= variables


def test_the_runbook_has_one_section_an_alert() -> None:
    """Each alert has a section in the order of the rules, and the runbook has no other."""
    assert re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE) == list(
        ALERTS
    )


@pytest.mark.parametrize("name", ALERTS)
def test_a_section_of_the_runbook_serves_at_three_in_the_morning(name: str) -> None:
    """A section begins with the severity and says where to look, what to do, what not to do, what ends by itself."""
    document = RUNBOOK.read_text(encoding="utf-8")
    section = re.search(rf"^## {name}\n\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert section[1].startswith(f"**{ALERTS[name]['labels']['severity'].capitalize()}.**")
    for part in ("- **Look:**", "- **Do", "- **Do not**", "- **Resolves:**"):
        assert part in section[1], part


def test_links_inside_the_runbook_lead_to_sections() -> None:
    """A section that names another one links to one that is there."""
    wanted = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK.read_text(encoding="utf-8")))
    assert wanted
    assert wanted <= {anchor(name) for name in ALERTS}


def test_every_command_of_the_runbook_exists() -> None:
    """Commands and options that a person is told to type are those of the program."""
    cli = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    told = re.findall(r"`pcc-reconciler ([a-z]+)([^`]*)`", RUNBOOK.read_text(encoding="utf-8"))
    assert told
    for command, rest in told:
        section = re.search(
            rf"^## `pcc-reconciler {command}`\n(.*?)(?=^## |\Z)", cli, re.MULTILINE | re.DOTALL
        )
        assert section is not None, command
        for option in re.findall(r"--[a-z-]+", rest):
            assert f" {option} " in section[1], (command, option)


def test_the_document_lists_the_alerts() -> None:
    """The table of alerts names each with its severity and its section, and no other."""
    row = re.compile(r"^\| \[`(Pcc\w+)`\]\(runbook\.md#(\w+)\) \| (\w+) \| .+ \|$", re.MULTILINE)
    listed = row.findall(OBSERVABILITY.read_text(encoding="utf-8"))
    assert listed == [
        (name, anchor(name), rule["labels"]["severity"]) for name, rule in ALERTS.items()
    ]


def test_rules_ask_for_what_the_code_exposes() -> None:
    """Every metric, label and label value in a rule, or in a query of its words, exists in code."""
    known = exposed(per_account=True)
    every_label = {label for labels in known.values() for label in labels} | TARGET_LABELS
    for name, expression in expressions():
        selectors, labels = read(expression)
        assert selectors, name
        assert labels <= every_label, name
        for one in selectors:
            if one.metric in RECORDED:
                continue
            assert one.metric in known, (name, one.metric)
            for label, sign, value in one.matchers:
                told = known[one.metric].get(label, set())
                assert told or label in TARGET_LABELS, (name, one.metric, label)
                wanted = set(value.split("|")) if "~" in sign else {value}
                assert label in FREE_LABELS or wanted <= told, (name, one.metric, label, value)


def test_every_recorded_figure_is_used() -> None:
    """A recording rule is there for alerts."""
    assert {
        one.metric for _, expression in expressions() for one in read(expression)[0]
    } >= RECORDED


def test_an_unknown_metric_or_word_would_be_noticed() -> None:
    """The reading of expressions finds what it is meant to find, and does not pass over what it does not know."""
    found, labels = read(
        'sum without (pod) (increase(pcc_a{b!="c", d=~"e|f"}[5m])) > 2 and on (job) pcc_b'
    )
    assert found == [Selector("pcc_a", (("b", "!=", "c"), ("d", "=~", "e|f"))), Selector("pcc_b")]
    assert labels == {"pod", "job"}
    assert read("made_up_function(pcc_a)")[0][0] == Selector("made_up_function")
    with pytest.raises(AssertionError, match="not understood"):
        read("pcc_a @ 5")


def test_unit_tests_are_made_of_series_that_the_code_exposes() -> None:
    """A series of a unit test has the name, labels and values that a scrape would have, in one of the two forms."""
    forms = [exposed(per_account=True), exposed(per_account=False)]
    for test in unit_tests():
        for one in test["input_series"]:
            [selector], _ = read(one["series"])
            labels = {label: value for label, _sign, value in selector.matchers}
            own = labels.keys() - TARGET_LABELS
            fitting = [form for form in forms if form[selector.metric].keys() == own]
            assert fitting, (test["name"], one["series"])
            for label in own - FREE_LABELS:
                assert labels[label] in fitting[0][selector.metric][label], (
                    test["name"],
                    one["series"],
                )


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_on_both_sides_of_its_threshold(name: str) -> None:
    """Somewhere an alert fires that did not a minute before in the same test; and some whole test leaves it quiet."""
    checks = [
        (test, minute, bool(fired)) for test, alert, minute, fired in firings() if alert == name
    ]
    quiet = {(test, minute) for test, minute, fired in checks if not fired}
    assert any((test, minute - 1) in quiet for test, minute, fired in checks if fired)
    assert {test for test, _, _ in checks} - {test for test, _, fired in checks if fired}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_of_accounts_is_tested_with_and_without_their_label(name: str) -> None:
    """What fires for a named account also fires where accounts have no label."""
    fired = [labels for _, alert, _, found in firings() if alert == name for labels in found]
    assert not any("account" in labels for labels in fired) or any(
        "account" not in labels for labels in fired
    )


def test_unit_tests_name_alerts_that_are_there() -> None:
    """A check of an alert that was renamed would show nothing."""
    assert {alert for _, alert, _, _ in firings()} == set(ALERTS)


def labels_of(name: str) -> Labels:
    """Return the labels that every alert of this name has."""
    return {"alertname": name, **ALERTS[name]["labels"]}


def matching(wanted: Iterable[str]) -> set[str]:
    """Return the alerts that all of these matchers of Alertmanager's take."""
    found = set(ALERTS)
    for matcher in wanted:
        label, sign, value = re.fullmatch(r'(\w+)(=~|!=|=)"(.*)"', matcher).groups()  # type: ignore[union-attr]  # fails loudly
        taken = {name for name in ALERTS if re.fullmatch(value, labels_of(name)[label])}
        found &= set(ALERTS) - taken if sign == "!=" else taken
    return found


def test_the_alertmanager_example_routes_every_alert() -> None:
    """Pages go to the person on call, everything else to the tickets; accounts are told together."""
    route = loaded(ALERTMANAGER)["route"]
    assert "account" not in route["group_by"]
    pages, tickets = route["routes"]
    assert matching(pages["matchers"]) == PAGES
    assert matching(tickets["matchers"]) == set(ALERTS) - PAGES
    assert (pages["receiver"], tickets["receiver"]) == ("on-call", "tickets")
    assert {one["name"] for one in loaded(ALERTMANAGER)["receivers"]} == {"on-call", "tickets"}


def test_no_ticket_silences_a_page() -> None:
    """Every alert that an inhibition names is there, and only a page may stand for another page."""
    for rule in loaded(ALERTMANAGER)["inhibit_rules"]:
        sources, targets = matching(rule["source_matchers"]), matching(rule["target_matchers"])
        named = re.findall(r"Pcc[A-Z]\w+", str(rule))
        assert set(named) <= set(ALERTS)
        assert sources
        assert targets - sources
        assert sources <= PAGES or not targets & PAGES


def test_trouble_of_most_accounts_silences_that_of_each() -> None:
    """Where LG fails for most accounts, the tickets of single accounts that follow from it are not sent."""
    silenced = set[str]()
    for rule in loaded(ALERTMANAGER)["inhibit_rules"]:
        if matching(rule["source_matchers"]) == {FLEET}:
            assert "account" not in rule["equal"]
            silenced |= matching(rule["target_matchers"])
    assert silenced >= {"PccAccountStopped", "PccListNotTrusted", "PccTokenNotRenewed"}


def promtool(*arguments: str, given: str = "") -> None:
    """Run promtool in the folder of the rules; it has to find nothing to complain about."""
    done = subprocess.run(  # noqa: S603 - arguments are those of a test
        ["promtool", *arguments],  # noqa: S607 - the one on PATH
        input=given,
        capture_output=True,
        check=False,
        cwd=FOLDER,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.system
def test_promtool_finds_the_rules_in_order() -> None:
    """Prometheus takes the rules, and its own examination of them finds nothing."""
    promtool("check", "rules", "--lint-fatal", RULES.name)


@pytest.mark.system
def test_every_alert_fires_when_it_should_and_only_then() -> None:
    """The unit tests of the rules hold: labels, words and numbers of what fires, and silence elsewhere."""
    promtool("test", "rules", *(path.name for path in UNIT_TESTS))


@pytest.mark.system
@pytest.mark.parametrize("per_account", ["true", "false"])
async def test_promtool_finds_the_metrics_in_order(tmp_path: Path, per_account: str) -> None:
    """What a running daemon exposes after a pass keeps Prometheus's conventions, in both forms."""
    platform = fleet(3)
    async with site(tmp_path, platform, PCC_METRICS_PER_ACCOUNT=per_account) as one:
        one.file.write_text(text(owned(platform)), encoding="utf-8")
        await one.has(owned(platform))
        exposition = await one.metrics()
    assert ('account="default"' in exposition) is (per_account == "true")
    promtool("check", "metrics", given=exposition)
