"""Which normalization a forward is, and the right backward of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bncli.checking.question import Array, Question

_OVER = {
    "each channel over the batch and all its pixels": (0, 1, 2),
    "each picture over all its pixels (LayerNorm)": (1, 2, 3),
    "each channel of each picture (InstanceNorm)": (1, 2),
    "everything together": (0, 1, 2, 3),
    "each pixel over the channels": (3,),
}


@dataclass(frozen=True, slots=True)
class ForwardModel:
    """What a forward was recognised as.

    Attributes:
        standard: whether it is ``gamma * (x - mean) / sqrt(variance + eps) + beta`` per pixel, with
            the variance divided by batch, and the eps asked for.
        message: what it is, in a sentence.
        ddof: what is subtracted from batch under the variance.
        eps: added to the variance; None where it could not be recognised.
        eps_outside_root: whether eps is added to the root instead.
        per_pixel: whether every pixel is normalized over the batch by itself.
    """

    standard: bool = False
    message: str = ""
    ddof: int = 0
    eps: float | None = None
    eps_outside_root: bool = False
    per_pixel: bool = True

    def variance(self, question: Question) -> Array:
        """As this forward takes it, (w, h, c)."""
        variance: Array = question.variance * self.unbiased(len(question.x))
        return variance

    def unbiased(self, batch: int) -> float:
        """What makes a mean over the batch one divided by ``batch - ddof``."""
        return batch / (batch - self.ddof)

    def inv_std(self, question: Question) -> Array:
        """The factor on ``x - mean``, (w, h, c)."""
        eps = question.eps if self.eps is None else self.eps
        return inverse_root(self.variance(question), eps, outside=self.eps_outside_root)


def inverse_root(variance: Array, eps: float, *, outside: bool) -> Array:
    """One over the root of the variance, with eps under the root or outside of it."""
    inverse: Array = 1 / (np.sqrt(variance) + eps) if outside else 1 / np.sqrt(variance + eps)
    return inverse


def recognise(question: Question, output: Array, tolerance: float) -> ForwardModel:
    """Find the model that gives *output*.

    Args:
        question: a probe, with pixels of variance 0, eps and 100 eps.
        output: of the target.
        tolerance: relative error at which a model still counts as the same.
    """
    for model in _models(question, output):
        if _distance(question, output, model) <= tolerance:
            return model
    for name, axes in _OVER.items():
        if _distance_over(question, output, axes) <= max(tolerance, 1e-3):
            return ForwardModel(
                message=f"forward normalizes {name}, not each pixel over the batch",
                per_pixel=False,
            )
    return ForwardModel(
        message="forward is not recognised as batch normalization of each pixel",
        per_pixel=False,
    )


def _models(question: Question, output: Array) -> Iterator[ForwardModel]:
    eps = question.eps
    yield ForwardModel(standard=True, message="forward is standard batch normalization", eps=eps)
    unbiased = "forward divides the variance by batch - 1 (ddof=1), the standard by batch"
    yield ForwardModel(message=unbiased, ddof=1, eps=eps)
    beyond = "forward adds eps to the root, not to the variance under it"
    for ddof in (0, 1):
        also = f"; {unbiased.removeprefix('forward ')}" if ddof else ""
        yield ForwardModel(message=beyond + also, ddof=ddof, eps=eps, eps_outside_root=True)
        fitted = _fitted_eps(question, output, ddof)
        if fitted is not None:
            message = f"forward adds eps {fitted:.3g} to the variance, not {eps:.3g}{also}"
            yield ForwardModel(message=message, ddof=ddof, eps=fitted)


def _fitted_eps(question: Question, output: Array, ddof: int) -> float | None:
    """The eps that explains the pixel of least variance above 0."""
    batch = len(question.x)
    variance = question.variance.reshape(-1) * (batch / (batch - ddof))
    order = [int(p) for p in np.argsort(variance) if variance[p] > 0]
    if not order:
        return None
    centred = (question.x - question.x.mean(axis=0)).reshape(batch, -1)
    scaled = (output.astype(np.float64) - question.beta).reshape(batch, -1)
    pixel = order[0]
    row = int(np.abs(centred[:, pixel]).argmax())
    if scaled[row, pixel] == 0:
        return None
    root = centred[row, pixel] * question.gamma.reshape(-1)[pixel] / scaled[row, pixel]
    fitted = float(root * root - variance[pixel])
    return max(fitted, 0.0) if np.isfinite(fitted) else None


def _distance(question: Question, output: Array, model: ForwardModel) -> float:
    centred = question.x - question.x.mean(axis=0)
    with np.errstate(all="ignore"):
        expected = question.gamma * centred * model.inv_std(question) + question.beta
    return _far(expected, output)


def _distance_over(question: Question, output: Array, axes: tuple[int, ...]) -> float:
    x = question.x
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    plain = centred / np.sqrt(variance + question.eps)
    return min(
        _far(question.gamma * plain + question.beta, output),
        _far(plain, output),
    )


def _far(expected: Array, output: Array) -> float:
    error = np.abs(expected - output.astype(np.float64))
    scale = 1 + np.abs(expected).max(axis=0)
    worst = float(np.max(error / scale))
    return worst if np.isfinite(worst) else np.inf
