"""The life of a run: opened, checked, planned, told and committed, for every command alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bncli.engines.work import Engine
from bncli.errors import SinglePictureError
from bncli.images.batch import Fault
from bncli.images.folder import Found
from bncli.images.formats import FORMATS, Format, check_writable, picture_names
from bncli.images.pillow import pillow_unlimited
from bncli.packed import Joined, Picked
from bncli.runs.asked import Asked
from bncli.runs.drawn import Drawn
from bncli.runs.engine import open_engine
from bncli.runs.plan import Needs, Plan, limits_of, plan_for
from bncli.runs.source import Source, open_source, refuse
from bncli.runs.summary import PlanFacts, Summary, Timed
from bncli.storage.apart import check_apart, check_file_apart, check_not_read
from bncli.storage.disk import check_room, free_bytes
from bncli.storage.journal import Inputs
from bncli.storage.output import RunFolder
from bncli.storage.placing import undo_killed
from bncli.version import __version__

if TYPE_CHECKING:  # most runs draw nothing
    from bncli.drawing.gallery import Gallery

_LISTED = 20
"""Faults that are told beside the one picture that is left."""

NORMALIZED, RESTORED = "normalized.npy", "restored.npy"

Tell = Callable[[str], None]
"""Is told a line, in words."""

Progress = Callable[[str, int, int], None]
"""Is told a stage, and how many of how many pictures are through it."""


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Run:
    """One run of normalize, fit, apply or invert.

    Attributes:
        asked: what the user asked.
        engine: where pictures are read and written.
        source, found: the pictures, and the search that found them.
        progress, tell: are told how it goes.
        plan: how the machine is used; made by :meth:`settle_plan`.
        pictures: the file that each picture is written to; none for one array.
        array: the array that all pictures are written to; none where each has its file.
        folder, drawn: where results and drawings go; made by :meth:`settle_names`.
        summary: what the run reports, whose seconds are told at the end.
    """

    asked: Asked
    engine: Engine
    source: Source
    found: Found
    progress: Progress
    tell: Tell | None
    plan: Plan = field(init=False)
    pictures: Sequence[str] = field(init=False)
    array: Sequence[str] = field(init=False)
    folder: RunFolder = field(init=False)
    drawn: Drawn = field(init=False)
    summary: Timed | None = None

    @property
    def format(self) -> Format:
        """Of the results."""
        return FORMATS[self.asked.format]

    @property
    def read(self) -> Sequence[str]:
        """The files that are read."""
        others = (self.asked.statistics, self.asked.update_from)
        return Joined(self.source.paths, [str(path) for path in others if path is not None])

    def facts(self) -> dict[str, Any]:
        """What every summary says of a run before it has begun."""
        plan = None
        if self.asked.dry_run:
            made, free = self.plan, free_bytes(self.asked.out)
            plan = PlanFacts(made.jobs, made.memory, made.disk, made.decodes, disk_free_bytes=free)
        return {
            "version": __version__,
            "count": len(self.source.names),
            "shape": self.source.shape,
            "dtype": self.source.dtype.name,
            "ignored": self.found.ignored,
            "unread": self.found.unread,
            "excluded": self.found.excluded,
            "left_out_pages": self.source.left_out_pages,
            "alpha": self.source.policy.alpha,
            "with_alpha": self.source.with_alpha,
            "metadata": self.source.metadata,
            "metadata_kept": self.source.policy.keep_metadata,
            "faults": self.source.faults,
            "plan": plan,
        }

    def check_several(self, indexes: Sequence[int], found: Sequence[Fault] = ()) -> None:
        """Raise SinglePictureError, with the faults, if these pictures are one alone."""
        faults = [*self.source.faults, *found][:_LISTED]
        if len(indexes) == 1:
            name = self.source.names[indexes[0]]
            raise SinglePictureError(
                *map(str, faults),
                f"{name}: it is the only picture, so every output would be beta; give two or more",
                paths=(*(fault.name for fault in faults), name),
            )

    def settle_plan(self, needs: Needs) -> None:
        """Plan memory, disk and workers, and say so.

        Raises:
            LimitError: there is not enough memory.
            OutputError: there is not enough room on the disk.
        """
        self.plan = plan = plan_for(self.source, self.asked, needs)
        if not self.asked.resume:  # what is there already takes no more room
            check_room(self.asked.out, plan.disk_least)
        self.engine.narrow(plan.jobs)
        if self.tell is not None:
            for line in self._decisions():
                self.tell(line)

    def settle_names(
        self, array: str, others: Sequence[str], key: Mapping[str, Any],
        called: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Find that all files of the run can be written.

        Args:
            array: the one array of the results, if they are one.
            others: of the files besides the pictures and that array.
            key: what decides the bytes of the files, as far as it is known.
            called: what the pictures are called, if not as in the source.

        Raises:
            OptionError, OutputError: they cannot.
        """
        asked, source = self.asked, self.source
        check_writable(self.format, source.shape[2], source.alpha_kept)
        self.pictures = picture_names(self.format, called or source.names)
        self.array = [] if self.format.suffix else [array]
        names = Joined(self.pictures, [*self.array, *others])
        check_not_read(asked.out, names, self.read)
        self.folder = RunFolder(
            asked.out, names, overwrite=asked.overwrite, resume=asked.resume, key=key
        )
        self.drawn = Drawn(
            asked.drawing, asked.out, names, overwrite=asked.overwrite, resume=asked.resume
        )
        self.drawn.check_apart(self.found.roots, self.read)

    def begin(self, summary: Summary, inputs: Inputs, **found: Any) -> None:
        """Say the rest of what the run is; of a dry run, how much of it is there already.

        Args:
            summary: of the run.
            inputs: what is read, in order.
            **found: what else decides the bytes of the files, as JSON knows it.

        Raises:
            OutputError: the run that was begun in the folder is another.
        """
        self.folder.begin(inputs, **found)
        if not self.asked.dry_run:
            summary.run = self.folder.key
        elif self.asked.resume and summary.plan is not None:
            summary.plan = replace(summary.plan, whole_files=self.folder.count_whole())

    @contextmanager
    def writing(self) -> Iterator[RunFolder]:
        """The folder of the run, which has begun, open for its files."""
        with self.folder as files, self.drawn:
            yield files

    def commit(self, files: RunFolder, summary: Summary, gallery: Gallery | None) -> None:
        """Draw what is to be drawn of the run, and bring everything to its place.

        Args:
            files: all of the run.
            summary: complete.
            gallery: complete, or None where nothing is to be drawn.
        """
        if gallery is not None:
            self.drawn.stage(gallery, summary.document(lambda outputs: outputs))
        if not files.stands(summary.document(iter)):
            files.commit(summary.document(iter))
        self.drawn.place()

    def names(self, indexes: Sequence[int]) -> Sequence[str]:
        """What these pictures of the source are called."""
        return Picked(self.source.names, indexes)

    def outputs(self, indexes: Sequence[int]) -> Sequence[str]:
        """The files of these pictures of the source; none where they go to one array."""
        return Picked(self.pictures, indexes) if self.pictures else ()

    def paths(self, indexes: Sequence[int]) -> Sequence[str]:
        """The files that hold these pictures: one each, or one array."""
        return self.outputs(indexes) or self.array

    def _decisions(self) -> list[str]:
        names, plan = self.source.names, self.plan
        once = "once, and kept" if plan.cached else "once"
        decoded = once if plan.decodes == 1 else "twice, and not kept"
        memory, limit, disk = (size / 1e6 for size in (plan.memory, plan.limit, plan.disk))
        lines = [
            f"{len(names)} pictures in natural order, from {names[0]} to {names[-1]}",
            f"each is decoded {decoded}; {plan.jobs} {'threads' if plan.jobs > 1 else 'thread'}",
            f"{memory:,.0f} MB of memory of {limit:,.0f} MB allowed; {disk:,.0f} MB of disk",
        ]
        if self.format.packer is not None:
            slow = " (the extra fast is several times as fast)"
            packer = self.format.packer().split()[0]
            lines.append(
                f"{self.asked.format.upper()} is packed by {packer}{slow * (packer == 'zlib')}"
            )
        return lines


@contextmanager
def opened(
    asked: Asked, progress: Progress, tell: Tell | None, warn: Tell | None, *, file: bool = False
) -> Iterator[Run]:
    """A run whose pictures are found, looked at, and apart from what it writes.

    Args:
        asked: what the user asked.
        progress: is told of every picture that has passed a stage.
        tell: is told, in words, what was decided before it is done.
        warn: is told, in words, what the user should know.
        file: whether one file is written, and no folder.

    Raises:
        BncliError: pictures cannot be used.
    """
    began = time.perf_counter()
    with (
        pillow_unlimited(),
        limits_of(asked).told(),
        open_engine(asked.engine, asked.jobs, warn) as engine,
    ):
        source, found = open_source(asked.selection, asked.policy, engine, asked.shard, warn)
        if warn is not None:
            for note in source.notes:
                warn(note)
        run = Run(asked, engine, source, found, progress, tell)
        if file:
            check_file_apart(asked.out, found.roots, run.read)
        else:
            check_apart(asked.out, found.roots, found.parents)
            if not asked.dry_run:
                undo_killed(asked.out)
        if source.faults and not asked.skip:
            refuse(source, engine)
        yield run
        if run.summary is not None:
            run.summary.seconds = time.perf_counter() - began
