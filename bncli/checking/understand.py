"""What a target is: tried in every layout, until forward and backward have both worked."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bncli.checking.arguments import UnknownArgumentError, nobody_takes
from bncli.checking.layouts import LAST_RESORT, LAYOUTS, Layout, Shape, parameter_shapes
from bncli.checking.makers import ClassMaker, Maker, PairMaker
from bncli.checking.parameters import Parameter, find_parameters
from bncli.checking.places import as_array, parsed, spelled
from bncli.checking.protocol import ABSENT, LayerProtocol
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE, draw_parameters
from bncli.checking.seeker import Seeker
from bncli.checking.session import Recipe, Target
from bncli.checking.target import Caller, Pair, TargetFailure
from bncli.checking.tensors import TensorMaker, tensor_of
from bncli.checking.torch_makers import TorchMaker
from bncli.errors import OptionError, TargetError

_VARIANTS = 4
_MADE, _FORWARD, _BACKWARD, _GIVES, _HOLDS = range(1, 6)


@dataclass(slots=True)
class Trial:
    """One layout tried.

    Attributes:
        layout: the layout.
        reached: how far it came: made, forward, backward, gives a gradient, holds.
        target: as far as it was understood.
        shape: of the probes that fit it, (batch, w, h, c).
        message: what failed.
        trace: of the target's own code.
        missing: role -> what may be its gradient, where none could be told.
    """

    layout: Layout
    reached: int = 0
    target: Target | None = None
    shape: tuple[int, int, int, int] = PROBE_SHAPE
    message: str = ""
    trace: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def variant(self) -> int:
        """Which of the values that arguments may stand for was taken."""
        return self.target.recipe.variant if self.target else 0

    @property
    def rank(self) -> tuple[int, bool, int]:
        """How good it is: the further it came, the better, and best with all gradients."""
        return self.reached, not self.missing, len(self.target.ways) if self.target else 0

    @property
    def holds(self) -> bool:
        """Whether forward and backward both run, and give gradients that fit."""
        return self.reached == _HOLDS


def understand(thing: Any, said: LayerProtocol, call: Caller, eps: float | None) -> list[Trial]:
    """Every layout in which a target works; or the one in which it gives gradients at all.

    Args:
        thing: a class, a layer, a pair of functions, or something of torch.
        said: what the user has said of it.
        call: runs its code.
        eps: to make it with; None is its own.

    Returns:
        All that were tried; at least one has a target.

    Raises:
        TargetError: it cannot be made or run, or no gradient of the input comes back.
        OptionError: the user has said something of it that is not there.
    """
    first: TargetError | None = None
    for maker in _makers_for(thing, said, call):
        taken = maker.taken()
        for name in nobody_takes(said.arguments, taken):
            there = ", ".join(n for n in taken if n != "self") or "nothing"
            raise OptionError(
                f"--argument {name}: {maker.name} takes no argument of that name; it takes {there}"
            )
        trials = _tried(maker, said, call, eps)
        best = max(trials, key=lambda trial: trial.rank)
        if best.reached >= _GIVES:
            return trials
        first = first or TargetError(f"{maker.name}: {best.message}", *best.trace)
    assert first is not None  # noqa: S101 - there is a maker
    raise first


def _tried(maker: Maker, said: LayerProtocol, call: Caller, eps: float | None) -> list[Trial]:
    """Every layout, and whether it holds."""
    trials: list[Trial] = []
    for name in [said.layout] if said.layout else list(LAYOUTS):
        if name in LAST_RESORT and not said.layout and any(t.holds for t in trials):
            continue
        trials.append(_best_in(LAYOUTS[name], maker, said, call, eps))
    best = max(trials, key=lambda trial: trial.rank)
    least = min((t.variant for t in trials if t.rank == best.rank), default=0)
    for trial in trials:
        if trial.holds and (trial.rank < best.rank or trial.variant > least):
            # Gradients that come back in one layout are not missed in another; and where one takes
            # the arguments for what they say they are, others are no more than a guess.
            trial.reached = _GIVES
    return trials


def _makers_for(target: Any, said: LayerProtocol, call: Caller) -> Iterator[Maker]:
    """The makers that may fit *target*, likeliest first.

    Raises:
        TargetError: it is no class, layer, pair of functions, or something of torch.
    """
    kind = _torch_kind(target)
    if kind:
        yield TorchMaker(target, kind, said, call)
    elif isinstance(target, tuple) and len(target) == 2 and all(map(callable, target)):  # noqa: PLR2004 - forward and backward
        yield PairMaker(Pair(*target), said, call)
    elif inspect.isclass(target):
        tensor = tensor_of(target)
        try:
            yield ClassMaker(target, target.__name__, said, call)
        except TargetError:
            if tensor is None:
                raise
        if tensor is not None:
            yield TensorMaker(target, tensor, said, call)
    else:
        yield Maker(target, getattr(target, "__name__", type(target).__name__), said, call)


def _torch_kind(target: Any) -> str:
    """``module`` or ``function`` if *target* is one of torch, which need not be imported."""
    kind = target if isinstance(target, type) else type(target)
    for base in kind.__mro__:
        if base.__module__.startswith("torch.") and base.__name__ in {"Module", "Function"}:
            return str(base.__name__).lower()
    return ""


def _best_in(
    layout: Layout, maker: Maker, said: LayerProtocol, call: Caller, eps: float | None
) -> Trial:
    best = Trial(layout)
    for shape in _shapes(maker, said, layout):
        for recipe in _recipes(layout, maker, shape):
            trial = Trial(layout, shape=shape)
            target = Target(maker, recipe, said, call, eps)
            try:
                _try(target, trial)
            except TargetFailure as failure:
                if failure.ended:
                    raise
                trial.message, trial.trace = failure.message, failure.trace
            except UnknownArgumentError as error:
                trial.message = f"the constructor needs {error}: give --argument {error}=VALUE"
            except TargetError as error:
                trial.message = str(error)
            if trial.holds and not trial.missing and trial.rank[2] > 1:
                return trial
            if trial.rank > best.rank or (best.reached == 0 and not best.message):
                best = trial
    return best


def _shapes(maker: Maker, said: LayerProtocol, layout: Layout) -> list[tuple[int, int, int, int]]:
    """The shapes of probes to try: one for all, and such as fit widths that cannot be changed."""
    batch, width, height, _ = PROBE_SHAPE
    widths = {v for v in said.arguments.values() if isinstance(v, int) and not isinstance(v, bool)}
    if maker.fixed:
        widths |= maker.sizes()
    widths = {size for size in widths if 1 < size < 1 << 20}
    shapes: list[tuple[int, int, int, int]] = [PROBE_SHAPE]
    for size in sorted(widths):
        if layout.name in {"flat", "dn"}:
            shapes.append((batch, 1, 1, size))
        else:
            # No two lengths alike, so that a parameter's axes can be told.
            sizes = (
                (8, 6, 7) if size in {batch, width, height, 2 * width} else (batch, width, height)
            )
            shapes += [(*sizes, size), (*sizes, 2 * size)]
    return shapes[:9]


def _recipes(layout: Layout, maker: Maker, shape: Shape) -> Iterator[Recipe]:
    ups = (False, True) if maker.can_set_up else (False,)
    owns = range(len(parameter_shapes(layout, shape)))
    for up, way, own, variant in itertools.product(
        ups, range(len(maker.ways)), owns, range(_VARIANTS)
    ):
        yield Recipe(layout, way, own, variant, up)


def _try(target: Target, trial: Trial) -> None:
    """Understand a target in one layout, as far as it goes."""
    shape, layout = trial.shape, trial.layout
    rng = np.random.default_rng(2015)
    x, *deltas = rng.standard_normal((3, *shape)).astype(np.float32).astype(np.float64)
    laid = layout.there(x)
    layer = target.new(shape)
    trial.reached = _MADE
    output = layer.forward(laid.copy())
    if output.shape != laid.shape:
        raise TargetFailure(
            f"forward gave an output of shape {output.shape}; it must be {laid.shape}"
        )
    trial.reached = _FORWARD
    if hasattr(layer.thing, "delta"):
        layer.thing.delta = layout.there(deltas[0]).copy()
    layer.backward(layout.there(deltas[0]).copy())
    trial.reached = _BACKWARD
    if trial.target is None:
        trial.target = target
    parameters = find_parameters(lambda: target.new(shape), layout, shape, laid)
    target = replace(target, parameters=tuple(_said_first(target, parameters, layout, shape)))
    target = _without_chance(target, shape)
    values = draw_parameters(target.parameter_shapes(shape), 2015)
    seeker = Seeker(target, x, (deltas[0], deltas[1]), values)
    trial.target = seeker.find()
    trial.missing = seeker.missing
    trial.reached = _HOLDS if seeker.fits else _GIVES


def _without_chance(target: Target, shape: Shape) -> Target:
    """With no axes for a parameter that has them by chance: two values, and two channels."""
    if shape != PROBE_SHAPE or target.maker.fixed:
        return target
    try:
        there = target.parameter_shapes(SECOND_SHAPE)
    except TargetFailure as failure:
        if failure.ended:
            raise
        return target
    laid = target.layout.shape(SECOND_SHAPE)
    settled = []
    for parameter in target.parameters:
        size = math.prod(there[parameter.role])
        if parameter.axes is not None and size != math.prod(laid[a] for a in parameter.axes):
            settled.append(replace(parameter, role=spelled(parameter.path), axes=None))
        else:
            settled.append(parameter)
    return replace(target, parameters=tuple(settled))


def _said_first(
    target: Target, found: list[Parameter], layout: Layout, shape: Shape
) -> list[Parameter]:
    """The parameters, those that the user has named under the roles that he has said."""
    roles = {r: getattr(target.said, r) for r in ("gamma", "beta") if getattr(target.said, r)}
    known = list(found)
    for role, said in roles.items():
        known = [p for p in known if p.role != role or said != ABSENT]
        if said == ABSENT:
            continue
        path = parsed(said)
        layer = target.new(shape)
        layer.forward(layout.there(np.random.default_rng(3).standard_normal(shape)))
        under = next(
            (p for p in (path, ("arguments", *path)) if as_array(layer.value(p)) is not None), None
        )
        if under is None:
            if said in target.maker.parameters():
                continue
            raise OptionError(f"--protocol {role}={said}: the layer has no such array")
        array = as_array(layer.value(under))
        axes = layout.axes_of(array.shape, shape) if array is not None else None
        if axes is None:
            raise OptionError(f"--protocol {role}={said}: its shape fits no axes of the batch")
        same = next((p for p in known if p.path == under), None)
        late = same.late if same else False
        known = [p for p in known if p.path != under and p.role != role]
        known.append(Parameter(role, under, axes, late))
    return known
