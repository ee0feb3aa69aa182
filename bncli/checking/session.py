"""A layer in use: found out how it is talked to, made, and run forward and backward."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from bncli.checking.gradients import Gradients, Look, kind_of, way_back
from bncli.checking.layouts import LAYOUTS, in_image_layout, laid_out, parameter_laid_out
from bncli.checking.makers import ClassMaker, Maker, PairMaker
from bncli.checking.parameters import Wanted
from bncli.checking.protocol import LayerProtocol
from bncli.checking.question import PROBE_SHAPE, Array
from bncli.checking.target import Caller, Pair, TargetFailure
from bncli.errors import TargetError

_INPUT_NAMES = ("inpt", "input", "inputs", "x", "inp", "X")
_OUTPUT_NAMES = ("output", "out", "y")


class Target:
    """Something that makes layers of known protocol.

    Args:
        maker: makes them.
        protocol: how to talk to them.
        call: runs their code.
        eps: to make them with; None is their own.
        by_picture: whether input_shape is that of a picture, without the batch.
    """

    def __init__(self, maker: Maker, protocol: LayerProtocol, call: Caller, eps: float | None,
                 *, by_picture: bool = False) -> None:  # fmt: skip
        self.maker, self.protocol, self.call, self.eps = maker, protocol, call, eps
        self.by_picture = by_picture

    @property
    def name(self) -> str:
        """What the target is called."""
        return self.maker.name

    def open(self, gamma: Array, beta: Array, batch: int) -> Session:
        """Make a layer for batches of *batch* pictures; gamma and beta are (w, h, c)."""
        layout = self.protocol.layout
        gamma = parameter_laid_out(gamma.copy(), layout)
        beta = parameter_laid_out(beta.copy(), layout)
        shape = gamma.shape if self.by_picture else (batch, *gamma.shape)
        wanted = Wanted(gamma, beta, self.eps, shape)
        return Session(self.maker.make(wanted), self.protocol, self.call)


class Session:
    """One layer in use."""

    def __init__(self, layer: Any, protocol: LayerProtocol, call: Caller) -> None:
        self.layer, self._protocol, self._call = layer, protocol, call
        self._shape: tuple[int, ...] = ()

    def forward(self, x: Array, *, copied: bool = True) -> Array:
        """Output of a batch (batch, w, h, c), of its shape.

        Args:
            x: the batch.
            copied: hand over a copy, so that the layer may do with it what it likes.

        Raises:
            TargetFailure: the forward failed, or gave no array of that shape.
        """
        self._shape = x.shape
        given = laid_out(x.copy() if copied else x, self._protocol.layout)
        output = self._output_of(self._call("forward", self.layer.forward, given))
        if output.size != x.size or output.shape != given.shape:
            raise TargetFailure(
                f"forward gave an output of shape {output.shape}; it must be {given.shape}"
            )
        # A copy: the layer may write its next output into the same array.
        return np.array(np.asarray(output)).reshape(x.shape)

    def backward(self, delta: Array) -> Gradients:
        """The gradients for a delta (batch, w, h, c), not yet judged.

        Raises:
            TargetFailure: the backward failed.
        """
        by_attribute = self._protocol.delta == "attribute"
        look = self.look(*((np.zeros_like(delta), delta) if by_attribute else (delta,)))
        raw = look.gradients(self._protocol)
        layout, shape = self._protocol.layout, self._shape
        return Gradients(
            in_image_layout(raw.grad_input, layout, shape),
            in_image_layout(raw.grad_gamma, layout, shape),
            in_image_layout(raw.grad_beta, layout, shape),
        )

    def look(self, argument: Array, attribute: Array | None = None) -> Look:
        """Run one backward with an argument where it takes one, and with ``layer.delta`` set.

        Args:
            argument: (batch, w, h, c).
            attribute: of that shape; None leaves ``layer.delta`` as it is.
        """
        layout = self._protocol.layout
        if attribute is not None:
            self.layer.delta = laid_out(attribute.copy(), layout)
        before = laid_out(argument, layout)
        sent = before.copy()
        function = self.layer.backward
        x = next((getattr(self.layer, n) for n in _INPUT_NAMES if hasattr(self.layer, n)), None)
        returned = self._call("backward", function, *_arguments(function, sent, x))
        return Look(self.layer, returned, before, sent)

    def _output_of(self, result: Any) -> Array:
        if isinstance(result, tuple) and result:
            result = result[0]
        if not isinstance(result, np.ndarray):
            held = (getattr(self.layer, name, None) for name in _OUTPUT_NAMES)
            result = next((value for value in held if isinstance(value, np.ndarray)), result)
        if not isinstance(result, np.ndarray) or result.dtype.kind not in "fciub":
            raise TargetFailure(f"forward gave {kind_of(result)}, not an array of numbers")
        return result


def _arguments(function: Any, delta: Any, x: Any) -> list[Any]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [delta]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and not positional:
        return [delta]
    needed = [p for p in positional if p.default is p.empty] or positional[:1]
    return [x if p.name in _INPUT_NAMES and len(needed) > 1 else delta for p in needed]


def find_out(thing: Any, protocol: LayerProtocol, call: Caller, eps: float | None) -> Target:
    """A target of known protocol, by its names and by trying it on a few numbers.

    Args:
        thing: a class, a layer, a pair of functions, or something of torch.
        protocol: what the user has said of it.
        call: runs its code.
        eps: to make it with; None is its own.

    Raises:
        TargetError: it cannot be made or run, or the way its gradients come back stays unclear.
    """
    maker = _maker_for(thing, protocol, call)
    trial = _Trial(Target(maker, maker.protocol, call, eps))
    trial.find_layout()
    trial.find_gradients()
    return trial.target


def _maker_for(target: Any, protocol: LayerProtocol, call: Caller) -> Maker:
    """The maker that fits *target*: a class, a layer, a pair, or something of torch.

    Raises:
        TargetError: it is none of these.
    """
    kind = _torch_kind(target)
    if kind:
        from bncli.checking.torch_makers import TorchMaker

        return TorchMaker(target, kind, protocol, call)
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
    return Maker(target, type(target).__name__, protocol, call)


def _torch_kind(target: Any) -> str:
    """``module`` or ``function`` if *target* is one of torch, which need not be imported."""
    bases = (target if inspect.isclass(target) else type(target)).__mro__
    for base in bases:
        if base.__module__.startswith("torch.") and base.__name__ in {"Module", "Function"}:
            return str(base.__name__).lower()
    return ""


class _Trial:
    """A few numbers to try a target on."""

    def __init__(self, target: Target) -> None:
        self.target = target
        rng = np.random.default_rng(2015)
        self._x = rng.standard_normal(PROBE_SHAPE)
        self._gamma, self._beta = rng.uniform(0.5, 1.5, (2, *PROBE_SHAPE[1:]))
        self._deltas = rng.standard_normal((3, *PROBE_SHAPE))

    def find_layout(self) -> None:
        """Settle on the first layout in which the forward works."""
        target, said = self.target, self.target.protocol
        first: TargetFailure | None = None
        layouts = [said.layout] if said.layout else LAYOUTS
        shapes = (False, True) if said.input_shape else (False,)
        for layout, by_picture in itertools.product(layouts, shapes):
            target.protocol, target.by_picture = replace(said, layout=layout), by_picture
            try:
                self._forward()
            except TargetFailure as failure:
                if failure.ended:
                    raise
                first = first or failure
            else:
                return
        assert first is not None  # noqa: S101 - a layout was tried
        raise TargetError(
            f"{target.name}: {first.message}, tried on a batch of shape {PROBE_SHAPE}",
            *first.trace,
        )

    def find_gradients(self) -> None:
        """Settle where the delta goes and where the gradients come from."""
        protocol = self.target.protocol
        failure: TargetFailure | None = None
        ran = False
        for source in [protocol.delta] if protocol.delta else ["attribute", "argument"]:
            try:
                looks = self._looks(source)
            except TargetFailure as error:
                if error.ended:
                    raise
                failure = error
                continue
            ran = True
            way = protocol.grad_input or way_back(looks, source)
            if way:
                known = replace(protocol, delta=source, grad_input=way)
                self.target.protocol = known.found(**looks[0].parameter_names())
                return
        if failure is not None and not ran:
            raise TargetError(f"{self.target.name}: {failure.message}", *failure.trace)
        raise TargetError(
            f"{self.target.name}: backward ran, but no array of the input's shape depends on "
            "delta: where does it put the gradient of the input? Give --protocol "
            "grad_input=returned|overwritten|added|attribute:NAME, and --protocol "
            "delta=argument|attribute"
        )

    def _forward(self) -> Session:
        session = self.target.open(self._gamma, self._beta, len(self._x))
        session.forward(self._x)
        return session

    def _looks(self, source: str) -> list[Look]:
        first, second, other = self._deltas
        if source == "argument":
            return [self._forward().look(delta) for delta in (first, second, first)]
        looks = []
        for delta, argument in ((first, 0 * first), (second, 0 * first), (first, other)):
            session = self._forward()
            if not hasattr(session.layer, "delta"):
                raise TargetFailure("delta cannot be an attribute: the layer has none")
            looks.append(session.look(argument, delta))
        return looks
