"""What can be read in a stats.npz: the reports of fit, merge and inspect, plain data."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bncli.errors import NonFiniteError
from bncli.images.batch import Fault
from bncli.machine import allowed_cores
from bncli.pool import Pool
from bncli.runs.fitted import Fitted, load_fitted
from bncli.runs.summary import PlanFacts, Timed
from bncli.storage.statistics import FORMAT, Facts


@dataclass(frozen=True, slots=True)
class InputChannel:
    """One channel over all pixels and pictures, in value scale; std is divided by the count."""

    mean: float
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class StatisticsReport:
    """What a stats.npz says.

    Attributes:
        facts: what it says of itself.
        channels: one for each.
        dead_pixels: pixels whose variance is exactly 0.
        digests: pictures of different bytes; where fewer than the count, some are equal.
    """

    facts: Facts
    channels: tuple[InputChannel, ...]
    dead_pixels: int
    digests: int

    @property
    def normalize_call(self) -> str:
        """What goes into the pipeline of torchvision's transforms."""
        mean, std = (
            ", ".join(f"{getattr(channel, name):.6g}" for channel in self.channels)
            for name in ("mean", "std")
        )
        return f"Normalize(mean=[{mean}], std=[{std}])"

    def document(self) -> dict[str, Any]:
        """The part of a JSON document that is about the statistics."""
        facts = self.facts
        return {
            "format": FORMAT,
            "written_by": facts.bncli,
            "images": {
                "count": facts.count,
                "shape": list(facts.shape),
                "dtype": facts.dtype,
                "value_scale": facts.unit,
                "channel_order": facts.channel_order,
                "orientation": facts.orientation,
                "mode": facts.mode,
                "alpha": facts.alpha,
                "resize": None if facts.resize is None else list(facts.resize),
                "digests": self.digests,
            },
            "layer": {"eps": facts.eps, "gamma": facts.gamma, "beta": facts.beta},
            "ddof": facts.ddof,
            "running": None if facts.running is None else asdict(facts.running),
            "dead_pixels": self.dead_pixels,
            "channels": [asdict(channel) for channel in self.channels],
            "mean": [channel.mean for channel in self.channels],
            "std": [channel.std for channel in self.channels],
        }


@dataclass(slots=True)
class FitSummary(Timed):
    """Everything a run of fit reports.

    Attributes:
        report: of what was written, or would be.
        out: the file that was written.
        ignored, excluded: files that were not taken for pictures, or left out by a glob.
        left_out_pages: of the files, that are masks or overviews of others.
        unread: how many of those ignored are of each kind of picture that is not read.
        seed: of random gamma and beta.
        shard: ``I/N``, or None.
        added: pictures of this run, where an old fit was updated fewer than the count.
        faults: pictures that were skipped at the user's wish.
        sha256: of the file; empty where none was written.
        plan: of a dry run, else None.
    """

    report: StatisticsReport
    out: str
    ignored: int
    unread: Mapping[str, int]
    excluded: int
    left_out_pages: int
    seed: int
    shard: str | None
    added: int
    faults: tuple[Fault, ...]
    sha256: str = ""
    plan: PlanFacts | None = None

    @property
    def exit_code(self) -> int:
        """0, or 3 where pictures were skipped."""
        return 3 if self.faults else 0

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        document: dict[str, Any] = {
            "schema": "bncli.fit/1",
            "status": "skipped" if self.faults else "ok",
            "exit_code": self.exit_code,
            **self.report.document(),
            "seed": self.seed,
            "shard": self.shard,
            "added": self.added,
            "ignored_files": self.ignored,
            "unread_files": dict(self.unread),
            "excluded_files": self.excluded,
            "left_out_pages": self.left_out_pages,
            "skipped": [{"source": fault.name, "reason": fault.reason} for fault in self.faults],
            "output": None if not self.sha256 else {"path": self.out, "sha256": self.sha256},
        }
        if self.plan is not None:
            document["plan"] = asdict(self.plan)
        return document


@dataclass(slots=True)
class MergeSummary(Timed):
    """Everything a run of merge reports.

    Attributes:
        report: of what was written.
        out: the file that was written.
        merged: the files that were read.
        twins: pictures with the bytes of one in another file, under another name.
        sha256: of the file.
    """

    report: StatisticsReport
    out: str
    merged: tuple[str, ...]
    twins: int
    sha256: str = ""

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "schema": "bncli.merge/1",
            "status": "ok",
            "exit_code": 0,
            **self.report.document(),
            "merged": list(self.merged),
            "equal_pictures": self.twins,
            "output": {"path": self.out, "sha256": self.sha256},
        }


def inspect_statistics(path: str | Path) -> StatisticsReport:
    """Read a stats.npz and say what is in it: ``bncli inspect`` as a function.

    Raises:
        DataError: it is no such file, damaged, or holds what no pictures can have.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from bncli import fit_folder
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     _ = fit_folder(f"{folder}/batch.npy", f"{folder}/stats.npz")
        ...     report = inspect_statistics(f"{folder}/stats.npz")
        >>> print(report.facts.count, report.channels[0].mean)
        3 3.0
    """
    with Pool(allowed_cores(), thread_name_prefix="bncli") as executor:
        return report_on(load_fitted(Path(path)), executor)


def report_on(fitted: Fitted, executor: Executor) -> StatisticsReport:
    """What a stats.npz of that content says.

    Raises:
        NonFiniteError: the pictures' numbers are too large for a standard deviation.
    """
    facts, moments = fitted.facts, fitted.moments
    _, found = fitted.transform_by(moments, executor)
    if not np.isfinite([[c.mean, c.std] for c in found.channels]).all():
        raise NonFiniteError("the values are too large: their spread overflows; rescale them")
    channels = facts.shape[2]
    ends = [
        (float(moments.minimum[k::channels].min()), float(moments.maximum[k::channels].max()))
        for k in range(channels)
    ]
    return StatisticsReport(
        facts=facts,
        channels=tuple(
            InputChannel(channel.mean, channel.std, low / facts.unit, high / facts.unit)
            for channel, (low, high) in zip(found.channels, ends, strict=True)
        ),
        dead_pixels=found.dead,
        digests=fitted.pictures.different(),
    )
