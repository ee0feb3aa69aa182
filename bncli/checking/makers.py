"""From what the user named to a layer in hand, whatever its style."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bncli.checking.arguments import (
    CACHES,
    Given,
    UnknownArgumentError,
    bound,
    own_eps,
    signature_of,
)
from bncli.checking.handed import Several, of_backward
from bncli.checking.modes import put_in_training
from bncli.checking.places import Path, as_array, replace_at, value_at, within_reach
from bncli.checking.protocol import LayerProtocol
from bncli.checking.question import Array
from bncli.checking.target import Caller, Pair, TargetFailure
from bncli.errors import TargetError

_FORWARD = (
    "forward", "forward_pass", "_forward", "forward_propagation", "forward_prop", "feedforward",
    "feed_forward", "fprop", "forward_propagate", "__call__", "call", "apply", "classify", "fwd",
    "ff", "update_output", "updateOutput", "process", "propagate", "predict", "transform",
    "activate", "compute", "run", "normalize", "evaluate",
)  # fmt: skip
_BACKWARD = (
    "backward", "backward_pass", "_backward", "backward_propagation", "backward_prop",
    "backpropagation", "back_propagation", "backpropagate", "backprop", "back_prop", "bprop",
    "backward_propagate", "back", "bwd", "bp", "feed_back", "feedback", "compute_gradient",
    "differentiate", "update_grad_input", "updateGradInput", "reverse", "pullback", "derive",
    "learn", "gradient", "derivative", "grad",
)  # fmt: skip
_SETUP = (
    "set_input_shape", "set_shape", "build", "init", "initialize", "initialise", "setup",
    "set_up", "init_params", "_init_params", "init_parameters", "initialize_parameters",
    "init_weights", "initialize_weights", "create", "compile", "set_optimizer", "reset_parameters",
)  # fmt: skip
_OUTPUTS = ("output", "out", "y", "outputs", "Y", "a", "activation", "result", "a_out", "O", "A")
_ARGUMENTS = "arguments"


class Layer:
    """A layer in hand: run forward and backward in its own layout, with eyes on its arrays.

    Args:
        thing: the user's object; None for two functions.
        forward, backward: of it.
        given: what arguments are given.
        call: runs the user's code.

    Attributes:
        arguments: what forward is given beside the input, by name.
    """

    def __init__(
        self, thing: Any, forward: Callable[..., Any], backward: Callable[..., Any], given: Given,
        call: Caller,
    ) -> None:  # fmt: skip
        self.thing, self.given, self._call = thing, given, call
        self._forward, self._backward = forward, backward
        parameters = list(signature_of(forward).items())
        named = [n for n, p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
        self._input = named[0] if named else ""
        more = {n: p for n, p in parameters if n != self._input}
        self._placed, self.arguments = _answered("forward", more, given)
        self._x: Any = None
        self._rest: Any = None

    def forward(self, x: Array) -> Array:
        """The output.

        Raises:
            TargetFailure: it failed, or gave no array.
        """
        self._x = x
        result = self._call("forward", self._forward, x, *self._placed, **self.arguments)
        self._rest = None
        if isinstance(result, tuple) and result:
            # Of more than output and cache, all may be the cache, or the first of them.
            rest = Several(result[1:])
            self._rest = (
                (self.given.choose(rest, rest[0]) if len(rest) > 1 else rest[0]) if rest else None
            )
            result = result[0]
        output = as_array(result)
        if output is None or not output.ndim:
            held = (as_array(getattr(self.thing, name, None)) for name in _OUTPUTS)
            output = next((value for value in held if value is not None and value.ndim), None)
        if output is None:
            raise TargetFailure(f"forward gave {kind_of(result)}, not an array of numbers")
        return output

    def backward(self, delta: Array) -> Any:
        """What backward returns."""
        parameters = signature_of(self._backward)
        given = self.given
        # Of two functions, what forward was given is known to backward, too; but not its cache.
        own = {n: v for n, v in self.arguments.items() if self.thing is None and n not in CACHES}
        given.said, kept = {**given.said, **own}, given.said
        try:
            placed, named = of_backward(parameters, delta, self._x, self._rest, given)
        except UnknownArgumentError as error:
            raise _unknown("backward", error) from None
        finally:
            given.said = kept
        return self._call("backward", self._backward, *placed, **named)

    def reach(self) -> Iterator[tuple[Path, Any]]:
        """All arrays within reach: the arguments of forward, then what the layer holds."""
        yield from (((_ARGUMENTS, *path), v) for path, v in within_reach(self.arguments))
        if self.thing is not None:
            yield from within_reach(self.thing)

    def value(self, path: Path) -> Any:
        """What lies at a path; None where nothing does."""
        return value_at(*self._from(path))

    def put(self, path: Path, value: Array) -> None:
        """Set the values of an array, in place where that can be."""
        held = value_at(*self._from(path))
        array = as_array(held)
        if array is None:
            raise TargetFailure(f"{path[-1]} is gone: it was an array before")
        shaped = np.asarray(value).reshape(array.shape)
        in_place = isinstance(held, np.ndarray) or not isinstance(held, float | int | list | tuple)
        if in_place and array.dtype.kind == "f" and array.flags.writeable and array.ndim:
            array[...] = shaped
        else:
            replace_at(*self._from(path), shaped if array.ndim else shaped.item())

    def _from(self, path: Path) -> tuple[Any, Path]:
        if path[:1] == (_ARGUMENTS,):
            return self.arguments, path[1:]
        return self.thing, path


def kind_of(value: Any) -> str:
    """What a thing is that should be an array of numbers."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


