from __future__ import annotations

import os
import signal
import tempfile

import numpy as np
import pytest
from hypothesis import settings
from oracle import let_go
from PIL import Image

# Started with nohup or in the background, the suite has these ignored, and its children would too.
# A handler is not inherited: they get the defaults, and the suite itself stays as it was.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

# Where no bytecode may lie beside the sources each child would compile the package anew.
_BYTECODE = tempfile.TemporaryDirectory(prefix="bncli-bytecode-", ignore_cleanup_errors=True)
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", _BYTECODE.name)

# A process of numpy starts as many threads as there are cores, which takes as long as the rest of
# its start, and bncli multiplies no large matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

settings.register_profile("bncli", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("bncli")


def pytest_unconfigure():
    """Leave nothing behind."""
    let_go()
    _BYTECODE.cleanup()


@pytest.fixture
def rng():
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20150211)


@pytest.fixture
def folder(tmp_path, rng):
    """A folder of five RGB pictures, 7 wide and 5 high, p1.png to p11.png in natural order."""
    path = tmp_path / "pictures"
    path.mkdir()
    for number in (1, 2, 3, 10, 11):
        pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"p{number}.png")
    return path


@pytest.fixture
def batch(folder):
    """The pictures of `folder` as (batch, w, h, c) in value scale, read by Pillow alone."""
    names = ["p1", "p2", "p3", "p10", "p11"]
    pictures = [np.asarray(Image.open(folder / f"{name}.png")) for name in names]
    return np.stack(pictures).transpose(0, 2, 1, 3) / 255
