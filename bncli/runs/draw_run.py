"""What a run adds to a gallery: the facts of its job, and the gradients of gamma and beta."""

from __future__ import annotations

from collections.abc import Sequence

from bncli.batchnorm.levels import Scale, black_and_white
from bncli.batchnorm.moments import PixelStatistics
from bncli.batchnorm.transform import Survey, Transform
from bncli.drawing.gallery import Gallery, Subject
from bncli.runs.emitters import EmitJob
from bncli.runs.gradient import Gradient
from bncli.runs.prepare import Job


def gallery_of(
    job: EmitJob, names: Sequence[str], planes: Transform, found: Survey, moments: PixelStatistics
) -> Gallery:
    """The gallery of a run, before its pictures are written.

    Args:
        job: the run.
        names: of the pictures, by position.
        planes, found, moments: of the statistics they are normalized with.
    """
    source, output = job.source, job.request.output
    y_range = black_and_white(Scale("minmax"), found)
    ends: tuple[float, float] | None = y_range
    if output.picture_format == "png":
        ends = None if output.scale.kind == "image" else black_and_white(output.scale, found)
    subject = Subject(
        names=names,
        shape=source.shape,
        dtype=source.dtype,
        transform=planes,
        y_range=y_range,
        black_white=ends,
        alpha_last=source.policy.alpha == "normalize" and source.shape[2] in {2, 4},
    )
    return Gallery(subject, moments)


def stage_drawings(job: Job, gallery: Gallery, gradient: Gradient | None) -> None:
    """Draw and stage what is wanted of a run whose summary is complete."""
    if gradient is not None:
        gallery.add_gradient("grad_gamma", gradient.input.grad_gamma)
        gallery.add_gradient("grad_beta", gradient.input.grad_beta)
    job.showing.stage(gallery, job.summary.document())
