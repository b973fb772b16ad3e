"""The document about events says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.events import logic_reading, placeholders, sheets
from reconciler.events.config import LARGEST
from reconciler.events.config_schema import (
    EventsTable,
    HttpTable,
    LogicKeys,
    RetentionTable,
    StreamTable,
)
from reconciler.events.envelope_schema import event_schema
from reconciler.events.model import Category, EventState

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/events.md").read_text(encoding="utf-8")


def keys_in_code() -> set[str]:
    """Return every key of the events file, as the document writes it."""
    top = {name for name in EventsTable.model_fields if name not in {"sinks", "retention"}}
    sinks = {*HttpTable.model_fields, *StreamTable.model_fields}
    retention = {f"retention.{name}" for name in RetentionTable.model_fields}
    assert top >= {*LogicKeys.model_fields}
    return top | {f"sinks.NAME.{name}" for name in sinks} | retention


def test_every_key_of_the_events_file_has_a_row() -> None:
    """And the document names no other."""
    rows = re.findall(
        r"^\| `((?:sinks|retention|version|logic|locales)[\w.]*)` \|", DOCUMENT, re.MULTILINE
    )
    assert sorted(rows) == sorted(keys_in_code())


def test_every_column_of_the_table_has_a_row() -> None:
    """The same column of both files has one."""
    columns = {
        *logic_reading.TYPE_COLUMNS,
        *logic_reading.MORE_TYPE_COLUMNS,
        *logic_reading.MESSAGE_COLUMNS,
        *logic_reading.MORE_MESSAGE_COLUMNS,
    }
    assert all(f"| `{column}` |" in DOCUMENT for column in columns)


def test_every_attribute_of_an_event_is_named() -> None:
    """As the schema has it."""
    schema: dict[str, Any] = event_schema()
    told = {"specversion", "datacontenttype", "data"}  # the standard's own
    assert all(f"`{name}`" in DOCUMENT for name in schema["properties"].keys() - told)


@pytest.mark.parametrize(
    "words",
    [
        *(f"`{{{name}}}`" for name in placeholders.NAMES),
        *(f"`{category}`" for category in Category),
        *(f"`{state}`" for state in EventState),
        f"{LARGEST // 1024**2} MB, 50 sinks, 50 locales",
        f"{sheets.LARGEST // 1024**2} MB, {sheets.MOST_ROWS:,} rows, {sheets.LONGEST_CELL:,} characters",
        f"{logic_reading.LARGEST_TABLE // 1024**2} MB together",
        f"at most {logic_reading.LONGEST_SHORT_MESSAGE:,} characters",
    ],
)
def test_words_and_limits_are_those_of_the_code(words: str) -> None:
    """Placeholders, categories, states and limits are in the document."""
    assert words in DOCUMENT
