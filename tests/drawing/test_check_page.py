"""The page of a gradient check, of reports made by hand: what its maps show."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from html_reading import Page
from PIL import Image

pytest.importorskip("jinja2")

from bncli.checking.compare import Quantity
from bncli.checking.diagnosis import Diagnosis
from bncli.checking.report import GradcheckReport
from bncli.drawing.check_page import draw_page


def page_of(right, given, **facts):
    wrong = Quantity(
        passed=False, max_rel_error=2.0, worst_index=(1, 2, 0, 0), analytic=-1.0, numeric=1.0,
        tolerance=1e-8, wrong=9, checked=9, total=9, worst=(((1, 2, 0, 0), -1.0, 1.0),),
    )  # fmt: skip
    facts = {"status": "fail", "quantities": {"grad_input": wrong}, "shape": right.shape} | facts
    maps = {"analytic": given, "numeric": right, "difference": given - right}
    return Page(draw_page(GradcheckReport("a layer", maps=maps, **facts)))


def drawn(page):
    pictures = [attributes["href"].partition(",")[2] for attributes in page.named("image")]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in pictures]


def test_all_wrong_is_all_red_and_the_legend_tells_the_colours():
    """An error that is the same everywhere is seen everywhere, and as what it is."""
    right = np.ones((2, 7, 5, 3))
    page = page_of(right, 1.01 * right)
    pictures = drawn(page)

    assert len(pictures) == 2
    assert all(picture.shape == (5, 7, 3) for picture in pictures)
    assert all((picture.astype(int)[..., 2] < 130).all() for picture in pictures)
    words = " ".join(page.text.split())
    assert "right: up to 1e-08" in words
    assert "wrong: from 1e-08 to 1 and more" in words
    assert "not finite" in words
    assert "not asked" not in words
    assert len([a for a in page.named("circle") if a.get("class") == "ring"]) == 1


def test_what_was_not_asked_is_grey_and_said():
    """A sample leaves the rest grey, neither right nor wrong."""
    right = np.full((2, 7, 5, 3), np.nan)
    right[0, 3, 2] = 1.0
    page = page_of(right, -np.ones(right.shape))
    first = drawn(page)[0]

    assert len({tuple(pixel) for pixel in first.reshape(-1, 3)}) == 2
    assert tuple(first[2, 3]) == (127, 0, 0)
    assert len(set(first[0, 0])) == 1
    assert "not asked" in page.text


def test_nothing_wrong_is_not_drawn():
    """A right layer has no maps; a gradient beside the point is named for what it is."""
    right = np.ones((2, 7, 5, 3))
    passed = Quantity(passed=True, max_rel_error=1e-16, tolerance=1e-8, checked=9, total=9)
    quantities = {"grad_input": passed, "grad_gamma": None, "grad_beta": None}
    page = page_of(right, right, status="pass", quantities=quantities, only=("grad_input",))
    assert drawn(page) == []
    assert "Nowhere to be seen" in page.text
    assert page.text.count("not asked") == 2
    lost = Quantity(passed=False, problem="nothing could be compared", total=9)
    page = page_of(right, right, status="inconclusive", quantities={"grad_input": lost})
    assert "not checked: nothing could be compared" in page.text


def test_the_line_to_change_is_shown_as_it_is_and_should_be():
    """Where the diagnosis knows both."""
    right = np.ones((2, 7, 5, 3))
    found = Diagnosis("mean", "a mean", "delta.sum(0)", quantity="grad_beta", was="delta.mean(0)")
    words = " ".join(page_of(right, -right, diagnosis=found).text.split())
    assert "Is: delta.mean(0) Should be: delta.sum(0)" in words
