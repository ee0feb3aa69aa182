"""What a run of invert reports: plain data, the document of ``--json`` and of summary.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bncli.batchnorm.inverse import Restored
from bncli.images.layout import Shape
from bncli.runs.summary import Output, PlanFacts


@dataclass(slots=True)
class InvertSummary:
    """Everything a run of invert reports.

    Attributes:
        version: of bncli.
        count, shape: of the pictures; shape is (w, h, c).
        dtype: of the restored values.
        scale: how y had become the numbers of the files, in words.
        statistics, statistics_sha256: the stats.npz and the SHA-256 of its bytes.
        restored: by how much the values can be off.
        outputs: one for each picture.
        arrays: name of each array written -> SHA-256 of the file.
        plan: of a dry run, else None.
        seconds: the whole run took; not part of the document.
    """

    version: str
    count: int
    shape: Shape
    dtype: str
    scale: str
    statistics: str
    statistics_sha256: str
    restored: Restored = field(default_factory=Restored)
    outputs: Sequence[Output] = ()
    arrays: dict[str, str] = field(default_factory=dict)
    plan: PlanFacts | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0: what is in doubt is told."""
        return 0

    @property
    def values(self) -> int:
        """How many values there are."""
        return self.count * self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def exact(self) -> bool:
        """Whether every value is certainly the one it was."""
        return not self.doubts()

    def doubts(self) -> list[str]:
        """Why values may not be what they were, in words."""
        told, values = self.restored, self.values
        by = f"{told.largest_error:g}"
        if np.dtype(self.dtype).kind == "f":
            by = f"{told.largest_error:.3g}"
        other = "the pictures were changed since, or normalized with other statistics"
        counts = {
            f"can be off by up to {by}": told.inexact,
            "are black or white and may have been clipped": told.saturated,
            f"can have been no pixel value: {other}": told.foreign,
        }
        return [
            f"{count:,} of {values:,} values {words}" for words, count in counts.items() if count
        ]

    def document(self, rows: Callable[[Iterator[Any]], Any] = list) -> dict[str, Any]:
        """The JSON document; *rows* as of the summary of normalize."""
        document: dict[str, Any] = {
            "schema": "bncli.invert/1",
            "status": "ok",
            "exit_code": 0,
            "version": self.version,
            "images": {"count": self.count, "shape": list(self.shape), "dtype": self.dtype},
            "statistics": {"path": self.statistics, "sha256": self.statistics_sha256},
            "scale": self.scale,
            "exact": self.exact,
            "largest_error": self.restored.largest_error,
            "inexact_values": self.restored.inexact,
            "saturated_values": self.restored.saturated,
            "foreign_values": self.restored.foreign,
            "outputs": rows(asdict(output) for output in self.outputs),
            "arrays": [{"path": path, "sha256": sha} for path, sha in self.arrays.items()],
        }
        if self.plan is not None:
            document["plan"] = asdict(self.plan)
        return document
