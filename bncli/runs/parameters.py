"""The layer of a run: from what the user said of gamma, beta and eps to rasters."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.draws import uniform
from bncli.errors import OptionError
from bncli.images.layout import Shape, to_raster
from bncli.runs.asked import Asked
from bncli.storage.arrays import load_array
from bncli.text import parse_number

Raster = NDArray[Any]


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

    @property
    def saved(self) -> float | str:
        """What statistics say of it: the number, ``random``, or ``array``."""
        if self.number is not None:
            return self.number
        return "random" if self.random else "array"


@dataclass(frozen=True, slots=True)
class Layer:
    """Gamma, beta, and eps, which is added to the variance."""

    gamma: Parameter
    beta: Parameter
    eps: float


def load_layer(asked: Asked, shape: Shape) -> Layer:
    """The layer that the user asked for, for pictures of *shape*.

    Raises:
        OptionError: gamma or beta is neither a number nor ``random`` nor the name of a .npy file.
        DataError: the file cannot be used.
    """
    gamma, beta = (
        _parameter(name, text, asked.seed, shape)
        for name, text in (("gamma", asked.gamma), ("beta", asked.beta))
    )
    return Layer(gamma, beta, asked.eps)


def array_path(name: str, text: str, choices: str) -> Path:
    """The .npy file that an option names.

    Raises:
        OptionError: it names none, or one that is not there.
    """
    path = Path(text)
    if path.suffix.lower() != ".npy" or not os.path.lexists(path):
        missing = "there is no such file; " if path.suffix.lower() == ".npy" else ""
        raise OptionError(f"--{name} {text}: {missing}give {choices}")
    return path


def _parameter(name: str, text: str, seed: int, shape: Shape) -> Parameter:
    number = parse_number(text)
    if number is not None:
        if not math.isfinite(number):
            raise OptionError(f"--{name} is {text}; give a finite number")
        values = np.broadcast_to(np.float64(number), math.prod(shape))  # takes no memory
        return Parameter(values, repr(number), number)
    if text == "random":
        return Parameter(to_raster(uniform(name, shape, seed)), text)
    path = array_path(name, text, "a number, random, or FILE.npy")
    values = to_raster(load_array(path, shape, "(w, h, c)"), np.dtype(np.float64))
    return Parameter(values, path.name)
