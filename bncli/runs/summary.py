"""What a run reports: plain data, the document of ``--json`` and of summary.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from bncli.batchnorm.inverse import Restored
from bncli.batchnorm.transform import Channel
from bncli.images.batch import Fault
from bncli.images.layout import Shape
from bncli.packed import Lazily, Packed
from bncli.storage.output import RunFolder


@dataclass(frozen=True, slots=True)
class Output:
    """One picture of the batch: where it came from and where it went."""

    index: int
    source: str
    source_sha256: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Outputs(Packed[Output]):
    """The outputs of a run, each made when it is asked for: there may be very many.

    Attributes:
        names: of the pictures.
        digests: of the pictures, in bytes.
        paths: where they went; one for all of them in one array.
        digest_of: from such a path to the digest of the file, hexadecimal.
    """

    names: Sequence[str]
    digests: Sequence[bytes]
    paths: Sequence[str]
    digest_of: Callable[[str], str]

    def __len__(self) -> int:
        return len(self.names)

    def _at(self, index: int) -> Output:
        path = self.paths[index % len(self.paths)]
        digest = self.digests[index].hex()
        return Output(index, self.names[index], digest, path, self.digest_of(path))


@dataclass(frozen=True, slots=True)
class Scaling:
    """How y became pixel values; low and high are None where each picture has its own range."""

    kind: str
    format: str
    depth: int | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What a run will use: threads, bytes of memory at the peak, bytes of disk.

    Attributes:
        disk_free_bytes: where OUT is or would be, or None where the system does not say.
        whole_files: files that a run that goes on need not write, or None where none goes on.
    """

    jobs: int
    memory_bytes: int
    disk_bytes: int
    decodes_each_file: int
    whole_files: int | None = None
    disk_free_bytes: int | None = None


@dataclass(slots=True, kw_only=True)
class Timed:
    """A report of something that took a while.

    Attributes:
        seconds: that it took; not part of the document.
    """

    seconds: float = 0.0


@dataclass(slots=True)
class Summary(Timed):
    """What every run over pictures reports.

    Attributes:
        version: of bncli.
        count, shape, dtype: of the batch; shape is (w, h, c).
        ignored, excluded: files that were not taken for pictures, or left out by a glob.
        left_out_pages: of the files, that are masks or overviews of others.
        unread: how many of those ignored are of each kind of picture that is not read.
        alpha: what is made of alpha channels.
        with_alpha: how many pictures have one.
        metadata: how many pictures have metadata of each kind.
        metadata_kept: whether it is copied to the results.
        faults: pictures that were skipped at the user's wish.
        outputs: one for each picture.
        arrays: name of each array written -> SHA-256 of the file.
        run: what decides the bytes of the files, by name.
        kept: files that an earlier run had left whole; not part of the document.
        plan: of a dry run, else None: a run leaves the same summary whatever it used.
    """

    version: str
    count: int
    shape: Shape
    dtype: str
    ignored: int
    unread: Mapping[str, int]
    excluded: int
    left_out_pages: int
    alpha: str
    with_alpha: int
    metadata: Mapping[str, int]
    metadata_kept: bool
    faults: tuple[Fault, ...] = ()
    outputs: Sequence[Output] = ()
    arrays: dict[str, str] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    kept: int = 0
    plan: PlanFacts | None = None

    schema: ClassVar[str]

    @property
    def exit_code(self) -> int:
        """0, or 3 where pictures were skipped."""
        return 3 if self.faults else 0

    def own_facts(self) -> dict[str, Any]:
        """What other commands do not report."""
        return {}

    def finish(
        self, names: Sequence[str], digests: Sequence[bytes], paths: Sequence[str], files: RunFolder
    ) -> None:
        """Take in what was written.

        Args:
            names, digests: of the pictures of the batch.
            paths: of their files, or of the one array.
            files: the folder that they are in.
        """
        self.count = len(names)
        self.outputs = Outputs(names, digests, paths, files.digest)
        self.arrays = {name: files.digest(name) for name in sorted(files.array_names())}
        self.kept = files.kept_count

    def document(self, rows: Callable[[Sequence[Any]], Any] = list) -> dict[str, Any]:
        """The JSON document.

        Args:
            rows: makes what stands for the outputs, of which there may be a million: ``iter`` for
                those who take one at a time.
        """
        document: dict[str, Any] = {
            "schema": self.schema,
            "status": "skipped" if self.faults else "ok",
            "exit_code": self.exit_code,
            "version": self.version,
            "images": {
                "count": self.count,
                "shape": list(self.shape),
                "dtype": self.dtype,
                "order": "natural",
                "alpha": self.alpha,
                "with_alpha": self.with_alpha,
                "ignored_files": self.ignored,
                "unread_files": dict(self.unread),
                "excluded_files": self.excluded,
                "left_out_pages": self.left_out_pages,
                "metadata": {
                    "kept": self.metadata_kept,
                    **{kind.lower(): count for kind, count in self.metadata.items()},
                },
            },
            **self.own_facts(),
            "skipped": [{"source": fault.name, "reason": fault.reason} for fault in self.faults],
            "outputs": rows(Lazily(lambda index: asdict(self.outputs[index]), len(self.outputs))),
            "arrays": [{"path": path, "sha256": sha} for path, sha in self.arrays.items()],
            "run": dict(self.run),
        }
        if self.plan is not None:
            document["plan"] = asdict(self.plan)
        return document


