"""The main job: a folder of pictures normalized, with the backward pass if there is a delta."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from pathlib import Path
from typing import Unpack

import numpy as np

from bncli.batchnorm.gradients import InputGradient
from bncli.batchnorm.transform import Transform
from bncli.machine import give_back_memory
from bncli.packed import Joined
from bncli.runs.asked import ask, local_path
from bncli.runs.backward import (
    GRAD_INPUT,
    Backward,
    PictureGradient,
    array_files,
    array_names,
    input_gradient,
    load_backward,
    norms,
)
from bncli.runs.changes import applying, check_finite, gallery_of
from bncli.runs.fitted import STATS, fit_batch, source_facts
from bncli.runs.identity import key_of, survey_digest
from bncli.runs.options import NormalizeOptions
from bncli.runs.parameters import Layer, load_layer
from bncli.runs.plan import normalize_needs, normalized_dtype
from bncli.runs.reading import Batch, read_all
from bncli.runs.run import NORMALIZED, Progress, Run, Tell, no_progress, opened
from bncli.runs.summary import RunSummary
from bncli.runs.writing import write_all
from bncli.storage.journal import Inputs
from bncli.storage.output import RunFolder


def normalize_folder(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Tell | None = None,
    warn: Tell | None = None,
    **options: Unpack[NormalizeOptions],
) -> RunSummary:
    """Normalize a batch of pictures: ``bncli normalize`` as a function.

    Args:
        sources: folders, files, globs, or one .npy batch.
        out: the output folder.
        progress: is told of every picture that has passed a stage.
        tell: is told, in words, what was decided before it is done.
        warn: is told, in words, what the user should know.
        **options: those of the command, by the same names, with underscores.

    Returns:
        What was done; its ``exit_code`` is 3 where pictures were skipped.

    Raises:
        BncliError: nothing was written, and what was there before is as it was.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     summary = normalize_folder(f"{folder}/batch.npy", f"{folder}/out", format="npy")
        ...     y = np.load(f"{folder}/out/normalized.npy")
        >>> print(summary.count, summary.channels[0].mean, y.ravel().round(4))
        3 3.0 [-0.9258 -0.4629  1.3887]
    """
    asked = ask(NormalizeOptions, sources, local_path(out, "folder"), options)
    with opened(asked, progress, tell, warn) as run:
        run.check_several(range(len(run.source.names)))
        layer, backward = load_layer(asked, run.source.shape), load_backward(asked, run.source)
        run.settle_plan(normalize_needs(asked, run.source))
        others = [*array_names(layer, backward), STATS]
        key = key_of("normalize", NormalizeOptions, run, layer, backward)
        run.settle_names(NORMALIZED, others, key)
        run.summary = summary = RunSummary(
            **run.facts(),
            eps=layer.eps,
            gamma=layer.gamma.origin,
            beta=layer.beta.origin,
            seed=asked.seed,
        )
        _normalize(run, summary, layer, backward)
    return summary


def _normalize(run: Run, summary: RunSummary, layer: Layer, backward: Backward | None) -> None:
    threads, source = run.engine.threads, run.source
    digest = threads.submit(dict if backward is None else backward.delta_digest)
    batch = read_all(run, None if backward is None else backward.delta)
    give_back_memory()
    fitted = fit_batch(source, batch, layer, source_facts(source, layer))
    transform, found = fitted.transform(threads)
    check_finite(found)
    names = run.names(batch.indexes)
    summary.count, summary.faults = len(names), (*source.faults, *batch.faults)
    inputs = Inputs(names, batch.digests)
    run.begin(summary, inputs, decoded=survey_digest(found), **digest.result())
    if run.asked.dry_run:
        return
    summary.channels, summary.dead_pixels = found.channels, found.dead
    gallery = gallery_of(run, names, transform, found, fitted.moments)
    with run.writing() as files:
        if gallery is not None or not _finished(run, files, batch, summary, layer, backward):
            statistics = threads.submit(files.write_with, STATS, fitted.write)
            del fitted
            batch.moments = None  # the file is the last that needs them
            with ExitStack() as open_arrays:
                open_arrays.callback(wait, [statistics])  # before the folder is left, come what may
                change, summary.scaling = applying(run, transform, found, others=False)
                gradient, each = _gradients(run, files, batch, transform, backward, open_arrays)
                # For large pictures it is most of the memory: only who needs it keeps it.
                del transform
                done = write_all(
                    run, files, batch, change, normalized_dtype(run.asked, source.dtype),
                    gradient=each, observer=gallery,
                )  # fmt: skip
            statistics.result()
            summary.clipped = done.note.counts
            _write_arrays(run, files, summary, layer, backward, gradient, done.squares)
            if gallery is not None and gradient is not None:
                gallery.add_gradient("grad_gamma", gradient.grad_gamma)
                gallery.add_gradient("grad_beta", gradient.grad_beta)
        summary.finish(names, batch.digests, run.paths(batch.indexes), files)
        run.commit(files, summary, gallery)


def _finished(
    run: Run, files: RunFolder, batch: Batch, summary: RunSummary, layer: Layer,
    backward: Backward | None,
) -> bool:  # fmt: skip
    """Whether the same run is whole already; then the summary says what it found."""
    names = Joined(run.paths(batch.indexes), [*array_names(layer, backward), STATS])
    document = files.finished(names)
    return document is not None and summary.adopt(document)


def _gradients(
    run: Run, files: RunFolder, batch: Batch, transform: Transform, backward: Backward | None,
    open_arrays: ExitStack,
) -> tuple[InputGradient | None, PictureGradient | None]:  # fmt: skip
    """The gradients of a batch, and what writes that of each picture."""
    if backward is None or batch.sums is None:
        return None, None
    count, shape = len(batch.indexes), run.source.shape
    rows = open_arrays.enter_context(
        files.array(GRAD_INPUT, (count, *shape), np.dtype(run.asked.dtype))
    )
    gradient = input_gradient(batch.sums, transform, count)
    batch.sums = None
    return gradient, PictureGradient(backward.delta, gradient, rows, shape)


def _write_arrays(
    run: Run, files: RunFolder, summary: RunSummary, layer: Layer, backward: Backward | None,
    gradient: InputGradient | None, squares: float,
) -> None:  # fmt: skip
    if gradient is not None:
        summary.gradients = norms(gradient, squares)
    arrays, summary.update = array_files(run.asked, run.source.shape, layer, backward, gradient)
    for name, writer in arrays.items():
        files.write_with(name, writer)
