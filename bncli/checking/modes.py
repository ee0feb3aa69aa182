"""Training and inference: the attributes by which a layer tells them apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bncli.checking.arguments import Given
from bncli.checking.places import value_at

_TRAINING = re.compile(r"_?(is_?)?train(ing|_?fla?g|_mode|ing_mode)?$")
_INFERENCE = re.compile(r"_?(is_?)?(test|eval|inference|testing|evaluating)(_mode)?$")
_RATE = re.compile(r"_?(lr|l_rate|learning_?rate|learn_rate)$")


def put_in_training(thing: Any, given: Given) -> None:
    """Put a layer in training mode, and let it learn nothing by itself."""
    for name, value in _settings(thing):
        try:
            if isinstance(value, bool):
                if _TRAINING.fullmatch(name) and not value:
                    setattr(thing, name, True)
                elif _INFERENCE.fullmatch(name) and value:
                    setattr(thing, name, False)
            elif name == "mode" and isinstance(value, str) and value.lower() in {"test", "eval"}:
                setattr(thing, name, "train")
            elif isinstance(value, float) and _RATE.fullmatch(name):
                setattr(thing, name, given.rate)
        except AttributeError:
            continue  # a property that cannot be set


def _settings(thing: Any) -> Iterator[tuple[str, Any]]:
    """Attributes and properties of a layer, those of its classes too, and what they are."""
    names = dict.fromkeys(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__[:-1]:
        names |= dict.fromkeys(vars(kind))
    for name in names:
        if any(known.fullmatch(name) for known in (_TRAINING, _INFERENCE, _RATE)) or name == "mode":
            yield name, value_at(thing, (name,))
