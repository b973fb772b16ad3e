"""Sentences for the faults that pydantic finds.

Owns: the sentence for each wrong key or value, and the suggestion of the right one.
Must not: repeat a value in a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from reconciler.core.errors import quoted, suggestion
from reconciler.desired import globs
from reconciler.desired.checks import VERSION, one_of
from reconciler.desired.positions import Loc
from reconciler.desired.schema import (
    ACCOUNT,
    PATTERN_WORDS,
    AccountTable,
    ApprovalTable,
    DeviceTable,
    DocumentTable,
    PolicyTable,
    RuleTable,
    WindowTable,
)

SENTENCES = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be an array",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "too_short": "must not be empty",
    "too_long": f"has more than {globs.MOST_PATTERNS} patterns",
    "int_parsing_size": "is too large",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
}


def explain(detail: ErrorDetails, *, briefly: bool = False) -> tuple[Loc, bool, str]:
    """Turn one of pydantic's errors into a key path, whether the key itself is wrong, and a sentence without the value.

    A missing key has its own path, which is not in the document. ``briefly``: without a suggestion.
    """
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return loc, True, f"unknown key {quoted(str(loc[-1]))!r}" if briefly else _unknown_key(loc)
    if loc[-1] == "[key]":
        return loc[:-1], True, PATTERN_WORDS[ACCOUNT]
    return loc, False, _sentence(detail, briefly=briefly)


def _sentence(detail: ErrorDetails, *, briefly: bool) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "word":
            sentence = str(context["message"])
            if not briefly:
                sentence += suggestion(str(context["word"]), list(context["known"]))
        case "missing":
            sentence = f"{detail['loc'][-1]} is missing"
        case "fault":
            sentence = str(context["message"])
        case "string_pattern_mismatch":
            sentence = PATTERN_WORDS[str(context["pattern"])]
        case "literal_error":
            given = None if briefly else detail["input"]
            sentence = _other_word(given, re.findall(r"'(\w+)'", str(context["expected"])))
        case kind:
            sentence = SENTENCES.get(kind, quoted(detail["msg"]))
    return sentence


def _other_word(given: object, words: Sequence[str]) -> str:
    if not words:
        return f"must be {VERSION}"
    near = suggestion(given, words) if isinstance(given, str) else ""
    return f"must be {one_of(map(json.dumps, words))}{near}"


def _unknown_key(loc: Loc) -> str:
    """Return the sentence for an unknown key, with a similar key, or the right place of this one."""
    word, here = str(loc[-1]), _table_at(loc[:-1])
    near = suggestion(word, _keys(here))
    if not near and here is not DocumentTable and word in _keys(DocumentTable):
        near = "; it belongs at the top of the file, before the first [table]"
    if not near and here is not PolicyTable and word in _keys(PolicyTable):
        near = "; it belongs in policy"
    return f"unknown key {quoted(word)!r}{near}"


def _table_at(loc: Loc) -> type[BaseModel]:
    if not loc:
        return DocumentTable
    if loc[0] == "approvals":
        return ApprovalTable
    if len(loc) > 1 and loc[-2] == "rules":
        return RuleTable
    if loc[0] == "windows":
        return WindowTable
    if isinstance(loc[-1], int):
        return DeviceTable
    return PolicyTable if loc in {("policy",), (*loc[:2], "policy")} else AccountTable


def _keys(table: type[BaseModel]) -> list[str]:
    return [about.alias or name for name, about in table.model_fields.items()]
