"""Gathers the evidence for a diagnosis: the target at two shapes, and what its gradients match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bncli.checking.compare import Quantity
from bncli.checking.counts import name_count
from bncli.checking.diagnosis import Diagnosis, Evidence, diagnose_input
from bncli.checking.forward import ForwardModel
from bncli.checking.measure import run_backward
from bncli.checking.patterns import formula, matches
from bncli.checking.phrases import FORMULA
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE, Array, Question, probe
from bncli.checking.session import Gradients, Target, numbers_or_reason
from bncli.checking.target import TargetFailure

_LOCAL = 0.5
_NEAR = {"float64": 1e-7, "float32": 1e-3}
_LINES = {
    "grad_input": FORMULA,
    "grad_gamma": "grad_gamma = (delta * x_norm).sum(0)",
    "grad_beta": "grad_beta = delta.sum(0)",
}


@dataclass(frozen=True, slots=True)
class Witness:
    """A target's gradients at one probe."""

    evidence: Evidence
    given: Gradients


def witnesses(target: Target, model: ForwardModel, seed: int, eps: float, dtype: str,
              *, parameters: bool) -> list[Witness]:  # fmt: skip
    """Put a probe of each of two shapes to the target.

    Raises:
        TargetFailure: its code failed, or gave no gradient.
    """
    found = []
    for shape in (PROBE_SHAPE, SECOND_SHAPE):
        question = probe(shape, seed, eps)
        if not parameters:
            question = replace(
                question,
                gamma=np.ones_like(question.gamma),
                beta=np.zeros_like(question.beta),
            )
        _, given = run_backward(target, question.to(dtype))
        array, problem = numbers_or_reason(given.grad_input, question.x.shape, "grad_input")
        if array is None:
            raise TargetFailure(problem)
        evidence = Evidence(question, model, array.astype(np.float64), question.x)
        right = formula(evidence)
        found.append(Witness(replace(evidence, right=right), given))
    return found


def blame_input(
    target: Target, model: ForwardModel, quantity: Quantity, seed: int, eps: float, dtype: str,
    *, parameters: bool,
) -> Diagnosis:  # fmt: skip
    """What is wrong with a grad_input that failed."""
    if quantity.problem:
        return Diagnosis("not-a-gradient", quantity.problem, FORMULA)
    local = _local(quantity)
    try:
        seen = witnesses(target, model, seed, eps, dtype, parameters=parameters)
    except TargetFailure as failure:
        return local or Diagnosis(
            "unrecognised", f"the probe could not be asked: {failure.message}"
        )
    if not model.per_pixel:
        return local or Diagnosis(
            "unrecognised",
            "the gradient is wrong; since forward is not batch normalization of each pixel, its "
            "terms cannot be named",
        )
    evidence = [witness.evidence for witness in seen]
    if _truncated(seen, quantity):
        return Diagnosis(
            "whole-numbers",
            "the gradient is cut to whole numbers: it is kept in an array of integers",
            "grad_input = np.empty(x.shape, dtype=float)",
        )
    tolerance = _NEAR[dtype]
    if all(matches(e.given, e.right, max(tolerance, 1e-5)) for e in evidence):
        return local or Diagnosis(
            "depends-on-the-batch",
            "the gradient is right on a small probe and wrong here: it depends on the size or the "
            "values of this batch",
        )
    found = diagnose_input(evidence, dtype)
    return local if found.name == "unrecognised" and local is not None else found


def _truncated(seen: Sequence[Witness], quantity: Quantity) -> bool:
    del quantity
    return all(np.asarray(w.given.grad_input).dtype.kind in "iub" for w in seen)


def _local(quantity: Quantity) -> Diagnosis | None:
    if not quantity.checked or quantity.wrong >= _LOCAL * quantity.checked:
        return None
    index = quantity.worst_index
    if quantity.pixels_wrong == 1 and index is not None:
        where = f"pixel (x, y, channel) = {index[-3:]}"
    elif len(quantity.pictures_wrong) == 1:
        where = f"picture {quantity.pictures_wrong[0]}"
    elif len(quantity.channels_wrong) == 1:
        where = f"channel {quantity.channels_wrong[0]}"
    else:
        where = f"{quantity.pixels_wrong:,} of {quantity.pixels:,} pixels"
    return Diagnosis(
        "local",
        f"the gradient is right except at {where}: the formula is right, the indexing is not",
    )


