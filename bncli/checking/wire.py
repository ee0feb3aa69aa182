"""What goes between the checker and the child process: lines of JSON, and numbers after them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from bncli.checking.probe import Array

_ITEM = np.dtype(np.float64).itemsize


def send(stream: BinaryIO, message: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write one message and its arrays, as float64."""
    shapes = {name: array.shape for name, array in arrays.items()}
    line = json.dumps({**message, "arrays": shapes}, allow_nan=False)
    stream.write(line.encode("ascii") + b"\n")
    stream.writelines(np.ascontiguousarray(array, np.float64).data for array in arrays.values())
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Read one message; None at the end of the stream, or where a message is cut off."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    arrays = {}
    for name, shape in message.pop("arrays").items():
        content = stream.read(math.prod(shape) * _ITEM)
        if len(content) != math.prod(shape) * _ITEM:
            return None  # the child died while it was writing
        arrays[name] = np.frombuffer(content, np.float64).reshape(shape)
    return message, arrays
