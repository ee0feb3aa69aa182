"""Chooses how the derivatives are found, and sees that two independent ways agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from bncli.checking.analytic import STEP, Analytic
from bncli.checking.oracle import (
    STEPS,
    Asked,
    Derivatives,
    NotAnalyticError,
    along_random,
    central_block,
    complex_block,
    natural_scale,
)
from bncli.checking.question import Array, Question
from bncli.checking.target import TargetFailure

_ALL_BELOW = 512
"""So few elements are asked one by one, all of them."""

_SAMPLE = 128
_AGREE = 1e-6
_COARSE = 0.05
_PARAMETER = 1e-3


def derive(asked: Asked) -> Derivatives:
    """The derivatives of the forward at the question."""
    if asked.base.dtype.kind != "f":
        return hopeless(asked.question, f"forward gives {asked.base.dtype}: it has no derivative")
    bad = ~np.isfinite(asked.base)
    if bad.any():
        place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        return hopeless(
            asked.question,
            f"forward gives NaN or infinity in {int(bad.sum())} places, the first at {place}",
        )
    if asked.leaks.victims:
        return _sampled(asked)
    if asked.base.dtype == np.float64 and asked.question.x.dtype == np.float64:
        found = _by_complex_step(asked)
        if isinstance(found, Derivatives):
            return found
        note = found
    else:
        note = f"forward computes in {asked.base.dtype}"
    result = _by_differences(asked)
    result.notes.insert(0, f"complex step not used: {note}")
    return result


def _by_complex_step(asked: Asked) -> Derivatives | str:
    """The derivatives; or why the complex step does not serve."""
    question = asked.question
    try:
        values, scales = complex_block(asked)
    except TargetFailure as failure:
        return f"forward refuses complex numbers ({failure.message})"
    except NotAnalyticError:
        return "forward drops the imaginary part"
    if not all(np.isfinite(value).all() for value in values.values()):
        return "it gives NaN or infinity"
    checked = along_random(asked, values, scales)
    eps = np.finfo(np.float64).eps
    condition = question.condition
    allowed = _AGREE + 10 * eps * (1 + condition + condition**2) / STEPS[0]
    apart = {name: (error > allowed) & ~checked.kinked for name, error in checked.error.items()}
    if any(wrong.any() for wrong in apart.values()):
        return "it disagrees with central differences, so forward is not analytic"
    noise = rounding_noise(question, np.dtype(np.float64))
    return Derivatives(
        "complex step, confirmed by central differences",
        values, scales, dict.fromkeys(values, noise), checked.kinked,
    )  # fmt: skip


def _by_differences(asked: Asked) -> Derivatives:
    """Central differences at two step sizes, the better of a few pairs."""
    best: Derivatives | None = None
    best_gap = np.inf
    for step in STEPS:
        fine, scales = central_block(asked, step)
        coarse, _ = central_block(asked, 2 * step)
        noise, gaps = {}, []
        for name, value in fine.items():
            # Of central differences, the error of the coarse step is four times that of the fine.
            gap = np.abs(coarse[name] - value) / np.where(scales[name] > 0, scales[name], 1.0)
            gap = gap.max(axis=0) if name == "grad_input" else gap
            gap = np.where(np.isfinite(gap), gap, np.inf)
            usual = float(np.median(gap))
            noise[name] = 4 * gap + 8 * usual
            gaps.append(usual)
        if max(gaps) < best_gap:
            best_gap = max(gaps)
            # A step that large serves best where the forward computes in single precision inside.
            precision = asked.base.dtype if step == STEPS[0] else np.dtype(np.float32)
            model = _difference_noise(asked.question, precision, step)
            best = Derivatives(
                f"central differences at {step:g} and {2 * step:g} of each pixel's spread",
                fine, scales, {name: n + model for name, n in noise.items()},
                # Where they do not agree there may be a kink, or nothing but noise.
                noise["grad_input"] > 1.0,
            )  # fmt: skip
        if best_gap < _AGREE:
            break
    if best is None or best_gap > _COARSE:
        return hopeless(
            asked.question, "the two numerical derivatives do not agree at any step size"
        )
    return best


def rounding_noise(question: Question, dtype: np.dtype[Any]) -> Array:
    """Relative rounding error of a careful layer that computes in *dtype*, per pixel."""
    eps = float(np.finfo(dtype).eps)
    noise: Array = 64 * eps * (1 + question.condition)
    # Variance as E[x^2] - E[x]^2 is poor but right; in double precision it is let pass.
    noise = noise + np.finfo(np.float64).eps * question.condition**2
    return noise + (1e-9 if eps < 1e-10 else 1e-5)  # noqa: PLR2004 - double precision


def _difference_noise(question: Question, dtype: np.dtype[Any], step: float) -> Array:
    """Rounding and truncation of central differences, which may by chance not show in the gap."""
    rounding = 20 * float(np.finfo(dtype).eps) * (1 + question.condition) / step
    return rounding_noise(question, dtype) + rounding + 5 * step**2


def hopeless(question: Question, problem: str) -> Derivatives:
    """No derivatives, and why."""
    return Derivatives("none", {}, {}, {}, np.zeros(question.gamma.shape, bool), problem)


def _sampled(asked: Asked) -> Derivatives:
    """Element by element, since pixels influence each other; all elements where they are few."""
    question = asked.question
    rng = np.random.default_rng((asked.seed, 4))
    starts = _arrays(question)
    values: dict[str, Array] = {}
    scales: dict[str, Array] = {}
    noise: dict[str, Array] = {}
    ways = set()
    for name in asked.wanted:
        start = starts[name]
        count = start.size if start.size <= _ALL_BELOW else _SAMPLE
        chosen = np.sort(rng.permutation(start.size)[:count])
        value, scale = np.full(start.size, np.nan), np.zeros(start.size)
        for place in chosen:
            value[place], scale[place], way = _one(asked, name, int(place))
            ways.add(way)
        values[name] = value.reshape(start.shape)
        sizes: Array = scale.reshape(start.shape)
        scales[name] = (
            sizes.max(axis=0) if name == "grad_input" else natural_scale(sizes, question.delta)
        )
        model = rounding_noise(question, asked.base.dtype) * 10
        noise[name] = model + (1e-5 if "central differences" in ways else 0.0)
    return Derivatives(
        f"{' and '.join(sorted(ways))}, element by element",
        values, scales, noise, np.zeros(question.gamma.shape, bool),
        _disagreement(asked, values, scales),
    )  # fmt: skip


def _disagreement(asked: Asked, values: dict[str, Array], scales: dict[str, Array]) -> str:
    """Hold some elements against central differences."""
    value = values["grad_input"]
    known = np.flatnonzero(np.isfinite(value.reshape(-1)))
    scale = np.broadcast_to(scales["grad_input"], value.shape).reshape(-1)
    for place in known[:: max(1, len(known) // 12)]:
        other, size = _central_one(asked, "grad_input", int(place))
        error = abs(other - value.reshape(-1)[place])
        if error > 1e-3 * max(size, float(scale[place])):
            return "complex step and central differences do not agree"
    return ""


def _one(asked: Asked, name: str, place: int) -> tuple[float, float, str]:
    if asked.base.dtype == np.float64:
        arrays = _arrays(asked.question)
        stepped = arrays[name].astype(np.complex128)
        stepped.reshape(-1)[place] += 1j * STEP
        arrays[name] = Analytic.of(stepped)
        if name != "grad_input":
            arrays["grad_input"] = Analytic.of(arrays["grad_input"])
        try:
            output = asked.function(*arrays.values())
        except TargetFailure:
            output = asked.base
        if np.iscomplexobj(output):
            terms = asked.question.delta * np.asarray(output).imag / STEP
            return float(terms.sum()), float(np.abs(terms).sum()), "complex step"
    return (*_central_one(asked, name, place), "central differences")


def _central_one(asked: Asked, name: str, place: int) -> tuple[float, float]:
    question = asked.question
    single = asked.base.dtype != np.float64
    size = _PARAMETER if name != "grad_input" else (2e-2 if single else 6e-6)
    if name == "grad_input":
        spread = np.broadcast_to(np.sqrt(question.variance + question.eps), question.x.shape)
        size *= float(spread.reshape(-1)[place])
    outputs, ends = [], []
    for sign in (1, -1):
        arrays = _arrays(question)
        moved = arrays[name].copy()
        moved.reshape(-1)[place] += sign * size
        arrays[name] = moved
        ends.append(float(moved.reshape(-1)[place]))
        outputs.append(asked.function(*arrays.values()).astype(np.float64))
    terms = question.delta * (outputs[0] - outputs[1]) / (ends[0] - ends[1])
    return float(terms.sum()), float(np.abs(terms).sum())


def _arrays(question: Question) -> dict[str, Array]:
    return {"grad_input": question.x, "grad_gamma": question.gamma, "grad_beta": question.beta}
