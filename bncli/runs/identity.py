"""What a run is: everything that decides the bytes it writes, by name."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bncli.batchnorm.transform import Survey
from bncli.runs.asked import declared
from bncli.runs.backward import Backward
from bncli.runs.parameters import Layer, Parameter
from bncli.runs.run import Run
from bncli.version import __version__

_TOLD_BY_ANOTHER = {"beta", "lr", "momentum", "decay", "lr_decay", "state"}
"""Options of which the entries ``gamma`` and ``update`` tell."""


def key_of(
    name: str, options: type, run: Run, layer: Layer | None = None,
    backward: Backward | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """What decides the bytes of a run, as far as it is known before a picture is decoded.

    Two runs of the same key and the same pictures write the same files.

    Args:
        name: of the command.
        options: its options, as declared; those that decide the bytes are in the key.
        run: with what was asked.
        layer, backward: of normalize.
        **more: what else decides the bytes.
    """
    packer = run.format.packer
    encoder = {} if packer is None else {"encoder": packer()}
    return {
        "command": name,
        "bncli": __version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        **run.source.decoders,
        **encoder,
        "shape": run.source.shape,
        "dtype_of_pictures": run.source.dtype.name,
        **dict(_options(options, run, layer, backward)),
        **more,
    }


def survey_digest(found: Survey) -> str:
    """A digest of what the pictures hold as decoded: another decoder may decode other values."""
    numbers = [(channel.mean, channel.std) for channel in found.channels]
    return hashlib.sha256(json.dumps(numbers).encode("ascii")).hexdigest()


def _options(
    options: type, run: Run, layer: Layer | None, backward: Backward | None
) -> Iterator[tuple[str, Any]]:
    """Name and value of each option that decides the bytes, as settled."""
    asked, policy = run.asked, asdict(run.source.policy)
    deciding = [name for name, opt in declared(options).items() if opt.decides]
    yield from ((name, value) for name, value in policy.items() if name in deciding)
    for name in deciding:
        if name == "gamma" and layer is not None:
            yield from _parameters({"gamma": layer.gamma, "beta": layer.beta})
        elif name == "scale":
            yield name, None if asked.scale is None else asdict(asked.scale)
        elif name == "delta":
            yield name, None if backward is None else Path(backward.step.delta).name
        elif name == "update":
            yield from _step(backward)
        elif name not in policy and name not in _TOLD_BY_ANOTHER:
            yield name, getattr(asked, name, asked.options[name])


def _parameters(parameters: Mapping[str, Parameter]) -> Iterator[tuple[str, Any]]:
    """Where they come from; a number, and what is drawn from the seed, say all by themselves."""
    for name, parameter in parameters.items():
        yield name, parameter.origin
    for name, parameter in parameters.items():
        if parameter.saved == "array":
            digest = hashlib.sha256(np.ascontiguousarray(parameter.values).data)
            yield f"{name}_sha256", digest.hexdigest()


def _step(backward: Backward | None) -> Iterator[tuple[str, Any]]:
    """What decides the step on gamma and beta."""
    if backward is None or backward.descent is None:
        yield "update", None
        return
    names = ("lr", "momentum", "decay", "lr_decay")
    yield "update", {name: getattr(backward.step, name) for name in names}
    yield "state", backward.descent.facts()
