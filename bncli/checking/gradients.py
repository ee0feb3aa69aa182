"""Where the gradients of a layer come back: found by what depends on delta, and by value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bncli.checking.arguments import BETA, GAMMA
from bncli.checking.layouts import Shape, reshaped
from bncli.checking.makers import Layer
from bncli.checking.parameters import Parameter
from bncli.checking.places import Path, as_array, spelled, within_reach
from bncli.checking.question import Array

RETURNED, OVERWRITTEN, ADDED, MOVED, OPTIMIZER = (
    "returned", "overwritten", "added", "moved", "optimizer",
)  # fmt: skip
_INPUT_WORDS = re.compile(
    r".*(grad_?input|input_?grad|d_?inputs?|d_?in|dx|grad_?x|d_?x|delta|x_?grad|grad|error|downstream|dz|da|back)$"
)
_AFFIXES = re.compile(
    r"^(_|dl_?/?d_?(?=[a-z])|d_?(?=[a-z])|delta_?|grads?_?|gradients?_?(of_|wrt_)?|del_?|nabla_?|g_(?=.))|(_?(grads?|gradients?|updates?|delta|diff|der|deriv(ative)?)|_)$"
)
_GENERIC = frozenset({
    "data", "value", "val", "values", "arguments", "parameters", "params", "param", "p", "grad",
    "grads", "gradient", "gradients", "d", "returned", "cached_grad",
})  # fmt: skip
Found = dict[Path, Array]
Closely = Callable[[Array], bool]
"""Whether a gradient is that of the forward, by the value along random directions."""


@dataclass(slots=True)
class Gradients:
    """What a backward gave.

    Attributes:
        values: quantity -> the array, that of the input in the axes (batch, w, h, c), those of
            parameters in their own shapes; or what is wrong with it, in a sentence.
    """

    values: dict[str, Array | str] = field(default_factory=dict)

    @property
    def grad_input(self) -> Array | str | None:
        """That of the input."""
        return self.values.get("grad_input")


@dataclass(frozen=True, slots=True)
class Sent:
    """The argument of a backward, before and after it."""

    before: Array
    after: Array


def gather(layer: Layer, returned: Any, sent: Sent) -> Found:
    """Every array that one backward may have left a gradient in."""
    found: Found = {}
    alone = as_array(returned)
    if alone is not None:
        found[(RETURNED,)] = alone
    elif returned is not None and returned is not layer.thing:
        for path, value in within_reach(returned):
            found[(RETURNED, *path)] = _array(value)
    if not np.array_equal(sent.before, sent.after, equal_nan=True):
        found[(OVERWRITTEN,)] = sent.after
        found[(ADDED,)] = sent.after - sent.before
    for path, value in layer.reach():
        found[path] = _array(value)
    for number, call in enumerate(layer.given.recorder.calls):
        for place, array in enumerate(call):
            found[(OPTIMIZER, number, place)] = array
    return found


def _array(value: Any) -> Array:
    array = as_array(value)
    return np.empty(0) if array is None else array


def pick(found: Found, path: Path) -> Array | None:
    """What a backward has left at a path."""
    array = found.get(path)
    if array is None and path == (RETURNED,):
        array = found.get((RETURNED, 0))
    return array


def that_depend(looks: Sequence[Found]) -> Found:
    """Those that differ with another delta, and are the same with the same.

    Args:
        looks: after three backwards: with a delta, with another, and with the first again.
    """
    first, second, third = looks
    return {
        path: array
        for path, array in first.items()
        if path in second and path in third and array.size
        and _same(array, third[path]) and not _same(array, second[path])
    }  # fmt: skip


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    # What was added into another number has lost a digit or two.
    scale = float(np.nanmax(np.abs(a), initial=0)) + 1.0
    return bool(np.allclose(a, b, rtol=1e-6, atol=1e-6 * scale, equal_nan=True))


def find_input(found: Found, everything: Found, shape: Shape, delta: Array, right: Closely) -> Path:
    """Where the gradient of the input comes back; empty if nowhere.

    Args:
        found: what depends on delta.
        everything: what there is.
        shape: of the input, as the layer has it.
        delta: of the first backward.
        right: tells the gradient by its value.
    """
    fitting = {path: array for path, array in found.items() if array.shape == shape}
    returned = [path for path in fitting if path[0] == RETURNED]
    if returned:
        return next((path for path in returned if right(fitting[path])), returned[0])
    named = [
        path for path, array in fitting.items()
        if not _same(array, delta) and _INPUT_WORDS.fullmatch(str(path[-1]).lower())
    ]  # fmt: skip
    by_value = [path for path, array in fitting.items() if right(array)]
    own = [path for path in fitting if path[0] in {OVERWRITTEN, ADDED}]
    best = [p for p in by_value if p in own or p in named] or by_value or own[:1] or named[:1]
    if best:
        return best[0]
    # Of a wrong shape or kind, or without any delta: that is for the check to say.
    parts = [path for path in everything if path[0] == RETURNED]
    loose = [p for p in parts if reshaped(everything[p], shape) is not None]
    loose += [
        p for p in parts if everything[p].shape == shape or not np.isfinite(everything[p]).all()
    ]
    if parts and not loose and everything[parts[0]].ndim:
        loose = parts[:1]
    return loose[0] if loose else ()


def find_of_parameter(
    parameter: Parameter, parameters: Sequence[Parameter], found: Found, shape: Shape,
    right: Closely,
) -> Path:  # fmt: skip
    """Where the gradient of a parameter comes back; empty if nowhere is seen.

    Args:
        parameter: which.
        parameters: all of them, in the order in which returned gradients are taken.
        found: what depends on delta, without the gradient of the input.
        shape: of the parameter.
        right: tells its gradient by its value.
    """
    fitting = [p for p, a in found.items() if reshaped(a, shape) is not None]
    others = [other for other in parameters if other is not parameter]
    returned = [
        p for p in fitting if p[0] == RETURNED and not any(isinstance(s, str) for s in p[1:])
    ]
    if len(returned) >= len(parameters):
        # What backward hands out is what it is for; by value, else by their order.
        by_value = next((p for p in returned if right(found[p])), ())
        return by_value or returned[parameters.index(parameter)]
    mine = [
        p for p in fitting
        if is_meant(p, parameter) and not any(is_meant(p, other) for other in others)
    ]  # fmt: skip
    if mine:
        return next((p for p in mine if right(found[p])), mine[0])
    free = [p for p in fitting if not any(is_meant(p, other) for other in parameters)]
    by_value = next((p for p in free if right(found[p])), ())
    returned = [p for p in free if p[0] == RETURNED]
    if by_value or not returned:
        return by_value
    # By their order, as far as they are not the other parameter's.
    place = parameters.index(parameter)
    return (
        returned[min(place, len(returned) - 1)] if len(returned) >= len(parameters) else returned[0]
    )


def is_meant(path: Path, parameter: Parameter) -> bool:
    """Whether the name of a place says that it holds the gradient of this parameter."""
    if path[0] == OPTIMIZER:
        return path[-1] == parameter.role
    if path[0] == RETURNED and not any(isinstance(step, str) for step in path[1:]):
        return False
    known = {"gamma": GAMMA, "beta": BETA}.get(parameter.role, frozenset())
    own, other = _tail(parameter.path), _tail(path)
    return other == own or (other in known and not isinstance(other, int))


def _tail(path: Path) -> str | int | None:
    """The last step of a path that tells one array from another."""
    steps = [bare(step) if isinstance(step, str) else step for step in path]
    return next((step for step in reversed(steps) if step not in _GENERIC), None)


def bare(name: str) -> str:
    """A name without all that says no more than that it is a gradient."""
    text, before = name.lower(), ""
    while text != before:
        before = text
        shorter = _AFFIXES.sub("", text)
        text = shorter or text
    return text


def numbers_or_reason(value: Any, shape: Shape, name: str) -> tuple[Array | None, str]:
    """A gradient as an array of *shape*; or None and what is wrong with it."""
    array = as_array(value)
    if array is None:
        return None, f"{name} is not an array of numbers; it must be one of shape {shape}"
    if array.dtype.kind not in "fiub":
        return None, f"{name} holds {array.dtype}; it must hold real numbers"
    if array.shape != shape:
        more = ""
        if reshaped(array, shape) is not None:
            more = "; only axes of length 1 differ"
        return None, f"{name} has shape {array.shape}; it must be {shape}{more}"
    return array, ""


def named_by_optimizer(found: Found, values: Mapping[str, Array]) -> Found:
    """What an optimizer was given, under the role of the parameter it was given with.

    Args:
        found: what one backward left.
        values: role -> the values of the parameter.
    """
    renamed: Found = {}
    calls: dict[Any, list[Array]] = {}
    for path, array in found.items():
        if path[0] == OPTIMIZER:
            calls.setdefault(path[1], []).append(array)
    for number, arrays in calls.items():
        role = next(
            (
                r
                for r, v in values.items()
                for a in arrays
                if a.size == v.size and _same(a.ravel(), v.ravel())
            ),
            None,
        )
        for place, array in enumerate(arrays):
            if role is None:
                renamed[OPTIMIZER, number, place] = array
            elif not _same(array.ravel(), values[role].ravel()):
                renamed[OPTIMIZER, number, role] = array
    return {path: a for path, a in found.items() if path[0] != OPTIMIZER} | renamed


def names_of(paths: Iterator[Path] | Sequence[Path]) -> str:
    """Some paths as people write them."""
    return ", ".join(spelled(path) for path in list(paths)[:6])
