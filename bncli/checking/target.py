"""The user's code: from ``module:Class`` to the thing named, and every call into it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

import numpy as np

from bncli.errors import TargetError

_OURS = str(Path(__file__).resolve().parent.parent)
_FRAMES = 12
_FORMS = "give module:Class, file.py:Class or file.py:forward,backward"
Announce = Callable[[str], None]
"""Is told what the user's code is about to do, and ``""`` when it has come back."""


class TargetFailure(Exception):  # noqa: N818 - the target fails, not bncli
    """The user's code raised, exited, or gave back something that is no array of numbers.

    Args:
        message: one sentence.
        trace: the lines of its traceback, from the target's own file on.
        ended: whether it tried to end the process.
    """

    def __init__(self, message: str, trace: tuple[str, ...] = (), *, ended: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.trace = trace
        self.ended = ended


def announce_nothing(_stage: str) -> None:
    """Nobody is watching."""


class Caller:
    """Runs the user's code.

    Args:
        announce: is told before and after each call, so that a watchdog can time it.

    Attributes:
        counts: how often each stage was called.
    """

    def __init__(self, announce: Announce = announce_nothing) -> None:
        self._announce = announce
        self.counts: dict[str, int] = {}

    def __call__(self, stage: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What *function* returns.

        Raises:
            TargetFailure: it raised, or tried to end the process.
        """
        self.counts[stage] = self.counts.get(stage, 0) + 1
        self._announce(stage)
        try:
            # Overflow and invalid values are judged by what comes out, not by warnings.
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return function(*args, **named)
        except (KeyboardInterrupt, TargetError):
            raise
        except SystemExit as error:
            raise TargetFailure(
                f"{stage} called sys.exit({error.code!r})",
                own_trace(error.__traceback__),
                ended=True,
            ) from None
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            message = f"{stage} raised {describe(error)}"
            raise TargetFailure(message, own_trace(error.__traceback__)) from None
        finally:
            self._announce("")


def describe(error: BaseException) -> str:
    """Kind and message of an exception, on one line."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the message is code of the user's, too
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def own_trace(trace: TracebackType | None) -> tuple[str, ...]:
    """A traceback without the frames before the user's first."""
    frames = traceback.extract_tb(trace)
    foreign = [not _is_ours(frame.filename) for frame in frames]
    first = foreign.index(True) if True in foreign else len(frames)
    lines = []
    for frame in frames[first:][-_FRAMES:]:
        lines.append(f"  {frame.filename}, line {frame.lineno}, in {frame.name}")
        if frame.line:
            lines.append(f"    {frame.line}")
    return tuple(lines)


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen")) or "importlib" in filename


class Pair(NamedTuple):
    """Two functions, ``forward(x, gamma, beta, ...) -> (out, cache)`` and ``backward``."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]


def load_target(spec: str, call: Caller) -> Any:
    """The class, object or :class:`Pair` that *spec* names. Runs the code of its module.

    Raises:
        TargetError: there is no such thing, or its module cannot be imported.
    """
    place, colon, names = spec.rpartition(":")
    if not colon or not place or not names:
        raise TargetError(f"{spec}: {_FORMS}")
    is_file = place.endswith(".py")
    if not is_file and ("/" in place or "\\" in place):
        raise TargetError(f"{place}: a file must end in .py; {_FORMS}")
    module = _from_file(Path(place), call) if is_file else _from_module(place, call)
    parts = [name.strip() for name in names.split(",")]
    if len(parts) > 2:  # noqa: PLR2004 - forward and backward
        raise TargetError(f"{spec}: more than two names; {_FORMS}")
    found = [_attribute(module, place, part) for part in parts]
    if len(found) == 1:
        return found[0]
    return Pair(found[0], found[1])


def _from_file(path: Path, call: Caller) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"{path}: there is no such file; check the name", paths=(str(path),))
    path = path.resolve()
    name = f"_gradcheck_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    loader = None if spec is None else spec.loader
    if spec is None or loader is None:
        raise TargetError(f"{path}: it is no Python file; {_FORMS}", paths=(str(path),))
    module = importlib.util.module_from_spec(spec)
    # Its neighbours can be imported, as when it is run itself.
    sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    _guard(str(path), lambda: call("import", loader.exec_module, module))
    return module


def _from_module(name: str, call: Caller) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    module: ModuleType = _guard(name, lambda: call("import", _import, name))
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0] or error.name == name:
            raise TargetError(f"{name}: there is no such module; {_FORMS}") from error
        raise


def _guard(place: str, run: Callable[[], Any]) -> Any:
    try:
        return run()
    except TargetFailure as failure:
        if failure.ended:
            raise
        reason = failure.message.removeprefix("import raised ")
        hint = "; install it first" if reason.startswith("ModuleNotFoundError") else ""
        raise TargetError(
            f"{place}: it cannot be imported ({reason}){hint}", *failure.trace
        ) from None


def _attribute(module: ModuleType, place: str, dotted: str) -> Any:
    found: Any = module
    for part in dotted.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            offered = [name for name in vars(module) if not name.startswith("_")]
            own = [
                n for n in offered if getattr(vars(module)[n], "__module__", "") == module.__name__
            ]
            there = ", ".join((own or offered)[:12]) or "nothing"
            raise TargetError(f"{place}: it has no {dotted}; it has {there}") from None
        except Exception as error:  # noqa: BLE001 - a module's __getattr__ may raise anything
            raise TargetError(
                f"{place}: {dotted} cannot be had ({describe(error)})",
                *own_trace(error.__traceback__),
            ) from None
    return found
