"""Run all benchmarks, or those named: `python -m benchmarks diff`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import benchmarks


def main(names: list[str]) -> int:
    """Print one table a benchmark; name what there is when a name is unknown."""
    known = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    if unknown := set(names) - set(known):
        sys.stderr.write(f"No benchmark {', '.join(sorted(unknown))}. There are: {', '.join(known)}\n")
        return 1
    for name in names or known:
        module = importlib.import_module(f"benchmarks.{name}")
        table = Table("what", "seconds", "peak MiB", "", title=f"{name}: {module.__doc__}")
        for column in table.columns[1:3]:
            column.justify = "right"
        for measurement in module.measurements():
            peak = "" if measurement.peak_bytes is None else f"{measurement.peak_bytes / 2**20:.1f}"
            table.add_row(measurement.what, f"{measurement.seconds:.3f}", peak, measurement.remark)
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
