"""The package from outside: what it shows, and what it loads."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import bncli

import bncli as package


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
