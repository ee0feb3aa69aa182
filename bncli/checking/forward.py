"""Which normalization a forward is, and the right backward of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bncli.checking.question import PIXEL, Array, Question

CHANNEL = (0, 1, 2)
_KINDS = {
    PIXEL: "batch normalization of each pixel",
    CHANNEL: "batch normalization of each channel",
    (1, 2, 3): "layer normalization (each picture over all its pixels)",
    (3,): "layer normalization over the last axis",
    (1, 2): "instance normalization (each channel of each picture)",
    (0, 1, 2, 3): "normalization of everything together",
}
_STANDARD = (PIXEL, CHANNEL)
_GROUPED = "group normalization in {groups} groups"


@dataclass(frozen=True, slots=True)
class ForwardModel:
    """What a forward was recognised as.

    Attributes:
        axes: of (batch, w, h, c), that it reduces over; None where it was not recognised.
        groups: of channels, that are reduced over with the other axes; 1 is all of them.
        standard: whether it is ``gamma * (x - mean) / sqrt(variance + eps) + beta`` of each pixel
            or channel, with the variance divided by the number of values.
        message: what it is, in a sentence.
        ddof: what is subtracted from the number of values under the variance.
        eps: added to the variance; None where it was not recognised.
        eps_outside_root: whether eps is added to the root instead.
    """

    axes: tuple[int, ...] | None = None
    groups: int = 1
    standard: bool = False
    message: str = "forward is not recognised as a normalization"
    ddof: int = 0
    eps: float | None = None
    eps_outside_root: bool = False

    def mean(self, values: Array) -> Array:
        """Of each group, broadcastable to *values*, (batch, w, h, c)."""
        axes = PIXEL if self.axes is None else self.axes
        if self.groups == 1:
            mean: Array = values.mean(axis=axes, keepdims=True)
            return mean
        *rest, channels = values.shape
        folded = values.reshape(*rest, self.groups, channels // self.groups)
        inner = folded.mean(axis=(*(a for a in axes if a != 3), 4), keepdims=True)  # noqa: PLR2004 - channels, and those of a group
        return np.repeat(inner[..., 0], channels // self.groups, axis=-1)

    def size(self, shape: tuple[int, ...]) -> int:
        """How many values a group has, in a batch of *shape*."""
        axes = PIXEL if self.axes is None else self.axes
        return int(np.prod([shape[axis] for axis in axes])) // self.groups

    def unbiased(self, shape: tuple[int, ...]) -> float:
        """What makes a mean over a group one divided by its size - ddof."""
        size = self.size(shape)
        return size / max(size - self.ddof, 1)

    def variance(self, x: Array) -> Array:
        """As this forward takes it, broadcastable to *x*."""
        x = x.astype(np.float64)
        centred = x - self.mean(x)
        centred = centred - self.mean(centred)
        variance: Array = self.mean(centred * centred) * self.unbiased(x.shape)
        return variance

    def inv_std(self, question: Question) -> Array:
        """The factor on ``x - mean``, broadcastable to x."""
        eps = question.eps if self.eps is None else self.eps
        with np.errstate(divide="ignore"):  # where there is no eps
            return inverse_root(self.variance(question.x), eps, outside=self.eps_outside_root)

    def slope(self, question: Question, gamma: Array | None) -> Array | None:
        """``|gamma| * inv_std``: how y changes with x alone; None where it is not recognised."""
        if self.axes is None:
            return None
        with np.errstate(all="ignore"):
            inv_std = self.inv_std(question)
        slope = np.where(np.isfinite(inv_std), inv_std, 0.0)
        return slope if gamma is None else np.abs(gamma) * slope


def inverse_root(variance: Array, eps: float, *, outside: bool) -> Array:
    """One over the root of the variance, with eps under the root or outside of it."""
    inverse: Array = 1 / (np.sqrt(variance) + eps) if outside else 1 / np.sqrt(variance + eps)
    return inverse


def recognise(
    question: Question, wide: Mapping[str, Array], output: Array, tolerance: float
) -> ForwardModel:
    """Find the model that gives *output*.

    Args:
        question: a probe, with groups of variance 0, eps and 100 eps where there is an eps.
        wide: gamma and beta in the axes (batch, w, h, c), of length 1 where they have none.
        output: of the target.
        tolerance: relative error at which a model still counts as the same.
    """
    if not question.axes:
        return ForwardModel(message="forward takes mean and variance for constants (inference)")
    finite = np.isfinite(output)
    for axes in dict.fromkeys((question.axes, *_KINDS)):
        at = replace(question, axes=axes)
        if (~finite & (at.variance > 0)).any() or not finite.any():
            continue
        for groups in _groupings(axes, question.shape[3]):
            for model in _models(at, wide, output, axes, groups):
                if _distance(at, wide, output, model) <= tolerance:
                    return model
    return ForwardModel()


def _groupings(axes: tuple[int, ...], channels: int) -> list[int]:
    if axes != (1, 2, 3):
        return [1]
    return [n for n in range(1, channels) if channels % n == 0]


def _models(
    question: Question, wide: Mapping[str, Array], output: Array, axes: tuple[int, ...], groups: int
) -> Iterator[ForwardModel]:
    """What the forward may be, the likeliest first.

    An eps that fits is less likely than a ddof: where there is one group alone, some eps explains
    any ddof. People write an eps of one or two digits.
    """
    kind = _KINDS.get(axes, f"normalization over the axes {axes}")
    if groups > 1:
        kind = _GROUPED.format(groups=groups)
    plain = ForwardModel(
        axes, groups, standard=axes in _STANDARD, message=f"forward is {kind}", eps=question.eps
    )
    models = [
        _variant(plain, ddof, outside=outside) for outside in (False, True) for ddof in (0, 1)
    ]
    bare = not np.isfinite(output).all()
    if not bare:
        yield from models
    fitted = [(model, _fitted_eps(question, wide, output, model)) for model in models]
    written = [(m, eps) for m, eps in fitted if eps is not None and eps == float(f"{eps:.2g}")]
    for model, eps in [*written, *fitted]:
        if eps is not None and not (bare and eps):
            shown = f"eps {eps:.3g} (in the code)" if eps else "no eps"
            yield replace(model, message=f"{model.message}; {shown}", eps=eps)


def _variant(plain: ForwardModel, ddof: int, *, outside: bool) -> ForwardModel:
    words = [plain.message]
    if ddof:
        words.append("the variance divided by N - 1 (ddof=1), where the standard divides by N")
    if outside:
        words.append("eps added to the root, not to the variance under it")
    return replace(
        plain, ddof=ddof, eps_outside_root=outside, message="; ".join(words),
        standard=plain.standard and len(words) == 1,
    )  # fmt: skip


def _fitted_eps(
    question: Question, wide: Mapping[str, Array], output: Array, model: ForwardModel
) -> float | None:
    """The eps that explains the group of least variance above 0."""
    x = question.x
    variance = np.broadcast_to(model.variance(x), x.shape)
    centred = x - model.mean(x)
    gamma = np.broadcast_to(wide.get("gamma", np.ones((1,) * 4)), x.shape)
    scaled = output.astype(np.float64) - wide.get("beta", 0.0)
    usable = (variance > 0) & np.isfinite(scaled) & (scaled != 0) & (gamma != 0)
    if not usable.any():
        return None
    least = usable & (variance <= variance[usable].min() * (1 + 1e-9))
    place = np.unravel_index(int((np.abs(centred) * least).argmax()), x.shape)
    root = float(centred[place] * gamma[place] / scaled[place])
    fitted = (
        root - np.sqrt(variance[place]) if model.eps_outside_root else root**2 - variance[place]
    )
    if not np.isfinite(fitted) or abs(fitted) < 1e-9 * variance[place]:
        return 0.0 if np.isfinite(fitted) else None
    # Three digits are what people write.
    near = float(f"{fitted:.2g}")
    return max(near if abs(near - fitted) < 1e-4 * abs(fitted) else float(fitted), 0.0)


def _distance(
    question: Question, wide: Mapping[str, Array], output: Array, model: ForwardModel
) -> float:
    x = question.x
    with np.errstate(all="ignore"):
        expected = wide.get("gamma", 1.0) * (x - model.mean(x)) * model.inv_std(question)
        expected = expected + wide.get("beta", 0.0)
        error = np.abs(expected - output.astype(np.float64))
        # Where there is no eps, neither is a number.
        error = np.where(np.isfinite(output) | np.isfinite(expected), error, 0.0)
        scale = 1 + np.abs(np.broadcast_to(wide.get("gamma", 1.0), x.shape)) + np.abs(expected)
    with np.errstate(all="ignore"):
        worst = float(np.max(np.where(error > 0, error / scale, error)))
    return worst if np.isfinite(worst) else np.inf
