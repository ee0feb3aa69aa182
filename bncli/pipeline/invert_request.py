"""What the user asks of invert: plain facts, checked where that needs no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bncli.errors import OptionError
from bncli.images.folder import Selection
from bncli.images.levels import Scale
from bncli.images.policy import MAX_PIXELS
from bncli.pipeline.choices import RESTORED_FORMATS
from bncli.pipeline.engine import EngineOptions, EngineRequest, build_engine_request
from bncli.pipeline.prepare import NORMALIZED
from bncli.pipeline.request import OutputRequest
from bncli.pipeline.shared_options import (
    build_selection,
    check_choice,
    check_known,
    check_machine,
    local_path,
)


@dataclass(frozen=True, slots=True)
class InvertRequest:
    """One run of ``bncli invert``.

    Attributes:
        statistics: the stats.npz.
        selection: which files.
        folder: the output folder.
        picture_format: ``auto`` (as the fitted pictures), ``png``, ``tiff`` or ``npy``.
        scale: the y that are black and white, or None: as the summary beside the pictures says.
        exact: refuse pictures that cannot be restored exactly.
        max_pixels: width times height above which a file is refused unread.
        jobs, max_memory, dry_run: as of normalize.
        engine: where pictures are read and written.
        overwrite: whether files of an earlier run may be replaced.
    """

    statistics: Path
    selection: Selection
    folder: Path
    picture_format: str = "auto"
    scale: Scale | None = None
    exact: bool = False
    max_pixels: int = MAX_PIXELS
    jobs: int | None = None
    max_memory: int | float | None = None
    overwrite: bool = False
    dry_run: bool = False
    engine: EngineRequest = field(default_factory=EngineRequest)

    def __post_init__(self) -> None:
        check_choice("format", self.picture_format, RESTORED_FORMATS)
        check_machine(self.jobs, self.max_memory)
        if self.scale is not None and self.scale.kind != "range":
            raise OptionError("--scale: give LO:HI, the y that are black and white, or none (0:1)")

    @property
    def output(self) -> OutputRequest:
        """What is written and where, once ``auto`` is settled."""
        return OutputRequest(self.folder, self.picture_format, overwrite=self.overwrite)


class InvertOptions(EngineOptions, total=False):
    """The options of ``bncli invert``, by the names they have on the command line."""

    recursive: bool
    include: Sequence[str]
    exclude: Sequence[str]
    max_pixels: int
    scale: str | None
    format: str
    exact: bool
    jobs: int | None
    max_memory: int | float | None
    overwrite: bool
    dry_run: bool


def build_invert(
    statistics: str | Path, sources: Sequence[str | Path], out: str | Path, options: InvertOptions
) -> InvertRequest:
    """Group the options of a run, and check those that need no file.

    Raises:
        OptionError: an option has an impossible value.
    """
    check_known(options, InvertOptions)
    scale = options.get("scale")
    return InvertRequest(
        statistics=Path(statistics),
        selection=build_selection([_array_of_run(source) for source in sources], options),
        folder=local_path(out, "folder"),
        picture_format=options.get("format", "auto"),
        scale=None if scale is None else Scale.parse(scale),
        exact=options.get("exact", False),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        jobs=options.get("jobs"),
        max_memory=options.get("max_memory"),
        overwrite=options.get("overwrite", False),
        dry_run=options.get("dry_run", False),
        engine=build_engine_request(options),
    )


def _array_of_run(source: str | Path) -> str | Path:
    """The folder of a run of --format npy stands for the array in it."""
    array = Path(source) / NORMALIZED
    return array if str(source) and array.is_file() else source
