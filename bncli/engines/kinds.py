"""Whether a value is what an annotation says, as far as that is seen without a long look."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Union, cast

import numpy as np

Test = Callable[[Any], bool]

_NUMBERS: dict[Any, tuple[Any, Any]] = {
    int: ((int, np.integer), bool),
    float: ((int, float, np.number), (bool, np.complexfloating)),
}
"""What passes for a number, and what does not though Python calls it one."""


class Field(NamedTuple):
    """A field of a class.

    Attributes:
        name: of it.
        types: whose instances fit it, whatever they hold; there may be more.
        fits: tells whether a value fits it.
    """

    name: str
    types: frozenset[type]
    fits: Test


@functools.cache
def fields_of(kind: type) -> tuple[Field, ...]:
    """The annotated fields of a class, in order."""
    hints = typing.get_type_hints(kind).items()
    return tuple(
        Field(name, _types(hint), fits(hint)) for name, hint in hints if not _is_of_class(hint)
    )


def returned(function: Callable[..., Any]) -> Any:
    """What a function, or an instance that can be called, says that it returns."""
    called = function if inspect.isroutine(function) else type(function).__call__
    return typing.get_type_hints(called).get("return", Any)


def fits(hint: Any) -> Test:
    """What tells whether a value is of an annotated type; of a protocol any value is."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    kind = origin or hint
    if kind in {Union, types.UnionType}:
        some = [fits(argument) for argument in arguments]
        return lambda value: any(one(value) for one in some)
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        return fits_all(arguments[0], origin)
    if origin is tuple:
        return _fits_each([fits(argument) for argument in arguments])
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return lambda _: True
    alike, unlike = _NUMBERS.get(kind, (kind, ()))
    return lambda value: isinstance(value, alike) and not isinstance(value, unlike)


def fits_all(hint: Any, kind: type = list) -> Test:
    """What tells whether a value is a list, or a tuple, of values of an annotated type."""
    each = fits(hint)

    def fit(value: Any) -> bool:
        return type(value) is kind and all(map(each, cast("Any", value)))

    return fit


def _types(hint: Any) -> frozenset[type]:
    """Types that fit a hint without a look at the value."""
    if typing.get_origin(hint) in {Union, types.UnionType}:
        return frozenset[type]().union(*map(_types, typing.get_args(hint)))
    return frozenset({hint}) if type(hint) is type and hint is not object else frozenset()


def _fits_each(tests: list[Test]) -> Test:
    def fit(value: Any) -> bool:
        same = type(value) is tuple and len(value) == len(tests)
        return same and all(test(one) for test, one in zip(tests, value, strict=True))

    return fit


def _is_of_class(hint: Any) -> bool:
    return hint is ClassVar or typing.get_origin(hint) is ClassVar
