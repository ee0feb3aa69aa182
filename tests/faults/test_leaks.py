"""What a run takes it gives back, and it takes little."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from oracle import bncli
from PIL import Image

from bncli import normalize_folder
from bncli.errors import BncliError

try:
    import resource
except ImportError:
    pytest.skip("needs the limits of Unix", allow_module_level=True)


def held():
    """Open files, threads and temporary files of this process."""
    table = Path("/proc/self/fd")
    files = len(list(table.iterdir())) if table.is_dir() else 0
    return files, threading.active_count(), len(list(Path(tempfile.gettempdir()).iterdir()))


def test_twenty_runs(folder, tmp_path, monkeypatch):
    """Runs that end well and runs that fail, in one process: nothing stays open or lies about."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(spoilt / f"{number}.png")
    (spoilt / "1.png").write_bytes((spoilt / "1.png").read_bytes()[:2000])
    first = None
    for number in range(20):
        picture_format = ("png", "tiff", "npy")[number % 3]
        options = {"delta": "random", "update": True, "format": picture_format}
        normalize_folder(folder, tmp_path / "out", overwrite=True, **options)
        with pytest.raises(BncliError):
            normalize_folder(spoilt, tmp_path / "no")
        first = first or held()
    assert held() == first
    assert first[2] == 0
    assert not (tmp_path / "no").exists()


def test_few_open_files(tmp_path):
    """Hundreds of pictures under `ulimit -n 64`: what is open does not grow with the batch."""
    source = tmp_path / "source"
    source.mkdir()
    pixels = np.random.default_rng(2).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(source / "0.png")
    for number in range(1, 300):
        os.link(source / "0.png", source / f"{number}.png")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        run = bncli("normalize", source, "-o", tmp_path / "out", "--delta", "ones", "--jobs", 8)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert run.code == 0, run.err
