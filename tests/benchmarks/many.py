"""Time, memory and file descriptors of a run over very many small pictures.

Memory of a picture is that of two runs, one of a tenth of the pictures, compared::

    python tests/benchmarks/many.py --count 1000000 --command bncli --option=--jobs=2
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

_HEADER = b"P5\n4 4\n255\n"


def make(folder: Path, count: int) -> None:
    """Write *count* pictures of 4 by 4 pixels, no two alike."""
    folder.mkdir()
    for number in range(count):
        values = (number * 2654435761).to_bytes(16, "little")
        (folder / f"img_{number:07}.pgm").write_bytes(_HEADER + values)


def run(command: list[str]) -> tuple[float, float, float, int]:
    """Wall and CPU seconds, peak in MB, and most open files of a command that must end well."""
    began, most = time.perf_counter(), 0
    process = subprocess.Popen(command)
    ended = threading.Event()

    def count_files() -> None:
        nonlocal most
        while not ended.wait(0.2):
            with contextlib.suppress(OSError):  # it may just have ended
                most = max(most, len(list(Path(f"/proc/{process.pid}/fd").iterdir())))

    watcher = threading.Thread(target=count_files, daemon=True)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: exit code {process.returncode}")
    wall = time.perf_counter() - began
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, most


def main() -> None:
    """Make the pictures, run the command on a tenth and on all, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--command", default=shutil.which("bncli") or "bncli")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--again", action="store_true", help="run again with --resume")
    parser.add_argument("--folder", default=None, help="where there is room; default: temporary")
    asked = parser.parse_args()
    firsts: list[float] = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as work:
        for count in (asked.count // 10, asked.count):
            pictures, out = Path(work, f"in{count}"), Path(work, f"out{count}")
            make(pictures, count)
            command = [asked.command, "normalize", str(pictures), "-o", str(out), "--quiet"]
            runs = [command + asked.option]
            if asked.again:
                runs.append([*command, *asked.option, "--resume"])
            for number, each in enumerate(runs):
                wall, cpu, peak, files = run(each)
                summary = (out / "summary.json").stat().st_size / 1e6
                slope = ""
                if count == asked.count // 10:
                    firsts.append(peak)
                else:
                    more = (peak - firsts[number]) * (1 << 20) / (count - count // 10)
                    slope = f", {more:.0f} bytes a picture"
                print(
                    f"{count:,} pictures{' again' if '--resume' in each else ''}: {wall:.1f} s, "
                    f"CPU {cpu:.1f} s, {peak:.0f} MB{slope}, {files} files open, "
                    f"summary of {summary:.1f} MB"
                )
            shutil.rmtree(out)
            shutil.rmtree(pictures)


if __name__ == "__main__":
    main()
