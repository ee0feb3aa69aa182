"""A check in a child process, with a limit on the time that the user's code may take."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from bncli.checking.examine import Examination, Progress
from bncli.checking.question import GRADIENTS, Array, Request
from bncli.checking.report import GradcheckReport
from bncli.checking.target import Caller, TargetFailure, describe, own_trace
from bncli.errors import BncliError, error_kinds

_ROOT = str(Path(__file__).resolve().parent.parent.parent)
# Appended, so that nothing in the folder of the package takes the place of a standard module.
_START = f"import sys; sys.path.append({_ROOT!r}); from bncli.checking.child import main; main()"
_START_SECONDS = 120.0
_GRACE_SECONDS = 5.0
_LAST_WORDS_SECONDS = 1.0
_ITEM = np.dtype(np.float64).itemsize


def send(stream: BinaryIO, message: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write one message and its arrays, as float64."""
    shapes = {name: array.shape for name, array in arrays.items()}
    line = json.dumps({**message, "arrays": shapes}, allow_nan=False)
    stream.write(line.encode("ascii") + b"\n")
    stream.writelines(np.ascontiguousarray(array, np.float64).data for array in arrays.values())
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Read one message; None at the end of the stream, or where a message is cut off."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    arrays = {}
    for name, shape in message.pop("arrays").items():
        content = stream.read(math.prod(shape) * _ITEM)
        if len(content) != math.prod(shape) * _ITEM:
            return None  # the child died while it was writing
        arrays[name] = np.frombuffer(content, np.float64).reshape(shape)
    return message, arrays


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
    for name in ("shape", "only"):
        facts[name] = facts[name] and tuple(facts[name])
    try:
        examination = Examination(Request(**facts), _OwnCaller(announce), progress)
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


def guarded_check(
    target: str,
    request: Request,
    x: Array | None = None,
    delta: Array | None = None,
    *,
    timeout: float = 60.0,
    maps: bool = False,
    progress: Progress | None = None,
) -> GradcheckReport:
    """Check a target in a process of its own.

    Args:
        target: ``module:Class``, ``file.py:Class`` or ``file.py:forward,backward``.
        request: how it is to be checked.
        x, delta: (batch, w, h, c), or None.
        timeout: seconds that any one call into the target may take.
        maps: whether the report is to have its maps.
        progress: is told a stage, and how many of how many steps are done.

    Returns:
        The report; inconclusive where the target hung, crashed or ended its process.

    Raises:
        BncliError: the target cannot be loaded or understood.
    """
    arrays = {name: a for name, a in (("x", x), ("delta", delta)) if a is not None}
    order = {"target": target, "request": dataclasses.asdict(request), "maps": maps}
    # Not in a with block, which would wait for whoever else holds the pipes.
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own words
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # so that what the target starts can be ended with it
    )
    try:
        return _follow(process, order, arrays, timeout, progress)
    finally:
        _end_all(process)


class _OwnCaller(Caller):
    """Runs the user's code where no interrupt comes from outside: one that it raises is its own."""

    def __call__(self, stage: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What *function* returns."""
        try:
            return super().__call__(stage, function, *args, **named)
        except KeyboardInterrupt as error:
            trace = own_trace(error.__traceback__)
            raise TargetFailure(f"{stage} raised {describe(error)}", trace, ended=True) from None


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started; whoever left its group may keep the pipes."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _follow(
    process: subprocess.Popen[bytes], order: dict[str, Any], arrays: dict[str, Array],
    timeout: float, progress: Progress | None,
) -> GradcheckReport:  # fmt: skip
    messages: queue.Queue[tuple[dict[str, Any], dict[str, Array]] | None] = queue.Queue()
    listener = threading.Thread(target=_listen, args=(process, messages), daemon=True)
    listener.start()
    threading.Thread(target=_outlive, args=(process, listener, messages), daemon=True).start()
    threading.Thread(target=_order, args=(process, order, arrays), daemon=True).start()
    stage, began = "start", time.monotonic()
    calls: dict[str, int] = {}
    while True:
        limit = {"": None, "start": _START_SECONDS}.get(stage, timeout)
        left = None if limit is None else max(0.0, began + limit - time.monotonic())
        try:
            received = messages.get(timeout=left)
        except queue.Empty:
            reason = f"{stage} did not come back within {limit:g} s"
            return _lost(order, reason, calls)
        if received is None:
            return _lost(order, _ending(process, stage), calls)
        message, found = received
        if message["kind"] == "stage":
            stage, began = message["stage"], time.monotonic()
            if stage:
                calls[stage] = calls.get(stage, 0) + 1
        elif message["kind"] == "progress" and progress is not None:
            progress(*message["facts"])
        elif message["kind"] == "error":
            kind = error_kinds()[message["name"]]
            raise kind(*message["lines"], paths=tuple(message["paths"]))
        elif message["kind"] == "bug":
            raise RuntimeError(message["trace"])
        elif message["kind"] == "report":
            report = GradcheckReport.of(message["document"])
            report.maps = found
            return report


def _listen(process: subprocess.Popen[bytes], messages: queue.Queue[Any]) -> None:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    received: Any = True
    with process.stdout:
        while received is not None:
            try:
                received = receive(process.stdout)  # type: ignore[arg-type]
            except (OSError, ValueError):
                received = None
            messages.put(received)


def _outlive(
    process: subprocess.Popen[bytes], listener: threading.Thread, messages: queue.Queue[Any]
) -> None:
    """Tell the end of a process also where one that it started holds its output open."""
    process.wait()
    listener.join(_LAST_WORDS_SECONDS)
    messages.put(None)


def _order(
    process: subprocess.Popen[bytes], order: dict[str, Any], arrays: dict[str, Array]
) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    try:
        send(process.stdin, order, arrays)  # type: ignore[arg-type]
        process.stdin.close()  # a target that asks for input gets none, and does not wait for it
    except (OSError, ValueError):
        return  # it has died, which the listener notices too


def _ending(process: subprocess.Popen[bytes], stage: str) -> str:
    try:
        code = process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the target closed its process's output during {stage or 'the check'}"
    where = f" during {stage}" if stage and stage != "start" else ""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the target's process crashed{where} ({name})"
    return f"the target ended its process{where} with exit code {code}"


def _lost(order: dict[str, Any], reason: str, calls: dict[str, int]) -> GradcheckReport:
    request = order["request"]
    return GradcheckReport(
        order["target"],
        status="inconclusive",
        reason=reason,
        dtype=request["dtype"],
        seed=request["seed"],
        eps=request["eps"],
        quantities=dict.fromkeys(GRADIENTS),
        forwards=calls.get("forward", 0),
        calls=calls,
    )
