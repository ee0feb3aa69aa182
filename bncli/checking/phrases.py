"""Sentences for what the fit of the three terms finds."""

from __future__ import annotations

from dataclasses import dataclass

FORMULA = (
    "grad_input = gamma * inv_std * (delta - delta.mean(0) - x_norm * (delta * x_norm).mean(0))"
)
_MEAN_LINE = "mean term: - delta.sum(0) / B"
_VARIANCE_LINE = "variance term: - x_norm * (delta * x_norm).sum(0) / B"


@dataclass(frozen=True, slots=True)
class Sentence:
    """The name of a bug, what it is, and the line to change."""

    name: str
    message: str
    change: str


EPS_OUTSIDE_FORWARD = Sentence(
    "eps-outside-root",
    "forward adds eps to the root, and backward is the gradient of adding it to the variance under "
    "the root; it shows most at pixels of small variance",
    "in forward: inv_std = 1 / sqrt(variance + eps)",
)
_PIXELS = "w*h*c was used where batch belongs"
_KNOWN = {
    ("1", "0", "1"): ("missing-mean-term", "the mean term is missing", _MEAN_LINE),
    ("1", "1", "0"): ("missing-variance-term", "the variance term is missing", _VARIANCE_LINE),
    ("1", "0", "0"): (
        "inference-gradient",
        (
            "this is the gradient of inference mode: mean and variance are taken for constants, so "
            "both the mean term and the variance term are missing"
        ),
        FORMULA,
    ),
    ("1", "1/P", "B/P"): (
        "pixels-for-batch-and-mean-divided-twice",
        (
            f"both correction terms are divided by w*h*c: {_PIXELS}; and the mean term is divided "
            "twice, since it already is a mean over the batch where a sum belongs"
        ),
        f"{_MEAN_LINE}; {_VARIANCE_LINE} (B = batch, not w*h*c, and sum, not mean)",
    ),
    ("1", "B/P", "B/P"): (
        "pixels-for-batch",
        f"both correction terms are divided by w*h*c: {_PIXELS}",
        f"{_MEAN_LINE}; {_VARIANCE_LINE}",
    ),
    ("1", "1/P", "1/P"): (
        "divided-by-all",
        "both correction terms are divided by batch*w*h*c where batch belongs",
        f"{_MEAN_LINE}; {_VARIANCE_LINE}",
    ),
    ("1", "B", "B"): (
        "sum-for-mean",
        "both correction terms are sums over the batch where means belong",
        f"{_MEAN_LINE}; {_VARIANCE_LINE}",
    ),
    ("1", "1", "B/(B-1)"): (
        "ddof-in-backward",
        (
            "the variance term is divided by batch - 1 (ddof=1), but forward divides the variance "
            "by batch"
        ),
        _VARIANCE_LINE,
    ),
    ("1", "1", "(B-1)/B"): (
        "ddof-missing-in-backward",
        "the variance term is divided by batch, but forward divides the variance by batch - 1",
        "variance term: - x_norm * (delta * x_norm).sum(0) / (B - 1)",
    ),
    ("-1", "-1", "-1"): ("sign-flipped", "the sign of the whole gradient is wrong", FORMULA),
    ("1", "-1", "1"): ("mean-sign-flipped", "the sign of the mean term is wrong", _MEAN_LINE),
    ("1", "1", "-1"): (
        "variance-sign-flipped",
        "the sign of the variance term is wrong",
        _VARIANCE_LINE,
    ),
    ("1", "-1", "-1"): (
        "both-signs-flipped",
        "the signs of both correction terms are wrong",
        FORMULA,
    ),
    ("1", "1", "2"): (
        "variance-term-doubled",
        "the variance term is twice too large",
        _VARIANCE_LINE,
    ),
    ("1", "1", "1/2"): (
        "variance-term-halved",
        (
            "the variance term is half of what it must be: the 2 of the derivative of a square is "
            "missing"
        ),
        _VARIANCE_LINE,
    ),
    ("1", "1", "-2"): (
        "missing-minus-half",
        (
            "the variance term is -2 times what it must be: the -1/2 of the derivative of "
            "variance**-0.5 is missing"
        ),
        "grad_variance = (grad_norm * (x - mean)).sum(0) * -0.5 * inv_std**3",
    ),
    ("1/B", "1/B", "1/B"): ("divided-by-batch", "the whole gradient is divided by batch", FORMULA),
    ("B", "B", "B"): ("times-batch", "the whole gradient is multiplied by batch", FORMULA),
    ("2", "2", "2"): (
        "doubled",
        "the whole gradient is twice too large: it may be added to itself",
        FORMULA,
    ),
    ("0", "0", "0"): ("zero", "the gradient is 0 everywhere", FORMULA),
    ("0", "1", "1"): ("missing-direct-term", "the term delta itself is missing", FORMULA),
}


def coefficient_sentence(symbols: tuple[str, ...], ddof: int) -> Sentence:
    """What coefficients a, b, c mean, given as counts."""
    if ddof and symbols == ("1", "1", "1"):
        symbols = ("1", "1", "(B-1)/B")
    if symbols in _KNOWN:
        return Sentence(*_KNOWN[symbols])
    names = ("the term delta", "the mean term", "the variance term")
    wrong = [
        f"{name} is {_words(symbol)}"
        for name, symbol in zip(names, symbols, strict=True)
        if symbol != "1"
    ]
    key = "-".join(
        f"{short}-times-{symbol}"
        for short, symbol in zip(("delta", "mean", "variance"), symbols, strict=True)
        if symbol != "1"
    )
    return Sentence(key, "; ".join(wrong), FORMULA)


def _words(symbol: str) -> str:
    if symbol == "?":
        return "multiplied by a number that is no count of the shape"
    if symbol == "0":
        return "missing"
    return f"multiplied by {symbol}, which must be 1"


def power_sentence(p: int, q: int, symbols: tuple[str, ...]) -> Sentence | None:
    """What wrong powers of gamma and inv_std mean; None where only the coefficients are wrong."""
    if (p, q) == (0, 0) and symbols == ("1", "0", "0"):
        return Sentence("delta-itself", "delta is handed on as it came", FORMULA)
    names, words = [], []
    if p != 1:
        names.append("missing-gamma" if p == 0 else "gamma-squared")
        words.append("gamma is missing" if p == 0 else "gamma is multiplied in twice")
    if q != 1:
        names.append({0: "missing-inv-std", 2: "inv-std-squared"}.get(q, "inv-std-cubed"))
        words.append(
            {
                0: "the factor inv_std is missing",
                2: "inv_std is multiplied in twice",
            }.get(q, "inv_std is multiplied in three times")
        )
    if symbols != ("1", "1", "1"):
        rest = coefficient_sentence(symbols, 0)
        names.append(rest.name)
        words.append(rest.message)
    return Sentence("-and-".join(names), "; and ".join(words), FORMULA)
