"""What deploy/helm holds that is made from its values.yaml: the schema, and the table of the README."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reconciler.runtime.receiver_settings import ReceiverSettings
from reconciler.runtime.settings import Settings
from reconciler.runtime.settings_reading import variable

CHART = Path(__file__).parent.parent / "deploy" / "helm"
KEY = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+):")
COMMENT = re.compile(r" *# -- (?P<text>.*)")
LONGEST = 60
"""Characters of a default that the table shows whole."""
TYPES = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}

MADE_BY_CHART = frozenset(
    {
        *("listen", "metrics_listen", "credentials_dir", "state_dir", "state_url_file", "lease"),
        *("desired_state", "git_url", "git_ref", "events_from"),
    }
)
"""Settings of the daemon that follow from other values: a second word about them could only contradict."""
MADE_FOR_RECEIVER = frozenset({"receive_listen", "receive_metrics_listen", "events_dir"})

NAMES: dict[str, Any] = {"type": "array", "items": {"type": "string", "minLength": 1}}
RULES: dict[str, dict[str, Any]] = {
    "fullnameOverride": {"pattern": r"^([a-z]([-a-z0-9]{0,34}[a-z0-9])?)?$"},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["", "Always", "IfNotPresent", "Never"]},
    "image.pullSecrets": NAMES,
    "source.from": {"enum": ["inline", "configMap", "git"]},
    "persistence.accessModes": NAMES,
    "replicas": {"minimum": 0},
    "postgres.namespaces": NAMES,
    "postgres.port": {"minimum": 1, "maximum": 65535},
    "events.from": NAMES,
    "networkPolicy.from": NAMES,
    "networkPolicy.dnsAddresses": NAMES,
    "metrics.port": {"minimum": 0, "maximum": 65535},
    "service.port": {"minimum": 1, "maximum": 65535},
    "receiver.replicas": {"minimum": 1},
    "receiver.metrics.port": {"minimum": 0, "maximum": 65535},
    "receiver.files": {"additionalProperties": {"type": "string"}},
}
"""What is asked of a value besides its type."""


@dataclass(frozen=True, slots=True)
class Value:
    """One thing that can be chosen: its path, what it means, and its default."""

    path: str
    meaning: str
    default: Any


def documented() -> list[Value]:
    """Return what values.yaml explains, in its order."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    defaults = yaml.safe_load(text)
    return [Value(path, meaning, at(defaults, path)) for path, meaning in explained(text)]


def explained(text: str) -> Iterator[tuple[str, str]]:
    """Give each explained key with its path and its comment."""
    parents: list[tuple[int, str]] = []
    meaning = ""
    for line in text.splitlines():
        if comment := COMMENT.fullmatch(line):
            meaning = comment["text"]
        elif key := KEY.match(line):
            depth = len(key["indent"])
            parents = [parent for parent in parents if parent[0] < depth]
            parents.append((depth, key["key"]))
            if meaning:
                yield ".".join(name for _, name in parents), meaning
            meaning = ""


def at(values: Any, path: str) -> Any:
    """Return the value at a path."""
    for key in path.split("."):
        values = values[key]
    return values


def table() -> list[str]:
    """Return the table of values for people."""
    rows = [
        f"| `{each.path}` | {shown(each.default)} | {each.meaning.replace('|', '/')} |"
        for each in documented()
    ]
    return ["| value | default | meaning |", "|---|---|---|", *rows]


def shown(default: Any) -> str:
    """Return a default as a cell shows it."""
    text = json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST else "see values.yaml"


def readme() -> str:
    """Return the README of the chart with the table as it is now."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- values: begin -->\n")
    _, _, tail = rest.partition("<!-- values: end -->")
    middle = "\n".join(table())
    return f"{head}<!-- values: begin -->\n{middle}\n<!-- values: end -->{tail}"


def schema() -> str:
    """Return values.schema.json: every value with its type, and no other key."""
    found = closed({"global": {"type": "object"}})
    found = {
        "$schema": "https://json-schema.org/draft-07/schema#",
        "title": "Values of the chart pcc-reconciler",
        "$comment": "Made from values.yaml by `make docs`.",
        **found,
    }
    for each in documented():
        place = found
        *parents, last = each.path.split(".")
        for parent in parents:
            place = place["properties"].setdefault(parent, closed({}))
        place["properties"][last] = ruled(each)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """Return an object that takes these keys only."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def ruled(value: Value) -> dict[str, Any]:
    """Return what one value has to be."""
    said: dict[str, Any] = {"type": TYPES[type(value.default)], "description": value.meaning}
    if value.path == "settings":
        return said | closed(settings(Settings, MADE_BY_CHART))
    if value.path == "receiver.settings":
        return said | closed(settings(ReceiverSettings, MADE_FOR_RECEIVER))
    return said | RULES.get(value.path, {})


def settings(process: type[Settings | ReceiverSettings], made: frozenset[str]) -> dict[str, Any]:
    """Return the settings that values may give: no secret, as they are kept in a ConfigMap and in the release."""
    kept = process.model_fields.keys() - made - {*process.secret_fields, *process.masked_fields}
    return {variable(name): {"type": ["string", "number", "boolean"]} for name in sorted(kept)}
