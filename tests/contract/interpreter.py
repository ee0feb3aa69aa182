"""An interpreter that has bncli, kept warm: most of a small run is the loading of libraries."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = """
import contextlib, importlib, json, os, signal, sys
for name in ("numpy", "PIL.Image", "PIL.PngImagePlugin", "PIL.TiffImagePlugin", "click",
             "rich.console", "rich.table", "bncli.cli.entry", "bncli.__main__"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
print(sys.modules["bncli"].__file__, flush=True)
while line := sys.stdin.readline():
    child = os.fork()
    if not child:
        break
    os.write(1, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
if line:
    asked = json.loads(line)
    for number, place in enumerate((os.devnull, asked["out"], asked["err"])):
        os.dup2(os.open(place, os.O_RDWR), number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["bncli", *asked["words"]]
    signal.alarm(300)
    from bncli.__main__ import main
    main()
"""
"""Says which bncli it has; then reads a request a line, forks to answer it, and says with which
exit code that ended."""


class Interpreter:
    """One Python that runs command lines one after the other.

    Args:
        python: its path.
        env: of all that it runs.
        place: a folder without a bncli: what lies in the current one is imported first.

    Attributes:
        package: where its bncli is.
    """

    def __init__(self, python: str, env: Mapping[str, str], place: Path) -> None:
        self._python = python
        self._env = {**env, "PYTHON": python, "OPENBLAS_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [python, "-c", _SERVER], env=self._env, text=True, bufsize=1, cwd=place,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.package = self._server.stdout.readline().strip()

    def command(self, words: Sequence[str], cwd: Path) -> tuple[int, bytes, bytes]:
        """Exit code and both streams of a command line."""
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
            asked = {"words": words, "cwd": str(cwd), "env": self._env}
            print(json.dumps(asked | {"out": out.name, "err": err.name}), file=self._server.stdin)
            code = int(self._server.stdout.readline())
            return code, out.read(), err.read()

    def other(self, words: Sequence[str], cwd: Path, how: str) -> tuple[int, bytes, bytes]:
        """Likewise of code, or of a line of the shell, in a process that begins anew."""
        begin = {"python": [self._python, "-c"], "shell": ["sh", "-c"]}[how]
        done = subprocess.run(
            [*begin, *words], cwd=cwd, env=self._env, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def end(self) -> None:
        """Let it go."""
        self._server.stdin.close()
        self._server.wait()
