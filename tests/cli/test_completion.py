"""Completion, asked for as shells do: by click's protocol, and by the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import bncli

BIN = Path(sys.executable).parent


def complete(shell, words, position=None, cwd=None):
    """What bncli answers a shell that wants to complete the last word."""
    line = " ".join(words)
    env = {**os.environ, "_BNCLI_COMPLETE": f"{shell}_complete", "COMP_WORDS": line,
           "COMP_CWORD": str(len(words) - 1 if position is None else position)}  # fmt: skip
    if shell == "fish":
        env["COMP_CWORD"] = words[-1]
    done = subprocess.run(
        [BIN / "bncli"], capture_output=True, text=True, env=env, cwd=cwd, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bncli", "norm"], "plain,normalize"),
        (["bncli", "normalize", "--max-m"], "plain,--max-memory"),
        (["bncli", "normalize", "--conf"], "plain,--config"),
        (["bncli", "normalize", "--mode", "R"], "plain,RGB"),
        (["bncli", "normalize", "--gamma", "ra"], "plain,random"),
        (["bncli", "normalize", "--gamma", "g.n"], "file,g.n"),
        (["bncli", "normalize", "--scale", "si"], "plain,sigma:"),
        (["bncli", "normalize", "samp"], "file,samp"),
        (["bncli", "normalize", "sample_images", "-o", "o"], "file,o"),
        (["bncli", "gradcheck", "my_l"], "file,my_l"),
        (["bncli", "completion", "z"], "plain,zsh"),
        (["bncli", "normalize", "--seed", "nonsense", "--mode", "L"], "plain,L"),
    ],
)
def test_bash_protocol(words, expected):
    """Commands, options, choices, words of a value, and files."""
    assert complete("bash", words).splitlines() == [expected]


def test_other_protocols():
    """zsh and fish get the same words, and the help of options with them."""
    zsh = complete("zsh", ["bncli", "normalize", "--dry"]).splitlines()
    assert zsh == ["plain", "--dry-run", "Decode and check all, write nothing."]
    fish = complete("fish", ["bncli", "normalize", "--dry"])
    assert fish.split() == [
        "plain,--dry-run",
        "Decode",
        "and",
        "check",
        "all,",
        "write",
        "nothing.",
    ]


def test_completion_is_light_and_reads_no_config(tmp_path):
    """No numpy, Pillow or rich is loaded for it, and a broken file of options does not matter."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'numpy', 'PIL', 'rich'} & set(sys.modules))))\n"
        "from bncli.cli.entry import main\nmain()"
    )
    env = {**os.environ, "_BNCLI_COMPLETE": "bash_complete", "COMP_CWORD": "4",
           "COMP_WORDS": "bncli normalize --config missing.toml --over"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path,
        check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["plain,--overwrite", "[]"], done.stderr


BASH = r"""
set -u
eval "$(bncli completion bash)"
reply() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _bncli_completion bncli "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
  printf '%s|' "${COMPREPLY[@]}"; echo
}
reply bncli nor
reply bncli normalize --over
reply bncli normalize --mode ''
# Words come to the function as they were typed, quotes and all.
reply bncli normalize '"pictures of mine"' -o "'a\"b'" --format t
reply bncli normalize "pictures\\ of\\ mine" -o '"$(touch pwned)"' --dr
reply bncli normalize $'esc\e[2J' '"unclosed' --dr
complete -p bncli
"""


def test_a_real_bash():
    """The function that the script defines fills COMPREPLY, whatever words stand before."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH], capture_output=True, text=True, env=env, check=False
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == ["normalize|", "--overwrite|", "keep|L|RGB|"], done.stderr
    assert lines[3:5] == ["tiff|", "--dry-run|"]
    assert lines[6].endswith("_bncli_completion bncli")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_a_real_fish(tmp_path):
    """fish, asked what it would offer."""
    (tmp_path / "name with spaces.toml").write_text("")
    script = (
        "bncli completion fish | source\n"
        "complete -C'bncli norm'\necho ==\ncomplete -C'bncli normalize --over'\necho ==\n"
        "complete -C'bncli normalize --config name'\n"
    )
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, env=env,
        cwd=tmp_path, check=False,
    )  # fmt: skip
    commands, options, files = done.stdout.split("==\n")
    assert "normalize" in commands
    assert "--overwrite" in options
    assert "name with spaces.toml" in files.replace("\\", "")


ZSH = r"""
autoload -Uz compinit; compinit -u -D
eval "$(bncli completion zsh)"
print -r -- ${_comps[bncli]}
compadd() { print -r -- "${completions[@]}" }
_describe() { print -r -- "${completions_with_descriptions[@]}" }
_path_files() { print -r -- files }
words=(bncli norm); CURRENT=2; _bncli_completion
words=(bncli normalize --mode R); CURRENT=4; _bncli_completion
words=(bncli normalize '"my pictures"' --overw); CURRENT=4; _bncli_completion
words=(bncli normalize sam); CURRENT=3; _bncli_completion
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_a_real_zsh(tmp_path):
    """The function that the script defines hands zsh the words."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH], capture_output=True, text=True, env=env, check=False
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "_bncli_completion", done.stderr
    assert lines[1].startswith("normalize")
    assert lines[2] == "RGB"
    assert lines[3].startswith("--overwrite")
    assert lines[4] == "files"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(shell):
    """It names the command and its variable; an unknown shell is a usage error."""
    run = bncli("completion", shell)
    assert run.code == 0
    assert f"_BNCLI_COMPLETE={shell}_complete" in run.out
    assert bncli("completion", "tcsh").code == 2
