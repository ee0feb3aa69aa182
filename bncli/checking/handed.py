"""What a backward is handed: the delta, and what forward has kept."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from bncli.checking.arguments import (
    BETA,
    GAMMA,
    MISSING,
    OPEN_ENDED,
    Given,
    UnknownArgumentError,
    is_among,
    is_input,
    is_setting,
)

_DELTA = re.compile(r"delta|grad|dout|dy|dz|d_?out|err|dl|dh|top")


class Several(tuple[Any, ...]):
    """What forward gave beside its output, where that is more than one thing."""

    __slots__ = ()


def _kept(
    usable: Mapping[str, inspect.Parameter], first: str, rest: Any, given: Given
) -> dict[str, Any]:
    """What forward has kept, for those arguments of backward that take its parts one by one."""
    if isinstance(rest, Mapping):
        return {name: rest[name] for name in usable if name in rest and name != first}
    if not isinstance(rest, Several):
        return {}
    unknown = [
        name for name, p in usable.items()
        if name != first and p.default is p.empty and name not in given.said
        and not is_setting(name) and not is_among(name, GAMMA | BETA)
    ]  # fmt: skip
    needed = [n for n, p in usable.items() if n != first and p.default is p.empty]
    for names in (needed, unknown, [name for name in unknown if not is_input(name)]):
        if len(names) == len(rest) > 1:
            return dict(zip(names, rest, strict=True))
    return {}


def of_backward(
    parameters: Mapping[str, inspect.Parameter], delta: Any, x: Any, rest: Any, given: Given
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a backward.

    Args:
        parameters: of the method.
        delta: the gradient of the output.
        x: the input of the forward.
        rest: what the forward gave beside its output; None if nothing.
        given: what there is for all others.

    Raises:
        UnknownArgumentError: as of :func:`bound`.
    """
    placed: list[Any] = []
    named: dict[str, Any] = {}
    usable = {n: p for n, p in parameters.items() if p.kind not in OPEN_ENDED}
    needed = [n for n, p in usable.items() if p.default is p.empty]
    if not usable:
        return ([delta], {}) if parameters else ([], {})
    first = delta_name(usable, needed)
    kept = _kept(usable, first, rest, given)
    for number, (name, parameter) in enumerate(usable.items()):
        default = MISSING if parameter.default is parameter.empty else parameter.default
        if name == first:
            value = delta
        elif name in kept or name in given.said:
            value = kept.get(name, given.said.get(name))
        elif is_input(name) and default is MISSING:
            value = x
        elif default is MISSING and not is_setting(name):
            # What nobody knows is what forward has kept, or the input.
            value = given.choose(*([MISSING] if rest is None else [rest, rest]), x)
        else:
            value = given.value(name, default)
        if value is MISSING:
            raise UnknownArgumentError(name)
        if value is default:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY or len(placed) < number:
            named[name] = value
        else:
            placed.append(value)
    return placed, named


def delta_name(usable: Mapping[str, inspect.Parameter], needed: list[str]) -> str:
    """Which parameter of a backward is the delta."""
    names = list(usable)
    candidates = needed or names
    likely = [n for n in candidates if _DELTA.search(n.lower()) and not is_setting(n)]
    unsettled = [n for n in candidates if not is_input(n) and not is_setting(n)]
    others = unsettled or candidates
    return likely[0] if likely and len(candidates) > 1 else others[0]
