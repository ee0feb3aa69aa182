"""A real cluster: `dask scheduler` and `dask worker` as anybody would start them, on 127.0.0.1."""

from __future__ import annotations

import os

import numpy as np
import pytest
from engines.dask_processes import DaskCluster
from oracle import bncli, tree
from PIL import Image

PLANTED = """
import os, pathlib, signal, sys, time
begun = ("bncli.engines.", "dask", "multiprocessing.spawn")  # a nanny spawns its worker
if any(mark in word for mark in begun for word in sys.orig_argv[1:]):
    import bncli.images.batch as module
    decode = module.decode
    def planted(header, policy):
        if "crash" in header.name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "stall" in header.name:
            if "BNCLI_TEST_REACHED" in os.environ:
                pathlib.Path(os.environ["BNCLI_TEST_REACHED"]).touch()
            time.sleep(1000)
        return decode(header, policy)
    module.decode = planted

    import bncli.runs.workers as agreement
    states, try_to_write = agreement._states, agreement._try_to_write
    def unseen(paths):
        return [None if "unseen" in str(path) else states([path])[0] for path in paths]
    def unwritten(mark):
        return None if "unwritten" in str(mark) else try_to_write(mark)
    agreement._states, agreement._try_to_write = unseen, unwritten
"""
"""For processes that work for bncli: a decoder that crashes or stalls, and folders that the machine
of a worker does not have, all by their names."""


@pytest.fixture(scope="session")
def planted_environment(tmp_path_factory):
    """An environment in which workers meet pictures that crash or stall their decoder."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(PLANTED)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Sixty small pictures that are not square."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(6)
    for number in range(60):
        pixels = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number}.png")
    return folder


@pytest.fixture(scope="session")
def alone(pictures, tmp_path_factory):
    """What one process makes of the pictures: every file and its bytes."""
    out = tmp_path_factory.mktemp("alone") / "out"
    assert bncli("normalize", pictures, "-o", out).code == 0
    return tree(out)


@pytest.fixture
def dask_cluster(tmp_path_factory, planted_environment):
    """A scheduler without workers."""
    pytest.importorskip("distributed")
    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"), planted_environment)
    yield cluster
    cluster.end()
