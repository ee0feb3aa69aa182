"""What a run is: everything that decides the bytes it writes, by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bncli.batchnorm.transform import Survey
from bncli.files import open_regular
from bncli.images.png import encoder_version
from bncli.runs.asked import Asked
from bncli.runs.parameters import Descent, Parameter
from bncli.runs.source import Source
from bncli.storage.arrays import naming
from bncli.version import __version__

_PIECE_BYTES = 1 << 20


def key_so_far(
    request: Asked,
    source: Source,
    gamma: Parameter,
    beta: Parameter,
    descent: Descent | None,
) -> dict[str, Any]:
    """What decides the bytes of a run, as far as it is known before a picture is decoded.

    Two runs of the same key, the same pictures and the same delta write the same files.
    """
    output, backward, policy = request.output, request.backward, asdict(source.policy)
    del policy["max_pixels"]  # it refuses, and changes nothing else
    encoder = {"encoder": encoder_version()} if output.picture_format == "png" else {}
    key = {
        "command": "normalize",
        "bncli": __version__,
        "numpy": np.__version__,
        **source.decoders,
        **encoder,
        "shape": source.shape,
        "dtype_of_pictures": source.dtype.name,
        **policy,
        "gamma": gamma.origin,
        "beta": beta.origin,
        **_digest("gamma", gamma),
        **_digest("beta", beta),
        "seed": request.layer.seed,
        "eps": request.layer.eps,
        "scale": asdict(output.scale),
        "format": output.picture_format,
        "depth": output.depth,
        "dtype": output.dtype,
        "delta": None if backward is None else Path(backward.delta).name,
        "update": None,
    }
    if backward is not None and descent is not None:
        names = ("lr", "momentum", "decay", "lr_decay")
        key["update"] = {name: getattr(backward, name) for name in names}
        velocities = descent.velocity_gamma.tobytes() + descent.velocity_beta.tobytes()
        key["state"] = {
            "rate_factor": descent.rate_factor,
            "sha256": hashlib.sha256(velocities).hexdigest(),
        }
    return key


def survey_digest(found: Survey) -> str:
    """A digest of what the pictures hold as decoded: another decoder may decode other values."""
    numbers = [(channel.mean, channel.std) for channel in found.channels]
    return hashlib.sha256(json.dumps(numbers).encode("ascii")).hexdigest()


def delta_digest(request: Asked) -> dict[str, str]:
    """SHA-256 of the file that holds delta, hexadecimal; nothing where it is no file.

    Raises:
        ArrayError: it cannot be read.
    """
    if request.backward is None or request.backward.delta in {"ones", "random"}:
        return {}
    path = Path(request.backward.delta)
    with naming(path), open_regular(path) as (file, _):
        whole = hashlib.sha256()
        while piece := file.read(_PIECE_BYTES):
            whole.update(piece)
        return {"delta_sha256": whole.hexdigest()}


def _digest(name: str, parameter: Parameter) -> dict[str, str]:
    """Of the numbers of a file; a number and what is drawn from the seed say all by themselves."""
    if parameter.number is not None or parameter.random:
        return {}
    digest = hashlib.sha256(np.ascontiguousarray(parameter.values).data).hexdigest()
    return {f"{name}_sha256": digest}
