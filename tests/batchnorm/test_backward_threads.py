"""On how many threads a gradient is computed: none is made for a little work."""

from __future__ import annotations

import pytest

from bncli import BatchNorm
from bncli.batchnorm import layer as layers


@pytest.mark.parametrize(("pixels", "asked"), [(65_536, 0), (65_537, 1)])
def test_cores_are_asked_for_where_there_are_two_tiles(monkeypatch, rng, pixels, asked):
    """4 MiB of eight pictures in float64 are one."""
    calls = []
    monkeypatch.setattr(layers, "allowed_cores", lambda: calls.append(1) or 1)
    x = rng.random((8, pixels, 1, 1))
    layer = BatchNorm(threads=None)
    layer.forward(x)
    layer.delta = x
    calls.clear()
    layer.backward()
    assert len(calls) == asked
