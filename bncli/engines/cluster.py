"""The engine of many machines: chunks of items run on the workers of a Dask cluster.

Only items and what little is known of them pass through this process; sums are joined on the
workers, and what is done to the items is sent to every worker once.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from distributed import Client, Future, KilledWorker

from bncli.engines.work import Fold, FoldWork, Item, Items, Lost, MapWork, Work, chunks
from bncli.errors import EngineError
from bncli.pool import Pool

Result = TypeVar("Result")
Around = Callable[[], AbstractContextManager[Any]]

_CHUNKS_PER_JOB = 8
"""So that a slow worker holds up no more than an eighth of its share."""

_LONGEST_CHUNK = 256
"""Items that are done once more when a worker dies."""

_JOINED_AT_ONCE = 8
_ATTEMPTS = 5
_DYING = "the workers of the cluster die again and again; see their logs"

_POLL_SECONDS = 1.0
_DESERTED_SECONDS = 30.0


class Cluster:
    """The workers behind a client.

    Args:
        client: connected.
        jobs: threads of this process.
        around: makes the context that all work is done in.
    """

    remote: ClassVar[bool] = True

    def __init__(self, client: Client, jobs: int, around: Around) -> None:
        self._client = client
        self._around = around
        self.jobs = sum(self._workers().values())
        self.threads = Pool(jobs, thread_name_prefix="bncli")

    def close(self) -> None:
        """End the threads of this process."""
        self.threads.shutdown()

    def narrow(self, jobs: int) -> None:
        """Nothing: the items are in no memory of this process."""

    def map(self, task: Callable[[Any], Result], items: Items) -> Iterator[Result]:
        """What *task* makes of each item, in order."""
        run = self._dispatch(MapWork(task), scattered=True)
        for _, results in run.results(chunks(items, self._length(items)), None):
            yield from results

    def fold(self, fold: Fold, items: Items, told: Callable[[Any], None]) -> Any:
        """The sums over all items, joined on the workers."""
        # Sums outlive their chunks: what they are made with must not be lost with a worker.
        run = self._dispatch(FoldWork(fold), scattered=False)
        length = fold.length or self._length(items)
        for attempt in range(_ATTEMPTS):
            joining = _Joining(self._client, fold)
            for leaf, facts in run.results(chunks(items, length), _first):
                for fact in [] if attempt else facts:
                    told(fact)
                joining.add(leaf)
            with contextlib.suppress(KilledWorker, CancelledError):
                return self._wait(joining.whole())[1]
            # Sums were lost with their worker, and again with the one that made them anew.
        raise EngineError(_DYING)

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What *function* returns, or raises, in each worker: address -> result."""
        found: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        return found

    def _dispatch(self, work: Work, *, scattered: bool) -> _Dispatch:
        surrounded = _Surrounded(self._around, work)
        return _Dispatch(self._client, surrounded, self.jobs, self._wait, scattered=scattered)

    def _length(self, items: Items) -> int:
        share = -(-len(items) // (_CHUNKS_PER_JOB * self.jobs))
        return max(1, min(_LONGEST_CHUNK, share))

    def _workers(self) -> dict[str, int]:
        """Address -> threads."""
        return dict(self._client.nthreads())

    def _wait(self, future: Future) -> Any:
        """The result of a future, as long as there are workers.

        Raises:
            EngineError: there are none, or the scheduler is gone.
        """
        deserted = 0.0
        while True:
            try:
                return future.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                if future.status == "error":  # it is the task's own
                    raise
            deserted = 0.0 if self._workers() else deserted + _POLL_SECONDS
            if deserted >= _DESERTED_SECONDS:
                raise EngineError("the cluster has no worker left; start workers, and run again")


@dataclass(frozen=True, slots=True)
class _Surrounded:
    """Work done in a context, which is left after each chunk: the workers are not ours."""

    around: Around
    work: Work

    def __call__(self, items: Iterable[Item]) -> Any:
        """Do it."""
        with self.around():
            return self.work(items)


class _Dispatch:
    """Chunks under way, with what is done to them sent to the workers once.

    Args:
        client: connected.
        work: what is done to every chunk.
        jobs: threads of all workers.
        wait: gives the result of a future.
        scattered: whether the work is large, so that it is sent by itself.
    """

    def __init__(
        self,
        client: Client,
        work: Work,
        jobs: int,
        wait: Callable[[Future], Any],
        *,
        scattered: bool,
    ) -> None:
        self._client = client
        self._work = work
        self._ahead = 2 * jobs + 2
        self._wait = wait
        self._scattered = scattered
        self._mended: dict[int, list[Item]] = {}
        self._shipped = self._ship()

    def results(
        self, given: Iterable[list[Item]], little: Callable[[Any], Any] | None
    ) -> Iterator[tuple[Future, Any]]:
        """Each chunk's future and its result, or what *little* takes of it, in order.

        It may be asked again, and knows then which items were lost.
        """
        waiting: deque[_Chunk] = deque()
        try:
            for number, items in enumerate(given):
                waiting.append(self._begin(number, self._mended.get(number, items), little))
                if len(waiting) >= self._ahead:
                    yield self._end(waiting, little)
            while waiting:
                yield self._end(waiting, little)
        finally:
            self._client.cancel([chunk.future for chunk in waiting], force=True)

    def _begin(self, number: int, items: list[Item], little: Callable[[Any], Any] | None) -> _Chunk:
        key = f"bncli-{uuid.uuid4().hex}"
        future = self._client.submit(_run_chunk, self._shipped, items, key=key, pure=False)
        wanted = future
        if little is not None:
            wanted = self._client.submit(little, future, key=f"{key}-little", pure=False)
        return _Chunk(number, items, future, wanted)

    def _end(
        self, waiting: deque[_Chunk], little: Callable[[Any], Any] | None
    ) -> tuple[Future, Any]:
        """The result of the first chunk that waits."""
        chunk = waiting.popleft()
        for _ in range(_ATTEMPTS):
            try:
                return chunk.future, self._wait(chunk.wanted)
            except KilledWorker:
                # Whoever runs beside an item that ends its worker is blamed with it.
                for other in waiting:
                    self._settle(other.wanted)
                sound = self._sound(chunk.items)
                self._mended[chunk.number] = sound
                chunk = self._begin(chunk.number, sound, little)
            except CancelledError:
                if self._client.status != "running":
                    raise EngineError("the scheduler has gone away; run again") from None
                # Every worker died that had been sent the work.
                self._shipped = self._ship()
                chunk = self._begin(chunk.number, chunk.items, little)
        raise EngineError(_DYING)

    def _sound(self, items: list[Item]) -> list[Item]:
        """The items of a chunk that ended its workers, with those replaced that do so alone."""
        sound: list[Item] = []
        for item in items:
            error = self._settle(self._begin(-1, [item], None).wanted)
            if isinstance(error, KilledWorker):
                reason = "it ends every process that reads it; remove it"
                sound.append(Lost(item.name, reason))
            else:
                sound.append(item)
            if isinstance(error, CancelledError):
                self._shipped = self._ship()
        return sound

    def _settle(self, future: Future) -> Exception | None:
        """Wait for a future; what it raised."""
        try:
            self._wait(future)
        except EngineError:
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - told when its turn comes
            return error
        return None

    def _ship(self) -> Any:
        if not self._scattered:
            return self._work
        return self._client.scatter(self._work, broadcast=True, hash=False)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Items under way.

    Attributes:
        number: of the chunk.
        items: of the chunk.
        future: of its result.
        wanted: of what is wanted of that here.
    """

    number: int
    items: list[Item]
    future: Future
    wanted: Future


class _Joining:
    """Joins sums on the workers while they come in.

    Exact sums are joined as a tree; those that depend on their order as a chain from the left.
    """

    def __init__(self, client: Client, fold: Fold) -> None:
        self._client = client
        self._fold = fold
        self._levels: list[list[Future]] = [[]]

    def add(self, leaf: Future) -> None:
        """Take in the next chunk."""
        self._levels[0].append(leaf)
        level = 0
        while len(self._levels[level]) >= _JOINED_AT_ONCE:
            joined = self._joined(self._levels[level])
            if self._fold.ordered:
                self._levels[level] = [joined]
                return
            self._levels[level] = []
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(joined)

    def whole(self) -> Future:
        """The sums of all chunks."""
        # What was joined most often came first.
        return self._joined([part for level in reversed(self._levels) for part in level])

    def _joined(self, parts: list[Future]) -> Future:
        key = f"bncli-join-{uuid.uuid4().hex}"
        return self._client.submit(_join, self._fold, parts, key=key, pure=False)


def _run_chunk(work: Work, items: list[Item]) -> Any:
    return work(items)


def _first(pair: tuple[Any, Any]) -> Any:
    """What is known of each item of a chunk, without its sums."""
    return pair[0]


def _join(fold: Fold, pairs: list[tuple[Any, Any]]) -> tuple[None, Any]:
    return None, fold.join([whole for _, whole in pairs])
