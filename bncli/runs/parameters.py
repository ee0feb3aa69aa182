"""Gamma, beta, delta and the state of the descent: from what the user said to rasters."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.draws import uniform
from bncli.errors import ArrayError, OptionError
from bncli.images.layout import Shape, to_array, to_raster
from bncli.number import parse_number
from bncli.runs.asked import Layer, Step
from bncli.storage.arrays import load_array, open_rows
from bncli.storage.members import load_members

Raster = NDArray[Any]

_FLOAT = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Gamma or beta.

    Attributes:
        values: (pixels,), float64.
        origin: ``1.0``, ``random`` or a file name: where they come from.
        number: the one number they all are, or None.
    """

    values: Raster
    origin: str
    number: float | None = None

    @property
    def random(self) -> bool:
        """Whether they were drawn from the seed, so that the run writes them down."""
        return self.origin == "random"


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

    def members(self, shape: Shape) -> dict[str, NDArray[Any]]:
        """The arrays of a state.npz."""
        return {
            "velocity_gamma": to_array(self.velocity_gamma, shape),
            "velocity_beta": to_array(self.velocity_beta, shape),
            "rate_factor": np.array(self.rate_factor),
        }


def load_parameter(name: str, request: Layer, shape: Shape) -> Parameter:
    """Gamma or beta as the user asked for it.

    Raises:
        OptionError: it is neither a number nor ``random`` nor the name of a .npy file.
        DataError: the file cannot be used.
    """
    text = request.gamma if name == "gamma" else request.beta
    number = parse_number(text)
    if number is not None:
        if not math.isfinite(number):
            raise OptionError(f"--{name} is {text}; give a finite number")
        values = np.broadcast_to(np.float64(number), math.prod(shape))  # takes no memory
        return Parameter(values, repr(number), number)
    if text == "random":
        return Parameter(to_raster(uniform(name, shape, request.seed)), text)
    path = _array_path(name, text, "a number, random, or FILE.npy")
    return Parameter(to_raster(load_array(path, shape, "(w, h, c)"), _FLOAT), path.name)


def delta_rows(request: Step, seed: int, count: int, shape: Shape) -> Callable[[int], Raster]:
    """A function that gives the delta of one picture, (pixels,), float64.

    Raises:
        OptionError: it is neither ``ones`` nor ``random`` nor the name of a .npy file.
        DataError: the file cannot be used.
    """
    if request.delta == "ones":
        ones = np.ones(math.prod(shape))
        return lambda _: ones
    if request.delta == "random":
        return lambda index: to_raster(uniform("delta", shape, seed, index))
    path = _array_path("delta", request.delta, "ones, random, or FILE.npy")
    rows = open_rows(path, (count, *shape), "(batch, w, h, c)")
    return lambda index: to_raster(rows.row(index), _FLOAT)


def _array_path(name: str, text: str, choices: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".npy" or not os.path.lexists(path):
        missing = "there is no such file; " if path.suffix.lower() == ".npy" else ""
        raise OptionError(f"--{name} {text}: {missing}give {choices}")
    return path