def _unknown(who: str, error: UnknownArgumentError) -> TargetError:
    return TargetError(f"{who} needs {error}: what is it? Give --argument {error}=VALUE")


def _answered(who: str, parameters: Any, given: Given) -> tuple[list[Any], dict[str, Any]]:
    try:
        return bound(parameters, given)
    except UnknownArgumentError as error:
        raise _unknown(who, error) from None


class Maker:
    """Makes copies of a layer there is.

    Attributes:
        name: what the target is called.
        fixed: whether its widths are what they are, so that probes have to fit.
    """

    fixed = True

    def __init__(self, target: Any, name: str, said: LayerProtocol, call: Caller) -> None:
        self._target, self._said, self._call = target, said, call
        self.name = name
        self.ways = _methods(target, said)

    @property
    def can_set_up(self) -> bool:
        """Whether there is something that may have to be called before forward."""
        return any(callable(getattr(self._target, name, None)) for name in _SETUP)

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Of its constructor, if it is made."""
        return {}

    def taken(self) -> dict[str, inspect.Parameter]:
        """Every parameter of what is called of it, by name."""
        names = {name for way in self.ways for name in way} | set(_SETUP)
        called = (getattr(self._target, name, None) for name in names)
        found = dict(self.parameters())
        for function in called:
            found |= signature_of(function) if callable(function) else {}
        return found

    def make(self, given: Given, way: int = 0, *, set_up: bool = False) -> Layer:
        """A new layer.

        Args:
            given: what its arguments are given.
            way: which of its pairs of methods is forward and backward.
            set_up: call what builds and initializes it, too.
        """
        thing = self._new(given)
        put_in_training(thing, given)
        if set_up:
            self._set_up(thing, given)
        return self.layer(thing, given, way)

    def layer(self, thing: Any, given: Given, way: int) -> Layer:
        """A layer of a thing that was made."""
        forward, backward = (getattr(thing, name) for name in self.ways[way])
        return Layer(thing, forward, backward, given, self._call)

    def sizes(self) -> set[int]:
        """Lengths of the arrays that it has, of which one may be its width."""
        arrays = (as_array(value) for _, value in within_reach(self._target))
        return {length for array in arrays if array is not None for length in array.shape}

    def eps(self) -> float | None:
        """The eps that it says it uses."""
        return own_eps(self._target, self.parameters())

    def _new(self, _given: Given) -> Any:
        return self._call("copy", copy.deepcopy, self._target)

    def _set_up(self, thing: Any, given: Given) -> None:
        for name in _SETUP:
            method = getattr(thing, name, None)
            if callable(method):
                try:
                    placed, named = bound(signature_of(method), given, guess=True)
                    self._call(name, method, *placed, **named)
                except TargetFailure as failure:
                    if failure.ended:
                        raise


class ClassMaker(Maker):
    """Makes a layer by calling its class."""

    fixed = False

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Of its constructor."""
        return signature_of(self._target)

    def _new(self, given: Given) -> Any:
        parameters = self.parameters()
        unknown = [name for name, p in parameters.items() if not _has_meaning(name, p, given)]
        if len(unknown) == 2 and given.variant == 0:  # noqa: PLR2004 - gamma and beta
            given.roles = {unknown[0]: "gamma", unknown[1]: "beta", **given.roles}
        placed, named = bound(parameters, given, guess=True)
        return self._call("constructor", self._target, *placed, **named)


