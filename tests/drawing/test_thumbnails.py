"""Pictures made small and made visible, against loops that anybody can check."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers

from bncli.drawing import thumbnails
from bncli.drawing.thumbnails import (
    Range,
    cell_extremes,
    cell_largest,
    cell_means,
    error_colours,
    signed_colours,
    thumbnail_size,
    to_picture,
)


def rows_of(pixels):
    return lambda first, end: pixels[first:end]


def cells(pixels, size):
    """Every cell of a picture, (rows, columns) of lists, by whole-number edges."""
    height, width = pixels.shape[:2]
    columns, lines = size
    for i in range(lines):
        for j in range(columns):
            rows = slice(i * height // lines, (i + 1) * height // lines)
            yield i, j, pixels[rows, j * width // columns : (j + 1) * width // columns]


@given(width=integers(1, 2000), height=integers(1, 2000))
def test_thumbnail_size_keeps_proportions(width, height):
    """No side is larger than allowed or than it was; proportions hold to half a pixel."""
    small = thumbnail_size(width, height, 420)

    assert 1 <= small[0] <= min(width, 420)
    assert 1 <= small[1] <= min(height, 420)
    if max(width, height) <= 420:
        assert small == (width, height)
    else:
        factor = 420 / max(width, height)
        assert abs(small[0] - max(1, width * factor)) <= 0.5
        assert abs(small[1] - max(1, height * factor)) <= 0.5


@pytest.mark.parametrize(("height", "width"), [(23, 17), (7, 40), (1, 31), (40, 1), (5, 5)])
def test_cells_against_loops(rng, monkeypatch, height, width):
    """Means and extremes of every cell are those of a plain loop over cells."""
    monkeypatch.setattr(thumbnails, "thumbnail_size", lambda w, h: thumbnail_size(w, h, 9))
    pixels = rng.standard_normal((height, width, 3))
    means = cell_means(rows_of(pixels), (width, height, 3))
    extremes = cell_extremes(rows_of(pixels), (width, height, 3))

    size = thumbnail_size(width, height, 9)
    assert means.shape == (size[1], size[0], 3)
    for i, j, cell in cells(pixels, size):
        assert np.allclose(means[i, j], cell.mean(axis=(0, 1)))
        assert extremes[i, j] == cell.flat[np.abs(cell).argmax()]


def test_small_pictures_are_shown_as_they_are(rng):
    """A picture that fits is not touched: 8 bits come out as they went in."""
    pixels = rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)
    means = cell_means(rows_of(pixels), (50, 30, 3))

    assert np.array_equal(to_picture(means / 255, Range(0, 1)), pixels)


def test_many_channels_become_grey_and_alpha_shows_squares():
    """Five channels are drawn as their mean; where alpha is 0 the ground shows, in two greys."""
    means = np.tile([0.0, 0.25, 0.5, 0.75, 1.0], (4, 6, 1))
    assert (to_picture(means, Range(0, 1)) == 128).all()
    clear = to_picture(np.zeros((32, 32, 3)), Range(0, 1), np.zeros((32, 32, 1)))
    assert len(np.unique(clear)) == 2
    assert clear.min() > 200


def test_signed_colours():
    """White at 0, blue below, red above, as dark as may be from the limit on, the same far out."""
    colours = signed_colours(np.array([[-9.0, -1, -0.5, 0, 0.5, 1, 9]]), 1.0)[0].astype(int)

    assert colours[3].min() > 240
    assert (colours[:3, 2] > colours[:3, 0]).all()
    assert (colours[4:, 0] > colours[4:, 2]).all()
    assert np.array_equal(colours[0], colours[1])
    assert np.array_equal(colours[5], colours[6])
    assert colours[1].sum() < colours[2].sum() < colours[3].sum()


def test_signed_colours_of_what_is_not_finite():
    """NaN and infinity look like no number does, and nothing warns; all zeros are white."""
    drawn = signed_colours(np.array([[np.nan, np.inf, 0.0, 1.0]]), 1.0)[0].tolist()

    assert drawn[0] == drawn[1]
    assert drawn[0] not in signed_colours(np.linspace(-1, 1, 999)[None], 1.0)[0].tolist()
    assert (signed_colours(np.zeros((2, 2)), 0.0) > 240).all()


@pytest.mark.parametrize("allowed", [0.0, 5e-9, 1e-3, 2.0])
def test_error_colours(allowed):
    """White as far as it is allowed, then ever darker red; the darkest from 1 on."""
    errors = np.sort([0.0, allowed, allowed * 1.001 + 1e-14, 1e-2, 0.5, 1.0, 3.0, 1e9])
    drawn = error_colours(errors[None], allowed)[0].astype(int)
    wrong = errors > allowed

    assert (drawn[~wrong] == 255).all()
    assert (drawn[wrong][:, 2] < 215).all()
    assert (drawn[wrong][:, 0] > drawn[wrong][:, 2]).all()
    assert (np.diff(drawn.sum(axis=1)) <= 0).all()
    if allowed < 1:
        assert (drawn[errors >= 1] == (127, 0, 0)).all()


def test_an_error_looks_the_same_in_every_map():
    """Where all are equally wrong, all are as red as one alone would be."""
    everywhere = error_colours(np.full((3, 4), 0.1), 1e-8)
    alone = error_colours(np.array([[0.0, 0.1, 7.0]]), 1e-8)[0, 1]
    assert (everywhere == alone).all()
    assert (alone[1:] < 120).all()


def test_what_was_not_asked_and_what_is_no_number_have_colours_of_their_own():
    """Grey and violet, which no error has, and nothing warns."""
    drawn = error_colours(np.array([[np.nan, np.inf]]), 1e-8)[0].tolist()
    errors = error_colours(np.geomspace(1e-12, 10, 999)[None], 1e-8)[0].tolist()

    assert len(set(drawn[0])) == 1
    assert drawn[0] != drawn[1]
    assert drawn[0] not in errors
    assert drawn[1] not in errors


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 500), (421, 900), (40, 30)])
def test_the_largest_of_a_cell(width, height):
    """One large error is seen at any size, beside what was not asked; nothing of nothing is NaN."""
    pixels = np.full((height, width, 3), np.nan)
    assert np.isnan(cell_largest(rows_of(pixels), (width, height, 3))).all()
    pixels[height // 2, width // 3, 1] = 0.5
    pixels[0, 0, 2] = 0.25
    largest = cell_largest(rows_of(pixels), (width, height, 3))
    assert np.nanmax(largest) == 0.5
    assert np.isnan(largest).sum() == largest.size - (2 if largest.size > 1 else 1)


@pytest.mark.parametrize("shown", [Range(2.0, 2.0), Range(-1e308, 1e308), Range(0, 5e-324)])
def test_ranges_that_divide_badly(shown):
    """Empty and extreme ranges give shares from 0 to 1."""
    share = shown.share(np.array([-1e308, 0.0, 1e308]))
    assert ((share >= 0) & (share <= 1)).all()
