"""From ``module:Class``, ``file.py:Class`` or ``file.py:forward,backward`` to the thing named."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from bncli.checking.target import Caller, Pair, TargetFailure, describe, own_trace
from bncli.errors import TargetError

_FORMS = "give module:Class, file.py:Class or file.py:forward,backward"
_ABOVE = 6


def load_target(spec: str, call: Caller) -> Any:
    """The class, object or pair of functions that *spec* names. Runs the code of its module.

    Raises:
        TargetError: there is no such thing, or its module cannot be imported.
    """
    place, colon, names = spec.rpartition(":")
    if not colon or not place or not names:
        raise TargetError(f"{spec}: {_FORMS}")
    is_file = place.endswith(".py")
    if not is_file and ("/" in place or "\\" in place):
        raise TargetError(f"{place}: a file must end in .py; {_FORMS}")
    _put_on_path(Path.cwd())
    module = _from_file(Path(place), call) if is_file else _from_module(place, call)
    parts = [name.strip() for name in names.split(",")]
    if len(parts) > 2:  # noqa: PLR2004 - forward and backward
        raise TargetError(f"{spec}: more than two names; {_FORMS}")
    found = [_attribute(module, place, part) for part in parts]
    if len(found) == 1:
        return found[0]
    return Pair(found[0], found[1])


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _from_file(path: Path, call: Caller) -> ModuleType:
    """The module that a file is: of its package where it lies in one, else by itself.

    Raises:
        TargetError: no way of importing it works; what is said is why the likeliest does not.
    """
    if not path.is_file():
        raise TargetError(f"{path}: there is no such file; check the name", paths=(str(path),))
    path = path.resolve()
    first: TargetFailure | None = None
    for run in _ways(path):
        before, on_path = set(sys.modules), list(sys.path)
        try:
            return _with_neighbours(path, lambda run=run: call("import", run))  # type: ignore[misc]
        except TargetFailure as failure:
            if failure.ended:
                raise
            # What a failed import has left behind must not be found by the next.
            for name in set(sys.modules) - before:
                if str(getattr(sys.modules[name], "__file__", "") or "").startswith(
                    str(path.parents[min(_ABOVE, len(path.parents) - 1)])
                ) and "site-packages" not in str(sys.modules[name].__file__):
                    del sys.modules[name]
            sys.path[:] = on_path
            first = first or failure
    assert first is not None  # noqa: S101 - there is at least one way
    raise _import_error(str(path), first)


def _ways(path: Path) -> Iterator[Callable[[], ModuleType]]:
    """The ways of importing a file, likeliest first."""
    root = path.parent
    while (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    if root != path.parent:
        yield lambda: _as_module(path, root)
        # Of a package that cannot be imported as a whole, this file may be enough.
        yield lambda: _as_module(path, root, bare=True)
    yield lambda: _alone(path)
    # Folders without __init__.py are packages, too; how far up, nobody says.
    for above in list(path.parents)[1:_ABOVE]:
        yield lambda above=above: _as_module(path, above, bare=True)  # type: ignore[misc]


def _as_module(path: Path, root: Path, *, bare: bool = False) -> ModuleType:
    """Import a file under its name below *root*; *bare*: without running the packages above it."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    if bare:
        for length in range(1, len(parts)):
            name = ".".join(parts[:length])
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*parts[:length]))]
            sys.modules[name] = package
            if length > 1:
                setattr(sys.modules[".".join(parts[: length - 1])], parts[length - 1], package)
    _put_on_path(root)
    return importlib.import_module(".".join(parts))


def _alone(path: Path) -> ModuleType:
    name = f"_gradcheck_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path}: it is no Python file; {_FORMS}", paths=(str(path),))
    module = importlib.util.module_from_spec(spec)
    # Its neighbours can be imported, as when it is run itself.
    _put_on_path(path.parent)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _with_neighbours(path: Path, run: Callable[[], ModuleType]) -> ModuleType:
    """Run an import; what it misses and a folder above has, is put on the path."""
    tried: set[str] = set()
    while True:
        try:
            return run()
        except TargetFailure as failure:
            missing = _missing(failure)
            above = next(
                (
                    folder
                    for folder in list(path.parents)[:_ABOVE]
                    if (folder / missing).is_dir() or (folder / f"{missing}.py").is_file()
                ),
                None,
            )
            if not missing or missing in tried or above is None:
                raise
            tried.add(missing)
            _put_on_path(above)
            importlib.invalidate_caches()


def _missing(failure: TargetFailure) -> str:
    """The top-level module that an import did not find; empty if that is not what failed."""
    words = failure.message.partition("No module named ")[2]
    return words.strip("'\" ;").partition("'")[0].partition(".")[0]


def _from_module(name: str, call: Caller) -> ModuleType:
    try:
        module: ModuleType = call("import", _import, name)
    except TargetFailure as failure:
        if failure.ended:
            raise
        raise _import_error(name, failure) from None
    return module


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0] or error.name == name:
            raise TargetError(f"{name}: there is no such module; {_FORMS}") from error
        raise


def _import_error(place: str, failure: TargetFailure) -> TargetError:
    reason = failure.message.removeprefix("import raised ")
    hint = "; install it first" if reason.startswith("ModuleNotFoundError") else ""
    return TargetError(f"{place}: it cannot be imported ({reason}){hint}", *failure.trace)


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
