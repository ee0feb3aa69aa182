"""The house keeps its order: imports look down, files are short, and nothing is there unused."""

from __future__ import annotations

import sys
from pathlib import Path

from house.structure import SINGLE, Package, circles
from house.unused import unused

import bncli

HOUSE = Package(Path(bncli.__file__).parent)
BELOW = {
    "cli": {"runs", "drawing", "checking", "batchnorm", "images", "storage"},
    "runs": {"drawing", "checking", "engines", "batchnorm", "images", "storage"},
    "drawing": {"checking", "batchnorm", "images", "storage"},
    "checking": {"batchnorm"},
    "batchnorm": set(),
    "images": set(),
    "engines": set(),
    "storage": set(),
}
"""The rooms from the top, and which others each may use. All may use the single files."""

OWNERS = {
    "PIL": "images drawing", "imagecodecs": "images", "tifffile": "images", "isal": "images",
    "fsspec": "images", "click": "cli", "rich": "cli", "jinja2": "drawing", "markupsafe": "drawing",
    "dask": "engines", "distributed": "engines", "torch": "checking",
}  # fmt: skip

FILE, FUNCTION = 250, 40
"""Lines of code of a file, lines of the body of a function."""


def test_the_table_of_rooms_is_whole():
    """Every room has its row, and a row names rooms that stand below it alone."""
    assert set(BELOW) == set(HOUSE.rooms) - {SINGLE}
    order = list(BELOW)
    assert all(below <= set(order[place + 1 :]) for place, below in enumerate(BELOW.values()))


def test_imports_look_down():
    """No room imports a room beside or above it; imports inside functions and for types count."""
    wrong = []
    for one in HOUSE.imports:
        room = HOUSE.modules[one.importer].room
        if one.file is None or one.importer in {"bncli", "bncli.__main__"}:
            continue
        target = HOUSE.modules[one.file].room
        if target not in {room, SINGLE} | BELOW.get(room, set()):
            wrong.append(f"{one.importer}: {one.file}")
    assert wrong == []


def test_nothing_imports_the_package_itself():
    """What is inside takes things from where they are, not from the list of public names."""
    wrong = [one.importer for one in HOUSE.imports if "bncli" in {one.named, one.file}]
    assert wrong == []


def test_libraries_have_owners():
    """Pillow is imported in images/ alone, click and rich in cli/ alone, and so on."""
    wrong = [
        f"{one.importer}: {one.named}"
        for one in HOUSE.imports
        if (owner := OWNERS.get(one.named.partition(".")[0])) is not None
        and HOUSE.modules[one.importer].room not in owner.split()
    ]
    assert wrong == []


def test_every_library_is_known():
    """numpy may be used everywhere, and every other library has an owner: a new one is noticed."""
    known = {"bncli", "numpy", *OWNERS, *sys.stdlib_module_names}
    assert {one.named.partition(".")[0] for one in HOUSE.imports} <= known


def test_the_kernels_need_numpy_alone():
    """batchnorm/ is plain arithmetic: it imports nothing but numpy and the standard library."""
    used = {
        one.named.partition(".")[0]
        for one in HOUSE.imports
        if HOUSE.modules[one.importer].room == "batchnorm"
    }
    assert used <= {"bncli", "numpy", *sys.stdlib_module_names}


def test_files_are_short():
    """A file past 250 lines of code wants to become two; docstrings and comments are free."""
    long = {m.path: len(m.code) for m in HOUSE.modules.values() if len(m.code) > FILE}
    assert long == {}


def test_functions_are_short():
    """A function past 40 lines, its docstring not counted, wants to become two."""
    long = [
        f"{module.path}: {name}"
        for module in HOUSE.modules.values()
        for name, length in module.functions()
        if length > FUNCTION
    ]
    assert long == []


def test_no_import_circles():
    """No file reaches itself by imports, in its room or around it, late ones and types included."""
    assert circles(HOUSE.edges()) == []


def test_nothing_is_dead():
    """Every function, class, constant, method and file is used by the package or is public."""
    assert unused(HOUSE) == []
