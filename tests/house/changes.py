"""Single changes to a Python file, each of which some test should notice.

Left alone is what makes no difference, or one of words alone: annotations, decorators, texts, some
keywords, and all that makes an error.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_NEVER_RUN = {"annotation", "returns", "decorator_list", "type_params"}
_SAID_TO_READERS = {"strict", "total"}
"""Of a zip, whose lengths are equal; of a typed dict, which is one all the same."""
_TEXTS = (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom)


class Change(NamedTuple):
    """One change: *after* stands where *before* stood."""

    file: str
    line: int
    column: int
    kind: str
    before: str
    after: str
    first: int
    """The lines of the statement, up to the end of what is changed, are from this one..."""
    last: int
    """...to this one: who runs it runs one of them."""

    @property
    def key(self) -> str:
        """What tells it from all others of the same files."""
        what = " ".join(f"{self.kind}: {self.before} -> {self.after}".split())
        return f"{self.file}:{self.line}:{self.column} {what}"

    def made_in(self, source: bytes) -> bytes:
        """The file with the change."""
        lines = source.splitlines(keepends=True)
        start = sum(map(len, lines[: self.line - 1])) + self.column
        old = self.before.encode()
        if not source.startswith(old, start):
            raise ValueError(f"{self.key}: the file is another")
        return source[:start] + self.after.encode() + source[start + len(old) :]


def changes_of(file: str, source: str) -> list[Change]:
    """All that can be made in a file."""
    found = []
    for node, statement, kind, after in _walk(ast.parse(source), None):
        before = ast.get_source_segment(source, node) or ""
        ends = (statement.lineno, node.end_lineno)
        found.append(Change(file, node.lineno, node.col_offset, kind, before, after, *ends))
    return found


def sample(found: Iterable[Change], count: int, seed: int) -> list[Change]:
    """So many, spread evenly over the statements: a long one has no more than a short one."""
    chance = random.Random(seed)
    by_statement = defaultdict(list)
    for change in found:
        by_statement[change.file, change.first].append(change)
    statements = list(by_statement.values())
    for changes in (statements, *statements):
        chance.shuffle(changes)
    chosen: list[Change] = []
    while len(chosen) < count and any(statements):
        chosen += [changes.pop() for changes in statements if changes]
    return chosen[:count]


def _walk(node: ast.AST, statement: Any) -> Iterator[tuple[Any, Any, str, str]]:
    if isinstance(node, _TEXTS):  # parts of an f-string do not know where they stand
        return
    statement = node if isinstance(node, ast.stmt) else statement
    for place, kind, after in _changes(node):
        yield place, statement, kind, after
    for child in _children(node):
        yield from _walk(child, statement)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.keyword) and node.arg in _SAID_TO_READERS:
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
        yield node.args[0]
        return
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in _NEVER_RUN:
                yield child


def _changes(node: Any) -> Iterator[tuple[ast.AST, str, str]]:
    """Place, kind, and what is put there; what is put inside an expression has its brackets."""
    match node:
        case ast.Expr(value=ast.Call()):
            yield node, "no call", "None"
        case ast.Return(value=ast.AST() as value) if ast.unparse(value) != "None":
            yield value, "returned", "None"
        case ast.If() | ast.IfExp():
            yield from ((node.test, "condition", text) for text in ("True", "False"))
        case ast.While():  # made True it might not end
            yield node.test, "condition", "False"
        case ast.comprehension():
            yield from ((test, "condition", "True") for test in node.ifs)
        case ast.Slice():
            for end in (node.lower, node.upper):
                if end and not isinstance(end, ast.Constant):
                    yield end, "slice", f"({ast.unparse(end)} + 1)"
        case _:
            yield from ((node, *change) for change in _of_signs(node))


def _of_signs(node: Any) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare():
            for at, kind in enumerate(map(type, node.ops)):
                ops = [*node.ops[:at], _SWAPPED[kind](), *node.ops[at + 1 :]]
                yield "comparison", _with(node, ops=ops)
        case ast.BoolOp():
            yield "and, or", _with(node, op=_SWAPPED[type(node.op)]())
        case ast.BinOp(op=op) if type(op) in _SWAPPED and not _is_text(node.right):
            yield "arithmetic", _with(node, op=_SWAPPED[type(op)]())
        case ast.AugAssign(op=op) if type(op) in _SWAPPED:
            yield "arithmetic", _with(node, op=_SWAPPED[type(op)]())[1:-1]
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "no sign", f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool() as value):
            yield "constant", str(not value)
        case ast.Constant(value=int() | float() as value):
            yield "constant", repr(value + 1)


def _with(node: ast.AST, **fields: Any) -> str:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return f"({ast.unparse(changed)})"


def _is_text(node: ast.AST) -> bool:
    """Whether it is text, which a path or a message goes on with: no other sign would even run."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
