"""Reaching a Dask cluster, or starting one on this machine."""

from __future__ import annotations

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.security import Security

from bncli.engines.cluster import Around, Cluster
from bncli.errors import EngineError, OptionError

_ADDRESS = re.compile(r"(?:(tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")
_CONNECT_SECONDS = 10
_LONGEST_FILE = 1 << 20
_LOGGERS = ("distributed", "tornado", "asyncio")
_LOOPBACK = "127.0.0.1"

Warn = Callable[[str], None]


@contextmanager
def open_cluster(
    scheduler: str | None, certificates: dict[str, str], jobs: int, around: Around, warn: Warn
) -> Iterator[Cluster]:
    """A cluster, until the block is left.

    Args:
        scheduler: address, or the name of a scheduler file; None starts workers on this machine.
        certificates: ``ca``, ``cert`` and ``key`` -> file; those left out are Dask's own.
        jobs: threads of this process, and workers to start.
        around: makes the context that all work is done in.
        warn: is told what the user should know.

    Raises:
        EngineError: it cannot be reached.
        OptionError: the address is none.
    """
    with ExitStack() as stack:
        stack.enter_context(_silence())
        if scheduler is None:
            address: Any = stack.enter_context(_local(jobs))
            security = None
        else:
            address = _address(scheduler, secure=bool(certificates))
            security = _security(address, certificates)
            if address.startswith("tcp://") and not _is_here(address):
                warn(f"{address}: neither encrypted nor authenticated; use tls:// with --tls-ca, "
                     "--tls-cert and --tls-key, or a network of your own")  # fmt: skip
        client = stack.enter_context(_client(address, security))
        if not client.nthreads():
            raise EngineError(f"{scheduler}: the cluster has no workers; start some")
        cluster = Cluster(client, jobs, around)
        stack.callback(cluster.close)
        yield cluster


@contextmanager
def _silence() -> Iterator[None]:
    """Say in errors what is worth saying; Dask's log goes to the terminal by default."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _local(jobs: int) -> Iterator[LocalCluster]:
    """Workers on this machine that nobody else can reach."""
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.scheduler.active-memory-manager.start": False,
        "distributed.worker.memory.terminate": False,
        "distributed.comm.timeouts.connect": f"{_CONNECT_SECONDS}s",
    }
    with (
        tempfile.TemporaryDirectory(prefix="bncli-dask-", ignore_cleanup_errors=True) as folder,
        dask.config.set(settings),
        LocalCluster(
            host=_LOOPBACK,
            n_workers=jobs,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            worker_dashboard_address=None,
            local_directory=folder,
            memory_limit=0,
            silence_logs=logging.CRITICAL + 1,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _client(address: Any, security: Security | None) -> Iterator[Client]:
    try:
        client = Client(
            address, timeout=_CONNECT_SECONDS, set_as_default=False, security=security,
        )  # fmt: skip
    except (OSError, TimeoutError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EngineError(f"{address}: no scheduler answers: {reason}") from error
    with client:
        yield client


def _address(scheduler: str, *, secure: bool) -> str:
    """The address of a scheduler, from the file that it wrote where one is named."""
    match = _ADDRESS.fullmatch(scheduler)
    if match is None:
        match = _ADDRESS.fullmatch(_in_file(Path(scheduler)))
    if match is None:
        raise OptionError(
            f"--scheduler {scheduler}: give tcp://HOST:PORT, tls://HOST:PORT, or the file that "
            "dask scheduler --scheduler-file wrote"
        )
    protocol = match[1] or ("tls" if secure else "tcp")
    if secure and protocol != "tls":
        raise OptionError(f"--scheduler {scheduler}: certificates are for tls://")
    return f"{protocol}://{match[2]}:{match[3]}"


def _in_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            facts = json.loads(file.read(_LONGEST_FILE))
    except (OSError, ValueError):
        return ""
    address = facts.get("address") if isinstance(facts, dict) else None
    return address if isinstance(address, str) else ""


def _security(address: str, certificates: dict[str, str]) -> Security | None:
    """The certificates that were named, else those of Dask's own configuration."""
    if not address.startswith("tls://"):
        return None
    for name, file in certificates.items():
        if not Path(file).is_file():
            raise OptionError(f"--tls-{name} {file}: there is no such file")
    names = {"ca": "tls_ca_file", "cert": "tls_client_cert", "key": "tls_client_key"}
    given = {names[name]: file for name, file in certificates.items()}
    return Security(require_encryption=True, **given)


def _is_here(address: str) -> bool:
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
