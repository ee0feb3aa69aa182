"""bncli doctor: what it says is so, and what is broken is noticed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys

import pytest
from oracle import bncli


def doctored(code, *arguments, env=None):
    """bncli doctor in a process where *code* has run first."""
    code += "\nimport sys; from bncli.cli.entry import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, "doctor", *arguments],
        capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False,
    )  # fmt: skip


def test_document():
    """Versions are those that pip knows, cores those that the system allows."""
    run = bncli("doctor", "--json")
    found = run.document

    assert (run.code, found["status"], found["schema"]) == (0, "ok", "bncli.doctor/1")
    for name in ("numpy", "pillow", "click", "rich"):
        assert found["packages"][name]["found"] == importlib.metadata.version(name)
        assert found["packages"][name]["usable"]
    assert found["python"] == platform.python_version()
    assert set(found["formats"]) == {"PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM"}
    assert all(found["formats"].values())
    assert found["cores"] == min(found["core_limits"].values())
    assert found["memory"] > 1 << 20
    assert found["problems"] == []
    declared = importlib.metadata.metadata("bncli").get_all("Provides-Extra")
    assert set(found["extras"]) == set(declared) - {"test", "bench", "lint"}


def test_table():
    """The verdict last; nothing on stderr."""
    run = bncli("doctor")
    lines = run.out.splitlines()
    assert (run.code, run.err) == (0, "")
    assert lines[-1].startswith("verdict ")


def test_cores_and_why():
    """Slurm's allocation and affinity are named with what they leave."""
    run = bncli("doctor", "--json", env={**os.environ, "SLURM_CPUS_PER_TASK": "1"})
    assert run.document["core_limits"]["SLURM_CPUS_PER_TASK"] == 1
    assert run.document["cores"] == 1
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert json.loads(doctored(code, "--json").stdout)["core_limits"]["affinity"] == 1


VERSION = """
import importlib.metadata as m
there = m.version
def version(name):
    if name == "{name}":
        {act}
    return there(name)
m.version = version
"""
NO_WEBP = "from PIL import Image; Image.init(); Image.OPEN.pop('WEBP'); Image.SAVE.pop('WEBP')"
MISSING = "raise m.PackageNotFoundError(name)"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (VERSION.format(name="pillow", act="return '12.9'"), "pillow 12.9 is too old: "),
        (VERSION.format(name="rich", act=MISSING), "rich is missing: "),
        ("import sys; sys.modules['PIL'] = None", "numpy or Pillow cannot be loaded"),
        ("import sys; sys.modules['numpy'] = None", "numpy or Pillow cannot be loaded"),
        (NO_WEBP, "Pillow cannot read WEBP here: "),
    ],
)
def test_what_is_broken_is_noticed(code, words):
    """Exit code 2, one line with the remedy on stderr, and the rest is told all the same."""
    run = doctored(code)
    assert run.returncode == 2, run.stderr
    assert run.stderr.count("\n") == 1
    assert words in run.stderr
    assert "-m pip install " in run.stderr
    assert re.search("^cores ", run.stdout, re.MULTILINE)
    document = json.loads(doctored(code, "--json").stdout)
    assert (document["status"], document["exit_code"]) == ("broken", 2)


def test_without_rich():
    """A table needs rich; the doctor does not."""
    run = doctored("import sys; sys.modules['rich'] = sys.modules['rich.table'] = None")
    assert run.returncode == 0, run.stderr
    assert "verdict" in run.stdout


def test_extras_that_are_absent_name_their_command():
    """The line of pip for what is not there; its absence is no fault."""
    run = doctored(VERSION.format(name="isal", act=MISSING))
    assert run.returncode == 0
    assert "absent (isal): pip install 'bncli[fast]'" in run.stdout


def test_no_temporary_folder(tmp_path):
    """Where no temporary file can be written, that is said."""
    code = "import tempfile\ndef broken(): raise OSError\ntempfile.TemporaryFile = broken"
    run = doctored(code)
    assert run.returncode == 2
    assert "set TMPDIR" in run.stderr
    assert not list(tmp_path.iterdir())
