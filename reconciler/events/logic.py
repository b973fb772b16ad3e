"""The partner's Logic Table: what each diagnosis type means, and the words for it.

Owns: the table as a value, and which of its rows is meant. Must not: read a file (``logic_reading`` does), or keep
anything.

A type may have several rows, for several types of device. The more exact row wins: the one for the device's type, else
the one for any. Where the type of a device is not known, the only row that there is is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from reconciler.events.model import Category, Diagnosis, Words

ANY = ""
"""Any type of device."""
LG_PREFIX = "DEVICE_"
"""What LG's names of device types begin with."""

_T = TypeVar("_T")


def plain_type(name: str) -> str:
    """Return our way to write a type of device: ``washer`` for ``DEVICE_WASHER``."""
    return name.removeprefix(LG_PREFIX).lower()


@dataclass(frozen=True, slots=True)
class TypeRow:
    """What the table says of a diagnosis type."""

    category: Category
    severity: str | None = None


@dataclass(frozen=True, slots=True)
class LogicTable:
    """One whole table. ``types`` and, by locale, ``words`` are by diagnosis type, then by type of device."""

    revision: str | None = None
    types: Mapping[str, Mapping[str, TypeRow]] = field(default_factory=lambda: MappingProxyType({}))
    words: Mapping[str, Mapping[str, Mapping[str, Words]]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def diagnosis(self, diagnosis: str, device_type: str | None) -> Diagnosis:
        """Return what the table says; a type without a row is a value with ``matched`` False."""
        row = _chosen(self.types.get(diagnosis), device_type)
        if row is None:
            return Diagnosis(diagnosis)
        words: dict[str, Words] = {}
        for locale, messages in self.words.items():
            found = _chosen(messages.get(diagnosis), device_type)
            if found is not None:
                words[locale] = found
        return Diagnosis(
            type=diagnosis,
            matched=True,
            category=row.category.value,
            severity=row.severity,
            words=words,
        )


def _chosen(rows: Mapping[str, _T] | None, device_type: str | None) -> _T | None:
    """Return the row for a type of device, else the one for any, else the only one if the type is not known."""
    if not rows:
        return None
    exact = rows.get(plain_type(device_type)) if device_type else None
    if exact is not None:
        return exact
    if ANY in rows:
        return rows[ANY]
    if device_type or len(rows) > 1:
        return None
    return next(iter(rows.values()))


class LogicInForce:
    """The table that is in force, which is exchanged as a whole. May be asked from any thread."""

    def __init__(self, table: LogicTable | None = None) -> None:
        self.table = table or LogicTable()

    @property
    def revision(self) -> str | None:
        """The digest of the table in force; None without one."""
        return self.table.revision

    def diagnosis(self, diagnosis: str, device_type: str | None) -> Diagnosis:
        """Return what the table in force says."""
        return self.table.diagnosis(diagnosis, device_type)

    def knows(self, diagnosis: str) -> bool:
        """Return whether the table has a type, for labels of metrics."""
        return diagnosis in self.table.types

    def enforce(self, table: LogicTable) -> None:
        """Answer by this table from now on."""
        self.table = table
