"""fit, merge, inspect, apply and invert as commands: exit codes, streams, documents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from oracle import bncli, python, tree
from PIL import Image


@pytest.fixture
def stats(folder, tmp_path):
    """The statistics of `folder`."""
    path = tmp_path / "stats.npz"
    assert bncli("fit", folder, "-o", path, "-q").code == 0
    return path


def test_the_whole_way(folder, tmp_path):
    """Shards, merged, inspected, applied and inverted: the pictures are back, byte for pixel."""
    for number in (1, 2):
        path = tmp_path / f"{number}.npz"
        run = bncli("fit", folder, "-o", path, "--shard", f"{number}/2", "--gamma", "random")
        assert (run.code, run.err) == (0, "")
        assert f"shard        {number}/2" in run.out
    stats, out, back = tmp_path / "stats.npz", tmp_path / "out", tmp_path / "back"
    merged = bncli("merge", tmp_path / "1.npz", tmp_path / "2.npz", "-o", stats, "--json")
    whole = bncli("fit", folder, "-o", tmp_path / "w.npz", "--gamma", "random", "--json")
    assert (merged.code, whole.code) == (0, 0)
    assert merged.document["schema"] == "bncli.merge/1"
    assert merged.document["output"]["sha256"] == whole.document["output"]["sha256"]
    inspected = bncli("inspect", stats)
    assert inspected.code == 0
    for words in ("5 pictures, 7x5, 3 x uint8", "gamma random", "dead pixels  0 of 105",
                  "transforms.Normalize(mean=[", "5 of 5 pictures differ"):  # fmt: skip
        assert words in inspected.out
    assert bncli("apply", stats, folder, "-o", out, "--format", "tiff", "-q").code == 0
    run = bncli("invert", stats, out, "-o", back, "--exact")
    assert (run.code, run.err) == (0, "")
    assert "restored    exactly" in run.out
    for path in folder.iterdir():
        with Image.open(path) as one, Image.open(back / path.name) as other:
            assert np.array_equal(np.asarray(one), np.asarray(other))


def test_documents(folder, stats, tmp_path):
    """What inspect tells is what fit told; both have their schema, and so has a failure."""
    fit = bncli("fit", folder, "-o", tmp_path / "f.npz", "--json", "-q").document
    inspect = bncli("inspect", stats, "--json").document

    assert (inspect["schema"], inspect["exit_code"]) == ("bncli.inspect/1", 0)
    assert inspect["images"] == fit["images"]
    assert (len(fit["mean"]), fit["added"], fit["images"]["count"]) == (3, 5, 5)
    failed = bncli("inspect", folder / "p1.png", "--json")
    assert (failed.code, failed.document["schema"]) == (5, "bncli.inspect/1")
    assert failed.document["error"]["paths"] == [str(folder / "p1.png")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fit", "{folder}", "-o", "x.npz", "--shard", "6/6"], 4, "only 5 pictures"),
        (["fit", "{folder}", "-o", "x.npz", "--shard", "0/6"], 2, "--shard"),
        (["fit", "{folder}", "-o", "x.npz", "--batch-size", "1"], 2, "--batch-size"),
        (["fit", "{folder}", "-o", "x.npz", "--batch-size", "4"], 5, "leaves one picture"),
        (["fit", "nowhere", "-o", "x.npz"], 4, "nowhere"),
        (["merge", "{stats}", "-o", "x.npz"], 2, "nothing to merge"),
        (["merge", "{stats}", "{stats}", "-o", "x.npz"], 5, "again in"),
        (["merge", "{stats}", "missing.npz", "-o", "x.npz"], 5, "missing.npz: it cannot be opened"),
        (["inspect", "{folder}"], 5, "Is a directory"),
        (["invert", "{stats}", "{folder}", "-o", "x"], 2, "give --scale LO:HI"),
        (["invert", "{stats}", "{folder}", "-o", "x", "--scale", "image"], 2, "--scale"),
    ],
)
def test_exit_codes(folder, stats, tmp_path, arguments, code, words):
    """What goes wrong has its exit code and one line that says what; nothing is written."""
    before = tree(tmp_path)
    filled = [a.format(folder=folder, stats=stats) for a in arguments]
    run = bncli(*filled, cwd=tmp_path)

    assert run.code == code, run.err
    assert words in run.err
    assert len(run.err.strip().splitlines()) == (5 if "again" in words else 1)
    assert tree(tmp_path) == before


def test_names_never_reach_the_terminal_raw(tmp_path):
    """Escape bytes in a name are escaped in what merge and inspect say of it."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("\x1b[31ma.png", "b.png"):
        Image.new("L", (2, 2), len(name)).save(source / name)
    stats = tmp_path / "s.npz"
    bncli("fit", source, "-o", stats, "-q")
    run = bncli("merge", stats, stats, "-o", tmp_path / "m.npz")

    assert "\\x1b[31ma.png: it is in" in run.err
    assert "\x1b" not in run.err + run.out


def test_a_killed_fit_leaves_no_file(folder, tmp_path, monkeypatch):
    """Killed before the file has its name: none is there, and the next run writes it whole."""
    out = tmp_path / "s.npz"
    code = (
        "import os, signal, bncli.storage.whole_file as f\n"
        "f.WholeFile.place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"import bncli; bncli.fit_folder({str(folder)!r}, {str(out)!r})"
    )
    assert python("-c", code).code == -signal.SIGKILL
    assert not out.exists()
    assert bncli("fit", folder, "-o", out).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "s.npz"}


def test_an_interrupted_fit_leaves_nothing(tmp_path, rng):
    """SIGTERM in mid-run: exit 143 and no file, hidden or not."""
    source = tmp_path / "source"
    source.mkdir()
    pixels = rng.integers(0, 256, (600, 600, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    for number in range(400):
        os.link(tmp_path / "x.png", source / f"{number}.png")
    command = [sys.executable, "-m", "bncli", "fit", source, "-o", tmp_path / "s.npz", "-v"]
    with subprocess.Popen([*command, "--jobs", "1"], stderr=subprocess.PIPE) as run:
        run.stderr.readline()  # of what was decided, before the first picture is decoded
        run.terminate()
        err = run.stderr.read()
    assert run.returncode == 143
    assert b"terminated" in err
    assert {path.name for path in tmp_path.iterdir()} == {"source", "x.png"}
