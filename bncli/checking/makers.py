"""From what the user named to something that makes a layer, whatever its style."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from bncli.checking.parameters import NAMES, Wanted, first_name, set_attributes
from bncli.checking.protocol import LayerProtocol, is_named
from bncli.checking.target import Caller, Pair
from bncli.errors import TargetError

_OPTIONS_NAMES = ("bn_param", "param", "params", "bn_params")
_PARAMETERS = 2  # gamma and beta, after x
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Maker:
    """Makes copies of a layer there is.

    Attributes:
        name: what the target is called.
        protocol: what its signature says, beside what the user has said.
    """

    def __init__(self, target: Any, name: str, protocol: LayerProtocol, call: Caller) -> None:
        self._target, self._call = target, call
        self.name, self.protocol = name, protocol

    def make(self, wanted: Wanted) -> Any:
        """A new layer with a ``forward`` and a ``backward``."""
        layer = self._call("copy", copy.deepcopy, self._target)
        set_attributes(layer, self.protocol, wanted, set())
        return layer


def signature_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function or constructor; none where it tells none."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def check_known(
    who: str, parameters: Mapping[str, inspect.Parameter], known: Iterable[str], more: str = ""
) -> None:
    """Raise TargetError if a parameter without a default is not among the *known*."""
    for name, parameter in parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind not in _OPEN_ENDED
        if needed and name not in known:
            raise TargetError(
                f"{who} needs {name}: what is it? Give --argument {name}=VALUE{more.format(name)}"
            )


class ClassMaker(Maker):
    """Makes a layer by calling its class."""

    def __init__(self, target: type, protocol: LayerProtocol, call: Caller) -> None:
        parameters = signature_of(target)
        self._keywords = {n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        known = protocol.found(**{key: first_name(key, self._keywords) for key in NAMES})
        super().__init__(target, target.__name__, known, call)
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            self._keywords |= set(protocol.arguments)
            self._keywords |= {name for name in (protocol.gamma, protocol.beta) if is_named(name)}
        check_known(
            f"the constructor of {self.name}",
            parameters,
            {*protocol.arguments, *(getattr(known, key) for key in NAMES)},
            ", or say which of gamma, beta, eps, input_shape it is: --protocol gamma={}",
        )

    def make(self, wanted: Wanted) -> Any:
        """A new layer; what has no keyword is set as an attribute."""
        values = {getattr(self.protocol, key): getattr(wanted, key) for key in NAMES}
        keywords = {
            name: value
            for name, value in values.items()
            if name in self._keywords and value is not None
        }
        extra = {n: v for n, v in self.protocol.arguments.items() if n in self._keywords}
        layer = self._call("constructor", self._target, **{**keywords, **extra})
        set_attributes(layer, self.protocol, wanted, set(keywords))
        return layer


class PairMaker(Maker):
    """Makes layers of a forward and a backward function."""

    def __init__(self, target: Pair, protocol: LayerProtocol, call: Caller) -> None:
        parameters = signature_of(target.forward)
        positional = [n for n, p in parameters.items() if p.kind in _POSITIONAL]
        with_gamma = len(positional) > _PARAMETERS
        self._extra = positional[1 + _PARAMETERS * with_gamma :]
        self._extra += [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
        gamma, beta = positional[1:3] if with_gamma else ("none", "none")
        known = (*NAMES["eps"], *_OPTIONS_NAMES)
        eps = next((name for name in known if name in self._extra), "none")
        found = protocol.found(gamma=gamma, beta=beta, eps=eps, input_shape="none")
        name = f"{target.forward.__name__},{target.backward.__name__}"
        super().__init__(target, name, replace(found, delta="argument"), call)
        check_known(
            target.forward.__name__,
            {name: parameters[name] for name in self._extra},
            {*known, *protocol.arguments},
        )

    def make(self, wanted: Wanted) -> Any:
        """A layer that keeps the cache between the two functions."""
        named: dict[str, Any] = {}
        for name in self._extra:
            if name in self.protocol.arguments:
                named[name] = self.protocol.arguments[name]
            elif name in NAMES["eps"] and wanted.eps is not None:
                named[name] = wanted.eps
            elif name in _OPTIONS_NAMES:
                named[name] = {"mode": "train", "momentum": 0.9}
                if wanted.eps is not None:
                    named[name]["eps"] = wanted.eps
        parameters = [] if self.protocol.gamma == "none" else [wanted.gamma, wanted.beta]
        return _PairLayer(self._target, parameters, named)


class _PairLayer:
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
