"""What the user asks of a fit: plain facts, checked where that needs no file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bncli.errors import OptionError
from bncli.images.folder import Selection
from bncli.images.policy import ReadPolicy
from bncli.pipeline.engine import EngineOptions, EngineRequest, build_engine_request
from bncli.pipeline.request import LayerRequest, build_layer
from bncli.pipeline.shared_options import (
    build_policy,
    build_selection,
    check_known,
    check_machine,
    check_policy,
    local_path,
)
from bncli.pipeline.source import Shard
from bncli.storage.statistics import Running

_LEAST_BATCH = 2
_MOMENTUM = 0.1
"""PyTorch's."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """One run of ``bncli fit``.

    Attributes:
        selection: which files.
        out: the file that is written.
        policy: how the pictures are read.
        layer: gamma, beta and eps, which are saved with the statistics.
        ddof: 0, or 1 for the unbiased variance.
        shard: which of the files, or None for all.
        update_from: the stats.npz of earlier pictures, to which these are added, or None.
        running: how running statistics are kept, or None for none.
        jobs, max_memory, skip, dry_run: as of normalize.
        overwrite: whether *out* may be replaced.
        engine: where pictures are read.
    """

    selection: Selection
    out: Path
    policy: ReadPolicy
    layer: LayerRequest
    ddof: int = 0
    shard: Shard | None = None
    update_from: Path | None = None
    running: Running | None = None
    jobs: int | None = None
    max_memory: int | float | None = None
    skip: bool = False
    overwrite: bool = False
    dry_run: bool = False
    engine: EngineRequest = field(default_factory=EngineRequest)

    def __post_init__(self) -> None:
        check_policy(self.policy)
        check_machine(self.jobs, self.max_memory)
        if self.ddof not in (0, 1):
            raise OptionError(f"--ddof is {self.ddof}; choose 0 or 1")
        if self.running is None:
            return
        parts = {"--shard": self.shard, "--update-from": self.update_from}
        given = [name for name, value in parts.items() if value is not None]
        if given:
            raise OptionError(
                f"{given[0]} does not go with --batch-size: running statistics depend on the order "
                "of all pictures"
            )
        self.engine.must_be_local("--batch-size", "running statistics depend on the order")
        if self.ddof:
            raise OptionError(
                "--ddof 1 does not go with --batch-size: a running variance is unbiased already"
            )


class FitOptions(EngineOptions, total=False):
    """The options of ``bncli fit``, by the names they have on the command line."""

    recursive: bool
    include: Sequence[str]
    exclude: Sequence[str]
    gamma: str | float | Path
    beta: str | float | Path
    seed: int
    eps: float
    ddof: int
    mode: str
    alpha: str
    frames: str
    resize: tuple[int, int] | None
    max_pixels: int
    shard: str | None
    update_from: str | Path | None
    momentum: float | str | None
    batch_size: int | None
    jobs: int | None
    max_memory: int | float | None
    on_error: str
    overwrite: bool
    dry_run: bool


def build_fit(sources: Sequence[str | Path], out: str | Path, options: FitOptions) -> FitRequest:
    """Group the options of a fit, and check those that need no file.

    Raises:
        OptionError: an option has an impossible value, or does not go with another.
    """
    check_known(options, FitOptions)
    shard, update_from = options.get("shard"), options.get("update_from")
    return FitRequest(
        selection=build_selection(sources, options),
        out=statistics_path(out),
        policy=build_policy(options),
        layer=build_layer(options),
        ddof=options.get("ddof", 0),
        shard=None if shard is None else _shard(shard),
        update_from=None if update_from is None else Path(update_from),
        running=_running(options),
        jobs=options.get("jobs"),
        max_memory=options.get("max_memory"),
        skip=options.get("on_error") == "skip",
        overwrite=options.get("overwrite", False),
        dry_run=options.get("dry_run", False),
        engine=build_engine_request(options),
    )


def statistics_path(out: str | Path) -> Path:
    """The file to write; OptionError unless its name ends in .npz."""
    path = local_path(out, "file")
    if path.suffix != ".npz":
        raise OptionError(f"--out {out}: name a file that ends in .npz")
    return path


def _shard(text: str) -> Shard:
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(text))
    if match is None:
        raise OptionError(f"--shard {text}: give I/N with I from 1 to N")
    return Shard(int(match[1]), int(match[2]))


def _running(options: FitOptions) -> Running | None:
    momentum, size = options.get("momentum"), options.get("batch_size")
    if size is None:
        if momentum is not None:
            raise OptionError("--momentum is of running statistics: give --batch-size too")
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < _LEAST_BATCH:
        raise OptionError(f"--batch-size is {size}; it must be at least 2")
    if momentum == "none":
        return Running(None, size)
    try:
        share = _MOMENTUM if momentum is None else float(momentum)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise OptionError(f"--momentum is {momentum}; it must be above 0 and at most 1, or none")
    return Running(share, size)
