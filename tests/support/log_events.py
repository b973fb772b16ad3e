"""The log events that the code can emit."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from reconciler.cli.console import FAILED
from reconciler.controller.recorder import EVENTS

ROOT = Path(__file__).parent.parent.parent


def events_in_code() -> set[str]:
    """Return every log event that the code can emit: what is handed to a logger, and what stands in tables."""
    found = {*EVENTS.values(), *FAILED.values()}
    for file in (ROOT / "reconciler").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and "log" in ast.unparse(node.func):
                words = [
                    one.value
                    for one in node.args
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                ]
                found |= {word for word in words if re.fullmatch(r"[a-z]+\.[a-z_]+", word)}
    return found
