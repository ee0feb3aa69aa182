"""From the report of a gradient check to its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.checking.compare import Quantity
from bncli.checking.diagnosis import Diagnosis
from bncli.checking.report import (
    GradcheckReport,
    diagnoses,
    fact_rows,
    gradient_words,
    remark_lines,
    verdict_line,
)
from bncli.checking.words import is_wrong
from bncli.drawing.template import data_address, render, require_templates
from bncli.drawing.thumbnails import cell_largest, error_colours
from bncli.errors import OptionError
from bncli.images.png import encode_png
from bncli.storage.whole_file import WholeFile
from bncli.version import __version__

Array = NDArray[Any]

SHOWN = 8
_DRAWN, _LOWEST = 360, 24
_WRONG = 1e-3
_BY_PICTURE = 4  # axes


def page_file(path: str | Path) -> WholeFile:
    """Where the page will be written, before anything is run.

    Raises:
        OptionError: it is no name of a page.
        MissingExtraError: jinja2 is not installed.
        OutputError: it exists, or cannot be written.
    """
    if Path(path).suffix.lower() not in {".html", ".htm"}:
        raise OptionError(f"--report {path}: its name must end in .html")
    require_templates("--report")
    return WholeFile(Path(path), overwrite=None)


def write_page(report: GradcheckReport, file: WholeFile) -> None:
    """Write the page of a report whose maps are there.

    Raises:
        OutputError: the file cannot be written.
    """
    content = draw_page(report)
    with file:
        file.stage(content)
        file.place()


def draw_page(report: GradcheckReport) -> bytes:
    """The bytes of an HTML file."""
    return render(
        "check.html",
        {
            "report": report,
            "verdict": verdict_line(report),
            "tone": {"pass": "good", "fail": "bad"}.get(report.status, "warn"),
            "facts": fact_rows(report),
            "quantities": [_gradient(report, name) for name in report.quantities],
            "diagnoses": [{"facts": found, "terms": _terms(found)} for found in diagnoses(report)],
            "remarks": [*report.warnings, *remark_lines(report), *report.trace],
            "worst": _worst(report),
            **_maps(report),
            "version": __version__,
        },
    )


def _gradient(report: GradcheckReport, name: str) -> dict[str, Any]:
    quantity = report.quantities[name]
    words = gradient_words(report, name, details=True)
    wrong = quantity is not None and is_wrong(quantity)
    return {"name": name, "facts": quantity, "words": words, "wrong": wrong}


def allowed_error(report: GradcheckReport) -> float:
    """The relative error up to which an element of the gradient of the input is right."""
    quantity = report.quantities.get("grad_input")
    return (quantity.tolerance if quantity is not None else None) or 0.0


def error_shares(report: GradcheckReport) -> Array:
    """The relative error of each element of the gradient of the input, (batch, w, h, c).

    It is relative to what the verdict holds it against, where the maps say what is ``allowed``;
    else to the largest right gradient of its pixel. NaN where nothing was asked, infinity where
    what was given is no finite number.
    """
    maps = report.maps
    asked, error = np.isfinite(maps["numeric"]), np.abs(maps["difference"])
    right = np.abs(np.where(asked, maps["numeric"], 0.0)).max(axis=0)
    with np.errstate(all="ignore"):
        scale = maps["allowed"] / allowed_error(report) if "allowed" in maps else right
        shares: Array = error / scale
    shares[error == 0] = 0.0
    shares[~np.isfinite(shares)] = np.inf
    shares[~asked] = np.nan
    return shares


def _terms(found: Diagnosis) -> list[dict[str, Any]]:
    """The factors and terms of the gradient, as the target has them; empty where unknown."""
    if found.coefficients is None or found.quantity != "grad_input":
        return []
    symbols = found.symbols or tuple(f"{number:.6g}" for number in found.coefficients)
    powers = found.powers or (1, 1)
    terms = [
        {"text": name if power == 1 else f"{name}^{power}", "wrong": power != 1, "after": " *"}
        for name, power in zip(("gamma", "inv_std"), powers, strict=True)
    ]
    names = ("delta", "mean(delta)", "x_norm * mean(delta * x_norm)")
    for name, symbol, number in zip(names, symbols, found.coefficients, strict=True):
        wrong = symbol != "1" if found.symbols else abs(number - 1) > _WRONG
        shown = f"{number:.6g}" if symbol == "?" else symbol
        terms.append({"text": f"{shown} * {name}" if wrong else name, "wrong": wrong, "after": ""})
    return terms


def _worst(report: GradcheckReport) -> list[dict[str, Any]]:
    """The worst elements of every gradient that is wrong, numbered as the maps number them."""
    rows: list[dict[str, Any]] = []
    for name, quantity in report.quantities.items():
        if quantity is None or quantity.passed:
            continue
        for place, given, right in quantity.worst:
            rows.append({
                "number": len(rows) + 1,
                "quantity": name,
                "place": f"({', '.join(map(str, place))})",
                "given": given,
                "right": right,
                "error": None if given is None or right is None else abs(given - right),
                "relative": _relative(given, right),
            })  # fmt: skip
    return rows


def _relative(given: float | None, right: float | None) -> float | None:
    if given is None or right is None:
        return None
    size = max(abs(given), abs(right))
    return abs(given - right) / size if size > 0 else 0.0


def _maps(report: GradcheckReport) -> dict[str, Any]:
    """The maps; none where nothing in them would be red."""
    if not report.maps:
        return {"maps": [], "allowed": 0.0, "largest": None}
    shares, allowed = error_shares(report), allowed_error(report)
    largest = float(np.fmax.reduce(shares, axis=None))
    facts = {"allowed": allowed, "largest": largest, "some": bool(np.isnan(shares).any())}
    if report.passed or not largest > allowed:
        return {"maps": [], **facts}
    marks = _marks(report.quantities.get("grad_input"))
    pictures = _chosen(shares, marks)
    return {"maps": [_map(shares[p], allowed, p, marks.get(p, [])) for p in pictures], **facts}


def _marks(quantity: Quantity | None) -> dict[int, list[tuple[int, int, int]]]:
    """Picture -> number, column and row of its worst elements."""
    marks: dict[int, list[tuple[int, int, int]]] = {}
    if quantity is None or quantity.passed:
        return marks
    for number, (place, _, _) in enumerate(quantity.worst, 1):
        if len(place) == _BY_PICTURE:
            marks.setdefault(place[0], []).append((number, place[1], place[2]))
    return marks


def _chosen(shares: Array, marks: dict[int, list[tuple[int, int, int]]]) -> list[int]:
    """The pictures with marks, and those of the largest errors, in their order."""
    sizes = [float(np.nan_to_num(share, nan=-1.0, posinf=np.inf).max()) for share in shares]
    by_size = sorted(range(len(sizes)), key=lambda picture: (-sizes[picture], picture))
    return sorted(list(dict.fromkeys([*marks, *by_size]))[:SHOWN])


def _map(
    shares: Array, allowed: float, picture: int, marks: list[tuple[int, int, int]]
) -> dict[str, Any]:
    width, height, channels = shares.shape
    upright = shares.swapaxes(0, 1)
    cells = cell_largest(lambda first, end: upright[first:end], (width, height, channels))
    tall = max(_LOWEST, round(_DRAWN * height / width))
    return {
        "picture": picture,
        "address": data_address(encode_png(error_colours(cells, allowed))),
        "width": _DRAWN,
        "height": min(tall, 2 * _DRAWN),
        "marks": [
            {
                "number": number,
                "x": round((x + 0.5) / width * _DRAWN, 1),
                "y": round((y + 0.5) / height * min(tall, 2 * _DRAWN), 1),
            }
            for number, x, y in marks
        ],
    }
