"""Which engine a run uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bncli.engines.threads import Threads
from bncli.engines.work import Engine
from bncli.errors import MissingExtraError, OptionError
from bncli.images.pillow import pillow_unlimited
from bncli.machine import allowed_cores
from bncli.runs.options import ENGINES

_STALLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class EngineAsked:
    """Where pictures are read and written.

    Attributes:
        kind: ``local`` (threads of this process), ``processes``, or ``dask``.
        scheduler: address or scheduler file of a Dask cluster; None for one of this machine.
        tls_ca, tls_cert, tls_key: files of the certificates that a tls:// scheduler wants.
        timeout: seconds that one file may take, of ``processes``; None is 60.
    """

    kind: str = "local"
    scheduler: str | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ENGINES:
            raise OptionError(f"--engine is {self.kind}; choose {', '.join(ENGINES)}")
        given = {
            "--scheduler": self.scheduler,
            "--tls-ca": self.tls_ca,
            "--tls-cert": self.tls_cert,
            "--tls-key": self.tls_key,
        }
        if self.kind != "dask":
            for name, value in given.items():
                if value is not None:
                    raise OptionError(f"{name} is for --engine dask")
        self._check_timeout()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The engine that options ask for."""
        paths = {n: options[n] and Path(options[n]) for n in ("tls_ca", "tls_cert", "tls_key")}
        return cls(options["engine"], options["scheduler"], timeout=options["timeout"], **paths)

    def must_be_local(self, option: str, reason: str) -> None:
        """Refuse an option that only threads of this process can serve.

        Raises:
            OptionError: this is another engine.
        """
        if self.kind != "local":
            raise OptionError(f"{option} does not go with --engine {self.kind}: {reason}")

    def _check_timeout(self) -> None:
        if self.timeout is not None:
            if self.kind != "processes":
                raise OptionError("--timeout is for --engine processes: no other can be ended")
            if not (math.isfinite(self.timeout) and self.timeout > 0):
                raise OptionError(f"--timeout is {self.timeout}; it must be a number above 0")


@contextmanager
def open_engine(
    asked: EngineAsked, jobs: int | None, warn: Callable[[str], None] | None = None
) -> Iterator[Engine]:
    """The engine that was asked for.

    Args:
        asked: which.
        jobs: items at once on this machine; None for every core allowed.
        warn: is told what the user should know.

    Raises:
        OptionError: it cannot be reached, or an extra is missing.
    """
    cores = jobs or allowed_cores()
    if asked.kind == "local":
        with Threads(cores) as threads:
            yield threads
    elif asked.kind == "processes":
        from bncli.engines.processes import Processes

        timeout = asked.timeout or _STALLED_SECONDS
        with Processes(cores, timeout, pillow_unlimited) as processes:
            yield processes
    else:
        with _cluster(asked, cores, warn or _unheard) as cluster:
            yield cluster


def _cluster(
    asked: EngineAsked, jobs: int, warn: Callable[[str], None]
) -> AbstractContextManager[Engine]:
    try:
        from bncli.engines.connect import open_cluster
    except ImportError as error:
        raise MissingExtraError(
            f"--engine dask needs the extra dask ({error}): pip install 'bncli[dask]'"
        ) from error
    named = {"ca": asked.tls_ca, "cert": asked.tls_cert, "key": asked.tls_key}
    certificates = {name: str(path) for name, path in named.items() if path is not None}
    return open_cluster(asked.scheduler, certificates, jobs, pillow_unlimited, warn)


def _unheard(_line: str) -> None:
    """Nobody wants to know."""
