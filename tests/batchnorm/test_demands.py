"""What the layer refuses, and that it is whole after refusing."""

from __future__ import annotations

import numpy as np
import pytest

from bncli import BatchNorm
from bncli.errors import (
    BncliError,
    NonFiniteError,
    OptionError,
    ShapeError,
    SinglePictureError,
    StateError,
)

X = np.arange(48.0).reshape(4, 2, 3, 2) ** 1.5


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"eps": 0}, OptionError, "eps is 0"),
        ({"eps": -1e-3}, OptionError, "above 0"),
        ({"eps": float("nan")}, OptionError, "eps is nan"),
        ({"eps": float("inf")}, OptionError, "finite"),
        ({"eps": "1e-8"}, OptionError, "finite"),
        ({"threads": 0}, OptionError, "threads"),
        ({"scales": np.ones((2, 3))}, ShapeError, r"scales has shape \(2, 3\)"),
        ({"scales": 2.0}, ShapeError, "scales has shape"),
        ({"bias": np.full((2, 3, 2), np.nan)}, NonFiniteError, "bias holds NaN"),
        ({"scales": np.array([[["a"]]])}, ShapeError, "numbers"),
        ({"scales": np.ones((2, 3, 2)), "bias": np.ones((3, 2, 2))}, ShapeError, "equal"),
    ],
)
def test_constructor_refuses(arguments, error, says):
    """Impossible parameters are refused at once, each with its own error."""
    with pytest.raises(error, match=says):
        BatchNorm(**arguments)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (X[0], ShapeError, r"\(batch, w, h, c\)"),
        (X[:, :0], ShapeError, "none of them 0"),
        (X[:1], SinglePictureError, "one picture"),
        (X.astype(str), ShapeError, "numbers"),
        (X[:, :, :2], ShapeError, "scales"),
        (np.where(X[1, 1, 2, 0] == X, np.nan, X), NonFiniteError, r"1 places.*\(1, 1, 2, 0\)"),
        (np.where(X > 300, np.inf, X), NonFiniteError, "infinity"),
        (X * 1e200, NonFiniteError, "overflows"),
    ],
)
def test_forward_refuses_and_stays_whole(given, error, says):
    """A refused input leaves everything of the last forward as it was."""
    layer = BatchNorm(np.ones((2, 3, 2)))
    output = layer.forward(X)
    kept = {name: value for name, value in vars(layer).items()}  # noqa: C416 - a copy
    with pytest.raises(error, match=says):
        layer.forward(given)

    assert vars(layer).keys() == kept.keys()
    assert all(vars(layer)[name] is kept[name] for name in kept)
    assert layer.output is output


def test_numbers_that_float32_lacks():
    """An eps or a bias that float32 cannot hold is refused, and does not turn into NaN."""
    x = np.full((3, 2, 2, 1), 0.5, np.float32)
    with pytest.raises(OptionError, match="0 in float32"):
        BatchNorm(eps=1e-50).forward(x)
    with pytest.raises(NonFiniteError, match="too large for float32"):
        BatchNorm(bias=np.full((2, 2, 1), 1e39)).forward(x)
    assert (BatchNorm(eps=1e-30).forward(x) == 0).all()


def test_order_of_calls():
    """backward before forward, update before backward, reading before forward: StateError."""
    layer = BatchNorm()
    for call in (layer.backward, layer.update, lambda: layer.x_norm, lambda: layer.out_shape):
        with pytest.raises(StateError):
            call()
    layer.forward(X)
    with pytest.raises(StateError, match=r"layer\.delta"):
        layer.backward()
    with pytest.raises(StateError, match="backward"):
        layer.update()


def frozen():
    receiver = np.zeros(X.shape)
    receiver.flags.writeable = False
    return receiver


@pytest.mark.parametrize(
    ("delta", "receiver", "error"),
    [
        (X[:3], None, ShapeError),
        (np.where(X == 0, np.nan, X), None, NonFiniteError),
        (X * 5e305, None, NonFiniteError),
        (X, np.zeros((4, 3, 2, 2)), ShapeError),
        (X, frozen(), OptionError),
        (X, np.zeros(X.shape, int), OptionError),
        (X, [1.0], OptionError),
    ],
)
def test_backward_refuses_and_stays_whole(delta, receiver, error):
    """A refused delta or receiver changes neither gradients nor receiver."""
    layer = BatchNorm()
    layer.forward(X)
    layer.delta = X
    layer.backward()
    before = layer.grad_input, layer.scales_updates, layer.bias_updates
    layer.delta = delta
    with pytest.raises(error):
        layer.backward(receiver)

    assert (layer.grad_input, layer.scales_updates, layer.bias_updates) == before
    assert receiver is None or not np.any(np.asarray(receiver) == X[1, 1, 1, 1])


@pytest.mark.parametrize("name", ["momentum", "decay", "lr", "lr_decay"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_update_refuses(name, value):
    """Impossible rates are refused by name; an overflowing step changes nothing."""
    layer = BatchNorm()
    layer.forward(X)
    layer.delta = X
    layer.backward()
    with pytest.raises(OptionError, match=name):
        layer.update(**{name: value})
    with pytest.raises(NonFiniteError, match="smaller lr"):
        layer.update(lr=1e308)

    assert layer.scales is None


def test_one_tree():
    """Every error is a BncliError, and the faults of data and options are ValueErrors too."""
    for error in (ShapeError, SinglePictureError, NonFiniteError, OptionError, StateError):
        assert issubclass(error, BncliError)
        assert issubclass(error, ValueError)
        assert error.exit_code in {2, 5}
