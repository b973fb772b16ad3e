"""The parts of the documents that are made from code, between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

``make docs`` writes them; a test fails where a document is not what this writes.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from prometheus_client import Metric

import readme
from reactions import CALLS, Case, Run, Seen, observed
from reconciler.core.guards import GUARDS
from reconciler.core.model import DEFAULT_ACCOUNT, AccountName, Cause
from reconciler.core.status import Figures
from reconciler.events.describing import Description
from reconciler.events.envelope import cloud_event, event_id
from reconciler.events.logic import LogicTable
from reconciler.events.message import read as read_message
from reconciler.events.model import PCC_EVENT, Device, Knowledge, Result
from reconciler.pcc.client import ROUTES
from reconciler.pcc.codes import CODES, Call
from reconciler.runtime.clock import SystemClock
from reconciler.runtime.partner_files import judged_at
from reconciler.runtime.receiving.journal import EventJournal
from reconciler.simulator import Route
from reconciler.telemetry.heard_metrics import AskedMetrics, HeardMetrics
from reconciler.telemetry.heartbeat_metrics import HeartbeatMetrics
from reconciler.telemetry.metrics import Metrics
from reconciler.telemetry.receiver_metrics import ReceiverMetrics, SpoolGauges
from reconciler.telemetry.replica_metrics import ReplicaMetrics
from stories import told

ROOT = Path(__file__).parent.parent
SEEN_DEVICE = "7121f083d9df33c29483843fe4181663508e36cd733db8b868269c11a2512a10"
"""The device of the example event."""


def reasons() -> list[str]:
    """Return the table of reasons, in the order in which a change gets its one."""
    rows = [
        f"| {guard.reason.kind} | [`{guard.reason}`](#{guard.reason}) | {guard.holds} | {guard.when} |"
        for guard in GUARDS
    ]
    return ["| kind | reason | holds | when |", "|---|---|---|---|", *rows]


def metrics() -> list[str]:
    """Return the table of metrics with their labels."""
    every = Metrics()
    every.enter(DEFAULT_ACCOUNT)
    every.figures(DEFAULT_ACCOUNT, Figures(quota_limit=1, quota_remaining=1, token_expiry=1.0))
    every.platform(ROUTES.values(), CODES)
    every.sources(["missing"], Cause)
    every.revision("sha256:0", "file", "unchecked")
    every.mode("enforce")
    HeardMetrics(every.registry, _Heard(), per_account=True)
    AskedMetrics(every.registry, ["http://pcc-receiver:8081"])
    ReplicaMetrics(every.registry)
    HeartbeatMetrics(every.registry)
    rows = [
        _metric_row(metric)
        for metric in every.registry.collect()
        if not metric.name.endswith("_created")
    ]
    return ["| metric | type | labels | meaning |", "|---|---|---|---|", *sorted(rows)]


class _Heard:
    """What receivers say about one account."""

    def contradicted_by_account(self) -> Mapping[AccountName, int]:
        """Return one device."""
        return {DEFAULT_ACCOUNT: 1}

    def after_unsubscribe(self) -> Mapping[AccountName, int]:
        """Return one event."""
        return {DEFAULT_ACCOUNT: 1}

    def silence_seconds(self) -> float:
        """Return any span."""
        return 1.0

    def last_event(self) -> float:
        """Return any moment."""
        return 1.0


def receiver_metrics() -> list[str]:
    """Return the table of the receiving process's metrics with their labels."""
    every = ReceiverMetrics(spool_limit=1)
    EventJournal(every, _NoNames(), LogicTable(), SystemClock())
    every.sinks(["crm"], Result)
    every.spool(_full_gauges)
    rows = [
        _metric_row(metric)
        for metric in every.registry.collect()
        if not metric.name.endswith("_created")
    ]
    return ["| metric | type | labels | meaning |", "|---|---|---|---|", *sorted(rows)]


class _NoNames:
    """Knows no device."""

    def device(self, device: str) -> Device:
        """Return a device of which nothing is known."""
        return Device(device)