def blame_parameter(
    target: Target, model: ForwardModel, name: str, quantity: Quantity, seed: int, eps: float,
    dtype: str,
) -> Diagnosis:  # fmt: skip
    """What is wrong with a grad_gamma or grad_beta that failed."""
    if quantity.problem:
        return Diagnosis("not-a-gradient", quantity.problem, _LINES[name], quantity=name)
    try:
        seen = witnesses(target, model, seed, eps, dtype, parameters=True)
    except TargetFailure as failure:
        return Diagnosis("unrecognised", failure.message, quantity=name)
    tolerance = _NEAR[dtype]
    for key, words in _CANDIDATES[name]:
        ratios = [_ratio(w, name, key, tolerance) for w in seen]
        if any(ratio is None for ratio in ratios):
            continue
        numbers = [ratio for ratio in ratios if ratio is not None]
        count = name_count(numbers, [w.evidence.shape for w in seen], 10 * tolerance)
        if count is None:
            continue
        times = "" if count == "1" else f"it is multiplied by {count}"
        message = f"{name}: " + " and ".join(part for part in (words, times) if part)
        label = key if count == "1" else f"{key}-times-{count}"
        return Diagnosis(label, message, _LINES[name], quantity=name)
    return Diagnosis(
        "unrecognised", f"{name} is wrong, but not in a way that is known", quantity=name
    )


_CANDIDATES = {
    "grad_gamma": (
        ("x-norm", ""),
        ("swapped", "it is the gradient of beta"),
        ("x", "x stands where x_norm belongs"),
        ("centred", "x - mean stands where x_norm belongs: inv_std is missing"),
        ("output", "the output stands where x_norm belongs"),
        ("with-gamma", "gamma is multiplied in, where delta alone belongs"),
        ("zero", "it is 0 everywhere"),
    ),
    "grad_beta": (
        ("delta", ""),
        ("swapped", "it is the gradient of gamma"),
        ("with-gamma", "gamma is multiplied in, where delta alone belongs"),
        ("with-inv-std", "inv_std is multiplied in, where delta alone belongs"),
        ("zero", "it is 0 everywhere"),
    ),
}


def _candidate(evidence: Evidence, name: str, key: str) -> Array:
    question: Question = evidence.question
    delta, x_norm = question.delta, evidence.x_norm
    beta_like = name == "grad_beta"
    factors = {
        "x-norm": x_norm,
        "delta": np.ones_like(delta),
        "swapped": x_norm if beta_like else np.ones_like(delta),
        "x": question.x,
        "centred": question.x - question.x.mean(axis=0),
        "output": question.gamma * x_norm + question.beta,
        "with-gamma": question.gamma * (np.ones_like(delta) if beta_like else x_norm),
        "with-inv-std": evidence.inv_std * np.ones_like(delta),
        "zero": np.zeros_like(delta),
    }
    total: Array = (delta * factors[key]).sum(axis=0)
    return total


def _ratio(witness: Witness, name: str, key: str, tolerance: float) -> float | None:
    """The number by which a candidate becomes the gradient, if there is one."""
    evidence = witness.evidence
    raw = getattr(witness.given, name)
    array, _ = numbers_or_reason(raw, evidence.question.gamma.shape, name)
    if array is None:
        return None
    usual = evidence.question.usual
    given = array[usual].astype(np.float64)
    candidate = _candidate(evidence, name, key)[usual]
    size = float((candidate**2).sum())
    if size == 0:
        return 1.0 if not given.any() else None
    ratio = float((given * candidate).sum()) / size
    scale = np.linalg.norm(given)
    if scale == 0 or np.linalg.norm(given - ratio * candidate) > 10 * tolerance * scale:
        return None
    return ratio
