"""The table of known wrong gradients: what shows each, what it is, and the line to change.

A gradient of the input is held against ``gamma^p * inv_std^q * (a * delta - b * mean(delta) - c *
x_norm * mean(delta * x_norm))``, which is right at p = q = a = b = c = 1. A new mistake is one more
row here, and a layer in ``self_test.py`` that makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.forward import CHANNEL, ForwardModel
from bncli.checking.question import PIXEL, Array
from bncli.checking.terms import Evidence

Gives = Callable[[Evidence], Array]
LINES = {
    "grad_input": "grad_input = {gamma}inv_std * ({g} - {g}.mean({at}) - "
    "x_norm * ({g} * x_norm).mean({at})){with_g}",
    "grad_gamma": "grad_gamma = (delta * x_norm).sum({summed})",
    "grad_beta": "grad_beta = delta.sum({summed})",
}
"""Right, once the words for the layer's own axes are filled in."""

_MEAN = "mean term: - {g}.sum({at}) / {n}"
_VARIANCE = "variance term: - x_norm * ({g} * x_norm).sum({at}) / {n}"
_BOTH = f"{_MEAN}; {_VARIANCE}"
_ROOT = "grad_variance = (grad_norm * (x - mean)).sum({at}) * -0.5 * inv_std**3"
_GAMMA = "grad_norm = delta * gamma, before both sums"
_PLACE = "grad_input[i, x, y, k] belongs to column x and row y"
_ORDER = "grad_input[i] belongs to the i-th picture"
_EPS = "inv_std = 1 / sqrt(variance + eps), with the eps of the forward"
_PIXELS = "w*h*c was used where batch belongs"


_COUNTS = {
    PIXEL: "batch", CHANNEL: "N*H*W", (1, 2, 3): "C*H*W", (1, 2): "H*W", (3,): "C",
    (0, 1, 2, 3): "N*C*H*W",
}  # fmt: skip
OVER = {
    PIXEL: ("batch", "the batch"),
    CHANNEL: ("pixels", "batch, w and h (one for each channel)"),
    (1, 2, 3): ("pictures", "each picture"),
    (1, 2): ("instances", "each channel of each picture"),
    (3,): ("channels", "the channels of each pixel"),
    (0, 1, 2, 3): ("everything", "all axes"),
}
"""How means over these axes are called: in names, and in sentences."""


def words_of(model: ForwardModel, summed: tuple[int, ...] = PIXEL) -> dict[str, str]:
    """What stands in braces in messages and lines, for such a forward.

    Args:
        model: the forward.
        summed: the axes over which a parameter's gradient is summed.
    """
    axes = PIXEL if model.axes is None else model.axes
    count = _COUNTS.get(axes, "the number of values") if model.groups == 1 else "values of a group"
    # Where channels are normalized together, gamma may differ among them.
    inside = axes not in {PIXEL, CHANNEL, (1, 2)}
    return {
        "count": count,
        "n": "B" if axes == PIXEL else f"({count})",
        "over": OVER.get(axes, ("", f"the axes {axes}"))[1] if model.groups == 1 else "each group",
        "at": _letters(axes),
        "summed": _letters(summed),
        "g": "g" if inside else "delta",
        "gamma": "" if inside else "gamma * ",
        "with_g": ", with g = gamma * delta" if inside else "",
    }


