"""The benchmarks run; what they measure is not tested here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "benchmarks" / "run.py"


@pytest.mark.parametrize("section", ["folder", "kernels", "growth"])
def test_smoke(section, tmp_path):
    """A section on a tiny set ends well and prints its table."""
    done = subprocess.run(
        [sys.executable, RUN, "--quick", "--place", tmp_path, section],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"\n{section}" in done.stdout
