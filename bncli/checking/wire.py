"""What goes between the checker and the child process: lines of JSON, and arrays after them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from bncli.checking.probe import Array


def send(stream: BinaryIO, message: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write one message and its arrays."""
    line = json.dumps({**message, "arrays": list(arrays)}, allow_nan=False)
    stream.write(line.encode("ascii") + b"\n")
    for array in arrays.values():
        npy_format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Read one message; None at the end of the stream, or where a message is cut off."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        message = json.loads(line)
        arrays = {
            name: npy_format.read_array(stream, allow_pickle=False)
            for name in message.pop("arrays")
        }
    except ValueError:  # the child died while it was writing
        return None
    return message, arrays
