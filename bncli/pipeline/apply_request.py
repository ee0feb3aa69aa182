"""What the user asks of apply: plain facts, checked where that needs no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bncli.images.folder import Selection
from bncli.images.policy import FRAMES, MAX_PIXELS
from bncli.pipeline.engine import EngineOptions, EngineRequest, build_engine_request
from bncli.pipeline.request import OutputRequest, build_output
from bncli.pipeline.shared_options import (
    build_selection,
    check_choice,
    check_known,
    check_machine,
)
from bncli.pipeline.showing import ShowRequest


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """One run of ``bncli apply``.

    Attributes:
        statistics: the stats.npz.
        selection: which files.
        output: what is written.
        frames, max_pixels: as of ReadPolicy; the rest of it comes from the statistics.
        jobs, max_memory, skip, dry_run: as of normalize.
        engine: where pictures are read and written.
        show: what is to be drawn of it.
    """

    statistics: Path
    selection: Selection
    output: OutputRequest
    frames: str = "error"
    max_pixels: int = MAX_PIXELS
    jobs: int | None = None
    max_memory: int | float | None = None
    skip: bool = False
    dry_run: bool = False
    engine: EngineRequest = field(default_factory=EngineRequest)
    show: ShowRequest = field(default_factory=ShowRequest)

    def __post_init__(self) -> None:
        check_choice("frames", self.frames, FRAMES)
        check_machine(self.jobs, self.max_memory)
        if self.output.picture_format == "npy":
            self.engine.must_be_local("--format npy", "one array has one writer")


class ApplyOptions(EngineOptions, total=False):
    """The options of ``bncli apply``, by the names they have on the command line.

    ``command`` is the command line itself, which a report tells.
    """

    recursive: bool
    include: Sequence[str]
    exclude: Sequence[str]
    frames: str
    max_pixels: int
    scale: str | None
    format: str
    depth: str
    dtype: str
    jobs: int | None
    max_memory: int | float | None
    on_error: str
    overwrite: bool
    dry_run: bool
    contact_sheet: str | Path | None
    report: str | Path | None
    command: str


def build_apply(
    statistics: str | Path, sources: Sequence[str | Path], out: str | Path, options: ApplyOptions
) -> ApplyRequest:
    """Group the options of a run, and check those that need no file.

    Raises:
        OptionError: an option has an impossible value, or does not go with another.
    """
    check_known(options, ApplyOptions)
    return ApplyRequest(
        statistics=Path(statistics),
        selection=build_selection(sources, options),
        output=build_output(out, options),
        frames=options.get("frames", "error"),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        jobs=options.get("jobs"),
        max_memory=options.get("max_memory"),
        skip=options.get("on_error") == "skip",
        dry_run=options.get("dry_run", False),
        engine=build_engine_request(options),
        show=ShowRequest.of(options),
    )
