"""The child process in which the user's code runs: reads a request, sends what happens."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any, BinaryIO, NoReturn

from bncli.checking.calling import Caller
from bncli.checking.examine import Examination
from bncli.checking.request import Request
from bncli.checking.wire import receive, send
from bncli.errors import BncliError


def main() -> NoReturn:
    """Run one check and leave."""
    # What the user's code prints must not get between the messages.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    received = receive(sys.stdin.buffer)
    if received is None:
        os._exit(1)
    order, arrays = received
    _run(order, arrays, out)
    out.flush()
    # Threads that the user's code left behind must not hold the process up.
    os._exit(0)


def _run(order: dict[str, Any], arrays: dict[str, Any], out: BinaryIO) -> None:
    def announce(stage: str) -> None:
        send(out, {"kind": "stage", "stage": stage}, {})

    def progress(stage: str, done: int, total: int) -> None:
        send(out, {"kind": "progress", "facts": [stage, done, total]}, {})

    facts = dict(order["request"])
    if facts["shape"] is not None:
        facts["shape"] = tuple(facts["shape"])
    try:
        examination = Examination(Request(**facts), Caller(announce), progress)
        report = examination.run(order["target"], arrays.get("x"), arrays.get("delta"))
    except BncliError as error:
        kind = type(error).__name__
        facts = {"kind": "error", "name": kind, "lines": error.lines, "paths": error.paths}
        send(out, facts, {})
        return
    except Exception:  # noqa: BLE001 - a bug of ours, which the parent reports as such
        send(out, {"kind": "bug", "trace": traceback.format_exc()}, {})
        return
    maps = report.maps if order["maps"] else {}
    send(out, {"kind": "report", "document": report.document()}, maps)
