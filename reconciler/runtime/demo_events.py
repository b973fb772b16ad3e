"""The events file and the Logic Table of demonstrations, made of the table that the simulator has.

Owns: how LG's table becomes the files that a partner would write. Must not: invent a diagnosis.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from reconciler.simulator import TABLE

EVENTS_FILE = "events.toml"
LOG_ONLY = """\
version = 1
logic = "."

# Every event as one line of JSON on standard output.
[sinks.log]
type = "stream"
"""
SEVERITIES: Mapping[str, str] = {"malfunction": "high", "part_inquiry": "low"}
"""What a partner may make of a category; all others are in between."""


def logic_files() -> Mapping[str, str]:
    """Return the files of the Logic Table: their names and texts."""
    types = [
        (row.type, row.category, _plain(row.device_type), SEVERITIES.get(row.category, "medium"))
        for row in TABLE
    ]
    english = [(row.type, "", row.short, row.full, "") for row in TABLE]
    korean = [(row.type, "", row.short_ko, row.full_ko, "") for row in TABLE]
    messages = (
        "diagnosis_type",
        "device_type",
        "short_message",
        "full_instruction",
        "instruction_url",
    )
    return {
        "types.csv": _sheet(("diagnosis_type", "category", "device_types", "severity"), types),
        "messages.en.csv": _sheet(messages, english),
        "messages.ko.csv": _sheet(messages, korean),
    }


def _plain(device_type: str) -> str:
    """Return our word for LG's name of a device type."""
    return device_type.removeprefix("DEVICE_").lower()


def _sheet(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
