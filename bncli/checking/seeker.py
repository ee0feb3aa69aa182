"""Where the gradients of a layer come back, found by trying it on a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

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
from bncli.checking.layouts import Shape, reshaped
from bncli.checking.parameters import Parameter
from bncli.checking.places import Path, as_array, parsed
from bncli.checking.protocol import ABSENT
from bncli.checking.question import Array
from bncli.checking.session import Session, Target
from bncli.checking.target import TargetFailure
from bncli.errors import OptionError, TargetError

_FAR = 1e-4


@dataclass(slots=True)
class Seeker:
    """Finds the gradients of a layer on a few numbers.

    Attributes:
        target: the layer, its parameters known.
        x: a batch, (batch, w, h, c).
        deltas: two, of its shape.
        values: role -> values of the parameter.
        missing: role -> what may be its gradient, where none could be told.
        fits: whether all that was found has the shape that it must have.
    """

    target: Target
    x: Array
    deltas: tuple[Array, Array]
    values: dict[str, Array]
    missing: dict[str, str] = field(default_factory=dict)
    fits: bool = False

    def _open(self, values: dict[str, Array] | None = None, rate: float = 0.0) -> Session:
        return self.target.open(self.values if values is None else values, self.x.shape, rate=rate)

    def _run(self, x: Array, values: dict[str, Array]) -> Array:
        return self._open(values).forward(x)

    def _looks(self) -> tuple[list[Found], str]:
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
            if way == "argument" or self.target.said.delta or self._is_news(fitting, first):
                return looks, way
        raise failure or TargetFailure("backward gives nothing that depends on delta")

    def _is_news(self, fitting: list[Array], delta: Array) -> bool:
        """Whether something of the input's size depends on delta, and is not delta itself."""
        laid = self.target.layout.there(delta).ravel()
        return any(not np.array_equal(array.ravel(), laid) for array in fitting)

    def _look(self, way: str, delta: Array, argument: Array | None) -> Found:
        session = Session(
            replace(self.target, delta=way),
            self.target.open(self.values, self.x.shape).layer, self.values,
        )  # fmt: skip
        session.forward(self.x)
        if way == "attribute" and not hasattr(session.layer.thing, "delta"):
            raise TargetFailure("delta cannot be an attribute: the layer has none")
        return named_by_optimizer(session.look(delta, argument), self.values)

    def find(self) -> Target:
        """Settle where the delta goes and where the gradients come from.

        Raises:
            TargetError: no gradient of the input comes back.
        """
        looks, delta = self._looks()
        self.target = replace(self.target, delta=delta)
        laid = self.target.layout.there(self.deltas[0])
        found = that_depend(looks)
        path = self._way_of_input(found, looks[0], laid)
        ways = {"grad_input": path}
        # A parameter that has moved is no gradient; how far it has moved, may be one.
        own = {parameter.path for parameter in self.target.parameters}
        rest = {p: a for p, a in found.items() if p != path and p not in own}
        unfound: list[Parameter] = []
        for parameter in self.target.parameters:
            if getattr(self.target.said, f"grad_{parameter.role}", "") == ABSENT:
                continue
            way = self._way_of(parameter, rest, looks[0])
            if way:
                ways[f"grad_{parameter.role}"] = way
                if way[0] != RETURNED:
                    rest.pop(way, None)
            else:
                unfound.append(parameter)
        for parameter in unfound:
            # Where no parameter has a gradient, one of an unknown name is a constant.
            if parameter.is_known or len(ways) > 1:
                self.missing.setdefault(f"grad_{parameter.role}", "")
        fits = numbers_or_reason(looks[0].get(path), laid.shape, "")[0] is not None
        self.fits = fits and not self._misshapen(ways, looks[0])
        return replace(self.target, ways=ways)

    def _way_of_input(self, found: Found, everything: Found, laid: Array) -> Path:
        layout, shape, said = self.target.layout, self.x.shape, self.target.said
        path = said_place(said.grad_input, everything, "grad_input") or find_input(
            found, everything, laid.shape, laid, lambda a: self._is_input(layout.back(a, shape))
        )
        if path:
            return path
        seen = names_of(list(found)) or "nothing"
        raise TargetError(
            f"backward ran, but no array of the input's shape {laid.shape} depends on delta "
            f"(what does: {seen}): where does it put the gradient of the input? Give "
            "--protocol grad_input=PLACE, or --protocol delta=argument|attribute"
        )

    def _misshapen(self, ways: dict[str, Path], first: Found) -> bool:
        """Whether a gradient comes back in a shape that is not that of its parameter."""
        for role, value in self.values.items():
            path = ways.get(f"grad_{role}", ())
            if path and path[0] != MOVED and reshaped(first.get(path), value.shape) is None:
                return True
        return False

    def _way_of(self, parameter: Parameter, rest: Found, first: Found) -> Path:
        role = parameter.role
        said = getattr(self.target.said, f"grad_{role}", "")
        if said:
            return said_place(said, first, f"grad_{role}")
        shape = self.values[role].shape
        way = find_of_parameter(parameter, self.target.parameters, rest, shape, self._is_of(role))
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
        named = misshapen or _by_name(parameter, self.target.parameters, first, shape)
        if close and not named:
            self.missing[f"grad_{role}"] = names_of(close)
        return named

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
        for rate, times in ((1.0, 1.0), (0.0, 1.0), (1.0, 2.0)):
            try:
                session = self._open(rate=rate)
                session.forward(self.x)
                session.look(times * self.deltas[0])
            except TargetFailure:
                return ()
            after = as_array(session.layer.value(parameter.path))
            if after is None or after.shape != before.shape:
                return ()
            steps.append(before - after)
        noise = 1e-5 * float(np.abs(before).max(initial=1.0))
        if not np.allclose(2 * steps[0], steps[2], rtol=1e-3, atol=2 * noise):
            return ()  # a step that does not grow with the gradient does not tell it
        if not np.allclose(steps[0], steps[1], rtol=1e-4, atol=1e-6):
            return (MOVED, role)
        along = np.random.default_rng(8).standard_normal(before.shape)
        slope = float(self._slope(role, along).sum())
        factor = float((steps[1] * along).sum()) / (slope or 1.0)
        return (MOVED, role, repr(factor)) if np.abs(steps[1]).max() > noise and factor else ()

    def _slope(self, role: str, along: Array) -> Array:
        """The terms of the derivative by a parameter along a direction."""
        step = 1e-3
        up, down = (
            self._run(self.x, {**self.values, role: self.values[role] + s * along})
            for s in (step, -step)
        )
        return np.asarray(self.deltas[0] * (up - down) / (2 * step))

    def _is_input(self, gradient: Array) -> bool:
        rng = np.random.default_rng(7)
        step = 1e-6
        for _ in range(2):
            along = rng.standard_normal(self.x.shape)
            up = self._run(self.x + step * along, self.values)
            down = self._run(self.x - step * along, self.values)
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


def _by_name(
    parameter: Parameter, parameters: Sequence[Parameter], everything: Found, shape: Shape
) -> Path:  # fmt: skip
    """What is meant to be a gradient by its name, or its place, though it ignores delta."""
    own = {known.path for known in parameters}
    for path, array in everything.items():
        if path not in own and is_meant(path, parameter) and reshaped(array, shape) is not None:
            return path
    parts = [p for p in everything if p[0] == RETURNED and len(p) == 2]  # noqa: PLR2004 - of a tuple
    place = 1 + list(parameters).index(parameter)
    if len(parts) == 1 + len(parameters) and reshaped(everything[parts[place]], shape) is not None:
        return parts[place]
    return ()


def _close(numeric: Array, analytic: Array) -> bool:
    size = float(np.abs(numeric).sum())
    return bool(abs(float(numeric.sum()) - float(analytic.sum())) <= _FAR * size)


def said_place(said: str, found: Found, name: str) -> Path:
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
