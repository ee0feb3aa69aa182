"""What a run takes for gamma and beta from what the user said."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from bncli.errors import OptionError
from bncli.runs.parameters import load_layer

SHAPE = (4, 3, 2)
"""(w, h, c)"""


def layer(gamma="1", beta="0", seed=0):
    return load_layer(SimpleNamespace(gamma=gamma, beta=beta, seed=seed, eps=1e-4), SHAPE)


def drawn(stream, seed):
    """What numpy draws for an array, as rows of pixels from the top, as pictures are read."""
    source = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream, 0)))
    return np.random.Generator(source).random(SHAPE).transpose(1, 0, 2).ravel()


@pytest.mark.parametrize("seed", [0, 9])
def test_each_is_drawn_from_its_own_stream(seed):
    """Gamma from the first, beta from the second, by the seed, whether or not the other is."""
    both = layer("random", "random", seed)
    assert np.array_equal(both.gamma.values, drawn(0, seed))
    assert np.array_equal(both.beta.values, drawn(1, seed))
    assert np.array_equal(layer(beta="random", seed=seed).beta.values, drawn(1, seed))
    assert (both.gamma.random, both.gamma.saved, both.gamma.number) == (True, "random", None)


def test_numbers():
    """A number is that of every pixel, and told as the float that it is."""
    found = layer("0.5", "-2")
    assert np.array_equal(found.gamma.values, np.full(24, 0.5))
    assert np.array_equal(found.beta.values, np.full(24, -2.0))
    assert (found.gamma.origin, found.gamma.saved, found.gamma.random) == ("0.5", 0.5, False)
    assert (found.beta.origin, found.beta.number, found.eps) == ("-2.0", -2.0, 1e-4)


def test_files(tmp_path, monkeypatch):
    """Of .npy, in whatever case that is written; statistics call them arrays, not by their name."""
    monkeypatch.chdir(tmp_path)
    values = np.arange(24.0).reshape(SHAPE)
    with open("scales.NPY", "wb") as file:
        np.save(file, values)
    found = layer(gamma="scales.NPY").gamma
    assert np.array_equal(found.values, values.transpose(1, 0, 2).ravel())
    assert found.values.dtype == np.float64
    assert (found.origin, found.saved, found.random) == ("scales.NPY", "array", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inf", "--beta is inf; give a finite number"),
        ("nan", "--beta is nan; give a finite number"),
        ("lost.npy", "--beta lost.npy: there is no such file; give a number, random, or FILE.npy"),
        ("here.txt", "--beta here.txt: give a number, random, or FILE.npy"),
        ("Random", "--beta Random: give a number, random, or FILE.npy"),
    ],
)
def test_what_is_none_is_refused(tmp_path, monkeypatch, text, words):
    """With the option, what was given, and what may be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").touch()
    with pytest.raises(OptionError, match=f"^{re.escape(words)}$"):
        layer(beta=text)
