"""Wrong gradients that are not the three terms with other coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bncli.checking.phrases import EPS_OUTSIDE_FORWARD, FORMULA, Sentence
from bncli.checking.question import Array

if TYPE_CHECKING:
    from bncli.checking.diagnosis import Evidence

_EPS_LINE = "inv_std = 1 / sqrt(variance + eps), with the eps of the forward"
_INV_STD_LINE = "grad_variance = (grad_norm * (x - mean)).sum(0) * -0.5 * inv_std**3"
_VARIANCE_LINE = "variance term: - x_norm * (delta * x_norm).sum(0) / B"
_AXIS_LINE = "mean(axis=0): over the batch alone"
_FEW = 0.5


def formula(
    evidence: Evidence, *, delta: Array | None = None, gamma: Array | None = None,
    inv_std: Array | None = None, x_norm: Array | None = None,
) -> Array:  # fmt: skip
    """The right backward, with something in it exchanged."""
    question = evidence.question
    delta = question.delta if delta is None else delta
    gamma = question.gamma if gamma is None else gamma
    exchanged = inv_std is not None
    inv_std = evidence.inv_std if inv_std is None else inv_std
    x_norm = evidence.x_norm if x_norm is None else x_norm
    batch = len(question.x)
    variance_term = x_norm * (delta * x_norm).sum(axis=0) / (batch - evidence.model.ddof)
    if evidence.model.outside and not exchanged:
        # The derivative of the root has no eps in it; x_norm, which stands for it, has.
        root = np.sqrt(question.variance * (batch / (batch - evidence.model.ddof)))
        variance_term = variance_term / np.where(root > 0, root * inv_std, 1.0)
    result: Array = gamma * inv_std * (delta - delta.mean(axis=0) - variance_term)
    return result


def eps_pattern(evidence: Sequence[Evidence], tolerance: float) -> Sentence | None:
    """An eps that differs between forward and backward: seen only where the variance is small."""
    first = evidence[0]
    dead = first.question.variance == 0
    if not dead.any():
        return None
    delta = first.question.delta[:, dead]
    spread = delta - delta.mean(axis=0)
    given = first.given[:, dead].astype(np.float64)
    ratio = (given * spread).sum(axis=0) / (first.question.gamma[dead] * (spread**2).sum(axis=0))
    factor = float(np.abs(ratio[0]))
    if not np.isfinite(factor) or factor == 0:
        return None
    outside, inside = 1 / factor, factor**-2
    eps = first.question.eps if first.model.eps is None else first.model.eps
    for everywhere in (True, False):
        for beyond, value in ((True, outside), (False, inside)):
            if all(_fits_eps(e, value, tolerance, everywhere, beyond) for e in evidence):
                if first.model.outside:
                    return EPS_OUTSIDE_FORWARD
                return _eps_sentence(value, eps, beyond=beyond)
    return None


def _fits_eps(e: Evidence, eps: float, tolerance: float, everywhere: bool, beyond: bool) -> bool:
    variance = e.question.variance * (len(e.question.x) / (len(e.question.x) - e.model.ddof))
    inv_std = 1 / (np.sqrt(variance) + eps) if beyond else 1 / np.sqrt(variance + eps)
    x_norm = (e.question.x - e.question.x.mean(axis=0)) * inv_std if everywhere else None
    return matches(e.given, formula(e, inv_std=inv_std, x_norm=x_norm), max(tolerance, 1e-5))


def _eps_sentence(value: float, eps: float, *, beyond: bool) -> Sentence:
    if beyond:
        return Sentence(
            "eps-outside-root",
            "backward adds eps to the root, forward to the variance under it; it shows at pixels "
            "of small variance only",
            _EPS_LINE,
        )
    return Sentence(
        "eps-mismatch",
        f"backward uses eps {value:.3g}, forward {eps:.3g}; it shows at pixels of small variance "
        "only",
        _EPS_LINE,
    )


def near_misses(evidence: Sequence[Evidence], tolerance: float) -> Sentence | None:
    """The first pattern that fits at every shape."""
    for sentence, build in _patterns():
        if all(_built_fits(e, build, tolerance) for e in evidence):
            return sentence
    return _local(evidence, tolerance)


def _built_fits(e: Evidence, build: Callable[[Evidence], Array], tolerance: float) -> bool:
    with np.errstate(all="ignore"):
        expected = build(e)
    usual = e.question.usual
    return matches(e.given[:, usual], expected[:, usual], 10 * tolerance)


def matches(given: Array, expected: Array, tolerance: float) -> bool:
    """Whether two gradients agree, pixel by pixel."""
    if given.shape != expected.shape:
        return False
    scale = np.abs(expected).max(axis=0)
    error = np.abs(given.astype(np.float64) - expected).max(axis=0)
    return bool((error <= tolerance * scale + 1e-300).all())


def _with_terms(e: Evidence, mean: Array, variance: Array) -> Array:
    question = e.question
    result: Array = question.gamma * e.inv_std * (question.delta - mean - variance)
    return result


def _patterns() -> Iterator[tuple[Sentence, Callable[[Evidence], Array]]]:
    for name, words, change, build in (*_TERM_PATTERNS, *_WHOLE_PATTERNS):
        yield Sentence(name, words, change), build


def _mean_term(e: Evidence) -> Array:
    mean: Array = e.question.delta.mean(axis=0)
    return mean


def _variance_term(e: Evidence) -> Array:
    product: Array = e.x_norm * (e.question.delta * e.x_norm).mean(axis=0)
    return product


_TERM_PATTERNS = (
    (
        "variance-term-inv-std",
        "the variance term has inv_std one time too few",
        _INV_STD_LINE,
        lambda e: _with_terms(e, _mean_term(e), _variance_term(e) / e.inv_std),
    ),
    (
        "variance-term-inv-std",
        "the variance term has inv_std two times too few: (x - mean) for x_norm in both places",
        _INV_STD_LINE,
        lambda e: _with_terms(e, _mean_term(e), _variance_term(e) / e.inv_std**2),
    ),
    (
        "variance-term-inv-std",
        "the variance term has inv_std one time too often",
        _INV_STD_LINE,
        lambda e: _with_terms(e, _mean_term(e), _variance_term(e) * e.inv_std),
    ),
    (
        "variance-term-gamma",
        "gamma is missing in the variance term alone",
        "grad_norm = delta * gamma, before both sums",
        lambda e: _with_terms(e, _mean_term(e), _variance_term(e) / e.question.gamma),
    ),
    (
        "mean-term-gamma",
        "gamma is missing in the mean term alone",
        "grad_norm = delta * gamma, before both sums",
        lambda e: _with_terms(e, _mean_term(e) / e.question.gamma, _variance_term(e)),
    ),
    (
        "correction-terms-gamma",
        "gamma is missing in the mean term and the variance term",
        "grad_norm = delta * gamma, before both sums",
        lambda e: _with_terms(
            e, _mean_term(e) / e.question.gamma, _variance_term(e) / e.question.gamma
        ),
    ),
    (
        "mean-term-inv-std",
        "inv_std is missing in the mean term alone",
        "grad_mean = -(grad_norm * inv_std).sum(0)",
        lambda e: _with_terms(e, _mean_term(e) / e.inv_std, _variance_term(e)),
    ),
    (
        "x-for-x-norm",
        "the variance term uses x where x_norm belongs",
        _VARIANCE_LINE,
        lambda e: _with_terms(
            e, _mean_term(e), e.question.x * (e.question.delta * e.question.x).mean(axis=0)
        ),
    ),
    (
        "x-for-x-norm",
        "the variance term multiplies by x where x_norm belongs",
        _VARIANCE_LINE,
        lambda e: _with_terms(
            e, _mean_term(e), e.question.x * (e.question.delta * e.x_norm).mean(axis=0)
        ),
    ),
    (
        "x-for-x-norm",
        "the sum in the variance term uses x where x_norm belongs",
        _VARIANCE_LINE,
        lambda e: _with_terms(
            e, _mean_term(e), e.x_norm * (e.question.delta * e.question.x).mean(axis=0)
        ),
    ),
)


def _other_mean(e: Evidence, axes: tuple[int, ...]) -> Array:
    delta = e.question.delta
    product = delta * e.x_norm
    return _with_terms(
        e,
        delta.mean(axis=axes, keepdims=True),
        e.x_norm * product.mean(axis=axes, keepdims=True),
    )


_WHOLE_PATTERNS = (
    (
        "ignores-delta",
        "delta is ignored: this is the gradient for a delta of ones",
        FORMULA,
        lambda e: formula(e, delta=np.ones_like(e.question.delta)),
    ),
    (
        "beta-for-gamma",
        "beta is used where gamma belongs",
        FORMULA,
        lambda e: formula(e, gamma=e.question.beta),
    ),
    (
        "gamma-magnitude",
        "the absolute value of gamma is used",
        FORMULA,
        lambda e: formula(e, gamma=np.abs(e.question.gamma)),
    ),
    (
        "batch-reversed",
        "the gradient is right, but the pictures stand in reverse order",
        "grad_input[i] belongs to the i-th picture",
        lambda e: e.right[::-1],
    ),
    (
        "batch-shifted",
        "the gradient is right, but every picture's stands one place off",
        "grad_input[i] belongs to the i-th picture",
        lambda e: np.roll(e.right, 1, axis=0),
    ),
    (
        "channels-reversed",
        "the gradient is right, but the channels stand in reverse order",
        "grad_input[..., k] belongs to the k-th channel",
        lambda e: e.right[..., ::-1],
    ),
    (
        "averaged-over-pixels",
        "the means are taken over batch, w and h (one for each channel), not over the batch",
        _AXIS_LINE,
        lambda e: _other_mean(e, (0, 1, 2)),
    ),
    (
        "averaged-over-pictures",
        "the means are taken within each picture, not over the batch",
        _AXIS_LINE,
        lambda e: _other_mean(e, (1, 2, 3)),
    ),
    (
        "averaged-over-everything",
        "the means are taken over all axes, not over the batch",
        _AXIS_LINE,
        lambda e: _other_mean(e, (0, 1, 2, 3)),
    ),
)


def _local(evidence: Sequence[Evidence], tolerance: float) -> Sentence | None:
    """Wrong at some elements, right at all others."""
    first = evidence[0]
    scale = np.abs(first.right).max(axis=0)
    error = np.abs(first.given - first.right)
    wrong = error > max(1e-6, 10 * tolerance) * np.where(scale > 0, scale, 1.0)
    if not wrong.any() or wrong.mean() >= _FEW:
        return None
    pictures = np.flatnonzero(wrong.any(axis=(1, 2, 3)))
    channels = np.flatnonzero(wrong.any(axis=(0, 1, 2)))
    pixels = np.argwhere(wrong.any(axis=0))
    if len(pictures) == 1 and wrong.shape[0] > 1:
        where = f"picture {int(pictures[0])}"
    elif len(channels) == 1 and len(pixels) > 1 and wrong.shape[3] > 1:
        where = f"channel {int(channels[0])}"
    elif len(pixels) == 1:
        where = "pixel ({}, {}, {})".format(*(int(i) for i in pixels[0]))
    else:
        where = f"{len(pixels)} of {wrong[0].size} pixels"
    return Sentence(
        "local",
        f"the gradient is right except at {where}: the formula is right, the indexing is not",
        "",
    )
