"""Documents as JSON for people and programs.

Owns: that every document can be written as UTF-8, also where the name of a file cannot. Must not: know what is in one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from reconciler.core.text import readable, steerless


def json_text(document: object) -> str:
    """Return a document as JSON for people and programs."""
    try:
        encoded = msgspec.json.encode(document)
    except UnicodeEncodeError:  # some file's name is not UTF-8
        encoded = msgspec.json.encode(_all_readable(msgspec.to_builtins(document)))
    shown = msgspec.json.format(encoded, indent=2).decode()
    return steerless(shown) + "\n"


def _all_readable(value: Any) -> Any:
    match value:
        case str():
            return readable(value)
        case dict():
            return {key: _all_readable(one) for key, one in value.items()}
        case list() | tuple():
            return [_all_readable(one) for one in value]
        case _:
            return value
