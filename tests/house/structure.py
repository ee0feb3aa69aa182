"""What a package of Python files is made of, read from its text: files, rooms, imports, sizes.

Nothing here is about one package. A room is a folder of the package; files that lie in the package
itself are single files. `test_laws.py` judges by what is counted here, `measure.py` prints it.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

SINGLE = ""
"""The room of the files that lie in the package itself."""

_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


class Import(NamedTuple):
    """One import of something of the package, or of a library (then *file* is none)."""

    importer: str
    named: str
    """As it is written, without the names that a from-import takes."""
    file: str | None
    """The module of the package that is loaded."""
    when: str
    """loading, calling (inside a function) or typing (under TYPE_CHECKING)."""


class Module:
    """One file of the package."""

    def __init__(self, root: Path, path: Path):
        self.path = path.relative_to(root).as_posix()
        parts = path.relative_to(root.parent).with_suffix("").parts
        self.is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_package else parts)
        self.room = parts[1] if len(parts) > 2 else SINGLE
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @cached_property
    def told(self) -> set[int]:
        """The lines of docstrings, also of those behind a constant."""
        return {
            line
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            for line in range(node.lineno, node.end_lineno + 1)
        }

    @cached_property
    def code(self) -> set[int]:
        """The lines of code, as :attr:`tokens` has them, without the long way over tokens."""
        inside = {
            line
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Constant | ast.JoinedStr) and node.lineno != node.end_lineno
            for line in range(node.lineno + 1, node.end_lineno + 1)
        }
        return {
            number
            for number, line in enumerate(self.text.splitlines(), 1)
            if (text := line.strip()) and number not in self.told
            and (number in inside or not text.startswith("#"))
        }  # fmt: skip

    @cached_property
    def tokens(self) -> dict[int, list[tokenize.TokenInfo]]:
        """The tokens of each line of code; a long string is code wherever it is not blank."""
        lines: dict[int, list[tokenize.TokenInfo]] = {}
        written = self.text.splitlines()
        for token in _whole_strings(tokenize.generate_tokens(io.StringIO(self.text).readline)):
            if token.type in _NO_CODE:
                continue
            for line in range(token.start[0], token.end[0] + 1):
                if line not in self.told and written[line - 1].strip():
                    lines.setdefault(line, []).append(token)
        return lines

    def functions(self) -> Iterator[tuple[str, int]]:
        """Every function and how many lines its body has, blank ones too, without its docstring."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                yield node.name, node.end_lineno - body[0].lineno + 1 if body else 0


class Package:
    """All files of a package."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        files = sorted(self.root.rglob("*.py"))
        found = [Module(self.root, path) for path in files]
        self.modules = {module.name: module for module in found}

    @property
    def name(self) -> str:
        return self.root.name

    @cached_property
    def rooms(self) -> list[str]:
        return sorted({module.room for module in self.modules.values()})

    def within(self, room: str) -> list[Module]:
        return [module for module in self.modules.values() if module.room == room]

    @cached_property
    def imports(self) -> list[Import]:
        return [one for module in self.modules.values() for one in self._imports(module)]

    def _imports(self, module: Module) -> Iterator[Import]:
        for node, when in _timed(module.tree, "loading"):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(module.name, alias.name, self._file(alias.name), when)
            else:
                base = from_where(module, node)
                files = {self._file(f"{base}.{a.name}") or self._file(base) for a in node.names}
                for file in sorted(files, key=str):
                    yield Import(module.name, base, file, when)

    def _file(self, name: str) -> str | None:
        return name if name in self.modules else None

    def edges(self, *whens: str, room: str | None = None) -> dict[str, set[str]]:
        """Which modules each module imports, of all kinds or of those named, in all or one room."""
        names = [
            name for name, module in self.modules.items() if room is None or module.room == room
        ]
        below: dict[str, set[str]] = {name: set() for name in names}
        for one in self.imports:
            inside = one.file in below and one.importer in below and one.file != one.importer
            if inside and (not whens or one.when in whens):
                below[one.importer].add(one.file)
        return below

    def importers(self) -> dict[str, set[str]]:
        """Who imports each module, whenever; the package's own list of public names aside."""
        above: dict[str, set[str]] = {name: set() for name in self.modules}
        for name, below in self.edges().items():
            for file in below if name != self.name else ():
                above[file].add(name)
        return above


def _whole_strings(tokens: Iterable[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """An f-string as one token, which from Python 3.12 on comes in pieces."""
    begun: list[tokenize.TokenInfo] = []
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_START":
            begun.append(token)
        elif kind == "FSTRING_END":
            first = begun.pop()
            if not begun:
                yield token._replace(type=tokenize.STRING, string="", start=first.start)
        elif not begun:
            yield token


def from_where(module: Module, node: ast.ImportFrom) -> str:
    """The full name of what a from-import takes from."""
    if not node.level:
        return node.module or ""
    steps = node.level - module.is_package
    parts = module.name.split(".")
    return ".".join(parts[: len(parts) - steps] + ([node.module] if node.module else []))


def _timed(node: ast.AST, when: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, when
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _timed(child, "calling")
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _timed(child, "typing")
        else:
            yield from _timed(child, when)


def circles(below: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules of which each reaches each other (Tarjan's components past one)."""
    return sorted(sorted(group) for group in _components(below) if len(group) > 1)


def floors(below: dict[str, set[str]]) -> dict[str, int]:
    """On which floor each module stands: one above the highest it imports; circles share one."""
    home = {name: number for number, group in enumerate(_components(below)) for name in group}
    height: dict[int, int] = {}
    for number, group in enumerate(_components(below)):  # what is imported comes first
        under = {home[file] for name in group for file in below[name]} - {number}
        height[number] = 1 + max((height[one] for one in under), default=0)
    return {name: height[number] for name, number in home.items()}


def _components(below: dict[str, set[str]]) -> list[list[str]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_ones: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        open_ones.append(name)
        for other in sorted(below[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in open_ones:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            cut = open_ones.index(name)
            found.append(open_ones[cut:])
            del open_ones[cut:]

    for name in sorted(below):
        if name not in index:
            visit(name)
    return found


def code_lines(modules: Iterable[Module]) -> int:
    """Lines that are neither docstring nor comment nor blank."""
    return sum(len(module.code) for module in modules)
