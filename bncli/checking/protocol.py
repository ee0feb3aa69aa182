"""How a target is to be talked to: the names it uses and the way its gradients come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from bncli.checking.layouts import LAYOUTS
from bncli.errors import OptionError

_WAYS = ("returned", "overwritten", "added", "attribute")
_ABSENT = "none"


@dataclass(frozen=True, slots=True)
class LayerProtocol:
    """What was found out about a layer, or said by its user.

    Attributes:
        gamma, beta, eps, input_shape: the keywords (or attributes) it takes them by; ``none``
            where it takes none; empty while unknown.
        layout: ``image``: arrays are (batch, w, h, c); ``flat``: (batch, pixels).
        delta: ``argument`` or ``attribute``: where backward reads the delta.
        grad_input: ``returned``, ``overwritten``, ``added`` (into the argument) or
            ``attribute:NAME``.
        grad_gamma, grad_beta: ``returned``, an attribute's name, or ``none``.
        arguments: further arguments of constructor or forward, by name.
    """

    gamma: str = ""
    beta: str = ""
    eps: str = ""
    input_shape: str = ""
    layout: str = ""
    delta: str = ""
    grad_input: str = ""
    grad_gamma: str = ""
    grad_beta: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def found(self, **facts: str) -> LayerProtocol:
        """With *facts* filled in where the user has said nothing."""
        unknown: dict[str, Any] = {
            name: fact for name, fact in facts.items() if not getattr(self, name)
        }
        return replace(self, **unknown)

    def described(self) -> dict[str, str]:
        """Name -> what was found, for reports."""
        return {
            item.name: getattr(self, item.name) or _ABSENT
            for item in fields(self)
            if item.name != "arguments"
        }


def said(overrides: Mapping[str, str], arguments: Mapping[str, Any]) -> LayerProtocol:
    """The protocol as far as the user has said it.

    Raises:
        OptionError: there is no such key, or a key has no such value.
    """
    keys = [item.name for item in fields(LayerProtocol) if item.name != "arguments"]
    for key, value in overrides.items():
        if key not in keys:
            raise OptionError(f"--protocol {key}: there is no such key; choose {', '.join(keys)}")
        _check_value(key, value)
    return LayerProtocol(**dict(overrides), arguments=dict(arguments))


def _check_value(key: str, value: str) -> None:
    choices = {"layout": LAYOUTS, "delta": ("argument", "attribute"), "grad_input": _WAYS}
    given = value.partition(":")[0] if key == "grad_input" else value
    if not value or given not in choices.get(key, (given,)):
        raise OptionError(
            f"--protocol {key}={value}: choose {', '.join(choices.get(key, ('a name',)))}"
            + (":NAME" if key == "grad_input" else "")
        )


def is_named(name: str) -> bool:
    """Whether a protocol entry names something."""
    return bool(name) and name != _ABSENT
