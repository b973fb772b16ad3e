"""The parts of the documents that are made from code, between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

``make docs`` writes them; a test fails where a document is not what this writes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prometheus_client import Metric

from reconciler.guards import GUARDS
from reconciler.metrics import Figures, Metrics
from reconciler.model import DEFAULT_ACCOUNT, Cause
from reconciler.pcc.client import ROUTES
from reconciler.pcc.wire import CODES, Call

ROOT = Path(__file__).parent.parent


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
    rows = [_metric_row(metric) for metric in every.registry.collect() if not metric.name.endswith("_created")]
    return ["| metric | type | labels | meaning |", "|---|---|---|---|", *sorted(rows)]


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
    return ["| code | LG's words | status | list | subscribe | unsubscribe |", "|---|---|---|---|---|---|", *rows]


SECTIONS: dict[str, dict[str, Callable[[], list[str]]]] = {
    "docs/guards.md": {"reasons": reasons},
    "docs/observability.md": {"metrics": metrics},
    "docs/lg.md": {"codes": codes},
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


def main() -> None:
    """Write every generated section."""
    for path in SECTIONS:
        file = ROOT / path
        file.write_text(written(file.read_text(encoding="utf-8"), path), encoding="utf-8")


if __name__ == "__main__":
    main()
