"""What a target is: tried in every layout, until forward and backward have both worked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.arguments import UnknownArgumentError
from bncli.checking.gradients import (
    MOVED,
    RETURNED,
    Closely,
    Found,
    find_input,
    find_of_parameter,
    is_meant,
    named_by_optimizer,
    names_of,
    numbers_or_reason,
    that_depend,
)
from bncli.checking.layouts import (
    LAST_RESORT,
    LAYOUTS,
    Layout,
    Shape,
    parameter_shapes,
    reshaped,
)
from bncli.checking.makers import ClassMaker, Maker, PairMaker
from bncli.checking.parameters import Parameter, find_parameters
from bncli.checking.places import Path, as_array, parsed
from bncli.checking.protocol import ABSENT, LayerProtocol
from bncli.checking.question import PROBE_SHAPE, Array, draw_parameters
from bncli.checking.session import Recipe, Session, Target
from bncli.checking.target import Caller, Pair, TargetFailure
from bncli.errors import OptionError, TargetError

_VARIANTS = 4
_FAR = 1e-4
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
    missing: dict[str, str] | None = None

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
    """
    maker = _maker_for(thing, said, call)
    names = [said.layout] if said.layout else list(LAYOUTS)
    trials: list[Trial] = []
    for name in names:
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
    if best.reached < _GIVES:
        raise TargetError(f"{maker.name}: {best.message}", *best.trace)
    return trials


def _maker_for(target: Any, said: LayerProtocol, call: Caller) -> Maker:
    """The maker that fits *target*.

    Raises:
        TargetError: it is no class, layer, pair of functions, or something of torch.
    """
    import inspect

    kind = _torch_kind(target)
    if kind:
        from bncli.checking.torch_makers import TorchMaker

        return TorchMaker(target, kind, said, call)
    if isinstance(target, tuple) and len(target) == 2 and all(map(callable, target)):  # noqa: PLR2004 - forward and backward
        return PairMaker(Pair(*target), said, call)
    if inspect.isclass(target):
        return ClassMaker(target, target.__name__, said, call)
    return Maker(target, getattr(target, "__name__", type(target).__name__), said, call)


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
            if trial.rank > best.rank or best.reached == 0 and not best.message:
                best = trial
    return best


def _shapes(maker: Maker, said: LayerProtocol, layout: Layout) -> list[Shape]:
    """The shapes of probes to try: one for all, and such as fit widths that cannot be changed."""
    batch, width, height, _ = PROBE_SHAPE
    widths = {v for v in said.arguments.values() if isinstance(v, int) and not isinstance(v, bool)}
    if maker.fixed:
        widths |= maker.sizes()
    widths = {size for size in widths if 1 < size < 1 << 20}
    shapes: list[Shape] = [PROBE_SHAPE]
    for size in sorted(widths):
        if layout.name in {"flat", "dn"}:
            shapes.append((batch, 1, 1, size))
        else:
            # No two lengths alike, so that a parameter's axes can be told.
            sizes = (8, 6, 7) if size in {batch, width, height, 2 * width} else (batch, width, height)
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
    values = draw_parameters(target.parameter_shapes(shape), 2015)
    probe = _Probe(target, x, (deltas[0], deltas[1]), values)
    trial.target = probe.find_gradients(trial)


