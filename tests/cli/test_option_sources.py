"""Options from the environment and from a file: which one counts, and who gets the blame."""

from __future__ import annotations

import contextlib
import json
import os

import click
import numpy as np
import pytest
from hypothesis import given, strategies as st
from oracle import bncli, textbook, tree

from bncli.cli.config import key_of, read_config
from bncli.cli.entry import bncli as group
from bncli.errors import OptionError

CONTEXT = click.Context(group)
COMMANDS = {name: group.get_command(CONTEXT, name) for name in group.list_commands(CONTEXT)}


def environment(**variables):
    return {**os.environ, **variables}


def test_the_more_direct_counts(folder, batch, tmp_path):
    """Command line, then environment (that of the command first), then file, then default."""
    config = tmp_path / "job.toml"
    config.write_text('eps = 0.1\nformat = "npy"\n[normalize]\neps = 0.2\n')
    steps = [
        ([], {}, 1e-8),
        (["--config", config], {}, 0.2),
        (["--config", config], {"BNCLI_EPS": "0.3"}, 0.3),
        (["--config", config], {"BNCLI_EPS": "0.3", "BNCLI_NORMALIZE_EPS": "0.4"}, 0.4),
        (["--config", config, "--eps", "0.5"], {"BNCLI_EPS": "0.3"}, 0.5),
    ]
    for number, (arguments, variables_, eps) in enumerate(steps):
        out = tmp_path / str(number)
        run = bncli(
            "normalize", folder, "-o", out, "--format", "npy", *arguments,
            env=environment(**variables_),
        )  # fmt: skip
        assert run.code == 0, run.err
        expected = textbook(batch, eps=eps).output
        assert np.allclose(np.load(out / "normalized.npy"), expected, rtol=0, atol=1e-12)


def test_a_whole_job_in_a_file(folder, tmp_path):
    """Sources and output too; a file gives the same bytes as the command line."""
    (tmp_path / "job.toml").write_text(
        "jobs = 1\n[normalize]\n"
        f'src = ["{folder.name}"]\nout = "a"\ngamma = 2\nscale = "sigma:2"\n'
        'depth = 16\ninclude = "p*"\nexclude = ["p11*"]\nrecursive = true\nmax-memory = "50%"\n'
    )
    by_file = bncli("normalize", "--config", "job.toml", "-v", cwd=tmp_path)
    by_hand = bncli(
        "normalize", folder.name, "-o", "b", "--gamma", "2", "--scale", "sigma:2", "--depth", "16",
        "--exclude", "p11*", cwd=tmp_path,
    )  # fmt: skip

    assert by_file.code == by_hand.code == 0, by_file.err
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert "job.toml: gamma = 2" in by_file.err


def test_no_file_is_read_unasked(folder, tmp_path):
    """A file of a likely name in the current folder or at home changes nothing."""
    for name in ("bncli.toml", ".bncli.toml", "config.toml"):
        (tmp_path / name).write_text("nonsense")
    run = bncli(
        "normalize", folder, "-o", tmp_path / "out", cwd=tmp_path,
        env=environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path)),
    )  # fmt: skip
    assert (run.code, run.err) == (0, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("job = 1", "job: there is no option of this name; did you mean jobs?"),
        ("max_memory = 1", "max_memory: there is no option of this name; did you mean max-memory?"),
        ("[normalise]\neps = 1", "there is no command of this name; did you mean normalize?"),
        ("[normalize]\ngama = 1", "[normalize] gama: normalize has no such option; did you mean g"),
        ("[gradcheck]\ngamma = 1", "[gradcheck] gamma: gradcheck has no such option"),
        ("eps = '1e-8'", "eps: it must be a number"),
        ("seed = 1.5", "seed: it must be a whole number"),
        ("seed = true", "seed: it must be a whole number"),
        ("overwrite = 'yes'", "overwrite: it must be true or false"),
        ("[normalize]\nlr = [1]", "[normalize] lr: it must be a number"),
        ("include = [[1]]", "include: it must be text or a number or a list of such"),
        ("gamma = 2020-01-01", "gamma: it must be text or a number"),
        ("out = 3", "out: it must be text"),
        ("[gradcheck]\ntarget = 'os:system'", "it is code, which no file may name"),
        ("target = 'os:system'", "target: there is no option of this name"),
        ("config = 'other.toml'", "config: there is no option of this name"),
        ("jobs = = 2", "it is no TOML"),
        ("jobs = 0", "jobs = 0: 0 is neither auto nor a whole number above 0"),
        ("seed = -1", "seed = -1: -1 is not in the range"),
        ("eps = 0", "--eps is 0.0; it must be a finite number above 0 (job.toml: eps = 0)"),
        ("mode = 'rgb'", "mode = rgb: 'rgb' is not one of 'keep', 'L', 'RGB'; did you mean RGB?"),
    ],
)
def test_a_file_that_cannot_be_meant(folder, tmp_path, text, words):
    """Unknown keys, wrong types and impossible values: one line with the file, exit code 2."""
    (tmp_path / "job.toml").write_text(text)
    run = bncli("normalize", folder, "-o", "out", "--config", "job.toml", "--json", cwd=tmp_path)

    assert run.code == 2
    assert run.err.count("\n") == 1
    assert "job.toml" in run.err
    assert words in run.err
    assert run.document["status"] == "error"
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path):
    """Also what belongs to other commands."""
    (tmp_path / "job.toml").write_text("job = 1\n[gradcheck]\nsed = 2\n[normalize]\ngama = 3\n")
    run = bncli("normalize", "x", "-o", "y", "--config", "job.toml", cwd=tmp_path)
    assert run.code == 2
    assert run.err.count("\n") == 3


