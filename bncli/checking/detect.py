"""Finds out how a layer is talked to, by its names and by trying it on a few numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.makers import Maker, PairLayer, Wanted, maker_for
from bncli.checking.protocol import (
    GRAD_BETA_NAMES,
    GRAD_GAMMA_NAMES,
    GRAD_INPUT_NAMES,
    LAYOUTS,
    LayerProtocol,
)
from bncli.checking.session import Array, LayerSession, Target, as_parts
from bncli.checking.target import Caller, TargetFailure
from bncli.errors import TargetError

_SHAPE = (5, 3, 4, 2)
_PARTS = 3


def find_out(thing: Any, protocol: LayerProtocol, call: Caller, eps: float | None) -> Target:
    """A target of known protocol.

    Args:
        thing: a class, a layer, a pair of functions, or something of torch.
        protocol: what the user has said of it.
        call: runs its code.
        eps: to make it with; None is its own.

    Raises:
        TargetError: it cannot be made or run, or the way its gradients come back stays unclear.
    """
    maker = maker_for(thing, protocol, call)
    trial = Trial(maker, call, eps)
    known = trial.with_layout(maker.protocol)
    known = trial.with_backward(known)
    return Target(_shaped(maker, trial), known, call, eps)


def _shaped(maker: Maker, trial: Trial) -> Maker:
    return PictureShaped(maker) if trial.picture_shape else maker


@dataclass(frozen=True, slots=True)
class PictureShaped:
    """Makes layers whose input_shape is (w, h, c), without the batch."""

    maker: Maker

    @property
    def name(self) -> str:
        """What the target is called."""
        return self.maker.name

    @property
    def protocol(self) -> LayerProtocol:
        """What its signature says."""
        return self.maker.protocol

    def make(self, wanted: Wanted) -> Any:
        """A new layer."""
        return self.maker.make(replace(wanted, shape=wanted.shape[1:]))


class Trial:
    """A few numbers to try a layer on."""

    def __init__(self, maker: Maker, call: Caller, eps: float | None) -> None:
        self._maker, self._call, self._eps = maker, call, eps
        rng = np.random.default_rng(2015)
        self.x = rng.standard_normal(_SHAPE)
        self.gamma, self.beta = rng.uniform(0.5, 1.5, (2, *_SHAPE[1:]))
        self.deltas = rng.standard_normal((3, *_SHAPE))
        self.picture_shape = False

    def with_layout(self, protocol: LayerProtocol) -> LayerProtocol:
        """The first layout in which the forward works."""
        first: TargetFailure | None = None
        for layout in [protocol.layout] if protocol.layout else LAYOUTS:
            for picture_shape in (False, True) if protocol.input_shape else (False,):
                self.picture_shape = picture_shape
                try:
                    known = replace(protocol, layout=layout)
                    self._session(known).forward(self.x)
                except TargetFailure as failure:
                    if failure.ended:
                        raise
                    first = first or failure
                else:
                    return known
        assert first is not None  # noqa: S101 - a layout was tried
        raise TargetError(
            f"{self._maker.name}: {first.message}, tried on a batch of shape {_SHAPE}",
            *first.trace,
        )

    def with_backward(self, protocol: LayerProtocol) -> LayerProtocol:
        """Where the delta goes and where the gradients come from."""
        failure: TargetFailure | None = None
        ran = False
        sources = [protocol.delta] if protocol.delta else ["attribute", "argument"]
        for source in sources:
            try:
                seen = self._observe(protocol, source)
            except TargetFailure as error:
                if error.ended:
                    raise
                failure = error
                continue
            ran = True
            way = protocol.grad_input or seen.way()
            if way:
                return self._named(replace(protocol, delta=source, grad_input=way), seen)
        if failure is not None and not ran:
            raise TargetError(f"{self._maker.name}: {failure.message}", *failure.trace)
        raise TargetError(
            f"{self._maker.name}: backward ran, but no array of the input's shape depends on "
            "delta: where does it put the gradient of the input? Give --protocol "
            "grad_input=returned|overwritten|added|attribute:NAME, and --protocol "
            "delta=argument|attribute"
        )

    def _session(self, protocol: LayerProtocol) -> LayerSession:
        maker = PictureShaped(self._maker) if self.picture_shape else self._maker
        return Target(maker, protocol, self._call, self._eps).open(
            self.gamma, self.beta, len(self.x)
        )

    def _observe(self, protocol: LayerProtocol, source: str) -> Seen:
        first, second, others = self.deltas
        zeros = np.zeros_like(first)
        if source == "attribute":
            runs = [(first, zeros), (second, zeros), (first, others)]
        else:
            runs = [(None, first), (None, second), (None, first)]
        looks = [self._look(protocol, attribute, argument) for attribute, argument in runs]
        return Seen(source, looks)

    def _look(self, protocol: LayerProtocol, attribute: Array | None, argument: Array) -> Look:
        session = self._session(protocol)
        session.forward(self.x)
        layer = session.layer
        flat = protocol.layout == "flat"
        if attribute is not None:
            if not hasattr(layer, "delta") or isinstance(layer, PairLayer):
                raise TargetFailure("delta cannot be an attribute: the layer has none")
            layer.delta = _laid(attribute, flat=flat)
        sent = _laid(argument, flat=flat)
        returned = session.run_backward(sent)
        return Look(layer, as_parts(returned), _laid(argument, flat=flat), sent)

    def _named(self, protocol: LayerProtocol, seen: Seen) -> LayerProtocol:
        look = seen.looks[0]
        if len(look.parts) >= _PARTS:
            gamma, beta = ("none" if part is None else "returned" for part in look.parts[1:3])
            return protocol.found(grad_gamma=gamma, grad_beta=beta)
        return protocol.found(
            grad_gamma=_held(look.layer, GRAD_GAMMA_NAMES) or "none",
            grad_beta=_held(look.layer, GRAD_BETA_NAMES) or "none",
        )


@dataclass(slots=True)
class Look:
    """What one backward left behind.

    Attributes:
        layer: the layer.
        parts: what it returned, taken apart.
        before, after: the argument.
    """

    layer: Any
    parts: list[Any]
    before: Array
    after: Array


@dataclass(slots=True)
class Seen:
    """Three backwards: with a delta, with another, and with the first again.

    Where the delta is an attribute, the third has another argument.
    """

    source: str
    looks: list[Look]

    def way(self) -> str:
        """The way the gradient of the input comes back; empty if none is seen."""
        weak = ""
        for way, values in self._candidates():
            shapes = {getattr(value, "shape", None) for value in values}
            if shapes != {self.looks[0].after.shape}:
                if way == "returned" and values[0] is not None:
                    weak = weak or way  # of a wrong shape or kind: that is for the check to say
                continue
            first, second, third = values
            moved = not _same(first, second)
            if moved and _same(first, third):
                return way
            if way == "returned":
                weak = way
        return weak if self.source == "argument" or not self._argument_matters() else ""

    def _argument_matters(self) -> bool:
        first, _, third = (look.parts[0] if look.parts else None for look in self.looks)
        return first is None or third is None or not _same(first, third)

    def _candidates(self) -> Iterator[tuple[str, list[Any]]]:
        looks = self.looks
        yield "returned", [look.parts[0] if look.parts else None for look in looks]
        changed = [look.after for look in looks if not _same(look.after, look.before)]
        if len(changed) == len(looks):
            yield "overwritten", changed
            if self.source == "attribute":
                yield "added", [look.after - look.before for look in looks]
        for name in GRAD_INPUT_NAMES:
            values = [getattr(look.layer, name, None) for look in looks]
            if all(isinstance(value, np.ndarray) for value in values):
                yield f"attribute:{name}", values


def _same(a: Any, b: Any) -> bool:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.shape != b.shape:
        return False
    if a.dtype.kind not in "fciub" or b.dtype.kind not in "fciub":
        return False
    # What was added into another number has lost a digit or two.
    scale = float(np.nanmax(np.abs(a), initial=0)) + 1.0
    return bool(np.allclose(a, b, rtol=1e-6, atol=1e-6 * scale, equal_nan=True))


def _laid(array: Array, *, flat: bool) -> Array:
    copied = array.copy()
    return copied.reshape(len(copied), -1) if flat else copied


def _held(layer: Any, names: tuple[str, ...]) -> str:
    return next((name for name in names if getattr(layer, name, None) is not None), "")