@dataclass(slots=True)
class _Probe:
    """A few numbers to find the gradients by."""

    target: Target
    x: Array
    deltas: tuple[Array, Array]
    values: dict[str, Array]

    def open(self, values: dict[str, Array] | None = None, rate: float = 0.0) -> Session:
        return self.target.open(self.values if values is None else values, self.x.shape, rate=rate)

    def run(self, x: Array, values: dict[str, Array]) -> Array:
        return self.open(values).forward(x)

    def looks(self) -> tuple[list[Found], str]:
        """What three backwards leave, and where they have read the delta from."""
        first, second = self.deltas
        ways = [self.target.said.delta] if self.target.said.delta else ["attribute", "argument"]
        failure: TargetFailure | None = None
        for way in ways:
            other = np.roll(first, 1) if way == "attribute" else None
            try:
                looks = [
                    self._look(way, delta, argument)
                    for delta, argument in ((first, None), (second, None), (first, other))
                ]
            except TargetFailure as error:
                if error.ended:
                    raise
                failure = error
                continue
            fitting = [a for a in that_depend(looks).values() if a.size == first.size]
            if way == "argument" or self.target.said.delta or _news(fitting, self, first):
                return looks, way
        raise failure or TargetFailure("backward gives nothing that depends on delta")

    def _look(self, way: str, delta: Array, argument: Array | None) -> Found:
        session = Session(
            replace(self.target, delta=way),
            self.target.open(self.values, self.x.shape).layer, self.values,
        )  # fmt: skip
        session.forward(self.x)
        if way == "attribute" and not hasattr(session.layer.thing, "delta"):
            raise TargetFailure("delta cannot be an attribute: the layer has none")
        return named_by_optimizer(session.look(delta, argument), self.values)

    def find_gradients(self, trial: Trial) -> Target:
        """Settle where the delta goes and where the gradients come from."""
        looks, delta = self.looks()
        self.target = replace(self.target, delta=delta)
        layout, shape = self.target.layout, self.x.shape
        found = that_depend(looks)
        laid = layout.there(self.deltas[0])
        said = self.target.said
        where = _said_place(said.grad_input, looks[0], "grad_input")
        path = where or find_input(
            found, looks[0], laid.shape, laid, lambda a: self._is_input(layout.back(a, shape))
        )
        if not path:
            seen = names_of(list(found)) or "nothing"
            raise TargetError(
                f"backward ran, but no array of the input's shape {laid.shape} depends on delta "
                f"(what does: {seen}): where does it put the gradient of the input? Give "
                "--protocol grad_input=PLACE, or --protocol delta=argument|attribute"
            )
        trial.reached = _GIVES
        ways = {"grad_input": path}
        fits = numbers_or_reason(looks[0].get(path), laid.shape, "")[0] is not None
        # A parameter that has moved is no gradient; how far it has moved, may be one.
        own = {parameter.path for parameter in self.target.parameters}
        rest = {p: a for p, a in found.items() if p != path and p not in own}
        trial.missing = {}
        constant: list[Parameter] = []
        for parameter in self.target.parameters:
            name = f"grad_{parameter.role}"
            way = self._way_of(parameter, rest, looks[0], trial)
            if way:
                ways[name] = way
                rest.pop(way, None)
            elif parameter.is_known or name in trial.missing:
                trial.missing.setdefault(name, "")
            else:
                constant.append(parameter)
        trial.reached = _HOLDS if fits and not self._misshapen(ways, rest, looks[0]) else _GIVES
        return replace(self.target, ways=ways)

    def _misshapen(self, ways: dict[str, Path], rest: Found, first: Found) -> bool:
        """Whether a gradient comes back in a shape that is not that of its parameter."""
        for role, value in self.values.items():
            path = ways.get(f"grad_{role}", ())
            if path and path[0] != MOVED and reshaped(first.get(path), value.shape) is None:
                return True
        return False

    def _way_of(self, parameter: Parameter, rest: Found, first: Found, trial: Trial) -> Path:
        role = parameter.role
        said = getattr(self.target.said, f"grad_{role}", "")
        if said:
            return () if said == ABSENT else _said_place(said, first, f"grad_{role}")
        shape = self.values[role].shape
        way = find_of_parameter(
            parameter, self.target.parameters, rest, shape, self._is_of(role)
        )
        if way:
            return way
        moved = self._moved(parameter)
        if moved:
            return moved
        misshapen = self._wrongly_shaped(parameter, rest)
        others = [other for other in self.target.parameters if other is not parameter]
        close = [
            path for path, array in rest.items()
            if reshaped(array, shape) is not None and not any(is_meant(path, o) for o in others)
        ]  # fmt: skip
        if close and not misshapen and trial.missing is not None:
            trial.missing[f"grad_{role}"] = names_of(close)
        return misshapen

    def _wrongly_shaped(self, parameter: Parameter, rest: Found) -> Path:
        """What was meant by name or place, though its shape is another."""
        named = [p for p in rest if is_meant(p, parameter)]
        if named:
            return named[0]
        parts = [p for p in rest if p[0] == RETURNED and len(p) > 1]
        place = self.target.parameters.index(parameter)
        return parts[place] if len(parts) == len(self.target.parameters) else ()

    def _moved(self, parameter: Parameter) -> Path:
        """Whether backward itself takes a step along the gradient of a parameter, and of what rate.

        Where the rate is none that can be given, it is found by the value: the gradient is then
        known up to a factor, which a wrong one does not have throughout.
        """
        role, before = parameter.role, self.values[parameter.role]
        steps = []
        for rate in (1.0, 0.0):
            try:
                session = self.open(rate=rate)
                session.forward(self.x)
                session.look(self.deltas[0])
            except TargetFailure:
                return ()
            after = as_array(session.layer.value(parameter.path))
            if after is None or after.shape != before.shape:
                return ()
            steps.append(before - after)
        if not np.allclose(steps[0], steps[1], rtol=1e-4, atol=1e-6):
            return (MOVED, role)
        along = np.random.default_rng(8).standard_normal(before.shape)
        slope = float(self._slope(role, along).sum())
        factor = float((steps[1] * along).sum()) / (slope or 1.0)
        noise = 1e-5 * float(np.abs(before).max(initial=1.0))
        return (MOVED, role, repr(factor)) if np.abs(steps[1]).max() > noise and factor else ()

    def _slope(self, role: str, along: Array) -> Array:
        """The terms of the derivative by a parameter along a direction."""
        step = 1e-3
        up, down = (
            self.run(self.x, {**self.values, role: self.values[role] + s * along})
            for s in (step, -step)
        )
        return np.asarray(self.deltas[0] * (up - down) / (2 * step))

    def _is_input(self, gradient: Array) -> bool:
        rng = np.random.default_rng(7)
        step = 1e-6
        for _ in range(2):
            along = rng.standard_normal(self.x.shape)
            up = self.run(self.x + step * along, self.values)
            down = self.run(self.x - step * along, self.values)
            if not _close(self.deltas[0] * (up - down) / (2 * step), gradient * along):
                return False
        return True

    def _is_of(self, role: str) -> Closely:
        def right(gradient: Array) -> bool:
            fitting = reshaped(gradient, self.values[role].shape)
            rng = np.random.default_rng(8)
            for _ in range(2):
                along = rng.standard_normal(self.values[role].shape)
                if fitting is None or not _close(self._slope(role, along), fitting * along):
                    return False
            return True

        return right


