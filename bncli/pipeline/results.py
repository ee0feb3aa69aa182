"""The arrays a run leaves beside the pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.kernels import descend
from bncli.errors import NonFiniteError
from bncli.images.layout import to_array
from bncli.pipeline.collect import Batch
from bncli.pipeline.emit import Gradient
from bncli.pipeline.parameters import Descent, Parameter
from bncli.pipeline.prepare import GRAD_BETA, GRAD_GAMMA, STATE, Job
from bncli.storage.arrays import write_array, write_members
from bncli.storage.statistics import write_statistics

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
        files[GRAD_GAMMA] = array(gradient.grad_gamma)
        files[GRAD_BETA] = array(gradient.grad_beta)
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
            job.gamma.values, gradient.grad_gamma, descent.velocity_gamma,
            settings.momentum, settings.decay, rate,
        )  # fmt: skip
        beta, velocity_beta = descend(
            job.beta.values, gradient.grad_beta, descent.velocity_beta,
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
    shape, source = job.source.shape, job.source
    moments = batch.moments
    assert moments is not None  # noqa: S101 - the first pass has just ended
    planes = dict(moments.planes())
    named: dict[str, Parameter] = {"gamma": job.gamma, "beta": job.beta}
    facts: dict[str, Any] = {}
    for name, parameter in named.items():
        if parameter.number is not None:
            facts[name] = parameter.number
        else:
            planes[name] = parameter.values
    facts |= {
        "bncli": job.summary.version,
        "count": moments.count,
        "shape": list(shape),
        "dtype": source.dtype.name,
        "unit": source.unit,
        "eps": job.request.layer.eps,
        "policy": asdict(source.policy),
        "orientation": "upright",
        "channel_order": {1: "L", 3: "RGB", 4: "RGBA"}.get(shape[2], "as given"),
        "inputs": [digest.hex() for digest in batch.digests],
    }
    arrays = {name: to_array(plane, shape) for name, plane in planes.items()}
    return lambda file: write_statistics(file, facts, arrays)