class PairMaker(Maker):
    """Makes layers of a forward and a backward function."""

    fixed = False

    def __init__(self, target: Pair, said: LayerProtocol, call: Caller) -> None:
        self._target, self._said, self._call = target, said, call
        self.name = f"{target.forward.__name__},{target.backward.__name__}"
        self.ways = [("forward", "backward")]
        parameters = [
            name for name, p in self.parameters().items()
            if p.default is p.empty and p.kind is not p.VAR_POSITIONAL
        ]  # fmt: skip
        # By their place, where their names say nothing: (x, gamma, beta, ...).
        self._roles = dict(zip(parameters[1:3], ("gamma", "beta"), strict=False))
        if len(parameters) < 3:  # noqa: PLR2004 - x, gamma and beta
            self._roles = {}

    def parameters(self) -> dict[str, inspect.Parameter]:
        """Of forward."""
        return signature_of(self._target.forward)

    def make(self, given: Given, way: int = 0, *, set_up: bool = False) -> Layer:
        """A layer that keeps the cache between the two functions."""
        del way, set_up
        known = self.parameters()
        unknown = {n: r for n, r in self._roles.items() if not _has_meaning(n, known[n], given)}
        given.roles = {**unknown, **given.roles}
        return Layer(None, self._target.forward, self._target.backward, given, self._call)


def _has_meaning(name: str, parameter: inspect.Parameter, given: Given) -> bool:
    try:
        bound({name: parameter}, given)
    except UnknownArgumentError:
        return False
    return True


def forward_names(target: Any, said: LayerProtocol) -> list[str]:
    """The methods that may be forward, likeliest first; none where there is none."""
    found = _named(target, said.forward, _FORWARD, ("forward", "fprop", "feed"))
    if inspect.isclass(target) and not said.forward:
        # Every class can be called; only those that say so are called as layers.
        own = any("__call__" in vars(kind) for kind in target.__mro__[:-1])
        found = [name for name in found if name != "__call__" or own]
    return found


def _methods(target: Any, said: LayerProtocol) -> list[tuple[str, str]]:
    """The pairs of methods that may be forward and backward, likeliest first.

    Raises:
        TargetError: there are none.
    """
    forwards = forward_names(target, said)
    backwards = _named(target, said.backward, _BACKWARD, ("backward", "bprop", "backprop"))
    missing = [n for n, f in (("forward", forwards), ("backward", backwards)) if not f]
    if missing:
        hint = "; give file.py:forward,backward" if inspect.isfunction(target) else ""
        named = " ".join(f"--protocol {name}=METHOD" for name in missing)
        more = hint or f"; say what they are called: {named}{_methods_there(target)}"
        raise TargetError(f"{_called(target)} has no method {' and no '.join(missing)}{more}")
    return [(f, b) for f in forwards for b in backwards if f != b][:6]


def _methods_there(target: Any) -> str:
    kind = target if inspect.isclass(target) else type(target)
    there = [n for n in dir(kind) if not n.startswith("__") and callable(getattr(kind, n, None))]
    return f" (it has {', '.join(there[:12])})" if there else ""


def _called(target: Any) -> str:
    return str(getattr(target, "__name__", type(target).__name__))


def _named(target: Any, said: str, known: tuple[str, ...], parts: tuple[str, ...]) -> list[str]:
    kind = target if inspect.isclass(target) else type(target)
    # Of the class, since properties of the layer may raise what they like.
    offered = [name for name in dir(kind) if callable(getattr(kind, name, None))]
    offered += [name for name, value in getattr(target, "__dict__", {}).items() if callable(value)]
    if said:
        if said not in offered:
            raise TargetError(
                f"{_called(target)} has no method {said}; --protocol names one that it has"
            )
        return [said]
    exact = [name for name in known if name in offered]
    return exact or [n for n in offered if any(part in n.lower() for part in parts)]
