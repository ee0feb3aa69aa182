"""A layer in use: made, run forward and backward, in the axes (batch, w, h, c)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bncli.checking.arguments import Given
from bncli.checking.gradients import (
    MOVED,
    Found,
    Gradients,
    Sent,
    gather,
    named_by_optimizer,
    numbers_or_reason,
    pick,
)
from bncli.checking.layouts import Layout, Shape, parameter_shapes, reshaped
from bncli.checking.makers import Layer, Maker
from bncli.checking.parameters import Parameter
from bncli.checking.places import Path, as_array, spelled
from bncli.checking.protocol import LayerProtocol
from bncli.checking.question import Array
from bncli.checking.target import Caller, TargetFailure


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a layer is made.

    Attributes:
        layout: of its arrays.
        way: which of its pairs of methods is forward and backward.
        own: which of the shapes that its gamma and beta may have.
        variant: which of the values that names of arguments may stand for.
        set_up: whether it is built and initialized before its first forward.
    """

    layout: Layout
    way: int = 0
    own: int = 0
    variant: int = 0
    set_up: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Something that makes layers, understood.

    Attributes:
        maker: makes them.
        recipe: how.
        said: what the user has said of it.
        call: runs its code.
        eps: to make them with; None is their own.
        parameters: what was found to be learnt.
        ways: quantity -> where that gradient comes back.
        delta: ``argument`` or ``attribute``: where backward reads the delta.
    """

    maker: Maker
    recipe: Recipe
    said: LayerProtocol
    call: Caller
    eps: float | None = None
    parameters: tuple[Parameter, ...] = ()
    ways: Mapping[str, Path] = field(default_factory=dict)
    delta: str = "argument"

    @property
    def name(self) -> str:
        """What it is called."""
        return self.maker.name

    @property
    def layout(self) -> Layout:
        """Of its arrays."""
        return self.recipe.layout

    @property
    def quantities(self) -> tuple[str, ...]:
        """The gradients that come back."""
        return tuple(self.ways)

    def new(self, shape: Shape, *, rate: float = 0.0, dtype: Any = np.float64) -> Layer:
        """A layer as it is made, for batches of *shape*, (batch, w, h, c)."""
        recipe = self.recipe
        shapes = parameter_shapes(recipe.layout, shape)
        own = shapes[min(recipe.own, len(shapes) - 1)]
        gamma, beta = np.ones(own, dtype), np.zeros(own, dtype)
        given = Given(
            recipe.layout, shape, gamma, beta, self.eps, rate, recipe.variant,
            self.said.arguments, self.said.roles,
        )  # fmt: skip
        return self.maker.make(given, recipe.way, set_up=recipe.set_up)

    def open(self, parameters: Mapping[str, Array], shape: Shape, *, rate: float = 0.0) -> Session:
        """Make a layer for batches of *shape* with these parameters, by role."""
        dtype = next((value.dtype for value in parameters.values()), np.dtype(np.float64))
        layer = self.new(shape, rate=rate, dtype=dtype if dtype.kind == "f" else np.float64)
        return Session(self, layer, parameters)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Role -> the shape that the parameter has in a layer for batches of *shape*."""
        if not self.parameters:
            return {}
        layer = self.new(shape)
        if any(parameter.late for parameter in self.parameters):
            layer.forward(self.layout.there(_any_batch(shape)))
        shapes: dict[str, Shape] = {}
        for parameter in self.parameters:
            array = as_array(layer.value(parameter.path))
            if array is None:
                raise TargetFailure(f"{spelled(parameter.path)} is missing at another shape")
            shapes[parameter.role] = array.shape
        return shapes

    def wide(self, values: Mapping[str, Array], shape: Shape) -> dict[str, Array]:
        """Parameters, or their gradients, in the axes (batch, w, h, c), 1 where they have none."""
        return {
            p.role: self.layout.wide(np.asarray(values[p.role]), p.axes, shape)
            for p in self.parameters
            if p.role in values and p.axes is not None
        }

    def narrow(self, wide: Mapping[str, Array], shape: Shape) -> dict[str, Array]:
        """The other way: parameters in the shapes that they have in a layer for *shape*."""
        order = [axis for merged in self.layout.axes for axis in merged]
        shapes = self.parameter_shapes(shape)
        if any(w.size != math.prod(shapes[role]) for role, w in wide.items()):
            raise TargetFailure("the layer is of one width alone")
        return {role: w.transpose(order).reshape(shapes[role]) for role, w in wide.items()}

    def described(self) -> dict[str, str]:
        """Name -> what was found, for reports."""
        forward, backward = self.maker.ways[self.recipe.way]
        places = {p.role: spelled(p.path) for p in self.parameters}
        places |= {name: spelled(path) for name, path in self.ways.items()}
        known = replace(
            self.said, layout=self.layout.name, forward=forward, backward=backward,
            delta=self.delta,
        )  # fmt: skip
        return {**known.described(), **places}


