"""Run all benchmarks, or those named: `python -m benchmarks --quick diff`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks import Bound, Row, Verdict, exit_code

COLOURS = {
    Verdict.MET: "green",
    Verdict.MISSED: "red",
    Verdict.NOT_MEASURED: "yellow",
    Verdict.NO_TARGET: "dim",
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print one table, keep it as JSON; exit with 1 where a ratio is far out of line."""
    known = sorted(
        one.name
        for one in pkgutil.iter_modules(benchmarks.__path__)
        if not one.name.startswith("_")
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; all, unless named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller and fewer rounds: minutes in all"
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(known):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}. There are: {', '.join(known)}")
    found: dict[str, list[Row]] = {}
    for name in asked.names or known:
        began = datetime.now(UTC)
        sys.stderr.write(f"{name} … ")
        sys.stderr.flush()
        found[name] = list(importlib.import_module(f"benchmarks.{name}").rows(quick=asked.quick))
        sys.stderr.write(f"{(datetime.now(UTC) - began).total_seconds():.0f} s\n")
    Console(width=None if sys.stdout.isatty() else 200).print(table(found))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(
        json.dumps(as_data(found, quick=asked.quick), indent=1, ensure_ascii=False) + "\n"
    )
    return exit_code(row for rows in found.values() for row in rows)


def table(found: Mapping[str, Iterable[Row]]) -> Table:
    """Return the table for people."""
    shown = Table("what", "ours", "floor or peer", "", "ratio (spread)", "target", "verdict")
    for column in (*shown.columns[1:3], shown.columns[4]):
        column.justify = "right"
    for name, rows in found.items():
        shown.add_section()
        for row in rows:
            verdict = f"{row.verdict}, far out of line" if row.out_of_line else str(row.verdict)
            shown.add_row(
                f"{name}: {row.what}" + (f" ({row.remark})" if row.remark else ""),
                _figure(row.ours, row.unit),
                _figure(row.other, row.unit),
                row.against,
                _ratio(row),
                _target(row),
                f"[{COLOURS[row.verdict]}]{verdict}",
            )
    return shown


def as_data(found: Mapping[str, Iterable[Row]], *, quick: bool) -> Mapping[str, Any]:
    """Return everything for programs, with what it was measured on."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "rows": [_row(name, row) for name, rows in found.items() for row in rows],
    }


def _row(name: str, row: Row) -> Mapping[str, Any]:
    return {
        "benchmark": name,
        "what": row.what,
        "ours": row.ours,
        "other": row.other,
        "unit": row.unit,
        "against": row.against,
        "ratio": row.ratio,
        "ratios": list(row.ratios),
        "target": _target(row),
        "verdict": str(row.verdict),
        "remark": row.remark,
    }


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    """Return three digits that mean something, and all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    between = (
        "" if row.spread is None else f" ({_digits(row.spread[0])} to {_digits(row.spread[1])})"
    )
    return f"x {_digits(row.ratio)}{between}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = "" if row.target.bound is Bound.EXACTLY else f"{row.target.bound} "
    return sign + (
        _figure(row.target.value, row.unit)
        if row.target.absolute
        else f"x {_digits(row.target.value)}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