@pytest.mark.parametrize("config", ["missing.toml", ".", "/dev/zero", "/dev/null/x"])
def test_a_file_that_cannot_be_read(folder, tmp_path, config):
    """Exit code 2 and one line; an endless file is not read to its end."""
    run = bncli("normalize", folder, "-o", tmp_path / "out", "--config", config, cwd=tmp_path)
    assert (run.code, run.err.count("\n")) == (2, 1)


@given(st.text(max_size=40))
def test_any_text_is_a_config_or_refused(tmp_path_factory, text):
    """Nothing but OptionError comes of it, and an empty result only of no option at all."""
    path = tmp_path_factory.mktemp("config") / "any.toml"
    path.write_text(text, errors="replace")
    found = {}
    with contextlib.suppress(OptionError):
        found = read_config(str(path), COMMANDS, "normalize")
    assert all(key_of(parameter) in text for parameter in found)


@pytest.mark.parametrize(
    ("variables_", "words"),
    [
        ({"BNCLI_JOBS": "0"}, "BNCLI_JOBS=0: 0 is neither auto nor a whole number above 0"),
        ({"BNCLI_NORMALIZE_EPS": "0"}, "above 0 (BNCLI_NORMALIZE_EPS=0)"),
        ({"BNCLI_MODE": "rgb"}, "BNCLI_MODE=rgb: 'rgb' is not one of"),
        ({"BNCLI_OVERWRITE": "perhaps"}, "BNCLI_OVERWRITE=perhaps: "),
        ({"BNCLI_SEED": "\x1b[2J"}, "BNCLI_SEED=\\x1b[2J: "),
    ],
)
def test_the_variable_gets_the_blame(folder, tmp_path, variables_, words):
    """One line that begins with, or ends in, the variable and its value."""
    env = environment(**variables_)
    run = bncli("normalize", folder, "-o", tmp_path / "out", env=env)
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert words in run.err


def test_variables_of_all_kinds(folder, tmp_path):
    """Flags, repeated options and required options; a misspelled variable is warned of."""
    env = environment(
        BNCLI_JSON="1", BNCLI_NORMALIZE_OUT=str(tmp_path / "out"), BNCLI_EXCLUDE="p1.* p2.*",
        BNCLI_QUIET="1", BNCLI_JOB="1", BNCLI_TARGET="os:system", BNCLI_SEED="",
    )  # fmt: skip
    run = bncli("normalize", folder, env=env)

    assert run.code == 0, run.err
    assert run.document["images"]["count"] == 3
    assert "Warning: BNCLI_JOB: no option has this variable; did you mean BNCLI_JOBS" in run.err
    assert "BNCLI_TARGET: no option" in run.err
    assert run.err.count("\n") == 2


def test_a_failure_is_a_document_too(folder, tmp_path):
    """--json from the environment or a file holds for errors, also those of the command line."""
    (tmp_path / "job.toml").write_text("json = true\n[gradcheck]\njson = false\n")
    runs = [
        bncli("normalize", "--bogus", env=environment(BNCLI_JSON="true")),
        bncli("normalize", folder, env=environment(BNCLI_NORMALIZE_JSON="1")),
        bncli("normalize", folder, "-o", folder, "--config", tmp_path / "job.toml"),
        bncli("normalize", folder, "--config", tmp_path / "job.toml"),
    ]
    for run in runs:
        assert (run.code, json.loads(run.out)["exit_code"]) == (2, 2)
    assert bncli("normalize", "--bogus", env=environment(BNCLI_JSON="0")).out == ""


def test_target_is_never_named_by_data(tmp_path):
    """Neither a variable nor a file makes gradcheck import something."""
    (tmp_path / "evil.py").write_text("open('imported', 'w')\nclass Layer: pass\n")
    names = ("BNCLI_TARGET", "BNCLI_GRADCHECK_TARGET", "BNCLI_SRC", "BNCLI_ARGUMENTS")
    env = environment(**dict.fromkeys(names, "evil.py:Layer"))
    run = bncli("gradcheck", "--json", cwd=tmp_path, env=env)

    assert run.code == 0
    assert "evil" not in run.out
    assert not (tmp_path / "imported").exists()


def test_quiet_and_verbose_from_two_places(folder, tmp_path):
    """What is said more directly counts."""
    env = environment(BNCLI_QUIET="1")
    run = bncli("normalize", folder, "-o", tmp_path / "a", "-v", env=env)
    assert run.code == 0
    assert "in natural order" in run.err
    assert "dead pixels" in run.out
    env = environment(BNCLI_VERBOSE="1")
    silent = bncli("normalize", folder, "-o", tmp_path / "b", "-q", env=env)
    assert (silent.code, silent.out, silent.err) == (0, "", "")
