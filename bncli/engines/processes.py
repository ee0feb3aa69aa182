"""The engine for strangers' files: items are worked on in processes that may crash or stall.

An item that ends its process twice, or keeps it longer than the time limit, is replaced by a
:class:`bncli.engines.work.Lost`; the items beside it are done again by a new process.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import pickle
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from bncli.engines.answers import BEGUN, RAISED, AnswerError, read_answer
from bncli.engines.line import Line
from bncli.engines.raised import error_told
from bncli.engines.work import (
    Fold,
    FoldWork,
    Item,
    Items,
    Lost,
    MapWork,
    chunks,
    in_order,
    interpreter,
)
from bncli.errors import EngineError, LimitError
from bncli.pool import Pool, no_thread

Result = TypeVar("Result")

_CHUNKS_PER_JOB = 16
_LONGEST_CHUNK = 64
_DEATHS = 2
"""Of processes, until an item is blamed: the first may have been ended by somebody else."""

_WATCH_SECONDS = 0.1
_START_SECONDS = 120.0


class Processes:
    """Processes of this machine; use it in a with block.

    Args:
        jobs: how many.
        timeout: seconds that one item may take.
        around: makes the context that all work is done in.
    """

    remote: ClassVar[bool] = True

    def __init__(
        self, jobs: int, timeout: float, around: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        self.jobs = jobs
        self.threads = Pool(jobs, thread_name_prefix="bncli")
        self._drivers = Pool(jobs, thread_name_prefix="bncli-driver")
        self._timeout = timeout
        self._children = [_Child(around, timeout) for _ in range(jobs)]
        self._idle: SimpleQueue[_Child] = SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._startable, self._counting = jobs, threading.Lock()
        self._numbers = itertools.count()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        try:
            threading.Thread(target=self._watch, daemon=True).start()
        except RuntimeError as error:  # "can't start new thread"
            raise LimitError(no_thread()) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandon()
        self._drivers.shutdown(cancel_futures=True)
        for child in self._children:  # a driver may have started one more
            child.end()
        self.threads.shutdown()

    def narrow(self, jobs: int) -> None:
        """Nothing: the items are in no memory of this process."""

    def map(self, task: Callable[[Any], Result], items: Items) -> Iterator[Result]:
        """What *task* makes of each item, in order."""
        for results in self._results(MapWork(task), items, self._length(items)):
            yield from results

    def fold(self, fold: Fold, items: Items, told: Callable[[Any], None]) -> Any:
        """The sums over all items, joined by the calling thread."""
        whole = None
        length = fold.length or self._length(items)
        for facts, part in self._results(FoldWork(fold), items, length):
            for fact in facts:
                told(fact)
            whole = fold.join([part] if whole is None else [whole, part])
        return whole

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Nothing: these processes see what this one sees."""
        del function, arguments
        return {}

    def _length(self, items: Items) -> int:
        share = -(-len(items) // (_CHUNKS_PER_JOB * self.jobs))
        return max(1, min(_LONGEST_CHUNK, share))

    def _results(self, work: MapWork[Any] | FoldWork, items: Items, length: int) -> Iterator[Any]:
        order = _Order(next(self._numbers), pickle.dumps(work), work.is_answer())
        run = partial(self._run, order)
        return in_order(self._drivers, run, chunks(items, length), 2 * self.jobs, self._abandon)

    def _run(self, order: _Order, chunk: list[Item]) -> Any:
        items, deaths = list(chunk), Counter[int]()
        child = self._started()
        try:
            while True:
                if self._ended.is_set():
                    raise EngineError("the run has ended")
                try:
                    return child.run(order, items)
                except _DiedError as death:
                    place = death.position
                    deaths[place] += 1
                    if deaths[place] >= _DEATHS or (death.stalled and place >= 0):
                        self._lose(items, death)
        finally:
            self._idle.put(child)

    def _started(self) -> _Child:
        """A process that is idle; where the system starts no more, those that run do all."""
        while True:
            child = self._idle.get()
            try:
                child.start()
            except OSError as error:
                with self._counting:
                    last = self._startable == 1
                    self._startable -= not last
                if last:
                    self._idle.put(child)  # whoever waits for one is to hear of it too
                    raise LimitError(_not_started(error)) from error
            else:
                return child

    def _abandon(self) -> None:
        """End all processes, whatever they are at."""
        self._ended.set()
        for child in self._children:
            child.end()

    def _lose(self, items: list[Item], death: _DiedError) -> None:
        """Put something that cannot harm where the item was that a process died of."""
        place = death.position
        while place >= 0 and isinstance(items[place], Lost):  # which harms nobody, so it was before
            place -= 1
        if place < 0:
            raise EngineError(f"a process for the pictures cannot be started: {death.how}")
        name = items[place].name
        if death.stalled:
            remedy = "remove it, or raise --timeout"
            reason = f"it takes longer than {self._timeout:g} s; {remedy}"
        else:
            reason = f"it ends the process that reads it ({death.how}); remove it"
        items[place] = Lost(name, reason, death.stalled)

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH_SECONDS):
            for child in self._children:
                child.end_stalled()


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be done to items, pickled once.

    Attributes:
        number: of all orders.
        content: the pickle.
        is_answer: tells whether something can be what it makes of so many items.
    """

    number: int
    content: bytes
    is_answer: Callable[[Any, int], bool]


class _DiedError(Exception):
    """A process ended in the middle of its work.

    Args:
        position: of the item it was at; -1 before the first.
        how: the signal or exit code.
        stalled: whether it was ended because it took too long.
    """

    def __init__(self, position: int, how: str, *, stalled: bool) -> None:
        super().__init__(how)
        self.position = position
        self.how = how
        self.stalled = stalled


class _Child:
    """One process, started when there is work and again after it died.

    Args:
        around: makes the context that all work is done in.
        timeout: seconds that one item may take.
    """

    def __init__(self, around: Callable[[], AbstractContextManager[Any]], timeout: float) -> None:
        self._around = around
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: tuple[Any, ...] = ()
        self._known = self._position = -1
        self._deadline: float | None = None
        self._stalled = False

    def run(self, order: _Order, items: list[Item]) -> Any:
        """What the work makes of a chunk.

        Raises:
            _DiedError: the process ended before.
        """
        self._position, self._stalled = -1, False
        self._deadline = time.monotonic() + _START_SECONDS
        try:
            answer = self._answer(order, items)
        except (EOFError, ConnectionError, AnswerError) as problem:
            stalled, how = self._stalled, self.end()
            if stalled and self._position < 0:
                how = f"it does not begin within {_START_SECONDS:g} s"
            elif isinstance(problem, AnswerError):
                how = f"its answer is no answer of bncli: {problem}"
            raise _DiedError(self._position, how, stalled=stalled) from None
        self._deadline = None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer(self, order: _Order, items: list[Item]) -> Any:
        """What the process makes of a chunk, or the error that it raises.

        Raises:
            AnswerError: it answers something else.
            EOFError, ConnectionError: it has ended.
        """
        stream = self._ask(order, items)
        kind, fact = read_answer(stream)
        while kind == BEGUN:
            if fact != self._position + 1 or fact == len(items):
                raise AnswerError("it begins with another item than the next")
            self._position = fact
            self._deadline = time.monotonic() + self._timeout
            kind, fact = read_answer(stream)
        if kind == RAISED:
            fact = error_told(fact)
            is_answer = fact is not None
        else:
            is_answer = self._position + 1 == len(items) and order.is_answer(fact, len(items))
        if not is_answer:
            raise AnswerError("it is of another work")
        return fact

    def end(self) -> str:
        """End the process; says how it had ended, if it had."""
        process, self._process = self._process, None
        self._deadline, self._stalled, self._known = None, False, -1
        if process is None:
            return ""
        process.kill()  # one that is dying by itself keeps its own cause
        code = process.wait()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def end_stalled(self) -> None:
        """End the process if its item has taken too long."""
        process, deadline = self._process, self._deadline
        if process is not None and deadline is not None and time.monotonic() > deadline:
            self._stalled = True
            process.kill()

    def start(self) -> None:
        """Start the process where none runs.

        Raises:
            OSError: as the system says.
        """
        if self._process is None:
            self._process = process = subprocess.Popen(  # noqa: S603 - our own words
                interpreter("bncli.engines.child"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            is_over = partial(self._is_over, process)
            asked, answers = (Line(pipe, is_over) for pipe in (process.stdin, process.stdout))  # type: ignore[arg-type]
            self._pipes = asked, io.BufferedReader(answers)

    def _is_over(self, process: subprocess.Popen[bytes], idle: bool) -> bool:
        """Whether nothing more is to be had of a process."""
        gone = self._stalled or process is not self._process
        return gone or (idle and process.poll() is not None)

    def _ask(self, order: _Order, items: list[Item]) -> Any:
        self.start()
        asked, answers = self._pipes
        if self._known < 0:
            pickle.dump(self._around, asked)
        content = None if self._known == order.number else order.content
        pickle.dump((order.number, content, items), asked)
        self._known = order.number
        return answers


def _not_started(error: OSError) -> str:
    limits = {errno.EMFILE: "ulimit -n", errno.EAGAIN: "ulimit -u", errno.ENOMEM: "ulimit -v"}
    remedy = limits.get(error.errno or 0)
    return (
        f"no process for the pictures can be started: {error.strerror}; "
        f"{f'raise `{remedy}`, or ' if remedy else ''}take --engine local"
    )
