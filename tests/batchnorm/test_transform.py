"""What is done to each pixel, and what is known of a batch, against the textbook."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from oracle import textbook

from bncli.batchnorm.moments import moments_for
from bncli.batchnorm.transform import Transform, survey


def surveyed(x, gamma, beta, unit, jobs=2):
    """The transform and the survey of a batch, (batch, w, h, c)."""
    rows = x.reshape(len(x), -1)
    moments = moments_for(rows.shape[1], x.dtype)
    moments.add(rows)
    transform = Transform.blank(gamma.ravel(), beta.ravel(), unit)
    with ThreadPoolExecutor(jobs) as pool:
        return transform, survey(moments, transform, 1e-8, x.shape[3], pool)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("shape", [(2, 3, 1), (90, 200, 3)])
def test_transform_is_the_textbook(rng, dtype, shape):
    """y of every picture; of the batch range, mean, deviation and dead pixels; in many tiles."""
    x = rng.integers(0, 250, (5, *shape)).astype(dtype)
    x[:, 0] = 7
    gamma, beta = rng.standard_normal((2, *shape))
    unit = float(np.iinfo(dtype).max) if np.dtype(dtype).kind == "u" else 1.0
    transform, found = surveyed(x, gamma, beta, unit)
    book = textbook(x / unit, gamma, beta)

    for row, expected in zip(x, book.output, strict=True):
        assert np.allclose(transform.y(row.ravel()), expected.ravel(), rtol=1e-9, atol=1e-9)
    assert np.array_equal(transform.y(x[0].ravel())[transform.dead],
                          beta.ravel()[transform.dead])  # fmt: skip
    assert found.dead == np.count_nonzero((x == x[0]).all(axis=0))
    assert found.y_mean == pytest.approx(book.output.mean(), rel=1e-9, abs=1e-9)
    assert found.y_std == pytest.approx(book.output.std(), rel=1e-9)
    for k, channel in enumerate(found.channels):
        values, y = x[..., k] / unit, book.output[..., k]
        assert channel.mean == pytest.approx(values.mean(), rel=1e-12)
        assert channel.std == pytest.approx(values.std(), rel=1e-12)
        assert channel.low == pytest.approx(y.min(), rel=1e-9)
        assert channel.high == pytest.approx(y.max(), rel=1e-9)


def test_threads_do_not_matter(rng):
    """The same bits for any number of threads, and any part is that part of the whole."""
    x = rng.integers(0, 256, (4, 150, 130, 2), dtype=np.uint8)
    gamma, beta = rng.standard_normal((2, 150, 130, 2))
    one, found = surveyed(x, gamma, beta, 255.0, jobs=1)
    other, again = surveyed(x, gamma, beta, 255.0, jobs=5)

    assert found == again
    assert np.array_equal(one.y(x[0].ravel()), other.y(x[0].ravel()))
    part = slice(100, 20_000)
    assert np.array_equal(one.part(part).y(x[0].ravel()[part]), one.y(x[0].ravel())[part])
