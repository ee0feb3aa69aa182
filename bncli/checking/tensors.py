"""Layers of frameworks that have a tensor of their own, which finds its gradients by itself."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import numpy as np

from bncli.checking.arguments import Given, signature_of
from bncli.checking.makers import ClassMaker, Layer, forward_names
from bncli.checking.places import as_array
from bncli.checking.protocol import LayerProtocol
from bncli.checking.question import Array
from bncli.checking.target import Caller, TargetFailure

_NAMES = ("Tensor", "Variable", "Node")


def tensor_of(target: Any) -> type | None:
    """The tensor that the modules of a class know: it holds data, and has a backward."""
    for kind in target.__mro__:
        module = sys.modules.get(kind.__module__)
        for name in _NAMES:
            found = getattr(module, name, None)
            if inspect.isclass(found) and callable(getattr(found, "backward", None)):
                return found
    return None


class TensorMaker(ClassMaker):
    """Makes layers whose forward takes a tensor and gives one, which has the backward.

    Args:
        target: the class of the layer.
        tensor: the class of its tensors.
        said: what the user has said.
        call: runs the user's code.
    """

    def __init__(self, target: type, tensor: type, said: LayerProtocol, call: Caller) -> None:
        self._target, self._said, self._call = target, said, call
        self.name, self._tensor = target.__name__, tensor
        self.ways = [(name, "backward") for name in forward_names(target, said)]

    def layer(self, thing: Any, given: Given, way: int) -> Layer:
        """A layer of a thing that was made."""
        return _TensorLayer(
            thing, getattr(thing, self.ways[way][0]), self._tensor, given, self._call
        )


class _TensorLayer(Layer):
    """A layer whose backward is that of its output."""

    def __init__(self, thing: Any, forward: Any, tensor: type, given: Given, call: Caller) -> None:
        super().__init__(thing, forward, lambda: None, given, call)
        self._tensor = tensor
        self._leaf: Any = None
        self._output: Any = None

    def forward(self, x: Array) -> Array:
        """The data of the output."""
        self._x = x
        self._leaf = self._wrapped(x)
        self._output = self._call(
            "forward", self._forward, self._leaf, *self._placed, **self.arguments
        )
        output = as_array(getattr(self._output, "data", None))
        if output is None:
            kind = type(self._output).__name__
            raise TargetFailure(f"forward gave a {kind}, which holds no array of numbers")
        return output

    def backward(self, delta: Array) -> dict[str, Any]:
        """The gradient that the backward of the output leaves in the input."""
        if self._output is None:
            self.forward(self._x)  # tensors add their gradients up
        output, self._output = self._output, None
        try:
            self._call("backward", output.backward, delta)
        except TargetFailure as failure:
            if failure.ended:
                raise
            # Some want the delta as one of their own.
            self.forward(self._x)
            output, self._output = self._output, None
            self._call("backward", output.backward, self._wrapped(delta))
        return {"grad_input": getattr(self._leaf, "grad", None)}

    def _wrapped(self, array: Array) -> Any:
        known = signature_of(self._tensor)
        wanted = {"requires_grad": True, "is_leaf": True, "dtype": np.float64}
        named = {name: value for name, value in wanted.items() if name in known}
        return self._call("tensor", self._tensor, array, **named)
