"""Reaching a Dask cluster, or starting one on this machine."""

from __future__ import annotations

import json
import logging
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.security import Security

from bncli.engines.cluster import Around, Cluster
from bncli.engines.local import local_cluster
from bncli.errors import EngineError, OptionError

_ADDRESS = re.compile(r"(?:(tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")
_CONNECT_SECONDS = 10
_WORKERS_SECONDS = 20
_LONGEST_FILE = 1 << 20
_MOST_FRAMES = 1 << 10
_LOGGERS = ("distributed", "tornado", "asyncio")

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
            address = stack.enter_context(local_cluster(jobs))
            security = None
        else:
            address = _address(scheduler, secure=bool(certificates))
            security = _security(address, certificates)
            if address.startswith("tcp://") and not _is_here(address):
                warn(f"{address}: neither encrypted nor authenticated; use tls:// with --tls-ca, "
                     "--tls-cert and --tls-key, or a network of your own")  # fmt: skip
            _check_speaks(address)
        client = stack.enter_context(_client(address, security))
        _await_workers(client, address, 1 if scheduler else jobs)
        cluster = Cluster(client, jobs, around)
        stack.callback(cluster.close)
        yield cluster


@contextmanager
def _silence() -> Iterator[None]:
    """Say in errors what is worth saying; Dask's log goes to the terminal by default."""
    # Every one of them: those below distributed have levels of their own.
    known = [name for name in logging.root.manager.loggerDict if name.startswith(_LOGGERS)]
    levels = {name: logging.getLogger(name).level for name in known}
    for name in known:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _client(address: Any, security: Security | None) -> Iterator[Client]:
    client = Client.__new__(Client)
    try:
        client.__init__(address, timeout=_CONNECT_SECONDS, set_as_default=False, security=security)
    except Exception as error:
        client.status = "closed"  # it would try to take its leave, and complain on stderr
        raise EngineError(f"{address}: no scheduler answers: {_reason(error)}") from error
    with client:
        yield client


def _await_workers(client: Client, address: str, count: int) -> None:
    try:
        client.wait_for_workers(count, timeout=_WORKERS_SECONDS)
    except TimeoutError as error:
        raise EngineError(f"{address}: the cluster has no workers; start some") from error


def _check_speaks(address: str) -> None:
    """Refuse at once what nobody listens at, or what is no scheduler of Dask.

    Whoever listens for Dask speaks first: how many frames follow, in 8 bytes. With TLS the
    handshake tells.
    """
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS) as peer:
            if address.startswith("tls://"):
                return
            peer.settimeout(_CONNECT_SECONDS)
            frames = int.from_bytes(peer.recv(8, socket.MSG_WAITALL), "little")
    except (OSError, OverflowError) as error:
        raise EngineError(f"{address}: no scheduler answers: {_reason(error)}") from error
    if not 0 < frames < _MOST_FRAMES:
        raise EngineError(f"{address}: what answers there is no scheduler of Dask")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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
    security = Security(require_encryption=True, **given)
    if security.get_connection_args("client").get("ssl_context") is None:
        raise OptionError(
            f"--scheduler {address}: give --tls-ca, --tls-cert and --tls-key, or set them in the "
            "configuration of Dask"
        )
    return security


def _is_here(address: str) -> bool:
    host = address.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
