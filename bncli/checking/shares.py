"""What a wrong gradient of gamma or beta is: another sum, over other axes, or elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bncli.checking import mistakes
from bncli.checking.mistakes import Gives
from bncli.checking.question import AXES, Array
from bncli.checking.signs import eps_of_backward, place_of, x_norm_with
from bncli.checking.terms import Evidence, name_count

_EXACT = {"float64": 1e-8, "float32": 2e-4}
_FEW = 0.34
_NAMES = ("the batch", "w", "h", "the channels")


@dataclass(frozen=True, slots=True)
class Share:
    """What was found of a parameter's gradient.

    Attributes:
        name: of the mistake.
        message: a sentence.
        reduced: the axes over which it is to be summed.
        changes: whether its line of the formula is to be changed.
    """

    name: str
    message: str
    reduced: tuple[int, ...]
    changes: bool = True


class _Parameter:
    """The gradient of one parameter, in some probes."""

    def __init__(self, name: str, seen: Sequence[Evidence], dtype: str) -> None:
        self.name, self.role, self.dtype = name, name.removeprefix("grad_"), dtype
        self.seen = seen
        self.arrays = [e.gradients[self.role].astype(np.float64) for e in seen]
        # An axis of one value is summed over as well as not.
        self.reduced = tuple(a for a in range(AXES) if self.arrays[0].shape[a] == 1)
        self.tables = [e.counts for e in seen]
        self.terms = [
            e.given.size // array.size for e, array in zip(seen, self.arrays, strict=True)
        ]

    def summed(self, gives: Gives) -> list[Array]:
        return [
            (e.question.delta * _given(gives, e)).sum(axis=self.reduced, keepdims=True)
            for e in self.seen
        ]

    def shows(self, expected: Sequence[Array], *, right: bool = False) -> bool:
        """Whether these are the gradients."""
        return not any(wrong.any() for wrong in self.wrong(expected, right=right))

    def wrong(self, expected: Sequence[Array], *, right: bool = False) -> list[Array]:
        """Where the gradients are others than these."""
        found = []
        for e, array, one in zip(self.seen, self.arrays, expected, strict=True):
            factor = e.x_norm if self.role == "gamma" and right else 1.0
            size = np.abs(np.where(e.live, e.question.delta * factor, 0.0))
            size = size.sum(axis=self.reduced, keepdims=True)
            noise = np.broadcast_to(e.noise[self.dtype], e.given.shape)
            noise = noise.max(axis=self.reduced, keepdims=True)
            live = np.broadcast_to(e.live, e.given.shape).all(axis=self.reduced, keepdims=True)
            scale = np.abs(one) if not right else np.maximum(np.abs(one), _floor(size))
            scale = np.maximum(scale, 1e-3 * np.abs(one).max(initial=0.0))
            with np.errstate(all="ignore"):
                found.append(live & ~(np.abs(array - one) <= noise * scale + 1e-300))
        return found

    def count(self, expected: Sequence[Array]) -> str | None:
        """The count by which these become the gradients; None if there is none."""
        ratios = []
        for array, one in zip(self.arrays, expected, strict=True):
            usable = np.isfinite(one) & np.isfinite(array)
            size = float((one[usable] ** 2).sum())
            ratios.append(float((one[usable] * array[usable]).sum()) / size if size else math.nan)
        count = name_count(ratios, self.tables, 10 * _EXACT[self.dtype])
        if count is None or count == "0":
            return None
        sign = -1 if count.startswith("-") else 1
        tables = zip(expected, self.tables, strict=True)
        whole = [sign * t[count.removeprefix("-")] * one for one, t in tables]
        return count if self.shows(whole) else None


def share_of(name: str, seen: Sequence[Evidence], dtype: str) -> Share:
    """What a wrong gradient of gamma or beta is.

    Args:
        name: ``grad_gamma`` or ``grad_beta``, or that of another parameter.
        seen: at two shapes.
        dtype: the precision that the backward was asked in.
    """
    role = name.removeprefix("grad_")
    if any(role not in e.gradients for e in seen):
        return Share("unrecognised", f"{name} is wrong, and gone in a probe", (), changes=False)
    own = _Parameter(name, seen, dtype)
    right = own.summed(_RIGHT[role]) if role in _RIGHT else None
    if right is None:
        words = f"{name} is wrong; what {role} does is not known"
        return Share("unrecognised", words, own.reduced, changes=False)
    for array, e in zip(own.arrays, seen, strict=True):
        if not np.isfinite(array).all() and e.live.all():
            return Share("not-finite", f"{name} holds NaN or infinity", own.reduced)
    if own.shows(right, right=True):
        message = mistakes.DEPENDS_ON_THE_BATCH.message.replace("the gradient", name)
        return Share(mistakes.DEPENDS_ON_THE_BATCH.name, message, own.reduced, changes=False)
    found = _swapped(own) or _of_sums(own) or _of_eps(own)
    found = found or _of_axes(own, right) or _of_places(own, right)
    if found is not None:
        return found
    words = f"{name} is wrong, but not in a way that is known: {_seen(own, right)}"
    return Share("unrecognised", words, own.reduced)


def _ones(e: Evidence) -> Array:
    return e.ones


def _x_norm(e: Evidence) -> Array:
    return e.x_norm


_RIGHT = {"gamma": _x_norm, "beta": _ones}


def _given(gives: Gives, e: Evidence) -> Array:
    with np.errstate(all="ignore"):
        return gives(e)


def _floor(size: Array) -> Array:
    floor: Array = np.maximum(size, 1e-3 * size.max(initial=0.0))
    return floor


def _swapped(own: _Parameter) -> Share | None:
    other = "beta" if own.role == "gamma" else "gamma"
    if any(other not in e.gradients for e in own.seen):
        return None
    partner = _Parameter(f"grad_{other}", own.seen, own.dtype)
    if own.shows(own.summed(_RIGHT[other])) and partner.shows(partner.summed(_RIGHT[own.role])):
        return Share("swapped", "grad_gamma and grad_beta are swapped", own.reduced)
    return None


def _of_sums(own: _Parameter) -> Share | None:
    """A sum of something else, or times a count, or both."""
    for mistake, gives in mistakes.patterns_of(own.name, own.seen[0].model):
        expected = own.summed(gives)
        if own.shows(expected) and mistake.message:
            return Share(mistake.name, f"{own.name}: {mistake.message}", own.reduced)
        count = own.count(expected)
        if count in {None, "1"}:
            continue
        times = _times(own, count)
        message = f"{own.name}: " + " and ".join(part for part in (mistake.message, times) if part)
        return Share(f"{mistake.name}-times-{count}", message, own.reduced)
    return None


def _times(own: _Parameter, count: str) -> str:
    """What multiplies a sum, in words."""
    values = [table[count.removeprefix("-")] for table in own.tables]
    if count.startswith("-"):
        return "its sign is wrong" if count == "-1" else f"it is multiplied by {count}"
    if all(math.isclose(v * len(e.given), 1) for v, e in zip(values, own.seen, strict=True)):
        return "it is a mean over the batch where a sum belongs"
    if all(math.isclose(v * n, 1) for v, n in zip(values, own.terms, strict=True)):
        over = ", ".join(_NAMES[axis] for axis in own.reduced)
        return f"it is a mean over {over} where a sum belongs"
    return f"it is multiplied by {count}"


def _of_axes(own: _Parameter, right: Sequence[Array]) -> Share | None:
    """The right terms summed over too many axes or too few, or standing in other places."""
    for words, change in _ORDERS:
        if own.arrays[0].size > 1 and own.shows([change(one) for one in right]):
            return Share("out-of-place", f"{own.name} is right, but {words}", own.reduced)
    for axes, words, cut in _sums(own.reduced):
        expected = [
            _summed_over(own, e, axes, array, cut)
            for e, array in zip(own.seen, own.arrays, strict=True)
        ]
        if own.shows(expected):
            return Share("summed-over-other-axes", f"{own.name}: {words}", own.reduced)
    return None


_ORDERS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("w and h are swapped in it", lambda g: g.swapaxes(1, 2).reshape(g.shape)),
    ("w and h are swapped in it",
     lambda g: g.reshape(g.shape[0], g.shape[2], g.shape[1], g.shape[3]).swapaxes(1, 2)),
    ("turned over along w", lambda g: g[:, ::-1]),
    ("turned over along h", lambda g: g[:, :, ::-1]),
    ("its channels stand in reverse order", lambda g: g[..., ::-1]),
)  # fmt: skip


def _sums(reduced: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str, int | None]]:
    """Other axes to sum over, in words, and which of the values is taken where it is too few."""
    for count in range(AXES + 1):
        for axes in itertools.combinations(range(AXES), count):
            missing = [axis for axis in reduced if axis not in axes]
            more = [axis for axis in axes if axis not in reduced]
            if not missing and not more:
                continue
            parts = [f"summed over {_and(more)} as well"] if more else []
            if not missing:
                yield axes, f"it is {parts[0]}", None
                continue
            for cut, which in ((0, "first"), (-1, "last")):
                taken = f"taken from the {which} of {_and(missing)} alone, not summed over all"
                yield axes, f"it is {' and '.join([*parts, taken])}", cut


def _and(axes: Sequence[int]) -> str:
    return " and ".join(_NAMES[axis] for axis in axes)


def _summed_over(
    own: _Parameter, e: Evidence, axes: tuple[int, ...], array: Array, cut: int | None
) -> Array:
    terms = e.question.delta * _given(_RIGHT[own.role], e)
    found: Array = terms.sum(axis=axes, keepdims=True)
    if cut is not None:
        for axis in own.reduced:
            if axis not in axes:
                found = found.take([cut], axis=axis)
    return np.broadcast_to(found, array.shape)


def _of_eps(own: _Parameter) -> Share | None:
    """With an x_norm of the eps that the gradient of the input has."""
    eps = eps_of_backward(own.seen, own.dtype) if own.role == "gamma" else None
    if eps is None or not own.shows(own.summed(lambda e: x_norm_with(e, eps)[0])):
        return None
    words = f"{own.name}: x_norm has eps {eps.eps:.3g} in it, which is not that of forward"
    return Share("eps-mismatch", words, own.reduced)


def _of_places(own: _Parameter, right: Sequence[Array]) -> Share | None:
    """Right in most places."""
    wrong = own.wrong(right, right=True)
    if not any(w.any() for w in wrong) or max(float(w.mean()) for w in wrong) > _FEW:
        return None
    where = next(place_of(w) for w in wrong if w.any())
    if not where:
        return None
    message = mistakes.LOCAL.message.format(where=where).replace("the gradient", own.name)
    return Share(mistakes.LOCAL.name, message, own.reduced, changes=False)


def _seen(own: _Parameter, right: Sequence[Array]) -> str:
    wrong = own.wrong(right, right=True)[0]
    return f"{int(wrong.sum())} of {wrong.size} of its values are wrong in a probe"
