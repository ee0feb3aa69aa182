"""A gradient of the input in a few probes: what explains it in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bncli.checking.question import PIXEL
from bncli.checking.terms import Evidence, Fit, name_count, symbols_of
from bncli.checking.wording import Gives

_LOOSE = 50  # between the residual of a fit and the error of its coefficients
_EXACT = {"float64": 1e-8, "float32": 2e-4}


class Probes:
    """A gradient of the input in some probes, held against what mistakes would give."""

    def __init__(self, seen: Sequence[Evidence], dtype: str) -> None:
        self.seen, self.dtype = seen, dtype
        self.model = seen[0].model
        self.wrong = [e.differs(e.right, dtype) for e in seen]
        self.tables = [e.counts for e in seen]

    def explained(self, gives: Gives, powers: tuple[int, int] = (1, 1)) -> str | None:
        """What is to be added to a mistake that makes this gradient; None if it is not made."""
        more, in_usual = "", False
        for e, wrong in zip(self.seen, self.wrong, strict=True):
            in_usual |= bool((wrong & e.usual).any())
            with np.errstate(all="ignore"):
                differs = e.differs(gives(e), self.dtype, powers)
            if (differs & e.usual).any():
                return None
            if differs.any():
                more = "; where the variance is tiny, more than that is wrong"
        # What is wrong where the variance is tiny alone must be explained there.
        return None if more and not in_usual else more

    def tolerance(self, three: Sequence[Fit]) -> float | None:
        """Of the coefficients of a fit; None if it explains nothing."""
        of = {id(e): fit for e, fit in zip(self.seen, three, strict=True)}
        powers = three[0].powers
        if self.explained(lambda e: e.made(of[id(e)].coefficients, powers), powers) is None:
            return None
        return max(_LOOSE * max(fit.residual for fit in three), _EXACT[self.dtype])

    def symbols(self, numbers: Sequence[tuple[float, ...]], tolerance: float) -> tuple[str, ...]:
        """The counts that fitted coefficients are, ``?`` where they are none."""
        return symbols_of(numbers, self.tables, tolerance, ratios=self.model.axes != PIXEL)

    def scaled(self, gives: Gives) -> str | None:
        """What is to be added where this gradient, times a count, is the given one."""
        more = self.explained(gives)
        if more is not None:
            return more
        ratios = []
        for e in self.seen:
            with np.errstate(all="ignore"):
                expected = gives(e)
            usable = e.usual & e.live & np.isfinite(expected)
            size = float((expected[usable] ** 2).sum())
            ratios.append(float((expected * e.given)[usable].sum()) / size if size else 0.0)
        tables = [e.counts for e in self.seen]
        count = name_count(ratios, tables, 10 * _EXACT[self.dtype])
        if count is None or count in {"0", "1"}:
            return None
        more = self.explained(lambda e: e.count(count) * gives(e))
        return None if more is None else f"; and the whole gradient is multiplied by {count}{more}"
