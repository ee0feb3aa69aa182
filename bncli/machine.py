"""What this process may use of the machine: cores and memory, and what a run may take of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bncli.errors import LimitError

try:
    import resource
except ImportError:  # Windows, which has no such limits
    resource = None  # type: ignore[assignment]

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_OWN_PAGES = Path("/proc/self/statm")
_ARENA_MAX = -8
"""The parameter of mallopt() that says how many heaps there may be."""

_STACK_BYTES = 8 << 20
"""Of a thread, where no limit says otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take; each has the option that raises it.

    Attributes:
        pixels: width times height of one picture.
        memory: bytes at the peak.
    """

    pixels: int
    memory: int

    def __str__(self) -> str:
        return f"--max-pixels {self.pixels:,}, --max-memory {self.memory / 1e6:,.0f} MB"

    @contextmanager
    def told(self) -> Iterator[None]:
        """Put the limits at the end of whatever refuses the run because of one."""
        try:
            yield
        except LimitError as error:
            if error.told:
                raise
            last = f"{error.lines[-1]} (limits: {self})"
            whole = LimitError(*error.lines[:-1], last, paths=error.paths)
            whole.told = True
            raise whole from error


def allowed_cores() -> int:
    """Cores this process may use: the least of affinity, cgroup quota and Slurm's allocation."""
    return min(core_limits().values())


def core_limits() -> dict[str, int]:
    """What sets a limit to the cores, and how many it leaves; one at least."""
    limits = {"machine": os.cpu_count() or 1}
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        limits["affinity"] = len(os.sched_getaffinity(0))
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isdigit() and int(slurm) > 0:
        limits["SLURM_CPUS_PER_TASK"] = int(slurm)
    quota = _cgroup_quota()
    if quota is not None:
        limits["cgroup"] = quota
    return limits


def allowed_memory() -> int:
    """Bytes this process may use: the least of memory available, cgroup limits and ulimit."""
    limits = [_available_memory(), *_cgroup_limits()]
    addresses = address_space(resident=True)
    if addresses is not None:
        limits.append(addresses)
    return min(limits)


def _cgroup_limits() -> Iterator[int]:
    """Of the process's own cgroup and of all above it, in either version."""
    for line in _read(_OWN_CGROUP).splitlines() or ["0::/"]:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            root, name = _CGROUP, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = _CGROUP / "memory", "memory.limit_in_bytes"
        else:
            continue
        below = Path(place.lstrip("/"))
        for folder in {root, *(root / part for part in (below, *below.parents))}:
            text = _read(folder / name)
            if text.isdigit():
                yield int(text)


def address_space(*, resident: bool = False) -> int | None:
    """What `ulimit -v` leaves: reserved addresses count there, whether memory is behind them.

    Args:
        resident: count what this process already uses as left: a plan has it in its sum.
    """
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read(_OWN_PAGES).split()
    if limit == resource.RLIM_INFINITY or len(pages) < 2:  # noqa: PLR2004 - reserved and resident
        return None
    taken = int(pages[0]) - resident * int(pages[1])
    return max(0, limit - taken * resource.getpagesize())


def stack_bytes() -> int:
    """Addresses that the stack of a thread takes."""
    size = threading.stack_size()
    if size or resource is None:
        return size
    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return _STACK_BYTES if limit == resource.RLIM_INFINITY else limit


def _cgroup_quota() -> int | None:
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if not quota:
        quota = _read(_CGROUP / "cpu/cpu.cfs_quota_us")
        period = _read(_CGROUP / "cpu/cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit() and int(quota) > 0):
        return None
    return max(1, int(quota) // max(1, int(period)))


def _available_memory() -> int:
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, which has no sysconf
        return 4 << 30


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def give_back_memory() -> None:
    """Give freed memory back to the system, where the C library is one that would hold on to it.

    Threads that make files of ever other sizes leave its heap full of holes: without this a run
    over 10,000 small pictures takes a third more memory than one over 100.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)


def share_heap() -> None:
    """Let all threads share one heap where addresses are limited: each would reserve 64 MB."""
    if sys.platform == "linux" and address_space() is not None:
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def limit_own_memory(size: int) -> None:
    """Let the system refuse this process more than *size* bytes of memory; never raises a limit."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    with contextlib.suppress(OSError, ValueError):  # a system that has no such limit
        resource.setrlimit(resource.RLIMIT_DATA, (min([size, *known]), hard))
