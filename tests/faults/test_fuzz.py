"""A few spoilt files of every kind, and the fuzzer itself put to the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from oracle import python

FUZZ = Path(__file__).parents[1] / "fuzz"
KINDS = ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PNM", "NPY", "NPZ", "STATS"]


def fuzz(*arguments, code="import fuzz, sys; sys.exit(fuzz.main())", cwd):
    env = {**os.environ, "PYTHONPATH": str(FUZZ)}
    return python("-c", code, *arguments, cwd=cwd, env=env)


def test_spoilt_files(tmp_path):
    """Every one ends with an exit code of the contract, in time, and nothing speaks past bncli."""
    run = fuzz("--count", 60, "--from", 100_000, "--keep", tmp_path / "found", cwd=tmp_path)

    assert run.code == 0, run.out + run.err
    assert [line.split()[0] for line in run.out.splitlines()] == KINDS
    assert run.out.count("noisy: 0") == len(KINDS)
    assert not (tmp_path / "found").exists()


PLANTED = """
import sys, time, os, ctypes
import fuzz
fuzz.SECONDS = 0.5
def reader(path, seed):
    if seed == 3: {act}
fuzz.READERS["PNG"] = reader
sys.exit(fuzz.main())
"""


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        ("raise KeyError('x')", "70"),
        ("time.sleep(60)", "hang"),
        ("ctypes.string_at(0)", "crash -11"),
        ("bytearray(4 << 30)", "70"),
        ("os._exit(0)", "crash 0"),
        ("raise fuzz.BncliError('x')", "2"),
        ("raise fuzz.DataError('\\x1b[2J')", "raw message"),
        ("raise fuzz.DataError('x' * 9999)", "long message"),
    ],
)
def test_the_fuzzer_finds(tmp_path, act, outcome):
    """What must not happen is found, named by its seed and kept; the other files are judged too."""
    act = act.replace("fuzz.BncliError", "__import__('bncli.errors').errors.OptionError")
    act = act.replace("fuzz.DataError", "__import__('bncli.errors').errors.DataError")
    arguments = ("--count", 6, "--keep", tmp_path / "found", "PNG")
    run = fuzz(*arguments, code=PLANTED.format(act=act), cwd=tmp_path)

    assert run.code == 1, run.out + run.err
    assert f"FOUND PNG 3: {outcome}" in run.out
    assert (tmp_path / "found" / f"PNG-3-{outcome.replace(' ', '-')}").read_bytes()
    assert " 0: 5 " in run.out.replace("PNG  ", "PNG   ")
