"""The JSON Schema of the desired-state file, for editors and for ``pcc-reconciler schema``.

Owns: what is taken from pydantic's own schema, and what is left out. Must not: know a key.
"""

from __future__ import annotations

from typing import Any

from reconciler.desired.schema import DocumentTable


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    schema = _tidied(DocumentTable.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "PCC desired state",
    }


def _tidied(node: Any) -> Any:
    """Drop what pydantic adds for Python: titles, and null, which TOML does not have."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key in {"properties", "$defs"}:  # what is in these are names, and one may be "title"
            kept[key] = {name: _tidied(inner) for name, inner in value.items()}
        elif key != "title" and not (key == "default" and value is None):
            kept[key] = _tidied(value)
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        kept = {**choices[0], **{key: value for key, value in kept.items() if key != "anyOf"}}
    elif choices:
        kept["anyOf"] = choices
    return kept
