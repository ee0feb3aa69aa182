"""torch.nn.Module and torch.autograd.Function as layers: the extra ``torch``."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np

from bncli.checking.makers import Maker, check_known
from bncli.checking.parameters import Wanted
from bncli.checking.protocol import LayerProtocol
from bncli.checking.question import Array
from bncli.checking.target import Caller
from bncli.errors import MissingExtraError, TargetError

_WIDTH_NAMES = ("num_features", "normalized_shape", "features", "pixels")
_WITH_PARAMETERS = 3  # x, gamma, beta


class TorchMaker(Maker):
    """Makes layers of a module's class, of a module there is, or of a function.

    Args:
        target: the class or module.
        kind: ``module`` or ``function``.
        protocol: what the user has said.
        call: runs the user's code.
    """

    def __init__(self, target: Any, kind: str, protocol: LayerProtocol, call: Caller) -> None:
        try:
            import torch  # noqa: F401 - whether it is there
        except ImportError as error:
            raise MissingExtraError(
                "this target is of torch, which is missing: pip install 'bncli[torch]'"
            ) from error
        name = target.__name__ if inspect.isclass(target) else type(target).__name__
        self._is_function = kind == "function"
        self._sized = ""
        gamma, beta = "weight", "bias"
        if self._is_function:
            names = list(inspect.signature(target.forward).parameters)[1:]
            gamma, beta = names[1:3] if len(names) >= _WITH_PARAMETERS else ("none", "none")
            self._more = names[3:]
        elif inspect.isclass(target):
            parameters = dict(inspect.signature(target).parameters)
            self._sized = next((n for n in reversed(parameters) if n in _WIDTH_NAMES), "")
            known = {*_WIDTH_NAMES, *protocol.arguments}
            check_known(f"the constructor of {name}", parameters, known)
        found = protocol.found(
            gamma=gamma, beta=beta, eps="eps", input_shape="none", delta="argument",
            grad_input="returned",
        )  # fmt: skip
        super().__init__(target, name, found, call)

    def make(self, wanted: Wanted) -> Any:
        """A new layer."""
        if self._is_function:
            more = [self._extra(name, wanted) for name in self._more]
            return TorchFunction(self._target, wanted, more)
        if not inspect.isclass(self._target):
            return TorchModule(copy.deepcopy(self._target), wanted)
        keywords = dict(self.protocol.arguments)
        if self._sized and self._sized not in keywords:
            shape = wanted.input_shape[1:]
            keywords[self._sized] = shape[0] if len(shape) == 1 else shape
        if wanted.eps is not None and "eps" in inspect.signature(self._target).parameters:
            keywords.setdefault("eps", wanted.eps)
        return TorchModule(self._call("constructor", self._target, **keywords), wanted)

    def _extra(self, name: str, wanted: Wanted) -> Any:
        if name in self.protocol.arguments:
            return self.protocol.arguments[name]
        if name in {"eps", "epsilon"}:
            return 1e-8 if wanted.eps is None else wanted.eps
        raise TargetError(
            f"the forward of {self.name} needs {name}: what is it? Give --argument {name}=VALUE"
        )


class TorchModule:
    """A module as a layer: autograd is its backward."""

    def __init__(self, module: Any, wanted: Wanted) -> None:
        import torch

        self.module = module
        dtype = torch.from_numpy(np.asarray(wanted.gamma)).dtype
        if dtype.is_floating_point:
            module.to(dtype)
        module.train()
        self.eps = getattr(module, "eps", None)
        for name, value in (("weight", wanted.gamma), ("bias", wanted.beta)):
            parameter = getattr(module, name, None)
            if parameter is not None and parameter.numel() == np.size(value):
                with torch.no_grad():
                    parameter.copy_(torch.from_numpy(np.real(value)).reshape(parameter.shape))
        self._size = np.size(wanted.gamma)
        self._x: Any = None
        self._output: Any = None

    def forward(self, x: Array) -> Array:
        """The output."""
        self._x = _leaf(x)
        self._output = self.module(self._x)
        return _array(self._output)

    def backward(self, delta: Array) -> tuple[Any, Any, Any]:
        """The three gradients, those of weight and bias where there are such."""
        found = [getattr(self.module, name, None) for name in ("weight", "bias")]
        leaves = [None if p is None or p.numel() != self._size else p for p in found]
        gradients = _gradients(self._output, [self._x, *leaves], delta)
        return gradients[0], gradients[1], gradients[2]


class TorchFunction:
    """An autograd.Function as a layer: its own backward."""

    def __init__(self, function: Any, wanted: Wanted, more: list[Any]) -> None:
        self._function, self._more = function, more
        self._parameters = [wanted.gamma, wanted.beta]
        count = len(inspect.signature(function.forward).parameters) - 1
        self._with_parameters = count >= _WITH_PARAMETERS
        self._leaves: list[Any] = []
        self._output: Any = None

    def forward(self, x: Array) -> Array:
        """The output."""
        given = [x, *self._parameters] if self._with_parameters else [x]
        self._leaves = [_leaf(array) for array in given]
        self._output = self._function.apply(*self._leaves, *self._more)
        return _array(self._output)

    def backward(self, delta: Array) -> tuple[Any, ...]:
        """What its backward gives, by autograd."""
        gradients = _gradients(self._output, self._leaves, delta)
        return (*gradients, None, None)[:3]


def _gradients(output: Any, leaves: list[Any], delta: Array) -> list[Array | None]:
    import torch

    there = [leaf for leaf in leaves if leaf is not None]
    given = torch.autograd.grad(
        output, there, torch.from_numpy(delta), retain_graph=True, allow_unused=True
    )
    found = iter(None if tensor is None else _array(tensor) for tensor in given)
    return [None if leaf is None else next(found) for leaf in leaves]


def _leaf(array: Array) -> Any:
    import torch

    plain = np.array(np.asarray(array).view(np.ndarray))
    return torch.from_numpy(plain).requires_grad_()


def _array(tensor: Any) -> Array:
    # What autograd does not know of, as a conjugate view, numpy cannot hold.
    found: Array = tensor.detach().resolve_conj().cpu().numpy().copy()
    return found
