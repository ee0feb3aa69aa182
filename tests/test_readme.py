"""The manual is true: its options exist, its examples run, its printed output is real."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bncli.cli.entry import bncli as group

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def fences(language):
    return [body for kind, body in FENCES if kind == language]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the sample pictures in it, and the command on the path."""
    for folder in ("sample_images", "tests/checking/targets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return tmp_path


def run(command):
    return subprocess.run(
        ["/bin/bash", "-euc", command], capture_output=True, text=True, check=False
    )


def steady(text):
    """The lines of a session without what differs from machine to machine: time and last bits."""
    lines = [line for line in text.splitlines() if not line.startswith("time ")]
    return [re.sub(r"[0-9.]+e-1[0-9]", "rounding", line) for line in lines]


@pytest.mark.parametrize("session", fences("console"))
def test_sessions_print_what_they_print(place, session):
    """Every command of a session prints what the manual shows, but for the time it took."""
    for block in session.split("$ ")[1:]:
        command, _, expected = block.partition("\n")
        done = run(command)
        assert done.returncode == 0, done.stderr
        assert steady(done.stdout) == steady(expected)


def test_shell_examples_run(place):
    """Every shell example but those that set up an environment runs."""
    examples = [body for body in fences("sh") if ".venv" not in body]
    assert examples
    for example in examples:
        done = run(example)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_the_rule_of_make(place):
    """It makes the results, and makes them again only when a picture is newer."""
    (place / "Makefile").write_text(fences("make")[0])
    done = [run("make 2>&1"), run("make 2>&1")]
    os.utime(place / "sample_images" / "brick-1.jpg")
    done.append(run("make 2>&1"))
    assert [d.returncode for d in done] == [0, 0, 0]
    assert ["bncli normalize" in d.stdout for d in done] == [True, False, True]


def test_python_examples_run(place):
    """Every Python example runs."""
    assert fences("python")
    for example in fences("python"):
        done = subprocess.run(
            [sys.executable, "-c", example], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_every_command_and_option_is_documented():
    """Each command has its name in the manual and each option its long name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        assert f"bncli {name}" in README
        command = group.get_command(context, name)
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                longest = max(parameter.opts, key=len)
                assert f"`{longest}`" in README, f"{name} {longest} is not in the manual"


def test_help_pages_end_with_examples_that_run(place):
    """The examples of every help page run on sample pictures, or on what they name."""
    for picture in sorted((place / "sample_images").iterdir())[4:]:
        picture.unlink()
    context = click.Context(group)
    for name in group.list_commands(context):
        page = group.get_command(context, name).help
        examples = re.findall(r"^\s*(bncli .*)$", page, re.MULTILINE)
        assert examples, f"{name} has no example"
        for example in examples:
            if "sample_images" in shlex.split(example):
                shutil.rmtree(place / "out", ignore_errors=True)
                done = run(example)
                assert done.returncode == 0, done.stderr


def test_the_two_commands_are_one_line_each():
    """They stand under their marks, where continuous integration takes them from."""
    for mark in ("main-job", "tests"):
        found = re.search(rf"<!-- {mark} -->\n```sh\n(.*)\n```", README)
        assert found
        assert found[1].startswith("python3 -m venv .venv && ")
