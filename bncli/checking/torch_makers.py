"""torch.nn.Module and torch.autograd.Function as layers: the extra ``torch``."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np

from bncli.checking.arguments import Given, bound, signature_of
from bncli.checking.makers import Layer, Maker
from bncli.checking.protocol import LayerProtocol
from bncli.checking.question import Array
from bncli.checking.target import Caller
from bncli.errors import MissingExtraError

_WITH_PARAMETERS = 3  # x, gamma, beta


class TorchMaker(Maker):
    """Makes layers of a module's class, of a module there is, or of a function.

    Args:
        target: the class or module.
        kind: ``module`` or ``function``.
        said: what the user has said.
        call: runs the user's code.
    """

    def __init__(self, target: Any, kind: str, said: LayerProtocol, call: Caller) -> None:
        try:
            import torch  # noqa: F401 - whether it is there
        except ImportError as error:
            raise MissingExtraError(
                "this target is of torch, which is missing: pip install 'bncli[torch]'"
            ) from error
        self._target, self._said, self._call = target, said, call
        self.name = target.__name__ if inspect.isclass(target) else type(target).__name__
        self.ways = [("forward", "backward")]
        self._is_function = kind == "function"
        self.fixed = not inspect.isclass(target)

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Of what makes it: the constructor, or the forward of a function."""
        if self._is_function:
            return dict(list(signature_of(self._target.forward).items())[1:])
        return signature_of(self._target) if inspect.isclass(self._target) else {}

    def make(self, given: Given, way: int = 0, *, set_up: bool = False) -> Layer:
        """A new layer."""
        del way, set_up
        if self._is_function:
            return TorchFunction(self._target, self.parameters(), given, self._call)
        if inspect.isclass(self._target):
            placed, named = bound(self.parameters(), given, guess=True)
            module = self._call("constructor", self._target, *placed, **named)
        else:
            module = self._call("copy", copy.deepcopy, self._target)
        own = inspect.getattr_static(type(module), "backward", None)
        if callable(own):
            return _Manual(module, given, self._call)
        return TorchModule(module, given, self._call)


class TorchModule(Layer):
    """A module as a layer: autograd is its backward."""

    def __init__(self, module: Any, given: Given, call: Caller) -> None:
        self.thing, self.given, self._call = module, given, call
        self.arguments = {}
        if given.gamma.dtype.kind == "f":
            module.to(_torch_dtype(given.gamma))
        module.train()
        self._leaf: Any = None
        self._output: Any = None

    def forward(self, x: Array) -> Array:
        """The output."""
        self._x = x
        self._leaf = _leaf(x)
        self._output = self._call("forward", self.thing, self._leaf)
        return _array(self._output)

    def backward(self, delta: Array) -> dict[str, Any]:
        """The gradient of the input, and those of the parameters by their names."""
        named = dict(self.thing.named_parameters())
        leaves = [self._leaf, *named.values()]
        found = self._call("backward", _gradients, self._output, leaves, delta)
        return dict(zip(["grad_input", *named], found, strict=True))


class _Manual(Layer):
    """A module that has a backward of its own, which is the one that is judged."""

    def __init__(self, module: Any, given: Given, call: Caller) -> None:
        if given.gamma.dtype.kind == "f":
            module.to(_torch_dtype(given.gamma))
        module.train()
        super().__init__(module, module.forward, module.backward, given, call)

    def forward(self, x: Any) -> Array:
        """The output."""
        return super().forward(_leaf(x))

    def backward(self, delta: Any) -> Any:
        """What the backward of the module gives."""
        return super().backward(_leaf(delta).detach())


class TorchFunction(Layer):
    """An autograd.Function as a layer: its own backward."""

    def __init__(self, function: Any, parameters: Any, given: Given, call: Caller) -> None:
        self.thing, self.given, self._call = None, given, call
        self._function = function
        names = list(parameters)[1:]
        if len(names) + 1 >= _WITH_PARAMETERS:
            given.roles = {names[0]: "gamma", names[1]: "beta", **given.roles}
        _, self.arguments = bound({n: parameters[n] for n in names}, given)
        self._names = names
        self._leaves: list[Any] = []
        self._output: Any = None

    def forward(self, x: Array) -> Array:
        """The output."""
        self._x = x
        given = [self.arguments[name] for name in self._names if name in self.arguments]
        more = [_leaf(value) if isinstance(value, np.ndarray) else value for value in given]
        self._leaves = [_leaf(x), *(value for value in more if hasattr(value, "requires_grad"))]
        self._output = self._call("forward", self._function.apply, self._leaves[0], *more)
        return _array(self._output)

    def backward(self, delta: Array) -> tuple[Any, ...]:
        """What its backward gives, by autograd."""
        return tuple(self._call("backward", _gradients, self._output, self._leaves, delta))


def _gradients(output: Any, leaves: list[Any], delta: Array) -> list[Array | None]:
    import torch

    given = torch.autograd.grad(
        output, leaves, torch.from_numpy(np.ascontiguousarray(delta)), retain_graph=True,
        allow_unused=True,
    )  # fmt: skip
    return [None if tensor is None else _array(tensor) for tensor in given]


def _torch_dtype(array: Array) -> Any:
    import torch

    return torch.from_numpy(array.ravel()[:0]).dtype


def _leaf(array: Array) -> Any:
    import torch

    plain = np.array(np.asarray(array).view(np.ndarray))
    return torch.from_numpy(plain).requires_grad_()


def _array(tensor: Any) -> Array:
    # What autograd does not know of, as a conjugate view, numpy cannot hold.
    found: Array = tensor.detach().resolve_conj().cpu().numpy().copy()
    return found
