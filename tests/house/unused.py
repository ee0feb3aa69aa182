"""Which names of a package nothing in it uses.

Alive is what runs when a file is loaded, the public names, and what a living definition speaks of:
it loads the name, takes it as an attribute, writes it as the whole of a string (`getattr(module,
"command")`), or imports it in a program that another Python is to run. Where two things share a
name, one may pass for alive because the other is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from house.structure import Module, Package, from_where

Key = tuple[str, str]
"""A module and the name of a definition in it; Class.method for methods."""

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)*")
_QUIET_BASES = {
    "Protocol", "NamedTuple", "TypedDict", "Generic", "Exception", "BaseException", "Enum",
    "StrEnum", "IntEnum", "object", "ABC",
}  # fmt: skip
"""Foreign bases that call none of the methods a class brings."""
_PROGRAM = re.compile(r"\bfrom ([\w.]+) import (\w+)")


class _Facts:
    """What a package defines, and of what each definition speaks."""

    def __init__(self, package: Package):
        self.spoken: dict[Key | None, set[Key | str]] = {None: set()}
        """By whom: None is the code that runs when files are loaded. A string is a word that may
        be any definition's name, or any attribute's if it begins with a dot."""
        self.called_from_outside: set[Key] = set()
        """Public classes, and those with a foreign base, or one in their file that has: any method
        they bring may be called."""
        self.extending: set[Key] = set()
        """Methods that go on to that of the same name above them, which somebody calls."""
        self.loaded = _loaded(package)
        public = set(_strings(package.modules[package.name]))
        for module in package.modules.values():
            names = _names(package, module)
            for owner, node in _parts(module):
                if owner is not None and isinstance(node, ast.ClassDef):
                    bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                    foreign = {base for base in bases if names.get(base, ("",))[0] == ""}
                    own = {names[base] for base in bases & names.keys()}
                    called = foreign - _QUIET_BASES or own & self.called_from_outside
                    if called or node.name in public:
                        self.called_from_outside.add(owner)
                if owner is not None and f"super().{owner[1].rpartition('.')[2]}(" in ast.unparse(
                    node
                ):
                    self.extending.add(owner)
                self.spoken.setdefault(owner, set()).update(_speaks(module, node, names))

    def alive(self) -> set[Key]:
        defined = self.spoken.keys() - {None}
        # Whoever loads a file by its name asks for one of these.
        alive = {key for key in defined if key[0] in self.loaded and key[1] in {"main", "command"}}
        words: set[str] = set()
        new: set[Key | None] = {None, *alive}
        while new:
            said = set().union(*(self.spoken[who] for who in new))
            words |= {one for one in said if isinstance(one, str)}
            named = {one for one in said if not isinstance(one, str)} & defined
            named |= {key for key in defined - alive if self._meant(key, words, alive)}
            new = named - alive
            alive |= named
        return alive

    def _meant(self, key: Key, words: set[str], alive: set[Key]) -> bool:
        owner, _, name = key[1].rpartition(".")
        if not owner:
            return name in words
        home = (key[0], owner)
        known = not name.startswith("_") or key in self.extending
        called = home in self.called_from_outside and known
        return home in alive and (called or name in words or f".{name}" in words)


def unused(package: Package) -> list[str]:
    """Functions, classes, constants and methods that are dead, and files that nobody loads."""
    facts = _Facts(package)
    dead = facts.spoken.keys() - {None} - facts.alive()
    # The methods of a dead class go without saying.
    names = {
        f"{module}: {name}" for module, name in dead if (module, name.split(".")[0]) not in dead
    }
    names |= {f"{module}: {name}" for module, name in dead if "." not in name}
    loaded = _loaded(package)
    for file, above in package.importers().items():
        doors = {package.name, f"{package.name}.__main__"}
        if not above and file not in doors | loaded and not package.modules[file].is_package:
            names.add(file)
    return sorted(names)


def _loaded(package: Package) -> set[str]:
    """The files that are loaded by their name, or by one that is put together from a room's."""
    words = {word for one in package.modules.values() for word in _strings(one)}
    rooms = {
        node.value
        for module in package.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        and node.value.startswith(f"{package.name}.") and node.value.endswith(".")
    }  # fmt: skip
    return words | {file for file in package.modules if file.rpartition(".")[0] + "." in rooms}


def _parts(module: Module) -> Iterator[tuple[Key | None, ast.AST]]:
    """The code of a file by whom it belongs to; a class first, then each of its methods."""
    for node in module.tree.body:
        names = _defines(node)
        if not names:
            yield None, node
        for name in names:
            yield (module.name, name), node
        if isinstance(node, ast.ClassDef):
            for method in filter(_is_method, node.body):
                yield (module.name, f"{node.name}.{method.name}"), method


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, _FUNCTION | ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [
            one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)
        ]
    else:
        names = []
    return [name for name in names if not name.startswith("__")]


def _is_method(node: ast.stmt) -> bool:
    return isinstance(node, _FUNCTION) and not node.name.startswith("__")


def _names(package: Package, module: Module) -> dict[str, Key]:
    """What each name of a file stands for: a definition, or a module, which is ("m", "")."""
    names: dict[str, Key] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            base = from_where(module, node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if whole in package.modules:
                    names[alias.asname or alias.name] = (whole, "")
                elif base in package.modules:
                    names[alias.asname or alias.name] = (base, alias.name)
    for node in module.tree.body:
        names |= {name: (module.name, name) for name in _defines(node)}
    return names


def _speaks(module: Module, node: ast.AST, names: dict[str, Key]) -> Iterator[Key | str]:
    """Of what a definition speaks; a class without its methods."""
    for one in _inside(node):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and one.id in names:
            yield names[one.id]
        elif isinstance(one, ast.Attribute):
            yield f".{one.attr}"
            whose = names.get(one.value.id) if isinstance(one.value, ast.Name) else None
            if whose is not None and not whose[1]:
                yield (whose[0], one.attr)
        elif _is_string(module, one):
            yield from _words(one.value)
            yield from _PROGRAM.findall(one.value)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.ClassDef) and _is_method(child)):
            yield from _inside(child)


def _strings(module: Module) -> Iterator[str]:
    """The names that are strings in a file, and the modules that programs in strings load."""
    for one in ast.walk(module.tree):
        if _is_string(module, one):
            yield from _words(one.value)
            yield from (where for where, _ in _PROGRAM.findall(one.value))


def _is_string(module: Module, node: ast.AST) -> bool:
    told = isinstance(node, ast.Constant) and node.lineno in module.told
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and not told


def _words(text: str) -> Iterator[str]:
    if _DOTTED.fullmatch(text):
        yield text
        yield re.split("[.:]", text)[-1]
