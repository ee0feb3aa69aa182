"""Which count a coefficient is: 1/P, B/(B-1), w*h ... , confirmed at a second shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple[int, int, int, int]


def count_values(shape: Shape) -> dict[str, float]:
    """Every count that a formula may have used by mistake, simplest first."""
    batch, width, height, channels = shape
    sizes = {
        "B": batch,
        "P": width * height * channels,
        "(w*h)": width * height,
        "(w*c)": width * channels,
        "(h*c)": height * channels,
        "w": width,
        "h": height,
        "c": channels,
        "(B*P)": batch * width * height * channels,
        "(B*w*h)": batch * width * height,
        "(B*c)": batch * channels,
        "(B-1)": batch - 1,
    }
    values = {"1": 1.0, "0": 0.0, "2": 2.0, "1/2": 0.5, "3": 3.0, "3/2": 1.5, "4": 4.0, "1/4": 0.25}
    values |= {name: float(size) for name, size in sizes.items()}
    values |= {f"1/{name}": 1 / size for name, size in sizes.items() if size}
    values |= {f"B/{name}": batch / size for name, size in sizes.items() if name != "B" and size}
    values |= {"(B-1)/B": (batch - 1) / batch, "B^2": float(batch**2), "1/B^2": 1 / batch**2}
    values |= {"(1/B)/P": 1 / (batch * sizes["P"]), "P/B": sizes["P"] / batch}
    return values


def value_of(symbol: str, shape: Shape) -> float:
    """What a count that :func:`name_count` gave is for a batch of this shape."""
    bare = symbol.removeprefix("-")
    return count_values(shape)[bare] * (-1 if bare != symbol else 1)


def name_count(
    coefficients: Sequence[float], shapes: Sequence[Shape], tolerance: float
) -> str | None:
    """The one count that fits the coefficient at every shape; None if none does.

    Args:
        coefficients: the fitted numbers, one for each shape.
        shapes: the shapes.
        tolerance: relative error of the fit.
    """
    fitting: list[set[str]] = []
    tables = [count_values(shape) for shape in shapes]
    for coefficient, table in zip(coefficients, tables, strict=True):
        near = set()
        for name, value in table.items():
            for sign, prefix in ((1.0, ""), (-1.0, "-")):
                if math.isclose(
                    coefficient, sign * value, rel_tol=tolerance, abs_tol=tolerance / 10
                ) and not (value == 0 and prefix):
                    near.add(prefix + name)
        fitting.append(near)
    both = set.intersection(*fitting)
    ordered = [prefix + name for name in tables[0] for prefix in ("", "-") if prefix + name in both]
    return ordered[0] if ordered else None
