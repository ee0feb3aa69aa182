"""The arrays a run leaves beside the pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.kernels import descend
from bncli.errors import NonFiniteError
from bncli.images.layout import to_array
from bncli.runs.fitted import fitted_batch, source_facts
from bncli.runs.gradient import Gradient
from bncli.runs.parameters import Descent
from bncli.runs.prepare import GRAD_BETA, GRAD_GAMMA, STATE, Job
from bncli.runs.reading import Batch
from bncli.storage.arrays import write_array
from bncli.storage.members import write_members

Writer = Callable[[BinaryIO], None]
"""Writes a file that is open for writing."""


def result_files(job: Job, gradient: Gradient | None) -> dict[str, Writer]:
    """Name -> what writes it, of gamma, beta, their gradients and the state.

    Raises:
        NonFiniteError: the step of the descent overflows.
    """
    shape, dtype = job.source.shape, np.dtype(job.request.output.dtype)

    def array(plane: NDArray[Any]) -> Writer:
        return lambda file: write_array(file, to_array(plane, shape), dtype)

    files: dict[str, Writer] = {}
    parameters = {"gamma": job.gamma.values, "beta": job.beta.values}
    written = {"gamma": job.gamma.random, "beta": job.beta.random}
    if gradient is not None:
        files[GRAD_GAMMA] = array(gradient.input.grad_gamma)
        files[GRAD_BETA] = array(gradient.input.grad_beta)
        if job.descent is not None:
            parameters, descent = _stepped(job, job.descent, gradient)
            members = descent.members(shape)
            files[STATE] = lambda file: write_members(file, members)
            written = {"gamma": True, "beta": True}
    files |= {f"{name}.npy": array(parameters[name]) for name in parameters if written[name]}
    return files


def _stepped(
    job: Job, descent: Descent, gradient: Gradient
) -> tuple[dict[str, NDArray[Any]], Descent]:
    """Gamma and beta after one step, and where the descent stands then."""
    settings = job.request.backward
    assert settings is not None  # noqa: S101 - there is a descent
    rate = settings.lr * descent.rate_factor
    with np.errstate(all="ignore"):
        gamma, velocity_gamma = descend(
            job.gamma.values, gradient.input.grad_gamma, descent.velocity_gamma,
            settings.momentum, settings.decay, rate,
        )  # fmt: skip
        beta, velocity_beta = descend(
            job.beta.values, gradient.input.grad_beta, descent.velocity_beta,
            settings.momentum, settings.decay, rate,
        )  # fmt: skip
    if not (np.isfinite(gamma).all() and np.isfinite(beta).all()):
        raise NonFiniteError("the step on gamma and beta overflows; choose a smaller --lr")
    job.summary.update = {
        "lr": settings.lr,
        "rate": rate,
        "momentum": settings.momentum,
        "decay": settings.decay,
        "lr_decay": settings.lr_decay,
    }
    factor = descent.rate_factor * settings.lr_decay
    return {"gamma": gamma, "beta": beta}, Descent(velocity_gamma, velocity_beta, factor)


def statistics_file(job: Job, batch: Batch) -> Writer:
    """stats.npz: what the batch was normalized with, gamma and beta of this run's forward."""
    facts = source_facts(job.source, job.gamma, job.beta, job.request.layer.eps)
    return fitted_batch(job.source, batch, facts, job.gamma, job.beta).write
