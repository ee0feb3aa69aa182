"""From ``module:Class``, ``file.py:Class`` or ``file.py:forward,backward`` to the object named."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bncli.checking.calling import Caller, TargetFailure, describe, own_trace
from bncli.errors import TargetError

_FORMS = "give module:Class, file.py:Class or file.py:forward,backward"


class Pair:
    """Two functions, ``forward(x, gamma, beta, ...) -> (out, cache)`` and ``backward``."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        self.forward = forward
        self.backward = backward


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