def _close(numeric: Array, analytic: Array) -> bool:
    size = float(np.abs(numeric).sum())
    return bool(abs(float(numeric.sum()) - float(analytic.sum())) <= _FAR * size)


def _news(fitting: list[Array], probe: _Probe, delta: Array) -> bool:
    """Whether something of the input's size depends on delta, and is not delta itself."""
    laid = probe.target.layout.there(delta).ravel()
    return any(not np.array_equal(array.ravel(), laid) for array in fitting)


def _said_place(said: str, found: Found, name: str) -> Path:
    """A place that the user has said.

    Raises:
        OptionError: the layer has nothing there.
    """
    if not said:
        return ()
    path = parsed(said)
    if path in found or (path == ("returned",) and ("returned", 0) in found):
        return path if path in found else (*path, 0)
    there = names_of([p for p, a in found.items() if a.ndim]) or "nothing"
    raise OptionError(f"--protocol {name}={said}: there is no array; there is {there}")


def _said_first(
    target: Target, found: list[Parameter], layout: Layout, shape: Shape
) -> list[Parameter]:
    """The parameters, those that the user has named under the roles that he has said."""
    roles = {r: getattr(target.said, r) for r in ("gamma", "beta") if getattr(target.said, r)}
    known = list(found)
    for role, said in roles.items():
        known = [p for p in known if p.role != role or said not in {ABSENT}]
        if said == ABSENT:
            continue
        path = parsed(said)
        layer = target.new(shape)
        layer.forward(layout.there(np.random.default_rng(3).standard_normal(shape)))
        under = next((p for p in (path, ("arguments", *path)) if as_array(layer.value(p)) is not None), None)
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

