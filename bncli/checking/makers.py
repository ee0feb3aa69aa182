"""From what the user named to something that makes a layer, whatever its style."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bncli.checking.protocol import (
    BETA_NAMES,
    EPS_NAMES,
    GAMMA_NAMES,
    SHAPE_NAMES,
    LayerProtocol,
    is_named,
)
from bncli.checking.target import Caller, Pair
from bncli.errors import TargetError

_OPTIONS_NAMES = ("bn_param", "param", "params", "bn_params")
_PARAMETERS = 2  # gamma and beta, after x
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a layer is to be made with: arrays in the layer's own layout, eps None for its own."""

    gamma: Any
    beta: Any
    eps: float | None
    shape: Shape


class Maker(Protocol):
    """Makes layers with a ``forward`` and a ``backward``."""

    @property
    def name(self) -> str:
        """What the target is called."""

    @property
    def protocol(self) -> LayerProtocol:
        """What its signature says."""

    def make(self, wanted: Wanted) -> Any:
        """A new layer."""


def maker_for(target: Any, protocol: LayerProtocol, call: Caller) -> Maker:
    """The maker that fits *target*: a class, a layer, a pair, or something of torch.

    Raises:
        TargetError: it is none of these.
    """
    kind = torch_kind(target)
    if kind:
        from bncli.checking.torch_makers import TorchMaker

        return TorchMaker(target, kind, protocol, call)
    if isinstance(target, Pair):
        return PairMaker(target, protocol, call)
    if isinstance(target, tuple) and len(target) == 2 and all(map(callable, target)):  # noqa: PLR2004 - forward and backward
        return PairMaker(Pair(*target), protocol, call)
    missing = [
        name for name in ("forward", "backward") if not callable(getattr(target, name, None))
    ]
    if missing:
        kind = target.__name__ if hasattr(target, "__name__") else type(target).__name__
        hint = "; give file.py:forward,backward" if inspect.isfunction(target) else ""
        raise TargetError(f"{kind} has no method {' and no '.join(missing)}{hint}")
    if inspect.isclass(target):
        return ClassMaker(target, protocol, call)
    return InstanceMaker(target, protocol, call)


def torch_kind(target: Any) -> str:
    """``module`` or ``function`` if *target* is one of torch, which need not be imported."""
    bases = (target if inspect.isclass(target) else type(target)).__mro__
    for base in bases:
        if base.__module__.startswith("torch.") and base.__name__ in {"Module", "Function"}:
            return str(base.__name__).lower()
    return ""


class ClassMaker:
    """Makes a layer by calling its class."""

    def __init__(self, target: type, protocol: LayerProtocol, call: Caller) -> None:
        self._target, self._call = target, call
        self.name = target.__name__
        self._parameters = _signature(target)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in self._parameters.values())
        self._keywords = {n for n, p in self._parameters.items() if p.kind is not p.VAR_KEYWORD}
        self.protocol = protocol.found(
            **{
                key: _first(names, self._keywords)
                for key, names in (
                    ("gamma", GAMMA_NAMES),
                    ("beta", BETA_NAMES),
                    ("eps", EPS_NAMES),
                    ("input_shape", SHAPE_NAMES),
                )
            }
        )
        if open_ended:
            self._keywords |= set(protocol.arguments)
            self._keywords |= {name for name in (protocol.gamma, protocol.beta) if is_named(name)}
        self._check_required()

    def make(self, wanted: Wanted) -> Any:
        """A new layer; what has no keyword is set as an attribute."""
        protocol = self.protocol
        values = {
            protocol.gamma: wanted.gamma,
            protocol.beta: wanted.beta,
            protocol.eps: wanted.eps,
            protocol.input_shape: wanted.shape,
        }
        keywords = {
            name: value
            for name, value in values.items()
            if name in self._keywords and value is not None
        }
        extra = {n: v for n, v in protocol.arguments.items() if n in self._keywords}
        layer = self._call("constructor", self._target, **{**keywords, **extra})
        _set_attributes(layer, protocol, wanted, set(keywords))
        return layer

    def _check_required(self) -> None:
        protocol = self.protocol
        given = {protocol.gamma, protocol.beta, protocol.eps, protocol.input_shape}
        for name, parameter in self._parameters.items():
            needed = parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            )
            if needed and name not in given | set(protocol.arguments):
                raise TargetError(
                    f"the constructor of {self.name} needs {name}: what is it? "
                    f"Give --argument {name}=VALUE, or say which of gamma, beta, eps, input_shape "
                    f"it is: --protocol gamma={name}"
                )


