"""Documents as JSON for people and programs.

Owns: that every document can be written as UTF-8, also where the name of a file cannot. Must not: know what is in one.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from reconciler.core.text import readable

_STEERING = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]"
)
"""Characters that steer a terminal, turn the direction of writing or cannot be seen; JSON leaves them as they are."""


def json_text(document: object) -> str:
    """Return a document as JSON for people and programs."""
    try:
        encoded = msgspec.json.encode(document)
    except UnicodeEncodeError:  # some file's name is not UTF-8
        encoded = msgspec.json.encode(_all_readable(msgspec.to_builtins(document)))
    shown = msgspec.json.format(encoded, indent=2).decode()
    return _STEERING.sub(_escaped, shown) + "\n"


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


def _escaped(found: re.Match[str]) -> str:
    """Return a character as JSON may write it; what a program reads stays the same."""
    return json.dumps(found[0])[1:-1]
