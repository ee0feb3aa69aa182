"""What is said of one gradient and of one mistake, in words and as a formula."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bncli.checking.compare import Quantity
from bncli.checking.diagnosis import Diagnosis


def quantity_brief(quantity: Quantity | None) -> str:
    """What matters most of one gradient, on a narrow line."""
    if quantity is None:
        return "the layer has none"
    if not quantity.passed and not is_wrong(quantity):
        return f"not checked: {quantity.problem}"
    if quantity.passed:
        return f"right: {_coverage(quantity)}"
    return f"WRONG: {extent(quantity)}"


def quantity_words(quantity: Quantity | None) -> str:
    """All of one gradient, on one line."""
    if quantity is None or quantity.problem:
        return quantity_brief(quantity)
    error, allowed = _errors(quantity)
    bounds = f"worst relative error {error}, allowed {allowed}"
    if quantity.passed:
        return f"right: {_coverage(quantity)}, {bounds}"
    places = ""
    if quantity.pixels:
        places = f", in {quantity.pixels_wrong:,} of {quantity.pixels:,} pixels"
    if quantity.channels_wrong:
        places += f", channels {','.join(map(str, quantity.channels_wrong))}"
    return f"WRONG: {_wrong_of(quantity)}{places}; {bounds}"


def extent(quantity: Quantity) -> str:
    """How much of a wrong gradient is wrong, and how wrong the worst is."""
    if quantity.problem:
        return quantity.problem
    error, allowed = _errors(quantity)
    return f"{_wrong_of(quantity)}; error {error}, allowed {allowed}"


def _wrong_of(quantity: Quantity) -> str:
    asked = " asked" if quantity.checked < quantity.total else ""
    some = f", of {quantity.total:,}" if asked else ""
    return f"{quantity.wrong:,} of {quantity.checked:,} elements{asked}{some}"


def _errors(quantity: Quantity) -> tuple[str, str]:
    error = "not finite" if quantity.max_rel_error is None else f"{quantity.max_rel_error:.2g}"
    return error, "?" if quantity.tolerance is None else f"{quantity.tolerance:.2g}"


def _coverage(quantity: Quantity) -> str:
    some = f" of {quantity.total:,}" if quantity.checked < quantity.total else ""
    more = f", {quantity.directions} directions over all" if quantity.directions else ""
    return f"{quantity.checked:,}{some} elements{more}"


def worst_words(name: str, quantity: Quantity) -> str:
    """The worst element; parameters have shapes of their own."""
    place = tuple(quantity.worst_index or ())
    where = f"(b, x, y, k) = {place}" if name == "grad_input" else f"{place}"
    return (
        f"worst at {where}: given {_number(quantity.analytic)}, "
        f"should be {_number(quantity.numeric)}, absolute error {_number(quantity.abs_error, 3)}"
    )


def _number(value: float | None, digits: int = 9) -> str:
    return "not finite" if value is None else f"{value:.{digits}g}"


def is_wrong(quantity: Quantity) -> bool:
    """Whether it was looked at, and is not right."""
    return not quantity.passed and quantity.wrong > 0


def diagnosis_words(found: Diagnosis) -> list[str]:
    """All of a diagnosis: its name, its sentence, the numbers behind it, the line to change."""
    lines = [f"diagnosis of {found.quantity}: {found.name}: {found.message}"]
    numbers = ", ".join(f"{number:.6g}" for number in found.coefficients or ())
    if numbers not in {"", "1, 1, 1"}:
        symbols = f" = ({', '.join(found.symbols)})" if found.symbols else ""
        lines.append(
            f"  coefficients of delta, mean and variance term: ({numbers}){symbols}, "
            "should be (1, 1, 1)"
        )
    return [*lines, f"  change: {found.change}"] if found.change else lines


def formulas(found: Diagnosis, ddof: int, count: str) -> tuple[str, str]:
    """The formula as the target has it, and as it should be; empty where it is not known.

    Args:
        found: what is wrong.
        ddof: what the forward subtracts from the count that it divides the variance by.
        count: what that count is called, ``batch`` or ``N*H*W``, say.
    """
    if found.coefficients is None or found.quantity != "grad_input":
        return found.was, found.change
    numbers = [f"{number:.6g}" for number in found.coefficients]
    symbols = found.symbols or tuple(numbers)
    known = [number if s == "?" else s for s, number in zip(symbols, numbers, strict=True)]
    if "*" in count:  # where N is the number of pictures, as in the sentence beside it
        known = [re.sub(r"\bB\b", "N", re.sub(r"\bN\b", f"({count})", s)) for s in known]
        known = [s.replace(f"({count})/N", count.removeprefix("N*")) for s in known]
    return _formula(known, found.powers or (1, 1), ddof), _formula(("1",) * 3, (1, 1), ddof)


def _formula(symbols: Sequence[str], powers: tuple[int, int], ddof: int) -> str:
    """The gradient of the input, with these numbers before its terms."""
    product = "sum(delta*x_norm)/(B-1)" if ddof else "mean(delta*x_norm)"
    terms = ""
    names = ("delta", "mean(delta)", f"x_norm*{product}")
    for name, symbol, sign in zip(names, symbols, "+--", strict=True):
        size = symbol.removeprefix("-")
        if re.fullmatch(r"\([\w*]+\)", size):
            size = size[1:-1]
        if size != "0":
            minus = (sign == "-") != symbol.startswith("-")
            terms += (" - " if minus else " + ") + (name if size == "1" else f"{size}*{name}")
    if not terms:
        return "0"
    terms = terms.removeprefix(" + ").replace(" - ", "-", terms.startswith(" - "))
    both = zip(("gamma", "inv_std"), powers, strict=True)
    factors = [name if power == 1 else f"{name}**{power}" for name, power in both if power]
    return "*".join([*factors, f"({terms})"]) if factors else terms


def leak_words(leaks: Mapping[str, Any]) -> list[str]:
    """Between which pixels something leaks, in forward and in backward."""
    lines = []
    if leaks.get("victims"):
        pairs = "; ".join(f"{tuple(s)} into {tuple(v)}" for s, v in leaks["pairs"][:3])
        named = f" (pixel {pairs})" if pairs else ""
        lines.append(f"leak: {leaks['victims']:,} pixels depend on other pixels{named}")
    if leaks.get("backward"):
        lines.append(
            f"leak in backward: the gradient of {leaks['backward']} pixels of a probe "
            "depends on the delta of other pixels"
        )
    return lines


def listed(names: Sequence[str]) -> str:
    """Names as one says them: a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def verb(names: Sequence[str]) -> str:
    """Is or are."""
    return "is" if len(names) == 1 else "are"
