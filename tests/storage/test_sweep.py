"""Whenever a run dies or fails, no set is torn, and a rerun ends as if nothing had been."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="every attempt is a fork")
MEMORY = "/dev/shm"  # noqa: S108 - of the many folders made and removed none need last


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as path:
        yield path


def sweep(place, *how):
    """How many calls were struck, and what was wrong after which."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("sweeper.py"), place, *how],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    struck, *faults = done.stdout.splitlines()
    return int(struck), faults


@pytest.mark.parametrize("over", [[], ["overwrite"]])
def test_death_at_every_call(place, over):
    """Killed at any call that writes: what is there is whole, and a rerun mends it."""
    struck, faults = sweep(place, "kill", *over)

    assert struck > 40
    assert faults == []


def test_death_again_while_it_is_mended(place):
    """Killed while files were placed, and again while that is taken back: likewise."""
    struck, faults = sweep(place, "twice", "overwrite", "short")

    assert struck > 10
    assert faults == []


@pytest.mark.parametrize(
    "how", [["once"], ["once", "overwrite", "resume"], ["always", "overwrite"]]
)
def test_an_error_at_every_call(place, how):
    """Refused at any call, once or from then on: an output error that leaves what was there."""
    struck, faults = sweep(place, *how)

    assert struck > 40
    assert faults == []


def test_the_sweep_finds_what_is_not_mended(place):
    """Where nothing is taken back the sweep says so."""
    _, faults = sweep(place, "kill", "forgetful")

    assert any("rerun" in fault for fault in faults)
