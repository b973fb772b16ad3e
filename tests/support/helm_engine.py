"""A program: Helm renders, checks and packs deploy/helm, asked in JSON lines. It runs in a process of its own.

Helm is a Go library here. It brings threads and signal handlers, which the tests' own process must not have. Each line
that comes in is a request, each line that goes out its answer: ``{"ok": …}`` or ``{"error": "…"}``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python


def render(asked: dict[str, Any]) -> dict[str, str]:
    """Return the text that each template became, tests and notes among them."""
    with helm_python.Chart.load(asked["chart"]) as chart:
        chart.validate_schema(asked["values"])
        return chart.render(asked["values"], name=asked["release"], namespace=asked["namespace"])


def lint(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what Helm finds wrong with the chart."""
    found: list[dict[str, Any]] = helm_python.lint(asked["chart"], asked["values"], strict=True)[
        "messages"
    ]
    return found


def package(asked: dict[str, Any]) -> str:
    """Pack the chart into a folder, and return the archive."""
    return helm_python.package(asked["chart"], destination=asked["folder"])


def parsed(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the values that an option ``--set`` gives."""
    return helm_python.parse_set_string(asked["set"])


ANSWERS = {"render": render, "lint": lint, "package": package, "parsed": parsed}


def main() -> None:
    """Answer until there is no more request."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"ok": ANSWERS[asked["do"]](asked)}
        except helm_python.HelmError as error:
            answer = {"error": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
