"""The parameters of a layer: what it is made with, and the names they have in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bncli.checking.protocol import LayerProtocol, is_named

NAMES = {
    "gamma": ("scales", "gamma", "weight", "weights", "scale"),
    "beta": ("bias", "beta", "biases", "shift", "offset"),
    "eps": ("eps", "epsilon", "epsil"),
    "input_shape": ("input_shape", "shape", "in_shape"),
}
"""What is known, by the key of the protocol: keywords of constructors, and attributes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a layer is to be made with: arrays in the layer's own layout, eps None for its own."""

    gamma: Any
    beta: Any
    eps: float | None
    input_shape: tuple[int, ...]


def first_name(key: str, among: Any) -> str:
    """The first known name of a parameter that is *among* some; empty if none is."""
    return next((name for name in NAMES[key] if name in among), "")


def attribute_of(layer: Any, key: str, said: str = "") -> str:
    """The attribute that is a parameter, by the name said or one that is known; empty if none."""
    return next((n for n in (said, *NAMES[key]) if n and hasattr(layer, n)), "")


def set_attributes(layer: Any, protocol: LayerProtocol, wanted: Wanted, done: set[str]) -> None:
    """Set what has not been *done* by keywords."""
    for key in ("gamma", "beta", "eps"):
        said, value = getattr(protocol, key), getattr(wanted, key)
        if said in done or value is None or said == "none":
            continue
        name = next((n for n in ((said,) if said else NAMES[key]) if hasattr(layer, n)), "")
        if name:
            setattr(layer, name, value)


def has_parameters(layer: Any, protocol: LayerProtocol) -> bool:
    """Whether a layer takes gamma and beta."""
    return is_named(protocol.gamma) or bool(attribute_of(layer, "gamma"))


def own_eps(layer: Any) -> float | None:
    """The eps that a layer says it uses."""
    for name in NAMES["eps"]:
        value = getattr(layer, name, None)
        if isinstance(value, float | int | np.floating) and value > 0:
            return float(value)
    return None
