"""A scheduler or a worker on this machine, in a process that ends with the one that started it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from typing import Any

import dask
from distributed import Scheduler, Worker

_LOOPBACK = "127.0.0.1"
_ANY_PORT = f"{_LOOPBACK}:0"

_SETTINGS = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.admin.system-monitor.interval": "10s",
}


def main() -> None:
    """Read a line of JSON, be what it says, and leave when stdin ends."""
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
