"""How much of a package one command goes through: functions entered, changes from file to file.

The command runs in a Python of its own, which need not be this one, on five tiny pictures. Only its
main thread is followed, and only functions of the package; what runs while a file is loaded counts
when it is a function.
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

_FOLLOW = """
import json, os, sys
root, report, *argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(root))
package, inside = os.path.basename(root), root + os.sep
entered, changes, files = set(), 0, {}
OPTIMIZED = 1  # what functions have, and the bodies of classes and modules have not

def file_of(frame):
    name = frame.f_code.co_filename
    if name not in files:
        whole = os.path.realpath(name)
        files[name] = whole if whole.startswith(inside) else None
    return files[name] if frame.f_code.co_flags & OPTIMIZED else None

def follow(frame, event, arg):
    global changes
    where = file_of(frame) if event == "call" else None
    if where is None:
        return
    code = frame.f_code
    if not code.co_name.startswith("<"):
        entered.add((where, code.co_qualname, code.co_firstlineno))
    caller = frame.f_back
    while caller is not None and file_of(caller) is None:
        caller = caller.f_back
    changes += caller is not None and file_of(caller) != where

import importlib
main = importlib.import_module(package + ".__main__").main
sys.argv = [package, *argv]
code = 0
sys.setprofile(follow)
try:
    main()
except SystemExit as end:
    code = end.code or 0
finally:
    sys.setprofile(None)
    with open(report, "w") as file:
        json.dump({"code": code, "functions": len(entered), "changes": changes,
                   "files": len({where for where, *_ in entered})}, file)
"""

_COMMANDS = {
    "normalize": "normalize pictures -o normalized --jobs 2",
    "normalize --delta": "normalize pictures -o with_delta --delta random --jobs 2",
    "fit": "fit pictures -o statistics.npz --jobs 2",
    "apply": "apply statistics.npz pictures -o applied --jobs 2",
    "invert": "invert statistics.npz normalized -o restored --jobs 2",
    "gradcheck": "gradcheck",
}
"""In this order: one reads what another has written."""


class Walk(NamedTuple):
    """What one command went through."""

    command: str
    functions: int
    files: int
    changes: int
    """Calls from one file into another; as many returns lead back."""


def walks(root: Path, python: str) -> list[Walk]:
    """Of the commands that read pictures, and the gradient check.

    Raises:
        RuntimeError: a command did not end well.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _draw(folder / "pictures")
        return [_walk(root, python, folder, *item) for item in _COMMANDS.items()]


def _walk(root: Path, python: str, folder: Path, name: str, command: str) -> Walk:
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [python, "-c", _FOLLOW, root.resolve(), report, *command.split(), "--quiet"],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    seen = json.loads(report.read_text()) if report.exists() else {"code": done.returncode}
    if seen["code"] != 0:
        raise RuntimeError(f"{command} ended with {seen['code']}: {done.stderr[-500:]}")
    return Walk(name, seen["functions"], seen["files"], seen["changes"])


def _draw(folder: Path) -> None:
    folder.mkdir()
    chance = random.Random(20150211)
    for number in range(5):
        rows = b"".join(b"\0" + chance.randbytes(7 * 3) for _ in range(5))
        head = struct.pack(">IIBBBBB", 7, 5, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        (folder / f"p{number}.png").write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(data))
                + kind
                + data
                + struct.pack(">I", zlib.crc32(kind + data))
                for kind, data in chunks
            )
        )
