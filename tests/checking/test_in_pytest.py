"""A check as a line in somebody's tests: what pytest shows of a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys

WRONG = """
import numpy as np

from bncli import gradcheck


class Layer:
    def forward(self, x):
        self.inv_std = 1 / np.sqrt(x.var(axis=0) + 1e-5)
        self.x_norm = (x - x.mean(axis=0)) * self.inv_std
        return self.x_norm

    def backward(self, delta):
        return self.inv_std * (delta - self.x_norm * (delta * self.x_norm).mean(axis=0))


def test_assert():
    assert gradcheck(Layer)


def test_require():
    gradcheck(Layer).require()
"""


def test_the_short_summary_tells_verdict_and_cause(tmp_path):
    """In the first sixty letters after the name of the test; and the report is above, whole."""
    env = {name: value for name, value in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}}
    (tmp_path / "test_layer.py").write_text(WRONG)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_layer.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=env | {"COLUMNS": "110"},
    )  # fmt: skip
    above, _, summary = ran.stdout.partition("short test summary info")

    assert ran.returncode == 1
    lines = re.findall(r"FAILED test_layer\.py::(\w+) - (.*)", summary)
    assert [name for name, _ in lines] == ["test_assert", "test_require"]
    for _, words in lines:
        said = words.removeprefix("AssertionError: ").removeprefix("assert ")
        assert "FAIL: grad_input: missing-mean-term" in said[:60]
    assert "because      the mean term is missing" in above
    assert "bncli/checking" not in above