@dataclass(slots=True)
class RunSummary(Summary):
    """Everything a run of normalize reports.

    Attributes:
        eps, gamma, beta, seed: of the layer; gamma and beta say where they come from.
        dead_pixels: pixels whose variance is exactly 0.
        clipped: values that were clipped, for each channel.
        channels: input statistics and range of y.
        scaling: how y became pixel values.
        gradients: name -> Euclidean norm.
        update: the settings of the step, or None.
    """

    schema: ClassVar[str] = "bncli.normalize/1"

    eps: float = 0.0
    gamma: str = ""
    beta: str = ""
    seed: int = 0
    dead_pixels: int = 0
    clipped: tuple[int, ...] = ()
    channels: list[Channel] = field(default_factory=list)
    scaling: Scaling | None = None
    gradients: dict[str, float] = field(default_factory=dict)
    update: Mapping[str, float] | None = None

    def adopt(self, document: Mapping[str, Any]) -> bool:
        """Take what the second pass found from the document of the same run, if it is sound."""
        try:
            clipped = tuple(int(channel["clipped_values"]) for channel in document["channels"])
            scaling = Scaling(**document["scale"])
            gradients = {name: float(g["norm"]) for name, g in document["gradients"].items()}
            update = document["update"]
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        self.clipped, self.scaling = clipped, scaling
        self.gradients, self.update = gradients, update
        return len(clipped) == len(self.channels)

    def own_facts(self) -> dict[str, Any]:
        """What other commands do not report."""
        return {
            "layer": {
                "eps": self.eps,
                "gamma": self.gamma,
                "beta": self.beta,
                "seed": self.seed,
            },
            "dead_pixels": self.dead_pixels,
            "clipped_values": sum(self.clipped),
            "channels": [
                {**asdict(channel), "clipped_values": clipped}
                for channel, clipped in zip(self.channels, self.clipped, strict=True)
            ],
            "scale": None if self.scaling is None else asdict(self.scaling),
            "gradients": {name: {"norm": norm} for name, norm in self.gradients.items()},
            "update": None if self.update is None else dict(self.update),
        }


@dataclass(slots=True)
class ApplySummary(RunSummary):
    """Everything a run of apply reports; its channels are of the statistics.

    Attributes:
        statistics: the stats.npz.
        statistics_sha256: of its bytes.
        fitted: how many pictures it is of.
    """

    schema: ClassVar[str] = "bncli.apply/1"

    statistics: str = ""
    statistics_sha256: str = ""
    fitted: int = 0

    def own_facts(self) -> dict[str, Any]:
        """What other commands do not report."""
        facts = RunSummary.own_facts(self)
        for name in ("gradients", "update"):
            del facts[name]
        del facts["layer"]["seed"]
        facts["statistics"] = {
            "path": self.statistics,
            "sha256": self.statistics_sha256,
            "count": self.fitted,
        }
        return facts


@dataclass(slots=True)
class InvertSummary(Summary):
    """Everything a run of invert reports; its dtype is that of the restored values.

    Attributes:
        scale: how y had become the numbers of the files, in words.
        statistics, statistics_sha256: the stats.npz and the SHA-256 of its bytes.
        restored: by how much the values can be off.
    """

    schema: ClassVar[str] = "bncli.invert/1"

    scale: str = ""
    statistics: str = ""
    statistics_sha256: str = ""
    restored: Restored = field(default_factory=Restored)

    @property
    def exact(self) -> bool:
        """Whether every value is certainly the one it was."""
        return not self.doubts()

    def doubts(self) -> list[str]:
        """Why values may not be what they were, in words."""
        told, values = self.restored, self.count * math.prod(self.shape)
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

    def own_facts(self) -> dict[str, Any]:
        """What other commands do not report."""
        return {
            "statistics": {"path": self.statistics, "sha256": self.statistics_sha256},
            "scale": self.scale,
            "exact": self.exact,
            "largest_error": self.restored.largest_error,
            "inexact_values": self.restored.inexact,
            "saturated_values": self.restored.saturated,
            "foreign_values": self.restored.foreign,
        }
