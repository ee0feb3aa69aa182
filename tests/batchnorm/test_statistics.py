"""Statistics for inference, against the textbook and against torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers, lists, none, one_of

from bncli.batchnorm.moments import FloatMoments, Moments
from bncli.batchnorm.statistics import RunningStatistics, UnbiasedMoments, restored_moments
from bncli.errors import ArrayError, NonFiniteError, SinglePictureError


def textbook_running(x, momentum, size):
    """PyTorch's documentation, in float64: x_new = (1 - momentum) * x_old + momentum * x_t."""
    mean, variance = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for batches, start in enumerate(range(0, len(x), size), 1):
        batch = x[start : start + size]
        share = 1 / batches if momentum is None else momentum
        mean = (1 - share) * mean + share * batch.mean(axis=0)
        variance = (1 - share) * variance + share * batch.var(axis=0, ddof=1)
    return mean, variance


def running(x, momentum, size, cuts, unit=255.0):
    statistics = RunningStatistics(x.shape[1], x.dtype, unit, momentum, size)
    for part in np.split(x, sorted(cuts)):
        statistics.add(part)
    statistics.finish()
    return statistics


@given(
    x=arrays(np.uint8, (11, 4)),
    momentum=one_of(none(), floats(0.01, 1)),
    size=integers(2, 12).filter(lambda n: 11 % n != 1),
    cuts=lists(integers(0, 11), max_size=4),
)
def test_running_statistics_are_the_textbook(x, momentum, size, cuts):
    """However the pictures come in blocks, the batches are those of the batch size."""
    found = running(x, momentum, size, cuts)
    mean, variance = textbook_running(x / 255, momentum, size)

    assert np.allclose(found.mean, mean, rtol=1e-12, atol=1e-15)
    assert np.allclose(found.variance, variance, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("momentum", [0.1, 0.9, None])
def test_running_statistics_are_those_of_torch(rng, momentum):
    """float32 training mode of torch.nn.BatchNorm1d, to 1e-6."""
    torch = pytest.importorskip("torch")
    x = rng.integers(0, 256, (22, 30), dtype=np.uint8)
    layer = torch.nn.BatchNorm1d(30, momentum=momentum)
    for start in range(0, 22, 5):
        layer(torch.tensor(x[start : start + 5] / 255, dtype=torch.float32))
    found = running(x, momentum, 5, [7, 16])

    assert np.abs(found.mean - layer.running_mean.numpy()).max() < 1e-6
    assert np.abs(found.variance - layer.running_var.numpy()).max() < 1e-6


def test_a_batch_of_one_has_no_unbiased_variance(rng):
    """The last batch may be smaller, but not a single picture."""
    with pytest.raises(SinglePictureError, match="--batch-size 5 leaves one picture"):
        running(rng.integers(0, 256, (11, 4), dtype=np.uint8), 0.1, 5, [])
    with pytest.raises(SinglePictureError):
        UnbiasedMoments(Moments.of(np.zeros((1, 4), np.uint8)))


@given(x=arrays(np.uint16, (5, 6)))
def test_unbiased(x):
    """The variance of ddof 1 is NumPy's."""
    found = UnbiasedMoments(Moments.of(x)).variance()

    assert np.allclose(found, x.var(axis=0, ddof=1), rtol=1e-12, atol=1e-9)


@given(x=arrays(np.float64, (7, 5), elements=floats(-1e3, 1e3)), cut=integers(1, 6))
def test_float_moments_add_up(x, cut):
    """The sum of two parts is the whole, but for rounding, whichever comes first."""
    whole, parts = FloatMoments(5, x.dtype), [FloatMoments(5, x.dtype) for _ in range(2)]
    whole.add(x)
    parts[0].add(x[:cut])
    parts[1].add(x[cut:])
    for both in (parts[0] + parts[1], parts[1] + parts[0]):
        assert both.count == 7
        assert np.allclose(both.mean(), x.mean(axis=0), rtol=1e-12, atol=1e-12)
        assert np.allclose(both.variance(), x.var(axis=0), rtol=1e-9, atol=1e-9)
        assert np.array_equal(both.maximum, x.max(axis=0))


def test_float_sums_that_overflow():
    """Two finite variances whose union overflows are refused, not infinite."""
    one, other = FloatMoments(1, np.dtype(float)), FloatMoments(1, np.dtype(float))
    one.add(np.array([[1e200], [1e200]]))
    other.add(np.array([[-1e200], [-1e200]]))
    with pytest.raises(NonFiniteError, match="rescale"):
        one + other


@given(x=arrays(np.uint16, (4, 6)))
def test_moments_restored(x):
    """What moments hand out gives the same moments back."""
    moments = Moments.of(x)

    assert restored_moments(4, np.uint16, moments.planes()) == moments


@given(x=arrays(np.uint8, (3, 40)), place=integers(0, 39), off=integers(-3000, 3000))
def test_impossible_sums_are_refused(x, place, off):
    """A changed sum of squares is refused unless no law of whole numbers forbids it."""
    planes = Moments.of(x).planes()
    squares = np.maximum(planes["square_total"].astype(int), 0)
    squares[place] = square = max(0, squares[place] + off)
    total, low, high = (int(planes[n][place]) for n in ("total", "minimum", "maximum"))
    around = (low + high) * total - 3 * low * high - square  # sum of (x - low) * (high - x)
    lawful = 3 * square >= total**2 and around >= 0 and (square - total) % 2 == 0
    changed = planes | {"square_total": squares.astype(np.uint32)}
    if lawful:
        assert restored_moments(3, np.uint8, changed).planes()["square_total"][place] == square
    else:
        with pytest.raises(ArrayError, match=r"its square_total is .* at pixel"):
            restored_moments(3, np.uint8, changed)
