"""The parameters of a layer: the arrays within reach whose change changes the output."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bncli.checking.arguments import BETA, GAMMA
from bncli.checking.layouts import Layout, Shape
from bncli.checking.makers import Layer
from bncli.checking.places import Path, as_array, spelled
from bncli.checking.question import Array
from bncli.checking.target import TargetFailure

_STATE = re.compile(
    r".*(running|moving|mean|var|std|avg|average|eps|momentum|batches|decay|cache).*|_?(mu|sigma)\d?"
)
_STEP = 0.5
_Candidate = tuple[Path, tuple[int, ...] | None, bool]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of them.

    Attributes:
        role: ``gamma``, ``beta``, or its own name where there are more.
        path: where it lies.
        axes: those of the layout that it has; None where it has others, as a matrix of weights.
        late: whether it is made by the first forward.
    """

    role: str
    path: Path
    axes: tuple[int, ...] | None
    late: bool = False

    @property
    def is_known(self) -> bool:
        """Whether its name is one of gamma's or beta's, so that it is meant to be learnt."""
        return any(str(step).lower().strip("_") in GAMMA | BETA for step in self.path)


def find_parameters(
    make: Callable[[], Layer], layout: Layout, shape: Shape, x: Array
) -> list[Parameter]:
    """The parameters of a layer.

    Args:
        make: makes it.
        layout: of its arrays.
        shape: of the batch *x*, (batch, w, h, c).
        x: as the layer takes it.

    Raises:
        TargetFailure: it cannot be run.
    """
    layer = make()
    early = {path for path, _ in layer.reach()}
    first = np.array(layer.forward(x.copy()))
    again = np.array(layer.forward(x.copy()))
    if not np.array_equal(first, make().forward(x.copy()), equal_nan=True):
        problem = "forward gives other numbers each time it is asked the same"
        raise TargetFailure(problem, ended=True)
    found: list[Parameter] = []
    for path, axes, scalar in _candidates(layer, layout, shape):
        if scalar and any(p.axes != () for p in found):
            continue  # what it is made with
        late = path not in early
        try:
            change = _effect(make(), path, x, late=late) - (again if late else first)
        except TargetFailure as failure:
            if failure.ended:
                raise
            continue  # nothing that is multiplied and added
        size = float(np.abs(change).max(initial=0.0))
        if np.isfinite(size) and size <= 1e-9 * float(np.abs(first).max(initial=1.0)):
            continue
        if axes is None:
            found.append(Parameter(spelled(path), path, None, late))
            continue
        reduced = tuple(axis for axis in range(first.ndim) if axis not in axes)
        same = float(np.ptp(change, axis=reduced).max(initial=0.0)) <= 1e-6 * size
        role = "beta" if same else "gamma"
        if any(parameter.role == role for parameter in found):
            role = spelled(path)
        found.append(Parameter(role, path, axes, late))
    return found


def _candidates(layer: Layer, layout: Layout, shape: Shape) -> Iterator[_Candidate]:
    """Path, axes, and whether it is a number; arrays first."""
    seen: set[int] = set()
    numbers: list[_Candidate] = []
    for path, value in layer.reach():
        array = as_array(value)
        name = next((step for step in reversed(path) if isinstance(step, str)), "").lower()
        if array is None or isinstance(value, list | tuple):
            continue
        if array.dtype.kind not in "fiu" or _STATE.fullmatch(name):
            continue
        scalar = not array.ndim
        if scalar and not any(str(step).lower().strip("_") in GAMMA | BETA for step in path):
            continue
        memory = array.__array_interface__["data"][0]
        if memory in seen and not scalar:
            continue
        seen.add(memory)
        axes = layout.axes_of(array.shape, shape)
        # A parameter is shared by all pictures, so it has no axis of them.
        by_picture = axes is not None and any(0 in layout.axes[axis] for axis in axes)
        if by_picture and name.strip("_") in GAMMA | BETA:
            raise TargetFailure(f"{spelled(path)} has an axis of pictures, as the layer was made")
        # What lies as far as the batch is no parameter; a matrix of weights may be one.
        odd = axes is None and array.ndim > 0 and len(array) != shape[0] and not scalar
        if odd or (axes is not None and not by_picture):
            if scalar:
                numbers.append((path, axes, True))
            else:
                yield path, axes, False
    yield from numbers


def _effect(layer: Layer, path: Path, x: Array, *, late: bool) -> Array:
    if late:
        layer.forward(x.copy())
    held = as_array(layer.value(path))
    if held is None:
        return np.full(x.shape, 0.0)
    layer.put(path, held + _STEP)
    return np.array(layer.forward(x.copy()))
