"""Where one field of the matrix is asked: its own pictures, its own OUT, the command at hand."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
from contract.cases import KILLED
from oracle import Ran, python, tree
from PIL import Image

from bncli.cli.entry import main

SHAPE = (7, 5, 3)
NAMES = ("p1", "p2", "p3", "p10", "p11")
"""In natural order."""

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def ask(*words) -> Ran:
    """Run the command line in this process: what it would print, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    before = {number: signal.getsignal(number) for number in _HANDLED}
    hook = sys.unraisablehook
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main([str(word) for word in words])
    except SystemExit as end:
        return Ran(end.code, out.getvalue(), err.getvalue())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
    raise AssertionError


class World:
    """What all desks copy: made once.

    Attributes:
        sources: by what a command reads, a folder of five files.
        other: likewise, a file of another size.
        statistics: of the pictures.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        rng = np.random.default_rng(20150211)
        self.sources = {"pictures": self._save(rng, "pictures", (5, 7, 3))}
        others = {"pictures": self._save(rng, "small", (5, 5, 3))}
        for name, folder in (("normalized", "pictures"), ("small-normalized", "small")):
            self._made(ask("normalize", place / folder, "-o", place / name, "--format", "tiff"))
            for path in (place / name).iterdir():
                if path.suffix != ".tiff":
                    path.rename(place / f"{name}-{path.name}")
        self.sources["normalized"] = place / "normalized"
        others["normalized"] = place / "small-normalized"
        self.other = {kind: next(folder.iterdir()) for kind, folder in others.items()}
        self.statistics = place / "normalized-stats.npz"

    def _save(self, rng, folder, shape) -> Path:
        path = self.place / folder
        path.mkdir()
        for name in NAMES:
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"{name}.png")
        return path

    def _made(self, ran: Ran) -> None:
        assert ran.code == 0, ran.err


class Desk:
    """One cell, with a source and an OUT of its own.

    Attributes:
        cell, command: what is asked.
        place: holds all that follows and nothing else.
        source: SRC.
        statistics: FILE.npz, or None.
        out: OUT, which is not there.
    """

    def __init__(self, cell, world: World, place: Path) -> None:
        self.cell, self.command, self.place, self._world = cell, cell.command, place, world
        self.source = place / "source"
        shutil.copytree(world.sources[self.command.reads], self.source)
        self.statistics = None
        if self.command.fitted:
            self.statistics = place / "statistics.npz"
            shutil.copy(world.statistics, self.statistics)
        self.out = place / ("out.npz" if self.is_file else "out")

    @property
    def is_file(self) -> bool:
        """Whether OUT is one file."""
        return self.cell.format == "npz"

    @property
    def suffix(self) -> str:
        """Of the sources."""
        return next(iter(self.source.iterdir())).suffix

    def picture(self, name: str) -> Path:
        """The file of a picture of SRC."""
        return self.source / f"{name}{self.suffix}"

    def words(self, *options, source=None, out=None) -> list:
        """The command line."""
        before = [self.statistics] if self.statistics else []
        places = [*before, source or self.source, "-o", out or self.out]
        return [self.command.name, *places, *self.cell.options, *options]

    def ask(self, *options, source=None, out=None) -> Ran:
        """Run it here."""
        return ask(*self.words(*options, source=source, out=out))

    def done(self, *options, source=None, out=None) -> dict[str, bytes]:
        """Run it, which must succeed; every file it leaves."""
        ran = self.ask(*options, source=source, out=out)
        assert ran.code == 0, ran.err
        return self.left(out)

    def left(self, out=None) -> dict[str, bytes]:
        """Every file of OUT."""
        out = out or self.out
        return {out.suffix: out.read_bytes()} if self.is_file else tree(out)

    def refused(self, code, *options, out=None, lines=None, source=None) -> Ran:
        """Run it, which must fail with this code, and change nothing at all."""
        before = _everything(self.place)
        ran = self.ask(*options, "--json", out=out, source=source)
        assert ran.code == code, ran.err
        assert _everything(self.place) == before
        document = ran.document
        assert document["schema"] == f"bncli.{self.command.name}/1"
        assert (document["status"], document["exit_code"]) == ("error", code)
        assert document["error"].keys() >= {"kind", "message", "paths"}
        said = ran.err.splitlines()
        assert all(line.startswith("Error: ") for line in said)
        assert len(said) == (lines or len(said))
        return ran

    def killed(self, after: int, **options) -> None:
        """Run the Python twin on threads, and kill it (-9) after so many pictures."""
        before = [self.statistics] if self.statistics else []
        words = [self.command.name, after, *before, self.source, self.out]
        chosen = {"jobs": 1, "format": self.cell.format, **options}
        ran = python("-c", KILLED, *words, repr(chosen))
        assert ran.code == -signal.SIGKILL, ran.err

    def truncate(self, *names: str) -> None:
        """Spoil pictures of which the header is sound."""
        for name in names:
            content = self.picture(name).read_bytes()
            self.picture(name).write_bytes(content[: len(content) // 2])

    def swap(self, name: str) -> None:
        """Put a picture of another size in the place of this one."""
        shutil.copy(self._world.other[self.command.reads], self.picture(name))

    def twin(self, name: str) -> Path:
        """The same picture once more, under a name that gives the same output."""
        if self.suffix == ".tiff":
            return Path(shutil.copy(self.picture(name), self.source / f"{name}.tif"))
        path = self.source / f"{name}.bmp"
        with Image.open(self.picture(name)) as image:
            image.save(path)
        return path

    def written(self, name: str) -> str:
        """What the output of a picture is called."""
        return f"{name}.{self.cell.format}"


def _everything(folder: Path) -> dict[str, object]:
    """Every name below a folder, hidden ones and empty folders too, and the bytes of files."""
    return {
        os.fspath(path): path.read_bytes() if path.is_file() else path.is_dir()
        for path in folder.rglob("*")
    }