def _full_gauges() -> SpoolGauges:
    return SpoolGauges(1, {("crm", "pending"): 1}, {"crm": 1.0})


def _metric_row(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    labels = sorted({label for sample in metric.samples for label in sample.labels} - {"le"})
    return f"| `{name}` | {metric.type} | {', '.join(f'`{label}`' for label in labels)} | {metric.documentation} |"


def codes() -> list[str]:
    """Return the table of LG's codes and what is done after each, call by call."""
    rows = [
        f"| {number} | {code.words} | {code.status} | {' | '.join(code.on(call) for call in list(Call)[:3])} |"
        for number, code in CODES.items()
    ]
    return [
        "| code | LG's words | status | list | subscribe | unsubscribe |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def answers() -> list[str]:
    """Return the table of what each of LG's answers was seen to lead to, call by call."""
    run = observed()
    found: dict[str, dict[Route, Case]] = {}
    for case in run.seen:
        found.setdefault(case.answer, {})[case.route] = case
    rows = [
        f"| {answer} | {_status(run, next(iter(routes.values())))} | "
        + " | ".join(
            _outcome(run.seen[routes[route]]) if route in routes else "" for route in CALLS
        )
        + " |"
        for answer, routes in found.items()
    ]
    head = " | ".join(f"after {verb}" for verb in CALLS.values())
    return [f"| LG's answer | status | {head} |", "|---|---|---|---|---|", *rows]


def _status(run: Run, case: Case) -> str:
    status = next(one.status for one in run.records[case] if one.fault is not None)
    return str(status) if case.has_code else ""


def _outcome(seen: Seen) -> str:
    """Return in a few words what came of the change, or of the list: what waits, or that it was done."""
    if seen.kept:
        return seen.kept[0].partition(": ")[2]
    return "`noop`" if any("noop" in line for line in seen.log) else "`success`"


def after(route: Route) -> Callable[[], list[str]]:
    """Return what makes the table of all that was seen after the answers to one call, like ones together."""

    def table() -> list[str]:
        alike: dict[Seen, list[str]] = {}
        for case, seen in observed().seen.items():
            if case.route is route:
                alike.setdefault(seen, []).append(case.answer)
        rows = [
            f"| {' | '.join(map(_cell, (_told(cases), *_parts(seen))))} |"
            for seen, cases in alike.items()
        ]
        head = "| LG's answer | calls | log | what waits | condition | metrics |"
        return [head, "|---|---|---|---|---|---|", *rows]

    return table


def _told(cases: list[str]) -> list[str]:
    """Return LG's codes on one line, and each answer without a code on a line of its own."""
    codes = " ".join(case for case in cases if case.isdigit() and len(case) == CODE_LENGTH)
    return [*([codes] if codes else []), *(case for case in cases if case not in codes.split())]


CODE_LENGTH = 4
"""LG's codes have four digits, an HTTP status has three."""


def _parts(seen: Seen) -> tuple[tuple[str, ...], ...]:
    code = tuple(f"`{line}`" for line in seen.log)
    return (
        seen.calls,
        code,
        seen.kept,
        (f"`{seen.condition}`",),
        tuple(f"`{line}`" for line in seen.metrics),
    )


def _cell(lines: Sequence[str]) -> str:
    return "<br>".join(lines)


FLOORS = (
    "cli",
    "runtime",
    "api",
    "controller",
    "reporting",
    "source",
    "pcc",
    "events",
    "desired",
    "state",
    "telemetry",
    "core",
)
"""The rooms, highest floor first."""


def modules() -> list[str]:
    """Return the table of modules, room by room: each with the first sentence of its docstring."""
    rows: list[str] = []
    for room in FLOORS:
        inits = sorted(
            (ROOT / "reconciler" / room).glob("**/__init__.py"), key=lambda one: one.parent
        )
        for package in (one.parent for one in inits):
            rows += [_row(one) for one in sorted(package.glob("*.py")) if one.stem != "__init__"]
    return ["| module | is about |", "|---|---|", *rows]


def _row(path: Path) -> str:
    return f"| `{path.relative_to(ROOT / 'reconciler').as_posix()}` | {_first_sentence(path)} |"


def _first_sentence(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.split("\n\n")[0].replace("\n", " ").replace("``", "`").replace("|", "\\|")


def event() -> list[str]:
    """Return one CloudEvent, by the example events file, its Logic Table and the example of the desired state."""
    found = judged_at(ROOT / "events.example.toml").rules
    assert found is not None
    device = Device(
        SEEN_DEVICE, Knowledge.DESIRED, "seoul-hotel", "Room 1203", "washer", desired=True
    )
    raw = {
        "messageId": "w9kXzTn3Qm2a5vYbR7uHcg",
        "timestamp": "2026-11-30T01:02:03.456789",
        "event": {
            "pushType": PCC_EVENT,
            "deviceId": SEEN_DEVICE,
            "deviceType": "DEVICE_WASHER",
            "diagnosisType": "SIM_WASHER_DRAIN_SLOW",
            "contentUrl": "https://lg.example.com/pcc/1",
            "diagnosisTimestamp": "2026-11-30T01:01:40",
        },
    }
    arrival = read_message(json.dumps(raw).encode())[0]
    assert arrival.message is not None
    diagnosis = found.table.diagnosis("SIM_WASHER_DRAIN_SLOW", "washer")
    known = Description(device, "washer", diagnosis, found.table.revision)
    stored = datetime(2026, 11, 30, 1, 2, 4, tzinfo=UTC)
    made = cloud_event(event_id(arrival.key), arrival.message, stored, known, "urn:pcc:production")
    return ["```json", *json.dumps(made, indent=2, ensure_ascii=False).splitlines(), "```"]


EXAMPLES = ROOT / "deploy" / "ci" / "examples"


def example(name: str) -> list[str]:
    """Return a file for users to copy, as a block of code."""
    return ["```yaml", *(EXAMPLES / name).read_text(encoding="utf-8").splitlines(), "```"]


SECTIONS: dict[str, dict[str, Callable[[], list[str]]]] = {
    "README.md": {"plan": readme.plan},
    "docs/architecture.md": {"modules": modules},
    "docs/guards.md": {"reasons": reasons},
    "docs/observability.md": {"metrics": metrics, "receiver metrics": receiver_metrics},
    "docs/lg.md": {"codes": codes},
    "docs/explain.md": {"stories": told},
    "docs/ci.md": {
        Path(name).stem: partial(example, name)
        for name in (
            "github-pull-request.yml",
            "github-merged.yml",
            "gitlab-ci.yml",
            "flux-kustomization.yaml",
            "pre-commit-config.yaml",
        )
    },
    "docs/events.md": {"event": event},
    "docs/reactions.md": {
        "answers": answers,
        **{f"after {verb}": after(route) for route, verb in CALLS.items()},
    },
}


def written(document: str, path: str) -> str:
    """Return a document with its generated sections as they should be."""
    for name, make in SECTIONS[path].items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, found, rest = document.partition(begin)
        _old, ended, after = rest.partition(end)
        if not (found and ended):
            raise LookupError(f"{path} has no place for {name}")
        document = before + begin + "".join(f"{line}\n" for line in make()) + end + after
    return document


def with_helps(document: str) -> str:
    """Return the command reference with the help texts as the program prints them."""

    def printed(block: re.Match[str]) -> str:
        words = block.group(1).split()
        environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "reconciler", *words]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)  # noqa: S603 - ours
        return f"```console\n$ pcc-reconciler {block.group(1)}\n{shown.stdout.rstrip()}\n```"

    return re.sub(
        r"```console\n\$ pcc-reconciler ([a-z -]*--help)\n.*?\n```",
        printed,
        document,
        flags=re.DOTALL,
    )


def main() -> None:
    """Write every generated section."""
    reference = ROOT / "docs" / "cli.md"
    reference.write_text(with_helps(reference.read_text(encoding="utf-8")), encoding="utf-8")
    for path in SECTIONS:
        file = ROOT / path
        file.write_text(written(file.read_text(encoding="utf-8"), path), encoding="utf-8")


if __name__ == "__main__":
    main()