def _any_batch(shape: Shape) -> Array:
    return np.random.default_rng(1).standard_normal(shape)


class Session:
    """One layer in use."""

    def __init__(self, target: Target, layer: Layer, parameters: Mapping[str, Array]) -> None:
        self.target, self.layer = target, layer
        self._parameters = dict(parameters)
        self._x: Array = np.empty(0)
        self._shape: Shape = ()
        self._late = [p for p in target.parameters if p.late and p.role in parameters]
        for parameter in target.parameters:
            if not parameter.late:
                self._set(parameter)

    def _set(self, parameter: Parameter) -> None:
        if parameter.role in self._parameters:
            self.layer.put(parameter.path, self._parameters[parameter.role])

    def forward(self, x: Array, *, copied: bool = True, kept: bool = False) -> Array:
        """Output of a batch (batch, w, h, c), of its shape.

        Args:
            x: the batch.
            copied: hand over a copy, so that the layer may do with it what it likes.
            kept: give the very array that the layer gave, which it may write into again.

        Raises:
            TargetFailure: the forward failed, or gave no array of that shape.
        """
        self._x, self._shape = x, x.shape
        given = self.target.layout.there(x)
        if self._late:
            self.layer.forward(np.array(np.asarray(given).real))
            for parameter in self._late:
                self._set(parameter)
            self._late = []
        if copied and np.may_share_memory(given, x):
            given = given.copy()
        output = self.layer.forward(given)
        if output.shape != given.shape:
            raise TargetFailure(
                f"forward gave an output of shape {output.shape}; it must be {given.shape}"
            )
        output = np.asarray(output)
        return self.target.layout.back(output if kept else np.array(output), x.shape)

    def backward(self, delta: Array) -> Gradients:
        """The gradients for a delta (batch, w, h, c).

        Raises:
            TargetFailure: the backward failed.
        """
        found = self.look(delta)
        target = self.target
        values = {role: v for role, v in self._parameters.items() if np.isrealobj(v)}
        found = named_by_optimizer(found, values)
        gradients = Gradients()
        for name, path in target.ways.items():
            if path[0] == MOVED:
                factor = float(path[2]) if len(path) > 2 else None  # noqa: PLR2004 - and a rate
                array = self._moved(name.removeprefix("grad_"), delta, factor)
            else:
                array = pick(found, path)
            gradients.values[name] = self._judged(name, array)
        return gradients

    def _judged(self, name: str, array: Array | None) -> Array | str:
        layout, shape = self.target.layout, self._shape
        if name == "grad_input":
            usable, problem = numbers_or_reason(array, layout.shape(shape), name)
            return problem if usable is None else layout.back(usable, shape)
        own = self._parameters[name.removeprefix("grad_")].shape
        fitting = None if array is None else reshaped(array, own)
        usable, problem = numbers_or_reason(array if fitting is None else fitting, own, name)
        return problem if usable is None else usable

    def look(self, delta: Array, argument: Array | None = None) -> Found:
        """Run one backward, and gather all that it may have left a gradient in.

        Args:
            delta: (batch, w, h, c).
            argument: what backward is given where it reads the delta from an attribute.
        """
        layout = self.target.layout
        if self.target.delta == "attribute":
            self.layer.thing.delta = np.array(layout.there(delta))
            delta = np.zeros_like(delta) if argument is None else argument
        before = layout.there(delta)
        sent = before.copy()
        returned = self.layer.backward(sent)
        return gather(self.layer, returned, Sent(before, sent))

    def _moved(self, role: str, delta: Array, factor: float | None) -> Array | None:
        """The gradient by which a layer that learns in backward has moved a parameter.

        Args:
            role: of the parameter.
            delta: of the backward.
            factor: the rate that it learns at; None is that which it is given.
        """
        again = self.target.open(self._parameters, self._shape, rate=0.0 if factor else 1.0)
        again.forward(self._x)
        again.look(delta)
        path = next(p.path for p in self.target.parameters if p.role == role)
        after = as_array(again.layer.value(path))
        if after is None:
            return None
        moved: Array = (self._parameters[role] - after) / (factor or 1.0)
        return moved.astype(after.dtype)  # it is no more precise than the parameter
