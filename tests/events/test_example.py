"""The example events file and its Logic Table, as they are committed."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.events.config import EventsConfig, read_config
from reconciler.events.config_schema import (
    EventsTable,
    HttpTable,
    RetentionTable,
    StreamTable,
)
from reconciler.events.logic import LogicTable
from reconciler.events.logic_reading import read_logic
from reconciler.simulator.diagnoses import TABLE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "events.example.toml"


def example(text: str | None = None) -> EventsConfig:
    """Return what the example says, or what a text in its place says."""
    content = EXAMPLE.read_bytes() if text is None else text.encode()
    reading = read_config(str(EXAMPLE), content)
    assert (reading.faults, reading.warnings) == ((), ())
    assert reading.config is not None
    return reading.config


def example_table() -> LogicTable:
    """Return the example's Logic Table."""
    config = example()
    assert config.logic is not None
    files = {path.name: path.read_bytes() for path in config.logic.iterdir()}
    reading = read_logic(str(config.logic), files, config.locales)
    assert (reading.faults, reading.warnings) == ((), ())
    assert reading.table is not None
    return reading.table


def test_the_example_has_no_fault() -> None:
    """It names a stream and an HTTP sink, and a table that is there."""
    assert {*example().sinks} == {"log", "crm"}


def test_the_example_is_right_with_every_key() -> None:
    """Also with the keys that it leaves out."""
    lines = EXAMPLE.read_text().splitlines()
    config = example(
        "\n".join(line.removeprefix("#") if line[1:2] != " " else line for line in lines)
    )
    assert config.sinks["crm"].signing_secret_file == Path("/run/secrets/crm")
    assert config.sinks["log"].path == ROOT / "events.jsonl"
    assert "DEVICE_UNREGISTERED" in config.sinks["crm"].push_types


def test_the_example_has_every_key() -> None:
    """Each key of the schema is in it, in use or left out."""
    tables = (EventsTable, HttpTable, StreamTable, RetentionTable)
    keys = {name for table in tables for name in table.model_fields} - {"sinks", "retention"}
    written = set(re.findall(r"^#?(\w+) = ", EXAMPLE.read_text(), re.MULTILINE))
    assert written == keys


def test_the_example_shows_the_defaults() -> None:
    """What it says of order, concurrency and retention is what holds without it."""
    bare = example('version = 1\n[sinks.crm]\ntype = "http"\nurl = "https://crm.example.com/pcc"\n')
    shown, default = example().sinks["crm"], bare.sinks["crm"]
    assert (shown.order, shown.concurrency) == (default.order, default.concurrency)
    assert shown.give_up_after == default.give_up_after
    assert example().retention == bare.retention


def test_the_example_table_explains_what_the_simulator_diagnoses() -> None:
    """So both can be tried together, in both locales."""
    table = example_table()
    for one in TABLE:
        found = table.diagnosis(one.type, one.device_type)
        assert (found.matched, found.category) == (True, one.category)
        assert found.words["en"].short == f"{{device_name}}: {one.short}"
        assert found.words["ko"].full == one.full_ko
