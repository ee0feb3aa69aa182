"""The planted bugs, written by hand.

They are not made from the table of mistakes: they are what it is tested on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bncli.checking.planting import (
    Channels,
    Fault,
    Instances,
    Parts,
    Pictures,
    PlantedLayer,
    Rule,
    planted,
)
from bncli.checking.question import Array


def _input(name: str, expected: str, rule: Rule, kind: type = PlantedLayer, **more: Any) -> Fault:
    return Fault(name, expected, planted(name, kind, input_rule=rule), **more)


def _gamma(name: str, expected: str, rule: Rule, kind: type = PlantedLayer, **more: Any) -> Fault:
    layer = planted(name, kind, gamma_rule=rule, **more)
    return Fault(name, expected, layer, "grad_gamma")


def _beta(name: str, expected: str, rule: Rule, kind: type = PlantedLayer) -> Fault:
    return Fault(name, expected, planted(name, kind, beta_rule=rule), "grad_beta")


def _with(parts: Parts, mean_factor: Any, variance_factor: Any) -> Array:
    mean = parts.mean(parts.delta) * mean_factor
    along = parts.x_norm * parts.mean(parts.delta * parts.x_norm) * variance_factor
    result: Array = parts.gamma * parts.inv_std * (parts.delta - mean - along)
    return result


def _along(parts: Parts, outer: Array, inner: Array) -> Array:
    along = outer * parts.mean(parts.delta * inner)
    mean = parts.mean(parts.delta)
    result: Array = parts.gamma * parts.inv_std * (parts.delta - mean - along)
    return result


def _over(parts: Parts, axes: tuple[int, ...], factor: float = 1.0) -> Array:
    """Means over other axes, with gamma before them where it differs in a group."""
    scaled = parts.delta * parts.gamma
    mean = scaled.mean(axis=axes, keepdims=True)
    along = parts.x_norm * (scaled * parts.x_norm).mean(axis=axes, keepdims=True)
    result: Array = parts.inv_std * (scaled - float(factor) * (mean + along))
    return result


def _over_late(parts: Parts, axes: tuple[int, ...]) -> Array:
    return parts.gamma * _over(replace(parts, gamma=np.ones_like(parts.gamma)), axes)


def _zeroed(parts: Parts) -> Array:
    return np.where(parts.variance > 0, parts.terms(), np.zeros_like(parts.x))


def _one_gamma(parts: Parts) -> Array:
    gradient = parts.shared(parts.delta * parts.x_norm)
    gradient[-1, 0, -1] *= 2
    return gradient


def _one_pixel(parts: Parts) -> Array:
    gradient = parts.terms()
    gradient[:, -1, -1, 0] *= -1
    return gradient


def _random(parts: Parts) -> Array:
    rng = np.random.default_rng(5)
    return rng.standard_normal(parts.delta.shape).astype(parts.delta.dtype)


def _with_eps(parts: Parts, eps: float) -> Array:
    return parts.with_inv_std(1 / np.sqrt(parts.variance + eps)).terms()


class _Outside(PlantedLayer):
    outside = True
    input_rule: Rule = staticmethod(Parts.terms)

    def __init__(self, gamma: Array, beta: Array, eps: float = 1e-3) -> None:
        # Large enough to show in single precision.
        super().__init__(gamma, beta, eps)


STUDIED = (
    _input("no mean term", "missing-mean-term", lambda p: p.terms(b=0)),
    _input("no variance term", "missing-variance-term", lambda p: p.terms(c=0)),
    _input("inference mode", "inference-gradient", lambda p: p.terms(b=0, c=0)),
    _input("published formula", "pixels-for-batch-and-mean-divided-twice",
           lambda p: p.terms(b=1 / p.pixels, c=p.batch / p.pixels)),
    _input("pixels for batch", "pixels-for-batch",
           lambda p: p.terms(b=p.batch / p.pixels, c=p.batch / p.pixels)),
    _input("divided by all", "divided-by-all", lambda p: p.terms(b=1 / p.pixels, c=1 / p.pixels)),
    _input("sum for mean", "sum-for-mean", lambda p: p.terms(b=p.batch, c=p.batch)),
    _input("ddof in backward", "ddof-in-backward", lambda p: p.terms(c=p.batch / (p.batch - 1))),
    _input("sign of all", "sign-flipped", lambda p: p.terms(-1, -1, -1)),
    _input("sign of mean term", "mean-sign-flipped", lambda p: p.terms(b=-1)),
    _input("sign of variance term", "variance-sign-flipped", lambda p: p.terms(c=-1)),
    _input("variance term doubled", "variance-term-doubled", lambda p: p.terms(c=2)),
    _input("variance term halved", "variance-term-halved", lambda p: p.terms(c=0.5)),
    _input("no gamma", "missing-gamma", lambda p: p.terms(p=0)),
    _input("gamma twice", "gamma-squared", lambda p: p.terms(p=2)),
    _input("no inv_std", "missing-inv-std", lambda p: p.terms(q=0)),
    _input("inv_std twice", "inv-std-squared", lambda p: p.terms(q=2)),
    _input("divided by batch", "divided-by-batch",
           lambda p: p.terms(1 / p.batch, 1 / p.batch, 1 / p.batch)),
    _input("eps outside the root", "eps-outside-root",
           lambda p: p.with_inv_std(1 / (np.sqrt(p.variance) + p.eps)).terms()),
    _input("another eps", "eps-mismatch", lambda p: _with_eps(p, 1e3 * p.eps)),
)  # fmt: skip
"""The bugs that were studied in layers people use."""

OTHERS = (
    _input("missing -1/2", "missing-minus-half", lambda p: p.terms(c=-2)),
    _input("added to itself", "doubled", lambda p: p.terms(2, 2, 2)),
    _input("both signs", "both-signs-flipped", lambda p: p.terms(b=-1, c=-1)),
    _input("no delta term", "missing-direct-term", lambda p: p.terms(a=0)),
    _input("gamma late", "variance-term-gamma", lambda p: _with(p, 1, 1 / p.gamma)),
    _input("inv_std squared for cubed", "variance-term-inv-std",
           lambda p: _with(p, 1, 1 / p.inv_std)),
    _input("x for x_norm", "x-for-x-norm", lambda p: _along(p, p.x, p.x)),
    _input("mean over a channel", "averaged-over-pixels", lambda p: _over_late(p, (0, 1, 2))),
    _input("pictures reversed", "batch-reversed", lambda p: p.terms()[::-1].copy()),
    _input("magnitude of gamma", "gamma-magnitude", lambda p: np.sign(p.gamma) * p.terms()),
    _input("width for batch", "mean-times-B/w-variance-times-B/w",
           lambda p: p.terms(b=p.batch / p.x.shape[1], c=p.batch / p.x.shape[1])),
    _input("delta handed on", "delta-itself", lambda p: p.delta),
    _input("one pixel flipped", "local", _one_pixel),
    _input("nothing", "zero", lambda p: np.zeros_like(p.delta)),
    _input("random numbers", "unrecognised", _random),
    _gamma("gamma gradient averaged", "x-norm-times-1/B",
           lambda p: (p.delta * p.x_norm).mean(axis=0)),
    _gamma("gamma gradient of x", "x", lambda p: p.shared(p.delta * p.x)),
    _beta("beta gradient averaged", "delta-times-1/B", lambda p: p.delta.mean(axis=0)),
    _beta("beta gradient with gamma", "with-gamma", lambda p: p.shared(p.delta * p.gamma)),
    _input("times batch", "times-batch", lambda p: p.terms(p.batch, p.batch, p.batch)),
    _input("inv_std three times", "inv-std-cubed", lambda p: p.terms(q=3)),
    _input("centred for x_norm", "variance-term-inv-std", lambda p: _with(p, 1, p.inv_std**-2)),
    _input("inv_std to the fourth", "variance-term-inv-std", lambda p: _with(p, 1, p.inv_std)),
    _input("gamma late for the mean", "mean-term-gamma", lambda p: _with(p, 1 / p.gamma, 1)),
    _input("gamma late for both", "correction-terms-gamma",
           lambda p: _with(p, 1 / p.gamma, 1 / p.gamma)),
    _input("inv_std late for the mean", "mean-term-inv-std", lambda p: _with(p, 1 / p.inv_std, 1)),
    _input("times x", "x-for-x-norm", lambda p: _along(p, p.x, p.x_norm)),
    _input("sum with x", "x-for-x-norm", lambda p: _along(p, p.x_norm, p.x)),
    _input("delta of ones", "ignores-delta",
           lambda p: replace(p, delta=np.ones_like(p.delta)).terms()),
    _input("beta for gamma", "beta-for-gamma", lambda p: replace(p, gamma=p.beta).terms()),
    _input("pictures shifted", "batch-shifted", lambda p: np.roll(p.terms(), 1, axis=0)),
    _input("channels reversed", "channels-reversed", lambda p: p.terms()[..., ::-1].copy()),
    _input("mean over a picture", "averaged-over-pictures", lambda p: _over_late(p, (1, 2, 3))),
    _input("mean over all", "averaged-over-everything", lambda p: _over_late(p, (0, 1, 2, 3))),
    _input("no eps", "no-eps", lambda p: _with_eps(p, 0.0)),
    _input("NaN everywhere", "not-finite", lambda p: p.terms() * np.nan),
    _input("whole numbers", "whole-numbers", lambda p: np.rint(p.terms()).astype(int)),
    _input("four pictures", "depends-on-the-batch",
           lambda p: p.terms(c=p.batch != 4), shape=(4, 3, 4, 2)),  # noqa: PLR2004 - see shape
    _input("an axis lost", "not-a-gradient", lambda p: p.terms().sum(axis=3)),
    Fault("ddof in forward", "ddof-missing-in-backward", planted("unbiased_forward", ddof=1)),
    Fault("ddof in forward alone", "ddof-in-forward",
          planted("recomputed", ddof=1, input_rule=lambda p: p.with_inv_std(
              1 / np.sqrt(p.variance * ((p.batch - 1) / p.batch) + p.eps)).terms())),
    Fault("eps outside the root of forward", "eps-outside-root", _Outside),
    _gamma("gamma gradient for beta's", "of-beta", lambda p: p.shared(p.delta)),
    _gamma("gamma gradient of x - mean", "centred",
           lambda p: p.shared(p.delta * p.x_norm / p.inv_std)),
    _gamma("gamma gradient of the output", "output",
           lambda p: p.shared(p.delta * (p.gamma * p.x_norm + p.beta))),
    _gamma("gamma gradient with gamma", "with-gamma",
           lambda p: p.shared(p.delta * p.gamma * p.x_norm)),
    _input("one thousandth", "scaled", lambda p: p.terms(1.001, 1.001, 1.001)),
    _input("constant pixels zeroed", "dead-zeroed", _zeroed),
    _input("no eps in backward", "no-eps",
           lambda p: _with_eps(p, 0.0) if (p.variance == 0).any() else p.terms()),
    Fault("eps in backward alone", "eps-in-backward-alone",
          planted("bare", bare=True, input_rule=lambda p: _with_eps(p, 1e-5))),
    _input("pictures shifted back", "batch-shifted", lambda p: np.roll(p.terms(), -1, axis=0)),
    _input("w and h swapped", "w-and-h-swapped",
           lambda p: p.terms().swapaxes(1, 2).reshape(p.x.shape)),
    _input("h and w swapped", "w-and-h-swapped",
           lambda p: p.terms().reshape(np.array(p.x.shape)[[0, 2, 1, 3]]).swapaxes(1, 2)),
    _input("turned over along w", "turned-over", lambda p: p.terms()[:, ::-1].copy()),
    _input("turned over along h", "turned-over", lambda p: p.terms()[:, :, ::-1].copy()),
    _gamma("both swapped", "swapped", lambda p: p.shared(p.delta),
           beta_rule=lambda p: p.shared(p.delta * p.x_norm)),
    _gamma("one gamma doubled", "local", _one_gamma),
    _gamma("gamma gradient turned", "out-of-place",
           lambda p: p.shared(p.delta * p.x_norm)[::-1].copy()),
    _gamma("gamma gradient with inv_std", "with-inv-std",
           lambda p: p.shared(p.delta * p.x_norm * p.inv_std)),
    _gamma("gamma gradient of magnitudes", "magnitude",
           lambda p: p.shared(p.delta * np.abs(p.x_norm))),
    _gamma("no gamma gradient", "zero", lambda p: np.zeros_like(p.gamma)),
    _beta("beta gradient for gamma's", "of-gamma", lambda p: p.shared(p.delta * p.x_norm)),
    _beta("beta gradient with inv_std", "with-inv-std",
          lambda p: p.shared(p.delta * p.inv_std)),
    _beta("no beta gradient", "zero", lambda p: np.zeros_like(p.beta)),
)  # fmt: skip
"""Bugs beside them: each mistake of the table at least once."""

ELSEWHERE = (
    _input("no mean term of a channel", "missing-mean-term", lambda p: p.terms(b=0), Channels),
    _input("no variance term of a channel", "missing-variance-term", lambda p: p.terms(c=0),
           Channels),
    _input("inference mode of a channel", "inference-gradient", lambda p: p.terms(b=0, c=0),
           Channels),
    _input("batch for N*H*W", "batch-for-channel",
           lambda p: p.terms(b=p.count / p.batch, c=p.count / p.batch), Channels),
    _input("batch for N*H*W in the mean", "mean-times-N/B",
           lambda p: p.terms(b=p.count / p.batch), Channels),
    _input("H*W for N*H*W", "mean-times-N/(w*h)-variance-times-N/(w*h)",
           lambda p: p.terms(b=p.batch, c=p.batch), Channels),
    _input("sums of a channel", "sum-for-mean", lambda p: p.terms(b=p.count, c=p.count), Channels),
    _input("ddof of a channel", "ddof-in-backward", lambda p: p.terms(c=p.count / (p.count - 1)),
           Channels, shape=(3, 2, 3, 2)),
    _input("mean over the batch of a channel", "averaged-over-batch", lambda p: _over(p, (0,)),
           Channels),
    _input("no gamma of a channel", "missing-gamma", lambda p: p.terms(p=0), Channels),
    _input("gamma of a channel twice", "gamma-squared", lambda p: p.terms(p=2), Channels),
    _input("no inv_std of a channel", "missing-inv-std", lambda p: p.terms(q=0), Channels),
    _input("variance term of a channel halved", "variance-term-halved", lambda p: p.terms(c=0.5),
           Channels),
    _input("sign of a channel", "sign-flipped", lambda p: -p.terms(), Channels),
    _input("another eps of a channel", "eps-mismatch", lambda p: _with_eps(p, 1e3 * p.eps),
           Channels),
    _input("constant channel zeroed", "dead-zeroed", _zeroed, Channels),
    _input("channel reversed", "channels-reversed", lambda p: p.terms()[..., ::-1].copy(),
           Channels),
    Fault("ddof in forward of a channel", "ddof-missing-in-backward",
          planted("unbiased_channel", Channels, ddof=1), shape=(3, 2, 3, 2)),
    _gamma("gamma gradient of a channel averaged", "x-norm-times-1/(B*w*h)",
           lambda p: p.shared(p.delta * p.x_norm) / float(p.count), Channels),
    _beta("beta gradient of a channel averaged", "delta-times-1/B",
          lambda p: p.shared(p.delta) / float(p.batch), Channels),
    _gamma("gamma gradient of a channel of x", "x", lambda p: p.shared(p.delta * p.x), Channels),
    _gamma("gamma gradient of the first picture", "summed-over-other-axes",
           lambda p: (p.delta * p.x_norm)[0].sum(axis=(0, 1)), Channels),
    _gamma("gamma gradient of all", "summed-over-other-axes",
           lambda p: np.full_like(p.gamma, (p.delta * p.x_norm).sum()), Channels),
    _input("mean over the batch of a picture", "averaged-over-batch", lambda p: _over(p, (0,)),
           Pictures),
    _input("sum over the batch of a picture", "averaged-over-batch",
           lambda p: _over(p, (0,), p.batch / p.count), Pictures),
    _input("mean over the channels of a picture", "averaged-over-channels",
           lambda p: _over(p, (3,)), Pictures),
    _input("batch for C*H*W", "mean-times-N/B-variance-times-N/B",
           lambda p: p.terms(b=p.count / p.batch, c=p.count / p.batch), Pictures),
    _input("gamma after the means", "gamma-after-the-means",
           lambda p: p.gamma * replace(p, gamma=np.ones_like(p.gamma)).terms(), Pictures),
    _input("no gamma in a picture", "missing-gamma", lambda p: p.terms(p=0), Pictures),
    _input("inference mode of a picture", "inference-gradient", lambda p: p.terms(b=0, c=0),
           Pictures),
    _gamma("gamma gradient of a picture averaged", "x-norm-times-1/B",
           lambda p: (p.delta * p.x_norm).mean(axis=0), Pictures),
    _input("no mean term of an instance", "missing-mean-term", lambda p: p.terms(b=0), Instances),
    _input("N*H*W for H*W", "averaged-over-pixels", lambda p: _over(p, (0, 1, 2)), Instances),
    _beta("beta gradient of an instance averaged", "delta-times-1/B",
          lambda p: p.shared(p.delta) / float(p.batch), Instances),
)  # fmt: skip
"""The same, and others, in layers that normalize each channel, each picture, or both."""

RIGHT = (
    Fault("right", "", PlantedLayer),
    Fault("right in each channel", "", Channels),
    Fault("right in each picture", "", Pictures),
    Fault("right in each channel of each picture", "", Instances),
    Fault("right, ddof=1 in both", "",
          planted("unbiased", ddof=1, input_rule=lambda p: p.terms(c=p.batch / (p.batch - 1)))),
)  # fmt: skip
"""Layers with nothing wrong in their backward."""
