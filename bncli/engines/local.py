"""A Dask cluster on this machine that only this machine can reach."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
from distributed import Scheduler, Worker

from bncli.engines.work import interpreter
from bncli.errors import EngineError

_START_SECONDS = 60.0
_WATCH_SECONDS = 0.1

_LOOPBACK = "127.0.0.1"
_ANY_PORT = f"{_LOOPBACK}:0"

_SETTINGS = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.admin.system-monitor.interval": "10s",
}


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """A scheduler and workers, one thread each; workers that die are replaced.

    Not Dask's own LocalCluster: that listens on all interfaces here and there, and imports the
    caller's script once more in every process.

    Yields:
        The address of the scheduler.

    Raises:
        EngineError: they do not start.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="bncli-dask-", ignore_cleanup_errors=True)
        )
        nodes = _Nodes(folder)
        stack.callback(nodes.end)
        yield nodes.start(workers)


class _Nodes:
    """The processes of a cluster.

    Args:
        folder: where workers may leave files.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._address = ""

    def start(self, workers: int) -> str:
        """Start all; returns the address of the scheduler."""
        scheduler, *others = [_spawn() for _ in range(workers + 1)]  # importing takes them longest
        self._processes = [scheduler, *others]
        _tell(scheduler, {})
        timer = threading.Timer(_START_SECONDS, scheduler.kill)
        timer.start()
        try:
            assert scheduler.stdout is not None  # noqa: S101 - it was asked for
            self._address = scheduler.stdout.readline().decode("ascii", "replace").strip()
        finally:  # a signal may end the wait, and must not wait for the timer
            timer.cancel()
        if not self._address:
            raise EngineError("a scheduler of Dask cannot be started on this machine")
        for process in others:
            self._employ(process)
        self._watcher.start()
        return self._address

    def end(self) -> None:
        """End all."""
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.communicate()

    def _employ(self, process: subprocess.Popen[bytes]) -> None:
        _tell(process, {"scheduler": self._address, "folder": self._folder})

    def _watch(self) -> None:
        """Replace the workers that die, not too fast: they may die of what they are."""
        while not self._ended.wait(_WATCH_SECONDS):
            for place, process in enumerate(self._processes[1:], 1):
                if process.poll() is not None:
                    process.communicate()
                    self._processes[place] = _spawn()
                    self._employ(self._processes[place])


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
        interpreter("bncli.engines.local"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which ends them
    )


def _tell(process: subprocess.Popen[bytes], facts: dict[str, str]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    try:
        process.stdin.write(json.dumps(facts).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:  # it has died, which is noticed elsewhere
        return


def main() -> None:
    """Of a process of the cluster: be what a line of JSON says, and leave when stdin ends."""
    dask.config.set(_SETTINGS)
    facts = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    asyncio.run(_work(facts) if "scheduler" in facts else _schedule())


async def _schedule() -> None:
    scheduler = Scheduler(host=_LOOPBACK, port=0, dashboard=False, dashboard_address=_ANY_PORT)
    await scheduler
    sys.stdout.write(f"{scheduler.address}\n")
    sys.stdout.flush()
    await scheduler.finished()


async def _work(facts: dict[str, Any]) -> None:
    worker = Worker(
        facts["scheduler"],
        nthreads=1,
        host=_LOOPBACK,
        dashboard=False,
        dashboard_address=_ANY_PORT,
        local_directory=facts["folder"],
        memory_limit=0,
    )
    await worker
    await worker.finished()


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)
