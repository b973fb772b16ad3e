"""What an OpenAPI document is made of: calls with their parameters, and the form that each takes in it.

Owns: the shape of a document, and the schemas that several of them use. Must not: know a call of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler import __version__
from reconciler.core import duration

PATH = "/api/v1/openapi.json"
SPECIFICATION = "3.1.0"
REFERENCE = "#/components/schemas/"
BEARER, BASIC = "bearer", "basic"

Schema = dict[str, Any]

WORD: Schema = {"type": "string", "minLength": 1, "pattern": r"\S"}
MOMENT: Schema = {
    "type": "string",
    "anyOf": [
        {"pattern": duration.PATTERN},
        {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$"},
    ],
    "examples": ["2h", "2026-11-22T10:00:00+09:00"],
}
ERROR: Schema = {
    "type": "object",
    "description": "Why a call was not answered, in one sentence.",
    "properties": {
        "error": {"type": "string"},
        "faults": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["error"],
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a call takes in its address; ``place`` is ``query`` or ``path``."""

    name: str
    words: str
    schema: Schema
    place: str = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``answer`` names the value that it returns, ``refusals`` the statuses in place of it.

    ``is_versioned``: the answer has the version of the API as ``api``.
    """

    method: str
    path: str
    summary: str
    answer: str
    refusals: Sequence[int]
    parameters: Sequence[Parameter] = ()
    body: str = ""
    is_versioned: bool = True


def document(
    title: str,
    base: str,
    paths: Mapping[str, Schema],
    schemas: Mapping[str, Schema],
    schemes: Mapping[str, Schema],
) -> Schema:
    """Return a document. ``base`` is the path under which everything is."""
    return {
        "openapi": SPECIFICATION,
        "info": {
            "title": title,
            "version": __version__,
            "summary": "Version 1 of the API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes},
    }


def operation(call: Call, schemes: Sequence[str]) -> Schema:
    """Return one call. ``schemes`` are those of which a caller has to use one; none where no token is asked for."""
    value = versioned(call.answer) if call.is_versioned else reference(call.answer)
    answers = {"200": _answer("The answer.", value)}
    for status in call.refusals:
        answers[str(status)] = _answer("Why it was not done.", reference("Error"))
    found: Schema = {
        "operationId": f"{call.method}{call.path.removeprefix('/api/v1').replace('/', '_')}",
        "summary": call.summary,
        "parameters": [_parameter(one) for one in call.parameters],
        "responses": answers,
        "security": [{scheme: []} for scheme in schemes],
    }
    if call.body:
        content = {"application/json": {"schema": reference(call.body)}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _parameter(one: Parameter) -> Schema:
    return {
        "name": one.name,
        "in": one.place,
        "description": one.words,
        "required": one.required,
        "schema": one.schema,
        **({"style": "form", "explode": False} if one.schema.get("type") == "array" else {}),
    }


def _answer(words: str, schema: Schema) -> Schema:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def reference(name: str) -> Schema:
    """Return what leads to a named schema."""
    return {"$ref": f"{REFERENCE}{name}"}


def versioned(name: str) -> Schema:
    """Return the schema of an answer: the value, and beside its keys the version of the API."""
    version = {"type": "object", "properties": {"api": {"const": 1}}, "required": ["api"]}
    return {"allOf": [reference(name), version]}


def whole(properties: Mapping[str, Schema], words: str) -> Schema:
    """Return the schema of an object of which every key is always there."""
    return {
        "type": "object",
        "description": words,
        "properties": dict(properties),
        "required": list(properties),
    }
