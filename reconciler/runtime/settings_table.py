"""The table of settings in the documentation, made from the fields of ``Settings`` and ``ReceiverSettings``.

Owns: how a default is shown, and the lines of the table. Must not: name a setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pydantic.fields import FieldInfo

from reconciler.core import duration
from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.settings import SECRETS, Settings
from reconciler.runtime.settings_reading import variable


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of the table of settings, fit for Markdown."""

    name: str
    default: str
    meaning: str
    secret: bool


def table() -> Sequence[SettingRow]:
    """Return every setting, in the order of the documentation."""
    rows: dict[str, SettingRow] = {}
    for field_name, field in (
        *Settings.model_fields.items(),
        *ReceiverSettings.model_fields.items(),
    ):
        name = variable(field_name)
        meaning = field.description or ""
        rows[name] = SettingRow(name, _shown_default(field), meaning, secret=name in SECRETS)
    return tuple(rows.values())


def _shown_default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict):
        return str(extra["shown"])
    match field.default:
        case None:
            return "not set"
        case bool() as truth:
            return f"`{str(truth).lower()}`"
        case timedelta() as span:
            return f"`{duration.show(span)}`"
        case value:
            return f"`{value}`"


BEGIN = "<!-- The table is made from reconciler/runtime/settings.py by settings_table.with_table; edit it there. -->"
END = "<!-- End of the table. -->"


def with_table(document: str) -> str:
    """Return a Markdown document with the table of settings between the two marker lines brought up to date."""
    before, _, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError("the document does not have the two marker lines of the table")
    rows = [
        f"| `{row.name}`{' (secret)' * row.secret} | {row.default} | {row.meaning} |"
        for row in table()
    ]
    lines = [BEGIN, "", "| setting | default | meaning |", "|---|---|---|", *rows, "", END]
    return before + "\n".join(lines) + after
