"""The house keeps its order: imports look down, and nothing is loaded that is not used."""

from __future__ import annotations

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import bncli

import bncli as package

ROOT = Path(package.__file__).parent
BELOW = {
    "cli": {"runs", "drawing", "checking", "batchnorm", "images", "storage"},
    "runs": {"drawing", "checking", "engines", "batchnorm", "images", "storage"},
    "drawing": {"checking", "batchnorm", "images", "storage"},
    "checking": {"batchnorm"},
    "engines": set(),
    "batchnorm": set(),
    "images": set(),
    "storage": set(),
}
LEAVES = {"errors", "files", "limits", "machine", "names", "number", "version", "visible"}
"""Single files at the foot of the house, which every room may use."""

OWNERS = {"PIL": "images drawing", "click": "cli", "rich": "cli", "imagecodecs": "images",
          "tifffile": "images", "isal": "images", "jinja2": "drawing",
          "markupsafe": "drawing", "fsspec": "images", "dask": "engines",
          "distributed": "engines"}  # fmt: skip


def imports():
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                yield path, room, name


def test_imports_look_down():
    """No room imports a room beside or above it, and none imports the package root."""
    wrong = []
    for path, room, name in imports():
        first, _, rest = name.partition(".")
        if first != "bncli" or room in {"__init__", "__main__"}:
            continue
        target = rest.split(".")[0]
        if target != room and target not in LEAVES | BELOW.get(room, set()):
            wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert wrong == []


def test_libraries_have_owners():
    """Pillow is imported in images/ alone, click and rich in cli/ alone, and so on."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, room, name in imports()
        if (owner := OWNERS.get(name.partition(".")[0])) is not None and room not in owner.split()
    ]
    assert wrong == []


def test_sizes():
    """A file past 300 lines, or a function past 40, wants to become two."""
    long = []
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 300:
            long.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and node.end_lineno - body[0].lineno + 1 > 40:
                    long.append(f"{path.name}: {node.name}")
    assert long == []


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["help", "normalize"], ["doctor", "--help"], ["completion", "zsh"]],
)
def test_help_loads_nothing_heavy(arguments):
    """Help and version import no numpy, Pillow or rich."""
    code = (
        "import sys\nfrom bncli.cli.entry import main\n"
        f"try: main({arguments})\nexcept SystemExit as end: assert end.code == 0\n"
        "print(sorted({'numpy', 'PIL', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_public_names():
    """Every public name loads, and a name that is not there says so."""
    assert {name for name in package.__all__ if getattr(package, name) is None} == set()
    assert set(dir(package)) == set(package.__all__)
    with pytest.raises(AttributeError, match="nothing_such"):
        package.nothing_such  # noqa: B018


def test_public_names_have_examples():
    """Every public name shows in its docstring, tested, how it is used."""
    names = set(package.__all__) - {"__version__"}
    finder = doctest.DocTestFinder(recurse=False)
    without = [name for name in names if not finder.find(getattr(package, name), name)[0].examples]
    assert without == []


def test_version_and_usage():
    """--version names the version; an unknown command is a usage error."""
    run = bncli("--version")
    assert (run.code, run.out) == (0, f"bncli {package.__version__}\n")
    assert bncli("normalise").code == 2
    assert bncli("normalize", "-h").out.startswith("Usage: bncli normalize")


def test_nothing_is_imported_from_the_current_folder(tmp_path, folder):
    """A numpy.py lying about, or one among the pictures, is not run by the console script."""
    for place in (tmp_path, folder):
        (place / "numpy.py").write_text("raise SystemExit(99)")
    script = Path(sys.executable).with_name("bncli")
    done = subprocess.run(
        [script, "normalize", folder, "-o", tmp_path / "out"], cwd=tmp_path, check=False,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
