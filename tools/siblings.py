"""Tell which attributes and parameters are of the same type, from the annotations that the package has.

Owns: an index of classes with their annotated fields, and the resolving of a receiver to its class where annotations
say it. Must not: import the package. What no annotation says is left alone: a breakage that mypy would find proves
nothing.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Class:
    """A class: its annotated fields and properties, and what its methods return."""

    name: str
    bases: list[str]
    fields: dict[str, str] = field(default_factory=dict)
    returns: dict[str, str] = field(default_factory=dict)


class Index:
    """Every class of a package by its name. Names that several classes share are told apart by nobody, so left out."""

    def __init__(self, root: Path) -> None:
        found: dict[str, list[Class]] = defaultdict(list)
        for path in sorted(root.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(_class(node))
        self._classes = {name: same[0] for name, same in found.items() if len(same) == 1}

    def fields(self, name: str) -> Mapping[str, str]:
        """Return the fields of a class and of those that it inherits from, each with its annotation."""
        known = self._classes.get(name)
        if known is None:
            return {}
        inherited: dict[str, str] = {}
        for base in known.bases:
            inherited.update(self.fields(base))
        return inherited | known.fields

    def returned(self, name: str, method: str) -> str | None:
        """Return the annotation of what a method gives back."""
        known = self._classes.get(name)
        if known is None:
            return None
        own = known.returns.get(method)
        return own or next(
            filter(None, (self.returned(base, method) for base in known.bases)), None
        )

    def has(self, name: str) -> bool:
        """Say whether a class is known."""
        return name in self._classes


def _class(node: ast.ClassDef) -> Class:
    made = Class(node.name, [ast.unparse(base) for base in node.bases])
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            made.fields[part.target.id] = _plain(part.annotation)
        elif isinstance(part, Function) and part.returns is not None:
            decorators = {ast.unparse(one).split(".")[-1] for one in part.decorator_list}
            kept = made.fields if decorators & {"property", "cached_property"} else made.returns
            kept[part.name] = _plain(part.returns)
            if part.name == "__init__":
                made.fields.update(_attributes(part))
        if isinstance(part, Function) and part.name == "__init__":
            made.fields.update(_attributes(part))
    return made


def _attributes(init: Function) -> Iterator[tuple[str, str]]:
    """Return the attributes that __init__ sets, where a parameter or an annotation tells their type."""
    parameters = dict(parameters_of(init))
    for node in ast.walk(init):
        if isinstance(node, ast.AnnAssign) and _is_own(node.target):
            yield ast.unparse(node.target).removeprefix("self."), _plain(node.annotation)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_own(node.targets[0]):
            value = node.value
            if isinstance(value, ast.Name) and value.id in parameters:
                yield ast.unparse(node.targets[0]).removeprefix("self."), parameters[value.id]


def _is_own(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def parameters_of(function: Function) -> Iterator[tuple[str, str]]:
    """Return the annotated parameters of a function."""
    given = function.args
    for one in (*given.posonlyargs, *given.args, *given.kwonlyargs):
        if one.annotation is not None:
            yield one.arg, _plain(one.annotation)


def _plain(annotation: ast.expr) -> str:
    return ast.unparse(annotation).strip("'\"")


class Scope:
    """What is known of the names inside one function of one class."""

    def __init__(self, index: Index, owner: str | None, function: Function | None) -> None:
        self._index = index
        self._parameters = dict(parameters_of(function)) if function is not None else {}
        self._types = dict(self._parameters)
        if owner is not None:
            self._types["self"] = owner
        if function is not None:
            self._learn(function)

    def others(self, node: ast.expr) -> Iterator[ast.expr]:
        """Return what of the same type could stand in the place of an attribute or a parameter: its neighbours."""
        match node:
            case ast.Attribute(ctx=ast.Load()):
                fields = self._index.fields(self._class_of(node.value))
                for name in _neighbours(node.attr, fields):
                    yield ast.Attribute(node.value, name, ast.Load())
            case ast.Name(ctx=ast.Load()):
                for name in _neighbours(node.id, self._parameters):
                    yield ast.Name(name, ast.Load())
            case _:
                pass

    def _learn(self, function: Function) -> None:
        """Take the types of local names from what is assigned to them, in the order of the text."""
        for node in ast.walk(function):
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    self._types[name] = _plain(annotation)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._types.setdefault(name, self._type_of(value))
                case _:
                    pass

    def _class_of(self, node: ast.expr) -> str:
        return self._type_of(node).removesuffix(" | None")

    def _type_of(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                return self._types.get(name, "")
            case ast.Attribute(value=value, attr=name):
                return self._index.fields(self._class_of(value)).get(name, "")
            case ast.Call(func=ast.Name(id=name)) if self._index.has(name):
                return name
            case ast.Call(func=ast.Attribute(value=value, attr=name)):
                return self._index.returned(self._class_of(value), name) or ""
            case ast.Await(value=value):
                return self._type_of(value)
            case _:
                return ""


def _neighbours(name: str, types: Mapping[str, str]) -> list[str]:
    """Return the one before and the one after among those of the same type."""
    kind = types.get(name)
    if kind is None:
        return []
    same = [other for other, its in types.items() if its == kind]
    place = same.index(name)
    around = [same[place - 1], same[(place + 1) % len(same)]]
    return sorted({other for other in around if other != name})
