"""What is drawn of a run: ``--contact-sheet`` and ``--report``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bncli.drawing.template import require_templates
from bncli.errors import OptionError, OutputError
from bncli.storage.apart import check_file_apart
from bncli.storage.placing import SUMMARY
from bncli.storage.whole_file import WholeFile

if TYPE_CHECKING:  # most runs draw nothing
    from bncli.drawing.gallery import Gallery

_SUFFIXES = {"contact-sheet": (".png",), "report": (".html", ".htm")}

Drawer = Callable[["Gallery", Mapping[str, Any], str], bytes]
"""From a gallery, the document of the run and its command to the bytes of a file."""


@dataclass(frozen=True, slots=True)
class DrawingAsked:
    """What is to be drawn.

    Attributes:
        contact_sheet, report: the files, or None.
        command: the command line that the report tells, or nothing.

    Raises:
        OptionError: a name does not end as its kind does.
        MissingExtraError: a page is wanted, and jinja2 is not installed.
    """

    contact_sheet: Path | None = None
    report: Path | None = None
    command: str = ""

    def __post_init__(self) -> None:
        for name, path in self.files.items():
            if path.suffix.lower() not in _SUFFIXES[name]:
                raise OptionError(f"--{name} {path}: its name must end in {_SUFFIXES[name][0]}")
        if self.report is not None:
            require_templates("--report")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From the options ``contact_sheet``, ``report`` and ``command`` of a command."""
        sheet, report = options.get("contact_sheet"), options.get("report")
        return cls(
            None if sheet is None else Path(sheet),
            None if report is None else Path(report),
            options.get("command") or "",
        )

    @property
    def files(self) -> dict[str, Path]:
        """Option -> file, of those that were given."""
        both = {"contact-sheet": self.contact_sheet, "report": self.report}
        return {name: path for name, path in both.items() if path is not None}


class Drawn:
    """The files in which a run is drawn, which appear when the run is whole, or not at all.

    Use it in a with block inside that of the run folder.

    Args:
        asked: which files.
        out: the folder that the run writes.
        names: of what else the run writes there, relative.
        overwrite, resume: as of the run.

    Raises:
        OutputError: one exists, cannot be written, or is another result of the run.
    """

    def __init__(
        self, asked: DrawingAsked, out: Path, names: Sequence[str], *, overwrite: bool, resume: bool
    ) -> None:
        self._asked = asked
        self._files: dict[str, WholeFile] = {}
        self._entered = ExitStack()
        for option, path in asked.files.items():
            inner = _name_inside(path, out)
            if inner == SUMMARY or inner in names:
                raise OutputError(f"{path}: the run writes a file of that name; choose another")
            if inner is not None and inner.startswith("."):
                raise OutputError(f"{path}: hidden names in OUT are bncli's own; choose another")
            folder_comes = inner is not None and "/" not in inner
            self._files[option] = WholeFile(
                path, overwrite=overwrite, resume=resume, folder_comes=folder_comes
            )

    def check_apart(self, searched: Sequence[Path], read: Sequence[str]) -> None:
        """Raise OptionError if a file is one that is read, or lies in a folder that is read."""
        for path in self._asked.files.values():
            check_file_apart(path, searched, read)

    def stage(self, gallery: Gallery, document: Mapping[str, Any]) -> None:
        """Draw and stage the files; before the run is committed.

        Args:
            gallery: of the run, complete.
            document: of the run, complete.
        """
        for option, file in self._files.items():
            file.stage(_drawer(option)(gallery, document, self._asked.command))

    def place(self) -> None:
        """Bring the files to their places; after the run is committed."""
        for file in self._files.values():
            file.place()

    def __enter__(self) -> Self:
        for file in self._files.values():
            self._entered.enter_context(file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.close()


def _drawer(option: str) -> Drawer:
    """What draws the file of an option, loaded when it is needed."""
    if option == "report":
        from bncli.drawing.run_page import draw_page

        return draw_page
    from bncli.drawing.sheet import draw_sheet

    return draw_sheet


def _name_inside(path: Path, out: Path) -> str | None:
    """The name of a file relative to the output folder, or None where it lies elsewhere."""
    folder = os.path.realpath(path.parent)
    whole = os.path.realpath(out)
    if os.path.commonpath([folder, whole]) != whole:
        return None
    return Path(folder, path.name).relative_to(whole).as_posix()
