"""In how many places of a package each option of its command line is declared.

The options are those that the help pages show. A place is a call that is given the flag together
with a text of help (`click.option("--jobs", help=...)`), or an annotated field of a class.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator

from house.structure import Package

_FLAG = re.compile(r"^ +(?:-\w, )?--([a-z][a-z-]*)", re.MULTILINE)
_COMMAND = re.compile(r"^  ([a-z]+) {2,}", re.MULTILINE)


def places(package: Package, python: str) -> dict[str, list[str]]:
    """Of each option, the places where it is declared."""
    main = _help(package, python)
    commands = _COMMAND.findall(main.partition("\nCommands:\n")[2].partition("\n\n")[0])
    shown = {flag for name in commands for flag in _FLAG.findall(_help(package, python, name))}
    found: dict[str, list[str]] = defaultdict(list)
    for module in package.modules.values():
        for name, line in _declared(module.tree):
            found[name].append(f"{module.path}:{line}")
    return {flag: found.get(flag, []) for flag in sorted(shown - {"help"})}


def _help(package: Package, python: str, *command: str) -> str:
    call = [python, "-m", package.name, *command, "--help"]
    done = subprocess.run(call, cwd=package.root.parent, capture_output=True, text=True, check=True)
    return done.stdout


def _declared(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(key.arg == "help" for key in node.keywords):
            for given in node.args:
                if isinstance(given, ast.Constant) and str(given.value).startswith("--"):
                    yield given.value.removeprefix("--").partition("/")[0], node.lineno
        elif isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id.replace("_", "-"), field.lineno
