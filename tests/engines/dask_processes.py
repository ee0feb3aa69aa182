"""Processes of the `dask` command line, as anybody would start them, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_QUIET = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")


class DaskCluster:
    """A scheduler, and workers of one thread each."""

    def __init__(self, folder: Path, environment) -> None:
        self.folder = folder
        self.environment = environment
        self.file = folder / "scheduler.json"
        self.workers = []
        self._processes = []
        self._start("scheduler", "--port", "0")
        wait_for(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def add(self, workers, *options):
        """Start workers, in a process of their own or below a nanny, which starts them again."""
        options = ("--nthreads", "1", "--local-directory", self.folder, *options)
        logs = []
        for _ in range(workers):
            self.workers.append(self._start("worker", *options))
            logs.append(self._log())
        wait_for(lambda: all(b"Registered to" in log.read_bytes() for log in logs))

    def end(self):
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):  # killed by the test
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _log(self):
        return self.folder / f"{len(self._processes)}.log"

    def _start(self, role, *options):
        words = ["-m", "dask", role, "--host", "127.0.0.1", *_QUIET, "--scheduler-file", self.file]
        with (self.folder / f"{len(self._processes) + 1}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *map(str, [*words, *options])],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


def wait_for(condition, seconds=40.0):
    """Return when the condition holds; fail after so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
