"""The commands that write, as rows: a new one is asked everything by being one row more."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import pytest

ENGINES = {
    "local": (),
    "processes": ("--engine", "processes", "--jobs", "2"),
    "dask": ("--engine", "dask", "--jobs", "2"),
}


@dataclass(frozen=True)
class Command:
    """What one command reads, writes and tells.

    Attributes:
        name: on the command line; the Python function is called so too, with `_folder`.
        reads: `pictures`, or `normalized`: what a run of normalize left as TIFF.
        fitted: whether a stats.npz stands before SRC.
        formats: that it writes; `npz` is one file instead of a folder.
        array: what `--format npy` is called.
        array_value: bytes of a value in that array, with no options.
        every_array: options with which it writes all arrays it can.
        arrays: how many these are, beside that of `--format npy`.
        keys: of its document, beside those that all have.
    """

    name: str
    reads: str = "pictures"
    fitted: bool = False
    formats: tuple[str, ...] = ("png", "tiff", "npy")
    array: str = "normalized.npy"
    array_value: int = 8
    every_array: tuple[str, ...] = ()
    arrays: int = 0
    keys: frozenset[str] = frozenset()


_OF_PIXELS = {"layer", "dead_pixels", "channels", "skipped"}
_OF_PICTURES = {"outputs", "arrays"}
_OF_LEVELS = {"clipped_values", "scale", "run"}

NORMALIZE = Command(
    "normalize",
    every_array=("--delta", "random", "--gamma", "random", "--update"),
    arrays=5,
    keys=frozenset(_OF_PIXELS | _OF_PICTURES | _OF_LEVELS | {"gradients", "update"}),
)
APPLY = Command(
    "apply", fitted=True, keys=frozenset(_OF_PIXELS | _OF_PICTURES | _OF_LEVELS | {"statistics"})
)
INVERT = Command(
    "invert", reads="normalized", fitted=True, array="restored.npy", array_value=1,
    keys=frozenset(
        {"statistics", "scale", "exact", "largest_error", "inexact_values", "saturated_values",
         "foreign_values", "skipped", "run"} | _OF_PICTURES
    ),
)  # fmt: skip
FIT = Command(
    "fit", formats=("npz",),
    keys=frozenset(_OF_PIXELS | {"ddof", "running", "mean", "std", "added", "output"}),
)  # fmt: skip

FOLDERS = (NORMALIZE, APPLY, INVERT)
"""Those that fill a folder with pictures or one array."""

ALL = (*FOLDERS, FIT)


@dataclass(frozen=True)
class Cell:
    """One field of the matrix."""

    command: Command
    format: str
    engine: str = "local"

    def __str__(self) -> str:
        return f"{self.command.name}-{self.format}-{self.engine}"

    @property
    def options(self) -> tuple[str, ...]:
        formats = () if self.format == "npz" else ("--format", self.format)
        return (*formats, *ENGINES[self.engine])


def asked_of(*commands, formats=("png", "tiff", "npy", "npz"), engines=("local",)):
    """Ask a question of these commands, with each format; of engines but the local with one.

    Args:
        commands: the rows.
        formats: of those that a row has.
        engines: all but `local` take the first of the formats alone; it costs a process each.
    """

    def decorate(question):
        cells = []
        for command in commands:
            mine = [name for name in command.formats if name in formats]
            cells += [Cell(command, name) for name in mine if "local" in engines]
            files = [name for name in mine if name != "npy"]
            cells += [Cell(command, files[0], name) for name in engines if name != "local"]
        fields = [pytest.param(cell, id=str(cell), marks=_marks(cell)) for cell in cells]
        return pytest.mark.parametrize("desk", fields, indirect=True)(question)

    return decorate


def _marks(cell):
    if cell.engine != "dask":
        return ()
    missing = find_spec("distributed") is None
    return (pytest.mark.skipif(missing, reason="the extra dask is not installed"),)