class InstanceMaker:
    """Makes copies of a layer there is."""

    def __init__(self, target: Any, protocol: LayerProtocol, call: Caller) -> None:
        self._target, self._call = target, call
        self.name = type(target).__name__
        self.protocol = protocol

    def make(self, wanted: Wanted) -> Any:
        """A deep copy, with gamma and beta set as attributes."""
        layer = self._call("copy", copy.deepcopy, self._target)
        _set_attributes(layer, self.protocol, wanted, set())
        return layer


class PairMaker:
    """Makes layers of a forward and a backward function."""

    def __init__(self, target: Pair, protocol: LayerProtocol, call: Caller) -> None:
        del call
        self._pair = target
        self.name = f"{target.forward.__name__},{target.backward.__name__}"
        self._arguments = protocol.arguments
        parameters = _signature(target.forward)
        positional = [n for n, p in parameters.items() if p.kind in _POSITIONAL]
        with_gamma = len(positional) > _PARAMETERS
        self._extra = positional[1 + _PARAMETERS * with_gamma :]
        self._extra += [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
        self._required = {n for n, p in parameters.items() if p.default is p.empty}
        gamma, beta = positional[1:3] if with_gamma else ("none", "none")
        eps = _first((*EPS_NAMES, *_OPTIONS_NAMES), self._extra)
        self.protocol = replace(
            protocol.found(gamma=gamma, beta=beta, eps=eps or "none", input_shape="none"),
            delta="argument",
        )
        for name in self._extra:
            known = name in {*EPS_NAMES, *_OPTIONS_NAMES, *self._arguments}
            if name in self._required and not known:
                raise TargetError(
                    f"{target.forward.__name__} needs {name}: what is it? "
                    f"Give --argument {name}=VALUE"
                )

    def make(self, wanted: Wanted) -> Any:
        """A layer that keeps the cache between the two functions."""
        named: dict[str, Any] = {}
        for name in self._extra:
            if name in self._arguments:
                named[name] = self._arguments[name]
            elif name in EPS_NAMES and wanted.eps is not None:
                named[name] = wanted.eps
            elif name in _OPTIONS_NAMES:
                named[name] = {"mode": "train", "momentum": 0.9}
                if wanted.eps is not None:
                    named[name]["eps"] = wanted.eps
        parameters = [] if self.protocol.gamma == "none" else [wanted.gamma, wanted.beta]
        return PairLayer(self._pair, parameters, named)


class PairLayer:
    """A forward and a backward function as a layer."""

    def __init__(self, pair: Pair, parameters: list[Any], named: Mapping[str, Any]) -> None:
        self._pair, self._parameters, self._named = pair, parameters, named
        self._cache: Any = None

    def forward(self, x: Any) -> Any:
        """The first of what the forward function returns; the rest is the cache."""
        result = self._pair.forward(x, *self._parameters, **self._named)
        if not isinstance(result, tuple) or len(result) < 2:  # noqa: PLR2004 - output and cache
            kind = type(result).__name__
            raise TypeError(f"it returned {kind}, not (out, cache)")
        self._cache = result[1] if len(result) == 2 else result[1:]  # noqa: PLR2004 - likewise
        return result[0]

    def backward(self, delta: Any) -> Any:
        """What the backward function returns."""
        return self._pair.backward(delta, self._cache)


def _signature(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return {}


def _first(names: tuple[str, ...], among: Any) -> str:
    return next((name for name in names if name in among), "")


def _set_attributes(layer: Any, protocol: LayerProtocol, wanted: Wanted, done: set[str]) -> None:
    for key, names, value in (
        (protocol.gamma, GAMMA_NAMES, wanted.gamma),
        (protocol.beta, BETA_NAMES, wanted.beta),
        (protocol.eps, EPS_NAMES, wanted.eps),
    ):
        if key in done or value is None or key == "none":
            continue
        choices = (key,) if key else names
        name = next((name for name in choices if hasattr(layer, name)), "")
        if name:
            setattr(layer, name, value)
