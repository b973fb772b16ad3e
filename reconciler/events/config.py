"""The events file: where events go, which Logic Table is meant, and how long things are kept.

Owns: the values that ``events.toml`` comes to, and every fault in it with its line and column.
Must not: touch a disk (whoever reads the file hands in its bytes), or let an exception escape for any bytes.

All paths in the file are relative to the folder that the file is in; here they are resolved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from reconciler.core.errors import Fault, quoted, suggestion
from reconciler.desired.diagnostics import Finding, Notes, Where
from reconciler.desired.faults import shown
from reconciler.desired.parser import Reading, parse_toml
from reconciler.desired.positions import Loc
from reconciler.events.config_schema import (
    SINK_NAME,
    SINK_NAME_WORDS,
    VERSION,
    EventsTable,
    HttpTable,
    LogicKeys,
    StreamTable,
    explain,
)
from reconciler.events.model import PCC_EVENT, Category

STREAM_CONCURRENCY = 64
"""Events that a stream takes at once: they are written together, and made safe with one wait for the disk."""
LARGEST = 1024 * 1024
"""Bytes of the largest events file."""


class SinkType(StrEnum):
    """The kinds of sink."""

    HTTP = "http"
    STREAM = "stream"


class Order(StrEnum):
    """What waits for an event that is tried again: the later ones of its device, or none."""

    DEVICE = "device"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """One sink as the file describes it. Of filters, None means all.

    ``url`` and the files of secrets are of ``http``; ``path`` is of ``stream``, and None is standard output.
    """

    name: str
    type: SinkType
    url: str | None = None
    signing_secret_file: Path | None = None
    authorization_file: Path | None = None
    path: Path | None = None
    categories: frozenset[Category] | None = None
    accounts: tuple[str, ...] | None = None
    """Patterns of account names."""
    push_types: frozenset[str] = frozenset({PCC_EVENT})
    order: Order = Order.DEVICE
    concurrency: int = 1
    give_up_after: timedelta = timedelta(hours=72)

    @property
    def ordered(self) -> bool:
        """Whether the events of one device go one after the other."""
        return self.order is Order.DEVICE


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """How long bodies are kept after delivery, keys after arrival, and what is in quarantine."""

    bodies: timedelta = timedelta(days=7)
    keys: timedelta = timedelta(days=30)
    quarantine: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class EventsConfig:
    """The events file. ``logic`` is the folder of the Logic Table; ``locales`` None: all that it has."""

    sinks: Mapping[str, SinkConfig] = field(default_factory=lambda: MappingProxyType({}))
    logic: Path | None = None
    locales: tuple[str, ...] | None = None
    retention: RetentionConfig = RetentionConfig()


@dataclass(frozen=True, slots=True)
class ConfigReading:
    """What one reading of the file came to. ``config`` is None where there is any fault.

    ``logic`` and ``locales`` are known as far as they can be read, so that a table is looked at all the same.
    """

    config: EventsConfig | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    logic: Path | None = None
    locales: tuple[str, ...] | None = None


def read_config(path: str, content: bytes) -> ConfigReading:
    """Return what an events file says, or every fault in it. ``path`` is its place, for faults and relative paths."""
    if len(content) > LARGEST:
        too_large = Fault(path, 0, 0, f"is larger than {LARGEST // 1024 // 1024} MB")
        return ConfigReading(None, (too_large,))
    notes = Notes()
    raw = parse_toml(path, content, notes)
    table = None if raw is None else _checked(path, raw, notes)
    warnings = _shown(path, content, notes.warnings)
    folder = Path(path).parent
    if table is None or notes.faults:
        faults = _shown(path, content, notes.faults)
        return ConfigReading(None, faults, warnings, *_table_of(folder, raw or {}))
    config = _config(folder, table)
    return ConfigReading(config, (), warnings, config.logic, config.locales)


def _table_of(folder: Path, raw: Mapping[str, Any]) -> tuple[Path | None, tuple[str, ...] | None]:
    """Return the folder and the locales of the table that a faulty file names, as far as they can be read."""
    try:
        table = LogicKeys.model_validate({"logic": raw.get("logic"), "locales": raw.get("locales")})
    except ValidationError:
        return None, None
    locales = None if table.locales is None else tuple(dict.fromkeys(table.locales))
    return None if table.logic is None else folder / table.logic, locales


def _shown(path: str, content: bytes, findings: Sequence[Finding]) -> tuple[Fault, ...]:
    return shown([(path, findings)], [Reading(path, content)], frozenset())


def _checked(path: str, raw: dict[str, Any], notes: Notes) -> EventsTable | None:
    """Check a file against the schema, and note keys that are right alone and wrong together."""
    version = raw.get("version")
    if type(version) is int and version != VERSION:
        words = f"this program reads version {VERSION} of the events file, not this one"
        notes.fault(Where(path, ("version",)), words)
        return None
    for loc, at_key, message in _together(raw):
        notes.fault(Where(path, loc, key=at_key), message)
    try:
        table = EventsTable.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            loc, at_key, message = explain(detail)
            notes.fault(Where(path, loc, key=at_key), message)
        return None
    for loc, message in _doubtful(table):
        notes.warn(Where(path, loc), message)
    if table.retention.keys < table.retention.bodies:
        words = "keys must be kept at least as long as bodies: they tell which body is a duplicate"
        notes.fault(Where(path, ("retention", "keys")), words)
    return table


def _together(raw: Mapping[str, Any]) -> Iterator[tuple[Loc, bool, str]]:
    """Find what no single value shows. Nothing is known yet about what the TOML reader gave."""
    sinks = raw.get("sinks")
    for name in sinks if isinstance(sinks, dict) else ():
        if not SINK_NAME.fullmatch(name):
            yield ("sinks", name), True, SINK_NAME_WORDS
    if "locales" in raw and "logic" not in raw:
        yield ("locales",), True, "locales needs logic: the folder of the messages in these locales"
    yield from _listed_twice(raw.get("locales"))
    yield from _same_file(sinks)


def _listed_twice(locales: object) -> Iterator[tuple[Loc, bool, str]]:
    seen: set[str] = set()
    for index, locale in enumerate(locales if isinstance(locales, list) else ()):
        if isinstance(locale, str):
            if locale in seen:
                yield ("locales", index), False, "this locale is listed twice"
            seen.add(locale)


def _same_file(sinks: object) -> Iterator[tuple[Loc, bool, str]]:
    """Find a file that two sinks would write to: their lines would be mixed."""
    owner: dict[str, str] = {}
    for name, sink in sinks.items() if isinstance(sinks, dict) else ():
        path = sink.get("path") if isinstance(sink, dict) else None
        if isinstance(path, str):
            if path in owner:
                words = f"the sink {quoted(owner[path])!r} writes to this file already"
                yield ("sinks", name, "path"), False, words
            owner.setdefault(path, name)


def _doubtful(table: EventsTable) -> Iterator[tuple[Loc, str]]:
    """Find what is allowed and is likely not meant."""
    for name, sink in table.sinks.items():
        if sink.categories is not None and table.logic is None:
            words = "without logic no category is known, so this filter lets everything pass"
            yield ("sinks", name, "categories"), words
        for index, push_type in enumerate(sink.push_types):
            near = suggestion(push_type, [PCC_EVENT])
            if near and push_type != PCC_EVENT:
                yield ("sinks", name, "push_types", index), f"LG sends no such push type{near}"


def _config(folder: Path, table: EventsTable) -> EventsConfig:
    sinks = {name: _sink(folder, name, sink) for name, sink in table.sinks.items()}
    retention = table.retention
    return EventsConfig(
        sinks=MappingProxyType(sinks),
        logic=None if table.logic is None else folder / table.logic,
        locales=None if table.locales is None else tuple(table.locales),
        retention=RetentionConfig(retention.bodies, retention.keys, retention.quarantine),
    )


def _sink(folder: Path, name: str, table: HttpTable | StreamTable) -> SinkConfig:
    categories = None if table.categories is None else frozenset(table.categories)
    accounts = None if table.accounts is None else tuple(table.accounts)
    if isinstance(table, StreamTable):
        return SinkConfig(
            name=name,
            type=SinkType.STREAM,
            path=None if table.path is None else folder / table.path,
            categories=categories,
            accounts=accounts,
            push_types=frozenset(table.push_types),
            concurrency=STREAM_CONCURRENCY,
            give_up_after=table.give_up_after,
        )
    secret, authorization = table.signing_secret_file, table.authorization_file
    return SinkConfig(
        name=name,
        type=SinkType.HTTP,
        url=table.url,
        signing_secret_file=None if secret is None else folder / secret,
        authorization_file=None if authorization is None else folder / authorization,
        categories=categories,
        accounts=accounts,
        push_types=frozenset(table.push_types),
        order=Order(table.order),
        concurrency=table.concurrency,
        give_up_after=table.give_up_after,
    )