def _letters(axes: tuple[int, ...]) -> str:
    return "0" if axes == PIXEL else ", ".join("NWHC"[axis] for axis in axes)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A known wrong gradient, shown by coefficients, powers, a pattern, or a look at the array.

    Attributes:
        name: for people and for programs.
        message: one plain sentence; what stands in braces is filled in.
        change: the line of the formula to change; empty if there is none.
        coefficients: a, b and c, as counts.
        powers: p and q; None is any.
        ddof: of the forwards that it is a mistake for; None is all.
        axes: of the forwards that it is a mistake for; None is all.
        gives: the gradient that it gives; of a parameter, what is summed beside delta.
        quantity: which gradient is wrong.
    """

    name: str
    message: str
    change: str = LINES["grad_input"]
    coefficients: tuple[str, str, str] | None = None
    powers: tuple[int | None, int | None] = (1, 1)
    ddof: int | None = None
    axes: tuple[int, ...] | None = None
    gives: Gives | None = None
    quantity: str = "grad_input"

    def is_of(self, model: ForwardModel) -> bool:
        """Whether it can be made with such a forward."""
        return self.ddof in {None, model.ddof} and self.axes in {None, model.axes}

    def shows_in(self, powers: tuple[int, int]) -> bool:
        """Whether it makes one of these powers what it is, whatever the coefficients."""
        pairs = zip(self.powers, powers, strict=True)
        return self.coefficients is None and any(p == q != 1 for p, q in pairs)


def _of(a: str, b: str, c: str, name: str, message: str, change: str = LINES["grad_input"],
        **more: Any) -> Mistake:  # fmt: skip
    return Mistake(name, message, change, (a, b, c), **more)


def _like(name: str, message: str, change: str, gives: Gives, **more: Any) -> Mistake:
    return Mistake(name, message, change, gives=gives, **more)


def _swapped(gradient: Array) -> Array:
    batch, width, height, channels = gradient.shape
    return gradient.reshape(batch, height, width, channels).swapaxes(1, 2)


_COEFFICIENTS = (
    _of("1", "0", "1", "missing-mean-term", "the mean term is missing", _MEAN),
    _of("1", "1", "0", "missing-variance-term", "the variance term is missing", _VARIANCE),
    _of("1", "0", "0", "inference-gradient",
        "this is the gradient of inference mode: mean and variance are taken for constants, so "
        "both the mean term and the variance term are missing (the published formula of NumPyNet "
        "tends to this as pictures grow)"),
    _of("1", "1/P", "B/P", "pixels-for-batch-and-mean-divided-twice",
        f"both correction terms are divided by w*h*c: {_PIXELS}; and the mean term is divided "
        "twice, since it already is a mean over the batch where a sum belongs",
        f"{_BOTH} (B = batch, not w*h*c, and sum, not mean)", axes=PIXEL),
    _of("1", "B/P", "B/P", "pixels-for-batch",
        f"both correction terms are divided by w*h*c: {_PIXELS}", _BOTH, axes=PIXEL),
    _of("1", "1/P", "1/P", "divided-by-all",
        "both correction terms are divided by batch*w*h*c where batch belongs", _BOTH, axes=PIXEL),
    _of("1", "(w*h)", "(w*h)", "batch-for-channel",
        "both correction terms are divided by N: N was used where N*H*W belongs", _BOTH,
        axes=CHANNEL),
    _of("1", "N", "N", "sum-for-mean",
        "both correction terms are sums over {over} where means belong", _BOTH),
    _of("1", "1", "N/(N-1)", "ddof-in-backward",
        "the variance term is divided by {count} - 1 (ddof=1), but forward divides the variance by "
        "{count}", _VARIANCE, ddof=0),
    _of("1", "1", "(N-1)/N", "ddof-missing-in-backward",
        "the variance term is divided by {count}, but forward divides the variance by {count} - 1",
        "variance term: - x_norm * ({g} * x_norm).sum({at}) / ({n} - 1)", ddof=1),
    _of("-1", "-1", "-1", "sign-flipped", "the sign of the whole gradient is wrong"),
    _of("1", "-1", "1", "mean-sign-flipped", "the sign of the mean term is wrong", _MEAN),
    _of("1", "1", "-1", "variance-sign-flipped", "the sign of the variance term is wrong",
        _VARIANCE),
    _of("1", "-1", "-1", "both-signs-flipped", "the signs of both correction terms are wrong"),
    _of("1", "1", "2", "variance-term-doubled", "the variance term is twice too large", _VARIANCE),
    _of("1", "1", "1/2", "variance-term-halved",
        "the variance term is half of what it must be: the 2 of the derivative of a square is "
        "missing", _VARIANCE),
    _of("1", "1", "-2", "missing-minus-half",
        "the variance term is -2 times what it must be: the -1/2 of the derivative of "
        "variance**-0.5 is missing", _ROOT),
    _of("1/N", "1/N", "1/N", "divided-by-batch", "the whole gradient is divided by {count}"),
    _of("N", "N", "N", "times-batch", "the whole gradient is multiplied by {count}"),
    _of("2", "2", "2", "doubled",
        "the whole gradient is twice too large: it may be added to itself"),
    _of("0", "0", "0", "zero", "the gradient is 0 everywhere"),
    _of("0", "1", "1", "missing-direct-term", "the term delta itself is missing"),
)  # fmt: skip

_POWERS = (
    Mistake("delta-itself", "delta is handed on as it came",
            coefficients=("1", "0", "0"), powers=(0, 0)),
    Mistake("missing-gamma", "gamma is missing", powers=(0, None)),
    Mistake("gamma-squared", "gamma is multiplied in twice", powers=(2, None)),
    Mistake("missing-inv-std", "the factor inv_std is missing", powers=(None, 0)),
    Mistake("inv-std-squared", "inv_std is multiplied in twice", powers=(None, 2)),
    Mistake("inv-std-cubed", "inv_std is multiplied in three times", powers=(None, 3)),
)  # fmt: skip
"""Several may be made at once, and others beside them."""

_PATTERNS = (
    _like("variance-term-inv-std", "the variance term has inv_std one time too few", _ROOT,
          lambda e: e.backward(variance=1 / e.inv_std)),
    _like("variance-term-inv-std",
          "the variance term has inv_std two times too few: (x - mean) for x_norm in both places",
          _ROOT, lambda e: e.backward(variance=1 / e.inv_std**2)),
    _like("variance-term-inv-std", "the variance term has inv_std one time too often", _ROOT,
          lambda e: e.backward(variance=e.inv_std)),
    _like("variance-term-gamma", "gamma is missing in the variance term alone", _GAMMA,
          lambda e: e.backward(variance=1 / e.gamma)),
    _like("mean-term-gamma", "gamma is missing in the mean term alone", _GAMMA,
          lambda e: e.backward(mean=1 / e.gamma)),
    _like("correction-terms-gamma", "gamma is missing in the mean term and the variance term",
          _GAMMA,
          lambda e: e.backward(mean=1 / e.gamma, variance=1 / e.gamma)),
    _like("mean-term-inv-std", "inv_std is missing in the mean term alone",
          "grad_mean = -(grad_norm * inv_std).sum({at})",
          lambda e: e.backward(mean=1 / e.inv_std)),
    _like("x-for-x-norm", "the variance term uses x where x_norm belongs", _VARIANCE,
          lambda e: e.backward(along=(e.question.x, e.question.x))),
    _like("x-for-x-norm", "the variance term multiplies by x where x_norm belongs", _VARIANCE,
          lambda e: e.backward(along=(e.question.x, e.x_norm))),
    _like("x-for-x-norm", "the sum in the variance term uses x where x_norm belongs", _VARIANCE,
          lambda e: e.backward(along=(e.x_norm, e.question.x))),
    _like("ignores-delta", "delta is ignored: this is the gradient for a delta of ones",
          LINES["grad_input"], lambda e: e.backward(delta=np.ones_like(e.question.delta))),
    _like("beta-for-gamma", "beta is used where gamma belongs", LINES["grad_input"],
          lambda e: e.backward(gamma=e.beta)),
    _like("gamma-magnitude", "the absolute value of gamma is used", LINES["grad_input"],
          lambda e: e.backward(gamma=np.abs(e.gamma))),
    _like("batch-reversed", "the gradient is right, but the pictures stand in reverse order",
          _ORDER, lambda e: e.right[::-1]),
    _like("batch-shifted",
          "the gradient is right, but every picture's stands one place off",
          _ORDER, lambda e: np.roll(e.right, 1, axis=0)),
    _like("batch-shifted",
          "the gradient is right, but every picture's stands one place too early",
          _ORDER, lambda e: np.roll(e.right, -1, axis=0)),
    _like("channels-reversed", "the gradient is right, but the channels stand in reverse order",
          "grad_input[..., k] belongs to the k-th channel", lambda e: e.right[..., ::-1]),
    _like("w-and-h-swapped", "the gradient is right, but w and h are swapped in it",
          _PLACE, lambda e: e.right.swapaxes(1, 2).reshape(e.given.shape)),
    _like("w-and-h-swapped", "the gradient is right, but h and w are swapped in it",
          _PLACE, lambda e: _swapped(e.right)),
    _like("turned-over", "the gradient is right, but turned over along w",
          _PLACE, lambda e: e.right[:, ::-1]),
    _like("turned-over", "the gradient is right, but turned over along h",
          _PLACE, lambda e: e.right[:, :, ::-1]),
    _like("gamma-after-the-means",
          "gamma is multiplied in after the means; where it differs among the values that are "
          "normalized together, it belongs inside them", _GAMMA,
          lambda e: e.gamma * e.backward(gamma=np.ones_like(e.gamma))),
    _like("ddof-in-forward",
          "forward divides the variance by {count} - 1 (ddof=1), but backward is the gradient of "
          "dividing it by {count}", "in forward: variance = ((x - mean) ** 2).mean({at})",
          lambda e: replace(e, model=replace(e.model, ddof=0)).backward(), ddof=1),
)  # fmt: skip
"""Wrong gradients that are not the three terms with other coefficients: the first that fits."""

AVERAGED = Mistake(
    "averaged-over-",
    "{terms} taken over {seen}, not over {over}",
    "mean over {over}, as in forward",
)
"""The name goes on with the axes."""

EPS_OUTSIDE = Mistake(
    "eps-outside-root",
    "backward adds eps to the root, forward to the variance under it; it shows where the variance "
    "is small",
    _EPS,
)
EPS_MISMATCH = Mistake(
    "eps-mismatch",
    "backward uses eps {backward:.3g}, forward {forward:.3g}; it shows where the variance is small",
    _EPS,
)
EPS_OUTSIDE_FORWARD = Mistake(
    "eps-outside-root",
    "forward adds eps to the root, and backward is the gradient of adding it to the variance under "
    "the root; it shows most where the variance is small",
    "in forward: inv_std = 1 / sqrt(variance + eps)",
)
EPS_IN_BACKWARD = Mistake(
    "eps-in-backward-alone",
    "eps is in backward, not in forward ({backward:.3g} {place} the root); it shows where the "
    "variance is small",
    "inv_std = 1 / sqrt(variance), as in forward",
)
SCALED = Mistake(
    "scaled", "the whole gradient is multiplied by {factor:.9g}, which is no count of the shape"
)
DEAD_ZEROED = Mistake(
    "dead-zeroed",
    "the gradient is 0 where the variance is 0; there it is gamma / sqrt(eps) * (delta - mean)",
    "inv_std = 1 / sqrt(variance + eps), where the variance is 0 as well",
)
NO_EPS = Mistake(
    "no-eps",
    "the gradient is NaN or infinite where the variance is 0, and forward is not: eps is missing "
    "under the root",
    "inv_std = 1 / sqrt(variance + eps)",
)
NOT_FINITE = Mistake(
    "not-finite", "the gradient holds NaN or infinity in {bad} of {all} elements", ""
)
WHOLE_NUMBERS = Mistake(
    "whole-numbers",
    "the gradient is cut to whole numbers: it is kept in an array of integers",
    "grad_input = np.empty(x.shape, dtype=float)",
)
LOCAL = Mistake(
    "local",
    "the gradient is right except at {where}",
    "",
)
DEPENDS_ON_THE_BATCH = Mistake(
    "depends-on-the-batch",
    "the gradient is right on a small probe, as far as rounding lets one see, and wrong here: it "
    "depends on the size or the values of this batch",
    "",
)
_ARRAYS = (
    AVERAGED, EPS_OUTSIDE, EPS_MISMATCH, EPS_OUTSIDE_FORWARD, EPS_IN_BACKWARD, SCALED,
    DEAD_ZEROED, NO_EPS, NOT_FINITE, WHOLE_NUMBERS, LOCAL, DEPENDS_ON_THE_BATCH,
)  # fmt: skip
"""Shown by the gradient at some pixels, or by its array."""


def _sum(quantity: str, name: str, message: str, factor: Gives) -> Mistake:
    return Mistake(name, message, LINES[quantity], gives=factor, quantity=quantity)


_PARAMETERS = (
    _sum("grad_gamma", "x-norm", "", lambda e: e.x_norm),
    _sum("grad_gamma", "of-beta", "it is the gradient of beta", lambda e: e.ones),
    _sum("grad_gamma", "x", "x stands where x_norm belongs", lambda e: e.question.x),
    _sum("grad_gamma", "centred", "x - mean stands where x_norm belongs: inv_std is missing",
         lambda e: e.x_norm / e.inv_std),
    _sum("grad_gamma", "output", "the output stands where x_norm belongs",
         lambda e: e.gamma * e.x_norm + e.beta),
    _sum("grad_gamma", "with-gamma", "gamma is multiplied in, where delta alone belongs",
         lambda e: e.gamma * e.x_norm),
    _sum("grad_gamma", "with-inv-std", "inv_std is multiplied in once too often",
         lambda e: e.x_norm * e.inv_std),
    _sum("grad_gamma", "magnitude", "the absolute value of x_norm is used",
         lambda e: np.abs(e.x_norm)),
    _sum("grad_gamma", "zero", "it is 0 everywhere", lambda e: 0 * e.ones),
    _sum("grad_beta", "delta", "", lambda e: e.ones),
    _sum("grad_beta", "of-gamma", "it is the gradient of gamma", lambda e: e.x_norm),
    _sum("grad_beta", "with-gamma", "gamma is multiplied in, where delta alone belongs",
         lambda e: e.gamma * e.ones),
    _sum("grad_beta", "with-inv-std", "inv_std is multiplied in, where delta alone belongs",
         lambda e: e.inv_std * e.ones),
    _sum("grad_beta", "zero", "it is 0 everywhere", lambda e: 0 * e.ones),
)  # fmt: skip
"""Of gamma and beta: what is summed beside delta, times a count; the first that fits."""

MISTAKES = (*_COEFFICIENTS, *_POWERS, *_PATTERNS, *_ARRAYS, *_PARAMETERS)


def patterns_of(quantity: str, model: ForwardModel) -> list[tuple[Mistake, Gives]]:
    """The mistakes that are shown by what they give, in the order in which they are asked."""
    of_it = (m for m in MISTAKES if m.quantity == quantity and m.is_of(model))
    return [(mistake, mistake.gives) for mistake in of_it if mistake.gives is not None]


def of_terms(
    shows: Callable[[tuple[str, ...]], bool], powers: tuple[int, int], model: ForwardModel
) -> Mistake | None:
    """The known mistake of these powers whose coefficients *shows* finds there."""
    return next(
        (
            mistake
            for mistake in MISTAKES
            if mistake.coefficients is not None
            and mistake.powers == powers
            and mistake.is_of(model)
            and shows(mistake.coefficients)
        ),
        None,
    )


def spelled(symbols: tuple[str, ...], *, unsteady: bool = False) -> Mistake:
    """Coefficients of which no mistake is known, in words.

    Args:
        symbols: a, b and c, as counts.
        unsteady: whether those that are no counts differ from shape to shape.
    """
    if len(set(symbols)) == 1 and "?" not in symbols:
        factor = symbols[0]
        return Mistake(f"all-times-{factor}", f"the whole gradient is multiplied by {factor}")
    terms = zip(("delta", "mean", "variance"), symbols, strict=True)
    wrong = {term: symbol for term, symbol in terms if symbol != "1"}
    name = "-".join(f"{term}-times-{symbol}" for term, symbol in wrong.items())
    words = {symbol: _strange(symbol, unsteady=unsteady) for symbol in wrong.values()}
    if symbols[0] == "1" and symbols[1] == symbols[2] != "?":
        return Mistake(name, f"both correction terms are {words[symbols[1]]}")
    names = {"delta": "term delta", "mean": "mean term", "variance": "variance term"}
    return Mistake(
        name, "; ".join(f"the {names[term]} is {words[symbol]}" for term, symbol in wrong.items())
    )


def _strange(symbol: str, *, unsteady: bool) -> str:
    if symbol == "?":
        more = ", and differs from shape to shape" if unsteady else ""
        return f"multiplied by a number that is no count of the shape{more}"
    if symbol.startswith("N/"):
        counted = symbol[2:].strip("()").upper().replace("P", "C*H*W").replace("B", "N")
        return f"divided by {counted}: {counted} was used where {{count}} belongs"
    return "missing" if symbol == "0" else f"multiplied by {symbol}, which must be 1"
