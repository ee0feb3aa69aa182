"""Modules and functions of torch, where torch is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bncli import gradcheck
from bncli.checking.loading import load_target
from bncli.checking.target import Caller
from bncli.errors import MissingExtraError

TARGETS = Path(__file__).parent / "targets" / "torch_layers.py"


def load(name):
    pytest.importorskip("torch")
    return load_target(f"{TARGETS}:{name}", Caller())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_layers_of_torch_pass(dtype):
    """torch's own layer, a module, a module there is, and a function with its own backward."""
    torch = pytest.importorskip("torch")
    for target in (load("Module"), load("Function"), torch.nn.BatchNorm1d, torch.nn.LayerNorm):
        assert gradcheck(target, dtype=dtype).passed
    assert gradcheck(torch.nn.BatchNorm1d(24), dtype=dtype).passed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_wrong_function_is_named(dtype):
    """The backward of a function is judged, not autograd."""
    report = gradcheck(load("Forgetful"), dtype=dtype)
    assert report.status == "fail"
    assert report.diagnosis.name == "missing-variance-term"


def test_missing_torch_is_an_extra(monkeypatch):
    """Without torch, something of torch is answered with the extra to install."""
    stand_in = type("Function", (), {"__module__": "torch.autograd.function"})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bncli\[torch\]'"):
        gradcheck(type("Mine", (stand_in,), {}))
