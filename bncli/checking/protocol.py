"""How a target is to be talked to: what its user has said, and what was found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bncli.checking.layouts import LAYOUTS
from bncli.errors import OptionError

ABSENT = "none"


@dataclass(frozen=True, slots=True)
class LayerProtocol:
    """What was found out about a layer, or said by its user; empty is unknown.

    Attributes:
        gamma, beta: where they lie, as a path in the layer, or the argument that takes them;
            ``none`` where it has none.
        eps, input_shape: the arguments that take them.
        layout: a key of LAYOUTS.
        forward, backward: the methods.
        delta: ``argument`` or ``attribute``: where backward reads the delta.
        grad_input: ``returned``, ``overwritten``, ``added`` (into the argument), or a path, in the
            layer or from ``returned`` on.
        grad_gamma, grad_beta: a path, or ``none``.
        arguments: further arguments of constructor, forward or backward, by name.
    """

    gamma: str = ""
    beta: str = ""
    eps: str = ""
    input_shape: str = ""
    layout: str = ""
    forward: str = ""
    backward: str = ""
    delta: str = ""
    grad_input: str = ""
    grad_gamma: str = ""
    grad_beta: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, str]:
        """The argument that is a gamma, a beta, an eps or an input_shape, as the user has said."""
        keys = ("gamma", "beta", "eps", "input_shape")
        return {name: key for key in keys if (name := getattr(self, key)) not in {"", ABSENT}}

    def described(self) -> dict[str, str]:
        """Name -> what was found, for reports."""
        return {
            item.name: getattr(self, item.name) or ABSENT
            for item in fields(self)
            if item.name != "arguments"
        }


def said(
    overrides: Mapping[str, str], arguments: Mapping[str, Any], layout: str = ""
) -> LayerProtocol:
    """The protocol as far as the user has said it.

    Raises:
        OptionError: there is no such key, or a key has no such value.
    """
    keys = [item.name for item in fields(LayerProtocol) if item.name != "arguments"]
    given = {key: value.removeprefix("attribute:") for key, value in overrides.items()}
    for key, value in given.items():
        if key not in keys:
            raise OptionError(f"--protocol {key}: there is no such key; choose {', '.join(keys)}")
        _check_value(f"--protocol {key}={value}", key, value)
    if layout:
        _check_value(f"--layout {layout}", "layout", layout)
        given["layout"] = layout
    return LayerProtocol(**given, arguments=dict(arguments))


def _check_value(option: str, key: str, value: str) -> None:
    choices = {"layout": tuple(LAYOUTS), "delta": ("argument", "attribute")}
    if not value or value not in choices.get(key, (value,)):
        raise OptionError(f"{option}: choose {', '.join(choices.get(key, ('a name or a path',)))}")
