"""What normalize adds to a gallery: the facts of its job, and the gradients of gamma and beta."""

from __future__ import annotations

from bncli.images.levels import Scale
from bncli.pipeline.collect import Batch
from bncli.pipeline.gallery import Gallery, Subject
from bncli.pipeline.gradient import Gradient
from bncli.pipeline.planes import Planes, Survey, black_and_white
from bncli.pipeline.prepare import Job


def gallery_of(job: Job, batch: Batch, planes: Planes, found: Survey) -> Gallery:
    """The gallery of a run, before its second pass."""
    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    source, output = job.source, job.request.output
    y_range = black_and_white(Scale("minmax"), found)
    ends: tuple[float, float] | None = y_range
    if output.picture_format == "png":
        ends = None if output.scale.kind == "image" else black_and_white(output.scale, found)
    subject = Subject(
        names=[source.names[index] for index in batch.indexes],
        shape=source.shape,
        dtype=source.dtype,
        planes=planes,
        y_range=y_range,
        black_white=ends,
        alpha_last=source.policy.alpha == "normalize" and source.shape[2] in {2, 4},
    )
    return Gallery(subject, batch.moments)


def stage_drawings(job: Job, gallery: Gallery, gradient: Gradient | None) -> None:
    """Draw and stage what is wanted of a run whose summary is complete."""
    if gradient is not None:
        gallery.add_gradient("grad_gamma", gradient.grad_gamma)
        gallery.add_gradient("grad_beta", gradient.grad_beta)
    job.showing.stage(gallery, job.summary.document())
