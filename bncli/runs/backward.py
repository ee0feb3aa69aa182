"""The backward pass of a run, and the step of gradient descent after it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.draws import uniform
from bncli.batchnorm.gradients import GradientSums, InputGradient, square_sum
from bncli.batchnorm.kernels import descend
from bncli.batchnorm.transform import Transform
from bncli.errors import ArrayError, NonFiniteError
from bncli.images.layout import Shape, to_array, to_raster
from bncli.runs.asked import Asked, Step
from bncli.runs.parameters import Layer, array_path
from bncli.runs.reading import DeltaRows
from bncli.runs.source import Source
from bncli.storage.arrays import RowWriter, digest_of_file, open_rows, write_array
from bncli.storage.members import load_members, write_members

Raster = NDArray[Any]
Writer = Callable[[BinaryIO], None]
"""Writes a file that is open for writing."""

GRAD_INPUT, GRAD_GAMMA, GRAD_BETA = "grad_input.npy", "grad_gamma.npy", "grad_beta.npy"
STATE = "state.npz"

_FLOAT = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Descent:
    """What goes on from one step of the descent to the next.

    Attributes:
        velocity_gamma, velocity_beta: (pixels,).
        rate_factor: product of the lr_decay of the steps so far.
    """

    velocity_gamma: Raster
    velocity_beta: Raster
    rate_factor: float

    @classmethod
    def start(cls, pixels: int) -> Descent:
        """Before the first step."""
        return cls(np.zeros(pixels), np.zeros(pixels), 1.0)

    @classmethod
    def load(cls, path: Path, shape: Shape) -> Descent:
        """From the state.npz of an earlier run.

        Raises:
            DataError: it is no such file, or of pictures of another shape.
        """
        members = load_members(
            path, {"velocity_gamma": shape, "velocity_beta": shape, "rate_factor": ()}
        )
        factor = float(members["rate_factor"])
        if factor < 0:
            raise ArrayError(f"{path}: its rate_factor is {factor}; it must be at least 0")
        return cls(
            velocity_gamma=to_raster(members["velocity_gamma"], _FLOAT),
            velocity_beta=to_raster(members["velocity_beta"], _FLOAT),
            rate_factor=factor,
        )

    def write(self, file: BinaryIO, shape: Shape) -> None:
        """Write a state.npz."""
        members = {
            "velocity_gamma": to_array(self.velocity_gamma, shape),
            "velocity_beta": to_array(self.velocity_beta, shape),
            "rate_factor": np.array(self.rate_factor),
        }
        write_members(file, members)

    def facts(self) -> dict[str, Any]:
        """What of it decides the step."""
        velocities = self.velocity_gamma.tobytes() + self.velocity_beta.tobytes()
        return {
            "rate_factor": self.rate_factor,
            "sha256": hashlib.sha256(velocities).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Backward:
    """What a backward pass needs before the first picture is read.

    Attributes:
        step: what the user asked.
        delta: gives the delta of one picture.
        descent: where the descent stands; None without an update.
    """

    step: Step
    delta: DeltaRows
    descent: Descent | None

    def delta_digest(self) -> dict[str, str]:
        """SHA-256 of the file that holds delta, hexadecimal; nothing where it is no file.

        Raises:
            ArrayError: it cannot be read.
        """
        if self.step.delta in {"ones", "random"}:
            return {}
        return {"delta_sha256": digest_of_file(Path(self.step.delta))}


@dataclass(frozen=True, slots=True)
class PictureGradient:
    """The gradient of the input of one picture, and where it goes.

    Attributes:
        delta: gives the delta of one picture.
        of_input: gives the gradient.
        rows: receive the gradients, a picture at a time.
        shape: (w, h, c).
    """

    delta: DeltaRows
    of_input: InputGradient
    rows: RowWriter
    shape: Shape

    def write(self, position: int, x: Raster) -> Raster:
        """Write the gradient of a picture, and give it, (pixels,)."""
        gradient = self.of_input.of(self.delta(position), x)
        self.rows.write(position, to_array(gradient, self.shape))
        return gradient


def load_backward(asked: Asked, source: Source) -> Backward | None:
    """The backward pass that the user asked for, or None.

    Raises:
        OptionError: delta is neither ``ones`` nor ``random`` nor the name of a .npy file.
        DataError: a file cannot be used.
    """
    step = asked.backward
    if step is None:
        return None
    delta, descent = _delta_rows(step, asked.seed, len(source.names), source.shape), None
    if step.update:
        descent = Descent.start(math.prod(source.shape))
        if step.state is not None:
            descent = Descent.load(step.state, source.shape)
    return Backward(step, delta, descent)


def input_gradient(sums: GradientSums, transform: Transform, batch: int) -> InputGradient:
    """What gives the gradient of each picture, once the sums over all are known."""
    grad_gamma, grad_beta = sums.gradients(transform.mean, transform.x_scale)
    return InputGradient(transform, grad_gamma, grad_beta, batch)


def norms(gradient: InputGradient, squares: float) -> dict[str, float]:
    """The Euclidean norm of each gradient.

    Args:
        gradient: with those of gamma and beta.
        squares: sum of the squares of the gradients of all pictures.

    Raises:
        NonFiniteError: one overflows.
    """
    found = {
        "grad_input": squares,
        "grad_gamma": square_sum(gradient.grad_gamma),
        "grad_beta": square_sum(gradient.grad_beta),
    }
    lengths = {name: float(np.sqrt(square)) for name, square in found.items()}
    if not np.isfinite(list(lengths.values())).all():
        raise NonFiniteError("a gradient overflows: delta or gamma is too large; rescale it")
    return lengths


def array_names(layer: Layer, backward: Backward | None) -> list[str]:
    """The arrays that a run leaves beside its pictures and statistics."""
    update = backward is not None and backward.step.update
    wanted = {
        GRAD_INPUT: backward is not None,
        GRAD_GAMMA: backward is not None,
        GRAD_BETA: backward is not None,
        "gamma.npy": layer.gamma.random or update,
        "beta.npy": layer.beta.random or update,
        STATE: update,
    }
    return [name for name, written in wanted.items() if written]


def array_files(
    asked: Asked, shape: Shape, layer: Layer, backward: Backward | None,
    gradient: InputGradient | None,
) -> tuple[dict[str, Writer], dict[str, float] | None]:  # fmt: skip
    """Name -> what writes it, of gamma, beta, their gradients and the state; the step's settings.

    Raises:
        NonFiniteError: the step of the descent overflows.
    """
    dtype = np.dtype(asked.dtype)

    def array(plane: Raster) -> Writer:
        return lambda file: write_array(file, to_array(plane, shape), dtype)

    files: dict[str, Writer] = {}
    gamma, beta, settings = layer.gamma.values, layer.beta.values, None
    if backward is not None and gradient is not None:
        files[GRAD_GAMMA] = array(gradient.grad_gamma)
        files[GRAD_BETA] = array(gradient.grad_beta)
        if backward.descent is not None:
            gamma, beta, after, rate = _stepped(layer, backward.step, backward.descent, gradient)
            files[STATE] = lambda file: after.write(file, shape)
            step = backward.step
            settings = {
                "lr": step.lr,
                "rate": rate,
                "momentum": step.momentum,
                "decay": step.decay,
                "lr_decay": step.lr_decay,
            }
    if layer.gamma.random or settings is not None:
        files["gamma.npy"] = array(gamma)
    if layer.beta.random or settings is not None:
        files["beta.npy"] = array(beta)
    return files, settings


def _stepped(
    layer: Layer, step: Step, descent: Descent, gradient: InputGradient
) -> tuple[Raster, Raster, Descent, float]:
    """Gamma and beta after one step, where the descent stands then, and the rate of the step."""
    rate = step.lr * descent.rate_factor
    with np.errstate(all="ignore"):
        gamma, velocity_gamma = descend(
            layer.gamma.values, gradient.grad_gamma, descent.velocity_gamma,
            step.momentum, step.decay, rate,
        )  # fmt: skip
        beta, velocity_beta = descend(
            layer.beta.values, gradient.grad_beta, descent.velocity_beta,
            step.momentum, step.decay, rate,
        )  # fmt: skip
    if not (np.isfinite(gamma).all() and np.isfinite(beta).all()):
        raise NonFiniteError("the step on gamma and beta overflows; choose a smaller --lr")
    after = Descent(velocity_gamma, velocity_beta, descent.rate_factor * step.lr_decay)
    return gamma, beta, after, rate


def _delta_rows(step: Step, seed: int, count: int, shape: Shape) -> DeltaRows:
    if step.delta == "ones":
        ones = np.ones(math.prod(shape))
        return lambda _: ones
    if step.delta == "random":
        return lambda index: to_raster(uniform("delta", shape, seed, index))
    path = array_path("delta", step.delta, "ones, random, or FILE.npy")
    rows = open_rows(path, (count, *shape), "(batch, w, h, c)")
    return lambda index: to_raster(rows.row(index), _FLOAT)
