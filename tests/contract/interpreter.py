"""An interpreter that has bncli, kept warm: most of a small run is the loading of libraries."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_SERVER = """
import contextlib, gc, importlib, json, os, pkgutil, runpy, signal, socket, sys, types
import bncli
rooms = [module.name for module in pkgutil.walk_packages(bncli.__path__, "bncli.")]
rooms.remove("bncli.__main__")
threaded = dict.fromkeys(("dask", "distributed"))
sys.modules.update(threaded)
for name in ("PIL.PngImagePlugin", "PIL.JpegImagePlugin", "PIL.TiffImagePlugin", "jinja2",
             "rich.console", "rich.table", "rich.live", "rich.progress", *rooms):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
for name in threaded:
    del sys.modules[name]
desk = socket.socket(fileno=int(sys.argv[1]))
file = desk.makefile("rb")
desk.sendall(bncli.__file__.encode() + b"\\n")
gc.collect()
gc.freeze()
while True:
    mark, streams, *_ = socket.recv_fds(desk, 1, 3)
    if not mark:
        sys.exit()
    asked = json.loads(file.readline())
    child = os.fork()
    if not child:
        break
    for stream in streams:
        os.close(stream)
    desk.sendall(b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
file.close()
desk.close()
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
signal.alarm(300)
os.umask(asked["umask"])
os.chdir(asked["cwd"].encode("latin1"))
os.environ.clear()
os.environb.update({name.encode("latin1"): value.encode("latin1") for name, value in asked["env"]})
sys.argv = [os.fsdecode(word.encode("latin1")) for word in asked["words"]]
if sys.argv[0] == "-m":
    sys.path[0] = os.getcwd()
    runpy._run_module_as_main(sys.argv.pop(1))
else:
    code = sys.argv.pop(1)
    sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), sys.modules["__main__"].__dict__)
"""
"""Says which bncli it has; then forks to answer each request, and says with which exit code that
ended. A request is a byte that comes with the three streams, and a line that says the rest. What
makes threads while it is loaded is left to who needs it."""


class Interpreter:
    """One Python that runs command lines one after the other, each in a process of its own.

    Args:
        python: its path.
        env: in which it starts, and of what it runs unless another is given.
        place: a folder without a bncli: what lies in the current one is imported first.

    Attributes:
        package: where its bncli is.
    """

    def __init__(self, python: str, env: Mapping[str, str], place: Path) -> None:
        self._python = python
        self._env = {**env, "PYTHON": python, "OPENBLAS_NUM_THREADS": "1"}
        self._desk, its = socket.socketpair()
        with its:
            self._server = subprocess.Popen(
                [python, "-c", _SERVER, str(its.fileno())], env=self._env, cwd=place,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=[its.fileno()],
            )  # fmt: skip
        self._said = self._desk.makefile("rb")
        self.package = self._said.readline().decode().strip()

    def command(self, words: Sequence[str], cwd: Path) -> tuple[int, bytes, bytes]:
        """Exit code and both streams of a command line."""
        return self.run(["-m", "bncli", *words], cwd)

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> tuple[int, bytes, bytes]:
        """Likewise of a line that begins with ``-m`` and a module, or ``-c`` and code."""
        env = self._env if env is None else env
        asked = {
            "words": [_raw(word) for word in words],
            "cwd": _raw(cwd),
            "env": [(_raw(name), _raw(value)) for name, value in env.items()],
            "umask": _umask(),
        }
        nothing = os.open(os.devnull, os.O_RDONLY)
        source, feed = (nothing, None) if stdin is None else os.pipe()
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        theirs = [source, its_out, its_err]
        socket.send_fds(self._desk, [b"?"], theirs)
        for stream in {*theirs, nothing}:
            os.close(stream)
        self._desk.sendall(json.dumps(asked).encode() + b"\n")
        with ThreadPoolExecutor(3) as pool:
            if feed is not None:
                pool.submit(_feed, feed, stdin)
            said = [pool.submit(_drain, stream) for stream in (out, err)]
        code = int(self._said.readline())
        return code, said[0].result(), said[1].result()

    def other(self, words: Sequence[str], cwd: Path, how: str) -> tuple[int, bytes, bytes]:
        """Likewise of code, or of a line of the shell, by a process that begins anew."""
        begin = {"python": [self._python, "-c"], "shell": ["sh", "-c"]}[how]
        done = subprocess.run(
            [*begin, *words], cwd=cwd, env=self._env, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def end(self) -> None:
        """Let it go."""
        self._said.close()
        self._desk.close()
        self._server.communicate()


def _raw(name: str | Path) -> str:
    """A character for each byte: how they are to be read is the matter of who is asked."""
    return os.fsencode(name).decode("latin1")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _feed(stream: int, content: bytes) -> None:
    with open(stream, "wb") as file, contextlib.suppress(BrokenPipeError):
        file.write(content)


def _drain(stream: int) -> bytes:
    with open(stream, "rb") as file:
        return file.read()
