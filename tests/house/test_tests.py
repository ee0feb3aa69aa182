"""Every test file is run: pytest passes over one that imports what is no longer there."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def lacking(text):
    """What a file imports from the package while it is loaded, and what is not there."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bncli":
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                whole = f"{node.module}.{name}"
                below = hasattr(module, "__path__") and find_spec(whole) is not None
                if not hasattr(module, name) and not below:
                    yield whole


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: path.stem)
def test_what_it_imports_is_there(path):
    """By its name: as an attribute of the module, or as a module below it."""
    assert list(lacking(path.read_text(encoding="utf-8"))) == []


def test_what_is_gone_is_told():
    """A name that has moved, be it of a module or in one; those beside it are no fault."""
    text = "from bncli.errors import DataError, GoneError\nfrom bncli.storage import disk, gone\n"
    assert list(lacking(text)) == ["bncli.errors.GoneError", "bncli.storage.gone"]
