"""From a wrong gradient to the mistake that makes it; what fits none, at two shapes, is unknown.

A mistake is named only if the gradient that it makes is the given one, as closely as the verdict
asks, in every probe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking import mistakes
from bncli.checking.compare import Quantity
from bncli.checking.forward import ForwardModel
from bncli.checking.probes import Probes
from bncli.checking.shares import share_of
from bncli.checking.signs import (
    eps_of_backward,
    means_over,
    place_in,
    place_of,
    seen_in,
    swapped_axes,
)
from bncli.checking.target import TargetFailure
from bncli.checking.terms import (
    Evidence,
    Fit,
    all_fits,
    count_values,
    fits,
    same_numbers,
)
from bncli.checking.wording import LINES, Mistake, spelled, words_of

Ask = Callable[[], "list[Evidence]"]
_RIGHT = ("1", "1", "1")
_FEW = 0.34
"""The share of wrong values above which it is not a place that is wrong: a third."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, as far as it was recognised.

    Attributes:
        name: of the mistake, or ``unrecognised``.
        message: one plain sentence or two.
        change: the line of the formula as it should be; empty if none is known.
        was: the same line as the target has it; empty if it is not known.
        coefficients: a, b, c; None where the three terms do not explain the gradient.
        symbols: the same as counts, where they are some.
        powers: p and q.
        residual: of the fit, relative.
        quantity: which gradient it is about.
    """

    name: str
    message: str
    change: str = ""
    coefficients: tuple[float, float, float] | None = None
    symbols: tuple[str, ...] = ()
    powers: tuple[int, int] | None = None
    residual: float | None = None
    quantity: str = "grad_input"
    was: str = ""

    def at(self, shape: tuple[int, ...], size: int) -> Diagnosis:
        """The same for a batch of another shape, in groups of *size*: counts differ there."""
        if not self.symbols or "?" in self.symbols:
            return self
        counts = count_values(shape, size)
        a, b, c = (
            counts[symbol.removeprefix("-")] * (-1 if symbol.startswith("-") else 1)
            for symbol in self.symbols
        )
        return replace(self, coefficients=(a, b, c))


def diagnose(name: str, quantity: Quantity, model: ForwardModel, ask: Ask, dtype: str) -> Diagnosis:
    """What is wrong with a gradient that failed.

    Args:
        name: of the quantity.
        quantity: the verdict on it.
        model: of the target's forward.
        ask: gives the evidence of probes at two shapes.
        dtype: the precision that the backward was asked in.
    """
    if quantity.problem and "NaN" not in quantity.problem:
        line = LINES.get(name, "").format(**words_of(model))
        return Diagnosis("not-a-gradient", swapped_axes(quantity.problem), line, quantity=name)
    try:
        found = _of_probes(name, model, ask(), dtype)
    except TargetFailure as failure:
        found = _unknown(f"{name} is wrong; the probe could not be asked: {failure.message}")
    # Where rounding is coarse, some places of a wrong gradient are within it by chance.
    if found.name in {"unrecognised", mistakes.DEPENDS_ON_THE_BATCH.name} and dtype == "float64":
        found = _local_of(name, quantity) or found
    return replace(found, quantity=name)


def _of_probes(name: str, model: ForwardModel, seen: list[Evidence], dtype: str) -> Diagnosis:
    if model.axes is None:
        return _unknown(
            f"{name} is wrong; since forward is not recognised as a normalization, its terms "
            "cannot be named"
        )
    if name != "grad_input":
        return _of_parameter(name, seen, dtype)
    return Suspect(seen, dtype).diagnosis()


def _known(mistake: Mistake, model: ForwardModel, **words: Any) -> Diagnosis:
    words = {**words_of(model), **words}
    return Diagnosis(mistake.name, mistake.message.format(**words), mistake.change.format(**words))


def _unknown(message: str) -> Diagnosis:
    return Diagnosis("unrecognised", message)


class Suspect(Probes):
    """A wrong gradient of the input."""

    def diagnosis(self) -> Diagnosis:
        """The first mistake that explains it."""
        seen = self.seen
        if any((e.live & ~np.isfinite(e.given)).any() for e in seen):
            return self._not_finite()
        if not any(e.live.any() for e in seen):
            return _unknown("grad_input is wrong; forward is finite nowhere")
        if all((e.given == np.rint(e.given)).all() and e.given.any() for e in seen):
            return _known(mistakes.WHOLE_NUMBERS, self.model)
        if not any(wrong.any() for wrong in self.wrong):
            return _known(mistakes.DEPENDS_ON_THE_BATCH, self.model)
        for look in (self._eps, self._coefficients, self._patterns, self._means, self._places):
            found = look()
            if found is not None:
                return found
        return self._numbers() or _unknown(
            f"grad_input is wrong, but not in a way that is known: {seen_in(seen[0], self.dtype)}"
        )

    def _not_finite(self) -> Diagnosis:
        first = next(e for e in self.seen if (e.live & ~np.isfinite(e.given)).any())
        bad = first.live & ~np.isfinite(first.given)
        if (bad & (first.variance > 0)).any():
            return _known(mistakes.NOT_FINITE, self.model, bad=int(bad.sum()), all=bad.size)
        return _known(mistakes.NO_EPS, self.model)

    def _eps(self) -> Diagnosis | None:
        found = eps_of_backward(self.seen, self.dtype)
        if found is None:
            return None
        model, mistake = self.model, mistakes.EPS_MISMATCH
        if model.eps == 0:
            mistake = mistakes.EPS_IN_BACKWARD
        elif found.outside and not model.eps_outside_root:
            mistake = mistakes.EPS_OUTSIDE
        elif model.eps_outside_root and not (found.outside and found.derived):
            mistake = mistakes.EPS_OUTSIDE_FORWARD
        place = "beside" if found.outside else "under"
        forward = self.seen[0].question.eps if model.eps is None else model.eps
        return _known(mistake, model, backward=found.eps, forward=forward, place=place)

    def _coefficients(self) -> Diagnosis | None:
        """The mistakes that powers and coefficients show."""
        for three in all_fits(self.seen):
            tolerance = self.tolerance(three)
            if tolerance is None:
                continue
            found = self._of_counts(three, tolerance)
            if found is not None:
                return found
        return self._rows()

    def _rows(self) -> Diagnosis | None:
        """Known coefficients, where what they multiply is too small for a fit to tell them."""
        for mistake in mistakes.MISTAKES:
            symbols = mistake.coefficients
            if symbols is None or mistake.powers != (1, 1) or not mistake.is_of(self.model):
                continue
            if set(symbols) == {"0"}:
                continue  # nearly 0 is not 0
            more = self.explained(lambda e, s=symbols: e.made([e.count(x) for x in s], (1, 1)))  # type: ignore[misc]
            if more is not None:
                known = _known(mistake, self.model)
                return replace(known, message=known.message + more)
        return None

    def _of_counts(self, three: Sequence[Fit], tolerance: float) -> Diagnosis | None:
        numbers = list(zip(*(fit.coefficients for fit in three), strict=True))
        symbols = self.symbols(numbers, tolerance)
        powers = three[0].powers
        if "?" in symbols or (symbols == _RIGHT and powers == (1, 1)):
            return None
        more = self.explained(lambda e: e.made([e.count(s) for s in symbols], powers), powers)
        if more is None:
            return None
        found = self._made(symbols, powers, numbers, tolerance)
        return _fitted(replace(found, message=found.message + more), three[0], symbols)

    def _made(
        self, symbols: tuple[str, ...], powers: tuple[int, int],
        numbers: Sequence[tuple[float, ...]], tolerance: float,
    ) -> Diagnosis:  # fmt: skip
        def shows(coefficients: tuple[str, ...]) -> bool:
            pairs = zip(coefficients, numbers, strict=True)
            return all(fits(symbol, three, self.tables, tolerance) for symbol, three in pairs)

        whole = mistakes.of_terms(shows, powers, self.model)
        made = [whole] if whole else [m for m in mistakes.MISTAKES if m.shows_in(powers)]
        if whole is None and symbols != _RIGHT:
            made.append(
                mistakes.of_terms(shows, (1, 1), self.model)
                or Mistake(*spelled(symbols, unsteady=not same_numbers(numbers, tolerance)))
            )
        words = words_of(self.model)
        return Diagnosis(
            "-and-".join(mistake.name for mistake in made),
            "; and ".join(mistake.message.format(**words) for mistake in made),
            (made[0].change if len(made) == 1 else LINES["grad_input"]).format(**words),
        )

    def _numbers(self) -> Diagnosis | None:
        """The three terms with coefficients that are no counts."""
        for three in all_fits(self.seen):
            tolerance = self.tolerance(three)
            if tolerance is None:
                continue
            numbers = list(zip(*(fit.coefficients for fit in three), strict=True))
            symbols = self.symbols(numbers, tolerance)
            a, b, c = three[0].coefficients
            if "?" not in symbols:
                continue
            if symbols == ("?",) * 3 and max(abs(b - a), abs(c - a)) <= tolerance * abs(a):
                mistake = mistakes.SCALED
                if three[0].powers != (1, 1):
                    continue
                found = _known(mistake, self.model, factor=a)
            else:
                found = self._made(symbols, three[0].powers, numbers, tolerance)
            return _fitted(found, three[0], symbols)
        return None

    def _patterns(self) -> Diagnosis | None:
        for mistake, gives in mistakes.patterns_of("grad_input", self.model):
            found = self.scaled(gives)
            if found is not None:
                known = _known(mistake, self.model)
                return replace(known, message=known.message + found)
        return None

    def _means(self) -> Diagnosis | None:
        """Means over other axes than those of the forward."""
        for guess in means_over(self.seen[0]):
            more = self.explained(guess.expected)
            if more is not None:
                found = _known(mistakes.AVERAGED, self.model, terms=guess.terms, seen=guess.words)
                return replace(found, name=found.name + guess.name, message=found.message + more)
        return None

    def _places(self) -> Diagnosis | None:
        """Right in most places."""
        wrong = self.wrong
        dead = [e.live & (e.variance == 0) for e in self.seen]
        zeroed = all(
            d.any() and not e.given[d].any() and not (w & ~d).any()
            for e, w, d in zip(self.seen, wrong, dead, strict=True)
        )
        if zeroed:
            return _known(mistakes.DEAD_ZEROED, self.model)
        pairs = list(zip(self.seen, wrong, strict=True))
        if all((w == (np.broadcast_to(e.gamma, w.shape) < 0)).all() for e, w in pairs):
            return _known(mistakes.LOCAL, self.model, where="places of negative gamma")
        where = next(place_of(w) for w in wrong if w.any())
        if not where or any((w & e.usual).sum() > _FEW * e.usual.sum() for e, w in pairs):
            return None
        return _known(mistakes.LOCAL, self.model, where=where)


def _fitted(found: Diagnosis, fit: Fit, symbols: tuple[str, ...]) -> Diagnosis:
    return replace(
        found, coefficients=fit.coefficients, symbols=symbols, powers=fit.powers,
        residual=fit.residual,
    )  # fmt: skip


def _local_of(name: str, quantity: Quantity) -> Diagnosis | None:
    """Wrong at some elements of the batch, right at all others."""
    if not quantity.checked or quantity.wrong > _FEW * quantity.checked:
        return None
    where = place_in(quantity)
    if not where:
        return None
    message = mistakes.LOCAL.message.format(where=where)
    return Diagnosis(
        mistakes.LOCAL.name,
        message.replace("the gradient", name) if name != "grad_input" else message,
    )


def _of_parameter(name: str, seen: Sequence[Evidence], dtype: str) -> Diagnosis:
    found = share_of(name, seen, dtype)
    words = words_of(seen[0].model, found.reduced)
    return Diagnosis(
        found.name, found.message.format(**words),
        LINES.get(name, "").format(**words) if found.changes else "",
    )  # fmt: skip
