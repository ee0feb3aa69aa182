"""What lies within reach of a layer: arrays, by the path that leads to them."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bncli.checking.question import Array

Path = tuple[str | int, ...]
"""Attributes and keys by name, entries of lists by number."""

_DEEP = 6
_MANY = 4000
_CLOSED = (
    str, bytes, bytearray, memoryview, type, types.ModuleType, types.FunctionType,
    types.BuiltinFunctionType, types.MethodType, np.dtype, np.random.Generator,
    np.random.RandomState,
)  # fmt: skip
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]|\[(['\"])(.*?)\3\]")


def spelled(path: Path) -> str:
    """A path as people write it: ``params.gamma``, ``grads[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[^.\[\]]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def parsed(text: str) -> Path:
    """The path that people have written."""
    steps: list[str | int] = []
    for name, number, _, key in _STEP.findall(text):
        steps.append(int(number) if number else name or key)
    return tuple(steps)


def step_into(thing: Any, step: str | int) -> Any:
    """One step of a path.

    Raises:
        LookupError: there is no such thing.
    """
    if isinstance(thing, Mapping):
        if step in thing:
            return thing[step]
    elif isinstance(step, int):
        return thing[step]
    try:
        return getattr(thing, str(step))
    except Exception as error:
        raise LookupError(step) from error


def value_at(root: Any, path: Path) -> Any:
    """What lies there; None where nothing does."""
    try:
        for step in path:
            root = step_into(root, step)
    except (LookupError, TypeError):
        return None
    return root


def replace_at(root: Any, path: Path, value: Any) -> None:
    """Put *value* there, where what lies there cannot be changed in place."""
    holder = value_at(root, path[:-1])
    if isinstance(holder, dict | list):
        holder[path[-1]] = value  # type: ignore[index]
    else:
        setattr(holder, str(path[-1]), value)


def as_array(value: Any) -> Array | None:
    """A thing as an array of numbers, the same memory where it has one; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, np.ndarray | np.generic | float | int):
        array = np.asarray(value)
    elif is_tensor(value):
        try:
            array = value.detach().resolve_conj().cpu().numpy()
        except Exception:  # noqa: BLE001 - of a lazy layer, it is none yet
            return None
    elif isinstance(value, list | tuple) and value and isinstance(value[0], float | int | list):
        try:
            array = np.asarray(value)
        except ValueError:
            return None
    else:
        return None
    return array if array.dtype.kind in "fciub" else None


def is_tensor(value: Any) -> bool:
    """Whether a thing is a tensor of torch, which need not be imported for that."""
    kinds = type(value).__mro__
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in kinds)


def within_reach(root: Any) -> Iterator[tuple[Path, Any]]:
    """Every array, tensor, number and list of numbers that attributes, keys and entries lead to.

    Nearer ones first; each object once.
    """
    level: list[tuple[Path, Any]] = [((), root)]
    seen: set[int] = set()
    left = _MANY
    for _ in range(_DEEP):
        below: list[tuple[Path, Any]] = []
        for path, thing in level:
            for step, value in _parts(thing):
                left -= 1
                if left < 0:
                    return
                here = (*path, step)
                if as_array(value) is not None:
                    yield here, value
                    grad = value.grad if is_tensor(value) else None
                    if grad is not None:
                        yield (*here, "grad"), grad
                elif not isinstance(value, _CLOSED) and id(value) not in seen:
                    seen.add(id(value))
                    below.append((here, value))
        level = below


def _parts(thing: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(thing, Mapping):
        yield from ((k, v) for k, v in list(thing.items()) if isinstance(k, str | int))
    elif isinstance(thing, list | tuple):
        yield from enumerate(thing)
    else:
        named = dict(getattr(thing, "__dict__", {}))
        for kind in type(thing).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                value = value_at(thing, (name,))
                if value is not None:
                    named.setdefault(name, value)
        yield from named.items()
