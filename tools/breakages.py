"""The small faults that a module may have: one expression in the place of another.

Owns: the operators, and a broken copy of a module for each place that one of them fits. Must not: run anything.

``usual``: another comparison, operator, constant; a condition turned round, a part of it lost, a value not returned, a
row taken off a table. ``attribute``: another attribute or parameter of the same type. ``operand``: one side of a set or
a sum lost, one part of a chained comparison, one branch of a choice, a whole condition.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from siblings import Function, Index, Scope

OPERATORS = ("usual", "attribute", "operand")

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
FUNCTIONS = {"max": "min", "min": "max", "any": "all", "all": "any", "sorted": "list"}
LEFT_ALONE = {"annotation", "returns", "decorator_list", "type_params"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One breakage: where it is, what was there, what is there now, and the whole broken module.

    ``lines`` are those of the statement that it is in: a test that runs none of them cannot notice. ``at_import``: the
    place runs when the module is imported, so only a fresh process sees it.
    """

    module: str
    function: str
    operator: str
    line: int
    old: str
    new: str
    text: str
    lines: range
    at_import: bool

    @property
    def name(self) -> str:
        """Return what is broken, without its line, so that it stays the same when lines move."""
        return f"{self.module} {self.function}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the walk through a module is."""

    scope: Scope
    function: str
    owner: str | None
    lines: range
    at_import: bool


@dataclass(frozen=True, slots=True)
class Breakage:
    """An expression and what may be in its place."""

    operator: str
    node: ast.expr
    broken: ast.expr
    place: Place


def mutants(root: Path, module: str, index: Index, operators: tuple[str, ...]) -> list[Mutant]:
    """Return every breakage of a module, each once. ``root`` is the folder of the package."""
    text = (root / f"{module}.py").read_text("utf-8")
    found: dict[str, Mutant] = {}
    top = Place(Scope(index, None, None), "", None, range(0), at_import=True)
    for one in _Walk(index).breakages(ast.parse(text), top):
        if one.operator in operators:
            broken = _put(text, one.node, one.broken)
            found.setdefault(
                broken,
                Mutant(
                    module=module,
                    function=one.place.function or "module",
                    operator=one.operator,
                    line=one.node.lineno,
                    old=ast.unparse(one.node),
                    new=ast.unparse(one.broken),
                    text=broken,
                    lines=one.place.lines,
                    at_import=one.place.at_import,
                ),
            )
    return list(found.values())


def _put(text: str, node: ast.expr, broken: ast.expr) -> str:
    """Return a module's text with one expression replaced; all other lines keep their numbers."""
    raw = text.encode()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    last = node.end_lineno or node.lineno
    begin = starts[node.lineno - 1] + node.col_offset
    end = starts[last - 1] + (node.end_col_offset or 0)
    filler = "\n" * (last - node.lineno)
    new = f"({ast.unparse(broken)}{filler})".encode()
    return (raw[:begin] + new + raw[end:]).decode()


class _Walk:
    """Goes through a module. Annotations, decorators and messages are left alone."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def breakages(self, node: ast.AST, place: Place) -> Iterator[Breakage]:
        """Return the breakages of a node and of all below it."""
        if isinstance(node, ast.expr):
            for operator, broken in _variants(node, place.scope):
                yield Breakage(operator, node, broken, place)
        for operator, old, broken in _of_statement(node):
            yield Breakage(operator, old, broken, place)
        if isinstance(node, ast.JoinedStr):
            return
        for name, value in ast.iter_fields(node):
            if name in LEFT_ALONE:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self.breakages(child, self._inside(child, name, node, place))

    def _inside(self, child: ast.AST, name: str, parent: ast.AST, place: Place) -> Place:
        """Return where a child is: functions and statements begin a place of their own."""
        owner, function, scope = place.owner, place.function, place.scope
        lines, at_import = place.lines, place.at_import
        if isinstance(child, ast.stmt):
            lines = _lines(child)
        elif isinstance(child, ast.expr) and isinstance(parent, ast.stmt):
            lines = range(parent.lineno, (child.end_lineno or child.lineno) + 1)
        if isinstance(child, ast.ClassDef):
            owner = child.name
            function = f"{function}.{child.name}".strip(".")
        elif isinstance(child, Function):
            function = f"{function}.{child.name}".strip(".")
            scope = Scope(self._index, owner, child)
        if isinstance(parent, Function) and name == "body":
            at_import = False
        if at_import and isinstance(child, ast.Assign | ast.AnnAssign):
            target = child.targets[0] if isinstance(child, ast.Assign) else child.target
            function = f"{function}.{ast.unparse(target)}".strip(".")
        return Place(scope, function, owner, lines, at_import)


def _lines(statement: ast.stmt) -> range:
    """Return the lines of a statement; of one that holds others, those of its head."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return range(statement.lineno, max(last, statement.lineno) + 1)


def _of_statement(node: ast.AST) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """Return what can be wrong with what a statement or a comprehension asks and gives back."""
    given = node.value if isinstance(node, ast.Return) else None
    if given is not None and ast.unparse(given) != "None":
        yield "usual", given, ast.Constant(None)
    if isinstance(node, ast.If | ast.IfExp):
        yield "usual", node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.If):
        yield "operand", node.test, ast.Constant(value=False)
    for test in getattr(node, "ifs", []):
        yield "usual", test, ast.UnaryOp(ast.Not(), test)
        yield "usual", test, ast.Constant(value=True)


def _variants(node: ast.expr, scope: Scope) -> Iterator[tuple[str, ast.expr]]:
    """Return what may be in an expression's place."""
    for broken in _usual(node):
        yield "usual", broken
    for broken in scope.others(node):
        yield "attribute", broken
    for broken in _operands(node):
        yield "operand", broken


def _usual(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(ops=[operator]):
            yield from (_with(node, ops=[other()]) for other in COMPARISONS[type(operator)])
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(node.op)]())
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            yield from (_with(node, values=values) for values in _shorter(node.values))
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            yield _with(node, func=ast.Name(FUNCTIONS[name]))
        case ast.Tuple(ctx=ast.Load(), elts=[_, *_]) | ast.Set():
            yield from (_with(node, elts=elements) for elements in _shorter(node.elts))
        case _:
            pass


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp(
            op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.Add(), left=left, right=right
        ):
            yield left
            if not isinstance(node.op, ast.Sub):
                yield right
        case ast.IfExp(body=body, orelse=otherwise):
            yield body
            yield otherwise
        case ast.Compare(ops=[_, _, *_]):
            yield _with(node, ops=node.ops[:-1], comparators=node.comparators[:-1])
            yield ast.Compare(node.comparators[0], node.ops[1:], node.comparators[1:])
        case _:
            pass


def _shorter(expressions: list[ast.expr]) -> Iterator[list[ast.expr]]:
    return ([*expressions[:place], *expressions[place + 1 :]] for place in range(len(expressions)))


def _with(node: ast.expr, **fields: object) -> ast.expr:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
