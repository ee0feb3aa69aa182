"""The engine of many machines: chunks of items run on the workers of a Dask cluster.

Only items and what little is known of them pass through this process; sums are joined on the
workers, and what is done to the items is sent to every worker once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from distributed import Client, Future, KilledWorker

from bncli.engines.dispatch import ATTEMPTS, DYING, Around, Dispatch, Joining, Surrounded, first
from bncli.engines.work import Fold, FoldWork, Items, MapWork, Work, chunks
from bncli.errors import EngineError

Result = TypeVar("Result")

_CHUNKS_PER_JOB = 8
"""So that a slow worker holds up no more than an eighth of its share."""

_LONGEST_CHUNK = 256
"""Items that are done once more when a worker dies."""

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
        self.threads = ThreadPoolExecutor(jobs, thread_name_prefix="bncli")

    def close(self) -> None:
        """End the threads of this process."""
        self.threads.shutdown()

    def narrow(self, jobs: int) -> None:
        """Nothing: the items are in no memory of this process."""

    def map(self, task: Callable[[Any], Result], items: Items) -> Iterator[Result]:
        """What *task* makes of each item, in order."""
        run = Dispatch(
            self._client,
            Surrounded(self._around, MapWork(task)),
            self.jobs,
            self._wait,
            scattered=True,
        )
        for _, results in run.results(chunks(items, self._length(items)), None):
            yield from results

    def fold(self, fold: Fold, items: Items, told: Callable[[Any], None]) -> Any:
        """The sums over all items, joined on the workers."""
        # Sums outlive their chunks: what they are made with must not be lost with a worker.
        run = Dispatch(
            self._client,
            Surrounded(self._around, FoldWork(fold)),
            self.jobs,
            self._wait,
            scattered=False,
        )
        length = fold.length or self._length(items)
        for attempt in range(ATTEMPTS):
            joining = Joining(self._client, fold)
            for leaf, facts in run.results(chunks(items, length), first):
                for fact in [] if attempt else facts:
                    told(fact)
                joining.add(leaf)
            with contextlib.suppress(KilledWorker, CancelledError):
                return self._wait(joining.whole())[1]
            # Sums were lost with their worker, and again with the one that made them anew.
        raise EngineError(DYING)

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What *function* returns, or raises, in each worker: address -> result."""
        found: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        return found

    def _prepared(self, work: Work, *, scattered: bool) -> Dispatch:
        surrounded = Surrounded(self._around, work)
        return Dispatch(self._client, surrounded, self.jobs, self._wait, scattered=scattered)

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
