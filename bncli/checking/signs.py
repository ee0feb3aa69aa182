"""What a wrong gradient of the input shows: an eps, means over other axes, places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bncli.checking.forward import inverse_root
from bncli.checking.mistakes import OVER
from bncli.checking.question import AXES, Array
from bncli.checking.terms import Evidence

_NAMES = ("batch", "w", "h", "c")


@dataclass(frozen=True, slots=True)
class Eps:
    """An eps of a backward.

    Attributes:
        eps: its size.
        outside: whether it is added to the root.
        derived: whether the variance term is that of such a forward.
    """

    eps: float
    outside: bool
    derived: bool = True


def eps_of_backward(seen: Sequence[Evidence], dtype: str) -> Eps | None:
    """The eps with which the gradient is that of the forward; None if there is none, or its own."""
    first = seen[0]
    factor = _factor(first)
    # Some eps, if it is large enough, makes nothing of any gradient.
    if factor is None or not any(e.differs(0 * e.given, dtype)[e.usual].any() for e in seen):
        return None
    place, inverse = factor
    variance = float(first.variance[place])
    with np.errstate(over="ignore"):
        root = 1 / np.float64(inverse)
        sizes = {True: root - np.sqrt(variance), False: root**2 - variance}
    model = first.model
    ways = ((model.eps_outside_root, True), (not model.eps_outside_root, True), (True, False))
    for (outside, derived), everywhere in itertools.product(ways, (True, False)):
        for eps in _written(float(sizes[outside])):
            found = Eps(eps, outside, derived)
            if all(_explains(e, found, everywhere, dtype) for e in seen):
                return found
    return None


def _factor(e: Evidence) -> tuple[tuple[int, ...], float] | None:
    """A value of the live group of least variance, and the factor that delta has there.

    The mean term and the variance term have no part in what is at right angles to both.
    """
    usable = e.live & np.isfinite(e.given) & (np.broadcast_to(e.gamma, e.given.shape) != 0)
    if not usable.any():
        return None
    place = np.unravel_index(int(np.where(usable, e.variance, np.inf).argmin()), e.given.shape)
    chosen = e.variance <= e.variance[place] * (1 + 1e-9)
    arrived = e.gamma * e.question.delta
    rest = arrived - e.averaged(arrived)
    centred = e.question.x - e.model.mean(e.question.x)
    size = e.averaged(centred**2)
    rest = rest - centred * e.averaged(rest * centred) / np.where(size > 0, size, 1.0)
    rest = np.where(chosen & e.live, rest, 0.0)
    length = float((rest**2).sum())
    inverse = (
        float((np.where(chosen & e.live, e.given, 0.0) * rest).sum()) / length if length else 0.0
    )
    return (tuple(int(i) for i in place), inverse) if np.isfinite(inverse) and inverse > 0 else None


def _written(eps: float) -> tuple[float, ...]:
    """An eps as people write it, and as it was found."""
    if not np.isfinite(eps) or eps < -1e-12:  # noqa: PLR2004 - rounding
        return ()
    return (float(f"{max(eps, 0.0):.2g}"), max(eps, 0.0))


def x_norm_with(e: Evidence, found: Eps) -> tuple[Array, Array]:
    """What x_norm and inv_std are with another eps."""
    with np.errstate(all="ignore"):
        inv_std = inverse_root(e.model.variance(e.question.x), found.eps, outside=found.outside)
        return (e.question.x - e.model.mean(e.question.x)) * inv_std, inv_std


def _explains(e: Evidence, found: Eps, everywhere: bool, dtype: str) -> bool:
    x_norm, inv_std = x_norm_with(e, found)
    with np.errstate(all="ignore"):
        x_norm = x_norm if everywhere else e.x_norm
        variance = e.model.unbiased(e.question.shape) / e.unbiased
        if found.outside and found.derived:
            root = np.sqrt(e.variance)
            variance = variance / np.where(root > 0, root * inv_std, 1.0)
    expected = e.backward(inv_std=inv_std, along=(x_norm, x_norm), variance=variance)
    return not e.differs(expected, dtype).any()


@dataclass(frozen=True, slots=True)
class Means:
    """Means over other axes than those of the forward.

    Attributes:
        axes: of the mean term and of the variance term; None where it is right.
        divided: whether the sums are divided by how many values a group of the forward has.
        late: whether gamma is multiplied in after them.
    """

    axes: tuple[tuple[int, ...] | None, tuple[int, ...] | None]
    divided: bool
    late: bool

    @property
    def terms(self) -> str:
        """Which terms, in words."""
        what = "sum" if self.divided else "mean"
        if None in self.axes:
            return f"the {what} of the {'mean' if self.axes[1] is None else 'variance'} term is"
        return f"the {what}s are"

    @property
    def name(self) -> str:
        """Of the axes."""
        return OVER.get(self._wrong, ("other-axes", ""))[0]

    @property
    def words(self) -> str:
        """The axes, in a sentence."""
        spelled = " and ".join(_NAMES[axis] for axis in self._wrong)
        return OVER.get(self._wrong, ("", spelled))[1]

    @property
    def _wrong(self) -> tuple[int, ...]:
        return next(axes for axes in self.axes if axes is not None)

    def expected(self, e: Evidence) -> Array:
        """The gradient that such means give."""
        shape = e.question.shape
        size = float(np.prod([shape[axis] for axis in self._wrong]))
        factor = size / e.model.size(shape) if self.divided else 1.0
        mean, variance = (1.0 if axes is None else factor for axes in self.axes)
        if not self.late:
            return e.backward(axes=self.axes, mean=mean, variance=variance)
        gamma = np.ones_like(e.gamma)
        return e.gamma * e.backward(gamma=gamma, axes=self.axes, mean=mean, variance=variance)


def means_over(e: Evidence) -> Iterator[Means]:
    """All that there are."""
    for count in range(1, AXES + 1):
        for axes in itertools.combinations(range(AXES), count):
            if axes == e.model.axes and e.model.groups == 1:
                continue
            for divided in (False, True):
                for pair in ((axes, axes), (axes, None), (None, axes)):
                    yield Means(pair, divided, late=False)
                    yield Means(pair, divided, late=True)


def place_of(wrong: Array) -> str:
    """The one pixel, picture, channel, row or column that is wrong, (batch, w, h, c); or none."""
    pixels = np.argwhere(wrong.any(axis=0))
    pictures = np.flatnonzero(wrong.any(axis=(1, 2, 3)))
    if len(pixels) == 1 and wrong[0].size > 1:
        x, y, channel = (int(i) for i in pixels[0])
        where = f"pixel (x, y, channel) = ({x}, {y}, {channel})"
        alone = len(pictures) == 1 and len(wrong) > 1
        return f"{where} of picture {int(pictures[0])}" if alone else where
    for axis, name in enumerate(("picture", "w =", "h =", "channel")):
        lines = np.flatnonzero(wrong.any(axis=tuple(a for a in range(AXES) if a != axis)))
        if len(lines) == 1 and wrong.shape[axis] > 1:
            return f"{name} {int(lines[0])}"
    return ""


def seen_in(e: Evidence, dtype: str) -> str:
    """What can be said of a gradient that no mistake explains."""
    wrong = e.differs(e.right, dtype)
    if not wrong.any():
        return "it is right at one shape, and wrong at another"
    error = np.where(e.live, e.given - e.right, 0.0)
    mean = e.averaged(error)
    along = e.averaged(error * e.x_norm) / np.maximum(e.averaged(e.x_norm**2), 1e-300)
    size = e.averaged(e.right**2)
    factor = e.averaged(error * e.right) / np.where(size > 0, size, 1.0)
    guesses = (
        ("the error is one number for all that is normalized together, as of a wrong mean term",
         mean),
        ("the error is in line with x_norm, as of a wrong variance term", along * e.x_norm),
        ("the error is that of a wrong mean term and variance term", mean + along * e.x_norm),
        ("each group of values is right but for a factor of its own", factor * e.right),
    )  # fmt: skip
    shown = next(
        (words for words, guess in guesses if not e.differs(e.right + guess, dtype)[e.usual].any()),
        "the error is in line with none of the three terms",
    )
    share = f"{int(wrong.sum())} of {int(e.live.sum())} values of a probe are wrong"
    pixels = f"{int(wrong.any(axis=0).sum())} of {wrong[0].size} pixels"
    return f"{shown} ({share}, in {place_of(wrong) or pixels})"
