"""Properties of every right backward: right layers have them all, and each has a layer without."""

from __future__ import annotations

import numpy as np
import pytest

from bncli.checking.faults import RIGHT
from bncli.checking.planting import Channels, Fault, Pictures, PlantedLayer, planted
from bncli.checking.self_test import tried


def broken(layer, dtype="float64"):
    """The names of the properties that a layer lacks and that decide."""
    report = tried(Fault("", "", layer), dtype, 3).report
    return {f.name for f in report.findings if f.decides and f.passed is False}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("right", RIGHT, ids=lambda right: right.name)
def test_a_right_layer_has_every_property(right, dtype):
    """No false alarm, in either precision."""
    assert broken(right.layer, dtype) == set()


@pytest.mark.parametrize("kind", [PlantedLayer, Channels, Pictures])
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("permutation", lambda p: p.terms() * np.arange(1, len(p.x) + 1).reshape(-1, 1, 1, 1)),
        ("shift", lambda p: p.terms() + p.mean(p.x)),
        ("scale", lambda p: p.terms(q=0)),
        ("linearity", lambda p: p.terms() + p.delta**2),
        ("crop", lambda p: p.terms() + p.x.size),
        ("gamma", lambda p: p.terms(p=0)),
        ("null", lambda p: p.terms(c=0)),
    ],
)
def test_each_property_has_a_layer_without_it(kind, name, rule):
    """A wrong backward lacks the property that its mistake breaks."""
    if (kind, name) == (Channels, "crop"):
        pytest.skip("channels are not cropped: that would be another width")
    assert name in broken(planted(name, kind, input_rule=rule))


class OverwritesItsOutput(PlantedLayer):
    """Every forward writes into the same array."""

    kept = None

    def forward(self, x):
        output = super().forward(x)
        if self.kept is None or self.kept.shape != output.shape:
            self.kept = np.empty_like(output)
        self.kept[...] = output
        return self.kept


class KeepsTheFirst(PlantedLayer):
    """Backward belongs to the first forward."""

    def forward(self, x):
        output = super().forward(x)
        self.first = getattr(self, "first", x)
        return output

    def backward(self, delta):
        self._x = self.first
        return super().backward(delta)


class AddsUp(PlantedLayer):
    """Backward returns the sum of all its gradients."""

    total = 0.0

    def backward(self, delta):
        self.total = self.total + super().backward(delta)
        return self.total


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (OverwritesItsOutput, "first output"), (KeepsTheFirst, "second batch"),
        (AddsUp, "backward twice"),
    ],
)  # fmt: skip
def test_state_that_leaks_from_one_batch_to_another_decides(layer, name):
    """Right once and wrong the second time is wrong."""
    assert name in broken(layer)
    assert tried(Fault("", "", layer), "float64", 3).report.status == "fail"
