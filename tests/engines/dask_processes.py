"""Processes of the `dask` command line, as anybody would start them, on 127.0.0.1."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

_QUIET = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")


class DaskCluster:
    """Processes of the `dask` command line."""

    def __init__(self, folder: Path, environment) -> None:
        self.folder = folder
        self.environment = environment
        self.file = folder / "scheduler.json"
        self.workers = []
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0"
        )
        wait_for(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def add(self, workers, *options):
        """Start workers of one thread, in this process or below a nanny."""
        options = ("--nthreads", "1", "--local-directory", self.folder, *_QUIET, *options)
        self.workers += [self._start("worker", *options) for _ in range(workers)]
        wait_for(lambda: self.count() == len(self.workers))

    def count(self):
        """Workers that the scheduler knows."""
        code = (
            "import sys, distributed\n"
            f"with distributed.Client({self.address!r}, set_as_default=False) as client:\n"
            "    print(len(client.nthreads()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    def end(self):
        for process in [*self.workers, self.scheduler]:
            process.terminate()
        for process in [*self.workers, self.scheduler]:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, role, *options):
        words = ["-m", "dask", role, "--host", "127.0.0.1", "--scheduler-file"]
        return subprocess.Popen(
            [sys.executable, *words, self.file, *map(str, options)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment,
            cwd=self.folder,
        )  # fmt: skip


def wait_for(condition, seconds=40.0):
    """Return when the condition holds; fail after so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
