"""A Dask cluster gives the bytes of one process, whatever happens to its workers."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from oracle import bncli, tree
from PIL import Image

pytest.importorskip("distributed")


def on(cluster, *arguments, env=None):
    return bncli(*arguments, "--engine", "dask", "--scheduler", cluster.file, env=env)


def test_same_bytes_for_any_number_of_workers(pictures, alone, dask_cluster, tmp_path):
    """Pictures, statistics and summary are those of one process, with 1, 2 and 4 workers."""
    for number, more in ((1, 1), (2, 1), (4, 2)):
        dask_cluster.add(more, "--no-nanny")
        run = on(dask_cluster, "normalize", pictures, "-o", tmp_path / str(number), "-q")
        assert (run.code, run.out, run.err) == (0, "", "")
        assert tree(tmp_path / str(number)) == alone

    fitted = on(dask_cluster, "fit", pictures, "-o", tmp_path / "stats.npz")
    assert fitted.code == 0, fitted.err
    assert (tmp_path / "stats.npz").read_bytes() == alone["stats.npz"]


KILLING = """
import os, signal, sys
from bncli import normalize_folder
pictures, out, scheduler, stage, pid = sys.argv[1:]

def progress(now, done, total):
    global pid
    if now == stage and done >= total // 4 and pid:
        os.kill(int(pid), signal.SIGKILL)
        pid = None

normalize_folder(pictures, out, engine="dask", scheduler=scheduler, progress=progress)
assert pid is None
"""


def test_a_killed_worker_changes_nothing(pictures, alone, dask_cluster, tmp_path):
    """One of three workers is killed (-9) in the first pass, and another one in the second."""
    dask_cluster.add(3, "--no-nanny")
    for stage in ("read", "write"):
        victim = dask_cluster.workers.pop()
        words = [pictures, tmp_path / stage, dask_cluster.address, stage, victim.pid]
        done = subprocess.run(
            [sys.executable, "-c", KILLING, *map(str, words)], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert victim.wait() == -signal.SIGKILL
        assert tree(tmp_path / stage) == alone


def test_a_picture_that_kills_every_worker_is_named(pictures, dask_cluster, tmp_path):
    """It ends the run in one line, nothing is written; or it is skipped, and only it."""
    mixed, out = tmp_path / "mixed", tmp_path / "out"
    shutil.copytree(pictures, mixed)
    (mixed / "p20.png").rename(mixed / "p20-crash.png")
    dask_cluster.add(2)
    run = on(dask_cluster, "normalize", mixed, "-o", out)
    assert run.code == 5
    assert run.err == "Error: p20-crash.png: it ends every process that reads it; remove it\n"
    assert not out.exists()

    run = on(dask_cluster, "normalize", mixed, "-o", out, "--on-error", "skip", "-q")
    (mixed / "p20-crash.png").unlink()
    assert bncli("normalize", mixed, "-o", tmp_path / "alone").code == 0
    skipped, whole = tree(out), tree(tmp_path / "alone")
    assert run.code == 3
    assert skipped.pop("summary.json") != whole.pop("summary.json")
    assert skipped == whole


def test_floating_point_pictures_are_joined_in_order(dask_cluster, tmp_path):
    """Sums of floats depend on their order; every engine takes the same blocks in the same one."""
    folder = tmp_path / "floats"
    folder.mkdir()
    rng = np.random.default_rng(0)
    shape = (90, 110)
    for number in range(11):
        pixels = rng.normal(1e3, 10 ** rng.uniform(-3, 3), shape).astype(np.float32)
        Image.fromarray(pixels).save(folder / f"{number}.tiff")
    dask_cluster.add(2, "--no-nanny")
    code = (
        "import sys, bncli.runs.plan as plan\nfrom bncli import normalize_folder\n"
        "plan._BLOCK_BYTES = 3 * 90 * 110 * 4\n"
        "engine, scheduler = sys.argv[3], sys.argv[4] or None\n"
        "normalize_folder(sys.argv[1], sys.argv[2], engine=engine, scheduler=scheduler)"
    )
    for engine, scheduler in (("local", ""), ("dask", dask_cluster.address), ("processes", "")):
        words = [folder, tmp_path / engine, engine, scheduler]
        subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True)
    assert tree(tmp_path / "dask") == tree(tmp_path / "local") == tree(tmp_path / "processes")


def test_what_a_worker_lacks_is_named(pictures, dask_cluster, tmp_path):
    """Input, output folder or version: one line with the worker, and nothing is written."""
    dask_cluster.add(1, "--no-nanny")
    unseen, out = tmp_path / "unseen", tmp_path / "out"
    shutil.copytree(pictures, unseen)
    run = on(dask_cluster, "normalize", unseen, "-o", out)
    assert run.code == 5
    assert re.fullmatch(
        r"Error: \S+unseen/p\d+.png: worker tcp://\S+ does not see it; .*\n", run.err
    )

    run = on(dask_cluster, "normalize", pictures, "-o", tmp_path / "unwritten")
    assert run.code == 6
    assert re.fullmatch(r"Error: \S+unwritten: worker tcp://\S+ cannot write there; .*\n", run.err)

    code = (
        "import sys, numpy\nnumpy.__version__ = '1.0'\n"
        "from bncli.cli.entry import main\nmain(sys.argv[1:])"
    )
    words = ["normalize", pictures, "-o", out, "--engine", "dask", "--scheduler", dask_cluster.file]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"Error: worker tcp://\S+: its numpy is \S+, here it is 1.0; "
        r"install the same there, on the same kind of processor\n",
        done.stderr,
    )
    assert {path.name for path in tmp_path.iterdir()} == {"unseen"}
