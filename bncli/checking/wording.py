"""How gradients, counts and axes are called, for each kind of forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def count_of(axes: tuple[int, ...]) -> str:
    """What the number of values that are normalized together over these axes is called."""
    return _COUNTS.get(axes, "the number of values")


def words_of(model: ForwardModel, summed: tuple[int, ...] = PIXEL) -> dict[str, str]:
    """What stands in braces in messages and lines, for such a forward.

    Args:
        model: the forward.
        summed: the axes over which a parameter's gradient is summed.
    """
    axes = PIXEL if model.axes is None else model.axes
    count = count_of(axes) if model.groups == 1 else "values of a group"
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


def spelled(symbols: tuple[str, ...], *, unsteady: bool = False) -> tuple[str, str]:
    """Coefficients of which no mistake is known: a name, and in words.

    Args:
        symbols: a, b and c, as counts.
        unsteady: whether those that are no counts differ from shape to shape.
    """
    if len(set(symbols)) == 1 and "?" not in symbols:
        factor = symbols[0]
        return (f"all-times-{factor}", f"the whole gradient is multiplied by {factor}")
    terms = zip(("delta", "mean", "variance"), symbols, strict=True)
    wrong = {term: symbol for term, symbol in terms if symbol != "1"}
    name = "-".join(f"{term}-times-{symbol}" for term, symbol in wrong.items())
    words = {symbol: _strange(symbol, unsteady=unsteady) for symbol in wrong.values()}
    if symbols[0] == "1" and symbols[1] == symbols[2] != "?":
        return (name, f"both correction terms are {words[symbols[1]]}")
    names = {"delta": "term delta", "mean": "mean term", "variance": "variance term"}
    return (
        name,
        "; ".join(f"the {names[term]} is {words[symbol]}" for term, symbol in wrong.items()),
    )


def _strange(symbol: str, *, unsteady: bool) -> str:
    if symbol == "?":
        more = ", and differs from shape to shape" if unsteady else ""
        return f"multiplied by a number that is no count of the shape{more}"
    if symbol.startswith("N/"):
        counted = symbol[2:].strip("()").upper().replace("P", "C*H*W").replace("B", "N")
        return f"divided by {counted}: {counted} was used where {{count}} belongs"
    return "missing" if symbol == "0" else f"multiplied by {symbol}, which must be 1"
